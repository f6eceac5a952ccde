"""Measures the fleet manager: what an unchanged poll costs it, and what a connection and a held poll weigh.

    python benchmarks/server.py [--clients 3000] [--polls 20000]

A real server, and that many clients with a certificate and a connection each, all on this machine. Prints
figures for people to judge; the default of `held_polls` was set from them.
"""

import argparse
import asyncio
import ssl
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from measure import cpu_seconds_of, memory_of

from edgewright.server.fleet import membership
from edgewright.server.store.database import Database
from support.certificates import Authority, make_key
from support.server_process import ServerProcess

POLL = (
    b"GET /api/v1/deployments HTTP/1.1\r\nHost: fleet\r\nAccept: application/vnd.margo.manifest.v1+json\r\n"
)
AT_ONCE = 100
SETTLE_SECONDS = 5


async def accept(server: ServerProcess, names: list[str]) -> None:
    """Let clients in whose certificates another authority makes."""
    async with Database(server.data / "edgewright.db") as database, database.writing() as connection:
        for name in names:
            await membership.accept(connection, name, actor="benchmark", now=datetime.now(UTC))


class Client:
    """One device on one connection."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self._address = address
        self._context = context
        self.etag = b""

    async def connect(self) -> None:
        host, port = self._address
        self.reader, self.writer = await asyncio.open_connection(host, port, ssl=self._context, limit=2**16)
        head = await self.ask(b"")
        self.etag = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"etag:"))[
            5:
        ].strip()

    async def ask(self, headers: bytes) -> bytes:
        """Poll, and return the head of the answer."""
        self.writer.write(POLL + headers + b"\r\n")
        return await self.answer()

    async def answer(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:") and not head.startswith(b"HTTP/1.1 304"):
                await self.reader.readexactly(int(line[15:]))
        return head

    def hold(self) -> None:
        """Poll and let the server keep us waiting."""
        self.writer.write(POLL + b"If-None-Match: " + self.etag + b"\r\nPrefer: wait=60\r\n\r\n")


def contexts(authority: Authority, names: list[str], folder: Path) -> list[ssl.SSLContext]:
    key = make_key()
    made = []
    for name in names:
        issued = authority.client(client=name, public_key=key.public_key())
        files = type(issued)(issued.certificate, key).write(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(files.certificate, files.key)
        made.append(context)
    return made


async def measure(server: ServerProcess, made: list[ssl.SSLContext], polls: int) -> None:
    parts = urlsplit(server.device_url)
    pid = server.pid
    clients = [Client((parts.hostname or "", parts.port or 0), context) for context in made]

    def anonymous() -> int:
        return memory_of(pid).anonymous * 1024

    for client in clients[:50]:
        await client.connect()
    before = anonymous()
    for start in range(50, len(clients), AT_ONCE):
        await asyncio.gather(*(client.connect() for client in clients[start : start + AT_ONCE]))
    tell("an idle connection", (anonymous() - before) / (len(clients) - 50), "bytes")

    conditional = b"If-None-Match: " + clients[0].etag + b"\r\n"
    cpu, clock = cpu_seconds_of(pid), time.monotonic()
    await asyncio.gather(*(repeat(client, conditional, polls // 8) for client in clients[:8]))
    tell("a poll without a change", (cpu_seconds_of(pid) - cpu) / polls * 1e6, "us of a processor")
    tell("polls, clients on the same machine", polls / (time.monotonic() - clock), "per second")

    before = anonymous()
    for client in clients:
        client.hold()
    await asyncio.sleep(SETTLE_SECONDS)
    tell("a held poll, beside its connection", (anonymous() - before) / len(clients), "bytes")
    cpu = cpu_seconds_of(pid)
    await asyncio.sleep(SETTLE_SECONDS)
    tell("holding them all", (cpu_seconds_of(pid) - cpu) / SETTLE_SECONDS * 100, "% of a processor")
    cpu = cpu_seconds_of(pid)
    for client in clients:
        client.writer.transport.abort()
    await asyncio.sleep(SETTLE_SECONDS)
    tell(
        "one that goes away while held", (cpu_seconds_of(pid) - cpu) / len(clients) * 1e6, "us of a processor"
    )


def tell(what: str, value: float, unit: str) -> None:
    print(f"{what:<36} {value:>10.1f} {unit}", flush=True)


async def repeat(client: Client, headers: bytes, times: int) -> None:
    for _ in range(times):
        head = await client.ask(headers)
        assert head.startswith(b"HTTP/1.1 304"), head


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=3000)
    parser.add_argument("--polls", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder:
        server = ServerProcess.create(Path(folder) / "server")
        names = [f"edge-{number:05}" for number in range(arguments.clients)]
        authority = Authority.create("example.org")
        (server.data / "identity" / "anchors").mkdir(exist_ok=True)
        (server.data / "identity" / "anchors" / "bench.pem").write_bytes(authority.pem)
        asyncio.run(accept(server, names))
        made = contexts(authority, names, Path(folder))
        with server:
            asyncio.run(measure(server, made, arguments.polls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
