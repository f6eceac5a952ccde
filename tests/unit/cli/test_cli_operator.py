"""The operator's commands against a fleet manager played from memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest

from edgewright.cli import deployment_tables, operator
from edgewright.cli.deployment import pick_deployment
from edgewright.cli.deployment_watch import judge, look_at, settled
from edgewright.cli.errors import OutcomeError, RefusedError, UsageError
from edgewright.cli.main import run
from edgewright.cli.operator import read
from edgewright.cli.operator_client import choose, refused, segment
from edgewright.cli.package_tables import rules
from edgewright.cli.versions import precedence
from edgewright.cli.views import DeploymentView
from edgewright.net.http import HttpError, Response
from edgewright.protocol.values import DataType, Schema

LONG_AGO = "2020-01-01T00:00:00Z"
FIRST, SECOND = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"

DESCRIPTION = {
    "apiVersion": "v1",
    "id": "shop",
    "metadata": {"name": "Shop", "version": "1.10.0", "catalog": {"organization": [{"name": "Acme"}]}},
    "deploymentProfiles": [
        {
            "type": "compose",
            "id": "shop-compose",
            "components": [
                {"name": "web", "properties": {"repository": "oci://localhost:5000/web", "revision": "1.0.0"}}
            ],
        }
    ],
    "parameters": {
        "greeting": {"value": "Hello", "targets": [{"pointer": "GREETING", "components": ["web"]}]},
        "port": {"value": 80, "targets": [{"pointer": "PORT", "components": ["web"]}]},
        "tags": {"targets": [{"pointer": "TAGS", "components": ["web"]}]},
    },
    "configuration": {
        "sections": [
            {
                "name": "All",
                "settings": [
                    {"parameter": "greeting", "name": "Greeting", "schema": "text", "immutable": True},
                    {"parameter": "port", "name": "Port", "schema": "port"},
                    {"parameter": "tags", "name": "Tags", "schema": "tags"},
                ],
            }
        ],
        "schema": [
            {"name": "text", "dataType": "string", "maxLength": 10},
            {"name": "port", "dataType": "integer", "minValue": 1, "maxValue": 65535},
            {"name": "tags", "dataType": "string", "multiselect": True, "options": ["a", "b"]},
        ],
    },
}


def deployment(identifier: str = FIRST, **changes: Any) -> dict[str, Any]:
    """Return a deployment as the operator API shows it."""
    status = {
        "received": LONG_AGO,
        "state": "installed",
        "adopted_manifest_version": 3,
        "components": [{"name": "web", "state": "installed", "error": None}],
        "error": None,
    }
    shown = {
        "id": identifier,
        "device": "line-4",
        "device_id": "line-4",
        "application": "shop",
        "version": "1.10.0",
        "profile": "shop-compose",
        "state": "converged",
        "changed": LONG_AGO,
        "deleted": None,
        "current": status,
        "desired": {
            "components": [{"name": "web", "repository": "oci://localhost:5000/web", "revision": "1.0.0"}],
            "parameters": {"greeting": "Hello", "port": 80, "tags": ["a", "b"], "ssl": True},
        },
    }
    return shown | changes


def failed(message: str) -> dict[str, Any]:
    """Return what a device reports when its component `web` failed."""
    error = {"code": "x", "source": "web", "message": message}
    components = [{"name": "web", "state": "failed", "error": error}]
    return {"received": LONG_AGO, "state": "failed", "components": components, "error": error}


def page(*items: Any, next: str | None = None) -> dict[str, Any]:
    """Return one page of a list as the operator API shows it."""
    return {"items": list(items), "next": next, "total": len(items)}


class FakeOperator:
    """The operator API from memory: what it answers by (method, path), and what it was asked."""

    def __init__(self) -> None:
        packages = [
            {"id": "shop", "version": version, "name": "Shop", "imported": LONG_AGO}
            for version in ("1.9.0", "1.10.0", "1.10.0-rc.1")
        ]
        self.answers: dict[tuple[str, str], object] = {
            ("GET", "/packages"): page(*packages),
            ("GET", "/packages/shop/1.10.0"): {**packages[1], "description": DESCRIPTION, "files": []},
            ("GET", "/devices"): page(
                {
                    "client_id": "line-4",
                    "state": "silent",
                    "said": "converged",
                    "last_contact": None,
                    "deployments": {"converged": 2, "failed": 0},
                }
            ),
            ("GET", "/deployments"): page(
                deployment(), deployment(SECOND, state="failed", current=failed("no"))
            ),
            ("GET", f"/deployments/{FIRST}"): deployment(),
            ("GET", f"/deployments/{SECOND}"): deployment(SECOND, state="failed", current=failed("no image")),
        }
        self.asked: list[tuple[str, str, object]] = []

    def _answer(self, method: str, path: str, value: object = None) -> object:
        if method != "GET":
            self.asked.append((method, path, value))
            return self.answers.get((method, path), deployment())
        if (method, path) not in self.answers:
            raise RefusedError("there is no such thing", status=404)
        return self.answers[method, path]

    def get(self, path: str) -> object:
        return self._answer("GET", path.partition("?")[0])

    def post(self, path: str, value: object) -> object:
        return self._answer("POST", path, value)

    def put(self, path: str, value: object) -> object:
        return self._answer("PUT", path, value)

    def upload(self, path: str, archive: bytes) -> object:
        return self._answer("POST", path, archive)

    def delete(self, path: str) -> object:
        return self._answer("DELETE", path)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeOperator:
    """The fleet manager that every command of this test talks to."""
    fake = FakeOperator()
    for module in ("deployment", "device", "enrollment"):
        monkeypatch.setattr(f"edgewright.cli.{module}.connect", lambda _args: fake)
    monkeypatch.setattr(operator, "connect", lambda _args: fake)
    return fake


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what the command line `words` printed."""
    assert run(list(words)) == 0
    return capsys.readouterr().out


