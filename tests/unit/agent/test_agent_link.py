"""The conversation with the fleet manager: when what may be said, by a clock that tests set."""

import json
import sqlite3
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent import log
from edgewright.agent.backoff import CEILING_SECONDS, pause, spread
from edgewright.agent.state.outbox import CAPABILITIES, Outbox
from edgewright.agent.state.store import Store
from edgewright.agent.talk import channel, conversation
from edgewright.agent.talk import link as link_module
from edgewright.agent.talk.answers import NOT_AUTHORIZED, RefusalError, pause_after
from edgewright.agent.talk.conversation import LAST_PROBLEM
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.link import Link
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.session import NotEnrolledError
from edgewright.net.http import HttpError, Response
from support.fake_clock import FakeClock

HERE = "spiffe://example.org/margo/wfm/main/client/edge-01"


class FakeIdentity:
    transport = "api"
    client = relation = HERE
    not_before = 1_700_000_000


class FakeSession:
    """Answers every request with what `answers` maps (method, path) to; a body tells 200 from the rest.

    What is asked with `Prefer: wait` is kept until `held_answer` is set.
    """

    manners = None
    held_answer = None
    held = -1

    def __init__(self):
        self.identity = FakeIdentity()
        self.answers = {}
        self.sent = []

    def request(self, method, path, *, headers=(), body=None):
        self.manners.before()
        self.sent.append((method, path))
        answer = self.answers.get((method, path), Response(200, "OK", {}, b""))
        return self._heard(answer)

    def hold(self, path, *, headers, seconds):
        self.manners.before()
        self.sent.append(("HOLD", dict(headers)["prefer"]))
        self.held = 7

    def answer(self):
        if self.held_answer is None:
            return None
        self.held = -1
        return self._heard(self.held_answer)

    def let_go(self):
        self.held = -1

    def _heard(self, answer):
        if isinstance(answer, Exception):
            raise answer
        self.manners.heard(answer)
        return answer


POLL = ("GET", "/api/v1/deployments")
PUT = ("PUT", "/capabilities")
POST = ("POST", "/status")


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(link_module, "jitter", lambda: 0.5)
    monkeypatch.setattr(conversation, "jitter", lambda: 0.5)
    monkeypatch.setattr(channel, "jitter", lambda: 0.5)
    monkeypatch.setattr(log, "write", lambda *_: None)
    return FakeClock()


@pytest.fixture
def session():
    session = FakeSession()
    session.answers[POLL] = Response(304, "Not Modified", {})
    session.answers[POLL] = manifest(1)
    return session


@pytest.fixture
def link(tmp_path, session, clock):
    store = Store(str(tmp_path / "state.db"), clock.time)
    session.manners = Manners(store, clock, Hours(store, clock))
    link = Link(session, store, clock)
    link.outbox.queue(CAPABILITIES, *PUT, b"c")
    assert link.greet()
    yield link
    store.close()


def manifest(version):
    body = json.dumps({"manifestVersion": version, "bundle": None, "deployments": []}).encode()
    return Response(200, "OK", {"etag": f'"{version}"'}, body)


def problem(status, *, headers=None, **members):
    body = json.dumps({"type": "about:blank", "title": "No", "status": status, **members}).encode()
    return Response(status, "No", headers or {}, body)


def unreachable():
    return HttpError("wfm.example:443", "connection refused; is it running?")


@pytest.mark.requirement("CAP-2", "ON-4")
def test_nothing_is_said_before_the_capabilities_were_answered(link, session, clock):
    link.outbox.queue("status/a", *POST, b"1")
    session.answers[PUT] = unreachable()
    assert not link.post()
    assert not link.poll(60)
    assert session.sent == [PUT]
    session.answers[PUT] = Response(201, "Created", {})
    clock.until(link.due())
    assert link.post()
    assert link.post()
    assert link.poll(60)
    assert session.sent == [PUT, PUT, POST, POLL]


def test_polls_come_at_their_rate_and_only_news_is_news(link, session, clock):
    link.post()
    assert link.poll(60)
    assert not link.poll(60)
    assert 57 <= link.due() - clock.monotonic() <= 63
    clock.until(link.due())
    assert not link.poll(60)
    assert session.sent.count(POLL) == 2
    session.answers[POLL] = manifest(2)
    clock.until(link.due())
    assert link.poll(60)


@pytest.mark.requirement("RT-4", "RT-5", "ERR-3")
def test_retry_after_is_obeyed_also_when_the_rate_is_higher(link, session, clock):
    link.post()
    session.answers[POLL] = problem(503, headers={"retry-after": "120"}, retryable=True)
    assert not link.poll(1)
    assert link.due() - clock.monotonic() >= 120
    clock.forward(119)
    assert not link.poll(1)
    assert session.sent.count(POLL) == 1


