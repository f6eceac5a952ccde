"""How the agent talks to a foreign fleet manager: whom it believes, what it refuses, what it never loses."""

import json
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.talk.session import Session
from edgewright.net.http import HttpError
from support.agent_rig import AgentRig
from support.certificates import EXPIRED, WRONG_SHAPES, Authority
from support.foreign_server import Answer, ForeignServer, deployment_yaml, digest_of, pack
from support.processes import wait_until

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
NOT_AUTHORIZED = "https://docs.margo.org/specification/problem-types#not-authorized"


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def agent(tmp_path, authority, server):
    rig = AgentRig(tmp_path, authority)
    rig.enroll(server.url)
    return rig


def rounds(agent):
    """How many rounds have looked at what runs."""
    return sum(call == ["observe"] for call in agent.calls)


def events(agent, kind):
    with closing(sqlite3.connect(agent.state / "state.db")) as database:
        return [row[0] for row in database.execute("SELECT message FROM events WHERE kind = ?", (kind,))]


# --- whom it believes -------------------------------------------------------------------------------


def wrong_servers():
    for name, shape in WRONG_SHAPES.items():
        yield pytest.param(lambda authority, shape=shape: authority.wfm(**shape), id=name)
    yield pytest.param(lambda authority: authority.wfm("another"), id="another wfm-id")
    yield pytest.param(lambda authority: authority.client("main", "edge-02"), id="a client")
    yield pytest.param(lambda authority: authority.web_server(), id="a plain web server")
    yield pytest.param(lambda authority: authority.wfm(**EXPIRED), id="expired")
    yield pytest.param(lambda _: Authority.create().wfm(), id="another authority")


@pytest.mark.requirement("ID-12", "SVID-1", "SVID-2", "SVID-3", "SVID-12", "TLS-4", "TLS-5", "TLS-19", "ID-9")
@pytest.mark.parametrize("identity", list(wrong_servers()))
def test_a_server_of_another_identity_gets_no_byte(tmp_path, authority, identity):
    with ForeignServer(authority, identity=identity(authority)) as server:
        agent = AgentRig(tmp_path, authority)
        agent.enroll(server.url)
        done = agent.command("sync")
        assert done.returncode == 1, done.stderr
        assert server.requests == []


@pytest.mark.requirement("TLS-9", "ID-13", "TLS-1")
def test_the_servers_name_counts_for_nothing(agent, server):
    done = agent.command("sync")
    assert done.returncode == 0, done.stderr
    assert [each.method for each in server.requests] == ["PUT", "GET"]


@pytest.mark.requirement("TLS-13", "LC-5", "LC-10")
def test_a_replaced_svid_means_a_new_connection_and_no_new_introduction(agent, server, authority):
    with agent.running():
        server.wait_for_polls(2)
        agent.enroll(server.url, identity=authority.client(), replace=True)
        server.wait_for(lambda: server.polls()[-1].connection > 1, "a poll on another connection")
    polls = [each.connection for each in server.polls()]
    assert polls[0] == polls[1]
    assert len(server.requests_for("PUT", "")) == 1


@pytest.mark.requirement("TLS-11", "TLS-12", "ID-15")
def test_a_connection_does_not_outlive_its_age_or_either_svid(agent, server, authority):
    port = server.port
    server.stop()
    connections = {}
    for name, max_age, lifetime in (("young", 3600.0, 3600), ("old", 0.0, 3600), ("ended", 3600.0, 4)):
        end = datetime.now(UTC) + timedelta(seconds=lifetime)
        other = ForeignServer(authority, identity=authority.wfm(not_after=end))
        other.start(port)
        session = Session(Paths(str(agent.state)), max_age=max_age)
        session.request("GET", "/api/v1/deployments")
        if name == "ended":
            wait_until(lambda end=end: datetime.now(UTC) > end, what="the server's SVID has ended")
        with suppress(HttpError):
            session.request("GET", "/api/v1/deployments")
        session.close()
        other.stop()
        connections[name] = other.connections
    assert connections == {"young": 1, "old": 2, "ended": 2}


