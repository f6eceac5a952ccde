"""Polls whose answers are held back, over real TLS: news at once, and everything else goes on meanwhile."""

import select

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.state.outbox import CAPABILITIES
from edgewright.agent.state.store import Manifest, Store
from edgewright.agent.talk.link import Link
from edgewright.agent.talk.session import Session
from edgewright.net.http import HttpError
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import Answer, ForeignServer, deployment_yaml, digest_of

ONE = "11111111-1111-4111-8111-111111111111"
POLLS = ("GET", "/api/v1/deployments")


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        server.holds = True
        yield server


@pytest.fixture
def agent(tmp_path, authority, server):
    rig = AgentRig(tmp_path, authority)
    rig.enroll(server.url)
    return rig


@pytest.fixture
def session(agent):
    session = Session(Paths(str(agent.state)))
    yield session
    session.close()


def hold(session, server, seconds=30):
    etag = f'"{digest_of(server.manifest)}"'
    session.hold(POLLS[1], headers=[("if-none-match", etag), ("prefer", f"wait={seconds}")], seconds=seconds)
    server.wait_for(server.polls, "the poll that is held back")


def answer_of(session):
    """The answer, once it comes; what arrives before (session tickets) is not one."""
    while True:
        assert select.select([session.held], [], [], 20)[0]
        answer = session.answer()
        if answer is not None:
            return answer


@pytest.mark.parametrize("tickets", [0, 2, 8])
def test_session_tickets_are_no_answer(authority, server, agent, session, tickets):
    port = server.port
    server.stop()
    server.tickets = tickets
    server.start(port)
    hold(session, server)
    for _ in range(3):  # whatever TLS has to say is read, and nothing waits for more
        if select.select([session.held], [], [], 0.05)[0]:
            assert session.answer() is None
    assert not select.select([session.held], [], [], 0)[0]
    server.deploy(deployment_yaml(ONE))
    assert answer_of(session).body == server.manifest
    assert session.held == -1


def test_the_rest_is_said_meanwhile_and_both_connections_are_kept(server, session):
    for _ in range(3):
        polls = len(server.polls())
        hold(session, server)
        server.wait_for(lambda: len(server.polls()) > polls, "the poll")  # noqa: B023
        answer = session.request("PUT", "/api/v1/capabilities/edge-01", body=b"{}")
        assert answer.status in (200, 201)
        assert session.answer() is None
        server.deploy(deployment_yaml(ONE))
        assert answer_of(session).status == 200
    assert server.connections == 2


def test_what_is_held_ends_with_its_time(server, session):
    hold(session, server, seconds=1)
    answer = answer_of(session)
    assert (answer.status, answer.headers["preference-applied"]) == (304, "wait=1")


def test_a_server_that_goes_away_ends_it(server, session):
    hold(session, server)
    server.stop()
    with pytest.raises(HttpError):
        answer_of(session)
    assert session.held == -1


def test_another_identity_ends_it(server, agent, session):
    hold(session, server)
    agent.enroll(server.url, replace=True)
    assert session.identity is not None
    assert session.held == -1


def test_letting_go_closes_that_connection_alone(server, session):
    session.request("PUT", "/api/v1/capabilities/edge-01", body=b"{}")
    hold(session, server)
    session.let_go()
    assert session.held == -1
    session.request("PUT", "/api/v1/capabilities/edge-01", body=b"{}")
    assert server.connections == 2


def test_a_slow_large_answer_comes_whole(server, session):
    server.manifest = b"x" * 300_000
    etag = server.manifest[:1]
    session.hold(POLLS[1], headers=[("if-none-match", f'"{etag}"'), ("prefer", "wait=5")], seconds=5)
    assert answer_of(session).body == server.manifest


@pytest.mark.requirement("DS-1", "S-24")
def test_the_watch_has_news_at_once_although_it_polls_seldom(server, agent):
    with agent.running(poll=15):
        server.wait_for(lambda: any("prefer" in each.headers for each in server.polls()), "a held poll", 90)
        polls = len(server.polls())
        version = server.deploy(deployment_yaml(ONE))
        server.wait_for_state(ONE, "installed", version=version)
        # What the news led to first came of the poll that was held back, not of another one.
        taken_up = next(number for number, each in enumerate(server.requests) if "/deployments/" in each.path)
        assert sum((each.method, each.path) == POLLS for each in server.requests[:taken_up]) == polls
        # It hears the container engine, signals and rounds while it waits: this report came meanwhile.
        assert server.connections >= 2


def test_where_held_polls_are_cut_off_again_and_again_it_is_done_without(server, agent, authority):
    """As by a proxy that allows no silence; here each one is answered by nothing."""
    agent.round().wait(30)
    store = Store(Paths(str(agent.state)).database)
    session = Session.polite(Paths(str(agent.state)), store)
    link = Link(session, store)
    link.greet()
    link.outbox.queue(CAPABILITIES, "PUT", "/api/v1/capabilities/edge-01", b"{}")
    body = server.manifest
    store.accept(
        Manifest(
            relation=str(session.identity.client),
            etag=f'"{digest_of(body)}"',
            digest=digest_of(body),
            body=body,
            version=1,
        )
    )
    assert link.post()
    port = server.port
    for _ in range(3):
        link.polls.due = 0.0
        assert not link.poll(30.0)
        assert link.fd >= 0
        server.stop()
        assert select.select([link.fd], [], [], 20)[0]
        while link.fd >= 0:
            assert not link.hear()
        server.start(port)
    link.polls.due = 0.0
    assert not link.poll(30.0)
    assert link.fd == -1
    assert "prefer" not in server.polls()[-1].headers
    session.close()
    store.close()


def test_retry_after_of_a_held_answer_counts_for_all(server, agent, session):
    store = Store(Paths(str(agent.state)).database)
    polite = Session.polite(Paths(str(agent.state)), store)
    server.script(
        lambda request: (
            Answer.problem(503, headers={"Retry-After": "60"}) if request.method == "GET" else None
        )
    )
    hold(polite, server)
    assert answer_of(polite).status == 503
    with pytest.raises(Exception, match="left alone"):
        polite.request("PUT", "/api/v1/capabilities/edge-01", body=b"{}")
    polite.close()
    store.close()
