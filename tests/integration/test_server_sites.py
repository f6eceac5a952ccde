"""What sites say of themselves and what is suggested to them, from the device's side to the operator's."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from support.foreign_client import ForeignClient, HeldPoll, capabilities
from support.server_process import Answer, OperatorClient, ServerProcess

POLICY = b"# as the operator wrote it\npolling: {rate: 5m}\napply: {approval: required}\n"
OTHER = b"polling: {rate: 10m}\n"
NOW = datetime.now(UTC).replace(microsecond=0)


def tag(body: bytes) -> str:
    return sha256(body).hexdigest()[:12]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("sites") / "server") as running:
        yield running


@pytest.fixture
def operator(server: ServerProcess) -> Iterator[OperatorClient]:
    yield server.operator
    server.operator.request("DELETE", "/policy")


@pytest.fixture
def device(operator: OperatorClient, tmp_path: Path, unique: str) -> Iterator[ForeignClient]:
    token = operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device") as client:
        client.report_capabilities(unique, capabilities(unique))
        yield client


def suggest(operator: OperatorClient, path: str, body: bytes) -> Answer:
    return operator.request("PUT", path, body=body, media_type="application/yaml")


def moment(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def site(device_id: str, **members: Any) -> dict[str, Any]:
    """A site's report; `members` replace parts of it."""
    return {"deviceId": device_id, "policy": {"inForce": {"polling": {"rate": "60s"}}}} | members


def action(number: int, *, at: datetime = NOW, **members: Any) -> dict[str, Any]:
    return {
        "number": number,
        "at": moment(at),
        "who": "ana",
        "via": "page",
        "what": f"did {number}",
        "reason": "because",
    } | members


# --- suggested policies ----------------------------------------------------------------------------------


