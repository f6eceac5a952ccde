"""`edgewright agent enroll --name`: ask to be let in, show the fingerprint, wait for a person's decision."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import TYPE_CHECKING

from edgewright.agent.paths import Paths
from edgewright.cli.output import span

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewright.agent.enrollment.asking import Waiting
    from edgewright.agent.enrollment.identity import Material
    from edgewright.agent.settings import Settings

    Told = Callable[[argparse.Namespace, Paths, Settings, Material], None]

_FIRST_TOLD_SECONDS = 60.0


def ask(args: argparse.Namespace, *, told: Told) -> int:
    """Ask, and wait unless `--no-wait`; `told` says to a person what was installed."""
    from edgewright.agent.enrollment.asking import Asker, Wish, wait_for_decision
    from edgewright.agent.enrollment.identity import Material
    from edgewright.agent.settings import Settings
    from edgewright.protocol.enrollment import fingerprint_of, in_groups

    paths, settings = Paths(args.state), Settings.load(args.config)
    wish = Wish(server=args.server, name=args.name, ca=args.ca, pin=args.pin)
    asker = Asker(paths, wish, device_id=args.device_id, replace=args.replace)
    fingerprint = in_groups(fingerprint_of(asker.key_digest))
    about = {"name": args.name, "fingerprint": fingerprint, "key": asker.key_digest}
    if args.json:
        _line({"state": "asking", **about})
    else:
        print(f"fingerprint of this device's key: {fingerprint}")
        print(f"Compare it with the one that {args.server.rstrip('/')}/enrollments shows, and approve there.")
        sys.stdout.flush()
    if args.no_wait:
        answer = asker.ask()
        if not isinstance(answer, Material):
            _tell_open(args, about, answer)
            return 0
    else:
        progress = Progress()
        try:
            answer = wait_for_decision(asker, progress.tell)
        finally:
            progress.end()
    if args.json:
        _line({"state": "enrolled", **about, "client": str(answer.client), "device_id": answer.device_id})
    else:
        told(args, paths, settings, answer)
    return 0


def _tell_open(args: argparse.Namespace, about: dict[str, str], answer: Waiting) -> None:
    if answer.trouble:
        from edgewright.cli.errors import OutcomeError

        raise OutcomeError(f"{answer.trouble}; the same command asks again")
    if args.json:
        _line({"state": "waiting", **about})
    else:
        print("waiting for approval; the same command asks again and takes the decision up")


class Progress:
    """Tells on stderr that it is waited: on one line that changes, or with a line now and then."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._is_open = False
        self._due = 0.0
        self._trouble = ""

    def tell(self, answer: Waiting, waited: float) -> None:
        """Tell of an answer that is no decision."""
        text = f"waiting for approval since {span(int(waited))}"
        if answer.trouble:
            text = f"{answer.trouble}; asking again in {span(max(1, round(answer.pause)))}"
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
            self._is_open = True
        elif waited >= self._due or answer.trouble != self._trouble:
            self._due = max(2 * waited, _FIRST_TOLD_SECONDS)
            self._trouble = answer.trouble
            print(f"{text} (Ctrl-C is safe: the same command goes on)", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line that changes."""
        if self._is_open:
            print(file=sys.stderr, flush=True)


def _line(value: dict[str, str]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)
