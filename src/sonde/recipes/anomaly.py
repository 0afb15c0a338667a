"""What is odd: an autoencoder that was trained on normal rows only, beside PCA and an isolation forest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sonde as sd
from sonde import nn
from sonde.objectives import Reconstruct
from sonde.recipes.recipe import Target, Variants, jobs

METHODS = ("autoencoder", "PCA", "isolation forest")


class Anomaly(Variants, registered="anomaly"):
    """Rows of a kind that training never saw: each digit in turn left out of MNIST, and malignant tumors.

    A variant ``digit-3`` trains on the nine other digits; the odd rows are the 3s of the test split. ``tumors`` trains
    on benign ones of scikit-learn's breast cancer data (thirty measurements); the malignant ones are odd. Scores are
    mean squared reconstruction errors. The threshold is set from normal validation rows, which nothing else looks at,
    for a stated rate of false alarms. No odd row is seen before the test, and nothing is chosen: the size of the
    code, which PCA has too, and the epochs were fixed beforehand.

    Example:
        >>> from sonde.recipes import Anomaly, cook
        >>> numbers = cook(Anomaly(variant="tumors", repeats=1), progress=False).metrics["measured"]
        >>> numbers["tumors, autoencoder"] > 0.8
        True
    """

    name = "anomaly"
    targets = (
        Target("digits, autoencoder", 0.8, over=3),
        Target("digits, autoencoder above isolation forest", 0.0, over=3),
        Target("tumors, autoencoder", 0.93, over=3),
    )
    variants = {f"digit-{k}": f"the digit {k} is odd" for k in range(10)} | {"tumors": "malignant tumors are odd"}
    apart = True

    repeats: int = 3
    code: int = 32
    hidden: int = 256
    tumor_code: int = 6
    tumor_hidden: int = 32
    false_alarms: float = 0.05
    rate: sd.Number = 1e-3
    epochs: sd.Number = 30
    rows: int = 10_000

    def data(self, seed: int) -> sd.data.Dataset:
        """Normal rows to train on and to set the threshold by; both kinds to test, with ``y`` = 1 for odd ones."""
        if self.variant == "tumors":
            return tumors(seed)
        return without(int(self.variant.removeprefix("digit-")), self.rows, seed)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """One hidden layer there, one back."""
        hidden, code = (self.tumor_hidden, self.tumor_code) if self.variant == "tumors" else (self.hidden, self.code)
        wide = nn.Dense(hidden, nn.relu, nn.he_normal)
        return nn.Autoencoder(
            encoder=nn.Sequential(wide=wide, code=nn.Dense(code)),
            decoder=nn.Sequential(wide=wide, out=nn.Dense(data.train.x.shape[1])),
        )

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam on squared errors, to the last epoch. Of few rows smaller batches and ten times the epochs."""
        few = data.train.rows < 1000
        turn = sd.Turn(Reconstruct(), sd.Adam(self.rate))
        sampler = sd.data.Shuffled(16 if few else 128)
        return sd.Plan(sd.Phase(turn, sampler, epochs=self.epochs * (10 if few else 1)))

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """Areas under the ROC curve, and how many normal test rows are above the threshold; means over repeats."""
        from sklearn.metrics import roc_auc_score

        from sonde.diagnose import image_panels, line_panels, tiled

        every: dict[str, list[float]] = {}
        panels, oddest = [], {}
        for job, run in zip(jobs(self), runs, strict=True):
            train, valid, test = run.data.train.x, run.data.valid.x, run.data.test
            size = run.network.params["encoder/code/bias"].size
            scores = {
                "autoencoder": sd.diagnose.reconstruction_errors(run.network, test.x),
                "PCA": pca_errors(train, test.x, size),
                "isolation forest": forest_scores(train, test.x, seed + job.repeat),
            }
            alarm = sd.diagnose.set_alarm(sd.diagnose.reconstruction_errors(run.network, valid), self.false_alarms)
            odd, above = test.y == 1, alarm(scores["autoencoder"])
            said = {name: float(roc_auc_score(odd, given)) for name, given in scores.items()}
            said |= {"false alarms": float(above[~odd].mean()), "odd rows found": float(above[odd].mean())}
            for name, number in said.items():
                every.setdefault(f"{job.part}, {name}", []).append(number)
            if job.repeat == 0:
                title = f"{self.variants[job.part]} (area {said['autoencoder']:.3f})"
                curves = histograms(scores["autoencoder"], odd, alarm)
                panels.append((title, curves, "log10 of the score", "share of its rows"))
                if job.part != "tumors":
                    first = np.argsort(-scores["autoencoder"])[:12]
                    title = f"left out: {job.part[-1]}\n({odd[first].sum()} of these 12)"
                    oddest[title] = tiled(test.x[first].reshape(-1, 28, 28), 6)
        if folder is not None:
            line_panels(panels, folder / "scores.png")
            if oddest:
                image_panels(oddest, folder / "oddest.png", across=5, width=2.2)
        return summed({name: float(np.mean(each)) for name, each in every.items()})


