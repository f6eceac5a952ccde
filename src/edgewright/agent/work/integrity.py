"""Whether what this device holds is still what it was: documents, projects and images, byte by byte.

What is damaged is told, and with `mend` dropped and fetched anew. A round looks cheaply every time whether
everything is there, and reads all of it once a day while it has nothing else to do: a damaged layer shall be
found before a restart needs it. A person does the same with `agent verify` (`verify.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgewright.agent import log
from edgewright.agent.paths import Paths
from edgewright.agent.runtimes import Component, ComponentError, EngineError, Runtime
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import Revision
from edgewright.agent.state.store import STATE, Store
from edgewright.agent.work.desired import Host, components_of, load_kept
from edgewright.agent.work.tools import Tools

DAY_SECONDS = 86400.0
TRY_AGAIN_SECONDS = 300.0
_CHECKED = "integrity.checked"
_MISSING = "integrity.missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is damaged: which `part` of the agent's state, its `name`, and what is wrong.

    `outcome` says what became of it, "" while nothing was tried; `mended` whether that was of use.
    """

    part: str
    name: str
    problem: str
    outcome: str = ""
    mended: bool = False


Held = Sequence[tuple[Runtime, Component]]
"""Every component this device has to be able to start, with its runtime."""


def load_held(
    revisions: Sequence[Revision],
    objects: Objects,
    host: Host,
    *,
    runtimes: Mapping[str, Runtime],
    paths: Paths,
    telemetry: Mapping[str, str],
) -> Held:
    """Return the components of all revisions that came up whole once and whose documents can be read."""
    good = [each for each in revisions if each.verified]
    found: list[tuple[Runtime, Component]] = []
    for each in load_kept(good, (), objects, host).values():
        runtime = runtimes.get(each.document.spec.deployment_profile.type) if each.document else None
        if runtime is not None:
            found += [(runtime, component) for component in components_of(each, paths, telemetry)]
    return found


def look_after(
    tools: Tools, objects: Objects, host: Host, store: Store, *, now: float, idle: bool
) -> float | None:
    """Do the `upkeep` of all that is held."""
    held = load_held(
        tools.ledger.revisions(),
        objects,
        host,
        runtimes=tools.runtimes,
        paths=tools.paths,
        telemetry=tools.telemetry,
    )
    return upkeep(held, store, now=now, idle=idle)


def upkeep(components: Held, store: Store, *, now: float, idle: bool) -> float | None:
    """Bring back what is missing, and once a day, when `idle`, what is damaged; return when to look again.

    `now` is unix seconds.
    """
    try:
        missing = [(runtime, each) for runtime, each in components if not runtime.is_ready(each)]
        if missing:
            return _bring_back(missing, store)
        _tell(store, "")
        checked = float(store.meta(_CHECKED) or now)
        if idle and not 0 <= now - checked < DAY_SECONDS:
            store.set_meta(_CHECKED, str(now))
            return _mend_all(components, store)
        if store.meta(_CHECKED) is None:
            store.set_meta(_CHECKED, str(now))  # what has just been fetched was checked on the way
    except EngineError:
        return None  # whoever needs the engine waits for it already
    except ComponentError as error:
        log.warning(f"what is on this device cannot be checked: {error}")
        return TRY_AGAIN_SECONDS
    return None


def _bring_back(missing: Held, store: Store) -> float | None:
    names = ", ".join(f"{each.name} ({each.revision[:19]})" for _, each in missing)
    _tell(store, f"files or images are missing or damaged, fetching them again: {names}")
    for runtime, component in missing:
        try:
            runtime.fetch(component)
        except ComponentError as error:
            log.warning(f"what is missing cannot be fetched now: {error}")
            return TRY_AGAIN_SECONDS
    return None


def _tell(store: Store, problem: str) -> None:
    """Say and record what is missing once, not in every round until it is back."""
    if (store.meta(_MISSING) or "") != problem:
        with store.transaction():
            store.set_meta(_MISSING, problem)
            if problem:
                store.record(STATE, problem)
        if problem:
            log.warning(problem)


def _mend_all(components: Held, store: Store) -> float | None:
    found = list(check_components(components, mend=True))
    for each in found:
        message = f"{each.name}: {each.problem}; {each.outcome}"
        log.warning(message)
        store.record(STATE, message)
    # What was mended may have lost its containers.
    return 0.0 if any(each.mended for each in found) else None


def check_components(components: Held, *, mend: bool) -> Iterator[Finding]:
    """Read all of `components` and yield what is damaged; with `mend` it is dropped and fetched anew."""
    for runtime in {id(runtime): runtime for runtime, _ in components}.values():
        theirs = [component for other, component in components if other is runtime]
        mended: dict[tuple[str, str], str] = {}
        for damage in runtime.check(theirs):
            component = damage.component
            key = component.revision, component.name
            if mend and key not in mended:
                mended[key] = _mend(runtime, component)
            yield Finding(
                part="component",
                name=f"{component.name} of {component.deployment_id} ({component.revision[:19]})",
                problem=damage.what,
                outcome="" if not mend else mended[key] or "fetched again",
                mended=mend and not mended[key],
            )


def _mend(runtime: Runtime, component: Component) -> str:
    """Replace what is damaged of `component`; return why that cannot be done now, "" when it is done."""
    try:
        runtime.mend(component)
        runtime.fetch(component)
    except ComponentError as error:
        return str(error)
    return ""
