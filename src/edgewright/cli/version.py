"""`edgewright version`: what this program is and which specification it follows."""

from __future__ import annotations

import argparse
import platform

from edgewright import __version__
from edgewright.protocol.media_types import SPECIFICATION_VERSION

HELP = "Show the version of this program, of the specification it follows and of Python."


def configure(parser: argparse.ArgumentParser) -> None:
    """`edgewright version` takes no arguments."""


def run(_args: argparse.Namespace) -> int:
    """Print the versions, one per line."""
    print(f"edgewright {__version__}")
    print(f"margo specification {SPECIFICATION_VERSION}")
    print(f"python {platform.python_version()}")
    return 0
