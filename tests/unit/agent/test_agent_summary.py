"""What a person is told of a change before they agree to it."""

from typing import Any

import pytest

from edgewright.agent.consent.summary import summarise
from edgewright.agent.work.desired import Desired
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.digests import digest_of
from support.foreign_server import deployment_yaml

ID = "11111111-1111-4111-8111-111111111111"


def wanted(**changes: Any) -> Desired:
    data = deployment_yaml(ID, **changes)
    document = ApplicationDeployment.parse(data)
    return Desired(deployment_id=ID, digest=digest_of(data), version=1, document=document)


def component(name: str, revision: str = "1.0.0", **properties: Any) -> dict[str, Any]:
    at = {"repository": f"oci://registry.example/{name}", "revision": revision, **properties}
    return {"name": name, "properties": at}


def parameter(value: Any, pointer: str = "P") -> dict[str, Any]:
    return {"value": value, "targets": [{"pointer": pointer, "components": ["web"]}]}


OLD = wanted(components=["web"])


@pytest.mark.parametrize(
    ("new", "entries"),
    [
        pytest.param(
            wanted(components=[component("web", "1.1.0")]),
            [{"name": "web", "change": "changed", "from": "1.0.0", "to": "1.1.0"}],
            id="a new version",
        ),
        pytest.param(
            wanted(components=["web", "db"]),
            [{"name": "db", "change": "added", "to": "1.0.0"}],
            id="one more",
        ),
        pytest.param(
            wanted(components=["db"]),
            [
                {"name": "db", "change": "added", "to": "1.0.0"},
                {"name": "web", "change": "removed", "from": "1.0.0"},
            ],
            id="another one",
        ),
        pytest.param(
            wanted(components=[component("web", repository="oci://elsewhere.example/web")]),
            [
                {
                    "name": "web",
                    "change": "changed",
                    "from": "oci://registry.example/web:1.0.0",
                    "to": "oci://elsewhere.example/web:1.0.0",
                }
            ],
            id="from elsewhere",
        ),
        pytest.param(
            wanted(components=[component("web", wait=False)]),
            [{"name": "web", "change": "changed", "from": "1.0.0", "to": "1.0.0"}],
            id="set up differently",
        ),
    ],
)
def test_components_that_differ_are_told(new: Desired, entries: list[dict[str, Any]]) -> None:
    summary = summarise(OLD, new)
    assert summary["components"] == entries
    assert (summary["from"], summary["to"], summary["parameters"], summary["other"]) == (
        OLD.digest,
        new.digest,
        [],
        False,
    )


def test_parameters_that_differ_are_told_and_secrets_are_not() -> None:
    old = wanted(
        parameters={
            "greeting": parameter("hello"),
            "adminPassword": parameter("old"),
            "token2": parameter("t", "HARMLESS"),
            "plain": parameter("s", "DB_PASSWORD"),
            "same": parameter(1),
            "limit": parameter(5),
        }
    )
    new = wanted(
        parameters={
            "greeting": parameter("x" * 500),
            "adminPassword": parameter("new"),
            "token2": parameter("u", "HARMLESS"),
            "plain": parameter("r", "DB_PASSWORD"),
            "same": parameter(1),
            "monkey": parameter("key", "KEYBOARD"),
        }
    )
    found = {each["name"]: each for each in summarise(old, new)["parameters"]}
    assert found.keys() == {"greeting", "adminPassword", "token2", "plain", "limit", "monkey"}
    assert (found["greeting"]["from"], len(found["greeting"]["to"])) == ("hello", 201)
    for name in ("adminPassword", "token2", "plain"):
        assert (found[name]["from"], found[name]["to"]) == ("(hidden)", "(hidden)")
    assert found["monkey"] == {"name": "monkey", "change": "added", "to": "key"}
    assert found["limit"] == {"name": "limit", "change": "removed", "from": "5"}


@pytest.mark.parametrize(
    "name", ["apiKey", "api_key", "SECRET_WORD", "passphrase", "db.pwd", "private", "key"]
)
def test_what_looks_secret_is_hidden(name: str) -> None:
    (entry,) = summarise(None, wanted(parameters={name: parameter("value")}))["parameters"]
    assert entry["to"] == "(hidden)"


@pytest.mark.parametrize("name", ["keyboard", "monkeys", "compass", "author", "tokens-free"])
def test_what_only_sounds_like_it_is_hidden_only_where_in_doubt(name: str) -> None:
    (entry,) = summarise(None, wanted(parameters={name: parameter("value")}))["parameters"]
    assert (entry["to"] == "(hidden)") is (name in {"compass", "author", "tokens-free"})


@pytest.mark.parametrize(
    "new", [wanted(name="renamed"), wanted(applicationId="com-example-other")], ids=["name", "application"]
)
def test_that_something_else_differs_is_told(new: Desired) -> None:
    assert summarise(OLD, new)["other"]


def test_another_order_is_something_else() -> None:
    assert summarise(wanted(components=["web", "db"]), wanted(components=["db", "web"]))["other"]


def test_an_installation_adds_everything_and_a_removal_takes_everything() -> None:
    assert summarise(None, OLD) == {
        "from": None,
        "to": OLD.digest,
        "components": [{"name": "web", "change": "added", "to": "1.0.0"}],
        "parameters": [],
        "images": [],
        "other": False,
    }
    removal = summarise(OLD, None, running={"web": ["app:1"]})
    assert removal["components"] == [{"name": "web", "change": "removed", "from": "1.0.0"}]
    assert removal["images"] == [{"name": "web", "change": "removed", "from": ["app:1"]}]


def test_images_are_told_once_those_to_come_are_known() -> None:
    new, running = wanted(components=[component("web", "2.0.0")]), {"web": ["app:1", "db:1"]}
    assert summarise(OLD, new, running=running)["images"] == []
    assert summarise(OLD, new, running=running, coming={"web": ["app:2", "db:1"]})["images"] == [
        {"name": "web", "change": "changed", "from": ["app:1", "db:1"], "to": ["app:2", "db:1"]}
    ]
