"""One page with everything that pages are made of, for those who build pages; it is in no server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import ChoiceLoader, FileSystemLoader

from edgewright.server.domain.roles import Actor, Role
from edgewright.server.errors import Fault
from edgewright.server.operator_api.paging import Page
from edgewright.server.web.navigation import NAVIGATION
from edgewright.server.web.pages import ENVIRONMENT, TEMPLATES
from edgewright.server.web.words import WORDS

TEMPLATE = Path(__file__).with_name("gallery.html")
NOW = datetime(2026, 11, 26, 21, 42, tzinfo=UTC)


def gallery(role: Role = Role.ADMIN) -> str:
    """Return the page as somebody with that role sees it."""
    loader = ChoiceLoader([FileSystemLoader(TEMPLATES), FileSystemLoader(TEMPLATE.parent)])
    environment = ENVIRONMENT.overlay(loader=loader)
    common = {
        "actor": Actor(name="Grace Hopper", role=role),
        "csrf": "0123",
        "now": NOW,
        "path": "/fleet",
        "may": role.covers,
        "here": lambda **changes: "/gallery?" + urlencode({k: v for k, v in changes.items() if v}),
    }
    common["ui"] = environment.get_template("parts.html").make_module(common)
    return environment.get_template(TEMPLATE.name).render(
        {
            **common,
            "navigation": NAVIGATION,
            "notice": None,
            "seen": 0,
            "theme": "",
            "states": list(WORDS),
            "moment": NOW - timedelta(minutes=7),
            "later": NOW + timedelta(days=20),
            "wrong": [Fault(field="name", message="no spaces, please")],
            "counts": {
                "converged": 10_240,
                "taking-up": 120,
                "waiting-for-approval": 60,
                "failed": 3,
                "silent": 59,
            },
            "listed": Page(items=["one"] * 6, next="abc", total=10_482),
        }
    )
