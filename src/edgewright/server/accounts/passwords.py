"""Hashes passwords with argon2id, beside the event loop and only a few at a time: each takes 64 MiB for a
moment."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edgewright.server.domain.passwords import LONGEST, normal

# RFC 9106, section 4, second recommendation.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
# The hash of a random password that was thrown away: a name nobody has takes as long as one somebody has.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$b65T/qYtDFhp6C/+36Gqkg$sARGFx7vUqLz/N57zyEBmJE5EXjBtB39fFSgCvi9jkA"
_AT_ONCE = 2


def hash_password(password: str) -> str:
    """Return what is kept of a password."""
    return _HASHER.hash(normal(password))


def is_password(kept: str | None, password: str) -> bool:
    """Whether `password` is the one of which `kept` is kept; takes as long where nothing is."""
    try:
        _HASHER.verify(kept or _NOBODY, normal(password))
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with other costs than those of today."""
    return _HASHER.check_needs_rehash(kept)


class Passwords:
    """The same for the server: in threads, a few at once."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """Return what is kept of a password."""
        async with self._turns:
            return await asyncio.to_thread(hash_password, password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether `password` is the one of which `kept` is kept; takes as long where nothing is."""
        if len(password.encode(errors="surrogatepass")) > 4 * LONGEST:
            password = ""
        async with self._turns:
            return await asyncio.to_thread(is_password, kept, password)
