"""Turns what a person typed into parameter values: `--set name=text`, `--values FILE`, `--unset name`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from edgewright.cli.context import read_file
from edgewright.cli.errors import UsageError
from edgewright.protocol import yaml
from edgewright.protocol.description import ApplicationDescription, coerce_text, validate_value
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.values import Value

Given = str | int | float | bool | list[str | int | float | bool] | None


def parameters(
    description: ApplicationDescription,
    *,
    file: Path | None,
    settings: Iterable[str],
    unset: Iterable[str] = (),
) -> dict[str, Given]:
    """Return parameter name to value as the operator API takes it; None means back to the default.

    `settings` (`name=text`) outrank `file`. Everything is judged by the package's own rules before the
    server is asked (spec: CFG-2); raises UsageError naming all that is wrong.
    """
    values: dict[str, Given] = dict(values_of_file(file)) if file is not None else {}
    wrong = list[str]()
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise UsageError(f"'--set {setting}': expected name=value")
        try:
            values[name] = _plain(coerce_text(description, name, text))
        except DocumentError as error:
            wrong.append(unknown(name, description) or f"{name}: {error.detail}")
    values.update(dict.fromkeys(unset))
    for name, value in values.items():
        wrong += _judge(description, name, value)
    if wrong:
        raise UsageError("\n  ".join(dict.fromkeys(wrong)))
    return values


def values_of_file(path: Path) -> Mapping[str, Given]:
    """Return the mapping of parameter name to value in the YAML or JSON file `path`."""
    content = yaml.load(read_file(path), source=str(path))
    if not isinstance(content, dict):
        raise DocumentError("expected a mapping of parameter name to value", source=str(path))
    for name, value in content.items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | int | float | bool) for item in items):
            expected = "expected a text, a number, true, false, or a list of these"
            raise DocumentError(expected, source=str(path), path=f"$.{name}")
    return content


def unknown(name: str, description: ApplicationDescription) -> str | None:
    """Return what to say of a parameter that does not exist, None for one that does."""
    if name in description.parameters:
        return None
    near = get_close_matches(name, description.parameters, n=1)
    hint = (
        f"did you mean '{near[0]}'?" if near else f"there is: {', '.join(description.parameters) or 'none'}"
    )
    return f"there is no parameter '{name}'; {hint}"


def _judge(description: ApplicationDescription, name: str, value: Given) -> list[str]:
    missing = unknown(name, description)
    if missing:
        return [missing]
    if value is None:
        return []
    known: Value = tuple(value) if isinstance(value, list) else value
    return [f"{name}: {message}" for message in validate_value(description, name, known)]


def _plain(value: Value) -> Given:
    return list(value) if isinstance(value, tuple) else value
