"""The JSON of sources of packages and of what they have on offer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from edgewright.server.domain.sources import Kind, Standing
from edgewright.server.operator_api.documents import Given, Shown


class GivenCredentials(Given, frozen=True, kw_only=True):
    """How a registry lets the server in: username and password, or a token. Never shown again."""

    username: str | None = None
    password: str | None = None
    token: str | None = None


class GivenSource(Given, frozen=True, kw_only=True):
    """A source of packages as it is to be.

    `location` is a registry's host such as `registry.example:5000`, or an absolute path on the server's disk.
    `repositories` are names or patterns such as `acme/*`; none means all that the registry lists. With
    `every_minutes` null it is looked through only when a person asks. `ca` is PEM. `credentials` left out
    stay as they are, null removes them. With `prune`, versions that are no longer on offer and used by nobody
    are removed from the catalogue.
    """

    kind: Kind
    location: str
    repositories: tuple[str, ...] = ()
    every_minutes: int | None = 60
    plain_http: bool = False
    ca: str | None = None
    credentials: GivenCredentials | UnsetType | None = UNSET
    prune: bool = False


class NewSource(GivenSource, frozen=True, kw_only=True):
    """A source to make, under a name of lower-case letters, digits and dashes."""

    name: str


class Look(StrEnum):
    """How looking through a source goes, or went the last time."""

    NEVER = "never"
    RUNNING = "running"
    OK = "ok"
    PROBLEMS = "problems"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class SourceStatus(Shown, frozen=True, kw_only=True):
    """How looking through a source goes.

    `failed`: not all of it could be looked through, `message` says why. `problems`: all was, and some of it
    is not as it should be. While it is `running`, `done` of `total` places are settled (`total` is null while
    they are being listed), `new` of them were new. `next` is when it is due again, null for never.
    """

    state: Look
    message: str | None
    began: datetime | None
    ended: datetime | None
    next: datetime | None
    done: int | None
    total: int | None
    new: int | None


class SourceEntry(Shown, frozen=True, kw_only=True):
    """One source of packages. `credentials` says which kind is kept, never what they are.

    `offers` counts what it has on offer by what became of it.
    """

    name: str
    kind: Kind
    location: str
    repositories: list[str]
    every_minutes: int | None
    plain_http: bool
    ca: str | None
    credentials: Annotated[str, msgspec.Meta(description="`none`, `token`, or `password`")]
    username: str | None
    prune: bool
    created: datetime
    changed: datetime
    status: SourceStatus
    offers: dict[str, int]


class PackageProblem(Shown, frozen=True, kw_only=True):
    """One thing wrong with a package: where in its description, and what."""

    path: str
    message: str


class OfferEntry(Shown, frozen=True, kw_only=True):
    """One thing a source has on offer, and what became of it.

    `place` is `repository:tag` in a registry, a path in a folder. `imported`: the catalogue has it. `bad`: it
    is not as it should be, `problems` says why. `changed`: the catalogue has other content under this
    version. `ignored`: no package, or another name for one. `declined`: a person removed it from the
    catalogue. `gone`: it was imported and is no longer on offer. `since` is when it came to be so.
    """

    source: str
    place: str
    state: Standing
    application: str | None
    version: str | None
    problems: list[PackageProblem]
    first_seen: datetime
    last_seen: datetime
    since: datetime


class TakeAgain(Given, frozen=True, kw_only=True):
    """Which place of the source to import again although a person removed it."""

    place: str
