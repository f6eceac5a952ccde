"""The name that tells this agent's containers from another's: made once, and put back when it is lost.

It is in a file of its own and not in the database, for what runs has to be found again when that is damaged.
Every unpacked project carries it too, as the label its containers have.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from glob import iglob

from edgewright.agent import log
from edgewright.agent.paths import Paths
from edgewright.agent.runtimes.compose_project import OWNER_LABEL
from edgewright.agent.state.durable import write_whole
from edgewright.agent.state.store import STATE, Store

_NAME = re.compile(r"[0-9a-f]{12}")


def owner_of(paths: Paths) -> str:
    """Return the name; a new one is made where there is none that can be read."""
    name = _load(paths.owner)
    if name is None:
        name = secrets.token_hex(6)
        _save(paths.owner, name)
    return name


def restore_owner(paths: Paths, store: Store) -> None:
    """Put the name back from the projects here, if it is lost or is not what all of them carry."""
    name = _load(paths.owner)
    carried = _carried(paths)
    if name is not None and next(carried, name) == name:
        return
    names = set(_carried(paths))
    if len(names) == 1:
        found = names.pop()
        what = "lost" if name is None else "damaged"
        message = (
            f"{paths.owner} was {what}; the name that tells our containers was taken up from what was fetched"
        )
        _save(paths.owner, found)
    elif name is None and os.path.exists(paths.owner):
        message = f"{paths.owner} was damaged; what runs under the old name is not known any more"
        os.unlink(paths.owner)
    else:
        return
    log.error(message)
    store.record(STATE, message)


def _carried(paths: Paths) -> Iterator[str]:
    """Yield the name each unpacked project carries."""
    for path in iglob(os.path.join(paths.projects, "*", "*", "*", "resolved.json")):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            with open(path, "rb") as file:
                services = json.load(file)["services"]
            for service in services.values():
                name = service["labels"][OWNER_LABEL]
                if _NAME.fullmatch(name):
                    yield name


def _load(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            name = file.read(64).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    return name if _NAME.fullmatch(name) else None


def _save(path: str, name: str) -> None:
    write_whole(path, f"{name}\n".encode("ascii"))
