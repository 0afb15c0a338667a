"""Zeros stay while a pruned network is trained on, and a strong L1 makes more small weights."""

import numpy as np
import pytest

import sonde as sd
from sonde import nn

SPEC = nn.Sequential(pixels=nn.Flatten(), scaled=nn.Scale(1 / 16), hidden=nn.Dense(32, nn.relu), head=nn.Dense(10))


@pytest.fixture(scope="module")
def run():
    return sd.fit(SPEC, sd.data.load("digits"), sd.Classify(), sd.Adam(1e-2), epochs=8, batch=64, progress=False)


@pytest.mark.parametrize("optimizer", [sd.Adam(3e-3), sd.SGD(0.05, momentum=0.9)], ids=["adam", "momentum"])
def test_zeros_stay_through_training_with_memory_and_decay_and_it_gets_better(run, optimizer):
    pruned = sd.sparse.prune(run.network, 0.9)
    kept = sd.optim.Constrained(optimizer, sd.optim.KeepZeros())
    again = sd.fit(pruned, run.data, sd.Classify() + sd.L2(1e-4), kept, epochs=8, batch=64, progress=False)
    for path, w in pruned.weights("**kernel").items():
        after = np.asarray(again.network.params[path])
        np.testing.assert_array_equal(after[np.asarray(w) == 0], 0)
        assert (after != np.asarray(w)).any()
    valid = run.data.valid
    right = [(np.asarray(net(valid.x)).argmax(1) == valid.y).mean() for net in (pruned, again.network)]
    assert right[1] > right[0]


def test_a_strong_l1_leaves_most_weights_tiny(run):
    strong = sd.fit(SPEC, run.data, sd.Classify() + sd.L1(1e-3), sd.Adam(1e-2), epochs=8, batch=64, progress=False)
    tiny = [sd.sparse.sparsity_of(sd.sparse.prune(r.network, below=1e-2)).share for r in (run, strong)]
    assert tiny[1] > 0.4 > 2 * tiny[0]
