"""`edgewright server`: set up a fleet manager and run it."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from edgewright.cli import server_users

HELP = """The fleet manager: set it up once with 'init', then 'run' it.

Devices reach it on the device listener (mutual TLS, port 443 by the specification);
people, the operator's command line and devices that enroll reach the web listener (HTTPS).
A third listener hosts Git repositories of devices, if asked to."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to `parser`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser("init", help="make a data directory: keys, database, settings")
    _add_data(init)
    init.add_argument("--trust-domain", required=True, metavar="NAME", help="for example example.org")
    init.add_argument(
        "--wfm-id", default="main", metavar="ID", help="name of this fleet manager (default: main)"
    )
    init.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME_OR_IP",
        help="how devices and people reach this machine; may be repeated, the first goes into addresses"
        " (default: this machine's host name)",
    )
    init.add_argument(
        "--device-listen", default="0.0.0.0:443", metavar="HOST:PORT", help="(default: 0.0.0.0:443)"
    )
    init.add_argument(
        "--web-listen", default="0.0.0.0:8443", metavar="HOST:PORT", help="(default: 0.0.0.0:8443)"
    )
    init.add_argument(
        "--git-listen",
        metavar="HOST:PORT",
        help="host Git repositories of devices here, as on 0.0.0.0:9443 (default: host none)",
    )
    init.add_argument(
        "--device-url", metavar="URL", help="where devices reach the device listener, if not by host and port"
    )
    init.add_argument(
        "--web-url", metavar="URL", help="where the web listener is reached, if not by host and port"
    )
    init.add_argument(
        "--git-url", metavar="URL", help="where the Git listener is reached, if not by host and port"
    )
    run_action = actions.add_parser("run", help="run the server until it is stopped")
    _add_data(run_action)
    run_action.add_argument(
        "--device-listen", metavar="HOST:PORT", help="outranks server.yaml; port 0: any free one"
    )
    run_action.add_argument(
        "--web-listen", metavar="HOST:PORT", help="outranks server.yaml; port 0: any free one"
    )
    run_action.add_argument(
        "--git-listen",
        metavar="HOST:PORT",
        help="host Git repositories of devices here; outranks server.yaml; port 0: any free one",
    )
    renumber = actions.add_parser(
        "renumber",
        help="after putting back a backup: give every device a manifest version above any it may have seen",
    )
    _add_data(renumber)
    server_users.configure(actions)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action; raises `SetupError` and other errors of the project."""
    match args.action:
        case "init":
            return _init(args)
        case "run":
            return _run(args)
        case "user":
            return server_users.run(args)
        case _:
            return _renumber(args)


def _init(args: argparse.Namespace) -> int:
    from edgewright.server.commands.first import invitation
    from edgewright.server.commands.setup import initialise
    from edgewright.server.settings import ServerSettings, web_address

    settings = ServerSettings(
        trust_domain=args.trust_domain,
        wfm_id=args.wfm_id,
        hosts=tuple(args.host or [socket.gethostname()]),
        device_listen=args.device_listen,
        web_listen=args.web_listen,
        git_listen=args.git_listen,
        device_url=args.device_url,
        web_url=args.web_url,
        git_url=args.git_url,
    )
    directory, password = initialise(args.data, settings)
    print(f"made {directory.root}: back up its identity/ folder and keep operator.json secret")
    print(f"next: edgewright server run --data {directory.root}")
    print(f"      edgewright login {directory.operator}")
    print("then:", invitation(password, web_address(settings)))
    return 0


def _run(args: argparse.Namespace) -> int:
    import logging

    from edgewright.server import run as server
    from edgewright.server.settings import DataDirectory

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # Its warnings are about requests that strangers send.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return server.run(
        DataDirectory(args.data),
        device_listen=args.device_listen,
        web_listen=args.web_listen,
        git_listen=args.git_listen,
    )


def _renumber(args: argparse.Namespace) -> int:
    from edgewright.server.commands.renumber import renumber
    from edgewright.server.settings import DataDirectory

    count = renumber(DataDirectory(args.data))
    print(f"renumbered the manifests of {count} devices")
    return 0


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the server's data directory")
