"""`edgewright device`: what the fleet manager knows of its devices."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.arguments import command, commands, run_command
from edgewright.cli.devices import find_device
from edgewright.cli.operator import add_operator_options, connect, pages, read
from edgewright.cli.output import ago, moment, print_facts, print_table, print_value

if TYPE_CHECKING:
    from edgewright.cli.views import ContactView, DeviceDetailView, DeviceView

_WHY = {"downtime": "downtime", "polling-periods": "outside its polling periods"}

HELP = "Devices: what they are, what runs on them, and who is let in."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands about devices."""
    group = commands(parser)
    add_operator_options(command(group, "list", _list, summary="list the devices"))
    for name, action, summary, more in (
        ("show", _show, "show a device: what it is and what runs there", ""),
        (
            "accept",
            _accept,
            "let in a device with a certificate of another authority",
            "For a device that was given its identity files by somebody else's authority\n"
            "which this fleet manager trusts; devices enrolled by token need no accepting.",
        ),
        (
            "retire",
            _retire,
            "do not let a device in any more",
            "Acts on the device's next request. What runs there goes on running.",
        ),
    ):
        parser = command(group, name, action, summary=summary, more=more)
        what = "the client id" if name == "accept" else "the device's name, or how it begins"
        parser.add_argument("device", metavar="DEVICE", help=what)
        add_operator_options(parser)
    from edgewright.cli import device_policy

    device_policy.configure(group)


run = run_command


def _list(args: argparse.Namespace) -> int:
    from edgewright.cli.views import DeviceView

    answer = pages(connect(args), "/devices")
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    now = datetime.now(UTC)
    rows = [_row(device, now) for device in read(answer, list[DeviceView])]
    empty = "No devices yet; 'edgewright enrollment create NAME' invites one."
    print_table(["device", "state", "last heard of", "deployments"], rows, empty=empty)
    return 0


def _row(device: DeviceView, now: datetime) -> tuple[str, ...]:
    counted = ", ".join(f"{count} {state}" for state, count in device.deployments.items() if count)
    return device.client_id, _state(device), _heard(device, now), counted or "none"


def _state(device: DeviceView | DeviceDetailView) -> str:
    """Return the device's word; where that is about silence, with what it said last."""
    if device.said is None or device.said == device.state:
        return device.state
    return f"{device.state} (was {device.said})"


def _heard(device: DeviceView | DeviceDetailView, now: datetime) -> str:
    """Return when a device was heard of last, and when it will be again if it is silent as planned."""
    last, contact = ago(device.last_contact, now), device.contact
    if contact is None or contact.until is None:
        return last
    return f"{last}, again {ago(contact.until, now)}"


def _show(args: argparse.Namespace) -> int:
    from edgewright.cli.operator_client import segment
    from edgewright.cli.views import DeviceDetailView

    operator = connect(args)
    answer = operator.get(f"/devices/{segment(find_device(operator, args.device))}")
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    print_device(read(answer, DeviceDetailView), datetime.now(UTC))
    return 0


def print_device(device: DeviceDetailView, now: datetime) -> None:
    """Print all that is known of a device."""
    from edgewright.cli.deployment_tables import COLUMNS, deployment_rows
    from edgewright.cli.device_site import print_site

    print_facts(
        [
            ("device", device.client_id),
            ("state", _state(device)),
            ("labels", ", ".join(f"{key}={value}" for key, value in device.labels.items())),
            ("contact", _contact(device.contact, now)),
            ("last contact", ago(device.last_contact, now)),
            ("certificate", f"until {moment(device.svid_expires)}" if device.svid_expires else ""),
        ]
    )
    for entry in device.devices:
        print()
        print_facts([("device id", entry.device_id), *_capabilities(entry.capabilities)])
    if device.site is not None:
        print_site(device.site, now)
    print()
    empty = "Nothing is deployed here; 'edgewright deployment create APP --device D' does that."
    print_table(COLUMNS, deployment_rows(device.deployments, now), empty=empty)


def _contact(contact: ContactView | None, now: datetime) -> str:
    """Return in words whether a device is in contact."""
    if contact is None:
        return ""
    when = ago(contact.until or contact.since, now)
    match contact.state, contact.until:
        case "silent", _:
            return f"silent; it should have been heard of {when}"
        case "expected", str():
            return f"expected back; by {moment(contact.until)}"
        case "planned-silence", None:
            return f"silent as planned ({_WHY.get(contact.why or '', contact.why)}), no end known"
        case "planned-silence", str():
            why = _WHY.get(contact.why or "", contact.why)
            return f"silent as planned ({why}) until {moment(contact.until)}, {when}"
        case "never", _:
            return "was never heard of"
    return contact.state


def _capabilities(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of a capability file that a person looks for (spec: 7.2)."""
    properties = document.get("properties", document)
    if not isinstance(properties, dict):
        return []
    cpus = properties.get("cpus") or []
    profiles = properties.get("supportedDeploymentTypes") or []
    names = (str(properties.get(key, "unknown")) for key in ("vendor", "modelNumber"))
    maker = " ".join(name for name in names if name != "unknown")
    return [
        ("made by", maker),
        ("processor", ", ".join(_cpu(cpu) for cpu in cpus if isinstance(cpu, dict))),
        ("memory", str(properties.get("memory", ""))),
        ("storage", str(properties.get("storage", ""))),
        ("can run", ", ".join(map(str, profiles))),
    ]


def _cpu(cpu: Mapping[str, Any]) -> str:
    return f"{cpu.get('cores', '?')} cores {cpu.get('architecture', '')}".strip()


def _accept(args: argparse.Namespace) -> int:
    from edgewright.cli.operator_client import segment

    answer = connect(args).post(f"/devices/{segment(args.device)}/accept", {})
    return _told(args, answer, f"{args.device} is let in")


def _retire(args: argparse.Namespace) -> int:
    from edgewright.cli.operator_client import segment

    operator = connect(args)
    device = find_device(operator, args.device)
    answer = operator.delete(f"/devices/{segment(device)}")
    return _told(args, answer, f"{device} is not let in any more")


def _told(args: argparse.Namespace, answer: object, sentence: str) -> int:
    if args.output == "table":
        print(sentence)
    else:
        print_value(answer, args.output)
    return 0
