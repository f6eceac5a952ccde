"""What each route takes: nothing is open by accident, and nothing that changes something is for viewers."""

import pytest

from edgewright.server.domain.roles import Role, check_scopes, check_user_name, scope_refusal
from edgewright.server.errors import InvalidError
from edgewright.server.listeners.guard import needed_role
from support.web_routes import web_routes

# Who is not known yet needs these; what they show is the same for everybody.
PUBLIC = {
    ("GET", "/.well-known/margo"),
    ("GET", "/.well-known/spiffe/bundle.json"),
    ("POST", "/edgewright/v1/enroll"),
    ("POST", "/edgewright/v1/enroll/requests"),
    ("POST", "/git/hooks/{client_id}"),  # shows a secret of its own
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/oidc"),
    ("GET", "/login/oidc/callback"),
    ("GET", "/operator/schema"),
    ("GET", "/operator/schema/openapi.json"),
    ("GET", "/operator/schema/openapi.yaml"),
    ("GET", "/operator/schema/openapi.yml"),
    ("GET", "/operator/schema/{path}"),
}
# What people change about themselves.
OWN = {
    ("POST", "/logout"),
    ("POST", "/account/password"),
    ("POST", "/account/sessions/{session_id}/end"),
    ("POST", "/tokens"),
    ("POST", "/tokens/{token_id}/revoke"),
    ("POST", "/operator/v1/tokens"),
    ("DELETE", "/operator/v1/tokens/{token_id}"),
    ("POST", "/operator/v1/whoami/password"),
    ("DELETE", "/operator/v1/whoami/sessions/{session_id}"),
}
# What is asked with a body and changes nothing.
ASKING = {
    ("POST", "/operator/v1/assignments/{name}/preview"),
    ("POST", "/operator/v1/devices/{client_id}/repository/external/check"),
}
# Who may do what, and secrets of others.
ADMINISTRATION = ("/users", "/operator/v1/users")
# Whom all devices trust.
TRUST = {("POST", "/operator/v1/repositories/signers/rotate")}


REPOSITORY = "/devices/{client_id}/repository"
ADMINISTERED = {
    ("PUT", f"/operator/v1{REPOSITORY}/external"),
    ("POST", f"/operator/v1{REPOSITORY}/external/webhook"),
    ("POST", f"{REPOSITORY}/external"),
    ("POST", f"{REPOSITORY}/webhook"),
}


def expected(method: str, path: str) -> Role:
    if (
        (method, path) in TRUST | ADMINISTERED
        or path in ADMINISTRATION
        or path.startswith(tuple(f"{start}/" for start in ADMINISTRATION))
    ):
        return Role.ADMIN
    if method == "GET" or (method, path) in OWN | ASKING:
        return Role.VIEWER
    return Role.OPERATOR


def test_nothing_is_open_to_everybody_but_what_has_to_be() -> None:
    opened = {(route.method, route.path) for route in web_routes() if route.handler.opt.get("public")}
    assert opened <= PUBLIC


def test_every_route_takes_the_role_that_it_should() -> None:
    routes = [route for route in web_routes() if not route.handler.opt.get("public")]
    assert len(routes) > 50
    wrong = {}
    for route in routes:
        needed, wanted = needed_role(route.method, route.handler), expected(route.method, route.path)
        # A page with a form for a change may be for those alone who can make it.
        is_form = route.method == "GET" and not route.path.startswith("/operator/")
        if needed is not wanted and not (is_form and needed.covers(wanted)):
            wrong[route.method, route.path] = (needed, wanted)
    assert wrong == {}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_what_lesser_ones_may(role: Role) -> None:
    order = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    assert [role.covers(other) for other in order] == [
        order.index(other) <= order.index(role) for other in order
    ]
    assert [role.at_most(other) for other in order] == [min(role, other, key=order.index) for other in order]


@pytest.mark.parametrize(
    ("scopes", "area", "is_read", "may"),
    [
        ((), "users", False, True),
        (("read",), "users", True, True),
        (("read",), "packages", False, False),
        (("packages",), "packages", False, True),
        (("packages",), "packages", True, True),
        (("packages",), "devices", True, False),
        (("packages",), "pages", True, False),
        (("read", "packages"), "packages", True, True),
        (("read", "packages"), "packages", False, False),
        (("read", "packages"), "devices", True, False),
    ],
)
def test_scopes_restrict_a_token(scopes: tuple[str, ...], area: str, is_read: bool, may: bool) -> None:
    assert (scope_refusal(scopes, area=area, is_read=is_read) is None) is may


def test_scopes_nobody_knows_are_named() -> None:
    assert check_scopes(("packages", "read", "packages")) == ("read", "packages")
    with pytest.raises(InvalidError) as caught:
        check_scopes(("read", "everything"))
    assert caught.value.faults[0].field == "scopes[1]"


@pytest.mark.parametrize("name", ["a", " Ada ", "ada.lovelace@example.org", "0", "a" * 64])
def test_names_of_users_are_kept_in_lower_case(name: str) -> None:
    assert check_user_name(name) == name.strip().lower()


@pytest.mark.parametrize("name", ["", " ", "a b", ".", "-a", "a-", "a" * 65, "ä", "a/b", "a\nb", "İ", "<b>"])
def test_names_that_look_like_something_else_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        check_user_name(name)
