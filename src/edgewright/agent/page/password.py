"""The page's password: made by us, shown once, kept as a scrypt hash; with it the key that signs sessions.

A password is made and not chosen, so nobody has to check how good it is: 16 characters of 31, which is more
than anybody can try. How often somebody may try is limited all the same, over the ends of this process.
A new password makes a new key: every session ends with the old one.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
from dataclasses import dataclass
from typing import Final

from edgewright.agent.paths import Paths
from edgewright.agent.state.durable import write_whole
from edgewright.protocol.errors import EdgewrightError

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_GROUPS: Final = 4
_GROUP: Final = 4
_COST: Final = {"n": 2**14, "r": 8, "p": 1}  # 16 MiB and some 50 ms
_ONE_AT_A_TIME = threading.Lock()

BURST: Final = 5
SECONDS_A_TRY: Final = 10.0


class NoPasswordError(EdgewrightError):
    """There is no password yet, so nobody can sign in."""

    code = "page.no-password"


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept of a password: `key` signs sessions."""

    salt: bytes
    hash: bytes
    key: bytes

    def accepts(self, password: str) -> bool:
        """Whether this is the password; in constant time, and one at a time for the memory it takes."""
        with _ONE_AT_A_TIME:
            return hmac.compare_digest(_hash(password, self.salt), self.hash)


def make(paths: Paths) -> str:
    """Make a new password, keep its hash, and return it: nobody can tell it again."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    password = "-".join(groups)
    salt = secrets.token_bytes(16)
    kept = {
        "salt": salt.hex(),
        "hash": _hash(password, salt).hex(),
        "key": secrets.token_bytes(32).hex(),
    }
    write_whole(paths.page_secret, json.dumps(kept).encode("ascii"))
    return password


def load(paths: Paths) -> Secret:
    """Return what is kept of the password. Raises NoPasswordError."""
    try:
        with open(paths.page_secret, "rb") as file:
            kept = json.loads(file.read())
        return Secret(*(bytes.fromhex(kept[name]) for name in ("salt", "hash", "key")))
    except FileNotFoundError:
        raise NoPasswordError(
            "there is no password yet; make one with: edgewright agent page password"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise NoPasswordError(
            f"{paths.page_secret}: damaged; make a new password with: edgewright agent page password"
        ) from None


def _hash(password: str, salt: bytes) -> bytes:
    """Return the hash of what counts of `password`: how it is grouped and whether in capitals does not."""
    counts = "".join(password.split()).replace("-", "").lower()
    return hashlib.scrypt(counts.encode("utf-8", "replace"), salt=salt, **_COST)


class Tries:
    """How often somebody may still try: `BURST` at once, then one every `SECONDS_A_TRY`.

    One number in a file, the instant up to which tries are used up, so that it holds for all processes.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def take(self, now: float) -> float:
        """Use up one try; return 0, or the seconds to wait when there is none."""
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            used, wait = after_try(_number(file.read(64)), now)
            if not wait:
                # In place of the last one, and as long as that: a full disk has no room for anything new.
                os.pwrite(file.fileno(), f"{used:20.3f}\n".encode("ascii"), 0)
        return wait

    def reset(self) -> None:
        """Forget the tries: the last one was the password."""
        with open(self._path, "r+b") as file:
            os.pwrite(file.fileno(), f"{0:20.3f}\n".encode("ascii"), 0)


def after_try(used_until: float, now: float) -> tuple[float, float]:
    """Return until when tries are used up after one more, and how long that one has to wait (0: not).

    A clock that was set back lengthens no wait beyond the longest there is.
    """
    most = BURST * SECONDS_A_TRY
    used = min(max(used_until, now), now + most) + SECONDS_A_TRY
    wait = used - (now + most)
    return used, max(wait, 0.0)


def _number(text: bytes) -> float:
    try:
        return float(text or b"0")
    except ValueError:
        return 0.0
