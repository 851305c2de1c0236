"""How far back a model looks.

Shapes: T window length, B windows, E embedding size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from charlstm.errors import ConfigError
from charlstm.evaluation import as_tensor
from charlstm.model import CharLSTM
from charlstm.split import Split

_MAX_DISTANCE: Final = 200
_NUM_WINDOWS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How much a prediction hangs on the characters before it.

    Args:
        gradient: norm of the gradient of a prediction's nats to the embedding of the character that
            stands 1, 2, 3 ... before it, mean over windows.
    """

    gradient: tuple[float, ...]

    @property
    def half_distance(self) -> int:
        """The characters that carry half of all the gradient."""
        cumulated = np.cumsum(self.gradient)
        return 1 + int(np.searchsorted(cumulated, cumulated[-1] / 2))


def reach(model: CharLSTM, text: Split, *, generator: np.random.Generator) -> Reach:
    """Follow the gradient of predictions back to what was read.

    Args:
        generator: chooses the windows.

    Raises:
        ConfigError: when the text is too short.
    """
    distance = min(_MAX_DISTANCE, text.num_chars - 2)
    if distance < 1:
        raise ConfigError("the text is too short to look back in")
    first_B = generator.integers(0, text.num_chars - distance, _NUM_WINDOWS)
    ids_TB = text.ids[first_B + np.arange(distance + 1)[:, None]]
    embedded: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    hook = model.embedding.register_forward_hook(keep)
    try:
        logits_TBV, _ = model(as_tensor(ids_TB[:-1], model), model.zero_state(_NUM_WINDOWS))
        # The last prediction of each window alone.
        loss = cross_entropy(logits_TBV[-1], as_tensor(ids_TB[-1], model), reduction="sum")
        (gradient_TBE,) = torch.autograd.grad(loss, embedded)
    finally:
        hook.remove()
    by_place = gradient_TBE.norm(dim=-1).mean(1).flip(0)
    return Reach(gradient=tuple(by_place.tolist()))
