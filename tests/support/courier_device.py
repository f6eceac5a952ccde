"""A device that has a Git repository alone, without the rest of the agent: its state, and couriers for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from edgewright.agent.git.access import GitAccess
from edgewright.agent.paths import Paths
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.store import Manifest, Store
from edgewright.net.git.url import RepositoryUrl
from edgewright.protocol.manifest import StateManifest
from support.git_fleet import GitFleet, Signer

PACKAGE = Path(__file__).parents[2] / "src"


class CourierDevice:
    """The state directory `root` of a device of `fleet`'s, which trusts `signers`."""

    def __init__(self, root: Path, fleet: GitFleet, *signers: Signer) -> None:
        self.fleet = fleet
        self.paths = Paths(str(root))
        identity = Path(self.paths.identity)
        identity.mkdir(parents=True)
        self.signers = identity / "signers"
        self.trust(*signers)
        settings = {"url": "", "device_id": "edge-01", "transport": "git"}
        (identity / "server.json").write_text(json.dumps(settings))
        self.move_to(fleet.repository)
        self.store = Store(self.paths.database)
        self.outbox = Outbox(self.store)

    def trust(self, *signers: Signer) -> None:
        """Tell the device anew whom to trust."""
        self.signers.write_text("".join(f"{each.line}\n" for each in signers))

    def move_to(self, repository: Path) -> None:
        """Tell the device that its repository is elsewhere."""
        directory = self.paths.identity
        access = GitAccess(directory, url=RepositoryUrl(str(repository)), kind="none")
        Path(directory, "git.json").write_bytes(access.render())

    def courier(
        self, *errands: str, failpoints: str = "", path: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run one courier as the watch does, and return how it ended; what it said is its output."""
        environment = {"PATH": path or os.environ["PATH"]}
        if failpoints:
            environment["EDGEWRIGHT_FAILPOINTS"] = failpoints
        read, write = os.pipe()
        with os.fdopen(read, "r") as told:
            try:
                done = subprocess.run(
                    [sys.executable, "-I", "-m", "edgewright.agent.courier", "--state", self.paths.root,
                     "--report-fd", str(write), *(errands or ("--fetch", "--push"))],
                    env=environment, pass_fds=[write], stderr=subprocess.PIPE, text=True, check=False,
                )  # fmt: skip
            finally:
                os.close(write)
            done.stdout = told.read()
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def go(self, *errands: str) -> list[str]:
        """Run one courier, which has to end well, and return what it said."""
        done = self.courier(*errands)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout.splitlines()

    def accept(self) -> Manifest:
        """Take up what is in the inbox, as a round does once all documents are here."""
        received = self.store.received()
        assert received is not None
        received.version = StateManifest.parse(received.body, source="inbox").manifest_version
        self.store.accept(received)
        return received

    def queue(self, name: str, state: str) -> None:
        """Let a status wait in the outbox."""
        body = json.dumps({"deploymentId": name, "status": {"state": state}}).encode()
        self.outbox.queue(f"status/{name}", "POST", f"/{name}", body)

    def meta(self, name: str) -> str:
        """Return what the device remembers as `name`."""
        return self.store.meta(name) or ""

    @property
    def security_events(self) -> list[str]:
        """What was told as a matter of security, newest first."""
        return [each.message for each in self.store.events(100) if each.kind == "security"]

    def disk_bytes(self) -> int:
        """Return what the copy of the repository takes on disk."""
        return sum(
            os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
            for folder, _, names in os.walk(self.paths.repository)
            for name in names
        )
