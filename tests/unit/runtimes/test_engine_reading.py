import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.runtimes.compose_program import Finished, parse_version, program_candidates
from edgewright.agent.runtimes.engine import (
    EngineInfo,
    is_pinned,
    pull_problem,
    read_container,
    read_log,
    registry_of,
    socket_candidates,
    with_tag,
)
from edgewright.agent.runtimes.health_ticker import needs_ticker

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        ("/run/x.sock", {"DOCKER_HOST": "unix:///other"}, ["/run/x.sock"]),
        ("unix:///run/x.sock", {}, ["/run/x.sock"]),
        (None, {}, ["/var/run/docker.sock", "/run/podman/podman.sock"]),
        (
            None,
            {"DOCKER_HOST": "unix:///d.sock", "XDG_RUNTIME_DIR": "/run/user/1"},
            [
                "/d.sock",
                "/var/run/docker.sock",
                "/run/podman/podman.sock",
                "/run/user/1/docker.sock",
                "/run/user/1/podman/podman.sock",
            ],
        ),
        (None, {"DOCKER_HOST": "tcp://h:1"}, ["/var/run/docker.sock", "/run/podman/podman.sock"]),
    ],
)
def test_where_an_engine_is_looked_for(
    configured: str | None, environment: dict[str, str], expected: list[str]
):
    assert socket_candidates(configured, environment) == expected


def test_where_a_compose_program_is_looked_for():
    assert program_candidates("/opt/compose", {"PATH": "/bin"}) == ["/opt/compose"]
    found = program_candidates(None, {"PATH": "/a:relative::/b", "HOME": "/home/me"})
    assert found[:3] == [
        "/a/docker-compose",
        "/b/docker-compose",
        "/home/me/.docker/cli-plugins/docker-compose",
    ]
    assert "/usr/bin/docker-compose" in program_candidates(None, {})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.26.1", (2, 26, 1)),
        ("v2.40.3-desktop.1", (2, 40, 3)),
        ("5.0.0", (5, 0, 0)),
        ("", ()),
        ("docker", ()),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, ...]):
    assert parse_version(text) == version


def test_the_reason_of_a_failure_is_told_without_progress():
    errors = (
        ' Container ew-a-1  Creating\n Network x  Created\ntime="2026" level=warning msg="obsolete"\n'
        "Error response from daemon: port is already allocated\n\n"
    )
    assert (
        Finished(code=1, output=b"", errors=errors).reason
        == "Error response from daemon: port is already allocated"
    )
    assert Finished(code=7, output=b"", errors=" Container x  Started\n").reason == "ended with exit code 7"


@pytest.mark.parametrize(
    ("reference", "registry", "tagged", "pinned"),
    [
        ("nginx", "docker.io", "nginx:latest", False),
        ("library/nginx:1", "docker.io", "library/nginx:1", False),
        ("ghcr.io/a/b", "ghcr.io", "ghcr.io/a/b:latest", False),
        ("localhost/a:1", "localhost", "localhost/a:1", False),
        ("10.0.0.1:5000/a", "10.0.0.1:5000", "10.0.0.1:5000/a:latest", False),
        (f"r.example/a@{DIGEST}", "r.example", f"r.example/a@{DIGEST}", True),
        (f"r.example/a:1@{DIGEST}", "r.example", f"r.example/a:1@{DIGEST}", True),
    ],
)
def test_image_references_are_taken_apart(reference: str, registry: str, tagged: str, pinned: bool):
    assert (registry_of(reference), with_tag(reference), is_pinned(reference)) == (registry, tagged, pinned)


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def test_logs_are_read_with_and_without_frames():
    assert read_log(frame(1, b"out\n") + frame(2, b"err\n")) == "out\nerr\n"
    assert read_log(b"plain\n") == "plain\n"
    assert read_log(b"") == ""
    assert read_log(frame(1, b"cut here")[:-4]) == "cut "
    assert read_log(frame(1, b"\xff")) == "\ufffd"


@given(st.binary(max_size=200))
def test_any_log_is_text(data: bytes):
    assert isinstance(read_log(data), str)


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (b'{"status": "Pulling"}\n{"status": "Done"}\n', None),
        (b"", None),
        (b'{"status": "Pulling"}\r\n{"error": "manifest unknown"}\r\n', "manifest unknown"),
        (b"not json", "the engine reported b'not json'"),
    ],
)
def test_a_pull_went_well_or_says_why_not(report: bytes, problem: str | None):
    assert pull_problem(report) == problem


def inspection(**state: Any) -> dict[str, Any]:
    return {
        "Id": "1",
        "Name": "/a",
        "State": {"Status": "running", **state},
        "Config": {},
        "HostConfig": None,
    }


def test_inspections_of_both_engines_are_read():
    docker = read_container(
        inspection(Health={"Status": "healthy"}, ExitCode=0)
        | {
            "Config": {
                "Labels": {"a": "b"},
                "Healthcheck": {"Test": ["CMD", "x"], "Interval": 2_000_000_000},
            },
            "HostConfig": {"RestartPolicy": {"Name": "always"}},
            "RestartCount": 2,
        }
    )
    assert (docker.health, docker.has_health_check, docker.health_interval) == ("healthy", True, 2.0)
    assert (docker.name, docker.labels, docker.restart_policy, docker.restart_count) == (
        "a",
        {"a": "b"},
        "always",
        2,
    )
    podman = read_container(inspection(Healthcheck={"Status": "starting"}))
    assert (podman.health, podman.has_health_check, podman.labels) == ("starting", False, {})
    assert read_container(inspection(Health={"Status": "none"})).health == ""
    disabled = inspection() | {"Config": {"Healthcheck": {"Test": ["NONE"]}}}
    assert read_container(json.loads(json.dumps(disabled))).has_health_check is False


def test_health_checks_are_run_by_us_only_where_nobody_else_does(tmp_path):
    podman, docker = EngineInfo(kind="podman", version="4.3.1"), EngineInfo(kind="docker", version="20")
    gone = str(tmp_path / "none")
    assert needs_ticker(podman, systemd=gone) is True
    assert needs_ticker(podman, systemd=str(tmp_path)) is False
    assert needs_ticker(docker, systemd=gone) is False
