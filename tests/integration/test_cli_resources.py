"""`get`, `describe`, `apply`, `diff`, `edit`, `delete` and `watch` against a real server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.foreign_client import ForeignClient, capabilities
from support.operating import description, tar_of, upload
from support.processes import own_environment
from support.server_process import OperatorClient, ServerProcess

EDGEWRIGHT = (sys.executable, "-m", "edgewright.cli.main")
PARAMETERS = {
    "parameters": {
        "greeting": {"value": "hello", "targets": [{"pointer": "GREETING", "components": ["app"]}]},
        "port": {"value": 80, "targets": [{"pointer": "PORT", "components": ["app"]}]},
    },
    "configuration": {
        "sections": [
            {
                "name": "All",
                "settings": [
                    {"parameter": "greeting", "name": "Greeting", "schema": "text"},
                    {"parameter": "port", "name": "Port", "schema": "port"},
                ],
            }
        ],
        "schema": [
            {"name": "text", "dataType": "string"},
            {"name": "port", "dataType": "integer", "minValue": 1, "maxValue": 65535},
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The command line of somebody who is logged in to a server."""

    context: Path
    operator: OperatorClient

    def run(self, *words: str, stdin: str = "", **environment: str) -> Said:
        """Run `edgewright WORDS` and return how it ended."""
        done = subprocess.run(
            [*EDGEWRIGHT, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=own_environment(EDGEWRIGHT_CONTEXT=str(self.context), **environment),
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def __call__(self, *words: str, stdin: str = "") -> str:
        """Run `edgewright WORDS`, which has to succeed, and return what it printed."""
        said = self.run(*words, stdin=stdin)
        assert said.code == 0, (words, said)
        return said.out


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("resources") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def edgewright(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A server with two devices and an application in two versions."""
    operator = server.operator
    for version in ("1.0.0", "1.1.0"):
        text = description("shop", version) | PARAMETERS
        assert upload(operator, tar_of({"margo.yaml": yaml.safe_dump(text).encode()})).status == 201
    folder = tmp_path_factory.mktemp("devices")
    for device in ("edge-01", "edge-02"):
        token = operator.post("/enrollments", {"name": device})["token"]
        with ForeignClient.enrolled(token, folder / device) as client:
            client.report_capabilities(device, capabilities(device))
    context = folder / "context.json"
    edgewright = CommandLine(context, operator)
    edgewright("login", str(server.data / "operator.json"))
    return edgewright


def wish(name: str, **spec: Any) -> dict[str, Any]:
    """Return the document of a deployment."""
    return {
        "apiVersion": "edgewright.io/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"device": "edge-01", "application": "shop", "version": "1.0.0", **spec},
    }


@pytest.fixture
def deployed(edgewright: CommandLine, unique: str) -> Iterator[dict[str, Any]]:
    """The document of a deployment that is there, taken away afterwards."""
    document = wish(unique, parameters={"greeting": "good day"})
    edgewright("apply", "-f", "-", stdin=json.dumps(document))
    yield document
    for one in edgewright.operator.items("/deployments?device=edge-01"):
        edgewright.operator.delete(f"/deployments/{one['id']}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("get", "devices"), ["edge-01", "edge-02"]),
        (("get", "dev"), ["edge-01"]),
        (("get", "device/edge-01", "package/shop@1.0.0"), ["edge-01", "shop", "1.0.0"]),
        (("get", "packages,enrollments"), ["1.1.0", "edge-02"]),
        (("get", "package", "shop"), ["1.1.0"]),
        (("get", "packages", "-o", "name"), ["package/shop@1.0.0\n", "package/shop@1.1.0\n"]),
        (("get", "device", "edge-01", "-o", "wide"), ["CERTIFICATE UNTIL"]),
        (("get", "enrollments", "--where", "state=open"), ["No invitations yet"]),
        (("get", "kinds"), ["deployments", "Deployment"]),
        (("describe", "device", "edge-01"), ["edge-01", "certificate", "until"]),
        (("describe", "package", "shop"), ["shop 1.1.0", "greeting", "1 to 65535"]),
        (("get", "policies"), ["No policy is suggested"]),
    ],
)
def test_things_are_shown(edgewright: CommandLine, words: tuple[str, ...], told: list[str]) -> None:
    printed = edgewright(*words)
    assert all(text in printed for text in told), printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("get", "divices"), "did you mean 'devices'"),
        (("get", "device", "nobody"), "there is no device 'nobody'"),
        (("get", "device", "edge"), "could be 2 devices: edge-01, edge-02"),
        (("get", "packages", "-l", "a=b"), "-l goes with devices"),
        (("get", "devices", "--where", "stat=failed"), "not narrowed by 'stat'"),
        (("get", "devices", "--where", "state"), "expected NAME=VALUE"),
        (("get", "deployments", "--where", "state=fine"), "state"),
        (("get", "device/"), "expected KIND/NAME"),
        (("get", "devices,packages", "edge-01"), "names go with one kind"),
        (("delete", "package", "shop"), "could be 2 packages: shop@1.0.0, shop@1.1.0"),
        (("delete", "devices"), "say which device"),
        (("delete",), "say what"),
        (("edit", "enrollment", "edge-01"), "not edited"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_way_out(
    edgewright: CommandLine, words: tuple[str, ...], told: str
) -> None:
    said = edgewright.run(*words)
    assert said.code == 2, said
    assert told in said.err


def test_applying_creates_changes_and_leaves_alone(edgewright: CommandLine, unique: str) -> None:
    def apply(document: dict[str, Any]) -> str:
        return edgewright("apply", "-f", "-", stdin=yaml.safe_dump(document)).strip()

    name = f"deployment/{unique}"
    first = wish(unique, parameters={"greeting": "good day", "port": 81})
    assert apply(first) == f"{name} created"
    assert apply(first) == f"{name} unchanged"
    assert apply(wish(unique, version="1.1.0", parameters={"port": 82})) == f"{name} changed"
    (there,) = edgewright.operator.items(f"/deployments?q={unique}")
    assert (there["version"], there["parameters"]) == ("1.1.0", {"port": 82})
    assert there["desired"]["parameters"]["greeting"] == "hello"
    said = edgewright("delete", "-f", "-", stdin=json.dumps(first))
    assert said == f"deployment/{there['id']} deleted\n"
    assert edgewright("delete", "-f", "-", stdin=json.dumps(first)) == f"{name} is not there\n"


def test_what_is_shown_is_no_change_when_applied(
    edgewright: CommandLine, deployed: dict[str, Any], tmp_path: Path
) -> None:
    operator = edgewright.operator
    operator.request(
        "PUT", "/policy", body=b"# a comment\npolling: {rate: 60s}\n", media_type="application/yaml"
    )
    before = operator.get("/policy")
    for output in ("yaml", "json"):
        printed = edgewright("get", "deployments,packages,devices,policies", "-o", output)
        said = edgewright("apply", "-f", "-", stdin=printed).splitlines()
        named = {
            "deployment/" + deployed["metadata"]["name"],
            "package/shop@1.1.0",
            "device/edge-01",
            "policy/*",
        }
        assert named <= {line.split()[0] for line in said}
        done = [line.split(" ", 1)[1] for line in said]
        assert set(done) <= {"unchanged", "skipped: it was deleted; without its status it is created anew"}
        assert edgewright("diff", "-f", "-", stdin=printed) == ""
    assert operator.get("/policy") == before
    edgewright("delete", "policy", "*")


def test_a_dry_run_judges_everything_and_keeps_nothing(
    edgewright: CommandLine, deployed: dict[str, Any]
) -> None:
    name = deployed["metadata"]["name"]
    other = wish(name, version="1.1.0", parameters={"port": 8080})
    new = wish(f"{name}-b", device="edge-02")
    both = "---\n".join(yaml.safe_dump(one) for one in (other, new))
    said = edgewright("apply", "--dry-run", "-f", "-", stdin=both)
    assert f"deployment/{name} changed (dry run)" in said
    assert "+    port: 8080" in said
    assert f"deployment/{name}-b created (dry run)" in said
    (there,) = edgewright.operator.items(f"/deployments?q={name}")
    assert there["version"] == "1.0.0"
    wrong = edgewright.run(
        "apply", "--dry-run", "-f", "-", stdin=json.dumps(wish(name, parameters={"port": 0}))
    )
    assert wrong.code == 2
    assert "parameters.port" in wrong.err
    gone = edgewright("delete", "deployment", there["id"], "--dry-run")
    assert "deleted (dry run)" in gone
    assert edgewright.operator.get(f"/deployments/{there['id']}")["deleted"] is None


def test_a_difference_is_shown_and_is_exit_code_one(
    edgewright: CommandLine, deployed: dict[str, Any]
) -> None:
    name = deployed["metadata"]["name"]
    said = edgewright.run("diff", "-f", "-", stdin=json.dumps(wish(name, version="1.1.0")))
    assert said.code == 1
    lines = said.out.splitlines()
    assert '-  version: "1.0.0"' in lines
    assert '+  version: "1.1.0"' in lines
    assert "-    greeting: good day" in lines
    assert not any("profile" in line for line in lines if line[:1] in {"+", "-"})


def test_what_was_deleted_is_not_brought_back_by_applying_what_was_shown(
    edgewright: CommandLine, deployed: dict[str, Any]
) -> None:
    name = deployed["metadata"]["name"]
    (there,) = edgewright.operator.items(f"/deployments?q={name}")
    edgewright("delete", "deployment", there["id"])
    shown = edgewright("get", "deployments", "-o", "yaml")
    said = edgewright("apply", "-f", "-", stdin=shown)
    assert f"deployment/{name} skipped: it was deleted" in said
    assert len(edgewright.operator.items(f"/deployments?q={name}")) == 1


def assigned(name: str, **spec: Any) -> dict[str, Any]:
    """Return the document of an assignment to both devices."""
    return {
        "apiVersion": "edgewright.io/v1",
        "kind": "Assignment",
        "metadata": {"name": name},
        "spec": {
            "application": "shop",
            "version": "1.0.0",
            "target": {"devices": ["edge-01", "edge-02"]},
            **spec,
        },
    }


@pytest.fixture
def assignment(edgewright: CommandLine, unique: str) -> Iterator[str]:
    """The name of an assignment that is there, deleted afterwards."""
    stands = {"strategy": {"batches": ["1", "100%"]}}
    edgewright("apply", "-f", "-", stdin=json.dumps(assigned(unique, parameters={"port": 81}, **stands)))
    yield unique
    edgewright.run("delete", "assignment", unique)


def test_an_assignment_is_shown_changed_and_taken_back(edgewright: CommandLine, assignment: str) -> None:
    name = f"assignment/{assignment}"
    shown = edgewright("get", name, "-o", "yaml")
    assert edgewright("apply", "-f", "-", stdin=shown) == f"{name} unchanged\n"
    assert edgewright("apply", "-f", "-", stdin=edgewright("get", "assignments", "-o", "json")).endswith(
        f"{name} unchanged\n"
    )
    changed = assigned(
        assignment, version="1.1.0", devices={"edge-02": {"port": 82}}, parameters={"port": 81}
    )
    rehearsed = edgewright("apply", "--dry-run", "-f", "-", stdin=json.dumps(changed))
    assert f"{name} changed (dry run)" in rehearsed
    assert "edge-02: to create 1.1.0" in rehearsed
    assert edgewright.operator.get(f"/assignments/{assignment}")["revision"] == 1
    assert edgewright("apply", "-f", "-", stdin=json.dumps(changed)) == f"{name} changed\n"
    described = edgewright("describe", name)
    assert "shop 1.1.0" in described
    assert "revision     2" in described
    history = edgewright("rollout", "history", assignment).splitlines()
    assert [line.split()[:2] for line in history[1:]] == [["2", "1.1.0"], ["1", "1.0.0"]]
    undone = edgewright("rollout", "undo", assignment)
    assert undone == f"{name} says again what it said in revision 1, as revision 3\n"
    assert edgewright.operator.get(f"/assignments/{assignment}")["spec"]["version"] == "1.0.0"
    gone = edgewright("delete", name)
    assert gone == f"{name} deleted\n"


def test_a_rollout_is_named_by_its_assignment_and_steered(edgewright: CommandLine, assignment: str) -> None:
    (rollout,) = edgewright.operator.items(f"/rollouts?assignment={assignment}")
    assert assignment in edgewright("get", "rollouts", "--where", f"assignment={assignment}")
    paused = edgewright("rollout", "pause", assignment, "--reason", "the shift changes")
    assert paused.startswith(f"rollout/{rollout['id']} paused")
    described = edgewright("describe", "rollout", assignment)
    assert "the shift changes" in described
    assert "1 of 2" in described
    over = edgewright("rollout", "status", rollout["id"][:8])
    assert "paused" in over
    edgewright("rollout", "resume", assignment)
    skipped = edgewright("rollout", "skip", assignment, "edge-02")
    assert skipped.startswith("edge-02 skipped")
    edgewright("rollout", "cancel", assignment)
    said = edgewright.run("watch", "rollout", assignment)
    assert (said.code, f"rollout/{rollout['id']} failed" in said.err) == (1, True)


def test_a_source_is_declared_without_its_secrets_being_shown(
    edgewright: CommandLine, tmp_path: Path, unique: str
) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "secret").write_text("s3cret-words\n")
    document = {
        "apiVersion": "edgewright.io/v1",
        "kind": "Source",
        "metadata": {"name": unique},
        "spec": {"kind": "folder", "location": str(tmp_path / "packages"), "every_minutes": None},
    }
    name = f"source/{unique}"
    assert edgewright("apply", "-f", "-", stdin=json.dumps(document)) == f"{name} created\n"
    shown = edgewright("get", name, "-o", "yaml")
    assert edgewright("apply", "-f", "-", stdin=shown) == f"{name} unchanged\n"
    registry = {
        "kind": "registry",
        "location": "localhost:1",
        "every_minutes": None,
        "credentials": {"username": "anna", "password_file": str(tmp_path / "secret")},
    }
    document = {**document, "spec": registry}
    assert edgewright("apply", "-f", "-", stdin=json.dumps(document)) == f"{name} changed\n"
    shown = edgewright("get", name, "-o", "yaml")
    assert "s3cret" not in shown
    assert edgewright("apply", "-f", "-", stdin=shown) == f"{name} unchanged\n"
    assert "password anna" in edgewright("describe", name)
    assert edgewright("delete", name) == f"{name} deleted\n"


def test_an_invitation_is_shown_by_its_name_and_withdrawn(edgewright: CommandLine, unique: str) -> None:
    for _ in range(2):
        edgewright("enrollment", "create", unique)
    assert "state        open" in edgewright("describe", "enrollment", unique)
    assert edgewright("get", "enrollment", unique[:-1], "-o", "name") == f"enrollment/{unique}\n"
    assert "withdrawn (dry run)" in edgewright("delete", "enrollment", unique, "--dry-run")
    assert edgewright("delete", "enrollment", unique) == f"enrollment/{unique} withdrawn\n"
    assert "withdrawn" in edgewright("get", "enrollment", unique)


def test_bash_completes_with_the_script_it_is_given(edgewright: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "edgewright").write_text(f'#!/bin/sh\nexec {" ".join(EDGEWRIGHT)} "$@"\n')
    (tmp_path / "edgewright").chmod(0o755)
    asked = """
        source <(edgewright completion bash)
        COMP_WORDS=(edgewright get package/sh); COMP_CWORD=2; _edgewright; printf '%s\\n' "${COMPREPLY[@]}"
        COMP_WORDS=(edgewright apply -f ''); COMP_CWORD=3; _edgewright; echo "files: ${#COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", asked],
        capture_output=True,
        text=True,
        env=own_environment(
            EDGEWRIGHT_CONTEXT=str(edgewright.context), PATH=f"{tmp_path}:{os.environ['PATH']}"
        ),
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == ["package/shop@1.0.0", "package/shop@1.1.0", "files: 0"], done.stderr


def test_users_are_made_changed_and_removed_by_documents(edgewright: CommandLine, unique: str) -> None:
    def user(**spec: Any) -> str:
        document = {
            "apiVersion": "edgewright.io/v1",
            "kind": "User",
            "metadata": {"name": unique},
            "spec": spec,
        }
        return json.dumps(document)

    name = f"user/{unique}"
    assert "created (dry run)" in edgewright("apply", "--dry-run", "-f", "-", stdin=user(role="viewer"))
    made = edgewright("apply", "-f", "-", stdin=user(role="viewer")).splitlines()
    assert made[0] == f"{name} created"
    assert re.fullmatch(r"  password \S{12,} \(to be changed when first signing in\)", made[1])
    assert edgewright("apply", "-f", "-", stdin=user(role="viewer")) == f"{name} unchanged\n"
    assert edgewright("apply", "-f", "-", stdin=user(role="operator", disabled=True)) == f"{name} changed\n"
    assert (
        edgewright("apply", "-f", "-", stdin=edgewright("get", "users", "-o", "yaml")).count("unchanged") >= 1
    )
    described = edgewright("describe", name)
    assert "disabled" in described
    assert "to be changed" in described
    assert edgewright("delete", name) == f"{name} deleted\n"


def test_a_token_is_made_for_a_program_and_revoked_by_its_name(
    edgewright: CommandLine, unique: str, tmp_path: Path
) -> None:
    made = edgewright("token", "create", unique, "--role", "viewer", "--scope", "devices", "--valid", "1h")
    about = json.loads(edgewright.context.read_text()) | {"token": made.strip()}
    (tmp_path / "program.json").write_text(json.dumps(about))
    program = CommandLine(tmp_path / "program.json", edgewright.operator)
    assert "edge-01" in program("get", "devices")
    refused = program.run("get", "packages")
    assert (refused.code, "for devices alone" in refused.err) == (2, True)
    assert unique in edgewright("get", "tokens", "-o", "wide")
    assert "revoked" in edgewright("delete", "token", unique)
    assert program.run("get", "devices").code == 2


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"apiVersion": "v1"}, "$.apiVersion"),
        (wish("a") | {"kind": "Deploymnet"}, "did you mean 'Deployment'"),
        (wish("a") | {"kind": "Enrollment"}, "not applied from a file"),
        (wish("a") | {"spce": {}}, "$.spce"),
        (wish("a") | {"metadata": {}}, "$.metadata.name"),
        (wish("a", versoin="1"), "did you mean 'version'"),
        (wish("a", device=None), "$.spec.device: is missing"),
        (wish("a", parameters=[1]), "$.spec.parameters"),
        ([1], "expected a mapping"),
        (
            {
                "apiVersion": "edgewright.io/v1",
                "kind": "Device",
                "metadata": {"name": "nobody", "labels": {}},
            },
            "there is no device 'nobody'",
        ),
        (
            {
                "apiVersion": "edgewright.io/v1",
                "kind": "Package",
                "metadata": {"name": "x"},
                "spec": {"application": "x", "version": "1"},
            },
            "spec.reference",
        ),
        (
            {
                "apiVersion": "edgewright.io/v1",
                "kind": "Policy",
                "metadata": {"name": "edge-01"},
                "spec": {"polling": {"rate": "soon"}},
            },
            "polling.rate",
        ),
    ],
)
def test_a_document_that_cannot_be_applied_is_named_with_the_place(
    edgewright: CommandLine, tmp_path: Path, document: Any, told: str
) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(document))
    said = edgewright.run("apply", "-f", str(tmp_path))
    assert said.code == 2, said
    assert "one.yaml" in said.err
    assert told in said.err


