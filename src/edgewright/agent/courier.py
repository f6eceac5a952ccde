"""The courier: one errand to this device's Git repository, and then it ends.

    python -I -m edgewright.agent.courier --state DIR [--report-fd N] [--fetch] [--push]

`--fetch` takes the head of `desired` up: fetch → trust → content → inbox, policy and what is remembered, in
one step. What does not hold is refused: it is told once, and everything stays as it was. `--push` tells what
the outbox holds on `current`: a commit for each report, one push, and only then are they out of the outbox.

It is crash-only. What matters is in the store, each step durable; the copy of the repository can be lost at
any time; the next courier goes on from there. One is at work at a time, none while a git of a killed one is.

What it says, a line each: `news` (there is something in the inbox), `policy` (another one is suggested),
`refused TEXT`, `problem TEXT`. Exit codes: 0 done, 1 the disk or the state gave way, 2 the settings or the
identity cannot be used, 3 the repository was not reached and may be later, 4 it was, and trying again alone
changes nothing, 75 another courier is at work.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from edgewright.agent import log
from edgewright.agent.failpoints import hit
from edgewright.agent.git import notes, trust
from edgewright.agent.git.access import GitAccess
from edgewright.agent.git.configuration import write_git_config
from edgewright.agent.git.contents import RefusedError, check_signers, read_current, read_desired
from edgewright.agent.git.declining import Turn, next_reports, passed_by
from edgewright.agent.git.repository import (
    FETCHED,
    FIRST_DEPTH,
    NEXT,
    PACK_BYTES,
    TAKEN,
    TOLD,
    Repository,
)
from edgewright.agent.git.under_way import Doing, note
from edgewright.agent.paths import Paths
from edgewright.agent.resident.rounds import BUSY
from edgewright.agent.sinks.git import file_of, steps
from edgewright.agent.state import reserve
from edgewright.agent.state.locks import AlreadyRunningError, lock
from edgewright.agent.state.outbox import Outbox, Report
from edgewright.agent.state.store import SECURITY, SERVER, Manifest, Store, StoreFullError, is_damage
from edgewright.agent.talk.conversation import SUGGESTED, SUGGESTED_TAG
from edgewright.agent.talk.session import Identity
from edgewright.agent.work.accept import LET_GO, Acceptable, Refused, judge
from edgewright.net.git.program import Git, GitError
from edgewright.net.git.url import FILE
from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import ADOPTED, CURRENT, DESIRED, SIGNERS, SIGNERS_BYTES

DONE, GAVE_WAY, UNUSABLE, LATER, REFUSED_US = 0, 1, 2, 3, 4
_MOST_AT_ONCE = 100  # reports of one push
_RACES = 3
_NO_POLICY = "none"
_LOOK_AGAIN_SECONDS = 0.1
_DAMAGE = ("git.damaged", "git.missing", "git.failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Everything a courier works with; `say` tells the watch, `begin` whoever looks, `now` is unix seconds.

    `signers` is the text of the file this device was told at enrolment, empty without one.
    """

    repository: Repository
    store: Store
    relation: str
    signers: str
    say: Callable[[str], None]
    begin: Callable[[Doing], None]
    now: Callable[[], float] = time.time


def fetch(errand: Errand, heads: Mapping[str, str]) -> None:
    """Take the head of `desired` up or refuse it; raises what the repository and the store raise."""
    _begin(errand)
    store, repository = errand.store, errand.repository
    _name_taken(errand)
    head = heads.get(DESIRED, "")
    base, lost = store.meta(notes.COMMIT) or "", store.meta(notes.LOST) or ""
    if notes.is_refused(store, head, errand.now()):
        return  # also where something is lost: that head is not what brings it back
    if lost:
        repository.throw_away()
        repository.open()
    elif head == base:
        if head:
            _no_refusal(store)
        return
    if not head:
        if base:
            gone = f"the branch is gone, {base[:12]} of which was taken up before ({LET_GO})"
            _refuse(errand, "", base, gone)
        return
    try:
        taken = _bring(errand, head, base)
    except RefusedError as error:
        _refuse(errand, head, base, str(error))
    except GitError as error:
        if error.code not in ("git.refused", "git.too-large"):
            raise
        # What was sent was too much; that tells more of who sent it than of the commit.
        _refuse(errand, head, base, str(error), for_good=error.code == "git.refused")
    else:
        hit("courier.taken")
        repository.git.set_ref(TAKEN, taken)
        repository.drop(FETCHED)
        repository.tidy()


