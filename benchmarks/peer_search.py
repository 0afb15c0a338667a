"""The peers' side of `search`: ``peer_search.py sklearn|torch FILE ROUNDS``, in the peers' own environment.

One joblib task a setting, as many processes as there are cores and one thread in each. Rounds 0: once, and that is all.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402

import numpy as np  # noqa: E402
from joblib import Parallel, delayed  # noqa: E402

EPOCHS, BATCH = 30, 32


def sklearn(made: dict, rate: float, b1: float, seed: int) -> float:
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")  # it trains as long as it is told, and says that this is not converged
    kernels = iter([made[f"kernel_{i}"] for i in range(3)])

    class Given(MLPClassifier):
        def _init_coef(self, inputs, outputs, dtype):
            return next(kernels).astype(dtype), np.zeros(outputs, dtype)

    net = Given(
        (64, 32), alpha=0.0, batch_size=BATCH, learning_rate_init=rate, beta_1=b1, max_iter=EPOCHS, tol=0.0,
        n_iter_no_change=10**6, random_state=seed,
    ).fit(made["x"], made["y"])  # fmt: skip
    shares = net.predict_proba(made["x"])[np.arange(len(made["y"])), made["y"]]
    return float(-np.log(np.maximum(shares, 1e-30)).mean())


def torch(made: dict, rate: float, b1: float, seed: int) -> float:
    import torch as t
    import torch.nn.functional as F

    t.set_num_threads(1)
    t.set_flush_denormal(True)
    t.manual_seed(seed)
    x, y = t.from_numpy(made["x"]), t.from_numpy(made["y"]).long()
    weights = [t.from_numpy(made[f"kernel_{i}"].T.copy()).requires_grad_() for i in range(3)]
    biases = [t.zeros(len(w), requires_grad=True) for w in weights]
    optimizer = t.optim.Adam(weights + biases, lr=rate, betas=(b1, 0.999), fused=True)

    def loss(x, y):
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = F.relu(F.linear(x, w, b))
        return F.cross_entropy(F.linear(x, weights[-1], biases[-1]), y)

    for _ in range(EPOCHS):
        for rows in t.randperm(len(x)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss(x.index_select(0, rows), y.index_select(0, rows)).backward()
            optimizer.step()
    with t.no_grad():
        return float(loss(x, y))


if __name__ == "__main__":
    train, rounds = {"sklearn": sklearn, "torch": torch}[sys.argv[1]], int(sys.argv[3])
    made = dict(np.load(sys.argv[2]))
    settings, runs, losses = list(zip(made["rate"], made["b1"], strict=True)), [], []
    with Parallel(n_jobs=len(os.sched_getaffinity(0))) as pool:
        for r in range(rounds + 1):
            few = settings[:4] if rounds and r == 0 else settings  # enough to start the processes and import
            began = time.perf_counter()
            losses = pool(
                delayed(train)(made, float(rate), float(b1), 1000 * r + i) for i, (rate, b1) in enumerate(few)
            )
            runs.append(time.perf_counter() - began)
    print(json.dumps({"runs": runs[1:] if rounds else runs, "losses": losses}))
