"""The store and the outbox: what is kept, in which order, and what a damaged file does."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.agent.state.outbox import CAPABILITIES, KEPT_PER_DEPLOYMENT, Outbox
from edgewright.agent.state.store import Manifest, Store, StoreError

HERE = "spiffe://example.org/margo/wfm/main/client/edge-01"


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "state.db"))
    yield store
    store.close()


@pytest.fixture
def outbox(store):
    return Outbox(store)


def manifest(digest="sha256:1", relation=HERE, version=None):
    return Manifest(relation=relation, etag='"e"', digest=digest, body=b"{}", version=version)


def drain(outbox):
    sent = []
    while (report := outbox.first()) is not None:
        sent.append((report.name, report.body))
        outbox.answered(report)
    return sent


@pytest.mark.requirement("ST-1", "OP-21", "OFF-8")
def test_reports_keep_their_order_and_capabilities_go_first(outbox):
    outbox.queue("status/a", "POST", "/a", b"1")
    outbox.queue("status/b", "POST", "/b", b"1")
    outbox.queue("status/a", "POST", "/a", b"2")
    outbox.queue(CAPABILITIES, "PUT", "/c", b"c")
    assert drain(outbox) == [
        (CAPABILITIES, b"c"),
        ("status/a", b"1"),
        ("status/b", b"1"),
        ("status/a", b"2"),
    ]


def test_the_same_report_twice_in_a_row_is_one(outbox):
    assert outbox.queue("status/a", "POST", "/a", b"1")
    assert not outbox.queue("status/a", "POST", "/a", b"1")
    assert drain(outbox) == [("status/a", b"1")]
    assert not outbox.queue("status/a", "POST", "/a", b"1")
    assert outbox.queue("status/a", "POST", "/a", b"2")
    assert outbox.queue("status/a", "POST", "/a", b"1")


@pytest.mark.requirement("CAP-3")
def test_newer_capabilities_replace_those_still_waiting(outbox):
    outbox.queue(CAPABILITIES, "PUT", "/c", b"old")
    outbox.queue(CAPABILITIES, "PUT", "/c", b"new")
    assert drain(outbox) == [(CAPABILITIES, b"new")]


def test_a_deployment_that_changes_without_end_does_not_fill_the_disk(outbox):
    for number in range(KEPT_PER_DEPLOYMENT + 50):
        outbox.queue("status/a", "POST", "/a", b"%d" % number)
    outbox.queue("status/b", "POST", "/b", b"b")
    sent = drain(outbox)
    assert len(sent) == KEPT_PER_DEPLOYMENT + 1
    assert sent[-2:] == [("status/a", b"%d" % (KEPT_PER_DEPLOYMENT + 49)), ("status/b", b"b")]


def test_what_was_last_said_can_be_said_again(outbox):
    for name in ("status/a", "status/b", CAPABILITIES):
        outbox.queue(name, "POST", f"/{name}", b"1")
        outbox.queue(name, "POST", f"/{name}", b"2")
    drain(outbox)
    outbox.forget("status/b")
    outbox.queue_again()
    outbox.queue_again()
    assert drain(outbox) == [(CAPABILITIES, b"2"), ("status/a", b"2")]
    outbox.queue_again(CAPABILITIES)
    assert drain(outbox) == [(CAPABILITIES, b"2")]


def test_how_a_report_was_answered_is_remembered(outbox):
    assert outbox.answer("status/a") is None
    outbox.queue("status/a", "POST", "/a", b"1")
    assert outbox.answer("status/a") == ""
    outbox.answered(outbox.first(), "422 no")
    assert outbox.answer("status/a") == "422 no"
    assert outbox.first() is None


@settings(deadline=None, max_examples=50)  # every example is a database on disk
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30))
def test_every_change_is_sent_once_and_in_order(tmp_path_factory, changes):
    store = Store(str(tmp_path_factory.mktemp("outbox") / "state.db"))
    outbox = Outbox(store)
    expected, last = [], {}
    for name, value in changes:
        outbox.queue(name, "POST", f"/{name}", b"%d" % value)
        if last.get(name) != value:
            expected.append((name, b"%d" % value))
        last[name] = value
    assert drain(outbox) == expected
    store.close()


@pytest.mark.requirement("DS-16", "DS-23")
def test_accepting_takes_the_manifest_out_of_the_inbox_in_one_step(store):
    received = manifest()
    store.receive(received)
    received.version = 2**64 - 1
    store.accept(received)
    assert store.received() is None
    assert store.accepted().version == 2**64 - 1
    assert store.accepted().etag == '"e"'


def test_a_newer_manifest_that_came_in_meanwhile_stays_in_the_inbox(store):
    first, second = manifest("sha256:1"), manifest("sha256:2")
    store.receive(first)
    store.receive(second)
    first.version = 1
    store.accept(first)
    store.refuse(first)
    store.note_failure(first, "no")
    assert store.received().digest == "sha256:2"
    assert store.received().failures == 0


def test_what_is_known_is_known_for_its_own_fleet_manager_only(store):
    waiting, taken, refused = (manifest(f"sha256:{number}") for number in (1, 2, 3))
    store.refuse(refused)
    taken.version = 4
    store.accept(taken)
    store.receive(waiting)
    for each in (waiting, taken, refused):
        assert store.knows(HERE, each.digest)
        assert not store.knows("spiffe://other", each.digest)
    assert not store.knows(HERE, "sha256:4")


@pytest.mark.requirement("OP-16")
def test_after_a_reset_nothing_accepted_or_refused_counts_as_known(store):
    taken, refused = manifest("sha256:1", version=4), manifest("sha256:2")
    store.accept(taken)
    store.refuse(refused)
    store.forget_version()
    assert not store.knows(HERE, taken.digest)
    assert not store.knows(HERE, refused.digest)
    assert store.accepted().version is None
    assert store.events()[0].kind == "security"


def test_refusals_and_events_do_not_grow_without_end(store):
    for number in range(600):
        store.refuse(manifest(f"sha256:{number}"))
        store.record("state", str(number))
    assert store.connection.execute("SELECT count(*) FROM refused").fetchone()[0] <= 64
    assert store.knows(HERE, "sha256:599")
    assert store.connection.execute("SELECT count(*) FROM events").fetchone()[0] <= 500
    assert store.events(1)[0].message == "599"


def test_what_fails_inside_a_transaction_leaves_nothing(store):
    def fail_half_way():
        with store.transaction():
            store.set_meta("a", "1")
            raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        fail_half_way()
    assert store.meta("a") is None


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_damaged_database_is_moved_aside(tmp_path, content):
    path = tmp_path / "state.db"
    path.write_bytes(content)
    store = Store(str(path))
    assert store.moved_aside == f"{path}.damaged-1"
    assert "damaged" in store.events()[0].message
    store.close()
    assert (tmp_path / "state.db.damaged-1").read_bytes() == content


def test_a_database_from_before_it_counted_what_was_begun_is_given_an_order(tmp_path):
    path = tmp_path / "state.db"
    stages = ["failed", "installed", "applying", "accepted", "superseded"]
    Store(str(path)).close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE revisions DROP COLUMN begun")
        database.executemany(
            "INSERT INTO revisions (deployment_id, digest, stage, adopted, name, components, verified,"
            " attempts, changed) VALUES ('a', ?1, ?1, '1', 'a', '[]', 0, 0, 0.0)",
            [(stage,) for stage in stages],
        )
        database.execute("PRAGMA user_version = 3")
    database.close()
    store = Store(str(path))
    rows = store.connection.execute("SELECT stage FROM revisions WHERE begun ORDER BY begun").fetchall()
    assert [stage for (stage,) in rows] == ["failed", "applying", "installed"]
    store.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer edgewright"):
        Store(str(path))
    assert path.exists()


def test_a_state_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="nowhere"):
        Store(str(tmp_path / "nowhere" / "state.db"))
