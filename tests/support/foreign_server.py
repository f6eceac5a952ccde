"""A fleet manager of somebody else: the device API over mutual TLS, on the standard library alone.

It shares no code with `edgewright.server`, so that the agent is proved against the specification and not
against our own reading of it. It serves what a test puts in, records every request in order, and answers as
scripted where a test wants something unusual.

    with ForeignServer(authority) as server:
        server.deploy(deployment_yaml("11111111-…", components=["web"]))
        …
        server.requests_for("POST", "/status")
"""

import gzip
import hashlib
import io
import json
import socket
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self

from support.certificates import Authority, Issued

MANIFEST = "application/vnd.margo.manifest.v1+json"
BUNDLE = "application/vnd.margo.bundle.v1+tar+gzip"
WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; `headers` by lower-case name, `connection` counts TLS connections."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer with."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def problem(cls, status: int, *, headers: Mapping[str, str] | None = None, **members: Any) -> Self:
        """Return problem details (RFC 9457)."""
        body = {"type": "about:blank", "title": "Scripted", "status": status, **members}
        return cls(
            status,
            json.dumps(body).encode(),
            {"Content-Type": "application/problem+json", **(headers or {})},
        )


Script = Callable[[Request], Answer | None]


def digest_of(data: bytes) -> str:
    """Return the digest of exact bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def deployment_yaml(
    deployment_id: str,
    *,
    components: Sequence[str | Mapping[str, Any]] = ("web",),
    device_id: str = "edge-01",
    name: str = "app",
    profile: str = "compose",
    parameters: Mapping[str, Any] | None = None,
    constraints: Mapping[str, Any] | None = None,
    **spec: Any,
) -> bytes:
    """Return an ApplicationDeployment; JSON is YAML, and the agent has to take it as such."""
    listed = [
        {"name": each, "properties": {"repository": f"oci://registry.example/{each}", "revision": "1.0.0"}}
        if isinstance(each, str)
        else dict(each)
        for each in components
    ]
    deployment_profile: dict[str, Any] = {"type": profile, "components": listed}
    if constraints is not None:
        deployment_profile["deviceConstraints"] = constraints
    document = {
        "id": deployment_id,
        "metadata": {"name": name, "namespace": "margo", "deviceId": device_id},
        "spec": {
            "applicationId": "com-example-app",
            "deploymentProfile": deployment_profile,
            "parameters": dict(parameters or {}),
            **spec,
        },
    }
    return json.dumps(document, indent=1).encode()


class ForeignServer:
    """The server; `url` is the device API's base. All members may be changed while it serves.

    `holds`: it holds polls back as `Prefer: wait` asks for (RFC 7240). `tickets`: how many of TLS it sends.
    """

    def __init__(self, authority: Authority, *, identity: Issued | None = None, wfm: str = "main") -> None:
        self.authority = authority
        self.identity = identity or authority.wfm(wfm)
        self.version = 0
        self.documents: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.bundles: dict[str, bytes] = {}
        self.manifest = b""
        self.scripts: list[Script] = []
        self.holds = False
        self.tickets = 2
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._connections = 0
        self._known: set[str] = set()
        self._server: _Server | None = None
        self.publish()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        """Listen; with the `port` of before, as a server that comes back."""
        self._server = _Server(("127.0.0.1", port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        server = self._server
        if server is not None:
            server.shutdown()
            server.cut()
            with self._changed:  # nobody is left to whom something that is held back could be told
                self._server = None
                self._changed.notify_all()
            server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL of its device API."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were opened so far, whatever became of their handshakes."""
        with self._changed:
            return self._connections

    # --- desired state ------------------------------------------------------------------------------

    def deploy(self, *documents: bytes) -> int:
        """Add deployments, or replace those of the same id, and return the new manifest version."""
        for document in documents:
            self.documents[json.loads(document)["id"]] = document
        return self.publish()

    def withdraw(self, deployment_id: str) -> int:
        """Take a deployment out and return the new manifest version."""
        del self.documents[deployment_id]
        return self.publish()

    def publish(self, version: int | None = None) -> int:
        """Make the manifest of what is deployed now; its version is the next one unless given."""
        self.version = self.version + 1 if version is None else version
        listed = []
        for deployment_id, data in self.documents.items():
            digest = digest_of(data)
            self.objects[f"/api/v1/deployments/{deployment_id}/{digest}"] = data
            url = f"/api/v1/deployments/{deployment_id}/{digest}"
            listed.append(
                {"deploymentId": deployment_id, "digest": digest, "url": url, "sizeBytes": len(data)}
            )
        bundle = None
        if listed:
            packed = pack({f"{key}.yaml": data for key, data in self.documents.items()})
            digest = digest_of(packed)
            self.bundles[f"/api/v1/bundles/{digest}"] = packed
            bundle = {"mediaType": BUNDLE, "digest": digest, "url": f"/api/v1/bundles/{digest}"}
        with self._changed:
            self.manifest = json.dumps(
                {"manifestVersion": self.version, "bundle": bundle, "deployments": listed}
            ).encode()
            self._changed.notify_all()
        return self.version

    def script(self, script: Script) -> None:
        """Let `script` answer requests; where it returns None the usual answer is given."""
        self.scripts.append(script)

    # --- what was asked -----------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._changed:
            return list(self._requests)

    def requests_for(self, method: str, ending: str) -> list[Request]:
        """The requests of `method` whose path ends with `ending`."""
        return [each for each in self.requests if each.method == method and each.path.endswith(ending)]

    def statuses(self, deployment_id: str) -> list[Any]:
        """The status reports of a deployment, in order, as JSON."""
        return [each.json() for each in self.requests_for("POST", f"/{deployment_id}/status")]

    def states(self, deployment_id: str) -> list[str]:
        """The overall states that were reported for a deployment, in order."""
        return [each["status"]["state"] for each in self.statuses(deployment_id)]

    def wait_for(self, happened: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Return as soon as `happened` after some request; fail after `seconds`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not happened():
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise AssertionError(f"did not happen: {what}; requests so far:\n{self._told()}")

    def wait_for_state(self, deployment_id: str, state: str, *, version: int | None = None) -> None:
        """Return as soon as the last report of a deployment says `state` (with `version` as adopted)."""

        def reached() -> bool:
            reports = self.statuses(deployment_id)
            if not reports or reports[-1]["status"]["state"] != state:
                return False
            return version is None or reports[-1]["adoptedManifestVersion"] == version

        self.wait_for(reached, f"deployment {deployment_id} {state}")

    def polls(self) -> list[Request]:
        """The polls of the manifest so far."""
        return self.requests_for("GET", "/api/v1/deployments")

    def wait_for_polls(self, count: int) -> None:
        """Return after `count` more polls of the manifest."""
        wanted = len(self.polls()) + count
        self.wait_for(lambda: len(self.polls()) >= wanted, f"{count} more polls")

    def _told(self) -> str:
        return "\n".join(f"  {each.method} {each.path} {each.body[:300]!r}" for each in self._requests[-30:])

    # --- answering ----------------------------------------------------------------------------------

    def _next_connection(self) -> int:
        with self._changed:
            self._connections += 1
            return self._connections

    def _answer(self, request: Request) -> Answer:
        with self._changed:
            answer = next((each for script in self.scripts if (each := script(request)) is not None), None)
            self._requests.append(request)
            self._changed.notify_all()
            return answer or self._usual(request)

    def _usual(self, request: Request) -> Answer:
        path = request.path
        if request.method == "GET" and path == "/api/v1/deployments":
            return self._manifest(request)
        if request.method == "GET" and path in self.objects:
            return self._immutable(self.objects[path], "application/yaml")
        if request.method == "GET" and path in self.bundles:
            return self._immutable(self.bundles[path], BUNDLE)
        if request.method == "PUT" and path.startswith("/api/v1/capabilities/"):
            return self._reported(path)
        if request.method == "POST" and path.endswith("/status"):
            return self._reported(path)
        return Answer.problem(404, title="Not Found", retryable=False)

    def _manifest(self, request: Request) -> Answer:
        """Answer a poll; to be called with the lock, which is let go while the answer is held back."""
        known, preferred = request.headers.get("if-none-match"), request.headers.get("prefer", "")
        headers = {}
        if self.holds and preferred.startswith("wait="):
            headers["Preference-Applied"] = preferred
            ours = self._server
            self._changed.wait_for(
                lambda: known != self._etag or self._server is not ours,
                float(preferred.removeprefix("wait=")),
            )
        headers["ETag"] = self._etag
        if known == self._etag:
            return Answer(304, headers=headers)
        return Answer(200, self.manifest, {"Content-Type": MANIFEST, "Cache-Control": "private", **headers})

    @property
    def _etag(self) -> str:
        return f'"{digest_of(self.manifest)}"'

    def _immutable(self, data: bytes, media_type: str) -> Answer:
        return Answer(200, data, {"Content-Type": media_type, "ETag": f'"{digest_of(data)}"'})

    def _reported(self, path: str) -> Answer:
        status = 200 if path in self._known else 201
        self._known.add(path)
        return Answer(status)


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a gzip tar of `files` at its root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


class _Server(ThreadingHTTPServer):
    """Accepts; the handshake is done in the connection's own thread, so that none holds up another."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: ForeignServer) -> None:
        super().__init__(address, _Handler)
        self.owner = owner
        self.context = _server_context(owner)
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[Any, Any]:
        accepted, address = super().get_request()
        wrapped = self.context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self._open.add(wrapped)
        return wrapped, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """End every connection, as a server that dies does."""
        for each in list(self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed or refuse us are what these tests are about."""


def _server_context(owner: ForeignServer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = owner.tickets
    context.load_verify_locations(cadata=owner.authority.pem.decode())
    _load_identity(context, owner.identity)
    return context


def _load_identity(context: ssl.SSLContext, identity: Issued) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        files = identity.write(Path(directory))
        context.load_cert_chain(files.certificate, files.key)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    methods: ClassVar = ("GET", "PUT", "POST", "DELETE", "HEAD")

    def setup(self) -> None:
        self.connection_number = self.server.owner._next_connection()
        self.request.settimeout(WAIT_SECONDS)
        self.request.do_handshake()
        super().setup()

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            connection=self.connection_number,
        )
        answer = self.server.owner._answer(request)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD" and answer.status != 304:
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""
