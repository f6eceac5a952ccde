"""What strangers and broken devices send to the Git listener: a clear answer, and nothing hurt."""

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.certificates import Authority
from support.git_listener import GIT2, LIST, Wire, fetching, fill, shown
from support.hosted import TOKEN, Scene, opened, unbroken, with_certificate
from support.processes import wait_until
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with unbroken(tmp_path_factory.mktemp("hosting") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def scene(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return opened(server, "edge-01", tmp_path_factory.mktemp("scene"))


@pytest.fixture
def own(server: ServerProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    """A device of its own for one test."""
    return opened(server, f"own-{abs(hash(request.node.nodeid)):x}", tmp_path)


def ask(scene: Scene, method: str, target: str, headers: str = "", body: bytes = b"") -> tuple[int, Any]:
    """Ask as the device, on a connection of its own; return status and what the answer says."""
    length = f"content-length: {len(body)}\r\n" if body or method == "POST" else ""
    with Wire(scene) as wire:
        wire.send(f"{method} {target} HTTP/1.1\r\nhost: x\r\n{shown(scene)}{length}{headers}\r\n")
        wire.send(body)
        status, found, content = wire.answer(has_body=method != "HEAD")
    if status == 200 or method == "HEAD":
        return status, content
    assert found["content-type"] == "application/problem+json", (status, content)
    about = json.loads(content)
    assert about["status"] == status
    return status, about["detail"]


def post(scene: Scene, body: bytes, headers: str = GIT2, service: str = "git-upload-pack") -> tuple[int, Any]:
    kind = f"content-type: application/x-{service}-request\r\n"
    return ask(scene, "POST", f"/{scene.name}.git/{service}", kind + headers, body)


def assert_unhurt(scene: Scene) -> None:
    assert "refs/heads/desired" in scene.git().good("ls-remote", scene.url)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/edge-01",
        "/edge-01.git",
        "/edge-01.git/",
        "/edge-01.git/HEAD",
        "/edge-01.git/config",
        "/edge-01.git/objects/info/packs",
        "/edge-01.git/objects/17/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/edge-01.git/info/refs/",
        "/edge-01.git//info/refs",
        "//edge-01.git/info/refs",
        "/./edge-01.git/info/refs",
        "/x/../edge-01.git/info/refs?service=git-upload-pack",
        "/../../../../etc/passwd",
        "/..git/info/refs?service=git-upload-pack",
        "/...git/info/refs?service=git-upload-pack",
        "/edge-01.git/../edge-02.git/info/refs?service=git-upload-pack",
        "/%65dge-01.git/info/refs?service=git-upload-pack",
        "/edge-01%2egit/info/refs?service=git-upload-pack",
        "/edge-01.git%2finfo/refs?service=git-upload-pack",
        "/edge-01.git/info%2frefs?service=git-upload-pack",
        "/edge-01.git/info/refs%00?service=git-upload-pack",
        "/EDGE-01.git/info/refs?service=git-upload-pack",
        "/edge-02.git/info/refs?service=git-upload-pack",
        "/hooks/pre-receive",
        "/edge-01.git/git-upload-archive",
        "/" + "a" * 5000 + ".git/info/refs?service=git-upload-pack",
    ],
)
def test_what_is_no_path_of_the_device_s_repository_is_not_found(scene: Scene, target: str) -> None:
    status, told = ask(scene, "GET", target, GIT2)
    assert status == 404
    assert "there is no repository" in told or "no files to fetch" in told


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?service=",
        "?service=git-upload-archive",
        "?service=git-upload-pack&service=git-receive-pack",
        "?service=git-upload-pack%00",
        "?service=git-upload-pack;x",
        "?Service=git-upload-pack",
        "?service=../git-upload-pack",
        "?service=upload-pack",
    ],
)
def test_services_that_are_none_are_refused_as_the_dumb_protocol_is(scene: Scene, query: str) -> None:
    status, told = ask(scene, "GET", f"/edge-01.git/info/refs{query}", GIT2)
    assert status == 403
    assert "dumb protocol" in told


