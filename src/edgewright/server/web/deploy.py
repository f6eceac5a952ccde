"""`/deploy`: choose, fill in, look at what would happen, and let it happen.

The form is answered at `POST /deploy` with a `step`: `edit` shows it again, `preview` shows what it would do,
`confirm` does it. `POST /deploy/check` is the same judgement as one types. All that is typed travels with the
page: two people, or one with two windows, do not disturb each other.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.assignments import AssignmentSpec, parse_spec
from edgewright.server.domain.rendering import MAX_NAME, check_name
from edgewright.server.domain.roles import Role
from edgewright.server.domain.strategies import Candidate, Strategy, in_batches
from edgewright.server.domain.versions import newest_first
from edgewright.server.errors import ConflictError, Fault, InvalidError
from edgewright.server.fleet import assignments as fleet
from edgewright.server.fleet import deploying
from edgewright.server.fleet.assignments import Prepared
from edgewright.server.fleet.catalogue import description_of
from edgewright.server.fleet.deploying import Note
from edgewright.server.fleet.placing import Action, Plan, Planned
from edgewright.server.listeners import guard
from edgewright.server.live.overview import Row
from edgewright.server.operator_api.access import operator_of
from edgewright.server.store import assignments, packages
from edgewright.server.store.packages import PackageRecord
from edgewright.server.web import deploy_single
from edgewright.server.web.deploy_form import (
    Typed,
    TypedLayer,
    called,
    fields_of,
    named_in,
    plain_of,
    read_form,
    sections_of,
    spec_from,
    texts_of,
    typed_from,
)
from edgewright.server.web.pages import page, see_other

# So many devices are shown to be ticked; more are written down.
MOST_TICKED = 50
MOST_SHOWN = 100
_MOST_LAYERS = 60
_MOST_LABELS = 200
_MOST_REASON = 500


@get("/deploy", role=Role.OPERATOR)
async def show_form(
    request: ServerRequest,
    *,
    application: str = "",
    version: str = "",
    device: str = "",
    selector: str = "",
    assignment: str = "",
    deployment: str = "",
) -> Response[Any]:
    """Show the form, with as much filled in as there is only one way to fill it in."""
    async with context_of(request).database.reading() as connection:
        if deployment:
            typed = await deploy_single.typed_of(connection, deployment)
            typed.version = version or typed.version
            return await _form(request, connection, typed)
        if assignment:
            record = await fleet.assignment_named(connection, assignment)
            typed = typed_from(record.application_id, await fleet.present_spec(connection, record))
            typed = replace(typed, assignment=record.name, name=record.name, seen=str(record.revision))
            if version:
                typed.version = version
            return await _form(request, connection, typed)
        known = await packages.every(connection)
        found = {one.application_id for one in known}
        application = application or (next(iter(found)) if len(found) == 1 else "")
        if application not in found:
            return page(request, "deploy_choose.html", {"packages": _newest(known), "device": device})
        typed = Typed(application=application, version=version)
        if device:
            typed.devices = [device]
        if selector:
            typed.where, typed.selector = "selector", selector
        if not device and not selector:
            rows = [row for row in await context_of(request).rows() if row.client.is_accepted]
            if len(rows) == 1:
                typed.devices = [rows[0].client_id]
        return await _form(request, connection, typed)


@post("/deploy", status_code=200, role=Role.OPERATOR)
async def answer_form(request: ServerRequest) -> Response[Any]:
    """Show the form again, or what it would do, or do it."""
    form = await guard.read_form(request)
    step = str(form.get("step") or "preview")
    if step == "confirm":
        return await _confirm(request, form)
    if step == "back":
        async with context_of(request).database.reading() as connection:
            return await _form(request, connection, await _kept(connection, form))
    typed = read_form(form)
    context = context_of(request)
    if step != "preview":
        _change_layers(typed, step)
        async with context.database.reading() as connection:
            return await _form(request, connection, typed)
    async with context.database.reading() as connection:
        prepared, faults = await _prepare(connection, typed)
        if prepared is None or faults:
            return await _form(request, connection, typed, faults, status=422)
    return show_preview(request, prepared, deployment=typed.deployment, seen=typed.seen)


@post("/deploy/check", status_code=200, role=Role.OPERATOR)
async def check_form(request: ServerRequest) -> Response[Any]:
    """Say beside the form, while somebody types, what it would do and what is wrong with it."""
    form = await guard.read_form(request)
    typed = read_form(form)
    async with context_of(request).database.reading() as connection:
        package = await packages.get(connection, typed.application, typed.version)
        prepared, faults = await _prepare(connection, typed)
    places = {}
    if package is not None:
        shown = sections_of(description_of(package), typed.profile)
        places = {
            f"v.{layer.key}.{asked.parameter}": f"c-{layer.key}-{asked.index}"
            for layer in typed.layers
            for section in shown
            for asked in section.fields
            if asked.parameter in layer.texts
        }
    return page(
        request,
        "deploy_check.html",
        {"plan": prepared.plan if prepared else None, "faults": faults, "places": places},
    )


async def _confirm(request: ServerRequest, form: Any) -> Response[Any]:
    """Do what the preview showed."""
    context = context_of(request)
    if form.get("deployment"):
        return await _confirm_single(request, form)
    name, application = str(form.get("name") or ""), str(form.get("application") or "")
    spec = _spec_in(form)
    reason = str(form.get("reason") or "").strip()[:_MOST_REASON]
    async with context.database.reading() as connection:
        prepared = await fleet.prepare(connection, name, application, spec, reason=reason)
    present = "" if prepared.record is None else str(prepared.record.revision)
    if present != str(form.get("seen") or ""):
        raise ConflictError(
            f"the assignment '{name}' was changed by somebody else while you looked; look at it again first"
        )
    async with context.database.writing() as connection:
        await fleet.put(connection, prepared, actor=operator_of(request), now=context.clock())
    await context.settle()
    counts = prepared.plan.counts
    concerned = counts[Action.CREATE] + counts[Action.CHANGE] + counts[Action.REMOVE]
    if not prepared.is_change:
        told = f"Nothing changed: {name} said this already."
    elif not concerned:
        told = f"{name} is saved. No device has to change now."
    else:
        told = f"{name} is on its way to {concerned} {'device' if concerned == 1 else 'devices'}."
    return see_other(f"/assignments/{quote(name)}", told)


async def _confirm_single(request: ServerRequest, form: Any) -> Response[Any]:
    """Do what the preview of a change of a single deployment showed."""
    context = context_of(request)
    deployment_id = str(form.get("deployment"))
    note = Note(
        actor=operator_of(request),
        now=context.clock(),
        reason=str(form.get("reason") or "").strip()[:_MOST_REASON],
    )
    async with context.database.writing() as connection:
        has_changed = await deploy_single.confirm(
            connection, deployment_id, _spec_in(form), seen=str(form.get("seen") or ""), note=note
        )
        record = await deploying.deployment_called(connection, deployment_id)
    await context.settle()
    told = f"The change of {record.name} is on its way to {record.client_id}."
    return see_other(
        f"/deployments/{record.id}",
        told if has_changed else f"Nothing changed: {record.name} was so already.",
    )


async def _prepare(connection: AsyncConnection, typed: Typed) -> tuple[Prepared | None, list[Fault]]:
    """Return what the form would do, and all that is wrong with it, by form field."""
    package = await packages.get(connection, typed.application, typed.version)
    if package is None:
        message = f"{typed.application} {typed.version} is not here any more; choose another version"
        return None, [Fault(field="version", message=message)]
    spec, faults = spec_from(typed, description_of(package))
    if typed.deployment:
        return await _prepare_single(connection, typed, spec, faults)
    name = await _name(connection, typed)
    try:
        check_name(name)
        taken = None if typed.assignment else await assignments.named(connection, name)
        if taken is not None:
            message = f"there is an assignment '{name}' already; change that one, or choose another name"
            faults.append(Fault(field="name", message=message))
        if spec is None:
            return None, faults
        Strategy.from_plain(dict(spec.strategy))
        if taken is not None:
            return None, faults
        return await fleet.prepare(connection, name, typed.application, spec), faults
    except InvalidError as error:
        known = {fault.field for fault in faults}
        more = [one for one in fields_of(typed, error.faults) if one.field not in known]
        return None, [*faults, *more]


async def _prepare_single(
    connection: AsyncConnection, typed: Typed, spec: AssignmentSpec | None, faults: list[Fault]
) -> tuple[Prepared | None, list[Fault]]:
    """Return the same for a single deployment, in the words of an assignment to its device alone."""
    if spec is None:
        return None, faults
    try:
        change = await deploy_single.prepare(connection, typed.deployment, spec)
    except InvalidError as error:
        known = {fault.field for fault in faults}
        return None, [*faults, *(one for one in fields_of(typed, error.faults) if one.field not in known)]
    prepared = Prepared(
        name=change.old.name,
        application_id=change.old.application_id,
        record=None,
        spec=spec,
        text="",
        before=None,
        plan=deploy_single.plan_of(change),
        reason="",
    )
    return prepared, faults


async def _name(connection: AsyncConnection, typed: Typed) -> str:
    """Return the assignment's name: as typed, else the application's, with a number if that is taken."""
    if typed.assignment or typed.name:
        return typed.assignment or typed.name
    stem = typed.application[: MAX_NAME - 5].strip("-") or "app"
    number = 1
    while await assignments.named(connection, stem if number == 1 else f"{stem}-{number}") is not None:
        number += 1
    return stem if number == 1 else f"{stem}-{number}"


async def _form(
    request: ServerRequest,
    connection: AsyncConnection,
    typed: Typed,
    faults: Sequence[Fault] = (),
    *,
    status: int = 200,
) -> Response[Any]:
    known = [one for one in await packages.every(connection) if one.application_id == typed.application]
    if not known:
        raise InvalidError(
            "there is nothing to deploy",
            Fault(field="application", message=f"no package '{typed.application}' is known"),
        )
    versions = [one.version for one in _ordered(known)]
    if typed.version not in versions:
        if typed.version:
            faults = [
                *faults,
                Fault(field="version", message=f"{typed.version} is not here; this is {versions[0]}"),
            ]
        typed.version = versions[0]
    package = next(one for one in known if one.version == typed.version)
    description = description_of(package)
    if typed.profile and description.profile(typed.profile) is None:
        message = f"{typed.version} has no profile {typed.profile}; choose another, or the first that fits"
        if all(fault.field != "profile" for fault in faults):
            faults = [*faults, Fault(field="profile", message=message)]
        typed.profile = ""
    rows = [row for row in await context_of(request).rows() if row.client.is_accepted]
    sections = sections_of(description, typed.profile)
    gone = sorted(
        {name for layer in typed.layers for name in (*layer.texts, *layer.empty)}
        - set(description.parameters)
    )
    return page(
        request,
        "deploy.html",
        {
            "typed": typed,
            "package": package,
            "description": description,
            "versions": versions,
            "profiles": named_in(description.deployment_profiles),
            "sections": sections,
            "called": called(typed, sections),
            "faults": list(faults),
            "rows": rows if len(rows) <= MOST_TICKED else [],
            "fleet": len(rows),
            "known_devices": [row.client_id for row in rows[:1000]],
            "labels": _labels(rows),
            "name": await _name(connection, typed),
            "gone": gone,
        },
        status=status,
    )


def show_preview(
    request: ServerRequest, prepared: Prepared, *, deployment: str = "", seen: str = ""
) -> Response[Any]:
    """Show what a change would do, with the button that does it.

    `deployment` is the id of a single deployment that is changed, of which the revision `seen` was looked at.
    """
    plan = prepared.plan
    strategy = Strategy.from_plain(dict(prepared.spec.strategy))
    concerned = plan.of(Action.CREATE, Action.CHANGE, Action.REMOVE)
    batches = in_batches(
        strategy, [Candidate(client_id=one.client_id, labels=one.labels) for one in concerned]
    )
    return page(
        request,
        "deploy_preview.html",
        {
            "prepared": prepared,
            "plan": plan,
            "counts": {
                "does-not-fit" if action is Action.MISFIT else action.value: count
                for action, count in plan.counts.items()
                if count
            },
            "shown": [
                (action, [_shown(plan, one) for one in found[:MOST_SHOWN]], len(found))
                for action in (Action.REMOVE, Action.CHANGE, Action.CREATE, Action.MISFIT, Action.UNCHANGED)
                if (found := plan.of(action))
            ],
            "components": _components(plan),
            "batches": [len(batch) for batch in batches],
            "strategy": strategy.to_plain(),
            "concerned": len(concerned),
            "spec": json.dumps(plain_of(prepared.spec), sort_keys=True),
            "revision": seen if prepared.record is None else str(prepared.record.revision),
            "deployment": deployment,
        },
    )


def _shown(plan: Plan, one: Planned) -> dict[str, Any]:
    """Return what a row of the preview shows."""
    return {
        "device": one.client_id,
        "device_id": one.after.device_id if one.after else None,
        "version_before": one.before.version if one.before else None,
        "version_after": plan.package.version if one.after and plan.package else None,
        "profile_before": one.before.profile_id if one.before else None,
        "profile_after": one.after.profile_id if one.after else None,
        "changes": []
        if one.action in {Action.MISFIT, Action.REMOVE}
        else [
            {
                "name": change.name,
                "before": None if change.before is None else ", ".join(texts_of(change.before)),
                "after": None if change.after is None else ", ".join(texts_of(change.after)),
                "origin": origin_in_words(change.origin.kind, change.origin.name) if change.origin else "",
            }
            for change in one.parameter_changes()
        ],
        "reasons": [fault.message for fault in one.misfit.reasons] if one.misfit else [],
    }


def origin_in_words(kind: str, name: str) -> str:
    """Return where a value comes from."""
    return {
        "package": "from the package",
        "all": "for all devices",
        "group": f"for {name}",
        "device": "for this device",
        "installed": "cannot change after installation",
    }[kind]


def _components(plan: Plan) -> list[tuple[str, str, str]]:
    """Return profile, component and revision of what is installed, for the profiles that are used."""
    if plan.package is None:
        return []
    used = {one.after.profile_id for one in plan.devices if one.after}
    return [
        (profile.id, component.name, component.properties.revision)
        for profile in description_of(plan.package).deployment_profiles
        if profile.id in used
        for component in profile.components
    ]


async def _kept(connection: AsyncConnection, form: Any) -> Typed:
    """Return the form as it was before the preview."""
    if form.get("deployment"):
        record = await deploying.changeable(connection, str(form.get("deployment")))
        return deploy_single.typed_for(record, _spec_in(form), seen=str(form.get("seen") or ""))
    typed = typed_from(str(form.get("application") or ""), _spec_in(form))
    seen = str(form.get("seen") or "")
    name = str(form.get("name") or "")
    return replace(typed, name=name, seen=seen, assignment=name if seen else "")


def _spec_in(form: Any) -> AssignmentSpec:
    """Return what the preview was about; raises `InvalidError` for what no page of ours sends."""
    try:
        return parse_spec(msgspec.json.decode(str(form.get("spec") or "{}")))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidError("the form is damaged", Fault(field="spec", message=str(error))) from error


def _change_layers(typed: Typed, step: str) -> None:
    """Add or take away values for a group or a device, as `add-group`, `add-device` or `drop-g0` says."""
    added = {"add-group": ("g", typed.groups), "add-device": ("d", typed.singles)}.get(step)
    if added is not None and len(typed.layers) <= _MOST_LAYERS:
        letter, layers = added
        numbers = [int(one.key[1:]) for one in layers if one.key[1:].isdecimal()]
        layers.append(TypedLayer(f"{letter}{max(numbers, default=-1) + 1}"))
    if step.startswith("drop-"):
        key = step.removeprefix("drop-")
        typed.groups = [one for one in typed.groups if one.key != key]
        typed.singles = [one for one in typed.singles if one.key != key]


def _ordered(known: Sequence[PackageRecord]) -> list[PackageRecord]:
    """Return the versions of one application, the newest first."""
    return newest_first(known, lambda one: one.version)


def _newest(known: Sequence[PackageRecord]) -> list[dict[str, Any]]:
    by_application: dict[str, list[PackageRecord]] = {}
    for one in known:
        by_application.setdefault(one.application_id, []).append(one)
    shown = []
    for found in by_application.values():
        newest = _ordered(found)[0]
        about = description_of(newest).metadata
        entry = about.catalog.application
        shown.append(
            {
                "id": newest.application_id,
                "name": newest.name,
                "version": newest.version,
                "versions": len(found),
                "tagline": (entry.tagline if entry else None) or about.description or "",
            }
        )
    return sorted(shown, key=lambda one: str(one["name"]).casefold())


def _labels(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """Return the most frequent labels as selectors, each with how many devices have it."""
    counted = Counter(
        f"{key}={value}" for row in rows for key, value in row.labels.items() if value and len(value) < 60
    )
    return sorted(counted.most_common(_MOST_LABELS))


HANDLERS = [show_form, answer_form, check_form]
