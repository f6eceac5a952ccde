"""A device that lives by Git, at Git servers of others: real watch, real rounds, nothing of our own server.

Every server with every kind of credentials, what goes wrong with them, and servers that lie. The fleet
manager is `support.git_fleet`, which follows docs/reference/git-repository.md and shares no code with ours.
"""

import json
import re

import pytest

from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import deployment_yaml
from support.git_fleet import CURRENT, DESIRED, FILE, FOLDER, LINK, SUBMODULE, Entry, GitFleet, Signer
from support.git_servers import PASSWORD, WAYS, Access, Nginx, Sshd, opened
from support.hostile_git import Cut, Endless, Garble, HostileGit, Say, endless_pack, noise, packet, refs
from support.processes import wait_until
from support.secrets import Lookout, files_with

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
NAME = "edge-01"
RESULT = {"Content-Type": "application/x-git-upload-pack-result"}


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def signer(tmp_path):
    return Signer.create(tmp_path / "signers", "fleet")


@pytest.fixture
def fleet(tmp_path, signer):
    return GitFleet.create(tmp_path / "repositories" / f"{NAME}.git", signer)


@pytest.fixture
def agent(tmp_path, authority):
    return AgentRig(tmp_path, authority)


@pytest.fixture
def trusted(signer):
    return signer.signers


@pytest.fixture
def nginx(tmp_path, authority):
    (tmp_path / "repositories").mkdir(exist_ok=True)
    with Nginx(tmp_path / "repositories", authority) as server:
        yield server


@pytest.fixture
def hostile(tmp_path, authority):
    with HostileGit(tmp_path / "repositories", authority) as server:
        yield server


def enroll(agent, access, trusted, **options):
    done = agent.enroll_git(access.all_words(), trusted, **options)
    assert done.returncode == 0, done.stderr
    return done


def told(agent):
    """Return all that `agent status` says, as one text."""
    return json.dumps(agent.status(), ensure_ascii=False)


def wait_told(agent, pattern):
    """Return what `agent status` says as soon as it matches."""

    def found():
        text = told(agent)
        return text if re.search(pattern, text, re.IGNORECASE) else None

    return wait_until(found, what=f"status tells {pattern}; it tells {told(agent)}", seconds=40)


@pytest.mark.requirement(
    "S-1", "S-4", "S-15", "S-18", "S-19", "S-20", "S-22", "GR-31", "GR-33", "GR-39", "GR-40"
)
@pytest.mark.parametrize("name", WAYS)
def test_a_life_by_git_of_others(tmp_path, authority, fleet, agent, trusted, name):
    with (
        opened(name, tmp_path / "repositories", authority, NAME) as access,
        Lookout(access.secrets) as lookout,
    ):
        first = fleet.deploy(deployment_yaml(ONE))
        said = enroll(agent, access, trusted)
        with agent.running():
            fleet.wait_for_state(ONE, "installed", version=1)
            fleet.wait_for_adopted(first)
            fleet.deploy(deployment_yaml(ONE, components=["db", "web"]))
            fleet.wait_for_state(ONE, "installed", version=2)
            assert set(agent.installed) == {(ONE, "db"), (ONE, "web")}
            fleet.withdraw(ONE)
            fleet.wait_for_state(ONE, "removed")
            last = fleet.deploy(deployment_yaml(TWO))
            fleet.wait_for_state(TWO, "installed", version=4)
            fleet.wait_for_adopted(last)
            facts = told(agent)
        assert set(agent.installed) == {(TWO, "web")}
    assert access.url in facts
    assert last in facts
    assert fleet.capabilities()["properties"]["id"] == NAME
    # Every state was told, in order, and what was refused is nothing.
    assert fleet.states(ONE)[-1] == "removed"
    assert fleet.states(ONE).count("installed") == 2
    assert fleet.adopted() == {"manifestVersion": "4", "commit": last, "refused": None}
    assert fleet.head(DESIRED) == last
    # Credentials are where they have to be, and nowhere else.
    assert "git" in lookout.looked_at
    assert lookout.seen == {}
    for secret, paths in files_with(access.secrets, agent.state, agent.log).items():
        for path in paths:
            assert path != agent.log, secret
            assert path.stat().st_mode & 0o077 == 0, path
    for secret in access.secrets:
        assert secret not in said.stdout + said.stderr + facts


