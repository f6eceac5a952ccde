"""The watch: the small process that stays. It polls, posts, listens and starts rounds, and no more.

One thread, one wait with one deadline. A round is started when the watch starts, when manifest bytes arrive
that are not known, when the container engine tells of something that concerns us, when a person leaves word
or changes the policy, when the time of day was set, when a round asked to be followed by another, and every
quarter of an hour. Everything that must survive is in the store, so ending the watch at any instant loses
nothing. When its database is damaged or taken away, the watch becomes a new one.

    python -I -m edgewright.agent.watch --state DIR [--config FILE] [--policy FILE] [--poll SECONDS]
        [--drop DIR] [--control-group GID] [--page ADDRESS]

SIGHUP: a person wants a poll and a round now. SIGUSR1: a round now, something was decided on this device.

Standard library only, and little of it: what this process loads it keeps for months (docs/decisions/0003).
"""

import json
import os
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Callable

from edgewright.agent import log
from edgewright.agent.backoff import jitter, pause, spread
from edgewright.agent.clock import SYSTEM, Clock, keep
from edgewright.agent.paths import DEFAULT_STATE, Paths, policy_path
from edgewright.agent.resident.doors import LONGEST_PATH, Door
from edgewright.agent.resident.engine_events import EngineEvents
from edgewright.agent.resident.notices import Notices
from edgewright.agent.resident.rounds import BUSY, Rounds
from edgewright.agent.state import reserve
from edgewright.agent.state.locks import lock
from edgewright.agent.state.store import STATE, Store, StoreFullError, is_damage
from edgewright.agent.talk.conversation import Conversation
from edgewright.agent.talk.session import Session
from edgewright.agent.talk.transports import converse
from edgewright.protocol.errors import EdgewrightError

_BUSY_RETRY_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 900.0  # for what changes without a word: capabilities, and what no event told of
_HEALTH_SECONDS = 60.0  # between two rounds where nobody but a round runs health checks
_SETTLE_SECONDS = 0.3  # from an event to its round: what belongs together comes together
_SETTLE_AT_MOST_SECONDS = 60.0
_PERSON_WAITS_SECONDS = 5.0  # the same for what people put down here, however restless the engine is
_CRASHES = 3  # of rounds in a row until the timetable of before is followed: it is the best there is
_FULL_SECONDS = 5.0  # from one look at a disk that was full at the start to the next
_WAKING = (signal.SIGHUP, signal.SIGUSR1)
_CALM_SECONDS = 300.0  # without an event: the next one is answered at once again


class Stop(BaseException):
    """The process was asked to end."""


class DatabaseLostError(Exception):
    """The open database is not the agent's any more: it was damaged, or somebody took it away."""


class MovedError(Exception):
    """The fleet manager is reached another way from now on, for which this process has loaded nothing."""


