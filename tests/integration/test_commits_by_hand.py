"""Commits that people make by hand on `desired`, as odd as people and editors make them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from support.certificates import Authority
from support.external_scene import Scene, upload
from support.git_backend import GitBackend, Person
from support.processes import wait_until
from support.server_process import ServerProcess

LONG = "n" * 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("by-hand") / "server") as running:
        upload(running)
        yield running


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitBackend]:
    with GitBackend(tmp_path_factory.mktemp("git"), Authority.create("example.org")) as running:
        yield running


@pytest.fixture
def scene(server: ServerProcess, backend: GitBackend, tmp_path: Path, unique: str) -> Scene:
    return Scene.create(server, backend, tmp_path, unique)


def settled(scene: Scene) -> str:
    """Look, and return why the last commit was refused, empty where it was taken in."""
    shown = scene.look()
    assert shown["problem"] is None, shown
    assert scene.verified(scene.head())
    return shown["refused"] or ""


def commit_by(person: Person, folder: Path, author: str) -> str:
    """Push a commit by an author whom git itself would not write down; return it."""
    person.change({"README.md": "x"})
    tree, parent = person.git("rev-parse", "HEAD^{tree}", "HEAD~1").split()
    stamp = f"{author} <ada@example.org> 1700000000 +0000"
    text = f"tree {tree}\nparent {parent}\nauthor {stamp}\ncommitter {stamp}\n\n\x1b]0;title\x07by hand\n"
    (folder / "commit").write_text(text)
    words = ("hash-object", "-t", "commit", "-w", "--literally", str(folder / "commit"))
    commit = person.git(*words)
    person.git("push", "-q", "origin", f"{commit}:desired")
    return commit


REWRITINGS = {
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: f"\ufeff{text}",
    "a comment": lambda text: f"# Ada was here\n{text}",
    "an anchor and an alias": lambda text: text.replace("value: hello", "value: &it hello"),
    "a tag that says what it is": lambda text: text.replace("value: hello", "value: !!str hello"),
    "quotes": lambda text: text.replace("value: hello", 'value: "hello"'),
}


@pytest.mark.requirement("S-18", "GR-46")
def test_what_an_editor_does_to_a_document_without_changing_it_is_no_decision(scene: Scene) -> None:
    person = scene.person()
    before = scene.file(scene.document)
    for name, rewrite in REWRITINGS.items():
        person.pull()
        person.change({scene.document: rewrite(before + "\n")}, name)
        person.push()
        refused = settled(scene)
        # What is taken for the same, or not understood, leaves the fleet manager's bytes there.
        assert scene.file(scene.document) == before, name
        assert refused == "" or scene.document in refused, (name, refused)
    assert scene.values()["greeting"] == "hello"


@pytest.mark.requirement("S-18", "GR-47")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("value: hello", "value: 7", "greeting"),
        ("value: hello", "value: {a: b}", "greeting"),
        ("value: hello", "value: [hello, {a: b}]", "greeting"),
        ("value: hello", "value: .nan", "not a finite number"),
        ("value: hello", "value: !!python/object/apply:os.system [id]", "deployments/"),
        ("value: hello", "value: hello\n      value: moin", "value"),
        ("value: hello", "value: *nobody", "deployments/"),
        ("value: hello", "value: moin\n      <<: {a: 1}", "deployments/"),
        ("value: hello", "value: 'hello", "deployments/"),
        ("parameters:\n", "parameters:\n    added:\n      value: 1\n", "added"),
        ("value: hello", "value: mo\\0in\x07", "deployments/"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_place(
    scene: Scene, old: str, new: str, told: str
) -> None:
    person = scene.person()
    before = person.read(scene.document)
    assert old in before
    person.change({scene.document: before.replace(old, new), "README.md": "goes with it"})
    person.push()
    refused = settled(scene)
    assert told in refused, refused
    assert "README.md" not in scene.files()
    assert scene.values() == {"greeting": "hello", "site": "plant 4"}


@pytest.mark.requirement("S-18", "GR-47")
@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param(
            {"policy.yaml": b"\xef\xbb\xbfpolling:\n  rate: nonsense\n"}, "policy.yaml", id="BOM and bad"
        ),
        pytest.param({"policy.yaml": b"polling:\n  rate: \xff\xfe\n"}, "policy.yaml", id="not UTF-8"),
        pytest.param({"policy.yaml": b"nonsense: 1\n"}, "nonsense", id="YAML and no policy"),
        pytest.param({"policy.yaml": b"- a\n- b\n"}, "policy.yaml", id="a list"),
        pytest.param({"policy.yaml": b"  \n"}, "remove the file", id="empty"),
        pytest.param({"policy.yaml": b"#" * 70_000}, "65536", id="large"),
        pytest.param({"a": b"x" * 1_100_000}, "1048576", id="a large file"),
        pytest.param({"Policy.YAML": b"x"}, None, id="nearly the policy"),
        pytest.param({"README.md": b"a", "readme.md": b"b"}, "differ in nothing but case", id="case"),
        pytest.param({"a/b/c/d/e": b"x"}, "4", id="deep"),
        pytest.param({"a\nb": b"x"}, "a\\nb", id="a name of two lines"),
        pytest.param({"ünï.md": b"x"}, "\\xfc", id="a name with letters of others"),
        pytest.param({"deployments/x.yaml": b"x"}, "no deployment of this device", id="another document"),
        pytest.param({"manifest.json/x": b"x", "manifest.json": None}, "manifest.json", id="a folder"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_its_name(
    scene: Scene, files: dict[str, bytes | None], told: str | None
) -> None:
    person, before = scene.person(), scene.files()
    for path in [path for path, content in files.items() if content is None]:
        (person.folder / path).unlink()
    person.change({path: content for path, content in files.items() if content is not None})
    person.push()
    refused = settled(scene)
    if told is None:
        assert refused == "" or "differ in nothing but case" in refused
    else:
        assert told in refused, refused
        assert scene.files() == before


@pytest.mark.requirement("S-18", "GR-46")
def test_of_two_values_one_that_is_bad_spoils_both(scene: Scene) -> None:
    person = scene.person()
    changed = person.read(scene.document).replace("value: hello", "value: moin").replace("plant 4", "plant 5")
    person.change({scene.document: changed})
    person.push()
    assert "site" in settled(scene)
    assert scene.values() == {"greeting": "hello", "site": "plant 4"}


@pytest.mark.requirement("S-18", "GR-46", "GR-47")
def test_what_git_does_by_itself_is_settled_too(scene: Scene) -> None:
    person = scene.person()
    (person.folder / "manifest.json").chmod(0o755)
    person.git("add", "-A")
    person.git("commit", "-q", "-m", "a mode and nothing else")
    person.push()
    assert settled(scene) == ""
    person.pull()
    person.git("mv", scene.document, "deployments/renamed.yaml")
    person.git("commit", "-q", "-m", "renamed")
    person.push()
    assert scene.document in settled(scene)
    # The answer of the fleet manager is reverted: that is what was refused, once more.
    person.pull()
    person.git("revert", "--no-edit", "HEAD")
    person.push()
    assert scene.document in settled(scene)
    person.pull()
    person.git("commit", "-q", "--allow-empty", "-m", "nothing")
    person.push()
    assert settled(scene) == ""
    assert "no change" in scene.message()
    # A branch of their own, merged as it should be: the fleet manager's commit comes first.
    person.pull()
    person.git("checkout", "-q", "-b", "aside")
    person.change({"README.md": "aside"})
    person.git("checkout", "-q", "-")
    person.change({"OTHER.md": "here"})
    person.git("merge", "-q", "--no-ff", "-m", "merged", "aside")
    person.push()
    assert settled(scene) == ""
    assert {"README.md", "OTHER.md"} <= set(scene.files())


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize(
    "author",
    [
        "Robert'); DROP TABLE deployments;--",
        "\u202eecilA \u2066x",
        LONG,
        "\x1b[31mRed\x07",
        "&lt;script&gt;alert(1)",
        "",
    ],
    ids=["sql", "right to left", "long", "escapes", "markup", "none"],
)
def test_an_author_of_any_name_is_told_of_in_one_safe_line(scene: Scene, author: str) -> None:
    person = scene.person()
    commit = commit_by(person, scene.folder, author)
    assert settled(scene) == ""
    said = scene.message()
    assert said.startswith(f"Taken in: {commit} by ")
    assert "\n" not in said
    assert said.isprintable(), said
    assert len(said) < 1000
    assert scene.file("README.md") == "x"
    (entry,) = scene.audit("take in commit")
    assert entry["actor"].isprintable()


@pytest.mark.requirement("S-18", "GR-45")
def test_a_commit_that_no_git_should_take_is_told_with_the_way_out(scene: Scene) -> None:
    person, ours = scene.person(), scene.head()
    commit_by(person, scene.folder, "<script>")
    told = scene.look()["problem"]
    assert f"git push --force origin {ours}:desired" in told
    person.git("push", "-q", "--force", "origin", f"{ours}:desired")
    assert settled(scene) == ""


@pytest.mark.requirement("S-18", "GR-45")
def test_a_hundred_commits_of_three_people_at_once_are_all_answered(scene: Scene) -> None:
    people = [scene.person(name, name.title()) for name in ("ada", "ben", "cleo")]
    lock = threading.Lock()

    def work(person: Person) -> None:
        for number in range(33):
            person.change({f"{person.folder.name}-{number}.md": "x"}, f"{number}")
        with lock:
            person.git("pull", "-q", "--rebase", "origin", "desired")
            person.push()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, people))
    assert settled(scene) == ""
    listed = set(scene.files())
    for person in people:
        assert {f"{person.folder.name}-{number}.md" for number in range(33)} <= listed
    assert len(scene.audit("take in commit")) == 99


@pytest.mark.requirement("S-18")
def test_a_server_that_is_killed_before_it_answered_answers_once(scene: Scene) -> None:
    person = scene.person()
    commit = person.change({"signers": "mallory\n"})
    person.push()
    killed = threading.Event()

    def kill() -> None:
        scene.server.kill()
        killed.set()

    scene.backend.before_push = kill
    with pytest.raises((HTTPException, OSError)):
        scene.look()
    # The connection breaks before the process has been waited for.
    assert killed.wait(30)
    scene.server.start()
    wait_until(lambda: scene.look()["problem"] is None and scene.verified(scene.head()), what="settled")
    log = scene.backend.git("log", "--format=%s", "desired", at=scene.backend.path(scene.device))
    assert log.count(f"Refused: {commit}") == 1
    assert "mallory" not in scene.file("signers")
