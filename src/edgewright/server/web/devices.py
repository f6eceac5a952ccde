"""`/fleet` and `/devices`: all devices with their counts, one device with all that is known of it, policies.

A page shows what the operator API shows; what changes a device goes through the same functions.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.response import Redirect
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import DocumentError, EdgewrightError
from edgewright.protocol.outlook import coming, doubts
from edgewright.protocol.policy import MAX_BYTES, Layer, Policy, layered, leaves, parse_layer
from edgewright.protocol.policy_words import in_words
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.contact import Contact
from edgewright.server.domain.device_state import Word
from edgewright.server.domain.labels import check_labels
from edgewright.server.errors import Fault, InvalidError, NotFoundError
from edgewright.server.fleet import labels, membership, suggestions
from edgewright.server.listeners.guard import form_field
from edgewright.server.live.finding import EXPIRES_SOON_DAYS, Wanted, count, expires_soon
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.device_views import device_detail, device_entry, moment
from edgewright.server.operator_api.documents import DeploymentEntry, DeviceDetail
from edgewright.server.operator_api.external_documents import WebhookSecret
from edgewright.server.operator_api.paging import Page, page_of
from edgewright.server.operator_api.repositories import find_repository
from edgewright.server.operator_api.repository_documents import RepositorySecret
from edgewright.server.store import deployments, devices, rollouts, timeline
from edgewright.server.store import repositories as kept
from edgewright.server.store import suggestions as suggested
from edgewright.server.store.database import EVERYBODY
from edgewright.server.store.rollouts import OPEN_STATES
from edgewright.server.web.deployments import deployment_changes
from edgewright.server.web.device_words import capabilities, happened, policy_rows
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.words import word as shown_word

ROWS = 50
_FILTERS = ("state", "said", "contact", "selector", "application", "version", "q", "sort")
_MOST_CHARTED = 6
_EVENTS = 60
_NEXT = 3
_BETWEEN_LABELS = re.compile(r"[,\n]")


# --- the fleet -------------------------------------------------------------------------------------------


@get("/devices")
async def to_fleet() -> Redirect:
    """Lead to the list of devices."""
    return Redirect("/fleet", status_code=303)


@get("/fleet")
async def show_fleet(request: ServerRequest) -> Response[str]:
    """Show how many devices are how, and those that the filters let through."""
    return await _fleet(request)


@post("/fleet/labels", status_code=303)
async def label_found(request: ServerRequest) -> Response[Any]:
    """Give labels to all accepted devices that the filters on the page let through."""
    context = context_of(request)
    try:
        wanted, _ = _query(request)
        changes = _changes(await form_field(request, "labels") or "")
        if not changes:
            message = "expected labels such as site=berlin, line=4; !line takes one away"
            raise InvalidError("there is nothing to do", Fault(field="labels", message=message))
        found = [row.client_id for row in wanted.find(await context.rows()) if row.client.is_accepted]
        async with context.database.writing() as connection:
            changed = await labels.label_many(
                connection, found, changes, actor=operator_of(request), now=context.clock()
            )
    except InvalidError as error:
        return await _fleet(request, faults=error.faults, status=422)
    query = f"?{request.url.query}" if request.url.query else ""
    told = f"{changed} of {len(found)} devices have other labels now."
    return see_other(f"/fleet{query}", told)


async def _fleet(request: ServerRequest, *, faults: Sequence[Fault] = (), status: int = 200) -> Response[str]:
    context = context_of(request)
    now = context.clock()
    rows = await context.rows()
    async with context.database.reading() as connection:
        repositories = await kept.count(connection)
        wrong = await kept.count(connection, with_problem=True) if repositories else 0
    try:
        wanted, facet = _query(request)
        found = wanted.find(rows)
        listed = page_of(
            found, lambda row: row.client_id, limit=ROWS, after=request.query_params.get("after")
        )
    except InvalidError as error:
        faults, status = [*faults, *error.faults], 422
        wanted = facet = Wanted()
        found, listed = rows, page_of(rows, lambda row: row.client_id, limit=ROWS)
    counts = count(facet.find(rows) if facet != Wanted() else rows, now)
    given = {name: request.query_params.get(name, "") for name in _FILTERS}
    values = {
        "total": len(rows),
        "listed": Page(
            items=[device_entry(row) for row in listed.items], next=listed.next, total=listed.total
        ),
        "soon": {row.client_id for row in listed.items if expires_soon(row, now)},
        "counts": counts,
        "states": {word: counts.states[word] for word in Word if counts.states[word]},
        "said": {word: counts.said[word] for word in Word if counts.said[word]},
        "contacts": dict(sorted(counts.contacts.items(), key=lambda item: -item[1])),
        "applications": sorted(counts.applications.items(), key=lambda item: -sum(item[1].values()))[
            :_MOST_CHARTED
        ],
        "given": given,
        "is_filtered": any(value for name, value in given.items() if name != "sort"),
        "word_options": [(word, shown_word(word).text) for word in Word],
        "state_links": {word: _link(given, state=word) for word in Word},
        "said_links": {word: _link(given, said=word) for word in Word},
        "contact_links": {word: _link(given, contact=word) for word in Contact},
        "said_differs": counts.said
        != Counter({word: number for word, number in counts.states.items() if word in counts.said}),
        "chips": [
            ("All", _link(given, state=""), sum(counts.states.values()), not wanted.states),
            *(
                (
                    shown_word(word).text,
                    _link(given, state=word),
                    counts.states[word],
                    wanted.states == frozenset({word}),
                )
                for word in Word
                if counts.states[word] or word in wanted.states
            ),
        ],
        "query": f"?{request.url.query}" if request.url.query else "",
        "expires_soon_days": EXPIRES_SOON_DAYS,
        "repositories": repositories,
        "repositories_wrong": wrong,
        "faults": faults,
        "typed": await form_field(request, "labels") or "" if request.method == "POST" else "",
    }
    return page(request, "fleet.html", values, status=status)


def _link(given: Mapping[str, str], **changes: str) -> str:
    """Return the address of the list with some of its filters changed, from its first page on."""
    query = urlencode({name: value for name, value in {**given, **changes}.items() if value})
    return f"/fleet?{query}" if query else "/fleet"


def _query(request: ServerRequest) -> tuple[Wanted, Wanted]:
    """Return what is wanted, and the same whatever the state: what the counts of states are of."""
    given = {name: request.query_params.get(name) for name in _FILTERS}
    return Wanted.parse(**given), Wanted.parse(**{**given, "state": None, "sort": None})


# --- one device ------------------------------------------------------------------------------------------


@get("/devices/{client_id:str}")
async def show_device(request: ServerRequest, client_id: str) -> Response[str]:
    """Show one device."""
    return await device_page(request, client_id)


@post("/devices/{client_id:str}/labels", status_code=303)
async def change_labels(request: ServerRequest, client_id: str) -> Response[Any]:
    """Give a device exactly the labels in the form, beside those it reports itself."""
    context = context_of(request)
    typed = await form_field(request, "labels") or ""
    try:
        wished = {key: value for key, value in _changes(typed).items() if value is not None}
        async with context.database.writing() as connection:
            client = await membership.client_called(connection, client_id)
            changes: dict[str, str | None] = dict.fromkeys(labels.own_labels(client))
            await labels.set_labels(
                connection, client_id, changes | wished, actor=operator_of(request), now=context.clock()
            )
    except InvalidError as error:
        return await device_page(request, client_id, faults=error.faults, typed=typed, status=422)
    return see_other(f"/devices/{client_id}", "The labels are saved.")


@post("/devices/{client_id:str}/retire", status_code=303)
async def retire(request: ServerRequest, client_id: str) -> Response[Any]:
    """Take a device off the accepted list."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await membership.retire(connection, client_id, actor=operator_of(request), now=context.clock())
    return see_other(f"/devices/{client_id}", f"{client_id} is retired: its next request is refused.")


