"""`/rollouts`: how changed assignments reach their devices: every batch, every device, and why it waits."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response, get, post

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.rollouts import ENDED, RolloutState, StepState
from edgewright.server.errors import ConflictError, InvalidError, NotFoundError
from edgewright.server.fleet import assignments
from edgewright.server.fleet import rollouts as fleet
from edgewright.server.listeners.guard import form_field
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.paging import Page, contains, make_cursor, page_of, read_number
from edgewright.server.operator_api.rollout_views import rollout_detail, rollout_entry
from edgewright.server.store import rollouts
from edgewright.server.store.rollouts import StepRecord
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.rollout_words import batches_shown, event_shown, step_word, strategy_words
from edgewright.server.web.words import Tone
from edgewright.server.web.words import word as shown_word

ROWS: Final = 50
_EVENTS: Final = 20
_FILTERS: Final = ("state", "assignment")
# A device that waits for its turn is not one that is waited for.
_STATES: Final = {StepState.WAITING: "planned"}
_TOLD: Final = {
    "pause": "Paused. Devices under way go on; no other begins.",
    "resume": "It goes on.",
    "proceed": "It goes on to all devices.",
    "cancel": "Cancelled. Devices that have it keep it.",
    "skip": "Left out.",
    "retry": "To be tried again.",
}


@get("/rollouts")
async def show_rollouts(request: ServerRequest) -> Response[str]:
    """Show all rollouts, the newest first."""
    given = {name: request.query_params.get(name, "") for name in _FILTERS}
    async with context_of(request).database.reading() as connection:
        every = await rollouts.every(connection, assignment=given["assignment"] or None)
        found = [one for one in every if given["state"] in {"", one.state}]
        listed = page_of(found, lambda one: one.id, limit=ROWS, after=request.query_params.get("after"))
        counts = await rollouts.counts(connection, [one.id for one in listed.items])
    entries = [rollout_entry(one, counts[one.id]) for one in listed.items]
    chips = [
        ("All", _address(given, state=""), len(every), not given["state"]),
        *(
            (shown_word(state).text, _address(given, state=state), number, given["state"] == state)
            for state in RolloutState
            if (number := sum(one.state == state for one in every)) or given["state"] == state
        ),
    ]
    values = {
        "listed": Page(items=entries, next=listed.next, total=listed.total),
        "bars": {one.id: _shares(counts[one.id]) for one in listed.items},
        "are_any": bool(every),
        "given": given,
        "chips": chips,
    }
    return page(request, "rollouts.html", values)


def _shares(counts: Mapping[StepState, int]) -> dict[str, int]:
    """Return how many devices are in which state, as it is shown; the best first."""
    order = sorted(StepState, key=lambda state: state is not StepState.DONE)
    return {_STATES.get(state, state.value): counts[state] for state in order if counts.get(state)}


def _address(given: dict[str, str], **changes: str) -> str:
    query = urlencode({name: value for name, value in {**given, **changes}.items() if value})
    return f"/rollouts?{query}" if query else "/rollouts"


@get("/rollouts/{rollout_id:str}")
async def show_rollout(request: ServerRequest, rollout_id: str) -> Response[str]:
    """Show one rollout."""
    context = context_of(request)
    async with context.database.reading() as connection:
        record = await fleet.rollout_called(connection, rollout_id)
        steps = await rollouts.steps_of(connection, rollout_id)
        events = await rollouts.events(connection, rollout_id, limit=_EVENTS + 1)
        newest = (await rollouts.of_assignment(connection, record.assignment_id))[0]
        back_to = await _back_to(connection, record) if newest.id == record.id else None
    value = record.value
    plain = [one.step for one in steps]
    states = Counter(step.state for step in plain)
    given = {name: request.query_params.get(name, "") for name in ("state", "q")}
    found = [one for one in steps if _is_wanted(one, given)]
    listed = page_of(found, lambda one: one.client_id, limit=ROWS, after=request.query_params.get("after"))
    values = {
        "rollout": rollout_detail(record, steps, context.clock()),
        "counts": dict(Counter(step_word(step) for step in plain).most_common()),
        "strategy": strategy_words(value.strategy, len(plain)),
        "batches": batches_shown(value, plain),
        "listed": listed,
        "given": given,
        "words": {one.client_id: step_word(one.step) for one in listed.items},
        "chips": _chips(rollout_id, states, given),
        "events": [event_shown(one) for one in events[:_EVENTS]],
        "has_more_events": len(events) > _EVENTS,
        "newest": newest if newest.id != record.id else None,
        "back_to": back_to,
        "is_open": value.state not in ENDED,
        "failures": states[StepState.FAILED],
    }
    return page(request, "rollout.html", values)


async def _back_to(connection: Any, record: Any) -> int | None:
    """Return the revision to go back to, None if there is none."""
    try:
        return await fleet.revision_before(connection, record)
    except ConflictError:
        return None


def _is_wanted(one: StepRecord, given: dict[str, str]) -> bool:
    if given["state"] and given["state"] != one.step.state:
        return False
    return not given["q"] or contains(given["q"], one.client_id, one.step.message)


def _chips(rollout_id: str, counts: Mapping[StepState, int], given: dict[str, str]) -> list[Any]:
    here = f"/rollouts/{rollout_id}"

    def address(state: str) -> str:
        query = urlencode({name: value for name, value in (("state", state), ("q", given["q"])) if value})
        return f"{here}?{query}#devices" if query else f"{here}#devices"

    found = [("All", address(""), sum(counts.values()), not given["state"])]
    for state in StepState:
        if counts.get(state) or given["state"] == state:
            text = shown_word(_STATES.get(state, state.value)).text
            found.append((text, address(state), counts.get(state, 0), given["state"] == state))
    return found


@get("/rollouts/{rollout_id:str}/events")
async def show_events(request: ServerRequest, rollout_id: str) -> Response[str]:
    """Show all that happened in a rollout."""
    after = request.query_params.get("after")
    before = None if after is None else read_number(after)
    async with context_of(request).database.reading() as connection:
        record = await fleet.rollout_called(connection, rollout_id)
        found = await rollouts.events(connection, rollout_id, before=before, limit=ROWS + 1)
        total = await rollouts.count_events(connection, rollout_id)
    items = found[:ROWS]
    following = make_cursor(str(items[-1].id)) if len(found) > ROWS else None
    values = {
        "rollout": record,
        "events": [event_shown(one) for one in items],
        "listed": Page(items=items, next=following, total=total),
    }
    return page(request, "rollout_events.html", values)


@post("/rollouts/{rollout_id:str}/revert", status_code=303)
async def revert(request: ServerRequest, rollout_id: str) -> Response[None]:
    """Give all devices back what they had before, at once."""
    context = context_of(request)
    try:
        async with context.database.reading() as connection:
            record = await fleet.rollout_called(connection, rollout_id)
            earlier = await fleet.revision_before(connection, record)
            prepared = await assignments.prepare_revert(connection, record.assignment, earlier)
        async with context.database.writing() as connection:
            await assignments.put(
                connection,
                prepared,
                strategy=record.value.strategy.in_haste(),
                actor=operator_of(request),
                now=context.clock(),
            )
    except (ConflictError, InvalidError) as error:
        return see_other(f"/rollouts/{rollout_id}", str(error), Tone.BAD)
    await context.settle()
    async with context.database.reading() as connection:
        newest = (await rollouts.of_assignment(connection, record.assignment_id))[0]
    told = f"{record.assignment} goes back to what revision {earlier} says."
    return see_other(f"/rollouts/{newest.id}", told)


@post("/rollouts/{rollout_id:str}/{verb:str}", status_code=303)
async def act(request: ServerRequest, rollout_id: str, verb: str) -> Response[None]:
    """Do what a person asks of a rollout."""
    if verb not in fleet.VERBS:
        raise NotFoundError("there is nothing at this address")
    context = context_of(request)
    device = await form_field(request, "device")
    try:
        async with context.database.writing() as connection:
            await fleet.act(
                connection,
                rollout_id,
                verb,
                devices=[device] if device else None,
                reason=(await form_field(request, "reason") or "").strip()[:500],
                actor=operator_of(request),
                now=context.clock(),
            )
    except (ConflictError, InvalidError) as error:
        return see_other(f"/rollouts/{rollout_id}", str(error), Tone.BAD)
    await context.settle()
    return see_other(f"/rollouts/{rollout_id}", f"{device}: {_TOLD[verb]}" if device else _TOLD[verb])


HANDLERS = [show_rollouts, show_rollout, show_events, revert, act]
