"""The conversation by a Git repository: when the branch is asked for, and when a courier is sent."""

from types import SimpleNamespace

import pytest

from edgewright.agent import log
from edgewright.agent.git import notes
from edgewright.agent.git.access import AccessError, GitAccess
from edgewright.agent.git.head import GitRefusalError
from edgewright.agent.state.outbox import CAPABILITIES
from edgewright.agent.state.store import Manifest, Store
from edgewright.agent.talk import channel, conversation, git_link
from edgewright.agent.talk.conversation import LAST_PROBLEM
from edgewright.agent.talk.git_link import GitLink
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.link import Link
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.timetable import TIMETABLE
from edgewright.net.git.url import RepositoryUrl
from edgewright.net.http import HttpError, Response
from edgewright.protocol.digests import digest_of
from support.fake_clock import FakeClock

HERE = "spiffe://example.org/margo/wfm/main/client/edge-01"
ONE, TWO = "1" * 40, "2" * 40


class FakeHelper:
    """A helper process: says `lines` and ends with `code` as soon as somebody listens; does `work` first."""

    def __init__(self):
        self.started = []
        self.lines, self.code = [], 0
        self.work = lambda: None
        self.at_work = False
        self.killed = 0

    @property
    def fd(self):
        return 7 if self.at_work else -1

    def start(self, *words):
        self.started.append(words)
        self.at_work = True

    def hear(self):
        if self.lines:
            lines, self.lines = self.lines, []
            return [line.encode() for line in lines], None
        self.work()
        self.at_work = False
        return [], self.code

    def kill(self):
        self.at_work = False
        self.killed += 1


class FakeHead:
    """The Git server: answers with `answer`, or raises it."""

    def __init__(self, url="https://git.example/edge-01.git"):
        self.access = GitAccess("", url=RepositoryUrl(url), kind="none")
        self.answer = ""
        self.asked = 0
        self.manners = None

    def ask(self):
        self.manners.before()
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self):
        pass


class Scene:
    def __init__(self, directory, url="https://git.example/edge-01.git"):
        self.clock = FakeClock()
        self.store = Store(str(directory / "state.db"), self.clock.time)
        self.identity = SimpleNamespace(transport="git", relation=HERE, not_before=0)
        self.couriers, self.looks, self.head = FakeHelper(), FakeHelper(), FakeHead(url)
        self.head.manners = Manners(self.store, self.clock, Hours(self.store, self.clock))
        self.couriers.work = self.deliver
        self.link = self.new()

    def new(self):
        return GitLink(
            SimpleNamespace(identity=self.identity),
            self.store,
            self.clock,
            couriers=self.couriers,
            looks=self.looks,
            head=self.head,
        )

    def deliver(self):
        """Do what a courier does that reaches the server."""
        if self.couriers.code:
            return
        while (report := self.link.outbox.first()) is not None:
            self.link.outbox.answered(report)
        self.store.set_meta(notes.TOLD, notes.render_adopted(self.store))
        if "--fetch" in self.couriers.started[-1]:
            self.store.set_meta(notes.COMMIT, self.head.answer)

    def hear(self):
        """Let whoever is at work end; return whether there was news."""
        news = False
        while self.link.fd >= 0:
            news = self.link.hear() or news
        return news

    def settle(self):
        """Say and hear all that is due."""
        self.link.post()
        self.hear()
        self.link.poll(60)
        return self.hear()

    def refusal(self, status, **headers):
        response = Response(status, "No", {name.replace("_", "-"): value for name, value in headers.items()})
        return GitRefusalError(response, self.head.access)

    @property
    def problem(self):
        return self.store.meta(LAST_PROBLEM)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    for module in (conversation, git_link, channel):
        monkeypatch.setattr(module, "jitter", lambda: 0.5)
    monkeypatch.setattr(log, "write", lambda *_: None)
    scene = Scene(tmp_path)
    scene.link.outbox.queue(CAPABILITIES, "PUT", "/c", b"c")
    assert scene.link.greet()
    yield scene
    scene.store.close()


