"""What an unchanged poll asks, answered without Git: what is offered, and where the branches stand.

Git's protocol in version 2 (gitprotocol-v2): a client asks for the capabilities, then for the branches it
cares about. All else is for Git's own program to answer, so what is offered here is what every version of
it can keep.
"""

from edgewright import __version__
from edgewright.net.git.wire import (
    FLUSH,
    GitWireError,
    LsRefs,
    marker,
    packet,
    read_command,
    render_advertisement,
    render_refs,
)
from edgewright.protocol.repository import DESIRED
from edgewright.server.repositories.refs import RefTable

ADVERTISEMENT = render_advertisement([f"agent=edgewright/{__version__}", "ls-refs=unborn", "fetch=shallow"])


def answer_from_memory(body: bytes, table: RefTable) -> bytes | None:
    """Return the answer to a request of version 2, None if it takes Git to make it.

    Raises `GitWireError` for a request that is none.
    """
    command = read_command(body)
    match command.name:
        case "":
            return marker(FLUSH)
        case "ls-refs":
            return list_refs(LsRefs(command), table)
        case "fetch":
            return None
    raise GitWireError(f"there is no command '{command.name[:40]}' here; ls-refs and fetch are offered")


def list_refs(request: LsRefs, table: RefTable) -> bytes:
    """Return the answer to `ls-refs`; HEAD is the branch that devices take up."""
    target = f" symref-target:{DESIRED}" if request.symrefs else ""
    refs = [(commit, name) for name, commit in table.listed() if request.wants(name)]
    if not request.wants("HEAD"):
        return render_refs(refs)
    if table.desired is not None:
        return render_refs([(table.desired, f"HEAD{target}"), *refs])
    unborn = packet(f"unborn HEAD{target}\n".encode()) if request.unborn else b""
    return unborn + render_refs(refs)
