"""Reads JSON requests; what is wrong with one is said field by field."""

from typing import TypeVar

import msgspec

from edgewright.protocol.problem import ProblemType
from edgewright.server.bodies import read_body
from edgewright.server.context import ServerRequest
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.problems import ProblemError

MAX_REQUEST_BYTES = 1024 * 1024
Kind = TypeVar("Kind")


async def read_json(request: ServerRequest, kind: type[Kind]) -> Kind:
    """Return the body as `kind`; raises `ProblemError` 400 for what is no JSON, `InvalidError` for other
    JSON."""
    body = await read_body(request, limit=MAX_REQUEST_BYTES)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").lstrip(".")
        raise InvalidError("the request is not as expected", Fault(field=field, message=message)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(ProblemType.INVALID_REQUEST, f"the body is not JSON: {error}") from error
