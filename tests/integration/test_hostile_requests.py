"""What is sent by whoever means harm, or by a program gone wrong: refused in words, and nothing breaks."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from support.people import browser, sign_in
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("hostile") / "server") as running:
        yield running
        assert "Traceback" not in running.output


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/assignments/x"),
        ("POST", "/assignments/x/preview"),
        ("POST", "/deployments"),
        ("POST", "/devices/labels"),
        ("POST", "/sources"),
        ("POST", "/tokens"),
        ("POST", "/users"),
    ],
)
@pytest.mark.parametrize("start", ["", '{"parameters":{"x":', '{"labels":', '{"spec":'])
def test_json_nested_without_end_is_refused(
    server: ServerProcess, method: str, path: str, start: str
) -> None:
    body = start.encode() + b"[" * 20_000
    answer = server.operator.request(method, path, body=body)
    assert answer.status in {400, 422}, answer.body


@pytest.mark.parametrize("path", ["/devices/{}", "/devices/{}/policy"])
def test_a_device_with_a_number_of_any_length_in_its_name_is_just_not_known(
    server: ServerProcess, path: str
) -> None:
    assert server.operator.request("GET", path.format("9" * 5000)).status == 404


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "\0", "\u202e", "\U0001f4a9", "%0d%0a"])
def test_a_name_nobody_has_is_not_known_to_forms_either(server: ServerProcess, name: str) -> None:
    one = sign_in(server, "admin")
    for area in ("devices/{}/policy/withdraw", "devices/{}/retire", "users/{}/disable", "sources/{}/remove"):
        answer = one.post("/" + area.format(quote(name, safe="")), {})
        assert (answer.status, "x-evil" in answer.headers) == (404, False), (area, answer.body)


@pytest.mark.parametrize("path", ["/devices/labels/accept", "/enrollments"])
def test_a_device_cannot_have_a_name_that_is_a_route(server: ServerProcess, path: str) -> None:
    answer = server.operator.request("POST", path, {"name": "labels"} if path == "/enrollments" else None)
    assert answer.status == 422
    assert "choose another" in answer.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: text/plain; charset=nope",
        "Content-Type: text/plain; charset=utf-16",
        "Content-Type: text/plain; charset=base64",
        "Content-Transfer-Encoding: nope",
    ],
)
@pytest.mark.parametrize("path", ["/login", "/deploy", "/add-packages/upload", "/add-packages/import"])
def test_a_form_in_a_writing_nobody_knows_is_refused(server: ServerProcess, path: str, head: str) -> None:
    one = browser(server) if path == "/login" else sign_in(server, "admin")
    one.get("/login")
    parts = f'--b\r\nContent-Disposition: form-data; name="name"\r\n{head}\r\n\r\nxyz\r\n--b--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert one.request("POST", path, parts.encode(), kind).status in {400, 403}
    with_token = kind | {"Authorization": f"Bearer {server.operator.token}"}
    assert browser(server).request("POST", path, parts.encode(), with_token).status < 500


def test_nobody_gets_a_password_of_their_own_without_the_present_one(server: ServerProcess) -> None:
    one = sign_in(server, "admin")
    for name in ("some-admin", "Some-Admin", "%20some-admin"):
        answer = one.post(f"/users/{name}/password", {})
        assert (answer.status, answer.headers.get("location")) == (303, "/account/password"), name
        assert one.call("POST", f"/users/{name}/password", {}).status == 409, name


@pytest.mark.parametrize("minutes", ["9" * 5000, "\u00b2", "\u0663", "-1", "1e3", "nan"])
def test_a_schedule_that_is_no_number_is_a_fault_of_the_form(server: ServerProcess, minutes: str) -> None:
    source = {"name": "acme", "kind": "registry", "location": "registry.example", "every_minutes": minutes}
    answer = sign_in(server, "admin").post("/sources/new", source)
    assert (answer.status, b"expected a number of minutes" in answer.body) == (422, True)
