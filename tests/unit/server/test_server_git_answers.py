"""What is answered to Git from memory: what was asked for and no more, whatever the bytes of the question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.net.git.wire import (
    DELIMITER,
    FLUSH,
    GitWireError,
    marker,
    packet,
    read_advertisement,
    read_refs,
    render_ls_refs,
)
from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.repositories.answers import ADVERTISEMENT, answer_from_memory
from edgewright.server.repositories.refs import RefTable

commits = st.text("0123456789abcdef", min_size=40, max_size=40)
tables = st.builds(RefTable, st.none() | commits, st.none() | commits)
prefixes = st.sampled_from(
    ["HEAD", "H", "refs/", "refs/heads/", "refs/heads/d", DESIRED, CURRENT, f"{DESIRED}x"]
)
arguments = st.sampled_from([b"symrefs", b"peel", b"unborn", b"ref-prefix HEAD", b"ref-prefix refs/heads/c"])


def request(*words: bytes, command: bytes = b"ls-refs") -> bytes:
    given_ = b"".join(packet(word + b"\n") for word in words)
    return packet(b"command=" + command + b"\n") + marker(DELIMITER) + given_ + marker(FLUSH)


def there_is(table: RefTable) -> dict[str, str]:
    return dict(table.listed()) | ({} if table.desired is None else {"HEAD": table.desired})


def test_what_is_offered_is_what_is_answered():
    told = read_advertisement(ADVERTISEMENT)
    assert (told.version, told.refs, told.object_format) == (2, None, "sha1")
    assert {"ls-refs", "fetch"} <= told.capabilities.keys()


@pytest.mark.requirement("GR-43")
@given(tables, st.lists(prefixes, max_size=4))
def test_the_branches_asked_for_are_told_and_no_others(table, wanted):
    answer = answer_from_memory(render_ls_refs(wanted), table)
    assert answer is not None
    expected = {
        name: commit
        for name, commit in there_is(table).items()
        if not wanted or any(name.startswith(prefix) for prefix in wanted)
    }
    assert read_refs(answer) == expected


def test_head_is_the_branch_devices_take_up_also_before_it_is_there():
    table = RefTable("a" * 40, "b" * 40)
    told = answer_from_memory(request(b"symrefs", b"ref-prefix HEAD"), table)
    assert told == packet(f"{'a' * 40} HEAD symref-target:{DESIRED}\n".encode()) + marker(FLUSH)
    empty = RefTable(None, "b" * 40)
    asked = (b"symrefs", b"unborn", b"ref-prefix HEAD")
    unborn = packet(f"unborn HEAD symref-target:{DESIRED}\n".encode()) + marker(FLUSH)
    assert answer_from_memory(request(*asked), empty) == unborn
    assert answer_from_memory(request(b"ref-prefix HEAD"), empty) == marker(FLUSH)


def test_an_empty_request_ends_and_a_fetch_is_for_git():
    assert answer_from_memory(marker(FLUSH), RefTable(None, None)) == marker(FLUSH)
    assert answer_from_memory(request(b"done", command=b"fetch"), RefTable("a" * 40, None)) is None


@pytest.mark.parametrize("command", [b"object-info", b"bundle-uri", b"push", b"\x1b[2J", b"x" * 60_000])
def test_what_was_not_offered_is_refused_in_a_line_that_can_be_shown(command):
    with pytest.raises(GitWireError) as caught:
        answer_from_memory(request(command=command), RefTable("a" * 40, None))
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def _ends_well(body: bytes, table: RefTable) -> None:
    """A question is refused, left to Git, or answered with what there is."""
    try:
        answer = answer_from_memory(body, table)
    except GitWireError:
        return
    if answer is None:
        assert b"command=fetch" in body[:20]
        return
    assert read_refs(answer).items() <= there_is(table).items()


@given(st.binary(max_size=200), tables)
def test_rubbish_is_never_answered_with_more_than_there_is(body, table):
    _ends_well(body, table)


@given(st.data(), tables)
def test_a_question_that_was_cut_off_or_changed_is_never_answered_with_more_than_there_is(data, table):
    whole = request(
        *data.draw(st.lists(arguments, max_size=5)),
        command=data.draw(st.sampled_from([b"ls-refs", b"fetch"])),
    )
    body = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    _ends_well(bytes(body), table)