def test_what_is_to_be_told_is_taken_along_by_one_courier_before_the_first_poll(scene):
    assert not scene.link.post()
    assert scene.couriers.started == [("--push",)]
    assert not scene.link.poll(60)
    assert scene.head.asked == 0  # one thing after the other
    scene.hear()
    assert scene.link.outbox.first() is None
    scene.link.poll(60)
    assert scene.head.asked == 1


@pytest.mark.requirement("GR-43", "S-19")
def test_a_branch_that_did_not_move_costs_one_question_and_no_process(scene):
    scene.head.answer = ONE
    scene.settle()
    started = len(scene.couriers.started)
    for _ in range(50):
        scene.clock.until(scene.link.due())
        scene.settle()
    assert scene.head.asked == 51
    assert len(scene.couriers.started) == started
    assert 57 <= scene.link.due() - scene.clock.monotonic() <= 63


@pytest.mark.requirement("S-18")
def test_a_branch_that_moved_is_fetched_and_its_news_is_for_a_round(scene):
    scene.settle()
    scene.head.answer = ONE
    scene.couriers.lines = ["news", "policy"]
    scene.clock.until(scene.link.due())
    assert scene.settle()
    assert scene.couriers.started[-1] == ("--fetch",)


def test_a_missing_branch_is_no_news_and_one_that_is_gone_is(scene):
    scene.settle()
    assert ("--fetch",) not in scene.couriers.started
    scene.head.answer = ONE
    scene.clock.until(scene.link.due())
    scene.settle()
    scene.head.answer = ""
    scene.couriers.work = lambda: None
    scene.clock.until(scene.link.due())
    scene.settle()
    assert scene.couriers.started[-2:] == [("--fetch",), ("--fetch",)]


@pytest.mark.requirement("GR-29")
def test_a_refused_head_is_fetched_once_and_what_is_to_be_told_of_it_goes_by_the_next_courier(scene):
    scene.settle()
    scene.head.answer = TWO

    def refuse():
        scene.store.set_meta(notes.REFUSED, notes.render_refusal(TWO, "not signed", scene.clock.time()))

    scene.couriers.work = refuse
    scene.clock.until(scene.link.due())
    scene.settle()
    scene.couriers.work = scene.deliver
    scene.settle()
    assert scene.couriers.started[-2:] == [("--fetch",), ("--push",)]
    count = len(scene.couriers.started)
    scene.clock.until(scene.link.due())
    scene.settle()
    assert len(scene.couriers.started) == count


def test_who_asks_has_even_an_unmoved_branch_looked_at_again(scene):
    scene.head.answer = ONE
    scene.settle()
    count = len(scene.couriers.started)
    scene.link.ask()
    assert scene.link.due() <= scene.clock.monotonic()
    scene.settle()
    assert scene.couriers.started[count:] == [("--fetch",)]


def test_who_asks_has_a_head_fetched_that_was_to_wait_for_its_next_try(scene):
    store = scene.store
    now = scene.clock.time()
    store.set_meta(notes.REFUSED, notes.render_refusal(ONE, "too much was sent", now))
    store.set_meta(notes.AGAIN, f"{notes.next_try(now, now):.0f}")
    assert notes.is_refused(store, ONE, now)
    scene.head.answer = ONE
    scene.link.ask()
    scene.settle()
    assert not notes.is_refused(store, ONE, now)
    store.set_meta(notes.AGAIN, "")
    scene.link.ask()
    scene.settle()
    assert notes.is_refused(store, ONE, now)  # its commit is at fault: nobody's asking changes that


