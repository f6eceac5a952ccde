"""Repositories on Git servers of somebody else's: pushed to, read back, and what people commit there settled.

Nothing is ever forced. What people add to `desired` is judged (`domain/hand_made.py`), taken in or refused,
and answered by a commit on top. A branch that somebody rewrote is told and never obeyed: where what is there
is part of our history, ours is pushed again; where ours is part of theirs, we go on on top of it; else a
person is asked, and may have the two joined (`join`) or ours put in the place of theirs (`replace`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from edgewright.net.git.program import GitError
from edgewright.protocol.repository import CURRENT, DESIRED, MANIFEST, SIGNERS, SIGNERS_BYTES
from edgewright.server.catalogue.looking import in_thread
from edgewright.server.context import ServerContext
from edgewright.server.domain import hand_made
from edgewright.server.domain.hand_made import Accepted, Commit, Refused, Snapshot, Verdict
from edgewright.server.domain.throttle import Throttle
from edgewright.server.errors import ConflictError, ServerError
from edgewright.server.fleet import hand_made as fleet
from edgewright.server.repositories.access import Access, AccessFiles
from edgewright.server.repositories.keeper import RepositoryKeeper
from edgewright.server.repositories.objects import parse_commit
from edgewright.server.repositories.places import bare_of
from edgewright.server.repositories.remote import Heads, Remote, RemoteError
from edgewright.server.repositories.snapshots import look, read_author
from edgewright.server.repositories.turns import Turns
from edgewright.server.store import audit
from edgewright.server.store import repositories as store
from edgewright.server.store.audit import MEANS, Means
from edgewright.server.store.repositories import Kind, Repository

SERVER: Final = "server"
# How often somebody else may be quicker before the next look.
MOST_RACES: Final = 5
_DONE: Final = "refs/external/done/"
_COMMIT_BYTES: Final = 1024 * 1024


class RewrittenError(ServerError):
    """The branch was rewritten, and only a person can say what is to become of it."""

    code = "git.rewritten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One commit of a person's, and what became of it."""

    commit: Commit
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class _Hands:
    """What was found on the branch beyond ours, and how it is to go on."""

    judged: list[Judged] = field(default_factory=list)
    state: Snapshot
    onto: str
    signers: bytes
    manifest: bytes


