"""The `git` program, run so that nothing but its arguments and one repository decides what it does.

It sees none of our environment and no configuration but ours; it never asks anybody anything; it ends at a
deadline; what it writes, says and remembers is bounded. Secrets are in the configuration file `config` names,
never in arguments, environments or errors. Nothing is ever checked out: repositories are bare.

What a repository holds is read here as bytes and judged by others. Standard library only, synchronous.
"""

import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from edgewright.net.git.environment import environment, program_path
from edgewright.protocol.errors import EdgewrightError

PROGRAM, SIGNER = "git", "ssh-keygen"
SLOWEST_BYTES, SLOWEST_SECONDS = 100, 60
"""A transfer that brings less than this each second, for as long, is given up."""
_PROTOCOLS = "https:ssh:file"
_ALLOCATION_BYTES = 256 * 1024 * 1024
_DATA_BYTES = 512 * 1024 * 1024
"""What a program may hold in memory: a server that names branches without end would fill the device's."""
_ERROR_BYTES, _MOST_ERROR_BYTES = 64 * 1024, 4 * 1024 * 1024
"""What is kept of what a program complains of, and how much it may say: a server speaks there as well."""
_TOLD_CHARACTERS = 600
_CHUNK = 1 << 16
_TREE, _COMMIT = "tree", "commit"
_ALWAYS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed",
    "core.bigFileThreshold=8m",
    "core.attributesFile=/dev/null",
    "core.logAllRefUpdates=false",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "gpg.format=ssh",
    "gpg.minTrustLevel=fully",
    "gpg.program=/bin/false",
    "gpg.x509.program=/bin/false",
    "http.followRedirects=false",
    f"http.lowSpeedLimit={SLOWEST_BYTES}",
    f"http.lowSpeedTime={SLOWEST_SECONDS}",
    "maintenance.auto=false",
    "pack.threads=1",
    "protocol.ext.allow=never",
    "protocol.version=2",
    "receive.fsckObjects=true",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
)


