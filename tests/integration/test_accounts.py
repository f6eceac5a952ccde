"""Signing in to a real server: sessions, their ends, and what protects them."""

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest

from edgewright.server.domain.roles import Role
from edgewright.server.listeners.guard import needed_role
from support.people import PASSWORD, Browser, add_person, browser, sign_in
from support.server_process import ServerProcess, command
from support.web_routes import web_routes

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
        return answer.status, re.sub(
            rf'{re.escape(name)}|[0-9a-f]{{64}}|data-seen="\d+"', "", answer.body.decode()
        )

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


@pytest.mark.parametrize("role", [None, "viewer", "operator", "admin"])
def test_every_route_refuses_who_may_not_and_nobody_else(server: ServerProcess, role: str | None) -> None:
    one = browser(server) if role is None else sign_in(server, role)
    refused, wanted = {}, {}
    for route in web_routes():
        if route.handler.opt.get("public") or route.path in {"/logout", "/live"}:
            continue
        headers = {"X-CSRF-Token": one.csrf, "Sec-Fetch-Dest": "document"}
        answer = one.request(route.method, route.filled, headers=headers)
        key = (route.method, route.path)
        if role is None:
            away = answer.status == 303 and answer.headers["location"].startswith("/login")
            refused[key], wanted[key] = answer.status == 401 or away, True
        else:
            needed = needed_role(route.method, route.handler)
            refused[key] = answer.status == 403 and b"this takes the role" in answer.body
            wanted[key] = not Role(role).covers(needed)
        assert answer.status < 500, (key, answer.body)
    assert refused == wanted
    assert len(refused) > 50


def test_users_are_administered_by_the_api(server: ServerProcess, unique: str) -> None:
    operator = server.operator
    made = operator.post("/users", {"name": unique, "role": "operator"})
    assert (made["user"]["state"], made["user"]["must_change_password"]) == ("active", True)
    assert form(browser(server), unique, made["password"]) == 303
    shown = operator.request("GET", f"/users/{unique}")
    assert "password" not in {name for name in shown.json if name == "password"}
    assert operator.request("POST", "/users", {"name": unique.upper()}).status == 409
    inside = sign_in(server, "operator", unique, _own(server, unique, made["password"]))
    changed = operator.request("PATCH", f"/users/{unique}", {"role": "viewer"})
    assert changed.json["role"] == "viewer"
    assert inside.call("POST", "/enrollments", {"name": unique}).status == 403, "at once, in open sessions"
    assert operator.request("PATCH", f"/users/{unique}", {"disabled": True}).json["state"] == "disabled"
    assert inside.call("GET", "/whoami").status == 401
    assert operator.request("PATCH", f"/users/{unique}", {"role": "root"}).status == 422
    assert [one["name"] for one in operator.get("/users?disabled=true&q=" + unique[1:])["items"]] == [unique]
    operator.delete(f"/users/{unique}")
    assert operator.request("GET", f"/users/{unique}").status == 404


def _own(server: ServerProcess, name: str, given: str) -> str:
    """Choose a password of one's own in place of the one given, by the API as a page's script would."""
    one = browser(server)
    assert form(one, name, given) == 303
    one.get("/account/password")
    answer = one.call("POST", "/whoami/password", {"password": "wrong", "new": PASSWORD})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "password")
    assert one.call("POST", "/whoami/password", {"password": given, "new": PASSWORD}).status == 204
    return PASSWORD


def test_a_change_of_what_was_not_seen_is_refused(server: ServerProcess, person: str) -> None:
    one = sign_in(server, "admin")
    tag = one.request("GET", f"/operator/v1/users/{person}").headers["etag"]
    headers = {"X-CSRF-Token": one.csrf, "If-Match": tag}
    change = [f"/operator/v1/users/{person}", b'{"role": "viewer"}', headers]
    assert one.request("PATCH", *change).status == 200
    assert one.request("PATCH", *change).status == 412
    assert one.request("DELETE", change[0], None, headers).status == 412


def test_the_last_administrator_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    with ServerProcess.create(tmp_path_factory.mktemp("last") / "server") as running:
        operator = running.operator
        for change in ({"role": "viewer"}, {"disabled": True}):
            assert operator.request("PATCH", "/users/admin", change).status == 409
        assert operator.request("DELETE", "/users/admin").status == 409
        operator.post("/users", {"name": "second", "role": "admin"})
        assert operator.request("PATCH", "/users/admin", {"role": "viewer"}).status == 200
        assert operator.request("DELETE", "/users/second").status == 409


