"""Which fleet manager the operator's commands talk to: a small JSON file with address, token and CA.

It is written by `edgewright server init` as `operator.json` and put in its usual place by
`edgewright login`. Looked for in this order: `--context FILE`, `EDGEWRIGHT_CONTEXT`,
`$XDG_CONFIG_HOME/edgewright/context.json` (`~/.config/...`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgewright.cli.errors import UsageError
from edgewright.protocol.errors import DocumentError


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet manager's web address, the operator's token, and the CA that proves the server (PEM).

    Without `ca` the machine's own trusted authorities are asked.
    """

    url: str
    token: str
    ca: str | None = None


def config_directory(environment: Mapping[str, str]) -> Path:
    """Return the folder of this person's Edgewright settings."""
    base = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".config"
    return Path(base) / "edgewright"


def context_path(given: str | None, environment: Mapping[str, str]) -> Path:
    """Return the file that says which fleet manager is meant."""
    chosen = given or environment.get("EDGEWRIGHT_CONTEXT")
    return Path(chosen) if chosen else config_directory(environment) / "context.json"


def load_context(path: Path) -> Context:
    """Return the context in the file `path`.

    Raises UsageError when there is no such file, DocumentError when it is not a context.
    """
    data = read_file(path, hint="'edgewright login FILE' says which fleet manager to talk to")
    return parse_context(data, path)


def parse_context(data: bytes, path: Path) -> Context:
    """Return the context written in `data`, the content of `path`; raises DocumentError."""
    try:
        context = msgspec.json.decode(data, type=Context)
    except msgspec.DecodeError as error:
        message, _, where = str(error).partition(" - at `")
        raise DocumentError(message, source=str(path), path=where.rstrip("`") or "$") from error
    if not context.url.startswith(("https://", "http://")):
        raise DocumentError("expected a URL that begins with https://", source=str(path), path="$.url")
    return context


def save_context(data: bytes, path: Path) -> None:
    """Write `data` to `path` in one step, readable by this user only: it holds a token."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_file(path: Path, *, hint: str = "") -> bytes:
    """Return the bytes of `path`; raises UsageError with `hint` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}" + (f"\n{hint}" if hint else "")) from error
