"""Text messages as 32 bits each: near texts have codes that differ in few bits, which are counted in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import sonde as sd
from sonde import nn
from sonde.data.sources import sms_spam
from sonde.objectives import Reconstruct, Variational, kl_divergence
from sonde.recipes.recipe import Target, Variants, jobs


class SmsHashing(Variants, registered="sms-hashing"):
    """Semantic hashing: bags of words go through an autoencoder whose code becomes bits; near means few differ.

    - ``plain``: a code of sigmoid units; a bit is set where one is above a half.
    - ``noise``: the same with Gaussian noise on what goes into the sigmoid while training, which makes units near a
      half useless. On these texts it changes little: units go to 0 or 1 without it, too.
    - ``variational``: the means of a variational autoencoder; a bit is set where one is above its training median.

    The first two give back what share each word has in a text, by a softmax; the third which words are there. Training
    texts are the base that is searched; test texts ask. Of the 10 nearest the share of the same kind (spam or not) is
    counted, mean over the two kinds, so that always answering with the frequent one is worth a half. Texts that occur
    twice are kept once, those without a known word left out. The noise was chosen by the validation texts, of 0, 1,
    2 and 4.

    Example:
        >>> from sonde.recipes import SmsHashing
        >>> SmsHashing(variant="noise", bits=64)
        SmsHashing(variant='noise', bits=64)
    """

    name = "sms-hashing"
    targets = (
        Target("noise, precision at 10", 0.9, over=3),
        Target("noise above raw cosine", 0.0, over=3),
    )
    variants = {"plain": "sigmoid code", "noise": "with noise before it", "variational": "variational means"}
    apart = True

    repeats: int = 3
    bits: int = 32
    hidden: int = 256
    noise: sd.Number = 1.0
    rate: sd.Number = 1e-3
    batch: int = 64
    epochs: sd.Number = 60

    def data(self, seed: int) -> sd.data.Dataset:
        """Bags of words: shares that add up to 1 (of tf-idf weights), or for ``variational`` 0 and 1."""
        bags = texts(seed)
        if self.variant != "variational":
            return bags
        there = lambda part: {"x": (part.x > 0).astype(np.float32), "y": part.y}
        return sd.data.Dataset(there(bags.train), there(bags.valid), there(bags.test), bags.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """One hidden layer before the code, and a linear way back to the words."""
        words, wide = nn.Dense(data.train.x.shape[1]), nn.Dense(self.hidden, nn.relu, nn.he_normal)
        if self.variant == "variational":
            return nn.VariationalAutoencoder(nn.Sequential(wide=wide, code=nn.Dense(2 * self.bits)), words)
        noise = {"noise": nn.GaussianNoise(self.noise)} if self.variant == "noise" else {}
        code = nn.Sequential(wide=wide, code=nn.Dense(self.bits), **noise, units=nn.Function(nn.sigmoid))
        return nn.Autoencoder(code, words)

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam; the epoch with the best validation loss is kept."""
        objective = Variational() if self.variant == "variational" else Reconstruct(kl_divergence)
        turn = sd.Turn(objective, sd.Adam(self.rate))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=sd.KeepBest()))

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """Precision at 10 of each variant, of all words' cosine, and of the signs of random projections."""
        every: dict[str, list[float]] = {}
        curves: dict[str, dict[str, tuple]] = {"precision at k": {}, "values of code units": {}}
        note = lambda name, number: every.setdefault(name, []).append(float(number))
        for job, run in zip(jobs(self), runs, strict=True):
            base, asked = run.data.train, run.data.test
            rng = np.random.default_rng(seed + job.repeat)
            codes = {s: run.network.encode(part.x) for s, part in (("base", base), ("asked", asked))}
            if job.part == "variational":
                values = {s: np.asarray(mean) for s, (mean, _) in codes.items()}
                found = bits_of(values, np.median(values["base"], 0))
            else:
                values = {s: np.asarray(code) for s, code in codes.items()}
                found = bits_of(values, np.full(self.bits, 0.5))
                note(f"{job.part}, code units from 0.1 to 0.9", np.mean(abs(values["base"] - 0.5) < 0.4))
                if job.repeat == 0:
                    share, edges = np.histogram(values["base"], np.linspace(0, 1, 21))
                    curves["values of code units"][job.part] = (edges[:-1] + 0.025, share / share.sum())
            ways = {job.part: -hamming(found["asked"], found["base"])}
            if job.part == next(iter(self.parts())):
                bags = texts(seed + job.repeat)
                plane = rng.normal(size=(bags.train.x.shape[1], self.bits))
                signs = bits_of({"base": bags.train.x @ plane, "asked": bags.test.x @ plane}, np.zeros(self.bits))
                ways["raw cosine"] = cosine(bags.test.x, bags.train.x)
                ways["random projections"] = -hamming(signs["asked"], signs["base"])
            for way, near in ways.items():
                at = precision(near, base.y, asked.y, 100, rng)
                note(f"{way}, precision at 10", at[9])
                if job.repeat == 0:
                    curves["precision at k"][way] = (np.arange(1, 101), at)
        if folder is not None:
            across = {"precision at k": "k", "values of code units": "value"}
            panels = [(title, lines, across[title], "") for title, lines in curves.items() if lines]
            sd.diagnose.line_panels(panels, folder / "hashing.png")
        numbers = {name: float(np.mean(each)) for name, each in every.items()}
        if "noise, precision at 10" in numbers:
            numbers["noise above raw cosine"] = (
                numbers["noise, precision at 10"] - numbers["raw cosine, precision at 10"]
            )
        return numbers


def texts(seed: int) -> sd.data.Dataset:
    """Each different text once, as the shares of its words (tf-idf weights that add up to 1), split by the seed."""
    table = sms_spam()
    first = np.unique(table["text"].astype(str), return_index=True)[1]
    once = {name: column[np.sort(first)] for name, column in table.items()}
    bags = sd.data.read(once, "kind", columns={"text": sd.data.BagOfWords(2000)}, task="classes", seed=seed)
    return sd.data.Dataset(shares(bags.train), shares(bags.valid), shares(bags.test), bags.labels)


def shares(part: Any) -> dict[str, np.ndarray]:
    """The rows that have a word, each divided by its sum."""
    total = part.x.sum(1, keepdims=True)
    some = total[:, 0] > 0
    return {"x": part.x[some] / total[some], "y": part.y[some]}


def bits_of(values: dict[str, np.ndarray], above: np.ndarray) -> dict[str, np.ndarray]:
    """Codes [rows, units] as bits, eight in a byte."""
    return {s: np.packbits(v > above, axis=1) for s, v in values.items()}


def hamming(asked: np.ndarray, base: np.ndarray) -> np.ndarray:
    """In how many bits each code of the one differs from each of the other, [asked, base]."""
    return np.bitwise_count(asked[:, None] ^ base[None]).sum(-1, dtype=np.int32)


def cosine(asked: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The cosine of each row of the one with each of the other."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit(asked) @ unit(base).T


def precision(near: np.ndarray, base: np.ndarray, asked: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Of the k nearest the share of the same kind, for k = 1 ... most, mean over kinds; ties in a random order."""
    order = np.lexsort((rng.random(near.shape), -near), axis=1)[:, :most]
    right = np.cumsum(base[order] == asked[:, None], axis=1) / np.arange(1, most + 1)
    return np.mean([right[asked == kind].mean(0) for kind in np.unique(asked)], axis=0)
