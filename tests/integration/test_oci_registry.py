"""The registry client against a real docker-registry, and against registries that lie or fail."""

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from edgewright.net.oci import (
    RegistryClient,
    RegistryError,
    RegistryNotFoundError,
    RegistryPool,
    RegistryRefusedError,
)
from edgewright.net.registries import Registries, RegistrySettings
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import DigestMismatchError
from edgewright.protocol.media_types import OCI_MANIFEST
from edgewright.protocol.oci import compose_layer, compose_manifest
from support.certificates import Authority
from support.images import RegistryAccess
from support.registry import Registry

LIMIT = 10_000_000


def client_of(registry: RegistryAccess) -> RegistryClient:
    settings = RegistrySettings(ca=registry.ca, username=registry.username, password=registry.password)
    return RegistryClient(registry.host, settings)


# --- a real registry ------------------------------------------------------------------------------------


@pytest.mark.requirement("REG-1", "REG-2", "REG-6", "REG-7")
def test_what_is_pushed_is_pulled_by_tag_and_by_digest(registry: RegistryAccess, unique: str, tmp_path: Path):
    archive = b"not really an archive" * 1000
    manifest = compose_manifest(compose_layer(archive, version="1.0.0"))
    with client_of(registry) as client:
        client.ping()
        assert client.push_blob(unique, archive) == digest_of(archive)
        assert client.push_blob(unique, archive) == digest_of(archive)
        client.push_blob(unique, b"{}")
        digest = client.push_manifest(unique, "1.0.0", manifest, OCI_MANIFEST)
        for reference in ("1.0.0", digest):
            fetched = client.manifest(unique, reference)
            assert (fetched.data, fetched.digest, fetched.media_type) == (manifest, digest, OCI_MANIFEST)
        assert client.blob(unique, digest_of(archive), limit=LIMIT) == archive
        client.blob_to_file(unique, digest_of(archive), str(tmp_path / "blob"), limit=LIMIT)
        assert (tmp_path / "blob").read_bytes() == archive
        assert [path.name for path in tmp_path.iterdir()] == ["blob"]


@pytest.mark.requirement("REG-7")
def test_all_pages_of_tags_are_listed(registry: RegistryAccess, unique: str):
    manifest = compose_manifest(compose_layer(b"x", version="1"))
    tags = [f"1.0.{number:03}" for number in range(120)]
    with client_of(registry) as client:
        client.push_blob(unique, b"x")
        client.push_blob(unique, b"{}")
        for tag in tags:
            client.push_manifest(unique, tag, manifest, OCI_MANIFEST)
        assert sorted(client.tags(unique)) == tags


@pytest.mark.requirement("REG-8", "S-22")
def test_a_registry_with_tls_and_password(secured_registry: RegistryAccess, unique: str):
    with client_of(secured_registry) as client:
        client.ping()
        digest = client.push_blob(unique, b"secured")
        assert client.blob(unique, digest, limit=LIMIT) == b"secured"
    with (
        RegistryClient(secured_registry.host, RegistrySettings(ca=secured_registry.ca)) as client,
        pytest.raises(RegistryRefusedError, match=r"it wants credentials \(registries\.yaml\)"),
    ):
        client.ping()
    wrong = RegistrySettings(ca=secured_registry.ca, username="edgewright", password="wrong")
    with (
        RegistryClient(secured_registry.host, wrong) as client,
        pytest.raises(RegistryRefusedError, match="it refused these credentials"),
    ):
        client.ping()
    with (
        RegistryClient(secured_registry.host) as client,
        pytest.raises(RegistryError, match="its certificate was refused"),
    ):
        client.ping()


def test_what_is_not_there_is_named(registry: RegistryAccess, unique: str):
    with client_of(registry) as client:
        with pytest.raises(RegistryNotFoundError, match=rf"registry {registry.host}: {unique} 1\.0\.0: 404"):
            client.manifest(unique, "1.0.0")
        with pytest.raises(RegistryNotFoundError, match="tags of"):
            client.tags(unique)
        with pytest.raises(RegistryNotFoundError):
            client.blob(unique, digest_of(b"nowhere"), limit=LIMIT)
        assert client.has_blob(unique, digest_of(b"nowhere")) is False


