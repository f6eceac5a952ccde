"""Named points of the agent's work at which a test can stop it: killed there, or held until told to go on.

Off, which is always outside tests, `hit` is a function that does nothing. It is on in a process whose
environment says so:

    EDGEWRIGHT_FAILPOINTS="accept.committed=kill"            the process gets SIGKILL there
    EDGEWRIGHT_FAILPOINTS="report.sent=pause:/tmp/here"      it writes its id to /tmp/here.reached, and waits
                                                             until /tmp/here is gone

Several are separated by commas. A pause whose file is gone already holds nobody up, so each holds once.
What becomes of an agent stopped at each of these points is in docs/reference/kill-matrix.md.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import signal
import time
from collections.abc import Callable

from edgewright.protocol.errors import EdgewrightError

VARIABLE = "EDGEWRIGHT_FAILPOINTS"
NAMES = {
    "manifest.received": "the watch has put a new manifest into the inbox",
    "round.spawned": "the watch has just started a round",
    "round.begun": "a round has opened the state",
    "round.introduced": "the capabilities are queued if they are new",
    "accept.fetched": "every document of the manifest is on disk, the manifest is not accepted",
    "accept.committed": "the manifest is accepted, nothing is planned",
    "fetch.begun": "the revision is recorded as being fetched, nothing of it is here",
    "fetch.component": "one component is on the device",
    "fetch.done": "all components are on the device and checked, nothing that runs was touched",
    "apply.begun": "the revision is recorded as the one being applied, nothing is started",
    "apply.component.begun": "the component is reported as installing, it is not started",
    "apply.component.started": "the component is started, it is not known to be up",
    "apply.component.verified": "the component is up, which is not recorded",
    "commit.before": "everything is up, the revision is not recorded as installed",
    "commit.after": "the revision is installed, what it replaced is still on disk",
    "rollback.begun": "the failure is recorded, nothing of the last good revision is back",
    "rollback.component": "one component of the last good revision is started again",
    "rollback.done": "the last good revision runs, which is not recorded",
    "rollback.recorded": "the roll-back is recorded and reported",
    "remove.begun": "the removal is recorded and reported, nothing is removed",
    "remove.component": "one component is removed, which is not recorded",
    "remove.done": "all components and files are removed, the deployment is not forgotten",
    "remove.forgotten": "the deployment is forgotten and its removal reported",
    "round.done": "everything is done, the watch was not told",
    "report.queued": "a report is queued, the watch was not told",
    "report.sending": "a report is about to be sent",
    "report.delivered": "the fleet manager has answered a report, which is not recorded",
    "report.sent": "a delivered report is out of the outbox",
}
"""What is true at each point."""
COURIER = {
    "courier.fetched": "a head of `desired` is in our copy of the repository, nothing of it is judged",
    "courier.judged": "the head may be taken up, nothing of it is in the inbox",
    "courier.taken": "the head is in the inbox and remembered, our copy of the repository does not know",
    "courier.refused": "the refusal is remembered, what was fetched is still here",
    "courier.pushing": "what is about to be pushed is remembered, nothing is pushed",
    "courier.pushed": "the Git server has the reports, they are still in the outbox",
    "courier.settled": "the pushed reports are out of the outbox",
    "courier.cut": "history is cut off, its objects are still here",
    "courier.repacked": "our copy of the repository is packed anew, what nothing names is still here",
}
"""The same of a courier (courier.py), whose kills have a table of their own."""
_LOOK_SECONDS = 0.005


class FailpointError(EdgewrightError):
    """What the environment asks for cannot be done; names the word that is wrong."""

    code = "failpoints.invalid"


def parse(text: str) -> dict[str, str]:
    """Return the action by name of `name=kill,name=pause:PATH`; raises FailpointError."""
    actions = {}
    for word in text.split(","):
        name, _, action = word.strip().partition("=")
        if name not in NAMES and name not in COURIER:
            raise FailpointError(f"{VARIABLE}: there is no failpoint {name!r}")
        kind, _, path = action.partition(":")
        if action != "kill" and not (kind == "pause" and path):
            raise FailpointError(f"{VARIABLE}: {name}={action}: expected kill or pause:PATH")
        actions[name] = action
    return actions


def armed(actions: dict[str, str]) -> Callable[[str], None]:
    """Return a `hit` that does `actions` (see `parse`); a name outside the table is a KeyError."""

    def hit(name: str) -> None:
        if name not in COURIER:
            NAMES[name]
        action = actions.get(name)
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action is not None:
            _hold(action.partition(":")[2])

    return hit


def _hold(path: str) -> None:
    """Write our id to `path`.reached and wait until `path` is gone; without it nothing is held up."""
    if not os.path.exists(path):
        return
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.rename(f"{path}.new", f"{path}.reached")
    while os.path.exists(path):
        time.sleep(_LOOK_SECONDS)


def _off(_: str) -> None:
    """Do nothing."""


hit: Callable[[str], None] = _off
if VARIABLE in os.environ:
    try:
        hit = armed(parse(os.environ[VARIABLE]))
    except FailpointError as error:
        raise SystemExit(str(error)) from None
