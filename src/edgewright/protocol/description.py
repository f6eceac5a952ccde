"""The ApplicationDescription: what a package offers, and how its parameters are asked for (spec: section 15).

Values are judged in `protocol/values.py`.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec

from edgewright.protocol.constraints import DeviceConstraints, constraint_violations
from edgewright.protocol.conversion import matching, member
from edgewright.protocol.documents import ApplicationId, Document, ExtensiblePart, Part, Text, Violation
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.media_types import APP_RESOURCES
from edgewright.protocol.profiles import (
    SEMVER_TAG,
    Component,
    ProfileType,
    Tag,
    Target,
    duplicate_names,
    is_variable,
)
from edgewright.protocol.values import (
    DataType,
    Matches,
    Scalar,
    Schema,
    Value,
    found_in,
    pattern_problem,
    unwritable,
)

API_VERSION: Final = "v1"
_COMPONENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


class CatalogEntry(Part, frozen=True, kw_only=True):
    """What a catalogue shows; the file members are paths inside the package or URLs."""

    description_file: str | None = None
    icon: str | None = None
    license_file: str | None = None
    release_notes: str | None = None
    site: str | None = None
    tagline: str | None = None
    tags: tuple[str, ...] = ()


class Author(Part, frozen=True, kw_only=True):
    """Who made the application."""

    name: str | None = None
    email: Annotated[str, matching(r".*@[a-z0-9.-]*", "an e-mail address")] | None = None


class Organization(Part, frozen=True, kw_only=True):
    """Who provides the application."""

    name: str
    site: str | None = None


class Catalog(Part, frozen=True, kw_only=True):
    """How the application is found."""

    application: CatalogEntry | None = None
    author: tuple[Author, ...] = ()
    organization: tuple[Organization, ...]


class DescriptionMetadata(Part, frozen=True, kw_only=True):
    """The application's name for people and its version, which is also its tag (spec: REG-6, OP-28)."""

    name: Text
    description: str | None = None
    version: Tag
    catalog: Catalog


class DescriptionProfile(ExtensiblePart, frozen=True, kw_only=True):
    """One way to run the application."""

    type: ProfileType
    id: Text
    description: str | None = None
    components: tuple[Component, ...]
    device_constraints: DeviceConstraints | None = None


class Parameter(Part, frozen=True, kw_only=True):
    """A default value, None when the author gave none, and where values go, over all profiles."""

    value: Value | None = None
    targets: tuple[Target, ...]


class Setting(Part, frozen=True, kw_only=True):
    """How one parameter is asked for; `schema` names how its value is judged."""

    parameter: str
    name: str
    description: str | None = None
    immutable: bool = False
    schema: str


class Section(Part, frozen=True, kw_only=True):
    """Settings shown together."""

    name: str
    settings: tuple[Setting, ...]


class Configuration(Part, frozen=True, kw_only=True):
    """What the user is asked for, and the rules for the answers."""

    sections: tuple[Section, ...]
    schema: tuple[Schema, ...]


