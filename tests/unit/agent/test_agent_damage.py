"""What is left after damage: nothing older is accepted, and what was known is known again."""

import json
import sqlite3

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.state import mirror
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.markers import load_markers, restore_documents, save_markers
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import Failure, Progress, Revision, Stage, StandIn
from edgewright.agent.state.store import REBUILT, Manifest, Store
from edgewright.agent.talk.contact import Contact
from edgewright.agent.work.accept import Acceptable, Refused, Unchanged, judge
from edgewright.agent.work.recovery import believable, check_accepted, recover
from edgewright.protocol.digests import digest_of
from edgewright.protocol.status import State
from support.bench import FakeIdentity

US = "spiffe://example.org/margo/wfm/main/client/edge-01"
ONE = "11111111-1111-4111-8111-111111111111"
G, N = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class NoSession:
    """Who we are; nothing is asked of the fleet manager."""

    identity = FakeIdentity()


def manifest(version=5, *, relation=US, accepted=True, note=""):
    body = json.dumps({"manifestVersion": version, "bundle": None, "deployments": [], "note": note}).encode()
    return Manifest(
        relation=relation,
        etag=f'"{version}"',
        digest=digest_of(body),
        body=body,
        version=version if accepted else None,
    )


def revision(digest=G, stage=Stage.INSTALLED, *, verified=1, adopted=5, changed=0.0, **more):
    return Revision(
        deployment_id=ONE,
        digest=digest,
        stage=stage,
        adopted=adopted,
        name="shop",
        components=(Progress(name="web", state=State.INSTALLED),),
        verified=verified,
        changed=changed,
        **more,
    )


@pytest.fixture
def paths(tmp_path):
    return Paths(str(tmp_path))


def make(paths, *accepted):
    store = Store(paths.database)
    for each in accepted:
        store.accept(each)
    return store


def ledger_of(store):
    return Ledger(store, Outbox(store), device_id="edge-01", notify=lambda: None)


def reopened(paths, damage):
    """Do `damage` to the closed database and open it again."""
    for suffix in ("-wal", "-shm"):
        (paths_of(paths) / f"state.db{suffix}").unlink(missing_ok=True)
    damage(paths_of(paths) / "state.db")
    return Store(paths.database)


def paths_of(paths):
    from pathlib import Path

    return Path(paths.root)


DAMAGES = [
    pytest.param(lambda file: file.unlink(), id="deleted"),
    pytest.param(lambda file: file.write_bytes(b""), id="empty"),
    pytest.param(lambda file: file.write_bytes(file.read_bytes()[:5000]), id="truncated"),
    pytest.param(lambda file: file.write_bytes(b"\x55" * 20_000), id="overwritten"),
    pytest.param(
        lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 8192 + file.read_bytes()[12288:]),
        id="pages overwritten",
    ),
]


# --- the accepted manifest -------------------------------------------------------------------------


@pytest.mark.requirement("DS-12", "DS-16")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lost_database_forgets_neither_the_accepted_manifest_nor_its_version(paths, damage):
    make(paths, manifest(4), manifest(5)).close()
    store = reopened(paths, damage)
    accepted = store.accepted()
    assert (accepted.version, accepted.body, accepted.etag) == (5, manifest(5).body, '"5"')
    assert store.knows(US, accepted.digest)
    assert store.meta(REBUILT)
    event = store.events()[0]
    assert "version 5 was taken up from its copy" in event.message
    store.close()


def test_a_new_device_has_nothing_to_tell(paths):
    store = make(paths)
    assert store.events() == []
    assert store.meta(REBUILT) is None


def test_damage_before_anything_was_accepted_is_told_all_the_same(paths):
    make(paths).close()
    store = reopened(paths, lambda file: file.write_bytes(b"\x55" * 20_000))
    assert "damaged" in store.events()[0].message
    assert store.accepted() is None


