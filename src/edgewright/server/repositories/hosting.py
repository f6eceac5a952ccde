"""The repositories hosted here, as devices reach them: Git's smart protocol over HTTPS, and nothing else.

`/<client id>.git` is one device's, and to that device the only one there is. Who asks is known by a client
certificate, or by `Authorization: Basic` (the client id and its password) or `Bearer`; every request is held
against the list of accepted clients. What an unchanged poll asks is answered from memory, the rest by
`git http-backend`. A push may move `refs/heads/current` forward (`receiving`).
"""

import asyncio
import base64
import binascii
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from weakref import WeakValueDictionary

import msgspec

from edgewright.net.git.wire import ADVERTISEMENT_TYPE, RESULT_TYPE, GitWireError
from edgewright.protocol.errors import IdentityError
from edgewright.protocol.media_types import PROBLEM
from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerContext
from edgewright.server.device_api.access import check_accepted, check_admission
from edgewright.server.domain.throttle import Throttle
from edgewright.server.listeners.tls import line_of, presented
from edgewright.server.problems import Answer, ProblemError, answer_to
from edgewright.server.repositories.answers import ADVERTISEMENT, answer_from_memory
from edgewright.server.repositories.backend import PUSH_BYTES, Backend, GitRequest
from edgewright.server.repositories.bare import RepositoryError
from edgewright.server.repositories.credentials import Credentials, is_right
from edgewright.server.repositories.incoming import GoneError, StalledError, spool
from edgewright.server.repositories.leftovers import tidied
from edgewright.server.repositories.receiving import install_hooks
from edgewright.server.repositories.refs import Refs, RefTable
from edgewright.server.store.audit import MEANS, Means
from edgewright.server.store.repositories import Way

log = logging.getLogger(__name__)

FETCH_BYTES = 1024 * 1024
# A push has its commands before the pack, and Git's own words for a pack that is too large.
RECEIVE_BYTES = PUSH_BYTES + 1024 * 1024
FETCH_SECONDS = 30.0
RECEIVE_SECONDS = 300.0
# Of one client; an agent has one at a time.
MOST_AT_ONCE = 3

