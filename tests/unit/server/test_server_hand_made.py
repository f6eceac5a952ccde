"""Which commits of people are taken in, and what people are told of those that are not."""

from collections.abc import Mapping
from hashlib import sha1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import yaml
from edgewright.server.domain.hand_made import (
    MOST_OTHERS,
    OTHER_BYTES,
    Accepted,
    Commit,
    Entry,
    Refused,
    Snapshot,
    after,
    faults_of,
    is_read,
    judge,
    others_of,
)

ID = "5f1c6d0e-9a1b-4c2d-8e3f-0123456789ab"
DOCUMENT = f"deployments/{ID}.yaml"
POLICY = b"polling:\n  rate: 5m\n"


def document(**values: object) -> bytes:
    """Return a document of ours whose parameters have these values."""
    parameters = {
        name: {"value": value, "targets": [{"pointer": name.upper(), "components": ["web"]}]}
        for name, value in values.items()
    }
    spec = {
        "applicationId": "shop",
        "deploymentProfile": {"type": "compose", "components": [{"name": "web", "properties": {}}]},
        "parameters": parameters,
    }
    return yaml.dump({"apiVersion": "margo.org/v1", "metadata": {"annotations": {"id": ID}}, "spec": spec})


def snapshot(files: Mapping[str, bytes], *more: Entry) -> Snapshot:
    """Return the tree that has these files, and entries of other kinds."""
    entries = tuple(
        Entry(
            path=path, mode="100644", id=sha1(content, usedforsecurity=False).hexdigest(), size=len(content)
        )
        for path, content in sorted(files.items())
    )
    contents = {path: content for path, content in files.items() if is_read(path)}
    return Snapshot(entries=entries + more, contents=contents)


OURS = {
    "manifest.json": b'{"manifestVersion": 7}',
    "signers": b'fleet namespaces="git" ssh-ed25519 AAAA',
    ".gitattributes": b"* -text\n",
    "policy.yaml": b"polling:\n  rate: 1m\n",
    DOCUMENT: document(greeting="hello", port=8080, tags=["a", "b"]),
}
STATE = snapshot(OURS)


def judged(files: Mapping[str, bytes | None], *more: Entry) -> Accepted | Refused:
    """Return what becomes of a commit on top of ours that has `files` otherwise (None: not at all)."""
    there = {**OURS, **files}
    made = {path: content for path, content in there.items() if content is not None}
    return judge(STATE, snapshot(made, *more), STATE)


