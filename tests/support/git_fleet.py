"""A fleet manager that is nothing but Git: it writes `desired`, signed, and reads `current`, by `git` alone.

It shares no code with `edgewright`, so that a device is proved against docs/reference/git-repository.md and
not against our own reading of it. Any commit can be had: any tree, any parent, any signature.

    signer = Signer.create(tmp_path, "fleet")
    fleet = GitFleet.create(tmp_path / "edge-01.git", signer)
    fleet.deploy(deployment_yaml("11111111-…"))
    …
    fleet.wait_for_state("11111111-…", "installed")
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from support.foreign_server import digest_of
from support.processes import own_environment, wait_until

DESIRED, CURRENT = "refs/heads/desired", "refs/heads/current"
FILE, PROGRAM, FOLDER, LINK, SUBMODULE = "100644", "100755", "40000", "120000", "160000"
WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs commits: a key of ssh-keygen."""

    name: str
    key: Path

    @classmethod
    def create(cls, directory: Path, name: str, kind: str = "ed25519") -> Self:
        """Make a new key in `directory`: `ed25519`, `ecdsa` or `rsa`."""
        directory.mkdir(parents=True, exist_ok=True)
        key = directory / f"{name}.signing"
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(key)]
        subprocess.run(command, check=True, capture_output=True)
        made = cls(name, key)
        made.signers.write_text(made.line)
        return made

    @property
    def line(self) -> str:
        """The line that makes this signer trusted (ssh-keygen(1), ALLOWED SIGNERS), with its end."""
        kind, key = self.key.with_suffix(".signing.pub").read_text().split()[:2]
        return f'{self.name} namespaces="git" {kind} {key}\n'

    @property
    def signers(self) -> Path:
        """The file in which this signer is the only one, for `agent enroll --signers`."""
        return self.key.with_suffix(".signers")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree as Git stores it: `name` may be anything but empty, `object_id` may be missing."""

    mode: str
    name: bytes
    object_id: str


class GitFleet:
    """The repository of one device, seen from the fleet manager's side; every member may be changed."""

    def __init__(self, repository: Path, signer: Signer | None) -> None:
        self.repository = repository
        self.signer = signer
        self.version = 0
        self.documents: dict[str, bytes] = {}
        self.others: dict[str, bytes] = {".gitattributes": b"* -text\n"}
        """Files beside the manifest and the deployments, by their path: `policy.yaml`, `signers`, any."""

    @classmethod
    def create(cls, repository: Path, signer: Signer | None) -> Self:
        """Make the bare repository, in which Git lets everybody write whom a server lets through."""
        repository.parent.mkdir(parents=True, exist_ok=True)
        command = ["git", "init", "-q", "--bare", "-b", "desired", str(repository)]
        subprocess.run(command, check=True, env=_environment())
        fleet = cls(repository, signer)
        fleet.git("config", "http.receivepack", "true")
        fleet.git("config", "receive.denyNonFastForwards", "true")
        fleet.git("config", "receive.denyDeletes", "true")
        return fleet

    # --- desired state ------------------------------------------------------------------------------

    def deploy(self, *documents: bytes) -> str:
        """Add deployments, or replace those of the same id; return the new commit."""
        for document in documents:
            self.documents[json.loads(document)["id"]] = document
        return self.publish()

    def withdraw(self, deployment_id: str) -> str:
        """Take a deployment out; return the new commit."""
        del self.documents[deployment_id]
        return self.publish()

    def publish(self, version: int | None = None, **shape: Any) -> str:
        """Commit what is wanted now, with the next version unless one is given; `shape` as for `commit`."""
        self.version = self.version + 1 if version is None else version
        return self.commit(self.files(), **shape)

    def files(self) -> dict[str, bytes]:
        """Return what a right head of `desired` holds now, by path."""
        documents = {f"deployments/{key}.yaml": data for key, data in self.documents.items()}
        return {"manifest.json": self.manifest(), **documents, **self.others}

    def manifest(self) -> bytes:
        """Return the state manifest of what is wanted now."""
        listed = [
            {
                "deploymentId": key,
                "digest": digest_of(data),
                "url": f"/api/v1/deployments/{key}/{digest_of(data)}",
                "sizeBytes": len(data),
            }
            for key, data in self.documents.items()
        ]
        bundle = None
        if listed:
            digest = digest_of(b"a bundle that nobody fetches")
            media_type = "application/vnd.margo.bundle.v1+tar+gzip"
            bundle = {"mediaType": media_type, "digest": digest, "url": f"/api/v1/bundles/{digest}"}
        whole = {"manifestVersion": self.version, "bundle": bundle, "deployments": listed}
        return json.dumps(whole).encode()

    # --- commits ------------------------------------------------------------------------------------

    def commit(
        self,
        files: Mapping[str, bytes] | str,
        *,
        parents: Sequence[str] | None = None,
        signer: Signer | None = None,
        signed: bool = True,
        branch: str | None = DESIRED,
        message: str = "What is wanted",
        author: str = "fleet",
    ) -> str:
        """Commit `files` (by path, or the id of a tree) on `branch`, wherever that leads, and return its id.

        `parents` are the head of the branch unless given; without a branch the commit is only made. It is
        signed by `signer`, by default this fleet manager's own, unless `signed` is false.
        """
        tree = files if isinstance(files, str) else self.tree(files)
        if parents is None:
            head = self.head(branch) if branch else None
            parents = [head] if head else []
        signs = (signer or self.signer) if signed else None
        words = [] if signs is None else ["-c", "gpg.format=ssh", "-c", f"user.signingKey={signs.key}"]
        flags = ["--no-gpg-sign"] if signs is None else ["-S"]
        above = [word for each in parents for word in ("-p", each)]
        made = self.git(*words, "commit-tree", *flags, *above, "-m", message, tree, author=author).decode()
        return self.point(branch, made.strip()) if branch else made.strip()

    def commit_raw(self, data: bytes, branch: str | None = DESIRED) -> str:
        """Store `data` as a commit, whatever it is, and let `branch` point at it."""
        made = self.write("commit", data)
        return self.point(branch, made) if branch else made

    def point(self, branch: str, commit: str) -> str:
        """Let `branch` point at `commit`, also backwards."""
        self.git("update-ref", branch, commit)
        return commit

    def tree(self, files: Mapping[str, bytes]) -> str:
        """Store `files` by path and return the id of their tree."""
        entries, folders = [], dict[str, dict[str, bytes]]()
        for path, data in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(first, {})[rest] = data
            else:
                entries.append(Entry(FILE, first.encode(), self.write("blob", data)))
        entries += [Entry(FOLDER, name.encode(), self.tree(inner)) for name, inner in folders.items()]
        return self.tree_of(entries)

    def tree_of(self, entries: Sequence[Entry], *, sort: bool = True) -> str:
        """Store a tree of exactly these entries, however wrong, and return its id."""
        if sort:
            entries = sorted(entries, key=lambda each: each.name + b"/" * (each.mode == FOLDER))
        packed = b"".join(
            each.mode.encode() + b" " + each.name + b"\0" + bytes.fromhex(each.object_id) for each in entries
        )
        return self.write("tree", packed)

    def with_entry(self, *extra: Entry) -> str:
        """Return the tree of a right head with `extra` entries at its root."""
        listing = self.git("ls-tree", "-z", self.tree(self.files())).split(b"\0")[:-1]
        entries = []
        for line in listing:
            about, name = line.split(b"\t", 1)
            mode, _, object_id = about.decode().split()
            entries.append(Entry(mode.lstrip("0"), name, object_id))
        return self.tree_of([*entries, *extra])

    def write(self, kind: str, data: bytes) -> str:
        """Store an object of `kind` literally and return its id."""
        words = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"]
        return self.git(*words, given=data).decode().strip()

    # --- what there is ------------------------------------------------------------------------------

    def head(self, branch: str = DESIRED) -> str | None:
        """Return the id of the commit a branch points at, None where there is none."""
        found = self._run("rev-parse", "-q", "--verify", f"{branch}^{{commit}}")
        return found.stdout.decode().strip() if found.returncode == 0 else None

    def read(self, path: str, branch: str = CURRENT) -> bytes | None:
        """Return the file at `path` in the head of `branch`, None where there is none."""
        found = self._run("cat-file", "blob", f"{branch}:{path}")
        return found.stdout if found.returncode == 0 else None

    def paths(self, branch: str = CURRENT) -> list[str]:
        """Return the paths of all files in the head of `branch`."""
        if self.head(branch) is None:
            return []
        return self.git("ls-tree", "-r", "--name-only", branch).decode().splitlines()

    def history(self, branch: str = CURRENT, path: str | None = None) -> list[str]:
        """Return the commits of `branch`, first to last; only those that change `path`, if it is given."""
        if self.head(branch) is None:
            return []
        words = ["rev-list", "--reverse", "--first-parent", branch, *(["--", path] if path else [])]
        return self.git(*words).decode().split()

    def adopted(self) -> Any:
        """Return `adopted.json` as it is now, None where there is none."""
        found = self.read("adopted.json")
        return None if found is None else json.loads(found)

    def capabilities(self) -> Any:
        """Return `capabilities.json` as it is now, None where there is none."""
        found = self.read("capabilities.json")
        return None if found is None else json.loads(found)

    def statuses(self, deployment_id: str) -> list[Any]:
        """Return the statuses of a deployment that were committed, first to last."""
        path = f"status/{deployment_id}.json"
        found = [self.read(path, commit) for commit in self.history(CURRENT, path)]
        return [json.loads(each) for each in found if each is not None]

    def states(self, deployment_id: str) -> list[str]:
        """Return the overall states of a deployment that were committed, first to last."""
        return [each["status"]["state"] for each in self.statuses(deployment_id)]

    def wait_for_state(self, deployment_id: str, state: str, *, version: int | None = None) -> None:
        """Return as soon as the last status of a deployment says `state` (with `version` as adopted)."""

        def reached() -> bool:
            found = self.read(f"status/{deployment_id}.json")
            if found is None:
                return False
            told = json.loads(found)
            if told["status"]["state"] != state:
                return False
            return version is None or told["adoptedManifestVersion"] == version

        wait_until(reached, what=f"deployment {deployment_id} {state} on current", seconds=WAIT_SECONDS)

    def wait_for_adopted(self, commit: str) -> None:
        """Return as soon as the device says that it took `commit` up."""

        def reached() -> bool:
            told = self.adopted()
            return told is not None and told["commit"] == commit

        wait_until(reached, what=f"{commit} taken up", seconds=WAIT_SECONDS)

    def wait_for_refusal(self, commit: str) -> str:
        """Return the reason as soon as the device says that it refused `commit`."""

        def reason() -> str | None:
            told = self.adopted()
            refused = told and told["refused"]
            return str(refused["reason"]) if refused and refused["commit"] == commit else None

        return wait_until(reason, what=f"{commit} refused", seconds=WAIT_SECONDS)

    # --- the program --------------------------------------------------------------------------------

    def git(self, *words: str, given: bytes | None = None, author: str = "fleet") -> bytes:
        """Run `git WORDS` in the repository and return what it printed; it has to end well."""
        done = self._run(*words, given=given, author=author)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    def _run(
        self, *words: str, given: bytes | None = None, author: str = "fleet"
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["git", "-C", str(self.repository), *words],
            input=given,
            capture_output=True,
            check=False,
            env=_environment(author),
        )


def _environment(author: str = "fleet") -> dict[str, str]:
    people = {
        f"GIT_{role}_{what}": f"{author}@example.org" if what == "EMAIL" else author
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return own_environment(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", LC_ALL="C", **people)
