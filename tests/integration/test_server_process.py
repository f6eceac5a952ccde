"""The life of a server: made, started, refused, killed, put back from a backup."""

import json
import shutil
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from support.foreign_client import ForeignClient, capabilities, web_request
from support.server_process import ServerProcess, command


def init(data: Path, *more: str) -> tuple[int, str]:
    done = command("init", "--data", data, "--trust-domain", "example.org", *more)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--trust-domain", "Example.org"], "trust domain 'Example.org'", id="upper case domain"),
        pytest.param(["--trust-domain", "a/b"], "trust domain 'a/b'", id="domain with a path"),
        pytest.param(["--wfm-id", ".."], "WFM id: identifier '..'", id="dots as WFM id"),
        pytest.param(["--host", "http://x"], "host 'http://x'", id="host that is a URL"),
        pytest.param(["--device-listen", "443"], "expected HOST:PORT", id="port alone"),
        pytest.param(["--web-listen", "::1:80"], "needs brackets", id="IPv6 without brackets"),
        pytest.param(["--device-url", "http://x"], "expected https://", id="URL without TLS"),
    ],
)
def test_init_refuses_bad_names_in_one_line_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    code, error = init(tmp_path / "server", *arguments)
    assert code == 2
    assert told in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "server").exists()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    data = tmp_path / "server"
    assert init(data)[0] == 0
    before = (data / "identity" / "ca.key").read_bytes()
    code, error = init(data)
    assert (code, (data / "identity" / "ca.key").read_bytes()) == (2, before)
    assert "holds a server already" in error


def test_init_takes_no_directory_with_other_things_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, error = init(tmp_path)
    assert code == 2
    assert "notes.txt" in error
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_init_says_where_it_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, error = init(tmp_path / "file" / "server")
    assert code == 2
    assert str(tmp_path / "file") in error


