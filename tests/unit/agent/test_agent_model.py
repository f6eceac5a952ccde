"""A device's life at random: where nobody has to be asked (`device_life`), and where somebody has to."""

import pytest
from hypothesis import HealthCheck, settings

from support.device_life import DeviceLife
from support.guarded_life import GuardedLife

AT_RANDOM = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
DeviceLife.TestCase.settings = AT_RANDOM
GuardedLife.TestCase.settings = AT_RANDOM

TestDeviceLife = DeviceLife.TestCase


TestGuardedLife = pytest.mark.requirement("S-24", "S-25")(GuardedLife.TestCase)
