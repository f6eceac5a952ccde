import msgspec
import pytest

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.constraints import DeviceConstraints, constraint_violations, unmet

PROPERTIES = {
    "id": "edge-01",
    "vendor": "Example",
    "modelNumber": "E1",
    "serialNumber": "0001",
    "cpus": [{"cores": 2, "architecture": "arm64"}, {"cores": 4, "architecture": "amd64"}, {"cores": 1.5}],
    "memory": "7.5 Gi",
    "storage": "60Gi",
    "peripherals": [
        {"type": "gpu", "manufacturer": "NVIDIA", "model": "A2"},
        {"type": "camera", "manufacturer": "Basler"},
    ],
    "interfaces": [{"type": "ethernet"}],
    "otelCollector": True,
    "supportedRuntimes": ["oci"],
    "supportedDeploymentTypes": ["compose"],
}
LABELS = {
    "zone": "A",
    "line": 3,
    "temperature": 21.5,
    "safe": True,
    "tags": ["red", "green"],
    "levels": [1, 2.5],
    "nothing": [],
    "example.org/a~b": "c",
}
DEVICE = DeviceCapabilities.from_plain({"properties": PROPERTIES, "labels": LABELS})
GATEWAY = DeviceCapabilities.from_plain(
    {"properties": {name: PROPERTIES[name] for name in ("id", "vendor", "modelNumber", "serialNumber")}}
)


def constraints(**members):
    return msgspec.convert(members, DeviceConstraints)


def fits(device=DEVICE, **members):
    return unmet(constraints(**members), device) == []


def rules(*expressions, kind="propertySelector"):
    return {"eligibilityRules": [{kind: {"matchExpressions": list(expressions)}}]}


def expression(key, operator, *values, items=None):
    made = {"key": key, "operator": operator}
    if values:
        made["values"] = list(values)
    if items is not None:
        made["itemSelector"] = {"matchExpressions": items}
    return made


def label(key, operator, *values):
    return fits(**rules(expression(key, operator, *values), kind="labelSelector"))


def prop(key, operator, *values, items=None):
    return fits(**rules(expression(key, operator, *values, items=items)))


def test_without_constraints_every_device_fits():
    assert unmet(None, GATEWAY) == []
    assert fits(GATEWAY)


@pytest.mark.requirement("MAT-4", "MAT-5")
@pytest.mark.parametrize(
    ("cpu", "fit"),
    [
        ({"cores": 4}, True),
        ({"cores": 4.5}, False),
        ({"cores": 0.5}, True),
        ({"cores": 4, "architectures": ["amd64"]}, True),
        ({"cores": 4, "architectures": ["arm64"]}, False),
        ({"cores": 2, "architectures": ["arm", "arm64"]}, True),
        ({"cores": 6}, False),
        ({"cores": 1.6, "architectures": ["riscv64"]}, False),
    ],
)
def test_one_single_cpu_has_to_offer_everything(cpu, fit):
    assert fits(capacityRequirements={"cpu": cpu}) is fit


@pytest.mark.requirement("MAT-4", "OP-7")
@pytest.mark.parametrize(
    ("needed", "fit"),
    [
        ({"memory": "7680Mi"}, True),
        ({"memory": "7681Mi"}, False),
        ({"storage": "60Gi"}, True),
        ({"storage": "1Ti"}, False),
        ({"memory": "1Gi", "storage": "61Gi"}, False),
    ],
)
def test_every_given_amount_has_to_be_there(needed, fit):
    assert fits(capacityRequirements=needed) is fit


@pytest.mark.requirement("MAT-4", "GW-4")
def test_a_gateway_that_hosts_nothing_offers_no_capacity():
    reasons = unmet(constraints(capacityRequirements={"cpu": {"cores": 0.1}, "memory": "1Ki"}), GATEWAY)
    assert reasons == ["no single CPU has 0.1 cores (any architecture)", "memory: 1Ki needed, none offered"]


