"""The distribution of the next character, and how it changes with the length of context."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.inference.predictor import Predictor
from charlstm.text.vocabulary import UNKNOWN


class Candidate(NamedTuple):
    """A character that may come next; None stands for every character outside the vocabulary."""

    char: str | None
    probability: float

    def readable(self, to_text: Callable[[str], str]) -> "Candidate":
        """The same for people: a symbol that stands for a byte as text."""
        return self if self.char is None else self._replace(char=to_text(self.char))


@dataclass(frozen=True, kw_only=True)
class NextCharacters:
    """The distribution of the character after a prefix.

    Args:
        entropy_bits: of the whole distribution; 0 where one character is certain.
        next: the most likely first; their probabilities sum to one.
    """

    prefix: str
    entropy_bits: float
    next: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class ContextPrediction:
    """A prediction from the last `num_context` characters alone."""

    num_context: int
    context: str
    prediction: NextCharacters


def readable(prediction: NextCharacters, to_text: Callable[[str], str]) -> NextCharacters:
    """The same prediction for people: symbols that stand for bytes as text."""
    candidates = (candidate.readable(to_text) for candidate in prediction.next)
    return replace(prediction, prefix=to_text(prediction.prefix), next=tuple(candidates))


def readable_context(rung: ContextPrediction, to_text: Callable[[str], str]) -> ContextPrediction:
    """As `readable` does, of a rung."""
    prediction = readable(rung.prediction, to_text)
    return replace(rung, context=to_text(rung.context), prediction=prediction)


def predict_next(predictor: Predictor, prefix: str) -> NextCharacters:
    """What comes after a text that begins a document.

    Raises:
        CorpusError: when the prefix holds characters outside the vocabulary.
    """
    predictor.require_known(prefix)
    log_p_V = predictor.read_text(prefix, predictor.start()).log_p[0]
    return ranked(predictor, prefix, log_p_V.astype(np.float64))


def ladder(predictor: Predictor, prefix: str) -> list[ContextPrediction]:
    """The same prediction with 0, 1, 2, 4, 8 ... and finally all characters of the prefix.

    Each rung starts from a zero state and the boundary symbol, as if the text began there.

    Raises:
        CorpusError: as `predict_next` does.
    """
    lengths = [0]
    while lengths[-1] < len(prefix):
        lengths.append(min(len(prefix), max(1, 2 * lengths[-1])))
    contexts = [prefix[len(prefix) - length :] for length in lengths]
    return [
        ContextPrediction(
            num_context=len(context), context=context, prediction=predict_next(predictor, context)
        )
        for context in contexts
    ]


def ranked(predictor: Predictor, prefix: str, log_p_V: npt.NDArray[np.float64]) -> NextCharacters:
    """Name and sort a distribution, natural logarithms of probabilities [V]."""
    p_V = np.exp(log_p_V)
    p_V /= p_V.sum()
    order = np.argsort(-p_V, kind="stable")
    chars = [None, *predictor.vocabulary.characters]
    assert chars[UNKNOWN] is None
    return NextCharacters(
        prefix=prefix,
        entropy_bits=float(-(p_V * np.log2(np.maximum(p_V, np.finfo(float).tiny))).sum()),
        next=tuple(Candidate(chars[number], float(p_V[number])) for number in order),
    )
