"""`edgewright login`: what is tried before anything is kept."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright.cli.errors import RefusedError
from edgewright.cli.main import run
from edgewright.net.http import CertificateError, HttpError

CONTEXT = json.dumps({"url": "https://wfm.example:8443", "token": "t"}).encode()


class FakeOperator:
    """A fleet manager that answers in turn with `answers`: an error to raise, or None for a good one."""

    answers: Iterator[Exception | None]
    url = "https://wfm.example:8443"

    def __init__(self, _context: object) -> None:
        pass

    def get(self, _path: str) -> object:
        answer = next(self.answers)
        if answer is not None:
            raise answer
        return []


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the context is kept; operator.json lies beside it."""
    monkeypatch.setenv("EDGEWRIGHT_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr("edgewright.cli.operator_client.Operator", FakeOperator)
    monkeypatch.setattr("edgewright.cli.login.POLL_SECONDS", 0.0)
    (tmp_path / "operator.json").write_bytes(CONTEXT)
    return tmp_path / "context.json"


def login(kept: Path, *answers: Exception | None) -> int:
    FakeOperator.answers = iter(answers)
    return run(["login", str(kept.with_name("operator.json"))])


def test_a_context_that_works_is_kept(kept):
    assert login(kept, None) == 0
    assert kept.read_bytes() == CONTEXT


def test_a_server_that_was_just_started_is_waited_for(kept, capsys):
    refused = HttpError("https://wfm.example:8443", "connection refused")
    assert login(kept, refused, refused, None) == 0
    assert capsys.readouterr().err == "waiting for https://wfm.example:8443 ...\n"


def test_a_server_that_does_not_come_is_given_up(kept, monkeypatch):
    monkeypatch.setattr("edgewright.cli.login.START_SECONDS", 0.0)
    with pytest.raises(HttpError):
        login(kept, *[HttpError("https://wfm.example:8443", "connection refused")] * 1000)
    assert not kept.exists()


@pytest.mark.parametrize(
    "error", [RefusedError("no", status=401), CertificateError("https://wfm.example:8443", "unknown")]
)
def test_what_waiting_does_not_cure_is_not_waited_for(kept, error):
    with pytest.raises(type(error)):
        login(kept, error)
    assert not kept.exists()


def test_a_context_may_come_from_standard_input_unchecked(kept, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CONTEXT)))
    assert run(["login", "-", "--no-check"]) == 0
    assert kept.read_bytes() == CONTEXT
