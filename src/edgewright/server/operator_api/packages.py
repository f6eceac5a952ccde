"""`/packages`: application packages, uploaded or imported from a registry."""

import asyncio
from typing import Any

from litestar import Response, delete, get, post
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.oci import OciReference
from edgewright.server.catalogue.imports import import_package
from edgewright.server.catalogue.resources import UNKNOWN, file_answer
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.packages import Package, read_package
from edgewright.server.errors import Fault, InvalidError, NotFoundError
from edgewright.server.fleet import catalogue
from edgewright.server.fleet.suitability import suited_devices
from edgewright.server.listeners.bodies import read_body
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import PackageDetail, PackageEntry, PackageImport
from edgewright.server.operator_api.etags import expect, tagged
from edgewright.server.operator_api.package_documents import (
    ApplicationEntry,
    DescribedPackage,
    SuitedDevice,
)
from edgewright.server.operator_api.package_views import (
    application_entries,
    described_package,
    show_suited,
)
from edgewright.server.operator_api.paging import DEFAULT_LIMIT, Page, contains, page_of
from edgewright.server.operator_api.queries import After, Limit, Search
from edgewright.server.operator_api.requests import read_json
from edgewright.server.operator_api.schema import GZIP
from edgewright.server.operator_api.views import package_detail, package_entry
from edgewright.server.store import packages
from edgewright.server.store.packages import PackageRecord

MAX_PACKAGE_BYTES = 32 * 1024 * 1024


