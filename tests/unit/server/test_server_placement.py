"""Only what fits is chosen, and who does not fit is told why (spec: MAT-2, PKG-2)."""

import pytest

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.description import ApplicationDescription
from edgewright.server.domain.devices import children_of, gateways_of
from edgewright.server.domain.placement import candidates, choose_device, choose_profile
from edgewright.server.errors import InvalidError


def device(device_id: str = "edge", *types: str, cores: int = 4) -> DeviceCapabilities:
    """A hosting device that supports `types`, by default Compose."""
    return DeviceCapabilities.from_plain(
        {
            "properties": {
                "id": device_id,
                "vendor": "V",
                "modelNumber": "M",
                "serialNumber": "S",
                "cpus": [{"cores": cores, "architecture": "amd64"}],
                "memory": "4Gi",
                "storage": "10Gi",
                "peripherals": [],
                "interfaces": [],
                "otelCollector": True,
                "supportedRuntimes": ["oci"],
                "supportedDeploymentTypes": list(types or ["compose"]),
            }
        }
    )


def gateway(device_id: str = "gw") -> DeviceCapabilities:
    """A gateway that hosts nothing."""
    identity = {"id": device_id, "vendor": "V", "modelNumber": "M", "serialNumber": "S"}
    return DeviceCapabilities.from_plain({"properties": identity})


def application(*profiles: tuple[str, str, int]) -> ApplicationDescription:
    """An application with profiles of (id, type, cores needed)."""
    component = {"name": "app", "properties": {"repository": "oci://r.test/app", "revision": "1.0.0"}}
    return ApplicationDescription.from_plain(
        {
            "apiVersion": "v1",
            "id": "shop",
            "metadata": {"name": "Shop", "version": "1", "catalog": {"organization": [{"name": "E"}]}},
            "deploymentProfiles": [
                {
                    "id": profile_id,
                    "type": kind,
                    "components": [component],
                    "deviceConstraints": {"capacityRequirements": {"cpu": {"cores": cores}}},
                }
                for profile_id, kind, cores in profiles
            ],
        }
    )


def refused(*arguments: object, **more: object) -> str:
    with pytest.raises(InvalidError) as error:
        choose_profile(*arguments, **more)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.requirement("PKG-2", "MAT-2", "MAT-5")
def test_the_first_profile_that_fits_is_chosen() -> None:
    shop = application(
        ("helm", "helm", 1), ("big", "compose", 8), ("small", "compose", 2), ("last", "compose", 1)
    )
    assert choose_profile(shop, [device()]).id == "small"


@pytest.mark.requirement("MAT-2")
def test_a_profile_that_was_asked_for_still_has_to_fit() -> None:
    shop = application(("big", "compose", 8), ("small", "compose", 2))
    assert "8 cores" in refused(shop, [device()], "big")


def test_every_profile_says_why_it_does_not_fit() -> None:
    told = refused(application(("a", "helm", 1), ("b", "compose", 8)), [device()])
    assert "a: edge supports compose, not helm" in told
    assert "b: no single CPU has 8 cores" in told


def test_a_gateway_that_hosts_nothing_takes_nothing() -> None:
    assert "hosts no workloads" in refused(application(("a", "compose", 1)), [gateway()])


@pytest.mark.requirement("GW-8")
def test_a_placement_left_to_the_gateway_needs_one_child_that_fits() -> None:
    shop = application(("big", "compose", 8))
    known = {"gw": gateway(), "gw/a": device("gw/a"), "gw/b": device("gw/b", cores=8)}
    assert choose_device(known, "gw/*") == "gw/*"
    assert choose_profile(shop, candidates(known, "gw/*")).id == "big"
    del known["gw/b"]
    assert "8 cores" in refused(shop, candidates(known, "gw/*"))


def test_each_child_of_a_gateway_says_for_itself_why_it_does_not_fit() -> None:
    shop = application(("big", "compose", 8))
    known = {"gw": gateway(), "gw/a": device("gw/a"), "gw/b": device("gw/b", "helm")}
    said = refused(shop, candidates(known, "gw/*"))
    assert "gw/a: big: no single CPU has 8 cores" in said
    assert "gw/b: big: gw/b supports helm, not compose" in said


@pytest.mark.parametrize(
    ("known", "wanted", "expected"),
    [
        pytest.param({"edge": device()}, None, "edge", id="the only device"),
        pytest.param({"gw": gateway(), "gw/a": device("gw/a")}, None, "gw/a", id="the only one that hosts"),
        pytest.param({"a": device("a"), "b": device("b")}, "b", "b", id="the one that was said"),
    ],
)
def test_the_device_is_chosen_where_there_is_no_choice(
    known: dict[str, DeviceCapabilities], wanted: str | None, expected: str
) -> None:
    assert choose_device(known, wanted) == expected


@pytest.mark.parametrize(
    ("known", "wanted", "told"),
    [
        pytest.param({}, None, "has not reported its capabilities", id="nothing reported"),
        pytest.param({"a": device("a"), "b": device("b")}, None, "a, b", id="two to choose from"),
        pytest.param({"gw": gateway()}, None, "none", id="only a gateway"),
        pytest.param({"a": device("a")}, "b", "'b' is none of a", id="a device nobody knows"),
        pytest.param({"gw": gateway()}, "gw/*", "'gw/*' is none of", id="a gateway without children"),
    ],
)
def test_a_device_that_cannot_be_chosen_is_asked_for(
    known: dict[str, DeviceCapabilities], wanted: str | None, told: str
) -> None:
    with pytest.raises(InvalidError, match="cannot be placed") as error:
        choose_device(known, wanted)
    assert told in str(error.value)


@pytest.mark.requirement("GW-2", "GW-5")
def test_the_hierarchy_of_ids() -> None:
    assert gateways_of("edge") == ()
    assert gateways_of("gw/path/a") == ("gw", "gw/path")
    assert children_of("gw", ["gw", "gw/a", "gw/b/c", "gwx/a"]) == ["gw/a", "gw/b/c"]