def test_secrets_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    data = ServerProcess.create(tmp_path / "server").data
    for path in (data, *data.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.requirement("SVID-1", "SVID-2", "SVID-3", "SVID-4", "ID-1", "ID-8")
def test_what_init_issues_has_the_shapes_of_the_specification(tmp_path: Path) -> None:
    folder = ServerProcess.create(tmp_path / "server").data / "identity"
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    server = x509.load_pem_x509_certificate((folder / "wfm.pem").read_bytes())

    def uris(certificate: x509.Certificate) -> list[str]:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [str(name.value) for name in names]

    assert uris(authority) == ["spiffe://example.org"]
    assert uris(server) == ["spiffe://example.org/margo/wfm/main"]
    server.verify_directly_issued_by(authority)


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    data = ServerProcess.create(tmp_path / "server").data
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command("run", "--data", data, "--device-listen", "127.0.0.1:0", "--web-listen", address)
    assert done.returncode == 2
    assert address in done.stderr
    assert "--web-listen" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_says_what_is_missing(tmp_path: Path) -> None:
    done = command("run", "--data", tmp_path)
    assert done.returncode == 2
    assert "edgewright server init" in done.stderr


def test_run_names_a_setting_nobody_knows(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    with (server.data / "server.yaml").open("a") as file:
        file.write("colour: red\n")
    done = command("run", "--data", server.data)
    assert done.returncode == 2
    assert "server.yaml" in done.stderr
    assert "colour" in done.stderr


def test_run_names_a_missing_key(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    (server.data / "identity" / "ca.key").unlink()
    listen = ("--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
    done = command("run", "--data", server.data, *listen)
    assert done.returncode == 2
    assert "ca.key" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_names_a_damaged_database(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    (server.data / "edgewright.db").write_bytes(b"not a database, but long enough to look at" * 100)
    listen = ("--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
    done = command("run", "--data", server.data, *listen)
    assert done.returncode == 2
    assert "edgewright.db" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.requirement("OP-16")
def test_a_server_never_starts_from_nothing_where_there_was_something(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    (server.data / "edgewright.db").unlink()
    listen = ("--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
    for arguments in (("run", "--data", server.data, *listen), ("renumber", "--data", server.data)):
        done = command(*arguments)
        assert done.returncode == 2
        assert "edgewright.db is missing" in done.stderr
    assert not (server.data / "edgewright.db").exists()


def test_a_database_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    with closing(sqlite3.connect(server.data / "edgewright.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    listen = ("--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
    done = command("run", "--data", server.data, *listen)
    assert done.returncode == 2
    assert "newer version" in done.stderr


def test_two_servers_never_share_a_directory(tmp_path: Path) -> None:
    with ServerProcess.create(tmp_path / "server") as server:
        listen = ("--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0")
        done = command("run", "--data", server.data, *listen)
    assert done.returncode == 2
    assert "another server is running" in done.stderr


def test_a_server_says_nothing_of_requests_and_cleans_up_after_itself(tmp_path: Path) -> None:
    with ServerProcess.create(tmp_path / "server") as server:
        server.operator.get("/devices")
        about = json.loads((server.data / "run.json").read_bytes())
        assert (about["device_url"], about["web_url"]) == (server.device_url, server.web_url)
    lines = server.output.splitlines()
    assert lines == [f"device API    {server.device_url}", f"web, operator {server.web_url}", "ready"]
    assert not (server.data / "run.json").exists()


def test_a_connected_device_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with ServerProcess.create(tmp_path / "server") as server:
        token = server.operator.post("/enrollments", {"name": "edge-01"})["token"]
        client = ForeignClient.enrolled(token, tmp_path / "edge")
        assert client.poll().status == 200
    assert server.output.splitlines()[-1] == "ready"
    client.close()


@pytest.mark.requirement("DS-7", "OP-16")
def test_nothing_that_was_answered_is_forgotten_by_a_kill(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    with server:
        token = server.operator.post("/enrollments", {"name": "edge-01"})["token"]
        with ForeignClient.enrolled(token, tmp_path / "edge") as client:
            assert client.report_capabilities("edge-01", capabilities("edge-01")).status == 201
            before = client.poll()
            server.kill()
            client.close()
            server.start()
            after = client.poll()
        assert (after.status, after.body) == (200, before.body)
        assert [one["device_id"] for one in server.operator.get("/devices/edge-01")["devices"]] == ["edge-01"]


@pytest.mark.requirement("OP-16", "DS-7")
def test_after_a_backup_was_put_back_versions_go_on_above_what_devices_have_seen(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    backup = tmp_path / "backup.db"
    with server:
        token = server.operator.post("/enrollments", {"name": "edge-01"})["token"]
        client = ForeignClient.enrolled(token, tmp_path / "edge")
    shutil.copy(server.data / "edgewright.db", backup)
    shutil.copy(backup, server.data / "edgewright.db")
    done = command("renumber", "--data", server.data)
    assert (done.returncode, done.stdout) == (0, "renumbered the manifests of 1 devices\n")
    with server, client:
        seen = client.poll()
    assert seen.json["manifestVersion"] > 1_700_000_000
    assert seen.json["deployments"] == []


@pytest.mark.requirement("TB-1", "TB-2", "TB-4", "TB-8", "TB-9")
def test_the_trust_domain_can_be_discovered(tmp_path: Path) -> None:
    with ServerProcess.create(tmp_path / "server", trust_domain="plant.test") as server:
        discovery = web_request("GET", server.web_url, "/.well-known/margo")
        assert discovery.json == {
            "trustDomain": "plant.test",
            "trustBundleUri": f"{server.web_url}/.well-known/spiffe/bundle.json",
        }
        bundle = web_request("GET", server.web_url, "/.well-known/spiffe/bundle.json")
        again = web_request(
            "GET",
            server.web_url,
            "/.well-known/spiffe/bundle.json",
            headers={"If-None-Match": bundle.headers["etag"]},
        )
    assert (discovery.status, bundle.status, again.status) == (200, 200, 304)
    assert bundle.json["spiffe_sequence"] == 1
    assert [key["use"] for key in bundle.json["keys"]] == ["x509-svid"]