def test_damaged_databases_do_not_fill_the_disk(paths):
    for _ in range(6):
        make(paths).close()
        reopened(paths, lambda file: file.write_bytes(b"\x55" * 20_000)).close()
    kept = sorted(each.name for each in paths_of(paths).glob("state.db.damaged-*"))
    assert kept == ["state.db.damaged-4", "state.db.damaged-5", "state.db.damaged-6"]


def test_a_process_finds_out_that_its_database_was_replaced(paths):
    store = make(paths, manifest(5))
    assert store.is_current()
    error = sqlite3.DatabaseError("database disk image is malformed")
    store.give_up(error)
    assert not store.is_current()
    new = Store(paths.database)
    assert new.is_current()
    assert new.accepted().version == 5
    assert "malformed" in new.events()[0].message


@pytest.mark.requirement("DS-12")
@pytest.mark.parametrize("cut", [slice(0, -10), slice(0, 400)], ids=["bytes lost", "most lost"])
def test_a_copy_without_its_bytes_still_tells_the_version(paths, cut):
    make(paths, manifest(5, note="x" * 300)).close()
    copy = paths_of(paths) / "accepted"
    copy.write_bytes(copy.read_bytes()[cut])
    store = reopened(paths, lambda file: file.unlink())
    assert store.accepted() is None
    assert store.bound().version == 5
    assert not store.knows(US, manifest(5, note="x" * 300).digest)


@pytest.mark.requirement("DS-12")
def test_a_damaged_copy_is_a_security_event(paths):
    make(paths, manifest(5)).close()
    (paths_of(paths) / "accepted").write_bytes(b'{"relation": "x"}\n{}')
    store = reopened(paths, lambda file: file.unlink())
    assert store.events()[0].kind == "security"
    assert store.bound() is None


@pytest.mark.requirement("OP-16")
def test_that_a_person_forgot_the_version_is_not_forgotten_with_the_database(paths):
    store = make(paths, manifest(5))
    store.forget_version()
    store.close()
    store = reopened(paths, lambda file: file.unlink())
    assert store.accepted().version is None
    assert isinstance(judge(manifest(1, accepted=False), store.bound()), Acceptable)


@pytest.mark.requirement("DS-12")
def test_a_database_that_has_gone_back_in_time_is_brought_forward(paths):
    make(paths, manifest(4)).close()
    old = (paths_of(paths) / "state.db").read_bytes()
    make(paths, manifest(5)).close()
    store = reopened(paths, lambda file: file.write_bytes(old))
    assert store.accepted().version == 4
    check_accepted(store)
    assert store.accepted().version == 5
    assert "lost its last changes" in store.events()[0].message


def test_an_acceptance_that_was_interrupted_goes_on_by_itself(paths):
    store = make(paths, manifest(4))
    store.receive(manifest(5, accepted=False))
    copy = manifest(5)
    mirror.save(
        mirror.path_beside(paths.database),
        mirror.Mirrored(copy.relation, copy.etag, copy.digest, "5", copy.body),
    )
    check_accepted(store)
    assert store.accepted().version == 4
    assert store.events() == []


def test_a_copy_that_is_missing_or_damaged_is_made_again(paths):
    store = make(paths, manifest(5))
    for harm in (lambda file: file.unlink(), lambda file: file.write_bytes(b"?")):
        harm(paths_of(paths) / "accepted")
        check_accepted(store)
        assert mirror.load(str(paths_of(paths) / "accepted")).version == "5"


def test_a_manifest_damaged_in_the_database_comes_from_its_copy(paths):
    store = make(paths, manifest(5))
    store.connection.execute("UPDATE manifests SET body = x'00'")
    check_accepted(store)
    assert store.accepted().body == manifest(5).body


@pytest.mark.requirement("DS-12")
def test_a_manifest_damaged_in_both_places_is_fetched_again_and_no_older_one(paths):
    store = make(paths, manifest(5))
    (paths_of(paths) / "accepted").unlink()
    store.connection.execute("UPDATE manifests SET body = x'00'")
    check_accepted(store)
    assert store.accepted() is None
    bound = store.bound()
    assert isinstance(judge(manifest(4, accepted=False), bound), Refused)
    assert isinstance(judge(manifest(5, accepted=False), bound), Acceptable)
    assert isinstance(judge(manifest(5, accepted=False, note="another"), bound), Refused)
    assert isinstance(judge(manifest(6, accepted=False), bound), Acceptable)


