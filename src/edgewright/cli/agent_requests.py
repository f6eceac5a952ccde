"""How the commands that ask the agent have it asked: their common options, who asks, and until when."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from edgewright.agent.paths import DEFAULT_POLICY, DEFAULT_STATE, Paths
from edgewright.cli.errors import OutcomeError, UsageError

WIDTH = 80


def add_state(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option for the state directory."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        default=os.environ.get("EDGEWRIGHT_STATE") or DEFAULT_STATE,
        help=f"where the agent keeps its state (default: $EDGEWRIGHT_STATE or {DEFAULT_STATE})",
    )


def typed(words: str, args: argparse.Namespace) -> str:
    """Return the command to type for `edgewright agent WORDS` about the same state directory."""
    usual = os.environ.get("EDGEWRIGHT_STATE") or DEFAULT_STATE
    return f"edgewright agent {words}" + (f" --state {args.state}" if args.state != usual else "")


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option that names the site's policy."""
    told = f"the site's policy (default: $EDGEWRIGHT_POLICY, or {DEFAULT_POLICY} if it is there)"
    parser.add_argument("--policy", metavar="FILE", help=told)


def add_person(parser: argparse.ArgumentParser, *, reason: str | None = None) -> None:
    """Give `parser` the options for who asks and why; `reason` tells whether one is needed."""
    parser.add_argument("--by", metavar="NAME", help="who decides (default: your login name)")
    if reason is not None:
        parser.add_argument("--reason", metavar="TEXT", default="", help=reason)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option to answer programs."""
    parser.add_argument("--json", action="store_true", help="for programs")


def ask(args: argparse.Namespace, do: str, **request: Any) -> dict[str, Any]:
    """Have the agent do something, and return its answer; options of `add_person` go along."""
    from edgewright.agent.on_site.control_client import RefusedRequestError
    from edgewright.agent.on_site.control_client import ask as ask_agent
    from edgewright.agent.on_site.desk import NothingToDoError

    person = {"by": getattr(args, "by", None), "reason": getattr(args, "reason", "")}
    try:
        return ask_agent(
            Paths(args.state), {"do": do, **person, **request}, policy=getattr(args, "policy", None)
        )
    except NothingToDoError as error:
        raise OutcomeError(str(error)) from None
    except RefusedRequestError as error:
        if error.code == NothingToDoError.code:
            raise OutcomeError(str(error)) from None
        raise


def until(text: str | None) -> float | None:
    """Return the unix seconds of a moment as typed, None for none. Raises UsageError."""
    from edgewright.agent.site.moments import parse_moment

    if text is None:
        return None
    now = datetime.now().astimezone()
    try:
        moment = parse_moment(text, now)
    except ValueError as error:
        raise UsageError(f"--until {error}") from None
    if moment <= now:
        raise UsageError(f"--until {text}: that is over already")
    return moment.timestamp()


def folded(text: str, indent: int = 4) -> str:
    """Return `text` in lines of a terminal; what cannot be broken, such as a path, stays whole."""
    from edgewright.agent.on_site.visible import visible

    return textwrap.fill(
        visible(text), WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def print_folded(pairs: Iterable[tuple[str, str]]) -> None:
    """Print (name, text) pairs below each other, the texts aligned; a pair without text is left out."""
    known = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        print(folded(f"{name.ljust(width)}  {text}", width + 2))


def when(answer: dict[str, Any]) -> str:
    """Return when it is done: at once, or when there is an agent again."""
    return "at once" if answer.get("running") else "when the agent runs"


def local(iso: str | None) -> str:
    """Return an ISO moment on this terminal's wall, to the minute."""
    if iso is None:
        return ""
    return f"{datetime.fromisoformat(iso).astimezone():%a %Y-%m-%d %H:%M %Z}"
