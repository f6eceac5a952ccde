"""Reads the forms of pages. What is missing is empty; what is too much is ignored."""

from dataclasses import dataclass

from edgewright.server.context import ServerRequest
from edgewright.server.listeners.guard import read_form


@dataclass(frozen=True, slots=True)
class Form:
    """The text fields of a form, with their values in order."""

    fields: dict[str, list[str]]

    @classmethod
    async def of(cls, request: ServerRequest) -> "Form":
        """Read the form of a request, within bounds of size and time."""
        form = await read_form(request)
        fields: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
        return cls(fields)

    def text(self, name: str) -> str:
        """Return the value of a field without the spaces around it."""
        return self.exact(name).strip()

    def exact(self, name: str) -> str:
        """Return the value of a field as it was typed."""
        return self.fields.get(name, [""])[0]

    def lines(self, name: str) -> str:
        """Return the value of a field without the spaces around it, with the line ends of files."""
        return self.text(name).replace("\r\n", "\n")

    def every(self, name: str) -> list[str]:
        """Return all values of a field that can be chosen more than once."""
        return self.fields.get(name, [])


def is_number(text: str) -> bool:
    """Whether a field holds a whole number that is not beyond all bounds."""
    return text.isascii() and text.isdigit() and len(text) < 10
