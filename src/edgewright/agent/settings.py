"""The site's own settings of the agent: `agent.yaml` (docs/reference/agent.md). Nothing in it is required."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Final, Self

import msgspec

from edgewright.agent.paths import DEFAULT_CONFIG
from edgewright.protocol import yaml
from edgewright.protocol.capabilities import Cpu, DeviceId, Interface, LabelValue, Peripheral
from edgewright.protocol.documents import Text
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.quantities import parse_quantity

DEFAULT_POLL_SECONDS: Final = 60.0
_LEAST_SECONDS: Final = 0.1
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of the file; a member that is not known is a mistake that is told."""


class Poll(_Part, frozen=True, kw_only=True):
    """How often desired state is asked for."""

    rate: str = "60s"


class Engine(_Part, frozen=True, kw_only=True):
    """Where the container engine is; found by looking at the usual places when left out."""

    socket: Text | None = None
    compose: Text | None = None


class Telemetry(_Part, frozen=True, kw_only=True):
    """The device's OpenTelemetry collector, as containers reach it (spec: OBS-8)."""

    http: Text | None = None
    grpc: Text | None = None
    certificate: Text | None = None
    protocol: Text | None = None


class Reserved(_Part, frozen=True, kw_only=True):
    """What is kept back from workloads and not reported (spec: CAP-7)."""

    cores: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    memory: str = "0Ki"
    storage: str = "0Ki"


class CapabilitySettings(_Part, frozen=True, kw_only=True):
    """What cannot be read from the machine, or is to be reported otherwise than read."""

    vendor: Text | None = None
    model_number: Text | None = None
    serial_number: Text | None = None
    cpus: tuple[Cpu, ...] | None = None
    memory: str | None = None
    storage: str | None = None
    peripherals: tuple[Peripheral, ...] = ()
    interfaces: tuple[Interface, ...] | None = None
    otel_collector: bool = True
    labels: Mapping[str, LabelValue] = msgspec.field(default_factory=dict)
    reserved: Reserved = Reserved()


class Rollback(_Part, frozen=True, kw_only=True):
    """What becomes of an update that fails; `keep` good revisions besides the running one stay here."""

    automatic: bool = True
    keep: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2


class Settings(_Part, frozen=True, kw_only=True):
    """The whole file. `device_id` overrides the one of the enrolment, `registries` names a file."""

    device_id: DeviceId | None = None
    poll: Poll = Poll()
    engine: Engine = Engine()
    registries: Text | None = None
    rollback: Rollback = Rollback()
    telemetry: Telemetry = Telemetry()
    capabilities: CapabilitySettings = CapabilitySettings()

    @classmethod
    def load(cls, path: str | None = None) -> Self:
        """Read `path`; without one the default file, if it is there. Raises DocumentError."""
        source = path or DEFAULT_CONFIG
        try:
            with open(source, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            if path is None:
                return cls()
            raise DocumentError("no such file", source=source) from None
        except OSError as error:
            raise DocumentError(error.strerror or str(error), source=source) from error
        return cls.parse(data, source=source)

    @classmethod
    def parse(cls, data: bytes, *, source: str) -> Self:
        """Read the file's bytes; one of comments alone sets nothing. Raises DocumentError with the path."""
        says_something = any(
            line.strip() and not line.lstrip().startswith(b"#") for line in data.splitlines()
        )
        plain = yaml.load(data, source=source) if says_something else {}
        try:
            settings = msgspec.convert({} if plain is None else plain, cls)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at ")
            raise DocumentError(
                message.replace("`", ""), source=source, path=place.strip("`") or "$"
            ) from None
        settings._check(source)
        return settings

    @property
    def poll_seconds(self) -> float:
        """How often to poll, in seconds."""
        return seconds_of(self.poll.rate)

    @property
    def telemetry_environment(self) -> dict[str, str]:
        """The variables for every container: Margo's names and the standard ones (spec: OBS-8, OP-34)."""
        collector = self.telemetry
        if collector.http is None and collector.grpc is None:
            return {}
        protocol = collector.protocol or ("http/protobuf" if collector.http else "grpc")
        variables = {
            "HTTP_OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
            "GRPC_OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc if protocol == "grpc" else collector.http,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": collector.certificate,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def _check(self, source: str) -> None:
        checks = (
            ("$.poll.rate", seconds_of, self.poll.rate),
            ("$.capabilities.memory", parse_quantity, self.capabilities.memory),
            ("$.capabilities.storage", parse_quantity, self.capabilities.storage),
            ("$.capabilities.reserved.memory", parse_quantity, self.capabilities.reserved.memory),
            ("$.capabilities.reserved.storage", parse_quantity, self.capabilities.reserved.storage),
        )
        for path, read, text in checks:
            try:
                if text is not None:
                    read(text)
            except ValueError as error:
                raise DocumentError(str(error), source=source, path=path) from None
        for path, name in (("$.engine.compose", self.engine.compose), ("$.registries", self.registries)):
            if name is not None and not os.path.isabs(name):
                raise DocumentError("expected an absolute path", source=source, path=path)


def seconds_of(text: str) -> float:
    """Return the seconds that `60s`, `5m`, `1h` or `500ms` mean; raise ValueError otherwise."""
    match = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(ms|s|m|h)", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds < _LEAST_SECONDS:
        raise ValueError(f"{text[:40]!r}: expected a duration such as 60s, 5m or 1h")
    return seconds