@pytest.mark.requirement("MAT-8", "MAT-9", "MAT-10")
@pytest.mark.parametrize(
    ("key", "operator", "values", "fit"),
    [
        # In: the value, or one element, is among the values
        ("zone", "In", ["A", "B"], True),
        ("zone", "In", ["a"], False),
        ("zone", "In", ["AB"], False),
        ("line", "In", [3], True),
        ("line", "In", [3.0], True),
        ("line", "In", ["3"], False),
        ("safe", "In", [True], True),
        ("safe", "In", [1], False),
        ("line", "In", [True], False),
        ("tags", "In", ["blue", "green"], True),
        ("tags", "In", ["blue"], False),
        ("levels", "In", [2.5], True),
        ("nothing", "In", ["x"], False),
        ("missing", "In", ["x"], False),
        # NotIn: there, and none is among the values
        ("zone", "NotIn", ["B"], True),
        ("zone", "NotIn", ["A", "B"], False),
        ("tags", "NotIn", ["blue"], True),
        ("tags", "NotIn", ["red", "blue"], False),
        ("nothing", "NotIn", ["x"], True),
        ("missing", "NotIn", ["x"], False),
        # Exists, DoesNotExist
        ("zone", "Exists", [], True),
        ("nothing", "Exists", [], True),
        ("missing", "Exists", [], False),
        ("missing", "DoesNotExist", [], True),
        ("zone", "DoesNotExist", [], False),
        ("Zone", "DoesNotExist", [], True),
        # Gt, Lt: numbers only
        ("line", "Gt", [2], True),
        ("line", "Gt", [3], False),
        ("line", "Lt", [3.5], True),
        ("line", "Lt", [3], False),
        ("temperature", "Gt", [21], True),
        ("zone", "Gt", [0], False),
        ("safe", "Gt", [0], False),
        ("levels", "Gt", [0], False),
        ("missing", "Lt", [5], False),
        # a label's name is exact, whatever it holds
        ("example.org/a~b", "In", ["c"], True),
        ("/zone", "Exists", [], False),
    ],
)
def test_labels_are_compared_by_the_operator_table(key, operator, values, fit):
    assert label(key, operator, *values) is fit


GPU = expression("/type", "In", "gpu")
NVIDIA = expression("/manufacturer", "In", "NVIDIA")
BASLER = expression("/manufacturer", "In", "Basler")
AMD = expression("/manufacturer", "In", "AMD")


@pytest.mark.requirement("MAT-8", "MAT-9", "OP-32")
@pytest.mark.parametrize(
    ("key", "operator", "values", "items", "fit"),
    [
        ("/vendor", "In", ["Example"], None, True),
        ("vendor", "In", ["Example"], None, False),
        ("/cpus/1/cores", "Gt", [3], None, True),
        ("/cpus/0/cores", "Gt", [3], None, False),
        ("/cpus/9/cores", "Exists", [], None, False),
        ("/cpus/01/cores", "Exists", [], None, False),
        ("/cpus/-/cores", "Exists", [], None, False),
        ("/otelCollector", "In", [True], None, True),
        ("/supportedDeploymentTypes", "In", ["helm", "compose"], None, True),
        ("/supportedDeploymentTypes", "NotIn", ["compose"], None, False),
        ("/peripherals", "Exists", [], None, True),
        # an array of objects with another operator is false, also where that is a negation
        ("/peripherals", "In", ["gpu"], None, False),
        ("/peripherals", "NotIn", ["gpu"], None, False),
        ("/peripherals", "Gt", [0], None, False),
        # an object is nothing to compare
        ("/cpus/0", "NotIn", ["x"], None, False),
        ("", "Exists", [], None, True),
        # ContainsAll: one element meets all
        ("/peripherals", "ContainsAll", [], [GPU, NVIDIA], True),
        ("/peripherals", "ContainsAll", [], [GPU, BASLER], False),
        ("/peripherals", "ContainsAll", [], [expression("/model", "DoesNotExist")], True),
        # ContainsAny: one element meets one
        ("/peripherals", "ContainsAny", [], [AMD, BASLER], True),
        ("/peripherals", "ContainsAny", [], [AMD], False),
        ("/missing", "ContainsAny", [], [GPU], False),
        ("/vendor", "ContainsAll", [], [GPU], False),
        ("/supportedRuntimes", "ContainsAny", [], [GPU], False),
    ],
)
def test_properties_are_compared_by_the_operator_table(key, operator, values, items, fit):
    assert prop(key, operator, *values, items=items) is fit


@pytest.mark.requirement("MAT-9")
def test_contains_over_nothing_is_false():
    empty = DeviceCapabilities.from_plain({"properties": PROPERTIES | {"peripherals": []}})
    for operator in ("ContainsAll", "ContainsAny"):
        assert not fits(empty, **rules(expression("/peripherals", operator, items=[GPU])))


@pytest.mark.requirement("MAT-7")
def test_all_expressions_of_a_selector_have_to_hold():
    good, bad = expression("/vendor", "Exists"), expression("/vendor", "DoesNotExist")
    assert fits(**rules(good, good))
    assert not fits(**rules(good, bad))
    assert fits(**rules())


