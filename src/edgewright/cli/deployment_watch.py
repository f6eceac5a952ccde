"""Watches deployments until all are where they should be, or cannot get there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from edgewright.cli.deployment_tables import COLUMNS, deployment_rows, said
from edgewright.cli.errors import OutcomeError, RefusedError
from edgewright.cli.operator import read
from edgewright.cli.operator_client import Operator, segment
from edgewright.cli.output import may_draw, rich_table, shorten
from edgewright.cli.views import DeploymentView
from edgewright.net.http import HttpError

SETTLED = frozenset({"converged", "failed", "removed"})
POLL_SECONDS = 0.5

Look = Callable[[], list[DeploymentView]]
Show = Callable[[Sequence[DeploymentView]], None]


def watch(operator: Operator, identifiers: Sequence[str], *, timeout: float | None) -> None:
    """Show the deployments until all have settled.

    Raises OutcomeError when one failed, or some have not settled after `timeout` seconds.
    """

    def look() -> list[DeploymentView]:
        return [look_at(operator, identifier) for identifier in identifiers]

    follow(look, timeout=timeout)


def look_at(operator: Operator, identifier: str) -> DeploymentView:
    """Return how it stands with a deployment; one the server has forgotten is removed."""
    try:
        return read(operator.get(f"/deployments/{segment(identifier)}"), DeploymentView)
    except RefusedError as error:
        if error.status != 404:
            raise
        return DeploymentView(id=identifier, device="", application="", version="", state="removed")


def follow(look: Look, *, timeout: float | None) -> None:
    """Show what `look` sees, live at a terminal and line by line elsewhere, until all has settled."""
    if not may_draw():
        judge(until_settled(look, Lines(), timeout))
        return
    from rich.live import Live

    with Live(refresh_per_second=4) as live:

        def draw(deployments: Sequence[DeploymentView]) -> None:
            live.update(rich_table(COLUMNS, deployment_rows(deployments, datetime.now(UTC))))

        last = until_settled(look, draw, timeout)
    judge(last)


class Lines:
    """Prints a line whenever a deployment says something new."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def __call__(self, deployments: Sequence[DeploymentView]) -> None:
        """Print what is new in `deployments`."""
        identifiers = [one.id for one in deployments]
        for one in deployments:
            name = " ".join(filter(None, (shorten(one.id, identifiers), one.application, one.version)))
            line = f"{name}: {one.state} ({said(one)})" if one.current else f"{name}: {one.state}"
            if self._last.get(one.id) != line:
                self._last[one.id] = line
                print(line, flush=True)


def settled(deployments: Sequence[DeploymentView]) -> bool:
    """Return whether nothing more will happen to any of `deployments` by itself."""
    return all(one.state in SETTLED for one in deployments)


def judge(deployments: Sequence[DeploymentView]) -> None:
    """Raise OutcomeError for what failed, or has not settled."""
    bad = [one for one in deployments if one.state not in SETTLED or one.state == "failed"]
    if bad:
        raise OutcomeError("\n  ".join(_complaint(one) for one in bad))


def _complaint(deployment: DeploymentView) -> str:
    name = f"{deployment.application} {deployment.version} on {deployment.device}"
    if deployment.state == "failed":
        return f"{name} failed: {'; '.join(deployment.faults) or 'the device does not say why'}"
    return f"{name} is still {deployment.state} ({said(deployment)})"


def until_settled(look: Look, show: Show, timeout: float | None) -> list[DeploymentView]:
    """Return what `look` saw last; an interruption of the connection is waited out."""
    deadline = None if timeout is None else time.monotonic() + timeout
    last: list[DeploymentView] = []
    while True:
        late = deadline is not None and time.monotonic() > deadline
        try:
            last = look()
            show(last)
        except HttpError as error:
            if late or not last or not error.retryable:
                raise
        if late or settled(last):
            return last
        time.sleep(POLL_SECONDS)
