from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.commands.arguments import FLAGS, add_decoding, decoding_options, given_decoding, spelled
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError

EXAMPLES: dict[str, Any] = {
    "search": "sample",
    "beam_size": 6,
    "num_captions": 2,
    "max_length": 17,
    "min_length": 3,
    "length_penalty": 0.75,
    "no_repeat_ngram_size": 2,
    "groups": 3,
    "diversity": 1.25,
    "temperature": 0.5,
    "top_k": 9,
    "top_p": 0.9,
    "seed": 2**40,
    "beginning": "a dog",
    "consensus": 0.5,
}
NEEDED = {"diversity": "groups", "temperature": "search", "top_k": "search", "top_p": "search", "seed": "search"}


def parse(arguments: Sequence[str]) -> DecodingOptions:
    parser = ArgumentParser()
    add_decoding(parser)
    return decoding_options(parser.parse_args(arguments))


def written(options: dict[str, Any]) -> list[str]:
    return [f"{spelled(name)}={value}" for name, value in options.items()]


def test_every_field_has_a_flag() -> None:
    assert set(FLAGS) == {field.name for field in fields(DecodingOptions)} == set(EXAMPLES)


def test_without_flags_the_library_decides() -> None:
    assert parse([]) == DecodingOptions()


@pytest.mark.parametrize("name", EXAMPLES)
def test_flags_reach_their_field(name: str) -> None:
    chosen = {other: EXAMPLES[other] for other in (name, NEEDED.get(name, name))}
    assert EXAMPLES[name] != getattr(DecodingOptions(), name)
    found = parse(written(chosen))
    assert found == DecodingOptions(**({"beam_size": found.beam_size} | chosen))


def test_a_field_can_be_left_out() -> None:
    parser = ArgumentParser()
    add_decoding(parser, without={"num_captions"})
    assert "num_captions" not in vars(parser.parse_args([]))
    assert given_decoding(parser.parse_args(["--top-k", "0"])) == {"top_k": 0}


@given(num_captions=st.integers(1, 50), groups=st.integers(1, 7))
def test_the_beam_is_as_wide_as_captions_and_groups_need(num_captions: int, groups: int) -> None:
    wanted = [size for size in range(5, 51) if size >= num_captions and size % groups == 0]
    arguments = written({"num_captions": num_captions, "groups": groups})
    if wanted:
        assert parse(arguments).beam_size == wanted[0]
    else:
        with pytest.raises(OptionError, match="groups"):
            parse(arguments)


def test_a_beam_size_that_is_given_stays() -> None:
    assert parse(written({"beam_size": 9, "num_captions": 2, "groups": 3})).beam_size == 9
    with pytest.raises(OptionError, match="num_captions is 9"):
        parse(written({"beam_size": 3, "num_captions": 9}))
    with pytest.raises(OptionError, match="groups is 2"):
        parse(written({"beam_size": 3, "groups": 2}))


def test_sampling_many_captions_needs_no_beam() -> None:
    assert parse(written({"search": "sample", "num_captions": 20})) == DecodingOptions(search="sample", num_captions=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"num_captions": 51}, "num_captions is 51"),
        ({"groups": 0}, "groups is 0"),
        ({"groups": 51}, "groups is 51"),
        ({"search": "luck"}, "search is 'luck'"),
        ({"seed": 1}, "seed is 1"),
        ({"search": "sample", "groups": 2}, "groups is 2"),
    ],
)
def test_what_the_library_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse(written(options))
