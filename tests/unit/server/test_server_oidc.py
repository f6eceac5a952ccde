"""What an identity provider says is believed only if it is signed, of now, for us, and for this attempt."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from edgewright.net.http import Response
from edgewright.server.accounts.oidc import Attempt, IdentityProvider, OidcError
from edgewright.server.domain.claims import known_person, role_of
from edgewright.server.domain.roles import Role
from edgewright.server.settings import OidcSettings

ISSUER = "https://login.example/realm"
CLIENT = "edgewright"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ATTEMPT = Attempt("a secret in a cookie")
Change = dict[str, Any]


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    told = json.loads(algorithm.to_jwk(key.public_key()))
    return {**told, **({} if kid is None else {"kid": kid}), **more}


def token(key: Any = RSA, kid: str | None = "k1", algorithm: str = "RS256", **change: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "s-1",
        "aud": CLIENT,
        "iat": now,
        "exp": now + 60,
        "nonce": ATTEMPT.nonce,
        "preferred_username": "ada",
    } | change
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


class Provider(IdentityProvider):
    """A provider that answers from memory; `asked` are the addresses asked, in order."""

    def __init__(self, id_token: str, *, keys: list[Any] | None = None, **change: Any) -> None:
        super().__init__(OidcSettings(issuer=ISSUER, client_id=CLIENT, default_role=Role.VIEWER))
        self.id_token = id_token
        self.keys = [jwk(RSA, "k1"), jwk(EC, "k2")] if keys is None else keys
        self.told = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth?tenant=1",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
        } | change
        self.userinfo: Any = {}
        self.asked: list[str] = []

    def _exchange(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> Response:
        self.asked.append(url.removeprefix(ISSUER))
        answers: dict[str, Any] = {
            "/.well-known/openid-configuration": self.told,
            "/keys": {"keys": self.keys},
            "/token": {"id_token": self.id_token, "access_token": "at", "token_type": "Bearer"},
            "/userinfo": self.userinfo,
        }
        return Response(200, "OK", {}, json.dumps(answers[url.removeprefix(ISSUER)]).encode())

    def come_back(self, *, issuer: str | None = None) -> Any:
        return asyncio.run(self.arrive(ATTEMPT, "code", issuer=issuer, redirect_uri="https://here/cb"))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(token, id="RSA"),
        pytest.param(lambda: token(EC, "k2", "ES256"), id="elliptic curve"),
        pytest.param(lambda: token(aud=[CLIENT]), id="several audiences"),
        pytest.param(lambda: token(aud=[CLIENT, "other"], azp=CLIENT), id="authorized party"),
        pytest.param(lambda: token(iat=int(time.time()) + 30), id="a clock that is a little ahead"),
    ],
)
def test_a_token_for_us_is_believed(made: Callable[[], str]) -> None:
    known = Provider(made()).come_back(issuer=ISSUER)
    assert (known.issuer, known.subject, known.name, known.role) == (ISSUER, "s-1", "ada", Role.VIEWER)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        pytest.param(lambda: token(nonce="other"), "another attempt", id="nonce of another attempt"),
        pytest.param(lambda: token(nonce=None), "another attempt", id="no nonce"),
        pytest.param(lambda: token(aud="other"), "cannot be trusted", id="for somebody else"),
        pytest.param(lambda: token(aud=[CLIENT, "x"], azp="x"), "another application", id="party"),
        pytest.param(lambda: token(iss="https://evil.example"), "cannot be trusted", id="issuer"),
        pytest.param(lambda: token(exp=int(time.time()) - 120), "cannot be trusted", id="expired"),
        pytest.param(lambda: token(exp=None), "cannot be trusted", id="without an end"),
        pytest.param(lambda: token(sub=None), "cannot be trusted", id="about nobody"),
        pytest.param(lambda: token(sub=""), "named nobody", id="about nobody named"),
        pytest.param(lambda: token(OTHER), "cannot be trusted", id="signed by somebody else"),
        pytest.param(lambda: token(OTHER, "k9"), "does not list", id="signed by an unknown key"),
        pytest.param(lambda: token(EC, "k1", "ES256"), "cannot be trusted", id="key of another kind"),
        pytest.param(lambda: token("k" * 32, "k1", "HS256"), "signed", id="signed with a shared secret"),
        pytest.param(lambda: token(None, "k1", "none"), "signed", id="not signed"),
        pytest.param(lambda: "a.b.c", "cannot be trusted", id="no token at all"),
        pytest.param(lambda: token(kid=None), "does not list", id="no key named of several"),
    ],
)
def test_every_other_token_is_not(made: Callable[[], str], told: str) -> None:
    with pytest.raises(OidcError, match=told):
        Provider(made()).come_back(issuer=ISSUER)


def test_the_only_key_needs_no_name() -> None:
    odd = [{"kty": "oct", "k": "AAAA"}, {"kty": "new"}, "no key", jwk(EC, None, use="enc")]
    assert Provider(token(kid=None), keys=[jwk(RSA, None), *odd]).come_back(issuer=ISSUER).name == "ada"


def test_keys_are_asked_for_again_when_they_changed_and_not_for_every_token() -> None:
    provider = Provider(token())
    provider.come_back()
    provider.come_back()
    assert provider.asked.count("/keys") == 1
    provider.keys, provider.id_token = [jwk(OTHER, "new")], token(OTHER, "new")
    assert provider.come_back().name == "ada"
    assert provider.asked.count("/keys") == 2
    provider.id_token = token(OTHER, "unknown")
    for _ in range(3):
        with pytest.raises(OidcError, match="does not list"):
            provider.come_back()
    assert provider.asked.count("/keys") == 2


@pytest.mark.parametrize(
    ("change", "issuer", "told"),
    [
        ({"issuer": "https://evil.example"}, ISSUER, "exactly that"),
        ({}, "https://evil.example", "another identity provider"),
        ({"authorization_response_iss_parameter_supported": True}, None, "another identity provider"),
        ({"jwks_uri": None}, ISSUER, "something else than expected"),
    ],
)
def test_a_provider_that_is_not_the_one_asked_is_refused(
    change: Change, issuer: str | None, told: str
) -> None:
    with pytest.raises(OidcError, match=told):
        Provider(token(), **change).come_back(issuer=issuer)


def test_more_is_believed_about_the_same_person_alone() -> None:
    provider = Provider(token(preferred_username=None), userinfo_endpoint=f"{ISSUER}/userinfo")
    provider.userinfo = {"sub": "s-1", "preferred_username": "bo", "iss": "https://evil.example"}
    assert provider.come_back().name == "bo"
    provider.userinfo = {"sub": "s-2", "preferred_username": "admin"}
    with pytest.raises(OidcError, match="somebody else"):
        provider.come_back()


def test_only_https_is_asked() -> None:
    provider = IdentityProvider(OidcSettings(issuer=ISSUER, client_id=CLIENT, default_role=Role.VIEWER))
    with pytest.raises(OidcError, match="only https"):
        provider._exchange("GET", "http://login.example/keys", [], None)


def test_every_way_there_has_its_own_secrets() -> None:
    provider = Provider(token())
    url = asyncio.run(provider.leave(ATTEMPT, redirect_uri="https://here/cb"))
    assert url.startswith(f"{ISSUER}/auth?tenant=1&response_type=code&client_id=edgewright")
    other = Attempt("another secret")
    secrets = [one for each in (ATTEMPT, other) for one in (each.state, each.nonce, each.verifier)]
    assert len(set(secrets)) == 6
    assert ATTEMPT.verifier not in url
    assert ATTEMPT.secret not in url
    assert f"state={ATTEMPT.state}" in url


ROLES = {"ops": Role.OPERATOR, "guests": Role.VIEWER, "it": Role.ADMIN}


@pytest.mark.parametrize(
    ("claims", "claim", "default", "role"),
    [
        ({"groups": ["guests", "ops"]}, "groups", None, Role.OPERATOR),
        ({"groups": ["ops", "it", "guests"]}, "groups", None, Role.ADMIN),
        ({"groups": "it"}, "groups", None, Role.ADMIN),
        ({"groups": "ops it"}, "groups", None, None),
        ({"groups": []}, "groups", None, None),
        ({"groups": ["others"]}, "groups", Role.VIEWER, Role.VIEWER),
        ({"groups": {"it": True}}, "groups", None, None),
        ({"groups": [1, None, ["it"]]}, "groups", None, None),
        ({}, "groups", None, None),
        ({}, None, Role.VIEWER, Role.VIEWER),
        ({"realm": {"roles": ["ops"]}}, "realm.roles", None, Role.OPERATOR),
        ({"https://example.org/roles": ["ops"]}, "https://example.org/roles", None, Role.OPERATOR),
        ({"realm": "roles"}, "realm.roles", None, None),
    ],
)
def test_groups_give_the_greatest_of_their_roles(
    claims: Change, claim: str | None, default: Role | None, role: Role | None
) -> None:
    assert role_of(claims, role_claim=claim, roles=ROLES, default_role=default) is role


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"sub": "s"}, "s"),
        ({"sub": "s", "preferred_username": " Ada "}, "ada"),
        ({"sub": "s", "email": "Ada@Example.org"}, "ada@example.org"),
        ({"sub": "s", "preferred_username": 7, "email": "b@x"}, "b@x"),
        ({"sub": "s", "preferred_username": "Ada Lovelace"}, "ada-lovelace"),
        ({"sub": "s", "preferred_username": "漢字"}, "s"),
        ({"sub": "s", "preferred_username": "x" * 300}, "x" * 64),
        ({"sub": "漢字"}, None),
        ({"sub": 7}, None),
        ({"sub": "x" * 256}, None),
        ({}, None),
    ],
)
def test_a_person_has_a_name_that_can_be_used_here(claims: Change, name: str | None) -> None:
    known = known_person(
        claims,
        issuer=ISSUER,
        name_claim="preferred_username",
        role_claim=None,
        roles={},
        default_role=Role.VIEWER,
    )
    assert (known and known.name) == name
