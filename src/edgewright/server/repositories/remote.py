"""A repository on a Git server of somebody else's: asked where its branches are, fetched from, pushed to.

Synchronous, for a thread. Nothing is ever forced but what `replace` is told to by a person. Asking costs two
small requests; fetching and pushing is the work of the `git` program.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from edgewright.net.git import wire
from edgewright.net.git.program import Git, GitError
from edgewright.net.git.url import HTTPS, RepositoryUrl
from edgewright.net.http import (
    BadAnswerError,
    CertificateError,
    Client,
    HttpError,
    ProxyError,
    Response,
    UrlError,
)
from edgewright.net.tls import TlsSetupError, registry_context
from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.domain.hand_made import Snapshot
from edgewright.server.errors import ServerError
from edgewright.server.repositories.access import (
    Access,
    AccessFiles,
    How,
    authorization,
    proxy_authorization,
    shown_proxy,
)
from edgewright.server.repositories.snapshots import read_snapshot

ASK_SECONDS: Final = 30.0
WORK_SECONDS: Final = 600.0
# What one fetch may bring; a device would take far less.
FETCH_BYTES: Final = 256 * 1024 * 1024
_ANSWER_BYTES: Final = 4 * 1024 * 1024
_FETCHED: Final = "refs/external/"
_BRANCHES: Final = (DESIRED, CURRENT)
_PUSH_PATH: Final = "/info/refs?service=git-receive-pack"
_OF_HOST: Final = frozenset({502, 503, 504})


class RemoteError(ServerError):
    """The Git server cannot be reached, or does not do what it is asked; the message is for people.

    `wait` is for how many seconds it wants to be left alone, `is_raced` whether somebody else was quicker.
    `is_malformed`: what is on the branch is nothing that a git takes.
    `is_of_host`: nothing was learnt of this repository, as it would be with every other one there.
    """

    code = "git.remote"

    def __init__(
        self, message: str, *, wait: float = 0.0, is_raced: bool = False, is_of_host: bool = False
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.is_raced = is_raced
        self.is_of_host = is_of_host
        self.is_malformed = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Where the two branches are; None for one that is not there."""

    desired: str | None
    current: str | None


