"""How large the frames of AV1 data are, before they are decoded: AV1 Bitstream Specification, sections 5.3 to 5.9.

The container of a picture says how large it is, but a decoder makes what the coded data say, however much that is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6  # types of OBUs
_HEADER_BYTES = 1024  # more than the longest header has up to a frame's size
_KEY, _SWITCH = 0, 3  # types of frames
_CHOOSE = 2  # a tool that each frame turns on or off


class _Bits:
    """Numbers of so many bits each, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, number: int = 1) -> int:
        """Return the next number."""
        self._left -= number
        if self._left < 0:
            raise ValueError("a header of AV1 is cut off")
        return self._value >> self._left & ((1 << number) - 1)

    def skip_exp_golomb(self) -> None:
        """Pass over a number that says by its leading zeros how long it is."""
        zeros = 0
        while not self.read():
            zeros += 1
        self.read(0 if zeros >= 32 else zeros)


@dataclass
class _Sequence:
    """What a sequence header says of its frames: the size, and what stands in their headers before theirs."""

    reduced: bool = False
    decoder_model: bool = False
    equal_interval: bool = False
    time_bits: int = 0
    delay_bits: int = 0
    largest: int = 0  # pixels that a frame with a size of its own may have
    pixels: int = 0
    frame_id_bits: int = 0
    screen_content: int = _CHOOSE
    integer_motion: int = _CHOOSE


def frame_pixels(data: bytes) -> Iterator[int]:
    """Give for each frame of some AV1 data how many pixels it has, or at most may have if it says so itself.

    Raises:
        ValueError: If a header is cut off.
    """
    sequence = None
    for kind, body in _units(data):
        if kind == _SEQUENCE:
            sequence = _read_sequence(_Bits(body))
        elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
            yield sequence.largest if _has_own_size(_Bits(body), sequence) else sequence.pixels


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the type of each OBU, and the beginning of its body."""
    position = 0
    while position < len(data):
        header = data[position]
        position += 2 if header & 4 else 1  # an extension
        size = len(data) - position
        if header & 2:
            size, position = _read_leb128(data, position)
        yield header >> 3 & 15, data[position : position + min(size, _HEADER_BYTES)]
        position += size


def _read_leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[position + place] if position + place < len(data) else 0
        value |= (byte & 127) << 7 * place
        if not byte & 128:
            break
    return value, position + place + 1


def _read_sequence(bits: _Bits) -> _Sequence:
    found = _Sequence()
    bits.read(4)  # the profile, and whether it is a still picture
    found.reduced = bool(bits.read())
    if found.reduced:
        bits.read(5)
    else:
        _read_timing(bits, found)
        _skip_operating_points(bits, found)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    found.pixels = (bits.read(width_bits) + 1) * (bits.read(height_bits) + 1)
    found.largest = 1 << width_bits + height_bits
    if not found.reduced:
        _read_tools(bits, found)
    return found


def _read_timing(bits: _Bits, found: _Sequence) -> None:
    if not bits.read():
        return
    bits.read(64)
    found.equal_interval = bool(bits.read())
    if found.equal_interval:
        bits.skip_exp_golomb()
    found.decoder_model = bool(bits.read())
    if found.decoder_model:
        found.delay_bits = bits.read(5) + 1
        bits.read(32 + 5)
        found.time_bits = bits.read(5) + 1


def _skip_operating_points(bits: _Bits, found: _Sequence) -> None:
    has_delay = bits.read()
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read()
        if found.decoder_model and bits.read():
            bits.read(2 * found.delay_bits + 1)
        if has_delay and bits.read():
            bits.read(4)


def _read_tools(bits: _Bits, found: _Sequence) -> None:
    if bits.read():  # frames have numbers
        difference = bits.read(4) + 2
        found.frame_id_bits = difference + bits.read(3) + 1
    bits.read(7)
    if bits.read():  # the order of frames is told
        bits.read(2)
    found.screen_content = _CHOOSE if bits.read() else bits.read()
    if found.screen_content:
        found.integer_motion = _CHOOSE if bits.read() else bits.read()


def _has_own_size(bits: _Bits, sequence: _Sequence) -> bool:
    """Return whether a frame's header gives another size than that of its sequence."""
    if sequence.reduced or bits.read():  # or it only shows a frame that was decoded already
        return False
    kind, shown = bits.read(2), bits.read()
    if not shown:
        bits.read()
    elif sequence.decoder_model and not sequence.equal_interval:
        bits.read(sequence.time_bits)
    if kind != _SWITCH and not (kind == _KEY and shown):
        bits.read()  # whether it withstands errors, which those two do
    bits.read()
    screen_content = bits.read() if sequence.screen_content == _CHOOSE else sequence.screen_content
    if screen_content and sequence.integer_motion == _CHOOSE:
        bits.read()
    bits.read(sequence.frame_id_bits)
    return kind == _SWITCH or bool(bits.read())
