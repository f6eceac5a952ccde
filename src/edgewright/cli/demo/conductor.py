"""Carries the demo through: step by step, everything taken down at the end, whatever happened."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from edgewright.cli.boundary import describe
from edgewright.cli.demo.processes import tail
from edgewright.cli.demo.report import make_report
from edgewright.cli.demo.story import STEPS, Step, World
from edgewright.cli.errors import OutcomeError

CLEAN_UP = "clean up"


def conduct(
    engine: str, compose: str | None, *, plain: bool, pause: bool, story: Sequence[Step] = STEPS
) -> int:
    """Carry out `story`; return 0 when every step and the cleaning up ended well, else 1."""
    steps = [*story]
    if pause:
        steps.insert(-1, Step(title="look at it yourself", run=_pause))
    report = make_report([*(step.title for step in steps), CLEAN_UP], plain=plain)
    folder = Path(tempfile.mkdtemp(prefix="edgewright-demo-"))
    world = World(
        folder=folder, report=report, stack=ExitStack(), wanted_engine=engine, wanted_compose=compose
    )
    explanation = ""
    with _signals_as_interrupts(), report:
        try:
            explanation = _run_steps(steps, world)
        finally:
            complaint = _clean_up(world, len(steps))
    report.finish()
    if explanation or complaint:
        print("\n".join(filter(None, (explanation, complaint))), file=sys.stderr)
        return 1
    return 0


def _run_steps(steps: Sequence[Step], world: World) -> str:
    """Run `steps` until one fails; return what explains the failure, "" when none did."""
    for index, step in enumerate(steps):
        world.report.begin(index)
        try:
            seen = step.run(world)
        except Exception as error:
            message = describe(error)
            world.report.failed(message)
            return _explain(step, message, world)
        except KeyboardInterrupt:
            world.report.failed("interrupted")
            raise
        world.report.done(seen)
    return ""


def _explain(step: Step, message: str, world: World) -> str:
    """Return the failure with the ends of the logs that belong to it."""
    parts = [f"edgewright: error: {step.title}: {message}"]
    for name in step.logs:
        log = world.logs.get(name)
        if log is not None and log.exists():
            parts.append(f"\n--- the last lines of the {name}'s log ---\n{tail(log)}")
    return "\n".join(parts)


def _clean_up(world: World, index: int) -> str:
    """Take everything down, uninterrupted; return what could not be, "" when nothing is left."""
    with _uninterrupted():
        world.report.begin(index)
        complaints = [
            complaint
            for complaint in (_attempt(world.stack.close), _attempt(lambda: shutil.rmtree(world.folder)))
            if complaint
        ]
        if complaints:
            world.report.failed(complaints[0])
            return "\n".join(f"edgewright: error: {CLEAN_UP}: {complaint}" for complaint in complaints)
        world.report.done("everything stopped, nothing left behind")
        return ""


def _attempt(action: Callable[[], None]) -> str:
    """Carry out `action`; return what kept it from ending well, whatever: the next one has its turn."""
    try:
        action()
    except Exception as error:
        return describe(error)
    return ""


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does: with everything taken down."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let nobody interrupt the cleaning up: it is short, and half of it would leave things behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _pause(world: World) -> str:
    """Wait for a key, so that the page can be opened in a browser."""
    if not sys.stdin.isatty():
        raise OutcomeError("--pause needs a terminal")
    url = f"http://127.0.0.1:{world.port}/"
    world.report.command(f"open {url} - Enter goes on")
    sys.stdin.readline()
    return f"{url} was open"