def test_a_deployment_is_made_of_the_newest_version_with_typed_values(server, capsys):
    settings = ("--set", "greeting=Good day", "--set", "port=8080", "--set", "tags=a,b")
    printed = said(capsys, "deployment", "create", "shop", "--device", "line", *settings)
    wanted = {
        "application": "shop",
        "version": "1.10.0",
        "device": "line-4",
        "parameters": {"greeting": "Good day", "port": 8080, "tags": ["a", "b"]},
    }
    assert server.asked == [("POST", "/deployments", wanted)]
    assert FIRST in printed


def test_values_may_come_from_a_file_and_set_outranks_it(server, capsys, tmp_path):
    (tmp_path / "values.yaml").write_text("port: 1\ngreeting: Hi\n")
    values = ("--values", str(tmp_path / "values.yaml"), "--set", "port=2")
    said(capsys, "deployment", "create", "shop@1.10.0", "--device", "line-4", *values)
    assert sent(server) == {"port": 2, "greeting": "Hi"}


def sent(server: FakeOperator) -> object:
    (asked,) = server.asked
    assert isinstance(asked[2], Mapping)
    return asked[2]["parameters"]


@pytest.mark.requirement("CFG-2")
@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("port=http", "port"),
        ("port=0", "port"),
        ("greeting=far too long for it", "greeting"),
        ("greetng=x", "did you mean 'greeting'"),
        ("tags=c", "tags"),
        ("port", "expected name=value"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_sent(server, setting, complaint):
    with pytest.raises(UsageError, match=complaint):
        run(["deployment", "create", "shop", "--device", "line-4", "--set", setting])
    assert server.asked == []


@pytest.mark.parametrize("content", ["- a", "port: {}", "port: [[1]]", "port: ["])
def test_a_values_file_of_the_wrong_shape_is_named(server, tmp_path, content):
    (tmp_path / "values.yaml").write_text(content)
    with pytest.raises(Exception, match=r"values\.yaml"):
        run(["deployment", "create", "shop", "--device", "line-4", "--values", str(tmp_path / "values.yaml")])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["create", "shoe", "--device", "line-4"], "there is: shop"),
        (["create", "shop@2.0.0", "--device", "line-4"], r"1\.9\.0, 1\.10\.0-rc\.1, 1\.10\.0"),
        (["create", "shop", "--device", "line-5"], "device list"),
        (["change", "1111"], "nothing to change"),
        (["change", "3333", "--set", "port=1"], "deployment list"),
    ],
)
@pytest.mark.usefixtures("server")
def test_what_is_not_there_is_said_with_what_is(words, complaint):
    with pytest.raises(UsageError, match=complaint):
        run(["deployment", *words])


