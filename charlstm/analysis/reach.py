"""Effective context length: how far back predictions depend on what was read.

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
from charlstm.model.network import CharLSTM
from charlstm.text.split import Split

_MAX_DISTANCE: Final = 200
_NUM_WINDOWS: Final = 256
# Fewer windows are too few for a mean.
_MIN_WINDOWS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How much a prediction depends on the characters before it.

    Args:
        gradient: norm of the gradient of a prediction's nats to the embedding of the character that
            stands 1, 2, 3 ... before it, mean over the windows that reach back so far.
    """

    gradient: tuple[float, ...]

    @property
    def half_distance(self) -> int:
        """The characters that carry half of all the gradient."""
        cumulated = np.cumsum(self.gradient)
        return 1 + int(np.searchsorted(cumulated, cumulated[-1] / 2))


def require_reach(text: Split) -> None:
    """Refuse a text without a character that has another one before it.

    Raises:
        ConfigError: when no document has two characters.
    """
    if not np.any(text.lengths > 1):
        raise ConfigError("the text is too short to measure the context length")


def reach(model: CharLSTM, text: Split, *, generator: np.random.Generator) -> Reach:
    """Follow the gradient of predictions back to what was read, inside their documents.

    Args:
        generator: chooses the predictions; all characters with one before them are equally likely.

    Raises:
        ConfigError: when the text is too short.
    """
    require_reach(text)
    places = np.setdiff1d(np.arange(text.num_chars), text.starts)
    place_B = generator.choice(places, _NUM_WINDOWS)
    start_B = text.starts[np.searchsorted(text.starts, place_B, "right") - 1]
    distance_B = np.minimum(place_B - start_B, _MAX_DISTANCE)
    # The boundary, then the characters before the place; what comes after them doesn't matter.
    offset_T1 = np.arange(distance_B.max() + 1)[:, None]
    ids_TB = text.ids[np.minimum(place_B - distance_B + offset_T1 - 1, text.num_chars - 1)]
    ids_TB = np.where(offset_T1 == 0, model.config.boundary, ids_TB)
    embedded: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    hook = model.embedding.register_forward_hook(keep)
    try:
        logits_TBV, _ = model(as_tensor(ids_TB, model), model.zero_state(_NUM_WINDOWS))
        last_B = as_tensor(distance_B, model)
        logits_BV = logits_TBV[last_B, torch.arange(_NUM_WINDOWS, device=model.device)]
        loss = cross_entropy(logits_BV, as_tensor(text.ids[place_B], model), reduction="sum")
        (gradient_TBE,) = torch.autograd.grad(loss, embedded)
    finally:
        hook.remove()
    norm_TB = gradient_TBE.norm(dim=-1).cpu().numpy()
    gradient = []
    for distance in range(1, int(distance_B.max()) + 1):
        reaching = np.flatnonzero(distance_B >= distance)
        if len(reaching) < _MIN_WINDOWS:
            break
        gradient.append(float(norm_TB[distance_B[reaching] - distance + 1, reaching].mean()))
    return Reach(gradient=tuple(gradient))
