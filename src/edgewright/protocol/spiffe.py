"""SPIFFE IDs and the two shapes Margo gives them: a fleet manager and its clients (spec: ID-1 to ID-12).

Comparison is exact and case-sensitive; no meaning is read into segments. Standard library only:
the watch imports this module.
"""

from edgewright.protocol.errors import IdentityError

_SCHEME = "spiffe://"
_DIGITS_AND_MARKS = "0123456789.-_"
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz" + _DIGITS_AND_MARKS)
_SEGMENT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | _LOWER


def check_trust_domain(text: str) -> str:
    """Return `text` when it can be a trust domain (spec: ID-10); raise IdentityError otherwise."""
    if not text or len(text) > 255 or not _LOWER.issuperset(text):
        raise IdentityError(
            f"trust domain {text[:80]!r}: expected 1 to 255 lower-case letters, digits, '.', '-', '_'"
        )
    return text


def check_segment(text: str) -> str:
    """Return `text` when it can be a `wfm-id` or `wfm-client-id` (spec: ID-3), else raise IdentityError."""
    if not text or text in {".", ".."} or not _SEGMENT.issuperset(text):
        raise IdentityError(
            f"identifier {text[:80]!r}: expected letters, digits, '.', '-', '_', and neither '.' nor '..'"
        )
    return text


class SpiffeId:
    """One SPIFFE ID; `path` is empty or starts with a slash."""

    __slots__ = ("path", "trust_domain")

    def __init__(self, trust_domain: str, path: str = "") -> None:
        self.trust_domain = check_trust_domain(trust_domain)
        self.path = path
        if path:
            if not path.startswith("/"):
                raise IdentityError(f"SPIFFE path {path[:80]!r}: expected a leading slash")
            for segment in path[1:].split("/"):
                check_segment(segment)
        if len(str(self)) > 2048:
            raise IdentityError("SPIFFE ID is longer than 2048 bytes")

    @classmethod
    def parse(cls, text: str) -> "SpiffeId":
        """Read `spiffe://trust-domain/path`; user info, port, query, fragment are refused (spec: ID-10)."""
        if not text.startswith(_SCHEME):
            raise IdentityError(f"SPIFFE ID {text[:80]!r}: expected it to start with {_SCHEME!r}")
        trust_domain, slash, path = text[len(_SCHEME) :].partition("/")
        return cls(trust_domain, slash + path)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"

    def __repr__(self) -> str:
        return f"SpiffeId({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpiffeId):
            return NotImplemented
        return self.trust_domain == other.trust_domain and self.path == other.path

    def __hash__(self) -> int:
        return hash((self.trust_domain, self.path))


def wfm_id(trust_domain: str, wfm: str) -> SpiffeId:
    """Return the identity of fleet manager `wfm` (spec: ID-1)."""
    return SpiffeId(trust_domain, f"/margo/wfm/{check_segment(wfm)}")


def client_id(trust_domain: str, wfm: str, client: str) -> SpiffeId:
    """Return the identity of `client` of fleet manager `wfm` (spec: ID-2)."""
    return SpiffeId(trust_domain, f"/margo/wfm/{check_segment(wfm)}/client/{check_segment(client)}")


def parse_wfm(identity: SpiffeId) -> str:
    """Return the `wfm-id`; raise IdentityError when `identity` is not exactly a fleet manager's."""
    match identity.path.split("/"):
        case ["", "margo", "wfm", wfm]:
            return wfm
    raise IdentityError(f"{identity} is not the identity of a fleet manager")


def parse_client(identity: SpiffeId) -> tuple[str, str]:
    """Return (`wfm-id`, `wfm-client-id`); raise IdentityError when `identity` is not exactly a client's."""
    match identity.path.split("/"):
        case ["", "margo", "wfm", wfm, "client", client]:
            return wfm, client
    raise IdentityError(f"{identity} is not the identity of a client")


def expected_wfm(own_client: SpiffeId) -> SpiffeId:
    """Return the only identity a client may accept from its server: taken from its own (spec: ID-12)."""
    wfm, _ = parse_client(own_client)
    return wfm_id(own_client.trust_domain, wfm)
