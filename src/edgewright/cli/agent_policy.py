"""`edgewright agent policy`: what a policy means before it is put in force, and what is in force here."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgewright.cli.agent_requests import add_json, add_policy, add_state
from edgewright.cli.arguments import command, commands
from edgewright.cli.errors import UsageError

if TYPE_CHECKING:
    from edgewright.agent.site.in_force import Site
    from edgewright.protocol.calendar import Interval
    from edgewright.protocol.outlook import ClockChange
    from edgewright.protocol.policy import Policy

WIDTH: Final = 80
_SHOWN: Final = 5
_SHOWN_CHANGES: Final = 6
_TITLES: Final = {
    "polling": "When the fleet manager is asked for news",
    "downtime": "When there is no contact",
    "apply.windows": "When changes may begin",
    "apply.prefetch": "When what waiting changes need is fetched",
}


def configure(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `policy` and its two commands to the commands of `edgewright agent`."""
    parser = group.add_parser(
        "policy",
        help="look at the site's policy: when this device may poll and change",
        description="The policy is the site's own file: when this device talks, and when it changes.",
    )
    inner = commands(parser)
    check = command(
        inner,
        "check",
        _check,
        summary="say in words what a policy file means, and what it brings next",
        more="Reads the file and nothing else, so that it can be tried anywhere before it is put in force.\n"
        "Ends with 2 and the line and path of the first mistake if there is one.",
    )
    check.add_argument(
        "file", nargs="?", metavar="FILE", help="the policy; '-' reads stdin (default: the site's)"
    )
    check.add_argument(
        "--at", metavar="TIME", help="look ahead from then, such as 2026-12-24T12:00Z (default: now)"
    )
    add_json(check)

    show = command(
        inner,
        "show",
        _show,
        summary="show the policy that is in force here, and who said each line of it",
        more="A line is local (the site's own file), suggested (by the fleet manager) or default.\n"
        "What the site says outranks what the fleet manager suggests.",
    )
    add_json(show)
    add_policy(show)
    add_state(show)


# --- check -------------------------------------------------------------------------------------------


def _check(args: argparse.Namespace) -> int:
    from edgewright.agent.site.in_force import empty_policy
    from edgewright.protocol.policy import Policy

    now = time.time() if args.at is None else _moment(args.at)
    source, data = _read(args.file)
    if not data.strip():
        raise empty_policy(source)
    policy = Policy.parse(data, source=source)
    if args.json:
        import json

        print(json.dumps(_facts(policy, now), indent=2, ensure_ascii=False))
    else:
        print("\n".join((f"{source} is in order.", "", *explanation(policy, now))))
    return 0


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at: '{text}' is no moment; write it like 2026-12-24T12:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read(file: str | None) -> tuple[str, bytes]:
    """Return the name and the bytes of the file to check."""
    import os

    from edgewright.agent.paths import DEFAULT_POLICY
    from edgewright.protocol.errors import DocumentError
    from edgewright.protocol.policy import MAX_BYTES

    if file == "-":
        return "standard input", sys.stdin.buffer.read(MAX_BYTES + 1)
    source = file or os.environ.get("EDGEWRIGHT_POLICY") or DEFAULT_POLICY
    try:
        with Path(source).open("rb") as opened:
            return source, opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "" if file else "; name the FILE to check"
        raise UsageError(f"{source}: no such file{hint}") from None
    except OSError as error:
        raise DocumentError(error.strerror or str(error), source=source) from error


def explanation(policy: Policy, now: float) -> Iterator[str]:
    """Yield the lines that tell a person what `policy` means, no longer than a terminal of 80 columns."""
    from edgewright.protocol.outlook import clock_changes, coming, doubts
    from edgewright.protocol.policy_words import in_words

    for topic, sentences in in_words(policy):
        yield from _paragraph(topic.capitalize(), sentences)
    for where, parts in coming(policy, now, _SHOWN).items():
        yield ""
        yield from _calendar(_TITLES[where], parts, _zone_of(policy, where), now)
    if changes := clock_changes(policy, now):
        yield ""
        yield "When a clock is changed"
        yield from _clock_lines(changes)
    if remarks := doubts(policy, now):
        yield ""
        yield "Is that meant?"
        for remark in remarks:
            yield from _wrapped(remark, "- ", "  ")


def _paragraph(head: str, sentences: Iterable[str]) -> Iterator[str]:
    """Yield the sentences beside their head; each begins a line."""
    for line in (line for sentence in sentences for line in sentence.split("\n")):
        yield from _wrapped(line, f"{head:<10}  ", " " * 12)
        head = ""