def test_a_policy_is_suggested_and_withdrawn(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    path = f"/devices/{unique}/policy"
    assert device.poll().headers["edgewright-policy"] == "none"
    nothing = device.request("GET", "/edgewright/v1/policy")
    assert (nothing.status, nothing.headers["content-type"]) == (404, "application/problem+json")

    first = suggest(operator, path, POLICY)
    assert (first.status, first.json["tag"], first.json["device"]) == (201, tag(POLICY), unique)
    polled = device.poll()
    assert polled.headers["edgewright-policy"] == tag(POLICY)
    assert device.poll(polled.headers["etag"]).headers["edgewright-policy"] == tag(POLICY)
    served = device.request("GET", "/edgewright/v1/policy")
    assert (served.status, served.body, served.headers["content-type"]) == (200, POLICY, "application/yaml")

    assert suggest(operator, path, POLICY).status == 200
    assert suggest(operator, path, OTHER).json["tag"] == tag(OTHER)
    assert operator.get(path)["text"] == OTHER.decode()
    assert operator.get(f"/devices/{unique}")["suggested_policy"]["tag"] == tag(OTHER)

    assert operator.request("DELETE", path).status == 204
    assert device.poll().headers["edgewright-policy"] == "none"
    assert operator.request("DELETE", path).status == 404


def test_a_suggestion_for_all_is_for_those_without_their_own(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    assert suggest(operator, "/policy", POLICY).json["device"] is None
    assert device.poll().headers["edgewright-policy"] == tag(POLICY)
    assert device.request("GET", "/edgewright/v1/policy").body == POLICY
    suggest(operator, f"/devices/{unique}/policy", OTHER)
    assert device.poll().headers["edgewright-policy"] == tag(OTHER)
    operator.request("DELETE", f"/devices/{unique}/policy")
    assert device.poll().headers["edgewright-policy"] == tag(POLICY)
    operator.request("DELETE", "/policy")
    assert device.poll().headers["edgewright-policy"] == "none"


def test_a_device_that_waits_is_told_of_its_policy_at_once(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    with HeldPoll(device) as held:
        suggest(operator, f"/devices/{unique}/policy", POLICY)
        status, headers = held.answer()
    assert (status, headers["edgewright-policy"]) == (304, tag(POLICY))


def test_a_suggestion_for_all_does_not_make_all_come_at_once(
    operator: OperatorClient, device: ForeignClient
) -> None:
    with HeldPoll(device, wait=2) as held:
        suggest(operator, "/policy", POLICY)
        assert held.is_waiting
        status, headers = held.answer()
    assert (status, headers["edgewright-policy"]) == (304, tag(POLICY))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        pytest.param(b"polling: {rate: often}\n", 422, "polling.rate", id="no duration"),
        pytest.param(b"\ncolour: red\n", 422, "colour", id="a member nobody knows"),
        pytest.param(b"downtime: ['someday']\n", 422, "downtime[0]", id="no time"),
        pytest.param(b"a: [\n", 400, "policy", id="no YAML"),
        pytest.param(b"#" * 100_000, 413, "longer", id="too long"),
    ],
)
def test_what_is_no_policy_is_refused_and_says_where(
    operator: OperatorClient, device: ForeignClient, unique: str, body: bytes, status: int, told: str
) -> None:
    answer = suggest(operator, f"/devices/{unique}/policy", body)
    assert (answer.status, told in answer.body.decode()) == (status, True), answer.body
    assert device.poll().headers["edgewright-policy"] == "none"


def test_a_policy_is_suggested_to_devices_that_exist(operator: OperatorClient) -> None:
    assert suggest(operator, "/devices/nobody/policy", POLICY).status == 404
    assert suggest(operator, "/devices/*/policy", POLICY).status == 404
    assert operator.request("GET", "/policy").status == 404


# --- site reports ----------------------------------------------------------------------------------------


def test_a_site_is_shown_as_it_reported_itself(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    assert operator.get(f"/devices/{unique}")["site"] is None
    report = site(
        unique,
        policy={
            "inForce": {"polling": {"rate": "60s"}},
            "origins": {"polling.rate": "suggested"},
            "problem": "policy.yaml:3: polling.rate: no duration",
        },
        clock={"trusted": False, "reason": "it is 1970"},
        paused={"by": "ben", "reason": "audit", "since": moment(NOW)},
        approvals=[
            {
                "number": 7,
                "deploymentId": "00000000-0000-4000-8000-000000000001",
                "name": "shop",
                "kind": "update",
                "digest": "sha256:aa",
                "verdict": "postponed",
                "by": "ana",
                "via": "page",
                "reason": "after the shift",
                "asked": moment(NOW),
                "decided": moment(NOW),
                "until": moment(NOW + timedelta(hours=8)),
                "summary": {"version": ["1.0", "1.1"]},
            }
        ],
        audit=[action(1)],
        later="what a newer agent says",
    )
    assert device.report_site(report).status == 201
    assert device.report_site(report).status == 200
    shown = operator.get(f"/devices/{unique}")["site"]
    assert shown["policy"] == {"polling": {"rate": "60s"}}
    assert shown["origins"] == {"polling.rate": "suggested"}
    assert shown["policy_problem"].startswith("policy.yaml:3")
    assert (shown["clock_trusted"], shown["clock_reason"]) == (False, "it is 1970")
    assert (shown["paused"]["by"], shown["paused"]["until"]) == ("ben", None)
    (approval,) = shown["approvals"]
    assert (approval["verdict"], approval["by"], approval["reason"]) == (
        "postponed",
        "ana",
        "after the shift",
    )
    assert approval["summary"] == {"version": ["1.0", "1.1"]}
    assert [(one["who"], one["what"]) for one in shown["audit"]] == [("ana", "did 1")]


def test_what_was_done_on_site_is_gathered_from_all_reports(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    for first in (1, 3, 5):
        entries = [action(number) for number in range(first, first + 4)]
        device.report_site(site(unique, audit=entries))
    later = NOW + timedelta(days=1)
    device.report_site(site(unique, audit=[action(1, at=later, what="again")]))
    kept = operator.items(f"/devices/{unique}/audit")
    assert [(one["number"], one["what"]) for one in kept] == [
        (1, "again"),
        *((number, f"did {number}") for number in range(8, 0, -1)),
    ]


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23")
@pytest.mark.parametrize(
    ("report", "state"),
    [
        pytest.param({}, "in-contact", id="it may always speak"),
        pytest.param(
            {"downtime": ["2020-01-01 00:00 .. 2090-01-01 00:00"]}, "planned-silence", id="downtime"
        ),
        pytest.param(
            {"polling": {"periods": ["2090-01-01 00:00 .. 2090-01-02 00:00"]}},
            "planned-silence",
            id="outside its periods",
        ),
        pytest.param({"made": {"by": "a newer agent"}}, "in-contact", id="a policy nobody here knows"),
    ],
)
def test_contact_goes_by_what_the_site_announced(
    operator: OperatorClient, device: ForeignClient, unique: str, report: dict[str, Any], state: str
) -> None:
    assert device.report_site(site(unique, policy={"inForce": report})).status == 201
    (listed,) = (one for one in operator.items("/devices") if one["client_id"] == unique)
    assert listed["contact"]["state"] == state
    assert operator.get(f"/devices/{unique}")["contact"] == listed["contact"]
    if "downtime" in report:
        assert (listed["contact"]["why"], listed["contact"]["until"]) == ("downtime", None)


def test_who_is_invited_was_never_heard_of_and_who_is_retired_is_not_waited_for(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    operator.post(f"/devices/{unique}-new/accept")
    assert operator.get(f"/devices/{unique}-new")["contact"]["state"] == "never"
    operator.delete(f"/devices/{unique}")
    assert operator.get(f"/devices/{unique}")["contact"] is None


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        pytest.param(b"{", 400, "", id="no JSON"),
        pytest.param(b"{}", 422, "deviceId", id="nothing in it"),
        pytest.param(
            json.dumps(site("edge", audit=[action(2**64)])).encode(), 422, "number", id="number too great"
        ),
        pytest.param(
            json.dumps(site("edge", audit=[action(1, at=NOW) | {"at": "yesterday"}])).encode(),
            422,
            "at",
            id="no time",
        ),
        pytest.param(b" " * (600 * 1024), 413, "", id="too long"),
    ],
)
def test_what_is_no_site_report_is_refused(
    operator: OperatorClient, device: ForeignClient, unique: str, body: bytes, status: int, told: str
) -> None:
    reply = device.request("PUT", "/edgewright/v1/site", body=body)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert told in reply.body.decode()
    assert operator.get(f"/devices/{unique}")["site"] is None


@pytest.mark.requirement("ID-22")
def test_who_is_retired_reports_and_learns_nothing(
    operator: OperatorClient, device: ForeignClient, unique: str
) -> None:
    suggest(operator, f"/devices/{unique}/policy", POLICY)
    operator.delete(f"/devices/{unique}")
    assert device.report_site(site(unique)).status == 403
    assert device.request("GET", "/edgewright/v1/policy").status == 403
