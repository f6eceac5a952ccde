"""`edgewright login FILE`: puts an operator's context in its usual place, after trying it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

START_SECONDS = 10.0
POLL_SECONDS = 0.2

HELP = """\
Say which fleet manager the operator's commands talk to.

FILE is the operator.json that 'edgewright server init' wrote into the server's
data folder: its address, a token and its certificate authority. It is copied to
~/.config/edgewright/context.json, readable by you alone. Treat it like a
password."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright login`."""
    parser.add_argument("file", metavar="FILE", help="the fleet manager's operator.json; - is standard input")
    parser.add_argument("--context", metavar="FILE", help="where to keep it instead of the usual place")
    parser.add_argument("--no-check", action="store_true", help="keep it without asking the server")


def run(args: argparse.Namespace) -> int:
    """Check the file, ask the server with it, then keep it."""
    from edgewright.cli.context import context_path, parse_context, read_file, save_context
    from edgewright.cli.operator_client import Operator

    source = Path("standard input" if args.file == "-" else args.file)
    data = sys.stdin.buffer.read() if args.file == "-" else read_file(source)
    context = parse_context(data, source)
    if not args.no_check:
        _ask(Operator(context))
    target = context_path(args.context, os.environ)
    save_context(data, target)
    print(f"logged in to {context.url} ({target})")
    return 0


def _ask(operator: Operator) -> None:
    """Ask the server for anything; one that was just started is given time to come up."""
    from edgewright.net.http import CertificateError, HttpError

    deadline = time.monotonic() + START_SECONDS
    told = False
    while True:
        try:
            operator.get("/devices?limit=1")
        except HttpError as error:
            if isinstance(error, CertificateError) or not error.retryable or time.monotonic() > deadline:
                raise
            if not told:
                print(f"waiting for {operator.url} ...", file=sys.stderr)
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return
