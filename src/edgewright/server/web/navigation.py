"""The areas of the pages, in the order people work in: what is there, what should run, who did what."""

from dataclasses import dataclass
from typing import Final

from edgewright.server.domain.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One entry of the navigation; `also` are the beginnings of further paths that belong to it.

    `keys` takes people there after a `g`.
    """

    title: str
    path: str
    icon: str
    keys: str
    also: tuple[str, ...] = ()
    role: Role = Role.VIEWER

    def holds(self, path: str) -> bool:
        """Whether the page at `path` is in this area."""
        return any(path == start or path.startswith(start + "/") for start in (self.path, *self.also))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Areas under one heading."""

    title: str
    areas: tuple[Area, ...]


NAVIGATION: Final = (
    Group(
        title="Fleet",
        areas=(
            Area(title="Devices", path="/fleet", icon="server", keys="f", also=("/devices", "/repositories")),
            Area(title="Enrolment", path="/enrollments", icon="plug-zap", keys="e"),
            Area(title="Policies", path="/policies", icon="calendar-clock", keys="y"),
        ),
    ),
    Group(
        title="Applications",
        areas=(
            Area(title="Packages", path="/packages", icon="package", keys="p", also=("/add-packages",)),
            Area(title="Sources", path="/sources", icon="database", keys="s"),
            Area(
                title="Deployments",
                path="/deployments",
                icon="boxes",
                keys="d",
                also=("/deploy", "/assignments"),
            ),
            Area(title="Rollouts", path="/rollouts", icon="chart-no-axes-gantt", keys="r"),
        ),
    ),
    Group(
        title="Administration",
        areas=(
            Area(title="Audit", path="/audit", icon="scroll-text", keys="a"),
            Area(title="Users", path="/users", icon="users", keys="u", role=Role.ADMIN),
            Area(title="API tokens", path="/tokens", icon="key-round", keys="t"),
        ),
    ),
)
