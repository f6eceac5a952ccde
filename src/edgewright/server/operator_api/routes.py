"""The operator API as one router; who may use it is the guard's to say (`server/listeners/guard.py`)."""

from collections.abc import Iterable, Iterator

from litestar import Response, Router, route
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_204_NO_CONTENT

from edgewright.server.operator_api import (
    accounts,
    assignments,
    audit,
    deployments,
    devices,
    enrollment_requests,
    enrollments,
    external,
    packages,
    policies,
    repositories,
    rollouts,
    sources,
)
from edgewright.server.operator_api.queries import check_query

PREFIX = "/operator/v1"


HANDLERS: list[HTTPRouteHandler] = [
    enrollments.create_enrollment,
    enrollments.list_enrollments,
    enrollments.withdraw_enrollment,
    *enrollment_requests.HANDLERS,
    devices.list_devices,
    devices.show_fleet,
    devices.show_device,
    devices.change_device,
    devices.label_devices,
    devices.accept_device,
    devices.retire_device,
    devices.list_site_actions,
    *repositories.HANDLERS,
    *external.HANDLERS,
    policies.list_policies,
    policies.show_policy,
    policies.suggest_policy,
    policies.withdraw_policy,
    policies.show_device_policy,
    policies.suggest_device_policy,
    policies.withdraw_device_policy,
    packages.list_packages,
    packages.show_package,
    packages.get_file,
    packages.list_suited_devices,
    packages.list_applications,
    packages.show_application,
    packages.upload_package,
    packages.import_from_registry,
    packages.delete_package,
    sources.list_sources,
    sources.create_source,
    sources.show_source,
    sources.replace_source,
    sources.delete_source,
    sources.look_through,
    sources.list_offers,
    sources.take_again,
    sources.list_problems,
    deployments.list_deployments,
    deployments.create_deployment,
    deployments.show_deployment,
    deployments.change_deployment,
    deployments.delete_deployment,
    deployments.show_history,
    deployments.list_revisions,
    deployments.revert_deployment,
    *assignments.HANDLERS,
    *rollouts.HANDLERS,
    *accounts.HANDLERS,
    *audit.HANDLERS,
]


def operator_router() -> Router:
    """Return the router of all operator routes."""
    return Router(
        PREFIX,
        route_handlers=[*_options(HANDLERS), *HANDLERS],
        security=[{"token": []}],
        tags=["operator"],
        before_request=check_query,
    )


def _options(handlers: Iterable[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """Yield what says which methods each path has; the framework's own knows those of one handler alone."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    for path, known in methods.items():
        yield _telling(path, ", ".join(sorted(known)))


def _telling(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method=["OPTIONS"], status_code=HTTP_204_NO_CONTENT, include_in_schema=False)
    async def tell_methods() -> Response[None]:
        return Response(content=None, status_code=HTTP_204_NO_CONTENT, headers={"allow": allowed})

    return tell_methods