class ApplicationDescription(Document, ExtensiblePart, frozen=True, kw_only=True):
    """One version of one application, as its author describes it."""

    is_yaml: ClassVar = True
    extension_places: ClassVar = (
        (),
        ("deploymentProfiles", "*"),
        ("deploymentProfiles", "*", "components", "*"),
    )

    api_version: str
    id: ApplicationId
    metadata: DescriptionMetadata
    deployment_profiles: tuple[DescriptionProfile, ...]
    parameters: Mapping[str, Parameter] = msgspec.field(default_factory=dict)
    configuration: Configuration | None = None

    @classmethod
    def from_plain(cls, plain: Any, *, source: str = "document") -> Self:
        """Refuse other API versions before anything else of them is judged (spec: VER-2, PKG-6)."""
        version = plain.get("apiVersion", API_VERSION) if isinstance(plain, dict) else API_VERSION
        if version != API_VERSION:
            message = f"expected {API_VERSION!r}, got {str(version)[:40]!r}"
            raise DocumentError(message, source=source, path="$.apiVersion")
        return super().from_plain(plain, source=source)

    @property
    def resources(self) -> Mapping[str, str]:
        """Role such as `icon` to the normalised path of its file inside the package."""
        entry = self.metadata.catalog.application
        plain = msgspec.to_builtins(entry) if entry else {}
        return {
            role: posixpath.normpath(plain[role])
            for role in APP_RESOURCES
            if plain.get(role) and "://" not in plain[role]
        }

    @property
    def immutable_parameters(self) -> frozenset[str]:
        """Parameters that keep the value they were installed with (spec: CFG-3)."""
        return frozenset(setting.parameter for setting in self._settings() if setting.immutable)

    def profile(self, profile_id: str) -> DescriptionProfile | None:
        """Return the profile of that id, None when there is none."""
        return next((each for each in self.deployment_profiles if each.id == profile_id), None)

    def schemas(self, parameter: str) -> tuple[Schema, ...]:
        """Return every schema a setting judges `parameter` by; usually one, none without a setting."""
        names = {setting.schema for setting in self._settings() if setting.parameter == parameter}
        schemas = self.configuration.schema if self.configuration else ()
        return tuple(schema for schema in schemas if schema.name in names)

    def violations(self) -> Iterator[Violation]:
        """Yield names that are not unique or lead nowhere, and rules nobody could follow."""
        if not self.deployment_profiles:
            yield "$.deploymentProfiles", "expected at least one profile"
        for role, path in self.resources.items():
            if path.startswith(("/", "../")) or path in {".", ".."}:
                yield f"$.metadata.catalog.application.{role}", "expected a path inside the package"
        yield from self._profile_violations()
        components = {each.name for profile in self.deployment_profiles for each in profile.components}
        composed = {
            each.name
            for profile in self.deployment_profiles
            if profile.type is ProfileType.COMPOSE
            for each in profile.components
        }
        for name, parameter in self.parameters.items():
            for index, target in enumerate(parameter.targets):
                if not composed.isdisjoint(target.components) and not is_variable(target.pointer):
                    path = f"{member('$.parameters', name)}.targets[{index}].pointer"
                    yield path, "expected the name of an environment variable"
                for number, component in enumerate(target.components):
                    if component not in components:
                        path = f"{member('$.parameters', name)}.targets[{index}].components[{number}]"
                        yield path, f"no deployment profile has a component {component}"
        if self.configuration is not None:
            yield from self._configuration_violations(self.configuration)

    def _settings(self) -> Iterator[Setting]:
        for section in self.configuration.sections if self.configuration else ():
            yield from section.settings

    def _profile_violations(self) -> Iterator[Violation]:
        seen: set[str] = set()
        for index, profile in enumerate(self.deployment_profiles):
            path = f"$.deploymentProfiles[{index}]"
            if profile.id in seen:
                yield f"{path}.id", f"profile {profile.id} appears twice"
            seen.add(profile.id)
            yield from duplicate_names(profile.components, f"{path}.components")
            for number, component in enumerate(profile.components):
                here = f"{path}.components[{number}]"
                if not _COMPONENT_NAME.match(component.name):
                    yield f"{here}.name", "expected lower-case letters, digits and dashes"
                if not SEMVER_TAG.match(component.properties.revision):
                    yield f"{here}.properties.revision", "expected SemVer without 'v', '+' written as '_'"
            yield from constraint_violations(profile.device_constraints, f"{path}.deviceConstraints")

    def _configuration_violations(self, configuration: Configuration) -> Iterator[Violation]:
        names: set[str] = set()
        for index, schema in enumerate(configuration.schema):
            path = f"$.configuration.schema[{index}]"
            if schema.name in names:
                yield f"{path}.name", f"schema {schema.name} appears twice"
            names.add(schema.name)
            if schema.regex_match is not None and (problem := pattern_problem(schema.regex_match)):
                yield f"{path}.regexMatch", problem
        for number, section in enumerate(configuration.sections):
            for index, setting in enumerate(section.settings):
                path = f"$.configuration.sections[{number}].settings[{index}]"
                if setting.parameter not in self.parameters:
                    yield f"{path}.parameter", f"there is no parameter {setting.parameter}"
                if setting.schema not in names:
                    yield f"{path}.schema", f"there is no schema {setting.schema}"


def validate_value(
    description: ApplicationDescription, parameter: str, value: Value, matches: Matches = found_in
) -> list[str]:
    """Return for people what is wrong with `value` for `parameter`; empty means it is good (spec: CFG-2).

    Parameters that no setting shows take any value. `matches` looks for patterns.
    """
    if parameter not in description.parameters:
        return [f"there is no parameter {parameter}"]
    if (problem := unwritable(value)) is not None:
        return [problem]
    return [message for schema in description.schemas(parameter) for message in schema.judge(value, matches)]


def coerce_text(description: ApplicationDescription, parameter: str, text: str) -> Value:
    """Return `text`, typed by a person, as a value of the parameter's type, else raise DocumentError.

    The type is the schema's, else the default's, else text. Arrays are written `a,b,c` or as JSON.
    """
    known = description.parameters.get(parameter)
    if known is None:
        raise DocumentError("there is no such parameter", source=f"parameter {parameter}")
    schemas = description.schemas(parameter)
    schema = schemas[0] if schemas else Schema(name="", data_type=_type_of(known.value))
    try:
        return schema.coerce(text)
    except ValueError as error:
        raise DocumentError(str(error), source=f"parameter {parameter}") from None


def _type_of(value: Value | None) -> DataType:
    """Return the data type a default value suggests."""
    if isinstance(value, tuple):
        item: Scalar = value[0] if value else ""
        return DataType(f"array[{_type_of(item)}]")
    match value:
        case bool():
            return DataType.BOOLEAN
        case int():
            return DataType.INTEGER
        case float():
            return DataType.DOUBLE
    return DataType.STRING
