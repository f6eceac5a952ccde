"""How one package is shown to a person: what it is, how it can run, what can be set."""

from __future__ import annotations

from edgewright.cli.output import print_facts, print_table
from edgewright.cli.views import PackageView
from edgewright.protocol.description import ApplicationDescription, Setting
from edgewright.protocol.values import Schema, value_text


def print_package(package: PackageView) -> None:
    """Print the package, its profiles and its parameters."""
    source = f"package {package.id} {package.version}"
    description = ApplicationDescription.from_plain(package.description, source=source)
    print_facts(
        [
            ("package", f"{package.id} {package.version}"),
            ("name", package.name),
            ("about", description.metadata.description or ""),
            ("by", ", ".join(one.name for one in description.metadata.catalog.organization)),
            ("from", package.source),
        ]
    )
    for profile in description.deployment_profiles:
        print(f"\nprofile {profile.id} ({profile.type})")
        places = [(one.name, one.properties) for one in profile.components]
        print_facts((f"  {name}", f"{place.repository}:{place.revision}") for name, place in places)
    if description.parameters:
        print()
        print_table(["parameter", "default", "rules", "what it is"], parameter_rows(description), empty="")


def parameter_rows(description: ApplicationDescription) -> list[tuple[str, str, str, str]]:
    """Return (name, default, rules, meaning) of every parameter, in the order of the description."""
    rows = []
    for name, parameter in description.parameters.items():
        default = "" if parameter.value is None else value_text(parameter.value)
        judged = "; ".join(rules(schema) for schema in description.schemas(name))
        setting = _setting(description, name)
        meaning = "" if setting is None else setting.description or setting.name
        fixed = setting is not None and setting.immutable
        rows.append((name, default, judged, f"{meaning} (fixed once installed)" if fixed else meaning))
    return rows


def _setting(description: ApplicationDescription, parameter: str) -> Setting | None:
    sections = description.configuration.sections if description.configuration else ()
    settings = (setting for section in sections for setting in section.settings)
    return next((setting for setting in settings if setting.parameter == parameter), None)


def rules(schema: Schema) -> str:
    """Return in few words what a value has to be."""
    if schema.options:
        options = " | ".join(value_text(option) for option in schema.options)
        return f"some of {options}" if schema.multiselect else options
    parts = [
        schema.data_type.value,
        _range(schema.min_value, schema.max_value, ""),
        _range(schema.min_length, schema.max_length, " characters"),
        f"like {schema.regex_match}" if schema.regex_match else "",
        "may be empty" if schema.allow_empty else "",
    ]
    return ", ".join(part for part in parts if part)


def _range(low: float | None, high: float | None, unit: str) -> str:
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f"up to {high}{unit}"
        case _, None:
            return f"at least {low}{unit}"
    return f"{low} to {high}{unit}"
