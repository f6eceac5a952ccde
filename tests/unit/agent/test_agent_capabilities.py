"""What is read of a machine, by machines made of files, and what becomes of it in the report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.settings import Settings
from edgewright.agent.work.capabilities import Machine, architecture_of, describe, read_machine
from edgewright.protocol.capabilities import DeviceCapabilities

PC = {
    "sys/class/dmi/id/sys_vendor": "Maker GmbH\n",
    "sys/class/dmi/id/product_name": "Box 3000\n",
    "sys/class/dmi/id/product_serial": "SN-1\n",
    "proc/meminfo": "MemTotal:        4194304 kB\nMemFree: 1 kB\n",
    "sys/class/net/lo/type": "772\n",
    "sys/class/net/enp1s0/type": "1\n",
    "sys/class/net/enp1s0/device/vendor": "x",
    "sys/class/net/wlan0/type": "1\n",
    "sys/class/net/wlan0/device/vendor": "x",
    "sys/class/net/wlan0/wireless/x": "",
    "sys/class/net/wwan0/type": "65534\n",
    "sys/class/net/wwan0/device/vendor": "x",
    "sys/class/net/wwan0/uevent": "DEVTYPE=wwan\nINTERFACE=wwan0\n",
    "sys/class/net/can0/type": "280\n",
    "sys/class/net/can0/device/vendor": "x",
    "sys/class/net/docker0/type": "1\n",
    "sys/class/bluetooth/hci0/x": "",
    "sys/bus/usb/devices/usb1/x": "",
    "sys/class/tty/ttyS0/type": "4\n",
    "sys/class/tty/ttyS0/device/x": "",
    "sys/class/tty/tty0/x": "",
}
BOARD = {
    "proc/device-tree/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/serial-number": "10000000abcdef01\0",
    "proc/meminfo": "MemTotal: 1000000 kB\n",
}
NAMELESS = {
    "sys/class/dmi/id/sys_vendor": "To Be Filled By O.E.M.\n",
    "sys/class/dmi/id/product_name": "Default string\n",
    "sys/class/dmi/id/product_serial": "0\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
}


def machine_of(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "root").mkdir(exist_ok=True)
    return read_machine(str(tmp_path), str(tmp_path / "root"))


def names(machine):
    return machine.vendor, machine.model, machine.serial


@pytest.mark.requirement("CAP-1", "S-17")
def test_a_pc_is_read_from_its_firmware_and_its_buses(tmp_path):
    machine = machine_of(tmp_path, PC)
    assert names(machine) == ("Maker GmbH", "Box 3000", "SN-1")
    assert machine.memory_bytes == 4 << 30
    assert machine.cores >= 1
    assert machine.storage_bytes > 0
    assert set(machine.interfaces) == {"ethernet", "wifi", "cellular", "canbus", "bluetooth", "usb", "rs232"}
    assert len(machine.interfaces) == len(set(machine.interfaces))


def test_a_board_is_read_from_its_device_tree(tmp_path):
    machine = machine_of(tmp_path, BOARD)
    assert names(machine) == ("raspberrypi", "Raspberry Pi 4 Model B Rev 1.4", "10000000abcdef01")


def test_what_a_maker_did_not_fill_in_counts_as_nothing_and_the_machine_id_stays_here(tmp_path):
    vendor, model, serial = names(machine_of(tmp_path, NAMELESS))
    assert (vendor, model) == ("unknown", "unknown")
    assert len(serial) == 16
    assert serial not in NAMELESS["etc/machine-id"]


def test_a_machine_that_tells_nothing_is_still_described(tmp_path):
    machine = machine_of(tmp_path, {})
    assert names(machine) == ("unknown", "unknown", "unknown")
    assert machine.interfaces == ()
    DeviceCapabilities.parse(describe(machine, settings(), device_id="d", profiles=("compose",)).render())


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5, id="cgroup v2"),
        pytest.param(
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.25,
            id="cgroup v1",
        ),
    ],
)
def test_a_limit_of_processor_time_is_what_there_is(tmp_path, files, cores):
    assert machine_of(tmp_path, files).cores == cores


@pytest.mark.parametrize("text", ["max 100000\n", "-1\n", "nonsense\n", "10 0\n"])
def test_no_limit_is_no_limit(tmp_path, text):
    assert machine_of(tmp_path, {"sys/fs/cgroup/cpu.max": text}).cores >= 1


def test_a_limit_of_memory_is_what_there_is(tmp_path):
    assert machine_of(tmp_path, PC | {"sys/fs/cgroup/memory.max": "1048576\n"}).memory_bytes == 1 << 20
    assert machine_of(tmp_path, PC | {"sys/fs/cgroup/memory.max": "max\n"}).memory_bytes == 4 << 30


def test_inside_a_container_the_network_is_seen_all_the_same(tmp_path):
    files = {"sys/class/net/lo/type": "772\n", "sys/class/net/eth0/type": "1\n"}
    assert machine_of(tmp_path, files).interfaces == ("ethernet",)


@pytest.mark.requirement("OP-6")
@pytest.mark.parametrize(
    ("kernel", "is_64_bit", "word"),
    [
        ("x86_64", True, "amd64"),
        ("aarch64", True, "arm64"),
        ("aarch64", False, "arm"),
        ("armv7l", False, "arm"),
        ("riscv64", True, None),
        ("s390x", True, None),
    ],
)
def test_only_the_three_architectures_are_reported(kernel, is_64_bit, word):
    assert architecture_of(kernel, is_64_bit=is_64_bit) == word


MACHINE = Machine(
    vendor="v",
    model="m",
    serial="s",
    cores=4.0,
    architecture="arm64",
    memory_bytes=4 << 30,
    storage_bytes=(32 << 30) + 12345,
    interfaces=("ethernet", "usb"),
)


def settings(text=""):
    return Settings.parse(text.encode(), source="agent.yaml").capabilities


def described(text="", profiles=("compose",)):
    return describe(MACHINE, settings(text), device_id="edge-01", profiles=profiles).to_plain()


@pytest.mark.requirement("CAP-10", "DEV-3", "OP-7", "OBS-1")
def test_a_device_is_described_as_the_specification_wants_it():
    assert described()["properties"] == {
        "id": "edge-01",
        "vendor": "v",
        "modelNumber": "m",
        "serialNumber": "s",
        "cpus": [{"cores": 4.0, "architecture": "arm64"}],
        "memory": "4Gi",
        "storage": "32Gi",
        "peripherals": [],
        "interfaces": [{"type": "ethernet"}, {"type": "usb"}],
        "otelCollector": True,
        "supportedRuntimes": ["oci"],
        "supportedDeploymentTypes": ["compose"],
    }


@pytest.mark.requirement("CAP-7")
def test_what_is_reserved_is_not_reported():
    properties = described("capabilities: {reserved: {cores: 0.5, memory: 512Mi, storage: 2Gi}}")[
        "properties"
    ]
    assert properties["cpus"] == [{"cores": 3.5, "architecture": "arm64"}]
    assert properties["memory"] == "3584Mi"
    assert properties["storage"] == "30Gi"


def test_the_settings_have_the_last_word():
    text = """
        capabilities:
          vendor: V
          modelNumber: M
          serialNumber: S
          cpus: [{cores: 1.5, architecture: arm}]
          memory: 1Gi
          storage: 2Gi
          peripherals: [{type: camera, manufacturer: C}]
          interfaces: []
          otelCollector: false
          labels: {example.org/line: [1, 2]}
    """
    plain = described(text)
    assert plain["labels"] == {"example.org/line": [1, 2]}
    assert plain["properties"] == {
        "id": "edge-01",
        "vendor": "V",
        "modelNumber": "M",
        "serialNumber": "S",
        "cpus": [{"cores": 1.5, "architecture": "arm"}],
        "memory": "1Gi",
        "storage": "2Gi",
        "peripherals": [{"type": "camera", "manufacturer": "C"}],
        "interfaces": [],
        "otelCollector": False,
        "supportedRuntimes": ["oci"],
        "supportedDeploymentTypes": ["compose"],
    }


@pytest.mark.requirement("GW-4")
def test_without_an_engine_only_who_it_is_is_reported():
    assert set(described(profiles=())["properties"]) == {"id", "vendor", "modelNumber", "serialNumber"}


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.floats(0.01, 512))
def test_whatever_is_read_makes_a_document_the_specification_accepts(memory, storage, cores):
    machine = Machine(
        vendor="v",
        model="m",
        serial="s",
        cores=cores,
        architecture=None,
        memory_bytes=memory,
        storage_bytes=storage,
        interfaces=(),
    )
    made = describe(machine, settings(), device_id="d", profiles=("compose",))
    assert DeviceCapabilities.parse(made.render()) == made
