"""A text that is being typed, and what a model predicts at each place of it.

Every symbol is read once, in small pieces of work between which keys can be answered. The
prediction after it is kept, so that moving and deleting read nothing again.

Shapes: B streams side by side, V symbols that can be predicted.
"""

from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import SampleConfig
from charlstm.inference.prediction import NextCharacters, ranked
from charlstm.inference.predictor import Predictor, PredictorState
from charlstm.inference.sampling import draw, filters_of, max_chars, next_distribution
from charlstm.text.vocabulary import UNKNOWN

NUM_CANDIDATES: Final = 9  # as there are digits to pick them by

_CONTEXTS: Final = (1, 2, 4, 8, 16)
_MAX_CHARS: Final = 10_000
_MAX_KEPT_BYTES: Final = 1 << 28
_MAX_TYPED_AHEAD: Final = 32
_LINE: Final = "\n"


class Rung(NamedTuple):
    """A prediction from the last characters alone; None where it is still to be made."""

    num_context: int
    prediction: NextCharacters | None


@dataclass(slots=True)
class _Place:
    """What was found out about a place in a text, from the text before it.

    Args:
        state: after all of the document that was read.
        contexts: predictions from its last characters alone, by length; None until they are made.
    """

    state: PredictorState
    contexts: list[NextCharacters] | None = None


