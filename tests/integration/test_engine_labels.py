"""Looking for things by their labels on a real engine: what is found may be removed."""

from collections.abc import Iterator

import pytest

from edgewright.agent.runtimes.engine import Engine as EngineClient
from support.engines import Engine, EngineApi

KINDS = ("volumes", "networks")


@pytest.fixture
def two(engine_api: EngineApi, unique: str) -> Iterator[tuple[str, str]]:
    """Two volumes and two networks of one owner: the first of project one, the second of project two."""
    names = (f"{unique}-one", f"{unique}-two")
    for name in names:
        labels = {"owner": unique, "project": name}
        for kind in KINDS:
            engine_api.request("POST", f"/{kind}/create", {"Name": name, "Labels": labels})
    yield names
    for name in names:
        for kind in KINDS:
            engine_api.request("DELETE", f"/{kind}/{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_carries_every_label_is_found(engine: Engine, two: tuple[str, str], unique: str, kind: str):
    client = EngineClient(engine.socket)
    look = {"volumes": client.volumes, "networks": client.networks}[kind]
    projects = [one.labels["project"] for one in look([f"owner={unique}", f"project={two[0]}"])]
    assert projects == [two[0]]
    assert len(look([f"owner={unique}"])) == len(look([f"owner={unique}", "project"])) == 2
    client.close()
