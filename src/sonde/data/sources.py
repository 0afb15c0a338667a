"""Named data sets as they were published: arrays of images, raw tables.

What a function here returns is the published data to the bit, or an error: `sonde.data.fetching` says where it
comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sonde._errors import ArgumentError
from sonde.data import formats
from sonde.data.fetching import Source
from sonde.data.tables import Table, table_of

IDX = {
    "train_x": "train-images-idx3-ubyte.gz",
    "train_y": "train-labels-idx1-ubyte.gz",
    "test_x": "t10k-images-idx3-ubyte.gz",
    "test_y": "t10k-labels-idx1-ubyte.gz",
}
"""The files of MNIST, and of the sets that took its place, by column."""

FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""What the labels 0 to 9 of Fashion-MNIST mean."""

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
"""What the labels 0 to 9 of CIFAR-10 mean."""

WINE_QUALITY = (
    *("fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide"),
    *("total sulfur dioxide", "density", "pH", "sulphates", "alcohol", "quality"),
)
"""The columns of the wine quality set, whose file has no header."""


MNIST = Source(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)

FASHION_MNIST = Source(
    "fashion_mnist",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)

CIFAR10_BINARY = Source(
    "cifar10",
    ("https://www.cs.toronto.edu/~kriz/",),
    {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
)

CIFAR10_JPEG = Source(
    "cifar10", (), {"cifar10_jpeg.npz": "ef25a6cf560ef85ae03a12f757d5d60a9e1a9395bceb14dd564f02e1f0cbd0a1"}
)

HOUSING = Source(
    "tabular",
    ("https://raw.githubusercontent.com/ageron/handson-ml2/master/datasets/housing/housing.csv",),
    {"california_housing.csv": "8a3727f4cf54ac1a327f69b1d5b4db54c5834ea81c6e4efc0d163300022a685e"},
)

RED_WINE = Source(
    "tabular",
    ("https://raw.githubusercontent.com/jbrownlee/Datasets/master/",),
    {"winequality-red.csv": "c9614512e980f1cbd221c796daa97f00c4898c3cd1716863abac60f6cd1a522e"},
)

SMS_SPAM = Source(
    "text",
    ("https://raw.githubusercontent.com/justmarkham/pycon-2016-tutorial/master/data/sms.tsv",),
    {"sms_spam.tsv": "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"},
)


def mnist() -> dict[str, np.ndarray]:
    """Handwritten digits (LeCun, Cortes and Burges, 1998): 60,000 to train on and 10,000 to test with.

    Returns:
        ``train_x`` uint8 [60000, 28, 28], ``train_y`` int32 [60000], ``test_x`` and ``test_y`` likewise.

    Raises:
        SourceError: if the files can be had nowhere.
    """
    return _images(MNIST)


def fashion_mnist() -> dict[str, np.ndarray]:
    """Clothes in the format of MNIST (Xiao, Rasul and Vollgraf, 2017); `FASHION` names the ten classes.

    Returns:
        ``train_x`` uint8 [60000, 28, 28], ``train_y`` int32 [60000], ``test_x`` and ``test_y`` likewise.

    Raises:
        SourceError: if the files can be had nowhere.
    """
    return _images(FASHION_MNIST)


def digits() -> dict[str, Any]:
    """Handwritten digits of eight by eight pixels (Alpaydin and Kaynak, 1998), from scikit-learn.

    Returns:
        ``x`` float32 [1797, 8, 8] from 0 to 16, ``y`` int32 [1797], ``labels`` the ten names.
    """
    from sklearn.datasets import load_digits

    raw: Any = load_digits()
    return {
        "x": raw.images.astype(np.float32),
        "y": raw.target.astype(np.int32),
        "labels": tuple(str(name) for name in raw.target_names),
    }


def cifar10() -> dict[str, np.ndarray]:
    """Small color photographs of ten things (Krizhevsky, 2009): 50,000 to train on, 10,000 to test with, 170 MB.

    `CIFAR10` names the classes.

    Returns:
        ``train_x`` uint8 [50000, 32, 32, 3], ``train_y`` int32 [50000], ``test_x`` and ``test_y`` likewise.

    Raises:
        SourceError: if the file can be had nowhere.
    """
    return _whole_labels(_only(CIFAR10_BINARY, formats.cifar))


def cifar10_jpeg() -> dict[str, np.ndarray]:
    """JPEG copies of all pictures of CIFAR-10, in the same order, from ``$SONDE_DATA/cifar10/cifar10_jpeg.npz`` only.

    Compression (quality 75, colors at half size) changed them: what is reached on them is not comparable with what
    is published for CIFAR-10. A network trained on the originals loses about ten points of accuracy here.

    Returns:
        As `cifar10`; decoding takes some ten seconds.

    Raises:
        SourceError: if the file is not there; it cannot be downloaded.
    """
    return _whole_labels(_only(CIFAR10_JPEG, formats.jpegs))


def california_housing() -> Table:
    """Districts of California in the census of 1990 (Pace and Barry, 1997), with Géron's ``ocean_proximity``.

    Returns:
        20,640 rows: nine columns of numbers, among them ``median_house_value`` in dollars (never above 500,001, to
        which larger ones were cut) and ``total_bedrooms`` (207 missing), and ``ocean_proximity``, one of five words.

    Raises:
        SourceError: if the file can be had nowhere.
    """
    return _only(HOUSING, _csv)


def wine_quality() -> Table:
    """Red wines of northern Portugal, measured and tasted (Cortez et al., 2009).

    Returns:
        1,599 rows: the eleven measurements of `WINE_QUALITY`, and ``quality``, a whole number (3 to 8 occur).

    Raises:
        SourceError: if the file can be had nowhere.
    """
    return _only(RED_WINE, lambda path: _csv(path, WINE_QUALITY))


def sms_spam() -> Table:
    """Text messages, of which 747 are advertisements (Almeida, Gómez Hidalgo and Yamakami, 2011).

    Returns:
        5,574 rows: ``kind``, "ham" or "spam", and ``text``.

    Raises:
        SourceError: if the file can be had nowhere.
    """
    return dict(zip(("kind", "text"), _only(SMS_SPAM, table_of).values(), strict=True))


def iris() -> Table:
    """Anderson's irises (Fisher, 1936), from scikit-learn: 150 rows, four lengths in cm, and ``species``.

    Two rows differ from the copy in the UCI archive, which departs from Fisher's paper there.
    """
    from sklearn.datasets import load_iris

    return _of_scikit_learn(load_iris(), "species")


def wine() -> Table:
    """Wines of three cultivars (Forina et al., 1991), from scikit-learn: 178 rows, 13 measurements, ``cultivar``."""
    from sklearn.datasets import load_wine

    return _of_scikit_learn(load_wine(), "cultivar")


def linear(
    rows: int = 1000,
    weights: Sequence[float] = (2.0, -3.4),
    bias: float = 4.2,
    noise: float = 0.01,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Rows of ``y = x . weights + bias + noise * e``, where ``x`` and ``e`` are standard normal.

    Returns:
        ``x`` float32 [rows, len(weights)], ``y`` float32 [rows].

    Example:
        >>> from sonde.data import sources
        >>> made = sources.linear(rows=3, noise=0.0)
        >>> bool(abs(made["x"] @ [2.0, -3.4] + 4.2 - made["y"]).max() < 1e-5)
        True
    """
    if rows < 1 or noise < 0:
        raise ArgumentError(f"linear needs rows >= 1 and noise >= 0; got rows={rows} and noise={noise}")
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, len(weights)))
    y = x @ np.asarray(weights, float) + bias + noise * random.standard_normal(rows)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


def xor() -> dict[str, np.ndarray]:
    """The four points no line can separate: ``y`` is 1 where exactly one of the two coordinates is.

    Returns:
        ``x`` float32 [4, 2], ``y`` int32 [4].
    """
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return {"x": x, "y": np.array([0, 1, 1, 0], np.int32)}


def _images(source: Source) -> dict[str, np.ndarray]:
    return _whole_labels({column: formats.idx(source.find(file)) for column, file in IDX.items()})


def _only(source: Source, read: Callable[[Path], Any]) -> Any:
    """What ``read`` makes of the one file of a source."""
    (file,) = source.files
    return read(source.find(file))


def _whole_labels(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns, with labels as int32."""
    return {name: array.astype(np.int32) if name.endswith("_y") else array for name, array in columns.items()}


def _csv(path: Path, names: Sequence[str] = ()) -> Table:
    """The table in a file of values with commas between them; ``names`` if it has no header."""
    import polars

    frame = polars.read_csv(path, has_header=not names, new_columns=list(names) or None, infer_schema_length=None)
    return table_of(frame)


def _of_scikit_learn(raw: Any, target: str) -> Table:
    """Measurements as columns, and the names of the classes as one more."""
    table = {name: raw.data[:, i].astype(np.float64) for i, name in enumerate(raw.feature_names)}
    return table | {target: np.array([str(raw.target_names[i]) for i in raw.target], object)}