@pytest.mark.requirement("GR-43")
def test_an_unchanged_branch_costs_one_question(fleet, agent, trusted, nginx):
    last = fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("basic", NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
        fleet.wait_for_adopted(last)
        nginx.wait_for_requests(3, "git-upload-pack")
        before = len(nginx.requests())
        nginx.wait_for_requests(10, "git-upload-pack")
        asked = nginx.requests()[before:]
    assert {line.split()[0] for line in asked} == {"POST"}
    assert {line.split()[2] for line in asked} == {"200"}
    assert all(int(line.split()[3]) < 1024 for line in asked), asked


# --- credentials and certificates that are wrong --------------------------------------------------------


def wrong_ways(nginx, credentials, authority):
    """Return, by name, how a device may be told wrong things, and the words it has to find."""
    ca = credentials.ca()
    other = Authority.create("example.net", name="Another Root")
    url = nginx.url
    return {
        "password": (
            Access(url("basic", NAME), (*credentials.basic("wrong-pass"), *ca)),
            "401|password|credentials|let this device in",
        ),
        "token": (
            Access(url("bearer", NAME), (*credentials.bearer("wrong-token"), *ca)),
            "401|token|credentials|let this device in",
        ),
        "no certificate": (Access(url("certificate", NAME), ca), "400|certificate"),
        "foreign certificate": (
            Access(url("certificate", NAME), (*credentials.certificate(other.client()), *ca)),
            "400|certificate",
        ),
        "another authority": (Access(url("none", NAME), credentials.ca(other)), "certificate"),
        "foreign server": (Access(url("none", NAME, port="foreign"), ca), "certificate"),
        "expired server": (
            Access(url("none", NAME, port="expired"), ca),
            "certificate.*expired",
        ),
        "no such repository": (Access(url("none", "nobody"), ca), "404|not found"),
        "moved": (Access(url("moved", NAME), ca), "302|redirect|moved"),
        "page": (Access(url("html", NAME), ca), "no Git|not a Git|html|not Git|Git server|protocol"),
    }


WRONG = [
    "password",
    "token",
    "no certificate",
    "foreign certificate",
    "another authority",
    "foreign server",
    "expired server",
    "no such repository",
    "moved",
    "page",
]


@pytest.mark.requirement("S-22", "GR-38", "GR-39", "GR-40")
@pytest.mark.parametrize("name", WRONG)
def test_enrolment_tells_what_is_wrong_and_installs_nothing(fleet, agent, trusted, nginx, authority, name):
    fleet.deploy(deployment_yaml(ONE))
    access, words = wrong_ways(nginx, nginx.credentials, authority)[name]
    done = agent.enroll_git(access.all_words(), trusted)
    assert done.returncode not in (0, None)
    assert re.search(words, done.stderr, re.IGNORECASE), done.stderr
    assert "Traceback" not in done.stderr
    assert "wrong-pass" not in done.stderr
    assert "wrong-token" not in done.stderr
    assert agent.command("status").returncode != 0 or NAME not in agent.command("status").stdout
    assert fleet.head(CURRENT) is None


@pytest.mark.requirement("GR-39")
@pytest.mark.parametrize("wrong", ["key", "host"])
def test_enrolment_by_ssh_tells_what_is_wrong(tmp_path, fleet, agent, trusted, wrong):
    fleet.deploy(deployment_yaml(ONE))
    with Sshd(tmp_path / "repositories") as server:
        access = server.access(NAME, **{wrong: "stranger"})
        done = agent.enroll_git(access.all_words(), trusted)
    assert done.returncode != 0
    assert re.search("permission denied|key" if wrong == "key" else "host key", done.stderr, re.IGNORECASE)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name", ["password", "another authority", "expired server", "no such repository", "page"]
)
def test_what_is_wrong_later_is_told_in_status_and_changes_nothing(
    fleet, agent, trusted, nginx, authority, name
):
    fleet.deploy(deployment_yaml(ONE))
    right = nginx.access("basic", NAME)
    enroll(agent, right, trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
    before = agent.installed
    access, words = wrong_ways(nginx, nginx.credentials, authority)[name]
    done = agent.enroll_git([*access.all_words(), "--offline"], trusted, replace=True)
    assert done.returncode == 0, done.stderr
    fleet.deploy(deployment_yaml(TWO))
    with agent.running():
        text = wait_told(agent, words)
    assert "Traceback" not in text
    assert "wrong-pass" not in text + agent.log.read_text()
    assert agent.installed == before
    assert fleet.states(TWO) == []


def test_a_server_that_changes_its_password_is_told_and_forgiven(fleet, agent, trusted, nginx):
    fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("basic", NAME), trusted)
    users = nginx.directory / "users"
    right = users.read_text()
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
        users.write_text("edge-01:{PLAIN}another\n")
        fleet.deploy(deployment_yaml(TWO))
        text = wait_told(agent, "401|password|credentials|let this device in")
        assert PASSWORD not in text
        users.write_text(right)
        fleet.wait_for_state(TWO, "installed")
    assert set(agent.installed) == {(ONE, "web"), (TWO, "web")}