@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_other_methods_are_refused(scene: Scene, method: str) -> None:
    status, _ = ask(scene, method, "/edge-01.git/info/refs?service=git-upload-pack", GIT2)
    assert status == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 200, id="nothing"),
        pytest.param(b"0000", 200, id="a flush"),
        pytest.param(b"00", 400, id="half a length"),
        pytest.param(b"zzzz", 400, id="no length"),
        pytest.param(b"fff0command=ls-refs\n", 400, id="longer than it is"),
        pytest.param(b"0014command=ls-refs\n", 400, id="no end"),
        pytest.param(b"0016command=object-info0000", 400, id="no such command"),
        pytest.param(b"0014command=ls-refs\n00010008peel0006!!0000", 400, id="no such argument"),
        pytest.param(b"\x00" * 100, 400, id="zeros"),
    ],
)
def test_requests_that_are_none_of_git_s_are_told_so(scene: Scene, body: bytes, status: int) -> None:
    answered, told = post(scene, body)
    assert answered == status, told


def test_a_body_of_another_kind_is_refused(scene: Scene) -> None:
    target = "/edge-01.git/git-upload-pack"
    assert ask(scene, "POST", target, GIT2 + "content-type: text/plain\r\n", LIST.encode())[0] == 415
    assert post(scene, LIST.encode(), GIT2 + "content-encoding: br\r\n")[0] == 415


def test_packed_bodies_are_unpacked_within_bounds(scene: Scene) -> None:
    packed = GIT2 + "content-encoding: gzip\r\n"
    whole = gzip.compress(LIST.encode())
    status, said = post(scene, whole, packed)
    assert status == 200
    assert b"refs/heads/desired" in said
    bomb = gzip.compress(bytes(200 * 1024 * 1024))
    assert post(scene, bomb, packed) == (413, "the body is longer than 1048576 bytes")
    assert post(scene, whole[:-4], packed) == (400, "the gzip body is cut off")
    assert post(scene, whole + b"more", packed)[0] == 400
    assert post(scene, b"no gzip", packed)[0] == 400


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_bodies_that_announce_too_much_are_refused_before_they_come(scene: Scene, service: str) -> None:
    head = (
        f"POST /edge-01.git/{service} HTTP/1.1\r\nhost: x\r\n{shown(scene)}"
        f"content-type: application/x-{service}-request\r\ncontent-length: 99999999999\r\n\r\n"
    )
    with Wire(scene) as wire:
        assert wire.send(head).answer()[0] == 413