class Watch:
    """Joins the link to the fleet manager with the rounds; `run` returns never, `Stop` ends it.

    `poll_seconds` outranks the rate of the policy where it is given.
    """

    __slots__ = (
        "_again_at",
        "_clock",
        "_crashes",
        "_doors",
        "_engine",
        "_knows_hours",
        "_link",
        "_look_again_seconds",
        "_notices",
        "_nudged",
        "_poll_seconds",
        "_rounds",
        "_stirred_at",
        "_stirs",
        "_store",
        "_wake",
        "_woken",
    )

    def __init__(
        self,
        link: Conversation,
        store: Store,
        rounds: Rounds,
        notices: Notices,
        *,
        doors: list[Door] | None = None,
        poll_seconds: float | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._link = link
        self._store = store
        self._rounds = rounds
        self._notices = notices
        self._doors = doors or []
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._again_at: float | None = 0.0
        self._nudged = self._woken = False
        # A policy that was changed while nobody looked may forbid what the timetable of before allows.
        self._knows_hours = not os.path.exists(notices.policy)
        self._engine = EngineEvents(clock)
        self._look_again_seconds = _LOOK_AGAIN_SECONDS
        self._stirs = 0
        self._stirred_at = float("-inf")
        self._crashes = 0

    def run(self) -> None:
        """Talk, start rounds and wait, for ever."""
        stumbles = 0
        while True:
            try:
                if stumbles:
                    self._wait(self._clock.monotonic() + pause(stumbles, jitter()))
                self._turn()
            except (OSError, sqlite3.OperationalError) as error:
                # No room on the disk, no memory for a round: ending would make neither better.
                stumbles += 1
                root = os.path.dirname(self._store.path)
                if not (reserve.says_full(error, root) and reserve.give_up(root)):
                    log.error(f"going on after: {error}")
            else:
                stumbles = 0

    def _turn(self) -> None:
        """Do what is due now, then wait for what is due next."""
        if not self._store.is_current():
            if not self._rounds.at_work:
                raise DatabaseLostError
            self._wait(float("inf"))  # the round may be the one that has put another in its place
            return
        if self._link.is_moved:
            raise MovedError
        if self._link.hours.look():
            self._again_at = 0.0
        if self._notices.changed():
            self._stir(_PERSON_WAITS_SECONDS)
        if self._woken:
            self._woken = False
            self._again_at = 0.0
        if self._nudged:
            self._nudged = False
            self._again_at = 0.0
            self._link.ask()
        if self._link.greet():
            self._again_at = 0.0
        self._start_round_if_due()
        self._engine.connect()
        for door in self._doors:
            door.open()
        if self._knows_hours and self._talk():
            self._again_at = 0.0
        else:
            self._wait(self._deadline())

    def _talk(self) -> bool:
        """Say and ask what is due; return whether there is news for a round."""
        while self._link.post():
            pass
        rate = self._link.hours.table.poll if self._poll_seconds is None else self._poll_seconds
        news = self._link.poll(rate)
        return self._link.fetch_policy() or news

    def poll_now(self) -> None:
        """Poll and start a round as soon as what is being done is done: a person asked for it."""
        self._nudged = True

    def look_now(self) -> None:
        """Start a round as soon as what is being done is done: something was decided on this device."""
        self._woken = True

    def end(self) -> None:
        """Leave everything as the next start needs it."""
        self.end_children()
        try:
            self._link.note_contact()
            keep(self._store, self._clock, self._link.hours.trust, now=True)
        except sqlite3.Error as error:
            log.warning(f"when the fleet manager answered last could not be noted: {error}")

    def end_children(self) -> None:
        """End the round at work, whoever serves a door, and who is under way to the fleet manager."""
        self._rounds.kill()
        self._link.end()
        for door in self._doors:
            door.close()

    def _deadline(self) -> float:
        """Return the next instant (monotonic) at which something is to be done without being told."""
        times = [self._engine.due, *(door.due for door in self._doors)]
        if self._knows_hours:
            times.append(self._link.due())
        if self._again_at is not None and not self._rounds.at_work:
            times.append(self._again_at)
        return min(times)

    def _wait(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic) at most, and let whoever has something to hear hear it."""
        hearers: dict[int, Callable[[], None]] = {
            self._wake: self._hear_signals,
            self._rounds.fd: self._hear_round,
            self._engine.fd: self._hear_engine,
            self._link.fd: self._hear_answer,
        }
        hearers.update((door.fd, door.hear) for door in self._doors)
        hearers.pop(-1, None)
        poller = select.poll()
        for fd in hearers:
            poller.register(fd, select.POLLIN)
        for fd, _ in self._clock.wait(poller, deadline):
            hearers[fd]()

    def _hear_signals(self) -> None:
        os.read(self._wake, 512)

    def _hear_engine(self) -> None:
        if self._engine.hear():
            self._stir()

    def _hear_answer(self) -> None:
        if self._link.hear():
            self._again_at = 0.0

    def _stir(self, at_most: float = _SETTLE_AT_MOST_SECONDS) -> None:
        """Let a round look at what was told of; the longer the trouble goes on, the later, up to `at_most`.

        What a round does itself is told of as well. It is not told apart from what others do meanwhile: one
        more round looks at either, finds nothing to do where it was the former, and so nothing more is told.
        """
        now = self._clock.monotonic()
        if now - self._stirred_at > _CALM_SECONDS:
            self._stirs = 0
        self._stirred_at = now
        wait = _SETTLE_SECONDS * 2.0 ** min(self._stirs, 30)
        if self._again_at is None or now + min(wait, at_most) < self._again_at:
            self._again_at = now + min(wait, at_most)
            self._stirs += wait < at_most

    def _start_round_if_due(self) -> None:
        if self._rounds.at_work or self._again_at is None or self._clock.monotonic() < self._again_at:
            return
        self._rounds.start()
        self._again_at = None

    def _hear_round(self) -> None:
        """Take in what the round says.

        `outbox` wakes us up, `timetable` tells that it has read the policy, `again SECONDS` asks for another
        round, `engine JSON` tells where to listen.
        """
        lines, code = self._rounds.hear()
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"engine":
                self._listen(json.loads(rest))
            elif word == b"timetable":
                self._knows_hours = True
            elif word == b"again":
                again = self._clock.monotonic() + float(rest)
                # News that came while the round was at work do not wait for it.
                self._again_at = again if self._again_at is None else min(again, self._again_at)
        if code is not None:
            self._round_ended(code)

    def _listen(self, engine: dict[str, str]) -> None:
        """Listen to the engine a round works with: its `socket`, our `label`, and `health`: who checks it."""
        ours = engine["health"] == "ours"
        self._look_again_seconds = _HEALTH_SECONDS if ours else _LOOK_AGAIN_SECONDS
        self._engine.listen_to(engine["socket"], engine["label"], health=not ours)
        self._engine.connect()

    def _round_ended(self, code: int) -> None:
        """Go on after a round; one that broke is followed by another, later each time."""
        if code == 0:
            self._crashes = 0
            self._knows_hours = True
            look = self._clock.monotonic() + spread(self._look_again_seconds, jitter())
            # Also where the round knows of nothing to do before a window opens in a month.
            self._again_at = look if self._again_at is None else min(self._again_at, look)
            return
        if code == BUSY:
            self._again_at = self._clock.monotonic() + _BUSY_RETRY_SECONDS
            return
        self._crashes += 1
        self._knows_hours = self._knows_hours or self._crashes >= _CRASHES
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        log.warning(f"a round {how}")
        again = self._clock.monotonic() + pause(self._crashes, jitter())
        self._again_at = again if self._again_at is None else max(again, self._again_at)
        if self._crashes == 1:
            self._store.record(STATE, f"a round {how}")  # fails on a full disk: nothing may come after it


def main(arguments: list[str], round_command: list[str] | None = None) -> int:
    """Run the watch until SIGTERM or SIGINT; return the exit code. `round_command` replaces the usual one."""
    options = _options(arguments)
    paths = Paths(options.get("--state", DEFAULT_STATE))
    # From the lock on others know whom to wake, and whoever is woken before it can hear would end.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
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
    session = Session.polite(paths, store)
    try:
        log.info(f"{session.identity.relation}: looking after {paths.root}")
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    poll = options.get("--poll")
    watch = Watch(
        converse(session, store, paths),
        store,
        Rounds(round_command or _command("round", paths, options)),
        Notices(policy_path(options.get("--policy")), options.get("--drop", paths.drop)),
        doors=_doors(paths, options),
        poll_seconds=None if poll is None else float(poll),
    )
    anew = ""
    try:
        _hear_signals(watch)
        watch.run()
    except DatabaseLostError:
        watch.end_children()
        anew = f"{paths.database} was replaced; starting over with the new one"
    except MovedError:
        watch.end()
        anew = "the fleet manager is reached another way from now on; starting over for that"
    except Stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        watch.end()
        log.info("stopped")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            log.error(f"{paths.database}: {error}; the next start looks after it")
            return 1
        watch.end_children()
        store.give_up(error)
        anew = f"{paths.database} was replaced; starting over with the new one"
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
        os.close(held)
    if anew:
        log.warning(anew)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell
    return 0


def _hear_signals(watch: Watch) -> None:
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGHUP, lambda *_: watch.poll_now())
    signal.signal(signal.SIGUSR1, lambda *_: watch.look_now())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAKING)


def _opened(path: str) -> Store:
    """Open the store as soon as there is room for it: somebody has to be there then."""
    told = False
    while True:
        try:
            return Store(path)
        except StoreFullError as error:
            if reserve.give_up(os.path.dirname(path)):
                continue
            if not told:
                log.error(f"{error}; waiting until there is room")
            told = True
            time.sleep(_FULL_SECONDS)


def _stop(*_: object) -> None:
    raise Stop


def _command(module: str, paths: Paths, options: dict[str, str]) -> list[str]:
    """Return how to start `edgewright.agent.<module>` here, with the files it shall read."""
    command = [sys.executable, "-I", "-m", f"edgewright.agent.{module}", "--state", paths.root]
    for name in ("--config", "--policy"):
        if name in options:
            command += [name, options[name]]
    return command


def _doors(paths: Paths, options: dict[str, str]) -> list[Door]:
    """Return where people and programs of this device may knock."""
    group = int(options.get("--control-group", -1))
    # Nobody but the agent comes into its state directory, and a socket's path has to be short.
    beside, elsewhere = paths.control_sockets
    path = elsewhere if group >= 0 or len(os.fsencode(beside)) > LONGEST_PATH else beside
    doors = [Door(f"unix:{path}", _command("on_site.control", paths, options), group=group)]
    if "--page" in options:
        doors.append(Door(options["--page"], _command("page", paths, options), group=group))
    return doors


def _options(arguments: list[str]) -> dict[str, str]:
    """Return `--name value` pairs; what a person types was checked by the command line (cli/agent.py)."""
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
