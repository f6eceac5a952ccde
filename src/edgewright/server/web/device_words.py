"""What is said of devices in words: capabilities, policies, and what happened. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from edgewright.protocol.quantities import parse_quantity
from edgewright.server.operator_api.documents import CapabilityEntry, SiteActionEntry
from edgewright.server.store.deployments import StatusRecord
from edgewright.server.store.timeline import Change, ContactChange
from edgewright.server.web.words import word

_UNKNOWN: Final = {"", "unknown", "none"}
_ICONS: Final = {
    "enroll": ("plug-zap", "good"),
    "accept": ("shield-check", "good"),
    "retire": ("ban", "bad"),
    "report device": ("cpu", "quiet"),
    "remove device": ("unplug", "wait"),
    "label device": ("tag", "quiet"),
    "suggest policy": ("calendar-clock", "quiet"),
    "withdraw policy": ("calendar-clock", "quiet"),
    "create deployment": ("circle-plus", "busy"),
    "change deployment": ("pencil", "busy"),
    "delete deployment": ("trash", "busy"),
}
_TITLES: Final = {
    "invite": "Invited",
    "enroll": "Enrolled",
    "accept": "Accepted",
    "retire": "Retired",
    "report device": "Reported what it can do",
    "remove device": "Said that it is gone",
    "label device": "Labels changed",
    "suggest policy": "Policy suggested",
    "withdraw policy": "Suggested policy withdrawn",
}
_CONTACT: Final = {
    "in-contact": "In contact",
    "silent": "Fell silent",
    "planned-silence": "Silent as planned",
}


def capabilities(entry: CapabilityEntry) -> dict[str, Any]:
    """Return a capability file as facts for people; what a device leaves out is left out."""
    document = entry.capabilities if isinstance(entry.capabilities, dict) else {}
    properties = document.get("properties")
    said: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
    maker = " ".join(_known(said.get(name)) for name in ("vendor", "modelNumber"))
    facts = [
        ("Made by", maker.strip()),
        ("Serial number", _known(said.get("serialNumber"))),
        ("Processor", ", ".join(_cpu(cpu) for cpu in _each(said.get("cpus")))),
        ("Memory for applications", _size(said.get("memory"))),
        ("Storage for applications", _size(said.get("storage"))),
        ("Can run", ", ".join(map(str, said.get("supportedDeploymentTypes") or ()))),
        ("Runtimes", ", ".join(map(str, said.get("supportedRuntimes") or ()))),
        ("Peripherals", ", ".join(_peripheral(one) for one in _each(said.get("peripherals")))),
        ("Interfaces", ", ".join(_known(one.get("type")) for one in _each(said.get("interfaces")))),
        ("Telemetry collector", _yes_or_no(said.get("otelCollector"))),
    ]
    labels = document.get("labels")
    return {
        "device_id": entry.device_id,
        "updated": entry.updated,
        "facts": [(name, text) for name, text in facts if text],
        "labels": [f"{key}={_plain(value)}" for key, value in labels.items()]
        if isinstance(labels, dict)
        else [],
    }


def policy_rows(members: Iterable[tuple[str, Any]], origins: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return path, value and who said it for every member of a policy in force."""
    return [(path, _plain(value), origins.get(path, "default")) for path, value in members]


def happened(
    names: Mapping[str, str],
    *,
    changes: Sequence[Change],
    reports: Sequence[StatusRecord],
    contacts: Sequence[ContactChange],
    actions: Sequence[SiteActionEntry],
    most: int,
) -> list[dict[str, Any]]:
    """Return the entries of a timeline, the newest first; `names` are of deployments, by id.

    Reports that say again what was said are left out. What reaches less far back than the rest ends the
    timeline, so that nothing seems not to have happened.
    """
    entries = [
        *(_change(one, names) for one in changes),
        *_reports(reports, names),
        *(_contact(one) for one in contacts),
        *(_action(one) for one in actions),
    ]
    entries.sort(key=lambda entry: entry["at"], reverse=True)
    return entries[:most]


def _change(change: Change, names: Mapping[str, str]) -> dict[str, Any]:
    icon, tone = _ICONS.get(change.action, ("user", "quiet"))
    name = names.get(change.subject)
    title = _TITLES.get(change.action, change.action[:1].upper() + change.action[1:])
    details = json.loads(change.details)
    version = f" {details['version']}" if name and "version" in details else ""
    return {
        "at": change.at,
        "title": f"{title}: {name}{version}" if name else title,
        "who": change.actor,
        "icon": icon,
        "tone": tone,
        "href": f"/deployments/{change.subject}" if name else None,
    }


def _reports(reports: Sequence[StatusRecord], names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    before: dict[str, tuple[str, int]] = {}
    for report in reversed(reports):
        said = report.state, report.adopted_version
        if before.get(report.deployment_id) == said:
            continue
        before[report.deployment_id] = said
        name = names.get(report.deployment_id, "a removed deployment")
        shown = word(report.state)
        yield {
            "at": report.received,
            "title": f"{name}: {shown.text.lower()}",
            "text": _error_in(report),
            "who": f"reported by the device for version {report.adopted_version} of its desired state",
            "icon": shown.icon,
            "tone": shown.tone,
            "href": f"/deployments/{report.deployment_id}" if report.deployment_id in names else None,
        }


def _error_in(report: StatusRecord) -> str:
    document = json.loads(report.body)
    error = document.get("status", {}).get("error") or {}
    return str(error.get("message") or "")


def _contact(change: ContactChange) -> dict[str, Any]:
    shown = word(change.word)
    title = _CONTACT.get(change.word, shown.text)
    return {"at": change.at, "title": title, "icon": shown.icon, "tone": shown.tone}


def _action(action: SiteActionEntry) -> dict[str, Any]:
    return {
        "at": action.at,
        "title": f"On site: {action.what}",
        "text": action.reason,
        "who": f"{action.who} ({action.via})",
        "icon": "hand",
        "tone": "wait",
    }


def _each(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _known(value: object) -> str:
    text = str(value) if value is not None else ""
    return "" if text.lower() in _UNKNOWN else text


def _yes_or_no(value: object) -> str:
    return _plain(value) if isinstance(value, bool) else ""


def _cpu(cpu: Mapping[str, Any]) -> str:
    cores = cpu.get("cores", "?")
    count = f"{cores:g}" if isinstance(cores, int | float) else str(cores)
    return f"{count} {'core' if count == '1' else 'cores'} {_known(cpu.get('architecture'))}".strip()


def _peripheral(one: Mapping[str, Any]) -> str:
    known = (_known(one.get(name)) for name in ("type", "manufacturer", "model"))
    return " ".join(text for text in known if text)


def _size(value: object) -> str:
    """Return `7936Mi` as `7.75 GiB`; what is no such text stays as it is."""
    text = _known(value)
    try:
        number = float(parse_quantity(text))
    except ValueError:
        return text
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} EiB"


def _plain(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return "; ".join(map(str, value)) or "none"
    return str(value)
