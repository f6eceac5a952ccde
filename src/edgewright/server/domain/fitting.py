"""What an assignment means for one client: on which of its devices, by which profile, with which values.

All of it is decided before anything is deployed (spec: MAT-2, CFG-2 to CFG-5). A client gets one deployment
of an assignment. Where several of its devices fit, it is the first; what is installed already stays where
it is as long as it fits there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from edgewright.protocol.capabilities import DeviceCapabilities
from edgewright.protocol.description import ApplicationDescription, DescriptionProfile
from edgewright.protocol.values import Value
from edgewright.server.domain.assignments import (
    INSTALLED,
    PACKAGE,
    AssignmentSpec,
    Chosen,
    Devices,
    Origin,
    all_layers,
    choose,
    layers,
    matching_groups,
    selects,
)
from edgewright.server.domain.parameters import changed_choice, effective_values, wrong_with
from edgewright.server.domain.placement import misfits
from edgewright.server.errors import Fault, InvalidError


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One client: whether it is let in, its labels, and what each of its devices reported, by device id."""

    client_id: str
    is_accepted: bool
    labels: Mapping[str, str]
    devices: Mapping[str, DeviceCapabilities]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a client has of an assignment now; `values` are effective ones."""

    deployment_id: str
    device_id: str
    version: str
    profile_id: str
    choice: Mapping[str, Value]
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """It fits: there, by that profile. `choice` is what people chose, `values` all, each with its origin."""

    device_id: str
    profile_id: str
    choice: Mapping[str, Value]
    values: Mapping[str, Chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """It does not fit, for these reasons; `is_about_values` if the device would do and a value would not."""

    reasons: tuple[Fault, ...]
    is_about_values: bool = False


@dataclass(slots=True)
class Fitter:
    """Judges devices for one version of an application and one specification; remembers what it worked out.

    `description` is that of `spec.version`.
    """

    description: ApplicationDescription
    spec: AssignmentSpec
    _selected: frozenset[str] | None = field(init=False)
    _keys: tuple[str, ...] = field(init=False)
    _groups: dict[tuple[str | None, ...], tuple[int, ...]] = field(init=False, default_factory=dict)
    _known: dict[object, Fit | Misfit] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Make a set of what may be a long list, and note which labels matter to the groups."""
        target = self.spec.target
        self._selected = frozenset(target.client_ids) if isinstance(target, Devices) else None
        requirements = (one for group in self.spec.groups for one in group.selector.requirements)
        self._keys = tuple(sorted({one.key for one in requirements}))

    def selects(self, client_id: str, labels: Mapping[str, str]) -> bool:
        """Whether the assignment is meant for this device."""
        if self._selected is not None:
            return client_id in self._selected
        return selects(self.spec.target, client_id, labels)

    def judge(self, machine: Machine, installed: Installed | None = None) -> Fit | Misfit:
        """Return how the application gets onto a selected device, or why it cannot."""
        place = self._place(machine, installed)
        if isinstance(place, Misfit):
            return place
        device_id, profile = place
        groups = self._groups_of(machine.labels)
        kept = self._kept(installed)
        own = machine.client_id if machine.client_id in self.spec.devices else None
        key = (profile.id, groups, own, tuple((name, repr(value)) for name, value in kept.items()))
        found = self._known.get(key)
        if found is None:
            chosen = choose(layers(self.spec, machine.client_id, groups))
            found = self._known[key] = self._values(profile, chosen, kept)
        if isinstance(found, Misfit):
            return found
        return Fit(device_id=device_id, profile_id=profile.id, choice=found.choice, values=found.values)

    def _groups_of(self, labels: Mapping[str, str]) -> tuple[int, ...]:
        """Return the groups of a device; what they look at is the same for many."""
        key = tuple(labels.get(name) for name in self._keys)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = matching_groups(self.spec, labels)
        return found

    def _place(
        self, machine: Machine, installed: Installed | None
    ) -> tuple[str, DescriptionProfile] | Misfit:
        if not machine.is_accepted:
            return _misfit("it is retired; accept it again first")
        if not machine.devices:
            return _misfit("it has not reported its capabilities yet; wait for its agent's first contact")
        hosting = [device_id for device_id, device in sorted(machine.devices.items()) if device.is_hosting]
        if not hosting:
            return _misfit("none of its devices hosts workloads")
        profiles = self.description.deployment_profiles
        if self.spec.profile is not None:
            profiles = tuple(profile for profile in profiles if profile.id == self.spec.profile)
        if installed is not None:
            hosting.sort(key=lambda device_id: device_id != installed.device_id)
            profiles = tuple(sorted(profiles, key=lambda profile: profile.id != installed.profile_id))
        reasons: dict[str, None] = {}
        for device_id in hosting:
            for profile in profiles:
                against = misfits(profile, machine.devices[device_id])
                if not against:
                    return device_id, profile
                where = f"{device_id}: " if len(hosting) > 1 else ""
                reasons.update(dict.fromkeys(f"{where}{profile.id}: {reason}" for reason in against))
        return Misfit(reasons=tuple(Fault(field="profile", message=reason) for reason in reasons))

    def _kept(self, installed: Installed | None) -> dict[str, Value]:
        """Return the values that cannot be changed any more (spec: CFG-3)."""
        if installed is None:
            return {}
        immutable = self.description.immutable_parameters
        return {name: value for name, value in installed.values.items() if name in immutable}

    def _values(
        self, profile: DescriptionProfile, chosen: Mapping[str, Chosen], kept: Mapping[str, Value]
    ) -> Fit | Misfit:
        asked = {name: one.value for name, one in chosen.items()}
        try:
            choice = changed_choice(self.description, {}, asked, kept)
            values = effective_values(self.description, profile, choice)
        except InvalidError as error:
            reasons = tuple(relocated(error.faults, chosen))
            return Misfit(reasons=reasons, is_about_values=True)
        return Fit(
            device_id="",
            profile_id=profile.id,
            choice=choice,
            values={name: Chosen(value, _origin_of(name, chosen, choice)) for name, value in values.items()},
        )


def check_values(description: ApplicationDescription, spec: AssignmentSpec) -> list[Fault]:
    """Return what is wrong with the values of all layers, whether they concern a device now or not."""
    faults: list[Fault] = []
    for path, values in all_layers(spec):
        for name, value in values.items():
            here = f"{path}.{name}"
            if name not in description.parameters:
                message = f"{description.id} {description.metadata.version} has no such parameter"
                faults.append(Fault(field=here, message=message))
            elif value is not None:
                faults += (
                    Fault(field=here, message=message) for message in wrong_with(description, name, value)
                )
    return faults


def relocated(faults: Iterable[Fault], chosen: Mapping[str, Chosen]) -> Iterator[Fault]:
    """Yield `faults`, whose fields are `parameters.<name>`, at the layers that said the values."""
    for fault in faults:
        name = fault.field.removeprefix("parameters.")
        one = chosen.get(name)
        path = one.origin.path if one else "parameters"
        yield Fault(field=f"{path}.{name}", message=fault.message)


def _origin_of(name: str, chosen: Mapping[str, Chosen], choice: Mapping[str, Value]) -> Origin:
    if name in chosen:
        return chosen[name].origin
    return INSTALLED if name in choice else PACKAGE


def _misfit(message: str) -> Misfit:
    return Misfit(reasons=(Fault(field="device", message=message),))
