"""How deployments are shown: one row each, or one deployment with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edgewright.cli.output import ago, moment, print_facts, print_table, shorten
from edgewright.cli.views import DeploymentView, HoldView, StatusView

COLUMNS = ("id", "application", "device", "state", "changed", "what the device says")


def deployment_rows(deployments: Sequence[DeploymentView], now: datetime) -> list[tuple[str, ...]]:
    """Return the rows under `COLUMNS`."""
    identifiers = [one.id for one in deployments]
    return [
        (
            shorten(one.id, identifiers),
            f"{one.application} {one.version}",
            one.device,
            one.told,
            ago(one.deleted or one.changed, now),
            said(one),
        )
        for one in deployments
    ]


def said(deployment: DeploymentView) -> str:
    """Return in one line what the device last said: what it waits for, the faults, or how far it is."""
    if deployment.hold is not None:
        return " ".join(deployment.hold.message.split()) or deployment.hold.reason
    if deployment.faults:
        return " ".join("; ".join(deployment.faults).split())
    current = deployment.current
    if current is None:
        return "nothing yet"
    if all(one.state == current.state for one in current.components):
        return current.state
    return ", ".join(f"{one.name} {one.state}" for one in current.components)


def print_deployment(deployment: DeploymentView, now: datetime) -> None:
    """Print desired and current state of one deployment side by side."""
    print_facts(
        [
            ("deployment", deployment.id),
            ("application", f"{deployment.application} {deployment.version}"),
            ("profile", deployment.profile),
            ("device", deployment.device),
            ("state", deployment.told),
            *held(deployment.hold, now),
            ("changed", ago(deployment.deleted or deployment.changed, now)),
            ("last report", ago(deployment.current.received, now) if deployment.current else "never"),
            ("went wrong", "\n".join(deployment.faults)),
        ]
    )
    reported = {one.name: one for one in deployment.current.components} if deployment.current else {}
    desired = deployment.desired.components if deployment.desired else ()
    if desired:
        rows = [
            (one.name, one.revision, reported[one.name].state if one.name in reported else "not reported")
            for one in desired
        ]
        print()
        print_table(["component", "desired", "current"], rows, empty="")
    parameters = deployment.desired.parameters if deployment.desired else {}
    if parameters:
        print()
        print_table(
            ["parameter", "value"], [(name, plain(value)) for name, value in parameters.items()], empty=""
        )


def held(hold: HoldView | None, now: datetime) -> list[tuple[str, str]]:
    """Return the facts of what the site holds back."""
    if hold is None:
        return []
    number = "" if hold.approval is None else f"number {hold.approval}, on site"
    return [
        ("held back", hold.message or hold.reason),
        ("since", ago(hold.since, now) if hold.since else ""),
        ("until", f"{moment(hold.until)} ({ago(hold.until, now)})" if hold.until else ""),
        ("approval", number),
    ]


def print_history(reports: Sequence[StatusView], now: datetime) -> None:
    """Print every report the device sent, in order."""
    rows = [
        (
            ago(one.received, now),
            one.state,
            str(one.adopted_manifest_version),
            ", ".join(f"{component.name} {component.state}" for component in one.components),
        )
        for one in reports
    ]
    print_table(
        ["received", "state", "manifest", "components"], rows, empty="The device has not reported yet."
    )


def plain(value: object) -> str:
    """Return a parameter's value as people write it."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(map(plain, value))
        case None:
            return ""
    return str(value)
