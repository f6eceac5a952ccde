"""Enrolment: a token over pinned HTTPS, or files of another authority; what is wrong is named."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import serialization

from edgewright.protocol.enrollment import EnrollmentToken
from support.agent_rig import AgentRig
from support.certificates import (
    EXPIRED,
    NOT_YET_VALID,
    WRONG_SHAPES,
    Authority,
    Issued,
    trust_bundle,
)
from support.foreign_server import ForeignServer

SECRET = "s" * 43


class WebListener:
    """A fleet manager's enrolment endpoint: pinned HTTPS without client certificates, scripted by tests."""

    def __init__(self, authority, web, server_url):
        self.authority = authority
        self.server_url = server_url
        self.requests = []
        self.lose_answers = 0
        self.problem = None
        self.change = {}
        self._web = web
        self._server = None

    def __enter__(self):
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                listener.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if listener.lose_answers:
                    listener.lose_answers -= 1
                    self.close_connection = True
                    return
                status, media_type, body = listener.answer(listener.requests[-1])
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        load(context, self._web)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        if self.problem is not None:
            status, detail = self.problem
            body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
            return status, "application/problem+json", json.dumps(body).encode()
        issued = self.authority.sign_csr(request["csr"], "spiffe://example.org/margo/wfm/main/client/edge-01")
        answer = {
            "clientId": "edge-01",
            "svid": issued.pem.decode(),
            "trustBundle": trust_bundle(self.authority).decode(),
            "serverUrl": self.server_url,
        }
        return 201, "application/json", json.dumps(answer | self.change).encode()

    def token(self, pin, host="127.0.0.1"):
        port = self._server.server_address[1]
        return EnrollmentToken(url=f"https://{host}:{port}", pin=pin, secret=SECRET).render()


def load(context, issued):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        files = issued.write(Path(directory))
        context.load_cert_chain(files.certificate, files.key)


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture(scope="module")
def web():
    """The web listener's own authority and certificate: another than the trust domain's."""
    root = Authority.create("web.example", name="Web Root")
    leaf = root.web_server()
    return root, Issued(leaf.certificate, leaf.key, (root.certificate,))


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def listener(authority, server, web):
    with WebListener(authority, web[1], server.url) as listener:
        yield listener


@pytest.fixture
def agent(tmp_path, authority):
    return AgentRig(tmp_path, authority)


def identity_is_absent(agent):
    return not (agent.state / "identity" / "current").exists()


# --- with a token -----------------------------------------------------------------------------------


