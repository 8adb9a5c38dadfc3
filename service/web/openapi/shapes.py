"""JSON Schemas, in fewer words."""

from collections.abc import Mapping
from typing import Any

from service.web.parameters import Kind

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
PHOTO_BYTES: Schema = {"type": "string", "format": "binary", "description": "the bytes of an image file"}
PHOTO_BASE64: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "format": "byte",
    "description": "the bytes of an image file as base64",
}


def one(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema, **more: Any) -> Schema:
    """Return a list of something."""
    return {"type": "array", "items": item, **more}


def maybe(schema: Schema) -> Schema:
    """Return something, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def thing(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return an object with these fields and no others."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def only(word: str) -> Schema:
    """Return the one word that a text may be: as an enumeration, since generators of clients stumble over constants."""
    return {"type": "string", "enum": [word]}


def field(kind: Kind, default: Any = None) -> Schema:
    """Return the schema of a parameter.

    What holds without it stands there as ``x-default``. JSON Schema's ``default`` would be sent by the clients that are
    made from the document, in the query and in the body at once; and it means something else than to send nothing: a
    beam that is asked for does not widen to hold more captions.
    """
    schema = dict(kind.schema) | ({"description": kind.meaning} if kind.meaning else {})
    return schema if default is None else schema | {"x-default": default}


def fields(table: Mapping[str, Kind], defaults: Mapping[str, Any]) -> dict[str, Schema]:
    """Return the schemas of a table of parameters."""
    return {name: field(kind, defaults.get(name)) for name, kind in table.items()}


def query(table: Mapping[str, Kind], defaults: Mapping[str, Any]) -> list[Schema]:
    """Return a table of parameters as those of a query, where none must stand, since all may come in the body."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": kind.meaning,
            "schema": field(kind, defaults.get(name)),
        }
        for name, kind in table.items()
    ]
