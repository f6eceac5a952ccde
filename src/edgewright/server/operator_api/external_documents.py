"""The JSON of repositories on Git servers of somebody else's."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from edgewright.server.domain.hand_made import MOST_COMMITS
from edgewright.server.operator_api.documents import Given, Shown
from edgewright.server.repositories.access import DEFAULT_MINUTES, How

CommitId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$", examples=["4f1c" * 10])]


class GivenExternalCredentials(Given, frozen=True, kw_only=True):
    """How a Git server lets this server in. Never shown again.

    `how` says what is needed: `basic` a `username` and a `password`, `bearer` a `token`, `certificate` a
    `certificate` with its `key` (PEM), `ssh` an `ssh_key` and `known_hosts`, `none` nothing.
    """

    how: How
    username: str | None = None
    password: str | None = None
    token: str | None = None
    certificate: str | None = None
    key: str | None = None
    ssh_key: str | None = None
    known_hosts: str | None = None


class GivenExternal(Given, frozen=True, kw_only=True):
    """A repository on a Git server of somebody else's, as it is to be.

    `credentials` left out stay as they are. `ca` is PEM, for servers whose certificate no public authority
    made. `proxy` is `http://[name:password@]host:port`. Every `minutes` the server is asked for news.
    """

    url: str
    credentials: GivenExternalCredentials | UnsetType = UNSET
    ca: str | None = None
    proxy: str | None = None
    minutes: int = DEFAULT_MINUTES


class ExternalEntry(Shown, frozen=True, kw_only=True):
    """A repository on a Git server of somebody else's; of its credentials only which kind they are.

    `desired_commit` is where this server left the branch `desired`, `current_commit` how far it has read
    `current`. `problem` says what keeps it from going on, `refused` why the last commit that a person made
    by hand was not taken in. `checked` is when the Git server answered last. `rewritten` says that somebody
    rewrote `desired`, and that a person has to say how to go on (`restore`).
    """

    device: str
    url: str
    credentials: str
    username: str | None
    ca: str | None
    proxy: str | None
    minutes: int
    has_webhook: bool
    desired_commit: str | None
    current_commit: str | None
    checked: datetime | None
    rewritten: bool
    problem: str | None
    refused: str | None


class WebhookSecret(Shown, frozen=True, kw_only=True):
    """Where the Git server is to tell of pushes, and the secret by which it shows who it is. Shown once."""

    url: str
    secret: str


class RestoreBranch(Given, frozen=True, kw_only=True):
    """How to go on after somebody rewrote `desired`.

    Without `replace` both histories are joined by a commit that has our content, which every Git server
    takes. With it ours is put in the place of theirs, by force, as long as nothing is pushed meanwhile.
    """

    replace: bool = False


class ProposedFile(Given, frozen=True, kw_only=True):
    """A file as a commit has it: its mode and id as Git has them, and its size in bytes.

    `content` (base64) is needed of the policy, the manifest and the documents of deployments.
    """

    mode: Annotated[str, msgspec.Meta(pattern="^[0-7]{6}$", examples=["100644"])]
    id: CommitId
    size: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    content: bytes | None = None


class ProposedCommit(Given, frozen=True, kw_only=True):
    """A commit that was made by hand: by whom, and what it changed against the commit before.

    `files` maps path to file, null for one that is removed. `refused` says why its tree could not be read;
    then nothing of it counts.
    """

    id: CommitId
    name: str
    email: str
    files: dict[str, ProposedFile | None] = msgspec.field(default_factory=dict)
    refused: str | None = None


class ProposedCommits(Given, frozen=True, kw_only=True):
    """Commits to be judged, the oldest first, on top of `base`: the last commit of the fleet manager's."""

    base: CommitId
    commits: Annotated[list[ProposedCommit], msgspec.Meta(min_length=1, max_length=MOST_COMMITS)]


class JudgedCommit(Shown, frozen=True, kw_only=True):
    """What would become of a commit: `told` is what would be taken in, or why it would be refused."""

    id: str
    is_fine: bool
    told: str


class JudgedCommits(Shown, frozen=True, kw_only=True):
    """What would become of commits, in their order."""

    commits: list[JudgedCommit]