class Externals:
    """Brings external repositories in step, when the keeper says so and when it is their turn."""

    def __init__(self, context: ServerContext, keeper: RepositoryKeeper) -> None:
        self._context = context
        self._keeper = keeper
        self.files = AccessFiles(context.repositories)
        self._turns = Turns(context.database, look=keeper.look, interval=self._interval)
        self._left_alone: dict[str, tuple[float, str]] = {}
        self._rewritten: set[str] = set()
        self.throttle = Throttle()
        keeper.elsewhere = self

    async def run(self) -> None:
        """Have every repository looked at when that is due, until cancelled."""
        self.files.clear()
        await self._turns.run()

    def wake(self, client_id: str) -> None:
        """Have a repository looked at as soon as its Git server may be asked."""
        self._turns.wake(client_id)

    def hear(self, client_id: str) -> bool:
        """Look at a repository soon, as its Git server tells of news; False if it was looked at just now."""
        return self._turns.hear(client_id)

    def forget(self, client_id: str) -> None:
        """Forget how long a Git server wanted to be left alone: it is another one, or asked otherwise."""
        self._left_alone.pop(client_id, None)
        self._rewritten.discard(client_id)

    def is_rewritten(self, client_id: str) -> bool:
        """Whether somebody rewrote the branch, as the last look found, and a person is to say what now."""
        return client_id in self._rewritten

    def remote(self, client_id: str, url: str, access: Access) -> Remote:
        """Return a repository on a Git server, with its copy here."""
        return Remote(bare_of(self._context.repositories, client_id), url, self.files, access)

    async def check(self, client_id: str, url: str, access: Access) -> None:
        """Raise `RemoteError` unless the repository can be read and written; nothing is stored or changed."""
        await in_thread(partial(self._check, self.remote(client_id, url, access)))

    async def bring(self, repository: Repository) -> None:
        """Bring one repository in step with what its device is to have and has reported."""
        means = MEANS.set(Means(via="git"))
        try:
            await self._bring_by(repository)
        finally:
            MEANS.reset(means)

    async def _bring_by(self, repository: Repository) -> None:
        client_id = repository.client_id
        assert repository.url is not None  # noqa: S101 - the database sees to it
        host = self._turns.hosts.of(repository.url)
        until, message = self._left_alone.get(client_id, (0.0, ""))
        if time.monotonic() < until:
            raise RemoteError(message)
        if host.wants_quiet and time.monotonic() < host.due:
            raise RemoteError(host.problem)
        remote = self.remote(client_id, repository.url, self.files.load(client_id))
        await in_thread(self._keeper.bare(client_id).create)
        try:
            await self._bring(repository, remote)
            self._rewritten.discard(client_id)
        except RemoteError as error:
            now = time.monotonic()
            told = f"{error}; it wants to be left alone for {error.wait:.0f} s" if error.wait else str(error)
            if error.is_of_host:
                host.failed(told, now=now, quiet=error.wait)
                await self._turns.tell_all_at(host)
            elif error.wait:
                self._left_alone[client_id] = (now + error.wait, told)
            raise
        except RewrittenError:
            self._rewritten.add(client_id)
            raise
        except GitError as error:
            raise RemoteError(str(error)) from error

    async def settle_rewritten(self, client_id: str, *, is_replaced: bool, actor: str) -> None:
        """Have our history on the branch again: joined with what is there, or in its place.

        Raises `ConflictError` where nothing was rewritten, `RemoteError` for what the Git server does not do.
        """
        async with self._keeper.alone(client_id):
            async with self._context.database.reading() as connection:
                repository = await store.get(connection, client_id)
            if repository is None or repository.kind != Kind.EXTERNAL or repository.url is None:
                raise ConflictError(f"{client_id} has no repository on a Git server of somebody else's")
            remote = self.remote(client_id, repository.url, self.files.load(client_id))
            try:
                theirs = await self._anew(repository, remote, is_replaced=is_replaced)
            except GitError as error:
                raise RemoteError(str(error)) from error
            async with self._context.database.writing() as connection:
                await audit.note(
                    connection,
                    now=self._context.clock(),
                    actor=actor,
                    action="replace branch" if is_replaced else "join branch",
                    subject=client_id,
                    commit=theirs,
                )
                await store.note_problem(connection, client_id, None)
            self._rewritten.discard(client_id)
        self._keeper.wake(client_id)

    # --- one repository -----------------------------------------------------------------------------------

    async def _bring(self, repository: Repository, remote: Remote) -> None:
        client_id = repository.client_id
        heads = await in_thread(remote.heads)
        self._turns.hosts.of(remote.url).answered()
        await self._take_current(repository, remote, heads)
        for _ in range(MOST_RACES):
            try:
                await self._settle(repository, remote, heads)
            except RemoteError as error:
                if not error.is_raced:
                    raise
                heads = await in_thread(remote.heads)
                repository = await self._reload(client_id)
            else:
                return
        raise RemoteError("somebody else was quicker on the branch desired again and again")

    async def _take_current(self, repository: Repository, remote: Remote, heads: Heads) -> None:
        client_id = repository.client_id
        if heads.current is not None and heads.current != repository.current_commit:
            commit = await in_thread(partial(remote.fetch, CURRENT))
            await in_thread(partial(remote.git.set_ref, CURRENT, commit))
            if await self._keeper.read(client_id, repository.current_commit):
                self._context.heard_of(client_id)
        async with self._context.database.writing() as connection:
            await store.note_checked(connection, client_id, now=self._context.clock())

    async def _settle(self, repository: Repository, remote: Remote, heads: Heads) -> None:
        """Bring `desired` to what it has to be, once; raises a raced `RemoteError` to be called again."""
        client_id = repository.client_id
        ours = repository.pushed_commit
        if heads.desired == ours == repository.desired_commit and not await self._keeper.is_behind(
            repository
        ):
            return
        theirs = heads.desired
        hands = None
        if theirs is not None and theirs != ours:
            hands = await self._look_at_theirs(repository, remote)
        elif theirs is None and ours is not None:
            await self._tell(client_id, "branch removed", commit=ours)
        if hands is None:
            written = await self._keeper.write(client_id, repository)
        else:
            theirs = hands.onto
            await in_thread(partial(remote.git.set_ref, DESIRED, theirs))
            others = {
                path: (entry.mode, entry.id) for path, entry in hand_made.others_of(hands.state).items()
            }
            written = await self._keeper.write(
                client_id,
                repository,
                onto=theirs,
                others=others,
                trusting=hands.signers,
                taken_up=hands.manifest,
                message=message_of(hands.judged) if hands.judged else None,
            )
        if written.commit != heads.desired:
            await in_thread(partial(remote.push, written.commit))
        async with self._context.database.writing() as connection:
            await store.note_pushed(connection, client_id, commit=written.commit, now=self._context.clock())
        if hands is not None:
            await in_thread(partial(_forget_done, remote))

    async def _look_at_theirs(self, repository: Repository, remote: Remote) -> _Hands | None:
        """Judge what is on the branch beyond ours; None where ours only has to be pushed again."""
        client_id = repository.client_id
        try:
            theirs = await in_thread(partial(remote.fetch, DESIRED))
        except RemoteError as error:
            if error.is_malformed and repository.pushed_commit is not None:
                raise RemoteError(f"{error}; {_TAKE_OFF.format(repository.pushed_commit)}") from error
            raise
        ours = await self._ours(repository, remote, theirs)
        if ours == theirs:
            return await in_thread(partial(self._hands, remote, ours, ours))
        path = await in_thread(partial(_first_parents, remote, ours, theirs))
        if path is None:
            if await in_thread(partial(remote.git.is_ancestor, theirs, ours)):
                await in_thread(partial(remote.git.set_ref, DESIRED, ours))
                await self._tell(client_id, "branch rewound", commit=theirs, back_to=ours)
                return None
            if not await in_thread(partial(remote.git.is_ancestor, ours, theirs)):
                raise RewrittenError(_rewritten(client_id, theirs, ours))
            joined = await in_thread(
                partial(self._join, remote, ours, theirs, f"Refused: {theirs} by a merge: {_BY_THE_SIDE}")
            )
            await self._tell(client_id, "refuse commit", commit=theirs, reason=_BY_THE_SIDE)
            return await in_thread(partial(self._hands, remote, ours, joined))
        hands = await in_thread(partial(self._hands, remote, ours, theirs))
        await self._judge(client_id, remote, hands, path)
        return hands

    async def _ours(self, repository: Repository, remote: Remote, theirs: str) -> str:
        """Return the last commit of ours that what is there is compared with."""
        for known in (repository.pushed_commit, repository.desired_commit):
            if known is not None and await in_thread(partial(remote.git.commit_of, known)) is not None:
                return known
        if await in_thread(partial(self._is_ours, remote, theirs)):
            return theirs
        raise RewrittenError(_rewritten(repository.client_id, theirs, None))

    async def _judge(self, client_id: str, remote: Remote, hands: _Hands, path: Sequence[str]) -> None:
        """Take in or refuse each commit on `path`, in order; the outcome is in `hands`."""
        path = path[await in_thread(partial(self._answered, remote, hands, path)) :]
        if len(path) > hand_made.MOST_COMMITS:
            path = path[-1:]
        walk = hand_made.Walk(hands.state)
        for commit_id in path:
            commit = await in_thread(partial(read_author, remote.git, commit_id))
            made = await in_thread(partial(look, remote.git, commit_id))
            verdict = await self._settle_one(client_id, remote, commit, walk.judge(made))
            hands.judged.append(Judged(commit=commit, verdict=verdict))
            walk.go_on(made, verdict)
        hands.state = walk.state

    def _answered(self, remote: Remote, hands: _Hands, path: Sequence[str]) -> int:
        """Return how many commits on `path` there are up to the last of ours, which `hands` then begins with.

        It was pushed before a crash could be noted: an answer to all before it, which devices may have.
        """
        for index in reversed(range(max(0, len(path) - hand_made.MOST_COMMITS), len(path))):
            if self._is_ours(remote, path[index]):
                hands.state = remote.snapshot(path[index])
                hands.signers, hands.manifest = _told_devices(remote, path[index])
                return index + 1
        return 0

    async def _settle_one(self, client_id: str, remote: Remote, commit: Commit, verdict: Verdict) -> Verdict:
        """Take in or refuse one commit, once, whatever happens in between; return what became of it."""
        if await in_thread(partial(remote.git.commit_of, f"{_DONE}{commit.id}")) is not None:
            return verdict
        now = self._context.clock()
        async with self._context.database.writing() as connection:
            verdict = await fleet.settle(connection, client_id, commit, verdict, now=now)
            told = None
            if isinstance(verdict, Refused):
                await fleet.note_refused(connection, client_id, commit, verdict.reason, now=now)
                told = f"commit {commit.id[:12]} by {commit.author}: {verdict.reason}"
            await store.note_refused(connection, client_id, told)
        if isinstance(verdict, Accepted):
            await in_thread(partial(remote.git.set_ref, f"{_DONE}{commit.id}", commit.id))
        return verdict

    async def _anew(self, repository: Repository, remote: Remote, *, is_replaced: bool) -> str:
        heads = await in_thread(remote.heads)
        ours = repository.pushed_commit or repository.desired_commit
        if heads.desired is None or heads.desired == ours:
            raise ConflictError("the branch desired was not rewritten; there is nothing to do")
        theirs = await in_thread(partial(remote.fetch, DESIRED))
        if ours is None or await in_thread(partial(remote.git.commit_of, ours)) is None:
            # Never written before: a history of our own begins, and theirs is left or joined.
            await in_thread(partial(remote.git.set_ref, DESIRED, None))
            ours = (await self._keeper.write(repository.client_id, repository)).commit
        commit = ours
        if is_replaced:
            await in_thread(partial(remote.replace, ours, theirs))
        else:
            note = f"Join what was written over\n\n{theirs} is left as it is, and has no effect."
            commit = await in_thread(partial(self._join, remote, ours, theirs, note))
            await in_thread(partial(remote.push, commit))
        await in_thread(partial(remote.git.set_ref, DESIRED, commit))
        async with self._context.database.writing() as connection:
            await store.note_pushed(
                connection, repository.client_id, commit=commit, now=self._context.clock()
            )
        return theirs

    def _hands(self, remote: Remote, ours: str, onto: str) -> _Hands:
        signers, manifest = _told_devices(remote, ours)
        return _Hands(state=remote.snapshot(ours), onto=onto, signers=signers, manifest=manifest)

    def _join(self, remote: Remote, ours: str, theirs: str, message: str) -> str:
        """Return a commit of our content that has both before it, ours first: devices follow the first."""
        signers, _ = _told_devices(remote, ours)
        key = self._keeper.keys.trusted_by(signers) or self._keeper.keys.present()
        name, _, address = self._keeper.keys.author.partition(" <")
        who = {"NAME": name, "EMAIL": address.rstrip(">")}
        tree = remote.git.read_commit(ours).tree
        made = remote.git.run(
            "commit-tree",
            "-S",
            "-p",
            ours,
            "-p",
            theirs,
            tree,
            stdin=message.encode(),
            environment={
                f"GIT_{role}_{key_}": text for role in ("AUTHOR", "COMMITTER") for key_, text in who.items()
            },
            settings=(f"user.signingKey={key.path.absolute()}",),
        )
        return made.decode("ascii").strip()

    def _is_ours(self, remote: Remote, commit: str) -> bool:
        """Whether a commit was signed here."""
        body = remote.git.read_objects([commit], limit=_COMMIT_BYTES, kind="commit")[commit]
        return self._keeper.keys.has_signed(parse_commit(body))

    def _check(self, remote: Remote) -> None:
        remote.heads()
        remote.check_may_write()

    async def _reload(self, client_id: str) -> Repository:
        async with self._context.database.reading() as connection:
            found = await store.get(connection, client_id)
        if found is None:
            raise RemoteError("the repository was removed meanwhile")
        return found

    async def _tell(self, client_id: str, action: str, **details: object) -> None:
        async with self._context.database.writing() as connection:
            await audit.note(
                connection,
                now=self._context.clock(),
                actor="somebody at the Git server",
                action=action,
                subject=client_id,
                **details,
            )

    def _interval(self, client_id: str) -> float:
        try:
            return self.files.load(client_id).minutes * 60.0
        except ServerError:
            return 3600.0  # the look at it tells why


