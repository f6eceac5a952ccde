"""Rollouts in words and pictures for people: strategies as sentences, batches as cells, events on a line."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgewright.server.domain.labels import Selector
from edgewright.server.domain.rollouts import Obstacle, Rollout, RolloutState, Step, StepState
from edgewright.server.domain.strategies import Batch, OnError, PauseAfter, Strategy, Then
from edgewright.server.store.rollouts import EventRecord
from edgewright.server.web.words import Tone

# A batch of more devices is shown as shares; one cell for each would be no picture any more.
MOST_CELLS: Final = 200
# So many batches before and behind the present one are shown by themselves.
_BEFORE, _BEHIND = 4, 6
# What a device is shown as that is held up by something other than the application.
_OBSTACLES: Final = {
    Obstacle.SILENT: "silent",
    Obstacle.PLANNED_SILENCE: "planned-silence",
    Obstacle.APPROVAL: "waiting-for-approval",
    Obstacle.HELD: "held",
}
_EVENTS: Final = {
    "started": ("play", Tone.BUSY),
    "batch": ("check", Tone.GOOD),
    "paused": ("circle-pause", Tone.WAIT),
    "stopped": ("circle-stop", Tone.BAD),
    "done": ("circle-check", Tone.GOOD),
    "superseded": ("skip-forward", Tone.QUIET),
    "not-reverted": ("triangle-alert", Tone.BAD),
    "device-failed": ("circle-x", Tone.BAD),
    "device-late": ("hourglass", Tone.WAIT),
    "device-skipped": ("skip-forward", Tone.QUIET),
    "pause": ("circle-pause", Tone.WAIT),
    "resume": ("play", Tone.BUSY),
    "proceed": ("skip-forward", Tone.BUSY),
    "cancel": ("ban", Tone.QUIET),
    "skip": ("skip-forward", Tone.QUIET),
    "retry": ("refresh-cw", Tone.BUSY),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShown:
    """One batch, or several that are told together, as a picture.

    `cells` are (client id, state word, what is known), empty where there are too many; `counts` by state
    word. `place` is `past`, `present` or `future`.
    """

    title: str
    place: str
    counts: dict[str, int]
    cells: tuple[tuple[str, str, str], ...]


def step_word(step: Step) -> str:
    """Return as what a device of a rollout is shown."""
    if step.state in {StepState.WAITING, StepState.BEGUN} and step.obstacle is not Obstacle.NONE:
        return _OBSTACLES[step.obstacle]
    return "planned" if step.state is StepState.WAITING else step.state.value


def batches_shown(rollout: Rollout, steps: Sequence[Step]) -> list[BatchShown]:
    """Return the batches in order; those far from the present one are told together."""
    by_batch: dict[int, list[Step]] = {}
    for step in steps:
        by_batch.setdefault(step.batch, []).append(step)
    numbers = sorted(number for number in by_batch if number > 0)
    far_before = [number for number in numbers if number < rollout.batch - _BEFORE]
    far_behind = [number for number in numbers if number > rollout.batch + _BEHIND]
    near = [number for number in numbers if number not in {*far_before, *far_behind}]
    shown = []
    if far_before:
        shown.append(_together(far_before, by_batch, "past"))
    shown += [_batch(f"Batch {number}", by_batch[number], _place(rollout, number)) for number in near]
    if far_behind:
        shown.append(_together(far_behind, by_batch, "future"))
    if by_batch.get(0):
        shown.append(_batch("Cannot have it", by_batch[0], "past"))
    return shown


def _together(numbers: Sequence[int], by_batch: dict[int, list[Step]], place: str) -> BatchShown:
    if len(numbers) == 1:
        return _batch(f"Batch {numbers[0]}", by_batch[numbers[0]], place)
    steps = [step for number in numbers for step in by_batch[number]]
    return _batch(f"Batches {numbers[0]} to {numbers[-1]}", steps, place)


def _place(rollout: Rollout, number: int) -> str:
    has_ended = rollout.state is RolloutState.DONE
    if number < rollout.batch or has_ended:
        return "past"
    return "present" if number == rollout.batch else "future"


def _batch(title: str, steps: Sequence[Step], place: str) -> BatchShown:
    words = [step_word(step) for step in steps]
    cells: tuple[tuple[str, str, str], ...] = ()
    if len(steps) <= MOST_CELLS:
        cells = tuple((step.client_id, word, step.message) for step, word in zip(steps, words, strict=True))
    return BatchShown(title=title, place=place, counts=dict(Counter(words).most_common()), cells=cells)


def strategy_words(strategy: Strategy, total: int) -> list[tuple[str, str]]:
    """Return what a strategy means, as names and values."""
    batches = [_batch_words(batch, total) for batch in strategy.batches]
    rest = "then the rest at once" if batches else "all at once"
    if strategy.batches and not isinstance(strategy.batches[-1], Selector):
        rest = "and so on"
    first = [] if strategy.canary is None else [f"{_batch_words(strategy.canary, total)} as canary"]
    found = [("Batches", "; ".join([*first, *batches, rest]))]
    found += _care(strategy, total)
    absent = {
        Then.GO_ON: "goes on without them",
        Then.WAIT: "stands still until they are there",
        Then.FAIL: "counts them as failed",
    }
    patience = "" if strategy.absent is Then.WAIT else f" after {strategy.patience}"
    found.append(("Absent or held devices", f"{absent[strategy.absent]}{patience}"))
    return found


def _care(strategy: Strategy, total: int) -> list[tuple[str, str]]:
    found = []
    match strategy.pause_after:
        case PauseAfter.FIRST:
            found.append(("Asks a person", "after the first batch"))
        case PauseAfter.EVERY:
            found.append(("Asks a person", "after every batch"))
        case tuple() as numbers:
            found.append(("Asks a person", f"after batch {', '.join(map(str, numbers))}"))
    if strategy.soak is not None:
        found.append(("Stays well for", f"{strategy.soak} before the next batch"))
    if strategy.disruption_budget is not None:
        found.append(("Disruption budget", f"{strategy.budget(total)} under way or failed at once"))
    if strategy.on_error is OnError.CONTINUE:
        found.append(("Failures", "do not stop it"))
    else:
        most = "" if strategy.max_failures is None else f", or more than {strategy.max_failures} in all"
        then = "goes back to the revision before" if strategy.on_error is OnError.REVERT else "stops"
        below = f"less than {strategy.success_threshold} % of a batch do well"
        found.append(("Failures", f"{then} if {below}{most}"))
    found.append(("A device may take", str(strategy.timeout)))
    return found


def _batch_words(batch: Batch, total: int) -> str:
    if isinstance(batch, Selector):
        return f"those with {batch.text}" if batch.text else "all"
    if batch.is_percent:
        return f"{batch} ({batch.of(total)})" if total else str(batch)
    return str(batch)


def event_shown(event: EventRecord) -> dict[str, Any]:
    """Return an event for the timeline."""
    icon, tone = _EVENTS.get(event.what, ("circle-dot", Tone.QUIET))
    who = "" if event.actor == "server" else event.actor
    return {"at": event.at, "title": event.message, "who": who, "icon": icon, "tone": tone}
