"""Approvals by file, for a machine without a screen or a network: a directory of questions and answers.

The round writes a question for each approval that stands, and takes in what was answered: the answer moves to
`done/`, with what became of it. Whoever may write into the directory may decide, so its group and permissions
are the site's choice; nothing else is trusted about it. It may be a share, or a stick that vanishes: names
are only looked up inside the directory that was opened, links are not followed, what is no small file of its
own is left alone, and what cannot be read or written now may be so in the next round.
"""

import grp
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from edgewright.agent import log
from edgewright.agent.consent.answers import (
    is_answer,
    parse_answer,
    question_json,
    question_names,
    question_text,
    take,
)
from edgewright.agent.consent.approvals import Approval, Approvals
from edgewright.agent.consent.hold import moment
from edgewright.agent.state.store import STATE, Store
from edgewright.protocol.errors import EdgewrightError

SETTLED_SECONDS: Final = 2.0
"""How long an answer has to be left alone before it counts: it may be half of what is being written."""
_MAX_BYTES: Final = 16 << 10
_MAX_QUESTION_BYTES: Final = 1 << 20
_MAX_NAMES: Final = 1000
_DONE: Final = "done"
_SEEN: Final = "drop.seen"
"""Meta name of what was taken in or told of already, with what became of it, newest last."""
_KEPT_SEEN: Final = 200
_SHARED: Final = 0o2770
"""Permissions where a group decides; what is made inside belongs to it as well."""
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC


class StrangeFileError(EdgewrightError):
    """A file in the drop is not one that anybody is asked for."""

    code = "drop.strange-file"


