"""What the machine, or the container or service the server runs in, gives it."""

import os
import resource
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def memory_bytes(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how much memory the server may use: the machine's, or the smallest limit set on its group."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    try:
        group = cgroups / own.read_text().strip().rpartition("::/")[2]
        for folder in (group, *group.parents):
            limits += _limit(folder / "memory.max")
            if folder == cgroups:
                break
    except OSError:
        pass  # no control groups of version 2 here: the machine's memory is the limit
    return min(limits)


def allow_many_files() -> int:
    """Raise the soft limit of open files to the hard one, as every connected device is one; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _limit(path: Path) -> list[int]:
    try:
        text = path.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []
