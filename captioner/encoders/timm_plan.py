"""What a network of timm does with an image: its cells, stages and strides, found by passing a shape through it.

Networks are probed on torch's device "meta", where tensors have shapes and no values: nothing is computed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

Layout = Literal["maps", "maps_last", "tokens"]  # [B, D, rows, cols], [B, rows, cols, D], [B, tokens, D]
# What lets a network with a fixed size of image take others, where its constructor knows it.
OPTIONS: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
FAILURES = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError)
STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
SAME = "Same"  # how the names of timm's layers end that pad as TensorFlow does
TOLERATED = 1 / 8  # of a cell, by which cells may look to one side


@dataclass(frozen=True)
class Plan:
    """What is known of a network.

    Attributes:
        name: Timm's.
        options: With which it is built.
        side: Height and width of the images that it was made for, in pixels; a multiple of the stride.
        flexible: Whether it takes other sizes, too.
        stride: Pixels per cell.
        layout: The order in which it gives its cells.
        prefix: Tokens before the cells, such as that of the class.
        channels: D of a cell.
        vector_size: P, the length of what its classifier reads.
        shift: By how many pixels cells look up and left of the middle of their parts; 0 if that is little or unknown.
        border: Pixels before and after the image that centre them.
        stages: The layers of each stage by their paths, from pixels to features.
        maps: Its direct parts that the cells need.
        head: Those that the vector needs, which is made of the cells.
        classifier: Names of the layers that tell classes apart, in files of weights.
    """

    name: str
    options: Mapping[str, Any]
    side: int
    flexible: bool
    stride: int
    layout: Layout
    prefix: int
    channels: int
    vector_size: int
    shift: int
    border: tuple[int, int]
    stages: tuple[tuple[str, tuple[str, ...]], ...]
    maps: frozenset[str]
    head: frozenset[str]
    classifier: tuple[str, ...]

    def build(self, pretrained: bool = False) -> Any:
        """Return the network without its classifier; its weights are random unless timm's own are asked for."""
        return timm.create_model(self.name, pretrained=pretrained, num_classes=0, **self.options)

    def cells(self, found: Tensor) -> Tensor:
        """Return the cells ``[B, L, D]``, row by row, of what the network gave."""
        return _cells(found, self.layout, self.prefix)


def _cells(found: Tensor, layout: Layout, prefix: int) -> Tensor:
    if layout == "tokens":
        return found[:, prefix:]
    return found.flatten(2).transpose(1, 2) if layout == "maps" else found.flatten(1, 2)