def test_nothing_of_a_folder_is_applied_while_a_file_in_it_cannot_be_read(
    edgewright: CommandLine, unique: str, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(wish(unique)))
    (tmp_path / "b.yml").write_text("apiVersion: edgewright.io/v1\nkind: [")
    said = edgewright.run("apply", "-f", str(tmp_path))
    assert (said.code, "b.yml" in said.err) == (2, True)
    assert edgewright.operator.items(f"/deployments?q={unique}") == []


def test_what_is_refused_does_not_stop_the_rest(edgewright: CommandLine, unique: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(wish(f"{unique}-a", version="9.9.9")))
    (tmp_path / "good.json").write_text(json.dumps(wish(f"{unique}-b")))
    said = edgewright.run("apply", "-f", str(tmp_path))
    assert said.code == 2
    assert f"deployment/{unique}-b created" in said.out
    assert "bad.yaml" in said.err
    assert "not as 9.9.9" in said.err
    edgewright("delete", "-f", str(tmp_path / "good.json"))


def test_a_thing_is_edited_in_the_persons_own_editor(
    edgewright: CommandLine, deployed: dict[str, Any]
) -> None:
    name = deployed["metadata"]["name"]
    said = edgewright.run("edit", "deployment", name, EDITOR="sed -i s/good.day/hi/")
    assert (said.code, said.out) == (0, f"deployment/{name} changed\n"), said
    (there,) = edgewright.operator.items(f"/deployments?q={name}")
    assert there["parameters"] == {"greeting": "hi"}
    same = edgewright.run("edit", "deployment", name, EDITOR="true")
    assert same.out == f"deployment/{name} unchanged\n"
    broken = edgewright.run("edit", "deployment", name, EDITOR="sed -i s/version:/vresion:/")
    assert broken.code == 2
    kept = Path(broken.out.split()[-1])
    assert "vresion" in kept.read_text()
    kept.unlink()


