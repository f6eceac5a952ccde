"""The list of devices, its counts and labels, asked of a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.foreign_client import ForeignClient, capabilities
from support.server_process import OperatorClient, ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("devices") / "server") as running:
        for number in range(1, 8):
            running.operator.post(f"/devices/edge-{number}/accept")
        yield running


@pytest.fixture
def operator(server: ServerProcess) -> OperatorClient:
    return server.operator


def test_a_list_is_read_page_by_page(operator: OperatorClient) -> None:
    names: list[str] = []
    after = ""
    while True:
        page = operator.get(f"/devices?q=edge-&limit=3{after}")
        assert page["total"] == 7
        names += [one["client_id"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert names == [f"edge-{number}" for number in range(1, 8)]


def test_a_device_is_what_it_was_heard_to_be(operator: OperatorClient, tmp_path: Path, unique: str) -> None:
    token = operator.post("/enrollments", {"name": unique})["token"]
    assert operator.items(f"/devices?q={unique}") == []
    with ForeignClient.enrolled(token, tmp_path) as client:
        (invited,) = operator.items(f"/devices?q={unique}")
        assert (invited["state"], invited["said"], invited["last_contact"]) == ("never", None, None)
        client.report_capabilities(unique, capabilities(unique) | {"labels": {"site": "bonn"}})
        (heard,) = operator.items(f"/devices?q={unique}&state=empty&selector=site=bonn")
        assert (heard["said"], heard["contact"]["state"]) == ("empty", "in-contact")
        shown = operator.get(f"/devices/{unique}")
        assert {name: shown[name] for name in ("state", "labels", "admission")} == {
            "state": "empty",
            "labels": {"site": "bonn"},
            "admission": "accepted",
        }
    operator.delete(f"/devices/{unique}")
    assert operator.get(f"/devices/{unique}")["state"] == "retired"
    assert operator.items(f"/devices?q={unique}")[0]["contact"] is None


def test_the_fleet_is_counted(operator: OperatorClient) -> None:
    counts = operator.get("/fleet")
    assert counts["total"] == operator.get("/devices?limit=1")["total"]
    for word, number in counts["states"].items():
        assert operator.get(f"/devices?limit=1&state={word}")["total"] == number
    assert operator.get("/fleet?selector=site=nowhere")["total"] == 0


@pytest.mark.parametrize(
    ("query", "field"), [("state=up", "state"), ("selector=a%3D%3D%3D", "selector"), ("sort=size", "sort")]
)
def test_a_filter_that_means_nothing_names_itself(operator: OperatorClient, query: str, field: str) -> None:
    answer = operator.request("GET", f"/devices?{query}")
    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == [field]


def test_labels_are_given_and_taken_by_who_saw_them(operator: OperatorClient) -> None:
    path = "/devices/edge-1"
    tag = operator.request("GET", path).headers["etag"]
    given = operator.request(
        "PATCH", path, {"labels": {"site": "berlin", "line": "4"}}, headers={"If-Match": tag}
    )
    assert (given.status, given.json["own_labels"]) == (200, {"site": "berlin", "line": "4"})
    assert given.headers["etag"] != tag
    late = operator.request("PATCH", path, {"labels": {"site": "bonn"}}, headers={"If-Match": tag})
    assert late.status == 412
    taken = operator.request("PATCH", path, {"labels": {"line": None}})
    assert taken.json["labels"] == {"site": "berlin"}


def test_many_devices_are_labelled_at_once_or_none(operator: OperatorClient) -> None:
    names = ["edge-2", "edge-3", "edge-2"]
    done = operator.post("/devices/labels", {"devices": names, "labels": {"hall": "7"}})
    assert done == {"devices": 2, "changed": 2}
    again = operator.post("/devices/labels", {"selector": "hall=7", "labels": {"hall": "7", "spare": ""}})
    assert again == {"devices": 2, "changed": 2}
    assert operator.get("/devices?selector=spare,hall=7&limit=1")["total"] == 2
    for value, status in (
        ({"devices": ["edge-4", "nobody"], "labels": {"hall": "8"}}, 404),
        ({"devices": ["edge-4"], "labels": {"not a label": "8"}}, 422),
        ({"labels": {"hall": "8"}}, 422),
        ({"devices": ["edge-4"], "selector": "hall=8", "labels": {"hall": "8"}}, 422),
        ({"selector": "hall ~ 8", "labels": {"hall": "8"}}, 422),
    ):
        assert operator.request("POST", "/devices/labels", value).status == status
    assert operator.get("/devices/edge-4")["labels"] == {}
