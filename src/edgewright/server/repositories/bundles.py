"""`git bundle` files for devices without a link: what they are to have goes out, what they report comes in.

A bundle is trusted no more than a connection: it is unpacked as strictly as a push, and of its branches only
`current` is looked at.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.errors import ConflictError, Fault, InvalidError, NotFoundError
from edgewright.server.repositories.bare import Bare, RepositoryError, run_git

MOST_BYTES: Final = 64 * 1024 * 1024
_UPLOAD: Final = "refs/edgewright/upload"
_SECONDS: Final = 120
_STRICT: Final = (
    "transfer.fsckObjects=true",
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "core.hooksPath=/dev/null",
)


def desired_bundle(bare: Bare, since: str | None = None) -> bytes:
    """Return a bundle of `desired`, without what a device that has the commit `since` has already.

    Raises `NotFoundError` as long as nothing was written, and for a `since` that is not in its history.
    """
    head = bare.branch(DESIRED) if bare.exists else None
    if head is None:
        raise NotFoundError("nothing was written into this repository yet")
    wanted = [DESIRED]
    if since is not None and since != head:
        if _git(bare, "merge-base", "--is-ancestor", since, head).returncode != 0:
            raise NotFoundError(f"the branch desired has no commit {since}; leave it out for all of it")
        wanted.append(f"^{since}")
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=bare.path.parent) as folder:
        path = Path(folder) / "desired.bundle"
        _succeed(_git(bare, "bundle", "create", "--quiet", str(path), *wanted), "bundle")
        return path.read_bytes()


def take_current(bare: Bare, content: bytes, *, replace: bool = False) -> bool:
    """Have `current` be what it is in a bundle; return whether that is new.

    Raises `InvalidError` for what is no such bundle, and `ConflictError` where it does not build on what is
    here, unless it is to `replace` that.
    """
    bare.create()
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=bare.path.parent) as folder:
        path = Path(folder) / "current.bundle"
        path.write_bytes(content)
        done = _git(
            bare,
            *(word for setting in _STRICT for word in ("-c", setting)),
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            str(path),
            f"+{CURRENT}:{_UPLOAD}",
        )
        if done.returncode != 0:
            raise InvalidError("this bundle cannot be taken", Fault(field="body", message=_said(done)))
    new = bare.branch(_UPLOAD)
    if new is None:
        raise InvalidError("this bundle cannot be taken", Fault(field="body", message=f"has no {CURRENT}"))
    try:
        head = bare.branch(CURRENT)
        if head is not None:
            if _is_ancestor(bare, new, head):
                return False
            if not replace and not _is_ancestor(bare, head, new):
                raise ConflictError(
                    f"what the bundle has on {CURRENT} does not build on what is here, as of another or a"
                    " newly set up device; say that it is to replace that, if it is this device's"
                )
        bare.move(CURRENT, new, expected=head)
    finally:
        _git(bare, "update-ref", "-d", _UPLOAD)
    return True


def _is_ancestor(bare: Bare, older: str, newer: str) -> bool:
    return _git(bare, "merge-base", "--is-ancestor", older, newer).returncode == 0


def _succeed(done: "subprocess.CompletedProcess[bytes]", what: str) -> None:
    if done.returncode != 0:
        raise RepositoryError(f"git {what}: {_said(done)}")


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
    told = [line.removeprefix("fatal: ").removeprefix("error: ") for line in lines if "/.bundle-" not in line]
    return "; ".join(told[:3])[:300] or "is no bundle of Git, or is damaged"


def _git(bare: Bare, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return run_git(bare, *arguments, seconds=_SECONDS)
