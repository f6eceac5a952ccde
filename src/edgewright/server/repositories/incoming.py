"""Reads the bodies of Git's requests into a file before Git sees them, with an end in size and in time.

So no slow client keeps a process waiting. Bodies may be packed with gzip, as Git's own client does: what
they unpack to has the same end.
"""

import asyncio
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from edgewright.protocol.problem import ProblemType
from edgewright.server.problems import ProblemError

IN_MEMORY_BYTES = 256 * 1024
_LONGEST_LENGTH = 18
_GZIP = 16 + zlib.MAX_WBITS


class GoneError(Exception):
    """The other end went away; there is nobody to answer."""


class StalledError(Exception):
    """The other end does not read what it asked for."""


async def spool(
    receive: Any, headers: Mapping[bytes, bytes], *, limit: int, seconds: float, folder: Path
) -> IO[bytes]:
    """Return the body in an unnamed file, at its beginning, unpacked if it was packed.

    Raises `ProblemError` 400, 408, 413 or 415, and `GoneError`. The file belongs to the caller. The rest of a
    body that is refused is for the connection to throw away: closed at once, its sender would never read why.
    """
    unpacker = _unpacker(headers.get(b"content-encoding", b"identity"))
    announced = headers.get(b"content-length", b"0").lstrip(b"0")
    # Python reads no number of thousands of digits.
    if announced.isdigit() and (len(announced) > _LONGEST_LENGTH or int(announced) > limit):
        raise _too_long(limit)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder))  # noqa: SIM115 - the caller's
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                piece = message.get("body", b"")
                file.write(unpacker.unpack(piece, limit - file.tell() + 1) if unpacker else piece)
                if file.tell() > limit:
                    raise _too_long(limit)
                if not message.get("more_body", False):
                    break
        if unpacker is not None and not unpacker.is_whole:
            raise ProblemError(ProblemType.INVALID_REQUEST, "the gzip body is cut off")
        file.seek(0)
    except TimeoutError as error:
        file.close()
        detail = f"the body did not arrive within {seconds:g} s"
        raise ProblemError(ProblemType.BLANK, detail, status=408) from error
    except BaseException:
        file.close()
        raise
    return file


class _Unpacker:
    """Unpacks one gzip member piece by piece, never more at once than asked for."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP)

    @property
    def is_whole(self) -> bool:
        """Whether the end has come, with a right checksum."""
        return self._inflate.eof

    def unpack(self, piece: bytes, most: int) -> bytes:
        """Return at most `most` bytes of what `piece` continues; raises `ProblemError`."""
        try:
            unpacked = self._inflate.decompress(piece, most)
        except zlib.error as error:
            raise ProblemError(ProblemType.INVALID_REQUEST, f"the body is no gzip: {error}") from error
        if self._inflate.unused_data:
            raise ProblemError(ProblemType.INVALID_REQUEST, "there is more behind the end of the gzip body")
        return unpacked


def _unpacker(encoding: bytes) -> _Unpacker | None:
    name = encoding.strip().lower()
    if name in {b"gzip", b"x-gzip"}:
        return _Unpacker()
    if name in {b"", b"identity"}:
        return None
    raise ProblemError(
        ProblemType.BLANK,
        f"content encoding '{name.decode('latin-1')[:40]}': expected gzip or none",
        status=415,
    )


def _too_long(limit: int) -> ProblemError:
    return ProblemError(ProblemType.BLANK, f"the body is longer than {limit} bytes", status=413)
