"""Who is signed in, and whether a form is really theirs: signed values, nothing kept here.

A session is `expires.name.nonce.signature` in a cookie that scripts and other sites do not get. A form
carries a token made of the session, which no other site can know (CSRF).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

COOKIE: Final = "edgewright"
SECONDS: Final = 12 * 3600
_NAME_LIMIT: Final = 80


@dataclass(frozen=True, slots=True)
class Session:
    """One person signed in: the `name` they gave, until `expires` (unix seconds)."""

    name: str
    expires: int
    nonce: str

    @classmethod
    def begin(cls, name: str, now: float) -> Session:
        """Return a new session of `name`."""
        return cls(" ".join(name.split())[:_NAME_LIMIT], int(now) + SECONDS, secrets.token_urlsafe(16))

    def sign(self, key: bytes) -> str:
        """Return the cookie's value."""
        name = urlsafe_b64encode(self.name.encode("utf-8", "replace")).decode("ascii").rstrip("=")
        text = f"{self.expires}.{name}.{self.nonce}"
        return f"{text}.{_signature(key, 'session', text)}"

    def token(self, key: bytes) -> str:
        """Return what a form of this session carries."""
        return _signature(key, "form", self.nonce)

    def is_token(self, key: bytes, given: str) -> bool:
        """Whether `given` is that."""
        return hmac.compare_digest(self.token(key).encode(), given.encode("utf-8", "replace"))


def read(value: str, key: bytes, now: float) -> Session | None:
    """Return the session that a cookie's `value` is, None when it is none of ours, or over."""
    text, _, signature = value.rpartition(".")
    if not hmac.compare_digest(
        _signature(key, "session", text).encode(), signature.encode("utf-8", "replace")
    ):
        return None
    expires, name, nonce = text.split(".")
    if not now < int(expires) <= now + SECONDS + 1:  # further away than any: made when the clock was wrong
        return None
    padded = name + "=" * (-len(name) % 4)
    return Session(urlsafe_b64decode(padded).decode("utf-8"), int(expires), nonce)


def _signature(key: bytes, purpose: str, text: str) -> str:
    return hmac.new(key, f"{purpose}:{text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
