"""Credentials of package sources: a file each, readable by the server's user alone, under a name nobody can
guess from the source's.

The database names the file. New credentials are a new file, so that a change that is not committed leaves
the old ones in force; files that nobody names are cleared away at the start.
"""

import secrets
from collections.abc import Collection
from pathlib import Path

import msgspec

from edgewright.server.domain.sources import Credentials
from edgewright.server.errors import SetupError
from edgewright.server.settings import write_private

_SUFFIX = ".json"


class _Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    username: str | None = None
    password: str | None = None
    token: str | None = None


class CredentialFiles:
    """The folder of credentials; made when the first are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, credentials: Credentials) -> str:
        """Write credentials to a new file on the disk; return its name."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = secrets.token_hex(16)
        kept = _Kept(username=credentials.username, password=credentials.password, token=credentials.token)
        write_private(self._path(name), msgspec.json.encode(kept))
        return name

    def load(self, name: str) -> Credentials:
        """Return the credentials of that name; raises `SetupError` where the file is gone or damaged."""
        path = self._path(name)
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError) as error:
            raise SetupError(f"{path}: {error}; give the source its credentials again") from error
        return Credentials(username=kept.username, password=kept.password, token=kept.token)

    def forget(self, name: str | None) -> None:
        """Delete the file of that name."""
        if name is not None:
            self._path(name).unlink(missing_ok=True)

    def clear(self, named: Collection[str]) -> None:
        """Delete every file that is not `named`."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if path.stem not in named:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"
