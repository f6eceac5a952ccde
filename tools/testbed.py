"""Starts container engines and a registry for the tests or the demo, and takes them down again.

    python tools/testbed.py run -- pytest tests/integration     both engines, for the length of a command
    python tools/testbed.py run --for demo -- edgewright demo   the one engine that can be had most easily
    python tools/testbed.py up --state DIR                      in the background, until `down`
    python tools/testbed.py down --state DIR

The command finds the description in the file that EDGEWRIGHT_TESTBED names. Inside a living testbed
(the variable is set already) `run` starts nothing and uses that one. The parts are in tests/support.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.engines import environment_for_another_podman
from support.processes import StartError, stop, tail, wait_until
from support.testbed import TOOLS, VARIABLE, Testbed, open_testbed, remove_leavings

ENGINES = ("docker", "podman")
REGROUPED = "EDGEWRIGHT_IN_DOCKER_GROUP"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    run = commands.add_parser("run", help="start, run a command, take down")
    run.add_argument("--for", dest="purpose", choices=("test", "demo"), default="test")
    run.add_argument("command", nargs="+")
    commands.add_parser("sweep", help="remove what killed testbeds left; `run` and `up` do so by themselves")
    for name in ("up", "hold", "down"):
        commands.add_parser(name).add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        match arguments.what:
            case "run":
                return run_command(arguments.command, for_demo=arguments.purpose == "demo")
            case "up":
                return up(arguments.state)
            case "hold":
                return hold(arguments.state)
            case "down":
                return down(arguments.state)
            case _:
                remove_leavings()
                return 0
    except StartError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def run_command(command: list[str], *, for_demo: bool) -> int:
    """Run `command` inside a testbed; return its exit code (128 + signal when one ended it)."""
    around = Testbed.from_environment()
    if around is not None and is_alive(around.pid):
        environment = _environment(around, os.environ[VARIABLE], for_demo=for_demo)
        return subprocess.run(command, env=environment, check=False).returncode
    _join_docker_group()
    with _Interruptions() as interruptions, open_testbed(ENGINES, all_of_them=not for_demo) as testbed:
        if not for_demo:
            for name, why in testbed.missing.items():
                print(f"testbed: no {name}: {why}", file=sys.stderr)
        description = Path(testbed.directory) / "testbed.json"
        description.write_text(testbed.render())
        return interruptions.run(command, _environment(testbed, str(description), for_demo=for_demo))


def _environment(testbed: Testbed, description: str, *, for_demo: bool) -> dict[str, str]:
    """Return what the command finds: the description, and the programs of .cache/tools on its path.

    The demo is a person's use of the product, so it is told of its engine as a person would.
    """
    environment = {**os.environ, VARIABLE: description, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    if for_demo:
        engine = next(iter(testbed.engines.values()))
        environment |= engine.environment
        if engine.name == "podman":
            # Podman has to know the demo's registry, so the demo runs a service of its own.
            environment |= environment_for_another_podman(engine)
    return environment


def _join_docker_group() -> None:
    """Start again as a member of Docker's group, where only that is missing and sudo needs no password.

    So it is on a machine where Docker has just been installed by a user who is not root.
    """
    socket = Path("/var/run/docker.sock")
    outside = socket.exists() and not os.access(socket, os.R_OK | os.W_OK)
    if not outside or REGROUPED in os.environ or os.getuid() == 0 or shutil.which("sudo") is None:
        return
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode != 0:
        return
    groups = ",".join(str(group) for group in {*os.getgroups(), socket.stat().st_gid})
    as_member = ["setpriv", f"--reuid={os.getuid()}", f"--regid={os.getgid()}", f"--groups={groups}"]
    replaced_by_sudo = ("PATH", "HOME", "USER", "LOGNAME")
    kept = ["env", *(f"{name}={os.environ[name]}" for name in replaced_by_sudo if name in os.environ)]
    command = ["sudo", "-n", "--preserve-env", *as_member, *kept, f"{REGROUPED}=yes", sys.executable]
    os.execvp("sudo", [*command, *sys.argv])


class _Interruptions:
    """Lets a signal end the command, and the testbed afterwards in order.

    A terminal sends Ctrl-C to the command as well; SIGTERM and SIGHUP are passed on.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._seen: int | None = None

    def __enter__(self) -> "_Interruptions":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, _frame: object) -> None:
        self._seen = number
        if self._child is None:
            raise StartError(f"ended by signal {number}")
        if number != signal.SIGINT:
            self._child.send_signal(number)

    def run(self, command: list[str], environment: dict[str, str]) -> int:
        self._child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], env=environment)
        code = self._child.wait()
        return code if code >= 0 else 128 - code


def up(state: Path) -> int:
    state.mkdir(parents=True, exist_ok=True)
    description, log = state / "testbed.json", state / "testbed.log"
    if description.exists():
        if is_alive(Testbed.parse(description.read_text()).pid):
            print(description)
            return 0
        description.unlink()
    with log.open("wb") as output:
        holder = subprocess.Popen(
            [sys.executable, __file__, "hold", "--state", str(state)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(
            description.exists, what="it did not start", seconds=120, alive=lambda: holder.poll() is None
        )
    except StartError as error:
        stop(holder)
        raise StartError(f"{error}:\n{tail(log)}") from error
    print(description)
    return 0


def hold(state: Path) -> int:
    with _Interruptions() as interruptions, open_testbed(ENGINES, all_of_them=True) as testbed:
        written = state / "testbed.json.new"
        written.write_text(testbed.render())
        written.rename(state / "testbed.json")
        return interruptions.run(["sleep", "infinity"], dict(os.environ))


def down(state: Path) -> int:
    description = state / "testbed.json"
    if not description.exists():
        return 0
    pid = Testbed.parse(description.read_text()).pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while is_alive(pid):
        time.sleep(0.1)
    description.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
