"""What is measured batch by batch is exact over all rows, however they are cut into batches, padded or sharded."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, ShapeError
from sonde.objectives import R2, TopK, absolute_error, accuracy, cross_entropy
from sonde.objectives.measures import Explained

ROWS, CLASSES = 24, 4
CLASSIFY = sd.Classify(metrics=(accuracy, TopK(2), cross_entropy))
REGRESS = sd.Regress(metrics=(R2(), absolute_error))


@jax.jit
def measured(objective, outputs, y, weight):
    """The sums of a batch."""
    return objective(nn.Network(nn.Sequential()).bind(), sd.Batch({"x": outputs, "y": y}, weight))[1]


def drawn(rng):
    """Outputs, labels, numbers and weights of some rows."""
    outputs, numbers = rng.normal(size=(2, ROWS, CLASSES)).astype("float32") + 20
    return outputs, rng.integers(0, CLASSES, ROWS), numbers, rng.uniform(0.5, 2, ROWS).astype("float32")


def expected(outputs, labels, numbers, weight):
    """The same by scikit-learn, from all rows at once."""
    m, of = sklearn.metrics, dict(sample_weight=weight)
    top = m.top_k_accuracy_score(labels, outputs, k=2, labels=range(CLASSES), **of)
    logits = outputs.astype(float) - outputs.max(1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = {
        "error": 1 - m.accuracy_score(labels, outputs.argmax(1), **of),
        "accuracy": m.accuracy_score(labels, outputs.argmax(1), **of),
        "top_2_accuracy": top,
        "cross_entropy": m.log_loss(labels, p, labels=range(CLASSES), **of),
    }
    numbers = {
        "mse": m.mean_squared_error(numbers, outputs, **of),
        "mae": m.mean_absolute_error(numbers, outputs, **of),
        "r2": m.r2_score(numbers, outputs, **of),
        "absolute_error": m.mean_absolute_error(numbers, outputs, **of),
    }
    return classes, numbers


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31), cuts=st.lists(st.integers(0, 7), min_size=ROWS, max_size=ROWS), center=st.floats(15, 25)
)
def test_merged_over_any_partition_it_is_that_of_all_rows(seed, cuts, center):
    rng = np.random.default_rng(seed)
    outputs, labels, numbers, weight = drawn(rng)
    objectives = (CLASSIFY, labels), (sd.Regress(metrics=(R2(center), absolute_error)), numbers)
    for (objective, y), whole in zip(objectives, expected(outputs, labels, numbers, weight), strict=True):
        sums = None
        for part in range(8):  # a row of the batch that is of another part only fills up, whatever is in it
            mine = np.equal(cuts, part)
            filled = np.where(mine[:, None], outputs, np.float32(np.nan if part % 2 else 9))
            found = measured(objective, filled, y, np.where(mine, weight, 0).astype("float32"))
            sums = found if sums is None else jax.tree.map(jnp.add, sums, found)
        assert {name: float(m.value) for name, m in sums.items()} == pytest.approx(whole, rel=1e-4, abs=1e-4)


def test_how_many_are_wrong_in_a_minibatch_is_the_total_of_the_error(rng):
    outputs, labels, _, _ = drawn(rng)
    error = measured(CLASSIFY, outputs, labels, np.float32(np.arange(ROWS) < 20))["error"]
    assert float(error.total) == (outputs.argmax(1) != labels)[:20].sum()
    assert float(error.count) == 20


def test_the_label_counts_as_among_the_k_largest_with_one_as_large_and_never_if_it_is_nan():
    logits = jnp.array([[2.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 0.0], [jnp.nan, 1.0, 0.0, 0.0], [-jnp.inf] * 4])
    assert TopK(2)(logits, jnp.array([3, 3, 0, 0])).tolist() == [True, False, False, False]
    assert TopK(1)(logits[:2], jnp.array([0, 1])).tolist() == accuracy(logits[:2], jnp.array([0, 1])).tolist()


def test_r2_far_from_zero_is_exact_when_it_counts_from_the_center(rng):
    t = rng.normal(size=(500, 2)) * [0.1, 0.5] + 2000.0
    p = t + 0.05 * rng.normal(size=t.shape)
    t, p = t.astype("float32"), p.astype("float32")
    prepared = REGRESS.prepare({"y": t})
    found = float(measured(prepared, p, t, np.ones(500, "float32"))["r2"].value)
    assert found == pytest.approx(sklearn.metrics.r2_score(t.astype(float), p.astype(float)), rel=1e-3)
    assert prepared.metrics[0].center == pytest.approx(t.mean(), rel=1e-6)


def test_r2_of_a_constant_target_is_no_finite_number():
    assert not np.isfinite(Explained(jnp.array([[1.0], [2.0], [4.0]]), 1.0).value)


def test_a_fit_measures_each_split_exactly(rng, seed):
    x = rng.normal(size=(70, 3)).astype("float32")
    y = rng.integers(0, 4, 70).astype("int32")
    data = sd.data.Dataset({"x": x, "y": y}, valid={"x": x[:37], "y": y[:37]})
    run = sd.fit(nn.Dense(4), data, CLASSIFY, sd.SGD(0.1), epochs=2, batch=16, control=(), seed=seed, progress=False)
    logits = np.asarray(run.network(x[:37]))
    assert run.history["valid/accuracy"][-1] == pytest.approx((logits.argmax(1) == y[:37]).mean(), abs=1e-6)
    top = sklearn.metrics.top_k_accuracy_score(y[:37], logits, k=2, labels=range(4))
    assert run.history["valid/top_2_accuracy"][-1] == pytest.approx(top, abs=1e-6)
    numbers = sd.data.Dataset({"x": x, "y": x[:, :1] + 50}, valid={"x": x[:37], "y": x[:37, :1] + 50})
    run = sd.fit(
        nn.Dense(1), numbers, REGRESS, sd.Adam(0.1), epochs=40, batch=16, control=(), seed=seed, progress=False
    )
    r2 = sklearn.metrics.r2_score(x[:37, :1] + 50, np.asarray(run.network(x[:37])))
    assert run.history["valid/r2"][-1] == pytest.approx(r2, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("watch", ["valid/accuracy", "valid/top_2_accuracy"])
def test_a_controller_does_not_take_the_worst_for_the_best(watch, rng, seed):
    x, y = rng.normal(size=(20, 3)).astype("float32"), rng.integers(0, 4, 20).astype("int32")
    data = sd.data.Dataset({"x": x, "y": y}, valid={"x": x, "y": y})
    run = sd.fit(
        nn.Dense(4), data, CLASSIFY, sd.SGD(1.0), epochs=9, batch=4, control=sd.KeepBest(watch), seed=seed,
        progress=False,
    )  # fmt: skip
    assert run.records[0].best == run.history[watch].argmax()
    assert f"keeps the network of the largest {watch}" in run.decisions


def twice(outputs, target):
    """Not a number a row."""
    return jnp.ones(3)


def test_metrics_that_are_none_are_refused():
    for wrong in ("accuracy", TopK, (0.5,)):
        with pytest.raises(ArgumentError, match="metrics of Classify are functions of"):
            sd.Classify(metrics=wrong)
    with pytest.raises(ArgumentError, match="metrics of Classify need names that differ; got accuracy, accuracy"):
        sd.Classify(metrics=(accuracy, accuracy))
    with pytest.raises(ShapeError, match="the metric 'twice' must give one entry a row"):
        measured(sd.Classify(metrics=twice), jnp.ones((5, 2)), jnp.zeros(5, int), jnp.ones(5))
    with pytest.raises(ArgumentError, match="every label is among the 5 likeliest of 4 classes"):
        measured(sd.Classify(metrics=TopK(5)), jnp.ones((5, 4)), jnp.zeros(5, int), jnp.ones(5))
    for k in (0, 1.5, True):
        with pytest.raises(ArgumentError, match="k of TopK"):
            TopK(k)
    with pytest.raises(ArgumentError, match="does not say what it measures"):
        sd.objectives.Measure()(None, None)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, sys
sys.path.insert(0, sys.argv[1])
import test_measures as t
mesh = jax.make_mesh((4,), ("rows",))
over = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
outputs, labels, numbers, weight = t.drawn(np.random.default_rng(int(sys.argv[2])))
whole = t.expected(outputs, labels, numbers, weight)
for (objective, y), told in zip(((t.CLASSIFY, labels), (t.REGRESS, numbers)), whole):
    given = [jax.device_put(np.asarray(v), over) for v in (outputs, y, weight)]
    assert len(given[0].sharding.device_set) == 4
    for name, mean in t.measured(objective, *given).items():
        np.testing.assert_allclose(mean.value, told[name], rtol=2e-4, atol=1e-4, err_msg=name)
print("the same")
"""


