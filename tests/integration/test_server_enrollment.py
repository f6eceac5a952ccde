"""Enrolment against a real server: tokens, identities, and the first poll."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from support.foreign_client import ForeignClient, csr_of, enroll, read_token, web_request
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("enrollment") / "server") as running:
        yield running


def invite(server: ServerProcess, name: str) -> str:
    token: str = server.operator.post("/enrollments", {"name": name})["token"]
    return token


@pytest.mark.requirement("ON-2", "ON-4", "ID-2", "S-9", "S-14", "S-15")
def test_one_pasted_token_makes_a_device_a_client(server: ServerProcess, tmp_path: Path) -> None:
    with ForeignClient.enrolled(invite(server, "edge-01"), tmp_path) as client:
        reply = client.poll()
    assert reply.status == 200
    assert reply.json == {"manifestVersion": 1, "bundle": None, "deployments": []}
    leaf = x509.load_pem_x509_certificate(client.svid.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://example.org/margo/wfm/main/client/edge-01"]


def test_the_same_key_may_ask_again_as_answers_get_lost(server: ServerProcess) -> None:
    token, key = invite(server, "edge-02"), ec.generate_private_key(ec.SECP256R1())
    first = enroll(token, csr_of(key))
    again = enroll(token, csr_of(key))
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json


def test_another_key_cannot_use_a_used_token(server: ServerProcess) -> None:
    token = invite(server, "edge-03")
    assert enroll(token, csr_of(ec.generate_private_key(ec.SECP256R1()))).status == 201
    refused = enroll(token, csr_of(ec.generate_private_key(ec.SECP256R1())))
    assert (refused.status, refused.headers["content-type"]) == (403, "application/problem+json")
    assert "used token" in refused.json["detail"]


def test_an_unknown_token_is_refused(server: ServerProcess) -> None:
    members = read_token(invite(server, "edge-04"))
    reply = web_request(
        "POST",
        members["u"],
        "/edgewright/v1/enroll",
        body=b'{"token": "AAAA", "csr": "%s"}'
        % csr_of(ec.generate_private_key(ec.SECP256R1())).replace("\n", "\\n").encode(),
    )
    assert reply.status == 403
    assert "unknown token" in reply.json["detail"]


def test_a_newer_invitation_withdraws_the_older(server: ServerProcess) -> None:
    older, newer = invite(server, "edge-05"), invite(server, "edge-05")
    key = ec.generate_private_key(ec.SECP256R1())
    assert "withdrawn token" in enroll(older, csr_of(key)).json["detail"]
    assert enroll(newer, csr_of(key)).status == 201


@pytest.mark.requirement("LC-6")
def test_after_a_device_enrolled_anew_its_old_key_opens_nothing(
    server: ServerProcess, tmp_path: Path
) -> None:
    old = ForeignClient.enrolled(invite(server, "edge-06"), tmp_path / "old")
    assert old.poll().status == 200
    with ForeignClient.enrolled(invite(server, "edge-06"), tmp_path / "new") as new:
        assert new.poll().status == 200
    refused = old.poll()
    assert (refused.status, refused.json["type"].rpartition("#")[2]) == (403, "not-authorized")
    old.close()


@pytest.mark.requirement("ID-22", "ID-23")
def test_a_retired_device_returns_with_its_own_key_alone(server: ServerProcess, tmp_path: Path) -> None:
    old = ForeignClient.enrolled(invite(server, "edge-07"), tmp_path / "old")
    with ForeignClient.enrolled(invite(server, "edge-07"), tmp_path / "new") as new:
        server.operator.delete("/devices/edge-07")
        assert new.poll().status == 403
        assert server.operator.request("POST", "/devices/edge-07/accept").status == 200
        assert (new.poll().status, old.poll().status) == (200, 403)
        assert server.operator.get("/devices/edge-07")["origin"] == "enrolled"
        assert server.operator.request("POST", "/devices/edge-07/accept").status == 200
        assert (new.poll().status, old.poll().status) == (200, 200)
    old.close()
