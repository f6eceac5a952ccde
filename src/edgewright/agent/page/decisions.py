"""What asks for a decision: a card with what would change, and the forms to decide with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edgewright.agent.consent.difference import Change, changes
from edgewright.agent.page.html import Child, Html, element
from edgewright.agent.page.layout import button, chip, field, name, notice, text_input
from edgewright.agent.page.words import KINDS, VERDICTS, Clock

MORNING: Final = 6
"""When a working day begins, for "tomorrow morning"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What every form carries: the `token` of the session, and who is signed in.

    `refused` is why the form sent last was not taken, and `about` which one that was; `typed` is what was in
    it, so that nothing has to be typed twice. `drawn` are the forms on the page so far.
    """

    token: str
    person: str
    about: str = ""
    refused: str = ""
    typed: Mapping[str, str]
    drawn: set[str] = member(default_factory=set)

    def value(self, about: str, key: str, default: str = "") -> str:
        """Return what was typed into `key` of the form `about`."""
        return self.typed.get(key, default) if about == self.about else default

    def problem(self, about: str) -> Html | None:
        """Return why that form was refused."""
        return notice(self.refused, "bad") if self.refused and about == self.about else None

    def left_over(self) -> Html | None:
        """Return why a form was refused that is not on the page any more: somebody else was faster, say."""
        return notice(self.refused, "bad") if self.refused and self.about not in self.drawn else None

    def draw(self, action: str, *children: Child, class_: str = "") -> Html:
        """Return the form that is sent to `action`."""
        self.drawn.add(action)
        token = element("input", type="hidden", name="token", value=self.token)
        return element(
            "form", token, self.problem(action), children, method="post", action=action, class_=class_ or None
        )


def cards(approvals: Sequence[Mapping[str, Any]], form: Form, clock: Clock) -> Iterator[Html]:
    """Yield a card for each approval that stands, those that nobody decided about first."""
    for each in sorted(approvals, key=lambda each: each["verdict"] != "asked"):
        yield card(each, form, clock)


def card(approval: Mapping[str, Any], form: Form, clock: Clock) -> Html:
    """Return one approval, with what would change and the form to decide."""
    kind = KINDS.get(approval["kind"], approval["kind"])
    decided = approval["verdict"] != "asked"
    action = f"/approvals/{approval['number']}"
    decide = _decide(approval, action, form, clock)
    open_again = bool(form.problem(action))
    return element(
        "article",
        element(
            "header",
            element("h3", f"{kind} ", name(approval["name"])),
            chip(*VERDICTS.get(approval["verdict"], (approval["verdict"], "quiet"))),
        ),
        element("p", _told(approval, clock), class_="quiet"),
        difference(changes(approval["summary"])),
        element("details", element("summary", "Decide otherwise"), decide, open=open_again)
        if decided
        else decide,
        class_="card decision" + ("" if decided else " asks"),
        id=f"approval-{approval['number']}",
    )


def difference(found: Sequence[Change]) -> Html:
    """Return what would change as a table: what, how it is, how it would be.

    Narrow screens lay it out as pairs of lines; the roles say that it is a table all the same.
    """
    if not found:
        return element("p", "Nothing is known about what would change.", class_="quiet")
    titles = [element("th", each, scope="col", role="columnheader") for each in ("what", "now", "then")]
    head = element("thead", element("tr", titles, role="row"), role="rowgroup")
    rows = [
        element(
            "tr",
            element("th", each.what, scope="row", role="rowheader"),
            element("td", each.old or "not there", class_="old", data_label="now", role="cell"),
            element("td", each.new or "removed", class_="new", data_label="then", role="cell"),
            role="row",
        )
        for each in found
    ]
    return element("table", head, element("tbody", rows, role="rowgroup"), class_="difference", role="table")


def choices(clock: Clock) -> list[tuple[str, str, datetime]]:
    """Return what "postpone until" offers: a word for the form, the text, and the moment."""
    now = clock.now.astimezone(clock.zone)
    offered = [
        ("1h", "1 hour", clock.now.astimezone(UTC) + timedelta(hours=1)),
        ("4h", "4 hours", clock.now.astimezone(UTC) + timedelta(hours=4)),
        ("tomorrow", "tomorrow", _morning(now, 1)),
        ("monday", "Monday", _morning(now, 7 - now.weekday())),
        ("7d", "a week", clock.now + timedelta(days=7)),
    ]
    return [(word, f"{text} ({clock.at(at.isoformat())})", at) for word, text, at in offered]


def _morning(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(hour=MORNING, minute=0, second=0, microsecond=0, fold=0)


def until_field(form: Form, about: str, clock: Clock, *, label: str, open_end: str = "") -> Html:
    """Return the choice of a moment; `open_end` is the text for none at all, where that may be."""
    chosen = form.value(about, "until", "" if open_end else "tomorrow")
    options = [element("option", open_end, value="")] if open_end else []
    options += [
        element("option", text, value=word, selected=word == chosen) for word, text, _ in choices(clock)
    ]
    return field(label, element("select", options, name="until"))


def who_fields(form: Form, about: str, *, reason: str, required: bool = False) -> Html:
    """Return the fields for who decides, and why."""
    person = text_input(
        "by", form.value(about, "by", form.person), required=True, limit=80, autocomplete="name"
    )
    refused = bool(form.problem(about))  # then this is where the eyes have to be
    typed = form.value(about, "reason")
    why = text_input("reason", typed, required=required, limit=500, autocomplete="off", autofocus=refused)
    return element("div", field("Your name", person), field(reason, why), class_="fields")


def _decide(approval: Mapping[str, Any], action: str, form: Form, clock: Clock) -> Html:
    verdict = approval["verdict"]
    approve = (
        button("Approve", "primary", name="verdict", value="approved") if verdict != "approved" else None
    )
    reject = button("Reject", "danger", name="verdict", value="rejected") if verdict != "rejected" else None
    postpone = element(
        "div",
        until_field(form, action, clock, label="Ask again"),
        button("Postpone", name="verdict", value="postponed"),
        class_="postpone",
    )
    digest = element("input", type="hidden", name="digest", value=approval["digest"])
    fields = who_fields(form, action, reason="Reason (needed to reject)")
    return form.draw(
        action, digest, fields, element("div", approve, reject, postpone, class_="actions"), class_="decide"
    )


def _told(approval: Mapping[str, Any], clock: Clock) -> str:
    parts = [f"No. {approval['number']}, asked {clock.at(approval['asked'])}"]
    if approval["verdict"] != "asked":
        parts.append(f"{approval['verdict']} by {approval['by']} {clock.at(approval['decided'])}")
    if approval["reason"]:
        parts.append(f"\u201c{approval['reason']}\u201d")
    if approval["verdict"] == "postponed" and approval["until"]:
        parts.append(f"asked again {clock.at(approval['until'])}")
    if approval["verdict"] == "approved" and approval["expires"]:
        parts.append(f"valid until {clock.at(approval['expires'])}")
    return " \u00b7 ".join(parts)
