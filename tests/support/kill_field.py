"""What a disturbed agent and an undisturbed one go through: a scenario in phases, and causes of trouble."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from support.cut_filesystem import CutFilesystem
from support.foreign_server import ForeignServer, deployment_yaml
from support.kill_rig import BROKEN, KillRig
from support.kill_table import REACHED
from support.processes import StartError, wait_until
from support.proxies import Proxy

IDS = tuple(f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "123")
PHASES = tuple(REACHED)
WORDS: Mapping[str, str | None] = {
    "installation": "one",
    "update": "two",
    "roll-back": BROKEN,
    "removal": None,
}
"""The parameter of all deployments in each phase; None where they are not wanted any more."""
ENDS = {"installation": "installed", "update": "installed", "roll-back": "failed", "removal": "removed"}
Part = str | Mapping[str, Any]
"""A component as `deployment_yaml` takes it."""


def before(phase: str) -> str | None:
    """Return the phase before `phase`."""
    return None if phase == PHASES[0] else PHASES[PHASES.index(phase) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where a device has come to: everything that must not depend on how it got there.

    Manifest versions are counted from where the scenario began.
    """

    reports: Mapping[str, Any]
    runs: Mapping[str, str]
    starts: Sequence[str]
    remembered: Mapping[str, Any]


class Field:
    """A fleet manager, the ways to it and to the registry, and a device that `deployments` are meant for.

    `disk` is the filesystem that the agent's state is on, where it has one of its own.
    """

    def __init__(
        self,
        server: ForeignServer,
        ways: Sequence[Proxy],
        rig: KillRig,
        *,
        deployments: Sequence[str] = IDS[:1],
        components: Sequence[Part] = ("db", "web"),
        disk: CutFilesystem | None = None,
    ) -> None:
        self.server = server
        self.ways = ways
        self.rig = rig
        self.deployments = deployments
        self.components = components
        self.disk = disk
        self._reported: dict[str, int] = {}
        self._base = 0

    def begin_again(self) -> None:
        """Want nothing, as before the first phase, in versions that go on from here."""
        self._base = self.server.version
        self.want(None)

    def document(self, deployment_id: str, word: str) -> bytes:
        """Return a deployment with the parameter `word`."""
        targets = [{"pointer": "WORD", "components": ["db", "web"]}]
        parameters = {"word": {"value": word, "targets": targets}}
        return deployment_yaml(deployment_id, components=self.components, parameters=parameters)

    def want(self, phase: str | None) -> None:
        """Let the fleet manager want what `phase` is about; None: nothing yet."""
        word = None if phase is None else WORDS[phase]
        self.server.documents = {}
        if word is not None:
            self.server.documents = {each: self.document(each, word) for each in self.deployments}
        self.server.publish(self._base + (2 if phase is None else 3 + PHASES.index(phase)))

    def count_from_here(self) -> None:
        """Reports that came until now say nothing about the phase to come."""
        self._reported = {each: len(self.server.statuses(each)) for each in self.deployments}

    def has_reported(self, phase: str) -> bool:
        """Whether the fleet manager was told the end of `phase` for every deployment."""
        return all(
            self.server.states(each)[self._reported[each] :][-1:] == [ENDS[phase]]
            for each in self.deployments
        )

    def settle(self, phase: str, expected: Outcome | None = None, *, seconds: float = 30.0) -> Outcome:
        """Return where the device comes to after `phase`.

        That takes as long as until its reports are the `expected` ones and it has nothing left to do: what
        was interrupted may be tried again only after a while. Where they never are, the outcome tells.
        """

        def ended() -> bool:
            as_expected = expected is None or self._reports() == expected.reports
            return self.has_reported(phase) and as_expected and self.rig.is_idle()

        try:
            wait_until(ended, what="", seconds=seconds)
        except StartError:
            if not self.has_reported(phase):
                raise StartError(f"{phase} does not end:\n{self.rig.told}") from None
        return Outcome(
            reports=self._reports(),
            runs=self.rig.runs(),
            starts=self.rig.starts,
            remembered=self.rig.remembered(self._base),
        )

    def _reports(self) -> Mapping[str, Any]:
        return {each: self._report(each) for each in self.deployments}

    def _report(self, deployment_id: str) -> Any:
        report = self.server.statuses(deployment_id)[-1]
        return report | {"adoptedManifestVersion": report["adoptedManifestVersion"] - self._base}


class Cause:
    """Something that happens to an agent that is held at a point, and ends."""

    def __init__(self, field: Field) -> None:
        self.field = field

    @property
    def disk(self) -> CutFilesystem:
        """The filesystem of the agent's state."""
        assert self.field.disk is not None
        return self.field.disk

    def happen(self, held: int, is_over: Callable[[], bool]) -> None:
        """Happen to the process `held` and all others, and end; the agent does not run any more then.

        `is_over` tells that the agent has nothing left to do.
        """
        raise NotImplementedError


class Kill(Cause):
    """SIGKILL of watch and round."""

    def happen(self, held: int, is_over: Callable[[], bool]) -> None:
        self.field.rig.kill_all()


class PowerCut(Cause):
    """The same, and what was not synced is lost."""

    def happen(self, held: int, is_over: Callable[[], bool]) -> None:
        self.field.rig.kill_all()
        self.disk.cut_power()


class Trouble(Cause):
    """The agent goes on in a world that lacks something, until it has noticed; then it is stopped."""

    def happen(self, held: int, is_over: Callable[[], bool]) -> None:
        self.hinder(held, is_over)
        self.field.rig.stop()
        self.end()

    def hinder(self, held: int, is_over: Callable[[], bool]) -> None:
        """Begin, let the agent go on, and return when it has noticed."""
        rig = self.field.rig
        assert rig.process is not None
        watch, told = rig.process.pid, rig.log.stat().st_size
        self.begin()
        rig.go_on()

        def noticed() -> bool:
            if held != watch:
                return held not in rig.rounds()
            return is_over() or (rig.log.stat().st_size > told and rig.rounds() == [watch])

        wait_until(noticed, what=f"the agent goes on from the point; see {rig.log}", seconds=90)

    def begin(self) -> None:
        """Begin."""
        raise NotImplementedError

    def end(self) -> None:
        """End."""
        raise NotImplementedError


class DiskFull(Trouble):
    """No room is left where the state is."""

    def begin(self) -> None:
        self.disk.fill()

    def end(self) -> None:
        self.disk.free()


class EngineGone(Trouble):
    """No container engine answers."""

    def begin(self) -> None:
        self.field.rig.engine_gone()

    def end(self) -> None:
        self.field.rig.engine_back()


class NetworkGone(Trouble):
    """Fleet manager and registry cannot be reached."""

    def begin(self) -> None:
        for way in self.field.ways:
            way.gone()

    def end(self) -> None:
        for way in self.field.ways:
            way.back()


CAUSES: Mapping[str, type[Cause]] = {
    "kill": Kill,
    "power": PowerCut,
    "disk": DiskFull,
    "engine": EngineGone,
    "network": NetworkGone,
}
