"""Where every error of the command line ends: one block on stderr and an exit code, never a traceback.

Exit codes, the same for every command:

    0    done
    1    carried out and ended badly: a deployment failed, a wait ran out, the server broke, a bug
    2    not carried out: wrong arguments, bad input, refused by the server, or something the command
         was pointed at (server, registry, container engine) is not there; nothing half-done is left
    130  interrupted (Ctrl-C);  141  the reader of the output went away

`EDGEWRIGHT_DEBUG=1` shows the traceback as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from edgewright.cli.errors import OutcomeError, RefusedError
from edgewright.protocol.errors import EdgewrightError

DONE, FAILED, NOT_DONE, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141
HTTP_INTERNAL_ERROR = 500  # other 5xx say that something behind the server, like a registry, is not there
_EXTRAS = {
    "rich": "operator",
    "litestar": "server",
    "uvicorn": "server",
    "sqlalchemy": "server",
    "alembic": "server",
}


def guarded(call: Callable[[], int]) -> int:
    """Return what `call` returns, or the exit code of the error it raised after showing it."""
    try:
        code = call()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit; without this that would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except Exception as error:
        show(error)
        return exit_code(error)
    return code


def exit_code(error: Exception) -> int:
    """Return the exit code that stands for `error`."""
    if isinstance(error, RefusedError):
        return FAILED if error.status == HTTP_INTERNAL_ERROR else NOT_DONE
    if isinstance(error, OutcomeError) or not isinstance(error, EdgewrightError):
        return FAILED
    return FAILED if error.code == EdgewrightError.code else NOT_DONE


def show(error: Exception) -> None:
    """Write `error` for a person to stderr."""
    print(f"edgewright: error: {describe(error)}", file=sys.stderr)
    if os.environ.get("EDGEWRIGHT_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)


def describe(error: Exception) -> str:
    """Return the message of `error` for a person, with what to do where we know it."""
    if isinstance(error, EdgewrightError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            return f"this command needs the {extra} part: pip install 'edgewright[{extra}]'"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error} (EDGEWRIGHT_DEBUG=1 shows where)"
