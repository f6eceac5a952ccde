"""Git's protocol as bytes: what git itself says is understood, and what is not Git's is told from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.net.git.wire import (
    DELIMITER,
    FLUSH,
    MAX_CAPABILITIES,
    MAX_PACKET_BYTES,
    MAX_PREFIXES,
    GitRefusedError,
    GitWireError,
    LsRefs,
    command_name,
    marker,
    packet,
    read_advertisement,
    read_command,
    read_packets,
    read_refs,
    render_advertisement,
    render_error,
    render_ls_refs,
    render_refs,
)

DESIRED = "refs/heads/desired"
ONE, TWO = "1" * 40, "2" * 40
SERVICE = packet(b"# service=git-upload-pack\n") + marker(FLUSH)
# As git 2.39 says it.
V2 = SERVICE + (
    b"000eversion 2\n0015agent=git/2.39.5\n0013ls-refs=unborn\n0020fetch=shallow wait-for-done\n"
    b"0012server-option\n0017object-format=sha1\n0010object-info\n0000"
)
V0 = SERVICE + (
    packet(
        ONE.encode() + b" HEAD\0multi_ack side-band-64k symref=HEAD:refs/heads/desired object-format=sha1\n"
    )
    + packet(ONE.encode() + b" refs/heads/desired\n")
    + packet(TWO.encode() + b" refs/tags/v1\n")
    + packet(ONE.encode() + b" refs/tags/v1^{}\n")
    + marker(FLUSH)
)
LOGIN_PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"

commits = st.text("0123456789abcdef", min_size=40, max_size=40)
branches = st.text(
    st.characters(
        min_codepoint=33, exclude_characters="\x7f", max_codepoint=0x2FFF, exclude_categories=["Cs"]
    ),
    min_size=1,
)
contents = st.binary(min_size=1, max_size=200)


def test_the_advertisement_of_git_itself_is_understood():
    told = read_advertisement(V2)
    assert (told.version, told.object_format, told.refs) == (2, "sha1", None)
    assert told.capabilities["fetch"] == "shallow wait-for-done"
    assert (
        read_advertisement(V2.removeprefix(SERVICE)).version == 2
    )  # the name of the service may be left out


def test_a_server_of_version_0_tells_its_branches_at_once():
    told = read_advertisement(V0)
    assert told.version == 0
    assert told.refs == {"HEAD": ONE, DESIRED: ONE, "refs/tags/v1": TWO, "refs/tags/v1^{}": ONE}
    assert read_advertisement(V0, [DESIRED]).refs == {DESIRED: ONE}
    assert read_advertisement(SERVICE + packet(b"version 1\n") + V0.removeprefix(SERVICE)).refs == told.refs


def test_an_empty_repository_of_version_0_has_no_branches():
    empty = SERVICE + packet(b"0" * 40 + b" capabilities^{}\0agent=git/2.39\n") + marker(FLUSH)
    assert read_advertisement(empty).refs == {}
    assert read_advertisement(SERVICE + marker(FLUSH)).refs == {}  # as old servers have it


def test_a_shallow_repository_of_version_0_tells_of_its_ends():
    ends = packet(b"shallow " + TWO.encode() + b"\n")
    assert read_advertisement(V0[:-4] + ends + marker(FLUSH), [DESIRED]).refs == {DESIRED: ONE}


def test_what_is_rendered_is_read_again():
    told = read_advertisement(
        render_advertisement(["ls-refs=unborn", "fetch=shallow", "object-format=sha256"])
    )
    assert (told.version, told.object_format) == (2, "sha256")
    command = read_command(render_ls_refs([DESIRED], told.object_format))
    assert (command.name, command.capabilities) == ("ls-refs", {"object-format": "sha256"})
    asked = LsRefs(command)
    assert asked.prefixes == [DESIRED]
    assert asked.wants(DESIRED)
    assert not asked.wants("refs/heads/current")


def test_the_request_of_git_itself_is_understood():
    request = (
        b"0014command=ls-refs\n0014agent=git/2.39.50016object-format=sha10001"
        b"0009peel\n000csymrefs\n000bunborn\n0014ref-prefix HEAD\n001bref-prefix refs/heads/\n0000"
    )
    command = read_command(request)
    asked = LsRefs(command)
    assert command_name(next(read_packets(request))) == command.name == "ls-refs"
    assert (asked.peel, asked.symrefs, asked.unborn) == (True, True, True)
    assert asked.wants("refs/heads/any")
    assert asked.wants("HEAD")
    assert not asked.wants("refs/tags/v1")


def test_an_empty_request_and_one_without_arguments_are_requests():
    assert read_command(marker(FLUSH)).name == ""
    asked = LsRefs(read_command(packet(b"command=ls-refs") + marker(FLUSH)))
    assert asked.wants("refs/tags/v1")


def test_more_prefixes_than_are_looked_at_ask_for_everything():
    asked = LsRefs(read_command(render_ls_refs(f"refs/heads/{n}" for n in range(MAX_PREFIXES + 1))))
    assert asked.wants("refs/tags/v1")


def test_a_branch_is_told_from_one_whose_name_goes_on():
    answer = render_refs([(ONE, DESIRED), (TWO, f"{DESIRED}-next")])
    assert read_refs(answer, wanted=[DESIRED]) == {DESIRED: ONE}


def test_what_follows_a_branch_is_left_out_and_an_unborn_one_is_none():
    answer = b"".join(
        [
            packet(b"unborn HEAD symref-target:refs/heads/main\n"),
            packet(f"{ONE} refs/tags/v1 peeled:{TWO}\n".encode()),
            marker(FLUSH),
        ]
    )
    assert read_refs(answer) == {"refs/tags/v1": ONE}


@pytest.mark.parametrize("read", [read_refs, read_advertisement])
def test_an_error_of_the_server_is_told_in_its_words(read):
    with pytest.raises(GitRefusedError, match="the Git server says: no such repository"):
        read(render_error("no such\n repository"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "ends before it has said anything", id="nothing"),
        pytest.param(LOGIN_PAGE, "expected the length of a packet, not <!DO", id="a web page"),
        pytest.param(V2[:-4], "no end", id="cut off between two packets"),
        pytest.param(V2[:-9], "in the middle of a packet", id="cut off within a packet"),
        pytest.param(SERVICE, "ends before it has said anything", id="the service alone"),
        pytest.param(
            packet(b"# service=git-receive-pack\n") + marker(FLUSH) + V2, "another service", id="push"
        ),
        pytest.param(
            packet(b"# service=git-upload-pack\n") + V2, "not followed by an end", id="no end of it"
        ),
        pytest.param(SERVICE + packet(b"version 3\n") + marker(FLUSH), "version 3", id="a later version"),
        pytest.param(SERVICE + packet(b"version 2\n") + marker(FLUSH), "ls-refs", id="nothing to ask"),
        pytest.param(SERVICE + packet(b"hello\n") + marker(FLUSH), "expected branches or", id="rubbish"),
        pytest.param(V2[:-4] + marker(DELIMITER), "no end", id="a section where the end is"),
        pytest.param(V0[:-4], "cut off", id="branches that are cut off"),
        pytest.param(
            V0.replace(b"tags/v1\n", b"heads/d\n") + marker(FLUSH), "after its end", id="more after it"
        ),
        pytest.param(b"fff1" + b"x" * 65521, "5 to 65520 bytes", id="a packet too large"),
        pytest.param(b"0003", "5 to 65520 bytes", id="a packet that is none"),
        pytest.param(V2.replace(b"sha1", b"md55"), "object format md55", id="another kind of ids"),
    ],
)
def test_what_is_no_advertisement_is_refused_with_its_reason(body, reason):
    with pytest.raises(GitWireError, match=reason):
        read_advertisement(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "cut off", id="nothing"),
        pytest.param(LOGIN_PAGE, "expected the length", id="a web page"),
        pytest.param(packet(f"{ONE} {DESIRED}\n".encode()), "cut off", id="no end"),
        pytest.param(render_refs([(ONE[1:], DESIRED)]), "expected a commit id", id="an id too short"),
        pytest.param(render_refs([(ONE + "1" * 24, DESIRED)]), "expected a commit id", id="an id of sha256"),
        pytest.param(render_refs([(ONE, "")]), "cannot be the name", id="no name"),
        pytest.param(render_refs([(ONE, "a\tb")]), "cannot be the name", id="a name with a tab"),
        pytest.param(render_refs([(ONE, "r" * 2000)]), "cannot be the name", id="a long name"),
        pytest.param(render_refs([(ONE, DESIRED), (TWO, DESIRED)]), "twice", id="a branch twice"),
        pytest.param(
            render_refs([(ONE, DESIRED)]) + packet(b"more"), "after its end", id="more after the end"
        ),
    ],
)
def test_what_is_no_list_of_branches_is_refused_with_its_reason(body, reason):
    with pytest.raises(GitWireError, match=reason):
        read_refs(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(packet(b"ls-refs\n") + marker(FLUSH), "begins with its command", id="no command"),
        pytest.param(marker(DELIMITER), "begins with its command", id="no beginning"),
        pytest.param(packet(b"command=ls-refs\n"), "no end", id="cut off"),
        pytest.param(packet(b"command=ls-refs\n") + marker(DELIMITER), "no end", id="arguments cut off"),
        pytest.param(packet(b"command=\n") + marker(FLUSH), "cannot be the name of a command", id="no name"),
    ],
)
def test_what_is_no_request_is_refused_with_its_reason(body, reason):
    with pytest.raises(GitWireError, match=reason):
        read_command(body)


def test_an_argument_that_is_not_known_is_refused():
    with pytest.raises(GitWireError, match="no argument filter"):
        LsRefs(
            read_command(packet(b"command=ls-refs") + marker(DELIMITER) + packet(b"filter x") + marker(FLUSH))
        )


def test_capabilities_without_end_are_refused():
    with pytest.raises(GitWireError, match="more than 256"):
        read_advertisement(render_advertisement(f"c{n}" for n in range(MAX_CAPABILITIES + 1)))


@pytest.mark.parametrize("length", [0, MAX_PACKET_BYTES - 3])
def test_a_packet_that_cannot_be_is_not_made(length):
    with pytest.raises(GitWireError):
        packet(b"x" * length)


def test_what_a_server_says_can_neither_break_a_line_nor_fill_a_log():
    with pytest.raises(GitRefusedError) as caught:
        read_refs(packet(b"ERR \x1b[31mred\r\n" + b"x" * 1000))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@given(st.lists(contents | st.sampled_from([FLUSH, DELIMITER])))
def test_packets_come_out_as_they_went_in(packets):
    data = b"".join(marker(each) if isinstance(each, int) else packet(each) for each in packets)
    assert list(read_packets(data)) == packets


@given(st.dictionaries(branches.filter(lambda name: len(name.encode()) <= 1000), commits))
def test_branches_come_out_as_they_went_in(refs):
    answer = render_refs((commit, ref) for ref, commit in refs.items())
    told = read_refs(answer)
    assert {name.encode("utf-8", "surrogateescape").decode(): commit for name, commit in told.items()} == refs


@given(st.data())
def test_whatever_is_cut_off_or_changed_ends_in_an_error_of_ours_or_in_plain_ids(data):
    whole = data.draw(st.sampled_from([V2, V0, render_refs([(ONE, DESIRED), (TWO, "refs/heads/x")])]))
    body = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    _ends_well(bytes(body))


@given(st.binary() | st.binary().map(lambda rest: SERVICE + rest) | contents.map(packet))
def test_rubbish_ends_in_an_error_of_ours(body):
    _ends_well(body)


def _ends_well(body: bytes) -> None:
    for read in (
        read_refs,
        lambda body: read_advertisement(body).refs or {},
        lambda body: read_command(body) and {},
    ):
        try:
            refs = read(body)
        except (GitWireError, GitRefusedError):
            continue
        assert all(set(commit) <= set("0123456789abcdef") for commit in refs.values())
