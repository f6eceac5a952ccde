"""Signing in to a real server: sessions, their ends, and what protects them."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest

from support.people import PASSWORD, Browser, add_person, browser, sign_in
from support.server_process import ServerProcess, command

SESSION = "__Host-edgewright"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("accounts") / "server") as running:
        yield running


@pytest.fixture
def person(server: ServerProcess, unique: str) -> str:
    """The name of a new operator."""
    add_person(server, unique, "operator")
    return unique


def form(one: Browser, name: str, password: str = PASSWORD, **more: str) -> int:
    one.get("/login")
    return one.post("/login", {"name": name, "password": password, **more}).status


def test_who_is_not_signed_in_is_led_to_the_form_and_back(server: ServerProcess, person: str) -> None:
    one = browser(server)
    answer = one.get("/account/password")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/account/password")
    one.get(answer.headers["location"])
    answer = one.post("/login", {"name": person, "password": PASSWORD, "next": "/account/password"})
    assert (answer.status, answer.headers["location"]) == (303, "/account/password")
    assert one.get("/account/password").status == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/ /evil.example",
        "/login?next=/login",
        "/logout",
        "/%0d%0aset-cookie: a=b",
        "/é",
    ],
)
def test_signing_in_leads_nowhere_else(server: ServerProcess, person: str, elsewhere: str) -> None:
    one = browser(server)
    one.get(f"/login?next={quote(elsewhere)}")
    answer = one.post("/login", {"name": person, "password": PASSWORD, "next": elsewhere})
    assert (answer.status, answer.headers["location"]) == (303, "/")


def test_a_session_cookie_is_for_this_host_alone_and_hidden_from_scripts(
    server: ServerProcess, person: str
) -> None:
    one = browser(server)
    one.get("/login")
    answer = one.post("/login", {"name": person, "password": PASSWORD})
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)


def test_signing_in_makes_a_new_session_whatever_was_shown_before(server: ServerProcess, person: str) -> None:
    one = browser(server)
    one.cookies[SESSION] = "chosen-by-somebody-else"
    assert form(one, person) == 303
    first = one.cookies[SESSION]
    assert first != "chosen-by-somebody-else"
    again = browser(server)
    again.cookies[SESSION] = first
    again.get("/login")
    assert again.get("/login").status == 303, "who is signed in needs no form"
    other = browser(server)
    other.get("/login")
    other.cookies[SESSION] = first
    assert other.post("/login", {"name": person, "password": PASSWORD}).status == 303
    assert other.cookies[SESSION] != first
    assert one.get("/account/password").status == 303, "the session replaced has ended"


def test_a_form_from_elsewhere_signs_nobody_in(server: ServerProcess, person: str) -> None:
    one = browser(server)
    values = {"name": person, "password": PASSWORD, "csrf": "0" * 64}
    assert one.post("/login", values).status == 403
    assert SESSION not in one.cookies
    one.get("/login")
    answer = one.post("/login", {"name": person, "password": PASSWORD}, **{"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, SESSION in one.cookies) == (403, False)


def test_a_wrong_password_and_an_unknown_name_look_alike(server: ServerProcess, person: str) -> None:
    def shown(name: str, password: str) -> tuple[int, str]:
        one = browser(server)
        one.get("/login")
        answer = one.post("/login", {"name": name, "password": password})
        return answer.status, re.sub(rf"{re.escape(name)}|[0-9a-f]{{64}}", "", answer.body.decode())

    assert command("user", "disable", "--data", server.data, person).returncode == 0
    assert shown(person, PASSWORD) == shown(person, "wrong") == shown("nobody-" + person, "wrong")
    assert shown(person, PASSWORD)[0] == 401


def test_what_changes_something_with_a_cookie_shows_the_csrf_token(
    server: ServerProcess, unique: str
) -> None:
    one = sign_in(server, "operator")
    csrf, one.csrf = one.csrf, "0" * 64
    invitation = {"name": unique}
    assert one.call("POST", "/enrollments", invitation).status == 403
    bare = json.dumps(invitation).encode()
    assert one.request("POST", "/operator/v1/enrollments", body=bare).status == 403
    assert one.post("/operator/v1/enrollments", {"csrf": csrf}).status == 403, (
        "not from a form of another site"
    )
    one.csrf = csrf
    cross = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-site"}
    assert one.request("POST", "/operator/v1/enrollments", body=bare, headers=cross).status == 403
    assert one.call("POST", "/enrollments", invitation).status == 201
    another = sign_in(server, "operator")
    another.csrf = csrf
    assert another.call("POST", "/enrollments", invitation).status == 403, "the token is of one session"


def test_signing_out_ends_the_session_for_good(server: ServerProcess) -> None:
    one = sign_in(server, "viewer")
    kept = one.cookies[SESSION]
    assert one.post("/logout", {"csrf": "0" * 64}).status == 403
    assert one.get("/logout").status == 405, "a link or a picture signs nobody out"
    assert one.post("/logout", {}).status == 303
    assert SESSION not in one.cookies
    one.cookies[SESSION] = kept
    assert one.get("/account/password").status == 303


def test_the_first_administrator_chooses_a_password_before_anything_else(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("first") / "server"
    made = command("init", "--data", data, "--trust-domain", "example.org", "--host", "127.0.0.1")
    found = re.search(r"as 'admin' with the password ([a-z0-9-]+)", made.stdout)
    assert found is not None, made.stdout
    given, own = found[1], "an own long password"
    with ServerProcess(data) as running:
        one = browser(running)
        one.get("/login")
        answer = one.post("/login", {"name": "Admin ", "password": given, "next": "/account"})
        assert (answer.status, answer.headers["location"]) == (303, "/account/password")
        assert one.request("GET", "/operator/v1/devices").status == 403
        one.get("/account/password")
        for new, again in (
            (given, given),
            ("short", "short"),
            (own, "another long one"),
            ("a" * 20, "a" * 20),
        ):
            answer = one.post("/account/password", {"password": given, "new": new, "again": again})
            assert (answer.status, b'role="alert"' in answer.body) == (422, True)
        wrong = {"password": "wrong", "new": own, "again": own}
        assert one.post("/account/password", wrong).status == 422
        other = browser(running)
        assert form(other, "admin", given) == 303
        answer = one.post("/account/password", {"password": given, "new": own, "again": own})
        assert answer.status == 303
        assert one.request("GET", "/operator/v1/devices").status == 200
        assert other.get("/account/password").status == 303, "all other sessions have ended"
        assert form(browser(running), "admin", given) == 401
        assert form(browser(running), "admin", own) == 303
        for secret in (given, own):
            assert secret not in running.output
            assert secret.encode() not in b"".join(
                path.read_bytes() for path in data.rglob("*") if path.is_file()
            )


def test_a_server_without_users_makes_the_first_administrator_at_its_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    running = ServerProcess.create(tmp_path_factory.mktemp("none") / "server")
    with closing(sqlite3.connect(running.data / "edgewright.db")) as connection:
        connection.execute("DELETE FROM users")
        connection.commit()
    with running:
        found = re.search(r"as 'admin' with the password ([a-z0-9-]+)", running.output)
        assert found is not None
        assert form(browser(running), "admin", found[1]) == 303
    told = running.output.count("with the password")
    with running:
        assert running.output.count("with the password") == told


def test_a_person_at_the_machine_gets_back_in(server: ServerProcess, person: str) -> None:
    inside = sign_in(server, "operator", person)
    done = command("user", "passwd", "--data", server.data, person)
    found = re.search(r"shown this once: (\S+)", done.stdout)
    assert found is not None, done.stderr
    assert inside.get("/account/password").status == 303, "sessions end with the old password"
    assert form(browser(server), person) == 401
    assert form(browser(server), person, found[1]) == 303
    listed = command("user", "list", "--data", server.data).stdout
    assert re.search(rf"{person} +operator +last signed in", listed)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("disable", "admin"), "only administrator"),
        (("role", "admin", "viewer"), "only administrator"),
        (("passwd", "nobody"), "no user 'nobody'"),
        (("add", "admin"), "already"),
        (("add", "a b"), "name: expected"),
    ],
)
def test_commands_that_cannot_be_done_say_why(
    server: ServerProcess, words: tuple[str, ...], told: str
) -> None:
    done = command("user", words[0], "--data", server.data, *words[1:])
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