def push(errand: Errand, heads: Mapping[str, str]) -> None:
    """Tell what the outbox holds and what was taken up; raises what the repository and the store raise.

    What the server declines is set aside, told as a problem, and tried again by the next courier.
    """
    _begin(errand)
    store, outbox = errand.store, Outbox(errand.store)
    _forget_declined(errand)
    races, turn = 0, Turn(most=_MOST_AT_ONCE)
    while not turn.is_over:
        reports = next_reports(_tellable(errand), turn, notes.declined(store))
        try:
            if not _push_some(errand, heads, reports, is_divided=turn.declined > 0):
                break
        except GitError as error:
            if error.code == "git.declined":
                is_anew = heads.get(CURRENT) != errand.repository.git.commit_of(TOLD)
                if turn.declined == 0 and (is_anew or notes.owes_adopted(store)):
                    # It may mind what went along, told anew or taken up: each goes by itself.
                    if is_anew:
                        outbox.queue_again()
                    turn = replace(turn, declined=1)
                    continue
                _note_declined(errand, reports, error)
                if not reports:
                    break
                turn = turn.after_declined(reports)
            elif error.code != "git.raced" or races >= _RACES:
                raise
            else:
                races += 1
        else:
            turn = turn.after_taken(_MOST_AT_ONCE)
            is_told = not next_reports(_tellable(errand), turn, notes.declined(store))
            if is_told and not notes.owes_adopted(store):
                break
        heads = errand.repository.heads()
    errand.repository.tidy()
    _forget_declined(errand)
    for told in notes.declined(store).values():
        errand.say(f"problem the Git server does not take {told.name}: {told.reason}")


def _forget_declined(errand: Errand) -> None:
    """Forget that reports were declined which are not to be told any more: there is a newer one."""
    store = errand.store
    numbers = Outbox(store).numbers() | ({0} if notes.owes_adopted(store) else set())
    known = notes.declined(store)
    notes.note_declined(store, {number: each for number, each in known.items() if number in numbers})


def _note_declined(errand: Errand, reports: Sequence[Report], error: GitError) -> None:
    """Note that a push was declined, if no more than one report was in it."""
    if len(reports) > 1:
        return
    store = errand.store
    number, name = (reports[0].number, reports[0].name) if reports else (0, ADOPTED)
    known = notes.declined(store)
    after = notes.declined_again(known.get(number), name, str(error), errand.now())
    with store.transaction():
        notes.note_declined(store, {**known, number: after})
        if number not in known:
            store.record(SERVER, f"{name} was declined, and is kept and tried again: {error}")


def _begin(errand: Errand) -> None:
    """Let go of what is remembered of another fleet manager, and of signers who were replaced here."""
    store = errand.store
    signers = digest_of(errand.signers.encode("utf-8"))
    is_other = store.meta(notes.RELATION) not in (None, errand.relation)
    if not is_other and store.meta(notes.RELATION) and store.meta(notes.TOLD_SIGNERS) == signers:
        return
    with store.transaction():
        if is_other:
            for name in (notes.COMMIT, notes.LOST, notes.TOLD, notes.PUSHING):
                store.set_meta(name, "")
        if is_other or store.meta(notes.TOLD_SIGNERS) not in (None, signers):
            store.set_meta(notes.REFUSED, "")
            store.set_meta(notes.TRUSTED, "")
        _remember_from_copy(errand)
        store.set_meta(notes.RELATION, errand.relation)
        store.set_meta(notes.TOLD_SIGNERS, signers)


def _name_taken(errand: Errand) -> None:
    """Let our copy know what was taken up, if a courier was killed before it did: that keeps it there."""
    git, commit = errand.repository.git, errand.store.meta(notes.COMMIT) or ""
    if commit and git.commit_of(TAKEN) != commit and git.commit_of(commit) is not None:
        git.set_ref(TAKEN, commit)


