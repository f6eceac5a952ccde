"""The description of the operator API: what the framework finds in the handlers, and what it cannot know.

Handlers that read their request themselves, to answer in problem details, say with options what they expect
and may answer:

    body=Kind or a media type   what the body is
    creates=True                that they answer `201` when something new came of it
    answers={502: "why"}        what they may answer beside what follows from the rest
    dry_run=True                that their change can be tried and taken back (`queries`)

A `GET` of one thing carries an entity tag, and changes at the same path take it back (`etags`). Everything
else follows from the path, the method and the types; descriptions and examples are those of the types.
"""

import types
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args, get_origin

import msgspec
from litestar import Request, Response, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.routes import HTTPRoute

from edgewright import __version__
from edgewright.protocol.media_types import JSON, PROBLEM, YAML
from edgewright.server.listeners.guard import SESSION_COOKIE
from edgewright.server.operator_api.examples import SAMPLES, example_of
from edgewright.server.operator_api.paging import Page
from edgewright.server.operator_api.queries import DRY_RUN

GZIP = "application/gzip"
GIT_BUNDLE = "application/x-git-bundle"
_FILES: Final[Mapping[str, Mapping[str, Any]]] = {
    GZIP: {"type": "string", "format": "binary"},
    GIT_BUNDLE: {"type": "string", "format": "binary"},
    YAML: {"type": "object", "description": "a policy.yaml"},
}
_FILE_EXAMPLES: Final = {YAML: {"polling": {"rate": "60s"}}}

_REFERENCE = "#/components/schemas/{name}"
PREFIX = "/operator/v1/"

ABOUT = """\
All that the pages and the command line of the fleet manager do, for programs.

**Who may**: `Authorization: Bearer TOKEN`, or the cookie of a session; then changes need its CSRF token in
`X-CSRF-Token`. A viewer reads, an operator changes what runs where, an administrator also says who may do
what; a token may be restricted further.

**Lists** come in pages: at most `limit` entries, and `next`, which is handed back as `after` with the same
filters; null on the last page. `total` counts all that the filters let through.

**Lost updates**: a `GET` of one thing has an `ETag`. A change that carries it in `If-Match` is refused with
`412` if somebody changed the thing since. `If-None-Match` makes a `GET` answer `304` while nothing is new.

**Rehearsals**: where a change takes `dry_run=true` it is judged and made as a whole, and taken back.

**Errors** are problem details (RFC 9457); `detail` is for people and `errors` names each wrong member.
Query parameters and members that nobody knows are refused.
"""

TAGS: Final[Mapping[str, str]] = {
    "fleet": "How all devices are, counted.",
    "devices": "The devices: what they are, how they are, what they are to have, and who is let in.",
    "enrollments": "How devices become known: invitations, and requests that wait for a person.",
    "packages": "Application packages, and what is in them.",
    "sources": "Registries and folders in which packages are looked for.",
    "assignments": "Applications for many devices.",
    "deployments": "What runs on which device.",
    "rollouts": "How a change reaches many devices, step by step.",
    "repositories": "Git repositories through which devices have their state.",
    "policies": "When devices may talk and change, as suggested to their sites.",
    "users": "Who may sign in, and with which role.",
    "tokens": "Tokens for programs.",
    "audit": "Who changed what, and when.",
}
_TAG_OF: Final = {
    "policy": "policies",
    "applications": "packages",
    "package-problems": "packages",
    "whoami": "users",
    "sessions": "users",
    "labels": "devices",
    "deploy": "deployments",
}

