"""The peers' side of `predict`: ``peer_predict.py eager|compile|sklearn THREADS FILE`` (see `answering`)."""

import os
import sys

WAY, THREADS = sys.argv[1:3]
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = THREADS

import time  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from answering import serve  # noqa: E402


def predictor(made: dict):
    kernels = [made[f"kernel_{i}"] for i in range(3)]
    if WAY == "sklearn":
        from sklearn.neural_network import MLPClassifier

        net = MLPClassifier((300, 50), max_iter=1)
        warnings.simplefilter("ignore")
        net.fit(made["x"][:100], np.arange(100) % 10)
        net.coefs_, net.intercepts_ = kernels, [np.zeros(k.shape[1], np.float32) for k in kernels]
        return net.predict
    import torch

    torch.set_num_threads(int(THREADS))
    layers = [torch.nn.Linear(*k.shape) for k in kernels]
    with torch.no_grad():
        for layer, kernel in zip(layers, kernels, strict=True):
            layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
            layer.bias.zero_()
    net = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2]).eval()
    call = torch.compile(net, dynamic=False) if WAY == "compile" else net

    def predict(x):
        with torch.inference_mode():
            return call(torch.from_numpy(x)).argmax(1).numpy()

    return predict


if __name__ == "__main__":
    made = dict(np.load(sys.argv[3]))
    predict = predictor(made)

    def answer(request: dict) -> dict:
        """Seconds of a prediction, the mean of several, and what it says of each row."""
        x, times = made["x"][: request["rows"]], request["times"]
        began = time.perf_counter()
        for _ in range(times):
            said = predict(x)
        return {"seconds": (time.perf_counter() - began) / times, "said": said.tolist()}

    serve(answer)
