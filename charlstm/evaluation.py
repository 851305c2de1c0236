"""How well a model predicts a text: sums first, divided once at the end.

Shapes: T window length, B documents scored side by side, V symbols that can be predicted.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn.functional import nll_loss

from charlstm.model import CharLSTM, log_probabilities
from charlstm.split import Split
from charlstm.vocabulary import UNKNOWN

_MAX_BATCH_SIZE: Final = 64
_MAX_WINDOW: Final = 512
_MAX_LOGITS: Final = 1 << 22  # per window: 16 MB in float32


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Sums over a scored text; nats are natural-logarithm units of information.

    Args:
        num_chars: characters scored, each once, the unknown ones among them.
        num_unknown: characters that the model's vocabulary lacks.
        num_correct: characters that were the model's likeliest.
        num_bytes: the text's length in UTF-8.
    """

    num_chars: int
    num_unknown: int
    num_correct: int
    num_bytes: int
    nats: float

    @property
    def nats_per_char(self) -> float:
        return self.nats / self.num_chars

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """Comparable between vocabularies and with compressors."""
        return self.nats / math.log(2) / self.num_bytes

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats_per_char)

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.num_chars


@torch.inference_mode()
def evaluate(model: CharLSTM, split: Split, *, unknown_probability: float) -> Evaluation:
    """Score every character of every document, in float32, state carried through each document.

    Args:
        unknown_probability: the least probability of the unknown symbol.

    Raises:
        ValueError: when the split is empty.
    """
    if not split.num_chars:
        raise ValueError("there are no characters to score")
    nats, num_correct = 0.0, 0
    # Documents of like length side by side, so that little of a batch is filling.
    order = np.argsort(-split.lengths, kind="stable")
    for first in range(0, len(order), _MAX_BATCH_SIZE):
        chosen = order[first : first + _MAX_BATCH_SIZE]
        batch_nats, batch_correct = _evaluate_side_by_side(
            model, split, split.starts[chosen], split.lengths[chosen], unknown_probability
        )
        nats += batch_nats
        num_correct += batch_correct
    return Evaluation(
        num_chars=split.num_chars,
        num_unknown=int(np.count_nonzero(split.ids == UNKNOWN)),
        num_correct=num_correct,
        num_bytes=split.num_bytes,
        nats=nats,
    )


def _evaluate_side_by_side(
    model: CharLSTM,
    split: Split,
    start_B: np.ndarray,
    length_B: np.ndarray,
    unknown_probability: float,
) -> tuple[float, int]:
    """Score documents in one batch; a short one's place is filled up and not counted."""
    boundary = model.config.num_inputs - 1
    batch_size, max_length = len(start_B), int(length_B.max())
    window = _MAX_LOGITS // (batch_size * model.config.num_outputs)
    window = max(1, min(_MAX_WINDOW, window))
    state = model.zero_state(batch_size)
    nats, num_correct = 0.0, 0
    for begin in range(0, max_length, window):
        offset_T1 = np.arange(begin, min(begin + window, max_length))[:, None]
        place_TB = np.minimum(start_B + offset_T1, split.num_chars - 1)
        x_TB = np.where(offset_T1 == 0, boundary, split.ids[place_TB - 1])
        y_TB = torch.from_numpy(split.ids[place_TB].astype(np.int64)).to(model.device)
        counts_TB = torch.from_numpy(offset_T1 < length_B).to(model.device)
        logits_TBV, state = model(torch.from_numpy(x_TB.astype(np.int64)).to(model.device), state)
        log_p_TBV = log_probabilities(logits_TBV, unknown_probability=unknown_probability)
        losses = nll_loss(log_p_TBV.flatten(0, 1), y_TB.flatten(), reduction="none")
        counts = counts_TB.flatten()
        nats += float(losses[counts].double().sum())
        is_correct_TB = (log_p_TBV.argmax(-1) == y_TB) & (y_TB != UNKNOWN) & counts_TB
        num_correct += int(is_correct_TB.sum())
    return nats, num_correct
