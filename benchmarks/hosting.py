"""Measures the Git listener: what an unchanged poll of a hosted repository costs the server.

    python benchmarks/hosting.py [--clients 8] [--polls 10000] [--repositories 10000]

A poll is one `ls-refs` of protocol version 2 over a kept connection, as the agent's watch asks; beside it the
whole of what `git ls-remote` asks, and the same by Git itself (version 0). `benchmarks/server.py` has
the figures of the API. Clients and server share this machine. Prints figures for people to judge.

With --repositories so many are hosted first (ten thousand take six minutes and 800 MB), and a new signing key
is made, for which every one of them gets a commit.
"""

import argparse
import asyncio
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from measure import cpu_seconds_of, memory_of

from support.hosted import TOKEN, Scene, opened
from support.server_process import ServerProcess

PREFIX = b"ref-prefix refs/heads/desired\n"
LIST = b"0014command=ls-refs\n0001%04x%b0000" % (len(PREFIX) + 4, PREFIX)


def head(scene: Scene, method: str, path: str, more: str = "") -> bytes:
    shown = f"Host: fleet\r\nAuthorization: Bearer {TOKEN}\r\n"
    return f"{method} /{scene.name}.git/{path} HTTP/1.1\r\n{shown}{more}\r\n".encode()


def listing(scene: Scene) -> bytes:
    more = (
        "Git-Protocol: version=2\r\nContent-Type: application/x-git-upload-pack-request\r\n"
        f"Content-Length: {len(LIST)}\r\n"
    )
    return head(scene, "POST", "git-upload-pack", more) + LIST


class Client:
    """One connection."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.bytes = 0

    async def connect(self) -> None:
        parts = urlsplit(self._scene.server.git_url)
        context = ssl.create_default_context(cafile=str(self._scene.authority))
        self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)

    async def ask(self, request: bytes) -> bytes:
        self._writer.write(request)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = next(line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await self._reader.readexactly(int(length[15:]))
        self.bytes = len(request) + len(answer) + len(body)
        return body

    def close(self) -> None:
        self._writer.transport.abort()


async def measure(scenes: list[Scene], polls: int) -> None:
    pid = scenes[0].server.pid
    clients = [Client(scene) for scene in scenes]
    for client in clients:
        await client.connect()
    discovery = "info/refs?service=git-upload-pack"
    version_2 = "Git-Protocol: version=2\r\n"
    for what, times, asked in (
        ("ls-refs, kept connection", polls, lambda one: [listing(one)]),
        ("both requests of git", polls, lambda one: [head(one, "GET", discovery, version_2), listing(one)]),
        ("version 0, by git itself", max(8, polls // 50), lambda one: [head(one, "GET", discovery)]),
    ):
        each = times // len(clients)
        cpu, clock = cpu_seconds_of(pid), time.monotonic()

        async def poll(client: Client, requests: list[bytes], count: int) -> None:
            for _ in range(count):
                for request in requests:
                    assert b"refs/heads/desired" in await client.ask(request) or len(requests) > 1

        await asyncio.gather(
            *(poll(client, asked(scene), each) for client, scene in zip(clients, scenes, strict=True))
        )
        done = each * len(clients)
        tell(f"{what}: server", (cpu_seconds_of(pid) - cpu) / done * 1e6, "us of a processor")
        tell(f"{what}: rate", done / (time.monotonic() - clock), "per second")
    await clients[0].ask(listing(scenes[0]))
    tell("ls-refs: request and answer", clients[0].bytes, "bytes before TLS")
    tell("the server's own memory", memory_of(pid).anonymous / 1024, "MiB")
    for client in clients:
        client.close()


def fill(server: ServerProcess, count: int) -> None:
    """Host `count` repositories, start the server anew, and replace the key that signs what is in them."""

    def host(number: int) -> None:
        name = f"full-{number:05}"
        server.operator.post(f"/devices/{name}/accept")
        server.operator.put(f"/devices/{name}/repository", {"kind": "hosted"})

    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(host, range(count)))
    tell("a repository hosted", (time.monotonic() - began) / count * 1e3, "ms")
    server.stop()
    began = time.monotonic()
    server.start()
    tell("ready with all of them after", time.monotonic() - began, "s")
    tell("the server's own memory", memory_of(server.pid).anonymous / 1024, "MiB")
    began = time.monotonic()
    signer = server.operator.post("/repositories/signers/rotate")["fingerprint"]
    while any(one["signer"] != signer for one in repositories(server)):
        time.sleep(1)
    tell("a new key is in all of them after", time.monotonic() - began, "s")


def repositories(server: ServerProcess) -> Iterator[Any]:
    path = "/repositories?limit=1000"
    while True:
        page = server.operator.get(path)
        yield from page["items"]
        if page["next"] is None:
            return
        path = f"/repositories?limit=1000&after={quote(page['next'])}"


def tell(what: str, value: float, unit: str) -> None:
    print(f"{what:<36} {value:>10.1f} {unit}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--polls", type=int, default=10_000)
    parser.add_argument("--repositories", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder:
        server = ServerProcess.create(Path(folder) / "server", hosts_repositories=True)
        with server:
            if arguments.repositories:
                fill(server, arguments.repositories)
            names = [f"edge-{number:05}" for number in range(arguments.clients)]
            asyncio.run(measure([opened(server, name, Path(folder)) for name in names], arguments.polls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
