"""Which passwords are good enough, and how one is made: length counts, kinds of letters do not."""

import secrets
import unicodedata
from itertools import pairwise

SHORTEST = 10
LONGEST = 256
# Easily read aloud and typed: nothing that looks like something else.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
# What people choose who are asked for a long one; the rest is kept away by how slowly they can be tried.
_GUESSED = (
    "password",
    "passwort",
    "qwertyuiop",
    "qwertzuiop",
    "edgewright",
    "administrator",
    "letmein",
    "welcome",
)


def password_fault(password: str, name: str) -> str | None:
    """Return what is wrong with a password for the user `name`, None if it is good enough."""
    if not password.isprintable():
        return "takes characters that can be seen, and spaces"
    if len(password) < SHORTEST:
        return f"takes at least {SHORTEST} characters; a few words in a row are easy to keep in mind"
    if len(password.encode()) > LONGEST:
        return f"takes at most {LONGEST} bytes"
    folded = password.casefold()
    if name and name in folded and len(folded) - len(name) < SHORTEST:
        return "is little more than the user's name"
    if len(set(folded)) < 5 or _is_guessed(folded) or _is_run(folded):
        return "is too easily guessed"
    return None


def normal(password: str) -> str:
    """Return the password as it is hashed: the same characters by whatever keyboard they were typed."""
    return unicodedata.normalize("NFKC", password)


def make_password() -> str:
    """Return a new random password of 80 bits that can be read aloud."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def _is_guessed(folded: str) -> bool:
    return any(word in folded and len(folded) - len(word) < 5 for word in _GUESSED)


def _is_run(folded: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(folded)}
    return len(steps) == 1
