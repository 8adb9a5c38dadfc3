"""Hostile files and requests: the same for the same numbers, so that what did harm can be repeated."""

import base64
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from urllib.parse import quote

from PIL import Image, ImageDraw

from benchmarks.service import prompts
from benchmarks.service.prompts import odd_prompt

PATHS = ("/", "/v1/captions", "/v1/scores", "/livez", "/readyz", "/metrics", "/openapi.json", "/static/page.js")
CORRECTIONS = "/v1/corrections"  # which not every service takes
UPLOADS = (
    "/v1/captions?beam_size=1&max_length=3",
    "/v1/scores?text=a+dog",
    "/v1/answers?question=how+many+dogs",
    "/v1/clips?beam_size=1&max_length=3&max_shots=4",
)
NAMES = ("flickr8k", "captioner", "fake", "1")  # to put in place of a path's variables
TAKING = ("/captions", "/hf", "/infer", "/heatmaps", *prompts.PATHS)  # photos in base64
BOUNDARY = b"line"
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"get", b"X" * 999)
NASTY = (  # texts that have hurt some program before
    "", " ", "\0", "\r\nX-Injected: 1", "../../etc/passwd", "%00", "%ff%fe", "\ufffe\uffff", "\u202e", "한글",
    "é" * 200,
    "<script>alert(1)</script>", "{{7*7}}", "${7*7}", "%s%n", "nan", "inf", "-1", "1e400", "0x10", "9" * 400,
    "\u0661", "null", "true", "a" * 70_000, "'\"`;--", "[" * 5000, "\u0085", "\U0001f600" * 50, "1_0", "+1", "1.", "-0",
)  # fmt: skip
HEADERS = (
    b"Content-Length: -1", b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 99999999999999999999",
    b"Content-Length: 1e3", b"Content-Length: \xb2", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: xchunked\r\nContent-Length: 3", b"Content-Encoding: gzip", b"Expect: 100-continue",
    b"Expect: nonsense", b"Range: bytes=5-1,9-", b"Range: bytes=-", b"If-Modified-Since: \xff", b"If-None-Match: \"",
    b"If-Range: x", b"Accept: ;;q=\x80", b"Accept-Encoding: *;q=nan", b"Cookie: a=\xff;;=;", b"Host: \xff\xfe",
    b"Host: a b", b"Authorization: Basic \xff", b"Authorization: Bearer " + b"a" * 9000, b"Authorization: Digest x=",
    b"X-Request-Id: \xff\x01", b"X-Request-Id: " + b"a" * 9000, b"X-Forwarded-For: " + b"1, " * 500, b"Origin: \xff",
    b"X-Forwarded-Proto: \xff", b"traceparent: \xff", b"traceparent: 00-0-0-00", b"NoColon", b": empty", b" folded",
    b"A\0B: c", b"Big: " + b"a" * 300_000, b"Content-Type: application/json", b"Content-Type: \xff/\xff; charset=\xff",
    b"Content-Type: multipart/form-data", b"Content-Type: multipart/form-data; boundary=", b"Upgrade: websocket",
    b"Content-Type: multipart/form-data; boundary=\xff" + b"a" * 300, b"Content-Type: text/plain; charset=idna",
    b"Content-Type: application/x-www-form-urlencoded", b"X-HTTP-Method-Override: DELETE", b"Connection: keep-alive",
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """What is sent.

    Attributes:
        kind: What it tries.
        data: The bytes of the request.
        proper: Whether it is proper HTTP, which must be answered.
    """

    kind: str
    data: bytes
    proper: bool


def seed_picture(kind: str, picture: Image.Image) -> bytes:
    """Return a picture as a file of some kind, such as ``jpeg`` or ``png palette``."""
    name, _, variant = kind.partition(" ")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "text"
    options: dict[str, object] = {"exif": exif} if name in ("jpeg", "png", "webp", "mpo", "avif") else {}
    if variant == "several":
        options |= {"save_all": True, "append_images": [picture.rotate(90)]}
    elif variant in ("progressive", "lossless"):
        options |= {variant: True}
    elif variant == "deep":
        picture = picture.convert("L").convert("I;16")
    elif variant:
        picture = picture.convert(MODES[variant])
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


KINDS = (
    "jpeg", "jpeg progressive", "jpeg grey", "jpeg cmyk", "png", "png palette", "png alpha", "png deep", "png bits",
    "png several", "webp", "webp lossless", "webp several", "gif", "gif several", "bmp", "bmp palette", "bmp bits",
    "avif", "mpo several", "tiff", "ico", "ppm", "tga", "pcx", "icns", "pdf",
)  # fmt: skip
MODES = {"palette": "P", "grey": "L", "alpha": "RGBA", "cmyk": "CMYK", "bits": "1"}
FOREIGN = {
    "svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(%pipe%id) (r) file\n",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "zip": b"PK\3\4" + bytes(64),
    "pickle": b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "text": b"just text",
    "nothing": b"",
}


@cache
def seeds() -> dict[str, bytes]:
    """Return a small, good file of every kind: those that are allowed, and those that are refused."""
    picture = Image.linear_gradient("L").resize((40, 28)).convert("RGB")
    ImageDraw.Draw(picture).ellipse((5, 5, 30, 20), fill=(200, 30, 60))
    return {kind: seed_picture(kind, picture) for kind in KINDS} | seed_clips(picture) | FOREIGN


def seed_clips(picture: Image.Image) -> dict[str, bytes]:
    """Return small clips."""
    found = {}
    for kind in ("GIF", "WEBP", "PNG"):
        file = io.BytesIO()
        frames = [picture.rotate(90 * turn) for turn in range(1, 4)]
        picture.save(file, kind, save_all=True, append_images=frames, duration=600)
        found[f"{kind} clip"] = file.getvalue()
    return found


def flip(random: Random, data: bytearray) -> None:
    """Flip a few bits, more often near the beginning, where the headers are."""
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        place = random.randrange(min(len(data), random.choice((32, 200, len(data)))))
        data[place] ^= 1 << random.randrange(8)


def cut(random: Random, data: bytearray) -> None:
    """Cut off the end."""
    del data[random.randrange(len(data)) :]


def lose(random: Random, data: bytearray) -> None:
    """Take a piece out of the middle."""
    start = random.randrange(len(data))
    del data[start : start + random.choice((1, 2, 4, 50))]


def repeat(random: Random, data: bytearray) -> None:
    """Repeat a piece, perhaps often."""
    start = random.randrange(len(data))
    piece = data[start : start + random.randrange(1, 60)]
    data[start:start] = piece * random.choice((1, 2, 500))


def splice(random: Random, data: bytearray) -> None:
    """Go on with the rest of another file."""
    other = random.choice(list(seeds().values()))
    data[random.randrange(len(data)) :] = other[random.randrange(len(other) + 1) :]


def lie(random: Random, data: bytearray) -> None:
    """Write an extreme number somewhere, as lengths, sizes and counts are written."""
    form = random.choice(("<I", ">I", "<H", ">H", "B"))
    place = random.randrange(min(len(data), random.choice((64, 300, len(data)))))
    number = struct.pack(form, random.choice(EXTREMES) % 256 ** struct.calcsize(form))
    data[place : place + len(number)] = number


def insert(random: Random, data: bytearray) -> None:
    """Put noise in."""
    place = random.randrange(len(data) + 1)
    data[place:place] = random.randbytes(random.choice((1, 4, 100, 5000)))


MUTATIONS: tuple[Callable[[Random, bytearray], None], ...] = (flip, flip, cut, lose, repeat, splice, lie, lie, insert)


def mend_png(data: bytearray) -> None:
    """Write the right checksum behind each chunk of a PNG, so that what is wrong inside it is looked at."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[place + 4 : end]))
        place = end + 4


def mutate(random: Random, data: bytes) -> bytes:
    """Damage a file or a request in one to three ways."""
    damaged = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        if damaged:
            random.choice(MUTATIONS)(random, damaged)
    if damaged.startswith(b"\x89PNG") and random.random() < 0.7:
        mend_png(damaged)
    return bytes(damaged)


def request_bytes(method: bytes, target: str, body: bytes = b"", headers: Sequence[bytes] = ()) -> bytes:
    """Return a request that asks for the connection to be closed; a length is added unless a header says it."""
    own = list(headers)
    if not any(header.lower().startswith((b"content-length", b"transfer-encoding")) for header in own):
        own.append(b"Content-Length: %d" % len(body))
    first = b"%s %s HTTP/1.1" % (method, target.encode())
    return b"\r\n".join([first, b"Host: fuzz", b"Connection: close", *own, b"", body])


def form_body(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a form; the part named ``image`` is a file, the others are fields."""
    body = b""
    for name, value in parts:
        file = b'; filename="<img src=x>.jpg"' if name == "image" else b""
        head = b'Content-Disposition: form-data; name="%s"' % name.encode("utf-8", "surrogatepass")
        body += b"--%s\r\n%s%s\r\n\r\n%s\r\n" % (BOUNDARY, head, file, value)
    return body + b"--%s--\r\n" % BOUNDARY


FORM = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY


def chunked(random: Random, body: bytes) -> bytes:
    """Return a body in chunks of random sizes."""
    pieces = []
    while body:
        size = random.choice((1, 7, 100, 4000))
        pieces.append(b"%x\r\n%s\r\n" % (len(body[:size]), body[:size]))
        body = body[size:]
    return b"".join(pieces) + b"0\r\n\r\n"


def shoot_file(random: Random, paths: Sequence[str]) -> Shot:
    """Return a damaged photo, properly sent: as the body, in chunks, or in a form."""
    kind, data = random.choice(list(seeds().items()))
    data = mutate(random, data) if random.random() < 0.95 else data
    target = random.choice([*UPLOADS, *(f"{path}?text=a+dog" for path in paths if path == CORRECTIONS)])
    way = random.randrange(3)
    if way == 0:
        sent = request_bytes(b"POST", target, data)
    elif way == 1:
        sent = request_bytes(b"POST", target, chunked(random, data), [b"Transfer-Encoding: chunked"])
    else:
        sent = request_bytes(b"POST", target, form_body([("image", data)]), [FORM])
    return Shot(f"file: {kind.split()[0]}", sent, proper=True)


def shoot_form(random: Random, paths: Sequence[str]) -> Shot:
    """Return a damaged form."""
    parts = [("image", seeds()["jpeg"]), (random.choice(("beam_size", "seed", "x")), b"1")]
    body = mutate(random, form_body(parts * random.choice((1, 1, 2, 40))))
    return Shot("form", request_bytes(b"POST", random.choice(paths), body, [FORM]), proper=True)


def shoot_fields(random: Random, paths: Sequence[str]) -> Shot:
    """Return a good photo with parameters that no one would send."""
    names = (
        "beam_size",
        "num_captions",
        "beginning",
        "text",
        "temperature",
        "seed",
        "top_p",
        "search",
        "x\0",
        "\u202e",
    )
    pairs = [(random.choice(names), random.choice(NASTY)) for _ in range(random.randrange(1, 4))]
    target, photo = random.choice(paths), seeds()["png"]
    if random.random() < 0.5:
        parts = [("image", photo), *((name, value.encode() + random.randbytes(2)) for name, value in pairs)]
        return Shot("fields", request_bytes(b"POST", target, form_body(parts), [FORM]), proper=True)
    query = "&".join(f"{quote(name)}={quote(value)}{random.choice(('', '%ff', '%', '%zz'))}" for name, value in pairs)
    return Shot("fields", request_bytes(b"POST", f"{target}?{query}", photo), proper=True)


def shoot_json(random: Random, paths: Sequence[str]) -> Shot:
    """Return JSON that is odd, damaged or endlessly deep."""
    value: object = random.choice((*NASTY, None, 1e308, -1, [], {}, [[]], {"inputs": []}))
    names = ("inputs", "image", "images", "parameters", "options", "id", "data", "url", "messages", "__proto__")
    body = json.dumps({random.choice(names): value for _ in range(3)}).encode()
    deep = random.choice((b"[", b'{"a":', b'{"inputs":[')) * 20_000
    body = random.choice((body, mutate(random, body), deep, b"\xff\xfe" + body, b"NaN", b'"\\ud800"', b"1" * 5000))
    return Shot("json", request_bytes(b"POST", random.choice(paths), body, [b"Content-Type: application/json"]), True)


def shoot_encoded(random: Random, paths: Sequence[str]) -> Shot:
    """Return a photo, mostly damaged, as base64 within JSON, as many interfaces take it, perhaps with an odd option."""
    data = random.choice(list(seeds().values()))
    data = mutate(random, data) if random.random() < 0.7 else data
    text = base64.b64encode(data).decode()[random.choice((0, 0, 0, 1)) :]
    extra: object = random.choice((*NASTY, 1, {}, [], None))
    tensor = {
        "name": "image",
        "shape": random.choice(([1], [1], [2], [-1], extra)),
        "datatype": "BYTES",
        "data": [text],
    }
    bodies: tuple[dict[str, object], ...] = (
        {"inputs": text, "parameters": random.choice(({}, {random.choice(("max_new_tokens", "x")): extra}))},
        {"inputs": [tensor], "id": random.choice(("1", extra))},
        {random.choice(("image", "images", "data")): random.choice((text, [text, text], [{"data": text}], extra))},
    )
    path = random.choice([path for path in paths if path.endswith(TAKING)] or paths)
    body = odd_prompt(random, path, text, extra) if path.endswith(prompts.PATHS) else random.choice(bodies)
    sent = request_bytes(b"POST", path, json.dumps(body).encode(), [b"Content-Type: application/json"])
    return Shot("encoded", sent, proper=True)


def shoot_large(random: Random, paths: Sequence[str]) -> Shot:
    """Return a photo that is much too large, or a field that is."""
    data, field = seeds()["bmp"] + bytes(random.choice((10**6, 2 * 10**6))), b"a" * random.choice((10**5, 10**6))
    body = form_body([("image", data)] if random.random() < 0.5 else [("image", seeds()["gif"]), ("text", field)])
    return Shot("large", request_bytes(b"POST", random.choice(paths), body, [FORM]), proper=True)


def shoot_target(random: Random, paths: Sequence[str]) -> Shot:
    """Return an address that is odd, with a method that may be."""
    path = random.choice(paths)
    nasty = quote(random.choice(NASTY), safe="/")
    odd: tuple[str, ...] = (
        path + "/",
        path + "%00",
        "//" + path,
        path + "/../..",
        f"/static/{nasty}",
        "/" + nasty,
        path + "?" + nasty,
    )
    odd += ("http://other.example" + path, "/static/%2e%2e/%2e%2e/app.py", "/static/..%5capp.py", "*", path + ";a=b")
    return Shot("target", request_bytes(random.choice(METHODS), random.choice(odd)), proper=False)


def shoot_header(random: Random, paths: Sequence[str]) -> Shot:
    """Return a request with headers that are wrong or rare."""
    headers = random.sample(HEADERS, random.choice((1, 1, 2, 3)))
    body = random.choice((b"", seeds()["jpeg"], b"5\r\nab", b"zz\r\n", b"ffffffffffffffff1\r\na\r\n0\r\n\r\n"))
    return Shot("header", request_bytes(random.choice(METHODS[:4]), random.choice(paths), body, headers), proper=False)


def shoot_bytes(random: Random, paths: Sequence[str]) -> Shot:
    """Return a whole request that is damaged anywhere, or noise."""
    body = form_body([("image", seeds()["webp"])])
    headers = random.choice(([FORM], [FORM, b"Transfer-Encoding: chunked"]))
    whole = request_bytes(b"POST", random.choice(paths), chunked(random, body) if len(headers) > 1 else body, headers)
    return Shot("bytes", random.choice((mutate(random, whole), random.randbytes(300))), proper=False)


REQUESTS = (shoot_form, shoot_fields, shoot_json, shoot_encoded, shoot_large, shoot_target, shoot_header, shoot_bytes)


def shot(seed: int, number: int, paths: Sequence[str] = PATHS) -> Shot:
    """Return a shot, the same for the same numbers and paths."""
    random = Random(f"{seed} {number}")  # noqa: S311 - no secret is made
    shoot = shoot_file if number % 2 == 0 else random.choice(REQUESTS)
    name = random.choice(NAMES)
    return shoot(random, [re.sub(r"<[^>]+>|\{[^}]+\}", name, path) for path in paths])