@pytest.mark.requirement("DS-12", "OP-18")
@pytest.mark.parametrize("lost", [False, True], ids=["as it was", "rebuilt from the copy"])
@pytest.mark.parametrize(
    ("received", "verdict"),
    [
        pytest.param(manifest(5, accepted=False), Unchanged, id="the same bytes"),
        pytest.param(manifest(5, accepted=False, note="other"), Refused, id="equal version, other bytes"),
        pytest.param(manifest(4, accepted=False), Refused, id="lower version"),
        pytest.param(manifest(6, accepted=False), Acceptable, id="greater version"),
        pytest.param(manifest(1, accepted=False, relation="spiffe://other"), Acceptable, id="another's"),
        pytest.param(
            Manifest(relation=US, etag="", digest=digest_of(b"{}"), body=b"{}"), Refused, id="no version"
        ),
    ],
)
def test_versions_are_judged_the_same_after_damage(paths, received, verdict, lost):
    store = make(paths, manifest(5))
    if lost:
        store.close()
        store = reopened(paths, lambda file: file.write_bytes(b"\x55" * 20_000))
    assert isinstance(judge(received, store.bound()), verdict)


# --- the revisions ---------------------------------------------------------------------------------


def on_disk(paths, *revisions):
    for each in revisions:
        (paths_of(paths) / "projects" / ONE / each.digest[7:]).mkdir(parents=True)
    objects = Objects(paths.objects)
    save_markers(paths, objects, revisions)
    return objects


@pytest.mark.requirement("ST-21", "DS-18")
def test_what_was_installed_is_known_again_with_the_version_it_was_reported_with(paths):
    on_disk(paths, revision(adopted=3))
    store = make(paths, manifest(5))
    store.set_meta(REBUILT, "lost")
    recover(paths, store, ledger_of(store), NoSession())
    assert [(each.stage, each.adopted, each.verified) for each in ledger_of(store).revisions()] == [
        (Stage.INSTALLED, 3, 1)
    ]
    report = json.loads(Outbox(store).first().body)
    assert (report["status"]["state"], report["adoptedManifestVersion"]) == ("installed", 3)
    assert store.meta(REBUILT) == ""
    assert "shop" in store.events()[0].message


@pytest.mark.requirement("ST-21", "ST-22")
def test_what_was_begun_last_is_known_again(paths):
    on_disk(paths, revision(adopted=3, begun=2), revision(N, Stage.SUPERSEDED, adopted=4, begun=1))
    store = make(paths, manifest(5))
    store.set_meta(REBUILT, "lost")
    recover(paths, store, ledger_of(store), NoSession())
    assert {each.digest: each.begun for each in ledger_of(store).revisions()} == {G: 2, N: 1}


def test_what_failed_stays_failed_and_what_runs_in_its_place_is_known():
    stand_in = StandIn(digest=G, versions="1.0.0")
    failed = revision(
        N,
        Stage.ROLLED_BACK,
        verified=0,
        adopted=6,
        failure=Failure(code="apply.failed", message="it ended"),
        stand_in=stand_in,
    )
    assert believable([failed, revision()], {(ONE, N)}) == [failed, revision()]


