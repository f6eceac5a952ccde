"""Paths, objects, status, settings, log lines and lock files."""

import fcntl
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent import log
from edgewright.agent.paths import Paths, segment
from edgewright.agent.round import main as round_main
from edgewright.agent.settings import Settings
from edgewright.agent.state.locks import AlreadyRunningError, holder, lock
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import FOLLOWS, WORDS, Failure, Progress, Revision, Stage
from edgewright.agent.state.status import report
from edgewright.protocol.digests import digest_of
from edgewright.protocol.durations import seconds_of
from edgewright.protocol.errors import DigestMismatchError, DocumentError
from edgewright.protocol.policy import Policy
from edgewright.protocol.status import SEVERITY, DeploymentStatus, State

ID = "11111111-1111-4111-8111-111111111111"

# --- paths -------------------------------------------------------------------------------------------


@given(st.text(max_size=300))
def test_no_name_leaves_its_directory(name):
    made = segment(name)
    assert made not in ("", ".", "..")
    assert "/" not in made
    assert "\0" not in made
    assert len(made) <= 100
    assert not made.startswith((".", "-"))


@given(st.text(max_size=60), st.text(max_size=60))
def test_two_names_never_share_a_place(one, other):
    assert (segment(one) == segment(other)) == (one == other)


def test_a_name_that_pretends_to_be_a_hash_is_hashed_too():
    hashed = segment("a/b")
    assert segment(hashed) != hashed


@pytest.mark.parametrize("name", ["../../etc", "/etc", "..", ".", "", "-rf", ".hidden", "a\nb", "ä"])
def test_hostile_names_stay_below_the_projects(name):
    paths = Paths("/state")
    for made in (paths.deployment(name), paths.component(ID, "sha256:" + "a" * 64, name)):
        assert os.path.normpath(made).startswith("/state/projects/")
        assert os.path.normpath(made) == made


# --- objects -----------------------------------------------------------------------------------------


@pytest.mark.requirement("DS-13")
def test_only_bytes_of_the_right_digest_are_kept_and_returned(tmp_path):
    objects = Objects(str(tmp_path / "objects"))
    data, digest = b"document", digest_of(b"document")
    assert objects.load(digest) is None
    with pytest.raises(DigestMismatchError):
        objects.save(digest, b"other")
    objects.save(digest, data)
    assert objects.load(digest) == data
    (tmp_path / "objects" / digest.removeprefix("sha256:")).write_bytes(b"rotten")
    assert objects.load(digest) is None


@pytest.mark.requirement("DS-23")
def test_what_nobody_needs_and_what_was_half_written_goes(tmp_path):
    objects = Objects(str(tmp_path / "objects"))
    objects.keep([])
    for data in (b"1", b"2"):
        objects.save(digest_of(data), data)
    (tmp_path / "objects" / "unfinished.new").write_bytes(b"x")
    objects.keep([digest_of(b"1")])
    assert [each.name for each in (tmp_path / "objects").iterdir()] == [digest_of(b"1")[7:]]


# --- status ------------------------------------------------------------------------------------------


def revision(*states, stage=Stage.APPLYING, failure=None):
    return Revision(
        deployment_id=ID,
        digest="sha256:" + "a" * 64,
        stage=stage,
        adopted=7,
        name="shop",
        components=tuple(
            Progress(name=f"c{number}", state=state, failure=failure if state is State.FAILED else None)
            for number, state in enumerate(states)
        ),
        failure=failure,
    )


@pytest.mark.requirement("ST-2", "ST-3", "ST-20", "OP-1")
@given(st.lists(st.sampled_from(list(State)), min_size=1, max_size=6))
def test_the_most_severe_component_speaks_for_the_deployment(states):
    status = report(revision(*states), "edge-01", 7)
    assert status.status.state == min(states, key=SEVERITY.index)
    assert [each.state for each in status.components] == states
    assert status.adopted_manifest_version == 7
    assert DeploymentStatus.parse(status.render()) == status


@pytest.mark.requirement("ST-5", "ST-6", "ST-7")
def test_errors_carry_their_code_their_source_and_their_message():
    failure = Failure(code="apply.failed", message="x" * 10_000)
    plain = report(revision(State.INSTALLED, State.FAILED, failure=failure), "edge-01", 7).to_plain()
    assert plain["status"]["error"]["source"] == "shop"
    assert plain["components"][1]["error"] == {
        "code": "apply.failed",
        "source": "c1",
        "message": "x" * 4000,
    }
    assert "error" not in plain["components"][0]


