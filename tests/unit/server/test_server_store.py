"""The database is what the code says, and versions only grow."""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.digests import digest_of
from edgewright.protocol.manifest import StateManifest
from edgewright.server.domain.manifests import KEEP_BUNDLES, KEEP_SUPERSEDED
from edgewright.server.errors import SetupError
from edgewright.server.fleet.publishing import next_version, publish
from edgewright.server.store import clients, deployments, desired
from edgewright.server.store.clients import Origin
from edgewright.server.store.database import Database, schema_version
from edgewright.server.store.deployments import DeploymentRecord
from edgewright.server.store.migrate import HEAD, MIGRATIONS, migrate
from edgewright.server.store.tables import metadata

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DEPLOYMENT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the migrations make it, to be copied."""
    migrated = tmp_path_factory.mktemp("store") / "empty.db"
    migrate(migrated)
    return migrated


@pytest.fixture
def path(empty: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty, tmp_path / "edgewright.db"))


def transactions(path: Path, *steps: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    """Run every step in a transaction of its own."""

    async def run() -> None:
        async with Database(path) as database:
            for step in steps:
                async with database.writing() as connection:
                    await step(connection)

    asyncio.run(run())


async def accept(connection: AsyncConnection) -> None:
    await clients.accept(
        connection, "edge", origin=Origin.FOREIGN, key_digest=None, svid_expires=None, now=NOW
    )
    await publish(connection, "edge", 1, now=NOW)


def record(digest: str, version: int) -> DeploymentRecord:
    return DeploymentRecord(
        id=DEPLOYMENT,
        client_id="edge",
        device_id="edge",
        application_id="shop",
        version="1",
        profile_id="compose",
        name="shop",
        parameters="{}",
        digest=digest,
        changed_version=version,
        position=1,
        created=NOW,
        changed=NOW,
        deleted=None,
    )


def test_an_upgrade_that_is_interrupted_leaves_everything_as_it_was(tmp_path, monkeypatch):
    from alembic import op

    path = tmp_path / "edgewright.db"

    def interrupted(*_arguments, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(op, "batch_alter_table", interrupted)
        with pytest.raises(KeyboardInterrupt):
            migrate(path)
    assert schema_version(path) is None
    migrate(path)
    assert schema_version(path) == HEAD


def test_the_migrations_make_exactly_the_tables_of_the_code(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_migrating_again_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    migrate(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "edgewright.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(SetupError, match=r"edgewright\.db"):
        migrate(tmp_path / "edgewright.db")


def test_connections_are_durable_and_keep_references_whole(path: Path) -> None:
    async def look(connection: AsyncConnection) -> None:
        for name, expected in (("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2)):
            assert await connection.scalar(text(f"PRAGMA {name}")) == expected

    transactions(path, look)


@pytest.mark.requirement("DS-7")
def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    async def break_off(connection: AsyncConnection) -> None:
        await accept(connection)
        raise LookupError("in the middle")

    with pytest.raises(LookupError):
        transactions(path, break_off)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM clients").fetchone() == (0,)


@pytest.mark.requirement("DS-7", "DS-22")
@settings(max_examples=20, deadline=None)
@given(contents=st.lists(st.none() | st.sampled_from([b"a", b"b", b"c"]), max_size=8))
def test_versions_only_grow_and_served_bytes_have_their_digests(
    contents: list[bytes | None], empty: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = Path(shutil.copy(empty, tmp_path_factory.mktemp("store")))
    seen: list[int] = []

    async def first(connection: AsyncConnection) -> None:
        await accept(connection)
        await deployments.add(connection, record("", 1))

    def changed(content: bytes | None) -> Callable[[AsyncConnection], Awaitable[None]]:
        async def step(connection: AsyncConnection) -> None:
            version = await next_version(connection, "edge")
            await desired.supersede_documents(connection, DEPLOYMENT, now=NOW)
            if content is not None:
                await desired.put_document(connection, DEPLOYMENT, digest_of(content), content, now=NOW)
            await deployments.save(connection, record(digest_of(content or b""), version))
            await publish(connection, "edge", version, now=NOW)
            served = await desired.served(connection, "edge")
            assert served is not None
            manifest = StateManifest.parse(served.body)
            assert (served.etag, manifest.manifest_version) == (digest_of(served.body), served.version)
            seen.append(served.version)
            for reference in manifest.deployments:
                body = await desired.document(connection, "edge", DEPLOYMENT, reference.digest)
                assert body == content
            if manifest.bundle is not None:
                bundle = await desired.bundle(connection, "edge", manifest.bundle.digest)
                assert bundle is not None
                assert digest_of(bundle) == manifest.bundle.digest

        return step

    transactions(path, first, *map(changed, contents))
    assert seen == list(range(2, 2 + len(contents)))


def test_what_was_replaced_is_kept_for_a_while_and_not_for_ever(path: Path) -> None:
    def change(number: int, moment: datetime) -> Callable[[AsyncConnection], Awaitable[None]]:
        async def step(connection: AsyncConnection) -> None:
            content = f"document {number}".encode()
            version = await next_version(connection, "edge")
            await desired.put_document(connection, DEPLOYMENT, digest_of(content), content, now=moment)
            await deployments.save(connection, record(digest_of(content), version))
            await publish(connection, "edge", version, now=moment)

        return step

    async def first(connection: AsyncConnection) -> None:
        await accept(connection)
        await deployments.add(connection, record("", 1))

    def count(table: str) -> int:
        with closing(sqlite3.connect(path)) as connection:
            found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return found

    many = KEEP_BUNDLES + 5
    transactions(path, first, *(change(number, NOW + timedelta(seconds=number)) for number in range(many)))
    assert count("documents") == many
    assert count("bundles") == KEEP_BUNDLES + 1
    transactions(path, change(many, NOW + KEEP_SUPERSEDED + timedelta(hours=1)))
    assert (count("documents"), count("bundles")) == (2, 2)


def test_only_so_many_reports_are_kept_the_newest(path: Path) -> None:
    async def first(connection: AsyncConnection) -> None:
        await accept(connection)
        await deployments.add(connection, record("", 1))

    async def report(connection: AsyncConnection) -> None:
        for number in range(1, 8):
            await deployments.add_status(
                connection,
                deployment_id=DEPLOYMENT,
                received=NOW,
                state="installed",
                adopted_version=number,
                body=b"{}",
                keep=3,
            )
        history = await deployments.history(connection, DEPLOYMENT)
        assert [one.adopted_version for one in history] == [5, 6, 7]

    transactions(path, first, report)