def _remember_from_copy(errand: Errand) -> None:
    """Take up what a new database does not know, from what was accepted and from our copy."""
    store, git = errand.store, errand.repository.git
    if store.meta(notes.COMMIT) is not None:
        return
    accepted = store.bound()
    commit = git.commit_of(TAKEN) or ""
    if not commit and accepted is not None and accepted.relation == errand.relation:
        commit = accepted.etag if notes.is_commit_id(accepted.etag) else ""
    store.set_meta(notes.COMMIT, commit)
    if not commit or git.commit_of(commit) is None:
        return
    named = git.files_at([commit], SIGNERS).get(commit)
    if named is not None:
        data = git.read_objects([named], limit=SIGNERS_BYTES, kind="blob")[named]
        store.set_meta(notes.TRUSTED, check_signers(data))


def _bring(errand: Errand, head: str, base: str) -> str:
    """Fetch and judge `head` and put it into the inbox; return the commit that was taken up."""
    store, repository, git = errand.store, errand.repository, errand.repository.git
    trusted = store.meta(notes.TRUSTED) or errand.signers
    if not trusted.strip():
        raise RefusedError("this device was told no signers, so nothing can be accepted (spec: GR-25)")
    is_base_here = bool(base) and git.commit_of(base) is not None
    head = repository.fetch(DESIRED, depth=0 if is_base_here else FIRST_DEPTH)
    hit("courier.fetched")
    trusted = trust.trusted_after(git, trust.way_to(git, head, base), head, trusted)
    desired = read_desired(git, head)
    received = Manifest(
        relation=errand.relation, etag=head, digest=digest_of(desired.body), body=desired.body
    )
    judgement = judge(received, store.bound())
    if isinstance(judgement, Refused):
        raise RefusedError(judgement.reason)
    tag = f"git:{desired.policy_id}" if desired.policy_id else _NO_POLICY
    another_policy = desired.policy != (store.meta(SUGGESTED) or "")
    hit("courier.judged")
    with store.transaction():
        if isinstance(judgement, Acceptable):
            store.receive(received)
        store.set_meta(notes.COMMIT, head)
        store.set_meta(notes.TRUSTED, trusted)
        store.set_meta(notes.REFUSED, "")
        store.set_meta(notes.LOST, "")
        store.set_meta(SUGGESTED, desired.policy)
        store.set_meta(SUGGESTED_TAG, tag)
    log.info(f"commit {head[:12]} of the repository: manifest version {desired.manifest.manifest_version}")
    errand.say("news")
    if another_policy:
        errand.say("policy")
    return head


def _no_refusal(store: Store) -> None:
    """The branch is where it was again: whoever changed it has put it right."""
    if store.meta(notes.REFUSED):
        store.set_meta(notes.REFUSED, "")


def _refuse(errand: Errand, head: str, base: str, reason: str, *, for_good: bool = True) -> None:
    """Remember and tell, once for each head, that it is not taken up; nothing of it stays here.

    It is not fetched again, unless it was not refused `for_good`: then after a while, later each time. It was
    judged by `base`: where a person has let go of that meanwhile, nothing is known of it.
    """
    store, now = errand.store, errand.now()
    words = f"commit {head[:12]} of the repository was refused: {reason}" if head else f"refused: {reason}"
    known = notes.refusal(store)
    is_known = known is not None and (known.commit or "") == head and known.reason == reason
    since = notes.since_of(known) if known is not None and is_known else now
    with store.transaction():
        stands = (store.meta(notes.COMMIT) or "") == base
        if stands:
            store.set_meta(notes.AGAIN, "" if for_good else f"{notes.next_try(since, now):.0f}")
        if stands and not is_known:
            store.set_meta(notes.REFUSED, notes.render_refusal(head, reason, now))
            store.record(SECURITY, words)
    if stands:
        if not is_known:
            log.warning(words)
        errand.say(f"refused {words}")
        hit("courier.refused")
    errand.repository.drop(FETCHED)
    errand.repository.tidy(thorough=True)


