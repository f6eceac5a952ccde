"""What this device shall run: the accepted manifest and its documents, read and judged one by one.

One document that cannot be read or cannot run here fails alone; the others are not held up by it.
Which device, profile and constraints fit is decided here, before anything is fetched (spec: AD-12).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from edgewright.agent.paths import Paths
from edgewright.agent.runtimes import Component
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.revisions import GIVEN_UP, WAITING, Failure, Progress, Revision, Stage
from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.constraints import unmet
from edgewright.protocol.deployment import ApplicationDeployment, component_environment, timeout_of
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.manifest import DeploymentReference, StateManifest
from edgewright.protocol.media_types import deployment_path
from edgewright.protocol.status import State

OTHER_DEVICE = "deployment.other-device"
UNSUPPORTED_PROFILE = "deployment.unsupported-profile"
CONSTRAINTS_UNMET = "deployment.constraints-unmet"
NOT_AT_HAND = "deployment.not-at-hand"
EXTENSIONS = "x-edgewright-extensions"
REFUSALS = frozenset({OTHER_DEVICE, UNSUPPORTED_PROFILE, CONSTRAINTS_UNMET, DocumentError.code})
"""Codes of what is decided about a document alone, and decided anew in every round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """One deployment as the accepted manifest wants it.

    `document` is None where it cannot be read; `refusal` tells why it cannot run here, None when it can.
    """

    deployment_id: str
    digest: str
    version: int
    document: ApplicationDeployment | None
    refusal: Failure | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the wanted revision."""
        return self.deployment_id, self.digest

    @property
    def name(self) -> str:
        """What errors of the deployment carry as their source (spec: ST-6)."""
        return self.deployment_id if self.document is None else self.document.metadata.name

    @property
    def component_names(self) -> tuple[str, ...]:
        """The names of its components, in order of installation."""
        if self.document is None:
            return ()
        return tuple(each.name for each in self.document.spec.deployment_profile.components)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What decides whether a deployment can run here; `profiles` are those a runtime is there for."""

    device_id: str
    capabilities: DeviceCapabilities
    profiles: Collection[str]


def load_desired(manifest: StateManifest, objects: Objects, host: Host) -> tuple[Desired, ...]:
    """Return what `manifest` wants, in its order."""
    return tuple(
        _load(reference, objects.load(reference.digest), manifest.manifest_version, host)
        for reference in manifest.deployments
    )


def load_kept(
    revisions: Sequence[Revision], desired: Sequence[Desired], objects: Objects, host: Host
) -> Mapping[tuple[str, str], Desired]:
    """Return what can be read of the remembered revisions that are not wanted now, by their key.

    Each has the version of the newest manifest that named it. Whether it may run here was judged when it was
    begun.
    """
    wanted = {each.key for each in desired}
    kept = {}
    for revision in revisions:
        if revision.digest and revision.key not in wanted:
            reference = DeploymentReference(
                deployment_id=revision.deployment_id,
                digest=revision.digest,
                url=deployment_path(revision.deployment_id, revision.digest),
            )
            found = _load(reference, objects.load(revision.digest), revision.adopted, host)
            if found.document is not None:
                kept[revision.key] = found
    return kept


def _load(reference: DeploymentReference, data: bytes | None, version: int, host: Host) -> Desired:
    document, refusal = None, None
    if data is None:
        refusal = Failure(code=NOT_AT_HAND, message="the document is no longer on this device")
    else:
        try:
            document = ApplicationDeployment.parse(data, source=f"deployment {reference.deployment_id}")
        except DocumentError as error:
            refusal = Failure.of(error)
    if document is not None:
        refusal = refuse(document, reference.deployment_id, host)
    return Desired(
        deployment_id=reference.deployment_id,
        digest=reference.digest,
        version=version,
        document=document,
        refusal=refusal,
    )


def refuse(document: ApplicationDeployment, deployment_id: str, host: Host) -> Failure | None:
    """Return why `document` cannot run on `host`, None when it can."""
    profile = document.spec.deployment_profile
    if document.id.lower() != deployment_id.lower():
        return Failure(
            code=DocumentError.code,
            message=f"deployment {deployment_id}: $.id: expected {deployment_id}, found {document.id}",
        )
    if document.metadata.device_id != host.device_id:
        # One client, one device: there is no child to pass it on to (docs/reference/agent.md).
        return Failure(
            code=OTHER_DEVICE,
            message=f"it is for device {document.metadata.device_id}, this device is {host.device_id}",
        )
    if profile.type not in host.profiles:
        there = ", ".join(sorted(host.profiles)) or "none"
        return Failure(
            code=UNSUPPORTED_PROFILE,
            message=f"profile type {profile.type} cannot run on this device (runtimes here: {there})",
        )
    if not profile.components:
        return Failure(code=DocumentError.code, message="it has no components")
    if reasons := unmet(profile.device_constraints, host.capabilities):
        return Failure(code=CONSTRAINTS_UNMET, message="; ".join(reasons))
    return None


