"""The loss of a captioning model on a batch, in one module."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captioner.model import CaptionModel
from captioner.tokenizers import Tokenizer
from captioner.types import DecoderRun, Features
from training.captioning.batches import Batch
from training.captioning.rewards import ENDING, Reward
from training.captioning.rollout import Rollout, Writer
from training.captioning.teacher_forcing import force_captions
from training.distillation import ClassTeacher
from training.inputs.chance import chances
from training.losses import attention_penalty, cross_entropy, mean_of_others, scheduled_inputs, self_critical
from training.phase import PhaseRecipe

OWN_WORDS, SAMPLES = 1, 2  # purposes of chance


class CaptionLoss(nn.Module):
    """The sum of a phase's terms.

    Args:
        model: What learns.
        tokenizer: Between its token ids and words.
        reward: What sampled captions are worth; ``None`` if no phase asks.
        max_length: Most tokens of a sampled caption.
        teacher: Whose classes the encoder keeps to where it learns; ``None`` if there are none.
    """

    def __init__(
        self,
        model: CaptionModel,
        tokenizer: Tokenizer,
        reward: Reward | None,
        max_length: int,
        teacher: ClassTeacher | None = None,
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.model = model
        self.tokenizer = tokenizer
        self.reward = reward
        self.writer = Writer(model.decoder, tokenizer.special, max_length)

    def forward(self, batch: Batch, phase: PhaseRecipe, progress: float) -> Tensor:
        """Return the loss of a batch, or a part's share of the loss of its batch.

        Args:
            batch: Photos or their features, and captions.
            phase: Which terms.
            progress: The share of the phase that is done, 0 to 1.
        """
        features = self.model(batch.pixels) if batch.features is None else batch.features
        memory = self.model.decoder.prepare(features)
        terms = []
        if phase.cross_entropy:
            terms.append(phase.cross_entropy * self._teach(batch, memory, phase, progress))
        if phase.self_critical:
            terms.append(phase.self_critical * batch.image_share * self._criticise(batch, features, memory, phase))
        if self.teacher and batch.pixels is not None:
            terms.append(batch.image_share * self.teacher(batch.pixels, features.vector))
        return torch.stack(terms).sum()

    def _teach(self, batch: Batch, memory: Any, phase: PhaseRecipe, progress: float) -> Tensor:
        """Return the terms of the reference captions."""
        read, targets = batch.tokens[:, :-1], batch.tokens[:, 1:]
        pad = self.tokenizer.pad_id
        lengths = (targets != pad).sum(dim=1).view(len(batch.image_ids), -1)  # [B, C]
        run = self._read(read, lengths, memory, phase.scheduled_sampling * progress, batch.seeds)
        loss = batch.word_share * cross_entropy(run.logits, targets, pad, phase.label_smoothing)
        if phase.attention_penalty and run.attention is not None:
            penalty = attention_penalty(run.attention, targets != pad)
            loss = loss + phase.attention_penalty * batch.image_share * penalty
        return loss

    def _read(
        self, tokens: Tensor, lengths: Tensor, memory: Any, own_share: float, seeds: Sequence[int]
    ) -> DecoderRun[Any]:
        """Read captions ``[R, T]``, some of whose words the decoder replaces by its own."""
        decoder = self.model.decoder
        if not own_share:
            return force_captions(decoder, tokens, lengths, memory)
        columns, special = lengths.shape[1], self.writer.special
        steps = self.writer.max_length + 1
        chance = chances(seeds, columns, 2 * steps, OWN_WORDS).view(-1, steps, 2)
        chance = chance.to(tokens.device)  # [R, max_length + 1, 2], however long the captions beside a photo's are
        state = decoder.begin(memory, columns)
        logits: list[Tensor] = []
        attention: list[Tensor] = []
        for position, reference in enumerate(tokens.unbind(1)):
            inputs = reference
            if position:
                inputs = scheduled_inputs(reference, logits[-1], own_share, special, chance[:, position])
            step = decoder.step(inputs, memory, state)
            state = step.state
            logits.append(step.logits)
            attention += [] if step.attention is None else [step.attention]
        looked = torch.stack(attention, dim=1) if attention else None
        return DecoderRun(torch.stack(logits, dim=1), looked, state)

    def _criticise(self, batch: Batch, features: Features, memory: Any, phase: PhaseRecipe) -> Tensor:
        """Return the term of sampled captions."""
        images = batch.image_ids
        if phase.sampling == "beam":
            rollout = self.writer.beam(features, memory, len(images), phase.samples)
        else:
            chance = chances(batch.seeds, phase.samples, self.writer.max_length + 1, SAMPLES)
            rollout = self.writer.sample(memory, len(images), phase.samples, phase.temperature, chance)
        rewards = self._rewards(rollout, [image for image in images for _ in range(phase.samples)], phase)
        if phase.baseline == "others":
            baselines = mean_of_others(rewards, phase.samples)
        else:
            greedy = self.writer.greedy(features, len(images))
            baselines = self._rewards(greedy, list(images), phase).repeat_interleave(phase.samples)
        return self_critical(rollout.log_probs, rewards, baselines, batch.caption_length)

    def _rewards(self, rollout: Rollout, images: list[int], phase: PhaseRecipe) -> Tensor:
        if self.reward is None:
            raise RuntimeError("a phase samples captions, but nothing says what they are worth")
        end = self.tokenizer.eos_id
        captions = [
            [*self.tokenizer.words(tokens), *([ENDING] if tokens[-1] == end else [])] for tokens in rollout.captions()
        ]
        return torch.tensor(self.reward(images, captions, phase.bleu, phase.rouge), device=rollout.tokens.device)
