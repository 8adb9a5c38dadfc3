"""Time ViT-GPT2 and BLIP-base beside our model: the extra ".[benchmarks]", which brings the library transformers.

Both are of their standard sizes, with random weights: what they would say is worth nothing, how long they take is
that of trained ones. Every network writes exactly as many tokens as our captions have on the average, with as many
beams, from a photo's bytes to token ids. Each is timed once in every round, and the ratio is taken round by round.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from benchmarks.models import add_model_arguments, describe, load_chosen
from benchmarks.photos import read_photos
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.timing import Times, Work, in_turn, ratio, summary
from captioner.cpus import available_cpus
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.images import read_image
from captioner.predictor import CaptionPredictor

EPILOG = __doc__
OURS = "ours"
TITLES = {"name": "model", "beams": "beams", "parameters_m": "weights, M", "median_ms": "ms", "ratio": "times ours"}
Caption = Callable[[bytes, int, int], object]  # a photo, beams, tokens


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files; default: photos made up")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="(default: all)")
    parser.add_argument("--beams", type=int, nargs="+", default=[3], help="(default: 3)")
    parser.add_argument("--tokens", type=int, help="that others write (default: the mean of our captions)")
    parser.add_argument("--layers", type=int, default=12, help="of each of their networks (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Time all models in turn, and print the table.

    Raises:
        OptionError: If transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise OptionError("this needs the library transformers: pip install '.[benchmarks]'")
    predictor = load_chosen(arguments)
    torch.set_num_threads(arguments.threads or available_cpus())
    files = read_photos(arguments.photos, 8)
    tokens = arguments.tokens or written_tokens(predictor, files)
    torch.manual_seed(0)
    others = {name: MODELS[name](arguments.layers) for name in arguments.models}
    introduce(model=describe(predictor), tokens=tokens, rounds=arguments.rounds)
    times = in_turn(list(works(predictor, others, files, arguments.beams, tokens)), arguments.rounds)
    parameters = {name: count for name, (_, count) in others.items()}
    publish("others", rows(times, parameters), TITLES, arguments.json, model=describe(predictor), tokens=tokens)
    return 0


def written_tokens(predictor: CaptionPredictor, files: Sequence[bytes]) -> int:
    """Return how many tokens a caption of ours has on the average, its ending included."""
    return round(mean(len(predictor.caption(data).words) + 1 for data in files))


def works(
    predictor: CaptionPredictor,
    others: dict[str, tuple[Caption, int]],
    files: Sequence[bytes],
    beams: Sequence[int],
    tokens: int,
) -> list[Work]:
    """Return one photo captioned by every model with every number of beams; ours is the mean of all photos."""
    found = []
    for count in beams:
        options = DecodingOptions(beam_size=count)
        found.append(Work(f"{OURS} {count}", _ours(predictor, files, options), len(files)))
        for name, (caption, _) in others.items():
            found.append(Work(f"{name} {count}", _theirs(caption, files[0], count, tokens)))
    return found


def _ours(predictor: CaptionPredictor, files: Sequence[bytes], options: DecodingOptions) -> Callable[[], object]:
    return lambda: [predictor.caption(data, options) for data in files]


def _theirs(caption: Caption, data: bytes, beams: int, tokens: int) -> Callable[[], object]:
    return lambda: caption(data, beams, tokens)


def rows(times: Times, parameters: dict[str, int]) -> list[dict[str, Any]]:
    """Return a row for each model and number of beams."""
    found = []
    for key, values in times.items():
        name, _, beams = key.rpartition(" ")
        share = ratio(values, times[f"{OURS} {beams}"])
        weights = {"parameters_m": parameters[name] / 1e6} if name in parameters else {}
        own = {"name": name, "beams": int(beams), **weights, "ratio": str(share), "ratio_median": share.median}
        found.append({**own, **summary(values)})
    return found


def vit_gpt2(layers: int) -> tuple[Caption, int]:
    """Return ViT-base at 224 pixels with GPT-2, as VisionEncoderDecoderModel joins them, and its number of weights."""
    transformers: Any = import_module("transformers")  # an extra, and slow to import

    encoder = transformers.ViTConfig(num_hidden_layers=layers)
    decoder = transformers.GPT2Config(n_layer=layers, is_decoder=True, add_cross_attention=True)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = decoder.eos_token_id
    model = transformers.VisionEncoderDecoderModel(config=config).eval()
    return _captioner(model, transformers.ViTImageProcessor())


def blip_base(layers: int) -> tuple[Caption, int]:
    """Return BLIP-base at 384 pixels, and its number of weights."""
    transformers: Any = import_module("transformers")  # an extra, and slow to import

    text = transformers.BlipTextConfig(num_hidden_layers=layers)
    config = transformers.BlipConfig(
        text_config=text.to_dict(), vision_config=transformers.BlipVisionConfig(num_hidden_layers=layers).to_dict()
    )
    model = transformers.BlipForConditionalGeneration(config).eval()
    return _captioner(model, transformers.BlipImageProcessor())


def _captioner(model: Any, processor: Any) -> tuple[Caption, int]:
    @torch.inference_mode()
    def caption(data: bytes, beams: int, tokens: int) -> object:
        pixels = processor(images=read_image(data), return_tensors="pt")["pixel_values"]
        length = {"min_new_tokens": tokens, "max_new_tokens": tokens}
        return model.generate(pixel_values=pixels, num_beams=beams, do_sample=False, **length)

    return caption, sum(parameter.numel() for parameter in model.parameters())


MODELS: dict[str, Callable[[int], tuple[Caption, int]]] = {"ViT-GPT2": vit_gpt2, "BLIP-base": blip_base}
