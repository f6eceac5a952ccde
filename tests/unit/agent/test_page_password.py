"""The page's password, its sessions, and how often somebody may try."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.page import password, session
from edgewright.agent.page.password import BURST, SECONDS_A_TRY, NoPasswordError, Tries, after_try
from edgewright.agent.page.session import SECONDS, Session
from edgewright.agent.paths import Paths

NOW = 1_800_000_000.0
KEY = b"k" * 32


@pytest.fixture
def paths(tmp_path):
    return Paths(str(tmp_path))


def test_a_password_is_made_once_and_only_its_hash_is_kept(paths):
    made = password.make(paths)
    kept = Path(paths.page_secret)
    assert made not in kept.read_text()
    assert made.replace("-", "") not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert password.load(paths).accepts(made)


@pytest.mark.parametrize("change", [str.upper, lambda text: text.replace("-", ""), lambda text: f" {text} "])
def test_how_a_password_is_written_does_not_matter(paths, change):
    made = password.make(paths)
    assert password.load(paths).accepts(change(made))


def test_another_word_is_not_the_password(paths):
    made = password.make(paths)
    assert not password.load(paths).accepts(made[:-1])
    assert not password.load(paths).accepts("")


def test_a_new_password_ends_the_old_one_and_its_sessions(paths):
    old = password.make(paths)
    cookie = Session.begin("Ada", NOW).sign(password.load(paths).key)
    password.make(paths)
    secret = password.load(paths)
    assert not secret.accepts(old)
    assert session.read(cookie, secret.key, NOW) is None


@pytest.mark.parametrize("content", [None, "", "{}", "nonsense", '{"salt": 1}'])
def test_without_a_password_nobody_signs_in(paths, tmp_path, content):
    if content is not None:
        (tmp_path / "page.json").write_text(content)
    with pytest.raises(NoPasswordError, match="edgewright agent page password"):
        password.load(paths)


def test_tries_are_limited_and_come_back(tmp_path):
    path = str(tmp_path / "tries")
    assert [Tries(path).take(NOW) for _ in range(BURST)] == [0.0] * BURST
    assert Tries(path).take(NOW) == pytest.approx(SECONDS_A_TRY)  # another process knows as well
    assert Tries(path).take(NOW + SECONDS_A_TRY + 0.01) == 0.0
    assert Tries(path).take(NOW + SECONDS_A_TRY + 0.02) > 0.0


def test_the_right_password_gives_all_tries_back(tmp_path):
    tries = Tries(str(tmp_path / "tries"))
    for _ in range(BURST):
        tries.take(NOW)
    tries.reset()
    assert tries.take(NOW) == 0.0


@given(st.floats(-1e12, 1e12), st.floats(0, 1e11))
def test_no_clock_makes_anybody_wait_longer_than_a_try(used, now):
    after, wait = after_try(used, now)
    assert 0.0 <= wait <= SECONDS_A_TRY + 1e-3
    assert after <= now + (BURST + 1) * SECONDS_A_TRY + 1e-3


@given(st.text(max_size=200))
def test_a_session_tells_who_it_is(name):
    begun = Session.begin(name, NOW)
    assert session.read(begun.sign(KEY), KEY, NOW) == Session(
        begun.name.encode("utf-8", "replace").decode(), begun.expires, begun.nonce
    )


@pytest.mark.parametrize(
    ("later", "is_over"),
    [(0, False), (SECONDS - 1, False), (SECONDS, True), (-3600, True)],
)
def test_a_session_ends_after_twelve_hours_and_is_none_before_it_began(later, is_over):
    cookie = Session.begin("Ada", NOW).sign(KEY)
    assert (session.read(cookie, KEY, NOW + later) is None) == is_over


@given(st.text(max_size=120))
def test_nothing_made_up_is_a_session(text):
    assert session.read(text, KEY, NOW) is None


def test_a_changed_session_is_none():
    cookie = Session.begin("Ada", NOW).sign(KEY)
    expires, rest = cookie.split(".", 1)
    assert session.read(f"{int(expires) + 1}.{rest}", KEY, NOW) is None


def test_the_token_of_one_session_is_not_that_of_another():
    one, two = Session.begin("Ada", NOW), Session.begin("Ada", NOW)
    assert one.is_token(KEY, one.token(KEY))
    assert not two.is_token(KEY, one.token(KEY))
    assert not one.is_token(KEY, "")