@pytest.mark.parametrize(
    ("marked", "wanted", "stages"),
    [
        pytest.param([revision()], {(ONE, N)}, [(G, Stage.INSTALLED)], id="runs, another is wanted"),
        pytest.param([revision(N, Stage.FETCHING, verified=0)], {(ONE, N)}, [], id="not begun"),
        pytest.param(
            [revision(N, Stage.APPLYING, verified=0), revision()],
            {(ONE, N)},
            [(N, Stage.APPLYING), (G, Stage.SUPERSEDED)],
            id="in the middle of an update",
        ),
        pytest.param(
            [revision(), revision(N, verified=2)],
            {(ONE, N)},
            [(G, Stage.SUPERSEDED), (N, Stage.INSTALLED)],
            id="a mark from before the update",
        ),
        pytest.param(
            [revision(N, Stage.FAILED, verified=0), revision()],
            set(),
            [(G, Stage.INSTALLED)],
            id="failed and not wanted any more",
        ),
        pytest.param(
            [revision(N, Stage.FAILED, verified=0)],
            None,
            [(N, Stage.FAILED)],
            id="nobody knows what is wanted",
        ),
        pytest.param([revision(stage=Stage.REMOVING)], set(), [(G, Stage.REMOVING)], id="being removed"),
    ],
)
def test_marks_are_believed_as_far_as_they_can_still_be_true(marked, wanted, stages):
    assert [(each.digest, each.stage) for each in believable(marked, wanted)] == stages


def test_marks_that_are_damaged_or_lie_elsewhere_are_none(paths):
    on_disk(paths, revision(), revision(N))
    damaged, foreign = (paths_of(paths) / "projects" / ONE / each[7:] / ".revision" for each in (G, N))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b" ")
    (paths_of(paths) / "projects" / ONE / ("c" * 64)).mkdir()
    foreign.rename(paths_of(paths) / "projects" / ONE / ("c" * 64) / ".revision")
    assert list(load_markers(paths)) == []


def test_a_mark_is_written_only_when_it_is_news(paths):
    on_disk(paths, revision())
    file = paths_of(paths) / "projects" / ONE / G[7:] / ".revision"
    before = file.stat().st_ino
    save_markers(paths, Objects(paths.objects), [revision(changed=77.0)])
    assert file.stat().st_ino == before
    save_markers(paths, Objects(paths.objects), [revision(adopted=9)])
    assert file.stat().st_ino != before


@pytest.mark.requirement("DS-12")
def test_with_the_copy_lost_too_what_runs_sets_the_bound(paths):
    class Session:
        class identity:  # noqa: N801 - stands for an attribute
            client = relation = US

    on_disk(paths, revision(adopted=7))
    store = make(paths)
    assert "missing too: which version was accepted last is not known" in store.events()[0].message
    recover(paths, store, ledger_of(store), Session())
    assert [each.key for each in ledger_of(store).revisions()] == [revision(adopted=7).key]
    assert isinstance(judge(manifest(6, accepted=False), store.bound()), Refused)
    assert isinstance(judge(manifest(7, accepted=False), store.bound()), Acceptable)


# --- documents and the last contact ----------------------------------------------------------------


@pytest.mark.requirement("DS-13")
def test_a_lost_document_comes_from_its_copy_if_that_is_whole(paths):
    data = b"a document"
    mine = revision(digest_of(data))
    objects = Objects(paths.objects)
    objects.save(mine.digest, data)
    (paths_of(paths) / "projects" / ONE / mine.digest[7:]).mkdir(parents=True)
    save_markers(paths, objects, [mine])
    file = paths_of(paths) / "objects" / "sha256" / mine.digest[7:]
    file.write_bytes(b"rotten")
    assert restore_documents(paths, objects, [mine.key]) == [ONE]
    assert file.read_bytes() == data
    assert restore_documents(paths, objects, [mine.key]) == []
    (paths_of(paths) / "projects" / ONE / mine.digest[7:] / ".document").write_bytes(b"rotten, too")
    file.unlink()
    assert restore_documents(paths, objects, [mine.key]) == []
    assert objects.load(mine.digest) is None


def test_the_last_contact_is_noted_in_memory_and_not_in_the_state(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    noted = Contact("/state")
    assert noted.last() is None
    noted.note()
    first = Contact("/state").last()
    assert first is not None
    (file,) = (tmp_path / "run").iterdir()
    file.unlink()
    noted.note()
    assert Contact("/state").last() >= first
    assert Contact("/other").last() is None
