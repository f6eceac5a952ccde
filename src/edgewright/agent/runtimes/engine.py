"""A client for the Docker-compatible socket of Docker and Podman: looks, pulls, stops and removes.

Inspection is the truth. Nothing here knows about Compose or about our labels; it is handed the filters.
"""

import base64
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from edgewright.agent.runtimes import EngineError, FetchError, StorageFullError
from edgewright.agent.runtimes.files import tells_of_full_disk
from edgewright.net.http import AnswerTooLargeError, Client, HttpError, Response
from edgewright.net.registries import Registries, RegistrySettings

TIMEOUT_SECONDS = 60.0
PULL_SILENCE_SECONDS = 900.0  # Podman says nothing while it unpacks a large layer
PRESENCE_SECONDS = 240.0
MAX_PULL_REPORT_BYTES = 64 * 1024 * 1024
MAX_LOG_BYTES = 256 * 1024

_HALF_MADE = ("created", "initialized", "storage")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
_REPLACEMENT = re.compile(r"^[0-9a-f]{12}_")
_BARE_ID = re.compile(r"[0-9a-f]{64}")
_DIGEST_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")


class EngineRefusedError(EngineError):
    """The engine answers, and refuses what it was asked; `status` is its HTTP status."""

    code = "engine.refused"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Which engine answers: `kind` is "docker" or "podman"."""

    kind: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as inspection shows it; `state` and `health` are the engine's words, lower case.

    `health_interval`: seconds between two runs of its health check.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: str
    exit_code: int
    health: str
    has_health_check: bool
    health_interval: float
    restart_count: int
    restart_policy: str
    started_at: str
    image_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A network or volume: what it is addressed by, and its labels."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image on this device: its names by tag and by digest, and the digests of its unpacked layers."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


def socket_candidates(configured: str | None, environment: Mapping[str, str]) -> list[str]:
    """List the sockets an engine may listen on, best first; a configured one stands alone."""
    if configured:
        return [configured.removeprefix("unix://")]
    found = []
    if environment.get("DOCKER_HOST", "").startswith("unix://"):
        found.append(environment["DOCKER_HOST"].removeprefix("unix://"))
    found += ["/var/run/docker.sock", "/run/podman/podman.sock"]
    if environment.get("XDG_RUNTIME_DIR"):
        found += [
            f"{environment['XDG_RUNTIME_DIR']}/{name}" for name in ("docker.sock", "podman/podman.sock")
        ]
    return list(dict.fromkeys(found))


def find_engine(configured: str | None, environment: Mapping[str, str]) -> "Engine":
    """Return the first engine that answers; raises EngineError that names every socket tried and why not."""
    failures = []
    for path in socket_candidates(configured, environment):
        engine = Engine(path)
        try:
            engine.info()
        except EngineError as error:
            engine.close()
            failures.append(str(error))
        else:
            return engine
    raise EngineError(
        f"no container engine answers ({'; '.join(failures)}). Start Docker, or Podman's service "
        "(systemctl enable --now podman.socket), or name its socket in agent.yaml"
    )


class Presence:
    """A connection on which nothing is asked: it ends with the engine that it was made to.

    So it tells an engine that was restarted meanwhile, however soon it answers again. That holds for the
    first minutes: some engines close what stays silent after five.
    """

    def __init__(self, socket_path: str) -> None:
        self._believed_until = time.monotonic() + PRESENCE_SECONDS
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(socket_path)
        except OSError:
            pass  # it has ended already, then

    def has_ended(self, *, within: float) -> bool:
        """Tell whether the engine has gone away since, or does `within` so many seconds."""
        if time.monotonic() > self._believed_until:
            return False
        self._socket.settimeout(max(within, 0.001))
        try:
            return not self._socket.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Engine:
    """One engine behind one socket. All failures are `EngineError`s; not for several threads at once."""

    def __init__(self, socket_path: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.socket_path = socket_path
        self._client = Client(f"unix://{socket_path}", timeout=timeout, max_body=MAX_PULL_REPORT_BYTES)
        self._info: EngineInfo | None = None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def another(self, *, timeout: float = TIMEOUT_SECONDS) -> "Engine":
        """Return a client of its own for the same engine: for another thread, or another patience."""
        return Engine(self.socket_path, timeout=timeout)

    def presence(self) -> Presence:
        """Return what tells later whether the engine of now has gone away."""
        return Presence(self.socket_path)

    def info(self) -> EngineInfo:
        """Tell which engine this is; asked once."""
        if self._info is None:
            told = self.get("/version")
            with _understood(self.socket_path):
                parts = {part.get("Name") for part in told.get("Components") or []}
                kind = "podman" if "Podman Engine" in parts else "docker"
                self._info = EngineInfo(kind=kind, version=str(told["Version"]))
        return self._info

    # --- looking ------------------------------------------------------------------------------------

    def containers(self, labels: Iterable[str]) -> list[Container]:
        """Inspect all containers, running or not, that carry all `labels` ("name" or "name=value")."""
        query = urlencode({"all": "true", "filters": _label_filter(labels)})
        with _understood(self.socket_path):
            ids = [listed["Id"] for listed in self.get(f"/containers/json?{query}")]
        found = [inspected for inspected in map(self.inspect, ids) if inspected is not None]
        return sorted(found, key=lambda container: container.name)

    def inspect(self, container_id: str) -> Container | None:
        """Inspect one container; None once it is gone."""
        try:
            told = self.get(f"/containers/{quote(container_id)}/json")
        except EngineRefusedError as error:
            if error.status == 404:
                return None
            raise
        with _understood(self.socket_path):
            return read_container(told)

    def networks(self, labels: Sequence[str]) -> list[Labelled]:
        """List the networks that carry all `labels`."""
        told = self.get(f"/networks?{urlencode({'filters': _label_filter(labels)})}")
        with _understood(self.socket_path):
            found = [Labelled(name=one["Id"], labels=one.get("Labels") or {}) for one in told]
            return [one for one in found if _carries(one.labels, labels)]

    def volumes(self, labels: Sequence[str]) -> list[Labelled]:
        """List the volumes that carry all `labels`."""
        told = self.get(f"/volumes?{urlencode({'filters': _label_filter(labels)})}")
        with _understood(self.socket_path):
            found = [
                Labelled(name=one["Name"], labels=one.get("Labels") or {}) for one in told["Volumes"] or []
            ]
            # Podman 4.3 lists volumes that carry any of the labels, and what is listed may be removed.
            return [one for one in found if _carries(one.labels, labels)]

    def debris(self, name_prefix: str) -> list[str]:
        """List half-made containers whose name starts with `name_prefix`, by name.

        Also those made to take the place of such a one, which have its identity in front of the name. A
        killed Podman leaves them where an ordinary list does not show them, and nothing can be started
        under their names until they are removed.
        """
        told = self.get("/containers/json?all=true&external=true")
        with _understood(self.socket_path):
            half_made = [one for one in told if str(one.get("State", "")).lower() in _HALF_MADE]
            names = [name.lstrip("/") for one in half_made for name in one.get("Names") or []]
        return [name for name in names if _REPLACEMENT.sub("", name).startswith(name_prefix)]

    def logs(self, container_id: str, *, lines: int) -> str:
        """Return the last lines a container wrote, both streams in order; "" where none can be had."""
        query = urlencode({"stdout": "true", "stderr": "true", "tail": str(lines)})
        try:
            answer = self.request("GET", f"/containers/{quote(container_id)}/logs?{query}")
        except EngineError:
            # Logs only explain another failure: a log driver that cannot be read must not hide it.
            return ""
        text = read_log(answer.body[-MAX_LOG_BYTES:] if _is_raw(answer) else answer.body)
        return "\n".join(text.splitlines()[-lines:])

    # --- changing -----------------------------------------------------------------------------------

    def stop(self, container_id: str) -> None:
        """Stop a container with the grace period it was made with; one that is gone or stopped is fine."""
        self.request(
            "POST",
            f"/containers/{quote(container_id)}/stop",
            accept=(204, 304, 404),
            timeout=TIMEOUT_SECONDS * 10,
        )

    def remove_container(self, container_id: str) -> None:
        """Remove a container and its unnamed volumes, running or not."""
        path = f"/containers/{quote(container_id)}?force=true&v=true"
        self.request("DELETE", path, accept=(200, 204, 404))

    def remove_network(self, network_id: str) -> None:
        """Remove a network."""
        self.request("DELETE", f"/networks/{quote(network_id)}", accept=(200, 204, 404))

    def remove_volume(self, name: str) -> None:
        """Remove a volume with its content."""
        self.request("DELETE", f"/volumes/{quote(name)}", accept=(204, 404))

    def run_health_check(self, container_id: str) -> None:
        """Let Podman run a container's health check now, and take its result into account."""
        path = f"/v4.0.0/libpod/containers/{quote(container_id)}/healthcheck"
        self.request("GET", path, accept=(200, 404, 409))

    # --- images -------------------------------------------------------------------------------------

    def image_id(self, reference: str) -> str | None:
        """Return the identity of the image `reference` names on this device, None if it is not here."""
        image = self.image(reference)
        return None if image is None else image.id

    def image(self, reference: str) -> Image | None:
        """Return the image `reference` names on this device, by name, digest or identity."""
        path = f"/images/{quote(reference, safe='')}/json"
        answer = self.request("GET", path, accept=(200, 404))
        if answer.status == 404:
            return None
        with _understood(self.socket_path):
            return read_image(self._read(answer, path))

    def image_ids(self) -> list[str]:
        """List the identities of all images on this device."""
        with _understood(self.socket_path):
            return [_full_id(listed["Id"]) for listed in self.get("/images/json")]

    def tag_image(self, image_id: str, repository: str, tag: str) -> None:
        """Give an image one more name."""
        query = urlencode({"repo": repository, "tag": tag})
        self.request("POST", f"/images/{quote(image_id)}/tag?{query}", accept=(200, 201))

    def remove_image(self, reference: str, *, force: bool = False) -> None:
        """Take a name from an image; with its last name the image goes. With `force` it goes at once."""
        query = "?force=true" if force else ""
        try:
            self.request("DELETE", f"/images/{quote(reference, safe='')}{query}", accept=(200, 404))
        except EngineRefusedError as error:
            # Podman lists an image under the digests of repositories whose names it has lost already.
            if "tag not known" not in str(error):
                raise

    def users_of_images(self) -> Mapping[str, list[Labelled]]:
        """Return, by image identity, the containers made from it, running or not, by id and labels."""
        users: dict[str, list[Labelled]] = {}
        for listed in self.get("/containers/json?all=true"):
            with _understood(self.socket_path):
                user = Labelled(name=listed["Id"], labels=listed.get("Labels") or {})
                users.setdefault(_full_id(listed["ImageID"]), []).append(user)
        return users

    def data_root(self) -> str:
        """Return the directory the engine keeps images in, as the engine sees it."""
        return str(self.get("/info").get("DockerRootDir") or "")

    def architecture(self) -> str:
        """Return the machine's architecture as image platforms name it."""
        told = str(self.get("/info").get("Architecture") or "")
        return _ARCHITECTURES.get(told, told)

    def pull(self, reference: str, registries: Registries, *, platform: str | None = None) -> None:
        """Pull an image with its registry's credentials; raises FetchError with the engine's words."""
        query = {"fromImage": with_tag(reference)} | ({"platform": platform} if platform else {})
        host = registry_of(reference)
        headers = _registry_auth(host, registries.settings(host))
        path = f"/images/create?{urlencode(query)}"
        with _engine_errors(self.socket_path):
            answer = self._client.request("POST", path, headers=headers, timeout=PULL_SILENCE_SECONDS)
        problem = _told(answer) if answer.status != 200 else pull_problem(answer.body)
        if problem is not None and tells_of_full_disk(problem):
            raise StorageFullError(f"image {reference}: {problem}")
        if problem is not None:
            raise FetchError(f"image {reference}: {problem}")

    # --- requests -----------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """Return the JSON that `path` answers with."""
        return self._read(self.request("GET", path), path)

    def download(self, path: str, sink: Callable[[bytes], object]) -> None:
        """Hand what `path` answers with to `sink`, piece by piece."""
        with _engine_errors(self.socket_path):
            answer = self._client.download(path, sink)
        if answer.status != 200:
            raise self._refusal("GET", path, answer)

    def _read(self, answer: Response, path: str) -> Any:
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise EngineError(f"{self.socket_path}: {path}: the answer is not JSON") from error

    def request(
        self,
        method: str,
        path: str,
        *,
        content: object = None,
        accept: tuple[int, ...] = (200,),
        timeout: float | None = None,
    ) -> Response:
        """Send one request, with `content` as JSON; raises EngineRefusedError for a status not accepted."""
        headers = [] if content is None else [("content-type", "application/json")]
        body = None if content is None else json.dumps(content).encode()
        with _engine_errors(self.socket_path):
            answer = self._client.request(method, path, headers=headers, body=body, timeout=timeout)
        if answer.status not in accept:
            raise self._refusal(method, path, answer)
        return answer

    def _refusal(self, method: str, path: str, answer: Response) -> EngineRefusedError | StorageFullError:
        told = f"{self.socket_path}: {method} {path.partition('?')[0]}: {_told(answer)}"
        if tells_of_full_disk(told):
            return StorageFullError(told)
        return EngineRefusedError(told, status=answer.status)


