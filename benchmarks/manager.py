"""A fleet manager that only says "nothing new": mutual TLS 1.3, 304 for every poll with an entity tag.

    python benchmarks/manager.py CERTIFICATE KEY ANCHORS [git]

With `git` it is a Git server that asks for no certificate and whose branch never moves.

Prints its port, then, for each connection, the clock (monotonic seconds, one clock for all processes of
a machine) at the first 304. Small and in a process of its own, so that what is measured is the other side.
"""

import asyncio
import ssl
import sys
import time

NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
GIT = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-%s\r\nContent-Length: %d\r\n\r\n%s"
ADVERTISEMENT = (
    b"001e# service=git-upload-pack\n0000000eversion 2\n0013ls-refs=unborn\n0012fetch=shallow\n"
    b"0017object-format=sha1\n0000"
)
REFS = b"0040" + b"1" * 40 + b" refs/heads/desired\n0000"


def answer_to(request: bytes) -> bytes:
    """Return what is said to one whole request."""
    if request.startswith(b"POST /edge-01.git/"):
        return GIT % (b"result", len(REFS), REFS)
    if request.startswith(b"GET /edge-01.git/"):
        return GIT % (b"advertisement", len(ADVERTISEMENT), ADVERTISEMENT)
    return NOT_MODIFIED if request.startswith(b"GET") else CREATED


class Answering(asyncio.Protocol):
    """One connection: reports are created, everything else is not modified."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._waiting = b""
        self._polled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (size := request_size(self._waiting)) is not None:
            is_poll = self._waiting.startswith(b"GET")
            request, self._waiting = self._waiting[:size], self._waiting[size:]
            assert self._transport is not None
            self._transport.write(answer_to(request))
            if is_poll and not self._polled:
                self._polled = True
                print(time.monotonic(), flush=True)


def request_size(data: bytes) -> int | None:
    """Return the length of the first whole request in `data`, or None when it is not whole yet."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return len(head) + 4 + length if len(body) >= length else None


async def main(certificate: str, key: str, anchors: str, kind: str = "api") -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_NONE if kind == "git" else ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(anchors)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
