"""Text as numbers: how often each word is in it, or its words or characters in order."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, ClassVar

import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, DataError
from sonde.data.encoding import Encoding, as_names


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters: runs of two or more letters, digits or apostrophes."""
    return re.findall(r"\w[\w']+", text.lower())


class BagOfWords(Encoding):
    """Text as how often each known word is in it: tf-idf, (1 + log n) log(rows / rows with the word), of length 1.

    Args:
        most: words kept at most, those in the most rows.
        words: learned.
        weights: learned: log(rows / rows with the word), a number a word.

    Source: G. Salton and C. Buckley, "Term-weighting approaches in automatic text retrieval" (1988).

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> bag = sd.data.BagOfWords().fit(np.array(["free prize", "see you", "free prize now"], object))
        >>> bag.words, bag.encode(np.array(["a free, free thing"], object)).tolist()
        (('free', 'prize'), [[1.0, 0.0]])
    """

    most: int = 2000
    words: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn the words that are in two rows or more."""
        seen = Counter(word for text in as_names(values) for word in set(words_of(text)))
        kept = sorted((w for w in seen if seen[w] > 1), key=lambda w: (-seen[w], w))[: self.most]
        if not kept:
            raise DataError("no word is in two of its rows; leave the column out")
        kept = sorted(kept)
        weights = tuple(round(float(np.log((1 + len(values)) / (1 + seen[w])) + 1e-3), 6) for w in kept)
        return self.replace(words=tuple(kept), weights=weights)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[rows, words]."""
        at = {word: i for i, word in enumerate(self.words)}
        bags = np.zeros((len(values), len(at)), np.float32)
        for bag, text in zip(bags, as_names(values), strict=True):
            for word, n in Counter(words_of(text)).items():
                if word in at:
                    bag[at[word]] = (1 + np.log(n)) * self.weights[at[word]]
        return bags / np.maximum(np.linalg.norm(bags, axis=1, keepdims=True), 1e-12)

    def names(self, column: str) -> tuple[str, ...]:
        """A feature a word."""
        return tuple(f"{column}: {word}" for word in self.words)


class Tokens(Encoding):
    """Text as a sequence of whole numbers, `Padded`, its length kept: 0 is filling, 1 what was never seen.

    Args:
        by: ``"word"`` or ``"character"``.
        longest: what is beyond so many is cut off; 0: as long as the longest training row.
        most: tokens known at most, the most frequent ones.
        vocabulary: learned: token i + 2 is vocabulary[i].

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> letters = sd.data.Tokens("character").fit(np.array(["abba", "ab"], object))
        >>> letters.encode(np.array(["bac"], object)).values.tolist(), letters.decode([[3, 2, 1, 0]])
        ([[3, 2, 1, 0]], ['ba?'])
    """

    by: str = "word"
    longest: int = 0
    most: int = 20_000
    vocabulary: tuple[str, ...] = ()
    alone: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse other units than words and characters."""
        if self.by not in ("word", "character"):
            raise ArgumentError(f"by must be 'word' or 'character'; got {self.by!r}")

    @property
    def count(self) -> int:
        """How many tokens there are: the vocabulary, filling, and what was never seen."""
        return len(self.vocabulary) + 2

    def _parts(self, values: np.ndarray) -> list[list[str]]:
        part = words_of if self.by == "word" else list
        return [part(text) for text in as_names(values)]

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn the vocabulary, and the length."""
        parts = self._parts(values)
        seen = Counter(token for row in parts for token in row)
        if not seen:
            raise DataError("its rows hold no text; leave the column out")
        kept = sorted(seen, key=lambda token: (-seen[token], token))[: self.most]
        return self.replace(vocabulary=tuple(kept), longest=self.longest or max(map(len, parts)))

    def encode(self, values: np.ndarray) -> Padded:
        """Whole numbers [rows, longest], and lengths."""
        at = {token: i + 2 for i, token in enumerate(self.vocabulary)}
        return Padded.of([[at.get(token, 1) for token in row] for row in self._parts(values)], self.longest)

    def decode(self, rows: Any) -> list[str]:
        """Text again, with ``?`` for what was never seen."""
        known = (None, "?", *self.vocabulary)
        between = " " if self.by == "word" else ""
        return [between.join(known[i] for i in row if i) for row in np.asarray(rows).tolist()]
