"""A page in a few kinds of blocks, as Markdown and as HTML that needs no other file."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from simcrop_training.evaluate.written import head, line


@dataclass(frozen=True, slots=True)
class Heading:
    """A section's title."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Words; `[text](link)` and `**strong**` are understood."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; its first `words` columns are words, the others figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file, by its path within the page's folder, and what is to be seen."""

    path: str
    caption: str


Block = Heading | Paragraph | Points | Grid | Picture


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The page, its pictures beside it."""
    lines = [f"# {title}", ""]
    for block in blocks:
        match block:
            case Heading(text):
                lines += [f"## {text}", ""]
            case Paragraph(text, warning):
                lines += [f"> {text}" if warning else text, ""]
            case Points(items):
                lines += [*(f"- {item}" for item in items), ""]
            case Grid(names, rows, _):
                lines += [*head(names), *(line(row) for row in rows), ""]
            case Picture(path, caption):
                lines += [f"![{caption}]({path})", "", f"*{caption}*", ""]
    return "\n".join(lines)


def as_html(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """The page with its pictures inside; links lead to files beside it.

    Args:
        title: of the page.
        blocks: in order.
        folder: that the pictures' paths are relative to.

    Raises:
        OSError: a picture is not there.
    """
    shown = [
        {"kind": type(block).__name__, "block": block, "uri": _uri(block, folder), "lines": _inline_of(block)}
        for block in blocks
    ]
    style = files("simcrop_core.export").joinpath("templates/report.css").read_text(encoding="utf-8")
    return _template().render(title=title, shown=shown, style=Markup(style), inline=_inline)


def _uri(block: Block, folder: Path) -> str:
    if not isinstance(block, Picture):
        return ""
    return f"data:image/png;base64,{base64.b64encode((folder / block.path).read_bytes()).decode('ascii')}"


def _inline_of(block: Block) -> list[Markup]:
    if isinstance(block, Points):
        return [_inline(item) for item in block.items]
    return [_inline(block.text)] if isinstance(block, Paragraph) else []


_LINK, _STRONG = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)"), re.compile(r"\*\*([^*]+)\*\*")


def _inline(text: str) -> Markup:
    """Escaped words, with links and strong words."""
    words = str(escape(text))
    words = _LINK.sub(r'<a href="\2">\1</a>', words)
    return Markup(_STRONG.sub(r"<strong>\1</strong>", words))


@cache
def _template() -> Template:
    text = files("simcrop_training.evaluate.suite").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)