def test_bodies_without_an_end_are_refused_where_there_is_too_much(scene: Scene) -> None:
    head = (
        f"POST /edge-01.git/git-upload-pack HTTP/1.1\r\nhost: x\r\n{shown(scene)}"
        "content-type: application/x-git-upload-pack-request\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    with Wire(scene) as wire:
        wire.send(head)
        for _ in range(20):
            wire.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        assert wire.answer()[0] == 413


def test_who_is_not_known_is_answered_without_his_body(scene: Scene) -> None:
    with Wire(scene) as wire:
        wire.send("POST /edge-01.git/git-receive-pack HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert wire.answer()[0] == 401
        # What was on its way is thrown away, and the connection can be used again.
        target = "/edge-01.git/info/refs?service=git-upload-pack"
        wire.send(bytes(1000000)).send(f"GET {target} HTTP/1.1\r\nhost: x\r\n{shown(scene)}{GIT2}\r\n")
        assert wire.answer()[0] == 200


def test_headers_said_twice_open_nothing(scene: Scene) -> None:
    twice = f"authorization: Bearer {TOKEN}\r\n"
    with Wire(scene) as wire:
        target = "/edge-01.git/info/refs?service=git-upload-pack"
        wire.send(f"GET {target} HTTP/1.1\r\nhost: x\r\n{shown(scene)}{twice}\r\n")
        assert wire.answer()[0] == 401
    assert_unhurt(scene)


def test_git_s_first_protocol_is_answered_by_git(scene: Scene) -> None:
    for version in ("0", "1"):
        said = scene.git().good("-c", f"protocol.version={version}", "ls-remote", scene.url)
        assert said == scene.git().good("ls-remote", scene.url)


def test_an_upload_archive_is_refused(scene: Scene) -> None:
    said = scene.git().run("archive", f"--remote={scene.url}", "HEAD")
    assert said.code != 0
    assert_unhurt(scene)


@pytest.mark.requirement("ID-11")
def test_certificates_of_others_open_nothing(scene: Scene, tmp_path: Path) -> None:
    folder = scene.server.data / "identity"
    key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    ours = Authority("example.org", certificate, key)  # type: ignore[arg-type]
    wrong = {
        "is not the identity of a client": ours.wfm("main"),
        "a client of another fleet manager": ours.client("other", scene.name),
        "has enrolled anew with another key": ours.client("main", scene.name),
        "is not accepted by this fleet manager": ours.client("main", "nobody"),
    }
    for number, (told, issued) in enumerate(wrong.items()):
        files = issued.write(tmp_path / str(number))
        git = with_certificate(scene.client, tmp_path, scene.authority)
        settings = {"http.sslCert": str(files.certificate), "http.sslKey": str(files.key)}
        said = type(git)(tmp_path, {**git.settings, **settings}).run("ls-remote", scene.url)
        assert said.code == 128
        assert told in said.text
    files = Authority.create("example.org").client("main", scene.name).write(tmp_path / "stranger")
    settings = {"http.sslCert": str(files.certificate), "http.sslKey": str(files.key)}
    said = type(git)(tmp_path, {**git.settings, **settings}).run("ls-remote", scene.url)
    assert said.code == 128
    assert_unhurt(scene)


def test_one_device_has_few_requests_at_once_and_others_do_not_wait_for_it(own: Scene, scene: Scene) -> None:
    fill(own, 30_000_000)
    target = f"/{own.name}.git/info/refs?service=git-receive-pack"
    with ExitStack() as opened_so_far:
        for _ in range(3):
            opened_so_far.enter_context(fetching(own))
        status, told = ask(own, "GET", target)
        assert status == 429
        assert "3 requests at once" in told
        assert_unhurt(scene)
        scene.git().good("-c", "protocol.version=0", "ls-remote", scene.url)
    wait_until(lambda: ask(own, "HEAD", target)[0] == 405, what="not answered")


DISCOVERY = "/edge-01.git/info/refs?service=git-upload-pack"
POST_LIST = (
    "POST /edge-01.git/git-upload-pack HTTP/1.1\r\nhost: x\r\n"
    "content-type: application/x-git-upload-pack-request\r\n"
)


def test_who_asks_whether_to_send_the_body_is_told_to_go_on_or_refused_without_it(scene: Scene) -> None:
    with Wire(scene) as wire:
        head = f"{POST_LIST}expect: 100-continue\r\ncontent-length: {len(LIST)}\r\n{GIT2}"
        wire.send(f"{head}{shown(scene)}\r\n")
        assert wire.answer()[0] == 100
        status, _, body = wire.send(LIST).answer()
        assert status == 200
        assert b"refs/heads/desired" in body
        assert wire.send(f"{head}\r\n").answer()[0] == 401


@pytest.mark.parametrize("trailers", ["", "x-sum: 1\r\nauthorization: Bearer of somebody else's\r\n"])
def test_bodies_come_in_chunks_and_what_follows_them_means_nothing(scene: Scene, trailers: str) -> None:
    with Wire(scene) as wire:
        for _ in range(2):
            wire.send(f"{POST_LIST}{GIT2}{shown(scene)}transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n")
            for char in LIST:
                wire.send(f"1;more=x\r\n{char}\r\n")
            status, _, body = wire.send(f"0\r\n{trailers}\r\n").answer()
            assert status == 200
            assert b"refs/heads/desired" in body


@pytest.mark.parametrize(
    "endless",
    ["0\r\n" + "x: y\r\n" * 50_000, "0\r\nx: " + "y" * 300_000, "1;" + "x" * 300_000],
    ids=["trailers", "a trailer", "a chunk"],
)
def test_what_stands_around_a_body_has_an_end(scene: Scene, endless: str) -> None:
    with Wire(scene) as wire:
        head = f"{POST_LIST}{GIT2}{shown(scene)}transfer-encoding: chunked\r\n\r\n"
        assert wire.send(head + "4\r\n0014\r\n").send(endless).answer()[0] == 431
    assert_unhurt(scene)


def test_requests_sent_at_once_are_answered_in_their_order(scene: Scene) -> None:
    get = f"GET {DISCOVERY} HTTP/1.1\r\nhost: x\r\n{shown(scene)}{GIT2}\r\n"
    by_git = f"GET {DISCOVERY} HTTP/1.1\r\nhost: x\r\n{shown(scene)}\r\n"
    post = f"{POST_LIST}{GIT2}{shown(scene)}content-length: {len(LIST)}\r\n\r\n{LIST}"
    with Wire(scene) as wire:
        wire.send((post + by_git + get) * 3)
        for _ in range(3):
            assert b"refs/heads/desired" in wire.answer()[2]
            assert wire.answer()[2].startswith(b"001e# service=git-upload-pack\n0000")
            assert b"version 2" in wire.answer()[2]


def test_http_1_0_is_answered_and_the_connection_closed(scene: Scene) -> None:
    with Wire(scene) as wire:
        wire.send(f"GET {DISCOVERY} HTTP/1.0\r\n{shown(scene)}{GIT2}\r\n")
        status, headers, body = wire.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert b"version 2" in body
        assert wire.is_at_end()
    with Wire(scene) as wire:
        head = POST_LIST.replace("HTTP/1.1", "HTTP/1.0")
        wire.send(f"{head}{shown(scene)}{GIT2}content-length: {len(LIST)}\r\n\r\n{LIST}")
        assert b"refs/heads/desired" in wire.answer()[2]
        assert wire.is_at_end()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(f"GET {DISCOVERY} HTTP/9.9\r\n\r\n", 400, id="a version of its own"),
        pytest.param(f"GET {DISCOVERY}\r\n\r\n", 401, id="no version"),
        pytest.param("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param("SSH-2.0-OpenSSH_9.2\r\n", 400, id="another protocol"),
        pytest.param(
            f"{POST_LIST}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="two lengths",
        ),
        pytest.param(f"{POST_LIST}content-length: 4\r\ncontent-length: 5\r\n\r\n", 400, id="a length twice"),
        pytest.param(f"{POST_LIST}content-length: -4\r\n\r\n", 400, id="less than nothing"),
        pytest.param(f"{POST_LIST}content-length: 4e3\r\n\r\n", 400, id="no number"),
        pytest.param(f"GET {DISCOVERY} HTTP/1.1\r\nx-y : 1\r\n\r\n", 400, id="a blank in a name"),
        pytest.param(f"GET {DISCOVERY} HTTP/1.1\r\nx: a\0b\r\n\r\n", 400, id="a control in a header"),
        pytest.param(f"GET /{'a' * 40_000} HTTP/1.1\r\nhost: x\r\n\r\n", 431, id="an endless address"),
        pytest.param(f"GET {DISCOVERY} HTTP/1.1\r\nx: {'a' * 40_000}\r\n\r\n", 431, id="an endless header"),
        pytest.param(f"GET {DISCOVERY} HTTP/1.1\r\n{'a: b' * 20_000}\r\n", 431, id="headers without end"),
        pytest.param("CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n", 400, id="a proxy"),
        pytest.param("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 401, id="all of it"),
        pytest.param(f"GET https://x{DISCOVERY} HTTP/1.1\r\nhost: x\r\n\r\n", 401, id="as to a proxy"),
    ],
)
def test_what_is_no_request_is_answered_and_hurts_nobody(scene: Scene, request_: str, status: int) -> None:
    with Wire(scene) as wire:
        assert wire.send(request_).answer()[0] == status
    assert_unhurt(scene)


@pytest.mark.parametrize(
    "host", ["", "host: EXAMPLE.ORG:9443\r\n", "host: [::1]\r\n", "host: a\r\nhost: b\r\n"]
)
def test_the_name_by_which_the_server_is_called_opens_and_closes_nothing(scene: Scene, host: str) -> None:
    with Wire(scene) as wire:
        wire.send(f"GET {DISCOVERY} HTTP/1.1\r\n{host}{shown(scene)}{GIT2}\r\n")
        assert wire.answer()[0] == 200