def test_a_token_may_no_more_than_whose_it_is(server: ServerProcess, person: str, unique: str) -> None:
    one, operator = sign_in(server, "operator", person), server.operator
    answer = one.call("POST", "/tokens", {"name": "ci", "role": "admin"})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "role")
    made = one.call("POST", "/tokens", {"name": "ci"}).json
    secret = made["token"]
    assert secret.startswith("ewo1.")
    who = operator.request("GET", "/whoami", token=secret).json
    assert (who["name"], who["role"], who["via"]) == (person, "operator", "token ci")
    assert operator.request("GET", "/users", token=secret).status == 403
    assert operator.request("POST", "/enrollments", {"name": unique}, token=secret).status == 201
    entry = operator.get(f"/audit?subject={unique}")["items"][0]
    assert (entry["actor"], entry["via"], entry["address"]) == (person, "token ci", "127.0.0.1")
    operator.request("PATCH", f"/users/{person}", {"role": "viewer"})
    assert operator.request("POST", "/enrollments", {"name": unique}, token=secret).status == 403
    operator.request("PATCH", f"/users/{person}", {"disabled": True})
    assert operator.request("GET", "/whoami", token=secret).status == 401
    operator.request("PATCH", f"/users/{person}", {"disabled": False, "role": "operator"})
    listed = operator.get(f"/tokens?user={person}")["items"]
    assert [(token["name"], token["used"] is not None) for token in listed] == [("ci", True)]
    assert secret not in json.dumps(listed)
    other = sign_in(server, "operator")
    assert other.call("GET", f"/tokens/{listed[0]['id']}").status == 404
    assert other.call("DELETE", f"/tokens/{listed[0]['id']}").status == 404
    assert operator.request("DELETE", f"/tokens/{listed[0]['id']}").status == 204
    assert operator.request("GET", "/whoami", token=secret).status == 401


def test_a_restricted_token_does_what_it_is_for_and_makes_no_other(
    server: ServerProcess, unique: str
) -> None:
    operator = server.operator
    token = operator.post("/tokens", {"name": unique, "scopes": ["enrollments"]})["token"]
    assert operator.request("POST", "/enrollments", {"name": unique}, token=token).status == 201
    for method, path in (("GET", "/devices"), ("POST", "/tokens"), ("GET", "/users"), ("GET", "/audit")):
        assert operator.request(method, path, token=token).status == 403
    assert operator.request("GET", "/whoami", token=token).json["scopes"] == ["enrollments"]
    assert operator.request("GET", "/audit", prefix="", token=token).status == 403, "pages are not for it"
    token = operator.post("/tokens", {"name": unique, "scopes": ["read"]})["token"]
    assert operator.request("GET", "/devices", token=token).status == 200
    for method, path in (("POST", "/enrollments"), ("DELETE", "/devices/x"), ("POST", "/tokens")):
        assert operator.request(method, path, token=token).status == 403


def test_a_token_ends_when_it_was_said(server: ServerProcess, unique: str) -> None:
    operator = server.operator
    for expires, field in (
        ("2020-01-01T00:00:00Z", "expires"),
        ("2090-01-01T00:00:00", "expires"),
        ("9999-12-31T23:59:59-14:00", "expires"),
    ):
        answer = operator.request("POST", "/tokens", {"name": unique, "expires": expires})
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)
    soon = operator.post("/tokens", {"name": unique, "expires": "2090-01-01T00:00:00Z"})
    child = operator.request("POST", "/tokens", {"name": "child"}, token=soon["token"]).json
    assert child["about"]["expires"] == soon["about"]["expires"], "no longer than the one it was made with"
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection:
        connection.execute(
            "UPDATE tokens SET expires = '2020-01-01 00:00:00' WHERE id = ?", (soon["about"]["id"],)
        )
        connection.commit()
    answer = operator.request("GET", "/whoami", token=soon["token"])
    assert (answer.status, b"expired" in answer.body) == (401, True)


@pytest.mark.parametrize(
    ("column", "moment"), [("created", "2020-01-01 00:00:00"), ("seen", "2020-01-01 00:00:00")]
)
def test_a_session_ends_by_its_age_and_without_use(
    server: ServerProcess, person: str, column: str, moment: str
) -> None:
    one = sign_in(server, "operator", person)
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection:
        connection.execute(
            f"UPDATE sessions SET {column} = ? WHERE user_id = (SELECT id FROM users WHERE name = ?)",
            (moment, person),
        )
        connection.commit()
    answer = one.call("GET", "/whoami")
    assert (answer.status, b"the session is over" in answer.body) == (401, True)