def plan(name: str) -> Plan:
    """Find out what a network does with an image.

    Args:
        name: One that timm knows.

    Raises:
        ValueError: If its cells are not of one size, or whatever else it raises at an image.
    """
    network, options = _hollow(name)
    info = _feature_info(network)
    cfg = network.pretrained_cfg
    native = cfg["input_size"][1]
    stride = info[-1]["reduction"] if info else native // _run(network, native, native)[0].shape[-1]
    side = math.ceil(native / stride) * stride
    trace = Trace(network)
    with trace.listening(trace.maps):
        found = network.forward_features(torch.empty(2, 3, side, side, device="meta"))
    with trace.listening(trace.head):
        vector = network.forward_head(found, pre_logits=True)
    layout, prefix = _layout(found, (side // stride) ** 2, getattr(network, "num_features", 0))
    flexible = _fits(network, side, side + stride, stride, layout, prefix)
    shift = _shift(trace.strided, side, stride) if flexible and layout == "maps" else 0
    border = _border(network, side, stride, shift)
    classifier = cfg.get("classifier") or ()
    return Plan(
        name=name,
        options=options,
        side=side,
        flexible=flexible,
        stride=stride,
        layout=layout,
        prefix=prefix,
        channels=_cells(found, layout, prefix).shape[2],
        vector_size=vector.shape[1],
        shift=shift if border[0] else 0,
        border=border,
        stages=_stages(network, info, trace.maps),
        maps=frozenset(path.partition(".")[0] for path in trace.maps),
        head=frozenset(path.partition(".")[0] for path in trace.head),
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
    )


def _hollow(name: str) -> tuple[Any, Mapping[str, Any]]:
    """Return a network that has shapes and no weights, and the options that it was built with."""
    for options in OPTIONS:
        try:
            with torch.device("meta"):
                return timm.create_model(name, num_classes=0, **options).eval(), options
        except TypeError:  # its constructor does not know the option
            if not options:
                raise
    raise AssertionError("the last options are none")


def _feature_info(network: Any) -> list[dict[str, Any]]:
    """Return what timm says of its maps, from the largest to the smallest: "module", "reduction" and more."""
    info = getattr(network, "feature_info", None)
    return [one for one in info if isinstance(one, dict)] if isinstance(info, list) else []


def _run(network: Any, height: int, width: int) -> Any:
    return network.forward_features(torch.empty(2, 3, height, width, device="meta"))


class Trace:
    """Which layers run, in which order, and which of them have a stride.

    Attributes:
        maps: The paths of those that make the cells, in the order in which they first run.
        head: Those that make the vector of them.
        strided: Layers that halve maps, or divide them further, with the height of what they read.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.maps: dict[str, None] = {}
        self.head: dict[str, None] = {}
        self.strided: list[tuple[Any, int]] = []

    @contextmanager
    def listening(self, seen: dict[str, None]) -> Iterator[None]:
        """Note what runs meanwhile."""
        hooks = [
            module.register_forward_pre_hook(lambda module, inputs, path=path: self._note(path, module, inputs, seen))
            for path, module in self.network.named_modules()
            if path
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _note(self, path: str, module: nn.Module, inputs: tuple[Any, ...], seen: dict[str, None]) -> None:
        seen.setdefault(path)
        if isinstance(module, STRIDED) and _pair(module.stride)[0] > 1 and inputs[0].ndim == 4:
            self.strided.append((module, inputs[0].shape[2]))


def _layout(found: Tensor, count: int, channels: int) -> tuple[Layout, int]:
    """Return how cells are laid out, and how many tokens come before them."""
    shape = tuple(found.shape)
    if found.ndim == 4 and shape[1] == channels and shape[2] * shape[3] == count:
        return "maps", 0
    if found.ndim == 4 and shape[3] == channels and shape[1] * shape[2] == count:
        return "maps_last", 0
    if found.ndim == 3 and shape[2] == channels and shape[1] >= count:
        return "tokens", shape[1] - count
    raise ValueError(f"it gives {list(shape[1:])} where {count} cells of {channels} channels are expected")


def _fits(network: Any, height: int, width: int, stride: int, layout: Layout, prefix: int) -> bool:
    """Tell whether a network takes images of a size, and makes the cells of it that it should."""
    try:
        found = _run(network, height, width)
        return bool(_cells(found, layout, prefix).shape[1] == (height // stride) * (width // stride))
    except FAILURES:
        return False


def _shift(strided: Sequence[tuple[Any, int]], side: int, stride: int) -> int:
    """Return by how many pixels cells look up and left of their parts, by the layers that divide the maps.

    Layers side by side read maps of the same size; the one with the largest kernel speaks for them.
    """
    levels: dict[int, tuple[int, float, int]] = {}  # by pixels per cell: kernel, offset, stride
    for layer, height in strided:
        kernel, step = _pair(layer.kernel_size)[0], _pair(layer.stride)[0]
        if side % height == 0 and kernel > levels.get(side // height, (0, 0, 0))[0]:
            levels[side // height] = kernel, (kernel - 1) / 2 - _before(layer, kernel, step), step
    if math.prod(step for _, _, step in levels.values()) != stride:
        return 0
    centre = sum(level * offset for level, (_, offset, _) in levels.items())
    shift = (stride - 1) / 2 - centre
    if abs(shift) <= TOLERATED * stride:
        return 0
    return math.floor(abs(shift) + 0.5) * (1 if shift > 0 else -1)


def _before(layer: Any, kernel: int, step: int) -> int:
    """Return how many pixels a layer adds before a map whose side is a multiple of its stride."""
    return max(kernel - step, 0) // 2 if type(layer).__name__.endswith(SAME) else int(_pair(layer.padding)[0])


def _pair(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, int | str) else tuple(value)


def _border(network: Any, side: int, stride: int, shift: int) -> tuple[int, int]:
    """Return the pixels before and after an image that add a row to its maps and move the others to their parts."""
    before = -shift % stride
    if before:
        rows = side // stride + 1
        # Layers that pad as TensorFlow does pad a map of odd size in another way: they need whole cells.
        for after in (0, stride - before) if shift > 0 else (stride - before,):
            length = side + before + after
            with suppress(*FAILURES):  # some take multiples of their stride alone
                if _run(network, length, length).shape[2:] == (rows, rows):
                    return before, after
    return 0, 0


def _stages(
    network: nn.Module, info: Sequence[dict[str, Any]], order: Mapping[str, None]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the layers of each stage: all up to the layer that timm names for a map, the rest with the last one."""
    paths = [one["module"] for one in info]
    places = {path: place for place, path in enumerate(order)}
    units = sorted(_units(network, paths), key=lambda unit: _place(unit, places))
    ends = {one["module"]: one["reduction"] for one in info if one["module"] in units}
    distinct = len(set(ends.values())) == len(ends)
    stages: list[tuple[str, list[str]]] = []
    waiting: list[str] = []
    for unit in units:
        waiting.append(unit)
        if unit in ends:
            stages.append((f"stride{ends[unit]}" if distinct else unit, waiting))
            waiting = []
    if not stages:
        return (("network", tuple(waiting)),)
    stages[-1][1].extend(waiting)
    return tuple((name, tuple(layers)) for name, layers in stages)


def _units(network: nn.Module, paths: Sequence[str], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all layers, those opened that have one of the given paths inside of them."""
    for name, child in network.named_children():
        path = prefix + name
        if any(one.startswith(f"{path}.") for one in paths):
            yield from _units(child, paths, f"{path}.")
        else:
            yield path


def _place(unit: str, places: Mapping[str, int]) -> int:
    """Return when a layer or something inside of it first runs; what never runs is last."""
    inside = (place for path, place in places.items() if path == unit or path.startswith(f"{unit}."))
    return min(inside, default=len(places))