# --- what it refuses --------------------------------------------------------------------------------


@pytest.mark.requirement("DS-12", "DS-16", "OP-17")
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_an_older_manifest_is_refused_recorded_and_costs_no_round_at_every_poll(
    agent, server, restarted, version
):
    server.deploy(deployment_yaml(ONE))
    server.deploy(deployment_yaml(ONE, components=["web", "db"]))
    agent.start()
    server.wait_for_state(ONE, "installed", version=3)
    if restarted:
        agent.stop()
        agent.start()
        server.wait_for_polls(2)
    before = rounds(agent)
    server.documents = {TWO: deployment_yaml(TWO)}
    server.publish(version)
    wait_until(lambda: events(agent, "security"), what="the refusal is recorded")
    server.wait_for_polls(5)
    agent.stop()
    assert set(agent.installed) == {(ONE, "web"), (ONE, "db")}
    assert rounds(agent) <= before + 1 + restarted
    assert len(events(agent, "security")) == 1
    assert server.statuses(TWO) == []


@pytest.mark.requirement("OP-16")
def test_a_person_can_let_an_older_manifest_in(agent, server):
    server.deploy(deployment_yaml(ONE))
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed", version=3)
        server.documents = {TWO: deployment_yaml(TWO)}
        server.publish(1)
        wait_until(lambda: events(agent, "security"), what="the refusal is recorded")
        assert agent.command("reset-version").returncode == 0
        server.wait_for_state(TWO, "installed", version=1)
        server.wait_for_state(ONE, "removed")


@pytest.mark.requirement("DS-2", "DS-6", "DS-16")
def test_the_accepted_etag_is_asked_with_also_after_a_restart(agent, server):
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed")
    etag = f'"{digest_of(server.manifest)}"'
    seen = len(server.polls())
    with agent.running():
        server.wait_for_polls(1)
    assert server.polls()[seen].headers["if-none-match"] == etag


@pytest.mark.requirement("OP-18")
def test_the_same_bytes_without_an_etag_are_no_news_and_no_crime(agent, server):
    server.script(
        lambda request: Answer(200, server.manifest) if request.path == "/api/v1/deployments" else None
    )
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        before = rounds(agent)
        server.wait_for_polls(5)
    assert rounds(agent) == before
    assert events(agent, "security") == []


@pytest.mark.requirement("DS-15")
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: b"{", id="no JSON"),
        pytest.param(lambda text: text.replace(b"sha256:", b"sha999:"), id="digest algorithm"),
        pytest.param(
            lambda text: text.replace(b'"manifestVersion": 2', b'"manifestVersion": 0'), id="version"
        ),
        pytest.param(
            lambda text: text.replace(b'"manifestVersion": 2', b'"manifestVersion": 1e400'), id="huge"
        ),
        pytest.param(lambda text: json.dumps({**json.loads(text), "bundle": None}).encode(), id="no bundle"),
        pytest.param(lambda text: text.replace(ONE.encode(), b"../../../etc/passwd"), id="hostile id"),
        pytest.param(lambda text: b"[" * 100_000, id="nested without end"),
    ],
)
def test_a_manifest_that_is_none_is_refused_and_polling_goes_on(agent, server, spoil):
    server.deploy(deployment_yaml(ONE))
    server.manifest = spoil(server.manifest)
    with agent.running():
        wait_until(lambda: events(agent, "server"), what="the refusal is recorded")
        server.wait_for_polls(3)
        assert server.statuses(ONE) == []
        version = server.publish()
        server.wait_for_state(ONE, "installed", version=version)
    assert len(events(agent, "server")) == 1


