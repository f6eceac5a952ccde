"""Reading what the kernel knows of a process, and an interpreter that shares nothing with others.

PSS is the worst case on purpose (docs/reference of the figures: a device where nobody else maps the same
libraries): the interpreter under test has its own copies of its program and of the large libraries.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COPIED_LIBRARIES = (
    "libssl",
    "libcrypto",
    "libsqlite3",
    "libpython",
    "_ssl",
    "_sqlite3",
    "_hashlib",
    "_socket",
)
SOURCE = Path(__file__).parents[1] / "src"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A process's memory in kB: `pss` its share of everything mapped, `anonymous` what is its own to fill."""

    pss: int
    anonymous: int


def memory_of(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(pss=found["Pss"], anonymous=found["Anonymous"])


def cpu_seconds_of(pid: int) -> float:
    """Return the time the process has run on a processor, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of its own: `python` its program, `environment` what points it to its own libraries."""

    python: str
    environment: dict[str, str]


def make_interpreter(directory: Path) -> Interpreter:
    """Make a virtual environment of copies in `directory`, with this project and nothing else in it."""
    subprocess.run([sys._base_executable, "-m", "venv", "--copies", "--without-pip", directory], check=True)  # type: ignore[attr-defined]
    python = directory / "bin" / "python"
    libraries = directory / "libraries"
    libraries.mkdir()
    said = subprocess.run(
        [python, "-I", "-c", "import ssl, sqlite3, socket\nprint(open('/proc/self/maps').read())"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    mapped = {Path(words[5]) for words in map(str.split, said.splitlines()) if len(words) == 6}
    for library in mapped:
        if library.name.startswith(COPIED_LIBRARIES) and ".so" in library.name:
            (libraries / library.name).write_bytes(library.read_bytes())
            _link_shorter_names(libraries, library.name)
    site = next((directory / "lib").glob("python3*/site-packages"))
    # Extension modules are found by the path of modules, shared libraries by that of the loader.
    (site / "edgewright.pth").write_text(f"import sys; sys.path.insert(0, {str(libraries)!r})\n{SOURCE}\n")
    return Interpreter(
        python=str(python),
        environment={"LD_LIBRARY_PATH": str(libraries), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )


def _link_shorter_names(directory: Path, name: str) -> None:
    """Let `libx.so.0.8.6` be found as `libx.so.0.8` and `libx.so.0`, as the loader asks for it."""
    stem, _, version = name.partition(".so.")
    parts = version.split(".") if version else []
    for count in range(1, len(parts)):
        (directory / f"{stem}.so.{'.'.join(parts[:count])}").symlink_to(name)


def median_of(times: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(times))
