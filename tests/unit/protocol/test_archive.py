import contextlib
import gzip
import io
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.archive import (
    Archive,
    File,
    Limits,
    Symlink,
    compose_root,
    pack_directory_entries,
    read_archive,
)
from edgewright.protocol.errors import ArchiveError


def entry(name, content=b"", *, kind=tarfile.REGTYPE, link="", mode=0o644):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.size = kind, link, mode, len(content)
    return member, content


def directory(name):
    return entry(name, kind=tarfile.DIRTYPE, mode=0o755)


def symlink(name, target):
    return entry(name, kind=tarfile.SYMTYPE, link=target)


def hard_link(name, target):
    return entry(name, kind=tarfile.LNKTYPE, link=target)


def tar(*entries, fmt=tarfile.PAX_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=fmt) as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read(*entries, limits=None, **options):
    return read_archive(gzip.compress(tar(*entries, **options)), source="web.tgz", limits=limits)


COMPOSE = entry("web/compose.yaml", b"services: {}\n")


@pytest.mark.requirement("CMP-5", "CMP-6")
@pytest.mark.parametrize("top", ["web", "any-Name_at.all", "./web", "Größe"])
def test_the_only_directory_is_entered_whatever_its_name(top):
    archive = read(directory(top), entry(f"{top}/compose.yaml", b"x"), entry(f"{top}/conf/a.env", b"y"))
    name = top.removeprefix("./")
    assert compose_root(archive) == name
    assert archive.entries == {f"{name}/compose.yaml": File(b"x"), f"{name}/conf/a.env": File(b"y")}
    assert archive.directories == (name, f"{name}/conf")


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_dialect_is_read(fmt):
    long = "web/" + "d/" * 40 + "n" * 90
    assert long in read(COMPOSE, entry(long, b"z"), fmt=fmt).entries


@pytest.mark.requirement("CMP-5")
@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="nothing"),
        pytest.param([entry("compose.yaml")], id="no directory"),
        pytest.param([COMPOSE, entry("readme.md")], id="file beside it"),
        pytest.param([COMPOSE, directory("other")], id="second directory"),
        pytest.param([entry("web/docker-compose.yml")], id="other name"),
        pytest.param([entry("web/compose.yml")], id="other ending"),
        pytest.param([entry("web/Compose.yaml")], id="other case"),
        pytest.param([entry("web/a/compose.yaml")], id="one level down"),
        pytest.param([directory("web/compose.yaml")], id="a directory of that name"),
        pytest.param([entry("web/a"), symlink("web/compose.yaml", "a")], id="a link of that name"),
    ],
)
def test_other_layouts_are_no_components(entries):
    with pytest.raises(ArchiveError, match=r"expected .*(directory|compose\.yaml)"):
        compose_root(read(*entries), source="web.tgz")


@pytest.mark.requirement("CMP-9")
@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("/etc/cron.d/x")], id="absolute"),
        pytest.param([entry("../x")], id="parent"),
        pytest.param([entry("web/../../x")], id="parent inside"),
        pytest.param([entry("web/..")], id="parent at the end"),
        pytest.param([directory("web/../..")], id="parent as a directory"),
        pytest.param([symlink("web/a", "/etc/passwd")], id="absolute link"),
        pytest.param([symlink("web/a", "../x")], id="link to the parent"),
        pytest.param([symlink("web/a", "..")], id="link to the top"),
        pytest.param([symlink("web/d/a", "../../x")], id="link two levels up"),
        pytest.param([symlink("web/a", "b/../../x")], id="link through a name"),
        pytest.param([symlink("web/a", "")], id="link to nothing"),
        pytest.param(
            [entry("web/d/x/y"), symlink("web/a", "d/x"), symlink("web/b", "a/../../..")],
            id="link through a link",
        ),
        pytest.param([symlink("web/a", "d"), symlink("web/d", "a")], id="links in a circle"),
        pytest.param([symlink("web/a", "a")], id="link to itself"),
        pytest.param([symlink("web/a", "."), entry("web/a/x")], id="entry through a link"),
        pytest.param([symlink("web/a", "b"), directory("web/a")], id="directory over a link"),
        pytest.param([hard_link("web/a", "/etc/passwd")], id="hard link, absolute"),
        pytest.param([hard_link("web/a", "../x")], id="hard link to the parent"),
        pytest.param([entry("other/x"), hard_link("web/a", "other/x")], id="hard link out of the directory"),
        pytest.param([entry("./other/x"), hard_link("./web/a", "./other/x")], id="hard link out, with dots"),
        pytest.param([hard_link("web/a", "web/missing")], id="hard link to nothing"),
        pytest.param([hard_link("web/a", "web/a")], id="hard link to itself"),
        pytest.param([symlink("web/l", "m"), hard_link("web/a", "web/l")], id="hard link to a link"),
    ],
)
def test_entries_that_leave_their_directory_are_refused(entries):
    with pytest.raises(ArchiveError, match=r"^web\.tgz: entry "):
        read(*entries)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("web/x", kind=tarfile.CHRTYPE)], id="character device"),
        pytest.param([entry("web/x", kind=tarfile.BLKTYPE)], id="block device"),
        pytest.param([entry("web/x", kind=tarfile.FIFOTYPE)], id="pipe"),
        pytest.param([COMPOSE, COMPOSE], id="twice"),
        pytest.param([COMPOSE, entry("./web//compose.yaml")], id="twice in other words"),
        pytest.param([entry("web/a"), entry("web/a/b")], id="file as a directory"),
        pytest.param([entry("web/a\nb")], id="newline in a name"),
        pytest.param([entry("web/" + "n" * 256)], id="long step"),
        pytest.param([entry("web/" + "n/" * 600)], id="long name"),
        pytest.param([entry(".")], id="the archive itself as a file"),
    ],
)
def test_entries_of_other_kinds_or_names_are_refused(entries):
    with pytest.raises(ArchiveError, match=r"^web\.tgz: entry "):
        read(*entries)


