"""scikit-learn's network, run by the peers' own interpreter (see `answering`): dense layers of one activation."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

sys.path.insert(0, str(Path(__file__).parent))
from answering import NoSuchMode, cases, serve  # noqa: E402

ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic", "identity": "identity"}


class Trainer:
    """One case, from the same initial weights at each `run`."""

    def __init__(self, case: dict, arrays: dict[str, np.ndarray], mode: str):
        hidden = {layer[2] for layer in case["layers"][:-1] if layer[0] == "dense"}
        if {layer[0] for layer in case["layers"]} != {"dense"} or not hidden <= ACTIVATIONS.keys():
            raise NoSuchMode("MLPClassifier has dense layers with relu, tanh or logistic only")
        self.case, self.x, self.y = case, arrays["x"], arrays["y"]
        self.layers = [(arrays[f"{i}/kernel"], arrays[f"{i}/bias"]) for i in range(len(case["layers"]))]
        self.net = MLPClassifier(
            tuple(kernel.shape[1] for kernel, _ in self.layers[:-1]), ACTIVATIONS[hidden.pop()],
            solver=case["optimizer"], alpha=0.0, batch_size=case["batch"], learning_rate_init=case["rate"],
            momentum=case["momentum"], nesterovs_momentum=False, warm_start=True, tol=0.0, n_iter_no_change=10**6,
        )  # fmt: skip

    def run(self, seed: int) -> tuple[float, float]:
        net = self.net
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it has not converged
            net.set_params(max_iter=1, random_state=seed).fit(self.x, self.y)  # so that it has its arrays
            net.coefs_ = [kernel.copy() for kernel, _ in self.layers]
            net.intercepts_ = [bias.copy() for _, bias in self.layers]
            net.set_params(max_iter=self.case["epochs"])
            start = time.perf_counter()
            net.fit(self.x, self.y)
            seconds = time.perf_counter() - start
        said = np.clip(net.predict_proba(self.x), 1e-10, 1)
        return seconds, float(-np.log(said[np.arange(len(self.y)), self.y.astype(int)]).mean())


def hello(threads: int) -> dict:
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    return {"threads": threads, "modes": ["fit"]}


if __name__ == "__main__":
    serve(cases(hello, Trainer))
