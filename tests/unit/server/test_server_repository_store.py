"""What is kept of repositories, and who is told when it changes."""

from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store import repositories
from edgewright.server.store.repositories import Kind, Way
from support.fleet_store import NOW, Step, make_store, run


def step(function: Any, *arguments: Any, **named: Any) -> Step:
    async def call(connection: AsyncConnection) -> Any:
        return await function(connection, *arguments, **named)

    return call


def test_a_repository_is_kept_with_what_was_written_read_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "db"
    make_store(path, {"edge-01": {}, "edge-02": {}}, [])
    *_, found, others, digests, none = run(
        path,
        step(repositories.add, "edge-01", Kind.HOSTED, None, NOW),
        step(repositories.add, "edge-02", Kind.EXTERNAL, "https://git.test/edge-02.git", NOW),
        step(repositories.set_digest, "edge-01", Way.TOKEN, "d" * 64),
        step(
            repositories.note_written,
            "edge-01",
            commit="a" * 40,
            etag="sha256:1",
            policy_tag="none",
            signer="S",
        ),
        step(
            repositories.note_read, "edge-01", commit="b" * 40, adopted="{}", unread="site.json: bad", now=NOW
        ),
        step(
            repositories.note_read, "edge-01", commit="c" * 40, adopted=None, unread="site.json: bad", now=NOW
        ),
        step(repositories.get, "edge-01"),
        step(repositories.page, after="edge-01", limit=10),
        step(repositories.digests, "edge-01"),
        step(repositories.digests, "edge-03"),
    )
    assert (found.kind, found.url, found.desired_commit, found.signer) == (Kind.HOSTED, None, "a" * 40, "S")
    assert (found.current_commit, found.adopted, found.checked) == ("c" * 40, "{}", NOW)
    assert [one.client_id for one in others] == ["edge-02"]
    assert (digests, none) == ({Way.TOKEN: "d" * 64}, {})


def test_only_those_with_something_wrong_are_counted_as_such(tmp_path: Path) -> None:
    path = tmp_path / "db"
    make_store(path, {"edge-01": {}, "edge-02": {}}, [])
    everything, wrong, _, after = run(
        path,
        step(repositories.add, "edge-01", Kind.HOSTED, None, NOW),
        step(repositories.add, "edge-02", Kind.HOSTED, None, NOW),
        step(repositories.note_problem, "edge-02", "cannot be written"),
        step(repositories.count),
        step(repositories.page, after=None, limit=5, with_problem=True),
        step(repositories.remove, "edge-02"),
        step(repositories.count, with_problem=True),
    )[-4:]
    assert everything == 2
    assert [one.client_id for one in wrong] == ["edge-02"]
    assert after == 0
