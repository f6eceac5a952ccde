"""Which passwords are good enough, and that one is recognised however it was typed."""

import pytest

from edgewright.server.accounts.passwords import hash_password, is_outdated, is_password
from edgewright.server.domain.passwords import make_password, password_fault


@pytest.mark.parametrize(
    "password",
    ["seven quiet machines", "ä" * 3 + "long enough", "correct horse battery staple", "Tr0ub4dor&3x!"],
)
def test_long_passwords_are_taken_whatever_they_are_made_of(password: str) -> None:
    assert password_fault(password, "ada") is None


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("", "at least 10"),
        ("short", "at least 10"),
        ("a" * 257, "at most 256"),
        ("€" * 100, "at most 256"),
        ("aaaaaaaaaaaa", "too easily guessed"),
        ("abcdefghijkl", "too easily guessed"),
        ("9876543210", "too easily guessed"),
        ("Password123", "too easily guessed"),
        ("edgewright1", "too easily guessed"),
        ("ada.lovelace1", "user's name"),
        ("line one\nline two", "can be seen"),
        ("a surrogate \udc80 here", "can be seen"),
    ],
)
def test_passwords_that_are_not_good_enough_are_told_why(password: str, told: str) -> None:
    assert told in (password_fault(password, "ada.lovelace") or "")


def test_passwords_made_up_are_good_enough_and_never_the_same() -> None:
    made = {make_password() for _ in range(200)}
    assert len(made) == 200
    assert all(password_fault(one, "ada") is None for one in made)


def test_a_password_is_recognised_and_no_other() -> None:
    kept = hash_password("zwölf Maschinen")
    assert kept.startswith("$argon2id$")
    assert is_password(kept, "zwo\u0308lf Maschinen"), "the same characters, typed on another system"
    assert not is_password(kept, "zwolf Maschinen")
    assert not is_password(kept, "\udc80")
    assert not is_password(None, "zwölf Maschinen")
    assert not is_password("no hash at all", "zwölf Maschinen")
    assert not is_outdated(kept)
    assert is_outdated("$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43)
