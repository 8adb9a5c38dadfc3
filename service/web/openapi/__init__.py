"""The OpenAPI document, made from the tables by which requests are read, so that the two cannot disagree."""

from service.web.openapi.document import create_document

__all__ = ["create_document"]