def other(path: str, *, mode: str = "100644", size: int = 1) -> Entry:
    return Entry(path=path, mode=mode, id=sha1(path.encode(), usedforsecurity=False).hexdigest(), size=size)


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize(
    ("files", "accepted"),
    [
        pytest.param({}, Accepted(), id="nothing changed"),
        pytest.param({"policy.yaml": POLICY}, Accepted(policy=(POLICY,)), id="another policy"),
        pytest.param({"policy.yaml": None}, Accepted(policy=(None,)), id="no policy any more"),
        pytest.param(
            {DOCUMENT: document(greeting="moin", port=8080, tags=["a", "b"])},
            Accepted(parameters={ID: {"greeting": "moin"}}),
            id="one value",
        ),
        pytest.param(
            {DOCUMENT: document(greeting="hello", port=True, tags=["b"])},
            Accepted(parameters={ID: {"port": True, "tags": ("b",)}}),
            id="values of another kind are the package's to judge",
        ),
        pytest.param(
            {DOCUMENT: document(greeting="hello", tags=["a", "b"])},
            Accepted(parameters={ID: {"port": None}}),
            id="a parameter taken out goes back to its default",
        ),
        pytest.param(
            {DOCUMENT: document(greeting="hello", port=8080, tags=["a", "b"], extra=1.5)},
            Accepted(parameters={ID: {"extra": 1.5}}),
            id="a parameter that had no value gets one",
        ),
        pytest.param(
            {DOCUMENT: b"# by hand\n" + OURS[DOCUMENT]},
            Accepted(),
            id="a comment changes nothing that counts",
        ),
        pytest.param(
            {DOCUMENT: OURS[DOCUMENT].replace(b"8080", b"8080.0")}, Accepted(), id="the same number"
        ),
    ],
)
def test_what_people_may_change_is_taken_in(files: Mapping[str, bytes | None], accepted: Accepted) -> None:
    assert judged(files) == accepted


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize("path", ["README.md", "docs/how/to.md", ".gitignore", "deployments/README.md", "x"])
def test_files_without_a_meaning_are_kept(path: str) -> None:
    verdict = judged({path: b"hello"})
    assert isinstance(verdict, Accepted)
    assert list(verdict.others) == [path]
    assert verdict.in_words() == path


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize(
    ("files", "more", "told"),
    [
        pytest.param(
            {"manifest.json": b"{}"}, (), "manifest.json is written by the fleet manager", id="manifest"
        ),
        pytest.param({"manifest.json": None}, (), "manifest.json is written by", id="no manifest"),
        pytest.param(
            {"signers": b"mallory"}, (), "signers is written by the fleet manager alone", id="signers"
        ),
        pytest.param({".gitattributes": b"* text"}, (), ".gitattributes is written by", id="attributes"),
        pytest.param({DOCUMENT: None}, (), "remove it in the fleet manager", id="document removed"),
        pytest.param({DOCUMENT: b"a: ["}, (), f"{DOCUMENT}: $: line", id="no YAML"),
        pytest.param({DOCUMENT: b"[]"}, (), "nothing but values of parameters", id="another shape"),
        pytest.param(
            {DOCUMENT: OURS[DOCUMENT].replace(b"shop", b"shop2")},
            (),
            f"{DOCUMENT}: $.spec.applicationId: nothing but values of parameters",
            id="another application",
        ),
        pytest.param(
            {DOCUMENT: OURS[DOCUMENT].replace(b"GREETING", b"PATH")},
            (),
            "$.spec.parameters.greeting.targets: nothing but values",
            id="another variable",
        ),
        pytest.param(
            {DOCUMENT: document(greeting={"a": 1}, port=8080, tags=["a", "b"])},
            (),
            "$.spec.parameters.greeting.value: expected a text, a number",
            id="a value that is none",
        ),
        pytest.param(
            {DOCUMENT: document(greeting=None, port=8080, tags=["a", "b"])},
            (),
            "$.spec.parameters.greeting.value: expected a text, a number",
            id="null",
        ),
        pytest.param(
            {f"deployments/{ID.replace('5', '6')}.yaml": document()},
            (),
            "is the document of no deployment of this device; deployments are made in the fleet manager",
            id="another deployment",
        ),
        pytest.param(
            {"deployments/web.YML": b""}, (), "is the document of no deployment", id="a name made up"
        ),
        pytest.param({"policy.yaml": b"polling: 3"}, (), "policy.yaml", id="a policy that is none"),
        pytest.param(
            {"policy.yaml": b" \n"}, (), "policy.yaml is empty; remove the file", id="an empty policy"
        ),
        pytest.param(
            {"policy.yaml": b"#" * 70_000}, (), "policy.yaml is larger than 65536 bytes", id="large policy"
        ),
        pytest.param({"a": b"x" * 1_048_577}, (), "a is larger than 1048576 bytes", id="large file"),
        pytest.param({}, (other("link", mode="120000"),), "link is a symbolic link", id="symbolic link"),
        pytest.param({}, (other("sub", mode="160000"),), "sub is a submodule", id="submodule"),
        pytest.param({}, (other("odd", mode="100664"),), "odd is of the mode 100664", id="odd mode"),
        pytest.param(
            {".git/config": b""}, (), ".git/config has a name that is not allowed (.git)", id=".git"
        ),
        pytest.param({"git~1": b""}, (), "has a name that is not allowed (git~1)", id="short name of .git"),
        pytest.param({"schön": b""}, (), "'sch\\xf6n' has a name that is not allowed", id="beyond ASCII"),
        pytest.param({"x.lock": b""}, (), "x.lock has a name that is not allowed", id="lock file"),
        pytest.param({"README": b"", "readme": b""}, (), "differ in nothing but case", id="case"),
        pytest.param({"Manifest.json": b""}, (), "differ in nothing but case", id="case of ours"),
        pytest.param({"a/b/c/d/e": b""}, (), "nested deeper than 4 names", id="depth"),
        pytest.param({}, (other("twice"), other("twice")), "twice is in its folder twice", id="duplicate"),
        pytest.param(
            {"policy.yaml": None, "policy.yaml/x": b""}, (), "has the name of something", id="folder"
        ),
        pytest.param({f"{DOCUMENT}/x": b"", DOCUMENT: None}, (), "as its folder", id="document as folder"),
        pytest.param(
            {f"f{number}": b"" for number in range(MOST_OTHERS + 1)},
            (),
            f"at most {MOST_OTHERS}",
            id="many files",
        ),
        pytest.param(
            {},
            tuple(other(f"f{number}", size=1_000_000) for number in range(9)),
            f"at most {OTHER_BYTES} bytes",
            id="much in files",
        ),
        pytest.param(
            {},
            tuple(other(f"d{number}/f") for number in range(5000)),
            "more than 10000 files",
            id="too many files",
        ),
    ],
)
def test_everything_else_is_refused_with_a_reason(
    files: Mapping[str, bytes | None], more: tuple[Entry, ...], told: str
) -> None:
    verdict = judged(files, *more)
    assert isinstance(verdict, Refused)
    assert told in verdict.reason


def test_a_commit_is_refused_as_a_whole() -> None:
    verdict = judged({"policy.yaml": POLICY, "README": b"", "signers": b"", "manifest.json": None})
    assert isinstance(verdict, Refused)
    assert [reason.partition(" ")[0] for reason in verdict.reasons] == ["manifest.json", "signers"]


def test_all_of_a_value_but_the_value_has_to_stay_where_the_parameter_is_new() -> None:
    wrong = document(greeting="hello", port=8080, tags=["a", "b"], extra=1).replace(b"value: 1\n", b"is: 1\n")
    verdict = judged({DOCUMENT: wrong})
    assert isinstance(verdict, Refused)
    assert "$.spec.parameters.extra.is: nothing but values" in verdict.reason


