"""Keys and bits: the same for the same words, different and independent for any others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sonde._random import below, bernoulli, bits, derive, mix, normal, root, uniform, words


def pairs(keys) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys)).astype(np.uint64) @ np.array([2**32, 1], np.uint64)


def test_the_mixer_is_a_bijection_of_any_window_of_words(rng):
    start = rng.integers(0, 2**32, dtype=np.uint32)
    window = jnp.uint32(start) + jnp.arange(2**18, dtype=jnp.uint32)
    assert len(np.unique(np.asarray(mix(window)))) == 2**18


def test_every_input_bit_of_the_mixer_flips_half_of_the_output_bits(rng):
    x = jnp.asarray(rng.integers(0, 2**32, 4096, dtype=np.uint32))
    for bit in range(32):
        flipped = np.asarray(mix(x) ^ mix(x ^ jnp.uint32(1 << bit)))
        ones = np.unpackbits(flipped.view(np.uint8)).mean()
        assert abs(ones - 0.5) < 6 * 0.5 / np.sqrt(4096)  # the bits of one word are not independent


def test_other_numbers_and_other_keys_derive_other_keys(seed):
    numbers = jax.vmap(lambda i: derive(root(seed), i))(jnp.arange(20_000))
    keys = jax.vmap(lambda s: derive(root(s), 7))(jnp.arange(20_000))
    assert len(np.unique(pairs(numbers))) == len(np.unique(pairs(keys))) == 20_000


def test_the_order_of_the_numbers_matters_and_a_large_one_is_taken(seed):
    assert derive(root(seed), 1, 2) != derive(root(seed), 2, 1)
    assert derive(root(seed), 2**32 - 1) != derive(root(seed), 2**31)
    assert derive(root(seed), 3) == derive(root(seed), jnp.int32(3))


def test_derived_keys_serve_jax_itself(seed):
    draws = jax.random.normal(derive(root(seed), 5), (4000,))
    assert stats.kstest(np.asarray(draws), "norm").pvalue > 1e-4


def test_bits_of_neighboring_keys_are_not_related(seed):
    a, b = (np.asarray(bits(derive(root(seed), i), (4096,))) for i in range(2))
    agree = np.unpackbits((~(a ^ b)).view(np.uint8)).mean()
    assert abs(agree - 0.5) < 5 * 0.5 / np.sqrt(4096 * 32)


@pytest.mark.parametrize("lag", [1, 2, 300])
def test_draws_are_not_related_to_those_a_little_further_on(seed, lag):
    u = np.asarray(uniform(root(seed), (50_000,)))
    r = np.corrcoef(u[:-lag], u[lag:])[0, 1]
    assert abs(r) < 5 / np.sqrt(len(u))


def test_uniform_and_normal_follow_their_distributions(seed):
    key = root(seed)
    assert stats.kstest(np.asarray(uniform(key, (20_000,), -2.0, 3.0)), "uniform", (-2, 5)).pvalue > 1e-4
    assert stats.kstest(np.asarray(normal(derive(key, 1), (20_000,))), "norm").pvalue > 1e-4
    assert np.isfinite(normal(derive(key, 2), (1_000_000,))).all()


def test_masks_keep_what_they_should(seed):
    for i, p in enumerate((0.0, 0.2, 0.5, 1.0)):
        kept = float(bernoulli(derive(root(seed), i), p, (100, 400)).mean())
        assert abs(kept - p) <= 5 * np.sqrt(p * (1 - p) / 40_000)


def test_whole_numbers_are_equally_likely(seed):
    counts = np.bincount(np.asarray(below(root(seed), (20_000,), 7)), minlength=7)
    assert len(counts) == 7 and stats.chisquare(counts).pvalue > 1e-4


def test_words_come_from_keys_of_any_kind_and_seeds_give_different_ones():
    assert len(words(jax.random.key(3, impl="rbg"))) == 2
    assert len(np.unique(pairs(jax.vmap(root)(jnp.arange(1000))))) == 1000
