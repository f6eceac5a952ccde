"""HTML that cannot be injected into: every text is escaped unless it is `Html` already.

Names of deployments, messages of engines and reasons that people type come from outside. What they say is
shown, never obeyed: markup is escaped, characters without a shape of their own (controls, marks that turn the
direction of writing) are shown as what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from edgewright.agent.on_site.visible import visible

VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta", "path", "rect", "line", "circle"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Iterable["Child"] | None
Attribute = str | int | bool | None


def element(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return the element `name`; texts among `children` are escaped, None is left out.

    `class_` is the attribute class, `aria_label` is aria-label; True is an attribute without a value, False
    and None are none.
    """
    head = "".join([name, *(_attribute(key, value) for key, value in attributes.items())])
    if name in VOID:
        return Html(f"<{head}/>")  # drawings need the slash, and HTML does not mind
    return Html(f"<{head}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Return `children` one after the other, texts escaped."""
    return Html("".join(_rendered(each) for each in children))


def _rendered(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return escape(visible(child))
    return join(child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(visible(str(value)))}"'
