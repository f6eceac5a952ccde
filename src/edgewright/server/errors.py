"""Errors the server raises on purpose; `problems.py` alone turns them into answers.

Messages are for people and name what to do next where there is something to do.
"""

from dataclasses import dataclass

from edgewright.protocol.errors import EdgewrightError


class ServerError(EdgewrightError):
    """Base of the server's own errors."""

    code = "server"


class SetupError(ServerError):
    """The server cannot be made or started as asked: a bad name, a port in use, a damaged file."""

    code = "server.setup"


class NotFoundError(ServerError):
    """Nothing of that name is known to this server."""

    code = "server.not-found"


class ConflictError(ServerError):
    """What was asked contradicts what is there already."""

    code = "server.conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with one field; `field` is a dotted path inside the request."""

    field: str
    message: str


class InvalidError(ServerError):
    """The request is well-formed and wrong; `faults` says where, one by one."""

    code = "server.invalid"

    def __init__(self, message: str, *faults: Fault) -> None:
        super().__init__("; ".join([message, *(f"{fault.field}: {fault.message}" for fault in faults)]))
        self.detail = message
        self.faults = faults


class ForbiddenError(ServerError):
    """Whoever asks is known and may not do this."""

    code = "server.forbidden"


class EnrollmentRefusedError(ServerError):
    """A token that opens nothing: unknown, expired, withdrawn, or used with another key."""

    code = "enrollment.refused"
