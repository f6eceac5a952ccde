"""Repositories are brought in step with what devices are to have, and read as the device API is told."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.digests import digest_of
from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.context import ServerContext
from edgewright.server.fleet import membership, publishing, suggestions
from edgewright.server.live.overview import Overview
from edgewright.server.live.standings import Standings
from edgewright.server.repositories import reading, upkeep
from edgewright.server.repositories.bare import Bare
from edgewright.server.repositories.keeper import RepositoryKeeper
from edgewright.server.store import deployments, desired, devices, repositories, sites
from edgewright.server.store.database import Database
from edgewright.server.store.deployments import DeploymentRecord
from edgewright.server.store.repositories import Kind, Repository
from support.fleet_store import NOW, make_store
from support.foreign_client import capabilities

SHOP, TILL = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class Bench:
    """A server's store with one device that has a hosted repository, and Git in the place of that device."""

    def __init__(self, folder: Path, database: Database) -> None:
        settings: Any = SimpleNamespace(trust_domain="example.org", wfm_id="main")
        identity: Any = SimpleNamespace(folder=folder / "identity")
        nothing: Any = SimpleNamespace()
        self.folder = folder
        self.database = database
        self.context = ServerContext(
            database=database,
            settings=settings,
            identity=identity,
            device_url="",
            web_url="",
            registries=nothing,
            repositories=folder / "repositories",
            standings=Standings(database),
            overview=Overview(database),
            holds=nothing,
            looks=nothing,
            clock=lambda: datetime.now(UTC),
        )
        self.keeper = RepositoryKeeper(self.context)

    @property
    def bare(self) -> Bare:
        return self.keeper.bare("edge-01")

    async def write(self, step: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
        async with self.database.writing() as connection:
            return await step(connection)

    async def deploy(self, deployment_id: str, body: bytes, *, position: int = 1) -> None:
        async with self.database.writing() as connection:
            version = await publishing.next_version(connection, "edge-01")
            record = DeploymentRecord(
                id=deployment_id,
                client_id="edge-01",
                device_id="edge-01",
                application_id="shop",
                version="1",
                profile_id="compose",
                name=f"app-{position}",
                parameters="{}",
                digest=digest_of(body),
                changed_version=version,
                position=position,
                created=NOW,
                changed=NOW,
                deleted=None,
            )
            if await deployments.get(connection, deployment_id) is None:
                await deployments.add(connection, record)
            else:
                await deployments.save(connection, record)
            await desired.put_document(connection, deployment_id, record.digest, body, now=NOW)
            await publishing.publish(connection, "edge-01", version, now=NOW)

    async def look(self) -> Repository:
        await self.keeper.look("edge-01")
        async with self.database.reading() as connection:
            found = await repositories.get(connection, "edge-01")
        assert found is not None
        return found

    async def states(self, deployment_id: str = SHOP) -> list[str]:
        async with self.database.reading() as connection:
            return [one.state for one in await deployments.history(connection, deployment_id)]

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{
                f"GIT_{who}_{what}": "edge@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
            },
        }
        command = ["git", f"--git-dir={self.bare.path}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.decode().strip()

    def report(self, files: Mapping[str, bytes | None], *, mode: str = "100644", anew: bool = False) -> str:
        """Commit changed files (None: removed) on `current`, as a device does and as one never should."""
        parent = None if anew else self.bare.branch(CURRENT)
        lines: dict[str, str] = {}
        if parent is not None:
            for line in self.git("ls-tree", "-r", parent).splitlines():
                lines[line.partition("\t")[2]] = line.partition("\t")[0]
        for path, body in files.items():
            if body is None:
                del lines[path]
            else:
                blob = self.git("hash-object", "-w", "--stdin", stdin=body)
                lines[path] = f"{mode} blob {blob}"
        roots = [f"{head}\t{path}" for path, head in lines.items() if "/" not in path]
        inside = [f"{head}\t{path[7:]}" for path, head in lines.items() if path.startswith("status/")]
        if inside:
            tree = self.git("mktree", stdin="\n".join([*inside, ""]).encode())
            roots.append(f"040000 tree {tree}\tstatus")
        tree = self.git("mktree", stdin="\n".join([*roots, ""]).encode())
        parents = [] if parent is None else ["-p", parent]
        commit = self.git("commit-tree", tree, *parents, "-m", "report")
        self.git("update-ref", CURRENT, commit)
        return commit


def status(state: str, *, deployment_id: str = SHOP, version: int = 2) -> bytes:
    return json.dumps(
        {
            "deploymentId": deployment_id,
            "adoptedManifestVersion": version,
            "status": {"state": state},
            "components": [{"name": "app", "state": state}],
        }
    ).encode()


def on_bench(tmp_path: Path, story: Callable[[Bench], Awaitable[None]]) -> None:
    """Run `story` with a device `edge-01` that has a hosted repository."""
    path = tmp_path / "db"
    make_store(path, {"edge-01": {}}, [])
    (tmp_path / "identity").mkdir(exist_ok=True)

    async def run() -> None:
        async with Database(path) as database:
            bench = Bench(tmp_path, database)
            await bench.write(lambda c: repositories.add(c, "edge-01", Kind.HOSTED, None, NOW))
            await story(bench)

    asyncio.run(run())


@pytest.mark.requirement("S-18", "GR-17")
def test_what_a_device_is_to_have_is_written_once_and_again_only_when_it_changes(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        first = await bench.look()
        assert (await bench.look()) == first
        await bench.deploy(SHOP, b"a")
        second = await bench.look()
        assert bench.git("rev-list", "--count", DESIRED) == "2"
        assert second.desired_commit == bench.bare.branch(DESIRED)
        await bench.write(
            lambda c: suggestions.suggest(c, None, b"polling: {rate: 5m}\n", actor="eve", now=NOW)
        )
        third = await bench.look()
        assert bench.git("rev-list", "--count", DESIRED) == "3"
        assert third.policy_tag == suggestions.tag_of(b"polling: {rate: 5m}\n")
        assert third.problem is None

    on_bench(tmp_path, story)


def test_a_commit_that_was_made_and_not_noted_is_noted_at_the_next_look(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        first = await bench.look()
        await bench.write(
            lambda c: repositories.note_written(
                c, "edge-01", commit="0" * 40, etag="", policy_tag="", signer=""
            )
        )
        assert (await bench.look()).desired_commit == first.desired_commit
        assert bench.git("rev-list", "--count", DESIRED) == "1"

    on_bench(tmp_path, story)


@pytest.mark.requirement("OP-16", "GR-18", "GR-24")
def test_after_an_old_backup_was_put_back_versions_go_on_above_the_repositorys_on_top_of_it(
    tmp_path: Path,
) -> None:
    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        await bench.look()
        with closing(__import__("sqlite3").connect(tmp_path / "db")) as source:
            source.execute("VACUUM INTO ?", (str(tmp_path / "backup"),))
        await bench.deploy(SHOP, b"b")
        await bench.deploy(TILL, b"c", position=2)
        await bench.look()

    on_bench(tmp_path, story)
    ahead = subprocess.run(
        ["git", f"--git-dir={tmp_path}/repositories/edge-01.git", "rev-parse", DESIRED],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for path in tmp_path.glob("db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "db")

    async def after() -> None:
        async with Database(tmp_path / "db") as database:
            bench = Bench(tmp_path, database)
            found = await bench.look()
            assert found.problem is None
            assert found.desired_commit != ahead
            assert bench.git("merge-base", "--is-ancestor", ahead, DESIRED) == ""
            manifest = json.loads(bench.git("cat-file", "blob", f"{DESIRED}:manifest.json"))
            assert manifest["manifestVersion"] > 4
            assert [one["deploymentId"] for one in manifest["deployments"]] == [SHOP]
            assert (await bench.look()).desired_commit == found.desired_commit

    asyncio.run(after())


@pytest.mark.requirement("S-19", "GR-36", "GR-32")
def test_every_commit_of_a_device_is_taken_in_order_as_reports_to_the_api_are(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        await bench.look()
        bench.report({"capabilities.json": json.dumps(capabilities("edge-01", memory="9Gi")).encode()})
        bench.report({f"status/{SHOP}.json": status("pending")})
        bench.report({f"status/{SHOP}.json": status("installing")})
        bench.report({"site.json": json.dumps({"deviceId": "edge-01"}).encode()})
        head = bench.report(
            {
                f"status/{SHOP}.json": status("installed"),
                "adopted.json": json.dumps(
                    {
                        "manifestVersion": "2",
                        "commit": "a" * 40,
                        "refused": {
                            "commit": "b" * 40,
                            "reason": "unsigned",
                            "since": "2026-01-01T00:00:00Z",
                        },
                        "more": 1,
                    }
                ).encode(),
            }
        )
        found = await bench.look()
        assert await bench.states() == ["pending", "installing", "installed"]
        assert (found.current_commit, found.unread, found.problem) == (head, None, None)
        said = reading.adopted_of(found.adopted)
        assert said is not None
        assert (said.manifest_version, said.refused and said.refused.reason) == ("2", "unsigned")
        async with bench.database.reading() as connection:
            known = await devices.of_client(connection, "edge-01")
            assert json.loads(known[0].document)["properties"]["memory"] == "9Gi"
            assert await sites.get(connection, "edge-01") is not None
        await bench.look()
        assert await bench.states() == ["pending", "installing", "installed"]

    on_bench(tmp_path, story)


@pytest.mark.requirement("GR-33")
@pytest.mark.parametrize("commit", [None, ""])
def test_a_device_may_say_that_the_branch_itself_is_gone(commit: str | None, tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.look()
        refused = {"commit": commit, "reason": "the branch is gone", "since": "2026-01-01T00:00:00Z"}
        told = {"manifestVersion": "2", "commit": "a" * 40, "refused": refused}
        bench.report({"adopted.json": json.dumps(told).encode()})
        found = await bench.look()
        assert found.unread is None
        said = reading.adopted_of(found.adopted)
        assert said is not None
        assert said.refused == reading.Refusal(
            commit=None, reason="the branch is gone", since="2026-01-01T00:00:00Z"
        )

    on_bench(tmp_path, story)


@pytest.mark.requirement("GR-36")
@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("capabilities.json", b"{", "capabilities.json"),
        ("capabilities.json", b"x" * 1_048_577, "1048577 bytes"),
        ("site.json", b"[]", "site.json"),
        ("site.json", b"x" * 524_289, "at most 524288"),
        ("adopted.json", b"[]", "adopted.json"),
        (f"status/{SHOP}.json", b"\xff\xfe", "status"),
        (f"status/{SHOP}.json", status("installed", deployment_id=TILL), "differs from"),
        (f"status/{SHOP}.json", b"x" * 262_145, "at most 262144"),
        (f"status/{TILL}.json", status("installed", deployment_id=TILL), "no deployment of this id"),
        ("status/whatever.json", b"{}", "no deployment of this id"),
        ("status", b"", "is no folder"),
        (f"status/{SHOP}.json", b"[" * 100_000, "status"),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_place_and_what_follows_is_taken(
    tmp_path: Path, path: str, body: bytes, said: str
) -> None:
    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        await bench.look()
        bench.report({path: body, "README.md": b"whatever"})
        found = await bench.look()
        told = reading.faults_of(found.unread)
        assert list(told) == [path]
        assert said in told[path]
        bench.report({path: None, f"status/{SHOP}.json": status("installed")})
        found = await bench.look()
        assert await bench.states() == ["installed"]
        assert (found.unread, found.problem) == (None, None)

    on_bench(tmp_path, story)


def test_a_symbolic_link_in_the_place_of_a_document_is_told_and_not_followed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.keeper.bare("edge-01").create()
        bench.report({"site.json": b"/etc/passwd"}, mode="120000")
        found = await bench.look()
        assert reading.faults_of(found.unread) == {"site.json": "is no plain file"}

    on_bench(tmp_path, story)


@pytest.mark.requirement("GR-34", "GR-36")
def test_a_branch_that_was_replaced_is_read_as_a_whole_without_telling_anything_twice(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        await bench.look()
        bench.report({f"status/{SHOP}.json": status("pending"), "site.json": b"["})
        await bench.look()
        bench.report({f"status/{SHOP}.json": status("pending")}, anew=True)
        found = await bench.look()
        assert await bench.states() == ["pending"]
        assert found.unread is None
        bench.report({f"status/{SHOP}.json": status("installed")}, anew=True)
        await bench.look()
        assert await bench.states() == ["pending", "installed"]
        bench.git("update-ref", "-d", CURRENT)
        assert (await bench.look()).problem is None
        bench.report({f"status/{SHOP}.json": status("failed")}, anew=True)
        await bench.look()
        assert await bench.states() == ["pending", "installed", "failed"]

    on_bench(tmp_path, story)


@pytest.mark.requirement("GR-32")
def test_after_a_long_time_away_the_newest_commits_are_told_one_by_one_and_the_rest_as_what_it_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_COMMITS", 3)
    monkeypatch.setattr(reading, "PORTION_COMMITS", 2)

    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        await bench.deploy(TILL, b"b", position=2)
        await bench.look()
        bench.report({f"status/{TILL}.json": status("pending", deployment_id=TILL)})
        await bench.look()
        bench.report({f"status/{TILL}.json": status("installed", deployment_id=TILL)})
        for state in ("pending", "installing", "installed", "removing", "failed"):
            bench.report({f"status/{SHOP}.json": status(state)})
        await bench.look()
        assert await bench.states() == ["installed", "removing", "failed"]
        assert await bench.states(TILL) == ["pending", "installed"]

    on_bench(tmp_path, story)


def test_a_retired_device_is_neither_written_for_nor_read(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        first = await bench.look()
        await bench.write(lambda c: membership.retire(c, "edge-01", actor="eve", now=NOW))
        bench.report({f"status/{SHOP}.json": status("installed")})
        await bench.deploy(SHOP, b"b")
        assert await bench.look() == first
        await bench.write(lambda c: membership.accept(c, "edge-01", actor="eve", now=NOW))
        again = await bench.look()
        assert again.desired_commit != first.desired_commit
        assert await bench.states() == ["installed"]

    on_bench(tmp_path, story)


def test_what_keeps_a_repository_from_being_written_is_its_problem_until_it_is_gone(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        (tmp_path / "repositories").write_text("in the way")
        found = await bench.look()
        assert found.problem is not None
        assert "repositories" in found.problem
        (tmp_path / "repositories").unlink()
        assert (await bench.look()).problem is None

    on_bench(tmp_path, story)


def test_the_keeper_hears_of_changes_pushes_and_new_keys_by_itself(tmp_path: Path) -> None:
    async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await is_so():
                await asyncio.sleep(0.01)

    async def story(bench: Bench) -> None:
        running = asyncio.create_task(bench.keeper.run())

        async def commits(count: int) -> bool:
            return bench.bare.branch(DESIRED) is not None and bench.git(
                "rev-list", "--count", DESIRED
            ) == str(count)

        await until(lambda: commits(1))
        await bench.deploy(SHOP, b"a")
        await until(lambda: commits(2))
        bench.report({f"status/{SHOP}.json": status("installed")})
        bench.context.pushed("edge-01")

        async def is_told() -> bool:
            return await bench.states() == ["installed"]

        await until(is_told)
        await bench.write(
            lambda c: suggestions.suggest(c, None, b"polling: {rate: 5m}\n", actor="eve", now=NOW)
        )
        await until(lambda: commits(3))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    on_bench(tmp_path, story)


def test_old_reports_are_cut_off_and_what_was_written_for_the_device_stays_whole(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.deploy(SHOP, b"a")
        await bench.look()
        await bench.deploy(SHOP, b"b")
        for number in range(30):
            bench.report({f"status/{SHOP}.json": status("pending", version=number + 1)})
        await bench.look()
        upkeep.clear_up(bench.bare, keep=10, young="now")
        assert bench.git("rev-list", "--count", CURRENT) == "10"
        assert bench.git("rev-list", "--count", DESIRED) == "2"
        bench.git("fsck", "--full", "--strict")
        bench.report({f"status/{SHOP}.json": status("installed")})
        found = await bench.look()
        assert (await bench.states())[-1] == "installed"
        assert len(await bench.states()) == 31
        assert found.problem is None
        upkeep.clear_up(bench.bare, keep=10, young="now")
        await bench.deploy(SHOP, b"c")
        await bench.look()
        bench.git("fsck", "--full", "--strict")

    on_bench(tmp_path, story)


def test_a_repository_is_cleared_up_only_when_there_is_much_and_once_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bench: Bench) -> None:
        await bench.look()
        assert not upkeep.keep_small(bench.bare)
        monkeypatch.setattr(upkeep, "is_large", lambda _: True)
        assert upkeep.keep_small(bench.bare, now=1_000_000_000)
        assert not upkeep.keep_small(bench.bare, now=1_000_080_000)
        assert upkeep.keep_small(bench.bare, now=1_000_090_000)

    on_bench(tmp_path, story)