def test_people_see_and_end_their_own_sessions_and_no_others(server: ServerProcess, person: str) -> None:
    here, there = sign_in(server, "operator", person), sign_in(server, "operator", person)
    sessions = here.call("GET", "/whoami/sessions").json["items"]
    assert sorted(one["present"] for one in sessions) == [False, True]
    other = next(one["id"] for one in sessions if not one["present"])
    stranger = sign_in(server, "operator")
    assert stranger.call("DELETE", f"/whoami/sessions/{other}").status == 404
    assert stranger.post(f"/account/sessions/{other}/end", {}).status == 404
    assert there.call("GET", "/whoami").status == 200
    assert here.post(f"/account/sessions/{other}/end", {}).status == 303
    assert there.call("GET", "/whoami").status == 401
    assert here.call("GET", "/whoami").status == 200


def test_guessing_is_slowed_and_the_person_gets_in(server: ServerProcess, person: str) -> None:
    guesser = browser(server)
    statuses = [form(guesser, person, "guess") for _ in range(8)]
    assert statuses[:5] == [401] * 5
    assert 429 in statuses
    guesser.get("/login")
    answer = guesser.post("/login", {"name": person, "password": PASSWORD})
    assert (answer.status, int(answer.headers["retry-after"]) <= 600) == (429, True)
    unknown = browser(server)
    assert [form(unknown, f"nobody-{person}", "guess") for _ in range(8)].count(429) == statuses.count(429)


def test_the_audit_tells_before_and_after_and_can_be_taken_away(server: ServerProcess, unique: str) -> None:
    operator = server.operator
    operator.post("/users", {"name": unique, "role": "viewer"})
    operator.request("PATCH", f"/users/{unique}", {"role": "operator"})
    page = operator.get(f"/audit?subject={unique}&limit=1")
    assert (page["total"], len(page["items"])) == (2, 1)
    changed = page["items"][0]
    assert (changed["action"], changed["actor"], changed["via"]) == (
        "change user",
        "operator init",
        "token init",
    )
    assert (changed["before"]["role"], changed["after"]["role"]) == ("viewer", "operator")
    following = operator.get(f"/audit?subject={unique}&limit=1&after={page['next']}")
    assert (following["items"][0]["action"], following["next"]) == ("add user", None)
    lines = operator.request("GET", f"/audit/export?subject={unique}").body.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["change user", "add user"]
    exported = operator.request("GET", f"/audit/export?format=csv&subject={unique}")
    assert exported.headers["content-disposition"].startswith('attachment; filename="audit-')
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(exported.body.decode())))
    assert [json.loads(row["after"])["role"] for row in rows] == ["operator", "viewer"]
    for query in (
        "since=0.5",
        "until=now",
        "until=",
        "since=2020-01-01T00:00:00",
        "since=0001-01-01T00:00:00%2B14:00",
        "after=eHg",
    ):
        assert operator.request("GET", f"/audit?{query}").status in {400, 422}, query
    assert operator.get(f"/audit?subject={unique}&until=2020-01-01T00:00:00Z")["total"] == 0
    assert operator.get(f"/audit?q={unique}%20operator")["total"] >= 1
    assert operator.get("/audit?q=%25")["total"] == 0, "what is searched for is no pattern"


def test_formulas_do_not_leave_in_the_csv(server: ServerProcess) -> None:
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection:
        connection.execute(
            "INSERT INTO audit (at, actor, action, subject, details)"
            " VALUES ('2026-01-01 00:00:00', 'client x', 'report device', '=HYPERLINK(1)', '{}')"
        )
        connection.commit()
    body = server.operator.request("GET", "/audit/export?format=csv&actor=client%20x").body
    assert b",'=HYPERLINK(1)," in body


def test_nothing_secret_is_in_the_audit_or_the_log(server: ServerProcess, person: str) -> None:
    one = sign_in(server, "operator", person)
    secret = one.call("POST", "/tokens", {"name": "nightly"}).json["token"]
    form(browser(server), "my secret password typed as a name", "x")
    told = server.operator.request("GET", "/audit/export").body.decode() + server.output
    for hidden in (PASSWORD, secret, one.cookies[SESSION], one.csrf, "my secret password", "argon2"):
        assert hidden not in told


