"""Bodies of Git's requests: whole or not at all, and never more than there may be, packed or not."""

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.server.problems import ProblemError
from edgewright.server.repositories.incoming import GoneError, spool

GZIP = {b"content-encoding": b"gzip"}
on_disk = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
_ENDS = (None, 413)
"""An invalid request, which is 400, and one that is too long."""
bodies = st.lists(st.binary(max_size=300), max_size=5)


def messages(pieces: Sequence[bytes]) -> list[dict[str, Any]]:
    listed = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    return [*listed, {"type": "http.request", "body": b"", "more_body": False}]


def take(
    told: Sequence[dict[str, Any]],
    folder: Path,
    headers: Mapping[bytes, bytes] | None = None,
    *,
    limit: int = 1000,
    seconds: float = 60.0,
) -> bytes:
    remaining = iter(told)

    async def receive() -> dict[str, Any]:
        try:
            return next(remaining)
        except StopIteration:
            await asyncio.Event().wait()  # a client that says nothing more
            raise

    async def read() -> bytes:
        with await spool(receive, headers or {}, limit=limit, seconds=seconds, folder=folder) as body:
            assert body.tell() == 0
            return body.read()

    return asyncio.run(read())


def split(data: bytes, at: Sequence[int]) -> list[bytes]:
    ends = [0, *sorted(min(each, len(data)) for each in at), len(data)]
    return [data[first:last] for first, last in pairwise(ends)]


@on_disk
@given(bodies, st.integers(0, 700))
def test_a_body_comes_out_as_it_went_in_or_is_too_long(tmp_path: Path, pieces: list[bytes], limit: int):
    whole = b"".join(pieces)
    if len(whole) <= limit:
        assert take(messages(pieces), tmp_path, limit=limit) == whole
    else:
        with pytest.raises(ProblemError) as caught:
            take(messages(pieces), tmp_path, limit=limit)
        assert caught.value.status == 413


@on_disk
@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=4), st.integers(0, 2500))
def test_a_packed_body_is_unpacked_to_no_more_than_its_limit(
    tmp_path: Path, whole: bytes, cuts: list[int], limit: int
):
    told = messages(split(gzip.compress(whole), cuts))
    if len(whole) <= limit:
        assert take(told, tmp_path, GZIP, limit=limit) == whole
    else:
        with pytest.raises(ProblemError) as caught:
            take(told, tmp_path, GZIP, limit=limit)
        assert caught.value.status == 413


@on_disk
@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_packed_body_that_was_cut_off_or_changed_is_refused_or_says_the_same(
    tmp_path: Path, whole: bytes, data: st.DataObject
):
    packed = bytearray(gzip.compress(whole, mtime=0))
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        taken = take(messages([bytes(packed)]), tmp_path, GZIP)
    except ProblemError as error:
        assert error.status in _ENDS  # noqa: PT017 - whichever it is, nothing was taken
    else:
        assert taken == whole


@on_disk
@given(st.binary(max_size=300), st.sampled_from([b"gzip", b"x-gzip", b"GZIP "]))
def test_rubbish_that_calls_itself_packed_is_refused(tmp_path: Path, rubbish: bytes, encoding: bytes):
    try:
        taken = take(messages([rubbish]), tmp_path, {b"content-encoding": encoding}, limit=100_000)
    except ProblemError as error:
        assert error.status in _ENDS  # noqa: PT017 - whichever it is, nothing was taken
    else:
        assert gzip.decompress(rubbish) == taken


def test_a_bomb_is_given_up_at_its_limit(tmp_path: Path):
    bomb = gzip.compress(b"\0" * 50_000_000)
    with pytest.raises(ProblemError) as caught:
        take(messages([bomb]), tmp_path, GZIP, limit=10_000)
    assert caught.value.status == 413


def test_what_follows_the_end_of_a_packed_body_is_refused(tmp_path: Path):
    with pytest.raises(ProblemError, match="behind the end"):
        take(messages([gzip.compress(b"one") + gzip.compress(b"two")]), tmp_path, GZIP)


@pytest.mark.parametrize("announced", [b"1001", b"9" * 30, b"9" * 5000, b"0001001"])
def test_a_body_that_is_announced_as_too_long_is_not_waited_for(announced: bytes, tmp_path: Path):
    with pytest.raises(ProblemError) as caught:
        take([], tmp_path, {b"content-length": announced}, limit=1000)
    assert (caught.value.status, "longer than 1000" in str(caught.value)) == (413, True)


@pytest.mark.parametrize("announced", [b"", b"-1", b"3", b"0" * 5000 + b"3", b"3, 3", b"\xb2", b"1e9"])
def test_the_announced_length_is_believed_only_where_it_is_too_long(announced: bytes, tmp_path: Path):
    assert take(messages([b"abc"]), tmp_path, {b"content-length": announced}) == b"abc"


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"\xff", b"x" * 5000])
def test_another_way_of_packing_is_named_as_not_known(encoding: bytes, tmp_path: Path):
    with pytest.raises(ProblemError, match="expected gzip or none") as caught:
        take(messages([b""]), tmp_path, {b"content-encoding": encoding})
    assert caught.value.status == 415
    assert len(str(caught.value)) < 200


def test_who_goes_away_is_answered_by_nobody_and_who_waits_is_told(tmp_path: Path):
    with pytest.raises(GoneError):
        take([*messages([b"half"])[:1], {"type": "http.disconnect"}], tmp_path)
    with pytest.raises(ProblemError) as caught:
        take(messages([b"half"])[:1], tmp_path, seconds=0.01)
    assert caught.value.status == 408


def test_nothing_is_left_on_disk_of_what_was_refused(tmp_path: Path):
    with pytest.raises(ProblemError):
        take(messages([b"x" * 400_000] * 3), tmp_path, limit=1_000_000)
    assert take(messages([b"x" * 400_000] * 2), tmp_path, limit=1_000_000) == b"x" * 800_000
    assert not list(tmp_path.iterdir())
