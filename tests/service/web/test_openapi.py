"""The document: valid, complete, equal to the tables of parameters, and kept to by the service."""

import base64
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as examples
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate
from PIL import Image
from playwright.sync_api import Page, expect
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service import Settings, create_app
from service.web.adapters.hugging_face import PARAMETERS
from service.web.kinds import Kind
from service.web.openapi import create_document
from service.web.parameters import CAPTIONS, CLIPS, CORRECTIONS, DECODING, HEATMAPS, SCORES
from tests.support.fakes import FakePredictor

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]
TABLES = {
    "/v1/captions": CAPTIONS,
    "/v1/scores": SCORES,
    "/v1/clips": CLIPS,
    "/v1/corrections": CORRECTIONS,
    "/v1/heatmaps": HEATMAPS,
}
UNDOCUMENTED = {"/", "/favicon.ico", "/docs", "/openapi.json", "/static/<path:filename>"}
WANTED = Settings(corrections=Path("kept"))  # which a document is made of, and no folder
OPERATIONS = [
    (path, method)
    for path, item in create_document(WANTED)["paths"].items()
    for method in item
    if method != "parameters"
]
EXAMPLES, MANY_EXAMPLES = 30, 300  # of each operation, in each mode
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(port=0, max_upload_bytes=2**20, corrections=tmp_path / "kept")


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def operation(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["post"]
    return found


def without_photo(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in schema["properties"].items() if name not in ("image", "url")}


def bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in ("description", "x-default")}


@pytest.mark.parametrize("more", [{}, {"max_images": 1, "beam_size": 2}])
def test_the_document_is_valid(more: dict[str, int]) -> None:
    validate(create_document(Settings(**more)))  # type: ignore[arg-type]


