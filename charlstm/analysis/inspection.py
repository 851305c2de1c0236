"""Gates, cell states, and units that track features of the text.

Shapes: L layers, N characters read, H hidden size, U units of all layers, K shifted copies.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.config import NATS_PER_BIT
from charlstm.errors import ConfigError
from charlstm.inference.prediction import Candidate, ranked
from charlstm.inference.predictor import Predictor
from charlstm.model.cell import Array, CellSpec, LayerState
from charlstm.system import notebook_html
from charlstm.text.encoded_text import EncodedText
from charlstm.text.features import FEATURES
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.visible import named

# Thresholds of saturated gates (Karpathy, Johnson & Li 2015).
CLOSED_BELOW: Final = 0.1
OPEN_ABOVE: Final = 0.9

_NUM_CANDIDATES: Final = 5
_MAX_SHOWN_CHARS: Final = 120
_NUM_SHOWN_UNITS: Final = 6
_GATE_CHARS: Final = 256
_MIN_POSITIVES: Final = 20
_NUM_BEST_UNITS: Final = 3
_NUM_SHIFTS: Final = 20
_STRETCH_CHARS: Final = 10
_MARKED_CHARS: Final = 6
_LETTER: Final = "\u00aa"  # neither upper nor lower case

Floats = npt.NDArray[np.float64]


class Character(NamedTuple):
    """A character of a text, as the model sees it.

    Args:
        char: in readable form.
        bits: its surprisal.
        probability: the probability that the model assigned to it.
        candidates: the most likely characters at its position.
    """

    char: str
    bits: float
    probability: float
    candidates: tuple[Candidate, ...]

    @property
    def nats(self) -> float:
        """Its surprisal in nats."""
        return self.bits * NATS_PER_BIT


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A text with a model's predictions, gates and states at each character.

    `trace[name]` are values by name.

    Args:
        values: name -> float32 [L, N, H]. For an LSTM: `input`, `forget`, `output` (gates, 0 to 1),
            `candidate`, `cell` (cell state) and `hidden` (hidden state, -1 to 1). A GRU has its own
            gates, and a plain RNN only `hidden`.
    """

    characters: tuple[Character, ...]
    values: dict[str, Array]
    cell: CellSpec

    @property
    def text(self) -> tuple[str, ...]:
        """The characters in readable form."""
        return tuple(character.char for character in self.characters)

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of values that are gates."""
        return self.cell.gates

    def __getitem__(self, name: str) -> Array:
        return self.values[name]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values["hidden"].shape))
        return f"<{', '.join(self.values)}: {shape} each: layers, characters, units>"

    def _repr_html_(self) -> str:
        """Render the last layer's units with the most variable hidden state, and their gates."""
        shown = slice(0, _MAX_SHOWN_CHARS)
        order = np.argsort(-self.values["hidden"][-1].std(0), kind="stable")
        units = [int(unit) for unit in order[:_NUM_SHOWN_UNITS]]
        chars = [*map(named, self.text[shown])]
        parts = [
            notebook_html.titled(
                f"{name}, last layer",
                notebook_html.heat(
                    self.values[name][-1][shown, units],
                    chars,
                    [f"unit {unit}" for unit in units],
                    least=0 if name in self.gates else -1,
                ),
            )
            for name in ("hidden", *self.gates)
        ]
        return "".join(parts)


@dataclass(frozen=True, kw_only=True)
class GateStatistics:
    """Statistics of a gate over units and characters.

    Args:
        mean: mean activation, 0 to 1.
        closed: fraction of activations below 0.1.
        open: fraction of activations above 0.9.
    """

    mean: float
    closed: float
    open: float


class UnitScore(NamedTuple):
    """A unit that tracks a feature of the text.

    Args:
        score: area under the ROC curve for binary features, correlation for counts; negative
            association gives values below 0.5 or 0.
        place: position of the strongest activation in the text.
        stretch: the readable text around it.
        marked: a shorter passage, with the character in brackets.
    """

    layer: int
    unit: int
    score: float
    place: int
    stretch: str
    marked: str


