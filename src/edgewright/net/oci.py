"""A client for OCI registries: manifests, blobs, tags, and pushing them (spec: REG-1, REG-7, REG-8, CMP-11).

Every byte is checked against the digest that names it before anybody uses it. A download that breaks off goes
on where it stopped. Credentials go to the registry and to the token service it names, never to where it
redirects, and never in the clear unless the settings say so or the registry is on this machine.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlencode, urljoin, urlsplit

from edgewright.net.http import Client, HttpError, NoTlsError, Origin, Response, UrlError
from edgewright.net.registries import Registries, RegistrySettings
from edgewright.net.tls import registry_context
from edgewright.protocol.digests import DigestCheck, check_digest, digest_of, verify_digest
from edgewright.protocol.errors import DigestMismatchError, EdgewrightError
from edgewright.protocol.media_types import OCI_INDEX, OCI_MANIFEST

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_PAGES = 1000
# Asked for at a time; registries answer with fewer where that is too many for them.
PAGE_ENTRIES = 100
MAX_REDIRECTS = 5
DOWNLOAD_ATTEMPTS = 5

_DOCKER_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DOCKER_HUB = "registry-1.docker.io"  # what everybody calls docker.io
_ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, *_DOCKER_MANIFESTS))
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_CHALLENGE = re.compile(r"(\w+)\s+((?:\w+=(?:\"[^\"]*\"|[^\s,\"]+)(?:\s*,\s*)?)+|$)")
_CHALLENGE_PARAMETER = re.compile(r"(\w+)=(?:\"([^\"]*)\"|([^\s,\"]+))")
_NEXT_LINK = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?")


class RegistryError(EdgewrightError):
    """A registry did not give what was asked for; the message names the registry and what it was asked."""

    code = "registry.failed"
    retryable = True


class RegistryNotFoundError(RegistryError):
    """The registry answers, and does not have it."""

    code = "registry.not-found"
    retryable = False


class RegistryRefusedError(RegistryError):
    """The registry wants other credentials than it was given."""

    code = "registry.unauthorized"
    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """A manifest's exact bytes, the digest they have, and the media type the registry gave with them."""

    data: bytes
    digest: str
    media_type: str


