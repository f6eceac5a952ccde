"""Repositories of devices for tests, made by the real git: signing keys, signed commits, what is in them."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from edgewright.protocol.digests import digest_of
from edgewright.protocol.repository import deployment_file
from support.foreign_server import BUNDLE


class SigningKey:
    """A key of ssh that signs commits; `signers` is the file that says it is to be believed."""

    def __init__(self, directory: Path, name: str = "fleet") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{name}-key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.path], check=True
        )
        public = self.path.with_name(f"{name}-key.pub").read_text().split()
        self.line = f'{name} namespaces="git" {public[0]} {public[1]}\n'
        self.signers = directory / f"{name}-signers"
        self.signers.write_text(self.line)


class DeviceRepository:
    """The bare repository of one device at `path`, and commits on its branch `desired`."""

    def __init__(self, path: Path, key: SigningKey) -> None:
        self.path = path
        self.key = key
        self.git("init", "--quiet", "--bare", "--initial-branch=desired", str(path))

    def desire(self, version: int, *documents: bytes, key: SigningKey | None = None, **files: bytes) -> str:
        """Commit a manifest of `version` with `documents` on top of `desired`; return the commit."""
        listed, content = [], {".gitattributes": b"* -text\n", **files}
        for data in documents:
            deployment = json.loads(data)["id"]
            content[deployment_file(deployment)] = data
            url = f"/api/v1/deployments/{deployment}/{digest_of(data)}"
            listed.append({"deploymentId": deployment, "digest": digest_of(data), "url": url})
        bundle = None
        if listed:
            packed = digest_of(b"what nobody asks for, as everything is in the commit")
            bundle = {"mediaType": BUNDLE, "digest": packed, "url": f"/api/v1/bundles/{packed}"}
        manifest = {"manifestVersion": version, "bundle": bundle, "deployments": listed}
        return self.commit({**content, "manifest.json": json.dumps(manifest).encode()}, key=key)

    def commit(self, files: Mapping[str, bytes], *, key: SigningKey | None = None) -> str:
        """Commit exactly `files` on top of `desired`, signed, and return the commit."""
        index = {"GIT_INDEX_FILE": str(self.path / "test-index")}
        (self.path / "test-index").unlink(missing_ok=True)
        for name, data in files.items():
            blob = self.git("hash-object", "-w", "--stdin", stdin=data)
            self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", environment=index)
        tree = self.git("write-tree", environment=index)
        parent = self.head("desired")
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={(key or self.key).path}"]
        made = self.git(
            *signing, "commit-tree", "-S", "-m", "Desired", *(["-p", parent] if parent else []), tree
        )
        self.git("update-ref", "refs/heads/desired", made)
        return made

    def head(self, branch: str) -> str:
        """Return the commit a branch is at, empty where there is none."""
        listed = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed.strip()

    def read(self, name: str, branch: str = "current") -> bytes:
        """Return a file at the head of a branch."""
        return self.git("show", f"refs/heads/{branch}:{name}").encode()

    def git(self, *words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        """Run git in the repository as its server, and return what it says."""
        person = {
            f"GIT_{who}_{what}": f"fleet{'@example' if what == 'EMAIL' else ''}"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *words],
            cwd=self.path if self.path.exists() else self.path.parent,
            input=stdin,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_GLOBAL": "/dev/null",
                **person,
                **(environment or {}),
            },
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()
