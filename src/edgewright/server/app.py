"""The applications of a server: what devices reach by mutual TLS, what everybody reaches by HTTPS, and the
repositories of devices.
"""

from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State

from edgewright.server.context import ServerContext
from edgewright.server.device_api.access import Gate
from edgewright.server.device_api.current_state import delete_capabilities, post_status, put_capabilities
from edgewright.server.device_api.desired_state import get_bundle, get_document, get_manifest
from edgewright.server.device_api.polls import Polls
from edgewright.server.device_api.repository import get_repository
from edgewright.server.device_api.site import get_policy, put_site
from edgewright.server.identity.routes import get_discovery, get_trust_bundle, post_admission, post_enroll
from edgewright.server.listeners.guard import PasswordNeededError, SignInNeededError, let_in
from edgewright.server.operator_api.routes import operator_router
from edgewright.server.operator_api.schema import operator_openapi
from edgewright.server.problems import answer_for
from edgewright.server.repositories.credentials import Credentials
from edgewright.server.repositories.hosting import Hosting
from edgewright.server.web.failures import answer_on_web
from edgewright.server.web.routes import web_routes
from edgewright.server.web.sign_in import to_password, to_sign_in


def device_app(context: ServerContext) -> Gate:
    """Return the application of the device listener behind its gate (spec: 2.1).

    Beside the specification's routes it has three of our own, under our own prefix.
    """
    app = Litestar(
        [
            get_manifest,
            get_document,
            get_bundle,
            put_capabilities,
            delete_capabilities,
            post_status,
            get_policy,
            put_site,
            get_repository,
        ],
        state=State({"context": context}),
        exception_handlers={Exception: answer_for},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
    return Gate(Polls(app, context), context)


def web_app(context: ServerContext) -> Litestar:
    """Return the application of the web listener; its guard judges every request on it."""
    return Litestar(
        [get_discovery, get_trust_bundle, post_enroll, post_admission, operator_router(), *web_routes()],
        state=State({"context": context}),
        guards=[let_in],
        exception_handlers={
            SignInNeededError: to_sign_in,
            PasswordNeededError: to_password,
            Exception: answer_on_web,
        },
        openapi_config=operator_openapi(),
        logging_config=None,
        request_max_body_size=None,
    )


def git_app(context: ServerContext, folder: Path) -> Hosting:
    """Return the application of the Git listener; the repositories are in `folder`."""
    return Hosting(context, folder, Credentials(context.database))
