"""The PyTorch side, run by the peers' own interpreter: a JSON request a line in, a JSON answer a line out.

    {"hello": true, "threads": 2}                                      -> {"torch": "2.13.0", ...}
    {"case": {...}, "arrays": "a.npz", "mode": "eager", "seeds": [3]}  -> {"seconds": [...], "losses": [...]}

A request that fails answers {"error": "..."}. Only the training loop is timed: data and weights are tensors
before it, compiling is over (the harness throws the first run away), the loss on all rows is taken after it.
The process stays, so that the harness can take its runs in turns with the other sides.

Modes, each the fastest form of its kind that we found; the harness reports the fastest of them:

- eager: functional layers (`nn.Sequential` costs some us a step more), minibatches by `index_select` from one
  permutation an epoch (as fast as gathering the epoch at once), no DataLoader, gradients set to None, fused
  optimizers (level with or faster than `foreach` and the single-tensor loop in these cases).
- compile: the same, with the loss (so its backward pass too) compiled.
- compile-step: gather, forward, backward and update as one compiled graph, by `torch.func.grad` and the
  optimizer written out: no autograd engine and no optimizer object between the steps.
- compile-step-cpp: the same with Inductor's C++ wrapper, which spares its Python one.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

MODES = ("eager", "compile", "compile-step", "compile-step-cpp")


class Trainer:
    """One case in one mode, from the same initial weights at each `run`."""

    def __init__(self, case: dict, arrays: dict[str, np.ndarray], mode: str):
        self.case, self.mode = case, mode
        self.x = torch.from_numpy(arrays["x"])
        self.y = torch.from_numpy(arrays["y"])
        if case["loss"] == "softmax":
            self.y = self.y.long()
        self.layers = len(case["sizes"]) - 1
        initial = [torch.from_numpy(arrays[f"kernel_{i}"].T.copy()) for i in range(self.layers)]
        initial += [torch.from_numpy(arrays[f"bias_{i}"]) for i in range(self.layers)]
        self.initial = initial
        self.params = [p.clone() for p in initial]
        if mode in ("eager", "compile"):
            for p in self.params:
                p.requires_grad_()
            self.compiled_loss = self.loss if mode == "eager" else torch.compile(self.loss, dynamic=False)
        elif mode in ("compile-step", "compile-step-cpp"):
            self.state = [torch.zeros_like(p) for p in initial + initial] + [torch.zeros(())]
            cpp = {"cpp_wrapper": mode == "compile-step-cpp"}
            self.compiled_step = torch.compile(self.whole_step, dynamic=False, fullgraph=True, options=cpp)
        else:
            raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")

    def loss(self, params: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        weights, biases = params[: self.layers], params[self.layers :]
        activation = F.relu if self.case["activation"] == "relu" else F.elu
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = activation(F.linear(x, weight, bias))
        logits = F.linear(x, weights[-1], biases[-1])
        if self.case["loss"] == "binary":
            return F.binary_cross_entropy_with_logits(logits[:, 0], y)
        return F.cross_entropy(logits, y)

    def whole_step(self, params, state, x, y, rows):
        """One update in place; `rows` is None where the batch is everything."""
        if rows is not None:
            x, y = x.index_select(0, rows), y.index_select(0, rows)
        gradients = torch.func.grad(self.loss)(params, x, y)
        rate, n = self.case["rate"], len(params)
        if self.case["optimizer"] == "adam":
            first, second, t = state[:n], state[n : 2 * n], state[-1]
            t.add_(1)
            correct1, correct2 = 1 - 0.9**t, 1 - 0.999**t
            for p, g, m, v in zip(params, gradients, first, second, strict=True):
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                p.sub_(rate * (m / correct1) / ((v / correct2).sqrt() + 1e-8))
        elif self.case["momentum"]:
            for p, g, m in zip(params, gradients, state[:n], strict=True):
                m.mul_(self.case["momentum"]).add_(g)
                p.sub_(m, alpha=rate)
        else:
            for p, g in zip(params, gradients, strict=True):
                p.sub_(g, alpha=rate)

    def optimizer(self) -> torch.optim.Optimizer:
        if self.case["optimizer"] == "adam":
            return torch.optim.Adam(self.params, lr=self.case["rate"], fused=True)
        return torch.optim.SGD(self.params, lr=self.case["rate"], momentum=self.case["momentum"], fused=True)

    def batches(self):
        """Rows of each minibatch of an epoch: a new permutation, cut in pieces, the last one short."""
        if self.case["batch"] >= self.case["rows"]:
            return (None,)
        return torch.randperm(self.case["rows"]).split(self.case["batch"])

    def run(self, seed: int) -> tuple[float, float]:
        torch.manual_seed(seed)
        with torch.no_grad():
            for p, start in zip(self.params, self.initial, strict=True):
                p.copy_(start)
        if self.mode in ("eager", "compile"):
            seconds = self.autograd_loop()
        else:
            seconds = self.step_loop()
        with torch.no_grad():
            return seconds, float(self.loss(self.params, self.x, self.y))

    def autograd_loop(self) -> float:
        x, y, params, loss, optimizer = self.x, self.y, self.params, self.compiled_loss, self.optimizer()
        start = time.perf_counter()
        for _ in range(self.case["epochs"]):
            for rows in self.batches():
                xb, yb = (x, y) if rows is None else (x.index_select(0, rows), y.index_select(0, rows))
                optimizer.zero_grad(set_to_none=True)
                loss(params, xb, yb).backward()
                optimizer.step()
        return time.perf_counter() - start

    def step_loop(self) -> float:
        for tensor in self.state:
            tensor.zero_()
        x, y, params, state, step = self.x, self.y, self.params, self.state, self.compiled_step
        start = time.perf_counter()
        with torch.no_grad():
            for _ in range(self.case["epochs"]):
                for rows in self.batches():
                    step(params, state, x, y, rows)
        return time.perf_counter() - start


class Server:
    """Answers requests; keeps the trainers of one case."""

    def __init__(self):
        self.case, self.trainers = None, {}

    def answer(self, request: dict) -> dict:
        if "threads" in request:
            torch.set_num_threads(request["threads"])
        if request.get("hello"):
            return {
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "cpu": torch.backends.cpu.get_cpu_capability(),
                "python": sys.version.split()[0],
                "modes": MODES,
            }
        if request["case"] != self.case:
            self.case, self.trainers = request["case"], {}
            torch._dynamo.reset()
        mode = request["mode"]
        if mode not in self.trainers:
            with np.load(request["arrays"]) as arrays:
                self.trainers[mode] = Trainer(self.case, dict(arrays), mode)
        runs = [self.trainers[mode].run(seed) for seed in request["seeds"]]
        return {"seconds": [s for s, _ in runs], "losses": [loss for _, loss in runs]}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever torch or a compiler prints must not mix with the answers
    torch.set_flush_denormal(True)  # as XLA does
    server = Server()
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:  # the harness says it in the row
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
