"""Photos from URLs: of listed hosts alone, and never from inside the operator's own network.

The host's name is resolved once, and the connection is made to an address that was checked, so that a name cannot
change its mind in between. One that does not answer leaves time for the next. Redirects are refused, no credentials
are sent, and bytes and time are limited.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, urlsplit

from captioner.errors import ConfigError, ImageTooLargeError
from service.concurrency import Alarm, Slots, pausing
from service.errors import BusyError, FetchError
from service.settings import Settings
from service.web.requests import Upload

PORTS = {"https": 443, "http": 80}
MAX_URL = 2000  # characters
MAX_FETCHES = 4  # at the same time, so that slow hosts cannot take all threads
MAX_ADDRESSES = 8  # of a host that are tried
MEBIBYTE = 2**20
UNICAST = ipaddress.ip_network("2000::/3")  # all that is routed of IPv6
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # its addresses hold one of IPv4, which may be private

Resolve = Callable[[str, int], Sequence[str]]


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet: not private, loopback, link-local or reserved."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip in NAT64 and ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if inner:
            return is_public(str(inner))
        if ip.teredo or ip not in UNICAST:
            return False
    return ip.is_global and not ip.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Fetcher:
    """Fetches photos from listed hosts.

    Args:
        hosts: The hosts, in lower case, as ``host`` or ``host:port``; without any, nothing is fetched.
        schemes: ``https``, or also ``http``.
        max_bytes: Most bytes of a photo.
        seconds: Most seconds that all of it may take.
        resolve: Looks up the addresses of a host.
        may_reach: Whether an address may be connected to.

    Raises:
        ConfigError: If a scheme is neither of the two.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        schemes: Sequence[str],
        max_bytes: int,
        seconds: float,
        resolve: Resolve = resolve,
        may_reach: Callable[[str], bool] = is_public,
    ) -> None:
        unknown = [scheme for scheme in schemes if scheme not in PORTS]
        if unknown or not schemes:
            raise ConfigError(f"url_schemes is {','.join(schemes)!r}; it must be https or https,http")
        self._hosts = frozenset(hosts)
        self._schemes = tuple(schemes)
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._resolve = resolve
        self._may_reach = may_reach
        self._places = Slots(MAX_FETCHES)
        self._lookups = Slots(MAX_FETCHES)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Fetcher":
        """Return the fetcher that the operator wants."""
        hosts, schemes = split_list(settings.url_hosts.lower()), split_list(settings.url_schemes)
        return cls(hosts, schemes, settings.max_upload_bytes, settings.url_seconds)

    def photo(self, upload: Upload) -> bytes:
        """Return the one photo that a request carries, or that is at its URL; it raises what :meth:`fetch` does."""
        return upload.photos[0] if upload.url is None else self.fetch(upload.url)

    def fetch(self, url: str) -> bytes:
        """Return the bytes at a URL.

        Raises:
            FetchError: If the URL is not allowed, or nothing comes of it.
            ImageTooLargeError: If there are too many bytes.
            BusyError: If too many photos are being fetched already.
        """
        parts = self._check(url)
        if not self._places.acquire():
            raise BusyError(f"{MAX_FETCHES} photos are being fetched already; try again in a moment")
        try:
            with pausing():
                return self._get(parts)
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(
                f"{parts.hostname} did not give the photo ({type(error).__name__}); it has {self._seconds:g} s"
            ) from None
        finally:
            self._places.release()

    def _check(self, url: str) -> SplitResult:
        if not self._hosts:
            raise FetchError("photos are not fetched from URLs here; send the photo itself")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise FetchError("url is not a URL; it must look like https://example.org/photo.jpg") from None
        if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise FetchError(f"url must have at most {MAX_URL} characters, all of them printable ASCII")
        if parts.scheme not in self._schemes:
            raise FetchError(f"url must start with {' or '.join(f'{scheme}://' for scheme in self._schemes)}")
        place = parts.hostname if port in (None, PORTS[parts.scheme]) else f"{parts.hostname}:{port}"
        if place not in self._hosts:
            raise FetchError(f"url must be at one of the hosts {', '.join(sorted(self._hosts))}")
        if parts.username is not None:
            raise FetchError("url must have no user and no password")
        return parts

    def _get(self, parts: SplitResult) -> bytes:
        deadline = time.monotonic() + self._seconds  # of all: looking up, connecting, encrypting, reading
        with self._connect(parts, deadline) as (connection, alarm):
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"Host": _authority(parts), "Accept": "image/*", "Accept-Encoding": "identity"}
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                redirect = "; redirects are not followed" if 300 <= response.status < 400 else ""
                raise FetchError(f"{parts.hostname} answered with status {response.status}{redirect}")
            data = response.read(self._max_bytes + 1)
            if alarm.rang:
                raise TimeoutError
        if len(data) > self._max_bytes:
            allowed = self._max_bytes / MEBIBYTE
            raise ImageTooLargeError(f"the photo at the URL is too large; at most {allowed:.2f} MiB are allowed")
        return data

    @contextmanager
    def _connect(self, parts: SplitResult, deadline: float) -> Iterator[tuple[http.client.HTTPConnection, Alarm]]:
        """Connect to an address that was checked, and hang up when the time is over, however slowly bytes trickle.

        Returns:
            The connection, and what rings when the time is over.
        """
        host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
        addresses = self._look_up(host, port, deadline)
        if not addresses or not all(map(self._may_reach, addresses)):
            raise FetchError(f"{host} has an address that is not public, which is not fetched from")
        line = _first_to_answer(addresses, port, deadline)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            line = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = line
        try:
            with Alarm(deadline - time.monotonic(), lambda: _hang_up(line)) as alarm:
                line.settimeout(_left(deadline))
                if isinstance(line, ssl.SSLSocket):
                    line.do_handshake()
                yield connection, alarm
        finally:
            connection.close()
            line.close()

    def _look_up(self, host: str, port: int, deadline: float) -> list[str]:
        """Return the addresses of a host, each once, in the order in which the resolver likes them.

        A resolver cannot be told to stop. So it runs in a thread of its own, of which there are only so many.
        """
        if not self._lookups.acquire(_left(deadline)):
            raise TimeoutError
        answer = self._lookups.call(lambda: self._resolve(host, port), "resolving")
        return list(dict.fromkeys(answer.result(_left(deadline))))


def _first_to_answer(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """Connect to the first address that lets us, each with its share of the time that is left."""
    for tried, address in enumerate(addresses[:MAX_ADDRESSES]):
        share = _left(deadline) / (min(len(addresses), MAX_ADDRESSES) - tried)
        try:
            return socket.create_connection((address, port), timeout=share)
        except OSError as error:
            last = error
    raise last


def _left(deadline: float) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: If there are none.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _authority(parts: SplitResult) -> str:
    """Return what ``Host`` says: no port if it is the scheme's own, with which some servers do not know their name."""
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    return host if parts.port in (None, PORTS[parts.scheme]) else f"{host}:{parts.port}"


def split_list(text: str) -> list[str]:
    """Return the parts of a list that is written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        socket.socket.shutdown(line, socket.SHUT_RDWR)  # that of TLS would forget its keys under the reader's hands
