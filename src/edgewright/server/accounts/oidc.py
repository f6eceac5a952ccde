"""Signing in at an identity provider: OpenID Connect, authorization code flow with PKCE.

Nothing is remembered here between leaving and coming back: state, nonce and verifier are all derived from
one secret in a cookie of the browser that left, so that only that browser can come back. What the provider
says of itself (discovery) and its keys are kept for a while; keys are asked for again when a token names one
that is not among them, as providers rotate theirs.
"""

import asyncio
import base64
import json
import math
import ssl
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jwt
import msgspec

from edgewright.net.http import Client, Response
from edgewright.net.tls import registry_context
from edgewright.protocol.errors import EdgewrightError
from edgewright.server.domain.claims import Known, known_person
from edgewright.server.errors import ServerError, SetupError
from edgewright.server.settings import OidcSettings

SECONDS = 10.0
LEEWAY_SECONDS = 60
DISCOVERY_SECONDS = 3600.0
# How often the keys are asked for anew, at most, because a token names one that is not among them.
KEYS_SECONDS = 30.0
_MAX_BYTES = 1024 * 1024
_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


class OidcError(ServerError):
    """Signing in at the identity provider did not work; the message is for the log and without secrets."""

    code = "oidc"


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    id_token: str
    access_token: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to the provider and back, known by the secret in the browser's cookie."""

    secret: str

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636, S256)."""
        return _encoded(sha256(self.verifier.encode()).digest())

    def _derived(self, what: str) -> str:
        return _encoded(sha256(f"{what} {self.secret}".encode()).digest())


class IdentityProvider:
    """One provider; asked in threads, as answers may take a while."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._secret = _secret(settings)
        self._context = _context(settings)
        self._discovered: tuple[float, Discovered] | None = None
        self._keys: tuple[float, dict[str | None, jwt.PyJWK]] | None = None
        self._asked_again = -math.inf
        self._lock = asyncio.Lock()

    async def leave(self, attempt: Attempt, *, redirect_uri: str) -> str:
        """Return where the browser is sent to sign in; raises `OidcError`."""
        found = await self._discovery()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in found.authorization_endpoint else "?"
        return f"{found.authorization_endpoint}{joint}{urlencode(query)}"

    async def arrive(self, attempt: Attempt, code: str, *, issuer: str | None, redirect_uri: str) -> Known:
        """Return who came back with `code`; `issuer` is what the browser was told (RFC 9207)."""
        found = await self._discovery()
        is_told = issuer is not None or found.authorization_response_iss_parameter_supported
        if is_told and issuer != found.issuer:
            raise OidcError("the answer comes from another identity provider than was asked")
        tokens = await self._redeem(found, attempt, code, redirect_uri)
        claims = await self._checked(found, tokens.id_token, attempt.nonce)
        if found.userinfo_endpoint is not None and tokens.access_token is not None:
            more = await self._userinfo(found.userinfo_endpoint, tokens.access_token)
            if more.get("sub") != claims["sub"]:
                raise OidcError("the userinfo endpoint speaks of somebody else than the id token")
            claims = {**more, **claims}
        known = known_person(
            claims,
            issuer=found.issuer,
            name_claim=self.settings.name_claim,
            role_claim=self.settings.role_claim,
            roles=self.settings.roles,
            default_role=self.settings.default_role,
        )
        if known is None:
            raise OidcError("the identity provider named nobody")
        return known

    async def _discovery(self) -> Discovered:
        async with self._lock:
            if self._discovered is None or time.monotonic() - self._discovered[0] > DISCOVERY_SECONDS:
                url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                answer = await self._ask("GET", url)
                found: Discovered = _parsed(answer, Discovered, "its discovery document")
                if found.issuer != self.settings.issuer:
                    raise OidcError(f"{url} is of {found.issuer!r}; oidc.issuer has to say exactly that")
                self._discovered = (time.monotonic(), found)
            return self._discovered[1]

    async def _redeem(self, found: Discovered, attempt: Attempt, code: str, redirect_uri: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = [("content-type", "application/x-www-form-urlencoded")]
        methods = found.token_endpoint_auth_methods_supported
        if self._secret is None:
            form["client_id"] = self.settings.client_id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            pair = f"{quote(self.settings.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers.append(("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
        else:
            form |= {"client_id": self.settings.client_id, "client_secret": self._secret}
        answer = await self._ask("POST", found.token_endpoint, headers=headers, body=urlencode(form).encode())
        tokens: _Tokens = _parsed(answer, _Tokens, "its token endpoint")
        return tokens

    async def _checked(self, found: Discovered, id_token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an id token that is for us, of now, and of this attempt."""
        allowed = sorted(_ALGORITHMS & set(found.id_token_signing_alg_values_supported)) or ["RS256"]
        try:
            head = jwt.get_unverified_header(id_token)
            if head.get("alg") not in allowed:
                raise OidcError(
                    f"the id token is signed with {str(head.get('alg'))[:20]!r}, which is not taken"
                )
            key = await self._key(found.jwks_uri, head.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key.key,
                algorithms=[head["alg"]],
                audience=self.settings.client_id,
                issuer=found.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            # The last two are a key of another kind than the signature's.
            raise OidcError(f"the id token cannot be trusted: {error}") from error
        if claims.get("nonce") != nonce:
            raise OidcError("the id token was made for another attempt to sign in")
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise OidcError("the id token was made for another application")
        return claims

    async def _key(self, url: str, kid: str | None) -> jwt.PyJWK:
        """Return the provider's key of that id, or its only one; asks again for one that is not known."""
        async with self._lock:
            now = time.monotonic()
            if self._keys is None or now - self._keys[0] > DISCOVERY_SECONDS:
                self._keys = (now, _keys(await self._ask("GET", url)))
            elif kid not in self._keys[1] and now - self._asked_again > KEYS_SECONDS:
                self._asked_again = now
                self._keys = (now, _keys(await self._ask("GET", url)))
            known = self._keys[1]
        if kid in known:
            return known[kid]
        if kid is None and len(known) == 1:
            return next(iter(known.values()))
        raise OidcError("the id token is signed with a key that the identity provider does not list")

    async def _userinfo(self, url: str, access_token: str) -> dict[str, Any]:
        answer = await self._ask("GET", url, headers=[("authorization", f"Bearer {access_token}")])
        more: dict[str, Any] = _parsed(answer, dict[str, Any], "its userinfo endpoint")
        return more

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
    ) -> Response:
        try:
            return await asyncio.to_thread(self._exchange, method, url, headers or [], body)
        except EdgewrightError as error:
            self._discovered = None
            raise OidcError(f"the identity provider cannot be asked: {error}") from error

    def _exchange(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> Response:
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise OidcError(f"{url[:200]}: only https:// is asked")
        client = Client(
            f"https://{parts.netloc}", context=self._context, timeout=SECONDS, max_body=_MAX_BYTES
        )
        try:
            path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            return client.request(method, path, headers=[("accept", "application/json"), *headers], body=body)
        finally:
            client.close()


def _parsed(answer: Response, kind: Any, what: str) -> Any:
    if answer.status != 200:
        raise OidcError(f"{what} answered {answer.status}{_told(answer.body)}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OidcError(f"{what} answered something else than expected: {error}") from error


def _told(body: bytes) -> str:
    """Return the error code in an answer (RFC 6749), which holds no secret."""
    try:
        told = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f" ({told[:60]})" if isinstance(told, str) and told.isprintable() else ""


def _keys(answer: Response) -> dict[str | None, jwt.PyJWK]:
    """Return the keys that can sign, by their ids; kinds of keys we do not know are left out."""
    listed = _parsed(answer, dict[str, Any], "its list of keys").get("keys")
    found: dict[str | None, jwt.PyJWK] = {}
    for one in listed if isinstance(listed, list) else []:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig" or one.get("kty") == "oct":
            continue
        try:
            found[one.get("kid")] = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return found


def _secret(settings: OidcSettings) -> str | None:
    if settings.client_secret_file is None:
        return None
    path = Path(settings.client_secret_file)
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"oidc.client_secret_file: {path}: {error}") from error
    if not secret:
        raise SetupError(f"oidc.client_secret_file: {path} is empty")
    return secret


def _context(settings: OidcSettings) -> ssl.SSLContext:
    try:
        return registry_context(settings.ca_file)
    except EdgewrightError as error:
        raise SetupError(f"oidc.ca_file: {error}") from error


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