def test_a_courier_that_fails_is_told_of_and_sent_again_later_each_time(scene):
    scene.settle()
    scene.head.answer = ONE
    scene.couriers.code = 1
    pauses = []
    for _ in range(6):
        scene.clock.until(scene.link.due())
        scene.couriers.lines = ["problem git.example: the disk is full"]
        scene.settle()
        assert scene.problem == "git.example: the disk is full"
        pauses.append(scene.link.due() - scene.clock.monotonic())
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0]
    scene.couriers.code = 0
    scene.clock.until(scene.link.due())
    scene.settle()
    assert scene.problem == ""


@pytest.mark.parametrize(("code", "words"), [(-9, "was killed by signal 9"), (3, "ended with code 3")])
def test_a_courier_that_says_nothing_of_its_end_is_told_of_by_it(scene, code, words):
    scene.couriers.code = code
    scene.settle()
    assert words in scene.problem


def test_a_push_that_fails_waits_and_polls_go_on(scene):
    scene.couriers.code = 1
    scene.settle()
    assert scene.head.asked == 1
    assert scene.couriers.started == [("--push",)]
    due = scene.link.due()
    assert due > scene.clock.monotonic()
    scene.clock.until(due)
    scene.settle()
    assert scene.couriers.started == [("--push",), ("--push",)]


def test_a_courier_that_leaves_its_report_undone_is_not_sent_in_circles(scene):
    scene.couriers.work = lambda: None
    scene.settle()
    assert scene.link.due() > scene.clock.monotonic()
    scene.settle()
    assert len(scene.couriers.started) == 1


def test_another_courier_at_work_is_waited_for_and_no_failure(scene):
    scene.couriers.code = 75
    scene.settle()
    assert not scene.problem
    assert scene.link.due() - scene.clock.monotonic() == pytest.approx(5.0)


def test_a_courier_that_does_not_end_is_ended(scene):
    scene.link.post()
    assert scene.link.due() - scene.clock.monotonic() == pytest.approx(30 * 60 + 120)
    scene.clock.until(scene.link.due())
    scene.link.poll(60)
    assert scene.couriers.killed == 1
    assert "did not end in time" in scene.problem
    assert scene.link.fd == -1


def test_ending_the_conversation_ends_who_is_at_work(scene):
    scene.link.post()
    scene.link.end()
    assert scene.couriers.killed == 1
    assert scene.link.fd == -1


@pytest.mark.requirement("GR-44", "RT-4")
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_to_be_left_alone_is_left_alone_by_couriers_as_well(scene, status):
    scene.settle()
    refusal = scene.refusal(status, retry_after="600")
    scene.head.manners.asked(Response(status, "No", {"retry-after": "600"}))
    scene.head.answer = refusal
    scene.link.outbox.queue("status/a", "POST", "/s", b"1")
    started = len(scene.couriers.started)
    scene.settle()
    assert scene.link.due() - scene.clock.monotonic() == pytest.approx(600, abs=1)
    scene.clock.forward(599)
    scene.settle()
    assert len(scene.couriers.started) == started
    scene.clock.until(scene.link.due())
    scene.settle()
    assert len(scene.couriers.started) == started + 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "it wants to know who asks"),
        (403, "may not read this repository"),
        (404, "no such repository"),
        (302, "it redirects to https://login.example/in (302), which is not followed"),
        (500, "it answered 500 No"),
        (503, "it cannot answer now (503 No)"),
    ],
)
def test_what_the_server_refuses_is_said_in_words_and_asked_again_at_its_time(scene, status, words):
    scene.settle()
    scene.head.answer = scene.refusal(status, location="https://login.example/in?token=secret")
    scene.clock.until(scene.link.due())
    scene.settle()
    assert scene.problem.startswith("https://git.example/edge-01.git: ")
    assert words in scene.problem
    assert "secret" not in scene.problem
    assert scene.clock.monotonic() < scene.link.due() <= scene.clock.monotonic() + 63
    scene.head.answer = ""
    scene.clock.until(scene.link.due())
    scene.settle()
    assert scene.problem == ""


