"""`edgewright component`: checks a folder that is a Compose component, and publishes it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli.arguments import command, commands, run_command

if TYPE_CHECKING:
    from edgewright.cli.folder import Files
    from edgewright.protocol.oci import OciReference

HELP = """\
Check and publish Compose components: folders with a compose.yaml and the files
it needs. One component is one artefact in an OCI registry; application packages
name it by repository and version."""

ABOUT = ("title", "authors", "description")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `component check` and `component publish`."""
    group = commands(parser)
    check = command(group, "check", _check, summary="say what is wrong with a component's folder")
    check.add_argument("folder", metavar="FOLDER", help="the folder with compose.yaml")
    publish = command(
        group,
        "publish",
        _publish,
        summary="put a component into a registry",
        more="""
example: edgewright component publish ./web oci://localhost:5000/shop/web:1.4.0

The version is the reference's tag: SemVer without a leading v, + written as _.
Publishing the same again changes nothing.""",
    )
    publish.add_argument("folder", metavar="FOLDER", help="the folder with compose.yaml")
    publish.add_argument("reference", metavar="oci://HOST/REPOSITORY:VERSION")
    publish.add_argument("--name", help="name of the component (default: the folder's name)")
    for option in ABOUT:
        publish.add_argument(f"--{option}", metavar="TEXT", help=f"annotation: {option}")
    from edgewright.cli.publishing import add_registry_options

    add_registry_options(publish)


run = run_command


def _check(args: argparse.Namespace) -> int:
    folder = Path(args.folder)
    files = checked_component(folder)
    print(f"{folder}: a Compose component of {len(files)} file{'s' if len(files) != 1 else ''}")
    return 0


def _publish(args: argparse.Namespace) -> int:
    from edgewright.cli.publishing import component_artefact, publish, registries_of
    from edgewright.net.oci import RegistryPool

    reference = version_reference(args.reference)
    folder = Path(args.folder)
    name = args.name or default_name(folder)
    files = checked_component(folder)
    about = {f"org.opencontainers.image.{key}": text for key in ABOUT if (text := getattr(args, key))}
    artefact = component_artefact(files, name=name, version=reference.target, about=about)
    print(publish(artefact, reference, RegistryPool(registries_of(args)), replace=args.replace))
    return 0


def checked_component(folder: Path) -> Files:
    """Return the files of the component in `folder`, warnings shown; raises UsageError for what is wrong."""
    from edgewright.cli.compose_check import COMPOSE_FILE, check_component, missing_file
    from edgewright.cli.compose_config import check_by_compose
    from edgewright.cli.errors import UsageError
    from edgewright.cli.folder import read_folder

    if folder.is_dir() and not (folder / COMPOSE_FILE).is_file():
        raise UsageError(f"{folder}: {missing_file(entry.name for entry in folder.iterdir())}")
    files = read_folder(folder)
    findings = check_component({path: content for path, (content, _) in files.items()}, source=str(folder))
    if not any(finding.fatal for finding in findings):
        findings += check_by_compose(folder)
    source = folder / COMPOSE_FILE
    for finding in findings:
        if not finding.fatal:
            print(f"edgewright: warning: {source}: {finding}", file=sys.stderr)
    wrong = [finding for finding in findings if finding.fatal]
    if wrong:
        raise UsageError("\n  ".join(f"{source}: {finding}" for finding in wrong))
    return files


def version_reference(text: str) -> OciReference:
    """Return the reference `text`, whose tag is a version (spec: PKG-1); raises DocumentError."""
    from edgewright.protocol.errors import DocumentError
    from edgewright.protocol.oci import OciReference
    from edgewright.protocol.profiles import SEMVER_TAG

    reference = OciReference.parse(text)
    if reference.digest is not None or reference.tag is None:
        raise DocumentError("expected oci://host[:port]/repository:version", source=text)
    if SEMVER_TAG.fullmatch(reference.tag) is None:
        expected = f"expected a version like 1.4.0, found '{reference.tag}'"
        raise DocumentError(f"{expected} (SemVer, no leading v, + written as _)", source=text)
    return reference


def default_name(folder: Path) -> str:
    """Return the folder's own name in the letters a component's name may have."""
    return re.sub(r"[^a-z0-9-]+", "-", folder.resolve().name.lower()).strip("-") or "component"
