"""Several networks as one: their predictions are averaged, or they vote."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from sonde._batch import Padded
from sonde._errors import ArgumentError, ShapeError, shape_of
from sonde._value import show
from sonde.nn.combine import _Container, as_layer
from sonde.nn.layer import Layer
from sonde.nn.network import Network
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float

WAYS = ("probabilities", "mean", "vote")


class Ensemble(_Container):
    """Members that each see the whole input, and one prediction made of all of theirs.

    With logits z_i of member i of k, p_i = softmax(z_i), and sums over the members:

    - ``"probabilities"``: log((1/k) sum p_i), whose softmax is the mean of the members' probabilities;
    - ``"mean"``: (1/k) sum z_i, for numbers, and for the scores of support vector machines;
    - ``"vote"``: log((v + (1/k) sum p_i) / (k + 1)), v the number of members for which a class is the likeliest: the
      class of most votes, and among equally many the one of the higher mean probability.

    What comes out are logits (or numbers) as a single network gives them, so all that takes a network takes an
    ensemble. A single logit z [rows, 1] stands for two classes, with logits 0 and z, and stays a single one.

    Trained as it is, an ensemble is one network whose members learn together, as their mean. `sonde.bag` trains
    members apart, and `ensemble` joins networks that were.

    Args:
        layers: the members, at ``0/...``, ``1/...``. ``Ensemble(*[layer] * 5)`` is five of one kind, each with initial
            weights of its own.
        combine: how.

    Raises:
        ShapeError: the members' outputs differ in shape.

    Source: T. Dietterich (2000), "Ensemble methods in machine learning".

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Ensemble(*[nn.Dense(2)] * 3), jnp.ones((1, 4)))
        >>> sorted(net.weights("**kernel")), net(jnp.ones((5, 4))).shape
        (['0/kernel', '1/kernel', '2/kernel'], (5, 2))
    """

    combine: str = "probabilities"

    def __init__(self, *layers: Layer | Callable, combine: str = "probabilities") -> None:
        self._set(layers=tuple(map(as_layer, layers)), names=tuple(map(str, range(len(layers)))), combine=combine)

    def check(self) -> None:
        """Refuse an ensemble of nobody, and an unknown way of combining."""
        super().check()
        if not self.layers:
            raise ArgumentError("Ensemble needs at least one member")
        if self.combine not in WAYS:
            raise ArgumentError(f"combine of Ensemble must be one of {', '.join(WAYS)}; got {self.combine!r}")

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """The members' predictions as one."""
        ys = [scope(name, layer, *xs) for name, layer in self.named_layers()]
        if len({(type(y), jnp.shape(y)) for y in ys}) > 1:
            raise ShapeError(f"members of an ensemble must give the same shape; got {', '.join(map(shape_of, ys))}")
        if not isinstance(ys[0], Padded):
            return combined(self.combine, jnp.stack(ys))
        lengths = functools.reduce(jnp.minimum, [y.lengths for y in ys])
        return Padded(ys[0].values, lengths).with_values(combined(self.combine, jnp.stack([y.values for y in ys])))

    def __repr__(self) -> str:
        k, alike = len(self.layers), all(layer == self.layers[0] for layer in self.layers)
        shown = [f"*[{show(self.layers[0])}] * {k}"] if alike and k > 1 else list(map(show, self.layers))
        return f"Ensemble({', '.join(shown + [f'combine={self.combine!r}'] * (self.combine != 'probabilities'))})"


def combined(
    how: str, ys: Float[Array, "members rows *outputs"], counts: Bool[Array, "members rows"] | None = None
) -> Float[Array, "..."]:
    """Predictions of several networks as one, as `Ensemble` says.

    Args:
        how: ``"probabilities"``, ``"mean"`` or ``"vote"``.
        ys: logits or numbers, member by member.
        counts: which members count for which rows, at least one for each; None: all for all.
    """
    if how != "mean" and ys.ndim < 3:
        got = shape_of(ys[0])
        raise ShapeError(f'of logits [rows, classes] there are probabilities; got {got}. combine="mean" takes any')
    members = jnp.ones(ys.shape[:2], bool) if counts is None else counts
    members = jnp.broadcast_to(members.reshape(*members.shape, *[1] * (ys.ndim - 2)), ys.shape)
    if how == "mean":
        return jnp.mean(ys, 0, where=members)
    single = ys.shape[-1] == 1
    if single:  # classes 0 and 1 have the logits 0 and z
        ys, members = jnp.concatenate([jnp.zeros_like(ys), ys], -1), jnp.concatenate([members, members], -1)
    k = members.sum(0)
    logs = jax.nn.logsumexp(jax.nn.log_softmax(ys), 0, where=members) - jnp.log(k)  # of the mean probabilities
    if how == "vote":
        first = jnp.arange(ys.shape[-1]).reshape(*[1] * (ys.ndim - 1), -1) == ys.argmax(-1, keepdims=True)
        logs = jnp.log((first & members).sum(0) + jnp.exp(logs)) - jnp.log(k + 1)
    return logs[..., 1:] - logs[..., :1] if single else logs


def ensemble(*networks: Any, combine: str = "probabilities") -> Network:
    """The network that trained networks are together: an `Ensemble` of their specs with their variables.

    Args:
        networks: networks, or what has one, such as runs and artifacts; they may be of different kinds.
        combine: how their predictions become one: ``"probabilities"``, ``"mean"`` or ``"vote"``.

    Raises:
        ArgumentError: something has no network.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.ones((1, 3))
        >>> one, other = (nn.build(nn.Dense(1), x, seed=seed) for seed in range(2))
        >>> mean = nn.ensemble(one, other, combine="mean")
        >>> bool(jnp.allclose(mean(x), (one(x) + other(x)) / 2)), list(mean.params)
        (True, ['0/bias', '0/kernel', '1/bias', '1/kernel'])
    """
    found = [getattr(each, "network", each) for each in networks]
    for each in found:
        if not isinstance(each, Network):
            raise ArgumentError(f"an ensemble is made of networks or of runs; got {each!r}")
    below = lambda kind: {
        f"{i}/{path}": value
        for i, each in enumerate(found)
        for path, value in getattr(each, kind).items()
        if not path.startswith("@")  # what an objective remembers belongs to no member
    }
    return Network(Ensemble(*(each.spec for each in found), combine=combine), below("params"), below("state"))