class GitError(EdgewrightError):
    """The program failed, or what it was asked about is not what it has to be; `code` says which of these."""

    def __init__(self, message: str, *, code: str = "git.failed", retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class UntrustedError(GitError):
    """A commit is not signed by anybody who is trusted."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="git.untrusted")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a tree: `mode` as Git has it (`100644`), `kind` blob, tree or commit, `size` in bytes."""

    mode: str
    kind: str
    id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a commit says of itself; `author` as `Name <address>`, `at` unix seconds of the committer."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    at: int
    message: str


class Git:
    """One bare repository at `directory`, which need not be there yet (`make`).

    `config` is a configuration file of ours; `seconds` how long one run may take; `output_limit` how many
    bytes it may say, `write_limit` how large a single file it may write (a fetch writes one), 0 without end.
    `hold` is a descriptor that the program keeps open as long as it lives: a lock outlasts us with it.
    Every method raises GitError.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        config: str | os.PathLike[str] | None = None,
        seconds: float = 120.0,
        output_limit: int = 64 * 1024 * 1024,
        write_limit: int = 0,
        hold: int = -1,
    ) -> None:
        self.directory = os.path.abspath(directory)
        self._config = "/dev/null" if config is None else os.path.abspath(config)
        self._seconds = seconds
        self._output_limit = output_limit
        self._write_limit = write_limit
        self._hold = hold

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Iterable[str] = (),
    ) -> bytes:
        """Run `git ARGUMENTS` in the repository and return what it says; `settings` are `name=value`."""
        code, output, errors = self._run(arguments, stdin, seconds, environment or {}, settings)
        if code != 0:
            raise error_of(arguments, code, errors)
        return output

    def ask(self, *arguments: str, stdin: bytes = b"") -> bytes | None:
        """Return what `git ARGUMENTS` says, None where it answers with 1, which many commands do for no."""
        code, output, errors = self._run(arguments, stdin, None, {}, ())
        if code == 1 and not errors.strip():
            return None
        if code != 0:
            raise error_of(arguments, code, errors)
        return output

    @property
    def is_there(self) -> bool:
        """Whether there is a repository."""
        return os.path.isfile(os.path.join(self.directory, "HEAD"))

    def make(self, *, branch: str = "desired") -> None:
        """Make the repository if there is none, readable by its owner alone; nothing is taken from templates.

        HEAD is written last: killed halfway there is no repository yet, and the next call makes it whole.
        """
        if self.is_there:
            return
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
            os.makedirs(os.path.join(self.directory, name), mode=0o700, exist_ok=True)
        self._write("config", "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n")
        self._write("HEAD", f"ref: refs/heads/{branch}\n")

    # Reading

    def commit_of(self, ref: str) -> str | None:
        """Return the commit `ref` (full name, or an id) stands for; None when there is none."""
        found = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        return None if found is None else found.decode("ascii").strip()

    def read_commit(self, commit: str) -> Commit:
        """Return what `commit` (an id) says of itself, whatever is known of its parents here."""
        data = self.read_objects([commit], limit=1 << 20).get(commit)
        if data is None:
            raise GitError(f"commit {commit[:12]} is not in the repository", code="git.missing")
        return parse_commit(commit, data)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` builds on `older` (or is it), as far as history is here."""
        return self.ask("merge-base", "--is-ancestor", older, newer) is not None

    def first_parents(self, older: str, newer: str, *, most: int = 100_000) -> list[str] | None:
        """Return the commits after `older` up to `newer` along first parents, oldest first.

        None when `older` is not reached that way: history was rewritten, `older` came in from the side, or
        there are more than `most`.
        """
        listed = self.run(
            "rev-list", "--first-parent", f"--max-count={most + 1}", "--parents", newer, f"^{older}"
        )
        found: list[str] = []
        expected = newer
        for line in listed.decode("ascii").splitlines():
            commit, *parents = line.split()
            if commit != expected or not parents or len(found) >= most:
                return None
            found.append(commit)
            expected = parents[0]
        return found[::-1] if expected == older else None

    def read_tree(self, commit: str, *, most: int, depth: int) -> dict[str, Entry]:
        """Return what is in the tree of `commit` by path, trees included, without following anything.

        Each tree is read as bytes: what it holds twice or out of order is refused, as are more than `most`
        entries and paths of more than `depth` segments.
        """
        found: dict[str, Entry] = {}
        level = [("", self.read_commit(commit).tree)]
        while level:
            ids = list(dict.fromkeys(tree for _, tree in level))
            try:
                trees = self.read_objects(ids, limit=most * 300, kind=_TREE)
            except GitError as error:
                if error.code != "git.too-large":
                    raise
                raise GitError(f"there are more than {most} files and folders", code="git.refused") from error
            level, above = [], level
            for folder, tree in above:
                if tree not in trees:
                    raise GitError(f"folder {folder or '/'} is not in the repository", code="git.missing")
                for mode, name, entry in parse_tree(trees[tree], folder, len(tree) // 2):
                    path = f"{folder}{name}"
                    found[path] = Entry(mode, _kind(mode), entry, 0)
                    if len(found) > most:
                        raise GitError(f"there are more than {most} files and folders", code="git.refused")
                    if _kind(mode) == _TREE:
                        if path.count("/") + 2 > depth:
                            raise GitError(
                                f"{path[:200]}: folders are nested more than {depth} deep", code="git.refused"
                            )
                        level.append((f"{path}/", entry))
        sizes = self.sizes(each.id for each in found.values() if each.kind == "blob")
        for path, each in found.items():
            if each.kind == "blob":
                if each.id not in sizes or sizes[each.id][0] != "blob":
                    raise GitError(f"{path}: its content is not in the repository", code="git.missing")
                found[path] = Entry(each.mode, each.kind, each.id, sizes[each.id][1])
        return found

    def read_blob(self, commit: str, path: str, *, limit: int) -> bytes | None:
        """Return the bytes of the file `path` in `commit`, None when there is no such file."""
        found = self.run("ls-tree", "-z", "--full-tree", commit, "--", path).split(b"\0")[0]
        facts, _, name = found.partition(b"\t")
        if name != path.encode() or facts.split()[1] != b"blob":
            return None
        blob = facts.split()[2].decode("ascii")
        return self.read_objects([blob], limit=limit, kind="blob").get(blob)

    def files_at(self, commits: Iterable[str], path: str) -> dict[str, str]:
        """Return the id of the file `path` in each of `commits` that has one."""
        wanted = list(dict.fromkeys(commits))
        asked = "".join(f"{each}:{path}\n" for each in wanted)
        lines = self.run("cat-file", "--batch-check", stdin=asked.encode()).decode("utf-8", "replace")
        found = {}
        for commit, line in zip(wanted, lines.splitlines(), strict=True):
            words = line.split()
            if len(words) == 3 and words[1] == "blob":
                found[commit] = words[0]
        return found

    def sizes(self, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Return type and size of those objects that are here."""
        wanted = "".join(f"{each}\n" for each in dict.fromkeys(ids))
        found = {}
        for line in self.run("cat-file", "--batch-check", stdin=wanted.encode("ascii")).splitlines():
            words = line.decode("ascii", "replace").split()
            if len(words) == 3:
                found[words[0]] = (words[1], int(words[2]))
        return found

    def read_objects(self, ids: Iterable[str], *, limit: int, kind: str = "") -> dict[str, bytes]:
        """Return the bytes of those objects that are here; one larger than `limit` is refused unread.

        With `kind` they have to be of that; else they are whatever they are.
        """
        wanted = list(dict.fromkeys(ids))
        total = 0
        for name, (found, size) in self.sizes(wanted).items():
            total += size
            if kind and found != kind:
                raise GitError(f"object {name[:12]} is a {found}, expected a {kind}", code="git.refused")
            if size > limit:
                raise GitError(
                    f"object {name[:12]} has {size} bytes, at most {limit} are accepted", code="git.too-large"
                )
        if total > self._output_limit:
            raise GitError(
                f"{len(wanted)} objects have {total} bytes, at most {self._output_limit} are accepted",
                code="git.too-large",
            )
        asked = "".join(f"{each}\n" for each in wanted).encode("ascii")
        output = self.run("cat-file", "--batch", stdin=asked) if wanted else b""
        return dict(_batch(output))

    # Signatures

    def signer_of(self, commit: str, signers: str | os.PathLike[str]) -> str:
        """Return who signed `commit`, by the allowed-signers file `signers`; raise UntrustedError for nobody.

        SSH signatures alone count (ssh-keygen(1)); the key has to be listed and good at the commit's time.
        """
        need(SIGNER)
        arguments = ("verify-commit", "--raw", commit)
        allowed = f"gpg.ssh.allowedSignersFile={os.path.abspath(signers)}"
        code, _, errors = self._run(arguments, b"", None, {}, (allowed,))
        text = errors.decode("utf-8", "replace")
        found = re.search(r'^Good "git" signature for (.+) with \S+ key (\S+)$', text, re.MULTILINE)
        if code == 0 and found is not None:
            return found[1]
        if "unsupported value for gpg.format" in text.lower() or "bad config" in text.lower():
            raise GitError("this git knows no SSH signatures: install 2.34 or later", code="git.too-old")
        head = self.read_objects([commit], limit=1 << 20).get(commit, b"").partition(b"\n\n")[0]
        why = _no_signature(text, b"\ngpgsig" in head)
        raise UntrustedError(f"commit {commit[:12]} {why}")

    # Writing

    def write_commit(
        self,
        changes: Mapping[str, bytes | None],
        *,
        parent: str | None,
        message: str,
        sign_with: str | os.PathLike[str] | None = None,
        author: str = "Edgewright <edgewright@localhost>",
        at: int | None = None,
    ) -> str:
        """Write a commit on `parent` with `changes` by path (None deletes) and return its id; no ref moves.

        `sign_with` is an SSH key file. Without `at` (unix seconds) it is of now.
        """
        if sign_with is not None:
            need(SIGNER)
        try:
            with tempfile.TemporaryDirectory(prefix="writing-", dir=self.directory) as scratch:
                tree = self._write_tree(scratch, changes, parent)
        except OSError as error:
            raise GitError(
                f"{error.filename or self.directory}: {error.strerror}",
                code="git.disk-full" if error.errno == 28 else "git.failed",
                retryable=True,
            ) from error
        name, _, address = author.partition(" <")
        moment = f"@{int(time.time()) if at is None else at} +0000"
        who = {"NAME": name.strip() or "unknown", "EMAIL": address.rstrip(">"), "DATE": moment}
        settings = [] if sign_with is None else [f"user.signingKey={os.path.abspath(sign_with)}"]
        return (
            self.run(
                "commit-tree",
                *(["-S"] if sign_with is not None else ["--no-gpg-sign"]),
                *(["-p", parent] if parent is not None else []),
                tree,
                stdin=message.encode(),
                environment={
                    f"GIT_{role}_{key}": text for role in ("AUTHOR", "COMMITTER") for key, text in who.items()
                },
                settings=settings,
            )
            .decode("ascii")
            .strip()
        )

    def set_ref(self, ref: str, commit: str | None, *, was: str | None = None) -> None:
        """Let `ref` name `commit`, or nothing; with `was` only if it still names that."""
        old = [] if was is None else [was]
        if commit is None:
            self.run("update-ref", "--no-deref", "-d", ref, *old)
        else:
            self.run("update-ref", "--no-deref", ref, commit, *old)

    def push(self, url: str, *refspecs: str) -> None:
        """Push `refspecs` to `url`, for which nothing is forced.

        Where history was cut here is told to git as grafts: it speaks to the server of a shallow repository
        otherwise, and not every server takes that (dulwich's does not), though it is none of its business.
        """
        cut = {"GIT_SHALLOW_FILE": "", "GIT_GRAFT_FILE": os.path.join(self.directory, "shallow")}
        quiet = ("advice.graftFileDeprecated=false",)
        self.run("push", "--quiet", "--no-verify", url, *refspecs, environment=cut, settings=quiet)

    def _write_tree(self, scratch: str, changes: Mapping[str, bytes | None], parent: str | None) -> str:
        index = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        files = []
        written = {path: data for path, data in changes.items() if data is not None}
        for number, data in enumerate(written.values()):
            files.append(os.path.join(scratch, str(number)))
            with open(files[-1], "wb") as file:
                file.write(data)
        names = "".join(f"{each}\n" for each in files)
        hashed = self.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=os.fsencode(names))
        blobs = dict(zip(written, hashed.decode("ascii").split(), strict=True))
        self.run("read-tree", parent if parent is not None else "--empty", environment=index)
        lines = [
            f"100644 {blobs[path]}\t{path}" if path in blobs else f"0 {'0' * 40}\t{path}" for path in changes
        ]
        told = "".join(f"{line}\0" for line in lines).encode()
        self.run("update-index", "-z", "--index-info", stdin=told, environment=index)
        return self.run("write-tree", environment=index).decode("ascii").strip()

    def _write(self, name: str, text: str) -> None:
        path = os.path.join(self.directory, name)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)

    # Running

    def environment(self) -> dict[str, str]:
        """Return all that the program is told by its environment."""
        return environment(config=self._config) | {
            "TMPDIR": os.environ.get("TMPDIR") or "/tmp",  # noqa: S108 - where the machine has room
            "GIT_DIR": self.directory,
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_ALLOC_LIMIT": str(_ALLOCATION_BYTES),
            "GIT_SSH_VARIANT": "ssh",
        }

    def command(self, *arguments: str, settings: Iterable[str] = ()) -> list[str]:
        """Return the command line of `git ARGUMENTS`, for who starts it himself, with `environment`."""
        words = [need(PROGRAM)]
        for each in (*_ALWAYS, *settings):
            words += ["-c", each]
        return [*words, *arguments]

    def _run(
        self,
        arguments: tuple[str, ...],
        stdin: bytes,
        seconds: float | None,
        environment: Mapping[str, str],
        settings: Iterable[str],
    ) -> tuple[int, bytes, bytes]:
        command = self.command(*arguments, settings=settings)
        what = f"git {arguments[0]}"
        try:
            process = subprocess.Popen(
                command,
                cwd="/",
                env={**self.environment(), **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                pass_fds=() if self._hold < 0 else (self._hold,),
            )
        except OSError as error:
            raise GitError(
                f"{what} cannot be started: {error.strerror}", code="git.missing-program", retryable=True
            ) from error
        try:
            with suppress(ProcessLookupError, PermissionError):
                # Before it has read its input or reached a server; what it starts inherits them.
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (_DATA_BYTES,) * 2)
                if self._write_limit:
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (self._write_limit,) * 2)
            limit = self._seconds if seconds is None else seconds
            output, errors = _talk(process, stdin, limit, self._output_limit, what)
            return process.wait(), output, errors
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None  # noqa: S101 - all three were asked for
                with suppress(OSError):
                    pipe.close()
            process.wait()


def need(program: str) -> str:
    """Return where `program` is; raise GitError when it is not installed."""
    found = shutil.which(program, path=program_path())
    if found is None:
        package = "openssh-client" if program == SIGNER else program
        raise GitError(
            f"the program {program} is needed for Git repositories and is not installed "
            f"(Debian and Ubuntu: apt-get install {package})",
            code="git.missing-program",
        )
    return found


def _talk(
    process: "subprocess.Popen[bytes]", stdin: bytes, seconds: float, most: int, what: str
) -> tuple[bytes, bytes]:
    """Hand over `stdin` and return what was said, on both ways; errors: the end of them."""
    assert process.stdin is not None  # noqa: S101 - all three were asked for
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    deadline = time.monotonic() + seconds
    output, errors, sent, complained = bytearray(), bytearray(), 0, 0
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            selector.register(pipe, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        if stdin:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(max(left, 0.0))
            if left <= 0 and not ready:
                raise GitError(
                    f"{what} was not done after {seconds:.0f} s", code="git.timeout", retryable=True
                )
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    try:
                        sent += os.write(key.fd, stdin[sent : sent + _CHUNK])
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:
                        sent = len(stdin)
                    if sent >= len(stdin):
                        selector.unregister(process.stdin)
                        with suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += data
                    if len(output) > most:
                        raise GitError(f"{what} says more than {most} bytes", code="git.too-large")
                else:
                    errors += data
                    del errors[:-_ERROR_BYTES]
                    complained += len(data)
                    if complained > _MOST_ERROR_BYTES:
                        raise GitError(
                            f"{what} was told more than {_MOST_ERROR_BYTES} bytes of progress and errors",
                            code="git.too-large",
                        )
            if left <= 0:
                raise GitError(
                    f"{what} was not done after {seconds:.0f} s", code="git.timeout", retryable=True
                )
    return bytes(output), bytes(errors)


def _batch(output: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield id and bytes of each object in the output of `cat-file --batch`."""
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        words = output[at:end].split()
        at = end + 1
        if len(words) == 3:
            size = int(words[2])
            yield words[0].decode("ascii"), output[at : at + size]
            at += size + 1


def _kind(mode: str) -> str:
    return _TREE if mode == "40000" else _COMMIT if mode == "160000" else "blob"


def parse_tree(data: bytes, folder: str, id_bytes: int) -> list[tuple[str, str, str]]:
    """Return mode, name and id of each entry of a tree object, as they are; raise GitError for a damaged one.

    Names that are no UTF-8 have escapes in place of what is none.
    """
    entries: list[tuple[str, str, str]] = []
    at, last = 0, b""
    names: set[bytes] = set()
    while at < len(data):
        space, end = data.find(b" ", at), data.find(b"\0", at)
        if not at < space < end or end + 1 + id_bytes > len(data):
            raise GitError(f"folder {folder or '/'} is damaged", code="git.refused")
        mode, name = data[at:space].decode("ascii", "replace"), data[space + 1 : end]
        key = name + (b"/" if mode == "40000" else b"")
        if name in names or key <= last:
            raise GitError(
                f"folder {folder or '/'} has {name.decode('utf-8', 'backslashreplace')[:200]!r} twice or in "
                "the wrong place",
                code="git.refused",
            )
        names.add(name)
        last = key
        at = end + 1 + id_bytes
        entries.append((mode, name.decode("utf-8", "backslashreplace"), data[end + 1 : at].hex()))
    return entries


def parse_commit(commit: str, data: bytes) -> Commit:
    """Return what the bytes of a commit object say; raise GitError for a damaged one."""
    head, _, message = data.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(" ")
        if key:  # else the signature goes on
            fields.setdefault(key, []).append(value)
    try:
        (tree,) = fields["tree"]
        author = re.sub(r" -?\d+ [+-]\d+$", "", fields["author"][0])
        found = re.search(r" (\d{1,18}) [+-]\d+$", fields["committer"][0])
        at = int(found[1]) if found else 0
    except (KeyError, ValueError, IndexError):
        raise GitError(f"commit {commit[:12]} is damaged", code="git.refused") from None
    return Commit(
        id=commit,
        tree=tree,
        parents=tuple(fields.get("parent", ())),
        author=author,
        at=at,
        message=message.decode("utf-8", "replace"),
    )


def _no_signature(text: str, has_one: bool) -> str:
    """Return what is the matter with a signature that does not count, after `commit X`."""
    if not has_one:
        return "is not signed"
    key = re.search(r'Good "git" signature with (\S+ key \S+)', text)
    if key is not None:
        return f"is signed by nobody who is trusted ({printable(key[1])})"
    if not text.strip():  # the program for it, which there is none of, has said nothing
        return "has a signature of another kind than SSH, which does not count"
    return f"has a signature that is not good ({printable(text)[:200]})"


_KNOWN: tuple[tuple[str, str, bool, str], ...] = (
    # First, as a hook may say anything of its own beside it.
    (
        r"\[remote rejected\][^;]*\((?!failed to update ref|cannot lock ref|incorrect old value)"
        r"|returned error: 413|http 413",
        "git.declined",
        False,
        "the Git server takes it not",
    ),
    (r"no space left on device|disk quota exceeded", "git.disk-full", True, "there is no room on the disk"),
    (
        r"signal 25|file too large|file size limit exceeded|^fatal: fetch-pack: invalid index-pack output$",
        "git.too-large",
        False,
        "more would have to be written than is accepted",
    ),
    (
        r"attempting to allocate .* over limit|out of memory|cannot allocate memory",
        "git.too-large",
        False,
        "it would need more memory than is accepted",
    ),
    (
        r"authentication failed|could not read (username|password)|returned error: 40[137]|permission denied"
        r"|received http code 407|access denied|not authorized",
        "git.denied",
        False,
        "the Git server does not let this device in",
    ),
    (
        r"host key verification failed|certificate|ssl|tls",
        "git.wrong-server",
        False,
        "the Git server is not known to be the right one",
    ),
    (r"fsck error", "git.refused", False, "what came is not as it has to be"),
    (
        r"couldn't find remote ref|remote branch .* not found",
        "git.no-branch",
        False,
        "the repository has no such branch",
    ),
    (
        r"repository .* not found|does not appear to be a git repository|returned error: 404|not found",
        "git.not-found",
        False,
        "there is no such repository",
    ),
    (
        r"could not resolve|failed to connect|couldn't connect|connection (refused|reset|timed out)"
        r"|unreachable|timed out|early eof|hung up|operation too slow|returned error: (429|5\d\d)"
        r"|unexpected disconnect|empty reply|transfer closed|recv failure|send failure",
        "git.unreachable",
        True,
        "the Git server cannot be reached",
    ),
    (
        r"\[rejected\]|non-fast-forward|fetch first|failed to update ref|cannot lock ref",
        "git.raced",
        True,
        "somebody else was quicker",
    ),
    (r"\[remote rejected\]|pre-receive hook declined", "git.declined", False, "the Git server takes it not"),
    (
        r"redirect",
        "git.redirected",
        False,
        "the Git server says that the repository is elsewhere, which is not followed",
    ),
    (
        r"not a git packfile|unable to read|index-pack|fsck"
        r"|corrupt|bad pack|invalid|sha1 mismatch|unpack|inflate|loose object|bad object",
        "git.damaged",
        False,
        "what came, or what is here, is damaged",
    ),
)


def error_of(arguments: tuple[str, ...], code: int, errors: bytes) -> GitError:
    """Return what it means that `git ARGUMENTS` ended with `code` and said `errors`, in words for people."""
    text = printable(errors.decode("utf-8", "replace"))
    lowered = text.lower()
    what = f"git {arguments[0]}"
    if code == -signal.SIGXFSZ:
        lowered += " signal 25"
    for pattern, known, retryable, words in _KNOWN:
        if re.search(pattern, lowered):
            return GitError(f"{words}: {what}: {text}", code=known, retryable=retryable)
    ended = f"was ended by signal {-code}" if code < 0 else f"failed with {code}"
    return GitError(f"{what} {ended}: {text}", retryable=code < 0)


def printable(text: str) -> str:
    """Return the end of what a program said as one line: no controls, no passwords in addresses."""
    text = re.sub(r"://[^/@\s]*@", "://", text)
    text = re.sub(r"(?i)(authorization:|bearer|basic)(?: (?:bearer|basic))? +\S+", r"\1 …", text)
    lines = [
        " ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in text.split("\n")
    ]
    joined = "; ".join(line for line in lines if line and not line.startswith("hint:"))
    return joined if len(joined) <= _TOLD_CHARACTERS else f"…{joined[-_TOLD_CHARACTERS:]}"
