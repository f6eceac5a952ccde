"""An application package as a folder: read, judged, and turned into what a registry or a server takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgewright.cli.errors import UsageError
from edgewright.cli.folder import Files, read_folder
from edgewright.cli.publishing import Artefact
from edgewright.protocol.archive import pack_directory_entries
from edgewright.protocol.description import ApplicationDescription, validate_value
from edgewright.protocol.media_types import APP_DESCRIPTION_LAYER, OCI_TITLE_ANNOTATION
from edgewright.protocol.oci import EMPTY_JSON, OciReference, app_manifest, describe, resource_layer
from edgewright.protocol.profiles import Component, ProfileType

DESCRIPTION_FILE = "margo.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that has been judged: its description, and every file of its folder."""

    folder: Path
    description: ApplicationDescription
    files: Files

    @property
    def title(self) -> str:
        """How the package is named to people: id, a blank and version."""
        return f"{self.description.id} {self.description.metadata.version}"


def read_package(folder: Path) -> Package:
    """Return the package in `folder`; raises UsageError or DocumentError naming what is wrong and where."""
    if folder.is_dir() and not (folder / DESCRIPTION_FILE).is_file():
        raise UsageError(f"{folder}: there is no {DESCRIPTION_FILE}, which describes an application package")
    files = read_folder(folder)
    source = folder / DESCRIPTION_FILE
    description = ApplicationDescription.parse(files[DESCRIPTION_FILE][0], source=str(source))
    wrong = [*_missing_resources(description, files), *_bad_defaults(description)]
    if wrong:
        raise UsageError("\n  ".join(f"{source}: {message}" for message in wrong))
    return Package(folder=folder, description=description, files=files)


def _missing_resources(description: ApplicationDescription, files: Files) -> Iterator[str]:
    for role, path in description.resources.items():
        if path not in files:
            yield f"$.metadata.catalog.application.{role}: there is no file '{path}' in the package"


def _bad_defaults(description: ApplicationDescription) -> Iterator[str]:
    """Yield defaults that the package's own rules refuse (spec: CFG-2)."""
    for name, parameter in description.parameters.items():
        if parameter.value is not None:
            for message in validate_value(description, name, parameter.value):
                yield f"$.parameters.{name}.value: {message}"


def package_artefact(package: Package) -> Artefact:
    """Return what a registry stores of `package` (spec: REG-3 to REG-5)."""
    text = package.files[DESCRIPTION_FILE][0]
    description = describe(text, APP_DESCRIPTION_LAYER, {OCI_TITLE_ANNOTATION: DESCRIPTION_FILE})
    resources = [(role, path, package.files[path][0]) for role, path in package.description.resources.items()]
    layers = [resource_layer(content, resource=role, path=path) for role, path, content in resources]
    blobs = dict.fromkeys([EMPTY_JSON, text, *(content for _, _, content in resources)])
    return Artefact(manifest=app_manifest(description, layers), blobs=tuple(blobs))


def package_archive(package: Package) -> bytes:
    """Return the folder as the gzip tar that the operator API imports."""
    return pack_directory_entries(package.files)


def package_reference(text: str, package: Package) -> OciReference:
    """Return where `package` goes: `text` with the package's version as tag (spec: REG-6).

    Raises UsageError when `text` names another tag, or a digest.
    """
    reference = OciReference.parse(text)
    version = package.description.metadata.version
    if reference.digest is not None or reference.tag not in {None, version}:
        raise UsageError(
            f"{text}: a package's tag is its version, which is {version} here; leave the tag out"
        )
    return reference.with_tag(version)


def compose_components(package: Package) -> list[Component]:
    """Return the components of all Compose profiles, each once, in the order of the file."""
    profiles = [each for each in package.description.deployment_profiles if each.type is ProfileType.COMPOSE]
    found = {component.name: component for profile in profiles for component in profile.components}
    return list(found.values())