@post("/devices/{client_id:str}/accept", status_code=303)
async def accept(request: ServerRequest, client_id: str) -> Response[Any]:
    """Accept a retired device again."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await membership.client_called(connection, client_id)
        await membership.accept(connection, client_id, actor=operator_of(request), now=context.clock())
    return see_other(f"/devices/{client_id}", f"{client_id} is accepted again.")


async def device_page(
    request: ServerRequest,
    client_id: str,
    *,
    faults: Sequence[Fault] = (),
    typed: str | None = None,
    secret: RepositorySecret | None = None,
    webhook: WebhookSecret | None = None,
    status: int = 200,
) -> Response[str]:
    """Show all that is known of a device; `secret` and `webhook` were just made, and are shown this once."""
    context = context_of(request)
    async with context.database.reading() as connection:
        client = await membership.client_called(connection, client_id)
        reported = await devices.of_client(connection, client_id)
        device = await device_detail(connection, client, reported, context.heard)
        events = await _events(connection, device)
        differences = {entry.id: await _difference(connection, entry) for entry in device.deployments}
        under_way = await rollouts.every(connection, client_id=client_id, states=OPEN_STATES)
    own = "\n".join(f"{key}={value}" if value else key for key, value in device.own_labels.items())
    values = {
        "device": device,
        "rollouts": under_way,
        "events": events,
        "differences": differences,
        "capabilities": [capabilities(entry) for entry in device.devices],
        "policy": _policy_shown(device, context.clock()),
        "typed": own if typed is None else typed,
        "faults": faults,
        "expires_soon": expires_within(device, context.clock()),
        "repository": await find_repository(context, client_id),
        "hosts_repositories": context.git_url is not None,
        "is_rewritten": context.externals.is_rewritten(client_id),
        "secret": secret,
        "webhook": webhook,
    }
    return page(request, "device.html", values, status=status)


async def _difference(
    connection: AsyncConnection, entry: DeploymentEntry
) -> list[tuple[str, str | None, str | None]]:
    """Return what is wanted beside what the device's last report was about, where these are not the same."""
    current = entry.current
    if entry.deleted or current is None or current.adopted_manifest_version >= entry.manifest_version:
        return []
    revisions = await deployments.revisions(connection, entry.id)
    reported = next(
        (one for one in revisions if one.changed_version <= current.adopted_manifest_version), None
    )
    return deployment_changes(reported, revisions[0]) if reported and revisions else []


