"""Reads JSON requests; what is wrong with one is said field by field."""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.listeners.bodies import read_body
from edgewright.server.operator_api.documents import ParameterValue
from edgewright.server.problems import ProblemError

MAX_REQUEST_BYTES = 1024 * 1024
Kind = TypeVar("Kind")


async def read_json(request: ServerRequest, kind: type[Kind], *, limit: int = MAX_REQUEST_BYTES) -> Kind:
    """Return the body as `kind`; raises `ProblemError` for no JSON, `InvalidError` for other JSON."""
    body = await read_body(request, limit=limit)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidError("the request is not as expected", _fault(body, str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from error


async def read_plain(request: ServerRequest, *, limit: int = MAX_REQUEST_BYTES) -> Any:
    """Return the body's JSON as it is, where somebody else says what is wrong with it."""
    body = await read_body(request, limit=limit)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from error


def moment_of(given: datetime | None, field: str) -> datetime | None:
    """Return a moment in UTC; raises `InvalidError` for one without a zone, or of no year there is."""
    if given is None:
        return None
    if given.tzinfo is None:
        fault = Fault(field=field, message="expected a time zone, as in 2027-01-31T12:00:00Z")
        raise InvalidError("the request is not as expected", fault)
    try:
        return given.astimezone(UTC)
    except OverflowError as error:
        fault = Fault(field=field, message="expected a year from 1 to 9999")
        raise InvalidError("the request is not as expected", fault) from error


def _no_json(error: Exception) -> ProblemError:
    why = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
    return ProblemError(ProblemType.INVALID_REQUEST, f"the body {why}")


def _fault(body: bytes, text: str) -> Fault:
    """Return which field a decoding error is about; the decoder does not name the members of mappings."""
    message, _, path = text.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".")
    if field.startswith("parameters[...]"):
        field = f"parameters.{_wrong_parameter(body)}".rstrip(".")
    return Fault(field=field, message=message)


def _wrong_parameter(body: bytes) -> str:
    """Return which parameter is wrong; none is named where what comes after it cannot be read."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(body)["parameters"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for name, value in plain.items():
        try:
            msgspec.convert(value, ParameterValue)
        except msgspec.ValidationError:
            return name
    return ""
