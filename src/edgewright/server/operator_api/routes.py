"""The operator API as one router: every route below needs the token, but for the description of the API
itself."""

from litestar import Router

from edgewright.server.operator_api.access import require_operator
from edgewright.server.operator_api.enrollments import create_enrollment, list_enrollments

PREFIX = "/operator/v1"


def operator_router() -> Router:
    """Return the router of all operator routes."""
    return Router(
        PREFIX,
        route_handlers=[create_enrollment, list_enrollments],
        guards=[require_operator],
        security=[{"token": []}],
        tags=["operator"],
    )
