"""What we use of other packages that they do not promise: an upgrade that changes it fails here, and says what.

`docs/lab/decisions.md` says why each of these is used at all.
"""

import argparse
import ast
import inspect
import logging
import pkgutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask_limiter import Limiter
from packaging.requirements import Requirement
from waitress import create_server
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("captioner", "service", "training")
NAMES = {  # what is imported, called or overridden, and the parameters that it takes; None where it takes none
    "waitress:create_server": "application, map=, _start=, _sock=, _dispatcher=, **kw",
    "waitress:wasyncore.readwrite": "obj, flags",
    "waitress:wasyncore.close_all": "map=, ignore_all=",
    "waitress:wasyncore.dispatcher.close": "self",
    "waitress.channel:HTTPChannel.__init__": "self, server, sock, addr, adj, map=",
    "waitress.channel:HTTPChannel.received": "self, data",
    "waitress.channel:HTTPChannel.task_class": None,
    "waitress.channel:HTTPChannel.parser_class": None,
    "waitress.parser:HTTPRequestParser.__init__": "self, adj",
    "waitress.parser:HTTPRequestParser.received": "self, data",
    "waitress.server:BaseWSGIServer.channel_class": None,
    "waitress.server:BaseWSGIServer.asyncore": None,
    "waitress.server:MultiSocketServer.asyncore": None,
    "waitress.task:WSGITask.get_environment": "self",
    "waitress.task:ThreadedTaskDispatcher.__init__": "self",
    "waitress.task:ThreadedTaskDispatcher.add_task": "self, task",
    "waitress.task:ThreadedTaskDispatcher.set_thread_count": "self, count",
    "waitress.task:ThreadedTaskDispatcher.shutdown": "self, cancel_pending=, timeout=",
    "werkzeug.formparser:FormDataParser.parse": "self, stream, mimetype, content_length, options=",
    "werkzeug.wrappers:Request.form_data_parser_class": None,
    "werkzeug.wrappers:Request.make_form_data_parser": "self",
    "werkzeug.wrappers:Request._get_file_stream": (
        "self, total_content_length, content_type, filename=, content_length="
    ),
    "PIL.JpegImagePlugin:JpegImageFile._read_dpi_from_exif": "self",
    "PIL.AvifImagePlugin:SUPPORTED": None,
    "torchvision.models.vgg:make_layers": "cfg, batch_norm=",
    "torchvision.models.vgg:cfgs": None,
    "torch.distributed.rendezvous:rendezvous": "url, rank=, world_size=, **kwargs",
    "torch.distributed.distributed_c10d:PrefixStore": None,
    "pycocoevalcap.cider.cider_scorer:precook": "s, n=, out=",
    "pycocoevalcap.bleu.bleu_scorer:BleuScorer.__init__": "self, test=, refs=, n=, special_reflen=",
}
FIELDS = {"_dispatcher", "_fileno", "_map", "_option_string_actions", "_subparsers"}  # tested below, one by one
PUBLIC = {"_exit"}  # documented, of os
DERIVED_FROM = ("PIL.", "waitress.", "werkzeug.formparser", "werkzeug.wrappers")
OVERRIDDEN = {
    "JpegImageFile": {"_read_dpi_from_exif"},
    "HTTPChannel": {"task_class", "parser_class", "received"},
    "HTTPRequestParser": set(),
    "WSGITask": {"get_environment"},
    "ThreadedTaskDispatcher": {"add_task"},
    "FormDataParser": {"parse"},
    "Request": {"form_data_parser_class", "make_form_data_parser", "_get_file_stream"},
}
MODULES = (  # of which no word is promised
    "waitress",
    "torchvision.models.vgg",
    "torch.distributed.rendezvous",
    "torch.distributed.distributed_c10d",
    "pycocoevalcap.cider.cider_scorer",
    "pycocoevalcap.bleu.bleu_scorer",
)
BOUNDED = {"waitress", "werkzeug", "pillow", "pycocoevalcap"}  # whose next major version may not be installed unseen


