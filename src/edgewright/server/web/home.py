"""`/`: the way from an empty server to a running application, and once that was gone, the fleet."""

from typing import Any

from litestar import Response, get
from litestar.response import Redirect

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.roles import Role
from edgewright.server.operator_api.access import actor_of
from edgewright.server.store import firsts
from edgewright.server.store.firsts import Firsts
from edgewright.server.web.pages import page


@get("/")
async def home(request: ServerRequest) -> Response[Any]:
    """Show the first steps while one of them is left to do."""
    context = context_of(request)
    async with context.database.reading() as connection:
        present = await firsts.load(connection, now=context.clock())
    if present.are_done:
        return Redirect("/fleet", status_code=303)
    return page(
        request,
        "first_steps.html",
        {
            "steps": steps(present, is_viewer=not actor_of(request).role.covers(Role.OPERATOR)),
            "done": _count(present),
        },
    )


def steps(present: Firsts, *, is_viewer: bool) -> list[dict[str, str]]:
    """Return the steps as `ui.steps` shows them: the first that is left is the one to do now.

    Who may only look is led nowhere.
    """
    waits = f"Waiting for {present.invited} to use its invitation." if present.invited else ""
    label = "See the invitation" if waits else "Add a device"
    if present.asking:
        who = "One device asks" if present.asking == 1 else f"{present.asking} devices ask"
        waits = f"{who} to be let in, and somebody has to compare fingerprints."
        label = "See who asks"
    all_of_them = [
        (
            present.has_device,
            {
                "title": "Add a device",
                "text": waits
                or "Invite it here or let it ask, with one command on the device. Its key never leaves it.",
                "href": "/enrollments",
                "label": label,
            },
        ),
        (
            present.has_package,
            {
                "title": "Add packages",
                "text": "An application comes as a package: from a registry, a folder, or as a file.",
                "href": "/packages",
                "label": "Add packages",
            },
        ),
        (
            present.has_deployment,
            {
                "title": "Deploy an application",
                "text": "Choose a package and a device, fill in its form, and watch it arrive.",
                "href": "/deploy",
                "label": "Deploy",
            },
        ),
    ]
    shown: list[dict[str, str]] = []
    is_next = True
    for is_done, step in all_of_them:
        if is_done:
            shown.append({"title": step["title"], "state": "done"})
            continue
        shown.append({**step, "state": "now" if is_next else "later"})
        is_next = False
        if is_viewer:
            del shown[-1]["href"]
    return shown


def _count(present: Firsts) -> int:
    return present.has_device + present.has_package + present.has_deployment


HANDLERS = [home]
