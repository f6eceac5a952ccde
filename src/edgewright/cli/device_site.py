"""How a site is shown to the operator: what it holds back, who decided, what was done, and its policy."""

from __future__ import annotations

from datetime import datetime

from edgewright.cli.output import ago, moment, print_facts, print_table
from edgewright.cli.views import ApprovalView, HoldView, PauseView, SiteView

_ACTIONS_SHOWN = 10
_DEFAULT = "default"
_POLICY_COLUMNS = ("policy in force", "value", "said by")


def print_site(site: SiteView, now: datetime) -> None:
    """Print what a person at the fleet manager needs to know of the site, and nothing where all is plain."""
    facts = [
        ("policy problem", site.policy_problem or ""),
        ("clock", "" if site.clock_trusted else f"not trusted: {site.clock_reason}"),
        ("paused", _pause(site.paused, now)),
    ]
    if any(text for _, text in facts):
        print()
        print_facts(facts)
    if said := [row for row in _policy_rows(site) if row[2] != _DEFAULT]:
        print()
        print_table(_POLICY_COLUMNS, said, empty="")
    if site.holds:
        print()
        print_table(
            ["held back", "to", "why", "until"], [_hold_row(one, now) for one in site.holds], empty=""
        )
    if site.approvals:
        print()
        columns = ["approval", "of", "to", "verdict", "by", "reason"]
        print_table(columns, [_approval_row(one, now) for one in site.approvals], empty="")
    if site.audit:
        print()
        newest = site.audit[:_ACTIONS_SHOWN]
        done = [(ago(one.at, now), one.who, one.via, one.what, one.reason) for one in newest]
        print_table(["done on site", "by", "via", "what", "reason"], done, empty="")


def print_policy(site: SiteView) -> None:
    """Print the policy in force on site, each line with who said it."""
    print_table(_POLICY_COLUMNS, _policy_rows(site), empty="The site has not told its policy.")
    if site.policy_problem:
        print(f"\nsomething is wrong with it: {site.policy_problem}")


def _policy_rows(site: SiteView) -> list[tuple[str, str, str]]:
    from edgewright.protocol.policy import leaves

    return [(path, _plain(value), site.origins.get(path, _DEFAULT)) for path, value in leaves(site.policy)]


def _pause(pause: PauseView | None, now: datetime) -> str:
    if pause is None:
        return ""
    reason = f": {pause.reason}" if pause.reason else ""
    until = f", until {moment(pause.until)}" if pause.until else ""
    return f"by {pause.by} {ago(pause.since, now)}{until}{reason}"


def _hold_row(hold: HoldView, now: datetime) -> tuple[str, ...]:
    return hold.name, hold.kind, hold.message or hold.reason, _until(hold.until, now)


def _approval_row(approval: ApprovalView, now: datetime) -> tuple[str, ...]:
    """Return one approval; who decided stands where somebody did, else when it was asked."""
    by = (
        f"{approval.by}, {ago(approval.decided, now)}" if approval.by else f"asked {ago(approval.asked, now)}"
    )
    verdict = (
        f"{approval.verdict} until {_until(approval.until, now)}" if approval.until else approval.verdict
    )
    return str(approval.number), approval.name, approval.kind, verdict, by, approval.reason


def _until(text: str | None, now: datetime) -> str:
    return f"{moment(text)}, {ago(text, now)}" if text else ""


def _plain(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "; ".join(map(str, value)) or "none"
    return str(value)
