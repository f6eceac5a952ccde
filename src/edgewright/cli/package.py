"""`edgewright package`: application packages, from a folder to a registry and into the fleet manager."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli.arguments import command, commands, run_command

if TYPE_CHECKING:
    from edgewright.cli.packages import Package
    from edgewright.cli.publishing import Published
    from edgewright.net.oci import RegistryPool

HELP = """\
Application packages: a folder with a margo.yaml, which says what an application
consists of and what can be set, and the texts and pictures it names."""

PUBLISH = """
example: edgewright package publish ./shop oci://localhost:5000/shop

The tag is the version in margo.yaml. Publishing the same again changes nothing.

--components DIR publishes the package's Compose components first: for every
component NAME in margo.yaml the folder DIR/NAME goes to the repository and
revision that margo.yaml says. A component without such a folder has to be in
its registry already."""

IMPORT = """
examples: edgewright package import ./shop
          edgewright package import oci://localhost:5000/shop:1.4.0

A folder is sent as it is; a reference is fetched by the fleet manager itself,
which needs to reach the registry."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands about packages."""
    from edgewright.cli.operator import add_operator_options
    from edgewright.cli.publishing import add_registry_options

    group = commands(parser)
    check = command(group, "check", _check, summary="say what is wrong with a package's folder")
    check.add_argument("folder", metavar="FOLDER", help="the folder with margo.yaml")

    publish = command(group, "publish", _publish, summary="put a package into a registry", more=PUBLISH)
    publish.add_argument("folder", metavar="FOLDER", help="the folder with margo.yaml")
    publish.add_argument("reference", metavar="oci://HOST/REPOSITORY")
    publish.add_argument("--components", metavar="DIR", help="publish the components in DIR as well")
    add_registry_options(publish)

    take = command(group, "import", _import, summary="give a package to the fleet manager", more=IMPORT)
    take.add_argument("source", metavar="FOLDER|oci://HOST/REPOSITORY:VERSION")
    add_operator_options(take)

    listed = command(group, "list", _list, summary="list the packages the fleet manager has")
    add_operator_options(listed)

    show = command(group, "show", _show, summary="show a package: profiles, parameters, what fits")
    show.add_argument("package", metavar="ID[@VERSION]", help="without a version: the newest")
    add_operator_options(show)

    delete = command(group, "delete", _delete, summary="remove a package nothing is deployed from")
    delete.add_argument("package", metavar="ID@VERSION")
    add_operator_options(delete)


run = run_command


def _check(args: argparse.Namespace) -> int:
    from edgewright.cli.packages import read_package

    package = read_package(Path(args.folder))
    profiles = ", ".join(f"{each.id} ({each.type})" for each in package.description.deployment_profiles)
    print(f"{args.folder}: {package.title}")
    print(f"  profiles: {profiles}")
    print(f"  parameters: {', '.join(package.description.parameters) or 'none'}")
    return 0


def _publish(args: argparse.Namespace) -> int:
    from edgewright.cli.packages import package_artefact, package_reference, read_package
    from edgewright.cli.publishing import publish, registries_of
    from edgewright.net.oci import RegistryPool

    package = read_package(Path(args.folder))
    reference = package_reference(args.reference, package)
    pool = RegistryPool(registries_of(args))
    if args.components is not None:
        for published in _publish_components(package, Path(args.components), pool, replace=args.replace):
            print(published)
    print(publish(package_artefact(package), reference, pool, replace=args.replace))
    return 0


def _publish_components(
    package: Package, folder: Path, pool: RegistryPool, *, replace: bool
) -> list[Published]:
    """Publish the components of `package` that have a folder in `folder`; the others must be there.

    Everything is judged before the first byte is sent.
    """
    from edgewright.cli.component import checked_component, version_reference
    from edgewright.cli.errors import UsageError
    from edgewright.cli.packages import compose_components
    from edgewright.cli.publishing import component_artefact, is_there, publish

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    artefacts = []
    for component in compose_components(package):
        properties = component.properties
        reference = version_reference(f"{properties.repository}:{properties.revision}")
        if (folder / component.name).is_dir():
            files = checked_component(folder / component.name)
            version = properties.revision
            made = component_artefact(files, name=component.name, version=version, about={})
            artefacts.append((made, reference))
        elif not is_there(reference, pool):
            where = f"neither a folder {folder / component.name} nor {reference}"
            raise UsageError(f"component {component.name}: there is {where}")
    return [publish(made, reference, pool, replace=replace) for made, reference in artefacts]


def _import(args: argparse.Namespace) -> int:
    from edgewright.cli.operator import connect, read
    from edgewright.cli.output import print_value
    from edgewright.cli.packages import package_archive, read_package
    from edgewright.cli.views import PackageView

    if args.source.startswith("oci://"):
        answer = connect(args).post("/packages/import", {"reference": args.source})
    else:
        package = read_package(Path(args.source))
        answer = connect(args).upload("/packages", package_archive(package))
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    imported = read(answer, PackageView)
    print(f"imported {imported.id} {imported.version}")
    return 0


def _list(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from edgewright.cli.operator import connect, pages, read
    from edgewright.cli.output import ago, print_table, print_value
    from edgewright.cli.views import PackageView

    answer = pages(connect(args), "/packages")
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    now = datetime.now(UTC)
    rows = [
        (one.id, one.version, one.name, ago(one.imported, now)) for one in read(answer, list[PackageView])
    ]
    empty = "No packages yet; 'edgewright package import FOLDER' brings one."
    print_table(["id", "version", "name", "imported"], rows, empty=empty)
    return 0


def _show(args: argparse.Namespace) -> int:
    from edgewright.cli.operator import connect, read
    from edgewright.cli.output import print_value
    from edgewright.cli.package_tables import print_package
    from edgewright.cli.versions import find_package, package_path
    from edgewright.cli.views import PackageView

    operator = connect(args)
    answer = operator.get(package_path(*find_package(operator, args.package)))
    if args.output != "table":
        print_value(answer, args.output)
        return 0
    print_package(read(answer, PackageView))
    return 0


def _delete(args: argparse.Namespace) -> int:
    from edgewright.cli.errors import UsageError
    from edgewright.cli.operator import connect
    from edgewright.cli.versions import package_path

    name, _, version = args.package.partition("@")
    if not version:
        raise UsageError(f"say which version: {name}@VERSION")
    connect(args).delete(package_path(name, version))
    print(f"deleted {name} {version}")
    return 0
