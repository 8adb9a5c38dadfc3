"""A stretch of a captioning run with an objective, a learning rate and a choice of weights of its own."""

from dataclasses import dataclass
from typing import Annotated, Literal

from captioner.config import STRICT
from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges


@dataclass(frozen=True)
class PhaseRecipe:
    """What a phase minimises, and what learns in it.

    A phase starts from the weights that the phase before it ended with (the averaged ones, if the run averages), with
    fresh moments. Its loss is the sum of the terms whose weight is not zero.

    Attributes:
        epochs: Passes over all photos.
        learning_rate: The peak of the decoder's learning rate.
        schedule: What follows the warm-up: "cosine" falls to zero at the end, "step" is multiplied by ``step_factor``
            every ``step_epochs``, "constant" stays.
        warmup: Share of the phase's steps in which the learning rate climbs linearly.
        step_epochs: Of the schedule "step".
        step_factor: Of the schedule "step".
        cross_entropy: Weight of the cross-entropy of the reference captions, per word.
        label_smoothing: Probability mass that its target spreads over all words (Szegedy et al. 2016).
        scheduled_sampling: Probability with which, at the phase's end, the decoder reads its own word in place of the
            reference's (Bengio et al. 2015); it climbs linearly from zero.
        attention_penalty: Weight of the doubly stochastic penalty, which asks a caption's attention to visit every
            location about equally (Xu et al. 2015, eq. 14).
        self_critical: Weight of self-critical sequence training (Rennie et al. 2017), which makes sampled captions
            likelier the more their reward exceeds a baseline.
        samples: Captions sampled per photo.
        sampling: "random" draws them by the decoder's probabilities; "beam" takes the best of a beam search as wide as
            there are samples, which trains what beam search will choose from (Cornia et al. 2020, section 3.3).
        temperature: Of random samples: the policy that is drawn from, and learns, divides log-probabilities by it.
            Below 1, few samples fall for the share that label smoothing has taught the decoder to leave to every word.
        baseline: "others", the mean reward of the photo's other samples (Luo 2020), or "greedy", the reward of its
            greedy caption (Rennie et al. 2017).
        bleu: Weight of BLEU-4 in the reward, beside CIDEr-D.
        rouge: Weight of ROUGE-L in it.
        dropout: Probability with which the decoder's units are dropped; the model's own if left out. Self-critical
            phases learn from what they sample, and dropped units make poor samples.
        encoder_stage: The first stage of the encoder that learns together with the decoder; empty freezes all of it.
        encoder_learning_rate: The peak of its learning rate.
        freeze_norms: Whether the encoder's batch norms keep the statistics that they were pretrained with.
    """

    __pydantic_config__ = STRICT
    epochs: Annotated[int, Range(1, 10_000)] = 12
    learning_rate: Annotated[float, Range(0, 10)] = 1e-3
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Annotated[float, Range(0, 1)] = 0.05
    step_epochs: Annotated[int, Range(1, 10_000)] = 3
    step_factor: Annotated[float, Range(0, 1)] = 0.8
    cross_entropy: Annotated[float, Range(0, 1000)] = 1.0
    label_smoothing: Annotated[float, Range(0, 0.99)] = 0.1
    scheduled_sampling: Annotated[float, Range(0, 1)] = 0.0
    attention_penalty: Annotated[float, Range(0, 1000)] = 0.0
    self_critical: Annotated[float, Range(0, 1000)] = 0.0
    samples: Annotated[int, Range(1, 100)] = 5
    sampling: Literal["random", "beam"] = "random"
    temperature: Annotated[float, Range(0.01, 100)] = 1.0
    baseline: Literal["others", "greedy"] = "others"
    bleu: Annotated[float, Range(0, 100)] = 0.0
    rouge: Annotated[float, Range(0, 100)] = 0.0
    dropout: Annotated[float | None, Range(0, 1, below=True)] = None
    encoder_stage: str = ""
    encoder_learning_rate: Annotated[float, Range(0, 10)] = 1e-5
    freeze_norms: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, "phase ")
        if not (self.cross_entropy or self.self_critical):
            raise ConfigError("a phase has cross_entropy 0 and self_critical 0; one of them must be above 0")
        if (self.scheduled_sampling or self.attention_penalty) and not self.cross_entropy:
            raise ConfigError("scheduled_sampling and attention_penalty go with cross_entropy, which is 0 in a phase")
        if self.temperature != 1 and self.sampling == "beam":
            raise ConfigError(
                f"temperature is {self.temperature}; it goes with random sampling, and a phase takes beams"
            )
        if self.self_critical and self.baseline == "others" and self.samples < 2:
            raise ConfigError("samples is 1; the baseline 'others' needs at least 2")
