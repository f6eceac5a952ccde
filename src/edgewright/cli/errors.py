"""Errors that only the command line raises: what a person typed, and what a command waited for in vain."""

from __future__ import annotations

from edgewright.protocol.errors import EdgewrightError


class UsageError(EdgewrightError):
    """The command as typed cannot be carried out: wrong arguments, or a file or folder that is not there."""

    code = "usage.invalid"


class RefusedError(EdgewrightError):
    """The fleet manager answered with an error.

    `status` is the HTTP status; `errors` are its (field, message) pairs, empty when it named none.
    """

    code = "server.refused"

    def __init__(self, message: str, *, status: int, errors: tuple[tuple[str, str], ...] = ()) -> None:
        lines = [message, *(f"{field}: {text}" if field else text for field, text in errors)]
        super().__init__("\n  ".join(lines))
        self.status = status
        self.errors = errors


class OutcomeError(EdgewrightError):
    """The command was carried out and ended badly: a deployment failed, or was not there in time."""

    code = "outcome.failed"
