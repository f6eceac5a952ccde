"""Device ids and their hierarchy: a child carries the ids of its gateways before its own (spec: GW-2,
GW-5).
"""

from collections.abc import Iterable


def gateways_of(device_id: str) -> tuple[str, ...]:
    """Return the ids that could be a gateway of this device, the outermost first; none for a top-level one.

    Segments between gateway and device need not be devices themselves, so one known gateway is enough.
    """
    segments = device_id.split("/")
    return tuple("/".join(segments[:count]) for count in range(1, len(segments)))


def children_of(gateway_id: str, device_ids: Iterable[str]) -> list[str]:
    """Return those of `device_ids` that stand behind the gateway, at any depth."""
    return [device_id for device_id in device_ids if device_id.startswith(f"{gateway_id}/")]
