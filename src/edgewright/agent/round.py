"""The round: one pass from what is on disk to what shall run, and then it ends.

    recover → introduce → policy → accept → desired → observe → plan → hold
        → fetch, apply, verify → roll back → tidy → upkeep → site report

It is crash-only. Everything is read from disk, the runtime is observed afresh, each step that matters is one
durable write, and being killed anywhere is a normal event: the next round goes on from there.

    python -I -m edgewright.agent.round --state DIR [--config FILE] [--policy FILE] [--report-fd N] [--retry]

Exit codes: 0 done (whatever became of the deployments), 1 the disk or the state gave way, 2 the settings or
the identity cannot be used, 75 another round is at work.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgewright.agent import log
from edgewright.agent.backoff import jitter
from edgewright.agent.clock import SYSTEM, announce, assess
from edgewright.agent.consent.approvals import Approvals
from edgewright.agent.consent.durations import Durations
from edgewright.agent.consent.file_drop import FileDrop
from edgewright.agent.consent.gate import Gate
from edgewright.agent.consent.report import queue_site_report
from edgewright.agent.consent.safekeeping import save_word
from edgewright.agent.failpoints import hit
from edgewright.agent.paths import Paths
from edgewright.agent.resident.rounds import BUSY
from edgewright.agent.runtimes import Runtime
from edgewright.agent.settings import Settings
from edgewright.agent.site.compiled import keep_timetable
from edgewright.agent.site.in_force import Site, take_in
from edgewright.agent.sources.documents import Documents, TransportDocuments
from edgewright.agent.state import reserve
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.locks import AlreadyRunningError, lock
from edgewright.agent.state.markers import save_markers
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.outbox import CAPABILITIES, Outbox
from edgewright.agent.state.owner import restore_owner
from edgewright.agent.state.retention import sweep
from edgewright.agent.state.store import Store, StoreFullError, is_damage
from edgewright.agent.talk.answers import pause_after
from edgewright.agent.talk.manners import QuietError
from edgewright.agent.talk.session import Session
from edgewright.agent.work.accept import accept, fetch_documents
from edgewright.agent.work.bring_about import ENGINE_SECONDS, Wanted, bring_about
from edgewright.agent.work.capabilities import describe, read_machine
from edgewright.agent.work.desired import Host, load_desired
from edgewright.agent.work.engines import event_sources, find_runtimes, profiles_at_hand
from edgewright.agent.work.integrity import look_after
from edgewright.agent.work.recovery import recover
from edgewright.agent.work.tools import Tools
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.manifest import StateManifest
from edgewright.protocol.media_types import capabilities_path
from edgewright.protocol.zones import zone_of

_SETTLING = 5  # how often a policy is waited for that somebody goes on writing
LOST_SECONDS = 60.0  # how often to ask for a lost document: maybe for months, and by a whole round each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Everything a round works with.

    `notify` is called whenever there is something to post, `hours_known` once the timetable says what the
    policy does. `clock` tells unix seconds, `monotonic` seconds that nobody sets. `policy` is where the
    site's policy is; None is the usual place.
    """

    paths: Paths
    settings: Settings
    store: Store
    session: Session
    runtimes: Mapping[str, Runtime]
    notify: Callable[[], None]
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    policy: str | None = None
    hours_known: Callable[[], None] = lambda: None
    sleep: Callable[[float], None] = time.sleep

    @property
    def device_id(self) -> str:
        """The id this device reports."""
        return self.settings.device_id or self.session.identity.device_id

    @property
    def documents(self) -> Documents:
        """Where documents come from."""
        return TransportDocuments(self.session, self.store, self.paths)