_PATH = re.compile(rb"/([A-Za-z0-9._-]+)\.git/(info/refs|git-upload-pack|git-receive-pack)")
_SERVICES = {b"service=git-upload-pack": "git-upload-pack", b"service=git-receive-pack": "git-receive-pack"}
_REALM = "edgewright"
_CHALLENGES = (f'Basic realm="{_REALM}", charset="UTF-8"', f'Bearer realm="{_REALM}"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for what there can be: whose repository, and what of it; `service` is Git's."""

    client_id: str
    service: str
    is_discovery: bool
    headers: Mapping[bytes, bytes]
    address: str

    @property
    def protocol(self) -> str:
        """The version of Git's protocol that is spoken, as its programs are told; empty for the first one."""
        versions = [part.strip() for part in self.headers.get(b"git-protocol", b"").split(b":")]
        return next((f"version={number}" for number in (2, 1) if b"version=%d" % number in versions), "")

    @property
    def wants_memory(self) -> bool:
        """Whether it may be answered without Git."""
        return self.service == "git-upload-pack" and self.protocol == "version=2"


class Hosting:
    """The application of the Git listener."""

    def __init__(self, context: ServerContext, root: Path, credentials: Credentials) -> None:
        self._context = context
        self._root = root
        self._credentials = credentials
        self._refs = Refs(root)
        self._backend = Backend(root, install_hooks(root))
        self._throttle = Throttle(counts_addresses=False)
        self._busy: Counter[str] = Counter()
        self._pushing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        started = False

        async def note(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._answer(scope, receive, note)
        except GoneError:
            return
        except StalledError:
            await _drop(scope)
        except Exception as error:
            if started:
                raise
            answer = answer_to(_named(error), method=scope["method"], path=scope["path"])
            await _send_problem(answer, _headers(scope).get(b"user-agent", b""), send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        headers = _headers(scope)
        address = (scope.get("client") or ("",))[0]
        caller = await self._identify(scope, headers, address)
        asked = _asked(scope, headers, caller, address)
        if await self._credentials.of(caller) is None or self._refs.of(caller) is None:
            raise _no_repository(asked.client_id)
        if asked.is_discovery:
            if asked.wants_memory:
                await _send_body(ADVERTISEMENT, ADVERTISEMENT_TYPE, send)
                return
            with self._turn_of(caller):
                request = _git_request(asked, "GET", "info/refs", query=f"service={asked.service}")
                await self._backend.answer(request, None, receive, send)
            return
        with self._turn_of(caller):
            await self._take(asked, receive, send)

    async def _take(self, asked: Asked, receive: Any, send: Any) -> None:
        """Answer a POST: its body is read whole before anything is done with it."""
        is_push = asked.service == "git-receive-pack"
        limit, seconds = (RECEIVE_BYTES, RECEIVE_SECONDS) if is_push else (FETCH_BYTES, FETCH_SECONDS)
        _check_type(asked)
        body = await spool(receive, asked.headers, limit=limit, seconds=seconds, folder=self._root)
        with body:
            if asked.wants_memory:
                answer = answer_from_memory(body.read(), self._table_of(asked.client_id))
                if answer is not None:
                    await _send_body(answer, RESULT_TYPE, send)
                    return
            length = body.seek(0, os.SEEK_END)
            body.flush()
            request = _git_request(asked, "POST", asked.service, length=length)
            if is_push:
                await self._push(request, body, receive, send)
            else:
                await self._backend.answer(request, body, receive, send)

    async def _push(self, request: GitRequest, body: IO[bytes], receive: Any, send: Any) -> None:
        """Have Git take in a push, one of a client after the other, and tell if it has moved the branch."""
        client_id = request.client_id
        async with self._pushing.setdefault(client_id, asyncio.Lock()):
            before = self._table_of(client_id)
            try:
                with tidied(self._refs.path_of(client_id)):
                    await self._backend.answer(request, body, receive, send)
            finally:
                after = self._refs.of(client_id)
                if after is not None and after.current != before.current:
                    self._context.pushed(client_id)

    def _table_of(self, client_id: str) -> RefTable:
        """Return where the branches of a client's repository stand; a 404 where it has gone meanwhile."""
        table = self._refs.of(client_id)
        if table is None:
            raise _no_repository(client_id)
        return table

    async def _identify(self, scope: Any, headers: Mapping[bytes, bytes], address: str) -> str:
        """Return the accepted client that asks; raises what it is to be told otherwise."""
        caller = presented(scope)
        if caller is not None:
            client_id, via = caller.client_id, "device certificate"
            check_admission(caller, await self._context.standings.of(client_id))
        else:
            client_id, via = await self._by_secret(scope, headers, address)
            check_accepted(client_id, await self._context.standings.of(client_id))
        self._context.heard_of(client_id)
        MEANS.set(Means(via=via, address=address))
        return client_id

    async def _by_secret(self, scope: Any, headers: Mapping[bytes, bytes], address: str) -> tuple[str, str]:
        scheme, _, shown = headers.get(b"authorization", b"").strip().partition(b" ")
        match scheme.lower():
            case b"basic":
                client_id, secret = _read_basic(shown)
                way, via = Way.BASIC, "device password"
            case b"bearer":
                # A token names nobody; it is the client's whose repository is asked for.
                found = re.match(rb"/([A-Za-z0-9._-]+)\.git(/|$)", scope["raw_path"])
                client_id = found[1].decode() if found else ""
                secret, way, via = shown.strip().decode("latin-1"), Way.TOKEN, "device token"
            case _:
                raise _unknown("a client certificate, a password or a token is needed")
        digests = await self._credentials.of(client_id)
        # From here to the verdict nothing else runs: requests at once of one client count as so many tries
        # only if they are wrong.
        wait = self._throttle.attempt(client_id[:200], address, now=self._context.clock())
        if wait.total_seconds() > 0:
            seconds = int(wait.total_seconds()) + 1
            raise ProblemError(
                ProblemType.BLANK,
                f"the {via.removeprefix('device ')} was wrong too often; wait {seconds} s",
                status=429,
                headers={"retry-after": str(seconds), "connection": "close"},
            )
        if not is_right(digests, way, secret):
            raise _unknown(f"this {via.removeprefix('device ')} opens no repository here")
        self._throttle.succeeded(client_id[:200], address)
        return client_id, via

    @contextmanager
    def _turn_of(self, client_id: str) -> Iterator[None]:
        if self._busy[client_id] >= MOST_AT_ONCE:
            raise ProblemError(
                ProblemType.BLANK,
                f"'{client_id}' has {MOST_AT_ONCE} requests at once already",
                status=429,
            )
        self._busy[client_id] += 1
        try:
            yield
        finally:
            self._busy[client_id] -= 1
            if not self._busy[client_id]:
                del self._busy[client_id]


async def _drop(scope: Any) -> None:
    """End the connection at once, with all that was to be sent on it."""
    lost = asyncio.Event()
    with line_of(scope).waiting(lost.set):
        scope["extensions"]["tls"]["drop"]()
        await lost.wait()


def _headers(scope: Any) -> dict[bytes, bytes]:
    """Return the headers by lower-case name; those of one name are joined, as HTTP has it."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _asked(scope: Any, headers: Mapping[bytes, bytes], caller: str, address: str) -> Asked:
    """Return what is asked for; raises a `ProblemError` for anything but Git's four requests."""
    raw: bytes = scope["raw_path"]
    found = _PATH.fullmatch(raw)
    whose = re.match(rb"/([A-Za-z0-9._-]+)\.git(/|$)", raw)
    if whose is None or whose[1].decode() != caller:
        raise _no_repository(whose[1].decode() if whose else None)
    if found is None:
        raise ProblemError(
            ProblemType.BLANK,
            "there are no files to fetch one by one; use a client that speaks Git's smart protocol",
            status=404,
        )
    is_discovery = found[2] == b"info/refs"
    method = "GET" if is_discovery else "POST"
    if scope["method"] != method:
        raise ProblemError(
            ProblemType.BLANK,
            f"{scope['method']} is not for this path; use {method}",
            status=405,
            headers={"allow": method},
        )
    service = found[2].decode()
    if is_discovery:
        service = _SERVICES.get(scope["query_string"], "")
        if not service:
            raise ProblemError(
                ProblemType.BLANK,
                "expected ?service=git-upload-pack or ?service=git-receive-pack and nothing else;"
                " Git's dumb protocol and archives are not offered",
                status=403,
            )
    elif scope["query_string"]:
        raise ProblemError(ProblemType.INVALID_REQUEST, "expected no query")
    return Asked(
        client_id=caller, service=service, is_discovery=is_discovery, headers=headers, address=address
    )


def _check_type(asked: Asked) -> None:
    wanted = f"application/x-{asked.service}-request"
    if asked.headers.get(b"content-type", b"").strip().lower() != wanted.encode():
        raise ProblemError(ProblemType.BLANK, f"expected content of type {wanted}", status=415)


def _git_request(asked: Asked, method: str, path: str, *, query: str = "", length: int = 0) -> GitRequest:
    return GitRequest(
        client_id=asked.client_id,
        method=method,
        path=f"/{asked.client_id}.git/{path}",
        query=query,
        content_type=f"application/x-{asked.service}-request" if method == "POST" else "",
        protocol=asked.protocol,
        address=asked.address,
        length=length,
    )


def _read_basic(shown: bytes) -> tuple[str, str]:
    """Return user name and password (RFC 7617, in UTF-8)."""
    try:
        name, colon, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _unknown("the Authorization header cannot be read") from error
    if not colon:
        raise _unknown("the Authorization header cannot be read")
    return name, password


def _unknown(detail: str) -> ProblemError:
    return ProblemError(ProblemType.BLANK, detail, status=401)


def _no_repository(client_id: str | None) -> ProblemError:
    """Return the same answer for what is nobody's and what is somebody else's."""
    name = f"'{client_id}'" if client_id is not None else "this path"
    return ProblemError(ProblemType.BLANK, f"there is no repository for {name} that you may see", status=404)


def _named(error: Exception) -> Exception:
    """Return `error` as what the one place for answers knows."""
    if isinstance(error, GitWireError):
        return ProblemError(ProblemType.INVALID_REQUEST, str(error))
    if isinstance(error, RepositoryError):
        # The keeper of repositories tells those whom it concerns why.
        return ProblemError(ProblemType.BLANK, "the repository cannot be read on this server", status=500)
    if isinstance(error, IdentityError):
        return ProblemError(
            ProblemType.NOT_AUTHORIZED, f"the certificate you present opens nothing here: {error}"
        )
    return error


async def _send_body(body: bytes, media: str, send: Any) -> None:
    headers = [
        (b"content-type", media.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_problem(answer: Answer, agent: bytes, send: Any) -> None:
    """Send a problem document; Git's own program, which shows plain text alone, gets the words of it."""
    body, media = answer.body, PROBLEM
    if agent.startswith(b"git/"):
        about = msgspec.json.decode(answer.body)
        body = f"{about.get('detail') or HTTPStatus(answer.status).phrase}\n".encode()
        media = "text/plain; charset=utf-8"
    headers = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if answer.status == HTTPStatus.UNAUTHORIZED:
        headers += [(b"www-authenticate", challenge.encode()) for challenge in _CHALLENGES]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
