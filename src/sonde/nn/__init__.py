"""Networks: specs, the scope they run in, and layers."""

from sonde.nn.activations import elu, identity, relu, sigmoid, softmax, softplus, tanh
from sonde.nn.combine import Function, Parallel, Residual, Sequential, Shared, default_names
from sonde.nn.dense import Dense, Flatten, Scale
from sonde.nn.initializers import (
    Constant,
    Initializer,
    Normal,
    VarianceScaling,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    ones,
    zeros,
)
from sonde.nn.network import Bound, Layer, Network, build
from sonde.nn.noise import Dropout
from sonde.nn.norm import BatchNorm
from sonde.nn.recurrent import GRU, LSTM, RNN, Bidirectional
from sonde.nn.rewrite import replace_all
from sonde.nn.scope import Scope

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "Bidirectional",
    "Bound",
    "Constant",
    "Dense",
    "Dropout",
    "Flatten",
    "Function",
    "Initializer",
    "Layer",
    "Network",
    "Normal",
    "Parallel",
    "Residual",
    "Scale",
    "Scope",
    "Sequential",
    "Shared",
    "VarianceScaling",
    "build",
    "default_names",
    "elu",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "ones",
    "relu",
    "replace_all",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
    "zeros",
]