@pytest.mark.requirement("TLS-14", "TLS-10", "LC-1", "SVID-7", "SVID-11", "S-9", "S-14", "S-15", "ON-4")
@pytest.mark.parametrize("pinned", ["leaf", "authority"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_token_makes_an_identity_that_works(agent, server, listener, web, pinned, host):
    pin = web[1].pin if pinned == "leaf" else web[0].pin
    done = agent.command("enroll", listener.token(pin, host))
    assert done.returncode == 0, done.stderr
    assert "spiffe://example.org/margo/wfm/main/client/edge-01" in done.stdout
    assert agent.command("sync").returncode == 0
    assert server.requests[0].path == "/api/v1/capabilities/edge-01"
    current = agent.state / "identity" / "current"
    assert (current / "key.pem").stat().st_mode & 0o777 == 0o600
    key = serialization.load_pem_private_key((current / "key.pem").read_bytes(), None)
    assert key.curve.name == "secp256r1"
    assert list(agent.state.glob("identity/pending-*")) == []


@pytest.mark.requirement("TLS-14", "TLS-19")
def test_a_server_without_the_pinned_key_gets_nothing(agent, listener):
    done = agent.command("enroll", listener.token(Authority.create().pin))
    assert done.returncode == 2
    assert "pinned key" in done.stderr
    assert listener.requests == []
    assert identity_is_absent(agent)


@pytest.mark.requirement("TLS-14")
def test_a_pinned_authority_beside_a_foreign_leaf_is_not_enough(agent, authority, server, web):
    """Anybody can send a copy of the pinned certificate along; only a signature makes it the issuer."""
    stranger = Authority.create("web.example", name="Web Root").web_server()
    with WebListener(
        authority, Issued(stranger.certificate, stranger.key, (web[0].certificate,)), server.url
    ) as listener:
        done = agent.command("enroll", listener.token(web[0].pin))
        assert done.returncode == 2
        assert listener.requests == []
    assert identity_is_absent(agent)


def test_a_lost_answer_is_asked_for_again_with_the_same_key(agent, listener, web):
    listener.lose_answers = 1
    token = listener.token(web[0].pin)
    first = agent.command("enroll", token)
    assert first.returncode == 2
    assert identity_is_absent(agent)
    second = agent.command("enroll", token)
    assert second.returncode == 0, second.stderr
    keys = [public_key(each["csr"]) for each in listener.requests]
    assert keys[0] == keys[1]
    assert [each["token"] for each in listener.requests] == [SECRET, SECRET]


def public_key(csr):
    from cryptography import x509

    key = x509.load_pem_x509_csr(csr.encode()).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_refused_token_says_why_and_leaves_nothing(agent, listener, web):
    listener.problem = (403, "this token has been used already")
    done = agent.command("enroll", listener.token(web[0].pin))
    assert done.returncode == 2
    assert "this token has been used already" in done.stderr
    assert identity_is_absent(agent)


@pytest.mark.parametrize("token", ["nonsense", "ewt1.", "ewt1.AAAA", "ewt1." + "A" * 200])
def test_what_is_no_token_is_told_without_repeating_it(agent, token):
    done = agent.command("enroll", token)
    assert done.returncode == 2
    assert "token" in done.stderr
    assert "A" * 50 not in done.stderr
    assert "Traceback" not in done.stderr
    assert not agent.state.exists()


def test_a_fleet_manager_that_is_not_there_is_named(agent):
    token = EnrollmentToken(url="https://127.0.0.1:1", pin=Authority.create().pin, secret=SECRET).render()
    done = agent.command("enroll", token)
    assert done.returncode == 2
    assert "127.0.0.1:1" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"svid": "no certificate"}, "SVID", id="no certificate"),
        pytest.param({"trustBundle": '{"keys": []}'}, "trust bundle", id="empty bundle"),
        pytest.param({"serverUrl": "http://insecure.example"}, "https", id="no https"),
    ],
)
def test_an_answer_that_makes_no_identity_is_not_installed(agent, listener, web, change, words):
    listener.change = change
    done = agent.command("enroll", listener.token(web[0].pin))
    assert done.returncode == 2
    assert words in done.stderr
    assert identity_is_absent(agent)


def test_an_enrolled_device_is_enrolled_again_only_when_told_to(agent, listener, web):
    token = listener.token(web[0].pin)
    assert agent.command("enroll", token).returncode == 0
    before = (agent.state / "identity" / "current").readlink()
    done = agent.command("enroll", token)
    assert done.returncode == 2
    assert "--replace" in done.stderr
    assert (agent.state / "identity" / "current").readlink() == before
    assert agent.command("enroll", token, "--replace", "--device-id", "line-3").returncode == 0
    assert len(list((agent.state / "identity").iterdir())) == 2  # the identity and the link to it
    assert agent.status()["identity"]["device_id"] == "line-3"


# --- with files -------------------------------------------------------------------------------------


def enroll_files(agent, tmp_path, authority, issued, **other):
    files = issued.write(tmp_path / "given")
    bundle = tmp_path / "given" / "bundle"
    bundle.write_bytes(other.get("trust", trust_bundle(authority)))
    key = other.get("key")
    if key is not None:
        files.key.write_bytes(key)
    words = ["--svid", str(files.certificate), "--key", str(files.key), "--trust-bundle", str(bundle)]
    return agent.command("enroll", *words, "--server", other.get("url", "https://wfm.example:443"))


