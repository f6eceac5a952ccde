"""Devices as commands name them: by their client id, or the beginning of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.cli.operator import every

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator


def find_device(operator: Operator, given: str) -> str:
    """Return the client id that `given` is, or is the beginning of; raises UsageError."""
    from edgewright.cli.operator_client import choose
    from edgewright.cli.views import DeviceView

    known = every(operator, "/devices", DeviceView)
    return choose(given, [device.client_id for device in known], kind="device")
