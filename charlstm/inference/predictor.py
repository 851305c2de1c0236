"""A trained model that predicts, without torch.

Shapes: B streams side by side, V symbols that can be predicted, N characters of a text.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.evaluation.scores import Prediction, Scores
from charlstm.model.cell import Array, CellSpec, CellStack, LayerState
from charlstm.model.checkpoints import Checkpoint
from charlstm.ngram.counts import Numbers
from charlstm.ngram.interpolation import Counts
from charlstm.text.split import Split
from charlstm.text.walk import side_by_side

_MAX_STREAMS: Final = 64


class PredictorState(NamedTuple):
    """The state of B streams after some characters, and what comes next.

    Args:
        log_p: natural logarithms of the next symbol's probabilities, float32 [B, V].
        layers: what each layer did in the last step.
        context_BK: what counts know of the text, as `NgramModel.read` gives it; K is 0 without any.
    """

    log_p: Array
    layers: list[LayerState]
    context_BK: Numbers

    def of_streams(self, chosen: npt.NDArray[np.intp]) -> "PredictorState":
        """The prediction for some of the streams, by number [n]; one may be chosen repeatedly."""
        return PredictorState(
            self.log_p[chosen],
            [layer.of_streams(chosen) for layer in self.layers],
            self.context_BK[chosen],
        )

    def restarted(
        self, chosen_B: npt.NDArray[np.bool_], start: "PredictorState"
    ) -> "PredictorState":
        """The same, but for chosen streams, bool [B], as at the beginning of a document."""
        place_B = np.where(chosen_B, len(self.log_p), np.arange(len(self.log_p)))
        return self.joined(start).of_streams(place_B)

    def joined(self, other: "PredictorState") -> "PredictorState":
        """The streams of both side by side."""
        layers = [one.joined(two) for one, two in zip(self.layers, other.layers, strict=True)]
        return PredictorState(
            np.concatenate([self.log_p, other.log_p]),
            layers,
            np.concatenate([self.context_BK, other.context_BK]),
        )


class Predictor:
    """Reads characters and says what comes next.

    Args:
        counts: of the training text, to be mixed with the network; None for the network alone.
    """

    def __init__(self, checkpoint: Checkpoint, *, counts: Counts | None = None) -> None:
        spec = checkpoint.spec
        self.counts = counts
        self.alphabet = spec.alphabet
        self._stack = CellStack(
            spec.model_config,
            checkpoint.weights,
            unknown_probability=self.alphabet.unknown_probability,
        )

    @property
    def hidden_size(self) -> int:
        return self._stack.config.hidden_size

    @property
    def cell(self) -> CellSpec:
        return self._stack.config.spec

    def start(self, batch_size: int = 1) -> PredictorState:
        """The prediction before the first character of a text: zero state, boundary read."""
        boundary_B = np.full(batch_size, self.alphabet.boundary)
        context_BK = np.empty((batch_size, 0), np.int32)
        if self.counts is not None:
            context_BK = self.counts.ngrams.start(batch_size)
        return self._read(boundary_B, self._stack.zero_state(batch_size), context_BK)

    def read(self, ids_B: npt.NDArray[np.integer], before: PredictorState) -> PredictorState:
        """The prediction after one more character in each of B streams."""
        context_BK = before.context_BK
        if self.counts is not None:
            context_BK = self.counts.ngrams.read(ids_B, context_BK)
        return self._read(ids_B, before.layers, context_BK)

    def read_text(self, symbols: str, before: PredictorState) -> PredictorState:
        """The prediction after a text, read in one stream; what ends a document restarts it."""
        for symbol in self.alphabet.encode(symbols):
            is_end = symbol == self.alphabet.end_id
            before = self.start() if is_end else self.read(np.array([symbol]), before)
        return before

    def trace(self, text: Split) -> Iterator[tuple[PredictorState, PredictorState]]:
        """The predictions before and after each character; each document from a zero state."""
        beginning = after = self.start()
        starts = set(text.starts.tolist())
        for place, symbol in enumerate(text.ids):
            before = beginning if place in starts else after
            after = self.read(np.array([symbol]), before)
            yield before, after

    def score(self, text: Split) -> Scores:
        """Score every character once, documents side by side.

        Raises:
            CorpusError: when there are no characters.
        """
        return Scores.of(self.predictions(text), text)

    def predictions(self, text: Split) -> Iterator[Prediction]:
        """The distribution of every character, in any order, documents side by side."""
        state = self.start()
        for (place_B,), _, is_first in side_by_side(text, num_documents=_MAX_STREAMS):
            if is_first:
                state = self.start(len(place_B))
            else:
                if len(place_B) < len(state.log_p):
                    state = state.of_streams(np.arange(len(place_B)))
                state = self.read(text.ids[place_B - 1], state)
            yield place_B, state.log_p

    def _read(
        self, ids_B: npt.NDArray[np.integer], before: list[LayerState], context_BK: Numbers
    ) -> PredictorState:
        logits, layers = self._stack.step(ids_B, before)
        log_p = self._stack.log_probabilities(logits)
        if self.counts is not None:
            log_p = self.counts.mixed(log_p, *self.counts.ngrams.log_probabilities(context_BK))
        return PredictorState(log_p, layers, context_BK)
