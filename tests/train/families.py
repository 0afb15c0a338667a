"""Families of methods as plain parts. The engine knows none of them: a layer, an objective, and a plan suffice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import sonde as sd
from sonde import nn
from sonde._batch import Batch
from sonde.objectives import binary_cross_entropy

NARROW = nn.Normal(0.01)


def spread(row: jax.Array, like: jax.Array) -> jax.Array:
    """The same row for every row of another array."""
    return jnp.broadcast_to(row, like.shape)


# ---------------------------------------------------------------------- layers


class Coder(nn.Layer):
    """A dense layer that can go back: tied weights, and a visible bias that only going back asks for."""

    units: int

    def __call__(self, scope: nn.Scope, x: jax.Array) -> jax.Array:
        up = x @ scope.param("kernel", (x.shape[-1], self.units), nn.glorot_uniform)
        return nn.sigmoid(up + spread(scope.param("bias", (self.units,), nn.zeros), up))

    def decode(self, scope: nn.Scope, h: jax.Array, inputs: int) -> jax.Array:
        """Logits of what was encoded."""
        down = h @ scope.param("kernel", (inputs, self.units), nn.glorot_uniform).T
        return down + spread(scope.param("visible", (inputs,), nn.zeros), down)


class RBM(nn.Layer):
    """A restricted Boltzmann machine of binary units; its persistent chains are state like any other."""

    hidden: int
    chains: int = 100

    def _up(self, scope: nn.Scope, v: jax.Array) -> jax.Array:
        up = v @ scope.param("kernel", (v.shape[-1], self.hidden), NARROW)
        return up + spread(scope.param("bias", (self.hidden,), nn.zeros), up)

    def _down(self, scope: nn.Scope, h: jax.Array, inputs: int) -> jax.Array:
        down = h @ scope.param("kernel", (inputs, self.hidden), NARROW).T
        return down + spread(scope.param("visible", (inputs,), nn.zeros), down)

    def __call__(self, scope: nn.Scope, v: jax.Array) -> jax.Array:
        return nn.sigmoid(self._up(scope, v))

    def free_energy(self, scope: nn.Scope, v: jax.Array) -> jax.Array:
        """F(v) with p(v) ~ exp(-F(v)), a number a row."""
        visible = scope.param("visible", v.shape[-1:], nn.zeros)
        return -(v @ visible) - nn.softplus(self._up(scope, v)).sum(-1)

    def gibbs(self, scope: nn.Scope, v: jax.Array, sweeps: int) -> jax.Array:
        """The visible units after so many sweeps."""
        flip = lambda key, logits: jax.random.bernoulli(key, nn.sigmoid(logits)).astype(jnp.float32)
        for key in jax.random.split(scope.key("gibbs"), sweeps):
            up, down = jax.random.split(key)
            v = flip(down, self._down(scope, flip(up, self._up(scope, v)), v.shape[-1]))
        return v

    def dream(self, scope: nn.Scope, inputs: int, sweeps: int) -> jax.Array:
        """The persistent chains, so many sweeps on."""
        begin = lambda: jax.random.bernoulli(scope.key("chain"), 0.5, (self.chains, inputs)).astype(jnp.float32)
        v = self.gibbs(scope, scope.get("chain", begin), sweeps)
        scope.set("chain", v)
        return v


class Gan(nn.Layer):
    """Who draws samples, and who tells them from data."""

    generator: sd.Part
    critic: sd.Part
    noise: int = 4

    def sample(self, scope: nn.Scope, rows: int) -> jax.Array:
        """So many samples."""
        return scope("generator", self.generator, jax.random.normal(scope.key("noise"), (rows, self.noise)))

    def judge(self, scope: nn.Scope, x: jax.Array) -> jax.Array:
        """A number a row: larger for what looks like data."""
        return scope("critic", self.critic, x)[:, 0]


class Siamese(nn.Layer):
    """One tower for both of a pair, and a logit of their being of one class."""

    tower: sd.Part

    def compare(self, scope: nn.Scope, a: jax.Array, b: jax.Array) -> jax.Array:
        """A logit a pair."""
        apart = abs(scope("tower", self.tower, a) - scope("tower", self.tower, b))
        return scope("logit", nn.Dense(1), apart)[:, 0]


class Point(nn.Layer):
    """A single number, whatever it is given."""

    def __call__(self, scope: nn.Scope, x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(scope.param("w", (), nn.zeros), x.shape[:1])


# ---------------------------------------------------------------------- objectives


class Denoise(sd.Objective):
    """Cross-entropy of a layer's inputs and what it makes of them after some were set to 0 (P. Vincent, 2008)."""

    at: str
    corruption: sd.Number = 0.3

    def __call__(self, net: Any, batch: Batch) -> Any:
        layer, v = net.at(self.at, batch.x)
        noisy = v * jax.random.bernoulli(net.key("corrupt"), 1 - self.corruption, v.shape)
        return batch.mean(binary_cross_entropy(layer.decode(layer(noisy), v.shape[-1]), v).mean(-1))


