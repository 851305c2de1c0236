"""Dynamic evaluation: the model keeps learning from the text it is scored on.

Each segment is scored first and learned from afterwards, so that the model adapts to the names and
style of the text (Mikolov et al. 2010; Krause et al. 2018). The result measures adaptation and does
not replace the static loss.

Shapes: T segment length, V tokens that can be predicted.
"""

import copy
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from charlstm.evaluation.scores import CharLosses, Progress, no_progress
from charlstm.evaluation.scoring import as_tensor
from charlstm.model.lstm import CharLSTM
from charlstm.text.encoded_text import EncodedText

# Chosen on the first 30,000 characters of tiny Shakespeare's validation text, see
# tests/benchmarks/LOG.md.
_SEGMENT_LENGTH: Final = 64
_LEARNING_RATE: Final = 2e-4
_MEAN_SQUARE_DECAY: Final = 0.999
_RETURN_RATE: Final = 1e-3


def score_dynamically(
    model: CharLSTM, text: EncodedText, *, progress: Progress = no_progress
) -> CharLosses:
    """Score every character once, in order, and learn from each segment after scoring it.

    Weights are carried over between documents, states are not. `model` is not modified.

    Args:
        progress: as in `score`.

    Raises:
        CorpusError: when there are no characters.
    """
    scores = CharLosses.empty(text.num_chars)
    model = copy.deepcopy(model)
    for layer in model.layers:
        if isinstance(layer, nn.RNNBase):
            # deepcopy scatters the weights, which cuDNN would compact again for each segment.
            layer.flatten_parameters()
    adaptation = _Adaptation(model)
    for start, length in zip(text.starts, text.lengths, strict=True):
        previous, state = model.config.bos_id, model.zero_state(1)
        done = 0
        while done < length:
            first = int(start) + done
            ids_T = text.ids[first : first + min(adaptation.room, int(length) - done)]
            x_T1 = as_tensor(np.append(previous, ids_T[:-1]), model)[:, None]
            y_T = as_tensor(ids_T, model)
            logits_T1V, state = model(x_T1, state)
            log_p_TV = model.log_probabilities(logits_T1V[:, 0])
            position_T = np.arange(first, first + len(ids_T))
            scores.fill(position_T, log_p_TV.detach().cpu().numpy(), ids_T)
            adaptation.learn(nll_loss(log_p_TV, y_T, reduction="none"))
            state = state.detached()
            previous, done = int(ids_T[-1]), done + len(ids_T)
            progress(len(ids_T))
    return scores


class _Adaptation:
    """RMSprop steps with decay towards the trained weights.

    Krause et al. scale gradients by statistics of the training text, which may not be available
    here; a running root mean square replaces them (RMSprop, Tieleman & Hinton 2012), and the decay
    has one rate for all weights.

    Attributes:
        room: characters until the segment is full.
    """

    def __init__(self, model: CharLSTM) -> None:
        self.room = _SEGMENT_LENGTH
        self._parameters: list[Tensor] = list(model.parameters())
        self._trained = [parameter.detach().clone() for parameter in self._parameters]
        # Adam without momentum is RMSprop with bias correction.
        self._rmsprop = torch.optim.Adam(
            self._parameters, lr=_LEARNING_RATE, betas=(0.0, _MEAN_SQUARE_DECAY)
        )

    def learn(self, losses_T: Tensor) -> None:
        """Accumulate the gradient of these losses, and take a step when the segment is full."""
        (losses_T.sum() / _SEGMENT_LENGTH).backward()  # type: ignore[no-untyped-call]
        self.room -= len(losses_T)
        if not self.room:
            self.room = _SEGMENT_LENGTH
            self._step()

    def _step(self) -> None:
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if nn.utils.get_total_norm(gradients).isfinite():
            with torch.no_grad():
                torch._foreach_lerp_(self._parameters, self._trained, _RETURN_RATE)
            self._rmsprop.step()
        self._rmsprop.zero_grad()