def without(digit: int, rows: int, seed: int) -> sd.data.Dataset:
    """MNIST as shades from 0 to 1 with a digit that only the test rows have; ``rows`` to train, 4,000 held out."""
    mnist = sd.data.load("mnist", seed=seed)
    shades = lambda x: x.reshape(len(x), -1) / np.float32(255)
    normal = lambda part, most: {"x": shades(part.x[part.y != digit][:most]), "y": np.zeros(most, np.int32)}
    odd = (mnist.test.y == digit).astype(np.int32)
    return sd.data.Dataset(normal(mnist.train, rows), normal(mnist.valid, 4000), {"x": shades(mnist.test.x), "y": odd})


def tumors(seed: int) -> sd.data.Dataset:
    """Three fifths of the benign ones to train, a fifth held out, the last fifth and all malignant ones to test."""
    from sklearn.datasets import load_breast_cancer

    x, benign = map(np.asarray, load_breast_cancer(return_X_y=True))
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(benign == 1))
    train, held, rest = np.split(rows, [3 * len(rows) // 5, 4 * len(rows) // 5])
    x = ((x - x[train].mean(0)) / x[train].std(0)).astype(np.float32)
    test = np.concatenate([rest, np.flatnonzero(benign == 0)])
    part = lambda at: {"x": x[at], "y": (benign[at] == 0).astype(np.int32)}
    return sd.data.Dataset(part(train), part(held), part(test))


def pca_errors(train: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Reconstruction errors of PCA with so many components."""
    from sklearn.decomposition import PCA

    pca = PCA(size, random_state=0).fit(train)
    return ((pca.inverse_transform(pca.transform(x)) - x) ** 2).mean(1)


def forest_scores(train: np.ndarray, x: np.ndarray, seed: int) -> np.ndarray:
    """How soon the trees of an isolation forest part a row from the others; scikit-learn's settings."""
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(train).score_samples(x)


def summed(numbers: dict[str, float]) -> dict[str, float]:
    """The same; of all ten digits their means too, and what the autoencoder is better by."""
    for method in (*METHODS, "false alarms", "odd rows found"):
        digits = [n for name, n in numbers.items() if name.startswith("digit-") and name.endswith(f", {method}")]
        numbers |= {f"digits, {method}": float(np.mean(digits))} if len(digits) == 10 else {}
    if "digits, autoencoder" in numbers:
        better = numbers["digits, autoencoder"] - numbers["digits, isolation forest"]
        numbers["digits, autoencoder above isolation forest"] = better
    return numbers


def histograms(scores: np.ndarray, odd: np.ndarray, alarm: sd.diagnose.Alarm) -> dict[str, tuple]:
    """How scores of normal and of odd rows are spread, as curves, and where the threshold is."""
    log = np.log10(scores)
    edges = np.linspace(log.min(), log.max(), 41)
    share = lambda rows: np.histogram(rows, edges)[0] / len(rows)
    middle = (edges[1:] + edges[:-1]) / 2
    curves = {"normal rows": (middle, share(log[~odd])), "odd rows": (middle, share(log[odd]))}
    top = max(y.max() for _, y in curves.values())
    return curves | {"threshold": (np.full(2, np.log10(alarm.threshold)), np.array([0.0, top]))}