def components_of(desired: Desired, paths: Paths, telemetry: Mapping[str, str]) -> tuple[Component, ...]:
    """Return the components of a readable document as a runtime takes them, in order of installation.

    `telemetry` is given to every component (spec: OBS-8); a parameter of the same name is the author's
    own word and wins.
    """
    document = desired.document
    assert document is not None  # noqa: S101 - refused documents never come here
    snapshot = snapshots_volumes(document)
    return tuple(
        Component(
            deployment_id=desired.deployment_id,
            revision=desired.digest,
            name=each.name,
            repository=each.properties.repository,
            version=each.properties.revision,
            environment={**telemetry, **component_environment(document, each.name)},
            wait=each.properties.wait,
            timeout=_timeout(each.properties.timeout),
            directory=paths.component(desired.deployment_id, desired.digest, each.name),
            snapshot_volumes=snapshot,
        )
        for each in document.spec.deployment_profile.components
    )


def snapshots_volumes(document: ApplicationDeployment) -> bool:
    """Whether the document asks for a copy of its named volumes before it takes another revision's place.

    It says so in its deployment profile, where the application's author can (spec: AD-10), or in its `spec`,
    which wins. What is written otherwise is somebody else's extension (spec: EXT-2).
    """
    for extensions in (document.spec.extensions, document.spec.deployment_profile.extensions):
        rollback = extensions.get(EXTENSIONS, {}).get("rollback")
        if isinstance(rollback, Mapping) and "volumes" in rollback:
            return bool(rollback["volumes"] == "snapshot")
    return False


def _timeout(text: str | None) -> timedelta | None:
    return None if text is None else timeout_of(text)


def take_up(
    desired: Sequence[Desired], revisions: Sequence[Revision], *, retry: Collection[str] = ()
) -> list[Revision]:
    """Return the revisions to record so that every wanted one is known.

    Each carries the version of the newest manifest that names it. `retry` are the deployments of which what
    was given up is to be tried again.
    """
    known = {revision.key: revision for revision in revisions}
    changes = []
    for wanted in desired:
        revision = known.get(wanted.key)
        again = wanted.deployment_id in retry
        if revision is None or revision.stage is Stage.REMOVING:
            changes.append(_new(wanted))
        elif revision.stage is Stage.SUPERSEDED or (again and revision.stage in GIVEN_UP):
            changes.append(replace(revision.at(Stage.ACCEPTED), adopted=wanted.version, attempts=0))
        elif revision.adopted != wanted.version:
            changes.append(replace(revision, adopted=wanted.version))
    return changes


def _new(wanted: Desired) -> Revision:
    components = tuple(Progress(name=name, state=State.PENDING) for name in wanted.component_names)
    return Revision(
        deployment_id=wanted.deployment_id,
        digest=wanted.digest,
        stage=Stage.ACCEPTED,
        adopted=wanted.version,
        name=wanted.name,
        components=components,
    )


def overtaken(desired: Sequence[Desired], revisions: Sequence[Revision]) -> list[Revision]:
    """Return the revisions that nothing runs of and that are not wanted any more.

    They were never begun, were refused, or have been rolled back; also those on their way there, where what
    came back in their place is wanted itself.
    """
    wanted = {each.deployment_id: each.digest for each in desired}
    back = {
        each.deployment_id
        for each in revisions
        if each.stage is Stage.INSTALLED and wanted.get(each.deployment_id) == each.digest
    }
    return [
        each
        for each in revisions
        if wanted.get(each.deployment_id, each.digest) != each.digest
        and (
            each.stage in WAITING | {Stage.ROLLED_BACK}
            or (each.stage in GIVEN_UP and each.deployment_id in back)
            or was_refused(each)
        )
    ]


def was_refused(revision: Revision) -> bool:
    """Whether it failed for a reason that is decided anew in every round."""
    return revision.failure is not None and revision.failure.code in REFUSALS
