"""Signing in at a real identity provider: who gets in, as whom, and what does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from support.oidc import CALLBACK, SECRET, OidcProvider, arrive, through, to_callback
from support.people import Browser, add_person, browser
from support.server_process import ServerProcess, command

SESSION = "__Host-edgewright"
ROLES = {"role_claim": "groups", "roles": {"line-operators": "operator", "it": "admin", "guests": "viewer"}}
ACCOUNTS: dict[str, Any] = {
    "ada": {"preferred_username": "Ada", "groups": ["everybody", "guests", "line-operators"]},
    "root": {"preferred_username": "root", "groups": ["it"]},
    "eve": {"preferred_username": "admin", "groups": ["it"]},
    "mallory": {"preferred_username": "mallory", "groups": ["others"]},
    "named-by-mail": {"email": "Bo.Berg@Example.org", "groups": "guests"},
    "<odd>": {"preferred_username": "../../<b>odd</b>", "groups": ["guests"]},
    "gone": {"preferred_username": "gone", "groups": ["guests"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("oidc") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def provider(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    redirect_uri = f"{server.web_url}{CALLBACK}"
    folder = tmp_path_factory.mktemp("provider")
    with OidcProvider.start(folder, redirect_uri=redirect_uri, accounts=ACCOUNTS) as running:
        running.use(server, **ROLES)
        yield running


def who(one: Browser) -> tuple[str, str]:
    shown = one.request("GET", "/operator/v1/whoami").json
    return shown["name"], shown["role"]


def refusal(server: ServerProcess, provider: OidcProvider, person: str) -> str:
    """Return what somebody reads who is not let in."""
    one = browser(server)
    answer = through(provider, one, person)
    assert (answer.status, SESSION in one.cookies) == (403, False)
    return answer.body.decode()


def test_the_form_offers_the_provider_beside_the_password(
    server: ServerProcess, provider: OidcProvider
) -> None:
    page = browser(server).get("/login?next=/account").body.decode()
    assert "Sign in with Example Login" in page
    assert 'href="/login/oidc?next=/account"' in page
    assert 'name="password"' in page


def test_a_person_of_the_provider_gets_the_greatest_role_of_its_groups(
    server: ServerProcess, provider: OidcProvider
) -> None:
    one = browser(server)
    answer = through(provider, one, "ada", leads_to="/account")
    assert (answer.status, answer.headers["location"]) == (303, "/account")
    flags = answer.headers["set-cookie"].lower()
    assert all(flag in flags for flag in ("secure", "httponly", "samesite=lax"))
    assert who(one) == ("ada", "operator")
    assert one.get("/account").status == 200, "there is no password to be changed first"
    shown = server.operator.get("/users/ada")
    assert (shown["identity_provider"], shown["has_password"]) == (provider.issuer, False)
    entry = server.operator.get("/audit?subject=ada&action=add%20user")["items"][0]
    assert (entry["actor"], entry["after"]["role"]) == ("identity provider", "operator")
    again = browser(server)
    assert through(provider, again, "ada").status == 303
    assert who(again) == ("ada", "operator")
    assert server.operator.get("/audit?subject=ada&action=add%20user")["total"] == 1


def test_the_provider_says_the_role_anew_each_time(server: ServerProcess, provider: OidcProvider) -> None:
    one = browser(server)
    through(provider, one, "root")
    assert server.operator.request("PATCH", "/users/root", {"role": "viewer"}).status == 200
    assert who(one) == ("root", "viewer")
    through(provider, one, "root")
    assert who(one) == ("root", "admin")


@pytest.mark.parametrize(("person", "name"), [("named-by-mail", "bo.berg@example.org"), ("<odd>", "b-odd-b")])
def test_names_of_the_provider_become_names_that_can_be_used_here(
    server: ServerProcess, provider: OidcProvider, person: str, name: str
) -> None:
    one = browser(server)
    assert through(provider, one, person.replace("<", "%3C").replace(">", "%3E")).status == 303
    assert who(one) == (name, "viewer")


def test_who_is_in_no_group_is_not_let_in(server: ServerProcess, provider: OidcProvider) -> None:
    assert "No group of yours may use this server" in refusal(server, provider, "mallory")
    assert server.operator.request("GET", "/users/mallory").status == 404


def test_the_provider_cannot_take_over_a_user_of_this_server(
    server: ServerProcess, provider: OidcProvider
) -> None:
    assert "another user &#39;admin&#39;" in refusal(server, provider, "eve")


def test_who_is_locked_out_here_stays_out(server: ServerProcess, provider: OidcProvider) -> None:
    assert through(provider, browser(server), "gone").status == 303
    server.operator.request("PATCH", "/users/gone", {"disabled": True})
    assert "locked out here" in refusal(server, provider, "gone")


def test_what_the_provider_refuses_is_told_and_nothing_of_its_text_is_shown(
    server: ServerProcess, provider: OidcProvider
) -> None:
    page = refusal(server, provider, "deny")
    assert "did not let you in" in page
    assert "not you" not in page


def test_only_the_browser_that_left_can_come_back(server: ServerProcess, provider: OidcProvider) -> None:
    left, other = browser(server), browser(server)
    location = to_callback(provider, left, "ada")
    assert arrive(other, location).status == 403
    other.request("GET", "/login/oidc")
    assert arrive(other, location).status == 403
    assert SESSION not in other.cookies
    assert arrive(left, location).status == 303


def test_a_code_works_once(server: ServerProcess, provider: OidcProvider) -> None:
    one = browser(server)
    location = to_callback(provider, one, "ada")
    kept = dict(one.cookies)
    assert arrive(one, location).status == 303
    again = browser(server)
    again.cookies.update({name: value for name, value in kept.items() if name != SESSION})
    assert arrive(again, location).status == 502
    assert SESSION not in again.cookies


def test_the_answer_of_another_provider_is_not_taken(server: ServerProcess, provider: OidcProvider) -> None:
    one = browser(server)
    location = to_callback(provider, one, "ada")
    assert parse_qs(urlsplit(location).query)["iss"] == [provider.issuer]
    mixed_up = location.replace(urlsplit(provider.issuer).netloc.replace(":", "%3A"), "evil.example")
    assert mixed_up != location
    assert arrive(one, mixed_up).status == 502
    assert SESSION not in one.cookies


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/login", "%2F%5Cevil.test"])
def test_signing_in_there_leads_nowhere_else(
    server: ServerProcess, provider: OidcProvider, elsewhere: str
) -> None:
    answer = through(provider, browser(server), "ada", leads_to=elsewhere)
    assert (answer.status, answer.headers["location"]) == (303, "/")


def test_a_session_is_new_after_the_provider_as_well(server: ServerProcess, provider: OidcProvider) -> None:
    one = browser(server)
    through(provider, one, "ada")
    first = one.cookies[SESSION]
    through(provider, one, "ada")
    assert one.cookies[SESSION] != first
    one.cookies[SESSION] = first
    assert one.request("GET", "/operator/v1/whoami").status == 401


def test_new_keys_of_the_provider_are_asked_for(server: ServerProcess, provider: OidcProvider) -> None:
    assert through(provider, browser(server), "ada").status == 303
    provider.rotate()
    assert through(provider, browser(server), "ada").status == 303


def test_a_provider_that_is_away_keeps_nobody_out_who_has_a_password(
    server: ServerProcess, tmp_path: Path, unique: str
) -> None:
    redirect_uri = f"{server.web_url}{CALLBACK}"
    with OidcProvider.start(tmp_path / "own", redirect_uri=redirect_uri, accounts=ACCOUNTS) as own:
        own.use(server, **ROLES)
    add_person(server, unique, "viewer")
    one = browser(server)
    answer = one.request("GET", "/login/oidc")
    assert (answer.status, b"does not work just now" in answer.body) == (502, True)
    one.get("/login")
    assert one.post("/login", {"name": unique, "password": "seven quiet machines"}).status == 303
    assert "identity provider" in server.output
    assert SECRET not in server.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"issuer": "http://plain.example"}, "oidc.issuer"),
        ({"roles": {}, "role_claim": None}, "nobody could sign in"),
        ({"role_claim": None}, "oidc.role_claim"),
        ({"roles": {"it": "root"}}, "root"),
        ({"client_secret_file": "/nowhere/secret"}, "/nowhere/secret"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
        ({"scopes": ["profile"]}, "openid"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_cannot_work_are_told_at_the_start(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    made = ServerProcess.create(tmp_path / "server")
    oidc = {"issuer": "https://login.example", "client_id": "x", **ROLES, **change}
    path = made.data / "server.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"oidc": oidc}))
    done = command(
        "run", "--data", made.data, "--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0"
    )
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
