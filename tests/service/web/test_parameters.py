"""The parameters of POST /v1/captions: each reaches the search, and each is refused with words that help."""

import io
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from flask.testing import FlaskClient

from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH, MAX_SEED, DecodingOptions
from captioner.errors import OptionError
from service import Settings, create_app
from service.web.parameters import DECODING, decoding_options
from tests.support.fakes import STRANGE, Recorder

MakePhoto = Callable[..., bytes]
URL = "/v1/captions"
WIDTH, LENGTH = 4, 12  # the operator's defaults in these tests, which are not the library's
GIVEN: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({"beam_size": "1"}, {"beam_size": 1}),
    ({"max_length": "200"}, {"max_length": 200}),
    ({"min_length": "12"}, {"min_length": 12}),
    ({"length_penalty": "0"}, {"length_penalty": 0.0}),
    ({"length_penalty": ".75"}, {"length_penalty": 0.75}),
    ({"no_repeat_ngram_size": "3"}, {"no_repeat_ngram_size": 3}),
    ({"beginning": "a dog, « où »"}, {"beginning": "a dog, « où »"}),
    ({"consensus": "0"}, {"consensus": 0.0}),
    ({"num_captions": "3"}, {"num_captions": 3}),
    ({"num_captions": "9"}, {"num_captions": 9, "beam_size": 9}),
    ({"num_captions": "2", "beam_size": "2"}, {"num_captions": 2, "beam_size": 2}),
    ({"search": "beam", "groups": "2", "diversity": "1.5"}, {"groups": 2, "diversity": 1.5}),
    ({"groups": "3"}, {"groups": 3, "beam_size": 6}),
    ({"groups": "3", "num_captions": "7"}, {"groups": 3, "num_captions": 7, "beam_size": 9}),
    ({"groups": "20", "num_captions": "40"}, {"groups": 20, "num_captions": 40, "beam_size": 40}),
    ({"search": "sample"}, {"search": "sample", "beam_size": 5}),
    (
        {"search": "sample", "temperature": "0.5", "top_k": "9", "top_p": "1.0", "seed": str(MAX_SEED)},
        {"search": "sample", "beam_size": 5, "temperature": 0.5, "top_k": 9, "top_p": 1.0, "seed": MAX_SEED},
    ),
    ({"search": "sample", "num_captions": "50"}, {"search": "sample", "beam_size": 5, "num_captions": 50}),
]


@pytest.mark.parametrize(("given", "expected"), GIVEN)
def test_options_come_from_query_or_form(photo: MakePhoto, given: dict[str, str], expected: dict[str, Any]) -> None:
    recorder = Recorder()
    client = create_app(recorder, Settings(beam_size=WIDTH, max_length=LENGTH)).test_client()
    form = {"image": (io.BytesIO(photo()), "a.png"), **given}
    answers = [client.post(URL, query_string=given, data=photo()), client.post(URL, data=form)]
    assert [answer.status_code for answer in answers] == [200, 200]
    options = DecodingOptions(**{"beam_size": WIDTH, "max_length": LENGTH} | expected)
    assert recorder.options == [options, options]
    assert len(answers[0].get_json()["captions"]) == options.num_captions


def test_every_option_of_the_library_can_be_given() -> None:
    assert set(DECODING) == {field.name for field in fields(DecodingOptions)}
    assert {name for given, _ in GIVEN for name in given} == set(DECODING)


@pytest.mark.parametrize("groups", range(1, MAX_BEAM_SIZE + 1))
@pytest.mark.parametrize("num_captions", [1, 7, 25])
def test_a_beam_that_nobody_asked_for_fits_where_any_does(groups: int, num_captions: int) -> None:
    asked = {"groups": groups, "num_captions": num_captions}
    options = decoding_options(asked, DecodingOptions(beam_size=WIDTH))
    fitting = [beam for beam in range(max(WIDTH, num_captions), MAX_BEAM_SIZE + 1) if beam % groups == 0]
    assert options.beam_size == fitting[0]


def test_captions_that_fit_into_no_beam_are_to_blame_themselves() -> None:
    with pytest.raises(OptionError, match="num_captions is 50; it must be between 1 and 48"):
        decoding_options({"groups": 48, "num_captions": 50}, DecodingOptions())


