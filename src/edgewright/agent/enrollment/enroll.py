"""Enrolment: from a token, or from files of somebody else's authority, to an identity (spec: ON-2, LC-1).

What a device does that has neither is in `asking.py`.

With a token the key is made here and never leaves; it is kept while the answer is open, so that asking again
after a lost answer gets the same identity (docs/reference/agent.md).
"""

import hashlib
import os
import time
from contextlib import suppress

from edgewright.agent.enrollment import identity
from edgewright.agent.enrollment.identity import Material, Sources
from edgewright.agent.enrollment.pinning import pinned_context
from edgewright.agent.paths import Paths
from edgewright.agent.talk.answers import RefusalError
from edgewright.net.http import Client
from edgewright.protocol import media_types
from edgewright.protocol.enrollment import EnrollmentAnswer, EnrollmentRequest, EnrollmentToken
from edgewright.protocol.errors import IdentityError

_FILE_LIMIT = 1024 * 1024
_TIMEOUT_SECONDS = 30.0


def enroll_with_token(
    paths: Paths, text: str, *, device_id: str | None = None, replace: bool = False
) -> Material:
    """Exchange the token `text` for an identity and install it; return what was installed.

    Raises DocumentError for what is no token, RefusalError when it is not taken, HttpError when nobody is
    there; nothing is installed then, and the same command may be given again.
    """
    identity.refuse_replacing(paths, replace=replace)
    token = EnrollmentToken.parse(text)
    paths.make()
    key = pending_key(pending_key_path(paths, token.secret))
    answer = _ask(token, key, device_id)
    return install_answer(paths, answer, key, device_id=device_id, replace=replace)


def install_answer(
    paths: Paths, answer: EnrollmentAnswer, key: bytes, *, device_id: str | None, replace: bool
) -> Material:
    """Check what the fleet manager answered as a whole and make it the identity; return it."""
    material = identity.check(
        svid_pem=answer.svid.encode(),
        key_pem=key,
        trust=answer.trust_bundle.encode(),
        url=answer.server_url,
        device_id=device_id,
        sources=Sources(
            svid="the answer's SVID",
            key="the key made here",
            trust_bundle="the answer's trust bundle",
            url="the answer's server address",
        ),
        now=time.time(),
    )
    identity.install(paths, material, replace=replace)
    _delete_pending_keys(paths)
    return material


def enroll_with_files(
    paths: Paths,
    *,
    svid: str,
    key: str,
    trust_bundle: str,
    server: str,
    device_id: str | None = None,
    replace: bool = False,
) -> Material:
    """Check the files and the address, and install them as the identity; return what was installed.

    Raises IdentityError or DocumentError naming the file; nothing is changed then.
    """
    identity.refuse_replacing(paths, replace=replace)
    material = identity.check(
        svid_pem=_read(svid),
        key_pem=_read(key),
        trust=_read(trust_bundle),
        url=server,
        device_id=device_id,
        sources=Sources(svid=svid, key=key, trust_bundle=trust_bundle, url="--server"),
        now=time.time(),
    )
    identity.install(paths, material, replace=replace)
    _delete_pending_keys(paths)
    return material


def _ask(token: EnrollmentToken, key: bytes, device_id: str | None) -> EnrollmentAnswer:
    request = EnrollmentRequest(
        token=token.secret,
        csr=identity.make_request(key, device_id or "edgewright"),
        device_id=device_id,
        transport=token.transport,
    )
    url = token.url.rstrip("/")
    with Client(url, context=pinned_context(url, token.pin), timeout=_TIMEOUT_SECONDS) as client:
        response = client.request(
            "POST",
            media_types.ENROLL_PATH,
            headers=[("content-type", media_types.JSON), ("accept", media_types.JSON)],
            body=request.render(),
        )
    if response.status not in (200, 201):
        raise RefusalError(response, "enrolment", time.time())
    return EnrollmentAnswer.parse(response.body, source=f"the answer of {url}")


def pending_key_path(paths: Paths, used_for: str) -> str:
    """Return where the key is kept while the answer is open: of a token's secret, or of a server asked."""
    name = hashlib.sha256(used_for.encode("utf-8")).hexdigest()[:16]
    return os.path.join(paths.identities, f"pending-{name}.key")


def pending_key(path: str) -> bytes:
    """Return the key that was used for this before, or a new one; durable before anybody is asked."""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        return file.read()
    key = identity.make_key()
    identity.write_private(path, key)
    return key


def _delete_pending_keys(paths: Paths) -> None:
    for name in os.listdir(paths.identities):
        if name.startswith("pending-"):
            os.unlink(os.path.join(paths.identities, name))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_FILE_LIMIT)
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from None
