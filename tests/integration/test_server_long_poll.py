"""Polls that wait (RFC 7240): held by a real server over TLS, ended by everything that has to end them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.foreign_client import ForeignClient, HeldPoll, capabilities
from support.processes import wait_until
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("long-poll") / "server") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess, tmp_path: Path, unique: str) -> Iterator[ForeignClient]:
    with enrolled(server, unique, tmp_path / "client") as one:
        yield one


def enrolled(server: ServerProcess, name: str, folder: Path) -> ForeignClient:
    return ForeignClient.enrolled(server.operator.post("/enrollments", {"name": name})["token"], folder)


def polled(server: ServerProcess, client: ForeignClient) -> None:
    """Make sure that what was sent before has been taken in: the server has one thread for all."""
    client.poll()


def test_a_poll_waits_for_its_time_and_is_told_so(client: ForeignClient) -> None:
    with HeldPoll(client, wait=1) as held:
        status, headers = held.answer()
    assert (status, headers["etag"], headers["preference-applied"]) == (304, held.etag, "wait=1")
    assert headers["cache-control"] == "private"
    assert "content-length" not in headers


def test_a_change_is_answered_at_once(server: ServerProcess, client: ForeignClient, unique: str) -> None:
    client.report_capabilities(unique, capabilities(unique))
    with HeldPoll(client) as held:
        polled(server, client)
        assert held.is_waiting
        # Being accepted as another authority's client touches it; so does whatever is deployed to it.
        server.operator.post(f"/devices/{unique}/accept")
        status, headers = held.answer()
    assert (status, headers["preference-applied"]) == (304, "wait=60")


@pytest.mark.requirement("ID-22")
def test_retirement_ends_the_wait_with_a_refusal(
    server: ServerProcess, client: ForeignClient, unique: str
) -> None:
    with HeldPoll(client) as held:
        server.operator.delete(f"/devices/{unique}")
        status, headers = held.answer()
    assert (status, headers["content-type"]) == (403, "application/problem+json")


def test_no_wait_is_longer_than_a_minute(client: ForeignClient) -> None:
    with HeldPoll(client, wait=100_000) as held, HeldPoll(client, wait=100_000) as newer:
        status, headers = held.answer()
        assert status == 304
        assert "preference-applied" not in headers, "a newer poll of the same client takes the place"
        newer.ask()
        status, headers = newer.answer()
        assert (status, "preference-applied" in headers) == (304, False)


@pytest.mark.parametrize(
    ("headers", "status", "applied"),
    [
        pytest.param({"Prefer": "wait=5"}, 200, "wait=5", id="whoever knows nothing gets it all"),
        pytest.param({"Prefer": "wait=300", "If-None-Match": '"old"'}, 200, "wait=60", id="or knows old"),
        pytest.param({}, 200, None, id="who does not ask is not offered"),
        pytest.param({"Prefer": "wait=soon", "If-None-Match": "*"}, 304, None, id="no number"),
        pytest.param(
            {"Prefer": "wait=60", "If-None-Match": "*", "Accept": "text/html"}, 406, None, id="not served"
        ),
    ],
)
def test_what_needs_no_wait_is_answered_at_once(
    client: ForeignClient, headers: dict[str, str], status: int, applied: str | None
) -> None:
    reply = client.request("GET", "/api/v1/deployments", headers=headers)
    assert (reply.status, reply.headers.get("preference-applied")) == (status, applied)


def test_head_and_other_paths_never_wait(client: ForeignClient) -> None:
    wanted = {"Prefer": "wait=60", "If-None-Match": "*"}
    assert client.request("HEAD", "/api/v1/deployments", headers=wanted).status == 304
    assert client.request("GET", "/api/v1/bundles/x", headers=wanted).status == 404


def test_requests_sent_behind_a_poll_do_not_wait_for_it(client: ForeignClient) -> None:
    with HeldPoll(client, more=b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n") as held:
        status, headers = held.answer()
    assert (status, "preference-applied" in headers) == (304, False)


def test_who_goes_away_while_held_can_come_back(server: ServerProcess, client: ForeignClient) -> None:
    for _ in range(3):
        HeldPoll(client).reset()
        with HeldPoll(client) as left:
            polled(server, client)
            assert left.is_waiting
    with HeldPoll(client, wait=1) as held:
        assert held.answer()[1]["preference-applied"] == "wait=1"
    assert server.output.splitlines()[-1] == "ready"


@contextmanager
def one_that_holds_at_most(folder: Path, most: int) -> Iterator[ServerProcess]:
    server = ServerProcess.create(folder / "server")
    with (server.data / "server.yaml").open("a") as file:
        file.write(f"held_polls: {most}\n")
    with server:
        yield server


def test_beyond_the_limit_polls_are_answered_at_once(tmp_path: Path) -> None:
    with one_that_holds_at_most(tmp_path, 1) as server:
        first = enrolled(server, "first", tmp_path / "first")
        second = enrolled(server, "second", tmp_path / "second")
        with first, second, HeldPoll(first) as held:
            polled(server, first)
            with HeldPoll(second) as refused:
                status, headers = refused.answer()
            assert (status, "preference-applied" in headers) == (304, False)
            assert held.is_waiting
            held.reset()

            def is_free() -> bool:
                with HeldPoll(second, wait=1) as admitted:
                    return "preference-applied" in admitted.answer()[1]

            wait_until(is_free, what="the place was not given back")


def test_held_polls_do_not_hold_up_the_end(tmp_path: Path) -> None:
    server = ServerProcess.create(tmp_path / "server")
    with server:
        client = enrolled(server, "edge", tmp_path / "edge")
        held = HeldPoll(client)
        polled(server, client)
    with client, held:
        status, headers = held.answer()
        assert (status, headers["connection"], "preference-applied" in headers) == (304, "close", False)
    assert server.output.splitlines()[-1] == "ready"


def test_a_negative_limit_is_refused(tmp_path: Path) -> None:
    from support.server_process import command

    data = ServerProcess.create(tmp_path / "server").data
    with (data / "server.yaml").open("a") as file:
        file.write("held_polls: -1\n")
    done = command("run", "--data", data)
    assert done.returncode == 2
    assert "held_polls" in done.stderr
