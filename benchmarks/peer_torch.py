"""The PyTorch side, run by the peers' own interpreter (see `answering`).

Only the training loop is timed: data and weights are tensors before it, compiling is over (the harness throws the
first run away), the loss on all rows is taken after it.

Modes, each the fastest form of its kind that we found; the harness reports the fastest of them:

- eager: minibatches by `index_select` from one permutation an epoch (as fast as gathering the epoch at once), no
  DataLoader, gradients set to None, fused optimizers.
- channels-last: the same with images in that layout.
- compile, compile-channels-last: the same, with the loss (so its backward pass too) compiled.
- compile-step: gather, forward, backward and update as one compiled graph, by `torch.func.grad` and the optimizer
  written out: no autograd engine and no optimizer object between the steps.
- compile-step-cpp: the same with Inductor's C++ wrapper, which spares its Python one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from answering import NoSuchMode, cases, serve  # noqa: E402

DENSE = ("eager", "compile", "compile-step", "compile-step-cpp")
IMAGES = ("eager", "channels-last", "compile-channels-last")
OTHERS = ("eager", "compile")
ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


class Block(nn.Module):
    """relu(layer(x) + shortcut(x))."""

    def __init__(self, layer: nn.Module, shortcut: nn.Module | None):
        super().__init__()
        self.layer, self.shortcut = layer, shortcut

    def forward(self, x):
        return F.relu(self.layer(x) + (x if self.shortcut is None else self.shortcut(x)))


class Last(nn.Module):
    """h after the last step of an LSTM."""

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        self.lstm = lstm

    def forward(self, x):
        return self.lstm(x)[0][:, -1]


class Flat(nn.Module):
    """The channels of an image last, as the other sides have them, in a row."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def network(case: dict, arrays: dict[str, np.ndarray]) -> nn.Module:
    """The case's network, with its initial weights."""
    layers = []
    norm = lambda channels: nn.BatchNorm2d(channels, momentum=1 - case["kept"])  # the part that is new
    for i, (kind, *options) in enumerate(case["layers"]):
        own = {path.split("/")[1]: torch.from_numpy(a) for path, a in arrays.items() if path.startswith(f"{i}/")}
        if kind == "dense":
            dense = nn.Linear(*own["kernel"].shape)
            _fill(dense, weight=own["kernel"].T, bias=own["bias"])
            layers += [dense, ACTIVATIONS[options[1]]()]
        elif kind == "conv":
            layers += [_conv(own["kernel"], 1, own["bias"]), ACTIVATIONS[options[2]]()]
        elif kind == "norm-conv":
            layers += [_conv(own["kernel"], options[2]), norm(options[0]), nn.ReLU()]
        elif kind == "block":
            normed = lambda w, stride: [_conv(w, stride), norm(w.shape[-1])]
            layer = nn.Sequential(*normed(own["first"], options[1]), nn.ReLU(), *normed(own["second"], 1))
            shortcut = nn.Sequential(*normed(own["shortcut"], options[1])) if "shortcut" in own else None
            layers.append(Block(layer, shortcut))
        elif kind == "lstm":
            lstm = nn.LSTM(own["kernel"].shape[0], options[0], batch_first=True)
            _fill(
                lstm, weight_ih_l0=own["kernel"].T, weight_hh_l0=own["recurrent_kernel"].T, bias_ih_l0=own["bias"],
                bias_hh_l0=torch.zeros(4 * options[0]),
            )  # fmt: skip
            layers.append(Last(lstm))
        elif kind == "mean":
            layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        else:
            layers.append({"pool": nn.MaxPool2d(2), "flatten": Flat()}[kind])
    return nn.Sequential(*layers)


