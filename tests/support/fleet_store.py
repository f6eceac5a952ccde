"""A store with packages and devices, for what is decided about many of them; nothing here opens a socket."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol import yaml
from edgewright.server.context import Heard
from edgewright.server.domain.packages import make_package
from edgewright.server.fleet import catalogue, membership, reports, rollouts
from edgewright.server.store import clients
from edgewright.server.store import rollouts as kept_rollouts
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate
from support import loops
from support.foreign_client import capabilities

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
Step = Callable[[AsyncConnection], Awaitable[Any]]


def description(version: str = "1.0.0", **members: Any) -> dict[str, Any]:
    """An application for Compose or Helm: a text, a number, a choice, a list and an immutable site."""
    names = ("greeting", "interval", "mode", "sensors", "site")
    defaults = {"greeting": "hello", "interval": 30, "mode": "slow", "sensors": ["a"]}
    component = {"properties": {"repository": "oci://r.test/app", "revision": version}}
    return {
        "apiVersion": "v1",
        "id": "shop",
        "metadata": {
            "name": "Shop",
            "version": version,
            "catalog": {"organization": [{"name": "Example"}]},
        },
        "deploymentProfiles": [
            {"type": "compose", "id": "compose", "components": [{"name": "app", **component}]},
            {"type": "helm", "id": "helm", "components": [{"name": "chart", **component}]},
        ],
        "parameters": {
            name: ({"value": defaults[name]} if name in defaults else {})
            | {"targets": [{"pointer": name.upper(), "components": ["app", "chart"]}]}
            for name in names
        },
        "configuration": {
            "sections": [
                {
                    "name": "General",
                    "settings": [
                        {"parameter": "greeting", "name": "Greeting", "schema": "text"},
                        {"parameter": "interval", "name": "Interval", "schema": "seconds"},
                        {"parameter": "mode", "name": "Mode", "schema": "mode"},
                        {"parameter": "sensors", "name": "Sensors", "schema": "sensors"},
                        {"parameter": "site", "name": "Site", "schema": "site", "immutable": True},
                    ],
                }
            ],
            "schema": [
                {"name": "text", "dataType": "string", "maxLength": 20},
                {"name": "seconds", "dataType": "integer", "minValue": 1, "maxValue": 3600},
                {"name": "mode", "dataType": "string", "options": ["slow", "fast"]},
                {
                    "name": "sensors",
                    "dataType": "array[string]",
                    "multiselect": True,
                    "options": ["a", "b", "c"],
                    "allowEmpty": True,
                },
                {"name": "site", "dataType": "string", "allowEmpty": True},
            ],
        },
        **members,
    }


def make_store(
    path: Path, devices: Mapping[str, Mapping[str, Any]], descriptions: Sequence[Mapping[str, Any]]
) -> None:
    """Make a store at `path` with these packages, and devices (client id to labels) that reported."""
    migrate(path)
    run(
        path,
        *(add_package(one) for one in descriptions),
        *(add_device(name, labels) for name, labels in devices.items()),
    )


def add_package(document: Mapping[str, Any]) -> Step:
    package = make_package(yaml.dump(dict(document)), {})
    return lambda connection: catalogue.add_package(
        connection, package, source="upload", actor="operator init", now=NOW
    )


def add_device(client_id: str, labels: Mapping[str, Any], **properties: Any) -> Step:
    """Accept a device that reports itself, with these labels."""
    document = json.dumps({**capabilities(client_id, **properties), "labels": labels}).encode()

    async def step(connection: AsyncConnection) -> None:
        await membership.accept(connection, client_id, actor="operator init", now=NOW)
        await reports.put_capabilities(connection, client_id, client_id, document, now=NOW)

    return step


def run(path: Path, *steps: Step) -> list[Any]:
    """Run every step in a transaction of its own and return what they returned."""

    async def all_steps() -> list[Any]:
        results = []
        async with Database(path) as database:
            for step in steps:
                async with database.writing() as connection:
                    results.append(await step(connection))
        return results

    return loops.run(all_steps())


def heard_of(*client_ids: str, now: datetime = NOW) -> Heard:
    """Return that these devices have just been heard of."""
    return Heard(now=now, contacts=dict.fromkeys(client_ids, now), deaf=())


async def roll_out(connection: AsyncConnection, heard: Heard | None = None) -> None:
    """Take every rollout as far as it goes now; all devices are in contact, unless `heard` says who is."""
    if heard is None:
        heard = heard_of(*(client.client_id for client in await clients.every(connection)))
    for rollout_id in await kept_rollouts.open_ones(connection):
        while (seen := await rollouts.look(connection, rollout_id, heard)) is not None:
            assert await rollouts.keep(connection, seen, now=heard.now)
            if not seen.has_changes and not seen.made.begin:
                break
            serial = seen.record.serial
            if seen.made.begin:
                assert await rollouts.begin(
                    connection, rollout_id, seen.made.begin, serial=serial, now=heard.now
                )


def rows(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()
