"""What becomes of a commit that a person made on the branch `desired` of a device's repository. Pure.

A person may change the suggested policy, values of parameters of single deployments, and files without a
meaning. Everything else is the fleet manager's, and a commit that touches it is refused as a whole, with
reasons that name the file and the way out (docs/reference/git-repository.md, People in between).

Commits are judged one by one, oldest first, each by what it changes against its parent. What is as the fleet
manager has it anyway is no change, so that a commit which mends a refused one is fine. Whether an
application takes a value is not known here: `fleet.deploying` says that when the change is made.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgewright.protocol import yaml
from edgewright.protocol.conversion import member
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.policy import parse_layer
from edgewright.protocol.repository import (
    DEPLOYMENTS,
    DOCUMENT_BYTES,
    MANIFEST,
    MANIFEST_BYTES,
    MOST_ENTRIES,
    POLICY,
    POLICY_BYTES,
    SIGNERS,
    SIGNERS_BYTES,
    deployment_file,
    is_safe_name,
)
from edgewright.protocol.values import Value

ATTRIBUTES: Final = ".gitattributes"
FOLDER: Final = "040000"
PLAIN: Final = frozenset({"100644", "100755"})
MOST_DEPTH: Final = 4
# A device fetches files without a meaning too: people get room for explanations, not for a share of its link.
MOST_OTHERS: Final = 1000
OTHER_BYTES: Final = 8 * 1024 * 1024
# How many commits of people are judged one by one; of more the head alone, as one change.
MOST_COMMITS: Final = 200

_OURS: Final = {
    MANIFEST: "it lists the deployments, which are made and removed in the fleet manager",
    SIGNERS: "it says whom the device trusts; keys are replaced in the fleet manager",
    ATTRIBUTES: "it keeps the bytes of all files as they are",
}
_LIMITS: Final = {MANIFEST: MANIFEST_BYTES, POLICY: POLICY_BYTES, SIGNERS: SIGNERS_BYTES}
_KINDS: Final = {"120000": "a symbolic link", "160000": "a submodule"}
_DOCUMENT: Final = re.compile(rf"{DEPLOYMENTS}/[^/]+\.(yaml|yml|json)", re.IGNORECASE)
_LONGEST_REASON: Final = 400
_LONGEST_AUTHOR: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a tree, or whatever else Git calls a blob or a commit in it; `mode` as Git writes it."""

    path: str
    mode: str
    id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All entries of a tree but its folders, and the bytes of those that mean something (see `is_read`)."""

    entries: tuple[Entry, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def by_path(self) -> dict[str, Entry]:
        """Map path to entry; of two entries at one path, which is a fault, the first."""
        return {entry.path: entry for entry in reversed(self.entries)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Who made a commit, as the commit says."""

    id: str
    name: str
    email: str

    @property
    def author(self) -> str:
        """Name and address in one line, whatever was written there."""
        name, email = _line(self.name, _LONGEST_AUTHOR), _line(self.email, _LONGEST_AUTHOR)
        if not name:
            return email or "somebody without a name"
        return f"{name} <{email}>" if email else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a commit asks for; empty where it changes nothing that counts.

    `policy` has one item where the suggestion is to be that, None in it where it is to be withdrawn.
    `parameters` maps deployment id to parameter to value, None meaning back to the default. `others` maps the
    path of a file without a meaning to its entry, None where it is removed.
    """

    policy: tuple[bytes | None, ...] = ()
    parameters: Mapping[str, Mapping[str, Value | None]] = field(default_factory=dict)
    others: Mapping[str, Entry | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing follows from the commit."""
        return not (self.policy or self.parameters or self.others)

    def in_words(self) -> str:
        """Tell people what was taken in, in one line."""
        parts: list[str] = []
        if self.policy:
            parts.append(f"{POLICY} removed" if self.policy[0] is None else POLICY)
        for deployment, values in sorted(self.parameters.items()):
            parts.append(f"{', '.join(sorted(values))} of deployment {deployment}")
        if self.others:
            shown = sorted(self.others)
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            parts.append(f"{', '.join(shown[:3])}{more}")
        return _line("; ".join(parts) or "no change", _LONGEST_REASON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing of a commit is taken in; every reason names what is wrong and what to do instead."""

    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The reasons in one line of bounded length."""
        shown = "; ".join(self.reasons[:3])
        more = f"; and {len(self.reasons) - 3} more reasons" if len(self.reasons) > 3 else ""
        return _line(shown, _LONGEST_REASON) + more


Verdict = Accepted | Refused


def is_read(path: str) -> bool:
    """Whether the bytes of the file at `path` are needed to judge a commit."""
    return path in {MANIFEST, POLICY} or _DOCUMENT.fullmatch(path) is not None


def size_limit(path: str) -> int:
    """Return how many bytes the file at `path` may have."""
    return _LIMITS.get(path, DOCUMENT_BYTES)


def judge(parent: Snapshot, made: Snapshot, state: Snapshot) -> Verdict:
    """Return what becomes of the commit that made `made` out of `parent`.

    `state` is what the fleet manager had in the repository before, with what was taken in since.
    """
    reasons = _new_faults(parent, made)
    if reasons:
        return Refused(reasons=tuple(reasons))
    judging = _Judging(parent, made, state)
    for path in sorted(_changed(parent, made, state)):
        judging.look_at(path)
    judging.check_room()
    return judging.verdict()


def after(state: Snapshot, made: Snapshot, accepted: Accepted) -> Snapshot:
    """Return `state` with what was taken in from the commit that made `made`."""
    entries, contents, theirs = state.by_path(), dict(state.contents), made.by_path()
    for path, entry in accepted.others.items():
        if entry is None:
            entries.pop(path, None)
        else:
            entries[path] = entry
    if accepted.policy:
        entries.pop(POLICY, None)
        contents.pop(POLICY, None)
        if accepted.policy[0] is not None:
            entries[POLICY], contents[POLICY] = theirs[POLICY], accepted.policy[0]
    for deployment, values in accepted.parameters.items():
        path = deployment_file(deployment)
        contents[path] = _with_values(contents[path], values)
        entries[path] = replace(entries[path], id="", size=len(contents[path]))
    return Snapshot(entries=tuple(entries.values()), contents=contents)


class Walk:
    """Judges commits in order, each by what it changes against the one before.

    `state` is what the fleet manager has in the repository, with what was taken in on the way.
    """

    def __init__(self, state: Snapshot) -> None:
        self.state = self._parent = state

    def judge(self, made: Snapshot | Refused) -> Verdict:
        """Return what becomes of the next commit; `made` is its tree, or why nobody looks into that."""
        return made if isinstance(made, Refused) else judge(self._parent, made, self.state)

    def go_on(self, made: Snapshot | Refused, verdict: Verdict) -> None:
        """Go on to the commit after that, now that it is certain what became of this one."""
        if isinstance(made, Refused):
            self._parent = self.state
            return
        if isinstance(verdict, Accepted):
            self.state = after(self.state, made, verdict)
        self._parent = made


def others_of(snapshot: Snapshot) -> dict[str, Entry]:
    """Return the files without a meaning in a tree of the fleet manager's, by path."""
    return {
        path: entry for path, entry in snapshot.by_path().items() if not _is_ours(path) and path != POLICY
    }


def faults_of(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """Yield path and fault of what no tree may have (docs/reference/git-repository.md, Names and limits)."""
    folders: set[str] = set()
    files: set[str] = set()
    names: dict[tuple[str, str], str] = {}
    for entry in entries:
        parts = entry.path.split("/")
        yield from _entry_faults(entry, parts)
        if entry.path in files:
            yield entry.path, "is in its folder twice"
        files.add(entry.path)
        for depth, name in enumerate(parts):
            above = "/".join(parts[:depth])
            if depth:
                folders.add(above)
            known = names.setdefault((above, name.lower()), name)
            if known != name:
                yield entry.path, f"its name and that of {known} differ in nothing but case"
    for path in sorted(files & folders):
        yield path, "is a file and a folder"
    if len(entries) + len(folders) > MOST_ENTRIES:
        yield "", f"has more than {MOST_ENTRIES} files and folders"


class _Judging:
    """Collects what one commit asks for, and why it cannot have it."""

    def __init__(self, parent: Snapshot, made: Snapshot, state: Snapshot) -> None:
        self._parent, self._made, self._state = parent, made, state
        self._theirs, self._mine = made.by_path(), state.by_path()
        self._reasons: list[str] = []
        self._policy: tuple[bytes | None, ...] = ()
        self._parameters: dict[str, dict[str, Value | None]] = {}
        self._others: dict[str, Entry | None] = {}

    def look_at(self, path: str) -> None:
        if path in _OURS:
            self._refuse(path, f"is written by the fleet manager alone: {_OURS[path]}")
        elif path == POLICY:
            self._look_at_policy()
        elif path == DEPLOYMENTS or path.partition("/")[0] in {*_OURS, POLICY}:
            self._refuse(path, "has the name of something that means something; choose another")
        elif path in self._state.contents:
            self._look_at_document(path)
        elif any(path.startswith(f"{known}/") for known in self._state.contents):
            self._refuse(path, "has the name of a document as its folder; choose another")
        elif _DOCUMENT.fullmatch(path) and path in self._theirs:
            self._refuse(
                path,
                "is the document of no deployment of this device; deployments are made in the fleet manager",
            )
        else:
            self._others[path] = self._theirs.get(path)

    def check_room(self) -> None:
        """Refuse more files without a meaning than a device can be expected to fetch."""
        before = others_of(self._state)
        there = {**before, **self._others}
        kept = [entry for entry in there.values() if entry is not None]
        if len(kept) > max(MOST_OTHERS, len(before)):
            self._reasons.append(
                f"files that are not the fleet manager's: at most {MOST_OTHERS} can be in the repository"
            )
        size = sum(entry.size for entry in kept)
        if size > max(OTHER_BYTES, sum(entry.size for entry in before.values())):
            self._reasons.append(
                f"files that are not the fleet manager's: at most {OTHER_BYTES} bytes in all can be in the"
                " repository"
            )

    def verdict(self) -> Verdict:
        if self._reasons:
            return Refused(reasons=tuple(self._reasons))
        found = Accepted(policy=self._policy, parameters=self._parameters, others=self._others)
        # What is left of refused commits in the tree is not taken in, and may be what this one builds on.
        faults = faults_of(after(self._state, self._made, found).entries)
        reasons = tuple(dict.fromkeys(_fault_in_words(path, fault) for path, fault in faults))
        return Refused(reasons=reasons) if reasons else found

    def _look_at_policy(self) -> None:
        if POLICY not in self._theirs:
            self._policy = (None,)
            return
        content = self._made.contents[POLICY]
        if content == self._state.contents.get(POLICY):
            return
        if not content.strip():
            self._refuse(POLICY, "is empty; remove the file to suggest no policy")
            return
        try:
            parse_layer(content, source=POLICY)
        except DocumentError as error:
            self._reasons.append(str(error))
        else:
            self._policy = (content,)

    def _look_at_document(self, path: str) -> None:
        if path not in self._theirs:
            self._refuse(path, "is gone, and the deployment is not; remove it in the fleet manager")
            return
        ours = yaml.load(self._state.contents[path], source=path)
        try:
            theirs = yaml.load(self._made.contents[path], source=path)
        except DocumentError as error:
            self._reasons.append(str(error))
            return
        place = _other_change(theirs, ours)
        if place is not None:
            self._refuse(
                path,
                f"{place}: nothing but values of parameters can be changed here;"
                " versions, components and all else are changed in the fleet manager",
            )
            return
        before = self._values_before(path, ours)
        wanted, now = _values_of(theirs), _values_of(ours)
        changed: dict[str, Value | None] = {}
        for name in sorted(before.keys() | wanted.keys()):
            if _is_same(before.get(name, _ABSENT), wanted.get(name, _ABSENT)):
                continue
            if _is_same(now.get(name, _ABSENT), wanted.get(name, _ABSENT)):
                continue
            where = member("$.spec.parameters", name)
            value = _as_value(wanted[name]) if name in wanted else None
            if name in wanted and value is None:
                self._refuse(
                    path, f"{where}.value: expected a text, a number, true, false, or a list of them"
                )
            changed[name] = value
        if changed:
            self._parameters[path.removeprefix(f"{DEPLOYMENTS}/").rpartition(".")[0]] = changed

    def _values_before(self, path: str, ours: Any) -> dict[str, Any]:
        """Return the values that the commit found, as far as they can be read."""
        content = self._parent.contents.get(path)
        if content is None:
            return _values_of(ours)
        try:
            found = yaml.load(content, source=path)
        except DocumentError:
            return _values_of(ours)
        return _values_of(ours if _other_change(found, ours) else found)

    def _refuse(self, path: str, reason: str) -> None:
        self._reasons.append(f"{path} {reason}" if not reason.startswith("$") else f"{path}: {reason}")


_ABSENT: Final = object()


def _is_ours(path: str) -> bool:
    return path in _OURS or _DOCUMENT.fullmatch(path) is not None


def _changed(parent: Snapshot, made: Snapshot, state: Snapshot) -> set[str]:
    """Return the paths that a commit changed and that are not as they were in `state`."""
    before, theirs, ours = parent.by_path(), made.by_path(), state.by_path()
    return {
        path
        for path in before.keys() | theirs.keys()
        if before.get(path) != theirs.get(path) and not _is_same_file(ours.get(path), theirs.get(path), path)
    }


def _is_same_file(ours: Entry | None, theirs: Entry | None, path: str) -> bool:
    """Whether nothing is to be decided: modes count for files without a meaning alone."""
    if ours is None or theirs is None:
        return ours is theirs
    if _is_ours(path) or path == POLICY:
        return ours.id == theirs.id and theirs.mode in PLAIN
    return ours == theirs


def _new_faults(parent: Snapshot, made: Snapshot) -> list[str]:
    """Return what a commit brought in that no tree may have."""
    known = set(faults_of(parent.entries))
    before, theirs = parent.by_path(), made.by_path()
    found: dict[str, None] = {}
    for path, fault in faults_of(made.entries):
        if (path, fault) not in known or before.get(path) != theirs.get(path):
            found[_fault_in_words(path, fault)] = None
    return list(found)


def _fault_in_words(path: str, fault: str) -> str:
    return f"{_shown(path)} {fault}" if path else f"the tree {fault}"


def _entry_faults(entry: Entry, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    if entry.mode not in PLAIN:
        kind = _KINDS.get(entry.mode, f"of the mode {entry.mode}")
        yield entry.path, f"is {kind}; only plain files can be in the repository"
    elif entry.size > (limit := size_limit(entry.path)):
        yield entry.path, f"is larger than {limit} bytes"
    if len(parts) > MOST_DEPTH:
        yield entry.path, f"is nested deeper than {MOST_DEPTH} names"
    for name in parts:
        if not is_safe_name(name):
            yield (
                entry.path,
                f"has a name that is not allowed ({_shown(name)}): expected letters, digits, '.', '_' and"
                " '-', beginning with a letter, a digit or '_', and not ending in '.' or '.lock'",
            )
            return


def _other_change(theirs: Any, ours: Any) -> str | None:
    """Return where a document differs in more than values of its parameters, None where it does not."""
    place = _difference(_without_parameters(theirs), _without_parameters(ours), "$")
    if place is not None:
        return place
    known = ours["spec"].get("parameters", {})
    for name, parameter in theirs["spec"].get("parameters", {}).items():
        path = member("$.spec.parameters", name)
        if not isinstance(parameter, dict):
            return path
        for part, value in parameter.items():
            if part == "value" or (part == "targets" and name not in known):
                continue
            if _difference(value, known.get(name, {}).get(part, _ABSENT), path) is not None:
                return member(path, part)
    return None


def _without_parameters(plain: Any) -> Any:
    if not (isinstance(plain, dict) and isinstance(plain.get("spec"), dict)):
        return plain
    spec = dict(plain["spec"])
    if isinstance(spec.get("parameters", {}), dict):
        spec.pop("parameters", None)
    return {**plain, "spec": spec}


def _with_values(document: bytes, values: Mapping[str, Value | None]) -> bytes:
    """Return a document of ours with other values; what it is worth afterwards is for comparing alone."""
    plain: Any = yaml.load(document, source=DEPLOYMENTS)
    parameters = plain["spec"].setdefault("parameters", {})
    for name, value in values.items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters[name] = {**parameters.get(name, {}), "value": value}
    return yaml.dump(plain)


def _values_of(plain: Any) -> dict[str, Any]:
    """Return parameter to value; a parameter that has none is as good as not there."""
    parameters = plain["spec"].get("parameters", {})
    return {
        name: parameter["value"]
        for name, parameter in parameters.items()
        if isinstance(parameter, dict) and "value" in parameter
    }


def _difference(theirs: Any, ours: Any, path: str) -> str | None:
    """Return where the first difference of two plain values is, None where they are the same."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            place = member(path, name)
            if name not in theirs or name not in ours:
                return place
            if (found := _difference(theirs[name], ours[name], place)) is not None:
                return found
        return None
    if isinstance(theirs, list) and isinstance(ours, list):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            if (found := _difference(one, other, f"{path}[{index}]")) is not None:
                return found
        return None if len(theirs) == len(ours) else f"{path}[{min(len(theirs), len(ours))}]"
    return None if _is_same(theirs, ours) else path


def _is_same(left: Any, right: Any) -> bool:
    """Whether two values are the same; true is not 1."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_is_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _as_value(plain: Any) -> Value | None:
    """Return a plain value as that of a parameter, None where it cannot be one."""
    if isinstance(plain, list):
        items = tuple(item for item in plain if isinstance(item, str | bool | int | float))
        return items if len(items) == len(plain) else None
    return plain if isinstance(plain, str | bool | int | float) else None


def _shown(text: str) -> str:
    """Return a name that may hold anything, for people."""
    return text if text.isascii() and text.isprintable() and text else ascii(text)


def _line(text: str, longest: int) -> str:
    """Return `text` as one line of printable characters, of bounded length."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