class Remote:
    """One repository at `url`, its copy at `directory`; raises `RemoteError` for all that fails there."""

    def __init__(self, directory: Path, url: str, files: AccessFiles, access: Access) -> None:
        self._directory = directory
        self.url = url
        self._files = files
        self._access = access
        self.git = Git(directory, output_limit=2 * FETCH_BYTES)

    def heads(self) -> Heads:
        """Ask where the branches are."""
        is_http = RepositoryUrl(self.url).scheme == HTTPS
        refs = self._heads_over_http() if is_http else self._heads_by_git()
        return Heads(desired=refs.get(DESIRED), current=refs.get(CURRENT))

    def check_may_write(self) -> None:
        """Raise unless this server may push; nothing is written.

        A push of nothing is asked for what it would do: servers answer who may not push before it begins.
        """
        if RepositoryUrl(self.url).scheme != HTTPS:
            return
        answer = self._get(_PUSH_PATH, ())
        if answer.status != 200:
            raise self._refusal(answer, "pushing")

    def fetch(self, branch: str) -> str:
        """Fetch a branch, wherever it was before; return its commit."""
        name = branch.rpartition("/")[2]
        self._work(
            "fetch",
            "--no-tags",
            "--no-write-fetch-head",
            "--quiet",
            self.url,
            f"+{branch}:{_FETCHED}{name}",
            limit=FETCH_BYTES,
        )
        commit = self.git.commit_of(f"{_FETCHED}{name}")
        if commit is None:
            raise RemoteError(f"the branch {name} is gone again")
        return commit

    def push(self, commit: str) -> None:
        """Have `desired` be at `commit`, which has to build on what is there."""
        self._work("push", "--quiet", self.url, f"{commit}:{DESIRED}")

    def replace(self, commit: str, was: str) -> None:
        """Have `desired` be at `commit` instead of at `was`, as a person wants it; not if it moved since."""
        self._work("push", "--quiet", f"--force-with-lease={DESIRED}:{was}", self.url, f"{commit}:{DESIRED}")

    def snapshot(self, commit: str) -> Snapshot:
        """Return the tree of a commit that is here; raises GitError where no device would look into it."""
        return read_snapshot(self.git, commit)

    def _work(self, *arguments: str, limit: int = 0) -> None:
        """Run `git` with what opens the repository."""
        try:
            with self._files.opened(self.url, self._access) as config:
                git = Git(self._directory, config=config, seconds=WORK_SECONDS, write_limit=limit)
                git.run(*arguments)
        except GitError as error:
            told = self._told(error, is_push=arguments[0] == "push")
            told.is_malformed = error.code == "git.refused"
            raise told from error

    def _heads_by_git(self) -> dict[str, str]:
        try:
            with self._files.opened(self.url, self._access) as config:
                git = Git(self._directory, config=config, seconds=ASK_SECONDS, output_limit=_ANSWER_BYTES)
                listed = git.run("ls-remote", "--quiet", self.url, *_BRANCHES)
        except GitError as error:
            told = self._told(error)
            told.is_of_host = error.code in {"git.unreachable", "git.timeout"}
            raise told from error
        pairs = (line.split("\t") for line in listed.decode("utf-8", errors="replace").splitlines())
        return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and pair[1] in _BRANCHES}

    def _heads_over_http(self) -> dict[str, str]:
        try:
            with self._client() as client:
                shown = self._headers()
                answer = client.request("GET", wire.ADVERTISEMENT_PATH, headers=[*shown, wire.VERSION_HEADER])
                self._check(answer, wire.ADVERTISEMENT_TYPE)
                told = wire.read_advertisement(answer.body, _BRANCHES)
                if told.refs is not None:
                    return told.refs
                answer = client.request(
                    "POST",
                    wire.SERVICE_PATH,
                    headers=[
                        *shown,
                        wire.VERSION_HEADER,
                        ("content-type", wire.REQUEST_TYPE),
                        ("accept", wire.RESULT_TYPE),
                    ],
                    body=wire.render_ls_refs(_BRANCHES),
                )
                self._check(answer, wire.RESULT_TYPE)
                return wire.read_refs(answer.body, wanted=_BRANCHES)
        except HttpError as error:
            raise self._unreached(error) from error
        except (UrlError, TlsSetupError, wire.GitWireError, wire.GitRefusedError) as error:
            raise RemoteError(self._access.redacted(str(error))) from error

    def _get(self, path: str, headers: tuple[tuple[str, str], ...]) -> Response:
        try:
            with self._client() as client:
                return client.request("GET", path, headers=[*self._headers(), *headers])
        except HttpError as error:
            raise self._unreached(error) from error
        except (UrlError, TlsSetupError) as error:
            raise RemoteError(self._access.redacted(str(error))) from error

    def _unreached(self, error: HttpError) -> RemoteError:
        """Return what it means that there was no answer of the Git server's.

        Certificates are each repository's own matter, as are credentials for a proxy.
        """
        is_of_host = error.retryable and not isinstance(error, CertificateError | BadAnswerError)
        wait = 0.0
        if isinstance(error, ProxyError) and error.answer is not None:
            is_of_host = error.answer.status in _OF_HOST
            wait = _wait(error.answer)
        return RemoteError(self._access.redacted(str(error)), wait=wait, is_of_host=is_of_host)

    def _client(self) -> Client:
        shown = proxy_authorization(self._access)
        return Client(
            self.url,
            context=self._tls(),
            timeout=ASK_SECONDS,
            max_body=_ANSWER_BYTES,
            proxy=shown_proxy(self._access) or "",
            proxy_authorization=(lambda: shown) if shown else None,
        )

    def _tls(self) -> ssl.SSLContext:
        context = registry_context(anchors_pem=self._access.ca)
        if self._access.how is How.CERTIFICATE:
            with self._files.opened(self.url, self._access) as config:
                try:
                    context.load_cert_chain(config.with_name("cert.pem"), config.with_name("key.pem"))
                except ssl.SSLError as error:
                    raise RemoteError("the client certificate and its key cannot be used") from error
        return context

    def _headers(self) -> list[tuple[str, str]]:
        shown = authorization(self._access)
        return [("user-agent", "git/edgewright"), *([("authorization", shown)] if shown else [])]

    def _check(self, answer: Response, media_type: str) -> None:
        if answer.status != 200:
            raise self._refusal(answer, "reading")
        if answer.media_type != media_type:
            raise RemoteError(
                f"there is no Git repository at this address, which answers {answer.media_type or 'nothing'}"
            )

    def _refusal(self, answer: Response, what: str) -> RemoteError:
        status = answer.status
        if status in {401, 407}:
            return RemoteError(f"the Git server does not know these credentials ({status}, {what})")
        if status == 403:
            return RemoteError(f"the Git server does not allow {what} with these credentials (403)")
        if status == 404:
            return RemoteError(
                "there is no such repository, or these credentials do not open it (404);"
                " make an empty repository there first"
            )
        if 300 <= status < 400:
            return RemoteError("the Git server says that the repository is elsewhere, which is not followed")
        return RemoteError(
            f"the Git server answers {status} ({what})",
            wait=_wait(answer),
            # 429 is for whoever shows these credentials; what stands in front of a server says the others.
            is_of_host=status in _OF_HOST,
        )

    def _told(self, error: GitError, *, is_push: bool = False) -> RemoteError:
        message = self._access.redacted(str(error))
        # Of git itself nobody learns how long to wait; what it asked for is asked for once more.
        is_busy = "error: 429" in message or "error: 503" in message
        wait = _wait(self._probe(is_push=is_push)) if is_busy else 0.0
        return RemoteError(message, wait=wait, is_raced=error.code == "git.raced")

    def _probe(self, *, is_push: bool) -> Response:
        path = _PUSH_PATH if is_push else wire.ADVERTISEMENT_PATH
        try:
            return self._get(path, () if is_push else (wire.VERSION_HEADER,))
        except RemoteError:
            return Response(503, "", {})


def _wait(answer: Response) -> float:
    """Return for how many seconds a server that has enough wants to be left alone, 0 if it does not say."""
    if answer.status not in {429, 503}:
        return 0.0
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 7 * 86400))
    moment, sent = _moment(text), _moment(answer.headers.get("date", ""))
    if moment is None:
        return 0.0
    # Counted from when it was said by the same clock; ours may be another.
    return min(max(0.0, (moment - (sent or datetime.now(UTC))).total_seconds()), 7 * 86400.0)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