def test_a_change_names_only_what_changes(server, capsys):
    said(capsys, "deployment", "change", "1111", "--set", "port=81", "--unset", "greeting")
    wanted = {"version": "1.10.0", "parameters": {"port": 81, "greeting": None}}
    assert server.asked == [("PUT", f"/deployments/{FIRST}", wanted)]


def test_a_deleted_deployment_that_is_gone_counts_as_removed(server, capsys):
    del server.answers["GET", f"/deployments/{FIRST}"]
    answer = json.loads(said(capsys, "deployment", "delete", "1111", "--wait", "-o", "json"))
    assert answer == {"id": FIRST, "state": "removed"}
    assert server.asked == [("DELETE", f"/deployments/{FIRST}", None)]


@pytest.mark.usefixtures("server")
def test_watching_ends_well_when_all_have_converged(capsys):
    assert "converged" in said(capsys, "deployment", "watch", "1111")


@pytest.mark.usefixtures("server")
def test_watching_ends_badly_when_one_failed_and_says_why(capsys):
    with pytest.raises(OutcomeError, match="failed: web: no image"):
        run(["deployment", "watch"])
    assert "converged" in capsys.readouterr().out


def test_watching_says_every_state_once(server, capsys):
    states = iter(["waiting", "taking-up", "taking-up", "converged"])

    class Moving(FakeOperator):
        def get(self, path: str) -> object:
            return deployment(state=next(states)) if path.endswith(FIRST) else super().get(path)

    server.get = Moving().get
    lines = said(capsys, "deployment", "watch", "1111").splitlines()
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == ["waiting", "taking-up", "converged"]


def test_a_connection_that_breaks_while_watching_is_waited_out(server, capsys):
    seen = iter([deployment(state="waiting"), HttpError("https://h", "refused"), deployment()])

    def get(path: str) -> object:
        if not path.endswith(FIRST):
            return page(deployment())
        answer = next(seen)
        if isinstance(answer, HttpError):
            raise answer
        return answer

    server.get = get
    assert "converged" in said(capsys, "deployment", "watch", "1111")


@pytest.mark.usefixtures("server")
def test_time_that_runs_out_is_a_failure_that_says_where_it_stands():
    late = [DeploymentView(id="x", device="d", application="a", version="1", state="waiting")]
    assert not settled(late)
    with pytest.raises(OutcomeError, match="a 1 on d is still waiting"):
        judge(late)


def test_a_forgotten_deployment_is_removed(server):
    assert look_at(server, "gone").state == "removed"


@pytest.mark.usefixtures("server")
def test_a_deployment_is_shown_desired_beside_current(capsys):
    printed = said(capsys, "deployment", "show", "1111")
    assert "COMPONENT  DESIRED  CURRENT\nweb        1.0.0    installed" in printed
    assert "tags       a,b" in printed
    assert "ssl        true" in printed


@pytest.mark.usefixtures("server")
def test_a_list_shortens_ids_and_says_what_went_wrong(capsys):
    printed = said(capsys, "deployment", "list")
    assert "11111111  shop 1.10.0  line-4  converged" in printed
    assert "web: no" in printed


def test_json_is_what_the_server_said(server, capsys):
    printed = json.loads(said(capsys, "deployment", "list", "-o", "json"))
    assert printed == server.answers["GET", "/deployments"]["items"]


def test_a_list_is_read_to_its_last_page(server):
    pages = {"": page("a", "b", next="x=&"), "x=&": page("c")}

    def get(path: str) -> object:
        query = parse_qs(path.partition("?")[2])
        assert query.get("device") == ["line 4"]
        return pages[query.get("after", [""])[0]]

    server.get = get
    assert operator.pages(server, "/deployments?device=line%204") == ["a", "b", "c"]


