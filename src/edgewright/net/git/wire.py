"""Git's smart HTTP protocol as bytes, as far as it takes to ask where branches are: no sockets, no objects.

Packets (gitprotocol-common(5)), the capability advertisement and `ls-refs` of protocol version 2
(gitprotocol-v2(5)), and the list of branches with which a server of version 0 answers in its place
(gitprotocol-http(5)). Both ends are here: what the agent's watch asks, and what our own server answers.

The reader is strict and everything is bounded: what is not Git's is told from what is, and never guessed at.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import re
from collections.abc import Iterable, Iterator

from edgewright.protocol.errors import EdgewrightError

SERVICE = "git-upload-pack"
ADVERTISEMENT_PATH = f"/info/refs?service={SERVICE}"
SERVICE_PATH = f"/{SERVICE}"
ADVERTISEMENT_TYPE = f"application/x-{SERVICE}-advertisement"
REQUEST_TYPE = f"application/x-{SERVICE}-request"
RESULT_TYPE = f"application/x-{SERVICE}-result"
VERSION_HEADER = ("git-protocol", "version=2")

FLUSH, DELIMITER, RESPONSE_END = 0, 1, 2
"""The packets without content: end of a message, of a section, of an answer."""
MAX_PACKET_BYTES = 65520
"""Of one packet with its length in front of it (gitprotocol-common(5))."""
MAX_NAME_BYTES = 1024
MAX_CAPABILITIES = 256
MAX_PREFIXES = 256
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_NAME = re.compile(rb"[!-~\x80-\xff]+")
_ID_LENGTHS = {"sha1": 40, "sha256": 64}
_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_SHOWN_BYTES = 200
_NO_REFS = b"capabilities^{}"  # stands for no branch at all in version 0

Packet = bytes | int
"""Content, or one of the three packets without any."""


class GitWireError(EdgewrightError):
    """The bytes are not the message of Git's protocol they have to be."""

    code = "git.bad-answer"
    retryable = True


class GitRefusedError(EdgewrightError):
    """The Git server answered with an error of its own (an `ERR` packet)."""

    code = "git.refused"
    retryable = True


class Advertisement:
    """What a server said first: `version` 2 or 0, its `object_format`, and its capabilities by name.

    `refs` maps branch to commit id. Only a server of version 0 tells it here; otherwise it is None.
    """

    __slots__ = ("capabilities", "object_format", "refs", "version")

    def __init__(self, version: int, capabilities: dict[str, str], refs: dict[str, str] | None) -> None:
        self.version = version
        self.capabilities = capabilities
        self.object_format = capabilities.get("object-format", "sha1")
        self.refs = refs
        if self.object_format not in _ID_LENGTHS:
            raise GitWireError(f"the object format {_shown(self.object_format.encode())} is not known")
        if version == 2 and "ls-refs" not in capabilities:
            raise GitWireError("the server does not offer to list branches (ls-refs)")


class Command:
    """One request of version 2: its `name`, the capabilities used with it, its arguments in order."""

    __slots__ = ("arguments", "capabilities", "name")

    def __init__(self, name: str, capabilities: dict[str, str], arguments: list[bytes]) -> None:
        self.name = name
        self.capabilities = capabilities
        self.arguments = arguments


class LsRefs:
    """What `ls-refs` asks for: branches that begin with any of `prefixes`, all where there are none."""

    __slots__ = ("peel", "prefixes", "symrefs", "unborn")

    def __init__(self, command: Command) -> None:
        self.prefixes: list[str] = []
        for argument in command.arguments:
            word, _, rest = argument.partition(b" ")
            if word == b"ref-prefix":
                self.prefixes.append(_text(rest, "a prefix of branches"))
            elif argument not in (b"peel", b"symrefs", b"unborn"):
                raise GitWireError(f"ls-refs has no argument {_shown(argument)}")
        if len(self.prefixes) > MAX_PREFIXES:
            self.prefixes = []  # as git does: the client filters what it is told too much
        self.peel = b"peel" in command.arguments
        self.symrefs = b"symrefs" in command.arguments
        self.unborn = b"unborn" in command.arguments

    def wants(self, ref: str) -> bool:
        """Whether `ref` is among what was asked for."""
        return not self.prefixes or any(ref.startswith(prefix) for prefix in self.prefixes)


def packet(content: bytes) -> bytes:
    """Return `content` as a packet."""
    length = len(content) + 4
    if length > MAX_PACKET_BYTES or not content:
        raise GitWireError(f"a packet holds 1 to {MAX_PACKET_BYTES - 4} bytes, not {len(content)}")
    return b"%04x%b" % (length, content)


