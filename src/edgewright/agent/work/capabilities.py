"""What this device offers: read from the machine, corrected by the settings, and made a document (spec: 7).

Only facts that stay the same while nothing is changed are read, because every change is reported anew
(spec: CAP-3): sizes, not what is free. All reading goes below `root`, so that tests bring their own machine.
"""

import hashlib
import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import msgspec

from edgewright.agent.settings import CapabilitySettings
from edgewright.protocol.capabilities import Cpu, DeviceCapabilities, DeviceProperties, Interface
from edgewright.protocol.quantities import parse_quantity, render_quantity

_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv8l": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
}
_MEBIBYTE = 1 << 20
_FILE_LIMIT = 64 * 1024
_ARPHRD_ETHER, _ARPHRD_CAN = "1", "280"
_LEAST_CORES = 0.1
# What makers of boards leave in fields they did not fill in.
_NOT_A_NAME = frozenset(
    {
        "",
        "0",
        "none",
        "default string",
        "not specified",
        "not applicable",
        "system manufacturer",
        "system product name",
        "system serial number",
        "to be filled by o.e.m.",
        "0123456789",
        "unknown",
        "n/a",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was read: sizes in bytes, `architecture` None where the specification has no word for it."""

    vendor: str
    model: str
    serial: str
    cores: float
    architecture: str | None
    memory_bytes: int
    storage_bytes: int
    interfaces: tuple[str, ...]


def read_machine(state_directory: str, root: str = "/") -> Machine:
    """Read the machine; `state_directory` is where its storage for workloads is."""
    disk = os.statvfs(state_directory)
    return Machine(
        vendor=_vendor(root),
        model=_first_name(root, "sys/class/dmi/id/product_name", "proc/device-tree/model") or "unknown",
        serial=_serial(root),
        cores=_cores(root),
        architecture=architecture_of(os.uname().machine, is_64_bit=sys.maxsize > 2**32),
        memory_bytes=_memory(root),
        storage_bytes=disk.f_blocks * disk.f_frsize,
        interfaces=tuple(dict.fromkeys(_interfaces(root))),
    )


def describe(
    machine: Machine, settings: CapabilitySettings, *, device_id: str, profiles: Collection[str]
) -> DeviceCapabilities:
    """Return the capabilities of `machine` as `settings` want them; `profiles` are those that can run here.

    Without any profile nothing can be hosted, and only the identity fields are left.
    """
    identity = DeviceProperties(
        id=device_id,
        vendor=settings.vendor or machine.vendor,
        model_number=settings.model_number or machine.model,
        serial_number=settings.serial_number or machine.serial,
    )
    if not profiles:
        return DeviceCapabilities(properties=identity, labels=settings.labels)
    reserved = settings.reserved
    cores = max(round(machine.cores - reserved.cores, 2), _LEAST_CORES)
    properties = msgspec.structs.replace(
        identity,
        cpus=settings.cpus or (Cpu(cores=cores, architecture=machine.architecture),),
        memory=settings.memory or _remaining(machine.memory_bytes, reserved.memory),
        storage=settings.storage or _remaining(machine.storage_bytes, reserved.storage),
        peripherals=settings.peripherals,
        interfaces=settings.interfaces
        if settings.interfaces is not None
        else tuple(Interface(type=each) for each in machine.interfaces),
        otel_collector=settings.otel_collector,
        supported_runtimes=("oci",),
        supported_deployment_types=tuple(sorted(profiles)),
    )
    return DeviceCapabilities(properties=properties, labels=settings.labels)


def architecture_of(machine: str, *, is_64_bit: bool) -> str | None:
    """Return the specification's word for a kernel's `machine` (spec: OP-6); None where it has none.

    A 32-bit system on a 64-bit kernel runs 32-bit programs.
    """
    word = _ARCHITECTURES.get(machine.lower())
    return "arm" if word == "arm64" and not is_64_bit else word


def _remaining(total_bytes: int, reserved: str) -> str:
    left = max(total_bytes - parse_quantity(reserved), 0)
    return render_quantity(left // _MEBIBYTE * _MEBIBYTE)


def _cores(root: str) -> float:
    """Return the processors this machine (or the container that is it) may use."""
    cores = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read(root, "sys/fs/cgroup/cpu.max").partition(" ")
    if not period:
        quota = _read(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = _read(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        cores = min(cores, int(quota) / int(period))
    return cores


def _memory(root: str) -> int:
    total = 0
    for line in _read(root, "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            total = int(value.split()[0]) * 1024
    # At the root of what we see, so a limit of our own service says nothing about workloads.
    for file in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _read(root, file)
        if limit.isdigit():
            total = min(total, int(limit)) if total else int(limit)
    return total


def _vendor(root: str) -> str:
    compatible = _read(root, "proc/device-tree/compatible").partition("\0")[0].partition(",")[0]
    return _first_name(root, "sys/class/dmi/id/sys_vendor") or compatible or "unknown"


def _serial(root: str) -> str:
    """Return the maker's serial number, or one made from the machine id (which itself stays here)."""
    found = _first_name(root, "sys/class/dmi/id/product_serial", "proc/device-tree/serial-number")
    machine_id = _read(root, "etc/machine-id")
    if found or not machine_id:
        return found or "unknown"
    return hashlib.sha256(b"edgewright serial " + machine_id.encode("utf-8")).hexdigest()[:16]


def _first_name(root: str, *files: str) -> str:
    for file in files:
        text = " ".join(_read(root, file).replace("\0", " ").split())
        if text.lower() not in _NOT_A_NAME:
            return text[:200]
    return ""


def _interfaces(root: str) -> Iterator[str]:
    """Yield the specification's word for each interface there is hardware for."""
    names = _list(root, "sys/class/net")
    hardware = [name for name in names if _exists(root, f"sys/class/net/{name}/device")]
    # Inside a container no interface shows its hardware; what is no loopback is ethernet then.
    for name in hardware or [name for name in names if name != "lo"]:
        word = _network_interface(root, name)
        if word is not None:
            yield word
    if any(name.startswith("hci") for name in _list(root, "sys/class/bluetooth")):
        yield "bluetooth"
    if any(name.startswith("usb") for name in _list(root, "sys/bus/usb/devices")):
        yield "usb"
    if any(_is_serial_port(root, name) for name in _list(root, "sys/class/tty")):
        yield "rs232"


def _network_interface(root: str, name: str) -> str | None:
    directory = f"sys/class/net/{name}"
    kind = _read(root, f"{directory}/type")
    if kind == _ARPHRD_CAN:
        return "canbus"
    if _exists(root, f"{directory}/wireless") or _exists(root, f"{directory}/phy80211"):
        return "wifi"
    if "DEVTYPE=wwan" in _read(root, f"{directory}/uevent") or name.startswith("wwan"):
        return "cellular"
    return "ethernet" if kind == _ARPHRD_ETHER else None


def _is_serial_port(root: str, name: str) -> bool:
    """Whether a terminal is a serial port with hardware behind it (type 0 is a port that was not found)."""
    if not name.startswith(("ttyS", "ttyAMA", "ttyUSB")):
        return False
    kind = _read(root, f"sys/class/tty/{name}/type")
    return _exists(root, f"sys/class/tty/{name}/device") and kind != "0"


def _read(root: str, file: str) -> str:
    """Return a small text file without the blanks around it; empty when it cannot be read."""
    try:
        with open(os.path.join(root, file), encoding="utf-8", errors="replace") as opened:
            return opened.read(_FILE_LIMIT).strip().strip("\0")
    except OSError:
        return ""


def _list(root: str, directory: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.join(root, directory)))
    except OSError:
        return []


def _exists(root: str, path: str) -> bool:
    return os.path.exists(os.path.join(root, path))
