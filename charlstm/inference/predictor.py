"""Prediction with a trained model, without torch.

Shapes: B parallel streams, V tokens that can be predicted, N characters of a text.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.evaluation.scores import CharLosses, Prediction
from charlstm.model.cell import Array, CellSpec, CellStack, LayerState
from charlstm.model.checkpoints import Checkpoint
from charlstm.ngram.counts import NgramNumbers
from charlstm.ngram.interpolation import InterpolatedNgrams
from charlstm.text.encoded_text import EncodedText, parallel_windows

_MAX_STREAMS: Final = 64


class PredictorState(NamedTuple):
    """The state of B streams after some characters, and the prediction of the next one.

    Args:
        log_p: log-probabilities of the next token, in nats, float32 [B, V].
        layers: state and gates of each layer after the last step.
        context_BK: context of the n-gram model, as in `NgramModel.read`; K is 0 without one.
    """

    log_p: Array
    layers: list[LayerState]
    context_BK: NgramNumbers

    def of_streams(self, chosen: npt.NDArray[np.intp]) -> "PredictorState":
        """Return the state of the streams with these indices [n], which may repeat."""
        return PredictorState(
            self.log_p[chosen],
            [{name: values[chosen] for name, values in layer.items()} for layer in self.layers],
            self.context_BK[chosen],
        )

    def restarted(
        self, chosen_B: npt.NDArray[np.bool_], start: "PredictorState"
    ) -> "PredictorState":
        """Return the state with the chosen streams, bool [B], reset to the start of a document."""
        stream_B = np.where(chosen_B, len(self.log_p), np.arange(len(self.log_p)))
        return self.joined(start).of_streams(stream_B)

    def joined(self, other: "PredictorState") -> "PredictorState":
        """Concatenate the streams of two states."""
        layers = [
            {name: np.concatenate([values, others[name]]) for name, values in own.items()}
            for own, others in zip(self.layers, other.layers, strict=True)
        ]
        return PredictorState(
            np.concatenate([self.log_p, other.log_p]),
            layers,
            np.concatenate([self.context_BK, other.context_BK]),
        )


class Predictor:
    """A model that reads characters and predicts the next one.

    Args:
        counts: n-gram model to interpolate with the LSTM; None to use only the LSTM.
    """

    def __init__(self, checkpoint: Checkpoint, *, counts: InterpolatedNgrams | None = None) -> None:
        spec = checkpoint.spec
        self.counts = counts
        self.tokenizer = spec.tokenizer
        self._stack = CellStack(
            spec.model_config,
            checkpoint.weights,
            unknown_probability=self.tokenizer.unknown_probability,
        )

    @property
    def hidden_size(self) -> int:
        return self._stack.config.hidden_size

    @property
    def cell(self) -> CellSpec:
        return self._stack.config.spec

    def start(self, batch_size: int = 1) -> PredictorState:
        """Return the state at the start of a document: zero state, after reading BOS."""
        bos_B = np.full(batch_size, self.tokenizer.bos_id)
        context_BK = np.empty((batch_size, 0), np.int32)
        if self.counts is not None:
            context_BK = self.counts.ngrams.start(batch_size)
        return self._read(bos_B, self._stack.zero_state(batch_size), context_BK)

    def read(self, ids_B: npt.NDArray[np.integer], before: PredictorState) -> PredictorState:
        """Return the state after one more token in each of B streams."""
        context_BK = before.context_BK
        if self.counts is not None:
            context_BK = self.counts.ngrams.read(ids_B, context_BK)
        return self._read(ids_B, before.layers, context_BK)

    def read_all(self, symbols: str, before: PredictorState) -> PredictorState:
        """Return the state after a text in a single stream; EOS resets it."""
        for token in self.tokenizer.encode(symbols):
            is_eos = token == self.tokenizer.eos_id
            before = self.start() if is_eos else self.read(np.array([token]), before)
        return before

    def trace(self, text: EncodedText) -> Iterator[tuple[PredictorState, PredictorState]]:
        """Yield the states before and after each character; each document starts from zero."""
        start = after = self.start()
        starts = set(text.starts.tolist())
        for position, token in enumerate(text.ids):
            before = start if position in starts else after
            after = self.read(np.array([token]), before)
            yield before, after

    def score(self, text: EncodedText) -> CharLosses:
        """Score every character once.

        Raises:
            CorpusError: when there are no characters.
        """
        return CharLosses.of(self.predictions(text), text)

    def predictions(self, text: EncodedText) -> Iterator[Prediction]:
        """Yield the predictions of every character, in no particular order."""
        state = self.start()
        for (position_B,), _, is_first in parallel_windows(text, num_documents=_MAX_STREAMS):
            if is_first:
                state = self.start(len(position_B))
            else:
                if len(position_B) < len(state.log_p):
                    state = state.of_streams(np.arange(len(position_B)))
                state = self.read(text.ids[position_B - 1], state)
            yield position_B, state.log_p

    def _read(
        self, ids_B: npt.NDArray[np.integer], before: list[LayerState], context_BK: NgramNumbers
    ) -> PredictorState:
        logits, layers = self._stack.step(ids_B, before)
        log_p = self._stack.log_probabilities(logits)
        if self.counts is not None:
            log_p = self.counts.interpolated(
                log_p, *self.counts.ngrams.log_probabilities(context_BK)
            )
        return PredictorState(log_p, layers, context_BK)
