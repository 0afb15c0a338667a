"""Pruning sets exactly the smallest weights to zero, and nothing else."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, PathError

SPEC = nn.Sequential(hidden=nn.Dense(7, nn.relu), norm=nn.BatchNorm(), head=nn.Dense(3))


def network(seed: int) -> nn.Network:
    return nn.build(SPEC, jnp.ones((1, 5)), seed=seed)


def numbers(net: nn.Network, pattern: str = "**kernel") -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in net.weights(pattern).values()])


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_the_zeros_are_exactly_the_smallest_weights_together(share, seed):
    net = network(seed)
    w = numbers(net)
    order = sorted(range(w.size), key=lambda i: abs(float(w[i])))
    wanted = w.copy()
    wanted[order[: round(share * w.size)]] = 0
    np.testing.assert_array_equal(numbers(sd.sparse.prune(net, share)), wanted)


def test_layer_by_layer_each_has_its_share(seed):
    net = network(seed)
    done = sd.sparse.prune(net, 0.6, by="layer")
    for path, w in net.weights("**kernel").items():
        after = np.asarray(done.params[path])
        assert (after == 0).sum() == round(0.6 * w.size)
        assert np.abs(np.asarray(w))[after == 0].max() <= np.abs(after[after != 0]).min()
        np.testing.assert_array_equal(after[after != 0], np.asarray(w)[after != 0])


def test_a_layer_of_small_weights_gives_up_more_if_all_are_ranked_together(seed):
    net = network(seed)
    tenth = net.replace(params=net.params | {"hidden/kernel": net.params["hidden/kernel"] / 1000})
    together = sd.sparse.sparsity_of(sd.sparse.prune(tenth, 0.5, by="all"))
    assert together.rows == (("head/kernel", 21, 21), ("hidden/kernel", 35, 7))


def test_below_a_size_all_go_and_of_that_size_none():
    net = nn.Network(nn.Dense(4), {"kernel": jnp.array([[0.5, -0.25, 0.24, -1.0]]), "bias": jnp.full(4, 0.1)})
    np.testing.assert_array_equal(sd.sparse.prune(net, below=0.25).params["kernel"], [[0.5, -0.25, 0, -1]])
    assert sd.sparse.prune(net, below=0.0) == net


def test_nothing_but_what_the_pattern_meets_changes(seed):
    net = network(seed)
    done = sd.sparse.prune(net, 1.0, on="hidden/*")
    changed = {path for path in net.params if not np.array_equal(net.params[path], done.params[path])}
    assert changed == {"hidden/kernel"}  # its bias is 0 from the beginning
    assert (done.spec, done.state.keys()) == (net.spec, net.state.keys())
    assert not np.any(done.params["hidden/kernel"]) and np.all(net.params["hidden/kernel"])


def test_the_account_counts_exact_zeros(seed):
    done = sd.sparse.prune(network(seed), 0.5, on="head/kernel")
    told = sd.sparse.sparsity_of(done)
    assert told.rows == (("head/kernel", 21, 11), ("hidden/kernel", 35, 35))
    assert (told.weights, told.nonzero, told.share) == (56, 46, pytest.approx(10 / 56))
    everything = sd.sparse.sparsity_of(done, "**")
    assert everything.weights == sum(v.size for v in done.params.values())
    assert "head/kernel" in str(told) and "<table" in told._repr_html_()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "takes a sparsity, such as"),
        ({"sparsity": 0.5, "below": 0.1}, "takes a sparsity, such as"),
        ({"sparsity": 90}, r"sparsity of prune must be a number in \[0, 1\]; got 90"),
        ({"sparsity": float("nan")}, r"must be a number in \[0, 1\]; got nan"),
        ({"sparsity": "most"}, "got 'most'"),
        ({"below": -1}, r"below of prune must be a number in \[0, inf\); got -1"),
        ({"sparsity": 0.5, "by": "row"}, "by of prune must be 'all' or 'layer'; got 'row'"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ArgumentError, match=said):
        sd.sparse.prune(network(0), **options)


def test_a_pattern_that_meets_nothing_says_what_there_is():
    with pytest.raises(PathError, match="did you mean 'hidden/kernel'"):
        sd.sparse.prune(network(0), 0.5, on="hiden/kernel")
    with pytest.raises(ArgumentError, match="expected a built network"):
        sd.sparse.prune(nn.Dense(3), 0.5)  # pyright: ignore[reportArgumentType]