def _push_some(
    errand: Errand, heads: Mapping[str, str], reports: Sequence[Report], *, is_divided: bool
) -> bool:
    """Push these reports; return whether there was anything to do.

    With `is_divided` one was declined before: then what was taken up goes by itself, when no report is left.
    """
    store, repository, git = errand.store, errand.repository, errand.repository.git
    tip = heads.get(CURRENT)
    if _settle(errand, tip):
        return True
    anew = tip != git.commit_of(TOLD)
    adopted = notes.render_adopted(store)
    if not reports and not anew and adopted == (store.meta(notes.TOLD) or ""):
        return False
    if anew and tip is not None:
        tip = repository.fetch(CURRENT, depth=1)
    found = None if tip is None else read_current(git, tip)
    listed = steps(
        reports,
        Outbox(store).last(""),
        found=found or {},
        anew=anew or found is None,
        adopted=None if is_divided and reports else adopted.encode("utf-8"),
        waiting=Outbox(store).names(),
    )
    if is_divided and reports:
        adopted = store.meta(notes.TOLD) or ""
    if listed:
        made = [(step.message, step.changes) for step in listed]
        new = repository.write(made, parent=tip, at=int(errand.now()), afresh=found is None)
    elif tip is not None:
        new = tip
    else:
        return False
    numbers = [each.number for each in reports]
    store.set_meta(
        notes.PUSHING, json.dumps({"commit": new, "reports": numbers, "adopted": adopted}, sort_keys=True)
    )
    hit("courier.pushing")
    if listed:
        repository.push(new)
    hit("courier.pushed")
    _settle(errand, new)
    return True


def _settle(errand: Errand, tip: str | None) -> bool:
    """Let what was pushed count as told, if it has arrived: `tip` is the head of `current` at the source.

    Return whether it had.
    """
    store, git = errand.store, errand.repository.git
    pushing = json.loads(store.meta(notes.PUSHING) or "null")
    if tip is None or pushing is None or pushing["commit"] != tip:
        return False
    if git.commit_of(tip) is not None:
        git.set_ref(TOLD, tip)
    errand.repository.drop(NEXT, FETCHED)
    outbox, numbers = Outbox(store), set(pushing["reports"])
    declined = notes.declined(store)
    with store.transaction():
        waiting = outbox.waiting(2 * _MOST_AT_ONCE + len(declined))
        told = [report for report in waiting if report.number in numbers]
        given_up = passed_by(told, declined)
        for report in waiting:
            if report.number in numbers:
                outbox.answered(report)
            elif report.number in given_up:
                words = f"the Git server declined it {declined[report.number].tries} times"
                outbox.answered(report, words)
                store.record(SERVER, f"a report was given up: {report.name}: {words} and took a later one")
        gone = numbers | given_up
        notes.note_declined(store, {key: each for key, each in declined.items() if key not in gone})
        store.set_meta(notes.TOLD, pushing["adopted"])
        store.set_meta(notes.PUSHING, "")
    hit("courier.settled")
    return True


def _tellable(errand: Errand) -> list[Report]:
    """Return the next reports; what has no place in a repository is answered as such (once) and left out."""
    outbox = Outbox(errand.store)
    told = []
    for report in outbox.waiting(_MOST_AT_ONCE + len(notes.declined(errand.store))):
        if file_of(report) is not None:
            told.append(report)
            continue
        reason = f"{report.name}: its name or its {len(report.body)} bytes have no place in a repository"
        errand.store.record(SERVER, f"a report was given up: {reason}")
        outbox.answered(report, reason)
    return told


def run_errands(errand: Errand, *, fetching: bool, pushing: bool) -> None:
    """Fetch, push or both. A copy of the repository that turns out to be damaged comes anew, once.

    It is looked at itself: what a server sends cannot make us forget what was here.
    """
    repository = errand.repository
    for attempt in (1, 2):
        try:
            errand.begin(Doing.FETCH if fetching else Doing.PUSH)
            repository.open()
            heads = repository.heads()
            if fetching:
                fetch(errand, heads)
            if pushing:
                errand.begin(Doing.PUSH)
                push(errand, heads)
        except GitError as error:
            if error.code not in _DAMAGE or attempt == 2 or repository.is_whole():
                raise
            log.warning(f"the copy of the repository is thrown away and fetched again: {error}")
            repository.throw_away()
        else:
            return


