"""The watch: the small process that stays. It polls, posts, listens and starts rounds, and no more.

One thread, one wait with one deadline. A round is started when the watch starts, when manifest bytes arrive
that are not known, when the container engine tells of something that concerns us, when a round asked to be
followed by another, and every quarter of an hour. Everything that must survive is in the store, so ending the
watch at any instant loses nothing. When its database is damaged or taken away, the watch becomes a new one.

    python -I -m edgewright.agent.watch --state DIR [--config FILE] [--poll SECONDS]

Standard library only, and little of it: what this process loads it keeps for months (docs/decisions/0003).
"""

import json
import os
import select
import signal
import sqlite3
import sys
import time

from edgewright.agent import log
from edgewright.agent.backoff import jitter, pause, spread
from edgewright.agent.engine_events import EngineEvents
from edgewright.agent.failpoints import hit
from edgewright.agent.link import Link
from edgewright.agent.locks import lock
from edgewright.agent.paths import DEFAULT_STATE, Paths
from edgewright.agent.session import Session
from edgewright.agent.store import STATE, Store, StoreFullError, is_damage
from edgewright.protocol.errors import EdgewrightError

DEFAULT_POLL_SECONDS = 60.0
_BUSY = 75  # a round's exit code when another one is at work (round.py)
_BUSY_RETRY_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 900.0  # for what changes without a word: capabilities, and what no event told of
_HEALTH_SECONDS = 60.0  # between two rounds where nobody but a round runs health checks
_SETTLE_SECONDS = 0.3  # from an event to its round: what belongs together comes together
_SETTLE_AT_MOST_SECONDS = 60.0
_FULL_SECONDS = 5.0  # from one look at a disk that was full at the start to the next
_CALM_SECONDS = 300.0  # without an event: the next one is answered at once again


class Stop(BaseException):
    """The process was asked to end."""


class DatabaseLostError(Exception):
    """The open database is not the agent's any more: it was damaged, or somebody took it away."""


class Watch:
    """Joins the link to the fleet manager with the rounds; `run` returns never, `Stop` ends it."""

    __slots__ = (
        "_again_at",
        "_crashes",
        "_engine",
        "_link",
        "_look_again_seconds",
        "_nudged",
        "_pid",
        "_pipe",
        "_poll_seconds",
        "_round",
        "_stirred_at",
        "_stirs",
        "_store",
        "_text",
        "_wake",
    )

    def __init__(self, link: Link, store: Store, poll_seconds: float, round_command: list[str]) -> None:
        self._link = link
        self._store = store
        self._poll_seconds = poll_seconds
        self._round = round_command
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._again_at: float | None = 0.0
        self._nudged = False
        self._engine = EngineEvents()
        self._look_again_seconds = _LOOK_AGAIN_SECONDS
        self._stirs = 0
        self._stirred_at = float("-inf")
        self._crashes = 0
        self._pid = 0
        self._pipe = -1
        self._text = b""

    def run(self) -> None:
        """Talk, start rounds and wait, for ever."""
        stumbles = 0
        while True:
            try:
                if stumbles:
                    self._wait(time.monotonic() + pause(stumbles, jitter()))
                self._turn()
            except (OSError, sqlite3.OperationalError) as error:
                # No room on the disk, no memory for a round: ending would make neither better.
                stumbles += 1
                log.error(f"going on after: {error}")
            else:
                stumbles = 0

    def _turn(self) -> None:
        """Do what is due now, then wait for what is due next."""
        if not self._store.is_current():
            if not self._pid:
                raise DatabaseLostError
            self._wait(float("inf"))  # the round may be the one that has put another in its place
            return
        if self._nudged:
            self._nudged = False
            self._link.polls.due = self._link.posts.due = self._again_at = 0.0
        if self._link.greet():
            self._again_at = 0.0
        self._start_round_if_due()
        self._engine.connect()
        while self._link.post():
            pass
        if self._link.poll(self._poll_seconds):
            self._again_at = 0.0
        else:
            self._wait(self._deadline())

    def poll_now(self) -> None:
        """Poll and start a round as soon as what is being done is done: a person asked for it."""
        self._nudged = True

    def end(self) -> None:
        """Leave everything as the next start needs it."""
        self.end_round()
        try:
            self._link.note_contact()
        except sqlite3.Error as error:
            log.warning(f"when the fleet manager answered last could not be noted: {error}")

    def end_round(self) -> None:
        """Kill the round at work and what it started; the next one begins where it stood."""
        if self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)
                kill_children(self._pid)
                os.waitpid(self._pid, 0)
            except ProcessLookupError:
                pass  # we were asked to end in the instant in which the round was reaped
            self._pid = 0

    def _deadline(self) -> float:
        """Return the next instant (monotonic) at which something is to be done without being told."""
        times = [self._link.due(), self._engine.due]
        if self._again_at is not None and not self._pid:
            times.append(self._again_at)
        return min(times)

    def _wait(self, deadline: float) -> None:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._pid:
            poller.register(self._pipe, select.POLLIN)
        engine = self._engine.fd
        if engine >= 0:
            poller.register(engine, select.POLLIN)
        seconds = deadline - time.monotonic()
        milliseconds = None if seconds == float("inf") else max(int(seconds * 1000) + 1, 0)
        for fd, _ in poller.poll(milliseconds):
            if fd == self._wake:
                os.read(self._wake, 512)
            elif fd == engine:
                if self._engine.hear():
                    self._stir()
            else:
                self._hear()

    def _stir(self) -> None:
        """Let a round look at what the engine told of; the longer the trouble goes on, the later.

        What a round does itself is told of as well. It is not told apart from what others do meanwhile: one
        more round looks at either, finds nothing to do where it was the former, and so nothing more is told.
        """
        now = time.monotonic()
        if now - self._stirred_at > _CALM_SECONDS:
            self._stirs = 0
        self._stirred_at = now
        wait = min(_SETTLE_SECONDS * 2.0 ** min(self._stirs, 30), _SETTLE_AT_MOST_SECONDS)
        if self._again_at is None or now + wait < self._again_at:
            self._again_at = now + wait
            self._stirs += 1

    def _start_round_if_due(self) -> None:
        if self._pid or self._again_at is None or time.monotonic() < self._again_at:
            return
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_inheritable(theirs, True)
            self._pid = os.posix_spawn(
                self._round[0],
                [*self._round, "--report-fd", str(theirs)],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)],
                setsid=True,
                setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._again_at = None
        self._pipe = ours
        self._text = b""
        hit("round.spawned")

    def _hear(self) -> None:
        """Take in what the round says.

        `outbox` wakes us up, `again SECONDS` asks for another round, `engine JSON` tells where to listen.
        """
        data = os.read(self._pipe, 4096)
        if not data:
            self._round_ended()
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"engine":
                self._listen(json.loads(rest))
            elif word == b"again":
                again = time.monotonic() + float(rest)
                # News that came while the round was at work do not wait for it.
                self._again_at = again if self._again_at is None else min(again, self._again_at)

    def _listen(self, engine: dict[str, str]) -> None:
        """Listen to the engine a round works with: its `socket`, our `label`, and `health`: who checks it."""
        ours = engine["health"] == "ours"
        self._look_again_seconds = _HEALTH_SECONDS if ours else _LOOK_AGAIN_SECONDS
        self._engine.listen_to(engine["socket"], engine["label"], health=not ours)
        self._engine.connect()

    def _round_ended(self) -> None:
        """Reap the round; one that broke is followed by another, later each time."""
        os.close(self._pipe)
        kill_children(self._pid)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            self._crashes = 0
            if self._again_at is None:
                self._again_at = time.monotonic() + spread(self._look_again_seconds, jitter())
            return
        if code == _BUSY:
            self._again_at = time.monotonic() + _BUSY_RETRY_SECONDS
            return
        self._crashes += 1
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        log.warning(f"a round {how}")
        again = time.monotonic() + pause(self._crashes, jitter())
        self._again_at = again if self._again_at is None else max(again, self._again_at)
        if self._crashes == 1:
            self._store.record(STATE, f"a round {how}")  # fails on a full disk: nothing may come after it


