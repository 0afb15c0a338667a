"""Networks: specs, the scope they run in, and layers."""

from sonde.nn.activations import (
    Activation,
    LeakyReLU,
    arctan,
    elu,
    gelu,
    identity,
    leaky_relu,
    log_softmax,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    sqnl,
    tanh,
)
from sonde.nn.attention import Attention
from sonde.nn.autoencoder import Autoencoder
from sonde.nn.bound import Bound
from sonde.nn.build import build
from sonde.nn.combine import Function, Parallel, Residual, Sequential, Shared, default_names
from sonde.nn.conv import Conv, ConvTranspose, LocallyConnected
from sonde.nn.dense import Dense, Flatten, Reshape, Scale
from sonde.nn.embed import Embedding
from sonde.nn.ensemble import Ensemble, ensemble
from sonde.nn.fold import fold
from sonde.nn.initializers import (
    Constant,
    Identity,
    Initializer,
    Normal,
    Orthogonal,
    Sparse,
    Uniform,
    VarianceScaling,
    fan_in_uniform,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    ones,
    zeros,
)
from sonde.nn.layer import Layer
from sonde.nn.network import Network
from sonde.nn.noise import Dropout, GaussianNoise, MaskNoise, SaltPepper
from sonde.nn.norm import BatchNorm, GroupNorm, LayerNorm
from sonde.nn.perturbed import DropConnect, WeightNoise
from sonde.nn.pool import AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool, Upsample
from sonde.nn.prelu import PReLU
from sonde.nn.recurrent import GRU, LSTM, RNN, Bidirectional
from sonde.nn.rewrite import replace_all
from sonde.nn.scope import Scope
from sonde.nn.tied import TiedDense
from sonde.nn.variational import VariationalAutoencoder

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "Attention",
    "Autoencoder",
    "AveragePool",
    "BatchNorm",
    "Bidirectional",
    "Bound",
    "Constant",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DropConnect",
    "Dropout",
    "Embedding",
    "Ensemble",
    "Flatten",
    "Function",
    "GaussianNoise",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNorm",
    "Identity",
    "Initializer",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LocallyConnected",
    "MaskNoise",
    "MaxPool",
    "Network",
    "Normal",
    "Orthogonal",
    "PReLU",
    "Parallel",
    "Reshape",
    "Residual",
    "SaltPepper",
    "Scale",
    "Scope",
    "Sequential",
    "Shared",
    "Sparse",
    "TiedDense",
    "Uniform",
    "Upsample",
    "VariationalAutoencoder",
    "WeightNoise",
    "VarianceScaling",
    "arctan",
    "build",
    "default_names",
    "elu",
    "ensemble",
    "fan_in_uniform",
    "fold",
    "gelu",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "leaky_relu",
    "lecun_normal",
    "lecun_uniform",
    "log_softmax",
    "ones",
    "relu",
    "replace_all",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "sqnl",
    "tanh",
    "zeros",
]