def find(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        assert hasattr(found, part), f"{module} {version(module.split('.')[0])} has no {path} any more"
        found = getattr(found, part)
    return found


def parameters_of(function: Any) -> str:
    """Return the parameters by name, those that may be left out with an equals sign, without types and values."""
    marks: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(
        f"{marks.get(one.kind, '')}{one.name}{'' if one.default is inspect.Parameter.empty else '='}"
        for one in inspect.signature(function).parameters.values()
    )


@pytest.mark.parametrize(("name", "parameters"), NAMES.items())
def test_what_is_used_is_there(name: str, parameters: str | None) -> None:
    found = find(name)
    if parameters is not None:
        assert parameters_of(found) == parameters, f"{name} takes other parameters; see who uses it"


def trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def names_of_ours(node: ast.AST) -> set[str]:
    """Return the names that a node gives to something of ours."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return {name}
    return set()


def names_used(node: ast.AST) -> set[str]:
    match node:
        case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            return {name}
        case ast.ImportFrom(names=names):
            return {alias.name for alias in names}
    return set()


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_other_private_name_is_used() -> None:
    """Whatever begins with an underscore and is not made by us is somebody else's."""
    nodes = [node for tree in trees() for node in ast.walk(tree)]
    made = set().union(*map(names_of_ours, nodes))
    used = set().union(*map(names_used, nodes))
    assert {name for name in used - made if is_private(name)} == FIELDS | PUBLIC


def derived_classes() -> Iterator[tuple[type, list[type]]]:
    """Return our classes that are derived from what is not promised to stay, each with these bases."""
    for package in PACKAGES[:2]:
        for found in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not found.name.endswith("__main__"):
                for made in vars(import_module(found.name)).values():
                    if isinstance(made, type) and made.__module__ == found.name:
                        yield made, [base for base in made.__mro__ if base.__module__.startswith(DERIVED_FROM)]


def test_what_is_overridden_is_listed_and_nothing_is_by_accident() -> None:
    """A new version may come to have a name that we gave to something of ours."""
    overridden: dict[str, set[str]] = {}
    for made, bases in derived_classes():
        if bases:
            inherited = set().union(*(vars(base) for base in bases))
            names = {name for name in vars(made) if name in inherited and not name.startswith(("__", "_abc_"))}
            overridden.setdefault(bases[0].__name__, set()).update(names)
    assert overridden == OVERRIDDEN


def test_every_import_from_inside_a_package_is_listed() -> None:
    imported = {
        (node.module, alias.name)
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(MODULES)
        for alias in node.names
    }
    listed = {(name.partition(":")[0], name.partition(":")[2].split(".")[0]) for name in NAMES}
    assert imported - listed == set()
    inside = {(module, name) for module, name in listed if module.startswith(MODULES)}
    assert inside - imported == {("waitress.server", "MultiSocketServer")}  # which create_server returns


@contextmanager
def a_channel() -> Iterator[HTTPChannel]:
    here, there = socket.socketpair()
    server = SimpleNamespace(active_channels={}, add_task=lambda _: None)
    channel = HTTPChannel(server, here, ("127.0.0.1", 1), Adjustments(), map={})
    try:
        yield channel
    finally:
        channel.close()
        there.close()


def test_a_channel_has_the_fields_that_are_read() -> None:
    with a_channel() as channel:
        assert (channel.request, channel.requests, channel.total_outbufs_len) == (None, [], 0)
        assert channel.creation_time == channel.last_activity > 0
        assert channel.socket.fileno() == channel._fileno
        assert channel._map == {channel._fileno: channel}
        assert channel.readable()
        assert not channel.writable()
        channel.received(b"POST /v1/captions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        assert isinstance(channel.request, HTTPRequestParser)
        assert not channel.requests
        channel.received(b"56789")
        assert channel.request is None
        assert [request.path for request in channel.requests] == ["/v1/captions"]


@pytest.mark.parametrize(
    ("head", "body", "chunked", "length"),
    [(b"Content-Length: 9", b"1234", False, 9), (b"Transfer-Encoding: chunked", b"4\r\n1234\r\n", True, 0)],
)
def test_a_parser_has_the_fields_that_are_read(head: bytes, body: bytes, chunked: bool, length: int) -> None:
    parser = HTTPRequestParser(Adjustments())
    assert parser.body_rcv is None
    parser.received(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
    parser.received(body)
    receiver: Any = parser.body_rcv
    assert (parser.chunked, parser.content_length, len(receiver)) == (chunked, length, 4)
    assert parser.body_bytes_received == len(body)
    assert receiver.getbuf() is receiver.buf  # in whose place another may be put
    assert receiver.buf.getfile().read() == b"1234"
    for method in ("append", "getfile", "close", "__len__"):
        assert hasattr(receiver.buf, method), f"a buffer of waitress has no {method} any more"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"])
def test_a_server_has_the_fields_that_are_read(listen: str) -> None:
    server = create_server(lambda *_: [], listen=listen, threads=1)
    found = getattr(server, "map", None) or server._map
    listeners = [one for one in found.values() if hasattr(one, "channel_class")]
    try:
        assert len(listeners) == len(listen.split())
        assert all(one.accepting and callable(one.trigger.pull_trigger) for one in listeners)
        addresses = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
        assert [host for host, port in addresses if int(port)] == ["127.0.0.1"] * len(listeners)
        called: list[dict[str, Any]] = []
        server.asyncore = SimpleNamespace(loop=lambda **named: called.append(named))
        server.run()
        assert [set(named) for named in called] == [{"timeout", "map", "use_poll"}]
        assert called[0]["map"] is found
    finally:
        server.task_dispatcher.shutdown(timeout=1)
        for socket_ in list(found.values()):
            socket_.close()


def test_a_dispatcher_has_the_fields_that_are_read() -> None:
    dispatcher = find("waitress.task:ThreadedTaskDispatcher")()
    assert (len(dispatcher.queue), dispatcher.active_count) == (0, 0)
    assert callable(dispatcher.queue.appendleft)
    assert callable(dispatcher.queue_cv.notify)
    with dispatcher.lock:
        assert dispatcher.lock.locked()


def test_the_rate_limiter_logs_under_the_name_that_is_silenced() -> None:
    assert Limiter(lambda: "", app=Flask(__name__), storage_uri="memory://").logger is logging.getLogger(
        "flask-limiter"
    )


def test_a_command_line_parser_has_the_fields_that_are_read() -> None:
    parser = argparse.ArgumentParser()
    assert parser._subparsers is None
    parser.add_subparsers()
    assert parser._subparsers is not None
    assert list(parser._option_string_actions) == ["-h", "--help"]


def test_what_is_used_inside_has_an_upper_bound() -> None:
    text = (ROOT / "requirements-serve.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines += [word for word in extras.split('"') if word.startswith("pycocoevalcap>")]
    bounds = {one.name: one.specifier for one in map(Requirement, lines) if "<" in str(one.specifier)}
    assert set(bounds) == BOUNDED
    for name, allowed in bounds.items():
        assert version(name) in allowed, f"{name} {version(name)} is installed, which has not been looked at"