def read_container(told: Mapping[str, Any]) -> Container:
    """Read the answer of an inspection, Docker's or Podman's."""
    state, config, host = told["State"], told["Config"], told.get("HostConfig") or {}
    # Podman has said "Healthcheck" where Docker says "Health".
    health = state.get("Health") or state.get("Healthcheck") or {}
    check = (config.get("Healthcheck") or {}).get("Test") or []
    status = str(health.get("Status") or "").lower()
    return Container(
        id=told["Id"],
        name=str(told["Name"]).lstrip("/"),
        labels=config.get("Labels") or {},
        state=str(state.get("Status") or "").lower(),
        exit_code=int(state.get("ExitCode") or 0),
        health="" if status == "none" else status,
        has_health_check=bool(check) and check[0] != "NONE",
        health_interval=float((config.get("Healthcheck") or {}).get("Interval") or 30e9) / 1e9,
        restart_count=int(told.get("RestartCount") or 0),
        restart_policy=str((host.get("RestartPolicy") or {}).get("Name") or ""),
        started_at=str(state.get("StartedAt") or ""),
        image_id=_full_id(str(told.get("Image") or "")),
    )


def read_image(told: Mapping[str, Any]) -> Image:
    """Read the answer of an image's inspection."""
    return Image(
        id=_full_id(told["Id"]),
        tags=tuple(told.get("RepoTags") or ()),
        digests=tuple(told.get("RepoDigests") or ()),
        layers=tuple((told.get("RootFS") or {}).get("Layers") or ()),
    )


