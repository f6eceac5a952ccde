"""`edgewright server init`: makes a data directory, whole or not at all."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine

from edgewright.server.commands.first import ensure_administrator
from edgewright.server.domain.roles import Role
from edgewright.server.errors import SetupError
from edgewright.server.fleet.accounts import make_token_secret
from edgewright.server.fleet.membership import secret_digest
from edgewright.server.identity.files import create_identity
from edgewright.server.settings import (
    DataDirectory,
    ServerSettings,
    check_settings,
    render_settings,
    web_address,
    write_private,
)
from edgewright.server.store.migrate import migrate
from edgewright.server.store.tables import tokens

_STAGE = ".setup"


def initialise(root: Path, settings: ServerSettings) -> tuple[DataDirectory, str]:
    """Make the data directory `root` for a server with `settings`, and return the first administrator's
    password with it; raises `SetupError`, leaving nothing behind.

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
            password = _fill(stage, settings)
            _move(stage, directory)
        except BaseException:
            _remove(root / _STAGE)
            if is_new:
                root.rmdir()
            raise
    except OSError as error:
        raise SetupError(f"{error.filename or root}: {error.strerror}") from error
    return directory, password


def _claim(directory: DataDirectory) -> None:
    root = directory.root
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove(root / _STAGE)
    if directory.settings.exists():
        raise SetupError(f"{root} holds a server already; nothing was changed")
    found = next(iter(sorted(root.iterdir())), None)
    if found is not None:
        raise SetupError(f"{root} is not empty (it holds {found.name}); choose an empty or a new directory")


def _fill(stage: DataDirectory, settings: ServerSettings) -> str:
    now = datetime.now(UTC)
    create_identity(stage.identity, settings, now=now)
    migrate(stage.database)
    token = make_token_secret()
    engine = create_engine(f"sqlite:///{stage.database}")
    with engine.begin() as connection:
        connection.execute(
            tokens.insert().values(
                digest=secret_digest(token), name="init", role=Role.ADMIN.value, scopes="[]", created=now
            )
        )
    engine.dispose()
    password = ensure_administrator(stage.database)
    assert password is not None  # noqa: S101 - there is nobody in a new database
    operator = {
        "url": web_address(settings),
        "token": token,
        "ca": (stage.identity / "web-ca.pem").read_text(),
    }
    write_private(stage.operator, json.dumps(operator, indent=2).encode())
    write_private(stage.settings, render_settings(settings))
    return password


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
