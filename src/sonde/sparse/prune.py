"""Small weights of a trained network set to zero, and how many zeros a network has."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError
from sonde._html import table
from sonde._tree import Patterns
from sonde._types import Variables
from sonde.nn import Network


def prune(
    network: Network, sparsity: float | None = None, *, below: float | None = None, on: Patterns = "**kernel",
    by: str = "all",
) -> Network:  # fmt: skip
    """The network with its smallest weights set to 0: those of the smallest |w|, or all with |w| < ``below``.

    Many weights of a trained network say little: half of them can usually be 0 without a loss, and most of them after
    some more training in which the zeros stay: ``Constrained(Adam(1e-3), KeepZeros())`` as the optimizer.

    Args:
        network: a built or trained network; it stays as it is.
        sparsity: the share of the weights that is to be 0, in [0, 1]; exactly round(sparsity * weights) are.
        below: instead, how small a weight must be.
        on: which parameters lose weights, by path. Biases are spared by the usual pattern.
        by: ``"all"`` ranks the weights of all those parameters together, so that a wide layer, whose weights are small,
            gives up more; ``"layer"`` sets the share in each parameter by itself.

    Returns:
        A network of the same spec and shapes.

    Raises:
        ArgumentError: neither or both of ``sparsity`` and ``below`` are given, or are no such numbers.
        PathError: ``on`` meets no parameter.

    Source: Y. LeCun, J. Denker and S. Solla (1990), who rank by curvature; by size alone: S. Han et al. (2015).

    Example:
        >>> import jax.numpy as jnp, sonde as sd
        >>> from sonde import nn
        >>> net = nn.Network(nn.Dense(2), {"kernel": jnp.array([[0.1, -3.0], [-0.2, 0.3]]), "bias": jnp.zeros(2)})
        >>> sd.sparse.prune(net, 0.5).params["kernel"]
        Array([[ 0. , -3. ],
               [ 0. ,  0.3]], dtype=float32)
        >>> sd.sparse.sparsity_of(sd.sparse.prune(net, below=0.15)).share
        0.25
    """
    weights = checked(network).weights(on)
    if (sparsity is None) == (below is None):
        raise ArgumentError("prune takes a sparsity, such as prune(network, 0.9), or below=, such as below=1e-3")
    if by not in ("all", "layer"):
        raise ArgumentError(f"by of prune must be 'all' or 'layer'; got {by!r}")
    if below is not None:
        check_number("below of prune", below, math.inf)
        zeros = {path: np.abs(np.asarray(w)) < below for path, w in weights.items()}
        return network.replace(params=network.params | _zeroed(weights, zeros))
    assert sparsity is not None
    check_number("sparsity of prune", sparsity, 1.0)
    groups = [weights] if by == "all" else [{path: w} for path, w in weights.items()]
    pruned = [_zeroed(group, _smallest(group, sparsity)) for group in groups]
    return network.replace(params=network.params | {path: w for group in pruned for path, w in group.items()})


def _smallest(weights: Variables, share: float) -> dict[str, np.ndarray]:
    """Where the smallest weights of several arrays are, ranked together; of equal ones the first."""
    sizes = np.concatenate([np.abs(np.asarray(w, np.float64)).ravel() for w in weights.values()])
    zero = np.zeros(sizes.size, bool)
    zero[np.argsort(sizes, kind="stable")[: round(share * sizes.size)]] = True
    parts = np.split(zero, np.cumsum([w.size for w in weights.values()])[:-1])
    return {path: part.reshape(w.shape) for (path, w), part in zip(weights.items(), parts, strict=True)}


def _zeroed(weights: Variables, zeros: dict[str, np.ndarray]) -> Variables:
    return {path: jnp.where(zeros[path], 0, w) for path, w in weights.items()}


def checked(network: Any) -> Network:
    """A built network; anything else is refused."""
    if not isinstance(network, Network):
        raise ArgumentError(f"expected a built network, such as run.network or nn.build(spec, x); got {network!r}")
    return network


def check_number(what: str, given: Any, most: float) -> None:
    """Refuse what is no number from 0 to ``most``."""
    number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    if not number or not 0 <= given <= most:
        end = "inf)" if most == math.inf else f"{most:g}]"
        raise ArgumentError(f"{what} must be a number in [0, {end}; got {given!r}")


@dataclasses.dataclass(frozen=True)
class Sparsity:
    """How many of a network's weights are exactly 0; printed, it is a table.

    Attributes:
        rows: (path, weights, weights that are not 0) of each parameter.

    Example:
        >>> import sonde as sd
        >>> print(sd.sparse.Sparsity((("hidden/kernel", 235200, 23520), ("head/kernel", 1000, 900))))
        parameter      weights   not 0   zeros
        --------------------------------------
        hidden/kernel  235,200  23,520    90 %
        head/kernel      1,000     900    10 %
        --------------------------------------
        all            236,200  24,420  89.7 %
    """

    rows: tuple[tuple[str, int, int], ...]

    @property
    def weights(self) -> int:
        """How many there are."""
        return sum(size for _, size, _ in self.rows)

    @property
    def nonzero(self) -> int:
        """How many are not 0."""
        return sum(kept for _, _, kept in self.rows)

    @property
    def share(self) -> float:
        """The share of all weights that is 0."""
        return 1 - self.nonzero / max(self.weights, 1)

    def _lines(self) -> list[tuple[str, str, str, str]]:
        rows = [*self.rows, ("all", self.weights, self.nonzero)]
        percent = lambda size, kept: f"{100 * (1 - kept / max(size, 1)):.3g} %"
        return [(path, f"{size:,}", f"{kept:,}", percent(size, kept)) for path, size, kept in rows]

    def __str__(self) -> str:
        lines = [("parameter", "weights", "not 0", "zeros"), *self._lines()]
        width = [max(map(len, column)) for column in zip(*lines, strict=True)]
        sides = ("<", ">", ">", ">")
        put = lambda line: "  ".join(f"{c:{side}{n}}" for c, side, n in zip(line, sides, width, strict=True))
        head, *body, last = map(put, lines)
        return "\n".join([head, "-" * len(head), *body, "-" * len(head), last])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For notebooks: the table."""
        return table(("parameter", "weights", "not 0", "zeros"), self._lines())


def sparsity_of(network: Network, on: Patterns = "**kernel") -> Sparsity:
    """How many weights of each parameter are exactly 0.

    Args:
        network: any network.
        on: which parameters are counted, by path; ``"**"`` are all, biases included.

    Raises:
        PathError: ``on`` meets no parameter.

    Example:
        >>> import jax.numpy as jnp, sonde as sd
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(hidden=nn.Dense(5, nn.relu), head=nn.Dense(2)), jnp.ones((1, 4)))
        >>> print(sd.sparse.sparsity_of(sd.sparse.prune(net, 0.5, by="layer")))
        parameter      weights  not 0  zeros
        ------------------------------------
        head/kernel         10      5   50 %
        hidden/kernel       20     10   50 %
        ------------------------------------
        all                 30     15   50 %
    """
    weights = checked(network).weights(on)
    return Sparsity(tuple((path, w.size, int(np.count_nonzero(np.asarray(w)))) for path, w in weights.items()))