@pytest.mark.requirement("RT-4")
def test_a_report_told_to_wait_waits_although_polls_succeed(link, session, clock):
    link.post()
    link.outbox.queue("status/a", *POST, b"1")
    session.answers[POST] = problem(500, headers={"retry-after": "300"}, retryable=True)
    assert not link.post()
    assert link.poll(1)
    clock.forward(299)
    assert not link.post()
    clock.forward(60)
    session.answers[POST] = Response(201, "Created", {})
    assert link.post()


@pytest.mark.requirement("RT-6", "OFF-8", "OP-21")
def test_once_the_way_is_open_again_reports_go_at_once(link, session, clock):
    link.post()
    link.outbox.queue("status/a", *POST, b"1")
    session.answers[POST] = unreachable()
    for _ in range(8):
        link.post()
        clock.until(link.posts.due)
    link.post()
    assert link.posts.due > clock.monotonic()
    session.answers[POST] = Response(200, "OK", {})
    assert link.poll(60)
    assert link.post()


@pytest.mark.requirement("RT-4", "ERR-3")
def test_a_report_refused_for_good_is_dropped_and_the_next_goes(link, session):
    link.post()
    link.outbox.queue("status/a", *POST, b"1")
    link.outbox.queue("status/b", "POST", "/other", b"1")
    session.answers[POST] = problem(422, retryable=False)
    assert link.post()
    assert link.post()
    assert session.sent == [PUT, POST, ("POST", "/other")]
    assert "422" in link.outbox.answer("status/a")


@pytest.mark.requirement("API-11", "ID-23", "RT-4")
def test_who_is_retired_keeps_polling_and_says_all_again_once_accepted(link, session, clock):
    link.outbox.queue("status/a", *POST, b"1")
    refused = problem(403, type=NOT_AUTHORIZED, retryable=False)
    session.answers |= {PUT: refused, POST: refused, POLL: refused}
    assert link.post()
    assert not link.post()
    for _ in range(3):
        assert not link.poll(60)
        clock.until(link.due())
    assert session.sent == [PUT, POLL, POLL, POLL]
    session.answers |= {PUT: Response(201, "", {}), POST: Response(201, "", {}), POLL: manifest(1)}
    assert not link.poll(60)
    assert link.post()
    assert link.poll(60)
    assert link.post()
    assert session.sent[4:] == [POLL, PUT, POLL, POST]