def test_a_list_that_is_no_page_is_an_error_of_the_server(server):
    server.answers["GET", "/packages"] = []
    with pytest.raises(RefusedError, match="not as expected"):
        run(["package", "list"])


def test_history_shows_every_report(server, capsys):
    reports = [deployment()["current"], failed("no")]
    server.answers["GET", f"/deployments/{FIRST}/history"] = page(*reports)
    assert len(said(capsys, "deployment", "show", "1111", "--history").splitlines()) == 3


def test_an_invitation_prints_the_token_alone(server, capsys):
    server.answers["POST", "/enrollments"] = {"name": "line-4", "token": "ewt1.x", "expires": LONG_AGO}
    assert said(capsys, "enrollment", "create", "line-4", "--valid", "2h") == "ewt1.x\n"
    assert server.asked == [("POST", "/enrollments", {"name": "line-4", "valid_minutes": 120})]


def test_invitations_are_listed_with_what_became_of_them(server, capsys):
    entry = {"name": "line-4", "state": "used", "created": LONG_AGO, "expires": LONG_AGO, "used": LONG_AGO}
    server.answers["GET", "/enrollments"] = page(entry)
    assert "line-4  used" in said(capsys, "enrollment", "list")


@pytest.mark.usefixtures("server")
def test_devices_are_listed_with_what_runs_there(capsys):
    (line,) = (line for line in said(capsys, "device", "list").splitlines() if "line-4" in line)
    assert line.split() == ["line-4", "silent", "(was", "converged)", "never", "2", "converged"]


def test_a_device_is_shown_with_what_it_is(server, capsys):
    properties = {
        "id": "line-4",
        "vendor": "Acme",
        "modelNumber": "Box",
        "cpus": [{"cores": 4, "architecture": "arm64"}],
        "memory": "512Mi",
        "storage": "8Gi",
        "supportedDeploymentTypes": ["compose"],
    }
    server.answers["GET", "/devices/line-4"] = {
        "client_id": "line-4",
        "state": "accepted",
        "devices": [{"device_id": "line-4", "capabilities": {"properties": properties}}],
        "deployments": [deployment()],
    }
    printed = said(capsys, "device", "show", "line")
    assert all(fact in printed for fact in ("Acme Box", "4 cores arm64", "512Mi", "compose", "converged"))


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        (["device", "accept", "spiffe client"], "POST", "/devices/spiffe%20client/accept"),
        (["device", "retire", "line-4"], "DELETE", "/devices/line-4"),
        (["package", "delete", "shop@1.9.0"], "DELETE", "/packages/shop/1.9.0"),
        (["package", "import", "oci://h/shop:1.9.0"], "POST", "/packages/import"),
    ],
)
def test_each_command_asks_for_one_thing(server, words, method, path, capsys):
    server.answers["POST", "/packages/import"] = {"id": "shop", "version": "1.9.0", "name": "Shop"}
    assert said(capsys, *words)
    assert [(asked[0], asked[1]) for asked in server.asked] == [(method, path)]


@pytest.mark.usefixtures("server")
def test_a_package_is_not_deleted_without_saying_which_version():
    with pytest.raises(UsageError, match="shop@VERSION"):
        run(["package", "delete", "shop"])


@pytest.mark.usefixtures("server")
def test_packages_are_listed(capsys):
    assert "shop  1.10.0" in said(capsys, "package", "list")


@pytest.mark.usefixtures("server")
def test_a_package_is_shown_with_what_can_be_set(capsys):
    printed = said(capsys, "package", "show", "shop")
    assert "oci://localhost:5000/web:1.0.0" in printed
    assert "80       integer, 1 to 65535" in printed
    assert "a | b" in printed
    assert "fixed once installed" in printed