@dataclass(frozen=True, kw_only=True)
class TrackedFeature:
    """A feature of the text, and the units that track it best.

    Args:
        measure: `auc` or `correlation`.
        chance: the best unit's score on shifted text, averaged over 20 shifts.
        units: best first.
    """

    feature: str
    measure: str
    chance: float
    units: tuple[UnitScore, ...]

    @property
    def strength(self) -> float:
        """Absolute association of the best unit, from 0 to 1, for either measure."""
        score = self.units[0].score
        return abs(2 * score - 1) if self.measure == "auc" else abs(score)


def trace(predictor: Predictor, text: EncodedText) -> Trace:
    """Record a model's activations on a text; needs some kilobytes per character.

    Raises:
        ConfigError: when it is empty.
    """
    if not text.num_chars:
        raise ConfigError("the text is empty")
    characters = []
    steps: list[list[LayerState]] = []
    tokenizer = predictor.tokenizer
    for char, token, (before, after) in zip(
        tokenizer.decode(text.ids), text.ids, predictor.trace(text), strict=True
    ):
        log_p_V = before.log_p[0].astype(np.float64)
        characters.append(
            Character(
                char=tokenizer.to_text(char),
                bits=float(-log_p_V[token]) / NATS_PER_BIT,
                probability=math.exp(log_p_V[token]),
                candidates=ranked(tokenizer, log_p_V, top=_NUM_CANDIDATES).next,
            )
        )
        steps.append(after.layers)
    layers = [*zip(*steps, strict=True)]
    values = {
        name: np.array([[step[name][0] for step in layer] for layer in layers])
        for name in predictor.cell.values
    }
    return Trace(characters=tuple(characters), values=values, cell=predictor.cell)


def gate_text(val: EncodedText, train: EncodedText) -> EncodedText:
    """Return the start of the validation text, or of the training text if that is empty."""
    return (val if val.num_chars else train).part(0, _GATE_CHARS)


def gate_statistics(predictor: Predictor, text: EncodedText) -> list[dict[str, GateStatistics]]:
    """Return statistics of each gate on a text, layer by layer."""
    steps = [after.layers for _, after in predictor.trace(text)]
    return [
        {
            gate: _statistics(np.array([step[gate] for step in layer]))
            for gate in predictor.cell.gates
        }
        for layer in zip(*steps, strict=True)
    ]


def most_variable_units(traced: Trace, layer: int, number: int) -> list[int]:
    """Return a layer's units with the most variable gates, in descending order.

    Uses the gates that mix the old state with the candidate; for a plain RNN, the hidden state.
    """
    measured = traced.cell.memory_gates or ("hidden",)
    spread_H = np.max([traced[name][layer].std(0) for name in measured], axis=0)
    order = np.argsort(-spread_H, kind="stable")
    return [int(unit) for unit in order[:number]]


