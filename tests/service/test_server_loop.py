"""Which sockets the web server serves next, when many are ready."""

from typing import Any, cast

import pytest
from waitress.channel import HTTPChannel

from service.server import SHARE, Passes, choose


class Channel:
    """What is looked at of a waitress channel."""

    def __init__(self, created: float, active: float | None = None, request: object = None) -> None:
        self.creation_time = created
        self.last_activity = created if active is None else active
        self.request = request


def chosen(channels: list[Channel]) -> list[Channel]:
    return cast("list[Channel]", choose(cast("list[HTTPChannel]", channels)))


def test_a_few_are_all_served() -> None:
    channels = [Channel(number) for number in range(2 * SHARE)]
    assert set(chosen(channels)) == set(channels)
    assert chosen([]) == []


def test_who_has_just_come_is_served_at_once() -> None:
    uploads = [Channel(created=1, active=2 + number, request="half of it") for number in range(100)]
    waiting = [Channel(created=number) for number in range(100)]
    newcomer = Channel(created=1000)
    found = chosen([*uploads, *waiting, newcomer])
    assert found[0] is newcomer
    assert len(found) == len(set(found)) == 2 * SHARE


def test_who_keeps_a_connection_open_is_served_before_those_who_keep_it_busy() -> None:
    busy = [Channel(created=number, active=1000 + number, request="half of it") for number in range(100)]
    newcomers = [Channel(created=2000 + number) for number in range(100)]
    prober = Channel(created=5, active=900)
    assert prober in chosen([*newcomers, *busy, prober])


def test_nobody_starves_while_others_keep_coming() -> None:
    """A model of the loop: each pass serves its choice, and half as many new connections come as it can serve."""
    channels = [Channel(created=number, request=None if number % 3 else "half of it") for number in range(60)]
    first = set(channels)
    for now in range(100, 100 + 60):
        for channel in chosen(channels):
            first.discard(channel)
            channel.last_activity, channel.request = now, "half of it"
        channels += [Channel(created=now) for _ in range(SHARE)]
    assert not first


def test_only_poll_is_known() -> None:
    sockets: dict[int, Any] = {}
    Passes.loop(1, sockets)  # which is over at once
    with pytest.raises(ValueError, match="poll"):
        Passes.loop(1, sockets, use_poll=False)
