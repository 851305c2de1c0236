"""Effective context length: how far back predictions depend on the text.

Shapes: T window length, B windows, E embedding size, D distances.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from charlstm.errors import ConfigError
from charlstm.evaluation.scoring import as_tensor
from charlstm.model.lstm import CharLSTM
from charlstm.text.encoded_text import EncodedText

_MAX_DISTANCE: Final = 200
_NUM_WINDOWS: Final = 256
# Distances that fewer windows cover are omitted.
_MIN_WINDOWS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The dependence of predictions on preceding characters.

    Args:
        gradient: norm of the gradient of the loss with respect to the embedding of the character
            at distance 1, 2, 3, ..., averaged over the windows that are long enough.
    """

    gradient: tuple[float, ...]

    @property
    def half_distance(self) -> int:
        """Number of characters that carry half of the total gradient."""
        cumulative = np.cumsum(self.gradient)
        return 1 + int(np.searchsorted(cumulative, cumulative[-1] / 2))


def require_reach(text: EncodedText) -> None:
    """Check that a text is long enough for `reach`.

    Raises:
        ConfigError: when no document has two characters.
    """
    if not np.any(text.lengths > 1):
        raise ConfigError("the text is too short to measure the context length")


def reach(model: CharLSTM, text: EncodedText, *, generator: np.random.Generator) -> Reach:
    """Measure the gradient of predictions with respect to preceding characters.

    Args:
        generator: draws the predicted positions, uniformly from all but the first of each document.

    Raises:
        ConfigError: when the text is too short.
    """
    require_reach(text)
    positions = np.setdiff1d(np.arange(text.num_chars), text.starts)
    position_B = generator.choice(positions, _NUM_WINDOWS)
    start_B = text.starts[np.searchsorted(text.starts, position_B, "right") - 1]
    distance_B = np.minimum(position_B - start_B, _MAX_DISTANCE)
    # BOS, then the characters before the position; later ones have no effect.
    offset_T1 = np.arange(distance_B.max() + 1)[:, None]
    ids_TB = text.ids[np.minimum(position_B - distance_B + offset_T1 - 1, text.num_chars - 1)]
    ids_TB = np.where(offset_T1 == 0, model.config.bos_id, ids_TB)
    embedded: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    hook = model.embedding.register_forward_hook(keep)
    try:
        logits_TBV, _ = model(as_tensor(ids_TB, model), model.zero_state(_NUM_WINDOWS))
        last_B = as_tensor(distance_B, model)
        logits_BV = logits_TBV[last_B, torch.arange(_NUM_WINDOWS, device=model.device)]
        loss = cross_entropy(logits_BV, as_tensor(text.ids[position_B], model), reduction="sum")
        (gradient_TBE,) = torch.autograd.grad(loss, embedded)
    finally:
        hook.remove()
    norm_TB = gradient_TBE.norm(dim=-1).cpu().numpy()
    gradient = []
    for distance in range(1, int(distance_B.max()) + 1):
        long_enough = np.flatnonzero(distance_B >= distance)
        if len(long_enough) < _MIN_WINDOWS:
            break
        gradient.append(float(norm_TB[distance_B[long_enough] - distance + 1, long_enough].mean()))
    return Reach(gradient=tuple(gradient))
