"""Matches patterns of packages against what people type, and never for long.

Python's engine goes back and forth: there are patterns, innocent to look at, that keep it busy for hours with
thirty characters. Only the plainest of them can be told beforehand. So the matching is done by a small
process of its own, to which the kernel gives so much time of a processor and no more; where it is used up the
process is gone, the value is refused, and the next one begins afresh. A pattern that did that once gets less
from then on. The dialect stays Python's, with all that authors use, as no engine of another kind would have
it.

To whom it matters `matches` is a function without effects: the same arguments give the same answer.
"""

import atexit
import json
import select
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import suppress

from edgewright.protocol.values import SlowPatternError

# Time of a processor, in seconds: matching takes millionths.
BUDGET = 0.25
BUDGET_OF_SLOW = 0.02
# A machine under load may leave a process waiting; after this long the process itself is taken for broken.
PATIENCE_SECONDS = 20.0
MOST_KEPT = 4_096
_MEMORY = 512 << 20
# The kernel's answer to a timer that nobody handles is the end of the process.
_PROGRAM = f"""
import json, re, resource, signal, sys
resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY}))
answers = sys.stdout
print("ready", flush=True)
for line in sys.stdin:
    budget, pattern, text = json.loads(line)
    signal.setitimer(signal.ITIMER_PROF, budget)
    found = re.search(pattern, text) is not None
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(json.dumps(found), flush=True)
"""


class Matcher:
    """One process that matches, started when it is first needed; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: OrderedDict[tuple[str, str], bool | None] = OrderedDict()
        self._slow: set[str] = set()

    def matches(self, pattern: str, text: str) -> bool:
        """Return whether `pattern` is found in `text`; raises `SlowPatternError` if that takes too long."""
        with self._lock:
            key = (pattern, text)
            if key in self._kept:
                self._kept.move_to_end(key)
                found = self._kept[key]
            else:
                found = self._kept[key] = self._ask(pattern, text)
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        if found is None:
            raise SlowPatternError(pattern)
        return found

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def _ask(self, pattern: str, text: str) -> bool | None:
        """Return the answer of the process, None if it used its time up."""
        budget = BUDGET_OF_SLOW if pattern in self._slow else BUDGET
        question = json.dumps([budget, pattern, text]).encode() + b"\n"
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - it was started with a pipe
        try:
            process.stdin.write(question)
            process.stdin.flush()
            answer = self._line(process)
        except BrokenPipeError:
            answer = b""
        if answer in (b"true\n", b"false\n"):
            return answer == b"true\n"
        self.close()
        self._slow.add(pattern)
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._line(self._process)
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        """Return the next line the process writes, nothing if it does not."""
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        if not poll.poll(PATIENCE_SECONDS * 1_000):
            return b""
        return process.stdout.readline()


_matcher = Matcher()
atexit.register(_matcher.close)
matches = _matcher.matches
