"""A process the watch has started, and the pipe by which it hears of it: what it says, and that it ended.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import signal

_READ_BYTES = 4096


class Child:
    """One process, in a session of its own; the write end of its pipe is open in it as long as it lives.

    `fd` becomes readable when it says something or has ended.
    """

    __slots__ = ("_text", "fd", "pid")

    def __init__(self, command: list[str], *, report: str = "", handed: int = -1) -> None:
        """Start `command`; `report` is the option that tells it where to speak, `handed` a descriptor for it.

        Raises OSError.
        """
        self.fd, theirs = os.pipe2(os.O_CLOEXEC)
        self._text = b""
        given = [theirs] if handed < 0 else [theirs, handed]
        try:
            for each in given:
                os.set_inheritable(each, True)
            self.pid = os.posix_spawn(
                command[0],
                [*command, report, str(theirs)] if report else command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)],
                setsid=True,
                setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGIO],
            )
        except OSError:
            os.close(self.fd)
            raise
        finally:
            os.close(theirs)
            if handed >= 0:
                os.set_inheritable(handed, False)

    def read(self) -> list[bytes] | None:
        """Return the lines it has said meanwhile, None when it has ended; for when `fd` is readable."""
        data = os.read(self.fd, _READ_BYTES)
        if not data:
            return None
        *lines, self._text = (self._text + data).split(b"\n")
        return lines

    def reap(self) -> int:
        """Wait for its end, end what it left behind, and return its exit code (below 0: minus the signal)."""
        os.close(self.fd)
        kill_children(self.pid)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Kill it and what it has started."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            kill_children(self.pid)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # we were asked to end in the instant in which it was reaped


class Helper:
    """Starts processes by `command`, one at a time; tests have others that do their work themselves."""

    __slots__ = ("_child", "_command")

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._child: Child | None = None

    @property
    def at_work(self) -> bool:
        """Whether one was started and has not been seen to end."""
        return self._child is not None

    @property
    def fd(self) -> int:
        """What becomes readable when it says something or has ended; -1 without one."""
        return -1 if self._child is None else self._child.fd

    def start(self, *words: str) -> None:
        """Start one, with `words` behind the command. Raises OSError."""
        self._child = Child([*self._command, *words], report="--report-fd")

    def hear(self) -> tuple[list[bytes], int | None]:
        """Return the lines it has said meanwhile, and its exit code once it has ended."""
        assert self._child is not None  # noqa: S101 - `fd` has just been readable
        lines = self._child.read()
        if lines is not None:
            return lines, None
        child, self._child = self._child, None
        return [], child.reap()

    def kill(self) -> None:
        """Kill the one at work and what it started; the next one begins where it stood."""
        if self._child is not None:
            self._child.kill()
            self._child = None


def kill_children(leader: int) -> None:
    """Kill what a process started and left behind: every other one of the session it leads.

    To be called while it is not yet reaped. Container engines start containers themselves, so none of those
    is in the session.
    """
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != leader:
            try:
                if os.getsid(int(name)) == leader:
                    os.kill(int(name), signal.SIGKILL)
            except ProcessLookupError:
                continue