class RegistryClient:
    """Talks to one registry, `host` written as in references (`registry.example:5000`).

    A registry on this machine that does not speak TLS is spoken to without, as container engines do.
    """

    def __init__(self, host: str, settings: RegistrySettings | None = None, *, timeout: float = 30.0) -> None:
        self.host = host
        self._address = _DOCKER_HUB if host in ("docker.io", "index.docker.io") else host
        self._settings = settings or RegistrySettings()
        self._timeout = timeout
        self._authorization = None if self._settings.token is None else f"Bearer {self._settings.token}"
        self._context = (
            None if self._settings.plain_http else registry_context(self._settings.ca, self._settings.ca_pem)
        )
        scheme = "http" if self._settings.plain_http else "https"
        self._client = self._connect(f"{scheme}://{self._address}")
        self._settled = self._settings.plain_http or not is_loopback(self._client.origin.host)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> "RegistryClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ping(self) -> None:
        """Return if the registry answers and accepts the credentials; raise RegistryError otherwise."""
        self._expect(self._request("GET", "/v2/"), (200,), "the registry's front page")

    def manifest(self, repository: str, reference: str) -> FetchedManifest:
        """Fetch the manifest that `reference` (a tag or a digest) names."""
        what = f"{repository} {reference}"
        path = f"/v2/{_repository(repository)}/manifests/{_reference(reference)}"
        answer = self._expect(self._request("GET", path, [("accept", _ACCEPT)]), (200,), what)
        if len(answer.body) > MAX_MANIFEST_BYTES:
            raise RegistryError(f"registry {self.host}: {what}: the manifest is too large")
        digest = digest_of(answer.body)
        expected = reference if ":" in reference else answer.headers.get("docker-content-digest", digest)
        verify_digest(answer.body, expected, location=f"registry {self.host}: {what}")
        if not answer.body.lstrip().startswith(b"{"):
            # As a proxy's page to log in, or one about an error: that says nothing about the artefact.
            raise RegistryError(
                f"registry {self.host}: {what}: answered with {answer.media_type or 'something'} that is no"
                " manifest; is there a proxy in between?"
            )
        return FetchedManifest(data=answer.body, digest=digest, media_type=answer.media_type)

    def manifest_digest(self, repository: str, reference: str) -> str:
        """Return the digest of what a tag names now, by the smallest answer the registry has for that."""
        path = f"/v2/{_repository(repository)}/manifests/{_reference(reference)}"
        scope = f"repository:{repository}:pull"
        answer = self._request("HEAD", path, [("accept", _ACCEPT)], scope=scope)
        digest = answer.headers.get("docker-content-digest", "")
        if answer.status == 200 and _DIGEST.fullmatch(digest):
            return digest
        # Some leave the digest out, and some know no HEAD at all.
        return self.manifest(repository, reference).digest

    def tags(self, repository: str) -> list[str]:
        """List the repository's tags, every page of them (spec: REG-7)."""
        path = f"/v2/{_repository(repository)}/tags/list"
        return self._paged(path, "tags", f"tags of {repository}")

    def catalog(self) -> list[str]:
        """List the repositories of a registry that tells; many tell nobody, or administrators alone."""
        return self._paged("/v2/_catalog", "repositories", "its catalogue", scope="registry:catalog:*")

    def _paged(self, base: str, member: str, what: str, *, scope: str | None = None) -> list[str]:
        """Return a list that comes in pages, each name once.

        The next page is where the Link header says. Behind a full page without one, the page after its last
        name is asked for: some registries leave the header out.
        """
        path: str | None = f"{base}?n={PAGE_ENTRIES}"
        found: dict[str, None] = {}
        seen: set[str] = set()
        while path is not None:
            if path in seen or len(seen) == MAX_PAGES:
                raise RegistryError(f"registry {self.host}: {what}: the list does not end")
            seen.add(path)
            answer = self._expect(self._request("GET", path, scope=scope), (200,), what)
            names = self._names_in(answer, member, what)
            is_news = not found.keys() >= set(names)
            found.update(dict.fromkeys(names))
            link = _NEXT_LINK.search(answer.headers.get("link", ""))
            if link is not None:
                path = self._own_path(path, link[1], what)
            elif len(names) >= PAGE_ENTRIES and is_news:
                path = f"{base}?{urlencode({'n': PAGE_ENTRIES, 'last': names[-1]})}"
            else:
                path = None
        return list(found)

    def blob(self, repository: str, digest: str, *, limit: int) -> bytes:
        """Fetch a blob of at most `limit` bytes into memory, checked."""
        pieces: list[bytes] = []
        what = f"{repository} {digest}"
        answer = self._download(repository, digest, pieces.append, limit=limit)
        self._expect(answer, (200,), what)
        data = b"".join(pieces)
        verify_digest(data, digest, location=f"registry {self.host}: {what}")
        return data

    def blob_to_file(self, repository: str, digest: str, path: str, *, limit: int) -> None:
        """Fetch a blob into file `path`, which appears only whole, checked and on the disk.

        What had come before a connection broke off is kept in `path`.part, here and over calls.
        """
        partial = f"{path}.part"
        for attempt in range(DOWNLOAD_ATTEMPTS):
            before = _size(partial)
            try:
                self._blob_to_partial(repository, digest, partial, limit=limit)
            except RegistryError as error:
                broke_off = isinstance(error.__cause__, HttpError) and error.__cause__.retryable
                if not broke_off or _size(partial) <= before or attempt == DOWNLOAD_ATTEMPTS - 1:
                    raise
            else:
                os.replace(partial, path)
                return

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether the registry holds a blob in this repository."""
        path = f"/v2/{_repository(repository)}/blobs/{check_digest(digest)}"
        answer = self._request("HEAD", path, scope=f"repository:{repository}:pull")
        if answer.status == 404:
            return False
        self._expect(answer, (200, 307), f"{repository} {digest}")
        return True

    def push_blob(self, repository: str, data: bytes) -> str:
        """Store `data` as a blob of the repository unless it is there; return its digest."""
        digest = digest_of(data)
        what = f"upload to {repository}"
        scope = f"repository:{repository}:pull,push"
        if self.has_blob(repository, digest):
            return digest
        start = f"/v2/{_repository(repository)}/blobs/uploads/"
        answer = self._expect(self._request("POST", start, scope=scope), (202,), what)
        location = self._own_path(start, answer.headers.get("location", ""), what)
        target = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        headers = [("content-type", "application/octet-stream")]
        answer = self._request("PUT", target, headers, body=data, scope=scope, timeout=600.0)
        self._expect(answer, (201, 204), what)
        return digest

    def push_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        """Store a manifest under `reference`, whose blobs are there already; return its digest."""
        path = f"/v2/{_repository(repository)}/manifests/{_reference(reference)}"
        headers = [("content-type", media_type)]
        answer = self._request("PUT", path, headers, body=data, scope=f"repository:{repository}:pull,push")
        self._expect(answer, (201,), f"{repository} {reference}")
        return digest_of(data)

    # --- one request, with whatever it takes to be let in -------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        body: bytes | None = None,
        scope: str | None = None,
        timeout: float | None = None,
    ) -> Response:
        def send(more: list[tuple[str, str]]) -> Response:
            return self._client.request(method, path, headers=[*headers, *more], body=body, timeout=timeout)

        return self._authorized(send, scope)

    def _authorized(self, send: Callable[[list[tuple[str, str]]], Response], scope: str | None) -> Response:
        """Send, once more without TLS or with credentials where the registry turns out to want that."""
        try:
            try:
                answer = send(self._credentials())
            except HttpError as error:
                if not self._may_do_without_tls(error):
                    raise
                answer = send(self._credentials())
            self._settled = True
            if answer.status == 401 and self._answer_challenge(answer, scope):
                answer = send(self._credentials())
        except HttpError as error:
            raise RegistryError(f"registry {error}") from error
        return answer

    def _credentials(self) -> list[tuple[str, str]]:
        return [("authorization", self._authorization)] if self._authorization else []

    def _may_do_without_tls(self, error: HttpError) -> bool:
        """Go over to plain HTTP if this registry is on this machine and answers no TLS handshake."""
        if self._settled or not (isinstance(error, NoTlsError) or error.reason.endswith("cut off")):
            return False
        self._client.close()
        self._client = self._connect(f"http://{self._address}")
        self._settled = True
        return True

    def _connect(self, base_url: str) -> Client:
        context = self._context if base_url.startswith("https:") else None
        return Client(base_url, context=context, timeout=self._timeout)

    # --- credentials --------------------------------------------------------------------------------

    def _answer_challenge(self, answer: Response, scope: str | None) -> bool:
        """Get what the challenge asks for; whether another try is worth it."""
        header = answer.headers.get("www-authenticate", "")
        for scheme, parameters in _CHALLENGE.findall(header):
            found = {
                name.lower(): quoted or bare
                for name, quoted, bare in _CHALLENGE_PARAMETER.findall(parameters)
            }
            if scheme.lower() == "bearer" and "realm" in found:
                before, self._authorization = self._authorization, f"Bearer {self._token(found, scope)}"
                return self._authorization != before
            if scheme.lower() == "basic" and self._settings.username is not None:
                before, self._authorization = self._authorization, self._basic()
                return self._authorization != before
        return False

    def _basic(self) -> str:
        pair = f"{self._settings.username}:{self._settings.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")

    def _token(self, challenge: dict[str, str], scope: str | None) -> str:
        """Ask the token service a challenge names for a token (spec: REG-8)."""
        realm = urlsplit(challenge["realm"])
        base = f"{realm.scheme}://{realm.netloc}"
        query = {"service": challenge.get("service", ""), "scope": challenge.get("scope") or scope or ""}
        text = urlencode([pair for pair in query.items() if pair[1]])
        path = f"{realm.path or '/'}?{'&'.join(part for part in (realm.query, text) if part)}"
        self._refuse_clear_text(base)
        headers = [] if self._settings.username is None else [("authorization", self._basic())]
        with self._connect(base) as client:
            answer = client.request("GET", path, headers=headers)
        if answer.status in (401, 403):
            raise RegistryRefusedError(f"registry {self.host}: {base} refused the credentials")
        self._expect(answer, (200,), f"a token of {base}")
        try:
            content = json.loads(answer.body)
            token = content.get("token") or content.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise RegistryError(f"registry {self.host}: {base} answered without a token")
        return token

    def _refuse_clear_text(self, base_url: str) -> None:
        """Refuse to follow the registry to a place that is not HTTPS, or not HTTP at all."""
        try:
            origin = Origin(base_url)
        except UrlError as error:
            raise RegistryError(f"registry {self.host}: it points to {error}") from error
        allowed = self._settings.plain_http or is_loopback(origin.host)
        if origin.scheme != "https" and not (allowed and origin.scheme == "http"):
            raise RegistryError(f"registry {self.host}: refused to go to {origin.name} without TLS")

    # --- blobs --------------------------------------------------------------------------------------

    def _blob_to_partial(self, repository: str, digest: str, partial: str, *, limit: int) -> None:
        what = f"{repository} {digest}"
        check = DigestCheck(digest, f"registry {self.host}: {what}")
        with open(partial, "ab+") as file:
            offset = _hash_whole(file.fileno(), check)

            def started(answer: Response) -> None:
                nonlocal check
                if answer.status == 206 and _range_start(answer) == offset:
                    return
                if answer.status == 206:
                    raise RegistryError(f"registry {self.host}: {what}: it sent another part than asked for")
                file.truncate(0)
                check = DigestCheck(digest, check.location)

            def sink(piece: bytes) -> None:
                check.update(piece)
                file.write(piece)

            answer = self._download(repository, digest, sink, limit=limit, started=started, offset=offset)
            if answer.status == 416 and offset:
                file.truncate(0)
                check = DigestCheck(digest, check.location)
                answer = self._download(repository, digest, sink, limit=limit)
            self._expect(answer, (200, 206), what)
            try:
                check.finish()
            except DigestMismatchError:
                file.truncate(0)
                raise
            file.flush()
            os.fsync(file.fileno())

    def _download(
        self,
        repository: str,
        digest: str,
        sink: Callable[[bytes], object],
        *,
        limit: int,
        started: Callable[[Response], None] | None = None,
        offset: int = 0,
    ) -> Response:
        """GET a blob into `sink`, following redirects to where the registry keeps its blobs."""
        path = f"/v2/{_repository(repository)}/blobs/{check_digest(digest)}"
        extra = [("range", f"bytes={offset}-")] if offset else []
        extra.append(("accept-encoding", "identity"))

        def send(more: list[tuple[str, str]]) -> Response:
            headers = [*extra, *more]
            return self._client.download(path, sink, headers=headers, started=started, max_body=limit)

        answer = self._authorized(send, f"repository:{repository}:pull")
        url = f"{self._client.origin.scheme}://{self._address}{path}"
        for _ in range(MAX_REDIRECTS):
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
            parts = urlsplit(url)
            base = f"{parts.scheme}://{parts.netloc}"
            target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
            try:
                self._refuse_clear_text(base)
                with self._connect(base) as client:
                    answer = client.download(target, sink, headers=extra, started=started, max_body=limit)
            except HttpError as error:
                raise RegistryError(f"registry {self.host}: redirected to {error}") from error
        raise RegistryError(f"registry {self.host}: {repository}: too many redirects")

    # --- reading answers ----------------------------------------------------------------------------

    def _expect(self, answer: Response, statuses: tuple[int, ...], what: str) -> Response:
        if answer.status in statuses:
            return answer
        told = _told(answer)
        message = f"registry {self.host}: {what}: {told}"
        if answer.status == 404:
            raise RegistryNotFoundError(message)
        if answer.status in (401, 403):
            has_some = self._settings.username or self._settings.token
            has = "refused these credentials" if has_some else "wants credentials"
            raise RegistryRefusedError(f"{message}; it {has} ({self._settings.where})")
        raise RegistryError(message)

    def _names_in(self, answer: Response, member: str, what: str) -> list[str]:
        message = f"registry {self.host}: {what}: the answer is not a list of {member}"
        try:
            names = json.loads(answer.body)[member] or []
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryError(message) from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RegistryError(message)
        return names

    def _own_path(self, base: str, location: str, what: str) -> str:
        """Return the path of a location the registry gave, which has to be its own."""
        own = f"{self._client.origin.scheme}://{self._address}"
        parts = urlsplit(urljoin(own + base, location))
        if not location or parts.netloc != self._address:
            raise RegistryError(f"registry {self.host}: {what}: it points elsewhere, to {location!r}")
        return parts._replace(scheme="", netloc="", fragment="").geturl()


class RegistryPool:
    """The registries of one run, each with one connection; `client` makes them as they are needed."""

    def __init__(self, registries: Registries | None = None) -> None:
        self._registries = registries or Registries()
        self._clients: dict[str, RegistryClient] = {}

    def client(self, host: str) -> RegistryClient:
        """Return the client for `host`, the same one every time."""
        if host not in self._clients:
            self._clients[host] = RegistryClient(host, self._registries.settings(host))
        return self._clients[host]

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def is_loopback(host: str) -> bool:
    """Tell whether `host` (no port) is this machine by its very name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _repository(name: str) -> str:
    if len(name) > 255 or not _REPOSITORY.fullmatch(name):
        raise RegistryNotFoundError(f"{name!r} is not the name of a repository")
    return name


def _reference(reference: str) -> str:
    if ":" in reference:
        return check_digest(reference)
    if not _TAG.fullmatch(reference):
        raise RegistryNotFoundError(f"{reference!r} is not a tag")
    return reference


def _told(answer: Response) -> str:
    """Say what an error answer says, in the registry's own words where it has some."""
    try:
        first = json.loads(answer.body)["errors"][0]
        words = str(first.get("message") or first.get("code"))[:200]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        words = answer.reason
    return f"{answer.status} {words}".strip()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _hash_whole(descriptor: int, check: DigestCheck) -> int:
    """Add everything in the file to `check`; return how much that is."""
    offset = 0
    while data := os.pread(descriptor, 1024 * 1024, offset):
        check.update(data)
        offset += len(data)
    return offset


def _range_start(answer: Response) -> int | None:
    match = re.match(r"bytes (\d+)-", answer.headers.get("content-range", ""))
    return int(match[1]) if match else None
