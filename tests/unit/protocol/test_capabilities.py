import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.quantities import parse_quantity, render_quantity

IDENTITY = {"id": "edge-01", "vendor": "Example", "modelNumber": "E1", "serialNumber": "0001"}
HOSTING = {
    "cpus": [{"cores": 4, "architecture": "amd64"}],
    "memory": "7Gi",
    "storage": "60Gi",
    "peripherals": [],
    "interfaces": [{"type": "ethernet"}],
    "otelCollector": True,
    "supportedRuntimes": ["oci"],
    "supportedDeploymentTypes": ["compose"],
}


def parse(changes=None, *, hosting=True, **members):
    properties = IDENTITY | (HOSTING if hosting else {}) | (changes or {})
    return DeviceCapabilities.parse(json.dumps({"properties": properties, **members}).encode())


def without(*names):
    return {name: value for name, value in HOSTING.items() if name not in names}


@pytest.mark.requirement("GW-4", "GW-5")
def test_hosting_is_told_by_the_fields_that_are_there():
    assert parse().is_hosting
    assert not parse(hosting=False).is_hosting
    assert json.loads(parse(hosting=False).render()) == {"properties": IDENTITY}


def test_what_is_reported_is_rendered_in_full():
    labels = {"a": "x", "b": [1, 2.5], "c": ["y"], "d": True}
    assert json.loads(parse(labels=labels).render()) == {"properties": IDENTITY | HOSTING, "labels": labels}


@pytest.mark.requirement("CAP-9", "EXT-2", "OP-27")
def test_extensions_are_kept_and_unknown_members_ignored():
    value = {"x-acme-extensions": {"a": 1}}
    assert parse(**value, unknown=1).extensions == value
    assert json.loads(parse(**value).render())["x-acme-extensions"] == {"a": 1}


@pytest.mark.requirement("CAP-8")
@pytest.mark.parametrize(
    ("given_types", "read"),
    [
        (["helm"], ("helm",)),
        (["wasm"], ("custom",)),
        (["compose", "wasm", "custom", "vm"], ("compose", "custom")),
    ],
)
def test_unknown_deployment_types_are_custom(given_types, read):
    assert parse({"supportedDeploymentTypes": given_types}).properties.supported_deployment_types == read


@pytest.mark.requirement("CAP-8")
def test_unknown_runtimes_are_custom():
    assert parse({"supportedRuntimes": ["firecracker"]}).properties.supported_runtimes == ("custom",)


@pytest.mark.requirement("OP-6")
def test_other_architectures_are_read_as_they_are():
    assert (
        parse({"cpus": [{"cores": 0.5, "architecture": "x86_64"}]}).properties.cpus[0].architecture
        == "x86_64"
    )


@pytest.mark.requirement("CAP-6", "ERR-6")
@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"id": "a b"}, "$.properties.id", id="blank in the id"),
        pytest.param({"id": "a//b"}, "$.properties.id", id="empty step in the id"),
        pytest.param({"id": "/a"}, "$.properties.id", id="leading slash"),
        pytest.param({"vendor": 1}, "$.properties.vendor", id="vendor as a number"),
        pytest.param({"cpus": [{}]}, "$.properties.cpus[0].cores", id="no cores"),
        pytest.param({"cpus": [{"cores": -1}]}, "$.properties.cpus[0].cores", id="negative cores"),
        pytest.param({"cpus": [{"cores": "4"}]}, "$.properties.cpus[0].cores", id="cores as text"),
        pytest.param({"memory": "7GB"}, "$.properties.memory", id="decimal unit"),
        pytest.param({"storage": 60}, "$.properties.storage", id="storage as a number"),
        pytest.param({"storage": "lots"}, "$.properties.storage", id="no amount"),
        pytest.param({"supportedRuntimes": []}, "$.properties.supportedRuntimes", id="no runtime"),
        pytest.param({"supportedDeploymentTypes": []}, "$.properties.supportedDeploymentTypes", id="no type"),
        pytest.param({"peripherals": None}, "$.properties.peripherals", id="null list"),
    ],
)
def test_wrong_reports_are_refused_with_their_path(changes, path):
    with pytest.raises(DocumentError) as caught:
        parse(changes)
    assert caught.value.path == path


@pytest.mark.requirement("CAP-6")
@pytest.mark.parametrize("name", HOSTING)
def test_a_hosting_device_reports_every_hosting_field(name):
    with pytest.raises(DocumentError) as caught:
        parse(without(name), hosting=False)
    assert caught.value.path == f"$.properties.{name}"


def test_every_missing_field_is_told():
    with pytest.raises(DocumentError) as caught:
        parse(without("memory", "cpus"), hosting=False)
    assert [path for path, _ in caught.value.problems] == ["$.properties.cpus", "$.properties.memory"]


@pytest.mark.parametrize("value", [None, {"a": 1}, [["a"]], [True], ["a", 1]])
def test_labels_of_other_types_are_refused(value):
    with pytest.raises(DocumentError) as caught:
        parse(labels={"good": "x", "bad": value})
    assert caught.value.path.startswith("$.labels.bad")


@pytest.mark.requirement("MAT-4", "OP-7")
@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0Ki", 0),
        ("1Ki", 2**10),
        ("512Mi", 2**29),
        ("59 Gi", 59 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("2Ti", 2**41),
        ("1Pi", 2**50),
        ("1Ei", 2**60),
    ],
)
def test_amounts_are_read_in_binary_units(text, amount):
    assert parse_quantity(text) == amount


@pytest.mark.parametrize(
    "text", ["", "1", "1024", "1G", "1gi", "1  Gi", "-1Gi", "1Gi ", " 1Gi", "1.Gi", ".5Gi", "1e3Mi", "٣Gi"]
)
def test_other_texts_are_no_amounts(text):
    with pytest.raises(ValueError, match="expected digits"):
        parse_quantity(text)


@pytest.mark.requirement("OP-7")
@given(st.integers(0, 2**64))
def test_amounts_are_written_exactly_down_to_a_kibibyte(amount):
    text = render_quantity(amount)
    assert " " not in text
    assert parse_quantity(text) == amount - amount % 1024
