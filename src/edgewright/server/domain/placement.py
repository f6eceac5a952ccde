"""Which profile of an application suits which device, decided before anything is deployed (spec: MAT-2,
PKG-2).
"""

from collections.abc import Mapping, Sequence

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.constraints import unmet
from edgewright.protocol.description import ApplicationDescription, DescriptionProfile
from edgewright.server.domain.devices import children_of
from edgewright.server.errors import Fault, InvalidError


def choose_device(known: Mapping[str, DeviceCapabilities], wanted: str | None) -> str:
    """Return the device id a deployment is for: the one `wanted`, else the only one that hosts workloads.

    `known` maps the ids of the client's devices to what they reported. An id ending in `/*` leaves the choice
    among a gateway's children to the gateway (spec: GW-8).
    """
    if not known:
        raise _unplaceable(
            "device", "it has not reported its capabilities yet; wait for its agent's first contact"
        )
    if wanted is None:
        hosting = [device_id for device_id, device in known.items() if device.is_hosting]
        if len(hosting) != 1:
            names = ", ".join(hosting) or "none"
            raise _unplaceable("device_id", f"say which device; these host workloads: {names}")
        return hosting[0]
    if not candidates(known, wanted):
        raise _unplaceable("device_id", f"'{wanted}' is none of {', '.join(known)}")
    return wanted


def candidates(known: Mapping[str, DeviceCapabilities], device_id: str) -> list[DeviceCapabilities]:
    """Return what is known of the devices that `device_id` can mean: one, or all children of a gateway."""
    if device_id.endswith("/*"):
        return [known[child] for child in children_of(device_id.removesuffix("/*"), known)]
    return [known[device_id]] if device_id in known else []


def choose_profile(
    description: ApplicationDescription,
    capabilities: Sequence[DeviceCapabilities],
    wanted: str | None = None,
) -> DescriptionProfile:
    """Return the profile `wanted`, else the first in file order, that fits at least one of the devices.

    Raises `InvalidError` saying for every profile why it does not fit.
    """
    profiles = description.deployment_profiles
    if wanted is not None:
        profiles = tuple(profile for profile in profiles if profile.id == wanted)
        if not profiles:
            known = ", ".join(profile.id for profile in description.deployment_profiles)
            raise _unplaceable("profile", f"'{wanted}' is none of {known}")
    names = [f"{device.properties.id}: " if len(capabilities) > 1 else "" for device in capabilities]
    faults: list[Fault] = []
    for profile in profiles:
        reasons = [misfits(profile, device) for device in capabilities]
        if not all(reasons):
            return profile
        faults += (
            Fault(field="profile", message=f"{where}{profile.id}: {reason}")
            for where, found in zip(names, reasons, strict=True)
            for reason in found
        )
    raise InvalidError("no profile of this application fits the device", *faults)


def misfits(profile: DescriptionProfile, device: DeviceCapabilities) -> list[str]:
    """Return for people why `profile` cannot run on `device`; empty means it can."""
    supported = device.properties.supported_deployment_types
    if supported is None:
        return [f"{device.properties.id} hosts no workloads"]
    if profile.type not in supported:
        return [f"{device.properties.id} supports {', '.join(supported)}, not {profile.type}"]
    return unmet(profile.device_constraints, device)


def _unplaceable(field: str, message: str) -> InvalidError:
    return InvalidError("the application cannot be placed", Fault(field=field, message=message))
