"""What becomes of a compose.yaml before it runs, as plain functions: parameters in, our labels on.

A component's file is read by the Compose program itself, with the parameters in a file of their own; what
comes out has no variables left and is the only thing `up` ever sees. So a parameter may be called PATH or
DOCKER_HOST or COMPOSE_PROFILES: it reaches the containers and steers nothing (spec: AD-7).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgewright.agent.runtimes import Component, ComponentInvalidError
from edgewright.protocol.yaml import dump_json

DEPLOYMENT_LABEL = "io.edgewright.deployment"
COMPONENT_LABEL = "io.edgewright.component"
OWNER_LABEL = "io.edgewright.owner"
ONCE_LABEL = "io.edgewright.once"
FILES_LABEL = "io.edgewright.files"

PROBE_KEY = "x-edgewright-probe"
_PROBE_DOLLAR = "a$$b"

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPRESSION = re.compile(r"\$\{(.*)\}")
_INTERPOLATES = re.compile(r"\$(?:\{|[A-Za-z_])")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NOT_IN_FILE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A component ready to run: `document` is the Compose file that `up` reads, in JSON.

    `services` maps service name to how many containers it has, `images` service name to (image, platform or
    None, pull policy); `once` names the services that are expected to end by themselves.
    """

    document: bytes
    services: Mapping[str, int]
    images: Mapping[str, tuple[str, str | None, str]]
    once: frozenset[str]


def project_name(deployment_id: str, component: str) -> str:
    """Return the Compose project's name, the same for every revision: named volumes survive updates."""
    identity = hashlib.sha256(f"{deployment_id}/{component}".encode()).hexdigest()[:12]
    readable = re.sub(r"[^a-z0-9_-]+", "-", component.lower())[:40].strip("-") or "component"
    return f"ew-{readable}-{identity}"


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse names and values that no process can have in its environment."""
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name:
            raise ComponentInvalidError(f"parameter {name!r}: not a name an environment variable can have")
        if "\0" in value:
            raise ComponentInvalidError(f"parameter {name}: a value with a zero byte cannot be passed on")
        if not _is_text(name) or not _is_text(value):
            raise ComponentInvalidError(f"parameter {name!r}: not text that can be written as UTF-8")


def interpolated_names(environment: Mapping[str, str]) -> list[str]:
    """Return the parameters compose.yaml can name as ${NAME}.

    Not those named COMPOSE_…, which the program would take for its own settings, nor values with control
    characters, which its parameter files cannot carry; both still reach the containers.
    """
    return sorted(
        name
        for name, value in environment.items()
        if _VARIABLE_NAME.fullmatch(name)
        and not name.upper().startswith("COMPOSE_")
        and not _NOT_IN_FILE.search(value)
    )


def parameter_file(environment: Mapping[str, str]) -> bytes:
    """Render the file the program reads parameters from: one NAME="value" a line, everything else escaped."""
    lines = []
    for name in interpolated_names(environment):
        text = "".join(_ESCAPES.get(character, character) for character in environment[name])
        lines.append(f'{name}="{text}"\n')
    return "".join(lines).encode()


def probe_file(environment: Mapping[str, str]) -> bytes:
    """Render a second Compose file that shows what the program made of each parameter."""
    probe = {name: f"${{{name}}}" for name in interpolated_names(environment)}
    return json.dumps({PROBE_KEY: {"dollar": _PROBE_DOLLAR, "parameters": probe}}).encode()


def read_configuration(output: bytes, environment: Mapping[str, str]) -> dict[str, Any]:
    """Read what `config` made of compose.yaml; check by the probe that every parameter got through."""
    told = json.loads(output)
    probe = told.pop(PROBE_KEY)
    if probe["dollar"] == _PROBE_DOLLAR:
        # This program escapes dollars on output, as most versions do.
        told, probe = _unescaped(told), _unescaped(probe)
    for name, value in (probe.get("parameters") or {}).items():
        if value != environment[name]:
            raise ComponentInvalidError(
                f"parameter {name}: this Compose program cannot carry its value ({value!r} came out)"
            )
    configuration: dict[str, Any] = told
    return configuration


def authored_environment(uninterpolated: Mapping[str, Any]) -> Mapping[str, Mapping[str, object]]:
    """Return the environment of each service as its author wrote it, from `config --no-interpolate`."""
    services = uninterpolated.get("services") or {}
    return {name: service.get("environment") or {} for name, service in services.items()}


def check_files(configuration: Mapping[str, Any], uninterpolated: Mapping[str, Any], *, home: str) -> None:
    """Refuse files of the package that are not in it, such as `env_file: /etc/shadow` (spec: CMP-7).

    `home` is where the package's files are. Raises ComponentInvalidError.
    """
    for name, config in (configuration.get("configs") or {}).items():
        if config.get("file") and not _is_inside(config["file"], home):
            raise ComponentInvalidError(f"compose.yaml: config {name}: its file is not in the package")
    for name, service in (uninterpolated.get("services") or {}).items():
        for entry in service.get("env_file") or []:
            path = entry["path"] if isinstance(entry, dict) else entry
            if not _is_inside(path, home):
                raise ComponentInvalidError(f"compose.yaml: service {name}: env_file is not in the package")


def _is_inside(path: str, home: str) -> bool:
    """Tell whether `path`, which may still hold variables, stays below `home` whatever their defaults are."""
    rest = path.removeprefix(f"{home}/")
    if rest == path:
        return False
    return ".." not in rest.split("/") and not any(
        "/" in found or ".." in found for found in _EXPRESSION.findall(rest)
    )


def secret_parameters(configuration: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that secrets are made of (`environment: NAME`), which `up` has to see itself.

    Raises ComponentInvalidError for a name the program would take for its own settings.
    """
    names = {secret.get("environment") for secret in (configuration.get("secrets") or {}).values()} - {None}
    for name in sorted(names):
        if name.upper().startswith(("COMPOSE_", "DOCKER_")):
            raise ComponentInvalidError(f"compose.yaml: a secret cannot be made of the variable {name}")
    return {name: environment[name] for name in names if name in environment}