async def _events(connection: AsyncConnection, device: DeviceDetail) -> list[dict[str, Any]]:
    """Return what happened to a device, the newest first."""
    names = {entry.id: entry.name for entry in device.deployments}
    return happened(
        names,
        changes=await timeline.changes(connection, [device.client_id, *names], limit=_EVENTS),
        reports=await timeline.reports(connection, device.client_id, limit=_EVENTS),
        contacts=await timeline.contacts(connection, device.client_id, limit=_EVENTS),
        actions=device.site.audit if device.site else (),
        most=_EVENTS,
    )


def expires_within(device: DeviceDetail, now: datetime) -> bool:
    """Whether an accepted device's certificate ends soon, or has ended."""
    ends = device.svid_expires
    return device.admission == "accepted" and ends is not None and (ends - now).days < EXPIRES_SOON_DAYS


def _policy_shown(device: DeviceDetail, now: datetime) -> dict[str, Any] | None:
    """Return the policy in force on site: in words, line by line with who said it, and what comes next."""
    site = device.site
    if site is None or not site.policy:
        return None
    rows = policy_rows(leaves(site.policy), site.origins)
    try:
        policy = Policy.from_plain(site.policy)
    except EdgewrightError:
        # A device of another version, or gone wrong, says what this server cannot read: it is shown as it is.
        return {"words": (), "rows": rows, "next": {}}
    spans = {
        where: [_span(moment(begin), moment(end)) for begin, end in found]
        for where, found in coming(policy, now.timestamp(), _NEXT).items()
    }
    return {"words": in_words(policy), "rows": rows, "next": spans}


def _span(begin: datetime | None, end: datetime | None) -> str:
    """Return from when to when, in UTC; an end beyond the calendar is none."""
    begins = "now" if begin is None else f"{begin:%a %d %b %H:%M}"
    if end is None or begin is None:
        return f"{begins} without an end"
    ends = f"{end:%H:%M}" if begin.date() == end.date() else f"{end:%a %d %b %H:%M}"
    return f"{begins} to {ends} UTC"


# --- policies --------------------------------------------------------------------------------------------


@get("/policies")
async def show_policies(request: ServerRequest) -> Response[str]:
    """Show the policy suggested to all devices, and who has one of their own."""
    return await _policies(request)


@post("/policies", status_code=303)
async def suggest_to_all(request: ServerRequest) -> Response[Any]:
    """Suggest a policy to every device that has none of its own."""
    return await _suggest(request, None)


@post("/policies/withdraw", status_code=303)
async def withdraw_from_all(request: ServerRequest) -> Response[Any]:
    """Suggest nothing any more to those."""
    return await _withdraw(request, None)


@get("/devices/{client_id:str}/policy")
async def show_policy(request: ServerRequest, client_id: str) -> Response[str]:
    """Show the policy suggested to one device, beside the one in force on its site."""
    return await _policies(request, client_id)


@post("/devices/{client_id:str}/policy", status_code=303)
async def suggest_to_one(request: ServerRequest, client_id: str) -> Response[Any]:
    """Suggest a policy to one device."""
    return await _suggest(request, client_id)


@post("/devices/{client_id:str}/policy/withdraw", status_code=303)
async def withdraw_from_one(request: ServerRequest, client_id: str) -> Response[Any]:
    """Withdraw a device's own suggestion."""
    return await _withdraw(request, client_id)


