"""What probes say of a turn is what the loss does there, by NumPy and by small steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError
from sonde.nn.network import Network
from sonde.train.execute import execute


def test_curvature_in_a_run_is_that_of_the_hessian_written_out(rng, seed):
    """Least squares: g = X'(Xw - y) / n and H = X'X / n, in NumPy, at the weights that each round ended with."""
    x, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    rows = {"train": {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(y, jnp.float32)}}
    turn = sd.Turn(sd.Regress(), sd.SGD(0.05))
    phase = sd.Phase(turn, sd.data.InOrder(40), steps=20, every=5, probes=sd.Curvature())
    line = Network(nn.Dense(1, kernel_init=nn.zeros, bias_init=None))
    _, (record,) = execute(line, sd.Plan(phase).prepare(rows["train"]), rows, seed)
    hessian, w = x.T @ x / 40, np.zeros(3)
    for i in range(1, 21):
        w = w - 0.05 * x.T @ (x @ w - y) / 40
        if i % 5 == 0:
            g, at = x.T @ (x @ w - y) / 40, i // 5 - 1
            np.testing.assert_allclose(record.history["probe/squared_gradient"][at], g @ g, rtol=1e-3)
            np.testing.assert_allclose(record.history["probe/curvature"][at], g @ hessian @ g, rtol=1e-3)


NETWORKS = {
    "dense": (nn.Sequential(hidden=nn.Dense(8, nn.tanh), norm=nn.BatchNorm(), head=nn.Dense(3)), (6,)),
    "convolution": (
        nn.Sequential(conv=nn.Conv(4, 3), act=nn.Function(nn.tanh), flat=nn.Flatten(), head=nn.Dense(3)),
        (6, 6, 2),
    ),
    "LSTM": (nn.Sequential(rows=nn.LSTM(5, last=True), head=nn.Dense(3)), (4, 2)),
    "GRU": (nn.Sequential(rows=nn.GRU(5, last=True), head=nn.Dense(3)), (4, 2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_curvature_is_how_the_gradient_changes_along_itself(name, rng):
    """(g'grad(p + h g) - g'grad(p - h g)) / 2h = g'Hg: layers with gradients of their own are no exception."""
    layer, shape = NETWORKS[name]
    with jax.enable_x64(True):
        x, y = jnp.asarray(rng.normal(size=(12, *shape))), jnp.asarray(rng.integers(0, 3, 12))
        net = nn.build(layer, x)
        params = {path: jnp.asarray(rng.normal(size=value.shape) / 2) for path, value in net.params.items()}
        key = jax.random.key(0)
        loss = lambda p: sd.objectives.cross_entropy(net.replace(params=p).bind(key, train=True)(x), y).mean()

        @jax.jit
        def both(params):
            slope = jax.grad(loss)
            g = slope(params)
            dot = lambda other: sum((other[path] * g[path]).sum() for path in g)
            steep = lambda h: dot(slope({path: params[path] + h * g[path] for path in g}))
            found = sd.Curvature()(sd.train.Probed(params, g, {}, {}, loss))
            return found, dot(g), (steep(1e-5) - steep(-1e-5)) / 2e-5

        found, squared, curvature = both(params)
        np.testing.assert_allclose(found["squared_gradient"], squared, rtol=1e-9)
        np.testing.assert_allclose(found["curvature"], curvature, rtol=1e-4)


def test_a_probe_made_by_hand_needs_the_loss_for_curvature():
    with pytest.raises(ArgumentError, match="give Probed"):
        sd.Curvature()(sd.train.Probed({}, {}, {}, {}))