def test_an_unexpected_answer_is_an_error_of_the_server(server):
    server.answers["GET", "/devices"] = page({"client_id": 5})
    with pytest.raises(RefusedError) as caught:
        run(["device", "list"])
    assert caught.value.status == 502


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (["1.9.0", "1.10.0"], "1.10.0"),
        (["1.0.0-rc.1", "1.0.0"], "1.0.0"),
        (["1.0.0-rc.2", "1.0.0-rc.10"], "1.0.0-rc.10"),
        (["1.0.0-1", "1.0.0-alpha"], "1.0.0-alpha"),
        (["1.0.0-alpha", "1.0.0-alpha.1"], "1.0.0-alpha.1"),
        (["1.0.0_build.9", "1.0.1"], "1.0.1"),
        (["latest", "0.0.1"], "0.0.1"),
    ],
)
def test_the_newest_version_is_that_of_semantic_versioning(versions, newest):
    assert max(versions, key=precedence) == newest
    assert max(reversed(versions), key=precedence) == newest


def test_an_id_may_be_given_by_its_beginning():
    assert choose("ab", ["abc", "xyz"], kind="device") == "abc"
    assert choose("ab", ["ab", "abc"], kind="device") == "ab"


def test_a_beginning_of_several_ids_is_refused_with_all_of_them():
    with pytest.raises(UsageError, match="could be 2 devices: abc, abd"):
        choose("ab", ["abd", "abc"], kind="device")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Schema(name="", data_type=DataType.INTEGER, min_value=1, max_value=5), "integer, 1 to 5"),
        (Schema(name="", data_type=DataType.DOUBLE, min_value=0), "double, at least 0"),
        (Schema(name="", data_type=DataType.STRING, max_length=9), "string, up to 9 characters"),
        (Schema(name="", data_type=DataType.STRING, regex_match="^a$"), "string, like ^a$"),
        (Schema(name="", data_type=DataType.BOOLEAN, allow_empty=True), "boolean, may be empty"),
        (Schema(name="", data_type=DataType.STRING, options=("a", "b")), "a | b"),
        (Schema(name="", data_type=DataType.STRING, options=("a", "b"), multiselect=True), "some of a | b"),
    ],
)
def test_rules_are_said_in_few_words(schema, text):
    assert rules(schema) == text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no image", "web: no image"),
        ("component web: no image", "component web: no image"),
        ("component web: ended\nits last words", "component web: ended its last words"),
        ("", "failed"),
    ],
)
def test_a_fault_is_one_line_that_names_its_component_once(message, shown):
    assert deployment_tables.said(read(deployment(current=failed(message)), DeploymentView)) == shown


HOLD = {
    "deployment_id": FIRST,
    "name": "shop",
    "kind": "update",
    "reason": "window",
    "message": "waits for the window",
    "since": LONG_AGO,
    "until": LONG_AGO,
    "approval": 7,
}


@pytest.mark.requirement("OFF-4")
def test_what_is_held_back_is_said_and_is_no_fault(server, capsys):
    error = {"code": "hold.window", "source": "shop", "message": "waits for the window"}
    status = {"received": LONG_AGO, "state": "pending", "components": [], "error": error}
    shown = deployment(state="held", hold=HOLD, current=status)
    held = read(shown, DeploymentView)
    assert (held.faults, deployment_tables.said(held)) == ((), "waits for the window")
    assert not settled([held])
    server.answers["GET", "/deployments"] = page(shown)
    server.answers["GET", f"/deployments/{FIRST}"] = shown
    lines = [" ".join(line.split()) for line in said(capsys, "deployment", "show", "shop").splitlines()]
    assert "held back waits for the window" in lines
    assert "approval number 7, on site" in lines
    assert not any(line.startswith("went wrong") for line in lines)


def view(identifier: str, application: str, deleted: str | None = None) -> DeploymentView:
    return DeploymentView(
        id=identifier, device="d", application=application, version="1", state="converged", deleted=deleted
    )


def test_a_deployment_may_be_named_by_its_application_while_there_is_one():
    known = [view(FIRST, "shop"), view(SECOND, "shop", deleted=LONG_AGO)]
    assert pick_deployment("shop", known) == FIRST
    assert pick_deployment("2222", known) == SECOND


def test_an_application_deployed_twice_names_no_deployment():
    with pytest.raises(UsageError, match="deployed 2 times"):
        pick_deployment("shop", [view(FIRST, "shop"), view(SECOND, "shop")])


