"""Checks the shapes in signatures while tests run, and leaves all other annotations to pyright.

A user's mistake has a friendly error of its own; a type checker at run time would get there first.
"""

from collections.abc import Callable

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray


def checked(function: Callable) -> Callable:
    """The function, its jaxtyping annotations enforced."""
    shapes = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        if isinstance(hint, str) and "[Array" in hint:
            hint = eval(hint, vars(jaxtyping) | function.__globals__)
        if isinstance(hint, type) and issubclass(hint, AbstractArray):
            shapes[name] = hint
    if not shapes:
        return function
    function.__annotations__ = shapes
    return beartype(function)
