"""The distribution of the next character, and its dependence on context length."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.inference.predictor import Predictor
from charlstm.system import notebook_html
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.visible import named

_NUM_IN_REPR: Final = 5
_NUM_BARS: Final = 10


class Candidate(NamedTuple):
    """A possible next character, readable; None stands for all outside the vocabulary."""

    char: str | None
    probability: float


@dataclass(frozen=True, kw_only=True)
class NextCharacters:
    """The distribution of the character after a prefix.

    Args:
        prefix: the readable text before it.
        entropy_bits: entropy of the distribution.
        next: candidates, most likely first.
    """

    prefix: str
    entropy_bits: float
    next: tuple[Candidate, ...]

    def __repr__(self) -> str:
        shown = ", ".join(f"{char!r} {p:.1%}" for char, p in self.next[:_NUM_IN_REPR])
        return f"<after {self.prefix!r}: {shown}, ...; entropy {self.entropy_bits:.2f} bits>"

    def _repr_html_(self) -> str:
        """Return a bar chart for notebooks."""
        rows = [
            (named(char), probability, f"{probability:.2%}")
            for char, probability in self.next[:_NUM_BARS]
        ]
        title = f"after {self.prefix!r}: entropy {self.entropy_bits:.2f} bits"
        return notebook_html.titled(title, notebook_html.bars(rows))


@dataclass(frozen=True, kw_only=True)
class ContextPrediction:
    """A prediction from only the last `num_context` characters."""

    num_context: int
    context: str
    prediction: NextCharacters


def predict_next(predictor: Predictor, prefix: str) -> NextCharacters:
    """Predict the character after `prefix`, with which a document starts.

    Args:
        prefix: normalized, one character per token (see `CharTokenizer.to_chars`).

    Raises:
        CorpusError: when the prefix contains characters outside the vocabulary.
    """
    predictor.tokenizer.require_known(prefix)
    log_p_V = predictor.read_all(prefix, predictor.start()).log_p[0]
    return ranked(predictor.tokenizer, log_p_V.astype(np.float64), prefix=prefix)


def ladder(predictor: Predictor, prefix: str) -> list[ContextPrediction]:
    """Predict the next character from the last 0, 1, 2, 4, 8, ... and all characters of the prefix.

    Each prediction starts from a zero state and BOS, as if a document started there.

    Raises:
        CorpusError: as `predict_next` does.
    """
    lengths = [0]
    while lengths[-1] < len(prefix):
        lengths.append(min(len(prefix), max(1, 2 * lengths[-1])))
    predictions = []
    for length in lengths:
        prediction = predict_next(predictor, prefix[len(prefix) - length :])
        predictions.append(
            ContextPrediction(num_context=length, context=prediction.prefix, prediction=prediction)
        )
    return predictions


def ranked(
    tokenizer: CharTokenizer,
    log_p_V: npt.NDArray[np.float64],
    *,
    prefix: str = "",
    top: int | None = None,
) -> NextCharacters:
    """Sort a distribution and make its characters readable.

    Args:
        log_p_V: log-probabilities, in nats.
        top: maximum number of candidates; None for all.
    """
    p_V = np.exp(log_p_V)
    p_V /= p_V.sum()
    order = np.argsort(-p_V, kind="stable")
    chars = tokenizer.readable
    return NextCharacters(
        prefix=tokenizer.to_text(prefix),
        entropy_bits=float(-(p_V * np.log2(np.maximum(p_V, np.finfo(float).tiny))).sum()),
        next=tuple(Candidate(chars[token], float(p_V[token])) for token in order[:top]),
    )