@pytest.mark.requirement("OP-15")
def test_versions_have_all_of_their_64_bits(agent, server):
    server.documents = {ONE: deployment_yaml(ONE)}
    server.publish(2**64 - 2)
    with agent.running():
        server.wait_for_state(ONE, "installed", version=2**64 - 2)
        server.deploy(deployment_yaml(ONE, components=["other"]))
        server.wait_for_state(ONE, "installed", version=2**64 - 1)


# --- documents and bundles --------------------------------------------------------------------------


@pytest.mark.requirement("DS-17", "DS-11")
def test_many_documents_come_as_the_bundle_and_one_comes_alone(agent, server):
    server.deploy(deployment_yaml(ONE), deployment_yaml(TWO))
    with agent.running():
        server.wait_for_state(TWO, "installed")
        assert len([each for each in server.requests if "/bundles/" in each.path]) == 1
        assert not [each for each in server.requests if each.method == "GET" and f"/{ONE}/" in each.path]
        version = server.deploy(deployment_yaml(ONE, components=["changed"]))
        server.wait_for_state(ONE, "installed", version=version)
    assert len([each for each in server.requests if "/bundles/" in each.path]) == 1
    assert len([each for each in server.requests if each.method == "GET" and f"/{ONE}/" in each.path]) == 1


@pytest.mark.requirement("DS-17")
@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param(lambda server: None, id="not found"),
        pytest.param(lambda server: b"no archive at all", id="no archive"),
        pytest.param(lambda server: pack({"a.yaml": server.documents[ONE]}), id="a document is missing"),
        pytest.param(
            lambda server: pack(
                {"a.yaml": server.documents[ONE], "b.yaml": b"x", "c.yaml": server.documents[TWO]}
            ),
            id="one too many",
        ),
        pytest.param(
            lambda server: pack({"../a.yaml": server.documents[ONE], "b.yaml": server.documents[TWO]}),
            id="hostile path",
        ),
    ],
)
def test_an_unusable_bundle_is_made_up_for_one_by_one(agent, server, bundle):
    server.deploy(deployment_yaml(ONE), deployment_yaml(TWO))
    data = bundle(server)
    server.bundles.clear()
    if data is not None:
        path = f"/api/v1/bundles/{digest_of(data)}"
        server.bundles[path] = data
        manifest = json.loads(server.manifest)
        manifest["bundle"].update(digest=digest_of(data), url=path)
        server.manifest = json.dumps(manifest).encode()
    with agent.running():
        server.wait_for_state(ONE, "installed")
        server.wait_for_state(TWO, "installed")
    assert len([each for each in server.requests if "/bundles/" in each.path]) == 1


@pytest.mark.requirement("DS-13", "DS-14", "DS-23", "DG-3")
def test_a_wrong_digest_aborts_the_whole_update_and_leaves_no_trace(agent, server):
    first, last = deployment_yaml(ONE), deployment_yaml(ONE, components=["newest"])
    server.deploy(first)
    with agent.running():
        server.wait_for_state(ONE, "installed")
        good = dict(server.objects)
        server.objects = dict.fromkeys(good, b"tampered")
        server.deploy(deployment_yaml(ONE, components=["new"]))
        server.objects = dict.fromkeys(server.objects, b"tampered")
        wait_until(lambda: events(agent, "security"), what="the wrong digest is recorded")
        server.wait_for_polls(2)
        assert set(agent.installed) == {(ONE, "web")}
        assert server.statuses(ONE)[-1]["adoptedManifestVersion"] == 2
        assert "expected sha256:" in agent.status()["manifest"]["waiting"]
        assert len(events(agent, "security")) == 1
        version = server.deploy(last)
        server.wait_for_state(ONE, "installed", version=version)
    kept = {each.name for each in (agent.state / "objects" / "sha256").iterdir()}
    assert kept == {digest_of(each).removeprefix("sha256:") for each in (first, last)}


