"""A server that hosts repositories, and Git's own program in front of it, as somebody who works on one."""

import base64
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewright.server.fleet.membership import secret_digest
from edgewright.server.store import repositories
from edgewright.server.store.database import Database
from edgewright.server.store.repositories import Kind, Way
from support import loops
from support.foreign_client import ForeignClient
from support.processes import own_environment
from support.server_process import ServerProcess

PASSWORD, TOKEN = "tulip-anvil-9472-copper", "egr1.3f9d0b7a62c14e58a1"


@dataclass(frozen=True, slots=True)
class Said:
    """How a run of git ended: its exit code, and what it said on both outputs."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Git:
    """Git in `folder`, with `settings` for this program alone; nothing of the user's or the system's."""

    folder: Path
    settings: Mapping[str, str]

    def run(self, *arguments: str | Path, data: bytes | None = None) -> Said:
        """Run git and return how it ended."""
        environment = own_environment(
            HOME=str(self.folder),
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL=os.devnull,
            GIT_TERMINAL_PROMPT="0",
        )
        for variable in ("GIT_SSL_CAINFO", "SSL_CERT_FILE"):
            environment.pop(variable, None)
        more = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        done = subprocess.run(
            ["git", *more, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(errors="replace").strip())

    def good(self, *arguments: str | Path, data: bytes | None = None) -> str:
        """Run git, which has to succeed, and return what it said."""
        said = self.run(*arguments, data=data)
        assert said.code == 0, said.text
        return said.text

    def empty_tree(self) -> str:
        """Return the tree without any file, made if it was not there."""
        return self.good("mktree", data=b"")

    def within(self, folder: Path) -> "Git":
        """Return the same git elsewhere."""
        return Git(folder, self.settings)

    def commit(self, files: Mapping[str, str | bytes], message: str = "a change") -> str:
        """Commit `files` on the branch at hand, and return the commit."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.good("add", "--all")
        self.good("commit", "--quiet", "--allow-empty", "-m", message)
        return self.good("rev-parse", "HEAD")


AUTHOR = {"user.name": "edge", "user.email": "edge@plant.test", "init.defaultBranch": "current"}


def with_certificate(client: ForeignClient, folder: Path, authority: Path) -> Git:
    """Return git that presents the certificate of a client."""
    shown = {"http.sslCert": str(client.svid), "http.sslKey": str(client.key)}
    return Git(folder, {**AUTHOR, "http.sslCAInfo": str(authority), **shown})


def with_header(header: str, folder: Path, authority: Path) -> Git:
    """Return git that sends `header` with every request."""
    return Git(folder, {**AUTHOR, "http.sslCAInfo": str(authority), "http.extraHeader": header})


def basic(name: str, password: str) -> str:
    """Return the header of Basic authentication."""
    return f"Authorization: Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def make_repository(
    server: ServerProcess, client_id: str, *, password: str | None = None, token: str | None = None
) -> Git:
    """Give an accepted client a hosted repository with an empty `desired`, and return git in it."""
    path = server.data / "repositories" / f"{client_id}.git"
    git = Git(server.data, AUTHOR)
    git.good("init", "--quiet", "--bare", "--initial-branch=desired", path)
    bare = git.within(path)
    bare.good("update-ref", "refs/heads/desired", bare.good("commit-tree", "-m", "first", bare.empty_tree()))
    loops.run(_note(server, client_id, {Way.BASIC: password, Way.TOKEN: token}))
    return bare


async def _note(server: ServerProcess, client_id: str, secrets: Mapping[Way, str | None]) -> None:
    async with Database(server.data / "edgewright.db") as database, database.writing() as connection:
        await repositories.add(connection, client_id, Kind.HOSTED, None, datetime.now(UTC))
        for way, secret in secrets.items():
            if secret is not None:
                await repositories.set_digest(connection, client_id, way, secret_digest(secret))


@dataclass(frozen=True, slots=True)
class Scene:
    """A server and a device with a repository on it; `bare` is git in the repository itself."""

    server: ServerProcess
    client: ForeignClient
    bare: Git
    name: str
    folder: Path

    @property
    def url(self) -> str:
        """Where the device reaches its repository."""
        return f"{self.server.git_url}/{self.name}.git"

    @property
    def authority(self) -> Path:
        """The file of the authority that signed the server's certificate."""
        return self.server.data / "identity" / "web-ca.pem"

    def git(self, header: str | None = None) -> Git:
        """Return git that shows the device's certificate, or sends `header` instead."""
        if header is None:
            return with_certificate(self.client, self.folder, self.authority)
        return with_header(header, self.folder, self.authority)

    def work(self, header: str | None = None) -> Git:
        """Return git in a clone, on a new branch `current` without a commit."""
        self.git(header).good("clone", "--quiet", self.url, "clone")
        work = self.git(header).within(self.folder / "clone")
        work.good("checkout", "--quiet", "--orphan", "current")
        return work

    @property
    def current(self) -> str:
        """Where the device's branch is; empty without it."""
        return self.bare.run("rev-parse", "--verify", "--quiet", "refs/heads/current").text


@contextmanager
def unbroken(data: Path) -> Iterator[ServerProcess]:
    """Run a server that hosts repositories; it must not have met anything it did not expect."""
    with ServerProcess.create(data, hosts_repositories=True) as running:
        yield running
    assert "Traceback" not in running.output
    assert "Exception in" not in running.output


def opened(server: ServerProcess, name: str, folder: Path) -> Scene:
    """Enrol a device under `name` and give it a repository that all three ways open."""
    token = server.operator.post("/enrollments", {"name": name})["token"]
    client = ForeignClient.enrolled(token, folder / name)
    bare = make_repository(server, name, password=PASSWORD, token=TOKEN)
    return Scene(server, client, bare, name, folder)