def reconcile(device: Device, *, retry_failed: bool = False) -> float | None:
    """Do one round; return in how many seconds another is needed, None when nothing is left to try."""
    store, objects = device.store, Objects(device.paths.objects)
    outbox = Outbox(store)
    ledger = Ledger(store, outbox, device_id=device.device_id, notify=device.notify, clock=device.clock)
    hit("round.begun")
    recover(device.paths, store, ledger, device.session)
    host = introduce(device, outbox)
    hit("round.introduced")

    site = first_word(device)
    keep_timetable(store, site.policy, device.clock())
    device.hours_known()
    drop = file_drop(device, site)
    delays = [site.again, drop.take_in(device.clock()), accept_received(device, objects)]
    manifest = accepted_manifest(store)
    if manifest is not None:
        delays.append(complete(device, objects, manifest))
        durations = Durations(store, clock=device.clock, monotonic=device.monotonic)
        gate = Gate(store, site, clock=device.clock, durations=durations)
        tools = Tools(
            runtimes=device.runtimes,
            ledger=ledger,
            paths=device.paths,
            telemetry=device.settings.telemetry_environment,
            keep=site.policy.rollback.keep,
            gate=gate,
            durations=durations,
        )
        wanted = Wanted(
            version=manifest.manifest_version,
            desired=load_desired(manifest, objects, host),
            automatic=site.policy.rollback.automatic,
            repairs=site.policy.repair == "automatic",
        )
        delays += bring_about(wanted, tools, objects, host, clock=device.clock, retry_all=retry_failed)
        if store.received() is None:  # else what was fetched for it so far need not come again
            sweep(device.paths, objects, [each.digest for each in manifest.deployments], ledger.revisions())
        save_markers(device.paths, objects, ledger.revisions())
        delays.append(look_after(tools, objects, host, store, now=device.clock(), idle=not any(delays)))
        delays.append(gate.finish())
    drop.put_out()
    save_word(device.paths.site_word, store, device.session.identity.relation)
    if queue_site_report(device.device_id, site, store, outbox):
        device.notify()
    reserve.keep_back(device.paths.root)
    hit("round.done")
    if not profiles_at_hand(device.runtimes):
        delays.append(ENGINE_SECONDS)
    return min((delay for delay in delays if delay is not None), default=None)


def first_word(device: Device) -> Site:
    """Return what is in force. A first policy that has just been written is waited for.

    Until it counts nobody knows when there may be contact, and the first word would be one too much.
    """
    site = take_in(device.store, device.policy, now=device.clock())
    for _ in range(_SETTLING):
        if site.is_known or site.again is None:
            break
        device.sleep(site.again)
        site = take_in(device.store, device.policy, now=device.clock())
    return site


def introduce(device: Device, outbox: Outbox) -> Host:
    """Queue the capabilities if they are not what was reported last (spec: CAP-2, CAP-3).

    Deployments are judged by what the machine could host, also while its engine is not up yet.
    """
    machine = read_machine(device.paths.root)
    wanted, at_hand = tuple(device.runtimes), profiles_at_hand(device.runtimes)
    of = device.settings.capabilities
    reported = describe(machine, of, device_id=device.device_id, profiles=at_hand)
    path = capabilities_path(device.device_id)
    if outbox.queue(CAPABILITIES, "PUT", path, reported.render()):
        device.notify()
    possible = describe(machine, of, device_id=device.device_id, profiles=wanted)
    return Host(device_id=device.device_id, capabilities=possible, profiles=wanted)


def file_drop(device: Device, site: Site) -> FileDrop:
    """Return where approvals are asked for and answered by files."""
    return FileDrop(
        path=device.settings.drop.directory or device.paths.drop,
        store=device.store,
        approvals=Approvals(device.store, device.clock),
        device_id=device.device_id,
        zone=zone_of(site.policy.time_zone),
        group=device.settings.drop.group,
    )


def accept_received(device: Device, objects: Objects) -> float | None:
    """Judge what the watch received; return when to try again what could not be fetched."""
    error = accept(device.store, objects, device.documents)
    received = device.store.received()
    if error is None or received is None:
        return None
    if isinstance(error, QuietError):
        return error.seconds
    return pause_after(error, received.failures, jitter())