def marker(kind: int) -> bytes:
    """Return one of the packets without content."""
    return b"%04x" % kind


_NAMED_AND_EMPTY = packet(f"# service={SERVICE}\n".encode()) + marker(FLUSH) * 2
"""What old servers say of a repository without a branch."""


def read_packets(data: bytes) -> Iterator[Packet]:
    """Yield the packets in `data`, all of which has to be packets. Raises GitWireError."""
    at = 0
    while at < len(data):
        length = packet_length(data[at : at + 4])
        if length <= RESPONSE_END:
            at += 4
            yield length
            continue
        if at + length > len(data):
            raise GitWireError(
                f"it ends in the middle of a packet, {at + length - len(data)} bytes too early"
            )
        yield data[at + 4 : at + length]
        at += length


def packet_length(digits: bytes) -> int:
    """Return the length that the first four bytes of a packet tell, themselves included, or its marker."""
    if not _LENGTH.fullmatch(digits):
        raise GitWireError(f"expected the length of a packet, not {_shown(digits)}")
    length = int(digits, 16)
    if length in (3, 4) or length > MAX_PACKET_BYTES:
        raise GitWireError(f"a packet has 5 to {MAX_PACKET_BYTES} bytes, not {length}")
    return length


def read_advertisement(body: bytes, wanted: Iterable[str] = ()) -> Advertisement:
    """Read what a server answers to `ADVERTISEMENT_PATH`; of version 0 the refs in `wanted`, or all.

    Raises GitWireError, GitRefusedError.
    """
    packets = read_packets(body)
    first = _line(packets)
    if first.startswith(b"# service="):
        service = first.removeprefix(b"# service=")
        if service != SERVICE.encode():
            raise GitWireError(f"it is the answer of another service: {_shown(service)}")
        if next(packets, None) != FLUSH:
            raise GitWireError("the name of the service is not followed by an end")
        if body == _NAMED_AND_EMPTY:
            return Advertisement(0, {}, {})
        first = _line(packets)
    if first == b"version 2":
        return Advertisement(2, _read_capabilities(packets), None)
    if first == b"version 1":
        first = _line(packets)
    elif first.startswith(b"version "):
        raise GitWireError(f"it speaks a {_shown(first)} that is not known")
    return _read_old_advertisement(first, packets, frozenset(wanted))


def render_advertisement(capabilities: Iterable[str]) -> bytes:
    """Render the advertisement of version 2 with `capabilities` (`ls-refs=unborn`, `fetch=shallow` ...)."""
    lines = [packet(b"version 2\n"), *(packet(each.encode("ascii") + b"\n") for each in capabilities)]
    return packet(f"# service={SERVICE}\n".encode()) + marker(FLUSH) + b"".join(lines) + marker(FLUSH)


def render_ls_refs(prefixes: Iterable[str], object_format: str = "sha1") -> bytes:
    """Render the request for the branches that begin with any of `prefixes`."""
    return b"".join(
        [
            packet(b"command=ls-refs\n"),
            packet(f"object-format={object_format}\n".encode()) if object_format != "sha1" else b"",
            marker(DELIMITER),
            *(packet(b"ref-prefix " + each.encode() + b"\n") for each in prefixes),
            marker(FLUSH),
        ]
    )


def read_command(body: bytes) -> Command:
    """Read one request of version 2; a body without any (`0000`) has the name "". Raises GitWireError."""
    packets = read_packets(body)
    first = next(packets, FLUSH)
    if first == FLUSH:
        return Command("", {}, [])
    name = command_name(first)
    capabilities: dict[str, str] = {}
    for each in packets:
        if isinstance(each, int):
            if each == DELIMITER:
                return Command(name, capabilities, _arguments(packets))
            if each == FLUSH:
                return Command(name, capabilities, [])
            break
        _add_capability(capabilities, each)
    raise GitWireError("the request has no end")


def command_name(first: Packet) -> str:
    """Return which command a request begins with, by its first packet. Raises GitWireError."""
    if isinstance(first, int) or not first.startswith(b"command="):
        raise GitWireError("expected a request of protocol version 2 that begins with its command")
    return _text(_stripped(first).removeprefix(b"command="), "the name of a command")


def render_refs(refs: Iterable[tuple[str, str]]) -> bytes:
    """Render the answer to `ls-refs`: pairs of a commit id and its branch."""
    return b"".join(packet(f"{commit} {ref}\n".encode()) for commit, ref in refs) + marker(FLUSH)


