"""A whole agent that lives by a Git repository through simulated time: `life.py` with Git for the API.

    life = GitLife(tmp_path, Signer.create(tmp_path, "fleet"), "2026-03-01T00:00:00")
    life.clock.at("2026-03-02T12:00:00", lambda: life.fleet.deploy(document))
    life.until("2026-03-03T00:00:00")
    life.polls, life.couriers   # the true times of all questions, and of all couriers with their errands

The repository is real and so is all that couriers do to it and to the device's own copy, by the real git;
each does its errand in this process, in the instant in which the watch starts it. Only the question whether
the branch moved is answered without a process, as that is asked thousands of times.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from edgewright.agent import courier
from edgewright.agent.git.access import GitAccess
from edgewright.agent.git.head import RemoteHead
from edgewright.agent.resident.child import Helper
from edgewright.agent.state.store import Store
from edgewright.agent.talk.git_link import GitLink
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.session import Identity, Session
from edgewright.net.git.program import GitError
from edgewright.net.git.url import RepositoryUrl
from support.fake_clock import Moment
from support.git_fleet import DESIRED, GitFleet, Signer
from support.life import ROUND_FD, Life

HELPER_FD = 1003


class InstantHelper(Helper):
    """Helpers that have done what they are for the moment they are started; `do` returns the exit code."""

    def __init__(self, do: Callable[[Sequence[str], Callable[[str], None]], int]) -> None:
        super().__init__([])
        self._do = do
        self._lines: list[str] = []
        self._code: int | None = None

    @property
    def at_work(self) -> bool:
        return self._code is not None

    @property
    def fd(self) -> int:
        return HELPER_FD if self.at_work else -1

    def start(self, *words: str) -> None:
        self._lines = []
        self._code = self._do(words, self._lines.append)

    def hear(self) -> tuple[list[bytes], int | None]:
        code, self._code = self._code, None
        return [line.encode() for line in self._lines], code

    def kill(self) -> None:
        self._code = None


class GitLife(Life):
    """One device, and the repository in which its fleet manager and it meet."""

    fleet: GitFleet  # type: ignore[assignment]
    link: GitLink

    def __init__(self, directory: Path, signer: Signer, start: Moment, **more: Any) -> None:
        self._signer = signer
        self.polls: list[float] = []
        self.couriers: list[tuple[float, tuple[str, ...]]] = []
        self._away = directory / "out of reach"
        super().__init__(directory, start, **more)

    def cut(self) -> None:
        """Let the repository be out of reach."""
        self.fleet.repository.rename(self._away)

    def mend(self) -> None:
        """Let it be reached again."""
        self._away.rename(self.fleet.repository)

    def start(self) -> None:
        self._store_of_couriers = Store(self.paths.database, self.clock.time)
        super().start()

    def kill(self) -> None:
        if not self._stopped:
            self._store_of_couriers.close()
        super().kill()

    def times_of(self, errand: str) -> list[float]:
        """The true times of the couriers that had `errand`."""
        return [at for at, words in self.couriers if errand in words]

    def _meet(self, directory: Path) -> None:
        self.fleet = GitFleet.create(directory / "edge-01.git", self._signer)
        identity = Path(self.paths.identity)
        identity.mkdir(parents=True)
        (identity / "signers").write_text(self._signer.line)
        (identity / "server.json").write_text(
            json.dumps({"url": "", "device_id": "edge-01", "transport": "git"})
        )
        access = GitAccess(str(identity), url=RepositoryUrl(str(self.fleet.repository)), kind="none")
        (identity / "git.json").write_bytes(access.render())

    def _converse(self) -> GitLink:
        self._couriers, self._looks = InstantHelper(self._carry), InstantHelper(self._look)
        return GitLink(
            self._session(self.store),
            self.store,
            self.clock,
            couriers=self._couriers,
            looks=self._looks,
            head=RemoteHead(
                self.paths.identity, Manners(self.store, self.clock, Hours(self.store, self.clock))
            ),
        )

    def _session(self, _store: Store) -> Session:
        return cast(Session, SimpleNamespace(identity=Identity(self.paths.identity), close=lambda: None))

    def _readable(self) -> list[int]:
        helpers = [HELPER_FD] if self._couriers.at_work or self._looks.at_work else []
        return helpers + ([ROUND_FD] if self._instant.at_work else [])

    def _look(self, _words: Sequence[str], say: Callable[[str], None]) -> int:
        """Answer as `edgewright.agent.git.looking` does."""
        self.polls.append(self.clock.true)
        if not self.fleet.repository.exists():
            say(f"problem {self.fleet.repository}: there is no repository")
            return 1
        branch = self.fleet.repository / DESIRED
        say(f"head {branch.read_text().strip() if branch.exists() else ''}")
        return 0

    def _carry(self, words: Sequence[str], say: Callable[[str], None]) -> int:
        """Do an errand as the courier's `main` does, by the time of this life."""
        self.couriers.append((self.clock.true, tuple(words)))
        if not self.fleet.repository.exists():
            say(f"problem {self.fleet.repository}: there is no repository")
            return courier.REFUSED_US
        try:
            with courier.opened(self.paths, say) as errand:
                courier.run_errands(
                    replace(errand, store=self._store_of_couriers, now=self.clock.time),
                    fetching="--fetch" in words,
                    pushing="--push" in words,
                )
        except GitError as error:
            say(f"problem {error}")
            return courier.LATER if error.retryable else courier.REFUSED_US
        return courier.DONE
