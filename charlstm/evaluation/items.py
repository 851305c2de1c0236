"""Surprisal of single items (lines, names, log entries) and its percentile.

Bits per character vary more for short items than for long ones. So an item's percentile is its
rank among validation items of similar length.

Shapes: I validation items in ascending length; N characters of an item.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import NATS_PER_BIT
from charlstm.errors import TensorFileError
from charlstm.evaluation.scores import CharLosses, Prediction
from charlstm.system.files import replace_file
from charlstm.system.tensor_file import open_tensor_file, to_bytes
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer

# A model's prediction function for every character of a text.
Predict = Callable[[EncodedText], Iterable[Prediction]]

# Validation items to keep; enough to resolve the top percent.
_MAX_ITEMS: Final = 4096
# Fraction and minimum number of validation items of similar length to compare with. With a third,
# 0.5 % of normal log lines are at the 99th percentile, with a tenth 1.2 %, with all 0.7 %
# (tests/benchmarks/LOG.md).
_SIMILAR_FRACTION: Final = 0.3
_MIN_SIMILAR: Final = 200
# Multiple of the item's mean surprisal above which characters count as surprising.
_SURPRISING: Final = 1.5
_LINES_AT_ONCE: Final = 1024


@dataclass(frozen=True)
class Percentiles:
    """Surprisals of validation items, for ranking other items.

    Args:
        num_chars_I: lengths, ascending, int32.
        bits_per_char_I: float32.
    """

    num_chars_I: npt.NDArray[np.int32]
    bits_per_char_I: npt.NDArray[np.float32]

    @classmethod
    def of(cls, scores: CharLosses, items: EncodedText) -> "Percentiles":
        """Build from scored items, one per document."""
        lengths = items.lengths
        order = np.argsort(lengths, kind="stable")
        bits_per_char = scores.document_nats(items) / NATS_PER_BIT / lengths
        return cls(lengths[order].astype(np.int32), bits_per_char[order].astype(np.float32))

    def percentile(self, num_chars: int, bits_per_char: float) -> float:
        """Return the percentage of items of similar length with a lower surprisal per character."""
        number = len(self.num_chars_I)
        num_similar = min(number, max(_MIN_SIMILAR, round(_SIMILAR_FRACTION * number)))
        edges = (np.searchsorted(self.num_chars_I, num_chars, side) for side in ("left", "right"))
        first = min(max(0, int(sum(edges) - num_similar) // 2), number - num_similar)
        similar = self.bits_per_char_I[first : first + num_similar]
        return 100 * float(np.count_nonzero(similar < bits_per_char)) / num_similar


class ItemScore(NamedTuple):
    """Score of one item.

    Args:
        number: counted from 1.
        text: the original text.
        nats_N: surprisal of each character, float32, including EOS if the model has one.
        percentile: percentage of validation items of similar length with a lower surprisal per
            character; None without validation items or for an empty item.
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
        """Mean surprisal in bits; None for an empty item."""
        return self.bits / self.num_chars if self.num_chars else None

    def surprising_passage(self) -> tuple[int, int]:
        """Return start and end of the passage with the largest total surprisal above threshold.

        The threshold per character is 1.5 times the item's mean, or the mean if no character
        exceeds that, as in an item that is surprising throughout. The result is approximate if the
        model's normalized characters are not the text's characters.
        """
        nats_N = self.nats_N[: len(self.text)].astype(np.float64)
        if not len(nats_N):
            return 0, 0
        mean = nats_N.mean()
        threshold = mean * (_SURPRISING if nats_N.max() > _SURPRISING * mean else 1.0)
        sums = np.append(0.0, np.cumsum(nats_N - threshold))
        end = int(np.argmax(sums - np.minimum.accumulate(sums)))
        return int(np.argmin(sums[: end + 1])), end


class Classification(NamedTuple):
    """Surprisals of one item under several models.

    Args:
        number: counted from 1.
        bits: model name -> surprisal, including the cost of naming unknown characters.
        best: the model with the lowest surprisal.
        posterior: posterior probability of the best model under a uniform prior.
    """

    number: int
    text: str
    bits: dict[str, float]
    best: str
    posterior: float


class CharacterScore(NamedTuple):
    """Score of one character of a text.

    Args:
        place: position in the text, from 0.
        rank: number of characters that were more likely.
        expected: the most likely character.
    """

    place: int
    char: str
    bits: float
    rank: int
    expected: str


