"""What a program of Git's sees as its environment: nothing of ours, no configuration of a user or the system.

Standard library only.
"""

import os
from collections.abc import Sequence

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program_path() -> str:
    """Return where programs are looked for: where this process does, or where systems have them."""
    return os.environ.get("PATH") or DEFAULT_PATH


def environment(*, config: str = os.devnull, settings: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the environment of a program of Git's, to which callers add what one run is about.

    `config` is the one configuration file that counts beside the repository's own; `settings`, key and value
    each, outrank both and reach also what the program starts. Nothing secret may be in them: a process's
    environment is for others to read.
    """
    found = {
        "PATH": program_path(),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": config,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
    }
    if settings:
        found["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found
