"""Whether a head of `desired` follows what was taken up last, and comes from somebody who may say so.

The head is signed by a trusted signer; along first parents it comes from the commit taken up last; who is
trusted follows the `signers` in signed commits on that way (spec: GR-21, GR-22, GR-26, GR-27).
"""

import os
from collections.abc import Iterable

from edgewright.agent.git.contents import RefusedError, check_signers
from edgewright.agent.state.durable import write_whole
from edgewright.agent.work.accept import LET_GO
from edgewright.net.git.program import Git, GitError, UntrustedError
from edgewright.protocol.repository import SIGNERS, SIGNERS_BYTES

_MOST_CHECKED = 200
"""How many commits with other signers are looked at on the way to a head; each costs a few processes."""


def way_to(git: Git, head: str, base: str) -> list[str]:
    """Return the commits up to `head` that follow `base`, oldest first; `base` may be empty or not be here.

    Then it is all that is here: history that has come does not reach so far. Raises RefusedError for a head
    that does not come from `base`.
    """
    if base and git.commit_of(base) is not None:
        way = git.first_parents(base, head)
        if way is None:
            raise RefusedError(
                f"it does not come from {base[:12]}, which was taken up before: the branch was rewound or "
                f"written anew ({LET_GO})"
            )
        return way
    listed = git.run("rev-list", "--first-parent", "--reverse", "--max-count=100000", head)
    return listed.decode("ascii").split()


def trusted_after(git: Git, way: Iterable[str], head: str, trusted: str) -> str:
    """Return who is trusted from the first child of `head` on; `way` leads to it, `trusted` begins it.

    Raises RefusedError when nobody trusted has signed `head`.
    """
    path = os.path.join(git.directory, "trusted-signers")
    write_whole(path, trusted.encode("utf-8"))
    steps = list(way)
    named = git.files_at(steps, SIGNERS)
    checked = 0
    for commit in steps:
        if commit == head or commit not in named:
            continue
        text = _signers_in(git, named[commit])
        if text is None or text == trusted:
            continue
        checked += 1
        if checked > _MOST_CHECKED:
            raise RefusedError(f"more than {_MOST_CHECKED} commits before it name other signers")
        try:
            git.signer_of(commit, path)
        except UntrustedError:
            continue  # says nothing about trust (GR-26)
        trusted = text
        write_whole(path, trusted.encode("utf-8"))
    try:
        git.signer_of(head, path)
    except UntrustedError as error:
        raise RefusedError(str(error)) from error
    blob = git.files_at([head], SIGNERS).get(head)
    if blob is None:
        return trusted
    return check_signers(git.read_objects([blob], limit=SIGNERS_BYTES, kind="blob")[blob])


def _signers_in(git: Git, blob: str) -> str | None:
    """Return the text of a file of signers on the way, None for one that names nobody."""
    try:
        return check_signers(git.read_objects([blob], limit=SIGNERS_BYTES, kind="blob").get(blob, b""))
    except GitError:
        return None
