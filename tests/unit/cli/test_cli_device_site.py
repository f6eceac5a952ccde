"""What operators see of a site, and how they suggest policies, against a fleet manager played from memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgewright.cli.errors import RefusedError, UsageError
from edgewright.cli.main import run
from edgewright.protocol.errors import DocumentError

NOW = datetime.now(UTC)
LATER = (NOW + timedelta(hours=3, minutes=5)).isoformat()
AGO = (NOW - timedelta(hours=3)).isoformat()
HOLD = {
    "deployment_id": "11111111-0000-4000-8000-000000000000",
    "name": "shop",
    "kind": "update",
    "digest": "sha256:aa",
    "reason": "approval",
    "message": "waits for approval 7: shop 1.0 to 1.1",
    "since": AGO,
    "until": None,
    "approval": 7,
}
SITE = {
    "device_id": "line-4",
    "received": AGO,
    "policy": {
        "timeZone": "Europe/Berlin",
        "polling": {"rate": "60s", "periods": ["Mon-Fri 06:00-22:00 Europe/Berlin"]},
        "rollback": {"automatic": True},
    },
    "origins": {"polling.rate": "suggested", "polling.periods": "local"},
    "policy_problem": "policy.yaml:3: polling.rate: no duration",
    "clock_trusted": False,
    "clock_reason": "earlier than the last event",
    "paused": {"by": "ben", "reason": "audit", "since": AGO, "until": LATER},
    "holds": [HOLD],
    "approvals": [
        {
            "number": 7,
            "name": "shop",
            "kind": "update",
            "verdict": "postponed",
            "by": "ana",
            "via": "page",
            "reason": "after the shift",
            "asked": AGO,
            "decided": AGO,
            "until": LATER,
        },
        {"number": 8, "name": "till", "kind": "install", "verdict": "asked", "asked": AGO},
    ],
    "audit": [{"at": AGO, "who": "ana", "via": "page", "what": "postponed 7", "reason": "after the shift"}],
}
SUGGESTED = {
    "device": "line-4",
    "text": "polling: {rate: 5m}\n",
    "tag": "0123456789ab",
    "suggested": AGO,
    "by": "operator init",
}


def device(**members: Any) -> dict[str, Any]:
    contact = {"state": "in-contact", "since": None, "until": None, "why": None}
    return {
        "client_id": "line-4",
        "state": "accepted",
        "last_contact": AGO,
        "contact": contact,
        "site": SITE,
    } | members


class FakeOperator:
    """Answers from memory; what was sent is kept."""

    def __init__(self) -> None:
        self.device = device()
        self.sent: list[tuple[str, str, bytes]] = []

    def get(self, path: str) -> object:
        match path.partition("?")[0]:
            case "/devices":
                return {"items": [self.device], "next": None}
            case "/policy":
                return SUGGESTED | {"device": None}
            case "/devices/line-4":
                return self.device
        raise RefusedError("there is no such thing", status=404)

    def put_file(self, path: str, content: bytes, media_type: str) -> object:
        assert media_type == "application/yaml"
        self.sent.append(("PUT", path, content))
        return SUGGESTED

    def delete(self, path: str) -> object:
        self.sent.append(("DELETE", path, b""))
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeOperator:
    fake = FakeOperator()
    for module in ("device", "device_policy"):
        monkeypatch.setattr(f"edgewright.cli.{module}.connect", lambda _args: fake)
    return fake


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(SUGGESTED["text"])
    return tmp_path / "policy.yaml"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what the command line `words` printed, blanks that only align left out."""
    assert run(list(words)) == 0
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


@pytest.mark.requirement("OFF-4", "S-25")
def test_a_device_is_shown_with_who_holds_what_and_why(server, capsys):
    printed = said(capsys, "device", "show", "line")
    for fact in (
        "policy problem policy.yaml:3: polling.rate: no duration",
        "clock not trusted: earlier than the last event",
        "paused by ben 3 h ago, until",
        "waits for approval 7: shop 1.0 to 1.1",
        "postponed until",
        "ana, 3 h ago after the shift",
        "asked 3 h ago",
        "postponed 7",
        "polling.periods Mon-Fri 06:00-22:00 Europe/Berlin local",
    ):
        assert fact in printed


