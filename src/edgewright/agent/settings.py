"""The site's own settings of the agent: `agent.yaml` (docs/reference/agent.md). Nothing in it is required."""

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Final, Self

import msgspec

from edgewright.agent.paths import DEFAULT_CONFIG
from edgewright.protocol import yaml
from edgewright.protocol.capabilities import Cpu, DeviceId, Interface, LabelValue, Peripheral
from edgewright.protocol.documents import Text
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.quantities import parse_quantity

_MOVED: Final = {"poll": "polling", "rollback": "rollback"}
"""What is a matter of the policy, and how it is called there."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of the file; a member that is not known is a mistake that is told."""


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


class Control(_Part, frozen=True, kw_only=True):
    """Who may use the control socket besides the user the agent runs as: the members of a `group`."""

    group: Text | None = None


class Drop(_Part, frozen=True, kw_only=True):
    """Where approvals are asked for and answered by files; in the state directory where nothing is said.

    The members of `group` may answer; without one, the user the agent runs as.
    """

    directory: Text | None = None
    group: Text | None = None


class Page(_Part, frozen=True, kw_only=True):
    """Where the local page listens: `127.0.0.1:8088`, `unix:/path`, or nowhere.

    `names` are those it may be asked for by, besides addresses, localhost and the name of this machine.
    """

    listen: Text | None = None
    names: tuple[Text, ...] = ()


class Settings(_Part, frozen=True, kw_only=True):
    """The whole file. `device_id` overrides the one of the enrolment, `registries` names a file."""

    device_id: DeviceId | None = None
    engine: Engine = Engine()
    registries: Text | None = None
    telemetry: Telemetry = Telemetry()
    capabilities: CapabilitySettings = CapabilitySettings()
    control: Control = Control()
    page: Page = Page()
    drop: Drop = Drop()

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
        for name in _MOVED.keys() & (plain if isinstance(plain, dict) else ()):
            message = f"belongs into the policy (policy.yaml), as {_MOVED[name]}"
            raise DocumentError(message, source=source, path=f"$.{name}")
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
            ("$.page.listen", page_address, self.page.listen),
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


def page_address(text: str) -> tuple[str, int] | str:
    """Return where the page listens: a loopback address and a port, or the path of a unix socket.

    Anything else raises ValueError: the page speaks no TLS, and a password must not cross a network without.
    """
    expected = "expected a loopback address such as 127.0.0.1:8088, or unix:/path"
    if text.startswith("unix:/"):
        return text.removeprefix("unix:")
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        number = int(port)
    except ValueError:
        raise ValueError(f"{text[:60]!r}: {expected}") from None
    if not 0 < number < 2**16:
        raise ValueError(f"{text[:60]!r}: there is no such port")
    if not address.is_loopback:
        raise ValueError(
            f"{text[:60]!r}: {expected}; for other machines put a proxy with TLS in front of it"
            " (docs/how-to/decide-on-site.md)"
        )
    return str(address), number