def test_a_name_is_one_segment_of_a_path():
    assert segment("a/b?c d") == "a%2Fb%3Fc%20d"


def answer(status: int, body: object) -> Response:
    return Response(status, "", {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (answer(422, {"title": "t", "detail": "d", "errors": [{"field": "f", "message": "m"}]}), "d\n  f: m"),
        (answer(404, {"title": "Not Found"}), "Not Found"),
        (answer(502, b"<html>"), "answered 502 without saying why"),
        (answer(401, {"title": "Unauthorized"}), "edgewright login"),
        (answer(500, []), "answered 500"),
    ],
)
def test_a_refusal_says_what_the_server_said(response, message):
    error = refused(response, "https://h")
    assert message in str(error)
    assert error.status == response.status


def test_what_is_read_ignores_what_nobody_knows():
    assert read({**deployment(), "new": 1}, DeploymentView).id == FIRST


def requests(*states):
    """The queue of devices that ask: the first has the fingerprint 3f9a 01bc…, the second 3f9a 01bd…."""
    return page(
        *(
            {
                "id": f"3f9a01b{'cdef'[number]}77de40a19c3d",
                "fingerprint": f"3f9a 01b{'cdef'[number]} 77de 40a1 9c3d",
                "name": "line-4",
                "hostname": "pi",
                "address": "192.0.2.7",
                "state": state,
                "asked": LONG_AGO,
                "by": None if state == "waiting" else "anna",
                "client_id": None,
            }
            for number, state in enumerate(states)
        )
    )


def test_devices_that_ask_are_listed_with_their_fingerprints(server, capsys):
    server.answers["GET", "/enrollments/requests"] = requests("waiting", "rejected")
    told = said(capsys, "enrollment", "requests", "--all")
    assert "3f9a 01bc 77de 40a1 9c3d  line-4" in told
    assert "rejected by anna" in told


@pytest.mark.parametrize("words", [["3f9a01bc"], ["3f9a", "01bc"], ["3F9A-01BC-77de-40a1-9c3d"]])
def test_a_request_is_approved_by_the_fingerprint_however_it_is_typed(server, capsys, words):
    (one, _) = (queue := requests("waiting", "waiting"))["items"]
    server.answers["GET", "/enrollments/requests"] = queue
    path = f"/enrollments/requests/{one['id']}/approve"
    server.answers["POST", path] = one | {"state": "approved", "client_id": "press-1"}
    assert "press-1 is let in" in said(capsys, "enrollment", "approve", *words, "--as", "press-1")
    assert server.asked[-1] == ("POST", path, {"replace": False, "name": "press-1"})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["3f9a01b"], "at least 8"),
        (["line-4"], "expected a fingerprint"),
        (["00000000"], "no device with this fingerprint"),
    ],
)
def test_what_is_no_fingerprint_decides_nothing(server, words, told):
    server.answers["GET", "/enrollments/requests"] = requests("waiting", "waiting")
    with pytest.raises(UsageError, match=told):
        run(["enrollment", "approve", *words])
    assert not any(method == "POST" for method, *_ in server.asked)


def test_a_rejection_tells_the_device_the_reason(server, capsys):
    queue = requests("waiting")
    server.answers["GET", "/enrollments/requests"] = queue
    path = f"/enrollments/requests/{queue['items'][0]['id']}/reject"
    server.answers["POST", path] = queue["items"][0] | {"state": "rejected"}
    assert "turned down" in said(capsys, "enrollment", "reject", "3f9a", "01bc", "--reason", "not ours")
    assert server.asked[-1] == ("POST", path, {"reason": "not ours"})


@pytest.mark.parametrize(
    ("device", "state", "told"),
    [
        ("converged", "converged", "converged"),
        (None, "converged", "converged"),
        ("silent", "converged", "silent (was converged)"),
        ("planned-silence", "failed", "planned-silence (was failed)"),
        ("never", "waiting", "waiting"),
        ("retired", "removed", "removed"),
    ],
)
def test_a_deployment_is_not_called_well_by_what_its_lost_device_said(device, state, told):
    one = DeploymentView(id="x", device="d", application="a", version="1", state=state, device_state=device)
    assert one.told == told
