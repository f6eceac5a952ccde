"""Text from outside, made fit to be shown: what has no shape of its own is shown as what it is."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return `text` with controls and turns of the writing direction written out; line breaks stay."""
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
