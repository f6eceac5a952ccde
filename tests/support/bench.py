"""One device in memory and on a temporary disk, for tests of whole rounds.

    bench = Bench(tmp_path / "state")
    bench.receive(deployment_yaml(ID))
    bench.round()
    bench.last()["status"]

The agent is the real one, its server and its runtime are fakes. `with_fuse` lets the process die at a chosen
moment of a round.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.round import Device, reconcile
from edgewright.agent.settings import Settings
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import Revision
from edgewright.agent.state.store import Manifest, Store, _Transaction
from edgewright.agent.talk.session import Session
from edgewright.net.http import HttpError, Response
from edgewright.protocol.media_types import SITE_PATH
from support.fake_runtime import FakeRuntime
from support.foreign_server import digest_of, pack

ID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
RELATION = "spiffe://example.org/margo/wfm/main/client/edge-01"


class Crash(BaseException):
    """The process was killed here."""


class FakeIdentity:
    transport = "api"
    client = relation = RELATION
    transport = "api"
    device_id = "edge-01"


class FakeSession:
    """A session to a server that is a dictionary of paths to bytes."""

    identity = FakeIdentity()

    def __init__(self) -> None:
        self.served: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.reachable = True

    def request(self, method: str, path: str, *, headers: object = (), body: object = None) -> Response:
        self.asked.append(path)
        if not self.reachable:
            raise HttpError("wfm.example:443", "connection refused; is it running?")
        if path in self.served:
            return Response(200, "OK", {}, self.served[path])
        problem = json.dumps({"type": "about:blank", "title": "Not Found", "status": 404, "retryable": False})
        return Response(404, "Not Found", {}, problem.encode())

    def close(self) -> None:
        pass


class Bench:
    """One device in memory and on a temporary disk; what the watch would do is done by `receive`."""

    def __init__(self, directory: Path) -> None:
        self.paths = Paths(str(directory))
        self.paths.make()
        self.session = FakeSession()
        self.runtime = FakeRuntime()
        self.version = 0
        self.told = 0
        self.now = 1_700_000_000.0
        self.policy: str | None = None

    def receive(self, *documents: bytes, version: int | None = None) -> int:
        """Let the watch receive a manifest of `documents`, which the server then serves."""
        self.version = version or self.version + 1
        bodies: Mapping[str, bytes] = {json.loads(data)["id"]: data for data in documents}
        listed = []
        for deployment_id, data in bodies.items():
            url = f"/api/v1/deployments/{deployment_id}/{digest_of(data)}"
            self.session.served[url] = data
            listed.append({"deploymentId": deployment_id, "digest": digest_of(data), "url": url})
        bundle = None
        if listed:
            packed = pack({f"{key}.yaml": data for key, data in bodies.items()})
            url = f"/api/v1/bundles/{digest_of(packed)}"
            self.session.served[url] = packed
            bundle = {
                "mediaType": "application/vnd.margo.bundle.v1+tar+gzip",
                "digest": digest_of(packed),
                "url": url,
            }
        body = json.dumps({"manifestVersion": self.version, "bundle": bundle, "deployments": listed}).encode()
        store = Store(self.paths.database)
        store.receive(Manifest(relation=RELATION, etag='"e"', digest=digest_of(body), body=body))
        store.close()
        return self.version

    def round(
        self, *, retry_failed: bool = False, settings: Settings | None = None, policy: str | None = None
    ) -> float | None:
        """Do one round as a process of its own would: everything opened anew.

        `policy` is the text of the site's file, if not that of the bench.
        """
        store = Store(self.paths.database)
        try:
            device = Device(
                paths=self.paths,
                settings=settings or Settings(),
                store=store,
                session=cast(Session, self.session),
                runtimes={"compose": self.runtime},
                notify=self._notify,
                clock=lambda: self.now,
                monotonic=lambda: self.now,
                policy=self.policy_file(self.policy if policy is None else policy),
            )
            return reconcile(device, retry_failed=retry_failed)
        finally:
            store.close()

    def policy_file(self, text: str | None) -> str | None:
        """Write the site's policy, and return where; without a text there is none."""
        if text is None:
            return None
        file = Path(self.paths.root, "policy.yaml")
        file.write_text(text)
        return str(file)

    def ledger(self, store: Store) -> Ledger:
        """The ledger in an open store, as a command of a person sees it."""
        return Ledger(store, Outbox(store), device_id="", notify=lambda: None)

    def _notify(self) -> None:
        self.told += 1

    @property
    def reports(self) -> list[tuple[str, Any]]:
        """What waits in the outbox for any fleet manager, in order, as (path, JSON)."""
        return [each for each in self._waiting() if each[0] != SITE_PATH]

    @property
    def site_report(self) -> Any:
        """What waits in the outbox about the site."""
        return dict(self._waiting())[SITE_PATH]

    def _waiting(self) -> list[tuple[str, Any]]:
        store = Store(self.paths.database)
        rows = store.connection.execute("SELECT path, body FROM outbox ORDER BY number").fetchall()
        store.close()
        return [(path, json.loads(body)) for path, body in rows]

    def last(self, deployment_id: str = ID) -> Any:
        """The last status of a deployment."""
        return [body for path, body in self.reports if path.endswith(f"/{deployment_id}/status")][-1]

    def revisions(self) -> tuple[Revision, ...]:
        """What the agent remembers."""
        store = Store(self.paths.database)
        found = self.ledger(store).revisions()
        store.close()
        return found


class Fuse:
    """Kills the process at the `at`-th chance; chances are before each durable step and around each call."""

    def __init__(self, at: int) -> None:
        self.left = at

    def burn(self) -> None:
        """Take one chance."""
        self.left -= 1
        if self.left == 0:
            raise Crash


def with_fuse(monkeypatch: pytest.MonkeyPatch, bench: Bench, fuse: Fuse) -> None:
    """Let `fuse` burn before every durable step and before and after every call of the runtime."""
    enter = _Transaction.__enter__

    def burning_enter(self: _Transaction) -> None:
        fuse.burn()
        return enter(self)

    monkeypatch.setattr(_Transaction, "__enter__", burning_enter)
    for name in ("observe", "fetch", "apply", "verify", "remove", "snapshot", "restore", "release"):
        call = getattr(bench.runtime, name)

        def burning(*arguments: object, call: Callable[..., Any] = call) -> Any:
            fuse.burn()
            result = call(*arguments)
            fuse.burn()
            return result

        monkeypatch.setattr(bench.runtime, name, burning)
