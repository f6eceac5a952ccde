"""A device with something to decide: a state directory as rounds leave it, without any agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from edgewright.agent.consent.audit import Audit
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.paths import Paths
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import Failure, Progress, Revision, Stage
from edgewright.agent.state.store import SERVER, STATE, Store
from edgewright.protocol.consent import Kind, Reason
from edgewright.protocol.status import State

DEVICE = "press-line-4"
SHOP, METER, CAMERA = "6f1c7a52-10c4-4c1e-9a55-0a7c1d1f3a01", "meter-reader", "camera-watch"
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
POLICY = """\
timeZone: Europe/Berlin
polling: {rate: 60s, periods: ["Mon-Fri 06:00-22:00", "Sat 08:00-14:00"]}
downtime: ["Sun 00:00-06:00"]
apply:
  approval: required
  windows: ["Mon-Fri 02:00-05:00", "Sat 22:00-04:00"]
"""
SUMMARY: Mapping[str, Any] = {
    "from": OLD,
    "to": NEW,
    "components": [
        {"name": "web", "change": "changed", "from": "1.4.2", "to": "1.5.0"},
        {"name": "cache", "change": "added", "to": "7.2"},
    ],
    "parameters": [
        {"name": "pollInterval", "change": "changed", "from": "30", "to": "10"},
        {"name": "apiToken", "change": "changed", "from": "(hidden)", "to": "(hidden)"},
    ],
    "images": [
        {
            "name": "web",
            "change": "changed",
            "from": ["registry.example/shop/web:1.4.2"],
            "to": ["registry.example/shop/web:1.5.0"],
        }
    ],
    "other": False,
}


class Scene:
    """Builds what is found in the state directory `root`; all of it at `now` (unix seconds) or before."""

    def __init__(self, root: Path, now: float) -> None:
        self.paths = Paths(str(root))
        self.paths.make()
        self.now = now
        self.policy = root / "policy.yaml"

    def store(self) -> closing[Store]:
        """Return the store, to be used in a with statement."""
        return closing(Store(self.paths.database))

    def deployment(
        self,
        deployment_id: str = SHOP,
        name: str = "shop",
        *,
        digest: str = OLD,
        stage: Stage = Stage.INSTALLED,
        components: Mapping[str, State] | None = None,
        failure: str = "",
        verified: int = 1,
    ) -> None:
        """Remember one revision of a deployment."""
        word = State.INSTALLED if stage is Stage.INSTALLED else State.PENDING
        progress = components or {"web": word, "database": word}
        found = Failure(code="apply.failed", message=failure) if failure else None
        with self.store() as store:
            Ledger(
                store, Outbox(store), device_id=DEVICE, notify=lambda: None, clock=lambda: self.now
            ).record(
                Revision(
                    deployment_id=deployment_id,
                    digest=digest,
                    stage=stage,
                    adopted=7,
                    name=name,
                    components=tuple(
                        Progress(name=each, state=state, failure=found if state is State.FAILED else None)
                        for each, state in progress.items()
                    ),
                    failure=found,
                    verified=verified,
                )
            )

    def approval(
        self,
        deployment_id: str = SHOP,
        name: str = "shop",
        *,
        kind: Kind = Kind.UPDATE,
        digest: str = NEW,
        summary: Mapping[str, Any] = SUMMARY,
        asked: float = 7200.0,
    ) -> int:
        """Ask for an approval, so many seconds ago; return its number."""
        with self.store() as store:
            cursor = store.connection.execute(
                "INSERT INTO approvals (deployment_id, name, kind, digest, asked, valid_seconds, summary,"
                " verdict, by, via, reason) VALUES (?, ?, ?, ?, ?, ?, ?, 'asked', '', '', '')",
                (deployment_id, name, kind, digest, self.now - asked, 7 * 86400.0, json.dumps(summary)),
            )
            return int(cursor.lastrowid or 0)

    def hold(
        self,
        deployment_id: str = SHOP,
        name: str = "shop",
        *,
        reason: Reason = Reason.APPROVAL,
        message: str = "approval 1 is awaited",
        kind: Kind = Kind.UPDATE,
        digest: str = NEW,
        until: float | None = None,
        approval: int | None = None,
    ) -> None:
        """Write down that something waits."""
        with self.store() as store:
            kept = Holds(store)
            held = HeldBack(
                deployment_id=deployment_id,
                name=name,
                kind=kind,
                digest=digest,
                reason=reason,
                message=message,
                since=self.now - 7200,
                until=until,
                approval=approval,
            )
            kept.replace([*kept.held(), held])

    def busy(self) -> int:
        """Set the scene of a device where all kinds of things go on; return the number of the approval."""
        self.policy.write_text(POLICY)
        self.deployment()
        self.deployment(digest=NEW, stage=Stage.READY, verified=0)
        self.deployment(METER, "meter reader", components={"reader": State.INSTALLED})
        failed = {"recorder": State.INSTALLED, "detector": State.FAILED}
        trouble = "service detector ended with exit code 3: no camera at /dev/video0"
        self.deployment(
            CAMERA, "camera watch", stage=Stage.FAILED, components=failed, failure=trouble, verified=0
        )
        number = self.approval()
        self.hold(approval=number, message=f"approval {number} is awaited since 12:30 UTC")
        removed = self.approval(
            "old-gateway", "old gateway", kind=Kind.REMOVE, digest=OLD, summary=REMOVAL, asked=600
        )
        self.hold(
            "old-gateway", "old gateway", kind=Kind.REMOVE, digest=OLD, approval=removed,
            message=f"approval {removed} is awaited",
        )  # fmt: skip
        self.deployment("old-gateway", "old gateway", components={"gateway": State.INSTALLED})
        with self.store() as store:
            store.record(STATE, "deployment camera watch failed: service detector ended with exit code 3")
            store.record(SERVER, "the fleet manager did not answer; it answers again")
            log = Audit(store, lambda: self.now - 5400)
            log.record(
                who="Ada Lovelace",
                via="page",
                what="approved the update of meter reader",
                reason="agreed in the shift meeting",
            )
        return number


REMOVAL: Mapping[str, Any] = {
    "from": OLD,
    "to": None,
    "components": [{"name": "gateway", "change": "removed", "from": "3.1"}],
    "parameters": [],
    "images": [],
    "other": False,
}
