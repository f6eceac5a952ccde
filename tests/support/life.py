"""A whole agent that lives through simulated time: the real watch, link, store and rounds on a fake clock.

    life = Life(tmp_path, "2026-03-01T00:00:00", policy="polling: {rate: 10m}")
    life.until("2026-03-02T00:00:00")
    life.fleet.polls            # the true times of all polls

Nothing sleeps and nothing is a process: a round is done, as its own process would, in the instant in which
the watch starts it. The fleet manager answers from memory, with the true time in its `Date`.
"""

import json
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

from edgewright.agent.paths import Paths
from edgewright.agent.resident.notices import Notices
from edgewright.agent.resident.rounds import Rounds
from edgewright.agent.round import Device, reconcile
from edgewright.agent.settings import Settings
from edgewright.agent.state.store import Store
from edgewright.agent.talk.conversation import Conversation
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.link import Link
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.session import Session
from edgewright.agent.watch import Watch
from edgewright.net.http import HttpError, Response
from support.bench import RELATION
from support.fake_clock import FakeClock, Moment, unix
from support.fake_runtime import FakeRuntime
from support.foreign_server import BUNDLE, digest_of, pack

ROUND_FD, HELD_FD = 1001, 1002


class End(BaseException):
    """The simulated time is over."""


class FakeIdentity:
    transport = "api"
    client = relation = RELATION
    transport = "api"
    device_id = "edge-01"
    not_before = unix("2025-01-01T00:00:00")


class Fleet:
    """The fleet manager, in memory. `asked` is every request: true time, method, path, headers by name.

    `refuse` answers in place of everything else where it returns something; `holds`: it holds polls back.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.asked: list[tuple[float, str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.documents: dict[str, bytes] = {}
        self.served: dict[str, bytes] = {}
        self.manifest = b""
        self.version = 0
        self.reachable = True
        self.holds = False
        self.headers: dict[str, str] = {}
        self.policy: bytes | None = None
        self.refuse: Callable[[], Response | None] = lambda: None
        self.deploy()

    def deploy(self, *documents: bytes) -> None:
        """Let the device run `documents`, and nothing else."""
        self.version += 1
        listed: list[dict[str, str]] = []
        for data in documents:
            deployment_id = json.loads(data)["id"]
            url = f"/api/v1/deployments/{deployment_id}/{digest_of(data)}"
            self.served[url] = data
            listed.append({"deploymentId": deployment_id, "digest": digest_of(data), "url": url})
        bundle = None
        if listed:
            packed = pack({f"{json.loads(data)['id']}.yaml": data for data in documents})
            url = f"/api/v1/bundles/{digest_of(packed)}"
            self.served[url] = packed
            bundle = {"mediaType": BUNDLE, "digest": digest_of(packed), "url": url}
        self.manifest = json.dumps(
            {"manifestVersion": self.version, "bundle": bundle, "deployments": listed}
        ).encode()

    @property
    def etag(self) -> str:
        return f'"{self.version}"'

    @property
    def polls(self) -> list[float]:
        """The true times of all polls."""
        return [at for at, method, path, _ in self.asked if (method, path) == ("GET", "/api/v1/deployments")]

    def times(self, method: str = "", ending: str = "") -> list[float]:
        """The true times of the requests of `method` whose path ends with `ending`."""
        return [at for at, asked, path, _ in self.asked if asked.startswith(method) and path.endswith(ending)]

    def statuses(self) -> list[tuple[float, Any]]:
        """The status reports, with the true times at which they came."""
        told = zip(self.asked, self.bodies, strict=True)
        return [(each[0], json.loads(body)) for each, body in told if each[2].endswith("/status")]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request, or fail as a network does."""
        self.asked.append((self._clock.true, method, path, dict(headers)))
        self.bodies.append(body)
        if not self.reachable:
            raise HttpError("wfm.example:443", "connection refused; is it running?")
        answer = self.refuse() or self._answer(method, path, headers)
        date = formatdate(self._clock.true, usegmt=True)
        answer.headers = {"date": date, **self.headers, **answer.headers}
        return answer

    def _answer(self, method: str, path: str, headers: Mapping[str, str]) -> Response:
        if path == "/api/v1/deployments":
            if headers.get("if-none-match") == self.etag:
                return Response(304, "Not Modified", {"etag": self.etag})
            return Response(200, "OK", {"etag": self.etag}, self.manifest)
        if path == "/edgewright/v1/policy" and self.policy is not None:
            return Response(200, "OK", {}, self.policy)
        if method == "GET" and path not in self.served:
            return Response(404, "Not Found", {}, b"")
        return Response(200, "OK", {}, self.served.get(path, b""))