def test_where_all_is_plain_nothing_is_said_of_the_site(server, capsys):
    server.device = device(site={"device_id": "line-4"})
    printed = said(capsys, "device", "show", "line-4")
    assert "rollback" not in printed, "what nobody said is not repeated"
    assert not any(word in printed for word in ("clock", "paused", "approval", "policy"))


@pytest.mark.requirement("OFF-2", "OFF-3")
@pytest.mark.parametrize(
    ("contact", "listed", "shown"),
    [
        ({"state": "in-contact"}, "converged 3 h ago none", "contact in-contact"),
        (
            {"state": "planned-silence", "until": LATER, "why": "polling-periods"},
            "planned-silence (was converged) 3 h ago, again in 3 h none",
            "silent as planned (outside its polling periods) until",
        ),
        (
            {"state": "planned-silence", "why": "downtime"},
            "planned-silence (was converged) 3 h ago none",
            "silent as planned (downtime), no end known",
        ),
        (
            {"state": "expected", "until": LATER},
            "expected (was converged) 3 h ago, again in 3 h none",
            "expected back; by",
        ),
        (
            {"state": "silent", "since": AGO},
            "silent (was converged) 3 h ago none",
            "it should have been heard of 3 h ago",
        ),
        ({"state": "never"}, "never 3 h ago none", "was never heard of"),
        (None, "retired 3 h ago none", "last contact 3 h ago"),
    ],
)
def test_contact_is_said_in_words(server, capsys, contact, listed, shown):
    word = "retired" if contact is None else contact["state"]
    word, said_last = {
        "in-contact": ("converged",) * 2,
        "never": ("never", None),
        "retired": ("retired", None),
    }.get(word, (word, "converged"))
    server.device = device(contact=contact, state=word, said=said_last)
    assert listed in said(capsys, "device", "list")
    assert shown in said(capsys, "device", "show", "line-4")


def test_the_policy_in_force_is_shown_with_who_said_each_line(server, capsys):
    server.device = device(suggested_policy=SUGGESTED)
    lines = said(capsys, "device", "policy", "show", "line").splitlines()
    assert "polling.rate 60s suggested" in lines
    assert "polling.periods Mon-Fri 06:00-22:00 Europe/Berlin local" in lines
    assert "rollback.automatic true default" in lines
    assert "something is wrong with it: policy.yaml:3: polling.rate: no duration" in lines
    assert "polling: {rate: 5m}" in lines
    assert any("suggested to line-4 by operator init" in line for line in lines)


def test_what_nobody_told_is_said_so(server, capsys):
    server.device = device(site=None)
    printed = said(capsys, "device", "policy", "show", "line-4")
    assert "has not told" in printed
    assert "Nothing is suggested" in printed
    assert "tag 0123456789ab" in said(capsys, "device", "policy", "show", "--all")


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["suggest", "line", "FILE"], ("PUT", "/devices/line-4/policy", b"polling: {rate: 5m}\n")),
        (["suggest", "--all", "FILE"], ("PUT", "/policy", b"polling: {rate: 5m}\n")),
        (["withdraw", "line"], ("DELETE", "/devices/line-4/policy", b"")),
        (["withdraw", "--all"], ("DELETE", "/policy", b"")),
    ],
)
def test_policies_are_suggested_and_withdrawn(server, capsys, policy, words, sent):
    assert said(capsys, "device", "policy", *(str(policy) if word == "FILE" else word for word in words))
    assert server.sent == [sent]


@pytest.mark.parametrize(
    "words", [["suggest", "FILE"], ["suggest", "line-4", "FILE", "--all"], ["withdraw"], ["show"]]
)
def test_for_whom_is_said_by_name_or_by_all(server, policy, words):
    with pytest.raises(UsageError, match="--all"):
        run(["device", "policy", *(str(policy) if word == "FILE" else word for word in words)])
    assert server.sent == []


def test_a_wrong_policy_is_not_even_sent(server, policy):
    policy.write_text("polling:\n  rate: often\n")
    with pytest.raises(DocumentError, match=r"policy\.yaml:2: .*polling\.rate"):
        run(["device", "policy", "suggest", "line-4", str(policy)])
    with pytest.raises(UsageError, match="No such file"):
        run(["device", "policy", "suggest", "line-4", str(policy.with_name("none"))])
    assert server.sent == []