def test_a_registry_that_is_down_is_named(own_registry: Registry):
    own_registry.stop()
    with RegistryClient(own_registry.host) as client, pytest.raises(RegistryError) as caught:
        client.ping()
    assert str(caught.value) == f"registry {own_registry.host}: connection refused; is it running?"
    assert caught.value.retryable


def test_a_connection_outlives_a_restart_of_the_registry(own_registry: Registry):
    with RegistryPool(Registries()).client(own_registry.host) as client:
        client.ping()
        own_registry.stop()
        own_registry.start()
        client.ping()


@pytest.mark.parametrize(
    ("repository", "reference"),
    [("../etc", "1"), ("UPPER", "1"), ("a//b", "1"), ("a", "../x"), ("a", "x y"), ("a?b", "1"), ("", "1")],
)
def test_names_that_are_none_are_never_asked_for(repository: str, reference: str):
    with RegistryClient("127.0.0.1:1") as client, pytest.raises(RegistryNotFoundError, match="is not"):
        client.manifest(repository, reference)


# --- registries made for the purpose --------------------------------------------------------------------


Answer = tuple[int, dict[str, str], bytes]
Handle = Callable[[str, str, dict[str, str]], Answer | None]


class QuietServer(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that hangs up is what some of the tests are about."""


class Odd:
    """A registry that answers what `handle(method, path, headers)` says; None drops the connection."""

    def __init__(self, handle: Handle) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.rfile.read(int(headers.get("content-length", 0)))
                seen.append((self.command, self.path, headers))
                answer = handle(self.command, self.path, headers)
                if answer is None:
                    self.close_connection = True
                    return
                status, sent, body = answer
                self.send_response(status)
                for name, value in sent.items():
                    self.send_header(name, value)
                if "content-length" not in sent:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                if len(body) < int(sent.get("content-length", len(body))):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - names of the base class

            def log_message(self, *_: object) -> None:
                return

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def odd() -> Iterator[Callable[[Handle], Odd]]:
    made: list[Odd] = []

    def make(handle: Handle) -> Odd:
        made.append(Odd(handle))
        return made[-1]

    yield make
    for one in made:
        one.close()


BLOB = bytes(range(256)) * 4000


@pytest.mark.requirement("CMP-11")
def test_a_tampered_blob_is_refused_and_leaves_no_file(odd: Callable[[Handle], Odd], tmp_path: Path):
    registry = odd(lambda method, path, headers: (200, {}, BLOB[:-1] + b"!"))
    with RegistryClient(registry.host) as client:
        with pytest.raises(DigestMismatchError, match=registry.host):
            client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)
        with pytest.raises(DigestMismatchError):
            client.blob("a", digest_of(BLOB), limit=LIMIT)
    assert not (tmp_path / "blob").exists()
    assert not (tmp_path / "blob.part").exists() or (tmp_path / "blob.part").stat().st_size == 0


def test_a_tampered_manifest_is_refused(odd: Callable[[Handle], Odd]):
    registry = odd(lambda method, path, headers: (200, {}, b'{"tampered": true}'))
    with RegistryClient(registry.host) as client, pytest.raises(DigestMismatchError):
        client.manifest("a", digest_of(b"{}"))


def test_a_page_in_place_of_a_manifest_is_no_verdict_on_the_artefact(odd: Callable[[Handle], Odd]):
    page = {"content-type": "text/html; charset=utf-8"}
    registry = odd(lambda method, path, headers: (200, page, b"<html>Please log in</html>"))
    with RegistryClient(registry.host) as client, pytest.raises(RegistryError, match="text/html") as caught:
        client.manifest("a", "1.0.0")
    assert caught.value.retryable


def test_a_manifest_that_is_not_what_its_own_header_says_is_refused(odd: Callable[[Handle], Odd]):
    registry = odd(lambda method, path, headers: (200, {"docker-content-digest": digest_of(b"{}")}, b"{} "))
    with RegistryClient(registry.host) as client, pytest.raises(DigestMismatchError):
        client.manifest("a", "1.0.0")


@pytest.mark.parametrize("ranges", [True, False], ids=["Range is honoured", "Range is ignored"])
def test_a_download_that_breaks_off_goes_on(odd: Callable[[Handle], Odd], tmp_path: Path, ranges: bool):
    breaks = iter([200_000, 300_000, None])

    def handle(method: str, path: str, headers: dict[str, str]) -> Answer:
        start = (
            int(headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-")) if ranges else 0
        )
        rest = BLOB[start:]
        cut = next(breaks)
        sent = {"content-length": str(len(rest))}
        if start:
            sent["content-range"] = f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"
        return 206 if start else 200, sent, rest[:cut]

    registry = odd(handle)
    with RegistryClient(registry.host) as client:
        client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)
    assert (tmp_path / "blob").read_bytes() == BLOB
    asked = [headers.get("range") for _, _, headers in registry.seen]
    assert asked[0] is None
    assert all(one is not None for one in asked[1:])


def test_what_came_before_a_restart_is_not_fetched_again(odd: Callable[[Handle], Odd], tmp_path: Path):
    (tmp_path / "blob.part").write_bytes(BLOB[:500_000])

    def handle(method: str, path: str, headers: dict[str, str]) -> Answer:
        assert headers["range"] == "bytes=500000-"
        return 206, {"content-range": f"bytes 500000-{len(BLOB) - 1}/{len(BLOB)}"}, BLOB[500_000:]

    registry = odd(handle)
    with RegistryClient(registry.host) as client:
        client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)
    assert (tmp_path / "blob").read_bytes() == BLOB


@pytest.mark.parametrize("part", [b"rotten", BLOB + b"more", BLOB], ids=["damaged", "too long", "whole"])
def test_a_part_that_is_no_beginning_only_costs_another_download(
    odd: Callable[[Handle], Odd], tmp_path: Path, part: bytes
):
    (tmp_path / "blob.part").write_bytes(part)

    def handle(method: str, path: str, headers: dict[str, str]) -> Answer:
        start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(BLOB):
            return 416, {}, b""
        if start:
            return 206, {"content-range": f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"}, BLOB[start:]
        return 200, {}, BLOB

    registry = odd(handle)
    with RegistryClient(registry.host) as client:
        try:
            client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)
        except DigestMismatchError:
            client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)
    assert (tmp_path / "blob").read_bytes() == BLOB


def test_another_part_than_asked_for_is_refused(odd: Callable[[Handle], Odd], tmp_path: Path):
    (tmp_path / "blob.part").write_bytes(BLOB[:1000])
    registry = odd(lambda method, path, headers: (206, {"content-range": "bytes 5-9/10"}, BLOB[5:10]))
    with RegistryClient(registry.host) as client, pytest.raises(RegistryError, match="another part"):
        client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)


def test_a_blob_larger_than_allowed_is_refused(odd: Callable[[Handle], Odd], tmp_path: Path):
    registry = odd(lambda method, path, headers: (200, {}, BLOB))
    with (
        RegistryClient(registry.host) as client,
        pytest.raises(RegistryError, match="larger than 1000 bytes"),
    ):
        client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=1000)
    assert not (tmp_path / "blob").exists()


@pytest.mark.requirement("REG-8")
def test_a_token_is_fetched_once_and_used(odd: Callable[[Handle], Odd]):
    def tokens(method: str, path: str, headers: dict[str, str]) -> Answer:
        query = parse_qs(urlsplit(path).query)
        assert query == {"service": ["reg"], "scope": ["repository:a:pull"]}
        assert headers["authorization"] == "Basic " + base64.b64encode(b"robot:p:w").decode()
        return 200, {}, json.dumps({"token": "t0k3n"}).encode()

    service = odd(tokens)
    challenge = f'Bearer realm="http://{service.host}/token",service="reg",scope="repository:a:pull"'

    def handle(method: str, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("authorization") != "Bearer t0k3n":
            return 401, {"www-authenticate": challenge}, b"{}"
        return 200, {}, b"{}"

    registry = odd(handle)
    settings = RegistrySettings(username="robot", password="p:w")
    with RegistryClient(registry.host, settings) as client:
        assert client.manifest("a", "1").data == b"{}"
        assert client.manifest("a", "2").data == b"{}"
    assert len(service.seen) == 1
    assert len(registry.seen) == 3


def test_a_token_service_that_refuses_is_named(odd: Callable[[Handle], Odd]):
    service = odd(lambda method, path, headers: (401, {}, b"{}"))
    challenge = {"www-authenticate": f'Bearer realm="http://{service.host}/token"'}
    registry = odd(lambda method, path, headers: (401, challenge, b"{}"))
    with RegistryClient(registry.host) as client, pytest.raises(RegistryRefusedError, match=service.host):
        client.ping()


def test_credentials_never_go_where_the_registry_redirects(odd: Callable[[Handle], Odd], tmp_path: Path):
    store = odd(lambda method, path, headers: (200, {}, BLOB))
    elsewhere = {"location": f"http://{store.host}/store/blob?signature=x"}

    def handle(method: str, path: str, headers: dict[str, str]) -> Answer:
        if "authorization" not in headers:
            return 401, {"www-authenticate": 'Basic realm="x"'}, b""
        return 307, elsewhere, b""

    registry = odd(handle)
    with RegistryClient(registry.host, RegistrySettings(username="robot", password="pw")) as client:
        client.blob_to_file("a", digest_of(BLOB), str(tmp_path / "blob"), limit=LIMIT)
    ((_, path, headers),) = store.seen
    assert path == "/store/blob?signature=x"
    assert "authorization" not in headers


@pytest.mark.parametrize(
    "target", ["http://192.0.2.1/blob", "ftp://127.0.0.1/blob", "unix:///run/docker.sock"]
)
def test_a_redirect_to_a_place_without_tls_is_not_followed(odd: Callable[[Handle], Odd], target: str):
    registry = odd(lambda method, path, headers: (307, {"location": target}, b""))
    with (
        RegistryClient(registry.host) as client,
        pytest.raises(RegistryError, match=r"without TLS|it points to"),
    ):
        client.blob("a", digest_of(BLOB), limit=LIMIT)


def test_redirects_in_a_circle_end(odd: Callable[[Handle], Odd]):
    registry = odd(lambda method, path, headers: (307, {"location": path}, b""))
    with RegistryClient(registry.host) as client, pytest.raises(RegistryError, match="too many redirects"):
        client.blob("a", digest_of(BLOB), limit=LIMIT)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"tags": [1]}', b'{"tags": "x"}', b"{"],
    ids=["empty", "list", "number", "text", "half"],
)
def test_an_answer_that_is_no_list_of_tags_is_refused(odd: Callable[[Handle], Odd], body: bytes):
    registry = odd(lambda method, path, headers: (200, {}, body))
    with RegistryClient(registry.host) as client, pytest.raises(RegistryError, match="not a list of tags"):
        client.tags("a")


def test_a_list_of_tags_that_points_elsewhere_or_in_a_circle_ends(odd: Callable[[Handle], Odd]):
    tags = json.dumps({"tags": ["1"]}).encode()
    elsewhere = odd(lambda method, path, headers: (200, {"link": '<http://192.0.2.1/x>; rel="next"'}, tags))
    with RegistryClient(elsewhere.host) as client, pytest.raises(RegistryError, match="points elsewhere"):
        client.tags("a")
    circle = odd(lambda method, path, headers: (200, {"link": f'<{path}>; rel="next"'}, tags))
    with RegistryClient(circle.host) as client, pytest.raises(RegistryError, match="does not end"):
        client.tags("a")


def test_a_registry_that_hangs_up_is_an_error(odd: Callable[[Handle], Odd]):
    registry = odd(lambda method, path, headers: None)
    with (
        RegistryClient(registry.host, RegistrySettings(plain_http=True)) as client,
        pytest.raises(RegistryError, match=rf"registry {registry.host}"),
    ):
        client.ping()


def test_a_server_error_is_told_in_its_own_words(odd: Callable[[Handle], Odd]):
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}).encode()
    registry = odd(lambda method, path, headers: (429, {}, body))
    with (
        RegistryClient(registry.host) as client,
        pytest.raises(RegistryError, match="429 slow down") as caught,
    ):
        client.ping()
    assert caught.value.retryable


def test_a_wrong_certificate_on_this_machine_is_no_reason_to_go_without(
    tmp_path: Path, own_registry: Registry
):
    files = Authority.create("example.org").web_server("127.0.0.1").write(tmp_path)
    secured = Registry(own_registry._program, tmp_path / "r", certificate=(files.certificate, files.key))
    secured.start()
    try:
        with (
            RegistryClient(secured.host) as client,
            pytest.raises(RegistryError, match="certificate was refused"),
        ):
            client.ping()
    finally:
        secured.stop()
