"""Hundreds of kills at random moments, on real containers, while what is wanted changes all the time."""

import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.engines import Engine
from support.images import RegistryAccess
from support.kill_containers import ContainerRig, container_field
from support.kill_field import Field
from support.kill_rig import BROKEN
from support.processes import wait_until
from support.testbed import Testbed

KILLS = int(os.environ.get("EDGEWRIGHT_KILLS", "400"))
DEPLOYMENTS = 3
KILLS_A_MANIFEST = 4
LONGEST_SECONDS = 3.0  # a round with two components takes about as long
SECONDS = 300.0

Wanted = Mapping[str, str]
"""The parameter of each deployment that is wanted."""


@pytest.fixture
def field(
    tmp_path: Path, engine: Engine, registry: RegistryAccess, testbed: Testbed, unique: str
) -> Iterator[Field]:
    """A device for several deployments."""
    with container_field(
        tmp_path / "device",
        engine=engine,
        registry=registry,
        busybox=Path(testbed.busybox),
        unique=unique,
        deployments=DEPLOYMENTS,
    ) as made:
        yield made


def publish(field: Field, wanted: Wanted) -> int:
    """Let the fleet manager want `wanted`; return the manifest's version."""
    field.server.documents = {each: field.document(each, word) for each, word in wanted.items()}
    return field.server.publish()


def has_settled(field: Field, wanted: Wanted, version: int) -> bool:
    """Whether the last word about every deployment is what `wanted` leads to, and nothing is left to do."""
    for deployment_id in field.deployments:
        reports = field.server.statuses(deployment_id)
        last = reports[-1]["status"]["state"] if reports else "removed"
        word = wanted.get(deployment_id)
        end = "removed" if word is None else "failed" if word == BROKEN else "installed"
        if last != end or (word is not None and reports[-1]["adoptedManifestVersion"] != version):
            return False
        error = reports[-1]["status"].get("error", {}) if reports else {}
        if "being brought back" in error.get("message", ""):
            return False
    return field.rig.is_idle()


@pytest.mark.nightly
@pytest.mark.engine
@pytest.mark.requirement("S-7", "S-21", "S-28", "S-30", "DS-16", "OP-17")
def test_hundreds_of_kills_at_random_moments_change_nothing(field: Field):
    seed = int(os.environ.get("EDGEWRIGHT_SEED", time.time()))
    print(f"EDGEWRIGHT_SEED={seed} EDGEWRIGHT_KILLS={KILLS} repeats this")
    chance = random.Random(seed)
    rig = field.rig
    assert isinstance(rig, ContainerRig)
    good: dict[str, str] = {}
    for number in range(-(-KILLS // KILLS_A_MANIFEST)):
        wanted = {
            each: BROKEN if each in good and chance.random() < 0.3 else f"{number}"
            for each in chance.sample(field.deployments, chance.randint(0, DEPLOYMENTS))
        }
        version = publish(field, wanted)
        for _ in range(KILLS_A_MANIFEST):
            rig.start()
            time.sleep(chance.uniform(0, LONGEST_SECONDS))  # the moment is what is random
            rig.kill_all()
        rig.start()
        wait_until(
            lambda wanted=wanted, version=version: has_settled(field, wanted, version),
            what=f"manifest {version} comes to its end: {wanted}; see {rig.log}",
            seconds=SECONDS,
        )
        rig.kill_all()
        good = {each: good[each] if word == BROKEN else word for each, word in wanted.items()}
        expected = {(each, name): ("running", word) for each, word in good.items() for name in ("db", "web")}
        assert rig.words() == expected, f"seed {seed}, manifest {version}, wanted {wanted}"
