"""A fleet manager that only says "nothing new": mutual TLS 1.3, 304 for every poll with an entity tag.

    python benchmarks/manager.py CERTIFICATE KEY ANCHORS

Prints its port, then, for each connection, the clock (monotonic seconds, one clock for all processes of
a machine) at the first 304. Small and in a process of its own, so that what is measured is the other side.
"""

import asyncio
import ssl
import sys
import time

NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


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
            self._waiting = self._waiting[size:]
            assert self._transport is not None
            self._transport.write(NOT_MODIFIED if is_poll else CREATED)
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


async def main(certificate: str, key: str, anchors: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(anchors)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
