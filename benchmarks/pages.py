"""Measures the pages and lists of a fleet manager with a large fleet in its store.

    python benchmarks/pages.py [--devices 10000] [--times 40] [--keep]

A real server, and a person signed in on one connection who asks for each page and list again and again. The
store is filled with copies of one device that was made the usual way: two deployments each, reports, a site
with one of several policies, labels; some failed, some behind, some silent. `--keep` writes
benchmarks/results/pages.json. `cpu_ms` is the server's own time for an answer: what else the machine does
(`load_of_the_machine`, before it began) is in the other figures, and not in this one.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import ssl
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from measure import cpu_seconds_of, memory_of

from edgewright.protocol.site import SiteReport
from edgewright.protocol.status import DeploymentStatus
from edgewright.server.domain.packages import make_package
from edgewright.server.fleet import catalogue, deploying, membership, reports, sites
from edgewright.server.store.database import Database
from support.foreign_client import capabilities
from support.packages import describing
from support.people import Browser, sign_in
from support.server_process import ServerProcess

GOAL_P95_MS = 200.0
RESULTS = Path(__file__).parent / "results"
TEMPLATE = "edge-00000"
APPLICATIONS = ("shop", "camera")
VERSIONS = ("1.0.0", "1.1.0")
POLICIES = (
    {"polling": {"rate": "60s"}},
    {"polling": {"rate": "5m"}},
    {"polling": {"rate": "60s", "periods": ["Mon-Fri 06:00-22:00 Europe/Berlin"]}},
    {"polling": {"rate": "60s", "periods": ["daily 22:00-04:00 America/New_York"]}},
    {"polling": {"rate": "60s"}, "downtime": ["2020-01-01 00:00 .. 2090-01-01 00:00 UTC"]},
)


# --- the fleet -------------------------------------------------------------------------------------------


async def make_one(path: Path, now: datetime) -> None:
    """Make the packages and the first device, as the server itself makes them."""
    async with Database(path) as database, database.writing() as connection:
        for application in APPLICATIONS:
            for version in VERSIONS:
                package = make_package(describing(application, version), {})
                await catalogue.add_package(
                    connection, package, source="benchmark", actor="benchmark", now=now
                )
        await membership.accept(connection, TEMPLATE, actor="benchmark", now=now)
        document = json.dumps(capabilities(TEMPLATE)).encode()
        await reports.put_capabilities(connection, TEMPLATE, TEMPLATE, document, now=now)
        body = json.dumps({"deviceId": TEMPLATE, "policy": {"inForce": POLICIES[0]}}).encode()
        report = SiteReport.parse(body, source="site report")
        await sites.record_site(connection, TEMPLATE, report, body, now=now)
        for application in APPLICATIONS:
            wish = deploying.Wish(application=application, version="1.0.0", client_id=TEMPLATE, parameters={})
            made = await deploying.create(
                connection, wish, deployment_id=str(uuid.uuid4()), actor="benchmark", now=now
            )
            status = {
                "deploymentId": made.id,
                "adoptedManifestVersion": made.changed_version,
                "status": {"state": "installed"},
                "components": [{"name": "app", "state": "installed"}],
            }
            body = json.dumps(
                {"apiVersion": "deployment.margo/v1", "kind": "DeploymentStatus", **status}
            ).encode()
            await reports.record_status(
                connection, TEMPLATE, made.id, DeploymentStatus.parse(body, source="status"), body, now=now
            )


def make_many(path: Path, count: int, now: datetime) -> None:
    """Copy the first device until there are `count`; what differs between devices differs here."""
    chance = random.Random(7)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.row_factory = sqlite3.Row
        rows = {table: _rows(connection, table) for table in ("clients", "devices", "sites", "manifests")}
        wished = _rows(connection, "deployments")
        documents = connection.execute("SELECT * FROM documents").fetchall()
        revisions = connection.execute("SELECT * FROM deployment_revisions").fetchall()
        statuses = connection.execute("SELECT * FROM statuses").fetchall()
        for number in range(1, count):
            name = f"edge-{number:05}"
            for table, found in rows.items():
                for row in found:
                    _insert(
                        connection, table, {**row, "client_id": name} | _own(table, name, number, now, chance)
                    )
            for row in wished:
                made = str(uuid.uuid4())
                state, version = _state(number, row["changed_version"])
                changed = {"version": VERSIONS[number % 2]}
                _insert(connection, "deployments", {**row, "id": made, "client_id": name} | changed)
                for table, all_of_it in (("documents", documents), ("deployment_revisions", revisions)):
                    for one in all_of_it:
                        if one["deployment_id"] == row["id"]:
                            _insert(connection, table, {**one, "deployment_id": made})
                for status in statuses:
                    if status["deployment_id"] == row["id"]:
                        reported = {"deployment_id": made, "state": state, "adopted_version": str(version)}
                        kept = {key: value for key, value in dict(status).items() if key != "id"}
                        _insert(connection, "statuses", kept | reported)


def _rows(connection: sqlite3.Connection, table: str) -> list[dict[str, object]]:
    found = connection.execute(f"SELECT * FROM {table} WHERE client_id = ?", (TEMPLATE,))
    return [dict(row) for row in found.fetchall()]


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _own(table: str, name: str, number: int, now: datetime, chance: random.Random) -> dict[str, object]:
    """Return what is not the same on all devices."""
    if table == "clients":
        is_silent = number % 50 == 0
        last = now - (timedelta(days=1) if is_silent else timedelta(seconds=chance.uniform(0, 60)))
        labels = {"site": f"site-{number % 20}", "line": str(number % 10)}
        return {
            "labels": json.dumps(labels),
            "last_contact": f"{last:%Y-%m-%d %H:%M:%S.%f}",
            "svid_expires": f"{now + timedelta(days=number % 90):%Y-%m-%d %H:%M:%S.%f}",
        }
    if table == "devices":
        return {"device_id": name, "document": json.dumps(capabilities(name)).encode()}
    if table == "sites":
        policy = POLICIES[0 if number % 10 else (number // 10) % len(POLICIES)]
        body = {"deviceId": name, "policy": {"inForce": policy}}
        return {"policy": json.dumps(policy), "document": json.dumps(body).encode()}
    return {}


def _state(number: int, version: int) -> tuple[str, int]:
    if number % 97 == 0:
        return "failed", version
    if number % 41 == 0:
        return "installing", version
    if number % 31 == 0:
        return "installed", version - 1
    return "installed", version


# --- what is asked for -----------------------------------------------------------------------------------


def one_deployment(data: Path) -> str:
    """Return the id of a deployment."""
    with closing(sqlite3.connect(data / "edgewright.db")) as connection:
        (deployment,) = connection.execute("SELECT id FROM deployments ORDER BY position, id").fetchone()
    return str(deployment)


def paths(deployment: str) -> Iterator[tuple[str, str]]:
    """Yield kind and path of every page and list."""
    for path in (
        "/fleet",
        "/fleet?state=failed",
        "/fleet?selector=site%3Dsite-3%2C+line+in+(3)",
        "/fleet?q=edge-0777",
        "/fleet?sort=-heard",
        "/fleet?application=shop&version=1.1.0&sort=certificate",
        "/devices/edge-00777",
        "/devices/edge-00777/policy",
        "/policies",
        "/enrollments",
        "/packages",
        "/packages/shop",
        "/packages/shop/1.0.0",
        "/packages/shop/1.0.0/devices",
        "/sources",
        "/deployments",
        f"/deployments/{deployment}",
        "/deploy",
        "/deploy?device=edge-00777",
        "/rollouts",
        "/audit",
        "/tokens",
        "/account",
        "/search?q=edge-0777",
    ):
        yield "page", path
    for path in (
        "/devices",
        "/devices?limit=1000",
        "/devices?state=silent&sort=-heard",
        "/devices?selector=site%3Dsite-3",
        "/devices/edge-00777",
        "/fleet",
        "/packages",
        "/deployments",
        "/deployments?state=failed",
        "/deployments?device=edge-00777",
        f"/deployments/{deployment}/history",
        "/assignments",
        "/rollouts",
        "/enrollments",
        "/audit",
        "/sources",
        "/tokens",
    ):
        yield "list", path


class Asking:
    """One connection of somebody who is signed in."""

    def __init__(self, browser: Browser) -> None:
        parts = urlsplit(browser.url)
        context = ssl.create_default_context(cadata=browser.ca)
        self._connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=60)
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        self._headers = {"Cookie": cookies, "Accept": "text/html, application/json"}

    def ask(self, path: str) -> tuple[int, int, float]:
        """Return status, bytes and milliseconds of an answer."""
        begun = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        return answer.status, len(body), (time.perf_counter() - begun) * 1e3


def measure(server: ServerProcess, times: int) -> list[dict[str, object]]:
    """Ask for everything and return its figures, one row each."""
    asking = Asking(sign_in(server, "operator"))
    found: list[dict[str, object]] = []
    deployment = one_deployment(server.data)
    for kind, path in paths(deployment):
        address = path if kind == "page" else f"/operator/v1{path}"
        status, size, first = asking.ask(address)
        cpu = cpu_seconds_of(server.pid)
        taken = sorted(asking.ask(address)[2] for _ in range(times))
        cpu = cpu_seconds_of(server.pid) - cpu
        row = {
            "kind": kind,
            "path": path.replace(deployment, "ID"),
            "status": status,
            "kib": round(size / 1024, 1),
            "first_ms": round(first, 1),
            "p50_ms": round(statistics.median(taken), 1),
            "p95_ms": round(_percentile(taken, 0.95), 1),
            "cpu_ms": round(cpu / times * 1e3, 1),
        }
        tell(row)
        found.append(row)
    return found


def _percentile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def tell(row: dict[str, object]) -> None:
    over = " (over)" if float(str(row["p95_ms"])) > GOAL_P95_MS else ""
    status = "" if row["status"] == 200 else f" answers {row['status']}"
    figures = "".join(f"{row[name]:>9}" for name in ("p50_ms", "p95_ms", "cpu_ms", "kib"))
    print(
        f"{row['kind']:<5} {str(row['path'])[:56]:<56}{figures}{over}{status}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/pages.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder:
        server = ServerProcess.create(Path(folder) / "server")
        now = datetime.now(UTC)
        asyncio.run(make_one(server.data / "edgewright.db", now))
        make_many(server.data / "edgewright.db", arguments.devices, now)
        load = os.getloadavg()[1]
        begun = time.monotonic()
        with server:
            started = time.monotonic() - begun
            print(f"{'':<5} {'path':<56} {'p50 ms':>8} {'p95 ms':>8} {'cpu ms':>8} {'KiB':>8}")
            rows = measure(server, arguments.times)
            memory = memory_of(server.pid)
    print(f"ready after {started:.1f} s, {memory.pss / 1024:.0f} MiB")
    worst = max(float(str(row["p95_ms"])) for row in rows)
    if arguments.keep:
        described = {
            "at": datetime.now(UTC).date().isoformat(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "load_of_the_machine": round(load, 1),
            "python": platform.python_version(),
            "devices": arguments.devices,
            "goal_p95_ms": GOAL_P95_MS,
            "start_seconds": round(started, 1),
            "memory_mib": round(memory.pss / 1024),
            "rows": rows,
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "pages.json").write_text(json.dumps(described, indent=1) + "\n")
    return int(worst > GOAL_P95_MS or any(row["status"] != 200 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
