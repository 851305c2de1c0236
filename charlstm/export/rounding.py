"""Quantization of weights to 8-bit integers with a scale per row.

Shapes: R rows and C columns of a matrix.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.evaluation.scores import Evaluation
from charlstm.inference.predictor import Predictor
from charlstm.model.cell import Array
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.encoded_text import EncodedText

_LARGEST: Final = 127
_NUM_WINDOWS: Final = 64
_MAX_WINDOW: Final = 512


class RoundedMatrix(NamedTuple):
    """A matrix quantized to 8 bits.

    Args:
        values: int8 [R, C].
        scales: float32 [R]; row r is scales[r] * values[r].
    """

    values: npt.NDArray[np.int8]
    scales: Array

    @classmethod
    def of(cls, matrix: Array) -> "RoundedMatrix":
        """Quantize a float32 matrix [R, C]."""
        scales = np.abs(matrix).max(-1).astype(np.float32) / np.float32(_LARGEST)
        # The scale is 0 for rows of zeros or of tiny values.
        divisor = np.where(scales > 0, scales, np.float32(1))
        values = np.clip(np.rint(matrix / divisor[:, None]), -_LARGEST, _LARGEST)
        return cls(values.astype(np.int8), scales)

    def to_array(self) -> Array:
        """Return the dequantized matrix, float32 [R, C]."""
        return self.values * self.scales[:, None]


@dataclass(frozen=True, kw_only=True)
class RoundingCost:
    """Bits per character of a text before and after rounding the weights."""

    num_chars: int
    exact_bits_per_char: float
    rounded_bits_per_char: float

    @property
    def bits_per_char(self) -> float:
        return self.rounded_bits_per_char - self.exact_bits_per_char

    def __str__(self) -> str:
        return (
            f"weights rounded to 8 bits: {self.bits_per_char:+.4f} bits per character "
            f"({self.num_chars:,} characters scored)"
        )


def rounded(checkpoint: Checkpoint) -> Checkpoint:
    """Return the model with rounded weights, as exported."""
    weights = {
        name: RoundedMatrix.of(value).to_array() if value.ndim == 2 else value
        for name, value in checkpoint.weights.items()
    }
    return replace(checkpoint, weights=weights)


def measure_rounding(checkpoint: Checkpoint, text: EncodedText) -> RoundingCost:
    """Score the start of a text with and without rounding.

    Documents are cut into windows, each read with an empty context, so that they can be batched.

    Raises:
        CorpusError: if the text is empty.
    """
    text = text.part(0, _NUM_WINDOWS * _MAX_WINDOW)
    window = max(1, min(_MAX_WINDOW, text.num_chars // _NUM_WINDOWS))
    starts = [
        first
        for start, length in zip(text.starts, text.lengths, strict=True)
        for first in range(start, start + length, window)
    ]
    windows = replace(text, starts=np.array(starts, np.int64))
    exact, after = (
        Evaluation.of_scores(windows, Predictor(model).score(windows)).bits_per_char
        for model in (checkpoint, rounded(checkpoint))
    )
    return RoundingCost(
        num_chars=text.num_chars, exact_bits_per_char=exact, rounded_bits_per_char=after
    )