# What query and path parameters mean, where a handler does not say it itself.
PARAMETERS: Final[Mapping[str, str]] = {
    "action": "what was done, as the audit says it",
    "address": "the address from which it was done",
    "after": "the `next` of the page before, with the same filters",
    "actor": "who did it, as the audit says it",
    "application": "id of the application",
    "application_id": "id of the application",
    "assignment": "name of the assignment",
    "client_id": "id of the device's client",
    "way": "`basic` for user name and password, `token` for a bearer token",
    "replace": "also what does not build on what was read before",
    "contact": "words about contact, with commas between them",
    "deployment_id": "id of the deployment",
    "device": "id of the device's client",
    "disabled": "only users who are locked out, or only those who are not",
    "fits": "only devices that it fits, or only those that it does not",
    "format": "in which form",
    "limit": "how many entries a page has at most",
    "name": "its name",
    "number": "number of the revision",
    "path": "path of the file in the package",
    "removed": "with those that are gone from their devices",
    "request_id": "fingerprint of the device's key, with or without its blanks",
    "role": "with this role",
    "rollout_id": "id of the rollout",
    "said": "what devices said last, as words with commas between them",
    "selector": "by labels: `site=berlin, line in (1, 2), !spare`",
    "session_id": "number of the session",
    "since": "not before this moment",
    "sort": "by what the list is ordered; with `-` before it the other way round",
    "source": "name of the source",
    "state": "in this state",
    "subject": "what it was done to",
    "token_id": "number of the token",
    "until": "before this moment",
    "user": "name of the user",
    "version": "version of the application",
    "via": "with which means: `browser`, `token ci`, `command line`",
}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong and what to do, for people"},
        "instance": {"type": "string"},
        "retryable": {"type": "boolean"},
        "retryAfterSeconds": {"type": "integer"},
        "backoffStrategy": {"enum": ["none", "fixed", "exponential"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "description": "dotted path; empty for the whole"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
_PROBLEM_EXAMPLE = {
    "type": "https://docs.margo.org/specification/problem-types#semantic-error",
    "title": "Semantic Error",
    "status": 422,
    "detail": "the parameters are not as the application wants them",
    "errors": [{"field": "parameters.greeting", "message": "takes at most 20 characters"}],
    "instance": "/operator/v1/deployments",
    "retryable": False,
    "backoffStrategy": "none",
}
_PROBLEM_CONTENT: Final = {
    "schema": {"$ref": _REFERENCE.format(name="Problem")},
    "examples": {"problem": {"value": _PROBLEM_EXAMPLE}},
}
_ERRORS: Final[Mapping[str, str]] = {
    "400": "The body is no JSON, or a query parameter is unknown or of the wrong type",
    "401": "No token and no session, or one that is not known",
    "403": "The role or the scope of who asks does not cover this",
    "404": "There is no such thing",
    "409": "It contradicts what is there already",
    "412": "It was changed since it was read",
    "413": "The body is too long",
    "422": "Well-formed and wrong; `errors` says where",
}


class CompletedSchema(JsonRenderPlugin):
    """Renders the description with all that the framework does not know."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the description as JSON."""
        handlers = dict(described(request.app.routes))
        kinds = list(dict.fromkeys(kind for one in handlers.values() for kind in kinds_of(one)))
        references, schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
        known = dict(zip(kinds, references, strict=True))
        tagged = {path for (path, method), one in handlers.items() if method == "get" and _has_tag(one)}
        names = Counter(one.handler_name for one in handlers.values())
        components = openapi_schema["components"]
        completed = {
            **openapi_schema,
            "components": {
                **components,
                "schemas": {**components.get("schemas", {}), **schemas, "Problem": _PROBLEM},
                "responses": {
                    f"Problem{status}": {"description": told, "content": {PROBLEM: _PROBLEM_CONTENT}}
                    for status, told in _ERRORS.items()
                },
            },
            "paths": {
                path: {
                    method: _Operation(
                        path,
                        method,
                        operation,
                        handlers[path, method],
                        is_only=names[handlers[path, method].handler_name] == 1,
                    ).completed(known, is_tagged=path in tagged)
                    for method, operation in operations.items()
                }
                for path, operations in openapi_schema["paths"].items()
                if path.startswith(PREFIX)
            },
        }
        completed["components"]["schemas"] = _used(completed)
        return _short_names(msgspec.json.encode(completed), completed["components"]["schemas"])


def operator_openapi() -> OpenAPIConfig:
    """Return how the operator API is described, at `/operator/schema/openapi.json`."""
    return OpenAPIConfig(
        title="Edgewright operator API",
        version=__version__,
        description=ABOUT,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        openapi_router=Router(
            "/operator/schema", route_handlers=[], include_in_schema=False, opt={"public": True}
        ),
        render_plugins=[CompletedSchema()],
        tags=[Tag(name=name, description=told) for name, told in TAGS.items()],
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http", scheme="bearer", description="a token of `operator.json`, or one made here"
                ),
                "session": SecurityScheme(
                    type="apiKey",
                    security_scheme_in="cookie",
                    name=SESSION_COOKIE,
                    description="who signed in with a browser; changes need `X-CSRF-Token` as well",
                ),
            }
        ),
    )