def build_project(
    configuration: Mapping[str, Any],
    authored: Mapping[str, Mapping[str, object]],
    component: Component,
    *,
    owner: str,
) -> Project:
    """Turn a configuration without variables into the project that runs; raises ComponentInvalidError.

    Every service gets the parameters; only what the author composed from variables himself stays as it is.
    """
    services = dict(configuration.get("services") or {})
    if not services:
        raise ComponentInvalidError("compose.yaml: there is no service in it")
    labels = _labels(component, owner)
    once = frozenset(_once(services))
    images = {}
    counts = {}
    for name, service in services.items():
        if not service.get("image"):
            raise ComponentInvalidError(
                f"compose.yaml: service {name}: it has no image, and none is built here"
            )
        images[name] = (service["image"], service.get("platform"), service.get("pull_policy") or "")
        counts[name] = _count(service)
        services[name] = _service(
            service,
            environment=_injected(component.environment, authored.get(name) or {}),
            labels=labels
            | ({ONCE_LABEL: "true"} if name in once else {})
            | _files_label(service, configuration, component.environment),
        )
    document = {
        **configuration,
        "name": project_name(*component.key),
        "services": services,
        "networks": _labelled(configuration.get("networks"), labels),
        "volumes": _labelled(configuration.get("volumes"), labels),
    }
    return Project(document=dump_json(_escaped(document)).encode(), services=counts, images=images, once=once)


def pinned_document(document: bytes, names: Mapping[str, str]) -> bytes:
    """Return a project's document with the images in `names`, by service, in place of the author's."""
    content = json.loads(document)
    for service, name in names.items():
        content["services"][service]["image"] = name
    return dump_json(content).encode()


def _labels(component: Component, owner: str) -> dict[str, str]:
    """Say whose a thing is, and never which revision: a new label would recreate what did not change."""
    return {
        OWNER_LABEL: owner,
        DEPLOYMENT_LABEL: component.deployment_id,
        COMPONENT_LABEL: component.name,
    }


def _service(
    service: Mapping[str, Any], *, environment: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Any]:
    kept = {key: value for key, value in service.items() if key not in ("build", "profiles", "develop")}
    return {
        **kept,
        "environment": {**(service.get("environment") or {}), **environment},
        "labels": {**(service.get("labels") or {}), **labels},
        "pull_policy": "never",  # what is not here was not fetched, and starting is no time to wait for it
    }


def _injected(environment: Mapping[str, str], authored: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters for one service, without those whose variable the author composed himself."""
    return {
        name: value
        for name, value in environment.items()
        if not (isinstance(written := authored.get(name), str) and _interpolates(written))
    }


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _interpolates(text: str) -> bool:
    return _INTERPOLATES.search(text.replace("$$", "")) is not None


def _once(services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the services whose author says that they end: never restarted, or waited for until they end."""
    for name, service in services.items():
        if service.get("restart") == "no":
            yield name
        for needed, how in (service.get("depends_on") or {}).items():
            if how.get("condition") == "service_completed_successfully":
                yield needed


def _count(service: Mapping[str, Any]) -> int:
    scale = service.get("scale")
    if scale is None:
        scale = (service.get("deploy") or {}).get("replicas")
    return 1 if scale is None else int(scale)


def _files_label(
    service: Mapping[str, Any], configuration: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return a label that changes with the configs and secrets the service mounts.

    The program does not look at them when it decides what has to be recreated: a new text would not arrive,
    and a new place would leave a running container with the files of a revision that is going to be removed.
    """
    used = [
        {**source, "value": environment.get(source.get("environment") or "")}
        for kind in ("configs", "secrets")
        for use in service.get(kind) or []
        if (source := (configuration.get(kind) or {}).get(use["source"])) and not source.get("external")
    ]
    if not used:
        return {}
    return {FILES_LABEL: hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()[:16]}


def _labelled(things: Mapping[str, Any] | None, labels: Mapping[str, str]) -> dict[str, Any]:
    return {name: _labelled_one(thing or {}, labels) for name, thing in (things or {}).items()}


def _labelled_one(thing: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    if thing.get("external"):
        return dict(thing)  # somebody else's
    return {**thing, "labels": {**(thing.get("labels") or {}), **labels}}


def _escaped(value: Any) -> Any:
    """Double every dollar in values, not in keys: the way the program reads a file again unchanged."""
    match value:
        case str():
            return value.replace("$", "$$")
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case list():
            return [_escaped(item) for item in value]
        case _:
            return value


def _unescaped(value: Any) -> Any:
    match value:
        case str():
            return value.replace("$$", "$")
        case dict():
            return {key.replace("$$", "$"): _unescaped(item) for key, item in value.items()}
        case list():
            return [_unescaped(item) for item in value]
        case _:
            return value
