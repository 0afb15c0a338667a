"""What goes wrong inside a network: said of the layer it happened in, and without the frames of JAX."""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from typing import Any

from sonde._batch import Padded
from sonde._errors import TRACED, LayerError, SondeError, shape_of, spare
from sonde._value import Value


def located(error: Exception, path: str, layer: Any, xs: tuple) -> Exception:
    """An error with the layer it happened in and what the layer was given, without the frames of JAX."""
    where = f"  in {path}: {layer} on {', '.join(map(shape_of, xs)) or 'nothing'}"
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if is_forward_mode(error):
        error = LayerError(f"{path} {FORWARD_MODE}").with_traceback(spare(error))
    inside_jax = frames is not None and "/jax/" in frames.tb_frame.f_code.co_filename.replace("\\", "/")
    if inside_jax and not isinstance(error, SondeError):
        first = str(error).strip().split("\n")[0].rstrip(".")
        error = LayerError(f"{path}: {first}").with_traceback(spare(error))
        error.add_note("  Check the shape and type of what reaches this layer.")
    error.add_note(where)
    mine = isinstance(layer, Value) and getattr(layer, "padded", "") == "itself"
    if mine and not isinstance(error, SondeError) and any(isinstance(x, Padded) for x in xs):
        error.add_note(
            "  It was handed sequences as they are, values and lengths. If it treats every step alone, say so in its "
            'class, padded = "steps"; if it cannot take them, padded = "refused".'
        )
    return error


def tidy(function: Callable, *args: Any) -> Any:
    """Call through JAX; what goes wrong comes out as ours, without the frames in between."""
    try:
        return function(*args)
    except SondeError as error:
        error.__notes__ = [n for n in getattr(error, "__notes__", []) if "JAX" not in n]
        raise error.with_traceback(spare(error)) from None
    except TRACED as error:
        own = spare(error)
        raise LayerError(
            "an array was asked for its numbers inside a compiled program, where it has none yet"
            f"{_where(own)}: use jax.numpy in place of NumPy and scikit-learn, and jnp.where(a > b, x, y) in place of "
            "if"
        ).with_traceback(own) from None
    except TypeError as error:
        if is_forward_mode(error):
            raise LayerError(f"the network {FORWARD_MODE}").with_traceback(spare(error)) from None
        raise


def _where(frames: types.TracebackType | None) -> str:
    """The innermost of some frames that is in no installed package, in words."""
    found = ""
    while frames is not None:
        code = frames.tb_frame.f_code
        if "site-packages" not in code.co_filename:
            found = f", in {code.co_name} ({os.path.basename(code.co_filename)}, line {frames.tb_lineno})"
        frames = frames.tb_next
    return found


FORWARD_MODE = (
    "has a fast gradient of its own, which forward mode (jvp, jacfwd, hessian) cannot go through. Build it from "
    "nn.replace_all(spec, plain_gradient=True), or use reverse mode (grad, vjp, jacrev)"
)


def is_forward_mode(error: Exception) -> bool:
    """Whether forward mode met a gradient that is for reverse mode only."""
    return isinstance(error, TypeError) and "custom_vjp" in str(error)
