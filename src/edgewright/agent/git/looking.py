"""Asks where branch `desired` is of a repository that is reached by ssh or is a directory, and ends.

    python -I -m edgewright.agent.git.looking --state DIR --report-fd N

The watch has no ssh and no repository format of its own; `git ls-remote` has. It says `head COMMIT`, with
nothing behind it where there is no such branch, or `problem TEXT`.

Exit codes: 0 it was asked, 1 it could not be.
"""

import os
import sys
import tempfile

from edgewright.agent.git.access import GitAccess
from edgewright.agent.git.configuration import write_git_config
from edgewright.agent.paths import Paths
from edgewright.net.git.program import Git
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import DESIRED

_SECONDS = 60.0
_MAX_ANSWER_BYTES = 1024 * 1024


def look(paths: Paths) -> str:
    """Return the commit id of `desired`, empty where there is none. Raises GitError, AccessError."""
    access = GitAccess.load(paths.identity)
    if access is None or access.is_offline:
        return ""
    # In memory where there is such a place: this comes with every poll, and flash wears.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else paths.root  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="edgewright-look-", dir=place) as scratch:
        config = os.path.join(scratch, "config")
        write_git_config(access, config)
        git = Git(
            os.path.join(scratch, "look.git"),
            config=config,
            seconds=_SECONDS,
            output_limit=_MAX_ANSWER_BYTES,
        )
        git.make()
        try:
            listed = git.run("ls-remote", "--", access.url.text, DESIRED)
        except EdgewrightError as error:
            raise type(error)(f"{access.url}: {access.redact(str(error))}") from error
    for line in listed.decode("ascii", "replace").splitlines():
        commit, _, ref = line.partition("\t")
        if ref == DESIRED:
            return commit
    return ""


def main(arguments: list[str]) -> int:
    """Look once; return the exit code."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    fd = int(options["--report-fd"])
    os.set_inheritable(fd, False)
    try:
        said, code = f"head {look(Paths(options['--state']))}", 0
    except (EdgewrightError, OSError) as error:
        said, code = f"problem {error}", 1
    os.write(fd, " ".join(said.split(" ")).replace("\n", " ").encode("utf-8", "replace")[:4000] + b"\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
