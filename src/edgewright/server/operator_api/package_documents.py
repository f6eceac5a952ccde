"""The JSON of applications, of who uses their versions, and of which devices they fit."""

from datetime import datetime
from typing import Annotated

import msgspec

from edgewright.server.domain.sources import Standing
from edgewright.server.operator_api.documents import PackageDetail, Shown


class ApplicationEntry(Shown, frozen=True, kw_only=True):
    """One application of the catalogue, described by its newest version.

    `versions` has the newest first. `newest` is the newest finished one, or the newest of all where there is
    none. `icon` is the path of a file of `newest`. `deployments` and `devices` count who has it,
    `assignments` names those that say so.
    """

    id: str
    name: str
    tagline: str | None
    organizations: list[str]
    tags: list[str]
    newest: str
    versions: list[str]
    icon: str | None
    deployments: int
    devices: int
    assignments: list[str]


class PackageOffer(Shown, frozen=True, kw_only=True):
    """Where a version is, or was, on offer."""

    source: str
    place: str
    state: Standing
    since: datetime


class DescribedPackage(PackageDetail, frozen=True, kw_only=True):
    """One version of an application: its description as the author wrote it, its files, and who uses it.

    `files` are paths, to be had under `/files/`. `withdrawn` is since when no source that it came from offers
    it any more, null while one does or where it came from none.
    """

    offers: list[PackageOffer]
    withdrawn: datetime | None
    deployments: int
    devices: int
    assignments: list[str]


class SuitedDevice(Shown, frozen=True, kw_only=True):
    """Whether a version of an application fits a device: by which profile, or why by none."""

    client_id: str
    device_id: str
    fits: bool
    profile: str | None
    reasons: Annotated[list[str], msgspec.Meta(description="why it does not fit, by profile")]
