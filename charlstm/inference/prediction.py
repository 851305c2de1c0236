"""The distribution of the next character, and how it changes with the length of context."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.inference.predictor import Predictor
from charlstm.system import markup
from charlstm.text.alphabet import Alphabet
from charlstm.text.visible import named

_NUM_IN_REPR: Final = 5
_NUM_BARS: Final = 10


class Candidate(NamedTuple):
    """A readable character that may come next; None stands for all outside the vocabulary."""

    char: str | None
    probability: float


@dataclass(frozen=True, kw_only=True)
class NextCharacters:
    """The distribution of the character after a prefix.

    Args:
        prefix: the readable text before it.
        entropy_bits: of the whole distribution; 0 where one character is certain.
        next: the most likely first; all of them sum to one.
    """

    prefix: str
    entropy_bits: float
    next: tuple[Candidate, ...]

    def __repr__(self) -> str:
        shown = ", ".join(f"{char!r} {p:.1%}" for char, p in self.next[:_NUM_IN_REPR])
        return f"<after {self.prefix!r}: {shown}, ...; entropy {self.entropy_bits:.2f} bits>"

    def _repr_html_(self) -> str:
        """Bars, for a notebook."""
        rows = [
            (named(char), probability, f"{probability:.2%}")
            for char, probability in self.next[:_NUM_BARS]
        ]
        title = f"after {self.prefix!r}: entropy {self.entropy_bits:.2f} bits"
        return markup.titled(title, markup.bars(rows))


@dataclass(frozen=True, kw_only=True)
class ContextPrediction:
    """A prediction from the last `num_context` characters alone."""

    num_context: int
    context: str
    prediction: NextCharacters


def predict_next(predictor: Predictor, prefix: str) -> NextCharacters:
    """What comes after a text, in symbols, that begins a document.

    Raises:
        CorpusError: when the prefix holds characters outside the vocabulary.
    """
    predictor.alphabet.require_known(prefix)
    log_p_V = predictor.read_text(prefix, predictor.start()).log_p[0]
    return ranked(predictor.alphabet, log_p_V.astype(np.float64), prefix=prefix)


def ladder(predictor: Predictor, prefix: str) -> list[ContextPrediction]:
    """The same prediction with 0, 1, 2, 4, 8 ... and finally all characters of the prefix.

    Each starts from a zero state and the boundary symbol, as if the text began there.

    Raises:
        CorpusError: as `predict_next` does.
    """
    lengths = [0]
    while lengths[-1] < len(prefix):
        lengths.append(min(len(prefix), max(1, 2 * lengths[-1])))
    found = []
    for length in lengths:
        prediction = predict_next(predictor, prefix[len(prefix) - length :])
        found.append(
            ContextPrediction(num_context=length, context=prediction.prefix, prediction=prediction)
        )
    return found


def ranked(
    alphabet: Alphabet,
    log_p_V: npt.NDArray[np.float64],
    *,
    prefix: str = "",
    top: int | None = None,
) -> NextCharacters:
    """Name and sort a distribution, natural logarithms of probabilities [V].

    Args:
        top: only so many of the most likely are named; all of them without it.
    """
    p_V = np.exp(log_p_V)
    p_V /= p_V.sum()
    order = np.argsort(-p_V, kind="stable")
    chars = alphabet.readable
    return NextCharacters(
        prefix=alphabet.to_text(prefix),
        entropy_bits=float(-(p_V * np.log2(np.maximum(p_V, np.finfo(float).tiny))).sum()),
        next=tuple(Candidate(chars[symbol], float(p_V[symbol])) for symbol in order[:top]),
    )