def kill_children(leader: int) -> None:
    """Kill what a round started and left behind: every other process of the session it leads.

    To be called while the round is not yet reaped. Container engines start containers themselves, so none
    of those is in the session.
    """
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != leader:
            try:
                if os.getsid(int(name)) == leader:
                    os.kill(int(name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def main(arguments: list[str], round_command: list[str] | None = None) -> int:
    """Run the watch until SIGTERM or SIGINT; SIGHUP polls at once. Return the exit code."""
    options = _options(arguments)
    paths = Paths(options.get("--state", DEFAULT_STATE))
    try:
        paths.make()
        held = lock(paths.watch_lock)
        store = _opened(paths.database)
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    except OSError as error:
        log.error(f"{error.filename or paths.root}: {error.strerror}")
        return 2
    session = Session(paths)
    try:
        log.info(f"{session.identity.client}: looking after {paths.root}")
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    watch = Watch(
        Link(session, store),
        store,
        float(options.get("--poll", DEFAULT_POLL_SECONDS)),
        round_command or _round_command(paths, options.get("--config")),
    )
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGHUP, lambda *_: watch.poll_now())
    lost = False
    try:
        watch.run()
    except DatabaseLostError:
        lost = True
    except Stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        watch.end()
        log.info("stopped")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            log.error(f"{paths.database}: {error}; the next start looks after it")
            return 1
        watch.end_round()
        store.give_up(error)
        lost = True
    finally:
        os.close(held)
    if lost:
        log.warning(f"{paths.database} was replaced; starting over with the new one")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell
    return 0


def _opened(path: str) -> Store:
    """Open the store as soon as there is room for it: somebody has to be there then."""
    told = False
    while True:
        try:
            return Store(path)
        except StoreFullError as error:
            if not told:
                log.error(f"{error}; waiting until there is room")
            told = True
            time.sleep(_FULL_SECONDS)


def _stop(*_: object) -> None:
    raise Stop


def _round_command(paths: Paths, config: str | None) -> list[str]:
    command = [sys.executable, "-I", "-m", "edgewright.agent.round", "--state", paths.root]
    return [*command, "--config", config] if config else command


def _options(arguments: list[str]) -> dict[str, str]:
    """Return `--name value` pairs; what a person types was checked by the command line (cli/agent.py)."""
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