def test_every_route_is_documented_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST", "PUT", "DELETE", "PATCH"}
        if rule.rule not in UNDOCUMENTED
    }
    documented = {
        (path, method) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert documented == served


@pytest.mark.parametrize(("path", "table"), TABLES.items())
def test_query_form_and_json_have_the_table_s_parameters(
    document: dict[str, Any], path: str, table: dict[str, Kind]
) -> None:
    found = operation(document, path)
    content = found["requestBody"]["content"]
    expected = {name: dict(kind.schema) for name, kind in table.items()}
    in_query = {parameter["name"]: parameter["schema"] for parameter in found["parameters"]}
    bodies = [content["multipart/form-data"]["schema"], *content["application/json"]["schema"]["anyOf"]]
    for schemas in (in_query, *map(without_photo, bodies)):
        assert {name: bare(schema) for name, schema in schemas.items()} == expected
        for name, kind in table.items():
            assert schemas[name].get("description", "") == kind.meaning != ""


def test_the_adapters_have_their_tables_parameters(document: dict[str, Any]) -> None:
    json = "application/json"
    face = operation(document, "/hf")["requestBody"]["content"][json]["schema"]["properties"]["parameters"]
    assert set(face["properties"]) - {"generation_parameters", "generate_kwargs"} == set(PARAMETERS)
    path = "/v2/models/{name}/infer"
    infer = operation(document, path)["requestBody"]["content"][json]["schema"]["properties"]["parameters"]
    assert set(infer["properties"]) == {*DECODING, "binary_data_output"}


@pytest.mark.parametrize(("path", "table"), TABLES.items())
def test_the_service_takes_and_refuses_what_the_schemas_do(path: str, table: dict[str, Kind]) -> None:
    """Walk both: at and around every limit, a kind reads a JSON value if and only if its schema allows it."""
    odd: list[Any] = [
        None,
        True,
        False,
        "",
        "true",
        "beam",
        "sample",
        "3",
        "x" * 1000,
        "x" * 1001,
        [],
        {},
        -1,
        0,
        1,
        0.5,
        -0.5,
    ]
    for name, kind in table.items():
        schema = create_document(WANTED)["paths"][path]["post"]["parameters"]
        [schema] = [parameter["schema"] for parameter in schema if parameter["name"] == name]
        limits = [schema.get(key) for key in ("minimum", "maximum", "exclusiveMinimum")]
        around = [limit + step for limit in limits if limit is not None for step in (-1, 0, 1)]
        lengths = [schema[key] + step for key in ("minLength", "maxLength") if key in schema for step in (-1, 0, 1)]
        validator = Draft202012Validator(schema)
        for value in [*odd, *around, *("x" * max(0, length) for length in lengths)]:
            assert reads(kind, value) == validator.is_valid(value), (name, value)


def reads(kind: Kind, value: object) -> bool:
    try:
        kind.read_json(value)
    except ValueError:
        return False
    return True


def test_defaults_are_the_operator_s() -> None:
    parameters = create_document(Settings(beam_size=3, max_length=9))["paths"]["/v1/captions"]["post"]["parameters"]
    defaults = {parameter["name"]: parameter["schema"].get("x-default") for parameter in parameters}
    assert (defaults["beam_size"], defaults["max_length"], defaults["search"]) == (3, 9, "beam")


def test_keys_are_documented_where_they_are_asked_for(tmp_path: Path) -> None:
    assert create_document(Settings())["security"] == []
    document = create_document(Settings(api_keys=tmp_path / "keys"))
    assert document["security"] == [{"header": []}, {"bearer": []}]
    assert document["paths"]["/livez"]["get"]["security"] == []
    validate(document)


def test_an_unchanged_document_is_not_sent_again(client: FlaskClient) -> None:
    etag = client.get("/openapi.json").headers["ETag"]
    assert client.get("/openapi.json", headers={"If-None-Match": etag}).status_code == 304


def some_photos() -> strategies.SearchStrategy[bytes]:
    file = io.BytesIO()
    first, second = (Image.new("RGB", (24, 16), colour) for colour in ((7, 80, 40), (200, 10, 90)))
    first.save(file, "PNG", save_all=True, append_images=[second], duration=700)  # a photo, and a clip
    whole = file.getvalue()
    return strategies.sampled_from([whole] * 6 + [whole[:50], b"no image"]) | strategies.binary(max_size=50)


schemathesis.openapi.format("binary", some_photos())
schemathesis.openapi.format("byte", some_photos().map(lambda data: base64.b64encode(data).decode()))
schemathesis.openapi.format("uri", strategies.sampled_from(["https://example.org/a.jpg", "file:///etc/passwd"]))


def typed_only(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with JSON bodies alone, where there are any: schemathesis stumbles over spoilt files."""
    for item in document["paths"].values():
        content = item.get("post", {}).get("requestBody", {}).get("content", {})
        if "application/json" in content:
            item["post"]["requestBody"]["content"] = {"application/json": content["application/json"]}
    return document


def statuses_of(cases: strategies.SearchStrategy[Case[Any]], count: int) -> Counter[int]:
    """Send requests, hold the answers to the document, and return how often each status came."""
    statuses: Counter[int] = Counter()

    @examples(
        max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases)
    def ask(case: Case[Any]) -> None:
        response = case.call()
        statuses[response.status_code] += 1
        assert response.status_code < 500 or response.status_code in (503, 504)
        case.validate_response(response, checks=CHECKS)

    ask()
    return statuses


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_documented_whatever_is_asked(
    path: str, method: str, mode: GenerationMode, tmp_path: Path
) -> None:
    app = create_app(FakePredictor(), Settings(cache_bytes=2**20, corrections=tmp_path))
    app.add_url_rule("/typed.json", view_func=lambda: typed_only(create_document(WANTED)))
    address = "/openapi.json" if mode is GenerationMode.POSITIVE else "/typed.json"
    of_path: dict[str, Any] = {"path_parameters": {"name": "fake", "version": "1.2.3"}} if "{name}" in path else {}
    if path == "/api/show" and mode is GenerationMode.POSITIVE:  # which names the model in its body
        of_path = {"body": {"model": "fake"}}
    operation = schemathesis.openapi.from_wsgi(address, app)[path][method]
    cases = operation.as_strategy(generation_mode=mode, **of_path)
    try:
        statuses = statuses_of(cases, EXAMPLES)
    except Unsatisfiable:  # it takes nothing that could be wrong
        assert mode is GenerationMode.NEGATIVE
        assert method in {"get", "delete"}
        return
    wanted = 404 if method == "delete" else 200
    if not statuses[wanted] and mode is GenerationMode.POSITIVE:  # few draws may all miss what is right
        statuses = statuses_of(cases, MANY_EXAMPLES)
    assert statuses[wanted] or mode is GenerationMode.NEGATIVE, statuses


@pytest.mark.browser
def test_the_reference_is_a_page_of_our_own(open_page: OpenPage, document: dict[str, Any]) -> None:
    page = open_page("/docs")
    expect(page.locator("#operations section")).to_have_count(
        sum(len(set(item) - {"parameters"}) for item in document["paths"].values())
    )
    captions = page.locator("section#caption")
    expect(captions.locator("tbody tr")).to_have_count(len(CAPTIONS))
    row = captions.locator("tr", has=page.locator("code", has_text=re.compile("^beam_size$"))).first
    expect(row).to_contain_text("integer, 1 to 50")
    expect(captions).to_contain_text("0 to 2^63 \u2212 1")  # which JavaScript would round
    expect(captions).to_contain_text("curl -F image=@photo.jpg")
    page.get_by_role("link", name="POST /v1/heatmaps").click()
    expect(page.locator("section#draw h3")).to_be_in_viewport()
