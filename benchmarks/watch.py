"""What the resident part of the agent costs: memory, growth, CPU per poll, time to the first answer."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Interpreter, cpu_seconds_of, memory_of

from edgewright.agent.paths import Paths
from edgewright.agent.state.outbox import CAPABILITIES, Outbox
from edgewright.agent.state.store import Manifest, Store
from edgewright.agent.talk.session import ANCHORS, CERTIFICATE, KEY, SERVER
from edgewright.protocol.digests import digest_of
from support.certificates import Authority

MANAGER = Path(__file__).with_name("manager.py")
# Polls without a pause, and a round that has nothing to do: the wait between two polls costs nothing.
COUNT = (
    "from edgewright.net import http\n"
    "moved = 0\n"
    "receive, send = http._Stream.receive, http._Stream.send\n"
    "def receiving(self, limit):\n"
    "    global moved\n"
    "    data = receive(self, limit)\n"
    "    moved += len(data)\n"
    "    return data\n"
    "def sending(self, message):\n"
    "    global moved\n"
    "    moved += len(message)\n"
    "    send(self, message)\n"
    "http._Stream.receive, http._Stream.send = receiving, sending\n"
)
RUN = (
    "import sys\n"
    "from edgewright.agent import watch\n"
    "from edgewright.agent.talk import link\n"
    "count = 0\n"
    "poll = link.source.poll\n"
    "def counted(*arguments):\n"
    "    global count\n"
    "    answer = poll(*arguments)\n"
    "    count += 1\n"
    "    if count in stops:\n"
    "        print(globals().get('moved', count), flush=True)\n"
    "        sys.stdin.readline()\n"
    "    return answer\n"
    "stops = frozenset(map(int, sys.argv[2].split(',')))\n"
    "link.source.poll = counted\n"
    "sys.exit(watch.main(['--state', sys.argv[1], '--poll', '0'], round_command=['/bin/true']))\n"
)
FLOOR = (
    "import ssl, sys\n"
    "context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
    "context.load_verify_locations(sys.argv[1])\n"
    "print('ready', flush=True)\n"
    "sys.stdin.readline()\n"
)


@contextmanager
def manager(directory: Path, kind: str = "api") -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run the silent fleet manager, or a Git server; yield it and the state of a device enrolled there."""
    authority = Authority.create("example.org")
    issued = authority.wfm("main") if kind == "api" else authority.web_server()
    server = issued.write(directory, "server")
    device = authority.client("main", "edge-01")
    state = directory / "state"
    identity = state / "identity" / "current"
    identity.mkdir(parents=True)
    (identity / CERTIFICATE).write_bytes(device.pem)
    (identity / KEY).write_bytes(device.key_pem)
    (identity / ANCHORS).write_bytes(authority.pem)
    command = [sys.executable, MANAGER, server.certificate, server.key, identity / ANCHORS, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = f"https://127.0.0.1:{int(process.stdout.readline())}"
            (identity / SERVER).write_text(json.dumps({"url": url, "device_id": "edge-01"}))
            _remember_a_settled_state(state)
            yield process, state
        finally:
            process.terminate()


def _remember_a_settled_state(state: Path) -> None:
    """Put into the store what a device has after its first round: capabilities, and an accepted manifest."""
    store = Store(Paths(str(state)).database)
    body = b'{"manifestVersion": 1, "bundle": null, "deployments": []}'
    relation = "spiffe://example.org/margo/wfm/main/client/edge-01"
    store.accept(Manifest(relation=relation, etag='"1"', digest=digest_of(body), body=body, version=1))
    Outbox(store).queue(CAPABILITIES, "POST", "/api/v1/capabilities/edge-01", b"{}")
    store.close()


def start(
    interpreter: Interpreter, state: Path, stops: tuple[int, ...], program: str = RUN
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [interpreter.python, "-I", "-c", program, str(state), ",".join(map(str, stops))],
        env=interpreter.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def bytes_per_poll(interpreter: Interpreter, state: Path, program: str = RUN) -> float:
    """Return the bytes of an unchanged poll and its answer, before TLS adds 22 to each of the two."""
    process = start(interpreter, state, (10, 20), COUNT + program)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        first = int(process.stdout.readline())
        process.stdin.write("\n")
        process.stdin.flush()
        return (int(process.stdout.readline()) - first) / 10
    finally:
        process.kill()
        process.communicate()


def measure(interpreter: Interpreter, directory: Path, *, polls: int) -> dict[str, float]:
    """Return the figures of the watch after `polls` polls; memory in MiB, times in ms."""
    early = polls // 10
    with manager(directory) as (_, state):
        process = start(interpreter, state, (early, polls))
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            process.stdout.readline()
            first, cpu = memory_of(process.pid), cpu_seconds_of(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            last, cpu = memory_of(process.pid), cpu_seconds_of(process.pid) - cpu
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        floor = _floor(interpreter, state / "identity" / "current" / ANCHORS)
        moved = bytes_per_poll(interpreter, state)
    return {
        "watch_pss_mib": last.pss / 1024,
        "watch_anonymous_mib": last.anonymous / 1024,
        "watch_pss_over_tls_mib": (last.pss - floor) / 1024,
        "watch_growth_kib": last.anonymous - first.anonymous,
        "watch_cpu_per_poll_ms": cpu / (polls - early) * 1000,
        "watch_bytes_per_poll": moved,
    }


def _floor(interpreter: Interpreter, anchors: Path) -> int:
    """Return the PSS (kB) of the same Python with one TLS context and nothing else."""
    process = subprocess.Popen(
        [interpreter.python, "-I", "-c", FLOOR, str(anchors)],
        env=interpreter.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        return memory_of(process.pid).pss
    finally:
        process.kill()
        process.communicate()


def first_answer_ms(interpreter: Interpreter, directory: Path) -> float:
    """Return the milliseconds from starting the watch to its first 304."""
    with manager(directory) as (server, state):
        began = time.monotonic()
        process = start(interpreter, state, (1,))
        try:
            assert server.stdout is not None
            return (float(server.stdout.readline()) - began) * 1000
        finally:
            process.kill()
            process.communicate()