@get("/packages", summary="List packages")
async def list_packages(
    request: ServerRequest,
    *,
    application: str | None = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[PackageEntry]:
    """Return packages by application, in the order they were imported.

    `application` is an id; `q` is looked for in ids and names.
    """
    async with context_of(request).database.reading() as connection:
        known = await packages.every(connection)
    found = [
        package_entry(record)
        for record in known
        if (application is None or record.application_id == application)
        and (q is None or contains(q, record.application_id, record.name))
    ]
    return page_of(found, lambda one: f"{one.id} {one.version}", limit=limit, after=after)


@get("/packages/{application_id:str}/{version:str}", summary="Show a package")
async def show_package(
    request: ServerRequest, application_id: str, version: str
) -> Response[DescribedPackage]:
    """Return one package with its description as the author wrote it, where it is on offer, and its users."""
    async with context_of(request).database.reading() as connection:
        record = await catalogue.package_called(connection, application_id, version)
        return tagged(request, await described_package(connection, record), of=record.digest)


@get(
    "/packages/{application_id:str}/{version:str}/files/{path:path}",
    summary="Get a file of a package",
    media_type=UNKNOWN,
)
async def get_file(request: ServerRequest, application_id: str, version: str, path: str) -> Response[Any]:
    """Return a file that came with a package, by its path."""
    return await send_file(request, application_id, version, path)


@get("/packages/{application_id:str}/{version:str}/devices", summary="List devices that a package fits")
async def list_suited_devices(
    request: ServerRequest,
    application_id: str,
    version: str,
    *,
    fits: bool | None = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[SuitedDevice]:
    """Return for every device that hosts workloads whether the package fits it, and why not.

    `fits` leaves out those that do not, or that do.
    """
    async with context_of(request).database.reading() as connection:
        record = await catalogue.package_called(connection, application_id, version)
        found = await suited_devices(connection, record)
    entries = [show_suited(one) for one in found if fits is None or fits is (one.profile is not None)]
    return page_of(entries, lambda one: f"{one.client_id} {one.device_id}", limit=limit, after=after)


@get("/applications", summary="List applications")
async def list_applications(
    request: ServerRequest, q: Search = None, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[ApplicationEntry]:
    """Return all applications by name; `q` is looked for in ids, names, taglines, tags and organisations."""
    async with context_of(request).database.reading() as connection:
        entries = await application_entries(connection)
    found = [one for one in entries if q is None or is_about(one, q)]
    return page_of(found, lambda one: one.id, limit=limit, after=after)


@get("/applications/{application_id:str}", summary="Show an application")
async def show_application(request: ServerRequest, application_id: str) -> ApplicationEntry:
    """Return one application with its versions, the newest first, and who has it."""
    async with context_of(request).database.reading() as connection:
        return await application_called(connection, application_id)


async def application_called(connection: AsyncConnection, application_id: str) -> ApplicationEntry:
    """Return one application; raises `NotFoundError`."""
    for entry in await application_entries(connection):
        if entry.id == application_id:
            return entry
    raise NotFoundError(f"no application {application_id} is known")


def is_about(entry: ApplicationEntry, text: str) -> bool:
    """Whether an application has a text in what it says of itself."""
    return contains(text, entry.id, entry.name, entry.tagline or "", *entry.tags, *entry.organizations)


async def send_file(request: ServerRequest, application_id: str, version: str, path: str) -> Response[Any]:
    """Return a file of a package, in a form in which it can do no harm."""
    async with context_of(request).database.reading() as connection:
        await catalogue.package_called(connection, application_id, version)
        data = await packages.file(connection, application_id, version, path.lstrip("/"))
    if data is None:
        raise NotFoundError(f"{application_id} {version} has no file {path.lstrip('/')}")
    return file_answer(request, path, data)


@post("/packages", status_code=200, summary="Upload a package", body=GZIP, creates=True, dry_run=True)
async def upload_package(request: ServerRequest) -> Response[PackageDetail]:
    """Take the gzip tar or the zip of a package folder: `201`, or `200` if the very same is here already."""
    body = await read_body(request, limit=MAX_PACKAGE_BYTES)
    return await _add(request, await _read(body), source="upload")


@post(
    "/packages/import",
    status_code=200,
    summary="Import a package from a registry",
    body=PackageImport,
    creates=True,
    answers={502: "The registry does not answer"},
    dry_run=True,
)
async def import_from_registry(request: ServerRequest) -> Response[PackageDetail]:
    """Fetch a package from an OCI registry: `201`, or `200` if the very same one is here already."""
    asked = await read_json(request, PackageImport)
    reference = _reference(asked.reference)
    package = await asyncio.to_thread(import_package, reference, context_of(request).registries)
    return await _add(request, package, source=str(reference))


@delete(
    "/packages/{application_id:str}/{version:str}", status_code=204, summary="Remove a package", dry_run=True
)
async def delete_package(request: ServerRequest, application_id: str, version: str) -> None:
    """Forget a package that no deployment wants."""
    context = context_of(request)
    async with context.database.writing() as connection:
        record = await catalogue.package_called(connection, application_id, version)
        expect(request, record.digest)
        await catalogue.remove_package(
            connection, application_id, version, actor=operator_of(request), now=context.clock()
        )


async def add_upload(request: ServerRequest, body: bytes) -> tuple[PackageRecord, bool]:
    """Keep an uploaded package; return its record and whether it is new."""
    return await _keep(request, await _read(body), source="upload")


async def add_import(request: ServerRequest, text: str) -> tuple[PackageRecord, bool]:
    """Import a package from where `text` says; return its record and whether it is new."""
    reference = _reference(text)
    package = await asyncio.to_thread(import_package, reference, context_of(request).registries)
    return await _keep(request, package, source=str(reference))


async def _read(body: bytes) -> Package:
    return await asyncio.to_thread(read_package, body)


def _reference(text: str) -> OciReference:
    try:
        reference = OciReference.parse(text)
        _ = reference.target
    except EdgewrightError as error:
        fault = Fault(field="reference", message=str(error))
        raise InvalidError("the package cannot be imported", fault) from error
    return reference


async def _keep(request: ServerRequest, package: Package, *, source: str) -> tuple[PackageRecord, bool]:
    context = context_of(request)
    async with context.database.writing() as connection:
        return await catalogue.add_package(
            connection, package, source=source, actor=operator_of(request), now=context.clock()
        )


async def _add(request: ServerRequest, package: Package, *, source: str) -> Response[PackageDetail]:
    context = context_of(request)
    async with context.database.writing() as connection:
        record, is_new = await catalogue.add_package(
            connection, package, source=source, actor=operator_of(request), now=context.clock()
        )
        detail = await _detail(connection, record)
    return Response(content=detail, status_code=201 if is_new else 200)


async def _detail(connection: AsyncConnection, record: PackageRecord) -> PackageDetail:
    files = await packages.file_names(connection, record.application_id, record.version)
    return package_detail(record, files)