def test_over_batches_sharded_over_four_devices_it_is_the_same(seed):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SHARDED, str(Path(__file__).parent), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ) | flags, timeout=300)
    assert done.stdout.strip() == "the same", done.stderr


# ---------------------------------------------------------------------- by hand


def test_a_single_output_is_judged_by_hand_as_it_is_while_training():
    logits, labels = jnp.array([[3.0], [-1.0], [-2.0]]), jnp.array([1, 0, 1])
    assert accuracy(logits, labels).tolist() == [True, True, False]
    assert accuracy([[3.0], [-1.0], [-2.0]], [1, 0, 1]).tolist() == [True, True, False]


@pytest.mark.parametrize("measure", [accuracy, TopK(2)])
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (jnp.zeros((3, 1), int), r"labels int32\[3, 1\]. Give labels\[..., 0\]"),
        (jnp.eye(3), r"labels float32\[3, 3\]. Give labels.argmax\(-1\)"),
        (jnp.zeros(3), r"labels float32\[3\]. One label a row"),
        (jnp.zeros(2, int), r"labels int32\[2\]. One label a row"),
    ],
)
def test_labels_that_are_not_one_a_row_are_refused(measure, labels, said):
    with pytest.raises(ShapeError, match=said):
        measure(jnp.zeros((3, 3)), labels)


def test_r2_of_labels_is_refused():
    with pytest.raises(ShapeError, match="R2 is of quantities, for Regress"):
        measured(sd.Classify(metrics=(R2(),)), jnp.eye(3), jnp.arange(3), jnp.ones(3))


def of_seven(outputs, target):
    """A metric that is wrong in its shapes."""
    return outputs - jnp.ones(7)


def test_a_metric_that_goes_wrong_is_named_with_what_it_was_given():
    with pytest.raises(ShapeError, match=r"'of_seven' went wrong on outputs float32\[3\] and targets float32\[3\]: "):
        measured(sd.Regress(metrics=(of_seven,)), *[jnp.ones(3)] * 3)