def accepted_manifest(store: Store) -> StateManifest | None:
    """Return the manifest this device follows; None before the first one, when nothing may be touched."""
    accepted = store.accepted()
    return None if accepted is None else StateManifest.parse(accepted.body, source="accepted manifest")


def complete(device: Device, objects: Objects, manifest: StateManifest) -> float | None:
    """Fetch documents of the accepted manifest that a damaged disk has lost; return when to try again."""
    try:
        fetch_documents(device.documents, objects, manifest)
    except QuietError as error:
        return error.seconds
    except EdgewrightError as error:
        log.warning(f"a document of the accepted manifest is lost and cannot be fetched: {error}")
        return max(pause_after(error, 1, jitter()), LOST_SECONDS)
    return None


def main(arguments: Sequence[str], runtimes: Mapping[str, Runtime] | None = None) -> int:
    """Run one round as a process of its own; `runtimes` replaces those found on the machine."""
    options = _options(arguments)
    paths = Paths(options.state)
    say = _speaker(options.report_fd)
    try:
        settings = Settings.load(options.config)
        paths.make()
        held = lock(paths.round_lock)
    except AlreadyRunningError:
        return BUSY
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    except OSError as error:
        log.error(f"{paths.root}: {error}")
        return 1
    try:
        again = run_once(paths, settings, runtimes, say, policy=options.policy, retry_failed=options.retry)
    except EdgewrightError as error:
        log.error(str(error))
        return 2
    except (OSError, sqlite3.Error) as error:
        log.error(f"{paths.root}: {error}")
        return 1
    finally:
        os.close(held)
    if again is not None:
        say(f"again {again + 0.001:.3f}")  # what is rounded off must not let it come before its time
    return 0


def run_once(
    paths: Paths,
    settings: Settings,
    runtimes: Mapping[str, Runtime] | None,
    say: Callable[[str], None],
    *,
    policy: str | None = None,
    retry_failed: bool = False,
) -> float | None:
    """Open everything, do one round, close everything; returns and raises what `reconcile` does.

    `say` is told what the watch has to know (`Watch._hear`). On a full disk the room kept back for that is
    given up, and the round begun once more.
    """

    def once() -> float | None:
        return _run_once(paths, settings, runtimes, say, policy=policy, retry_failed=retry_failed)

    try:
        return once()
    except (StoreFullError, OSError, sqlite3.Error) as error:
        is_full = isinstance(error, StoreFullError) or reserve.says_full(error, paths.root)
        if not (is_full and reserve.give_up(paths.root)):
            raise
    return once()


def _run_once(
    paths: Paths,
    settings: Settings,
    runtimes: Mapping[str, Runtime] | None,
    say: Callable[[str], None],
    *,
    policy: str | None,
    retry_failed: bool,
) -> float | None:
    store = Store(paths.database)
    session = Session.polite(paths, store)
    try:
        restore_owner(paths, store)
        announce(store, assess(store, SYSTEM))  # it may be somebody's command, with no watch that looks
        device = Device(
            paths=paths,
            settings=settings,
            store=store,
            session=session,
            runtimes=find_runtimes(settings, paths) if runtimes is None else runtimes,
            notify=lambda: say("outbox"),
            hours_known=lambda: say("timetable"),
            policy=policy,
        )
        for each in event_sources(device.runtimes):
            say(f"engine {json.dumps(each)}")
        return reconcile(device, retry_failed=retry_failed)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            store.give_up(error)
        raise
    finally:
        session.close()
        store.close()


def _speaker(descriptor: int | None) -> Callable[[str], None]:
    """Return what tells the watch something; a watch that is gone, or none at all, is not told."""
    if descriptor is None:
        return lambda _: None
    os.set_inheritable(descriptor, False)

    def say(line: str) -> None:
        with suppress(BrokenPipeError):
            os.write(descriptor, line.encode("ascii") + b"\n")

    return say


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edgewright.agent.round")
    parser.add_argument("--state", required=True)
    parser.add_argument("--config")
    parser.add_argument("--policy")
    parser.add_argument("--report-fd", type=int)
    parser.add_argument("--retry", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
