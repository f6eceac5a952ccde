"""What an unchanged poll of a Git repository costs the device: bytes on the wire, CPU, memory.

The watch is the real one with a repository alone; the server that stands still (`manager.py`) answers either
transport, so that what differs between the two figures is the transport. `run.py` has these figures beside
the others.

    python benchmarks/repository.py [--polls 10000]

measures the two transports alone and writes results/repository.json.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import watch
from measure import Interpreter, cpu_seconds_of, make_interpreter, memory_of
from watch import bytes_per_poll, manager, start

from edgewright.agent.git import notes
from edgewright.agent.git.access import AUTHORITY, PASSWORD, GitAccess
from edgewright.agent.paths import Paths
from edgewright.agent.state.store import Store
from edgewright.agent.talk.session import ANCHORS, CERTIFICATE, GIT_ACCESS, KEY, SERVER
from edgewright.net.git.url import RepositoryUrl

HEAD = "1" * 40
CLIENT = "spiffe://example.org/margo/wfm/main/client/edge-01"
# As for the device API (watch.py): polls without a pause, and a round that has nothing to do.
RUN = (
    "import sys\n"
    "from edgewright.agent import watch\n"
    "from edgewright.agent.git.head import RemoteHead\n"
    "count = 0\n"
    "ask = RemoteHead.ask\n"
    "def counted(self):\n"
    "    global count\n"
    "    head = ask(self)\n"
    "    count += 1\n"
    "    if count in stops:\n"
    "        print(globals().get('moved', count), flush=True)\n"
    "        sys.stdin.readline()\n"
    "    return head\n"
    "stops = frozenset(map(int, sys.argv[2].split(',')))\n"
    "RemoteHead.ask = counted\n"
    "sys.exit(watch.main(['--state', sys.argv[1], '--poll', '0'], round_command=['/bin/true']))\n"
)


def measure(interpreter: Interpreter, directory: Path, *, polls: int) -> dict[str, float]:
    """Return the figures after `polls` polls; memory in MiB or KiB, times in ms, bytes as counted."""
    early = polls // 10
    with manager(directory, "git") as (_, state):
        _move_to_git(state)
        process = start(interpreter, state, (early, polls), RUN)
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            if not process.stdout.readline():
                raise RuntimeError("the watch ended; run it by hand to see why")
            first, cpu = memory_of(process.pid), cpu_seconds_of(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            last, cpu = memory_of(process.pid), cpu_seconds_of(process.pid) - cpu
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        moved = bytes_per_poll(interpreter, state, RUN)
    return {
        "git_watch_pss_mib": last.pss / 1024,
        "git_watch_growth_kib": last.anonymous - first.anonymous,
        "git_watch_cpu_per_poll_ms": cpu / (polls - early) * 1000,
        "git_watch_bytes_per_poll": moved,
    }


def _move_to_git(state: Path) -> None:
    """Give the device of `state` a repository in the place of its SVID, with everything taken up and told."""
    identity = state / "identity" / "current"
    url = json.loads((identity / SERVER).read_text())["url"]
    settings = {"device_id": "edge-01", "transport": "git", "client": CLIENT}
    (identity / SERVER).write_text(json.dumps(settings))
    access = GitAccess(
        str(identity), url=RepositoryUrl(f"{url}/edge-01.git"), kind="basic", username="edge-01"
    )
    (identity / GIT_ACCESS).write_bytes(access.render())
    (identity / PASSWORD).write_text("a password of the usual length")
    (identity / ANCHORS).rename(identity / AUTHORITY)
    for name in (CERTIFICATE, KEY):
        (identity / name).unlink()
    store = Store(Paths(str(state)).database)
    store.connection.execute("DELETE FROM outbox")
    store.set_meta(notes.COMMIT, HEAD)
    store.set_meta(notes.TOLD, notes.render_adopted(store))
    store.close()


def main() -> int:
    """Measure either transport on this machine, one after the other, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--polls", type=int, default=10_000)
    polls = parser.parse_args().polls
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder:
        interpreter = make_interpreter(Path(folder, "python"))
        figures: dict[str, float] = {}
        for name, of in (("api", watch.measure), ("git", measure)):
            directory = Path(folder, name)
            directory.mkdir()
            figures |= of(interpreter, directory, polls=polls)
    described = {
        "at": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "polls": polls,
        "figures": {name: round(value, 3) for name, value in figures.items()},
    }
    text = json.dumps(described, indent=2) + "\n"
    Path(__file__).with_name("results").joinpath("repository.json").write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
