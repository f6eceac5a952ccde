"""Fixtures over the testbed. A part that is missing fails the test in CI and skips it elsewhere."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from support.engines import Engine, EngineApi
from support.images import Image, RegistryAccess, push
from support.registry import Registry
from support.testbed import Testbed


def unavailable(why: str) -> NoReturn:
    """Skip the test, or fail it where everything has to be there (CI=true)."""
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session", autouse=True)
def memory_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let agents that tests start keep what they keep in memory where it is deleted with the rest."""
    os.environ["RUNTIME_DIRECTORY"] = str(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def testbed() -> Testbed:
    """What runs for the tests; see support.testbed."""
    found = Testbed.from_environment()
    if found is None:
        unavailable(
            "no engines and no registry; run by: make integration (or tools/testbed.py run -- pytest …)"
        )
    return found


def _engine(testbed: Testbed, name: str) -> Engine:
    if name not in testbed.engines:
        unavailable(f"no {name}: {testbed.missing.get(name, 'it was not started')}")
    return testbed.engines[name]


@pytest.fixture(scope="session")
def docker_engine(testbed: Testbed) -> Engine:
    return _engine(testbed, "docker")


@pytest.fixture(scope="session")
def podman_engine(testbed: Testbed) -> Engine:
    return _engine(testbed, "podman")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.engine) for name in ("docker", "podman")])
def engine(request: pytest.FixtureRequest, testbed: Testbed) -> Engine:
    """Docker, then Podman: the test runs once with each."""
    return _engine(testbed, request.param)


@pytest.fixture
def engine_api(engine: Engine) -> EngineApi:
    """Looks at `engine` from outside, without the product."""
    return EngineApi(engine.socket)


@pytest.fixture(scope="session")
def registry(testbed: Testbed) -> RegistryAccess:
    """A plain registry on loopback, which both engines pull from. Shared: push under `unique` names."""
    return testbed.registry


@pytest.fixture(scope="session")
def secured_registry(testbed: Testbed) -> RegistryAccess:
    """A registry with TLS (its own authority) and a password. Shared: push under `unique` names."""
    if testbed.secured_registry is None:
        unavailable(f"no registry with TLS: {testbed.missing['secured_registry']}")
    return testbed.secured_registry


@pytest.fixture
def own_registry(testbed: Testbed, tmp_path: Path) -> Iterator[Registry]:
    """A registry for this test alone, to be stopped and started; it keeps its port and data."""
    own = Registry(testbed.docker_registry, tmp_path / "registry")
    own.start()
    yield own
    own.stop()


@pytest.fixture
def unique() -> str:
    """A name nobody else uses, fit for repositories, containers and devices."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def push_image(registry: RegistryAccess, unique: str) -> Callable[..., str]:
    """Push an image under this test's name: `push_image(image, "web", tag="1")` returns `host/…:1`."""

    def push_one(image: Image, name: str, *, tag: str = "1") -> str:
        push(image, registry, f"{unique}/{name}", tag)
        return f"{registry.host}/{unique}/{name}:{tag}"

    return push_one
