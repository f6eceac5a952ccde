"""Messages for people and journald: one line each on standard error, with a priority journald reads.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import sys

ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7

_WORDS = {ERROR: "error: ", WARNING: "warning: "}


def write(priority: int, message: str) -> None:
    """Write `message` (control characters made visible); under journald the priority goes in front."""
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in message)
    prefix = f"<{priority}>" if "JOURNAL_STREAM" in os.environ else _WORDS.get(priority, "")
    sys.stderr.write(f"{prefix}{line}\n")
    sys.stderr.flush()


def info(message: str) -> None:
    """Say what happened."""
    write(INFO, message)


def warning(message: str) -> None:
    """Say what went wrong and is being dealt with."""
    write(WARNING, message)


def error(message: str) -> None:
    """Say what needs a person."""
    write(ERROR, message)
