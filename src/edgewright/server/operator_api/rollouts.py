"""`/rollouts`: how changed assignments reach their devices, and what people do about it."""

from collections.abc import Collection
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import QueryParameter

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.rollouts import RolloutState, StepState
from edgewright.server.fleet import rollouts as fleet
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.paging import (
    DEFAULT_LIMIT,
    Page,
    check_limit,
    make_cursor,
    page_of,
    read_cursor,
    read_number,
)
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.rollout_documents import (
    RolloutAction,
    RolloutDetail,
    RolloutDevicesAction,
    RolloutEntry,
    RolloutEventEntry,
    RolloutRetry,
    StepEntry,
)
from edgewright.server.operator_api.rollout_views import (
    event_entry,
    rollout_detail,
    rollout_entry,
    step_entry,
)
from edgewright.server.store import rollouts
from edgewright.server.store.rollouts import RolloutRecord


@get("/rollouts", summary="List rollouts")
async def list_rollouts(
    request: ServerRequest,
    *,
    assignment: Annotated[
        str | None, QueryParameter(description="only of the assignment of this name")
    ] = None,
    in_state: Annotated[
        RolloutState | None, QueryParameter(name="state", description="only in this state")
    ] = None,
    device: Annotated[str | None, QueryParameter(description="only with this device (client id)")] = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[RolloutEntry]:
    """Return rollouts, the newest first."""
    states = None if in_state is None else [in_state.value]
    async with context_of(request).database.reading() as connection:
        found = await rollouts.every(connection, assignment=assignment, states=states, client_id=device)
        page = page_of(found, lambda one: one.id, limit=limit, after=after)
        counts = await rollouts.counts(connection, [one.id for one in page.items])
    entries = [rollout_entry(one, counts[one.id]) for one in page.items]
    return Page(items=entries, next=page.next, total=page.total)


@get("/rollouts/{rollout_id:str}", summary="Show a rollout")
async def show_rollout(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """Return one rollout: where it stands, why it stands still if it does, and each batch's progress.

    The entity tag is of what people do to it, and not of what devices report.
    """
    context = context_of(request)
    async with context.database.reading() as connection:
        record = await fleet.rollout_called(connection, rollout_id)
        steps = await rollouts.steps_of(connection, rollout_id)
    return tagged(request, rollout_detail(record, steps, context.clock()), of=_changeable(record))


@get("/rollouts/{rollout_id:str}/steps", summary="List the devices of a rollout")
async def list_steps(
    request: ServerRequest,
    rollout_id: str,
    *,
    batch: Annotated[int | None, QueryParameter(description="only of this batch")] = None,
    in_state: Annotated[
        StepState | None, QueryParameter(name="state", description="only in this state")
    ] = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[StepEntry]:
    """Return the devices of a rollout by batch and client id; `q` is looked for in ids and messages."""
    check_limit(limit)
    last = None if after is None else read_cursor(after)
    async with context_of(request).database.reading() as connection:
        await fleet.rollout_called(connection, rollout_id)
        found, total = await rollouts.page_of_steps(
            connection,
            rollout_id,
            batch=batch,
            state=in_state,
            text=q or None,
            after=last,
            limit=limit + 1,
        )
    items = [step_entry(one) for one in found[:limit]]
    following = make_cursor(items[-1].device) if len(found) > limit else None
    return Page(items=items, next=following, total=total)


@get("/rollouts/{rollout_id:str}/events", summary="Show what happened in a rollout")
async def list_events(
    request: ServerRequest, rollout_id: str, *, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[RolloutEventEntry]:
    """Return what happened, the newest first."""
    check_limit(limit)
    before = None if after is None else read_number(after)
    async with context_of(request).database.reading() as connection:
        await fleet.rollout_called(connection, rollout_id)
        found = await rollouts.events(connection, rollout_id, before=before, limit=limit + 1)
        total = await rollouts.count_events(connection, rollout_id)
    items = [event_entry(one) for one in found[:limit]]
    following = make_cursor(str(items[-1].number)) if len(found) > limit else None
    return Page(items=items, next=following, total=total)


@post("/rollouts/{rollout_id:str}/pause", status_code=200, summary="Pause a rollout", body=RolloutAction)
async def pause_rollout(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """Begin with no further device until somebody resumes; devices under way go on."""
    asked = await read_json(request, RolloutAction)
    return await _act(request, rollout_id, "pause", reason=asked.reason)


@post("/rollouts/{rollout_id:str}/resume", status_code=200, summary="Resume a rollout", body=RolloutAction)
async def resume_rollout(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """Go on with one that is paused or stopped; failures so far are accepted by that."""
    asked = await read_json(request, RolloutAction)
    return await _act(request, rollout_id, "resume", reason=asked.reason)


@post(
    "/rollouts/{rollout_id:str}/proceed",
    status_code=200,
    summary="Go on to all devices",
    body=RolloutAction,
)
async def proceed_rollout(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """Go on to all devices at once, without batches and pauses; the disruption budget still holds."""
    asked = await read_json(request, RolloutAction)
    return await _act(request, rollout_id, "proceed", reason=asked.reason)


@post("/rollouts/{rollout_id:str}/cancel", status_code=200, summary="Cancel a rollout", body=RolloutAction)
async def cancel_rollout(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """End it for good; devices that have it, or are under way, keep it."""
    asked = await read_json(request, RolloutAction)
    return await _act(request, rollout_id, "cancel", reason=asked.reason)


@post(
    "/rollouts/{rollout_id:str}/skip",
    status_code=200,
    summary="Leave devices out of a rollout",
    body=RolloutDevicesAction,
)
async def skip_devices(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """Neither give it to these devices nor wait for them; who has been given it keeps it."""
    asked = await read_json(request, RolloutDevicesAction)
    return await _act(request, rollout_id, "skip", devices=asked.devices, reason=asked.reason)


@post(
    "/rollouts/{rollout_id:str}/retry",
    status_code=200,
    summary="Try failed devices again",
    body=RolloutRetry,
)
async def retry_devices(request: ServerRequest, rollout_id: str) -> Response[RolloutDetail]:
    """Have failed devices try it again as soon as the disruption budget lets them; a stopped one goes on."""
    asked = await read_json(request, RolloutRetry)
    return await _act(request, rollout_id, "retry", devices=asked.devices, reason=asked.reason)


HANDLERS = [
    list_rollouts,
    show_rollout,
    list_steps,
    list_events,
    pause_rollout,
    resume_rollout,
    proceed_rollout,
    cancel_rollout,
    skip_devices,
    retry_devices,
]


async def _act(
    request: ServerRequest,
    rollout_id: str,
    verb: str,
    *,
    devices: Collection[str] | None = None,
    reason: str,
) -> Response[RolloutDetail]:
    context = context_of(request)
    async with context.database.writing() as connection:
        expect(request, _changeable(await fleet.rollout_called(connection, rollout_id)))
        record = await fleet.act(
            connection,
            rollout_id,
            verb,
            devices=devices,
            reason=reason,
            actor=operator_of(request),
            now=context.clock(),
        )
        steps = await rollouts.steps_of(connection, rollout_id)
    return tagged(request, rollout_detail(record, steps, context.clock()), of=_changeable(record))


def _changeable(record: RolloutRecord) -> Any:
    return [record.id, record.serial]
