"""`/packages`: application packages, uploaded or imported from a registry."""

import asyncio

from litestar import Response, delete, get, post
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.oci import OciReference
from edgewright.server.bodies import read_body
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.packages import Package, read_package
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import catalogue
from edgewright.server.imports import import_package
from edgewright.server.operator_api.access import operator_of
from edgewright.server.operator_api.documents import PackageDetail, PackageEntry, PackageImport
from edgewright.server.operator_api.etags import expect, tagged
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
async def show_package(request: ServerRequest, application_id: str, version: str) -> Response[PackageDetail]:
    """Return one package with its description as the author wrote it."""
    async with context_of(request).database.reading() as connection:
        record = await catalogue.package_called(connection, application_id, version)
        return tagged(request, await _detail(connection, record), of=record.digest)


@post("/packages", status_code=200, summary="Upload a package", body=GZIP, creates=True, dry_run=True)
async def upload_package(request: ServerRequest) -> Response[PackageDetail]:
    """Take the gzip tar of a package folder: `201`, or `200` if the very same one is here already."""
    body = await read_body(request, limit=MAX_PACKAGE_BYTES)
    package = await asyncio.to_thread(read_package, body)
    return await _add(request, package, source="upload")


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
    try:
        reference = OciReference.parse(asked.reference)
        _ = reference.target
    except EdgewrightError as error:
        fault = Fault(field="reference", message=str(error))
        raise InvalidError("the package cannot be imported", fault) from error
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
