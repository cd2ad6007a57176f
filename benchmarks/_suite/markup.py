"""Well-formed HTML and SVG from nested calls: whatever is not markup already is escaped."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "joined"]


VOID = ("meta", "br")
"""What HTML knows to have no end."""


class Markup(str):
    """Text that is markup and goes into a page as it is."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """An element with its children.

    Args:
        name: of the element.
        children: elements, and text, which is escaped.
        attributes: its attributes. An underscore is written as a hyphen, and one at the end is left
            away, so that ``class_`` can be said.

    Example:
        >>> element("p", "a < b ", element("b", "c"), class_="x")
        '<p class="x">a &lt; b <b>c</b></p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
    )
    if name in VOID:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Elements and text one after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in children))


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
