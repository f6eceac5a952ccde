"""Things as documents: `apiVersion`, `kind`, `metadata`, `spec`, and a `status` that nobody has to write.

What `get -o yaml` prints, `apply -f` takes: `spec` is what people decide, with the operator API's own member
names, `status` is everything else and is ignored when read. Many documents are separated by `---` in YAML,
and are the `items` of a `kind: List` in JSON; both forms are read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.cli.errors import UsageError
from edgewright.cli.resources.registry import TITLES, kind_called
from edgewright.protocol import yaml
from edgewright.protocol.errors import DocumentError

API_VERSION = "edgewright.io/v1"
SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
# As much as the fleet manager takes of one change, many times over.
_MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One thing as it is written; `source` says where, for errors."""

    kind: str
    metadata: Mapping[str, Any]
    spec: Mapping[str, Any] | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def name(self) -> str:
        """The name in the metadata."""
        return str(self.metadata["name"])

    @property
    def title(self) -> str:
        """How commands name it to people: `assignment/shop`."""
        return f"{TITLES[self.kind]}/{self.name}"

    def to_plain(self) -> dict[str, Any]:
        """Return it as it is written."""
        written: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": dict(self.metadata),
        }
        if self.spec is not None:
            written["spec"] = dict(self.spec)
        if self.status:
            written["status"] = dict(self.status)
        return written

    def wish(self) -> dict[str, Any]:
        """Return the part of it that people decide."""
        return {name: value for name, value in self.to_plain().items() if name != "status"}

    def wrong(self, path: str, message: str) -> DocumentError:
        """Return the error for a member of it."""
        return DocumentError(message, source=self.source, path=path)


def render(documents: Sequence[Document], output: str, *, is_list: bool) -> str:
    """Return the documents as `output` json or yaml; a list is a list also when it has one entry."""
    plain = [document.to_plain() for document in documents]
    if output == "json":
        whole = {"apiVersion": API_VERSION, "kind": "List", "items": plain} if is_list else plain[0]
        return yaml.dump_json(whole, indent=2) + "\n"
    return "---\n".join(yaml.dump(one).decode() for one in plain)


def read_files(names: Sequence[str]) -> list[Document]:
    """Return the documents in files, folders (their .yaml, .yml and .json, by name) and `-`, stdin.

    Raises UsageError or DocumentError; nothing is half read.
    """
    found = [document for name in names for document in _read(name)]
    if not found:
        raise UsageError(f"{', '.join(names)}: there is nothing in it")
    seen: dict[tuple[str, str, str], str] = {}
    for one in found:
        place = str((one.spec or {}).get("device", "")) if one.kind == "Deployment" else ""
        before = seen.setdefault((one.kind, one.name, place), one.source)
        if before is not one.source:
            raise one.wrong("$.metadata.name", f"{one.title} is in {before} as well")
    return found


def _read(name: str) -> Iterator[Document]:
    if name == STDIN:
        yield from parse(sys.stdin.buffer.read(), "standard input")
        return
    path = Path(name)
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
        if not files:
            raise UsageError(f"{path}: there is no file *.yaml, *.yml or *.json in this folder")
    else:
        files = [path]
    from edgewright.cli.context import read_file

    for file in files:
        yield from parse(read_file(file), str(file))


def parse(data: bytes, source: str) -> Iterator[Document]:
    """Yield the documents in `data`; empty ones are passed over. JSON is YAML."""
    many = yaml.load_all(data, source=source, limit=_MOST_BYTES)
    for line, content in many:
        place = source if len(many) == 1 else f"{source}, line {line}"
        if content is None:
            continue
        if isinstance(content, dict) and content.get("kind") == "List":
            _check_version(content, place)
            items = content.get("items")
            if not isinstance(items, list):
                raise DocumentError("expected a list of documents", source=place, path="$.items")
            for number, item in enumerate(items):
                yield _document(item, f"{place}, item {number + 1}")
        else:
            yield _document(content, place)


def _document(content: object, source: str) -> Document:
    if not isinstance(content, dict):
        raise DocumentError("expected a mapping with apiVersion, kind, metadata and spec", source=source)
    _check_version(content, source)
    title = content.get("kind")
    if title not in TITLES:
        from edgewright.cli.arguments import unknown

        told = unknown(title, list(TITLES)) if isinstance(title, str) else f"one of {', '.join(TITLES)}"
        raise DocumentError(told, source=source, path="$.kind")
    unexpected = [name for name in content if name not in _TOP]
    if unexpected:
        raise DocumentError(f"expected {', '.join(_TOP)}", source=source, path=f"$.{unexpected[0]}")
    metadata, spec = content.get("metadata"), content.get("spec")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise DocumentError("expected a name", source=source, path="$.metadata.name")
    if spec is not None and not isinstance(spec, dict):
        raise DocumentError("expected a mapping", source=source, path="$.spec")
    status = content.get("status")
    document = Document(
        kind=title,
        metadata=metadata,
        spec=spec,
        status=status if isinstance(status, dict) else {},
        source=source,
    )
    _check_spec(document)
    return document


def _check_version(content: Mapping[str, Any], source: str) -> None:
    if content.get("apiVersion") != API_VERSION:
        raise DocumentError(f"expected {API_VERSION}", source=source, path="$.apiVersion")


def _check_spec(document: Document) -> None:
    declared = kind_called(TITLES[document.kind]).declared
    if declared is None:
        can = ", ".join(title for title, name in TITLES.items() if kind_called(name).declared)
        raise document.wrong("$.kind", f"a {document.kind} is not applied from a file; these are: {can}")
    spec = document.spec or {}
    missing = sorted(name for name in declared.required if spec.get(name) is None)
    if missing:
        raise document.wrong(f"$.spec.{missing[0]}", "is missing")
    for name in spec:
        if declared.members and name not in declared.members:
            from edgewright.cli.arguments import unknown

            raise document.wrong(f"$.spec.{name}", unknown(name, sorted(declared.members)))
