"""`edgewright demo`: everything working together on this machine, in one terminal, within a minute."""

from __future__ import annotations

import argparse

from edgewright.cli.arguments import run_command

HELP = """\
Show all of it working on this machine, within a minute: a registry, a fleet
manager and an agent are started, this machine is enrolled as a device, and an
application of two components is installed, updated, changed and removed.
Afterwards everything is gone again, also after Ctrl-C.

It needs Docker or Podman, Compose v2, docker-registry and a static busybox:
  apt-get install docker.io docker-compose docker-registry busybox-static"""

IMAGES = """\
Put the images of examples/hello into a registry, so that the quick start can be
done by hand. They are built here, of a static busybox and a few scripts."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `demo` and `demo images`."""
    engine = "auto (default), docker, podman, or a socket: unix:///run/docker.sock"
    parser.add_argument("--engine", type=engine_choice, default="auto", metavar="ENGINE", help=engine)
    parser.add_argument("--compose", metavar="FILE", help="the Compose v2 program, if not found by itself")
    parser.add_argument("--plain", action="store_true", help="plain lines, as without a terminal")
    parser.add_argument(
        "--pause", action="store_true", help="wait before removing, to open the page yourself"
    )
    parser.set_defaults(command=_demo)
    group = parser.add_subparsers(metavar="COMMAND", title="commands")
    images = group.add_parser("images", help="put the demo's images into a registry", description=IMAGES)
    images.add_argument("registry", metavar="HOST[:PORT]", help="for example localhost:5000")
    images.add_argument("--registries", metavar="FILE", help="credentials and authorities of registries")
    images.set_defaults(command=_images)


run = run_command


def engine_choice(text: str) -> str:
    """Return `text` if it names an engine or the absolute path of a socket."""
    if text in {"auto", "docker", "podman"} or text.removeprefix("unix://").startswith("/"):
        return text
    raise argparse.ArgumentTypeError(f"'{text}' is none of auto, docker, podman and unix:///path/of.sock")


def _demo(args: argparse.Namespace) -> int:
    from edgewright.cli.demo.conductor import conduct

    return conduct(args.engine, args.compose, plain=args.plain, pause=args.pause)


def _images(args: argparse.Namespace) -> int:
    from edgewright.cli.demo.hello_files import push_images
    from edgewright.cli.publishing import registries_of
    from edgewright.net.oci import RegistryClient

    settings = registries_of(args).settings(args.registry)
    with RegistryClient(args.registry, settings) as client:
        for reference in push_images(client):
            print(f"pushed {reference}")
    return 0
