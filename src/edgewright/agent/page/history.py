"""What happened here, newest first: what people did, what was asked of them, what the agent met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from edgewright.agent.page.html import Child, Html, element
from edgewright.agent.page.layout import icon, name
from edgewright.agent.page.words import KINDS, Clock

SIGNED_IN = "signed in to the local page"
_TONES = {"security": "bad", "server": "wait", "state": "quiet"}


class Moment(NamedTuple):
    """One line of the history; `at` is ISO 8601."""

    at: str
    tone: str
    text: Child
    more: str = ""
    is_look: bool = False


def moments(facts: Mapping[str, Any]) -> list[Moment]:
    """Return everything that is remembered, newest first."""
    found = [*_people(facts), *_asked(facts), *_events(facts)]
    return sorted(found, key=lambda each: each.at, reverse=True)


def timeline(facts: Mapping[str, Any], clock: Clock, limit: int | None = None) -> Html:
    """Return all of them as a list; with a `limit` the newest, without who only came to look."""
    listed = moments(facts)
    if limit is not None:
        listed = [each for each in listed if not each.is_look][:limit]
    if not listed:
        return element("p", "Nothing yet.", class_="quiet")
    return element("ol", [_line(each, clock) for each in listed], class_="timeline")


def _line(moment: Moment, clock: Clock) -> Html:
    when = element("time", clock.at(moment.at), datetime=moment.at, title=clock.exactly(moment.at))
    more = element("small", moment.more) if moment.more else None
    return element("li", icon(moment.tone), element("div", element("p", moment.text), more), when)


def _people(facts: Mapping[str, Any]) -> Iterator[Moment]:
    for each in facts["audit"]:
        reason = f"\u201c{each['reason']}\u201d, " if each["reason"] else ""
        text = [name(each["who"]), f" {each['what']}"]
        yield Moment(each["at"], "good", text, f"{reason}by {each['via']}", each["what"] == SIGNED_IN)


def _asked(facts: Mapping[str, Any]) -> Iterator[Moment]:
    for each in facts["approvals"]:
        kind = KINDS.get(each["kind"], each["kind"]).lower()
        yield Moment(
            each["asked"], "wait", [f"Approval {each['number']} was asked for: {kind} ", name(each["name"])]
        )


def _events(facts: Mapping[str, Any]) -> Iterator[Moment]:
    for each in facts["events"]:
        yield Moment(each["at"], _TONES.get(each["kind"], "quiet"), each["message"])
