"""A trained model that predicts, without torch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.errors import CorpusError
from charlstm.model.cell import Array, CellStack, Step, log_softmax
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary


class Prediction(NamedTuple):
    """The state of B streams after some characters, and what comes next.

    Args:
        log_p: natural logarithms of the next symbol's probabilities, float32 [B, V].
        layers: what each layer did in the last step.
    """

    log_p: Array
    layers: list[Step]

    def of_streams(self, chosen: npt.NDArray[np.intp]) -> "Prediction":
        """The prediction for some of the streams, by number [n]; one may be chosen repeatedly."""
        return Prediction(self.log_p[chosen], [layer.of_streams(chosen) for layer in self.layers])


class Predictor:
    """Reads characters and says what comes next."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self._stack = CellStack(checkpoint.model_config, checkpoint.weights)
        self._unknown_probability = checkpoint.unknown_probability

    @property
    def hidden_size(self) -> int:
        return self._stack.config.hidden_size

    def start(self, batch_size: int = 1) -> Prediction:
        """The prediction before the first character of a text: zero state, boundary read."""
        boundary_B = np.full(batch_size, self.vocabulary.boundary)
        return self._read(boundary_B, self._stack.zero_state(batch_size))

    def read(self, ids_B: npt.NDArray[np.integer], before: Prediction) -> Prediction:
        """The prediction after one more character in each of B streams."""
        return self._read(ids_B, before.layers)

    def read_text(self, text: str, before: Prediction) -> Prediction:
        """The prediction after a text, read in a single stream."""
        for number in self.vocabulary.encode(text):
            before = self._read(np.array([number]), before.layers)
        return before

    def trace(self, text: Split) -> Iterator[tuple[Prediction, Prediction]]:
        """The predictions before and after each character; each document from a zero state."""
        beginning = after = self.start()
        starts = set(text.starts.tolist())
        for place, number in enumerate(text.ids):
            before = beginning if place in starts else after
            after = self._read(np.array([number]), before.layers)
            yield before, after

    def without_unknown(self, text: str) -> str:
        """The text without characters outside the vocabulary."""
        unknown = set(self.vocabulary.unknown_in(text))
        return "".join(char for char in text if char not in unknown)

    def require_known(self, text: str) -> None:
        """Refuse a text with characters outside the vocabulary.

        Raises:
            CorpusError: naming them.
        """
        if unknown := self.vocabulary.unknown_in(text):
            shown = ", ".join(f"{char!r} (U+{ord(char):04X})" for char in unknown[:5])
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise CorpusError(f"not in the model's vocabulary: {shown}{more}")

    def _read(self, ids_B: npt.NDArray[np.integer], before: list[Step]) -> Prediction:
        logits, layers = self._stack.step(ids_B, before)
        return Prediction(
            log_softmax(logits, unknown_probability=self._unknown_probability), layers
        )