def message_of(judged: Sequence[Judged]) -> str:
    """Return what the commit on top says to those whose commits were judged."""
    refused = [
        f"Refused: {one.commit.id} by {one.commit.author}: {one.verdict.reason}"
        for one in judged
        if isinstance(one.verdict, Refused)
    ]
    taken = [
        f"Taken in: {one.commit.id} by {one.commit.author}: {one.verdict.in_words()}"
        for one in judged
        if isinstance(one.verdict, Accepted)
    ]
    lines = [*refused, *taken]
    return "\n".join([lines[0], *(["", *lines[1:]] if len(lines) > 1 else [])]) + "\n"


_TAKE_OFF: Final = (
    "nothing can be built on that, so it has to be taken off the branch: git push --force origin {}:desired"
)
_BY_THE_SIDE: Final = (
    "it does not build on the fleet manager's commit along first parents; rebase onto that instead of merging"
    " it in"
)


def _rewritten(client_id: str, theirs: str, ours: str | None) -> str:
    what = "anything of ours" if ours is None else f"{ours[:12]}, where it was left"
    return (
        f"the branch desired is at {theirs[:12]}, which does not build on {what}: somebody rewrote it."
        f" Nothing was changed. 'edgewright repository restore {client_id}' puts our content on top of both,"
        " with '--replace' our history in place of theirs"
    )


def _first_parents(remote: Remote, ours: str, theirs: str) -> list[str] | None:
    return remote.git.first_parents(ours, theirs)


def _told_devices(remote: Remote, commit: str) -> tuple[bytes, bytes]:
    """Return the files `signers` and `manifest.json` of a commit of ours."""
    signers = remote.git.read_blob(commit, SIGNERS, limit=SIGNERS_BYTES)
    manifest = remote.git.read_blob(commit, MANIFEST, limit=hand_made.size_limit(MANIFEST))
    return signers or b"", manifest or b""


def _forget_done(remote: Remote) -> None:
    listed = remote.git.run("for-each-ref", "--format=%(refname)", _DONE)
    for name in listed.decode("utf-8", errors="replace").split():
        remote.git.set_ref(name, None)