@pytest.mark.requirement("CMP-9")
def test_links_that_stay_inside_are_kept_or_copied():
    archive = read(
        COMPOSE,
        entry("web/d/x", b"x"),
        symlink("web/d/up", "../compose.yaml"),
        symlink("web/e", "d"),
        symlink("web/f", "e/../d/x"),
        symlink("web/dangling", "not/there"),
        hard_link("web/copy", "web/d/x"),
    )
    assert archive.entries["web/d/up"] == Symlink("../compose.yaml")
    assert archive.entries["web/f"] == Symlink("e/../d/x")
    assert archive.entries["web/dangling"] == Symlink("not/there")
    assert archive.entries["web/copy"] == File(b"x")


@pytest.mark.requirement("CMP-10")
@given(st.integers(0, 0o7777))
def test_no_special_bits_survive(mode):
    entry_mode = read(entry("web/run.sh", mode=mode)).entries["web/run.sh"].mode
    assert entry_mode == (0o755 if mode & stat.S_IXUSR else 0o644)


def test_names_keep_their_case_apart():
    assert read(entry("web/a", b"1"), entry("web/A", b"2")).entries == {
        "web/a": File(b"1"),
        "web/A": File(b"2"),
    }


def test_names_that_are_not_utf_8_are_refused():
    data = bytearray(tar(entry("web/XX"), fmt=tarfile.USTAR_FORMAT))
    at = data.index(b"XX")
    data[at : at + 2] = b"\xff\xfe"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with pytest.raises(ArchiveError, match="not UTF-8"):
        read_archive(gzip.compress(bytes(data)), source="web.tgz")


def test_bombs_are_refused_without_unpacking_them():
    with pytest.raises(ArchiveError, match="unpacks to more than 10000 bytes"):
        read(entry("web/zeros", b"\0" * 1_000_000), limits=Limits(total=10_000))
    with pytest.raises(ArchiveError, match="more than 3 entries"):
        read(*(entry(f"web/{number}") for number in range(4)), limits=Limits(entries=3))


def test_sparse_files_do_not_expand():
    member, content = entry("web/hole", b"x")
    member.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "web/hole",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": "0,1",
    }
    with pytest.raises(ArchiveError):
        read((member, content))


GOOD = gzip.compress(tar(directory("web"), COMPOSE, entry("web/a", b"a" * 700)), mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"PK\x03\x04", id="zip"),
        pytest.param(tar(COMPOSE), id="tar without gzip"),
        pytest.param(GOOD + b"\0", id="bytes after gzip"),
        pytest.param(GOOD + GOOD, id="two gzip members"),
        pytest.param(gzip.compress(tar(COMPOSE) + tar(entry("x/y"))), id="two tars"),
        pytest.param(gzip.compress(tar(COMPOSE)[:700]), id="tar cut in a file"),
        pytest.param(gzip.compress(b"x" * 5000), id="no tar inside"),
    ],
)
def test_what_is_no_single_archive_is_refused(data):
    with pytest.raises(ArchiveError, match=r"^web\.tgz: "):
        read_archive(data, source="web.tgz")


@given(st.integers(0, len(GOOD) - 1))
def test_a_cut_archive_is_refused(length):
    with pytest.raises(ArchiveError):
        read_archive(GOOD[:length], source="web.tgz")


PLAIN = gzip.decompress(GOOD)


@given(st.lists(st.tuples(st.integers(0, 2048), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_headers_never_escape_as_another_error(changes):
    broken = bytearray(PLAIN)
    for at, change in changes:
        broken[at] ^= change
    try:
        archive = read_archive(gzip.compress(bytes(broken)), source="web.tgz")
    except ArchiveError:
        return
    assert all(".." not in path.split("/") and not path.startswith("/") for path in archive.entries)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_with_our_error(data):
    with pytest.raises(ArchiveError):
        read_archive(data, source="x")
    with contextlib.suppress(ArchiveError):
        assert read_archive(gzip.compress(data), source="x").entries == {}


steps = st.text("abcXYZ09._- é", min_size=1, max_size=12).filter(lambda text: text not in {".", ".."})
trees = st.dictionaries(
    st.lists(steps, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=50), st.sampled_from([0o600, 0o755, 0o4755])),
    max_size=5,
).filter(lambda tree: not any(a != b and b.startswith(a + "/") for a in tree for b in tree))


@given(trees)
def test_what_is_packed_reads_back_with_plain_modes(tree):
    data = pack_directory_entries(tree)
    archive = read_archive(data, source="x")
    assert archive.entries == {
        path: File(content, 0o755 if mode & 0o100 else 0o644) for path, (content, mode) in tree.items()
    }
    assert pack_directory_entries(dict(reversed(tree.items()))) == data


def test_an_empty_archive_holds_nothing():
    assert read_archive(pack_directory_entries({}), source="x") == Archive()
