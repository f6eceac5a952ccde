"""The operator API against its own description, by requests that nobody thought of (schemathesis).

What it sends is the same in every run: what fails here fails everywhere. A package and a device with a
deployment are there, under the names that the description\'s examples have.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.server.operator_api.examples import SAMPLES
from support.foreign_client import ForeignClient, capabilities
from support.operating import package, upload
from support.processes import own_environment
from support.server_process import ServerProcess

EXAMPLES_EACH = 5
SECONDS = 900
# A gzip tar and a Git bundle are nothing a schema describes, and whoever revokes their own token learns
# nothing more.
LEFT_OUT = ("upload_package", "post_current", "revoke_token")

# What no schema can say is refused with 422; 412 and 304 answer what somebody says to have seen. A registry
# that does not exist cannot answer.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "401", "403", "404", "409", "412", "422"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "409", "412", "413", "415", "422"]

[[operations]]
include-path = "/operator/v1/packages/import"
checks.not_a_server_error.enabled = false
checks.positive_data_acceptance.expected-statuses = ["2xx", "422", "502"]
"""


@pytest.mark.requirement("ERR-1")
def test_the_api_is_as_it_is_described_whatever_is_sent(tmp_path: Path) -> None:
    with ServerProcess.create(tmp_path / "server") as server:
        operator = server.operator
        assert upload(operator, package(SAMPLES["application"], SAMPLES["version"])).status == 201
        name = SAMPLES["client_id"]
        token = operator.post("/enrollments", {"name": name})["token"]
        with ForeignClient.enrolled(token, tmp_path / "device") as client:
            client.report_capabilities(name, capabilities(name))
        made = operator.post(
            "/deployments",
            {"application": SAMPLES["application"], "version": SAMPLES["version"], "device": name},
        )
        described = operator.request("GET", "/operator/schema/openapi.json", prefix="").body.decode()
        described = described.replace(SAMPLES["deployment_id"], made["id"])
        (tmp_path / "openapi.json").write_text(described)
        (tmp_path / "ca.pem").write_text(operator.ca)
        (tmp_path / "schemathesis.toml").write_text(CONFIG)
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                "--config-file",
                str(tmp_path / "schemathesis.toml"),
                "run",
                str(tmp_path / "openapi.json"),
                f"--url={operator.url}",
                f"--tls-verify={tmp_path / 'ca.pem'}",
                f"--header=Authorization: Bearer {operator.token}",
                "--generation-deterministic",
                f"--max-examples={EXAMPLES_EACH}",
                "--warnings=off",
                "--no-color",
                *(f"--exclude-operation-id={name}" for name in LEFT_OUT),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=own_environment(),
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr
        assert json.loads(described)["paths"].keys() <= _tested(done.stdout, described)
        # Nor did it break on the way, or stop letting in who asks.
        assert operator.get("/devices?limit=1")["total"] >= 1


def _tested(printed: str, described: str) -> set[str]:
    """Return the paths that were tried: all, or none if any was left out."""
    operations = sum(len(methods) for methods in json.loads(described)["paths"].values())
    is_whole = f"Tested: {operations - len(LEFT_OUT)}" in printed
    return set(json.loads(described)["paths"]) if is_whole else set()
