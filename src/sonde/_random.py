"""Randomness as a function of words: keys derived from keys, and bits from a key.

A key is one of JAX's (threefry) and works in `jax.random`. Keys are *derived* here by mixing words, which costs
a few integer operations where `jax.random.fold_in` runs twenty rounds of threefry, and adds a fifth of a second
of compilation for each place in a program that does so. `bits`, `uniform`, `bernoulli` and `normal` make masks,
noise and first weights the same way; they are for these uses, not for cryptography.

Source: the mixer is C. Wellons' ``lowbias32`` (2018), a bijection of 32-bit words whose every input bit flips
each output bit with a probability of a half to within 0.0009.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from sonde._errors import ArgumentError, is_whole
from sonde._types import Number

if TYPE_CHECKING:
    from jaxtyping import Array, Float, UInt32

IMPL = "threefry2x32"


def mix(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """A bijection of 32-bit words that looks like noise."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def checked_seed(seed: Any) -> int:
    """A seed as a plain whole number.

    Raises:
        ArgumentError: it is none, or not one of 32 bits.
    """
    if not is_whole(seed, 0) or seed >= 2**32:
        raise ArgumentError(f"seed must be a whole number from 0 to {2**32 - 1}; got {seed!r}")
    return int(seed)


def root(seed: Any) -> Array:
    """The key that a seed stands for."""
    return jax.random.key(seed, impl=IMPL)


def words(key: Array) -> tuple[Array, Array]:
    """The two words of a key."""
    data = jax.random.key_data(key)
    return data[0], data[-1]


def derive(key: Array, *data: Any) -> Array:
    """The key that belongs to ``key`` and some whole numbers, in order: another one for any other numbers.

    For one number the pair of words goes through a bijection that is different for every number, so distinct
    keys stay distinct and distinct numbers give distinct keys.

    Example:
        >>> import jax
        >>> from sonde._random import derive, root
        >>> one, other = derive(root(0), 1, 2), derive(root(0), 2, 1)
        >>> one == other
        Array(False, dtype=bool)
    """
    a, b = words(key)
    for number in data:
        d = jnp.uint32(number % 2**32) if isinstance(number, int) else jnp.asarray(number).astype(jnp.uint32)
        a = mix(a + d * jnp.uint32(0x9E3779B1) + jnp.uint32(0x85EBCA6B))
        b = mix(b ^ a)
        a = mix(a + b)
    return jax.random.wrap_key_data(jnp.stack([a, b]), impl=IMPL)


def bits(key: Array, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Independent words of 32 random bits."""
    a, b = words(key)
    at = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return mix(mix(at * jnp.uint32(0x9E3779B1) + a) ^ b)


def uniform(key: Array, shape: tuple[int, ...], low: Number = 0.0, high: Number = 1.0) -> Float[Array, "..."]:
    """Independent draws from [low, high)."""
    unit = (bits(key, shape) >> 8).astype(jnp.float32) * jnp.float32(2**-24)
    return low + (high - low) * unit


def bernoulli(key: Array, p: Number, shape: tuple[int, ...]) -> Array:
    """Independent draws that are True with probability p."""
    return uniform(key, shape) < p


def normal(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Independent draws from N(0, 1), by the inverse of its distribution function."""
    odd = (bits(key, shape) >> 8).astype(jnp.int32) * 2 + (1 - 2**24)  # -(2^24 - 1) ... 2^24 - 1: exact, never +-1
    return jnp.float32(math.sqrt(2)) * lax.erf_inv(odd.astype(jnp.float32) * jnp.float32(2**-24))


def below(key: Array, shape: tuple[int, ...], n: Any) -> Array:
    """Independent whole numbers of 0 .. n-1 (n an array of ``shape``, or one number), as int32."""
    return (bits(key, shape) % jnp.asarray(n).astype(jnp.uint32)).astype(jnp.int32)
