"""A real registry behind a real token service: how a source gets in, and how it does not (spec: REG-8)."""

import base64
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.fixtures import unavailable
from support.images import RegistryAccess
from support.packages import describing, publish
from support.processes import wait_until
from support.registry import Registry, TokenService
from support.server_process import OperatorClient, ServerProcess

TOP = Path(__file__).resolve().parents[2]
PASSWORD = "open sesame"
SERVICE = "registry of the tests"
ISSUER = "token service of the tests"


@dataclass(slots=True)
class Tokens:
    """The token service: gives a short-lived token for what it is asked, to whom it knows."""

    folder: Path
    asked: list[tuple[str, str]] = field(default_factory=list)
    seconds: int = 300
    _key: Any = None
    _certificate: Any = None
    _server: Any = None

    def start(self) -> TokenService:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        bundle = self.folder / "tokens.pem"
        bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tokens.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        realm = f"http://127.0.0.1:{self._server.server_port}/token"
        return TokenService(realm=realm, service=SERVICE, issuer=ISSUER, bundle=bundle)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        scope = " ".join(query.get("scope", []))
        user = self._user(handler.headers.get("authorization", ""))
        self.asked.append((user, scope))
        body = b'{"details": "who are you?"}'
        if user:
            body = b'{"token": "%s"}' % self.issue(user, scope).encode()
        handler.send_response(200 if user else 401)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def issue(self, user: str, scope: str) -> str:
        """Return a token for a scope such as `repository:shop:pull,push`."""
        now = datetime.now(UTC)
        access = []
        for one in scope.split():
            kind, name, actions = one.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "exp": now + timedelta(seconds=self.seconds),
            "nbf": now - timedelta(seconds=60),
            "iat": now,
            "jti": str(now.timestamp()),
            "access": access,
        }
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        headers = {"x5c": [base64.b64encode(der).decode()]}
        return jwt.encode(claims, self._key, algorithm="ES256", headers=headers)

    def _user(self, header: str) -> str:
        if not header.startswith("Basic "):
            return ""
        user, _, password = base64.b64decode(header[6:]).decode().partition(":")
        return user if password == PASSWORD else ""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def guarded(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryAccess]:
    program = shutil.which("docker-registry", path=str(TOP / ".cache/tools/bin"))
    if program is None:
        unavailable("no docker-registry; tools/bootstrap test unpacks it")
    registry = Registry(program, tmp_path_factory.mktemp("guarded"), tokens=tokens.start())
    registry.start()
    try:
        yield RegistryAccess(host=registry.host, username="vendor", password=PASSWORD)
    finally:
        registry.stop()
        tokens.stop()


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorClient]:
    with ServerProcess.create(tmp_path_factory.mktemp("server") / "server") as running:
        yield running.operator


def add(operator: OperatorClient, name: str, **members: Any) -> dict[str, Any]:
    """Add a source and wait until it was looked through."""
    operator.put(f"/sources/{name}", {"kind": "registry", "every_minutes": None, **members})

    def ended() -> dict[str, Any] | None:
        shown: dict[str, Any] = operator.get(f"/sources/{name}")
        return shown if shown["status"]["state"] not in {"running", "never"} else None

    return wait_until(ended, what=f"looking through {name} did not end")


@pytest.mark.requirement("REG-8")
def test_a_source_asks_the_token_service_the_registry_names(
    operator: OperatorClient, tokens: Tokens, guarded: RegistryAccess, unique: str
) -> None:
    for name in ("a", "b"):
        publish(guarded, f"{unique}/{name}", "1.0.0", describing(f"{unique}-{name}"))
    place = {"location": guarded.host, "repositories": [f"{unique}/a", f"{unique}/b"]}
    tokens.asked.clear()
    credentials = {"username": "fleet", "password": PASSWORD}
    shown = add(operator, unique, **place, credentials=credentials)
    assert (shown["status"]["state"], shown["offers"]) == ("ok", {"imported": 2}), shown
    assert {user for user, _ in tokens.asked} == {"fleet"}
    assert {scope for _, scope in tokens.asked} >= {f"repository:{unique}/{name}:pull" for name in "ab"}


@pytest.mark.requirement("REG-8")
def test_wrong_credentials_are_told_with_where_to_change_them(
    operator: OperatorClient, guarded: RegistryAccess, unique: str
) -> None:
    publish(guarded, unique, "1.0.0", describing(unique))
    place = {"location": guarded.host, "repositories": [unique]}
    shown = add(operator, unique, **place)
    assert shown["status"]["state"] == "failed"
    shown = add(operator, unique, **place, credentials={"username": "fleet", "password": "wrong"})
    assert shown["status"]["state"] == "failed"
    assert "refused the credentials" in shown["status"]["message"]
    assert "wrong" not in shown["status"]["message"]


@pytest.mark.requirement("REG-8")
def test_a_token_obtained_beforehand_is_used_as_it_is(
    operator: OperatorClient, tokens: Tokens, guarded: RegistryAccess, unique: str
) -> None:
    publish(guarded, unique, "1.0.0", describing(unique))
    token = tokens.issue("fleet", f"repository:{unique}:pull")
    tokens.asked.clear()
    place = {"location": guarded.host, "repositories": [unique]}
    shown = add(operator, unique, **place, credentials={"token": token})
    assert (shown["status"]["state"], shown["offers"]) == ("ok", {"imported": 1}), shown
    assert tokens.asked == []


@pytest.mark.requirement("REG-7", "REG-8")
def test_the_catalogue_of_a_registry_is_asked_for_with_its_own_scope(
    operator: OperatorClient, tokens: Tokens, guarded: RegistryAccess, unique: str
) -> None:
    publish(guarded, f"{unique}/shop", "1.0.0", describing(unique))
    credentials = {"username": "fleet", "password": PASSWORD}
    shown = add(
        operator, unique, location=guarded.host, repositories=[f"{unique}/*"], credentials=credentials
    )
    assert (shown["status"]["state"], shown["offers"]) == ("ok", {"imported": 1}), shown
    assert "registry:catalog:*" in [scope for _, scope in tokens.asked]
