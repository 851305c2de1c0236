"""What single items cost a model, lines, names, log entries, and how usual that is.

Bits per character of short items scatter more than those of long ones. So an item's percentile is
its place among validation items of like length.

Shapes: I items of the validation text, ascending in length; N characters of an item.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import NATS_PER_BIT
from charlstm.errors import ContainerError
from charlstm.evaluation.scores import Prediction, Scores
from charlstm.system.container import open_container, to_bytes
from charlstm.system.files import replace_file
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

# Predicts every character of a text by a model.
Predict = Callable[[Split], Iterable[Prediction]]

# Validation items that are kept: as many as tell the upper percent apart.
_MAX_ITEMS: Final = 4096
# Of them, the share and the number that an item is compared with, those nearest in length: with a
# third, 0.5 % of usual log lines stand at the 99th percentile, with a tenth 1.2 %, with all 0.7 %
# (tests/benchmarks/LOG.md).
_LIKE_SHARE: Final = 0.3
_MIN_LIKE: Final = 200
# A stretch is surprising where characters cost so many times the item's mean.
_SURPRISING: Final = 1.5
_LINES_AT_ONCE: Final = 1024


@dataclass(frozen=True)
class Percentiles:
    """The costs of validation items, to compare others with.

    Args:
        num_chars_I: of each, ascending, int32.
        bits_per_char_I: float32.
    """

    num_chars_I: npt.NDArray[np.int32]
    bits_per_char_I: npt.NDArray[np.float32]

    @classmethod
    def of(cls, scores: Scores, items: Split) -> "Percentiles":
        """Those of scored items, each a document."""
        lengths = items.lengths
        order = np.argsort(lengths, kind="stable")
        bits_per_char = scores.nats_of_documents(items) / NATS_PER_BIT / lengths
        return cls(lengths[order].astype(np.int32), bits_per_char[order].astype(np.float32))

    def percentile(self, num_chars: int, bits_per_char: float) -> float:
        """How many of 100 items of like length cost less per character."""
        number = len(self.num_chars_I)
        num_like = min(number, max(_MIN_LIKE, round(_LIKE_SHARE * number)))
        edges = (np.searchsorted(self.num_chars_I, num_chars, side) for side in ("left", "right"))
        first = min(max(0, int(sum(edges) - num_like) // 2), number - num_like)
        like = self.bits_per_char_I[first : first + num_like]
        return 100 * float(np.count_nonzero(like < bits_per_char)) / num_like


class ItemScore(NamedTuple):
    """One item.

    Args:
        number: from 1.
        text: as it was given.
        nats_N: the cost of each character, float32; of the symbol that ends an item, too, where
            the model learned where items end.
        percentile: of the validation items of like length, how many of 100 cost less per
            character; None where there are none, or the item is empty.
    """

    number: int
    text: str
    nats_N: npt.NDArray[np.float32]
    percentile: float | None

    @property
    def num_chars(self) -> int:
        return len(self.nats_N)

    @property
    def bits(self) -> float:
        return float(self.nats_N.sum(dtype=np.float64)) / NATS_PER_BIT

    @property
    def bits_per_char(self) -> float | None:
        """None for an empty item."""
        return self.bits / self.num_chars if self.num_chars else None

    def surprising_stretch(self) -> tuple[int, int]:
        """The place in the text where what costs most in all, less what is usual, begins and ends.

        Of a text whose characters are not the model's own symbols about there.
        """
        nats_N = self.nats_N[: len(self.text)].astype(np.float64)
        if not len(nats_N):
            return 0, 0
        sums = np.append(0.0, np.cumsum(nats_N - _SURPRISING * nats_N.mean()))
        after = int(np.argmax(sums - np.minimum.accumulate(sums)))
        return int(np.argmin(sums[: after + 1])), after


class Classified(NamedTuple):
    """One item, by several models.

    Args:
        number: from 1.
        bits: the cost by each model, by name, including the cost of naming unknown characters.
        best: the model that it costs least.
        posterior: of the best, where all models are equally likely beforehand.
    """

    number: int
    text: str
    bits: dict[str, float]
    best: str
    posterior: float


class CharacterScore(NamedTuple):
    """One character of a text.

    Args:
        place: in the text, from 0.
        rank: how many characters were more likely.
        expected: the most likely one.
    """

    place: int
    char: str
    bits: float
    rank: int
    expected: str


def score_items(
    texts: Sequence[str],
    alphabet: Alphabet,
    predict: Predict,
    percentiles: Percentiles | None,
    *,
    first_number: int = 1,
    names_unknown: bool = False,
) -> list[ItemScore]:
    """Score items, each by itself, as a model reads them.

    Args:
        texts: as people write them, without what ends an item.
        predict: by the model.
        names_unknown: add the cost of naming unknown characters, to compare vocabularies.
    """
    symbols = [alphabet.to_symbols(text) + (alphabet.end or "") for text in texts]
    split = alphabet.split(symbols)
    nats_N = np.empty(0, np.float32)
    if split.num_chars:
        scores = Scores.of(predict(split), split)
        nats_N = (scores.naming_unknown(split, alphabet) if names_unknown else scores).nats_N
    ends = np.cumsum([len(one) for one in symbols])
    found = []
    for number, (text, one, end) in enumerate(zip(texts, symbols, ends, strict=True), first_number):
        item = ItemScore(number, text, nats_N[end - len(one) : end], None)
        per_char = item.bits_per_char
        if percentiles is not None and per_char is not None:
            item = item._replace(percentile=percentiles.percentile(item.num_chars, per_char))
        found.append(item)
    return found


def batches_of(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Lines without their ends, and the number of the first: each as it comes, many of a list."""
    size = _LINES_AT_ONCE if isinstance(lines, Sequence) else 1
    rest = enumerate(lines, start=1)
    while batch := list(itertools.islice(rest, size)):
        yield batch[0][0], [line.removesuffix("\n") for _, line in batch]


