"""How a device becomes known: with the token an operator hands over, or by asking to be let in.

Outside the specification (ON-6), under the project's own prefix, on the listener whose server
certificate the token pins.
"""

import base64
import binascii
from typing import Annotated, Final, Literal, Self

import msgspec

from edgewright.protocol import json
from edgewright.protocol.conversion import matching
from edgewright.protocol.documents import Document, Text
from edgewright.protocol.errors import DocumentError, MalformedDocumentError

# How much of a key's digest people compare: 80 bits, five groups of four hexadecimal digits.
FINGERPRINT_DIGITS: Final = 20
_GROUP: Final = 4
_PREFIX: Final = "ewt1."
_TOKEN = "enrolment token"  # noqa: S105 - what errors call it, no secret


Transport = Literal["api", "git"]


class EnrollmentToken(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"url": "u", "pin": "p", "secret": "s", "transport": "t"},
):
    """One line of text, shown once: where to enrol, whom to trust there, and the right to do it once.

    `url` is the web listener's, `pin` as in TLS-14, `secret` base64url of 32 random bytes.
    `transport` is how the device is to talk from then on.
    """

    url: Annotated[str, matching(r"^https://[^/\s]+/?\Z", "an https:// URL without a path")]
    pin: Annotated[str, matching(r"^[A-Za-z0-9+/]{43}=\Z", "base64 of 32 bytes")]
    secret: Annotated[str, matching(r"^[A-Za-z0-9_-]{43}\Z", "base64url of 32 bytes")]
    transport: Transport = "api"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token; raise DocumentError for anything else, without repeating what was given."""
        line = text.strip()
        if not line.startswith(_PREFIX):
            raise MalformedDocumentError(f"expected one line starting with {_PREFIX!r}", source=_TOKEN)
        encoded = line[len(_PREFIX) :]
        try:
            data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            return msgspec.convert(json.load(data, source=_TOKEN), cls)
        except (binascii.Error, ValueError) as error:
            if isinstance(error, msgspec.ValidationError):
                raise DocumentError("it was not made by this software", source=_TOKEN) from None
            raise MalformedDocumentError("it is cut or mistyped", source=_TOKEN) from None
        except MalformedDocumentError:
            raise MalformedDocumentError("it is cut or mistyped", source=_TOKEN) from None

    def render(self) -> str:
        """Return the one line."""
        data = json.dump(msgspec.to_builtins(self))
        return _PREFIX + base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")

    def __repr__(self) -> str:
        """Show where it leads but not the secret, which must not reach logs."""
        return f"EnrollmentToken(url={self.url!r}, pin={self.pin!r}, secret=…)"


class EnrollmentRequest(Document, frozen=True, kw_only=True):
    """What the device sends: the token's secret and a PEM certificate request with its own key.

    With `git` as its transport it is given a repository.
    """

    token: Text
    csr: Text
    device_id: str | None = None
    transport: Transport = "api"

    def __repr__(self) -> str:
        """Leave the secret out, which must not reach logs."""
        return f"EnrollmentRequest(device_id={self.device_id!r})"


class EnrollmentAnswer(Document, frozen=True, kw_only=True):
    """What makes the device a client.

    `svid` is PEM, leaf first, then intermediates; `trust_bundle` the text of a TrustBundle;
    `server_url` the base URL of the device API.
    """

    client_id: Text
    svid: Text
    trust_bundle: Text
    server_url: Text


class AdmissionRequest(Document, frozen=True, kw_only=True):
    """What a device without a token sends, again and again until it is told the decision.

    `name` is what it wishes to be called, `csr` a PEM certificate request with its own key; `hostname` and
    `agent_version` help people to recognise it, and prove nothing.
    """

    name: Text
    csr: Text
    hostname: str = ""
    agent_version: str = ""


class Admission(Document, frozen=True, kw_only=True, omit_defaults=False):
    """What a device is told while it is not let in: `state` is `waiting` or `rejected`."""

    state: Literal["waiting", "rejected"]
    reason: str = ""


def fingerprint_of(key_digest: str) -> str:
    """Return the part of a key's digest that names it among requests: its first 80 bits, in hex."""
    return key_digest.removeprefix("sha256:")[:FINGERPRINT_DIGITS]


def in_groups(fingerprint: str) -> str:
    """Return a fingerprint as people compare it: `3f9a 01bc 77de 40a1 9c3d`."""
    return " ".join(fingerprint[at : at + _GROUP] for at in range(0, len(fingerprint), _GROUP))