def track_features(predictor: Predictor, text: EncodedText) -> list[TrackedFeature]:
    """Find the units that best track each feature of `text.features`.

    Non-ASCII bytes count as letters.

    Args:
        text: at least 200 characters; a few thousand are better.

    Raises:
        ConfigError: when the text is too short.
    """
    memory = "cell" if predictor.cell.has_cell_state else "hidden"
    memories = [
        np.concatenate([np.tanh(layer[memory][0]) for layer in after.layers])
        for _, after in predictor.trace(text)
    ]
    if len(memories) < 10 * _MIN_POSITIVES:
        raise ConfigError(
            f"{len(memories)} characters are too few to find units that track features; "
            f"use at least {10 * _MIN_POSITIVES}"
        )
    memory_NU = np.array(memories, np.float64)
    hidden_size = predictor.hidden_size
    rank_NU = _ranks(memory_NU)
    tokenizer = predictor.tokenizer
    chars = tokenizer.decode(text.ids)
    standard_NU = (memory_NU - memory_NU.mean(0)) / np.maximum(memory_NU.std(0), 1e-12)
    # Shifted text has the same statistics, but no association with the units.
    shifts = np.random.default_rng(0).integers(
        _MIN_POSITIVES, len(chars) - _MIN_POSITIVES, _NUM_SHIFTS
    )
    readable = chars
    if tokenizer.is_byte:
        readable = "".join(char if char.isascii() else _LETTER for char in chars)
    tracked = []
    for feature, compute in FEATURES.items():
        values_N = compute(readable)
        is_binary = values_N.dtype == np.bool_
        if is_binary and not _MIN_POSITIVES <= values_N.sum() <= len(chars) - _MIN_POSITIVES:
            continue
        if not is_binary and np.unique(values_N).size < 3:
            continue
        copies_NK = np.stack([np.roll(values_N, shift) for shift in (0, *shifts)], 1).astype(float)
        scores_UK = _auc(rank_NU, copies_NK) if is_binary else _correlation(standard_NU, copies_NK)
        strength_UK = np.abs(scores_UK - (0.5 if is_binary else 0.0))
        best = np.argsort(-strength_UK[:, 0], kind="stable")[:_NUM_BEST_UNITS]
        chance = float(strength_UK[:, 1:].max(0).mean())
        tracked.append(
            TrackedFeature(
                feature=feature,
                measure="auc" if is_binary else "correlation",
                chance=chance + (0.5 if is_binary else 0.0),
                units=tuple(
                    UnitScore(
                        layer=int(u) // hidden_size,
                        unit=int(u) % hidden_size,
                        score=float(scores_UK[u, 0]),
                        **_strongest(tokenizer, chars, memory_NU[:, u]),
                    )
                    for u in best
                ),
            )
        )
    return tracked


def _statistics(values: Array) -> GateStatistics:
    return GateStatistics(
        mean=float(values.mean()),
        closed=float((values < CLOSED_BELOW).mean()),
        open=float((values > OPEN_ABOVE).mean()),
    )


def _strongest(tokenizer: CharTokenizer, tokens: str, memory_N: Floats) -> dict[str, Any]:
    """Return the position of a unit's strongest activation, and the text around it."""
    position = int(np.abs(memory_N).argmax())
    stretch = slice(max(0, position - _STRETCH_CHARS), position + 1 + _STRETCH_CHARS)
    before = tokens[max(0, position - _MARKED_CHARS) : position]
    after = tokens[position + 1 : position + 1 + _MARKED_CHARS]
    marked = "{}[{}]{}".format(*map(tokenizer.to_text, (before, tokens[position], after)))
    return {"place": position, "stretch": tokenizer.to_text(tokens[stretch]), "marked": marked}


def _ranks(values_NU: Floats) -> Floats:
    """Rank the values of each column from 0; equal values get their mean rank."""
    ranks_NU = np.empty_like(values_NU)
    for values_N, ranks_N in zip(values_NU.T, ranks_NU.T, strict=True):
        _, inverse, counts = np.unique(values_N, return_inverse=True, return_counts=True)
        ranks_N[:] = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return ranks_NU


def _auc(rank_NU: Floats, is_NK: Floats) -> Floats:
    """Compute the area under the ROC curve from ranks (Mann & Whitney 1947), [U, K]."""
    num_positive = is_NK.sum(0)
    num_negative = len(is_NK) - num_positive
    rank_sum_UK = rank_NU.T @ is_NK
    auc_UK: Floats = (rank_sum_UK - num_positive * (num_positive - 1) / 2) / (
        num_positive * num_negative
    )
    return auc_UK


def _correlation(standard_NU: Floats, values_NK: Floats) -> Floats:
    """Compute Pearson's correlation, [U, K]."""
    standard_NK = (values_NK - values_NK.mean(0)) / values_NK.std(0)
    correlation_UK: Floats = standard_NU.T @ standard_NK / len(standard_NK)
    return correlation_UK
