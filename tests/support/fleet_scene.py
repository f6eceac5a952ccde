"""A small fleet in all its moods, at a real server: one device of each state that people ask about."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.foreign_client import ForeignClient, capabilities
from support.operating import description, package, tar_of, upload
from support.packages import describing, write_package
from support.processes import wait_until
from support.server_process import ServerProcess

APPLICATION = "shop"


def make_fleet(server: ServerProcess, folder: Path) -> dict[str, ForeignClient]:
    """Fill a running server; return its devices by name.

    `well` has what it is to have, `broken` failed, `asked` waits for somebody on site, `behind` has not taken
    up a change, `night` is silent as planned, `lost` was last heard of two days ago; `new` and `gone` never
    spoke, and `gone` is retired.
    """
    upload(server.operator, package(APPLICATION))
    newer = description(APPLICATION, "1.1.0")
    newer["deploymentProfiles"][0]["components"][0]["properties"]["revision"] = "1.1.0"
    upload(server.operator, tar_of({"margo.yaml": json.dumps(newer).encode()}))
    fleet = {
        name: _enrol(server, folder, name) for name in ("well", "broken", "asked", "behind", "night", "lost")
    }
    for name in ("new", "gone"):
        server.operator.post(f"/devices/{name}/accept")
    server.operator.delete("/devices/gone")
    server.operator.post(
        "/devices/labels", {"devices": ["well", "broken", "lost"], "labels": {"site": "berlin", "line": "4"}}
    )
    deployed = {name: deploy(server, name) for name in ("well", "broken", "asked", "behind", "night", "lost")}
    for name in ("well", "behind", "night", "lost"):
        fleet[name].report_status(deployed[name]["id"], "installed", 2)
    _fail(fleet["broken"], deployed["broken"]["id"])
    change = {"version": "1.1.0", "parameters": {}}
    server.operator.request("PUT", f"/deployments/{deployed['behind']['id']}", change)
    _ask(fleet["asked"], deployed["asked"])
    fleet["night"].report_site(
        site("night", {"polling": {"rate": "60s", "periods": ["2090-01-01 00:00 .. 2090-01-02 00:00 UTC"]}})
    )
    for device in fleet.values():
        device.close()
    _forget(server, "lost")
    return fleet


def deploy(server: ServerProcess, name: str) -> Any:
    """Deploy the application on a device and return the deployment."""
    wish = {"application": APPLICATION, "version": "1.0.0", "device": name, "name": f"{APPLICATION}-{name}"}
    return server.operator.post("/deployments", wish)


def offer_packages(server: ServerProcess, folder: Path) -> None:
    """Have a folder with one good package and one that nobody can take looked through."""
    write_package(folder / "press", describing("press", "2.0.0", files=None))
    (folder / "broken").mkdir()
    (folder / "broken" / "margo.yaml").write_text("id: [")
    about = {"name": "folder", "kind": "folder", "location": str(folder), "every_minutes": None}
    server.operator.post("/sources", about)
    wait_until(
        lambda: server.operator.get("/sources/folder")["status"]["state"] not in {"running", "never"},
        what="the folder was not looked through",
    )


def assign(server: ServerProcess) -> None:
    """Have an application assigned to some devices, so that there is a rollout to look at."""
    wish = {"application": "shop", "version": "1.0.0", "target": {"selector": "site=berlin"}}
    for version, status in (("1.0.0", 201), ("1.1.0", 200)):
        answer = server.operator.request("PUT", "/assignments/shop-in-berlin", wish | {"version": version})
        assert answer.status == status, answer.body


def site(name: str, policy: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return what a device's site says of itself."""
    return {"deviceId": name, "policy": {"inForce": policy}} | members


def moment(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _enrol(server: ServerProcess, folder: Path, name: str) -> ForeignClient:
    token = server.operator.post("/enrollments", {"name": name})["token"]
    client = ForeignClient.enrolled(token, folder / name)
    client.report_capabilities(name, capabilities(name))
    return client


def _fail(device: ForeignClient, deployment_id: str) -> None:
    error = {"code": "health", "source": "app", "message": "component app: the container exited with 3"}
    device.report_status(
        deployment_id,
        "failed",
        2,
        status={"state": "failed", "error": error},
        components=[{"name": "app", "state": "failed", "error": error}],
    )


def _ask(device: ForeignClient, deployment: Any) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    about = {
        "deploymentId": deployment["id"],
        "name": deployment["name"],
        "kind": "install",
        "digest": deployment["digest"],
    }
    hold = about | {
        "reason": "approval",
        "message": "waits for approval number 7",
        "since": moment(now - timedelta(minutes=5)),
        "until": moment(now + timedelta(hours=9)),
        "approval": 7,
    }
    approval = about | {"number": 7, "verdict": "asked", "asked": moment(now - timedelta(minutes=5))}
    earlier = about | {
        "number": 6,
        "verdict": "rejected",
        "by": "Ana",
        "via": "page",
        "reason": "not in this shift",
        "asked": moment(now - timedelta(hours=8)),
        "decided": moment(now - timedelta(hours=7)),
    }
    done = {
        "number": 1,
        "at": moment(now - timedelta(hours=7)),
        "who": "Ana",
        "via": "page",
        "what": "rejected install of shop (approval 6)",
        "reason": "not in this shift",
    }
    policy = {
        "polling": {"rate": "60s"},
        "apply": {"approval": "required", "windows": ["Sat 02:00-05:00 UTC"]},
    }
    device.report_site(site("asked", policy, holds=[hold], approvals=[approval, earlier], audit=[done]))


def _forget(server: ServerProcess, name: str) -> None:
    """Have the server find, when it starts again, that it last heard of a device two days ago."""
    server.stop()
    past = datetime.now(UTC) - timedelta(days=2)
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection, connection:
        connection.execute(
            "UPDATE clients SET last_contact = ? WHERE client_id = ?",
            (past.strftime("%Y-%m-%d %H:%M:%S.%f"), name),
        )
    server.start()
