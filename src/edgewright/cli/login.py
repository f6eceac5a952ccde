"""`edgewright login FILE`: puts an operator's context in its usual place, after trying it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

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
        Operator(context).get("/devices")
    target = context_path(args.context, os.environ)
    save_context(data, target)
    print(f"logged in to {context.url} ({target})")
    return 0