def test_pages_show_a_secret_once(server: ServerProcess, unique: str) -> None:
    one = sign_in(server, "admin")
    answer = one.post("/users", {"name": unique, "role": "viewer"})
    found = re.search(r"[a-z2-9]{4}(-[a-z2-9]{4}){3}", answer.body.decode())
    assert found is not None
    assert form(browser(server), unique, found[0]) == 303
    assert found[0] not in one.get("/users").body.decode()
    answer = one.post(
        "/tokens", {"name": unique, "role": "viewer", "term": "30", "scopes": ["read", "devices"]}
    )
    found = re.search(r"ewo1\.[\w-]{43}", answer.body.decode())
    assert found is not None
    assert server.operator.request("GET", "/devices", token=found[0]).status == 200
    assert found[0] not in one.get("/tokens").body.decode()
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "values", "told"),
    [
        ("/users", {"name": "a b", "role": "viewer"}, "expected 1 to 64 letters"),
        ("/users", {"name": "admin", "role": "viewer"}, "already"),
        ("/users", {"name": "x", "role": "root"}, "expected one of"),
        ("/tokens", {"name": "", "role": "viewer", "term": "30"}, "what the token is for"),
        ("/tokens", {"name": "x", "role": "viewer", "term": "day", "day": "2020-01-01"}, "in the past"),
        ("/tokens", {"name": "x", "role": "viewer", "term": "day", "day": "<b>"}, "expected a day"),
        ("/tokens", {"name": "x", "role": "viewer", "term": "31"}, "none of the choices"),
        ("/tokens", {"name": "x", "role": "viewer", "term": "30", "scopes": "<script>"}, "&lt;script&gt;"),
    ],
)
def test_forms_say_what_is_wrong_and_keep_what_was_typed(
    server: ServerProcess, path: str, values: dict[str, str], told: str
) -> None:
    answer = sign_in(server, "admin").post(path, values)
    assert (answer.status, told in answer.body.decode()) == (422, True)
    assert "<script>" not in answer.body.decode()
    if values["name"]:
        assert f'value="{values["name"]}"' in answer.body.decode()


def test_pages_of_administration_do_what_they_say(server: ServerProcess, person: str) -> None:
    one, inside = sign_in(server, "admin"), sign_in(server, "operator", person)
    assert one.get(f"/users/{person}").status == 200
    assert one.post(f"/users/{person}/role", {"role": "viewer"}).status == 303
    assert server.operator.get(f"/users/{person}")["role"] == "viewer"
    assert one.post(f"/users/{person}/disable", {}).status == 303
    assert inside.call("GET", "/whoami").status == 401
    assert one.post(f"/users/{person}/enable", {}).status == 303
    assert form(browser(server), person) == 303
    answer = one.post(f"/users/{person}/password", {})
    found = re.search(r"[a-z2-9]{4}(-[a-z2-9]{4}){3}", answer.body.decode())
    assert found is not None
    assert form(browser(server), person) == 401
    assert form(browser(server), person, found[0]) == 303
    assert one.get(f"/audit?actor=some-admin&subject={person}").body.count(b"change user") >= 3
    assert one.post(f"/users/{person}/remove", {}).status == 303
    assert form(browser(server), person, found[0]) == 401
    for day in ("yesterday", "9999-12-31"):
        assert one.get(f"/audit?until={day}").status == 422


def test_changes_of_devices_and_policies_tell_before_and_after(server: ServerProcess, unique: str) -> None:
    operator = server.operator
    operator.request("POST", f"/devices/{unique}/accept")
    for rate in ("60s", "90s"):
        body = f"polling: {{rate: {rate}}}\n".encode()
        operator.request("PUT", f"/devices/{unique}/policy", body=body, media_type="application/yaml")
    operator.delete(f"/devices/{unique}")
    retired, second, first, accepted = operator.get(f"/audit?subject={unique}")["items"]
    assert (accepted["before"], accepted["after"]["state"]) == (None, "accepted")
    assert (first["before"], first["after"]) == (None, {"policy": "polling: {rate: 60s}\n"})
    assert second["before"] == first["after"] != second["after"]
    assert (retired["before"]["state"], retired["after"]["state"]) == ("accepted", "retired")


def test_strangers_cannot_fill_the_audit_with_names_nobody_has(server: ServerProcess) -> None:
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection:
        connection.executemany(
            "INSERT INTO audit (at, actor, action, subject, details)"
            " VALUES ('2026-01-01 00:00:00', 'somebody', 'refuse sign in', 'an unknown name', '{}')",
            [()] * 1500,
        )
        connection.commit()
    form(browser(server), "a-name-nobody-has", "x")
    assert server.operator.get("/audit?subject=an%20unknown%20name")["total"] == 1000