@pytest.mark.requirement("ON-2", "SVID-5", "TB-17")
@pytest.mark.parametrize("form", ["bundle", "PEM"])
@pytest.mark.parametrize("depth", ["root", "intermediate"])
def test_files_of_another_authority_make_an_identity(agent, tmp_path, authority, form, depth):
    issuer = authority if depth == "root" else authority.intermediate()
    trust = trust_bundle(authority) if form == "bundle" else authority.pem
    done = enroll_files(agent, tmp_path, authority, issuer.client(), trust=trust)
    assert done.returncode == 0, done.stderr
    assert agent.status()["identity"]["client"] == "spiffe://example.org/margo/wfm/main/client/edge-01"


def wrong_svids():
    for name, shape in WRONG_SHAPES.items():
        if name != "foreign trust domain":
            yield pytest.param(lambda authority, shape=shape: authority.client(**shape), "svid.pem", id=name)
    yield pytest.param(lambda authority: authority.wfm(), "not the identity of a client", id="a WFM's")
    yield pytest.param(
        lambda authority: authority.client(uris=["spiffe://example.net/margo/wfm/main/client/edge-01"]),
        "example.net",
        id="foreign trust domain",
    )
    yield pytest.param(lambda authority: authority.client(**EXPIRED), "expired on 2020-02-01", id="expired")
    yield pytest.param(
        lambda authority: authority.client(**NOT_YET_VALID), "not valid before 2190-01-01", id="not yet valid"
    )
    yield pytest.param(
        lambda _: Authority.create().client(), "issued by CN=Test Root", id="foreign authority"
    )
    yield pytest.param(
        lambda authority: without_intermediates(authority.intermediate().client()),
        "issued by",
        id="broken chain",
    )


def without_intermediates(issued):
    return Issued(issued.certificate, issued.key)


@pytest.mark.requirement("ID-2", "SVID-1", "SVID-2", "SVID-3", "SVID-4", "SVID-6", "TLS-5")
@pytest.mark.parametrize(("issued", "words"), list(wrong_svids()))
def test_an_svid_that_no_server_would_accept_is_refused_at_once(agent, tmp_path, authority, issued, words):
    done = enroll_files(agent, tmp_path, authority, issued(authority))
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert str(tmp_path / "given") in done.stderr
    assert "Traceback" not in done.stderr
    assert not agent.state.exists()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        pytest.param({"key": b"no key"}, "expected a private key", id="no key"),
        pytest.param({"key": Authority.create().client().key_pem}, "not the key of", id="another key"),
        pytest.param({"trust": b"{}"}, "$.keys", id="bundle without keys"),
        pytest.param(
            {"trust": b'{"keys": [{"use": "jwt-svid", "kid": "x"}]}'}, "anchor", id="no usable anchor"
        ),
        pytest.param({"trust": Authority.create("example.net").pem}, "example.net", id="foreign anchors"),
        pytest.param({"trust": Authority.create().client().pem}, "not an authority's", id="a leaf as anchor"),
        pytest.param({"trust": b"garbage"}, "bundle", id="garbage"),
        pytest.param({"url": "http://wfm.example"}, "--server", id="no https"),
        pytest.param({"url": "wfm.example"}, "--server", id="no scheme"),
        pytest.param({"url": "https://wfm.example:port"}, "--server", id="no port"),
    ],
)
@pytest.mark.requirement("TB-10", "TB-11", "TLS-19")
def test_each_other_part_that_is_wrong_is_named(agent, tmp_path, authority, other, words):
    done = enroll_files(agent, tmp_path, authority, authority.client(), **other)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not agent.state.exists()


def test_files_that_are_not_there_and_halves_of_both_forms_are_told(agent, tmp_path):
    missing = str(tmp_path / "nowhere.pem")
    done = agent.command(
        *["enroll", "--svid", missing, "--key", missing, "--trust-bundle", missing, "--server", "https://x"]
    )
    assert done.returncode == 2
    assert f"{missing}: No such file" in done.stderr
    for words in (["enroll"], ["enroll", "--svid", missing], ["enroll", "token", "--svid", missing]):
        done = agent.command(*words)
        assert done.returncode == 2, words
        assert "--trust-bundle" in done.stderr
