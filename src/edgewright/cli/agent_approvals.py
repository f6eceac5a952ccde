"""`edgewright agent approvals`: what waits for a person on this device, and their decision."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgewright.cli.agent_requests import (
    add_json,
    add_person,
    add_state,
    ask,
    folded,
    local,
    print_folded,
    typed,
    until,
    when,
)
from edgewright.cli.arguments import command, commands

if TYPE_CHECKING:
    Group = argparse._SubParsersAction[argparse.ArgumentParser]

_WORDS = {"asked": "waits for you", "used": "approved, done", "void": "no longer wanted"}


def configure(group: Group) -> None:
    """Add the commands to `group`."""
    approvals = group.add_parser(
        "approvals", help="changes that wait for a decision on site", description=__doc__.partition(": ")[2]
    )
    inner = commands(approvals)

    listing = command(inner, "list", _list, summary="list what waits for a decision")
    listing.add_argument(
        "--all", action="store_true", help="also what was decided, done or is not wanted any more"
    )
    add_json(listing)
    add_state(listing)

    show = command(inner, "show", _show, summary="show what would change")
    _add_number(show)
    add_json(show)
    add_state(show)

    approve = command(
        inner,
        "approve",
        _approve,
        summary="let a change begin",
        more="It begins as soon as everything else allows, such as a window. It counts for\n"
        "exactly what 'show' shows: if something else is wanted by then, you are asked again.",
    )
    _add_number(approve)
    add_person(approve, reason="why (optional)")
    add_state(approve)

    postpone = command(inner, "postpone", _postpone, summary="be asked again later")
    _add_number(postpone)
    postpone.add_argument(
        "--until", metavar="TIME", required=True, help="such as 2h, 18:00, tomorrow or 'Mon 06:00'"
    )
    add_person(postpone, reason="why (optional)")
    add_state(postpone)

    reject = command(
        inner,
        "reject",
        _reject,
        summary="do not let a change begin",
        more="It stays as it is until somebody decides otherwise here, or something else is wanted.",
    )
    _add_number(reject)
    add_person(reject, reason="why; needed, and shown to whoever wanted the change")
    add_state(reject)


def _add_number(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", metavar="N", type=int, help="its number, as 'list' shows it")


def _list(args: argparse.Namespace) -> int:
    from edgewright.agent.on_site.visible import visible
    from edgewright.cli.output import ago, plain_table

    found = ask(args, "approvals", all=args.all)["approvals"]
    now = datetime.now(UTC)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found:
        print("nothing waits for a decision")
    else:
        names = [_short(visible(each["name"])) for each in found]
        rows = [
            (str(each["number"]), each["kind"], name, _how(each), ago(each["asked"], now))
            for each, name in zip(found, names, strict=True)
        ]
        print(plain_table(("no", "change", "deployment", "decision", "asked"), rows))
    return 0


def _short(text: str, limit: int = 24) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _how(approval: Mapping[str, Any]) -> str:
    word: str = approval["verdict"]
    return _WORDS.get(word, word)


def _show(args: argparse.Namespace) -> int:
    approval = ask(args, "approval", number=args.number)["approval"]
    if args.json:
        print(json.dumps(approval, indent=2, ensure_ascii=False))
    else:
        _print(approval)
        if approval["verdict"] == "asked":
            print()
            for words in ("approve {}", "postpone {} --until 18:00", "reject {} --reason '...'"):
                print(typed(f"approvals {words.format(args.number)}", args))
    return 0


def _print(approval: Mapping[str, Any]) -> None:
    from edgewright.agent.consent.difference import changes

    decided = f"{_how(approval)} by {approval['by']} ({approval['via']}), {local(approval['decided'])}"
    print_folded(
        [
            ("approval", str(approval["number"])),
            ("change", f"{approval['kind']} {approval['name']}"),
            ("deployment", approval["deployment_id"]),
            ("revision", approval["digest"].rpartition(":")[2][:12]),
            ("asked", local(approval["asked"])),
            ("decision", decided if approval["decided"] else _how(approval)),
            ("reason", approval["reason"]),
            ("asked again", local(approval["until"])),
            ("valid until", local(approval["expires"])),
        ]
    )
    print()
    for each in changes(approval["summary"]):
        print(folded(each.what))
        for when_, value in (("now", each.old or "not there"), ("then", each.new or "removed")):
            for line in value.splitlines():
                print(folded(f"    {when_:<4}  {line}", 10))


def _approve(args: argparse.Namespace) -> int:
    answer = ask(args, "decide", number=args.number, verdict="approved")
    approval = answer["approval"]
    print(f"approved: {approval['kind']} {approval['name']}; it begins as soon as everything else allows,")
    print(f"{when(answer)}. Valid until {local(approval['expires'])}.")
    return 0


def _postpone(args: argparse.Namespace) -> int:
    answer = ask(args, "decide", number=args.number, verdict="postponed", until=until(args.until))
    approval = answer["approval"]
    print(f"postponed: {approval['kind']} {approval['name']}; asked again {local(approval['until'])}")
    return 0


def _reject(args: argparse.Namespace) -> int:
    answer = ask(args, "decide", number=args.number, verdict="rejected")
    approval = answer["approval"]
    print(f"rejected: {approval['kind']} {approval['name']}")
    return 0
