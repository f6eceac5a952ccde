"""Where branch `desired` is, asked over HTTPS: one short request over a kept connection (spec: GR-43).

The server's first answer tells which version of the protocol it speaks; with version 2 nothing but `ls-refs`
is asked from then on, with version 0 the list of branches each time. What answers in its place - a login
page, a redirection, another service - becomes an error in words for whoever looks after this device.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import time

from edgewright.agent.git.access import FILES, GitAccess
from edgewright.agent.talk.answers import RefusalError
from edgewright.agent.talk.manners import Manners
from edgewright.agent.talk.session import CERTIFICATE, KEY, MAX_CONNECTION_SECONDS
from edgewright.net.git import wire
from edgewright.net.http import Client, ProxyError, Response
from edgewright.net.tls import git_context
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import DESIRED

_MAX_ANSWER_BYTES = 1024 * 1024
_UNKNOWN, _OLD = "", "old"


class NotGitError(EdgewrightError):
    """Something answered, but not a Git server with this repository."""

    code = "git.no-repository"
    retryable = True


class GitRefusalError(RefusalError):
    """The Git server refused to answer; its status alone means something, its words are for people."""

    code = "git.refused"

    def __init__(self, response: Response, access: GitAccess) -> None:
        super().__init__(response, access.url.text, time.time())
        self.args = (f"{access.url}: {_why(response, access)}",)


class RemoteHead:
    """Asks the Git server of the identity in use; `manners` are kept towards it."""

    __slots__ = ("_access", "_client", "_directory", "_manners", "_opened", "_speaks", "_stamp")

    def __init__(self, directory: str, manners: Manners) -> None:
        self._directory = directory
        self._manners = manners
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._access: GitAccess | None = None
        self._client: Client | None = None
        self._opened = 0.0
        self._speaks = _UNKNOWN  # the object format of a server of version 2, or _OLD

    @property
    def access(self) -> GitAccess:
        """The way to the repository; its files are looked at each time. Raises AccessError."""
        stamp = self._look()
        if self._access is None or stamp != self._stamp:
            self.close()
            self._client, self._speaks = None, _UNKNOWN
            access = GitAccess.load(self._directory)
            if access is None:
                raise NotGitError(f"{self._directory}: there is no Git repository in this identity")
            self._access, self._stamp = access, stamp
        return self._access

    def ask(self) -> str:
        """Return the commit id of `desired`, empty where there is no such branch.

        Raises what `net.http.Client` raises, GitRefusalError, NotGitError, GitWireError, GitRefusedError,
        AccessError, TlsSetupError, and QuietError when nothing may be asked now.
        """
        access = self.access
        self._manners.before()
        client = self._connected(access)
        try:
            return self._ask(client, access)
        except (wire.GitWireError, wire.GitRefusedError) as error:
            self._speaks = _UNKNOWN
            raise type(error)(f"{access.url}: {error}") from error
        except EdgewrightError as error:
            self._speaks = _UNKNOWN
            if isinstance(error, ProxyError) and error.answer is not None:
                self._manners.asked(error.answer)
            raise

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._client is not None:
            self._client.close()

    def _ask(self, client: Client, access: GitAccess) -> str:
        if self._speaks in (_UNKNOWN, _OLD):
            response = client.request("GET", wire.ADVERTISEMENT_PATH, headers=_headers(access))
            told = wire.read_advertisement(
                self._body(response, access, wire.ADVERTISEMENT_TYPE), wanted=[DESIRED]
            )
            if told.refs is not None:
                self._speaks = _OLD
                return told.refs.get(DESIRED, "")
            self._speaks = told.object_format
        response = client.request(
            "POST",
            wire.SERVICE_PATH,
            headers=[*_headers(access), ("content-type", wire.REQUEST_TYPE), ("accept", wire.RESULT_TYPE)],
            body=wire.render_ls_refs([DESIRED], self._speaks),
            repeatable=True,
        )
        body = self._body(response, access, wire.RESULT_TYPE)
        return wire.read_refs(body, self._speaks, wanted=[DESIRED]).get(DESIRED, "")

    def _body(self, response: Response, access: GitAccess, expected: str) -> bytes:
        """Return the body of what has to be an answer of Git's."""
        self._manners.asked(response)
        if response.status != 200:
            raise GitRefusalError(response, access)
        if response.media_type != expected:
            what = response.media_type if response.media_type.isprintable() else ""
            page = "a web page" if "html" in what else "something else"
            raise NotGitError(
                f"{access.url}: answered with {page} ({what[:100] or 'of no type'}) instead of Git: is this "
                "the address of a repository, and does no login page stand in front of it?"
            )
        return response.body

    def _connected(self, access: GitAccess) -> Client:
        if self._client is None:
            self._client = client_of(access)
            self._opened = time.monotonic()
        elif time.monotonic() - self._opened > MAX_CONNECTION_SECONDS:
            self._client.close()
            self._opened = time.monotonic()
            self._speaks = _UNKNOWN
        return self._client

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        """Return what tells whether a file of the access was replaced."""
        stamps = []
        for name in (*FILES, CERTIFICATE, KEY):
            try:
                found = os.stat(os.path.join(self._directory, name))
            except OSError:
                continue
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return tuple(stamps)


def client_of(access: GitAccess) -> Client:
    """Return what talks to the Git server over HTTPS. Raises AccessError, TlsSetupError."""
    return Client(
        access.url.text.rstrip("/"),
        context=git_context(access.authority, access.certificate),
        max_body=_MAX_ANSWER_BYTES,
        proxy=access.proxy_url,
        proxy_authorization=access.proxy_authorization,
    )


def _headers(access: GitAccess) -> list[tuple[str, str]]:
    authorization = access.authorization()
    shown = [("authorization", authorization)] if authorization else []
    return [("user-agent", "git/edgewright"), wire.VERSION_HEADER, *shown]


def _why(response: Response, access: GitAccess) -> str:
    """Return what a refusal means for whoever looks after this device."""
    status = response.status
    if status == 401:
        if access.kind == "none":
            return "it wants to know who asks (401), and this device has nothing to show"
        return f"it does not take what this device shows ({access.kind}; 401): expired, withdrawn or wrong?"
    if status == 403:
        return f"this device may not read this repository (403; it shows: {access.kind})"
    if status in (404, 410):
        return f"there is no such repository, or this device must not know of it ({status})"
    if 300 <= status < 400:
        place = response.headers.get("location", "").partition("?")[0]
        named = f" to {place[:200]}" if place.isprintable() and place and "@" not in place else ""
        return f"it redirects{named} ({status}), which is not followed: give this device the new address"
    if status == 407:
        return "a proxy on the way wants credentials (407)"
    words = f"{status} {response.reason}".strip()
    return f"it cannot answer now ({words})" if status in (429, 503) else f"it answered {words}"
