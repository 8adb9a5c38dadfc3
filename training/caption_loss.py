"""The loss of a captioning model on a batch, in one module."""

from typing import Any

import torch
from torch import Tensor, nn

from captioner.model import CaptionModel
from captioner.tokenizers import Tokenizer
from captioner.types import DecoderRun, Features
from training.batches import Batch
from training.forcing import force_captions
from training.objective import attention_penalty, cross_entropy, mean_of_others, scheduled_inputs, self_critical
from training.phase import PhaseRecipe
from training.rewards import ENDING, Reward
from training.rollout import Rollout, Writer


class CaptionLoss(nn.Module):
    """The sum of a phase's terms.

    Args:
        model: What learns.
        tokenizer: Between its token ids and words.
        reward: What sampled captions are worth; ``None`` if no phase asks.
        max_length: Most tokens of a sampled caption.
    """

    def __init__(self, model: CaptionModel, tokenizer: Tokenizer, reward: Reward | None, max_length: int) -> None:
        super().__init__()
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
            terms.append(
                phase.self_critical * batch.image_share * self._criticise(batch.image_ids, features, memory, phase)
            )
        return torch.stack(terms).sum()

    def _teach(self, batch: Batch, memory: Any, phase: PhaseRecipe, progress: float) -> Tensor:
        """Return the terms of the reference captions."""
        read, targets = batch.tokens[:, :-1], batch.tokens[:, 1:]
        pad = self.tokenizer.pad_id
        lengths = (targets != pad).sum(dim=1).view(len(batch.image_ids), -1)  # [B, C]
        run = self._read(read, lengths, memory, phase.scheduled_sampling * progress)
        loss = batch.word_share * cross_entropy(run.logits, targets, pad, phase.label_smoothing)
        if phase.attention_penalty and run.attention is not None:
            penalty = attention_penalty(run.attention, targets != pad)
            loss = loss + phase.attention_penalty * batch.image_share * penalty
        return loss

    def _read(self, tokens: Tensor, lengths: Tensor, memory: Any, own_share: float) -> DecoderRun[Any]:
        """Read captions ``[R, T]``, some of whose words the decoder replaces by its own."""
        decoder = self.model.decoder
        if not own_share:
            return force_captions(decoder, tokens, lengths, memory)
        state = decoder.begin(memory, lengths.shape[1])
        logits: list[Tensor] = []
        attention: list[Tensor] = []
        for position, reference in enumerate(tokens.unbind(1)):
            inputs = scheduled_inputs(reference, logits[-1], own_share) if position else reference
            step = decoder.step(inputs, memory, state)
            state = step.state
            logits.append(step.logits)
            attention += [] if step.attention is None else [step.attention]
        looked = torch.stack(attention, dim=1) if attention else None
        return DecoderRun(torch.stack(logits, dim=1), looked, state)

    def _criticise(self, images: tuple[int, ...], features: Features, memory: Any, phase: PhaseRecipe) -> Tensor:
        """Return the term of sampled captions."""
        if phase.sampling == "beam":
            rollout = self.writer.beam(features, memory, len(images), phase.samples)
        else:
            rollout = self.writer.sample(memory, len(images), phase.samples, phase.temperature)
        rewards = self._rewards(rollout, [image for image in images for _ in range(phase.samples)], phase)
        if phase.baseline == "others":
            baselines = mean_of_others(rewards, phase.samples)
        else:
            baselines = self._greedy_rewards(memory, images, phase).repeat_interleave(phase.samples)
        return self_critical(rollout, rewards, baselines)

    def _greedy_rewards(self, memory: Any, images: tuple[int, ...], phase: PhaseRecipe) -> Tensor:
        """Return the rewards ``[B]`` of the captions that the decoder would write if it did not learn."""
        training = self.model.decoder.training
        self.model.decoder.eval()
        rollout = self.writer.greedy(memory, len(images))
        self.model.decoder.train(training)
        return self._rewards(rollout, list(images), phase)

    def _rewards(self, rollout: Rollout, images: list[int], phase: PhaseRecipe) -> Tensor:
        if self.reward is None:
            raise RuntimeError("a phase samples captions, but nothing says what they are worth")
        end = self.tokenizer.eos_id
        captions = [
            [*self.tokenizer.words(tokens), *([ENDING] if tokens[-1] == end else [])] for tokens in rollout.captions()
        ]
        return torch.tensor(self.reward(images, captions, phase.bleu, phase.rouge), device=rollout.tokens.device)
