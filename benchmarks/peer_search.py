"""The peers' side of `search`: ``peer_search.py sklearn|torch FILE``, in the peers' own environment (see `answering`).

One joblib task a setting, as many processes as there are cores and one thread in each.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import sys  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from joblib import Parallel, delayed  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from answering import serve  # noqa: E402


def sklearn(made: dict, rate: float, b1: float, seed: int) -> float:
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")  # it trains as long as it is told, and says that this is not converged
    kernels = iter([made[f"kernel_{i}"] for i in range(3)])

    class Given(MLPClassifier):
        def _init_coef(self, inputs, outputs, dtype):
            return next(kernels).astype(dtype), np.zeros(outputs, dtype)

    net = Given(
        (64, 32), alpha=0.0, batch_size=int(made["batch"]), learning_rate_init=rate, beta_1=b1,
        max_iter=int(made["epochs"]), tol=0.0, n_iter_no_change=10**6, random_state=seed,
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

    for _ in range(int(made["epochs"])):
        for rows in t.randperm(len(x)).split(int(made["batch"])):
            optimizer.zero_grad(set_to_none=True)
            loss(x.index_select(0, rows), y.index_select(0, rows)).backward()
            optimizer.step()
    with t.no_grad():
        return float(loss(x, y))


if __name__ == "__main__":
    train, made = {"sklearn": sklearn, "torch": torch}[sys.argv[1]], dict(np.load(sys.argv[2]))
    settings = [(float(rate), float(b1)) for rate, b1 in zip(made["rate"], made["b1"], strict=True)]
    with Parallel(n_jobs=len(os.sched_getaffinity(0))) as pool:

        def search(request: dict) -> dict:
            """Seconds, and the mean over the settings of the loss over all rows."""
            began, first = time.perf_counter(), 1000 * request["round"]
            losses = pool(delayed(train)(made, *setting, first + i) for i, setting in enumerate(settings))
            return {"seconds": time.perf_counter() - began, "loss": float(np.mean(losses))}

        serve(search)
