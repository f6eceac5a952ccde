"""Another vendor's client: standard library and `cryptography`, nothing of the agent.

Where the product's own agent would behave well, this one can be made to behave badly.
"""

import base64
import hashlib
import json
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from support.certificates import Issued, key_pem

MANIFEST = "application/vnd.margo.manifest.v1+json"
BUNDLE = "application/vnd.margo.bundle.v1+tar+gzip"
# What is answered at once is by then, in seconds; what is held would be for longer.
SOON = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: status, headers by lower-case name, exact body bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"


@dataclass(slots=True)
class ForeignClient:
    """A device behind one kept-alive connection of mutual TLS; `svid` and `key` are files."""

    url: str
    svid: Path
    key: Path
    anchors: str
    _connection: HTTPConnection | None = field(default=None, repr=False)

    @classmethod
    def presenting(cls, issued: Issued, folder: Path, *, url: str, anchors: str) -> Self:
        """Return a client that presents `issued`, written into `folder`."""
        files = issued.write(folder)
        return cls(url, files.certificate, files.key, anchors)

    @classmethod
    def enrolled(cls, token: str, folder: Path) -> Self:
        """Enrol with `token` as a device does and return the client it becomes."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        reply = enroll(token, csr_of(key))
        assert reply.status == 201, reply.body
        (folder / "svid.key").touch(mode=0o600)
        (folder / "svid.key").write_bytes(key_pem(key))
        (folder / "svid.pem").write_text(reply.json["svid"])
        anchors = anchors_of(json.loads(reply.json["trustBundle"]))
        return cls(reply.json["serverUrl"], folder / "svid.pem", folder / "svid.key", anchors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def context(self, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """Return a context that presents the SVID and trusts the anchors."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.maximum_version = maximum
        context.load_verify_locations(cadata=self.anchors)
        context.load_cert_chain(self.svid, self.key)
        return context

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Return a bare connection, for what no HTTP library would send."""
        parts = urlsplit(self.url)
        plain = socket.create_connection((parts.hostname or "", parts.port or 443), timeout=30)
        return (context or self.context()).wrap_socket(plain)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return the answer, whatever its status, over the connection kept so far."""
        if self._connection is None:
            parts = urlsplit(self.url)
            self._connection = HTTPSConnection(
                parts.hostname or "", parts.port, context=self.context(), timeout=30
            )
        try:
            self._connection.request(method, path, body=body, headers=dict(headers or {}))
            return _reply(self._connection.getresponse())
        except BaseException:
            self.close()
            raise

    def poll(self, etag: str | None = None, accept: str | None = MANIFEST) -> Reply:
        """Ask for the manifest."""
        headers = {"If-None-Match": etag} if etag else {}
        return self.request(
            "GET", "/api/v1/deployments", headers=headers | ({"Accept": accept} if accept else {})
        )

    def report_capabilities(self, device_id: str, document: Any) -> Reply:
        """PUT a capability file; `document` is a value to send as JSON."""
        return self.request(
            "PUT",
            f"/api/v1/capabilities/{device_id}",
            body=json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )

    def report_site(self, document: Any) -> Reply:
        """PUT a site report, which is Edgewright's own; `document` is a value to send as JSON."""
        return self.request(
            "PUT",
            "/edgewright/v1/site",
            body=json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )

    def report_status(self, deployment_id: str, state: str, version: int, **more: Any) -> Reply:
        """POST a status with one component called `app`; `more` replaces members of the document."""
        document = {
            "deploymentId": deployment_id,
            "adoptedManifestVersion": version,
            "status": {"state": state},
            "components": [{"name": "app", "state": state}],
        }
        return self.request(
            "POST",
            f"/api/v1/deployments/{deployment_id}/status",
            body=json.dumps({**document, **more}).encode(),
            headers={"Content-Type": "application/json"},
        )


class HeldPoll:
    """One poll on a connection of its own, sent and not yet answered.

    It has arrived before anything that is sent after it: nothing on this connection delays it.
    """

    def __init__(self, client: ForeignClient, *, wait: int = 60, more: bytes = b"") -> None:
        self._connection = client.connect()
        self._connection.settimeout(SOON)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(method="HEAD")
        self.etag = self.answer()[1]["etag"]
        self.ask(f"if-none-match: {self.etag}\r\nprefer: wait={wait}\r\n", more=more)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def answer(self) -> tuple[int, dict[str, str]]:
        """Wait for the answer; return its status and headers."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self._connection.recv(65536)
            assert piece, "closed without an answer"
            answer += piece
        first, *lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        headers = (line.partition(": ") for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, _, value in headers}

    def ask(self, headers: str = "", *, method: str = "GET", more: bytes = b"") -> None:
        """Send a request for the manifest, and `more` behind it."""
        head = f"{method} /api/v1/deployments HTTP/1.1\r\nhost: x\r\naccept: {MANIFEST}\r\n{headers}\r\n"
        self._connection.sendall(head.encode() + more)

    @property
    def is_waiting(self) -> bool:
        """Whether nothing has been answered so far."""
        self._connection.settimeout(0.0)
        try:
            self._connection.recv(1)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        finally:
            self._connection.settimeout(SOON)
        return False

    def reset(self) -> None:
        """Be gone as after a power cut that the network tells of."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


def capabilities(device_id: str, **properties: Any) -> dict[str, Any]:
    """Return the capability file of a Compose device; `properties` replace some of its members."""
    return {
        "properties": {
            "id": device_id,
            "vendor": "V",
            "modelNumber": "M",
            "serialNumber": "S",
            "cpus": [{"cores": 4, "architecture": "amd64"}],
            "memory": "7Gi",
            "storage": "60Gi",
            "peripherals": [],
            "interfaces": [{"type": "ethernet"}],
            "otelCollector": True,
            "supportedRuntimes": ["oci"],
            "supportedDeploymentTypes": ["compose"],
            **properties,
        }
    }


def csr_of(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate request of `key` in PEM form."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def read_token(token: str) -> dict[str, str]:
    """Return the members of an enrolment token: u (URL), p (pin), s (secret)."""
    encoded = token.removeprefix("ewt1.")
    members: dict[str, str] = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return members


def enroll(token: str, csr: str) -> Reply:
    """Send an enrolment request to where the token says, checking the pin first as a device must."""
    members = read_token(token)
    body = json.dumps({"token": members["s"], "csr": csr}).encode()
    return web_request("POST", members["u"], "/edgewright/v1/enroll", pin=members["p"], body=body)


def web_request(
    method: str,
    url: str,
    path: str,
    *,
    pin: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return the answer of the web listener; with `pin` its key has to be that one."""
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)
    try:
        connection.connect()
        if pin is not None:
            assert _pin_of(connection.sock) == pin
        connection.request(method, path, body=body, headers=dict(headers or {}))
        return _reply(connection.getresponse())
    finally:
        connection.close()


def anchors_of(bundle: Mapping[str, Any]) -> str:
    """Return the X.509 anchors of a trust bundle in PEM form."""
    return "".join(
        ssl.DER_cert_to_PEM_cert(base64.b64decode(key["x5c"][0]))
        for key in bundle["keys"]
        if key["use"] == "x509-svid"
    )


def _pin_of(connection: Any) -> str:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    leaf = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def _reply(response: HTTPResponse) -> Reply:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())
