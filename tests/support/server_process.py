"""A real `edgewright server`, made and run as a person would, on free ports, handed out ready.

with ServerProcess.create(tmp_path / "server") as server:
    server.operator.post("/enrollments", {"name": "edge-01"})
"""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from support.processes import own_environment, start, stop, tail, wait_until

COMMAND = (sys.executable, "-m", "edgewright.cli.main", "server")


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `edgewright server ...` to its end and return how it ended."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the operator API answered; `json` is None without a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class OperatorClient:
    """Talks to the operator API with nothing but the standard library; paths are below its prefix."""

    url: str
    token: str
    ca: str

    def request(
        self,
        method: str,
        path: str,
        value: Any = None,
        *,
        body: bytes | None = None,
        media_type: str = "application/json",
        token: str | None = None,
        prefix: str = "/operator/v1",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer, whatever its status."""
        parts = urlsplit(self.url)
        context = ssl.create_default_context(cadata=self.ca)
        connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)
        try:
            content = json.dumps(value).encode() if value is not None else body
            sent = {"Authorization": f"Bearer {self.token if token is None else token}", **(headers or {})}
            if content is not None:
                sent["Content-Type"] = media_type
            connection.request(method, prefix + path, body=content, headers=sent)
            answer = connection.getresponse()
            names = {name.lower(): text for name, text in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Return the JSON of a GET that has to succeed."""
        return self._succeed(self.request("GET", path))

    def items(self, path: str) -> list[Any]:
        """Return the entries of a list that fits on one page."""
        page = self.get(path)
        assert page["next"] is None, page["total"]
        found: list[Any] = page["items"]
        return found

    def post(self, path: str, value: Any = None, **more: Any) -> Any:
        """Return the JSON of a POST that has to succeed."""
        return self._succeed(self.request("POST", path, value, **more))

    def put(self, path: str, value: Any) -> Any:
        """Return the JSON of a PUT that has to succeed."""
        return self._succeed(self.request("PUT", path, value))

    def delete(self, path: str) -> Any:
        """Return the JSON of a DELETE that has to succeed."""
        return self._succeed(self.request("DELETE", path))

    def _succeed(self, answer: Answer) -> Any:
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json


@dataclass(slots=True)
class ServerProcess:
    """One server over its data directory; may be stopped and started again on the same ports."""

    data: Path
    trust_domain: str = "example.org"
    wfm_id: str = "main"
    hosts_repositories: bool = False
    log: Path = field(init=False)
    device_url: str = field(init=False, default="https://127.0.0.1:0")
    web_url: str = field(init=False, default="https://127.0.0.1:0")
    git_url: str = field(init=False, default="https://127.0.0.1:0")
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.log = self.data.with_name(f"{self.data.name}.log")

    @classmethod
    def create(
        cls,
        data: Path,
        *,
        trust_domain: str = "example.org",
        wfm_id: str = "main",
        hosts_repositories: bool = False,
        host: str = "127.0.0.1",
    ) -> Self:
        """Make the data directory for a server on the address `host`, with a Git listener if asked for."""
        done = command(
            "init", "--data", data, "--trust-domain", trust_domain, "--wfm-id", wfm_id, "--host", host
        )
        assert done.returncode == 0, done.stderr
        made = cls(data, trust_domain, wfm_id, hosts_repositories)
        made.device_url = made.web_url = made.git_url = f"https://{f'[{host}]' if ':' in host else host}:0"
        return made

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, on the ports of the last time if there was one, and return when it is ready."""
        urls = {"device": self.device_url, "web": self.web_url}
        if self.hosts_repositories:
            urls["git"] = self.git_url
        listen = [word for name, url in urls.items() for word in (f"--{name}-listen", urlsplit(url).netloc)]
        process = start(
            [*COMMAND, "run", "--data", str(self.data), *listen],
            log=self.log,
            environment=environment(),
        )
        self._process = process
        wait_until(
            lambda: self._about().get("pid") == process.pid,
            what="the server did not become ready",
            alive=lambda: process.poll() is None,
        )
        about = self._about()
        self.device_url, self.web_url = about["device_url"], about["web_url"]
        self.git_url = about["git_url"] or self.git_url

    def stop(self) -> None:
        """End the server and wait for that."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def kill(self) -> None:
        """End the server as a power cut would."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return int(self._about()["pid"])

    @property
    def operator(self) -> OperatorClient:
        """A client with the token that `init` made."""
        content = json.loads((self.data / "operator.json").read_bytes())
        return OperatorClient(content["url"], content["token"], content["ca"])

    @property
    def output(self) -> str:
        """What the server has said so far."""
        return tail(self.log, 200)

    def _about(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.data / "run.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found


def environment() -> dict[str, str]:
    path = os.environ.get("PYTHONPATH")
    return own_environment(**({"PYTHONPATH": path} if path else {}))
