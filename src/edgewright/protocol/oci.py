"""OCI manifests of packages and Compose components, and references to them (spec: CMP-3, REG-3)."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self

import msgspec

from edgewright.protocol import media_types
from edgewright.protocol.digests import check_digest, digest_of
from edgewright.protocol.documents import Document, Part, Violation
from edgewright.protocol.errors import DigestError, DocumentError

EMPTY_JSON: Final = b"{}"


class Descriptor(Part, frozen=True, kw_only=True):
    """One blob: what it is, its digest and its size in bytes."""

    media_type: str
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    data: str | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)


EMPTY: Final = Descriptor(
    media_type=media_types.OCI_EMPTY, digest=digest_of(EMPTY_JSON), size=len(EMPTY_JSON), data="e30="
)


class ImageManifest(Document, frozen=True, kw_only=True):
    """An OCI image manifest: a config and layers in order."""

    schema_version: Annotated[int, msgspec.Meta(ge=2, le=2)]
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)

    def violations(self) -> Iterator[Violation]:
        """Yield digests that cannot be verified."""
        for path, descriptor in (
            ("$.config", self.config),
            *((f"$.layers[{index}]", layer) for index, layer in enumerate(self.layers)),
        ):
            try:
                check_digest(descriptor.digest)
            except DigestError as error:
                yield f"{path}.digest", str(error)

    def only_layer(self, media_type: str, *, source: str) -> Descriptor:
        """Return the single layer of `media_type`; raise DocumentError when there is none or more."""
        found = [layer for layer in self.layers if layer.media_type == media_type]
        if len(found) != 1:
            message = f"expected exactly one layer of {media_type}, found {len(found)}"
            raise DocumentError(message, source=source, path="$.layers")
        return found[0]


def parse_manifest(data: bytes, *, source: str = "OCI manifest") -> ImageManifest:
    """Read an image manifest; raise DocumentError for an index or anything else."""
    return ImageManifest.parse(data, source=source)


def describe(data: bytes, media_type: str, annotations: Mapping[str, str] | None = None) -> Descriptor:
    """Return the descriptor of a blob at hand."""
    return Descriptor(
        media_type=media_type, digest=digest_of(data), size=len(data), annotations=annotations or {}
    )


def app_manifest(
    description: Descriptor,
    resources: Sequence[Descriptor] = (),
    *,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Return the manifest of an application package (spec: REG-3 to REG-5).

    `resources` carry their role in the annotation `org.margo.app.resource`, see `resource_layer`.
    """
    return _manifest(media_types.APP_ARTIFACT, (description, *resources), annotations)


def resource_layer(data: bytes, *, resource: str, path: str) -> Descriptor:
    """Return the layer of a package file: `resource` such as `icon`, `path` as the description has it."""
    file_format = re.sub(r"[^a-z0-9]", "", posixpath.splitext(path)[1].lower()) or "bin"
    media_type = media_types.app_resource_layer(resource, file_format)
    return describe(
        data,
        media_type,
        {media_types.APP_RESOURCE_ANNOTATION: resource, media_types.OCI_TITLE_ANNOTATION: path},
    )


def compose_layer(data: bytes, *, version: str, title: str | None = None) -> Descriptor:
    """Return the layer of a Compose archive with the annotations CMP-4 demands; `version` is the tag."""
    annotations = {
        media_types.COMPONENT_TYPE_ANNOTATION: "compose",
        media_types.COMPONENT_VERSION_ANNOTATION: version,
        media_types.OCI_VERSION_ANNOTATION: version,
    }
    if title is not None:
        annotations[media_types.OCI_TITLE_ANNOTATION] = title
    return describe(data, media_types.COMPOSE_LAYER, annotations)


def compose_manifest(layer: Descriptor, *, annotations: Mapping[str, str] | None = None) -> bytes:
    """Return the manifest of a Compose component, a single layer made by `compose_layer` (spec: CMP-3)."""
    return _manifest(media_types.COMPOSE_ARTIFACT, (layer,), annotations)


def _manifest(
    artifact_type: str, layers: tuple[Descriptor, ...], annotations: Mapping[str, str] | None
) -> bytes:
    return ImageManifest(
        schema_version=2,
        media_type=media_types.OCI_MANIFEST,
        artifact_type=artifact_type,
        config=EMPTY,
        layers=layers,
        annotations=annotations or {},
    ).render()


_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
_REFERENCE = re.compile(
    rf"(?:oci://)?(?P<host>{_HOST})/(?P<repository>{_PATH})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OciReference:
    """Where an artefact is: `host` with port, `repository`, and a tag, a digest, both or neither."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `oci://host:port/repo[:tag][@digest]`; raise DocumentError or DigestError otherwise."""
        match = _REFERENCE.fullmatch(text) if len(text) <= 1024 else None
        if match is None:
            raise DocumentError("expected oci://host[:port]/repository[:tag|@digest]", source=text[:200])
        if match["digest"]:
            check_digest(match["digest"])
        return cls(**match.groupdict())

    @property
    def target(self) -> str:
        """What to ask the registry for: digest before tag; raise DocumentError when there is neither."""
        if (target := self.digest or self.tag) is None:
            raise DocumentError("expected a tag or a digest", source=str(self))
        return target

    def with_tag(self, tag: str) -> Self:
        """Return the same repository at `tag`."""
        return type(self)(host=self.host, repository=self.repository, tag=tag)

    def with_digest(self, digest: str) -> Self:
        """Return the same repository at exactly `digest`."""
        return type(self)(host=self.host, repository=self.repository, digest=check_digest(digest))

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.host}/{self.repository}{tag}{digest}"
