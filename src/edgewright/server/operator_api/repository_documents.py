"""The JSON of devices' repositories."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from edgewright.server.operator_api.documents import Given, Shown
from edgewright.server.store.repositories import Kind

SecretWay = Literal["basic", "token"]


class GivenRepository(Given, frozen=True, kw_only=True):
    """A repository as it is to be: hosted here. One on another Git server has a path of its own below."""

    kind: Literal["hosted"] = "hosted"


class RefusedCommit(Shown, frozen=True, kw_only=True):
    """Which commit of `desired` the device does not take up (null: there is none), since when, and why."""

    commit: str | None
    reason: str
    since: str


class UnreadFile(Shown, frozen=True, kw_only=True):
    """A file on the device's branch that could not be taken in; `.` is the branch as a whole."""

    path: str
    message: str


class RepositoryEntry(Shown, frozen=True, kw_only=True):
    """The Git repository of a device.

    `url` is null for a hosted one as long as nothing listens for Git. `desired_commit` is the head of the
    branch `desired` as written here, `adopted_commit` and `adopted_version` what the device says it took up,
    `rejected` what it does not take up. `current_commit` is how far the device's branch was read.
    `opened_by` says which secrets open a hosted one beside the device's certificate. `problem` keeps it from
    being written or read, `refused` says why a commit made by hand was not taken in. `checked` is when it
    last answered, or was read.
    """

    device: str
    kind: Kind
    url: str | None
    created: datetime
    desired_commit: str | None
    adopted_commit: str | None
    adopted_version: str | None
    rejected: RefusedCommit | None
    current_commit: str | None
    checked: datetime | None
    opened_by: list[str]
    problem: str | None
    unread: list[UnreadFile]
    refused: str | None
    signer: Annotated[
        str | None, msgspec.Meta(description="Fingerprint of the key that signs the next commit")
    ]


class NewSecret(Given, frozen=True, kw_only=True):
    """How a new secret is to be shown: with a user name (`basic`), or as a bearer `token`."""

    way: SecretWay


class RepositorySecret(Shown, frozen=True, kw_only=True):
    """A secret that opens a repository. It is shown once; `username` goes with `basic` alone."""

    device: str
    url: str | None
    way: SecretWay
    username: str | None
    secret: str


class TakenBundle(Shown, frozen=True, kw_only=True):
    """Whether a bundle had news, and the repository after it was read."""

    is_new: bool
    repository: RepositoryEntry


class SignerEntry(Shown, frozen=True, kw_only=True):
    """The key that signs what this server writes: its fingerprint, and the file that has devices trust it.

    `repositories` counts those that do not know it yet; they learn of it with their next commit.
    """

    fingerprint: str
    signers: str
    repositories: int