def described(routes: list[Any]) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    """Yield (path, method in lower case) and handler of every route of the API."""
    for route in routes:
        if isinstance(route, HTTPRoute) and route.path_format.startswith(PREFIX):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield (route.path_format, method.lower()), handler


def kinds_of(handler: HTTPRouteHandler) -> Iterator[Any]:
    """Yield the types that a handler takes and answers with."""
    body = handler.opt.get("body")
    if body is not None and not isinstance(body, str):
        yield body
    answer = answer_of(handler)
    if answer is not None:
        yield answer


def answer_of(handler: HTTPRouteHandler) -> Any:
    """Return the type of the JSON that a handler answers with; None where it answers with none."""
    annotation = handler.parsed_fn_signature.return_type.annotation
    if get_origin(annotation) is Response:
        (annotation,) = get_args(annotation)
    kind = get_origin(annotation) or annotation
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return annotation if is_struct or kind in {list, types.UnionType} else None


def _has_tag(handler: HTTPRouteHandler) -> bool:
    """Whether a GET shows one thing with its entity tag."""
    annotation = handler.parsed_fn_signature.return_type.annotation
    answer = answer_of(handler)
    return (
        get_origin(annotation) is Response
        and answer is not None
        and (get_origin(answer) or answer) is not Page
    )


class _Operation:
    """One operation on its way to being complete."""

    def __init__(
        self, path: str, method: str, found: dict[str, Any], handler: HTTPRouteHandler, *, is_only: bool
    ) -> None:
        self._path = path
        self._method = method
        self._found = found
        self._handler = handler
        self._is_only = is_only

    def completed(self, known: Mapping[Any, dict[str, Any]], *, is_tagged: bool) -> dict[str, Any]:
        """Return it with tags, parameters, bodies and answers."""
        area = self._path.removeprefix(PREFIX).partition("/")[0]
        completed = {
            "tags": [_TAG_OF.get(area, area)],
            "summary": self._found["summary"],
            "description": " ".join(self._found.get("description", "").split("\n")).strip(),
            "operationId": self._handler.handler_name
            if self._is_only
            else f"{area}_{self._handler.handler_name}",
            "parameters": self._parameters(is_tagged=is_tagged),
            "responses": self._responses(known, is_tagged=is_tagged),
            "security": [{"token": []}, {"session": []}],
        }
        body = self._handler.opt.get("body")
        if body is not None:
            completed["requestBody"] = {"required": True, "content": _content(body, known)}
        return {name: value for name, value in completed.items() if value}

    def _parameters(self, *, is_tagged: bool) -> list[dict[str, Any]]:
        parameters = [_parameter(one) for one in self._found.get("parameters", [])]
        if self._handler.opt.get(DRY_RUN):
            parameters.append(
                {
                    "name": DRY_RUN,
                    "in": "query",
                    "schema": {"type": "boolean", "default": False},
                    "description": "judge the change and make it as a whole, and take it back",
                }
            )
        if is_tagged:
            is_read = self._method == "get"
            parameters.append(
                {
                    "name": "If-None-Match" if is_read else "If-Match",
                    "in": "header",
                    "schema": {"type": "string"},
                    "description": "the `ETag` had last: `304` while nothing is new"
                    if is_read
                    else "the `ETag` of what was read: `412` if it was changed since",
                }
            )
        return parameters

    def _responses(self, known: Mapping[Any, dict[str, Any]], *, is_tagged: bool) -> dict[str, Any]:
        responses: dict[str, Any] = {}
        for status, found in self._found["responses"].items():
            if status.startswith("2"):
                responses[status] = self._success(found, known, is_tagged=is_tagged)
        for status, told in self._handler.opt.get("answers", {}).items():
            responses[str(status)] = {"description": told, "content": {PROBLEM: _PROBLEM_CONTENT}}
        if self._handler.opt.get("creates"):
            responses["201"] = {**responses["200"], "description": "Something new came of it"}
        if is_tagged and self._method == "get":
            responses["304"] = {"description": "Nothing is new since `If-None-Match`"}
        for status in self._errors(is_tagged=is_tagged):
            responses[status] = {"$ref": f"#/components/responses/Problem{status}"}
        responses["default"] = {"description": "An error", "content": {PROBLEM: _PROBLEM_CONTENT}}
        return dict(sorted(responses.items()))

    def _success(
        self, found: dict[str, Any], known: Mapping[Any, dict[str, Any]], *, is_tagged: bool
    ) -> dict[str, Any]:
        shown: dict[str, Any] = {"description": "Done" if self._method != "get" else "As it is now"}
        answer = answer_of(self._handler)
        if answer is not None:
            shown["content"] = _content(answer, known)
        elif found.get("content"):
            others = {kind: {"schema": {"type": "string"}} for kind in self._handler.opt.get("also", ())}
            shown["content"] = {**found["content"], **others}
        if is_tagged and self._method != "delete" and answer is not None:
            told = "what to say in `If-Match` and `If-None-Match`"
            shown["headers"] = {"ETag": {"schema": {"type": "string"}, "description": told}}
        return shown

    def _errors(self, *, is_tagged: bool) -> Iterator[str]:
        yield from ("400", "401", "403")
        if "{" in self._path:
            yield "404"
        if self._handler.opt.get("body") is not None:
            yield from ("413", "422")
        if self._method != "get":
            yield "409"
            if is_tagged:
                yield "412"


