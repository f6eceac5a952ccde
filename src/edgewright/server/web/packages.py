"""`/packages`: the catalogue as people see it, and how packages get into it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from litestar import Response, get, post
from litestar.datastructures import UploadFile
from markupsafe import Markup

from edgewright.net.http import HttpError
from edgewright.net.oci import RegistryError
from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.errors import ArchiveError, DigestMismatchError, DocumentError, EdgewrightError
from edgewright.protocol.values import value_text
from edgewright.server.catalogue.resources import TEXT, media_type_of
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.versions import is_prerelease
from edgewright.server.errors import ConflictError, Fault, InvalidError
from edgewright.server.fleet import catalogue
from edgewright.server.fleet.suitability import Suited, suited_devices
from edgewright.server.listeners.guard import read_form
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.package_documents import ApplicationEntry
from edgewright.server.operator_api.package_views import (
    application_entries,
    described_package,
    withdrawn_since,
)
from edgewright.server.operator_api.packages import (
    MAX_PACKAGE_BYTES,
    add_import,
    add_upload,
    application_called,
    is_about,
    send_file,
)
from edgewright.server.operator_api.paging import page_of
from edgewright.server.operator_api.source_views import trouble_entries
from edgewright.server.store import packages, sources, usage
from edgewright.server.store.usage import Deployed
from edgewright.server.web import markdown
from edgewright.server.web.pages import page, see_other
from edgewright.server.web.requirements import in_words

CARDS = 60
ADD = "/add-packages"
# Room for what a form has beside the file.
MAX_UPLOAD_BYTES = MAX_PACKAGE_BYTES + 64 * 1024
_MOST_NAMED = 12


@get("/packages")
async def list_packages(
    request: ServerRequest, q: str = "", tag: str = "", after: str | None = None
) -> Response[Any]:
    """Show all applications as cards."""
    async with context_of(request).database.reading() as connection:
        entries = await application_entries(connection)
        troubles = await trouble_entries(connection)
        has_sources = bool(await sources.every(connection))
    text = q.strip()
    found = [one for one in entries if (not text or is_about(one, text)) and (not tag or tag in one.tags)]
    values = {
        "page": page_of(found, lambda one: one.id, limit=CARDS, after=after),
        "icons": {one.id: icon_url(one) for one in found},
        "q": text,
        "tag": tag,
        "tags": Counter(one for entry in entries for one in entry.tags).most_common(12),
        "is_empty": not entries,
        "has_sources": has_sources,
        "troubles": len(troubles),
        "add": ADD,
    }
    return page(request, "packages.html", values)


@get(ADD)
async def show_add(request: ServerRequest) -> Response[Any]:
    """Show the ways packages come in."""
    return _add_page(request)


@post(f"{ADD}/upload", status_code=200, request_max_body_size=MAX_UPLOAD_BYTES)
async def upload(request: ServerRequest) -> Response[Any]:
    """Take a package as a file."""
    form = await read_form(request)
    given = form.get("package")
    if not isinstance(given, UploadFile) or not given.filename:
        return _add_page(request, [Fault(field="package", message="choose a file first")])
    body = await given.read()
    try:
        record, is_new = await add_upload(request, body)
    except (DocumentError, ArchiveError, ConflictError) as error:
        return _add_page(request, _faults(error, "package"), refused=given.filename)
    return _arrived(record.application_id, record.version, record.name, is_new=is_new)


@post(f"{ADD}/import", status_code=200)
async def import_one(request: ServerRequest) -> Response[Any]:
    """Take a package from a registry, once."""
    form = await read_form(request)
    reference = str(form.get("reference") or "").strip()
    try:
        record, is_new = await add_import(request, reference)
    except InvalidError as error:
        return _add_page(request, error.faults, reference=reference)
    except (
        DocumentError,
        ArchiveError,
        ConflictError,
        DigestMismatchError,
        RegistryError,
        HttpError,
    ) as error:
        return _add_page(request, _faults(error, "reference"), reference=reference, refused=reference)
    return _arrived(record.application_id, record.version, record.name, is_new=is_new)


@get("/packages/{application_id:str}")
async def show_application(request: ServerRequest, application_id: str) -> Response[Any]:
    """Show one application: its versions, and where each runs."""
    context = context_of(request)
    async with context.database.reading() as connection:
        entry = await application_called(connection, application_id)
        records = {one.version: one for one in await packages.versions(connection, application_id)}
        offers = await sources.listings_of_packages(connection, application_id)
        deployed = await usage.versions(connection, application_id)
        assigned = await usage.assignments_using(connection, application_id)
    heard = context.heard
    rows = await context.overview.rows(heard.contacts, heard.now, heard.deaf)
    running = [
        (row.client_id, one) for row in rows for one in row.running if one.application == application_id
    ]
    versions = [
        {
            "record": records[version],
            "is_prerelease": is_prerelease(version),
            "withdrawn": withdrawn_since(one for one in offers if one.version == version),
            "devices": deployed.get(version, Deployed()).devices,
            "assignments": [name for _, used, name in assigned if used == version],
        }
        for version in entry.versions
    ]
    values = {
        "application": entry,
        "description": catalogue.description_of(records[entry.newest]),
        "icon": icon_url(entry),
        "versions": versions,
        "counts": Counter(one.truth.value for _, one in running),
        "running": running[:_MOST_NAMED],
        "total": len(running),
    }
    return page(request, "application.html", values)


@get("/packages/{application_id:str}/{version:str}")
async def show_version(request: ServerRequest, application_id: str, version: str) -> Response[Any]:
    """Show one version with all that its author says of it."""
    context = context_of(request)
    async with context.database.reading() as connection:
        record = await catalogue.package_called(connection, application_id, version)
        shown = await described_package(connection, record)
        others = await application_called(connection, application_id)
        description = catalogue.description_of(record)
        texts = {
            role: await packages.file(connection, application_id, version, path)
            for role, path in description.resources.items()
            if role != "icon"
        }
    icon = description.resources.get("icon")
    values = {
        "package": shown,
        "application": others,
        "description": description,
        "icon": None if icon is None else file_url(application_id, version, icon),
        "is_prerelease": is_prerelease(version),
        "about": _reading(description, "descriptionFile", texts),
        "notes": _reading(description, "releaseNotes", texts),
        "license": _reading(description, "licenseFile", texts),
        "links": _links(description),
        "profiles": [(one, in_words(one.device_constraints)) for one in description.deployment_profiles],
        "sections": _sections(description),
    }
    return page(request, "package.html", values)


@get("/packages/{application_id:str}/{version:str}/devices")
async def show_suited(request: ServerRequest, application_id: str, version: str) -> Response[Any]:
    """Show which devices a version fits and why it does not fit the others; a script gets only that part."""
    async with context_of(request).database.reading() as connection:
        record = await catalogue.package_called(connection, application_id, version)
        found = await suited_devices(connection, record)
    fitting = [one for one in found if one.profile is not None]
    values = {
        "package": record,
        "total": len(found),
        "fitting": fitting,
        "profiles": Counter(one.profile for one in fitting),
        "misfits": _grouped(one for one in found if one.profile is None),
        "most": _MOST_NAMED,
        "is_part": "hx-request" in request.headers,
    }
    template = "suited_devices.html" if values["is_part"] else "package_devices.html"
    return page(request, template, values)


@get("/packages/{application_id:str}/{version:str}/files/{path:path}")
async def get_file(request: ServerRequest, application_id: str, version: str, path: str) -> Response[Any]:
    """Hand out a file of a package."""
    return await send_file(request, application_id, version, path)


@post("/packages/{application_id:str}/{version:str}/remove", status_code=303)
async def remove(request: ServerRequest, application_id: str, version: str) -> Response[Any]:
    """Remove a version that nobody uses from the catalogue."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await catalogue.remove_package(
            connection, application_id, version, actor=operator_of(request), now=context.clock()
        )
        rest = await packages.versions(connection, application_id)
    leads_to = f"/packages/{quote(application_id)}" if rest else "/packages"
    return see_other(leads_to, f"{application_id} {version} is removed from the catalogue.")