def test_a_commit_that_mends_a_refused_one_is_fine_and_asks_for_nothing() -> None:
    broken = snapshot({**OURS, "manifest.json": b"{}"})
    assert judge(broken, STATE, STATE) == Accepted()


def test_what_a_refused_commit_left_in_the_tree_is_not_taken_in_with_the_next() -> None:
    broken = snapshot(
        {**OURS, "manifest.json": b"{}", DOCUMENT: document(greeting="x", port=1, tags=["a", "b"])}
    )
    values = document(greeting="x", port=1, tags=["c"])
    made = snapshot({**OURS, "manifest.json": b"{}", DOCUMENT: values, "README": b"hi"})
    verdict = judge(broken, made, STATE)
    assert verdict == Accepted(parameters={ID: {"tags": ("c",)}}, others={"README": made.by_path()["README"]})


def test_a_folder_in_place_of_a_kept_file_is_refused_where_only_a_refused_commit_removed_the_file() -> None:
    state = snapshot({**OURS, "docs": b"kept"})
    refused = snapshot({**OURS, "docs/a": b"", "signers": b""})
    verdict = judge(refused, snapshot({**OURS, "docs/a": b"", "docs/b": b"", "signers": b""}), state)
    assert isinstance(verdict, Refused)
    assert "docs is a file and a folder" in verdict.reason


def test_a_fault_that_was_refused_before_is_not_told_again() -> None:
    faulty = snapshot(OURS, other("link", mode="120000"))
    made = snapshot({**OURS, "README": b""}, other("link", mode="120000"))
    assert judge(faulty, made, STATE) == Accepted(others={"README": made.by_path()["README"]})


def test_a_fault_that_is_changed_is_refused_again() -> None:
    faulty = snapshot(OURS, other("link", mode="120000"))
    made = snapshot(OURS, Entry(path="link", mode="120000", id="other", size=1))
    assert isinstance(judge(faulty, made, STATE), Refused)


def test_fewer_files_than_too_many_are_fine() -> None:
    many = {f"f{number}": b"" for number in range(MOST_OTHERS + 5)}
    state = snapshot({**OURS, **many})
    del many["f0"]
    verdict = judge(state, snapshot({**OURS, **many}), state)
    assert verdict == Accepted(others={"f0": None})


def test_what_was_taken_in_is_no_change_in_the_next_commit() -> None:
    values = document(greeting="moin", tags=["a", "b"])
    made = snapshot({**OURS, DOCUMENT: values, "policy.yaml": POLICY, "README": b"hi"})
    verdict = judge(STATE, made, STATE)
    assert isinstance(verdict, Accepted)
    state = after(STATE, made, verdict)
    assert judge(STATE, made, state) == Accepted()
    assert list(others_of(state)) == ["README"]


def test_an_author_is_told_in_one_line_whatever_the_name_is() -> None:
    odd = Commit(id="1" * 40, name="Ada\nLovelace\x1b[31m\u202e", email="ada@example.org")
    assert odd.author == "Ada Lovelace [31m <ada@example.org>"
    assert Commit(id="1" * 40, name=" ", email="").author == "somebody without a name"
    assert len(Commit(id="1" * 40, name="x" * 9999, email="").author) <= 120


def test_a_reason_is_one_line_of_bounded_length() -> None:
    refused = Refused(reasons=("a\nb" + "x" * 1000, "c", "d", "e"))
    assert "\n" not in refused.reason
    assert refused.reason.endswith("; and 1 more reasons")
    assert len(refused.reason) < 500


names = st.sampled_from(
    [
        "manifest.json",
        "policy.yaml",
        "signers",
        DOCUMENT,
        "README",
        "readme",
        "a/b",
        "deployments/x.yaml",
        "a",
    ]
)
contents = st.sampled_from(
    [b"", b"x", POLICY, *OURS.values(), document(greeting=1), document(greeting="hello", port=1, tags=["a"])]
)
kinds = st.sampled_from(["120000", "160000"])


@given(
    st.lists(st.dictionaries(names, st.none() | contents, max_size=4), max_size=5),
    st.lists(st.tuples(names, kinds), max_size=2),
)
def test_whatever_people_push_the_outcome_is_a_tree_of_ours_with_harmless_files(
    commits: list[dict[str, bytes | None]], odd: list[tuple[str, str]]
) -> None:
    state, parent, files = STATE, STATE, dict(OURS)
    for commit in commits:
        for path, content in commit.items():
            files.pop(path, None)
            if content is not None:
                files[path] = content
        made = snapshot(files, *(other(path, mode=mode) for path, mode in odd))
        verdict = judge(parent, made, state)
        if isinstance(verdict, Accepted):
            state = after(state, made, verdict)
            assert judge(parent, made, state) == Accepted()
        else:
            assert all(reason.strip() for reason in verdict.reasons)
        parent = made
    assert not list(faults_of(state.entries))
    for path in ("manifest.json", "signers", ".gitattributes"):
        assert state.by_path()[path] == STATE.by_path()[path]
    assert set(state.contents) - {"policy.yaml"} == set(STATE.contents) - {"policy.yaml"}