def _full_id(image_id: str) -> str:
    return f"sha256:{image_id}" if _BARE_ID.fullmatch(image_id) else image_id


def read_log(data: bytes) -> str:
    """Undo the framing of an engine's log answer (8 bytes before each piece; none with a terminal)."""
    pieces = []
    position = 0
    while (
        len(data) - position >= 8
        and data[position] in (0, 1, 2)
        and data[position + 1 : position + 4] == b"\0\0\0"
    ):
        size = int.from_bytes(data[position + 4 : position + 8], "big")
        pieces.append(data[position + 8 : position + 8 + size])
        position += 8 + size
    if not pieces:
        pieces = [data]
    return b"".join(pieces).decode("utf-8", "replace")


def with_tag(reference: str) -> str:
    """Add `:latest` where an image reference has neither tag nor digest; an engine would pull every tag."""
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"


def is_pinned(reference: str) -> bool:
    """Tell whether the reference names one content for ever."""
    return _DIGEST_PINNED.search(reference) is not None


def registry_of(reference: str) -> str:
    """Return the registry an image reference names, "docker.io" where it names none."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def pull_problem(report: bytes) -> str | None:
    """Return what went wrong by a pull's report (JSON lines), None if it went well."""
    for line in report.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            return f"the engine reported {line[:200]!r}"
        if isinstance(told, dict) and told.get("error"):
            return str(told["error"])
    return None