@pytest.mark.requirement("DS-19", "ERR-3")
def test_a_document_that_is_not_found_is_no_order_to_remove(agent, server):
    server.deploy(deployment_yaml(ONE), deployment_yaml(TWO))
    with agent.running():
        server.wait_for_state(TWO, "installed")
        server.deploy(deployment_yaml(ONE, components=["new"]))
        missing = next(path for path in reversed(server.objects) if ONE in path)
        del server.objects[missing]
        server.wait_for(lambda: any(each.path == missing for each in server.requests), "the fetch")
        server.wait_for_polls(3)
        assert set(agent.installed) == {(ONE, "web"), (TWO, "web")}
    assert "removing" not in server.states(ONE) + server.states(TWO)


# --- what it never loses ----------------------------------------------------------------------------


@pytest.mark.requirement("OFF-1", "OFF-8", "ST-1", "OP-21", "S-7")
def test_reports_made_without_a_connection_arrive_later_in_order(agent, server):
    server.deploy(deployment_yaml(ONE))
    port = server.port
    agent.trouble(slow=0.3)
    with agent.running():
        server.wait_for_state(ONE, "pending")
        server.stop()
        wait_until(lambda: any(call[0] == "verify" for call in agent.calls), what="all is done without us")
        server.start(port)
        server.wait_for_state(ONE, "installed")
    # A report whose answer was lost with the connection is sent again: the order is what must hold.
    assert [state for state, _ in groupby(server.states(ONE))] == ["pending", "installing", "installed"]


@pytest.mark.requirement("ST-4", "ERR-3", "RT-4")
def test_a_report_that_is_refused_for_good_is_not_sent_again_and_blocks_nothing(agent, server):
    server.script(
        lambda request: (
            Answer.problem(422, title="Wrong", retryable=False)
            if request.path.endswith(f"{ONE}/status")
            else None
        )
    )
    server.deploy(deployment_yaml(ONE), deployment_yaml(TWO))
    with agent.running():
        server.wait_for_state(TWO, "installed")
    sent = [each.body for each in server.requests_for("POST", f"/{ONE}/status")]
    assert len(sent) == len(set(sent))
    assert any("422 Wrong" in message for message in events(agent, "server"))


@pytest.mark.requirement("RT-4", "RT-6")
def test_a_report_the_server_cannot_take_now_is_sent_again(agent, server):
    refused = []

    def busy(request):
        if request.method != "POST" or refused:
            return None
        refused.append(request.body)
        return Answer.problem(503, headers={"Retry-After": "0"}, retryable=True)

    server.script(busy)
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed")
    posts = server.requests_for("POST", "/status")
    assert posts[0].body == posts[1].body == refused[0]


@pytest.mark.requirement("API-11", "ID-22", "ID-23")
def test_a_device_that_is_accepted_later_introduces_itself_then(agent, server):
    accepted = []
    server.script(
        lambda request: None if accepted else Answer.problem(403, type=NOT_AUTHORIZED, retryable=False)
    )
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_polls(1)
        before = len(server.requests_for("PUT", ""))
        accepted.append(True)
        server.wait_for_state(ONE, "installed")
    assert before == 1
    assert len(server.requests_for("PUT", "")) == 2


@pytest.mark.requirement("CAP-3")
def test_changed_capabilities_are_reported_again_and_unchanged_ones_are_not(agent, server, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("capabilities: {vendor: First}\n")
    for _ in range(2):
        assert agent.command("sync", "--config", str(config)).returncode == 0
        assert agent.command("reconcile", "--config", str(config)).returncode == 0
    config.write_text("capabilities: {vendor: Second}\n")
    assert agent.command("reconcile", "--config", str(config)).returncode == 0
    assert agent.command("sync", "--config", str(config)).returncode == 0
    vendors = [each.json()["properties"]["vendor"] for each in server.requests_for("PUT", "/edge-01")]
    assert list(dict.fromkeys(vendors)) == ["First", "Second"]
    assert vendors.count("Second") == 1