@pytest.mark.requirement("GR-44")
def test_an_overloaded_server_is_left_alone_as_long_as_it_asks(fleet, agent, trusted, hostile):
    fleet.deploy(deployment_yaml(ONE))
    enroll(agent, hostile.access(NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
        busy = Say(status=503, headers={"Retry-After": "7200"}, body=b"busy")
        hostile.trick = busy
        wait_told(agent, "503|busy|overload|Retry-After|asked to wait")
        asked = len(hostile.requests)
        fleet.deploy(deployment_yaml(TWO))
        told(agent)
    with agent.running():  # also over a restart
        told(agent)
        told(agent)
    assert len(hostile.requests) == asked
    assert set(agent.installed) == {(ONE, "web")}


# --- heads of `desired` that must not be taken up -------------------------------------------------------


def forged(fleet):
    """Put another tree under the signature of a right commit."""
    right = fleet.git("cat-file", "commit", fleet.publish(branch=None, parents=[fleet.head()]))
    other = fleet.tree({**fleet.files(), "manifest.json": b"{}"})
    return fleet.commit_raw(re.sub(rb"^tree .{40}", b"tree " + other.encode(), right))


def by_pgp(fleet):
    """A commit with the signature of another program."""
    bare = fleet.git("cat-file", "commit", fleet.publish(branch=None, signed=False, parents=[fleet.head()]))
    head, _, text = bare.partition(b"\n\n")
    armour = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQEzBAABCAAdFiEE\n -----END PGP SIGNATURE-----"
    return fleet.commit_raw(head + b"\n" + armour + b"\n\n" + text)


def rewound(fleet):
    """Another future of the commit before the accepted one, well signed, with a higher version."""
    parent = fleet.history(DESIRED)[-2]
    fleet.documents[TWO] = deployment_yaml(TWO)
    return fleet.publish(parents=[parent])


def merged_away(fleet):
    """The accepted commit is only the second parent."""
    accepted = fleet.head()
    side = fleet.commit(fleet.files(), parents=[], branch=None)
    fleet.documents[TWO] = deployment_yaml(TWO)
    return fleet.publish(parents=[side, accepted])


def with_wrong_document(fleet):
    fleet.documents[ONE] = deployment_yaml(ONE, components=["db"])
    fleet.version += 1
    files = fleet.files() | {f"deployments/{ONE}.yaml": deployment_yaml(ONE, components=["evil"])}
    return fleet.commit(files)


def without_document(fleet):
    fleet.documents[TWO] = deployment_yaml(TWO)
    fleet.version += 1
    files = fleet.files()
    del files[f"deployments/{TWO}.yaml"]
    return fleet.commit(files)


def with_more(fleet, **files):
    fleet.documents[TWO] = deployment_yaml(TWO)
    fleet.version += 1
    return fleet.commit(fleet.files() | {name.replace("__", "/"): data for name, data in files.items()})


def with_entry(fleet, mode, name, data=b"x"):
    fleet.documents[TWO] = deployment_yaml(TWO)
    fleet.version += 1
    match mode:
        case "160000":
            object_id = fleet.head()
        case "40000":
            object_id = fleet.tree({"config": data})
        case _:
            object_id = fleet.write("blob", data)
    return fleet.commit(fleet.with_entry(Entry(mode, name.encode(), object_id)))


def nested(fleet):
    return with_more(fleet, a__b__c__d__e=b"deep")


def with_unsigned(fleet):
    fleet.documents[TWO] = deployment_yaml(TWO)
    return fleet.publish(signed=False)


def with_stranger(fleet, stranger):
    fleet.documents[TWO] = deployment_yaml(TWO)
    fleet.others["signers"] = stranger.line.encode()
    return fleet.publish(signer=stranger)


def same_version(fleet):
    fleet.documents[TWO] = deployment_yaml(TWO)
    return fleet.publish(version=fleet.version)


BAD_HEADS = {
    "unsigned": (lambda fleet, _: with_unsigned(fleet), "sign"),
    "signed by a stranger": (with_stranger, "sign"),
    "forged": (lambda fleet, _: forged(fleet), "sign"),
    "signed by another program": (lambda fleet, _: by_pgp(fleet), "sign"),
    "rewound": (
        lambda fleet, _: fleet.point(DESIRED, fleet.history(DESIRED)[-2]),
        "descend|rewound|ancestor|follow",
    ),
    "another future": (lambda fleet, _: rewound(fleet), "descend|rewound|ancestor|follow"),
    "made anew": (lambda fleet, _: fleet.publish(parents=[]), "descend|rewound|ancestor|follow"),
    "merged away": (lambda fleet, _: merged_away(fleet), "descend|rewound|ancestor|follow"),
    "wrong document": (lambda fleet, _: with_wrong_document(fleet), "sha256:.*sha256:"),
    "document missing": (lambda fleet, _: without_document(fleet), "deployments/|missing"),
    "no manifest": (lambda fleet, _: fleet.commit({"README.md": b"hello"}), "manifest"),
    "broken manifest": (lambda fleet, _: fleet.commit(fleet.files() | {"manifest.json": b"{"}), "manifest"),
    "lower version": (lambda fleet, _: fleet.publish(version=1), "version"),
    "same version, other content": (lambda fleet, _: same_version(fleet), "version"),
    "symbolic link": (
        lambda fleet, _: with_entry(fleet, LINK, "notes", b"/etc/passwd"),
        "notes|symbolic|link",
    ),
    "submodule": (lambda fleet, _: with_entry(fleet, SUBMODULE, "vendor"), "vendor|submodule"),
    ".git": (lambda fleet, _: with_entry(fleet, FOLDER, ".git"), "git|name"),
    ".GIT": (lambda fleet, _: with_entry(fleet, FOLDER, ".GIT"), "git|name"),
    "git~1": (lambda fleet, _: with_entry(fleet, FOLDER, "git~1"), "git|name"),
    "beyond ASCII": (lambda fleet, _: with_entry(fleet, FILE, "caf\u00e9.md"), "name"),
    "dot-dot": (lambda fleet, _: with_entry(fleet, FOLDER, ".."), "name|\\.\\."),
    "differs in case": (lambda fleet, _: with_entry(fleet, FILE, "MANIFEST.json"), "case|manifest"),
    "too deep": (lambda fleet, _: nested(fleet), "deep|depth|levels|parts"),
    "too large": (lambda fleet, _: with_more(fleet, README=noise(2 << 20)), "README|large|bytes"),
    "100 MB": (
        lambda fleet, _: with_more(fleet, README=noise(100 << 20)),
        "README|large|bytes|limit|than is accepted",
    ),
    "bomb": (lambda fleet, _: with_more(fleet, README=bytes(400 << 20)), "README|large|bytes|limit"),
}


@pytest.mark.requirement(
    "S-19", "GR-11", "GR-12", "GR-13", "GR-14", "GR-15", "GR-16", "GR-21", "GR-22", "GR-23", "GR-24", "GR-29"
)
@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_bad_head_is_refused_told_and_forgotten(tmp_path, fleet, agent, trusted, nginx, name):
    make, words = BAD_HEADS[name]
    fleet.publish()
    accepted = fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("none", NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed", version=2)
        fleet.wait_for_adopted(accepted)
        right = dict(fleet.documents), dict(fleet.others), fleet.version
        before = agent.installed
        calls = len([call for call in agent.calls if call[0] in ("apply", "remove")])

        bad = make(fleet, Signer.create(tmp_path, "stranger"))
        reason = fleet.wait_for_refusal(bad)
        assert re.search(words, reason, re.IGNORECASE), reason
        facts = told(agent)
        assert bad in facts
        nginx.wait_for_requests(6, "git-upload-pack")
        assert fleet.adopted()["commit"] == accepted
        assert fleet.adopted()["manifestVersion"] == "2"
        assert agent.installed == before
        assert len([call for call in agent.calls if call[0] in ("apply", "remove")]) == calls
        store = agent.store()
        events = [each.message for each in store.events(200) if bad[:7] in each.message]
        store.close()
        assert len(events) == 1, events

        # A right head that grows from the accepted one ends it.
        fleet.documents, fleet.others, fleet.version = right
        fleet.point(DESIRED, accepted)
        fleet.documents[TWO] = deployment_yaml(TWO)
        good = fleet.publish(version=fleet.version + 5)
        fleet.wait_for_state(TWO, "installed")
        fleet.wait_for_adopted(good)
        assert fleet.adopted()["refused"] is None
    assert set(agent.installed) == {(ONE, "web"), (TWO, "web")}


@pytest.mark.requirement("GR-4", "GR-22")
def test_a_branch_that_is_gone_removes_nothing(fleet, agent, trusted, nginx):
    accepted = fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("none", NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
        fleet.git("update-ref", "-d", DESIRED)
        wait_told(agent, "the branch is gone")
        assert set(agent.installed) == {(ONE, "web")}
        fleet.point(DESIRED, accepted)
        fleet.deploy(deployment_yaml(TWO))
        fleet.wait_for_state(TWO, "installed")


@pytest.mark.requirement("GR-25", "GR-21")
def test_the_first_head_must_be_signed_by_whom_the_device_was_told(tmp_path, fleet, agent, nginx):
    stranger = Signer.create(tmp_path, "stranger")
    commit = fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("none", NAME), stranger.signers)
    with agent.running():
        assert "sign" in fleet.wait_for_refusal(commit)
    assert agent.installed == {}
    assert fleet.adopted()["commit"] is None


@pytest.mark.requirement("GR-26", "GR-27")
def test_the_old_key_hands_over_to_the_new_one(tmp_path, fleet, agent, trusted, nginx):
    old, new = fleet.signer, Signer.create(tmp_path, "new")
    fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("none", NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
        early = fleet.publish(signer=new)
        assert "sign" in fleet.wait_for_refusal(early)
        fleet.others["signers"] = new.line.encode()
        fleet.publish(signer=old)
        fleet.documents[TWO] = deployment_yaml(TWO)
        fleet.publish(signer=new)
        fleet.wait_for_state(TWO, "installed")
        late = fleet.publish(signer=old)
        assert "sign" in fleet.wait_for_refusal(late)
        fleet.wait_for_adopted(fleet.publish(signer=new))


@pytest.mark.requirement("GR-27", "GR-26")
def test_commits_between_need_no_signature_and_change_no_trust(tmp_path, fleet, agent, trusted, nginx):
    stranger = Signer.create(tmp_path, "stranger")
    fleet.deploy(deployment_yaml(ONE))
    enroll(agent, nginx.access("none", NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed")
    # Two commits at once, so that the device sees the second as the head.
    fleet.commit(fleet.files() | {"signers": stranger.line.encode()}, signed=False)
    fleet.documents[TWO] = deployment_yaml(TWO)
    with agent.running():
        fleet.publish()
        fleet.wait_for_state(TWO, "installed")
        bad = fleet.publish(signer=stranger)
        fleet.wait_for_refusal(bad)


# --- servers that lie ------------------------------------------------------------------------------------

TRICKS = {
    "a page": Say(body=b"<html>please sign in</html>", headers={"Content-Type": "text/html"}),
    "not allowed": Say(status=403, body=b"no"),
    "broken": Say(status=500, body=b"Traceback: oh no"),
    "elsewhere": Say(status=302, headers={"Location": "https://example.org/other.git"}),
    "cut advertisement": Cut("refs"),
    "cut ls-refs": Cut("ls-refs"),
    "cut pack": Cut("fetch"),
    "garbled ls-refs": Garble("ls-refs"),
    "garbled pack": Garble("fetch"),
    "endless advertisement": Endless("refs", packet("0" * 40 + " refs/heads/x\n")),
    "endless ls-refs": Endless("ls-refs", packet("1" * 40 + " refs/heads/x\n")),
    "endless pack": endless_pack(),
    "endless progress": Endless("fetch", packet(b"\x02" + b"working hard\n" * 2000), after=b"packfile\n"),
    "no such commit": Say(body=refs(desired="0" * 39 + "1"), what="ls-refs", headers=RESULT),
    "no branch": Say(body=refs(), what="ls-refs", headers=RESULT),
    "not a commit id": Say(body=refs(desired="--upload-pack=touch"), what="ls-refs", headers=RESULT),
    "strange length": Say(body=b"zzzz", what="ls-refs", headers=RESULT),
}


@pytest.mark.requirement("GR-15", "GR-29", "GR-38")
@pytest.mark.parametrize("name", TRICKS)
def test_a_lying_server_changes_nothing_and_is_forgiven(fleet, agent, trusted, hostile, name):
    fleet.deploy(deployment_yaml(ONE))
    enroll(agent, hostile.access(NAME), trusted)
    with agent.running():
        fleet.wait_for_state(ONE, "installed", version=1)
        before = agent.installed
        hostile.trick = TRICKS[name]
        fleet.deploy(deployment_yaml(TWO))

        def trouble():
            facts = agent.status()
            return facts["contact"]["problem"] or (facts["repository"]["refused"] or {}).get("reason")

        problem = wait_until(trouble, what="what is wrong is told", seconds=90)
        assert "Traceback" not in problem.replace("Traceback: oh no", "")
        assert agent.installed == before
        assert hostile.sent < 512 << 20
        hostile.trick = None
        agent.command("poll")
        fleet.wait_for_state(TWO, "installed", version=2)
    assert "Traceback (most recent" not in agent.log.read_text()
    assert set(agent.installed) == {(ONE, "web"), (TWO, "web")}
