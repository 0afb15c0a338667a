"""Data: columns per split, where they come from, and how minibatches are made of them."""

from sonde.data.augment import Augmentation
from sonde.data.augment_binary import Binarize
from sonde.data.augment_colors import Brightness, Contrast, Hue, Saturation
from sonde.data.augment_geometry import Flip, Geometric, Rotate, Shear, Shift, Zoom
from sonde.data.augment_images import Crop, Cutout
from sonde.data.augment_series import Amplify, Noise, TimeMask, TimeShift
from sonde.data.augmented import Augmented
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
from sonde.data.mixup import Mixup
from sonde.data.named import load
from sonde.data.reading import read
from sonde.data.sampling import Balanced, Bootstrap, Folds, InOrder, Pairs, Sampler, Shuffled, shuffle
from sonde.data.splitting import given_rows, split_rows
from sonde.data.stream import Streamed
from sonde.data.tables import table_of
from sonde.data.text import BagOfWords, Tokens

__all__ = [
    "Amount",
    "Amplify",
    "Array",
    "Augmentation",
    "Augmented",
    "BagOfWords",
    "Balanced",
    "Binarize",
    "Boolean",
    "Bootstrap",
    "Brightness",
    "Categorical",
    "Columns",
    "Contrast",
    "Crop",
    "Cutout",
    "Dataset",
    "Date",
    "Encoder",
    "Encoding",
    "Flip",
    "Folds",
    "Geometric",
    "Hue",
    "InOrder",
    "Labels",
    "Mixup",
    "Noise",
    "Numeric",
    "Pairs",
    "Picture",
    "Rotate",
    "Sampler",
    "Saturation",
    "Shear",
    "Shift",
    "Shuffled",
    "Streamed",
    "TimeMask",
    "TimeShift",
    "Tokens",
    "Windows",
    "Zoom",
    "given_rows",
    "load",
    "open_folder",
    "read",
    "shuffle",
    "split_rows",
    "table_of",
    "write",
]