def score_items(
    texts: Sequence[str],
    tokenizer: CharTokenizer,
    predict: Predict,
    percentiles: Percentiles | None,
    *,
    first_number: int = 1,
    names_unknown: bool = False,
) -> list[ItemScore]:
    """Score each item by itself.

    Args:
        texts: without EOS.
        names_unknown: add the cost of naming unknown characters, which makes models with different
            vocabularies comparable.
    """
    symbols = [tokenizer.to_chars(text) + (tokenizer.eos or "") for text in texts]
    encoded = tokenizer.encode_documents(symbols)
    nats_N = np.empty(0, np.float32)
    if encoded.num_chars:
        scores = CharLosses.of(predict(encoded), encoded)
        nats_N = (scores.with_naming_cost(encoded, tokenizer) if names_unknown else scores).nats_N
    lengths = [len(item_symbols) for item_symbols in symbols]
    ends = np.cumsum(lengths)
    items = []
    for number, (text, length, end) in enumerate(
        zip(texts, lengths, ends, strict=True), first_number
    ):
        item = ItemScore(number, text, nats_N[end - length : end], None)
        per_char = item.bits_per_char
        if percentiles is not None and per_char is not None:
            item = item._replace(percentile=percentiles.percentile(item.num_chars, per_char))
        items.append(item)
    return items


def line_batches(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, lines without line ends); a list in batches, else singly."""
    size = _LINES_AT_ONCE if isinstance(lines, Sequence) else 1
    rest = enumerate(lines, start=1)
    while batch := list(itertools.islice(rest, size)):
        yield batch[0][0], [line.removesuffix("\n") for _, line in batch]


def classify_items(
    texts: Sequence[str],
    models: Mapping[str, tuple[CharTokenizer, Predict]],
    *,
    first_number: int = 1,
) -> list[Classification]:
    """Score items with several models and find the best model for each.

    Args:
        models: model name -> (tokenizer, prediction function).
    """
    bits = {
        name: [
            item.bits for item in score_items(texts, tokenizer, predict, None, names_unknown=True)
        ]
        for name, (tokenizer, predict) in models.items()
    }
    results = []
    for number, (text, *item_bits) in enumerate(
        zip(texts, *bits.values(), strict=True), first_number
    ):
        by_name = dict(zip(bits, item_bits, strict=True))
        best = min(by_name, key=by_name.__getitem__)
        posterior = 1 / sum(2.0 ** (by_name[best] - other) for other in item_bits)
        results.append(Classification(number, text, by_name, best, posterior))
    return results


def character_scores(
    text: EncodedText,
    original: Callable[[int, int], str],
    tokenizer: CharTokenizer,
    predict: Predict,
) -> Iterator[CharacterScore]:
    """Yield the score of every character of a text, in order.

    Args:
        original: returns the text's symbols between two positions, including unknown ones.
    """
    scores, expected_N = CharLosses.empty(text.num_chars), np.empty(text.num_chars, np.int64)
    for place_N, log_p_NV in predict(text):
        scores.fill(place_N, log_p_NV, text.ids[place_N])
        # Skip id 0, the unknown character.
        expected_N[place_N] = 1 + log_p_NV[:, 1:].argmax(-1)
    for place, (nats, rank, expected) in enumerate(
        zip(scores.nats_N.tolist(), scores.rank_N.tolist(), expected_N.tolist(), strict=True)
    ):
        char = tokenizer.to_text(original(place, place + 1))
        likely = tokenizer.readable[expected] or ""
        yield CharacterScore(place, char, nats / NATS_PER_BIT, rank, likely)


def validation_items(val: EncodedText, tokenizer: CharTokenizer) -> EncodedText:
    """Return the validation documents, or lines of running text; evenly sampled if too many."""
    if tokenizer.eos is None:
        lines = tokenizer.decode(val.ids).split("\n")
        val = tokenizer.encode_documents([line for line in lines if line.strip()])
    number = len(val.starts)
    if number <= _MAX_ITEMS:
        return val
    is_chosen_D = np.zeros(number, np.bool_)
    is_chosen_D[np.linspace(0, number - 1, _MAX_ITEMS).astype(np.int64)] = True
    return val.documents(is_chosen_D)


def write_percentiles(path: Path, percentiles: Percentiles, *, owner: str, mode: int) -> None:
    """Write percentiles to a file; `owner` and `mode` as in `ngram.storage`.

    Raises:
        OSError: if it can't be written.
    """
    arrays = {"num_chars": percentiles.num_chars_I, "bits_per_char": percentiles.bits_per_char_I}
    with replace_file(path, mode=mode) as file:
        file.write(to_bytes(arrays, {"owner": owner}))


def read_percentiles(path: Path, *, owner: str) -> Percentiles | None:
    """Read percentiles from a file; None if it is missing, damaged or of another model."""
    try:
        with open_tensor_file(path) as container:
            arrays, is_own = container.read(), container.header.get("owner") == owner
        num_chars_I, bits_per_char_I = arrays["num_chars"], arrays["bits_per_char"]
    except (OSError, TensorFileError, KeyError):
        return None
    has_types = num_chars_I.dtype == np.int32 and bits_per_char_I.dtype == np.float32
    if not (is_own and has_types and 0 < len(num_chars_I) == len(bits_per_char_I)):
        return None
    return Percentiles(num_chars_I, bits_per_char_I)