def render_error(message: str) -> bytes:
    """Render the answer that tells the other side's user what is wrong; a line is all there is."""
    line = " ".join(message.split())[: MAX_PACKET_BYTES // 8]
    return packet(b"ERR " + line.encode() + b"\n")


def read_refs(body: bytes, object_format: str = "sha1", wanted: Iterable[str] = ()) -> dict[str, str]:
    """Read the answer to `ls-refs`: branch to commit id, of the refs in `wanted` or of all.

    A branch that has no commit yet is left out. Raises GitWireError, GitRefusedError.
    """
    only = frozenset(wanted)
    refs: dict[str, str] = {}
    packets = read_packets(body)
    for each in packets:
        if isinstance(each, int):
            if each != FLUSH:
                break
            _end(packets)
            return refs
        _take_ref(refs, _checked(each), object_format, only)
    raise GitWireError("the list of branches has no end: it was cut off")


def _read_capabilities(packets: Iterator[Packet]) -> dict[str, str]:
    capabilities: dict[str, str] = {}
    for each in packets:
        if each == FLUSH:
            _end(packets)
            return capabilities
        if isinstance(each, int):
            break
        _add_capability(capabilities, _checked(each))
    raise GitWireError("the list of capabilities has no end: it was cut off")


def _read_old_advertisement(first: bytes, packets: Iterator[Packet], wanted: frozenset[str]) -> Advertisement:
    """Read the branches by which version 0 begins; the first line carries the capabilities as well."""
    line, nul, words = first.partition(b"\0")
    capabilities: dict[str, str] = {}
    for word in words.split():
        _add_capability(capabilities, word)
    if not nul:
        raise GitWireError(f"expected branches or 'version 2', not {_shown(first)}")
    object_format = capabilities.get("object-format", "sha1")
    refs: dict[str, str] = {}
    if not line.endswith(b" " + _NO_REFS):
        _take_ref(refs, line, object_format, wanted)
    for each in packets:
        if each == FLUSH:
            _end(packets)
            return Advertisement(0, capabilities, refs)
        if isinstance(each, int):
            break
        content = _checked(each)
        if not content.startswith(b"shallow "):
            _take_ref(refs, content, object_format, wanted)
    raise GitWireError("the list of branches has no end: it was cut off")


def _take_ref(refs: dict[str, str], line: bytes, object_format: str, wanted: frozenset[str]) -> None:
    commit, _, rest = line.partition(b" ")
    name = rest.partition(b" ")[0]  # what follows is told of symbolic and annotated ones
    if commit == b"unborn" and name:
        return
    if not _ID.fullmatch(commit) or len(commit) != _ID_LENGTHS.get(object_format):
        raise GitWireError(f"expected a commit id and a branch, not {_shown(line)}")
    ref = _text(name, "the name of a branch")
    if wanted and ref not in wanted:
        return
    if ref in refs:
        raise GitWireError(f"it lists {_shown(name)} twice")
    refs[ref] = commit.decode("ascii")


def _add_capability(capabilities: dict[str, str], line: bytes) -> None:
    name, _, value = _stripped(line).partition(b"=")
    if len(capabilities) >= MAX_CAPABILITIES:
        raise GitWireError(f"there are more than {MAX_CAPABILITIES} capabilities")
    capabilities[_text(name, "the name of a capability")] = value[:MAX_NAME_BYTES].decode("utf-8", "replace")


def _arguments(packets: Iterator[Packet]) -> list[bytes]:
    arguments: list[bytes] = []
    for each in packets:
        if each == FLUSH:
            return arguments
        if isinstance(each, int):
            break
        arguments.append(_stripped(each))
    raise GitWireError("the request has no end")


def _end(packets: Iterator[Packet]) -> None:
    if next(packets, RESPONSE_END) != RESPONSE_END:
        raise GitWireError("something follows after its end")


def _line(packets: Iterator[Packet]) -> bytes:
    each = next(packets, None)
    if each is None or isinstance(each, int):
        raise GitWireError("it ends before it has said anything")
    return _checked(each)


def _checked(content: bytes) -> bytes:
    """Return a line without its end; raises GitRefusedError where it is an error of the server."""
    if content.startswith(b"ERR "):
        raise GitRefusedError(f"the Git server says: {_shown(content[4:])}")
    return _stripped(content)


def _stripped(content: bytes) -> bytes:
    return content[:-1] if content.endswith(b"\n") else content


def _text(name: bytes, what: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_BYTES:
        raise GitWireError(f"{_shown(name)} cannot be {what}")
    return name.decode("utf-8", "surrogateescape")


def _shown(data: bytes) -> str:
    """Return foreign bytes as they may stand in a message: one short line without control characters."""
    text = data[:_SHOWN_BYTES].decode("utf-8", "replace")
    plain = "".join(char if char.isprintable() else "?" for char in text.strip())
    return f"{plain}…" if len(data) > _SHOWN_BYTES else plain
