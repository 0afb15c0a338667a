"""Data: columns per split, where they come from, and how minibatches are made of them."""

from sonde.data.dataset import Columns, Dataset
from sonde.data.dates import Date
from sonde.data.encoder import Encoder, Windows
from sonde.data.encoding import (
    Amount,
    Array,
    Boolean,
    Categorical,
    Encoding,
    Labels,
    Numeric,
)
from sonde.data.files import open_folder, write
from sonde.data.images import Picture
from sonde.data.named import load
from sonde.data.reading import read
from sonde.data.sampling import Balanced, Bootstrap, Folds, InOrder, Pairs, Sampler, Shuffled, shuffle
from sonde.data.splitting import given_rows, split_rows
from sonde.data.stream import Streamed
from sonde.data.tables import table_of
from sonde.data.text import BagOfWords, Tokens

__all__ = [
    "Amount",
    "Array",
    "BagOfWords",
    "Balanced",
    "Boolean",
    "Bootstrap",
    "Categorical",
    "Columns",
    "Dataset",
    "Date",
    "Encoder",
    "Encoding",
    "Folds",
    "InOrder",
    "Labels",
    "Numeric",
    "Pairs",
    "Picture",
    "Sampler",
    "Shuffled",
    "Streamed",
    "Tokens",
    "Windows",
    "given_rows",
    "load",
    "open_folder",
    "read",
    "shuffle",
    "split_rows",
    "table_of",
    "write",
]
