"""Exceptions, and the one way their messages are written.

    SondeError                          a person can mend this; the command line shows it in one line
      ArgumentError (ValueError)        an argument is not what it must be
      ShapeError (ValueError)           a layer, loss or metric was given arrays that do not fit
      LayerError (ValueError)           anything else that went wrong inside a layer, with its path
      PathError (LookupError)           a path or a pattern of paths that meets nothing
        MemberError (AttributeError)    a method or a column that is not there
      DataError (ValueError)            the data cannot be trained on
      SourceError (OSError)             the data cannot be had
      FormatError (ValueError)          a file is not what it should be
      ResumeError (ValueError)          a run cannot go on from what is on disk
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
import traceback
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.core import Tracer

F = TypeVar("F", bound=Callable)


class SondeError(Exception):
    """The root of what Sonde raises when a person can do something about it."""


class ArgumentError(SondeError, ValueError):
    """An argument is not what it must be."""


class ShapeError(SondeError, ValueError):
    """Arrays that do not fit each other or the layer they were given to."""


class LayerError(SondeError, ValueError):
    """Something went wrong inside a layer; the message names its path and what it was given."""


class PathError(SondeError, LookupError):
    """A path, or a pattern of paths, that meets nothing."""

    def __str__(self) -> str:  # LookupError would show the message's repr
        return str(self.args[0]) if self.args else ""


class MemberError(PathError, KeyError, AttributeError):
    """A method of a network, or a column of data, that is not there."""


class DataError(SondeError, ValueError):
    """Data that cannot be trained on, with the row or column at fault."""


class SourceError(SondeError, OSError):
    """Data that cannot be had: a file that is missing, a download that fails."""


class FormatError(SondeError, ValueError):
    """A file that is truncated, altered, foreign or from the future."""


class ResumeError(SondeError, ValueError):
    """A run that cannot go on from what is on disk."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` if something known is close to ``name``, else what is known."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(map(repr, known))}" if known else ""


def shape_of(x: Any) -> str:
    """What came, for a message: ``float32[4, 400]``; trees show the same for every array in them."""
    one = lambda a: f"{np.dtype(a.dtype).name}{list(a.shape)}" if hasattr(a, "shape") else repr(a)
    text = jax.tree.map(one, x)
    return text if isinstance(text, str) else str(text).replace("'", "")


def inside(number: Any, interval: str) -> bool:
    """Whether something is a number in ``interval``, written as in mathematics: ``"[0, 1)"``, ``"(0, inf)"``.

    Of an array (many runs at once) all entries must be. What is traced was checked when it was concrete.
    """
    if isinstance(number, Tracer):
        return True
    if not isinstance(number, int | float | np.number | np.ndarray | jax.Array) or isinstance(number, bool):
        return False
    low, high = (float(part) for part in interval[1:-1].split(","))
    given = np.asarray(number, np.float64)
    above = given >= low if interval[0] == "[" else given > low
    below = given <= high if interval[-1] == "]" else given < high
    return bool((above & below).all())


def check_interval(owner: object, name: str, interval: str, why: str = "") -> None:
    """Refuse a field that is not `inside` an interval."""
    given = getattr(owner, name)
    if not inside(given, interval):
        hint = f" {why}" if why else ""
        raise ArgumentError(f"{name} of {type(owner).__name__} must be a number in {interval}; got {given!r}.{hint}")


def known_options(function: F) -> F:
    """The function, refusing an option that it does not have by the name of one that it has."""
    names = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*given: Any, **options: Any) -> Any:
        for name in options:
            if name not in names:
                raise ArgumentError(f"{function.__name__} has no {name!r}{nearest(name, names)}")
        return function(*given, **options)

    return typing.cast(F, checked)


TRACED = (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError)
"""What JAX raises where Python or NumPy asks for the numbers of an array inside a compiled program."""


def is_whole(number: object, least: float = -math.inf) -> bool:
    """Whether something is a whole number of at least ``least``; one of NumPy is one too, a truth is none."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(number >= least)


def check_whole(owner: object, name: str, least: int = 1) -> None:
    """Refuse a field that is not a whole number of at least ``least``."""
    given = getattr(owner, name)
    if not is_whole(given, least):
        kind = type(owner).__name__
        raise ArgumentError(f"{name} of {kind} must be a whole number of at least {least}; got {given!r}")


_HERE = os.path.dirname(__file__)
_HIDDEN = (_HERE, os.path.dirname(jax.__file__))


def spare(error: BaseException) -> types.TracebackType | None:
    """The traceback of an error without the frames of JAX and of Sonde: what remains is the user's code."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_HIDDEN)
    ]
    kept = None
    for frame, line in reversed(frames):
        kept = types.TracebackType(kept, frame, frame.f_lasti, line)
    return kept
