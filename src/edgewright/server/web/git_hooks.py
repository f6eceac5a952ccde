"""`POST /git/hooks/<client id>`: a Git server tells that somebody pushed, as GitHub, Gitea and GitLab do.

Nothing in the message is believed but who sent it: the repository is looked at, as it is at its interval.
Whoever cannot show the secret learns nothing, also not which devices there are.
"""

import hashlib
import hmac
from typing import Final

from litestar import Response, post

from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.problem import ProblemType
from edgewright.protocol.spiffe import check_segment
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.listeners.bodies import read_body
from edgewright.server.listeners.guard import address_of, is_same
from edgewright.server.problems import ProblemError
from edgewright.server.repositories.external import Externals

# What GitHub sends at most for a push is 25 MiB; what is longer is not worth a look.
MOST_BYTES: Final = 25 * 1024 * 1024
_SIGNATURES: Final = ("x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-gogs-signature")
_TOKENS: Final = ("x-gitlab-token",)
_SHOWN: Final = (*_SIGNATURES, *_TOKENS, "authorization")


@post("/git/hooks/{client_id:str}", status_code=202, public=True, include_in_schema=False)
async def hear_hook(request: ServerRequest, client_id: str) -> Response[dict[str, bool]]:
    """Look at the repository soon, if the message is signed with its secret or shows that."""
    context = context_of(request)
    externals = context.externals
    wait = externals.throttle.attempt(client_id, address_of(request), now=context.clock())
    if wait.total_seconds() > 0:
        raise ProblemError(
            ProblemType.BLANK,
            "too many messages that do not show the secret; wait a while",
            status=429,
            headers={"retry-after": str(int(wait.total_seconds()) + 1)},
        )
    # Nobody without a signature gets to send a long body.
    if not any(request.headers.get(name) for name in _SHOWN):
        raise _unknown()
    secret = _secret(externals, client_id)
    body = await read_body(request, limit=MOST_BYTES)
    if not _shows(request, body, secret or ""):
        raise _unknown()
    externals.throttle.succeeded(client_id, address_of(request))
    return Response(content={"accepted": externals.hear(client_id)}, status_code=202)


HANDLERS: Final = [hear_hook]


def _secret(externals: Externals, client_id: str) -> str | None:
    try:
        check_segment(client_id)
        return externals.files.load(client_id).webhook
    except EdgewrightError:
        return None


def _shows(request: ServerRequest, body: bytes, secret: str) -> bool:
    """Whether a message shows the secret; with an empty one no message does."""
    headers = request.headers
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    signed = [headers.get(name, "").removeprefix("sha256=").strip().lower() for name in _SIGNATURES]
    shown = [headers.get(name, "") for name in _TOKENS]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        shown.append(token.strip())
    is_right = any([is_same(one, wanted) for one in signed] + [is_same(one, secret) for one in shown])
    return is_right and bool(secret)


def _unknown() -> ProblemError:
    return ProblemError(
        ProblemType.BLANK,
        "this message does not show the secret of this repository's webhook",
        status=401,
    )