def test_watching_ends_when_what_is_watched_has_settled(
    edgewright: CommandLine, unique: str, tmp_path: Path
) -> None:
    token = edgewright.operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device") as client:
        client.report_capabilities(unique, capabilities(unique))
        edgewright("apply", "-f", "-", stdin=json.dumps(wish(unique, device=unique)))
        (there,) = edgewright.operator.items(f"/deployments?q={unique}")
        late = edgewright.run("watch", "deployment", unique, "--timeout", "0s")
        assert (late.code, "not all has settled" in late.err) == (1, True)
        client.report_status(there["id"], "failed", there["manifest_version"])
        failed = edgewright.run("watch", "deployments", "--where", f"device={unique}")
        assert (failed.code, f"deployment/{there['id']} failed" in failed.err) == (1, True)
        client.report_status(there["id"], "installed", there["manifest_version"])
        assert "converged" in edgewright("watch", "deployments", "--where", f"device={unique}")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("ge",), ["get"]),
        (("get", "pol"), ["policies"]),
        (("get", "device", "edge-"), ["edge-01", "edge-02"]),
        (("get", "device/edge-01", "package/"), ["package/shop@1.0.0", "package/shop@1.1.0"]),
        (("get", "devices,pa"), ["devices,packages"]),
        (("get", "devices", "-o", "j"), ["json"]),
        (("get", "devices", "--output=w"), ["--output=wide"]),
        (("deployment", "create", "--device", "edge-02"), ["edge-02"]),
        (("deployment", "create", "sh"), ["shop@1.0.0", "shop@1.1.0"]),
        (("device", "policy", "sugg"), ["suggest"]),
        (("apply", "-f", ""), [":files"]),
        (("apply", "--dry"), ["--dry-run"]),
        (("get", "nothing", ""), []),
        (("nonsense", ""), []),
    ],
)
def test_words_are_completed_with_what_the_fleet_manager_has(
    edgewright: CommandLine, words: tuple[str, ...], found: list[str]
) -> None:
    printed = edgewright("__complete", "--", *words).splitlines()
    assert [line.split("\t")[0] for line in printed] == found


def test_completion_is_silent_where_nobody_is_logged_in(edgewright: CommandLine, tmp_path: Path) -> None:
    nobody = CommandLine(tmp_path / "none.json", edgewright.operator)
    assert nobody("__complete", "--", "get", "device", "") == ""