class ContrastiveDivergence(sd.Objective):
    """F(v) - F(v_k): its gradient is that of CD-k, or of persistent CD (G. Hinton, 2002; T. Tieleman, 2008)."""

    at: str
    k: int = 1
    persistent: bool = False

    def __call__(self, net: Any, batch: Batch) -> Any:
        rbm, v = net.at(self.at, batch.x)
        v = jax.random.bernoulli(net.key("binary"), v).astype(jnp.float32)
        energy = lambda v: rbm.free_energy(lax.stop_gradient(v))
        if self.persistent:
            negative = -energy(rbm.dream(v.shape[-1], self.k)).mean()
        else:
            negative = batch.mean(-energy(rbm.gibbs(v, self.k)))
        return {"positive": batch.mean(energy(v)), "negative": negative}


class Discriminate(sd.Objective):
    """The critic's turn: data is real, samples are not (I. Goodfellow, 2014)."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        real, fake = net.judge(batch.x), net.judge(net.sample(len(batch)))
        return {
            "real": batch.mean(binary_cross_entropy(real, jnp.ones_like(real))),
            "fake": batch.mean(binary_cross_entropy(fake, jnp.zeros_like(fake))),
        }


class Generate(sd.Objective):
    """The generator's turn: samples that are taken for data (the loss that does not saturate)."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        fake = net.judge(net.sample(len(batch)))
        return batch.mean(binary_cross_entropy(fake, jnp.ones_like(fake)))


class R1(sd.Objective):
    """rate / 2 * |d critic / dx|^2 at the data (L. Mescheder, 2018)."""

    rate: sd.Number = 0.1

    def __call__(self, net: Any, batch: Batch) -> Any:
        slope = jax.grad(lambda x: net.still.judge(x).sum())(batch.x)
        return batch.mean(0.5 * self.rate * (slope**2).sum(-1))


class Wasserstein(sd.Objective):
    """The critic's turn: a distance, and a slope of 1 between samples and data (I. Gulrajani, 2017)."""

    penalty: sd.Number = 10.0

    def __call__(self, net: Any, batch: Batch) -> Any:
        fake = net.sample(len(batch))
        distance = batch.mean(net.judge(fake) - net.judge(batch.x))
        mix = jnp.broadcast_to(jax.random.uniform(net.key("mix"), (len(batch), 1)), fake.shape)
        slope = jax.grad(lambda x: net.still.judge(x).sum())(mix * batch.x + (1 - mix) * fake)
        norm = jnp.sqrt((slope**2).sum(-1) + 1e-12)
        return {"distance": distance, "penalty": batch.mean(self.penalty * (norm - 1) ** 2)}


class Fool(sd.Objective):
    """The generator's turn against a Wasserstein critic."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        return batch.mean(-net.judge(net.sample(len(batch))))


class Same(sd.Objective):
    """Whether a pair is of one class, for `data.Pairs`."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        logit = net.compare(batch.a_x, batch.b_x)
        loss = binary_cross_entropy(logit, batch.same.astype(jnp.float32))
        return batch.mean(loss), {"error": batch.mean((logit > 0) != (batch.same > 0))}


class MixedUp(sd.Objective):
    """Classification of means of two rows of the batch each (mixup at one half): rows are no longer their own."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        logits = net((batch.x + batch.x[::-1]) / 2)
        two = (jax.nn.one_hot(batch.y, logits.shape[-1]) + jax.nn.one_hot(batch.y[::-1], logits.shape[-1])) / 2
        return batch.mean(-(two * jax.nn.log_softmax(logits)).sum(-1))


class Climb(sd.Objective):
    """Minus the number of a `Point`: every update raises it by its rate, so it shows which rates there were.

    The metric ``told`` is entry s of the column ``script`` after s steps, which a variable of the
    objective's own counts: so a validation split can say whatever a test wants a controller to hear.
    """

    def __call__(self, net: Any, batch: Batch) -> Any:
        step = net.get("step", lambda: jnp.int32(0))
        net.set("step", step + 1)
        return batch.mean(-net(batch.x)), {"told": sd.Mean(batch.script[step], jnp.ones(()))}
