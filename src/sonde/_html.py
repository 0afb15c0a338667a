"""HTML for notebooks: tables and pictures that take the page's own colors, light or dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

_CELL = "padding: 0.15em 0.9em 0.15em 0; border: 0; background: none; vertical-align: top; "
_RULE = "border-bottom: 1px solid rgba(128, 128, 128, 0.6); "


def escaped(text: Any) -> str:
    """Text as it is to be read: nothing in it is markup."""
    return html.escape(str(text), quote=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """A table; every cell is escaped, and numbers are aligned to the right."""
    cell = lambda kind, value, style: f'<{kind} style="{_CELL}{style}">{escaped(value)}</{kind}>'
    rows = [list(row) for row in rows]
    sides = ["right" if rows and all(_is_number(row[i]) for row in rows) else "left" for i in range(len(header))]

    def line(kind: str, values: Sequence[Any], rule: str = "") -> str:
        cells = (cell(kind, v, f"text-align: {s}; {rule}") for v, s in zip(values, sides, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    head = f"<thead>{line('th', header, _RULE)}</thead>" if any(header) else ""
    body = "".join(line("td", row) for row in rows)
    above = f'<caption style="text-align: left">{escaped(caption)}</caption>' if caption else ""
    return f'<table style="border-collapse: collapse; margin: 0.6em 0">{above}{head}<tbody>{body}</tbody></table>'


def _is_number(value: Any) -> bool:
    return str(value).replace(",", "").replace(".", "").isdigit() or value == ""


def paragraph(text: Any, strong: bool = False) -> str:
    """Words in a line of their own."""
    return f"<p>{f'<b>{escaped(text)}</b>' if strong else escaped(text)}</p>"


def listed(lines: Iterable[Any]) -> str:
    """Lines as a list."""
    return "<ul>" + "".join(f"<li>{escaped(line)}</li>" for line in lines) + "</ul>"


def image(png: bytes, what: str) -> str:
    """A PNG picture inside the page; ``what`` it shows is said where it cannot be seen."""
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escaped(what)}" style="max-width: 100%; background: white">'