class Draft:
    """A text under a cursor.

    Args:
        predictor: its prediction after each symbol is kept.
        config: how characters are drawn; `length` is the longest line that is written.
        generator: draws them.

    Attributes:
        text: in symbols, as `Alphabet` has them.
        cursor: the place, in symbols, where the next character is typed and predicted.
        config: with the temperature as it was changed.
        max_chars: the longest text whose predictions fit in memory, in symbols.
        notice: what the last action could not do; empty where there is nothing to tell.
    """

    def __init__(
        self, predictor: Predictor, config: SampleConfig, *, generator: np.random.Generator
    ) -> None:
        self.alphabet = predictor.alphabet
        self.text = ""
        self.cursor = 0
        self.config = config
        self.notice = ""
        self._predictor = predictor
        self._generator = generator
        self._num_to_write = 0
        self._start = predictor.start()
        # After so many symbols; what was not read yet is missing at the end.
        self._places = [_Place(self._start)]
        # Streams that have read the last 1, 2, 3 ... symbols before a place.
        self._suffixes: PredictorState | None = None
        self._suffixes_at = 0
        self.max_chars = max(1, min(_MAX_CHARS, _MAX_KEPT_BYTES // _num_bytes(self._start)))

    @property
    def num_read(self) -> int:
        """Symbols of the text that the model has read."""
        return len(self._places) - 1

    @property
    def is_writing(self) -> bool:
        return self._num_to_write > 0

    @property
    def document_start(self) -> int:
        """Where the document under the cursor begins: after the last symbol that ended one."""
        end = self.alphabet.end
        return 0 if end is None else self.text.rfind(end, 0, self.cursor) + 1

    def insert(self, text: str) -> None:
        """Insert a text as people type or paste it; a line end may be CR."""
        self._stop()
        text = text.replace("\r\n", _LINE).replace("\r", _LINE)
        symbols = self.alphabet.to_symbols(text)
        before = self.text[max(0, self.cursor - 1) : self.cursor]
        start = self.cursor
        if self.alphabet.normalize == "nfc" and not self.alphabet.is_byte:
            # An accent may have been typed after its letter.
            joined = self.alphabet.to_symbols(before + text)
            if not joined.startswith(before):
                start, symbols = start - 1, joined
        fitting = symbols[: self.max_chars - (len(self.text) - (self.cursor - start))]
        if len(fitting) < len(symbols):
            self.notice = (
                f"full at {self.max_chars:,} characters: "
                f"{len(symbols) - len(fitting):,} of {len(symbols):,} left out"
            )
        if fitting:
            self._replace(start, fitting)

    def delete(self) -> None:
        """Take away the character before the cursor."""
        self._stop()
        if self.cursor:
            self._replace(self.cursor - 1, "")

    def move(self, num_chars: int) -> None:
        """Move the cursor, as far as there is text."""
        self._stop()
        self.cursor = min(max(0, self.cursor + num_chars), len(self.text))

    def change_temperature(self, difference: float) -> None:
        """Raise or lower it, to 0 at the least."""
        self._stop()
        temperature = max(0.0, round(self.config.temperature + difference, 2))
        self.config = replace(self.config, temperature=temperature)

    def pick(self, rank: int) -> None:
        """Insert a candidate; 0 is the most likely. Unknown is none that could be written."""
        self._stop()
        if self.cursor - self.num_read > _MAX_TYPED_AHEAD:
            return  # of a long text that is still being read nothing is shown yet
        while self.num_read < self.cursor:
            self._read()
        order_V = np.argsort(-self._places[self.cursor].state.log_p[0], kind="stable")
        if rank < len(order_V) and order_V[rank] != UNKNOWN:
            self._append(order_V[rank : rank + 1])

    def write_line(self) -> None:
        """Let the model write to the end of the line, or of the document, from now on."""
        self._stop()
        self._num_to_write = max_chars(self.config, self.alphabet)

    def work(self) -> bool:
        """Do the next piece of what is to be done, a step of the model; False when all is done.

        What the cursor's place needs comes first.
        """
        if self.num_read < self.cursor:
            self._read()
        elif self.is_writing:
            self._write()
        elif self._places[self.cursor].contexts is None:
            self._read_contexts()
        elif self.num_read < len(self.text):
            self._read()
        else:
            return False
        return True

    def nats(self, first: int, last: int) -> list[float | None]:
        """What each symbol from `first` to before `last` cost; None where it wasn't read yet."""
        ids = self.alphabet.encode(self.text[first:last])
        known = self._places[first:last]
        costs: list[float | None] = [
            -float(place.state.log_p[0, symbol]) for place, symbol in zip(known, ids, strict=False)
        ]
        return costs + [None] * (len(ids) - len(known))

    def prediction(self) -> NextCharacters | None:
        """What comes next at the cursor, the most likely alone named; None until it is read."""
        if self.num_read < self.cursor:
            return None
        return self._ranked(self._places[self.cursor].state)

    def ladder(self) -> list[Rung]:
        """The same from the last 0, 1, 2, 4, 8 ... and finally all characters of the document."""
        num_chars = self.cursor - self.document_start
        lengths = self._shorter_contexts()
        found = None if self.num_read < self.cursor else self._places[self.cursor].contexts
        rungs = [Rung(0, self._ranked(self._start)), *map(Rung, lengths, found or repeat(None))]
        return [*rungs, Rung(num_chars, self.prediction())] if num_chars else rungs

    def gates(self) -> list[dict[str, float]]:
        """How open each layer's gates were, mean over its units, when it read the last symbol."""
        layers = self._places[min(self.cursor, self.num_read)].state.layers
        return [
            {name: float(gate.mean()) for name, gate in layer.gates.items()} for layer in layers
        ]

    def _stop(self) -> None:
        self._num_to_write = 0
        self.notice = ""

    def _append(self, ids: npt.NDArray[np.integer]) -> None:
        if len(self.text) < self.max_chars:
            self._replace(self.cursor, self.alphabet.decode(ids))
        else:
            self.notice = f"full at {self.max_chars:,} characters"

    def _replace(self, start: int, symbols: str) -> None:
        """Put symbols in the place of those from `start` to the cursor."""
        self.text = self.text[:start] + symbols + self.text[self.cursor :]
        self.cursor = start + len(symbols)
        del self._places[start + 1 :]
        if self._suffixes_at > start:
            self._suffixes = None

    def _read(self) -> None:
        """Read the first symbol that wasn't yet."""
        (symbol,) = self.alphabet.encode(self.text[self.num_read])
        is_end = symbol == self.alphabet.end_id
        before = self._places[-1].state
        after = self._start if is_end else self._predictor.read(np.array([symbol]), before)
        self._places.append(_Place(after))

    def _write(self) -> None:
        """Draw a symbol, as `sample` would."""
        filters = filters_of(self.config, self.alphabet)
        log_p = next_distribution(self._places[self.cursor].state.log_p, filters)
        self._append(draw(log_p, self._generator.random(1)))
        self._num_to_write -= 1
        if self.notice or self.text[self.cursor - 1] in (_LINE, self.alphabet.end):
            self._num_to_write = 0

    def _read_contexts(self) -> None:
        """Let every stream of the ladder read a symbol more, and the next stream begin.

        One step, where the cursor has moved on by a character.
        """
        first = max(self.document_start, self.cursor - _CONTEXTS[-1])
        streams = self._suffixes
        num_streams = 0 if streams is None else len(streams.log_p)
        if not self._suffixes_at - num_streams <= first <= self._suffixes_at <= self.cursor:
            streams, num_streams, self._suffixes_at = None, 0, first
        if self._suffixes_at < self.cursor:
            kept = np.arange(min(num_streams, _CONTEXTS[-1] - 1))
            streams = (
                self._start if streams is None else self._start.joined(streams.of_streams(kept))
            )
            (symbol,) = self.alphabet.encode(self.text[self._suffixes_at])
            streams = self._predictor.read(np.full(len(streams.log_p), symbol), streams)
            self._suffixes_at += 1
        self._suffixes = streams
        if self._suffixes_at == self.cursor:
            self._places[self.cursor].contexts = [
                self._ranked(self._suffixes, length - 1)
                for length in self._shorter_contexts()
                if self._suffixes is not None
            ]

    def _shorter_contexts(self) -> list[int]:
        """Lengths of context that are less than all of the document."""
        return [length for length in _CONTEXTS if length < self.cursor - self.document_start]

    def _ranked(self, state: PredictorState, stream: int = 0) -> NextCharacters:
        return ranked(self.alphabet, state.log_p[stream].astype(np.float64), top=NUM_CANDIDATES)


def _num_bytes(state: PredictorState) -> int:
    arrays = [state.log_p, state.context_BK]
    for layer in state.layers:
        arrays += [layer.h, layer.c, layer.candidate, *layer.gates.values()]
    return sum(array.nbytes for array in arrays)
