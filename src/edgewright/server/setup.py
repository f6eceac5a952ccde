"""`edgewright server init`: makes a data directory, whole or not at all."""

import json
import secrets
import shutil
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import create_engine

from edgewright.server.errors import SetupError
from edgewright.server.identity.files import create_identity
from edgewright.server.settings import (
    DataDirectory,
    Listen,
    ServerSettings,
    check_settings,
    render_settings,
    url_of,
    write_private,
)
from edgewright.server.store.migrate import migrate
from edgewright.server.store.tables import operator_tokens

_STAGE = ".setup"


def initialise(root: Path, settings: ServerSettings) -> DataDirectory:
    """Make the data directory `root` for a server with `settings`; raises `SetupError`, leaving nothing
    behind.

    Everything is made in a folder of its own first; `server.yaml`, which is what makes a directory a
    server's, is moved into place last.
    """
    check_settings(settings)
    directory = DataDirectory(root)
    is_new = not root.exists()
    try:
        _claim(directory)
        try:
            stage = DataDirectory(root / _STAGE)
            stage.root.mkdir(mode=0o700)
            _fill(stage, settings)
            _move(stage, directory)
        except BaseException:
            _remove(root / _STAGE)
            if is_new:
                root.rmdir()
            raise
    except OSError as error:
        raise SetupError(f"{error.filename or root}: {error.strerror}") from error
    return directory


def token_digest(token: str) -> str:
    """Return what is kept of a secret token: its SHA-256, as tokens are random and long."""
    return sha256(token.encode()).hexdigest()


def _claim(directory: DataDirectory) -> None:
    root = directory.root
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove(root / _STAGE)
    if directory.settings.exists():
        raise SetupError(f"{root} holds a server already; nothing was changed")
    found = next(iter(sorted(root.iterdir())), None)
    if found is not None:
        raise SetupError(f"{root} is not empty (it holds {found.name}); choose an empty or a new directory")


def _fill(stage: DataDirectory, settings: ServerSettings) -> None:
    now = datetime.now(UTC)
    create_identity(stage.identity, settings, now=now)
    migrate(stage.database)
    token = f"ewo1.{secrets.token_urlsafe(32)}"
    engine = create_engine(f"sqlite:///{stage.database}")
    with engine.begin() as connection:
        connection.execute(
            operator_tokens.insert().values(token_digest=token_digest(token), name="init", created=now)
        )
    engine.dispose()
    operator = {
        "url": settings.web_url or url_of(settings.hosts[0], Listen.parse(settings.web_listen).port),
        "token": token,
        "ca": (stage.identity / "web-ca.pem").read_text(),
    }
    write_private(stage.operator, json.dumps(operator, indent=2).encode())
    write_private(stage.settings, render_settings(settings))


def _move(stage: DataDirectory, directory: DataDirectory) -> None:
    moved: list[Path] = []
    try:
        for source in (stage.identity, stage.database, stage.operator, stage.settings):
            target = directory.root / source.name
            source.rename(target)
            moved.append(target)
        stage.root.rmdir()
    except BaseException:
        for path in moved:
            _remove(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