class FakeSession:
    """The session of one process with `fleet`."""

    identity = FakeIdentity()

    def __init__(self, fleet: Fleet, clock: FakeClock, manners: Manners) -> None:
        self._fleet = fleet
        self._clock = clock
        self._manners = manners
        self._held: tuple[str, dict[str, str], float] | None = None
        self.held = -1

    def request(self, method: str, path: str, *, headers: Any = (), body: bytes | None = None) -> Response:
        self._manners.before()
        answer = self._fleet.answer(method, path, dict(headers), body or b"")
        self._manners.heard(answer)
        return answer

    def hold(self, path: str, *, headers: Any, seconds: float) -> None:
        self._manners.before()
        self._fleet.asked.append((self._clock.true, "GET", path, dict(headers)))
        self._fleet.bodies.append(b"")
        self._held = path, dict(headers), self._clock.true + seconds
        self.held = HELD_FD
        self._clock.at(self._held[2] if self._fleet.holds else self._clock.true, lambda: None)

    @property
    def readable(self) -> bool:
        """Whether what is held back is let go."""
        if self._held is None:
            return False
        _, headers, until = self._held
        unchanged = headers["if-none-match"] == self._fleet.etag
        return not (self._fleet.holds and unchanged and self._clock.true < until and self._fleet.reachable)

    def answer(self) -> Response | None:
        assert self._held is not None
        path, headers, _ = self._held
        self.let_go()
        count = len(self._fleet.asked)
        answer = self._fleet.answer("GET", path, headers, b"")
        del self._fleet.asked[count:], self._fleet.bodies[count:]  # it was counted when it was begun
        if self._fleet.holds:
            answer.headers["preference-applied"] = headers["prefer"]
        self._manners.heard(answer)
        return answer

    def let_go(self) -> None:
        self._held = None
        self.held = -1

    def close(self) -> None:
        self.let_go()


class InstantRounds(Rounds):
    """Rounds that are done the moment they are started, and heard of right after."""

    def __init__(self, do: Callable[[Callable[[str], None]], float | None]) -> None:
        super().__init__([])
        self._do = do
        self._lines: list[bytes] | None = None

    @property
    def at_work(self) -> bool:
        return self._lines is not None

    @property
    def fd(self) -> int:
        return -1 if self._lines is None else ROUND_FD

    def start(self, *words: str) -> None:
        said: list[str] = []
        again = self._do(said.append)
        if again is not None:
            said.append(f"again {again + 0.001:.3f}")
        self._lines = [line.encode() for line in said]

    def hear(self) -> tuple[list[bytes], int | None]:
        lines, self._lines = self._lines or [], None
        return lines, 0

    def kill(self) -> None:
        self._lines = None


class Life:
    """One device and its fleet manager. `rounds` are the true times of all rounds.

    `look_again`: how many seconds after a round another one looks whether all is well, for long lives.
    """

    def __init__(
        self,
        directory: Path,
        start: Moment = "2026-03-01T00:00:00",
        *,
        policy: str | None = None,
        look_again: float = 900.0,
    ) -> None:
        self.clock = FakeClock(start)
        self.paths = Paths(str(directory / "state"))
        self.paths.make()
        self.policy = directory / "policy.yaml"
        self._meet(directory)
        self.runtime = FakeRuntime()
        self.rounds: list[float] = []
        self._stopped = True
        self._look_again = look_again
        if policy is not None:
            self.write_policy(policy)
        self.start()

    def write_policy(self, text: str) -> None:
        """Let a person write the site's policy, some time ago."""
        self.policy.write_text(text)

    def start(self) -> None:
        """Start the watch, as after a boot."""
        self.store = Store(self.paths.database, self.clock.time)
        self._store_of_rounds = Store(self.paths.database, self.clock.time)
        self.link = self._converse()
        self._instant = InstantRounds(self._round)
        self.watch = Watch(
            self.link,
            self.store,
            self._instant,
            Notices(str(self.policy), self.paths.drop, self.clock),
            clock=self.clock,
        )
        self.watch._look_again_seconds = self._look_again
        self.clock.readable = self._readable
        self._stopped = False

    def stop(self) -> None:
        """End the watch as SIGTERM does."""
        self.watch.end()
        self.kill()

    def kill(self) -> None:
        """End the watch as a power cut does."""
        if not self._stopped:
            self.store.close()
            self._store_of_rounds.close()
            signal.set_wakeup_fd(-1)
            self._stopped = True

    def until(self, moment: Moment) -> None:
        """Live until the true time `moment`."""
        self.clock.at(moment, _end)
        with suppress(End):
            self.watch.run()

    def _meet(self, _directory: Path) -> None:
        """Bring the fleet manager about."""
        self.fleet = Fleet(self.clock)

    def _converse(self) -> Conversation:
        """Begin the conversation with it."""
        self.session = self._session(self.store)
        return Link(cast(Session, self.session), self.store, self.clock)

    def _session(self, store: Store) -> Any:
        return FakeSession(self.fleet, self.clock, Manners(store, self.clock, Hours(store, self.clock)))

    def _readable(self) -> list[int]:
        held = [HELD_FD] if self.session.readable else []
        return held + ([ROUND_FD] if self._instant.at_work else [])

    def _round(self, say: Callable[[str], None]) -> float | None:
        self.rounds.append(self.clock.true)
        store = self._store_of_rounds
        device = Device(
            paths=self.paths,
            settings=Settings(),
            store=store,
            session=cast(Session, self._session(store)),
            runtimes={"compose": self.runtime},
            notify=lambda: say("outbox"),
            hours_known=lambda: say("timetable"),
            clock=self.clock.time,
            policy=str(self.policy) if self.policy.exists() else None,
        )
        return reconcile(device)


def _end() -> None:
    raise End
