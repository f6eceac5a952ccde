"""The first page: what needs a person, what runs and why something waits, the coming week, recent events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from edgewright.agent.page.decisions import Form, cards, until_field, who_fields
from edgewright.agent.page.history import timeline
from edgewright.agent.page.html import Child, Html, element
from edgewright.agent.page.layout import button, chip, icon, name, notice
from edgewright.agent.page.week import Interval, Week, draw
from edgewright.agent.page.words import KINDS, Clock, counted, state_of

SHOWN_EVENTS = 8
_UNDER_WAY = {"fetch": "a fetch from it", "push": "reports to it"}
Facts = Mapping[str, Any]


def overview(facts: Facts, form: Form, clock: Clock, *, done: str = "") -> Html:
    """Return the body of the page."""
    standing = [
        each
        for each in facts["approvals"]
        if each["verdict"] in {"asked", "approved", "postponed", "rejected"}
    ]
    decisions = (
        element("section", element("h2", "Decisions"), *cards(standing, form, clock), id="decisions")
        if standing
        else None
    )
    left = element("div", decisions, _running(facts, form, clock), class_="column")
    right = element(
        "div", _week(facts, clock), _controls(facts, form, clock), _recent(facts, clock), class_="column"
    )
    state = _state(facts, form, clock)
    said = notice(done, "good") if done else form.left_over()
    return element("div", said, state, element("div", left, right, class_="columns"))


def headlines(facts: Facts) -> list[tuple[str, str]]:
    """Return how the device stands, in sentences with their tones: the most urgent first, never none."""
    asked = sum(each["verdict"] == "asked" for each in facts["approvals"])
    failed = sum(each["state"] == "failed" for each in facts["deployments"])
    held = len(facts["holds"]) - asked
    found = []
    if failed:
        found.append((f"{counted(failed, 'application has', 'applications have')} failed", "bad"))
    if asked:
        found.append((f"{counted(asked, 'change waits', 'changes wait')} for your decision", "wait"))
    if facts["paused"]:
        found.append(("All changes are paused", "wait"))
    elif held > 0:
        found.append((f"{counted(held, 'change waits', 'changes wait')} for the right time", "wait"))
    if found:
        return found
    if not facts["deployments"]:
        return [("Nothing is to run here", "quiet")]
    if any(each["state"] != "installed" for each in facts["deployments"]):
        return [("Changes are under way", "busy")]
    return [("Everything runs", "good")]


def _state(facts: Facts, form: Form, clock: Clock) -> Html:
    (text, tone), *others = headlines(facts)
    lines = [
        element("div", icon(tone), element("h1", _where(text)), class_=f"headline {tone}"),
        [element("p", icon(tone), _where(text), class_=f"also {tone}") for text, tone in others],
        element("dl", *_small_facts(facts, clock), class_="small-facts"),
        *_warnings(facts, form, clock),
    ]
    return element("section", lines, class_="card state")


def _where(text: str) -> Child:
    """Return a headline, as a link where it asks for something to be done."""
    return element("a", text, href="#decisions") if text.endswith("your decision") else text


def _small_facts(facts: Facts, clock: Clock) -> Iterator[Html]:
    last, waiting = facts["contact"]["last"], facts["contact"]["reports_waiting"]
    answered = f"answered {clock.ago(last)}" if last else "has not answered yet"
    yield _fact("Fleet manager", f"{answered}; {_polling(facts['schedule'], clock)}")
    yield _fact("Changes", _changes(facts, clock))
    if facts["identity"].get("transport") == "git":
        refused = facts["repository"]["refused"]
        trouble = "" if refused is None else f"; what is there was refused: {refused['reason']}"
        yield _fact("Repository", f"{facts['identity']['repository']}{trouble}")
        at_work = facts["repository"]["under_way"]
        if at_work is not None:
            yield _fact("Under way", f"{_UNDER_WAY[at_work['doing']]}, begun {clock.ago(at_work['since'])}")
    if waiting:
        yield _fact("To be sent", counted(waiting, "report", "reports"))


def _fact(what: str, text: str) -> Html:
    return element("div", element("dt", what), element("dd", text))


def _polling(schedule: Facts, clock: Clock) -> str:
    if schedule["downtime_until"]:
        return f"planned downtime until {clock.at(schedule['downtime_until'])}"
    if schedule["may_poll"]:
        until = schedule["poll_until"]
        return f"asked until {clock.at(until)}" if until else "asked all the time"
    return f"asked again {clock.at(schedule['next_poll'])}" if schedule["next_poll"] else "not asked"


def _changes(facts: Facts, clock: Clock) -> str:
    schedule = facts["schedule"]
    if facts["paused"]:
        return "paused"
    if not facts["policy"]["is_known"]:
        return "none begin"
    if schedule["may_change"]:
        until = schedule["window_until"]
        return f"may start now, until {clock.at(until)}" if until else "may start at any time"
    window = schedule["next_window"]
    return f"may start from {clock.at(window)}" if window else "may not start"


def _warnings(facts: Facts, form: Form, clock: Clock) -> Iterator[Html]:
    paused = facts["paused"]
    if paused:
        until = f" until {clock.at(paused['until'])}" if paused["until"] else ""
        reason = f": {paused['reason']}" if paused["reason"] else ""
        who = element("input", type="hidden", name="by", value=form.person)
        resume = form.draw("/resume", who, button("Resume changes"))
        told = element(
            "p",
            "All changes are paused by ",
            name(paused["by"]),
            f" since {clock.at(paused['since'])}{until}{reason}",
        )
        yield notice([told, resume], "wait")
    if not facts["clock"]["trusted"]:
        told = element(
            "p",
            f"The clock of this device is not trusted: {facts['clock']['reason']}. "
            "Until it is, nothing that depends on the time of day starts.",
        )
        who = element("input", type="hidden", name="by", value=form.person)
        right = f"It shows {clock.now:%A, %Y-%m-%d %H:%M %Z}. "
        accept = form.draw("/clock", who, button("That is right"))
        yield notice([told, element("p", right), accept], "bad")
    if facts["policy"]["problem"]:
        known = facts["policy"]["is_known"]
        effect = "What was in force before stays in force." if known else "Until it is, no change begins."
        what = element("p", facts["policy"]["problem"])
        yield notice([f"The policy is not in order. {effect}", what], "bad")
    if facts["contact"]["problem"]:
        yield notice(["The fleet manager is not reached: ", facts["contact"]["problem"]], "wait")
    if not facts["running"]:
        yield notice("The agent is not running: what is decided here is done when it runs again.", "bad")


def _running(facts: Facts, form: Form, clock: Clock) -> Html:
    deployments = [_deployment(each, form, clock) for each in facts["deployments"]]
    empty = element("p", "No applications yet. They come from the fleet manager.", class_="card quiet")
    return element("section", element("h2", "Applications"), deployments or empty, id="applications")


def _deployment(deployment: Mapping[str, Any], form: Form, clock: Clock) -> Html:
    parts = [
        element("header", element("h3", name(deployment["name"])), chip(*state_of(deployment))),
        _why(deployment, clock),
        element("p", deployment["error"], class_="message bad")
        if deployment["error"] and not deployment["held"]
        else None,
        _components(deployment),
        _now(deployment, form) if deployment["held"] else None,
        _again(deployment, form) if deployment["state"] == "failed" else None,
    ]
    return element("article", parts, class_="card deployment")


def _why(deployment: Mapping[str, Any], clock: Clock) -> Html | None:
    held = deployment["held"]
    if held is None:
        return None
    kind = KINDS.get(held["kind"], held["kind"])
    until = f" Until {clock.at(held['until'])}." if held["until"] else ""
    runs = " What ran before goes on running." if deployment["runs"] else ""
    decide = None
    if held["approval"] is not None:
        decide = element("a", "To the decision", href=f"#approval-{held['approval']}", class_="inline")
    return element("p", f"{kind}: {held['message']}.{until}{runs} ", decide, class_="message")


def _components(deployment: Mapping[str, Any]) -> Html | None:
    rows = []
    for each in deployment["components"]:
        word, tone = state_of({"state": each["state"]})
        error = (
            element("small", each["error"])
            if each["error"] and each["error"] != deployment["error"]
            else None
        )
        rows.append(
            element(
                "li",
                icon(tone),
                element("span", name(each["name"]), error),
                element("span", word, class_="quiet"),
            )
        )
    return element("ul", rows, class_="components") if rows else None


def _now(deployment: Mapping[str, Any], form: Form) -> Html:
    action = "/now"
    about = element("input", type="hidden", name="deployment", value=deployment["id"])
    warning = element(
        "p",
        "It starts at once, whatever windows, approvals or a pause say. It is written down who did it.",
        class_="quiet",
    )
    mine = form.value(action, "deployment") == deployment["id"]
    shown = form if mine else Form(token=form.token, person=form.person, typed={})
    inside = shown.draw(
        action,
        about,
        who_fields(shown, action, reason="Reason", required=True),
        button("Apply now", "danger"),
    )
    return element("details", element("summary", "Emergency: apply now"), warning, inside, open=mine)


def _again(deployment: Mapping[str, Any], form: Form) -> Html:
    about = element("input", type="hidden", name="deployment", value=deployment["id"])
    who = element("input", type="hidden", name="by", value=form.person)
    return form.draw("/retry", about, who, button("Try again"))


def _week(facts: Facts, clock: Clock) -> Html:
    schedule = facts["schedule"]
    week = Week(
        polls=_intervals(schedule["polls"]),
        changes=_intervals(schedule["windows"]),
        downtime=_intervals(schedule["downtime"]) or (),
    )
    legend = element(
        "ul",
        element("li", element("i", class_="swatch polls"), "fleet manager is asked"),
        element("li", element("i", class_="swatch changes"), "changes may start"),
        element("li", element("i", class_="swatch downtime"), "planned downtime") if week.downtime else None,
        class_="legend",
    )
    zone = element("p", f"Times of {schedule['time_zone']}", class_="quiet")
    return element(
        "section",
        element("h2", "This week"),
        element("div", draw(week, clock.now.timestamp(), clock.zone), legend, zone, class_="card"),
    )


def _intervals(pairs: list[list[str]] | None) -> list[Interval] | None:
    if pairs is None:
        return None
    return [
        (datetime.fromisoformat(start).timestamp(), datetime.fromisoformat(end).timestamp())
        for start, end in pairs
    ]


def _controls(facts: Facts, form: Form, clock: Clock) -> Html:
    who = element("input", type="hidden", name="by", value=form.person)
    poll = form.draw("/poll", who, button("Ask the fleet manager now"))
    pause = None
    if not facts["paused"]:
        fields = who_fields(form, "/pause", reason="Reason", required=True)
        until = until_field(form, "/pause", clock, label="Until", open_end="until somebody resumes")
        inside = form.draw("/pause", fields, until, button("Pause all changes"))
        pause = element(
            "details", element("summary", "Pause all changes"), inside, open=bool(form.problem("/pause"))
        )
    return element("section", element("h2", "On site"), element("div", poll, pause, class_="card controls"))


def _recent(facts: Facts, clock: Clock) -> Html:
    more = element("a", "Everything that happened", href="/history", class_="button")
    return element(
        "section",
        element("h2", "What happened"),
        element("div", timeline(facts, clock, SHOWN_EVENTS), more, class_="card"),
    )