def _content(kind: Any, known: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(kind, str):
        described: dict[str, Any] = {"schema": _FILES[kind]}
        if kind in _FILE_EXAMPLES:
            described["examples"] = {"example": {"value": _FILE_EXAMPLES[kind]}}
        return {kind: described}
    return {JSON: {"schema": known[kind], "examples": {"example": {"value": example_of(kind)}}}}


def _parameter(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter without what goes without saying: one that may be left out is never null."""
    schema = dict(found["schema"])
    described = found.get("description") or PARAMETERS.get(found["name"], "")
    choices = [one for one in schema.get("oneOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        schema.pop("oneOf")
        schema = {**choices[0], **schema}
    schema.pop("description", None)
    sample = SAMPLES.get(found["name"])
    if found["in"] == "path" and sample is not None:
        schema = {**schema, "examples": [sample]}
    parameter = {"name": found["name"], "in": found["in"], "description": described, "schema": schema}
    return parameter | ({"required": True} if found.get("required") else {})


def _short_names(text: bytes, names: Iterable[str]) -> bytes:
    """Return the document with the names of types that several modules have made short: `ConsentKind`."""
    for name in names:
        if "." in name:
            *_, module, last = name.split(".")
            short = f"{module.title()}{last}".encode()
            text = text.replace(f'/{name}"'.encode(), b"/" + short + b'"')
            text = text.replace(f'"{name}":'.encode(), b'"' + short + b'":')
    return text


def _used(document: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas that something in the document refers to."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    wanted: set[str] = set()
    waiting = [*_referred(document["paths"]), *_referred(document["components"]["responses"])]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += _referred(schemas[name])
    return {name: schema for name, schema in schemas.items() if name in wanted}


def _referred(node: Any) -> Iterator[str]:
    """Yield the names of all schemas that a part of the document refers to."""
    match node:
        case {"$ref": str(reference)} if reference.startswith("#/components/schemas/"):
            yield reference.rpartition("/")[2]
        case dict():
            for value in node.values():
                yield from _referred(value)
        case list():
            for value in node:
                yield from _referred(value)