@dataclass(frozen=True, slots=True)
class _Found:
    """A file as it was read; `uid` is its owner's."""

    name: str
    data: bytes
    uid: int
    changed: float

    @property
    def stamp(self) -> str:
        """What tells it from every other answer, also from one of the same words that is given later."""
        return hashlib.sha256(f"{self.name}\0{self.changed}\0".encode() + self.data).hexdigest()[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDrop:
    """The drop at `path`, writable for `group` if there is one; times without a zone are meant in `zone`."""

    path: str
    store: Store
    approvals: Approvals
    device_id: str
    zone: tzinfo
    group: str | None = None

    def take_in(self, now: float) -> float | None:
        """Take in what was answered, the oldest first; return in how many seconds one counts that is new."""
        with suppress(FileNotFoundError), self._opened() as directory:
            again = None
            for found in sorted(self._found(directory), key=lambda each: each.changed):
                if abs(now - found.changed) < SETTLED_SECONDS:
                    again = SETTLED_SECONDS
                    continue
                try:
                    self._answer(directory, found, now)
                except OSError as error:
                    log.warning(f"{os.path.join(self.path, found.name)}: {error.strerror}")
            return again
        return None

    def put_out(self) -> None:
        """Write the questions that stand, and take back those that do not any more."""
        standing = self.approvals.open()
        if not standing and not os.path.isdir(self.path):
            return
        try:
            self._make()
            with self._opened() as directory:
                for each in standing:
                    self._ask(directory, each)
                self._take_back(directory, {name for each in standing for name in question_names(each)})
        except OSError as error:
            self._tell_once("", f"{self.path}: questions cannot be written: {error.strerror}")

    def _found(self, directory: int) -> Iterator[_Found]:
        """Yield the answers that can be read."""
        for name in _names(directory):
            if not is_answer(name):
                continue
            try:
                yield _read(directory, name)
            except StrangeFileError as error:
                self._tell_once(name, str(error))
            except OSError as error:
                log.warning(f"{os.path.join(self.path, name)}: {error.strerror}")

    def _answer(self, directory: int, found: _Found, now: float) -> None:
        """Decide, if it was not done before, and put the answer away."""
        if not self._is_seen(found.stamp):
            with self.store.transaction():
                outcome = self._outcome(found, now)
                self._see(found.stamp, outcome)
            log.info(f"{os.path.join(self.path, found.name)}: {outcome}")
        outcome = self._seen().get(found.stamp, "")
        _put_away(directory, found, f"{moment(now)}: {outcome}\n\n".encode() + found.data)

    def _outcome(self, found: _Found, now: float) -> str:
        try:
            answer = parse_answer(found.name, found.data, now=now, zone=self.zone)
            approval = take(answer, self.approvals, uid=found.uid)
        except EdgewrightError as error:
            self.store.record(STATE, f"the answer {found.name} in {self.path} was refused: {error}")
            return f"refused: {error}"
        return f"{approval.verdict} {approval.subject} (approval {approval.number})"

    def _ask(self, directory: int, approval: Approval) -> None:
        text, plain = question_names(approval)
        _write(directory, text, question_text(approval, self.device_id).encode())
        _write(directory, plain, question_json(approval, self.device_id).encode())

    def _take_back(self, directory: int, standing: Collection[str]) -> None:
        """Remove our questions that do not stand any more, also those of a database that was lost."""
        for name in _names(directory):
            stem, is_question, _ = name.rpartition(".json")
            if not is_question or name in standing or not name[:3].isdigit():
                continue
            with suppress(StrangeFileError, ValueError, AttributeError):
                if (
                    json.loads(_read(directory, name, _MAX_QUESTION_BYTES).data).get("deviceId")
                    != self.device_id
                ):
                    continue
                for each in (f"{stem}.txt", name):  # that by which it is known goes last
                    with suppress(FileNotFoundError):
                        os.unlink(each, dir_fd=directory)

    def _make(self) -> None:
        """Make the directory if it is not there, and let the group in if there is one."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        found = os.stat(self.path)
        if self.group is None or found.st_uid != os.geteuid():
            return
        try:
            group = grp.getgrnam(self.group).gr_gid
        except KeyError:
            self._tell_once("", f"{self.path}: there is no group {self.group} on this machine")
            return
        if (found.st_gid, stat.S_IMODE(found.st_mode)) != (group, _SHARED):
            with suppress(OSError):  # a stick knows of neither
                os.chown(self.path, -1, group)
                os.chmod(self.path, _SHARED)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _tell_once(self, name: str, message: str) -> None:
        stamp = hashlib.sha256(f"{name}\0{message}".encode()).hexdigest()[:20]
        if not self._is_seen(stamp):
            log.warning(message)
            with self.store.transaction():
                self.store.record(STATE, message)
                self._see(stamp, "")

    def _is_seen(self, stamp: str) -> bool:
        return stamp in self._seen()

    def _seen(self) -> dict[str, str]:
        return dict(json.loads(self.store.meta(_SEEN) or "{}"))

    def _see(self, stamp: str, outcome: str) -> None:
        seen = [*self._seen().items(), (stamp, outcome)]
        self.store.set_meta(_SEEN, json.dumps(dict(seen[-_KEPT_SEEN:])))


def _names(directory: int) -> Sequence[str]:
    """Return the names in a directory, in order; of a flooded one the first."""
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) >= _MAX_NAMES:
                break
    return sorted(names)


def _read(directory: int, name: str, most: int = _MAX_BYTES) -> _Found:
    """Read a file. Raises StrangeFileError for what is no file of its own, of `most` bytes at most."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=directory)
    except OSError as error:
        raise StrangeFileError(f"{name} was left alone: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise StrangeFileError(f"{name} was left alone: it is no file of its own")
        data = os.read(descriptor, most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise StrangeFileError(f"{name} was left alone: it is larger than {most >> 10} KiB")
    return _Found(name, data, found.st_uid, found.st_mtime)


def _write(directory: int, name: str, data: bytes) -> None:
    """Write a file whole, readable for whoever may enter the directory, if it is not so already."""
    with suppress(StrangeFileError):
        if _read(directory, name, _MAX_QUESTION_BYTES).data == data:
            return
    unfinished = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
    with open(os.open(unfinished, flags, 0o644, dir_fd=directory), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)


def _put_away(directory: int, found: _Found, data: bytes) -> None:
    """Leave `data` in `done/` in place of the answer; what cannot be written is left out."""
    try:
        with suppress(FileExistsError):
            os.mkdir(_DONE, 0o750, dir_fd=directory)
        done = os.open(_DONE, os.O_RDONLY | os.O_DIRECTORY | _OPEN, dir_fd=directory)
        try:
            _write(done, f"{found.name}.{found.stamp[:8]}.txt", data)
        finally:
            os.close(done)
    finally:
        os.unlink(found.name, dir_fd=directory)
