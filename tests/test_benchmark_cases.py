"""The cases of the benchmark: every side is given all of a network's weights, and the products are counted right."""

import jax
import numpy as np
import pytest
from benchmarks import ours
from benchmarks.cases import CASES, flops, initial, products

from sonde import nn

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@each
def test_the_initial_weights_are_all_that_the_network_has_but_for_normalization(case):
    given = ours.network(case, initial(case))
    x = jax.ShapeDtypeStruct((2, *case.shape), np.float32)
    built = jax.eval_shape(lambda: nn.build(given.spec, x).params)
    assert {path: built[path].shape for path in given.params} == {path: v.shape for path, v in given.params.items()}
    left = {path.rpartition("/")[2] for path in built if path not in given.params}
    normalized = any(kind in ("norm-conv", "block") for kind, *_ in case.layers)
    assert left == ({"scale", "offset"} if normalized else set())


def test_normalization_keeps_of_its_averages_what_the_case_says():
    spec = repr(ours.network(CASES["resnet"], initial(CASES["resnet"])).spec)
    assert spec.count("BatchNorm(momentum=0.5)") == spec.count("BatchNorm(") == 21 and CASES["resnet"].kept == 0.5


def test_kernels_before_a_sigmoid_have_a_variance_of_32_over_the_inputs():
    made = initial(CASES["wide"])
    for i, inputs in enumerate((784, 1000, 1000)):
        assert np.isclose(made[f"{i}/kernel"].var() * inputs, 32, rtol=0.02)
    assert np.isclose(made["3/kernel"].var() * 1000, 2, rtol=0.1)


def test_products_of_a_dense_network_by_hand():
    case = CASES["mlp"]
    assert products(case) == [(50, 784, 300, False), (50, 300, 50, True), (50, 50, 10, True)]
    assert flops(case) == 2 * 400 * (2 * 50 * 784 * 300 + 3 * 50 * 300 * 50 + 3 * 50 * 50 * 10)


def test_products_of_a_convolution_are_those_of_its_windows():
    first, second, *_ = products(CASES["cnn"])
    assert first == (64 * 28 * 28, 25, 32, False) and second == (64 * 14 * 14, 25 * 32, 64, True)


def test_an_lstm_has_a_product_of_all_its_inputs_and_one_of_its_states_for_each_further_step():
    inputs, *states, head = products(CASES["lstm"])
    assert inputs == (64 * 28, 28, 512, False) and states == 27 * [(64, 128, 512, True)] and head == (64, 128, 10, True)