def classified(
    texts: Sequence[str],
    models: Mapping[str, tuple[Alphabet, Predict]],
    *,
    first_number: int = 1,
) -> list[Classified]:
    """What items cost several models, and which of them they suit best.

    Args:
        models: by name, and what predicts by each.
    """
    bits = {
        name: [one.bits for one in score_items(texts, alphabet, predict, None, names_unknown=True)]
        for name, (alphabet, predict) in models.items()
    }
    found = []
    for number, (text, *costs) in enumerate(zip(texts, *bits.values(), strict=True), first_number):
        by_name = dict(zip(bits, costs, strict=True))
        best = min(by_name, key=by_name.__getitem__)
        posterior = 1 / sum(2.0 ** (by_name[best] - cost) for cost in costs)
        found.append(Classified(number, text, by_name, best, posterior))
    return found


def character_scores(
    text: Split,
    original: Callable[[int, int], str],
    alphabet: Alphabet,
    predict: Predict,
) -> Iterator[CharacterScore]:
    """Every character of a text, in its order.

    Args:
        original: gives the text's symbols from one place to another, unknown ones too.
    """
    scores, expected_N = Scores.empty(text.num_chars), np.empty(text.num_chars, np.int64)
    for place_N, log_p_NV in predict(text):
        scores.put(place_N, log_p_NV, text.ids[place_N])
        # Unknown is no character.
        expected_N[place_N] = 1 + log_p_NV[:, 1:].argmax(-1)
    for place, (nats, rank, expected) in enumerate(
        zip(scores.nats_N.tolist(), scores.rank_N.tolist(), expected_N.tolist(), strict=True)
    ):
        char = alphabet.to_text(original(place, place + 1))
        likely = alphabet.readable[expected] or ""
        yield CharacterScore(place, char, nats / NATS_PER_BIT, rank, likely)


def validation_items(val: Split, alphabet: Alphabet) -> Split:
    """Documents of the validation text, or its lines where it is running text; some of many."""
    if alphabet.end is None:
        lines = alphabet.decode(val.ids).split("\n")
        val = alphabet.split([line for line in lines if line.strip()])
    number = len(val.starts)
    if number <= _MAX_ITEMS:
        return val
    is_chosen_D = np.zeros(number, np.bool_)
    is_chosen_D[np.linspace(0, number - 1, _MAX_ITEMS).astype(np.int64)] = True
    return val.documents(is_chosen_D)


def write_percentiles(path: Path, percentiles: Percentiles, *, owner: str, mode: int) -> None:
    """Keep them in a file; `owner` and `mode` as of `ngram.storage`.

    Raises:
        OSError: when it can't be written.
    """
    arrays = {"num_chars": percentiles.num_chars_I, "bits_per_char": percentiles.bits_per_char_I}
    with replace_file(path, mode=mode) as file:
        file.write(to_bytes(arrays, {"owner": owner}))


def read_percentiles(path: Path, *, owner: str) -> Percentiles | None:
    """What was kept; None where there is nothing, or it is damaged or another model's."""
    try:
        with open_container(path) as container:
            found, is_own = container.read(), container.header.get("owner") == owner
        num_chars_I, bits_per_char_I = found["num_chars"], found["bits_per_char"]
    except (OSError, ContainerError, KeyError):
        return None
    has_types = num_chars_I.dtype == np.int32 and bits_per_char_I.dtype == np.float32
    if not (is_own and has_types and 0 < len(num_chars_I) == len(bits_per_char_I)):
        return None
    return Percentiles(num_chars_I, bits_per_char_I)