@pytest.mark.parametrize("name", [name for name in DECODING if name not in ("search", "beginning")])
def test_the_table_s_limits_are_the_library_s(name: str) -> None:
    def library_takes(value: float) -> bool:
        search = "sample" if name in ("temperature", "top_k", "top_p", "seed") else "beam"
        roomy: dict[str, Any] = {} if search == "sample" else {"beam_size": MAX_BEAM_SIZE}
        roomy |= {"groups": 2} if name == "diversity" else {}
        options = {"max_length": MAX_LENGTH, "search": search, **roomy, name: value}
        try:
            DecodingOptions(**options)
        except OptionError:
            return False
        return True

    def service_takes(value: float) -> bool:
        try:
            DECODING[name].read(str(value))
        except ValueError:
            return False
        return True

    sizes = [0, 1, 2, 10, 11, 50, 100, 200, 201, 10**6, MAX_SEED, MAX_SEED + 1]
    values = [value for value in sizes if name not in ("groups", "beam_size") or value in (0, 1, 2, 10, 50, 100)]
    if name == "top_k":
        values = values[:-2]  # the library knows no most
    assert [service_takes(value) for value in values] == [library_takes(value) for value in values]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"beam": "3"}, ("'beam' is not a parameter", "beam_size", "num_captions", "activations")),
        ({"text": "a dog"}, ("'text' is not a parameter",)),
        ({"beam_size": "wide"}, ("beam_size is 'wide'", "a whole number from 1 to 50")),
        ({"beam_size": ""}, ("beam_size is ''", "1 to 50")),
        ({"beam_size": "0"}, ("beam_size is '0'", "1 to 50")),
        ({"beam_size": "51"}, ("beam_size is '51'", "1 to 50")),
        ({"beam_size": "1_0"}, ("beam_size is '1_0'",)),
        ({"beam_size": "٣"}, ("beam_size", "whole number")),
        ({"beam_size": "3.0"}, ("beam_size is '3.0'", "whole number")),
        ({"beam_size": ["3", "4"]}, ("beam_size is given 2 times",)),
        ({"max_length": "201"}, ("max_length is '201'", "1 to 200")),
        ({"max_length": "9" * 5000}, ("max_length", "1 to 200")),
        ({"min_length": "-1"}, ("min_length is '-1'", "0 to 200")),
        ({"min_length": "21"}, ("min_length is 21", "between 0 and 20")),
        ({"num_captions": "60"}, ("num_captions is '60'", "1 to 50")),
        ({"num_captions": "4", "beam_size": "3"}, ("num_captions is 4", "between 1 and 3", "beam size")),
        ({"groups": "0"}, ("groups is '0'", "1 to 50")),
        ({"groups": "2", "beam_size": "5"}, ("groups is 2", "beam size", "5")),
        ({"search": "greedy"}, ("search is 'greedy'", "beam or sample")),
        ({"search": "Beam"}, ("search is 'Beam'",)),
        ({"search": "sample", "groups": "2"}, ("groups is 2", "'sample'")),
        ({"search": "sample", "beam_size": "4"}, ("beam_size is 4", "'sample'")),
        ({"temperature": "0.5"}, ("temperature is 0.5", "'beam'")),
        ({"search": "sample", "temperature": "0"}, ("temperature is '0'", "above 0, to 10")),
        ({"search": "sample", "temperature": "nan"}, ("temperature is 'nan'", "above 0, to 10")),
        ({"search": "sample", "top_p": "1.01"}, ("top_p is '1.01'", "above 0, to 1")),
        ({"search": "sample", "top_k": "1000001"}, ("top_k is '1000001'", "0 to 1000000")),
        ({"search": "sample", "seed": str(MAX_SEED + 1)}, ("seed is '9223372036854775808'", f"0 to {MAX_SEED}")),
        ({"search": "sample", "seed": "9" * 30}, ("seed", f"0 to {MAX_SEED}")),
        ({"length_penalty": "inf"}, ("length_penalty is 'inf'", "a number from 0 to 2")),
        ({"length_penalty": "-0.5"}, ("length_penalty is '-0.5'", "0 to 2")),
        ({"length_penalty": "0,5"}, ("length_penalty is '0,5'", "0 to 2")),
        ({"length_penalty": "."}, ("length_penalty is '.'", "0 to 2")),
        ({"groups": "5", "diversity": "10.5"}, ("diversity is '10.5'", "0 to 10")),
        ({"no_repeat_ngram_size": "11"}, ("no_repeat_ngram_size is '11'", "0 to 10")),
        ({"beginning": "a " * 101}, ("beginning is 'a a", "up to 200 characters")),
        ({"beginning": f"a {STRANGE}"}, ("beginning", STRANGE)),
        ({"activations": "yes"}, ("activations is 'yes'", "true or false")),
        ({"activations": "true", "num_captions": "11"}, ("11 times 20", "activations", "at most 200")),
    ],
)
def test_what_does_not_fit_is_explained(
    client: FlaskClient, photo: MakePhoto, query: dict[str, Any], words: tuple[str, ...]
) -> None:
    form = {"image": (io.BytesIO(photo()), "a.png"), **query}
    for response in (client.post(URL, data=photo(), query_string=query), client.post(URL, data=form)):
        problem = response.get_json()
        assert (response.status_code, problem["type"]) == (422, "urn:captioner:problem:option")
        assert len(problem["detail"]) < 300
        for word in words:
            assert word in problem["detail"]


def test_an_option_given_in_query_and_form(client: FlaskClient, photo: MakePhoto) -> None:
    form = {"image": (io.BytesIO(photo()), "a.png"), "beam_size": "3"}
    response = client.post(URL + "?beam_size=3", data=form)
    assert response.status_code == 422
    assert "given 2 times" in response.get_json()["detail"]


@pytest.mark.parametrize("kind", ["temperature", "top_p"])
def test_what_is_just_above_zero_is_above_zero(kind: str) -> None:
    assert DECODING[kind].read("0.0000000000000000001") == pytest.approx(1e-19)
    with pytest.raises(ValueError, match="0"):
        DECODING[kind].read("0.0")
    assert math.isfinite(DECODING[kind].read("1"))