@pytest.mark.requirement("MAT-6")
def test_one_rule_has_to_hold_with_both_its_selectors():
    def selector(holds):
        return {"matchExpressions": [expression("/id" if holds == "p" else "zone", "Exists")]}

    no_property = {"matchExpressions": [expression("/absent", "Exists")]}
    no_label = {"matchExpressions": [expression("absent", "Exists")]}
    both = {"propertySelector": selector("p"), "labelSelector": selector("l")}
    assert fits(eligibilityRules=[])
    assert fits(eligibilityRules=[{}])
    assert fits(eligibilityRules=[both])
    assert not fits(eligibilityRules=[both | {"labelSelector": no_label}])
    assert not fits(eligibilityRules=[both | {"propertySelector": no_property}])
    assert fits(eligibilityRules=[both | {"labelSelector": no_label}, both])
    assert not fits(eligibilityRules=[{"labelSelector": no_label}, {"propertySelector": no_property}])


@pytest.mark.requirement("MAT-11")
def test_capacity_and_properties_are_judged_apart():
    assert not fits(capacityRequirements={"memory": "8Gi"}, **rules(expression("/memory", "Exists")))
    assert not fits(capacityRequirements={"memory": "1Gi"}, **rules(expression("/memory", "In", "1Gi")))


@pytest.mark.requirement("MAT-2")
def test_reasons_say_which_rule_failed_and_where():
    reasons = unmet(
        constraints(
            capacityRequirements={"storage": "1Ti"},
            **rules(expression("/peripherals", "ContainsAll", items=[GPU, AMD])),
        ),
        DEVICE,
    )
    assert reasons == [
        "storage: 1Ti needed, 60Gi offered",
        "eligibility rule 1: property /peripherals: "
        "ContainsAll (/type In gpu, /manufacturer In AMD) does not hold,"
        " it is type=gpu manufacturer=NVIDIA model=A2, type=camera manufacturer=Basler",
    ]


@pytest.mark.requirement("MAT-4", "MAT-9")
def test_reasons_say_what_the_device_has_and_tell_a_number_from_a_text():
    reasons = unmet(
        constraints(
            capacityRequirements={"memory": "9" * 200 + "Gi"},
            **rules(expression("/cpus/0/cores", "In", "2"), expression("/absent~1one", "Exists")),
        ),
        DEVICE,
    )
    assert reasons[0].endswith("Gi needed, 7.5 Gi offered")
    assert reasons[1] == (
        'eligibility rule 1: property /cpus/0/cores: In "2" does not hold, it is 2; '
        "property /absent~1one: Exists does not hold, it is absent"
    )


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (expression("/a", "In"), ".values"),
        (expression("/a", "NotIn", "x", 1), ".values"),
        (expression("/a", "In", True, False), ".values"),
        (expression("/a", "In", True, 1), ".values"),
        (expression("/a", "Gt", "1"), ".values"),
        (expression("/a", "Gt", 1, 2), ".values"),
        (expression("/a", "Lt", True), ".values"),
        (expression("/a", "Exists", "x"), ".values"),
        (expression("/a", "DoesNotExist", 1), ".values"),
        (expression("/a", "ContainsAll"), ".itemSelector"),
        (expression("/a", "ContainsAny", items=[]), ".itemSelector"),
        (expression("/a", "In", "x", items=[GPU]), ".itemSelector"),
        (expression("/a", "ContainsAll", "x", items=[GPU]), ".values"),
        (expression("a", "Exists"), ".key"),
        (
            expression("/a", "ContainsAll", items=[expression("type", "Exists")]),
            ".itemSelector.matchExpressions[0].key",
        ),
    ],
)
def test_expressions_that_do_not_suit_their_operator_are_found(made, path):
    found = [where for where, _ in constraint_violations(constraints(**rules(made)), "$")]
    assert found == [f"$.eligibilityRules[0].propertySelector.matchExpressions[0]{path}"]


@pytest.mark.parametrize(
    "made",
    [
        expression("/a", "In", "x", "y"),
        expression("/a", "In", 1, 2.5),
        expression("/a", "NotIn", False),
        expression("/a", "Lt", 1.5),
        expression("/a", "DoesNotExist"),
        expression("/a", "ContainsAll", items=[GPU, NVIDIA]),
    ],
)
def test_expressions_of_the_table_are_accepted(made):
    assert not list(constraint_violations(constraints(**rules(made)), "$"))