@contextmanager
def opened(
    paths: Paths, say: Callable[[str], None], *, bundle: str = "", patience: float = 0.0
) -> Iterator[Errand]:
    """Return an errand with everything open, to the repository of the identity in use, or by a bundle file.

    Another courier at work is waited for, `patience` seconds at most. Raises AlreadyRunningError, what
    opening the state and the identity raise, and OSError.
    """
    paths.make()
    held = _locked(paths.courier_lock, patience)
    try:
        note(held, Doing.READY)
        identity = Identity(paths.identity)
        access = GitAccess.load(paths.identity)
        if access is None:
            raise GitError("this device has no Git repository", code="git.bad-access")
        store = Store(paths.database)
        try:
            write_git_config(access, paths.git_config)
            git = Git(
                paths.repository,
                config=paths.git_config,
                seconds=access.minutes * 60,
                write_limit=PACK_BYTES,
                hold=held,
            )
            address = f"file://{access.url.path}" if access.url.scheme == FILE else access.url.text
            yield Errand(
                repository=Repository(git, bundle or address, is_bundle=bool(bundle)),
                store=store,
                relation=identity.relation,
                signers=_signers(access),
                say=lambda line: say(access.redact(line)),
                begin=lambda doing: note(held, doing),
            )
        finally:
            store.close()
    finally:
        os.close(held)


def _locked(path: str, patience: float) -> int:
    """Return the lock of the one courier; try for `patience` seconds, as most are gone in an instant."""
    end = time.monotonic() + patience
    while True:
        try:
            return lock(path)
        except AlreadyRunningError:
            if time.monotonic() >= end:
                raise
            time.sleep(_LOOK_AGAIN_SECONDS)


def _signers(access: GitAccess) -> str:
    try:
        with open(access.signers_file, "rb") as file:
            return check_signers(file.read(SIGNERS_BYTES + 1)[:SIGNERS_BYTES])
    except FileNotFoundError:
        return ""
    except RefusedError as error:
        raise GitError(f"{access.signers_file}: {error}", code="git.bad-access") from error


def main(arguments: Sequence[str]) -> int:
    """Run one courier as a process of its own; return the exit code."""
    options = _options(arguments)
    paths = Paths(options.state)
    say = _speaker(options.report_fd)

    def once() -> None:
        with opened(paths, say) as errand:
            run_errands(errand, fetching=options.fetch, pushing=options.push)

    try:
        try:
            once()
        except (OSError, sqlite3.Error, EdgewrightError) as error:
            if not (_says_full(error, paths.root) and reserve.give_up(paths.root)):
                raise
            once()
    except AlreadyRunningError:
        return BUSY
    except GitError as error:
        say(f"problem {error}")
        if error.code == "git.disk-full":
            log.error(str(error))
            return GAVE_WAY
        if error.code in ("git.bad-access", "git.missing-program", "git.too-old"):
            return UNUSABLE
        return LATER if error.retryable else REFUSED_US
    except StoreFullError as error:
        log.error(str(error))
        return GAVE_WAY
    except EdgewrightError as error:
        log.error(str(error))
        say(f"problem {error}")
        return UNUSABLE
    except (OSError, sqlite3.Error) as error:
        log.error(f"{paths.root}: {error}")
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
            with suppress(EdgewrightError):
                Store(paths.database).give_up(error)
        return GAVE_WAY
    return DONE


def _says_full(error: Exception, root: str) -> bool:
    if isinstance(error, GitError):
        return error.code == "git.disk-full"
    return isinstance(error, StoreFullError) or reserve.says_full(error, root)


def _speaker(descriptor: int | None) -> Callable[[str], None]:
    """Return what tells the watch something; a watch that is gone, or none at all, is not told."""
    if descriptor is None:
        return log.info
    os.set_inheritable(descriptor, False)

    def say(line: str) -> None:
        text = " ".join(line.split()).encode("utf-8", "replace")[:2000]
        with suppress(BrokenPipeError):
            os.write(descriptor, text + b"\n")

    return say


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edgewright.agent.courier")
    parser.add_argument("--state", required=True)
    parser.add_argument("--report-fd", type=int)
    parser.add_argument("--fetch", action="store_true")
    parser.add_argument("--push", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
