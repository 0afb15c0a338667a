"""Layers of smooth functions have second derivatives, however they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sonde import nn

SMOOTH = {
    "Dense": nn.Dense(3, nn.tanh),
    "TiedDense": nn.TiedDense(3),
    "BatchNorm": nn.BatchNorm(),
    "LayerNorm": nn.LayerNorm(),
    "GroupNorm": nn.GroupNorm(2),
    "Residual": nn.Residual(nn.Dense(4, nn.gelu), nn.Dense(4)),
    "Parallel": nn.Parallel(nn.Dense(4, nn.silu), nn.softmax, join="multiply"),
    "Shared": nn.Shared(nn.Dense(3, nn.arctan)),
    "Dropout": nn.Sequential(nn.Dropout(0.5), nn.softplus),
    "GaussianNoise": nn.Sequential(nn.GaussianNoise(0.5), nn.sigmoid),
    "DropConnect": nn.DropConnect(nn.Dense(3, nn.log_softmax), 0.4),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives_are_differences_of_first_ones(name, rng, key):
    with jax.enable_x64(True):
        checks = 3.0 * (np.indices((5, 4)).sum(0) % 2)  # neighbors differ by one at least, so no variance is near zero
        x = jnp.asarray(checks + rng.uniform(-1, 1, (5, 4)))
        net = nn.build(SMOOTH[name], x)
        wide = lambda tree: jax.tree.map(lambda v: jnp.asarray(v + 0.3 * rng.normal(size=v.shape), jnp.float64), tree)
        at, state = (wide(net.params), x), jax.tree.map(jnp.float64, net.state)

        def height(at):
            y = nn.Network(net.spec, at[0], state).bind(key, train=True).still(at[1])
            return (jnp.sin(y) * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum()

        along = jax.tree.map(lambda v: jnp.asarray(rng.normal(size=v.shape)), at)
        slope = lambda at: sum(map(jnp.vdot, jax.tree.leaves(jax.grad(height)(at)), jax.tree.leaves(along)))
        walk = lambda by: jax.tree.map(lambda p, d: p + by * d, at, along)
        back = jax.jit(jax.grad(slope))(at)  # reverse over reverse: H v
        ahead = jax.jit(lambda at: jax.jvp(jax.grad(height), (at,), (along,))[1])(at)  # forward over reverse
        curve = lambda hv: float(sum(map(jnp.vdot, jax.tree.leaves(hv), jax.tree.leaves(along))))
        compiled, step = jax.jit(slope), 1e-5
        expected = float(compiled(walk(step)) - compiled(walk(-step))) / (2 * step)
        np.testing.assert_allclose([curve(back), curve(ahead)], expected, rtol=1e-5, atol=1e-6)
