"""Says what is wrong with a Compose component before it is published. Pure: looks at files handed to it.

What the Compose program itself would complain about is its business (and asked on the device);
here are the rules that make a folder a Margo component (spec: CMP-5, CMP-7, CMP-8).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from edgewright.protocol.errors import DocumentError

COMPOSE_FILE = "compose.yaml"
OTHER_SPELLINGS = ("compose.yml", "docker-compose.yaml", "docker-compose.yml")


MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_MERGED = 10_000  # entries that merge keys may bring into one mapping; real files have dozens


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to put right (`fatal`), or to think about; `path` is the place in compose.yaml."""

    path: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check_component(files: Mapping[str, bytes], *, source: str) -> list[Finding]:
    """Return what is wrong or doubtful about the component made of `files` (relative path to content).

    Raises DocumentError, naming `source`, when compose.yaml is no YAML.
    """
    if COMPOSE_FILE not in files:
        return [Finding(path="$", message=missing_file(files))]
    document = load_compose(files[COMPOSE_FILE], source=f"{source}/{COMPOSE_FILE}")
    if not isinstance(document, dict):
        return [Finding(path="$", message="expected a mapping with 'services'")]
    services = document.get("services")
    if not isinstance(services, dict) or not services:
        return [Finding(path="$.services", message="expected at least one service")]
    findings = [finding for name, service in services.items() for finding in _service(name, service, files)]
    findings += _files_of(document, "configs", files)
    findings += _secrets(document, files)
    findings += _includes(document, files)
    return findings


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as Compose programs read it: with merge keys and tags, which Margo's documents do not have."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Carry out the merge keys of `node`, within bounds."""
        super().flatten_mapping(node)
        if len(node.value) > MAX_MERGED:
            raise yaml.constructor.ConstructorError(None, None, "too much is merged here", node.start_mark)


_Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)  # `!reset`, `!override`


def load_compose(data: bytes, *, source: str) -> object:
    """Return the value of the Compose file `data`; raises DocumentError naming `source` and the line."""
    if len(data) > MAX_BYTES:
        raise DocumentError(f"larger than {MAX_BYTES} bytes", source=source)
    try:
        _check_depth(data, source)
        return yaml.load(data, Loader=_Loader)  # noqa: S506 - `_Loader` is a safe one
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DocumentError(f"{line}{error.problem or error.context}", source=source) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(f"no YAML that Compose could read: {error}", source=source) from error


def _check_depth(data: bytes, source: str) -> None:
    """Refuse what is nested so deeply that building it would exhaust the stack (libyaml does not ask)."""
    depth = 0
    for event in yaml.parse(data, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise DocumentError(f"nested more than {MAX_DEPTH} deep", source=source)


def missing_file(names: Iterable[str]) -> str:
    """Return what to say of a folder with `names` and without compose.yaml."""
    files = set(names)
    other = next((name for name in OTHER_SPELLINGS if name in files), None)
    if other is not None:
        return (
            f"{COMPOSE_FILE} is missing; {other} has to be named {COMPOSE_FILE}, no other spelling is valid"
        )
    return f"{COMPOSE_FILE} is missing"


def _service(name: str, service: object, files: Mapping[str, bytes]) -> Iterator[Finding]:
    where = f"$.services.{name}"
    if not isinstance(service, dict):
        yield Finding(path=where, message="expected a mapping")
        return
    yield from _image(where, service)
    for at, path in _env_files(service.get("env_file")):
        yield from _inside(f"{where}.env_file{at}", path, files)
    extends = service.get("extends")
    if isinstance(extends, dict) and isinstance(extends.get("file"), str):
        yield from _inside(f"{where}.extends.file", extends["file"], files)
    for index, source in _bind_sources(service.get("volumes")):
        if posixpath.normpath(source) in _folders_and_files(files):
            message = (
                f"'{source}' is in the folder, but a bind mount's source is never taken from the component"
            )
            yield Finding(path=f"{where}.volumes[{index}]", message=message, fatal=False)


def _image(where: str, service: Mapping[str, object]) -> Iterator[Finding]:
    image = service.get("image")
    if "extends" in service and image is None:
        return
    if not isinstance(image, str) or not image:
        built = "; images are not built on the device" if "build" in service else ""
        yield Finding(path=f"{where}.image", message=f"expected the name of an image{built}")
        return
    name = image.rpartition("/")[2]
    if "$" not in image and "@" not in image and (":" not in name or name.endswith(":latest")):
        message = f"'{image}' names no version: devices get whatever is newest on the day they pull it"
        yield Finding(path=f"{where}.image", message=message, fatal=False)


def _env_files(value: object) -> Iterator[tuple[str, str]]:
    """Yield (index text, path) of each file that has to be there; `env_file` has three spellings."""
    if isinstance(value, str):
        yield "", value
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            if isinstance(entry, str):
                yield f"[{index}]", entry
            elif isinstance(entry, dict) and _is_required_file(entry):
                yield f"[{index}].path", entry["path"]


def _is_required_file(entry: Mapping[str, object]) -> bool:
    return isinstance(entry.get("path"), str) and entry.get("required") is not False


def _bind_sources(value: object) -> Iterator[tuple[int, str]]:
    """Yield (index, source) of each bind mount with a relative source."""
    if not isinstance(value, list):
        return
    for index, entry in enumerate(value):
        if isinstance(entry, str) and entry.startswith("."):
            yield index, entry.partition(":")[0]
        elif isinstance(entry, dict) and entry.get("type") == "bind":
            source = entry.get("source")
            if isinstance(source, str) and not source.startswith("/"):
                yield index, source


def _files_of(document: Mapping[str, object], section: str, files: Mapping[str, bytes]) -> Iterator[Finding]:
    entries = document.get(section)
    if isinstance(entries, dict):
        for name, entry in entries.items():
            if isinstance(entry, dict) and isinstance(entry.get("file"), str):
                yield from _inside(f"$.{section}.{name}.file", entry["file"], files)


def _secrets(document: Mapping[str, object], files: Mapping[str, bytes]) -> Iterator[Finding]:
    secrets = document.get("secrets")
    if isinstance(secrets, dict):
        for name, entry in secrets.items():
            path = entry.get("file") if isinstance(entry, dict) else None
            if isinstance(path, str) and posixpath.normpath(path) in files:
                message = f"'{path}' is a secret and would be published with the component"
                yield Finding(path=f"$.secrets.{name}.file", message=message, fatal=False)


def _includes(document: Mapping[str, object], files: Mapping[str, bytes]) -> Iterator[Finding]:
    includes = document.get("include")
    if isinstance(includes, list):
        for index, entry in enumerate(includes):
            path = entry.get("path") if isinstance(entry, dict) else entry
            if isinstance(path, str):
                yield from _inside(f"$.include[{index}]", path, files)


def _inside(where: str, path: str, files: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield a finding unless `path` is a file of the component, named relatively (spec: CMP-7)."""
    if "$" in path:
        message = f"'{path}' depends on a variable, so nobody can say whether the file is in the component"
        yield Finding(path=where, message=message, fatal=False)
        return
    normal = posixpath.normpath(path)
    if posixpath.isabs(path) or normal == ".." or normal.startswith("../"):
        yield Finding(path=where, message=f"'{path}' leaves the component's folder")
    elif normal not in files:
        yield Finding(path=where, message=f"'{path}' is not in the component's folder")


def _folders_and_files(files: Mapping[str, bytes]) -> set[str]:
    found = set(files) | {"."}
    for name in files:
        parent = posixpath.dirname(name)
        while parent:
            found.add(parent)
            parent = posixpath.dirname(parent)
    return found
