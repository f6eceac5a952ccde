"""Registries that are not well while they are looked through: nothing is lost, and people are told."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgewright.protocol.digests import digest_of
from edgewright.protocol.media_types import APP_DESCRIPTION_LAYER, OCI_MANIFEST
from edgewright.protocol.oci import app_manifest, describe
from support.packages import describing
from support.processes import wait_until
from support.server_process import OperatorClient, ServerProcess


class OddRegistry:
    """A registry in memory that fails as it is told: `fails` maps a path to a status, or to None."""

    def __init__(self) -> None:
        self.tags: dict[str, bytes | None] = {}
        self.blobs: dict[str, bytes] = {}
        self.fails: Callable[[str], int | None] = lambda path: None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, headers = registry.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - named by the base class

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, tag: str, description: bytes) -> None:
        """Hold a package under a tag."""
        self.tags[tag] = app_manifest(describe(description, APP_DESCRIPTION_LAYER))
        self.blobs[digest_of(description)] = description

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        status = self.fails(path)
        if status is not None:
            return status, b'{"errors": [{"message": "not well"}]}', {}
        _, _, kind, last = path.partition("?")[0].rsplit("/", 3)
        if kind == "tags":
            return 200, json.dumps({"tags": list(self.tags)}).encode(), {}
        found = self.blobs.get(last) if kind == "blobs" else self.tags.get(last)
        if found is None:
            return 404, b'{"errors": [{"message": "unknown"}]}', {}
        return 200, found, {"content-type": OCI_MANIFEST, "docker-content-digest": digest_of(found)}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorClient]:
    with ServerProcess.create(tmp_path_factory.mktemp("odd") / "server") as running:
        yield running.operator


@pytest.fixture
def registry() -> Iterator[OddRegistry]:
    made = OddRegistry()
    yield made
    made.close()


def look(operator: OperatorClient, name: str, registry: OddRegistry) -> dict[str, Any]:
    """Look through the registry and return the source when that has ended."""
    place = {"location": registry.host, "repositories": ["shop"]}
    operator.put(f"/sources/{name}", {"kind": "registry", "every_minutes": None, **place})

    def ended() -> dict[str, Any] | None:
        shown: dict[str, Any] = operator.get(f"/sources/{name}")
        return shown if shown["status"]["state"] not in {"running", "never"} else None

    return wait_until(ended, what=f"looking through {name} did not end")


def test_tags_that_lead_nowhere_do_not_keep_the_others_from_being_imported(
    operator: OperatorClient, registry: OddRegistry, unique: str
) -> None:
    registry.tags |= dict.fromkeys([f"0.{number}" for number in range(6)])
    registry.put("1.0.0", describing(unique))
    shown = look(operator, unique, registry)
    assert (shown["status"]["state"], shown["offers"]) == ("problems", {"imported": 1, "bad": 6})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_imported_stays_when_the_registry_is_not_well(
    operator: OperatorClient, registry: OddRegistry, unique: str, status: int
) -> None:
    for version in ("1.0.0", "1.1.0"):
        registry.put(version, describing(unique, version))
    assert look(operator, unique, registry)["offers"] == {"imported": 2}
    for part in ("/tags/list", "/manifests/"):
        registry.fails = lambda path, part=part: status if part in path else None  # type: ignore[misc]
        shown = look(operator, unique, registry)
        assert (shown["status"]["state"], shown["offers"]) == ("failed", {"imported": 2}), part
        assert "not well" in shown["status"]["message"]
    registry.fails = lambda path: None
    assert look(operator, unique, registry)["status"]["state"] == "ok"


def test_a_blob_that_is_not_what_it_should_be_is_not_taken(
    operator: OperatorClient, registry: OddRegistry, unique: str
) -> None:
    registry.put("1.0.0", describing(unique))
    digest = next(iter(registry.blobs))
    good, registry.blobs[digest] = registry.blobs[digest], describing(unique, parameters={})
    shown = look(operator, unique, registry)
    assert shown["offers"] == {"bad": 1}
    told = operator.get(f"/sources/{unique}/offers")["items"][0]["problems"][0]["message"]
    assert digest in told
    registry.blobs[digest] = good
    assert look(operator, unique, registry)["offers"] == {"imported": 1}


def test_a_page_to_log_in_in_place_of_tags_is_told(
    operator: OperatorClient, registry: OddRegistry, unique: str
) -> None:
    registry.tags = {}
    registry.answer = lambda path: (200, b"<html>Please log in</html>", {"content-type": "text/html"})  # type: ignore[method-assign]
    shown = look(operator, unique, registry)
    assert shown["status"]["state"] == "failed"
    assert "not a list of tags" in shown["status"]["message"]
