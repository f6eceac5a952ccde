"""How the operator API describes itself (OpenAPI 3.1), completed by what the framework cannot see.

Handlers read their bodies themselves, to bound them in time and size and to name wrong fields; what they
expect is said by `body` in their options, and whether they answer `201` besides `200` by `creates`. Errors
are problem documents on every route.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Request, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

from edgewright import __version__
from edgewright.protocol.media_types import JSON, PROBLEM, YAML

GZIP = "application/gzip"
_FILES = {
    GZIP: {"type": "string", "format": "binary"},
    YAML: {"type": "string", "description": "a policy.yaml"},
}

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "retryable": {"type": "boolean"},
        "retryAfterSeconds": {"type": "integer"},
        "backoffStrategy": {"enum": ["none", "fixed", "exponential"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


class CompletedSchema(JsonRenderPlugin):
    """Renders the description with request bodies and errors added."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the description as JSON."""
        handlers = dict(_handlers(request))
        bodies = [handler.opt["body"] for handler in handlers.values() if "body" in handler.opt]
        documents = [body for body in bodies if body not in _FILES]
        references, schemas = msgspec.json.schema_components(documents, ref_template=_REFERENCE)
        by_document = dict(zip(documents, references, strict=True))
        components = openapi_schema["components"]
        completed = {
            **openapi_schema,
            "components": {
                **components,
                "schemas": {**components["schemas"], **schemas, "Problem": _PROBLEM},
            },
            "paths": {
                path: {
                    method: _complete(operation, handlers[path, method], by_document)
                    for method, operation in operations.items()
                }
                for path, operations in openapi_schema["paths"].items()
            },
        }
        return msgspec.json.encode(completed)


def operator_openapi() -> OpenAPIConfig:
    """Return how the operator API is described, at `/operator/schema/openapi.json`."""
    return OpenAPIConfig(
        title="Edgewright operator API",
        version=__version__,
        openapi_router=Router("/operator/schema", route_handlers=[], opt={"public": True}),
        render_plugins=[CompletedSchema()],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
    )


def _handlers(request: Request[Any, Any, Any]) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    """Yield (path, method in lower case) and handler of every route."""
    for route in request.app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield (route.path_format, method.lower()), handler


def _complete(
    operation: dict[str, Any], handler: HTTPRouteHandler, by_document: dict[Any, dict[str, Any]]
) -> dict[str, Any]:
    responses = {
        status: response for status, response in operation["responses"].items() if status.startswith("2")
    }
    if handler.opt.get("creates"):
        responses["201"] = {**responses["200"], "description": "Created"}
    problem = {"schema": {"$ref": _REFERENCE.format(name="Problem")}}
    responses["default"] = {"description": "An error", "content": {PROBLEM: problem}}
    completed = {**operation, "responses": responses}
    body = handler.opt.get("body")
    if body is not None:
        media_type, schema = (body, _FILES[body]) if body in _FILES else (JSON, by_document[body])
        content = {media_type: {"schema": schema}}
        completed["requestBody"] = {"required": True, "content": content}
    return completed
