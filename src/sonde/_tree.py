"""Trees addressed by path.

Parameters and state are flat dictionaries from a path to an array, ``{"encoder/dense_1/kernel": ...}``. A
pattern selects paths: ``*`` is any part of one name, ``**`` crosses ``/``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp

from sonde._errors import PathError, nearest

V = TypeVar("V")
Patterns = str | tuple[str, ...]


def many(patterns: Patterns) -> tuple[str, ...]:
    """One pattern or several, as several."""
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))


def match(patterns: Patterns, path: str) -> bool:
    """Whether any of the patterns is the whole of ``path``."""
    return any(_compiled(p).fullmatch(path) for p in many(patterns))


def select(tree: Mapping[str, V], patterns: Patterns) -> dict[str, V]:
    """The entries whose path a pattern meets; a pattern that meets nothing is an error that names what is there."""
    for pattern in many(patterns):
        if not any(match(pattern, path) for path in tree):
            raise PathError(f"the pattern {pattern!r} meets nothing{nearest(pattern, tree)}")
    return {path: leaf for path, leaf in tree.items() if match(patterns, path)}


def split(tree: Mapping[str, V], keep: Callable[[str], bool]) -> tuple[dict[str, V], dict[str, V]]:
    """The entries whose path is kept, and the others."""
    kept = {path: leaf for path, leaf in tree.items() if keep(path)}
    return kept, {path: leaf for path, leaf in tree.items() if path not in kept}


def parent(path: str) -> str:
    """The path of the layer that a variable belongs to."""
    return path.rpartition("/")[0]


def under(path: str, roots: Iterable[str]) -> bool:
    """Whether ``path`` is one of ``roots`` or lies below one."""
    return any(path == root or path.startswith(root + "/") for root in roots)


def pick(yes: jax.Array, a: V, b: V) -> V:
    """``a`` where ``yes``, else ``b``, leaf by leaf, inside a program."""
    return jax.tree.map(lambda i, j: jnp.where(yes, i, j), a, b)
