"""A device's life at random: where nobody has to be asked (`device_life`), and where somebody has to."""

import pytest
from hypothesis import HealthCheck, Phase, settings

from support.device_life import DeviceLife
from support.guarded_life import GuardedLife
from support.steady_draws import STEADY

AT_RANDOM = settings(
    backend=STEADY,
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    # A life that went wrong is told as it was, with what reproduces it: to shrink one takes minutes. Whoever
    # looks into it adds `Phase.shrink`.
    phases=[Phase.generate],
    report_multiple_bugs=False,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
DeviceLife.TestCase.settings = AT_RANDOM
GuardedLife.TestCase.settings = AT_RANDOM

TestDeviceLife = DeviceLife.TestCase


TestGuardedLife = pytest.mark.requirement("S-24", "S-25")(GuardedLife.TestCase)
