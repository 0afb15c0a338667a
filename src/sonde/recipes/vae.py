"""MNIST as draws of black and white pixels: a variational autoencoder, and how likely it finds new digits."""

from __future__ import annotations

import math
from pathlib import Path

import jax
import numpy as np

import sonde as sd
from sonde import nn
from sonde.objectives import Variational
from sonde.recipes.recipe import Recipe, Target


class Vae(Recipe, registered="vae"):
    """A variational autoencoder of handwritten digits: two dense layers of 500 units each way, a code of 32 numbers.

    A shade is the probability of a black pixel. Training images are drawn from their shades anew each time; those of
    the validation and test rows were drawn once, from seed 0 whatever the seed of the run, so that bounds compare
    between runs (not with those for another sample: the one of Larochelle and Murray is fixed for training rows, too).
    The epoch with the best bound of the validation rows is kept. Sizes and rate are those of the best validation
    bound after 20 epochs, of 400, and 500 and 500 units at 0.001, and the latter at 0.002.

    Example:
        >>> from sonde.recipes import Vae
        >>> Vae(latents=2, beta=4.0)
        Vae(latents=2, beta=4)
    """

    name = "vae"
    targets = (Target("test bound, nats", -100.0),)

    hidden: tuple[int, ...] = (500, 500)
    latents: int = 32
    beta: sd.Number = 1.0
    samples: int = 1
    rate: sd.Number = 2e-3
    batch: int = 128
    epochs: sd.Number = 30
    rows: int = 0
    weighted_rows: int = 1000
    weighted_samples: int = 500

    def data(self, seed: int) -> sd.data.Dataset:
        """Shades for training, drawn pixels for judging; ``rows`` > 0 trains on the first so many."""
        mnist = sd.data.load("mnist", seed=seed)
        shades = lambda part: part.x / np.float32(255)
        rng = np.random.default_rng(0)
        drawn = lambda p: (rng.random(p.shape, np.float32) < p).astype(np.float32)
        test, valid = drawn(shades(mnist.test)), drawn(shades(mnist.valid))
        train = shades(mnist.train)[: self.rows or None]
        return sd.data.Dataset({"x": train}, {"x": valid}, {"x": test})

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Dense layers there, the same sizes back; the way back ends in a logit a pixel."""
        dense = lambda sizes: {f"hidden_{i}": nn.Dense(n, nn.relu, nn.he_normal) for i, n in enumerate(sizes, 1)}
        shape = data.train.x.shape[1:]
        return nn.VariationalAutoencoder(
            encoder=nn.Sequential(pixels=nn.Flatten(), **dense(self.hidden), code=nn.Dense(2 * self.latents)),
            decoder=nn.Sequential(
                **dense(self.hidden[::-1]), logits=nn.Dense(math.prod(shape)), image=nn.Reshape(*shape)
            ),
        )

    def objective(self) -> Variational:
        """The bound, of a Bernoulli variable a pixel."""
        return Variational(self.beta, self.samples)

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam at a rate that falls to a tenth."""
        steps = self.epochs * math.ceil(data.train.rows / self.batch)
        turn = sd.Turn(self.objective(), sd.Adam(sd.Exponential(self.rate, 0.1, steps)))
        sampler = sd.data.Augmented(self.batch, sd.data.Binarize())
        return sd.Plan(sd.Phase(turn, sampler, epochs=self.epochs, control=sd.KeepBest()))

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """The bounds of the test rows, and how many axes of the code say something."""
        run, objective = runs[0], self.objective()
        network, x = run.network, run.data.test.x
        if folder is not None:
            draw(network, x, folder, seed)
        every = sd.diagnose.bounds(network, x, objective, samples=4, seed=seed)
        few = sd.diagnose.bounds(network, x[: self.weighted_rows], objective, self.weighted_samples, seed)
        weighted = f"importance-weighted, {self.weighted_samples} draws of {len(few.weighted):,} rows"
        return {
            "test bound, nats": float(every.variational.mean()),
            "its standard error": float(every.variational.std(ddof=1) / math.sqrt(len(x))),
            "test divergence, nats": float(every.kl.sum()),
            f"test bound, {weighted}": float(few.weighted.mean()),
            "test bound of these rows": float(few.variational.mean()),
            "active axes of the code": every.active(),
            "axes of the code": len(every.kl),
        }


def draw(network: nn.Network, x: np.ndarray, folder: Path, seed: int) -> None:
    """Images from codes drawn at random, what rows are given back as, and ways from one row's code to another's."""
    from sonde.diagnose import image_panels, tiled

    shades = lambda z: np.asarray(jax.nn.sigmoid(network.decode(z)))
    codes = np.asarray(network.encode(x[:16])[0])
    dreamt = shades(np.random.default_rng(seed).normal(size=(100, codes.shape[1])).astype(np.float32))
    image_panels({"decoded from N(0, 1)": tiled(dreamt, 10)}, folder / "samples.png", width=4.0)
    pairs = np.stack([x[:16], shades(codes)], 1).reshape(32, *x.shape[1:])
    image_panels({"given, and given back": tiled(pairs, 8)}, folder / "reconstructions.png", width=3.6)
    t = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    walks = np.concatenate([shades((1 - t) * codes[i] + t * codes[i + 1]) for i in range(0, 12, 2)])
    title = "each row leads from the code of one test digit to another's"
    image_panels({title: tiled(walks, 9)}, folder / "walk.png", width=4.4)