def test_an_unreachable_server_is_asked_later_each_time_up_to_five_minutes(scene):
    scene.settle()
    scene.head.answer = HttpError("git.example:443", "connection refused; is it running?")
    for _ in range(12):
        scene.clock.until(scene.link.due())
        scene.settle()
    assert scene.problem == "git.example:443: connection refused; is it running?"
    assert 150 <= scene.link.due() - scene.clock.monotonic() <= 300


def test_a_damaged_access_is_told_and_looked_at_again(scene):
    scene.settle()
    scene.head.answer = AccessError("/identity/git-password: Permission denied")
    scene.clock.until(scene.link.due())
    scene.settle()
    assert scene.problem == "/identity/git-password: Permission denied"


@pytest.mark.requirement("OFF-2")
def test_in_downtime_nothing_is_asked_and_nobody_sent(scene):
    begin = scene.clock.time()
    hours = '{"poll": 60, "polls": null, "downtime": [[%d, %d]], "begin": %d, "end": %d}'
    scene.store.set_meta(TIMETABLE, hours % (begin, begin + 1800, begin, begin + 86400))
    scene.link.hours.look()
    scene.settle()
    assert (scene.head.asked, scene.couriers.started) == (0, [])
    assert scene.link.due() - scene.clock.monotonic() >= 1790


def test_what_was_told_is_told_again_at_the_reporting_interval(scene):
    scene.settle()
    count = len(scene.couriers.started)
    scene.clock.forward(3 * 3600)
    scene.settle()
    assert scene.couriers.started[count] == ("--push",)
    count = len(scene.couriers.started)
    scene.settle()
    assert len(scene.couriers.started) == count


def test_over_ssh_a_short_process_looks_and_its_word_is_the_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "write", lambda *_: None)
    scene = Scene(tmp_path, "git@git.example:edge-01.git")
    scene.link.greet()
    scene.head.answer = ONE  # what couriers find
    scene.looks.lines = [f"head {ONE}"]
    scene.settle()
    assert scene.looks.started == [()]
    assert scene.head.asked == 0
    assert ("--fetch",) in scene.couriers.started or ("--fetch", "--push") in scene.couriers.started
    scene.looks.code, scene.looks.lines = 1, ["problem the host key is not known"]
    scene.clock.until(scene.link.due())
    scene.settle()
    assert scene.problem == "the host key is not known"
    scene.store.close()


def test_without_a_server_nothing_is_ever_asked(tmp_path):
    scene = Scene(tmp_path, "none:")
    scene.link.outbox.queue(CAPABILITIES, "PUT", "/c", b"c")
    scene.link.greet()
    scene.settle()
    scene.link.ask()
    scene.settle()
    assert scene.link.due() == float("inf")
    assert (scene.head.asked, scene.couriers.started, scene.looks.started) == (0, [], [])
    scene.store.close()


@pytest.mark.requirement("GR-52")
def test_moving_between_the_transports_tells_everything_anew_and_forgets_nothing(scene):
    scene.link.outbox.queue("status/a", "POST", "/s", b"1")
    scene.settle()
    body = b'{"manifestVersion": 1, "bundle": null, "deployments": []}'
    scene.store.accept(Manifest(relation=HERE, etag=ONE, digest=digest_of(body), body=body, version=1))
    scene.identity.transport = "api"
    assert scene.link.is_moved
    other = Link(SimpleNamespace(identity=scene.identity), scene.store, scene.clock)
    assert not other.is_moved
    assert not other.resume()
    assert other.greet()
    assert {report.name for report in other.outbox.last("")} == {CAPABILITIES, "status/a"}
    assert len(other.outbox) == 2
    scene.store.rename(HERE, digest_of(body), '"7"')
    assert scene.store.accepted().etag == '"7"'
    assert scene.store.accepted().version == 1


def test_a_turn_of_a_timer_goes_on_with_the_conversation_of_the_last(scene):
    scene.settle()
    again = scene.new()
    assert again.resume()
    assert not again.greet()
    scene.identity.relation = "git:https://git.example/other.git"
    assert not scene.new().resume()