def test_a_document_without_components_is_reported_by_its_stage():
    status = report(revision(stage=Stage.FAILED), "edge-01", 7)
    assert (status.status.state, status.components) == (State.FAILED, ())


def test_every_stage_has_a_word_and_followers():
    assert set(WORDS) == set(FOLLOWS) == set(Stage)
    assert all(stage not in followers for stage, followers in FOLLOWS.items())


# --- settings ----------------------------------------------------------------------------------------


def test_an_empty_file_sets_nothing():
    assert Settings.parse(b"", source="x") == Settings.parse(b"# nothing\n", source="x") == Settings()


@pytest.mark.requirement("OFF-4", "S-24")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("5m", 300),
        ("1h", 3600),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("7d", 604800),
        ("1h 30m", 5400),
        ("5 min", 300),
        ("2 hours", 7200),
        ("90 seconds", 90),
        ("1day", 86400),
    ],
)
def test_rates_are_durations(text, seconds):
    policy = Policy.parse(f"polling: {{rate: {text}}}".encode(), source="x")
    assert policy.polling.rate.seconds == seconds


@pytest.mark.parametrize(
    "text", ["", "60", "0s", "-1s", "1w", "1e3s", "99999999999s", "9999999d", "5 minuets", "s", "50ms"]
)
def test_what_is_no_duration_is_told(text):
    with pytest.raises(ValueError, match="expected a duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "$"),
        ("poll: {rate: 60s}", "$.poll: belongs into the policy (policy.yaml), as polling"),
        ("rollback: {keep: 1}", "$.rollback: belongs into the policy (policy.yaml), as rollback"),
        ("deviceId: 'a b'", "$.deviceId"),
        ("deviceId: ../up//x", "$.deviceId"),
        ("capabilities: {cpus: [{cores: -1}]}", "$.capabilities.cpus[0].cores"),
        ("capabilities: {reserved: {memory: lots}}", "$.capabilities.reserved.memory"),
        ("capabilities: {labels: {a: {b: c}}}", "$.capabilities.labels"),
        ("engine: {compose: docker-compose}", "$.engine.compose"),
        ("capabilties: {}", "capabilties"),
    ],
)
def test_settings_name_the_place_of_a_mistake(text, words):
    with pytest.raises(DocumentError) as caught:
        Settings.parse(text.encode(), source="/etc/agent.yaml")
    assert "/etc/agent.yaml" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.requirement("OBS-8", "OP-34")
@pytest.mark.parametrize(
    ("text", "variables"),
    [
        pytest.param("", {}, id="no collector"),
        pytest.param(
            "{http: 'http://c:4318', grpc: 'c:4317', certificate: /c.pem}",
            {
                "HTTP_OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "GRPC_OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": "/c.pem",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            id="both",
        ),
        pytest.param(
            "{grpc: 'c:4317'}",
            {
                "GRPC_OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            id="grpc alone",
        ),
    ],
)
def test_containers_are_told_where_the_collector_is(text, variables):
    settings = Settings.parse(f"telemetry: {text or '{}'}".encode(), source="x")
    assert settings.telemetry_environment == variables


# --- log lines and locks -----------------------------------------------------------------------------


def test_a_message_is_one_line_whatever_is_in_it(capsys, monkeypatch):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    log.warning("first\nsecond\x1b[31m")
    assert capsys.readouterr().err == "warning: first\\nsecond\\x1b[31m\n"


def test_journald_is_told_the_priority(capsys, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    log.error("bad")
    assert capsys.readouterr().err == "<3>bad\n"


def test_a_lock_is_held_once_and_names_its_holder(tmp_path):
    path = str(tmp_path / "lock")
    assert holder(path) is None
    held = lock(path)
    assert holder(path) == os.getpid()
    with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
        lock(path)
    os.close(held)
    assert holder(path) is None
    os.close(lock(path))


def test_who_only_looks_at_a_lock_keeps_nobody_out(tmp_path, monkeypatch):
    path = str(tmp_path / "lock")
    looking = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(os, "sched_yield", lambda: os.close(looking))
    held = lock(path)
    assert holder(path) == os.getpid()
    os.close(held)


def test_a_round_that_cannot_make_its_lock_ends_with_a_message_and_not_with_a_traceback(tmp_path, capsys):
    (tmp_path / "round.lock").mkdir()
    assert round_main(["--state", str(tmp_path)], runtimes={}) == 1
    assert "round.lock" in capsys.readouterr().err