def _wrapped(text: str, first: str, then: str) -> list[str]:
    """Return `text` in lines that fit a terminal; a number stays with its unit, and a zone is not broken."""
    kept = re.sub(r"(\d) (?=(?:h|min|s|days?)\b)", "\\1\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(kept, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _zone_of(policy: Policy, where: str) -> str:
    """Return whose clock the times of `where` are shown by: the one all its spans have, else the file's."""
    from edgewright.protocol.outlook import POLLING, spans_of

    lists = spans_of(policy)
    spans = (*policy.polling.periods, *policy.downtime) if where == POLLING else lists[where]
    zones = {span.zone for span in spans}
    return zones.pop() if len(zones) == 1 else policy.time_zone


def _calendar(title: str, parts: Sequence[Interval], zone: str, now: float) -> Iterator[str]:
    """Yield a table of what comes next, by the clock of `zone` and in UTC."""
    from edgewright.protocol.zones import zone_name, zone_of

    if not parts:
        yield f"{title}: not within 400 days"
        return
    if parts[0][0] <= now and isinf(parts[0][1]):
        yield f"{title}: at any time"
        return
    zone = zone_name(zone)
    clock = zone_of(zone)
    rows = [(f"in {zone}", "to", "" if zone == "UTC" else "in UTC")]
    for begin, end in parts:
        ends = "without end" if isinf(end) else _local(end, clock)
        utc = "" if zone == "UTC" else _in_utc(begin, end, now)
        rows.append(("now" if begin <= now else _local(begin, clock), ends, utc))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    yield title
    yield from (f"  {first:<{widths[0]}}  {then:<{widths[1]}}  {utc}".rstrip() for first, then, utc in rows)


def _local(moment: float, clock: tzinfo) -> str:
    return datetime.fromtimestamp(moment, clock).strftime("%a %d %b %Y %H:%M")


def _in_utc(begin: float, end: float, now: float) -> str:
    first = "now" if begin <= now else datetime.fromtimestamp(begin, UTC).strftime("%d %b %H:%M")
    if isinf(end):
        return first
    last = datetime.fromtimestamp(end, UTC).strftime("%d %b %H:%M")
    return f"{first} - {last[7:] if last[:6] == first[:6] else last}"


def _clock_lines(changes: Sequence[ClockChange]) -> Iterator[str]:
    """Yield what the changes do: the night as a head, and below it each span that it touches."""
    from edgewright.protocol.outlook import wall_at
    from edgewright.protocol.zones import zone_of

    head = ""
    for change in changes[:_SHOWN_CHANGES]:
        before, after = wall_at(change)
        day = datetime.fromtimestamp(change.at - 1, zone_of(change.span.zone)).strftime("%a %d %b %Y")
        kind = "forward" if change.by > 0 else "back"
        now = f"  {day}, {change.span.zone}: {kind} from {before} to {after}"
        if now != head:
            yield now
        head = now
        told = f"{change.where}: '{change.span}' {_effect(change)}"
        yield from _wrapped(told, "    ", "      ")
    if len(changes) > _SHOWN_CHANGES:
        yield f"  and {len(changes) - _SHOWN_CHANGES} more"


def _effect(change: ClockChange) -> str:
    from edgewright.protocol.durations import length

    if change.seconds is None or change.usual is None:
        return "names a time that is skipped" if change.by > 0 else "names a time that comes twice"
    if change.seconds == 0:
        return "does not open"
    return f"lasts {length(change.seconds)}, not {length(change.usual)}"


def _facts(policy: Policy, now: float) -> dict[str, Any]:
    """Return the same for programs; times are ISO 8601 in UTC."""
    from edgewright.protocol.outlook import clock_changes, coming, doubts
    from edgewright.protocol.policy_words import in_words

    return {
        "policy": policy.to_plain(),
        "words": {topic: " ".join(sentences).replace("\n", " ") for topic, sentences in in_words(policy)},
        "next": {
            where: [{"from": _iso(begin), "to": None if isinf(end) else _iso(end)} for begin, end in parts]
            for where, parts in coming(policy, now, _SHOWN).items()
        },
        "clock_changes": [
            {
                "at": _iso(each.at),
                "by_seconds": each.by,
                "where": each.where,
                "span": str(each.span),
                "seconds": each.seconds,
                "usual_seconds": each.usual,
            }
            for each in clock_changes(policy, now)
        ],
        "doubts": list(doubts(policy, now)),
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).isoformat()


# --- show --------------------------------------------------------------------------------------------


def _show(args: argparse.Namespace) -> int:
    from edgewright.agent.paths import Paths
    from edgewright.agent.site.in_force import look
    from edgewright.agent.state.store import Store

    paths = Paths(args.state)
    if not Path(paths.database).exists():
        raise UsageError(f"{paths.root}: no agent has been at work here; 'policy check' reads a file alone")
    store = Store(paths.database)
    try:
        site = look(store, args.policy)
    finally:
        store.close()
    if args.json:
        import json

        shown = {
            "in_force": site.policy.to_plain(),
            "origins": dict(site.origins),
            "problem": site.problem or None,
        }
        print(json.dumps({**shown, "is_known": site.is_known}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_shown(site)))
    return 0


def _shown(site: Site) -> Iterator[str]:
    """Yield one line for each member in force, a list on several, and what is wrong."""
    from edgewright.protocol.policy import leaves

    plain = dict(leaves(site.policy.to_plain()))
    wide = max(len(path) for path in plain)
    for path, value in plain.items():
        origin = site.origins[path]
        for index, text in enumerate(_values(value)):
            yield f"{'' if index else path:<{wide}} {'' if index else origin:<9} {text}"
    if site.problem:
        yield ""
        yield from _wrapped(f"problem: {site.problem}", "", "  ")
    if not site.is_known:
        yield "No change begins until this is put right."


def _values(value: object) -> Sequence[str]:
    match value:
        case []:
            return ["(none)"]
        case list():
            return [str(each) for each in value]
        case bool():
            return ["true" if value else "false"]
    return [str(value)]