def _conv(kernel: torch.Tensor, stride: int, bias: torch.Tensor | None = None) -> nn.Conv2d:
    size, _, inputs, channels = kernel.shape
    conv = nn.Conv2d(inputs, channels, size, stride, size // 2, bias=bias is not None)
    _fill(conv, weight=kernel.permute(3, 2, 0, 1), **({} if bias is None else {"bias": bias}))
    return conv


def _fill(module: nn.Module, **weights: torch.Tensor) -> None:
    with torch.no_grad():
        for name, value in weights.items():
            getattr(module, name).copy_(value)


def augmented(x: torch.Tensor) -> torch.Tensor:
    """A window of each image with a border of 4 zeros, half of them mirrored."""
    rows, _, height, width = x.shape
    wide = F.pad(x, (4, 4, 4, 4))
    down, right = torch.randint(0, 9, (2, rows, 1))
    across = torch.arange(width).expand(rows, width)
    across = torch.where(torch.rand(rows, 1) < 0.5, across.flip(1), across) + right
    along = torch.arange(height).expand(rows, height) + down
    picked = wide.permute(0, 2, 3, 1)[torch.arange(rows)[:, None, None], along[:, :, None], across[:, None, :]]
    return picked.permute(0, 3, 1, 2)


class Trainer:
    """One case in one mode, from the same initial weights at each `run`."""

    def __init__(self, case: dict, arrays: dict[str, np.ndarray], mode: str):
        kinds = {layer[0] for layer in case["layers"]}
        images = len(case["shape"]) == 3
        if mode not in (IMAGES if images else DENSE if kinds == {"dense"} else OTHERS):
            raise NoSuchMode(mode)
        self.case, self.mode = case, mode
        self.x, self.y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
        self.y = self.y.long() if case["loss"] == "softmax" else self.y.float()
        self.net = network(case, arrays)
        if images:
            layout = torch.contiguous_format if mode == "eager" else torch.channels_last
            self.x = self.x.permute(0, 3, 1, 2).contiguous(memory_format=layout)
            self.net = self.net.to(memory_format=layout)
        self.initial = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.whole = mode.startswith("compile-step")
        if self.whole:
            self.params = {name: p.detach().clone() for name, p in self.net.named_parameters()}
            self.state = [torch.zeros_like(p) for p in [*self.params.values()] * 2] + [torch.zeros(())]
            cpp = {"cpp_wrapper": mode == "compile-step-cpp"}
            self.step = torch.compile(self.whole_step, dynamic=False, fullgraph=True, options=cpp)
        else:
            compiled = mode.startswith("compile")
            self.loss = torch.compile(self.plain_loss, dynamic=False) if compiled else self.plain_loss

    def of(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.case["loss"] == "binary":
            return F.binary_cross_entropy_with_logits(logits[:, 0], y)
        return F.cross_entropy(logits, y)

    def plain_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.of(self.net(x), y)

    def whole_step(self, params, state, x, y, rows):
        """One update in place; `rows` is None where the batch is everything."""
        if rows is not None:
            x, y = x.index_select(0, rows), y.index_select(0, rows)
        loss = lambda params: self.of(torch.func.functional_call(self.net, params, (x,)), y)
        gradients = torch.func.grad(loss)(params)
        rate, n = self.case["rate"], len(params)
        if self.case["optimizer"] == "adam":
            t = state[-1]
            t.add_(1)
            correct1, correct2 = 1 - 0.9**t, 1 - 0.999**t
            for (name, p), m, v in zip(params.items(), state[:n], state[n : 2 * n], strict=True):
                g = gradients[name]
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                p.sub_(rate * (m / correct1) / ((v / correct2).sqrt() + 1e-8))
        elif self.case["momentum"]:
            for (name, p), m in zip(params.items(), state[:n], strict=True):
                m.mul_(self.case["momentum"]).add_(gradients[name])
                p.sub_(m, alpha=rate)
        else:
            for name, p in params.items():
                p.sub_(gradients[name], alpha=rate)

    def optimizer(self) -> torch.optim.Optimizer:
        if self.case["optimizer"] == "adam":
            return torch.optim.Adam(self.net.parameters(), lr=self.case["rate"], fused=True)
        return torch.optim.SGD(self.net.parameters(), lr=self.case["rate"], momentum=self.case["momentum"], fused=True)

    def batches(self):
        """Rows of each minibatch of an epoch: a new permutation, cut in pieces, the last one short."""
        if self.case["batch"] >= self.case["rows"]:
            return (None,)
        return torch.randperm(self.case["rows"]).split(self.case["batch"])

    def run(self, seed: int) -> tuple[float, float]:
        torch.manual_seed(seed)
        with torch.no_grad():
            self.net.load_state_dict(self.initial)
        self.net.train()
        seconds = self.step_loop() if self.whole else self.autograd_loop()
        self.net.eval()
        with torch.no_grad():
            if self.whole:
                self.net.load_state_dict(self.params)
            logits = torch.cat([self.net(part) for part in self.x.split(1000)])
            return seconds, float(self.of(logits, self.y))

    def autograd_loop(self) -> float:
        x, y, loss, optimizer, augment = self.x, self.y, self.loss, self.optimizer(), self.case["augment"]
        start = time.perf_counter()
        for _ in range(self.case["epochs"]):
            for rows in self.batches():
                xb, yb = (x, y) if rows is None else (x.index_select(0, rows), y.index_select(0, rows))
                optimizer.zero_grad(set_to_none=True)
                loss(augmented(xb) if augment else xb, yb).backward()
                optimizer.step()
        return time.perf_counter() - start

    def step_loop(self) -> float:
        with torch.no_grad():
            for name, p in self.params.items():
                p.copy_(self.initial[name])
        for tensor in self.state:
            tensor.zero_()
        x, y, params, state, step = self.x, self.y, self.params, self.state, self.step
        start = time.perf_counter()
        with torch.no_grad():
            for _ in range(self.case["epochs"]):
                for rows in self.batches():
                    step(params, state, x, y, rows)
        return time.perf_counter() - start


def hello(threads: int) -> dict:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # as XLA does
    modes = list(dict.fromkeys(DENSE + IMAGES + OTHERS))
    return {"threads": torch.get_num_threads(), "modes": modes}


if __name__ == "__main__":
    serve(cases(hello, Trainer, forget=torch._dynamo.reset))
