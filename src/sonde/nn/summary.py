"""The table of a network: a line a layer, with what it gives and how many parameters it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from sonde._errors import shape_of
from sonde._tree import parent
from sonde._value import show
from sonde.nn.mistakes import tidy


def summary(network: Any, *xs: Any) -> str:
    """The table of a `Network` as text."""
    rows = layers(network, *xs)
    width = [max(map(len, column)) for column in zip(*rows, strict=True)]
    put = lambda row, i: row[i].rjust(width[i]) if rows[0][i] == "parameters" else row[i].ljust(width[i])
    lines = ["  ".join(put(row, i) for i in range(len(row))) for row in rows]
    rule = "-" * max(map(len, lines))
    return "\n".join(line.rstrip() for line in [lines[0], rule, *lines[1:-1], rule, lines[-1]])


def layers(network: Any, *xs: Any) -> list[list[str]]:
    """The table of a `Network`: a header, a row a layer, and the total."""
    shapes: dict[str, Any] = {}
    if xs:

        def trace(network: Any, xs: tuple) -> dict:
            net = network.bind()
            net(*xs)
            return {c.split("/", 2)[2]: y for c, y in net._frame.outputs.items()}

        shapes = tidy(jax.eval_shape, trace, network, xs)
    count: dict[str, int] = {}
    for path, value in {**network.params, **network.state}.items():
        count[parent(path)] = count.get(parent(path), 0) + (value.size if path in network.params else 0)
    specs = dict(_children(network.spec))
    layers = [*specs, *(p for p in [*shapes, *count] if p not in specs and "@" not in p)]
    rows = [("layer", "kind", "gives", "parameters")]
    for path in dict.fromkeys(layers):
        kind = show(specs[path]).partition("(")[0] if path in specs else ""
        gives = shape_of(shapes[path]) if path in shapes else ""
        rows.append((path or "(itself)", kind, gives, f"{count[path]:,}" if path in count else ""))
    total = sum(v.size for v in network.params.values())
    rows.append(("total", "", "", f"{total:,}"))
    keep = [i for i in range(4) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in keep] for row in rows]


def _children(spec: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers that a spec names itself (those of a container), depth first."""
    named = getattr(spec, "named_layers", None)
    if named is None:
        if path == "":
            yield path, spec
        return
    for name, child in named():
        below = f"{path}/{name}" if path else name
        yield below, child
        yield from _children(child, below)