HANDLERS = [
    list_packages,
    show_add,
    upload,
    import_one,
    show_application,
    show_version,
    show_suited,
    get_file,
    remove,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A text of a package: rendered, or as it is, or a file to download; a link where it is elsewhere."""

    html: Markup | None = None
    text: str | None = None
    download: str | None = None
    href: str | None = None


def file_url(application_id: str, version: str, path: str) -> str:
    """Return where a file of a package is to be had."""
    return f"/packages/{quote(application_id)}/{quote(version)}/files/{quote(path)}"


def icon_url(entry: ApplicationEntry) -> str | None:
    """Return where an application's icon is to be had, None for one without."""
    return None if entry.icon is None else file_url(entry.id, entry.newest, entry.icon)


def _add_page(
    request: ServerRequest, faults: Sequence[Fault] = (), *, reference: str = "", refused: str = ""
) -> Response[Any]:
    values = {
        "faults": list(faults),
        "reference": reference,
        "refused": refused,
        "most": MAX_PACKAGE_BYTES >> 20,
        "add": ADD,
    }
    return page(request, "add_packages.html", values, status=422 if faults else 200)


def _arrived(application_id: str, version: str, name: str, *, is_new: bool) -> Response[Any]:
    told = f"{name} {version} is in the catalogue." if is_new else f"{name} {version} was there already."
    return see_other(f"/packages/{quote(application_id)}/{quote(version)}", told)


def _faults(error: EdgewrightError, field: str) -> list[Fault]:
    """Return what was wrong with a package, each with its place in the description."""
    if isinstance(error, DocumentError):
        return [Fault(field=field, message=f"{path}: {text}") for path, text in error.problems]
    return [Fault(field=field, message=str(error))]


def _reading(
    description: ApplicationDescription, role: str, texts: Mapping[str, bytes | None]
) -> Reading | None:
    """Return how a text of the package is shown, None where the author gave none."""
    version = description.metadata.version
    path = description.resources.get(role)
    if path is None:
        return _elsewhere(description, role)
    data = texts.get(role)
    if data is None:
        return None
    url = file_url(description.id, version, path)
    media_type = media_type_of(path, data)
    if media_type != TEXT or len(data) > markdown.MAX_RENDERED:
        return Reading(download=url)
    text = data.decode()
    if not path.lower().endswith((".md", ".markdown")):
        return Reading(text=text, download=url)

    def image_url(source: str) -> str | None:
        # A package keeps no other image than its icon.
        is_ours = source.removeprefix("./") == description.resources.get("icon")
        return file_url(description.id, version, description.resources["icon"]) if is_ours else None

    return Reading(html=markdown.render(text, image_url), download=url)


def _elsewhere(description: ApplicationDescription, role: str) -> Reading | None:
    """Return the link where a text is not in the package but on the web."""
    entry = description.metadata.catalog.application
    named = (
        {
            "descriptionFile": entry.description_file,
            "releaseNotes": entry.release_notes,
            "licenseFile": entry.license_file,
        }[role]
        if entry
        else None
    )
    return Reading(href=named) if named is not None and _is_web(named) else None


def _links(description: ApplicationDescription) -> list[tuple[str, str]]:
    """Return text and address of the pages that the package names; others than of the web are left out."""
    catalog = description.metadata.catalog
    named = [(one.name, one.site) for one in catalog.organization]
    if catalog.application is not None:
        named.insert(0, ("Web site", catalog.application.site))
    return [(text, site) for text, site in named if site is not None and _is_web(site)]


def _is_web(address: str) -> bool:
    return address.startswith(("https://", "http://"))


def _sections(description: ApplicationDescription) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the parameters as the package groups them; those that no section shows come last."""
    shown: list[tuple[str, list[dict[str, Any]]]] = []
    seen: set[str] = set()
    for section in description.configuration.sections if description.configuration else ():
        rows = []
        for setting in section.settings:
            seen.add(setting.parameter)
            schema = next((one for one in description.schemas(setting.parameter)), None)
            rows.append(
                {
                    "title": setting.name,
                    "name": setting.parameter,
                    "text": setting.description,
                    "type": schema.data_type.value if schema else "",
                    "default": _default(description, setting.parameter),
                    "immutable": setting.immutable,
                }
            )
        shown.append((section.name, rows))
    rest = [
        {
            "title": name,
            "name": name,
            "text": None,
            "type": "",
            "default": _default(description, name),
            "immutable": False,
        }
        for name in description.parameters
        if name not in seen
    ]
    return [*shown, ("Others", rest)] if rest else shown


def _default(description: ApplicationDescription, name: str) -> str | None:
    value = description.parameters[name].value
    return None if value is None else value_text(value)


def _grouped(found: Any) -> list[tuple[tuple[tuple[str, str], ...], list[Suited]]]:
    """Return the devices that do not fit by why, the most frequent reasons first."""
    groups: dict[tuple[tuple[str, str], ...], list[Suited]] = {}
    for one in found:
        reasons = tuple((profile, text) for profile, texts in one.reasons.items() for text in texts)
        groups.setdefault(reasons, []).append(one)
    return sorted(groups.items(), key=lambda group: -len(group[1]))
