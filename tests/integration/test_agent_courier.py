"""The courier against real repositories: what it takes up, what it refuses, and what it tells."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgewright.agent.failpoints import COURIER
from edgewright.agent.git import notes
from edgewright.agent.sources.git import GitDocuments, LostDocumentError
from edgewright.agent.state.store import Store
from edgewright.protocol.digests import digest_of
from edgewright.protocol.manifest import StateManifest
from support.courier_device import CourierDevice
from support.git_fleet import Entry, GitFleet, Signer
from support.processes import wait_until

APP, OTHER = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"
DESIRED, CURRENT = "refs/heads/desired", "refs/heads/current"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    directory = tmp_path_factory.mktemp("keys")
    return {name: Signer.create(directory, name) for name in ("fleet", "next", "foreign")}


@pytest.fixture
def fleet(tmp_path: Path, keys: dict[str, Signer]) -> GitFleet:
    return GitFleet.create(tmp_path / "server.git", keys["fleet"])


@pytest.fixture
def device(tmp_path: Path, fleet: GitFleet, keys: dict[str, Signer]) -> CourierDevice:
    return CourierDevice(tmp_path / "state", fleet, keys["fleet"])


def document(name: str, text: str = "") -> bytes:
    return json.dumps({"id": name, "text": text}).encode()


def taken(device: CourierDevice) -> str:
    return device.meta(notes.COMMIT)


@pytest.mark.requirement("S-18")
def test_a_head_that_holds_is_put_into_the_inbox_with_its_policy(
    device: CourierDevice, fleet: GitFleet
) -> None:
    fleet.others["policy.yaml"] = b"poll: 5m\n"
    head = fleet.deploy(document(APP))
    assert device.go("--fetch") == ["news", "policy"]
    received = device.store.received()
    assert received is not None
    assert (received.etag, received.digest, received.body) == (
        head,
        digest_of(fleet.manifest()),
        fleet.manifest(),
    )
    assert device.meta("policy.suggested") == "poll: 5m\n"

    manifest = StateManifest.parse(received.body, source="m")
    documents = GitDocuments(device.paths.repository, device.store)
    found = list(documents.fetch(manifest, manifest.deployments, may_bundle=True))
    assert [data for _, data in found] == [document(APP)]
    assert device.go("--fetch") == []


def test_nothing_is_there_yet(device: CourierDevice, fleet: GitFleet) -> None:
    assert device.go("--fetch") == []
    device.queue(APP, "installed")
    assert device.go() == []
    assert fleet.states(APP) == ["installed"]
    assert fleet.adopted() == {"manifestVersion": None, "commit": None, "refused": None}


@pytest.mark.requirement("S-20")
def test_reports_are_commits_in_their_order_and_leave_the_outbox(
    device: CourierDevice, fleet: GitFleet
) -> None:
    device.outbox.queue("capabilities", "PUT", "/c", b'{"capabilities": 1}')
    for state in ("pending", "installing", "installed"):
        device.queue(APP, state)
    head = fleet.deploy(document(APP))
    device.go("--fetch")
    device.accept()
    device.go("--push")
    assert fleet.capabilities() == {"capabilities": 1}
    assert fleet.states(APP) == ["pending", "installing", "installed"]
    assert fleet.adopted() == {"manifestVersion": "1", "commit": head, "refused": None}
    assert len(device.outbox) == 0
    assert len(fleet.history(CURRENT)) == 4
    device.go("--push")
    assert len(fleet.history(CURRENT)) == 4


def test_more_reports_than_fit_into_one_push_are_all_told(device: CourierDevice, fleet: GitFleet) -> None:
    states = [f"state-{number}" for number in range(150)]
    for state in states:
        device.queue(APP, state)
    device.go("--push")
    assert fleet.states(APP) == states


def test_a_policy_that_changes_alone_is_taken_up(device: CourierDevice, fleet: GitFleet) -> None:
    fleet.deploy(document(APP))
    device.go("--fetch")
    device.accept()
    fleet.others["policy.yaml"] = b"poll: 1h\n"
    head = fleet.publish(fleet.version)
    assert "policy" in device.go("--fetch")
    assert device.store.received() is None
    device.go("--push")
    assert fleet.adopted()["commit"] == head
    del fleet.others["policy.yaml"]
    fleet.publish(fleet.version)
    assert "policy" in device.go("--fetch")
    assert device.meta("policy.suggested") == ""


def _rewound(fleet: GitFleet) -> str:
    return fleet.point(DESIRED, fleet.history(DESIRED)[0])


def _written_anew(fleet: GitFleet) -> str:
    fleet.version += 1
    return fleet.commit(fleet.files(), parents=[])


def _side(fleet: GitFleet) -> str:
    head = fleet.head() or ""
    fleet.version += 1
    other = fleet.commit(fleet.files(), parents=[], branch=None)
    return fleet.commit(fleet.files(), parents=[other, head])


def _entry(mode: str, name: bytes, data: bytes = b"x", kind: str = "blob") -> Callable[[GitFleet], str]:
    def commit(fleet: GitFleet) -> str:
        fleet.version += 1
        target = fleet.write(kind, data) if mode != "160000" else "1" * 40
        return fleet.commit(fleet.with_entry(Entry(mode, name, target)))

    return commit


def _deep(fleet: GitFleet) -> str:
    fleet.others["a/b/c/d/e"] = b""
    return fleet.publish()


def _case(fleet: GitFleet) -> str:
    fleet.others |= {"notes.txt": b"", "Notes.TXT": b""}
    return fleet.publish()


def _many(fleet: GitFleet) -> str:
    fleet.version += 1
    blob = fleet.write("blob", b"")
    inner = fleet.tree_of([Entry("100644", f"{number:06}".encode(), blob) for number in range(100_000)])
    return fleet.commit(fleet.with_entry(Entry("40000", b"many", inner)))


def _twice(fleet: GitFleet) -> str:
    fleet.version += 1
    blobs = [fleet.write("blob", data) for data in (b"1", b"2")]
    tree = fleet.tree_of([Entry("100644", b"manifest.json", each) for each in blobs], sort=False)
    return fleet.commit(tree)


def _wrong_digest(fleet: GitFleet) -> str:
    fleet.version += 1
    return fleet.commit(fleet.files() | {f"deployments/{APP}.yaml": b"something else"})


def _missing_document(fleet: GitFleet) -> str:
    fleet.version += 1
    files = fleet.files()
    del files[f"deployments/{APP}.yaml"]
    return fleet.commit(files)


def _openpgp(fleet: GitFleet) -> str:
    fleet.version += 1
    plain = fleet.commit(fleet.files(), signed=False, branch=None, parents=[fleet.head() or ""])
    head, _, rest = fleet.git("cat-file", "commit", plain).partition(b"\n\n")
    armor = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    return fleet.commit_raw(head + armor + b"\n\n" + rest)


def _forged(fleet: GitFleet) -> str:
    fleet.version += 1
    made = fleet.commit(fleet.files(), branch=None, parents=[fleet.head() or ""])
    signed = fleet.git("cat-file", "commit", made)
    return fleet.commit_raw(signed.replace(b"What is wanted", b"What I want...."))


HOSTILE: dict[str, tuple[Callable[[GitFleet], str], str]] = {
    "rewound": (_rewound, "does not come from"),
    "written anew": (_written_anew, "does not come from"),
    "ours taken in from the side": (_side, "does not come from"),
    "unsigned": (lambda fleet: fleet.publish(signed=False), "is not signed"),
    "forged": (_forged, "not good"),
    "another kind of signature": (_openpgp, "another kind"),
    "an older version": (lambda fleet: fleet.publish(1), "not greater"),
    "symbolic link": (_entry("120000", b"link", b"/etc/passwd"), "symbolic link"),
    "submodule": (_entry("160000", b"module"), "submodule"),
    "odd mode": (_entry("100666", b"odd"), "mode|fsck"),
    ".git": (_entry("100644", b".git"), "named like that|not as it has to be"),
    ".GIT": (_entry("100644", b".GIT"), "named like that|not as it has to be"),
    "git~1": (_entry("100644", b"git~1"), "named like that|not as it has to be"),
    ".gitmodules": (_entry("100644", b".gitmodules"), "named like that|not as it has to be"),
    "dots": (_entry("100644", b".."), "named like that|not as it has to be"),
    "slash": (_entry("100644", b"a/b"), "named like that|not as it has to be"),
    "unicode": (_entry("100644", "café".encode()), "named like that"),
    "decomposed": (_entry("100644", "cafe\u0301".encode()), "named like that"),
    "ignorable": (_entry("100644", ".g\u200cit".encode()), "named like that|not as it has to be"),
    "no UTF-8": (_entry("100644", b"\xff\xfe"), "named like that"),
    "control": (_entry("100644", b"a\x1b[2Jb"), "named like that"),
    "newline": (_entry("100644", b"a\nb"), "named like that"),
    "option": (_entry("100644", b"--upload-pack=x"), "named like that"),
    "case": (_case, "case alone"),
    "deep": (_deep, "nested"),
    "100 000 entries": (_many, "more than 10000"),
    "twice": (_twice, "twice|not as it has to be"),
    "a large file": (_entry("100644", b"large", b"x" * 1_048_577), "1048577 bytes"),
    "100 MB that cannot be packed": (
        _entry("100644", b"huge", os.urandom(100_000_000)),
        "more would have to be",
    ),
    "100 MB that can": (_entry("100644", b"huge", b"\0" * 100_000_000), "100000000 bytes"),
    "wrong digest": (_wrong_digest, "expected sha256"),
    "a document that is missing": (_missing_document, "not there"),
    "no manifest": (lambda fleet: fleet.commit({"a": b""}), "no manifest.json"),
    "a manifest that is none": (lambda fleet: fleet.commit({"manifest.json": b"{}"}), "manifest.json"),
    "signers that name nobody": (
        lambda fleet: fleet.commit(fleet.files() | {"signers": b"# none\n"}),
        "nobody",
    ),
}


@pytest.mark.requirement("S-19")
@pytest.mark.parametrize("case", HOSTILE)
def test_what_does_not_hold_is_refused_told_and_changes_nothing(
    case: str, device: CourierDevice, fleet: GitFleet
) -> None:
    commit, words = HOSTILE[case]
    fleet.deploy(document(APP))
    good = fleet.deploy(document(APP, "second"))
    device.go()
    accepted = device.accept()
    before = device.disk_bytes()

    bad = commit(fleet)
    said = device.go()
    assert [line.split()[0] for line in said] == ["refused"]
    assert device.store.received() is None
    assert taken(device) == good
    (event,) = device.security_events
    assert bad[:12] in event
    told = fleet.adopted()
    assert (told["manifestVersion"], told["commit"]) == (str(accepted.version), good)
    assert told["refused"]["commit"] == bad
    assert any(word in told["refused"]["reason"] for word in words.split("|")), told
    assert device.disk_bytes() < before + 20_000

    assert device.go() == []  # told once, and not fetched again
    assert len(device.security_events) == 1
    fleet.point(DESIRED, good)
    fleet.others = {".gitattributes": b"* -text\n"}
    fleet.version = 9
    better = fleet.publish()
    assert "news" in device.go()
    assert taken(device) == better
    assert fleet.adopted()["refused"] is None


def test_a_foreign_signer_is_refused(device: CourierDevice, fleet: GitFleet, keys: dict[str, Signer]) -> None:
    fleet.publish(signer=keys["foreign"])
    (said,) = device.go("--fetch")
    assert "signed by nobody who is trusted" in said


@pytest.mark.requirement("GR-33")
def test_a_branch_that_is_gone_is_refused_until_it_is_back(device: CourierDevice, fleet: GitFleet) -> None:
    good = fleet.deploy(document(APP))
    device.go()
    device.accept()
    fleet.git("update-ref", "-d", DESIRED)
    (said,) = device.go()
    assert "gone" in said
    refused = fleet.adopted()["refused"]
    assert (refused["commit"], "gone" in refused["reason"]) == (None, True)
    assert device.go() == []  # told once
    fleet.point(DESIRED, good)
    assert device.go() == []
    assert fleet.adopted()["refused"] is None


def _begun_anew(fleet: GitFleet, **shape: Any) -> str:
    """Let `desired` be a history of its own, whose manifests are counted from 1 again."""
    fleet.version = 1
    return fleet.commit(fleet.files(), parents=[], message="A new beginning", **shape)


@pytest.mark.requirement("OP-16", "GR-30")
def test_a_person_at_the_device_can_let_go_of_a_branch(device: CourierDevice, fleet: GitFleet) -> None:
    fleet.deploy(document(APP))
    fleet.deploy(document(APP, "second"))
    device.go()
    device.accept()
    head = _begun_anew(fleet)
    (refused,) = device.go()
    assert "'edgewright agent reset-version'" in refused
    device.store.forget_version()
    assert "news" in device.go()
    assert taken(device) == head
    assert device.accept().version == 1
    device.go()
    assert fleet.adopted() == {"manifestVersion": "1", "commit": head, "refused": None}


@pytest.mark.requirement("OP-16", "GR-21", "GR-30")
@pytest.mark.parametrize("case", ["unsigned", "somebody else", "forged", "next"])
def test_who_lets_go_of_a_branch_still_believes_only_those_who_may_sign(
    case: str, device: CourierDevice, fleet: GitFleet, keys: dict[str, Signer]
) -> None:
    fleet.others["signers"] = keys["next"].line.encode()
    fleet.deploy(document(APP))  # signed by the old signer: from now on the next one alone is trusted
    device.go()
    device.accept()
    device.store.forget_version()
    match case:
        case "unsigned":
            _begun_anew(fleet, signed=False)
        case "somebody else":
            _begun_anew(fleet, signer=keys["foreign"])
        case "forged":
            signed = fleet.git("cat-file", "commit", _begun_anew(fleet, signer=keys["next"]))
            fleet.commit_raw(signed.replace(b"A new", b"A bad"))
        case "next":
            _begun_anew(fleet, signer=keys["fleet"])  # who was replaced
    assert device.go()[0].startswith("refused")
    assert taken(device) == ""
    good = _begun_anew(fleet, signer=keys["next"])
    assert "news" in device.go()
    assert taken(device) == good


@pytest.mark.requirement("OP-16")
def test_a_branch_that_is_let_go_while_a_courier_refuses_its_successor_is_looked_at_again(
    device: CourierDevice, fleet: GitFleet, tmp_path: Path
) -> None:
    fleet.deploy(document(APP))
    device.go()
    device.accept()
    head = _begun_anew(fleet)
    gate = tmp_path / "gate"
    gate.touch()
    with ThreadPoolExecutor(1) as pool:
        courier = pool.submit(device.courier, failpoints=f"courier.fetched=pause:{gate}")
        wait_until((tmp_path / "gate.reached").exists, what="the new branch is fetched")
        device.store.forget_version()
        gate.unlink()
        done = courier.result()
    assert (done.returncode, done.stdout) == (0, "")
    assert device.meta(notes.REFUSED) == ""
    assert "news" in device.go()
    assert taken(device) == head


@pytest.mark.requirement("OP-16")
def test_also_an_older_version_on_a_lost_copy_says_how_to_let_go(
    device: CourierDevice, fleet: GitFleet
) -> None:
    fleet.deploy(document(APP))
    fleet.deploy(document(APP, "second"))
    device.go()
    device.accept()
    shutil.rmtree(device.paths.repository)
    _begun_anew(fleet)
    assert "'edgewright agent reset-version'" in device.go()[0]
    fleet.git("update-ref", "-d", DESIRED)
    assert "'edgewright agent reset-version'" in device.go()[0]


@pytest.mark.requirement("S-19")
def test_the_old_signer_signs_the_new_one(
    device: CourierDevice, fleet: GitFleet, keys: dict[str, Signer]
) -> None:
    fleet.deploy(document(APP))
    device.go("--fetch")
    fleet.others["signers"] = f"{keys['next'].line}\n".encode()
    fleet.publish()
    device.go("--fetch")
    old = fleet.publish()
    assert device.go("--fetch")[0].startswith("refused")
    fleet.signer = keys["next"]
    fleet.point(DESIRED, fleet.history(DESIRED)[-2])
    new = fleet.publish(signer=keys["next"])
    assert old != new
    assert device.go("--fetch") == ["news"]
    assert taken(device) == new


def test_signers_changed_while_the_device_was_away(
    device: CourierDevice, fleet: GitFleet, keys: dict[str, Signer]
) -> None:
    fleet.deploy(document(APP))
    device.go("--fetch")
    fleet.commit(fleet.files() | {"signers": keys["foreign"].line.encode()}, signer=keys["foreign"])
    fleet.others["signers"] = f"{keys['next'].line}\n".encode()
    fleet.publish()
    fleet.signer = keys["next"]
    fleet.publish(signed=False)  # says nothing about trust
    head = fleet.publish()
    assert device.go("--fetch") == ["news"]
    assert taken(device) == head


def test_a_new_device_that_was_told_the_signers_of_yesterday_finds_those_of_today(
    device: CourierDevice, fleet: GitFleet, keys: dict[str, Signer]
) -> None:
    fleet.deploy(document(APP))
    fleet.others["signers"] = f"{keys['next'].line}\n".encode()
    fleet.publish()
    fleet.signer = keys["next"]
    fleet.publish()
    assert "news" in device.go("--fetch")


def test_who_was_never_trusted_cannot_name_signers(
    device: CourierDevice, fleet: GitFleet, keys: dict[str, Signer]
) -> None:
    fleet.deploy(document(APP))
    device.go("--fetch")
    fleet.others["signers"] = f"{keys['foreign'].line}\n".encode()
    fleet.publish(signer=keys["foreign"])
    fleet.publish(signer=keys["foreign"])
    assert device.go("--fetch")[0].startswith("refused")


def test_a_device_without_signers_accepts_nothing(device: CourierDevice, fleet: GitFleet) -> None:
    device.signers.unlink()
    fleet.deploy(document(APP))
    assert "told no signers" in device.go("--fetch")[0]


def test_a_lost_copy_comes_again_and_nothing_older_with_it(device: CourierDevice, fleet: GitFleet) -> None:
    first = fleet.deploy(document(APP))
    head = fleet.deploy(document(APP, "new"))
    device.go("--fetch")
    device.accept()
    shutil.rmtree(device.paths.repository)
    manifest = StateManifest.parse(fleet.manifest(), source="m")
    documents = GitDocuments(device.paths.repository, device.store)
    with pytest.raises(LostDocumentError):
        list(documents.fetch(manifest, manifest.deployments, may_bundle=False))
    assert "news" in device.go("--fetch")
    assert taken(device) == head
    assert [data for _, data in documents.fetch(manifest, manifest.deployments, may_bundle=False)] == [
        document(APP, "new")
    ]
    shutil.rmtree(device.paths.repository)
    fleet.point(DESIRED, first)
    assert "refused" in device.go("--fetch")[0]


def test_a_copy_that_was_damaged_is_fetched_again(device: CourierDevice, fleet: GitFleet) -> None:
    fleet.deploy(document(APP))
    device.go()
    device.accept()
    for pack in Path(device.paths.repository).rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(os.urandom(500))
    head = fleet.deploy(document(APP, "new"))
    assert "news" in device.go()
    assert taken(device) == head


def test_a_new_database_goes_on_from_what_was_taken_up(device: CourierDevice, fleet: GitFleet) -> None:
    first = fleet.deploy(document(APP))
    fleet.deploy(document(APP, "new"))
    device.go("--fetch")
    device.accept()
    device.store.close()
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        Path(device.paths.root, name).unlink(missing_ok=True)
    device.store = Store(device.paths.database)
    fleet.point(DESIRED, first)
    assert "does not come from" in device.go("--fetch")[0]


def test_a_branch_current_that_somebody_else_wrote_is_built_upon(
    device: CourierDevice, fleet: GitFleet
) -> None:
    device.queue(APP, "installed")
    device.go("--push")
    theirs = fleet.commit({"README.md": b"hello"}, branch=CURRENT, signed=False)
    device.queue(OTHER, "installed")
    device.go("--push")
    assert theirs in fleet.history(CURRENT)
    assert fleet.read("README.md") == b"hello"
    assert fleet.states(APP)[-1] == fleet.states(OTHER)[-1] == "installed"


def test_a_branch_current_that_is_gone_or_hostile_is_told_anew(
    device: CourierDevice, fleet: GitFleet
) -> None:
    device.queue(APP, "installed")
    device.go("--push")
    fleet.git("update-ref", "-d", CURRENT)
    device.go("--push")
    assert fleet.states(APP) == ["installed"]
    link = fleet.tree_of([Entry("120000", b"status", fleet.write("blob", b"/etc"))])
    fleet.commit(link, branch=CURRENT, signed=False)
    device.go("--push")
    assert fleet.states(APP)[-1] == "installed"
    assert fleet.paths() == ["adopted.json", f"status/{APP}.json"]


def test_a_status_that_nobody_reports_any_more_goes(device: CourierDevice, fleet: GitFleet) -> None:
    device.queue(APP, "removed")
    device.outbox.forget(f"status/{APP}")
    device.go("--push")
    assert fleet.states(APP) == ["removed"]
    device.queue(OTHER, "installed")
    device.go("--push")
    assert fleet.paths() == ["adopted.json", f"status/{OTHER}.json"]


def test_a_report_that_has_no_place_does_not_hold_up_the_others(
    device: CourierDevice, fleet: GitFleet
) -> None:
    device.queue("../../evil", "installed")
    device.queue(APP, "installed")
    device.go("--push")
    assert fleet.paths() == ["adopted.json", f"status/{APP}.json"]
    assert len(device.outbox) == 0


@pytest.mark.requirement("S-26")
@pytest.mark.parametrize("point", COURIER)
def test_killed_anywhere_the_next_one_comes_to_the_same_end(
    point: str, device: CourierDevice, fleet: GitFleet
) -> None:
    fleet.deploy(document(APP))
    device.go()
    device.accept()
    device.queue(APP, "installing")
    device.queue(APP, "installed")
    head = fleet.deploy(document(APP, "new"))
    if point == "courier.refused":
        head = fleet.publish(signed=False)
    if point in ("courier.cut", "courier.repacked"):
        for number in range(12):
            device.go("--fetch")
            device.accept()
            head = fleet.deploy(document(APP, f"{number}"))
            done = device.courier("--fetch", failpoints=f"{point}=kill")
            if done.returncode == -9:
                break
    else:
        done = device.courier(failpoints=f"{point}=kill")
    assert done.returncode == -9, (done.returncode, done.stderr)

    device.go()
    if point != "courier.refused":
        assert device.accept().etag == head
        device.go()
    assert fleet.states(APP) == ["installing", "installed"]
    told = fleet.adopted()
    assert (told["refused"] or {}).get("commit") == (head if point == "courier.refused" else None)
    assert len(device.outbox) == 0
    assert not list(Path(device.paths.repository).rglob("*.lock"))
    documents = GitDocuments(device.paths.repository, device.store)
    accepted = device.store.accepted()
    assert accepted is not None
    manifest = StateManifest.parse(accepted.body, source="m")
    assert list(documents.fetch(manifest, manifest.deployments, may_bundle=False))


def test_while_a_git_of_a_killed_courier_lives_no_other_begins(
    device: CourierDevice, fleet: GitFleet, tmp_path: Path
) -> None:
    from edgewright.agent.state.locks import lock

    device.go()
    held = lock(device.paths.courier_lock)
    assert device.courier("--fetch").returncode == 75
    os.close(held)
    assert device.courier("--fetch").returncode == 0


def test_a_repository_that_cannot_be_reached_is_a_problem_for_later(
    device: CourierDevice, tmp_path: Path
) -> None:
    device.move_to(tmp_path / "elsewhere.git")
    done = device.courier("--fetch")
    assert done.returncode == 4
    assert done.stdout.startswith("problem ")


def test_without_the_program_the_way_out_is_told(device: CourierDevice) -> None:
    done = device.courier("--fetch", path="/nowhere")
    assert done.returncode == 2
    assert "apt-get install git" in done.stdout


@pytest.mark.requirement("S-4")
def test_a_year_of_small_changes_leaves_the_disk_as_it_was(device: CourierDevice, fleet: GitFleet) -> None:
    sizes = []
    for day in range(60):
        for _ in range(6):
            fleet.others["README.md"] = os.urandom(2000)
            fleet.deploy(document(APP, f"{day} {os.urandom(500).hex()}"))
        for _ in range(4):
            device.queue(APP, f"{day} {os.urandom(200).hex()}")
        device.go()
        device.accept()
        sizes.append(device.disk_bytes())
    assert max(sizes[30:]) <= max(sizes[:30]) * 1.2, sizes
    assert max(sizes) < 2_000_000
    assert len(list(Path(device.paths.repository, "objects", "pack").glob("*.pack"))) < 12


@pytest.mark.requirement("S-26")
def test_on_a_full_disk_nothing_is_lost_and_with_room_it_goes_on(
    fleet: GitFleet, keys: dict[str, Signer], tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", volume], check=True)
    try:
        device = CourierDevice(volume / "state", fleet, keys["fleet"])
        fleet.deploy(document(APP))
        device.go()
        device.accept()
        device.queue(APP, "installed")
        head = fleet.deploy(document(APP, os.urandom(200_000).hex()))
        filler = volume / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        done = device.courier()
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        assert taken(device) != head
        filler.unlink()
        assert "news" in device.go()
        assert (taken(device), fleet.states(APP)) == (head, ["installed"])
        device.store.close()
    finally:
        subprocess.run(["umount", volume], check=True)


def test_a_head_that_is_refused_is_not_fetched_again_for_what_was_lost(
    device: CourierDevice, fleet: GitFleet
) -> None:
    good = fleet.deploy(document(APP))
    device.go()
    device.accept()
    bad = fleet.publish(signed=False)
    device.go()
    device.store.set_meta(notes.LOST, "a document is lost")
    assert device.go() == []
    device.store.recheck()
    assert not notes.is_news(device.store, bad, time.time())
    fleet.point(DESIRED, good)
    assert notes.is_news(device.store, good, time.time())
    assert "news" in device.go()
    assert device.meta(notes.LOST) == ""


def test_what_was_taken_up_stays_here_though_a_courier_was_killed_before_it_named_it(
    device: CourierDevice, fleet: GitFleet
) -> None:
    fleet.deploy(document(APP))
    device.go()
    device.accept()
    head = fleet.deploy(document(APP, "new"))
    assert device.courier("--fetch", failpoints="courier.taken=kill").returncode == -9
    fleet.publish(signed=False)
    assert "refused" in device.go()[0]  # which throws away what nothing names
    received = device.store.received()
    assert received is not None
    assert received.etag == head
    manifest = StateManifest.parse(received.body, source="m")
    documents = GitDocuments(device.paths.repository, device.store)
    found = documents.fetch(manifest, manifest.deployments, may_bundle=True)
    assert [data for _, data in found] == [document(APP, "new")]


@pytest.mark.requirement("S-18", "GR-28")
def test_a_server_that_once_sent_too_much_for_a_good_head_is_asked_again_later(
    device: CourierDevice, fleet: GitFleet
) -> None:
    head, now = fleet.deploy(document(APP)), time.time()
    device.store.set_meta(notes.REFUSED, notes.render_refusal(head, "more would have to be written", now))
    device.store.set_meta(notes.AGAIN, f"{notes.next_try(now, now):.0f}")
    assert device.go("--fetch") == []
    device.store.set_meta(notes.AGAIN, f"{now - 1:.0f}")
    assert "news" in device.go("--fetch")
    assert (taken(device), device.meta(notes.REFUSED)) == (head, "")


def test_a_head_that_is_too_much_is_told_once_and_tried_again_ever_later(
    device: CourierDevice, fleet: GitFleet
) -> None:
    fleet.others["huge"] = os.urandom(100_000_000)
    fleet.deploy(document(APP))
    for _ in range(2):
        assert device.go("--fetch")[0].startswith("refused")
        assert float(device.meta(notes.AGAIN)) > time.time()
        device.store.set_meta(notes.AGAIN, "1")
    refusals = [each for each in device.store.events() if "was refused" in each.message]
    assert len(refusals) == 1


@pytest.mark.parametrize(
    ("lasted", "waits"), [(0, 900), (899, 900), (7200, 7200), (86_400, 86_400), (1e9, 86_400), (-1e9, 900)]
)
def test_what_is_tried_again_waits_as_long_as_it_has_lasted(lasted: float, waits: float) -> None:
    assert notes.next_try(2e9 - lasted, 2e9) == 2e9 + waits


def mind(fleet: GitFleet, *patterns: str) -> None:
    """Have the Git server decline every push in which a file has any of these in it; none: it takes all."""
    hook = fleet.repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    looks = "".join(f" -e {pattern}" for pattern in patterns)
    hook.write_text(
        "#!/bin/sh\nwhile read old new name; do\n"
        '  for commit in $(git rev-list "$new" --not --all); do\n'
        f'    if git grep -q{looks} "$commit" --; then echo "permission denied: words" >&2; exit 1; fi\n'
        "  done\ndone\n"
        if patterns
        else "#!/bin/sh\nexit 0\n"
    )
    hook.chmod(0o755)


@pytest.mark.requirement("GR-32", "S-20")
def test_a_report_that_the_server_declines_is_told_of_and_holds_up_no_other(
    device: CourierDevice, fleet: GitFleet
) -> None:
    fleet.deploy(document(APP))
    device.go()
    device.accept()
    mind(fleet, "poison")
    for state in ("pending", "poison", "installed"):
        device.queue(APP, state)
        device.queue(OTHER, state.replace("poison", "installing"))
    (said,) = device.go()
    assert f"status/{APP}" in said
    assert "permission denied: words" in said
    assert fleet.states(OTHER) == ["pending", "installing", "installed"]
    assert fleet.states(APP) == ["pending"]
    assert fleet.adopted()["manifestVersion"] == "1"
    (known,) = notes.declined(device.store).values()
    assert (known.name, known.tries, "words" in known.reason) == (f"status/{APP}", 1, True)

    for _ in range(3):
        device.go("--push")
    assert fleet.states(APP) == ["pending", "installed"]
    assert (len(device.outbox), notes.declined(device.store)) == (0, {})
    told = [each.message for each in device.store.events(100)]
    assert sum("is kept and tried again" in each for each in told) == 1
    assert sum("was given up" in each for each in told) == 1
    assert device.go() == []


def test_a_branch_that_is_protected_for_a_while_is_told_everything(
    device: CourierDevice, fleet: GitFleet
) -> None:
    mind(fleet, "deploymentId")
    for state in ("pending", "installing", "installed"):
        device.queue(APP, state)
        device.queue(OTHER, state)
    for _ in range(5):
        assert device.go("--push")
    assert (fleet.states(APP), fleet.states(OTHER), len(device.outbox)) == ([], [], 6)
    mind(fleet)
    assert device.go("--push") == []
    assert fleet.states(APP) == fleet.states(OTHER) == ["pending", "installing", "installed"]
    assert fleet.adopted() is not None


def test_of_what_is_told_anew_only_what_the_server_minds_is_left_out(
    device: CourierDevice, fleet: GitFleet
) -> None:
    device.queue(APP, "poison")
    device.queue(OTHER, "installed")
    device.go("--push")
    fleet.git("update-ref", "-d", CURRENT)
    mind(fleet, "poison")
    device.queue(APP, "poison")
    device.outbox.queue("capabilities", "PUT", "/c", b"{}")
    (said,) = device.go("--push")
    assert f"status/{APP}" in said
    assert (fleet.states(APP), fleet.states(OTHER)) == ([], ["installed"])
    mind(fleet)
    assert device.go("--push") == []
    assert fleet.states(APP) == ["poison"]


def test_what_was_taken_up_may_be_what_the_server_declines(device: CourierDevice, fleet: GitFleet) -> None:
    mind(fleet, "manifestVersion")
    device.queue(APP, "installed")
    (said,) = device.go()
    assert "adopted.json" in said
    assert (fleet.states(APP), fleet.adopted(), len(device.outbox)) == (["installed"], None, 0)
    mind(fleet)
    assert device.go() == []
    assert fleet.adopted() is not None
    assert notes.declined(device.store) == {}


def test_what_somebody_wrote_is_told_anew_though_a_courier_failed_before(
    device: CourierDevice, fleet: GitFleet
) -> None:
    device.queue(APP, "installed")
    device.go("--push")
    fleet.commit({"README.md": b"mine"}, branch=CURRENT, signed=False, parents=[])
    device.queue(OTHER, "installed")
    assert device.courier("--push", failpoints="courier.pushing=kill").returncode == -9
    device.go("--push")
    assert (fleet.states(APP), fleet.states(OTHER)) == (["installed"], ["installed"])
