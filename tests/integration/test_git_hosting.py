"""The repositories a server hosts, with Git's own program in front of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hosted import PASSWORD, TOKEN, Git, Scene, basic, opened, with_header
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    created = ServerProcess.create(tmp_path_factory.mktemp("hosting") / "server", hosts_repositories=True)
    with created:
        yield created
    assert "Traceback" not in created.output


@pytest.fixture
def scene(server: ServerProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    """A device of its own for each test."""
    return opened(server, f"edge-{abs(hash(request.node.nodeid)):x}", tmp_path)


@pytest.mark.requirement("S-22")
@pytest.mark.parametrize("way", ["certificate", "basic", "bearer"])
def test_a_device_clones_and_pushes_in_each_of_the_three_ways(scene: Scene, way: str) -> None:
    headers = {
        "certificate": None,
        "basic": basic(scene.name, PASSWORD),
        "bearer": f"Authorization: Bearer {TOKEN}",
    }
    work = scene.work(headers[way])
    first = work.commit({"capabilities.json": "{}", "status/a.json": "{}"})
    work.good("push", "--quiet", "origin", "current")
    assert scene.current == first
    second = work.commit({"status/a.json": '{"more": 1}'})
    work.good("push", "--quiet", "origin", "current")
    assert scene.current == second
    assert work.good("ls-remote", "origin", "refs/heads/current").split()[0] == second


def test_git_asks_for_the_password_and_is_let_in_with_it(scene: Scene) -> None:
    url = scene.url.replace("https://", f"https://{scene.name}:{PASSWORD}@")
    git = with_header("X-Nothing: here", scene.folder, scene.authority)
    assert "refs/heads/desired" in git.good("ls-remote", url)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("X-Nothing: here", id="nothing"),
        pytest.param("Authorization: Bearer wrong", id="a wrong token"),
        pytest.param("Authorization: Bearer", id="no token"),
        pytest.param("Authorization: Basic !!!", id="no base64"),
        pytest.param("Authorization: Basic YWJj", id="no colon"),
        pytest.param("Authorization: Digest username=a", id="another scheme"),
        pytest.param("Authorization: Basic " + "QUJD" * 2000, id="long"),
    ],
)
def test_who_shows_nothing_right_is_not_let_in(scene: Scene, header: str) -> None:
    said = scene.git(header).run("ls-remote", scene.url)
    assert said.code == 128
    assert "could not read Username" in said.text or "Authentication failed" in said.text


def test_wrong_passwords_are_slowed_down_and_hurt_no_neighbour(
    server: ServerProcess, scene: Scene, tmp_path: Path
) -> None:
    for _ in range(5):
        assert scene.git(basic(scene.name, "wrong")).run("ls-remote", scene.url).code == 128
    slowed = scene.git(basic(scene.name, PASSWORD)).run("ls-remote", scene.url)
    assert "429" in slowed.text
    assert "the password was wrong too often" in slowed.text
    neighbour = opened(server, f"{scene.name}-neighbour", tmp_path)
    neighbour.git(basic(neighbour.name, PASSWORD)).good("ls-remote", neighbour.url)
    scene.git().good("ls-remote", scene.url)


def test_each_device_sees_its_own_repository_alone(
    server: ServerProcess, scene: Scene, tmp_path: Path
) -> None:
    other = opened(server, f"{scene.name}-other", tmp_path)
    nobodys = f"{server.git_url}/{scene.name}-nobody.git"
    for git in (scene.git(), scene.git(basic(scene.name, PASSWORD))):
        theirs, none = git.run("ls-remote", other.url), git.run("ls-remote", nobodys)
        assert (theirs.code, none.code) == (128, 128)
        assert theirs.text.replace(other.name, "X") == none.text.replace(f"{scene.name}-nobody", "X")
    work = scene.work()
    work.commit({"site.json": "{}"})
    assert work.run("push", other.url, "current").code == 128
    assert other.current == ""


@pytest.mark.requirement("ID-22")
def test_a_retired_device_is_refused_at_its_next_request(server: ServerProcess, scene: Scene) -> None:
    ways = [scene.git(), scene.git(basic(scene.name, PASSWORD)), scene.git(f"Authorization: Bearer {TOKEN}")]
    for git in ways:
        git.good("ls-remote", scene.url)
    server.operator.delete(f"/devices/{scene.name}")
    for git in ways:
        said = git.run("ls-remote", scene.url)
        assert said.code == 128
        assert "was retired here" in said.text


def test_a_poll_is_a_contact(server: ServerProcess, scene: Scene) -> None:
    assert server.operator.get(f"/devices/{scene.name}")["contact"]["state"] == "never"
    scene.git(basic(scene.name, PASSWORD)).good("ls-remote", scene.url)
    assert server.operator.get(f"/devices/{scene.name}")["contact"]["state"] == "in-contact"


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize(
    ("refspec", "told"),
    [
        pytest.param("+current:desired", "a device writes refs/heads/current and nothing else", id="desired"),
        pytest.param("current:other", "a device writes refs/heads/current and nothing else", id="a branch"),
        pytest.param("current:refs/tags/x", "a device writes refs/heads/current", id="a tag"),
        pytest.param(":current", "cannot be deleted", id="deletion"),
        pytest.param("+rewound:current", "does not build on", id="rewound"),
    ],
)
def test_a_push_moves_the_device_s_branch_forward_and_nothing_else(
    scene: Scene, refspec: str, told: str
) -> None:
    work = scene.work()
    work.commit({"site.json": "{}"})
    work.good("branch", "rewound")
    head = work.commit({"site.json": '{"a": 1}'})
    work.good("push", "--quiet", "origin", "current")
    said = work.run("push", "origin", refspec)
    assert said.code == 1
    assert told in said.text
    assert scene.current == head
    assert scene.bare.good("for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/current",
        "refs/heads/desired",
    ]
    # The server itself writes `desired` meanwhile; nothing of the device's is in it.
    assert scene.bare.run("merge-base", "--is-ancestor", head, "refs/heads/desired").code == 1


def tree_of(scene: Scene, work: Git, listed: str) -> str:
    """Commit exactly this tree (in git mktree's form, BLOB for a file) on top of nothing."""
    blob = work.good("hash-object", "-w", "--stdin", data=b"{}")
    tree = work.good("mktree", "--missing", data=listed.replace("BLOB", blob).encode())
    return work.good("commit-tree", "-m", "made by hand", tree)


@pytest.mark.requirement("GR-11", "GR-12", "GR-13", "GR-42")
@pytest.mark.parametrize(
    ("listed", "told"),
    [
        pytest.param("120000 blob BLOB\tlink\n", "only plain files and folders", id="symbolic link"),
        pytest.param(f"160000 commit {'1' * 40}\tmodule\n", "only plain files and folders", id="submodule"),
        pytest.param("100644 blob BLOB\t-rf\n", "names here are", id="dash"),
        pytest.param("100644 blob BLOB\ta b\n", "names here are", id="blank"),
        pytest.param("100644 blob BLOB\t.gitmodules\n", "gitmodules", id="gitmodules"),
        pytest.param("100644 blob BLOB\tGIT~1\n", "hasDotgit", id="git of another file system"),
        pytest.param("100644 blob BLOB\tna\u00efve\n", "names here are", id="not ascii"),
        pytest.param("100644 blob BLOB\tA\n100644 blob BLOB\ta\n", "differs in case alone", id="case"),
    ],
)
def test_files_that_may_not_be_are_refused_in_the_pusher_s_terminal(
    scene: Scene, listed: str, told: str
) -> None:
    work = scene.work()
    said = work.run("push", "origin", f"{tree_of(scene, work, listed)}:refs/heads/current")
    assert said.code == 1
    assert told in said.text
    assert scene.current == ""


@pytest.mark.requirement("GR-14", "GR-15")
def test_what_is_too_large_too_deep_or_too_much_is_refused(scene: Scene) -> None:
    work = scene.work()
    blob = work.good("hash-object", "-w", "--stdin", data=bytes(1024 * 1024 + 1))
    large = tree_of(scene, work, f"100644 blob {blob}\tcapabilities.json\n")
    assert "at most 1048576 are allowed" in work.run("push", "origin", f"{large}:refs/heads/current").text
    many = tree_of(scene, work, "".join(f"100644 blob BLOB\tf{number}\n" for number in range(10_001)))
    assert "at most 10000 are allowed" in work.run("push", "origin", f"{many}:refs/heads/current").text
    deep = work.commit({"a/b/c/d/e.json": "{}"})
    assert "nested more than 4 deep" in work.run("push", "origin", f"{deep}:refs/heads/current").text
    assert scene.current == ""


def test_a_fault_that_a_later_commit_takes_back_is_refused_as_well(scene: Scene) -> None:
    work = scene.work()
    first = tree_of(scene, work, "120000 blob BLOB\tlink\n")
    tree = work.good("mktree", data=b"")
    second = work.good("commit-tree", "-m", "clean", "-p", first, tree)
    assert "only plain files" in work.run("push", "origin", f"{second}:refs/heads/current").text
    assert scene.current == ""


def test_a_pack_that_is_too_large_or_swells_hurts_nothing(scene: Scene) -> None:
    work = scene.work()
    work.commit({"noise.json": os.urandom(17 * 1024 * 1024)})
    assert work.run("push", "origin", "current").code != 0
    work.good("checkout", "--quiet", "--orphan", "swelling")
    work.good("rm", "--quiet", "--cached", "noise.json")
    (work.folder / "noise.json").unlink()
    work.commit({"zeros.json": bytes(200 * 1024 * 1024)})
    assert "bytes; at most" in work.run("push", "origin", "swelling:current").text
    assert scene.current == ""
    assert "refs/heads/desired" in work.good("ls-remote", "origin")


def test_a_new_password_takes_the_place_of_the_old_one_at_once(server: ServerProcess, tmp_path: Path) -> None:
    name = "edge-with-a-new-password"
    server.operator.post(f"/devices/{name}/accept")
    server.operator.put(f"/devices/{name}/repository", {"kind": "hosted"})
    url, authority = f"{server.git_url}/{name}.git", server.data / "identity" / "web-ca.pem"

    def made() -> Git:
        secret = server.operator.post(f"/devices/{name}/repository/credentials", {"way": "basic"})
        return with_header(basic(name, secret["secret"]), tmp_path, authority)

    old = made()
    old.good("ls-remote", url)
    new = made()
    new.good("ls-remote", url)
    assert old.run("ls-remote", url).code == 128


def test_a_branch_that_cannot_be_read_is_no_branch_that_is_gone(scene: Scene) -> None:
    scene.bare.good("pack-refs", "--all")
    branch = scene.bare.folder / "refs" / "heads" / "desired"
    assert "refs/heads/desired" in scene.git().good("ls-remote", scene.url)
    branch.write_text("what a broken disk left\n")
    told = scene.git().run("ls-remote", scene.url)
    assert told.code == 128
    assert "500" in told.text
    branch.unlink()
    assert "refs/heads/desired" in scene.git().good("ls-remote", scene.url)
