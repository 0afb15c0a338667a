"""Whole jobs, each a page."""

from sonde.recipes.anomaly import Anomaly
from sonde.recipes.california_housing import CaliforniaHousing
from sonde.recipes.cifar10 import Cifar10
from sonde.recipes.digits import Digits
from sonde.recipes.digits_0_4 import Digits0To4
from sonde.recipes.experiment import Experiment, read_toml, write_toml
from sonde.recipes.fashion_mnist import FashionMnist
from sonde.recipes.iris import Iris
from sonde.recipes.linear_regression import LinearRegression
from sonde.recipes.mnist import Mnist
from sonde.recipes.mnist_cnn import MnistCnn
from sonde.recipes.mnist_rows_lstm import MnistRowsLstm
from sonde.recipes.mnist_sparse import MnistSparse
from sonde.recipes.mnist_variants import MnistVariants
from sonde.recipes.recipe import Recipe, Result, Target, Variants, cook, made, recipes, resumable
from sonde.recipes.sda import Sda
from sonde.recipes.sda_study import SdaStudy
from sonde.recipes.sms_hashing import SmsHashing
from sonde.recipes.vae import Vae
from sonde.recipes.wine import Wine
from sonde.recipes.xor import Xor

__all__ = [
    "Anomaly",
    "CaliforniaHousing",
    "Cifar10",
    "Digits",
    "Digits0To4",
    "Experiment",
    "FashionMnist",
    "Iris",
    "LinearRegression",
    "Mnist",
    "MnistCnn",
    "MnistRowsLstm",
    "MnistSparse",
    "MnistVariants",
    "Recipe",
    "Result",
    "Sda",
    "SdaStudy",
    "SmsHashing",
    "Target",
    "Vae",
    "Variants",
    "Wine",
    "Xor",
    "cook",
    "made",
    "read_toml",
    "recipes",
    "resumable",
    "write_toml",
]