def _carries(found: Mapping[str, str], labels: Iterable[str]) -> bool:
    """Tell whether `found` has all `labels` ("name" or "name=value")."""
    wanted = (label.partition("=") for label in labels)
    return all(name in found and (not equals or found[name] == value) for name, equals, value in wanted)


def _label_filter(labels: Iterable[str]) -> str:
    return json.dumps({"label": list(labels)})


def _registry_auth(host: str, settings: RegistrySettings) -> list[tuple[str, str]]:
    if settings.username is None:
        return []
    auth = {"username": settings.username, "password": settings.password, "serveraddress": host}
    text = base64.urlsafe_b64encode(json.dumps(auth).encode()).decode("ascii")
    return [("x-registry-auth", text)]


def _is_raw(answer: Response) -> bool:
    return not answer.body[:1] or answer.body[0] not in (0, 1, 2)


def _told(answer: Response) -> str:
    try:
        content = json.loads(answer.body)
        return str(content.get("message") or content.get("cause") or content)
    except (ValueError, AttributeError):
        return f"{answer.status} {answer.reason} {os.fsdecode(answer.body[:200])}".strip()


@contextmanager
def _understood(socket_path: str) -> Iterator[None]:
    """Let an answer of another shape than expected be the engine's fault, told as such."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError(
            f"container engine {socket_path}: its answer is not understood ({error!r})"
        ) from error


@contextmanager
def _engine_errors(socket_path: str) -> Iterator[None]:
    try:
        yield
    except AnswerTooLargeError as error:
        raise EngineRefusedError(str(error), status=200) from error
    except HttpError as error:
        raise EngineError(f"container engine {socket_path}: {error.reason}") from error