async def _policies(
    request: ServerRequest,
    client_id: str | None = None,
    *,
    typed: str | None = None,
    faults: Sequence[Fault] = (),
    meaning: Mapping[str, Any] | None = None,
    status: int = 200,
) -> Response[str]:
    context = context_of(request)
    device = None
    async with context.database.reading() as connection:
        if client_id is not None:
            client = await membership.client_called(connection, client_id)
            device = await device_detail(
                connection, client, await devices.of_client(connection, client_id), context.heard
            )
        found = await suggested.get(connection, client_id or EVERYBODY)
        everybody = found if client_id is None else await suggested.get(connection, EVERYBODY)
        own = await suggested.owners(connection)
    shown = found or everybody
    values = {
        "device": device,
        "found": found,
        "everybody": everybody,
        "owners": own,
        "policy": None if device is None else _policy_shown(device, context.clock()),
        "typed": typed
        if typed is not None
        else ("" if shown is None else shown.body.decode("utf-8", "replace")),
        "faults": faults,
        "meaning": meaning,
        "action": "/policies" if client_id is None else f"/devices/{client_id}/policy",
    }
    return page(request, "policies.html", values, status=status)


async def _suggest(request: ServerRequest, client_id: str | None) -> Response[Any]:
    """Suggest what was typed, or only say what it means (`check`)."""
    context = context_of(request)
    typed = (await form_field(request, "policy") or "").replace("\r\n", "\n")
    body = typed.encode()
    try:
        if len(body) > MAX_BYTES:
            message = f"a policy has at most {MAX_BYTES // 1024} KiB"
            raise InvalidError("the policy is too long", Fault(field="policy", message=message))
        if await form_field(request, "check"):
            meaning = suggestion_in_words(body, context.clock())
            return await _policies(request, client_id, typed=typed, meaning=meaning)
        async with context.database.writing() as connection:
            await suggestions.suggest(
                connection, client_id, body, actor=operator_of(request), now=context.clock()
            )
    except InvalidError as error:
        return await _policies(request, client_id, typed=typed, faults=error.faults, status=422)
    except DocumentError as error:
        faults = [Fault(field="policy", message=_where(error))]
        return await _policies(request, client_id, typed=typed, faults=faults, status=422)
    whom = "all devices without one of their own" if client_id is None else client_id
    leads_to = "/policies" if client_id is None else f"/devices/{client_id}/policy"
    return see_other(leads_to, f"Suggested to {whom}. Each hears of it when it asks next.")


async def _withdraw(request: ServerRequest, client_id: str | None) -> Response[Any]:
    context = context_of(request)
    leads_to = "/policies" if client_id is None else f"/devices/{client_id}/policy"
    try:
        async with context.database.writing() as connection:
            await suggestions.withdraw(connection, client_id, actor=operator_of(request), now=context.clock())
    except NotFoundError:
        if client_id is not None:
            async with context.database.reading() as connection:
                await membership.client_called(connection, client_id)
        return see_other(leads_to, "It was withdrawn already.")
    return see_other(leads_to, "The suggestion is withdrawn.")


def suggestion_in_words(body: bytes, now: datetime) -> Mapping[str, Any]:
    """Return what a suggestion means where the site says nothing else; raises `DocumentError`."""
    layer = Layer(origin="suggested", plain=parse_layer(body, source="policy"))
    policy = layered([layer]).policy
    return {"words": in_words(policy), "doubts": doubts(policy, now.timestamp())}


def _where(error: DocumentError) -> str:
    """Return what is wrong with a typed policy, with the line and the member it is in."""
    line = error.source.partition(":")[2]
    member = error.path.removeprefix("$").lstrip(".")
    return ": ".join(part for part in (f"line {line}" if line else "", member, error.detail) if part)


def _changes(typed: str) -> dict[str, str | None]:
    """Read labels as people type them: `site=berlin, spare, !line`; raises `InvalidError`."""
    changes: dict[str, str | None] = {}
    for piece in _BETWEEN_LABELS.split(typed):
        text = piece.strip()
        if not text:
            continue
        key, _, value = (part.strip() for part in text.partition("="))
        if key.startswith("!"):
            changes[key[1:].strip()] = None
        else:
            changes[key] = value
    try:
        check_labels({key: value or "" for key, value in changes.items()})
    except InvalidError as error:
        told = [
            Fault(field="labels", message=f"{fault.field.removeprefix('labels.')}: {fault.message}")
            for fault in error.faults
        ]
        raise InvalidError(error.detail, *told) from error
    return changes


HANDLERS = [
    to_fleet,
    show_fleet,
    label_found,
    show_device,
    change_labels,
    retire,
    accept,
    show_policies,
    suggest_to_all,
    withdraw_from_all,
    show_policy,
    suggest_to_one,
    withdraw_from_one,
]
