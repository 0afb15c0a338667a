"""The peer's side of `cold`: ``peer_cold.py FILE THREADS SEED``, PyTorch eager as quick to start as it can be."""

import json
import sys
import time

began = time.perf_counter()
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(int(sys.argv[2]))
torch.manual_seed(int(sys.argv[3]))
made = np.load(sys.argv[1])
x, y = torch.from_numpy(made["x"].astype(np.float32) / 255), torch.from_numpy(made["y"]).long()
sizes = (784, 300, 50, 10)
weights = [(torch.randn(n, m) * (2 / m) ** 0.5).requires_grad_() for m, n in zip(sizes[:-1], sizes[1:], strict=True)]
biases = [torch.zeros(n, requires_grad=True) for n in sizes[1:]]
optimizer = torch.optim.SGD(weights + biases, lr=0.05, momentum=0.9, fused=True)


def loss(x, y):
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = F.relu(F.linear(x, w, b))
    return F.cross_entropy(F.linear(x, weights[-1], biases[-1]), y)


for rows in torch.randperm(len(x)).split(50):
    optimizer.zero_grad(set_to_none=True)
    loss(x.index_select(0, rows), y.index_select(0, rows)).backward()
    optimizer.step()
seconds = time.perf_counter() - began
with torch.no_grad():
    print(json.dumps({"seconds": seconds, "loss": float(loss(x, y))}))