@contextmanager
def full_disk():
    """Let no report be written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outbox, "_append", _refuse)
        yield


def _refuse(*_):
    raise sqlite3.OperationalError("database or disk is full")


def test_a_conversation_that_could_not_be_begun_on_a_full_disk_is_begun_later(link, session, tmp_path):
    assert link.post()
    store = Store(str(tmp_path / "state.db"))
    link = Link(session, store)
    with full_disk():
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError):
                link.greet()
    assert link.greet()
    assert link.post()
    assert link.poll(60)
    store.close()


def test_what_could_not_be_said_again_on_a_full_disk_is_said_later(link, session, clock):
    session.answers |= {PUT: problem(403, type=NOT_AUTHORIZED, retryable=False)}
    session.answers |= {POLL: problem(403, type=NOT_AUTHORIZED, retryable=False)}
    assert link.post()
    assert not link.poll(60)
    session.answers |= {PUT: Response(201, "", {}), POLL: manifest(1)}
    clock.until(link.due())
    with full_disk(), pytest.raises(sqlite3.OperationalError):
        link.poll(60)
    clock.until(link.due())
    assert not link.poll(60)
    assert link.post()
    assert link.poll(60)
    assert session.sent[2:] == [POLL, POLL, PUT, POLL]


def test_refused_capabilities_do_not_stop_a_device_that_is_served(link, session):
    session.answers[PUT] = problem(403, type=NOT_AUTHORIZED, retryable=False)
    link.outbox.queue("status/a", *POST, b"1")
    assert link.post()
    assert link.poll(60)
    assert link.post()
    assert session.sent == [PUT, POLL, POST]


@pytest.mark.requirement("ON-5")
def test_another_identity_is_another_conversation(link, session, clock):
    link.post()
    link.poll(60)
    link.outbox.queue("status/a", *POST, b"1")
    session.identity = type(
        "Other", (), {"relation": "spiffe://example.org/margo/wfm/b/client/x", "not_before": 0}
    )()
    assert link.greet()
    assert not link.greet()
    assert link.outbox.first() is None
    assert not link.introduced


def test_an_identity_in_the_middle_of_being_replaced_loses_nothing(link, session):
    link.post()
    link.outbox.queue("status/a", *POST, b"1")
    whole = session.identity
    session.identity = type("Halfway", (), {"relation": property(lambda _: raise_not_enrolled())})()
    assert not link.greet()
    session.identity = whole
    assert not link.greet()
    assert link.introduced
    assert link.outbox.first().name == "status/a"


def raise_not_enrolled():
    raise NotEnrolledError("not now")


def test_a_new_process_goes_on_with_a_conversation_or_begins_it_again(link, session, clock):
    second = Link(session, link._store, clock)
    assert not second.resume()
    link.post()
    assert second.resume()
    third = Link(session, link._store, clock)
    assert third.greet()
    assert third.outbox.first().name == CAPABILITIES


def test_a_problem_is_remembered_until_it_is_over(link, session, clock):
    link.post()
    session.answers[POLL] = unreachable()
    link.poll(60)
    assert "connection refused" in link._store.meta(LAST_PROBLEM)
    session.answers[POLL] = Response(304, "Not Modified", {})
    session.answers[POLL] = manifest(1)
    clock.until(link.due())
    link.poll(60)
    assert link._store.meta(LAST_PROBLEM) == ""


# --- the arithmetic ----------------------------------------------------------------------------------

fractions = st.floats(min_value=0, max_value=1)


@pytest.mark.requirement("RT-5")
@given(st.integers(1, 10_000), fractions)
def test_pauses_grow_are_bounded_and_never_nothing(failures, jitter):
    seconds = pause(failures, jitter)
    assert 0 < seconds <= CEILING_SECONDS
    assert pause(failures + 1, jitter) >= seconds


@pytest.mark.requirement("RT-4", "RT-5")
@given(st.integers(1, 10_000), fractions, st.floats(min_value=0, max_value=86_400), st.booleans())
def test_no_pause_is_shorter_than_asked_for(failures, jitter, asked, fixed):
    seconds = pause(failures, jitter, at_least=asked, fixed=fixed)
    assert seconds >= asked
    if fixed:
        assert seconds == pause(1, jitter, at_least=asked, fixed=True)


@given(st.floats(min_value=0.1, max_value=86_400), fractions)
def test_polls_are_spread_by_a_twentieth(seconds, jitter):
    assert 0.949 * seconds <= spread(seconds, jitter) <= 1.051 * seconds


@pytest.mark.requirement("RT-4", "RT-1", "OP-11", "ERR-3", "ERR-5", "OP-8")
@pytest.mark.parametrize(
    ("response", "retryable", "retry_after"),
    [
        pytest.param(problem(503), True, None, id="by its status"),
        pytest.param(problem(404), False, None, id="by its status, final"),
        pytest.param(problem(404, retryable=True), True, None, id="the body outranks the status"),
        pytest.param(problem(503, retryable=False), False, None, id="the body outranks it both ways"),
        pytest.param(problem(503, headers={"retry-after": "7"}), True, 7.0, id="header"),
        pytest.param(
            problem(503, headers={"retry-after": "7"}, retryAfterSeconds=99),
            True,
            7.0,
            id="header before body",
        ),
        pytest.param(problem(503, retryAfterSeconds=30), True, 30.0, id="body"),
        pytest.param(
            problem(503, headers={"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}), True, 60.0, id="date"
        ),
        pytest.param(
            problem(503, headers={"retry-after": "Fri, 15 Jan 1999 08:01:00 GMT"}), True, 0.0, id="past"
        ),
        pytest.param(problem(503, headers={"retry-after": "soon"}), True, None, id="nonsense"),
        pytest.param(problem(503, headers={"retry-after": "9" * 50}), True, 86_400.0, id="absurd"),
        pytest.param(problem(503, retryAfterSeconds=True), True, None, id="no number"),
        pytest.param(Response(500, "Oops", {}, b"<html>"), True, None, id="no problem details"),
        pytest.param(Response(404, "No", {}, b"[1]"), False, None, id="JSON but no object"),
        pytest.param(Response(404, "No", {}, b"[" * 100_000), False, None, id="nested without end"),
    ],
)
def test_what_a_refusal_says(response, retryable, retry_after):
    refusal = RefusalError(response, "GET /x", 1_800_000_000.0)
    assert (refusal.retryable, refusal.retry_after) == (retryable, retry_after)
    assert str(response.status) in str(refusal)
    assert pause_after(refusal, 1, 0.5) >= (retry_after or 0)


def test_what_is_final_is_not_asked_again_soon():
    assert pause_after(RefusalError(problem(404), "GET /x", 0.0), 1, 0.0) >= 300
