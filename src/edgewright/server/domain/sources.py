"""Sources of packages: what one is, and what becomes of each thing it has on offer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.oci import OciReference
from edgewright.server.errors import Fault, InvalidError

MOST_REPOSITORIES = 1_000
# Pages beside those of the sources themselves.
RESERVED = frozenset({"new"})
LONGEST_MINUTES = 366 * 24 * 60
MAX_CA_BYTES = 256 * 1024
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PATTERN = re.compile(r"[a-z0-9._/*-]{1,255}")
_PEM = re.compile(r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")


class Kind(StrEnum):
    """Where a source is: an OCI registry, or a folder on the machine this server runs on."""

    REGISTRY = "registry"
    FOLDER = "folder"


class Standing(StrEnum):
    """What became of a thing on offer.

    `imported`: the catalogue has it. `bad`: it is not as it should be. `changed`: the catalogue has other
    content under this version. `ignored`: no package, or another name for one. `declined`: a person removed
    it from the catalogue. `gone`: it was imported and is no longer on offer.
    """

    IMPORTED = "imported"
    BAD = "bad"
    CHANGED = "changed"
    IGNORED = "ignored"
    DECLINED = "declined"
    GONE = "gone"


# What a person should look at.
TROUBLES = frozenset({Standing.BAD, Standing.CHANGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How a registry lets this server in: name and password, or a token; never in the database."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """A source as a person describes it.

    `location` is a registry's host or the folder's absolute path. `repositories` are names, or patterns
    with `*`, which like none at all need a registry that lists its repositories. Without `every_minutes` it
    is looked through by hand only. `ca` is PEM text. With `prune` what is no longer on offer and used by
    nobody is removed.
    """

    name: str
    kind: Kind
    location: str
    repositories: tuple[str, ...] = ()
    every_minutes: int | None = None
    plain_http: bool = False
    ca: str | None = None
    prune: bool = False


def checked(spec: SourceSpec, credentials: Credentials | None = None) -> SourceSpec:
    """Return `spec` with its location as it is kept; raises `InvalidError` with every fault."""
    if spec.kind is Kind.REGISTRY:
        location = re.sub(r"\A(?:oci|https)://", "", spec.location.strip()).rstrip("/")
    else:
        location = spec.location.strip()
    tidy = SourceSpec(
        name=spec.name,
        kind=spec.kind,
        location=location,
        repositories=tuple(dict.fromkeys(name.strip().strip("/") for name in spec.repositories)),
        every_minutes=spec.every_minutes,
        plain_http=spec.plain_http,
        ca=spec.ca.strip() + "\n" if spec.ca and spec.ca.strip() else None,
        prune=spec.prune,
    )
    if faults := [*_faults(tidy), *_credential_faults(tidy, credentials)]:
        raise InvalidError("this is not a source that packages can be taken from", *faults)
    return tidy


def wants_catalog(repositories: tuple[str, ...]) -> bool:
    """Whether the registry has to be asked which repositories it has."""
    return not repositories or any("*" in one for one in repositories)


def is_wanted(repository: str, repositories: tuple[str, ...]) -> bool:
    """Whether a repository the registry has is one of those to look through."""
    return not repositories or any(fnmatchcase(repository, one) for one in repositories)


def is_settled(
    standing: Standing, *, kept_upstream: str, upstream: str, imported: str | None, present: bool
) -> bool:
    """Whether nothing has to be fetched: what is on offer is what it was when it was last judged.

    `imported` is the application it was read as, `present` whether the catalogue has that version. What was
    bad or changed is judged again every time: this program, or the catalogue, may be another by now.
    """
    if kept_upstream != upstream:
        return False
    if standing is Standing.IMPORTED:
        return imported is not None and present
    return standing in {Standing.IGNORED, Standing.DECLINED}


def _faults(spec: SourceSpec) -> Iterator[Fault]:
    if spec.name in RESERVED:
        yield Fault(field="name", message=f"'{spec.name}' is the name of a page; choose another")
    if not _NAME.fullmatch(spec.name):
        yield Fault(field="name", message="expected lower-case letters, digits and dashes, at most 63")
    if spec.every_minutes is not None and not 1 <= spec.every_minutes <= LONGEST_MINUTES:
        yield Fault(field="every_minutes", message=f"expected 1 to {LONGEST_MINUTES}, or nothing")
    if spec.kind is Kind.FOLDER:
        yield from _folder_faults(spec)
    else:
        yield from _registry_faults(spec)


def _folder_faults(spec: SourceSpec) -> Iterator[Fault]:
    path = PurePosixPath(spec.location)
    if not path.is_absolute() or ".." in path.parts or "\0" in spec.location:
        yield Fault(field="location", message="expected the absolute path of a folder on the server's disk")
    for name, value in (("repositories", spec.repositories), ("ca", spec.ca)):
        if value:
            yield Fault(field=name, message="only a registry has this; leave it out for a folder")
    if spec.plain_http:
        yield Fault(field="plain_http", message="only a registry has this; leave it out for a folder")


def _registry_faults(spec: SourceSpec) -> Iterator[Fault]:
    try:
        reference = OciReference.parse(f"{spec.location}/x")
    except EdgewrightError:
        reference = None
    if reference is None or reference.host != spec.location:
        host, _, rest = spec.location.partition("/")
        hint = f"; '{rest}' belongs into repositories" if host and rest else ""
        yield Fault(field="location", message=f"expected a host such as registry.example:5000{hint}")
    if len(spec.repositories) > MOST_REPOSITORIES:
        yield Fault(field="repositories", message=f"at most {MOST_REPOSITORIES}; use patterns such as acme/*")
    for index, name in enumerate(spec.repositories):
        if not _PATTERN.fullmatch(name) or ("*" not in name and not _is_repository(name)):
            yield Fault(
                field=f"repositories[{index}]",
                message=f"'{name}': expected a name such as acme/shop, or a pattern such as acme/*",
            )
    if spec.ca is not None and (len(spec.ca) > MAX_CA_BYTES or not _PEM.search(spec.ca)):
        yield Fault(
            field="ca", message="expected certificates in PEM form, with lines -----BEGIN CERTIFICATE-----"
        )
    if spec.plain_http and spec.ca is not None:
        yield Fault(field="ca", message="certificates are of no use without TLS (plain_http)")


def _credential_faults(spec: SourceSpec, credentials: Credentials | None) -> Iterator[Fault]:
    if credentials is None:
        return
    if spec.kind is Kind.FOLDER:
        yield Fault(field="credentials", message="only a registry has these; leave them out for a folder")
    if (credentials.username is None) != (credentials.password is None):
        yield Fault(field="credentials", message="username and password belong together")
    if credentials.token is not None and not re.fullmatch(r"[!-~]{1,8192}", credentials.token):
        yield Fault(field="credentials.token", message="expected visible ASCII characters without blanks")
    if credentials.token is not None and credentials.username is not None:
        yield Fault(field="credentials", message="give a token, or a username and a password, not both")
    if credentials.token is None and credentials.username is None:
        yield Fault(field="credentials", message="give a token, or a username and a password")


def _is_repository(name: str) -> bool:
    try:
        return OciReference.parse(f"registry.example/{name}").repository == name
    except EdgewrightError:
        return False
