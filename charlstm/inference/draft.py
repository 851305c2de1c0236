"""A text that is being typed, with a model's prediction at each position.

Each token is read once, in small units of work between which keys can be handled. States are
cached, so that moving the cursor and deleting text need no further reading.

Shapes: B parallel streams, V tokens that can be predicted.
"""

from dataclasses import replace
from itertools import zip_longest
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import SampleConfig
from charlstm.inference.prediction import NextCharacters, ranked
from charlstm.inference.predictor import Predictor, PredictorState
from charlstm.inference.sampling import build_filters, draw, max_chars, next_distribution
from charlstm.text.vocabulary import UNKNOWN

NUM_CANDIDATES: Final = 9  # picked by the digits 1 to 9

_CONTEXTS: Final = (1, 2, 4, 8, 16)
_MAX_CHARS: Final = 10_000
_MAX_KEPT_BYTES: Final = 1 << 28
_MAX_TYPED_AHEAD: Final = 32
_LINE: Final = "\n"


class _Position(NamedTuple):
    """Cached results at a position of the text.

    Args:
        state: after reading the document up to here.
        contexts: predictions from only the last 1, 2, 4, ... characters, as far as known.
    """

    state: PredictorState
    contexts: list[NextCharacters]


class Draft:
    """A text under a cursor.

    Args:
        config: how to sample; `length` limits the lines that the model writes.
        generator: source of randomness for sampling.

    Attributes:
        text: normalized characters, see `CharTokenizer`.
        cursor: position where the next character is typed and predicted.
        config: the configuration with the current temperature.
        max_chars: maximum length in normalized characters, so that the cached states fit in memory.
        notice: why the last action was not completed, or empty.
    """

    def __init__(
        self, predictor: Predictor, config: SampleConfig, *, generator: np.random.Generator
    ) -> None:
        self.tokenizer = predictor.tokenizer
        self.text = ""
        self.cursor = 0
        self.config = config
        self.notice = ""
        self._predictor = predictor
        self._generator = generator
        self._num_to_write = 0
        self._start = predictor.start()
        # Indexed by the number of tokens before the position; ends where reading has stopped.
        self._positions = [_Position(self._start, [])]
        self.max_chars = max(1, min(_MAX_CHARS, _MAX_KEPT_BYTES // _num_bytes(self._start)))

    @property
    def num_read(self) -> int:
        """Number of tokens that the model has read."""
        return len(self._positions) - 1

    @property
    def is_writing(self) -> bool:
        return self._num_to_write > 0

    @property
    def document_start(self) -> int:
        """Start of the document under the cursor: after the last EOS."""
        eos = self.tokenizer.eos
        return 0 if eos is None else self.text.rfind(eos, 0, self.cursor) + 1

    def insert(self, text: str) -> None:
        """Insert typed or pasted text; line ends may be LF, CR or CR LF."""
        self._stop()
        text = text.replace("\r\n", _LINE).replace("\r", _LINE)
        tokens = self.tokenizer.to_chars(text)
        before = self.text[max(0, self.cursor - 1) : self.cursor]
        start = self.cursor
        if self.tokenizer.config.normalize == "nfc":
            # A combining accent may be typed after its letter.
            composed = self.tokenizer.to_chars(before + text)
            if not composed.startswith(before):
                start, tokens = start - 1, composed
        fitting = tokens[: self.max_chars - (len(self.text) - (self.cursor - start))]
        if len(fitting) < len(tokens):
            self.notice = (
                f"full at {self.max_chars:,} characters: "
                f"{len(tokens) - len(fitting):,} of {len(tokens):,} omitted"
            )
        if fitting:
            self._replace(start, fitting)

    def delete(self) -> None:
        """Delete the character before the cursor."""
        self._stop()
        if self.cursor:
            self._replace(self.cursor - 1, "")

    def move(self, num_chars: int) -> None:
        """Move the cursor within the text."""
        self._stop()
        self.cursor = min(max(0, self.cursor + num_chars), len(self.text))

    def change_temperature(self, difference: float) -> None:
        """Change the temperature by a difference; the minimum is 0."""
        self._stop()
        temperature = max(0.0, round(self.config.temperature + difference, 2))
        self.config = replace(self.config, temperature=temperature)

    def pick(self, rank: int) -> None:
        """Insert the candidate with this rank, from 0; unknown is not inserted."""
        self._stop()
        if self.cursor - self.num_read > _MAX_TYPED_AHEAD:
            return  # candidates are not shown yet while a long text is being read
        while self.num_read < self.cursor:
            self._read()
        order_V = np.argsort(-self._positions[self.cursor].state.log_p[0], kind="stable")
        if rank < len(order_V) and order_V[rank] != UNKNOWN:
            self._append(order_V[rank : rank + 1])

    def write_line(self) -> None:
        """Start writing with the model, up to the end of the line or document."""
        self._stop()
        self._num_to_write = max_chars(self.config, self.tokenizer)

    def work(self) -> bool:
        """Do the next step of pending work; return False if there is none.

        The prediction at the cursor has priority.
        """
        if self.num_read < self.cursor:
            self._read()
        elif self.is_writing:
            self._write()
        elif self._read_context():
            pass
        elif self.num_read < len(self.text):
            self._read()
        else:
            return False
        return True

    def nats(self, first: int, last: int) -> list[float | None]:
        """Return the losses of tokens `first` to `last` (exclusive); None if not read yet."""
        ids = self.tokenizer.encode(self.text[first:last])
        done = self._positions[first:last]
        nats: list[float | None] = [
            -float(position.state.log_p[0, token])
            for position, token in zip(done, ids, strict=False)
        ]
        return nats + [None] * (len(ids) - len(done))

    def prediction(self) -> NextCharacters | None:
        """Return the top candidates at the cursor, or None if the text is not read yet."""
        if self.num_read < self.cursor:
            return None
        return self._ranked(self._positions[self.cursor].state)

    def ladder(self) -> list[tuple[int, NextCharacters | None]]:
        """Return predictions from the last 0, 1, 2, 4, 8, ... and all characters of a document.

        Pairs of the number of characters and the prediction, None while it is pending.
        """
        num_chars = self.cursor - self.document_start
        contexts = [] if self.num_read < self.cursor else self._positions[self.cursor].contexts
        shorter = zip_longest(self._shorter_contexts(), contexts)
        whole = [(num_chars, self.prediction())] if num_chars else []
        return [(0, self._ranked(self._start)), *shorter, *whole]

    def gates(self) -> list[dict[str, float]]:
        """Return each layer's gate activations at the last token, averaged over units."""
        layers = self._positions[min(self.cursor, self.num_read)].state.layers
        gates = self._predictor.cell.gates
        return [{name: float(layer[name].mean()) for name in gates} for layer in layers]

    def _stop(self) -> None:
        self._num_to_write = 0
        self.notice = ""

    def _append(self, ids: npt.NDArray[np.integer]) -> None:
        if len(self.text) < self.max_chars:
            self._replace(self.cursor, self.tokenizer.decode(ids))
        else:
            self.notice = f"full at {self.max_chars:,} characters"

    def _replace(self, start: int, tokens: str) -> None:
        """Replace the tokens from `start` to the cursor."""
        self.text = self.text[:start] + tokens + self.text[self.cursor :]
        self.cursor = start + len(tokens)
        del self._positions[start + 1 :]

    def _read(self) -> None:
        """Read the next unread token."""
        (token,) = self.tokenizer.encode(self.text[self.num_read])
        is_eos = token == self.tokenizer.eos_id
        before = self._positions[-1].state
        after = self._start if is_eos else self._predictor.read(np.array([token]), before)
        self._positions.append(_Position(after, []))

    def _write(self) -> None:
        """Sample a token."""
        filters = build_filters(self.config, self.tokenizer)
        log_p = next_distribution(self._positions[self.cursor].state.log_p, filters)
        self._append(draw(log_p, self._generator.random(1)))
        self._num_to_write -= 1
        if self.notice or self.text[self.cursor - 1] in (_LINE, self.tokenizer.eos):
            self._num_to_write = 0

    def _read_context(self) -> bool:
        """Predict from the next longer context at the cursor; return False if all are known."""
        contexts = self._positions[self.cursor].contexts
        for length in self._shorter_contexts()[len(contexts) :]:
            context = self.text[self.cursor - length : self.cursor]
            contexts.append(self._ranked(self._predictor.read_all(context, self._start)))
            return True
        return False

    def _shorter_contexts(self) -> list[int]:
        """Return the context lengths shorter than the document up to the cursor."""
        return [length for length in _CONTEXTS if length < self.cursor - self.document_start]

    def _ranked(self, state: PredictorState) -> NextCharacters:
        return ranked(self.tokenizer, state.log_p[0].astype(np.float64), top=NUM_CANDIDATES)


def _num_bytes(state: PredictorState) -> int:
    arrays = [state.log_p, state.context_BK]
    for layer in state.layers:
        arrays += layer.values()
    return sum(array.nbytes for array in arrays)
