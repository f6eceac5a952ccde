"""What every error raised on purpose has in common, and the errors of documents and bytes.

Facts are attributes; the message is for people. An error class neither logs nor exits; each
boundary (status report, API body, exit code) renders errors in one place.
"""


class EdgewrightError(Exception):
    """Base of every error raised on purpose.

    `code` is part of status reports and API bodies: released codes never change.
    `retryable` says whether the same call can succeed later with nothing else changed.
    """

    code = "internal"
    retryable = False


class DocumentError(EdgewrightError):
    """A document is not what it has to be; names the file, the path inside it and what was expected.

    `problems` holds every (path, message) found, in document order; the error itself tells the first.
    """

    code = "document.invalid"

    def __init__(
        self,
        message: str,
        *,
        source: str = "document",
        path: str = "$",
        problems: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{source}: {path}: {message}")
        self.source = source
        self.path = path
        self.detail = message
        self.problems = problems or ((path, message),)


class MalformedDocumentError(DocumentError):
    """The bytes are no JSON or YAML at all, so nothing inside can be named (spec: CAP-6, `400` not `422`)."""

    code = "document.malformed"


class DigestError(EdgewrightError):
    """Text that should be a digest is not one this implementation can check (spec: DG-1, DG-2, DS-15)."""

    code = "digest.unsupported"


class DigestMismatchError(EdgewrightError):
    """Bytes at hand are not the bytes a digest names (spec: DS-13, DS-14)."""

    code = "fetch.digest-mismatch"

    def __init__(self, location: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{location}: expected {expected}, got {actual}")
        self.location = location
        self.expected = expected
        self.actual = actual


class ArchiveError(EdgewrightError):
    """An archive is damaged or hostile; nothing of it was used (spec: CMP-5, CMP-9)."""

    code = "archive.refused"


class IdentityError(EdgewrightError):
    """A certificate, SPIFFE ID or trust bundle does not have the shape the specification demands."""

    code = "identity.refused"
