"""What a device offers, as the client reports it (spec: 7.2)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

import msgspec

from edgewright.protocol.conversion import matching, member
from edgewright.protocol.documents import Document, ExtensiblePart, Number, Part, Violation
from edgewright.protocol.quantities import parse_quantity

DeviceId = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*\Z",
        "letters, digits, '.', '_', '~', '-', with single slashes between the ids of a hierarchy",
    ),
]
LabelValue = str | bool | int | float | tuple[str | int | float, ...]

RUNTIMES: Final = ("oci", "custom")
DEPLOYMENT_TYPES: Final = ("helm", "compose", "custom")
_HOSTING: Final = (
    "cpus",
    "memory",
    "storage",
    "peripherals",
    "interfaces",
    "otelCollector",
    "supportedRuntimes",
    "supportedDeploymentTypes",
)


class Cpu(Part, frozen=True, kw_only=True):
    """One processor; `architecture` is usually amd64, arm64 or arm (spec: OP-6)."""

    cores: Number
    architecture: str | None = None


class Peripheral(Part, frozen=True, kw_only=True):
    """Something attached: gpu, display, camera, microphone, speaker."""

    type: str
    manufacturer: str | None = None
    model: str | None = None


class Interface(Part, frozen=True, kw_only=True):
    """A way to communicate: ethernet, wifi, cellular, bluetooth, usb, canbus, rs232."""

    type: str


class DeviceProperties(Part, frozen=True, kw_only=True):
    """The device itself; all fields from `cpus` on are None for a gateway that hosts nothing (spec: GW-4).

    `memory` and `storage` are quantities such as `512Mi`, of what is set aside for workloads (spec: CAP-7).
    """

    id: DeviceId
    vendor: str
    model_number: str
    serial_number: str
    cpus: tuple[Cpu, ...] | None = None
    memory: str | None = None
    storage: str | None = None
    peripherals: tuple[Peripheral, ...] | None = None
    interfaces: tuple[Interface, ...] | None = None
    otel_collector: bool | None = None
    supported_runtimes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    supported_deployment_types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        """Read unknown runtimes and deployment types as `custom` (spec: CAP-8)."""
        for name, known in (
            ("supported_runtimes", RUNTIMES),
            ("supported_deployment_types", DEPLOYMENT_TYPES),
        ):
            if values := getattr(self, name):
                read = dict.fromkeys(value if value in known else "custom" for value in values)
                msgspec.structs.force_setattr(self, name, tuple(read))


class DeviceCapabilities(Document, ExtensiblePart, frozen=True, kw_only=True):
    """One device's capability file; child devices carry their gateway's id before theirs (spec: GW-2)."""

    extension_places: ClassVar = ((),)

    properties: DeviceProperties
    labels: Mapping[str, LabelValue] = msgspec.field(default_factory=dict)

    @property
    def is_hosting(self) -> bool:
        """Whether workloads can run here, as told by the fields that are there (spec: GW-5)."""
        return self.properties.cpus is not None

    def violations(self) -> Iterator[Violation]:
        """Yield missing hosting fields, unreadable amounts and labels of mixed type."""
        present = msgspec.to_builtins(self.properties).keys()
        missing = [name for name in _HOSTING if name not in present]
        if len(missing) != len(_HOSTING):
            for name in missing:
                yield f"$.properties.{name}", "is required for a device that hosts workloads"
        for name in ("memory", "storage"):
            if (text := getattr(self.properties, name)) is not None:
                try:
                    parse_quantity(text)
                except ValueError as error:
                    yield f"$.properties.{name}", str(error)
        for key, value in self.labels.items():
            if isinstance(value, tuple) and len({isinstance(item, str) for item in value}) > 1:
                yield member("$.labels", key), "expected an array of texts or an array of numbers"
