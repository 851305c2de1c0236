"""Gates, cell states, and the features that units track.

Shapes: N characters read, H hidden size, U units of all layers, K shifted copies.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from charlstm.errors import ConfigError
from charlstm.inference.prediction import Candidate, ranked
from charlstm.inference.predictor import Predictor
from charlstm.model.cell import Array, CellSpec, LayerState
from charlstm.text.alphabet import Alphabet
from charlstm.text.features import FEATURES
from charlstm.text.split import Split

# A saturated gate (Karpathy, Johnson & Li 2015).
CLOSED_BELOW: Final = 0.1
OPEN_ABOVE: Final = 0.9

_NUM_CANDIDATES: Final = 5
_GATE_CHARS: Final = 256
_MIN_POSITIVES: Final = 20
_NUM_BEST_UNITS: Final = 3
_NUM_SHIFTS: Final = 20
_STRETCH_CHARS: Final = 10
_MARKED_CHARS: Final = 6
_LETTER: Final = "\u00aa"  # neither capital nor small

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Character:
    """A character of a traced text, readable.

    Args:
        nats: what it cost.
        candidates: the most likely ones at its place, before it was read.
    """

    char: str
    nats: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class LayerTrace:
    """What a layer did at each character.

    Args:
        values: float32 [N, H] each, by the names of `CellSpec.values`.
    """

    values: dict[str, Array]
    cell: CellSpec


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A text as a model read it."""

    characters: tuple[Character, ...]
    layers: tuple[LayerTrace, ...]


@dataclass(frozen=True, kw_only=True)
class GateShares:
    """How open a gate is, over units and characters.

    Args:
        mean: of the gate's values, 0 to 1.
        closed: share of values below 0.1.
        open: share of values above 0.9.
    """

    mean: float
    closed: float
    open: float


class UnitScore(NamedTuple):
    """A unit that tracks a readable feature.

    Args:
        score: area under the ROC curve for what is or isn't, correlation for what is counted;
            below 0.5 or 0 it falls where the other rises.
        place: where it is strongest, in characters of the text.
        stretch: the readable text around it.
        marked: a shorter one, with the character in brackets.
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
        chance: the best unit's score on a text shifted against the units, mean of 20 shifts.
        units: the best first.
    """

    feature: str
    measure: str
    chance: float
    units: tuple[UnitScore, ...]

    @property
    def strength(self) -> float:
        """How well the best unit tracks it, from 0 to 1, whatever the measure and the sign."""
        score = self.units[0].score
        return abs(2 * score - 1) if self.measure == "auc" else abs(score)


def trace(predictor: Predictor, text: Split) -> Trace:
    """Read a text and keep everything: some kilobytes for each character.

    Raises:
        ConfigError: when it is empty.
    """
    if not text.num_chars:
        raise ConfigError("there is no text to look into")
    characters = []
    steps: list[list[LayerState]] = []
    alphabet = predictor.alphabet
    for char, symbol, (before, after) in zip(
        alphabet.decode(text.ids), text.ids, predictor.trace(text), strict=True
    ):
        log_p_V = before.log_p[0].astype(np.float64)
        characters.append(
            Character(
                char=alphabet.to_text(char),
                nats=float(-log_p_V[symbol]),
                candidates=ranked(alphabet, log_p_V).next[:_NUM_CANDIDATES],
            )
        )
        steps.append(after.layers)
    layers = [
        {name: np.array([step.value(name)[0] for step in layer]) for name in predictor.cell.values}
        for layer in zip(*steps, strict=True)
    ]
    return Trace(
        characters=tuple(characters),
        layers=tuple(LayerTrace(values=values, cell=predictor.cell) for values in layers),
    )


def gate_text(val: Split, train: Split) -> Split:
    """Return the text that gates are measured on, before and after training.

    It is the start of the validation text or, without one, of the training text.
    """
    return (val if val.num_chars else train).part(0, _GATE_CHARS)


def gate_shares(predictor: Predictor, text: Split) -> list[dict[str, GateShares]]:
    """How open each gate is on a text, layer by layer."""
    found: list[dict[str, list[Array]]] = []
    for _, after in predictor.trace(text):
        found = found or [{gate: [] for gate in layer.gates} for layer in after.layers]
        for layer, gates in zip(after.layers, found, strict=True):
            for gate, values in layer.gates.items():
                gates[gate].append(values[0])
    return [{gate: _shares(np.array(values)) for gate, values in layer.items()} for layer in found]


def most_variable_units(layer: LayerTrace, number: int) -> list[int]:
    """Return the units that vary most, in descending order.

    Measured on the gates that keep the old state and let in the new one; for a plain RNN, which
    has no gates, on the hidden state.
    """
    moving = layer.cell.keeping or ("hidden",)
    spread_H = np.max([layer.values[name].std(0) for name in moving], axis=0)
    order = np.argsort(-spread_H, kind="stable")
    return [int(unit) for unit in order[:number]]


def track_features(predictor: Predictor, text: Split) -> list[TrackedFeature]:
    """Find the units that track what a reader can see: quotes, brackets, lines, words, capitals.

    Of bytes only those are looked at that are ASCII; all others count as letters.

    Args:
        text: of some thousand characters.

    Raises:
        ConfigError: when the text is too short to tell anything.
    """
    memories = [
        np.concatenate([np.tanh(layer.c[0]) for layer in after.layers])
        for _, after in predictor.trace(text)
    ]
    if len(memories) < 10 * _MIN_POSITIVES:
        raise ConfigError(
            f"{len(memories)} characters are too few to find units that track features; "
            f"give {10 * _MIN_POSITIVES} or more"
        )
    memory_NU = np.array(memories, np.float64)
    hidden_size = predictor.hidden_size
    rank_NU = _ranks(memory_NU)
    alphabet = predictor.alphabet
    chars = alphabet.decode(text.ids)
    standard_NU = (memory_NU - memory_NU.mean(0)) / np.maximum(memory_NU.std(0), 1e-12)
    # A text shifted against the units keeps its statistics and loses the connection.
    shifts = np.random.default_rng(0).integers(
        _MIN_POSITIVES, len(chars) - _MIN_POSITIVES, _NUM_SHIFTS
    )
    readable = chars
    if alphabet.is_byte:
        readable = "".join(char if char.isascii() else _LETTER for char in chars)
    found = []
    for feature, of_text in FEATURES.items():
        values_N = of_text(readable)
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
        found.append(
            TrackedFeature(
                feature=feature,
                measure="auc" if is_binary else "correlation",
                chance=chance + (0.5 if is_binary else 0.0),
                units=tuple(
                    UnitScore(
                        layer=int(u) // hidden_size,
                        unit=int(u) % hidden_size,
                        score=float(scores_UK[u, 0]),
                        **_strongest(alphabet, chars, memory_NU[:, u]),
                    )
                    for u in best
                ),
            )
        )
    return found


def _shares(values: Array) -> GateShares:
    return GateShares(
        mean=float(values.mean()),
        closed=float((values < CLOSED_BELOW).mean()),
        open=float((values > OPEN_ABOVE).mean()),
    )


def _strongest(alphabet: Alphabet, symbols: str, memory_N: Floats) -> dict[str, Any]:
    """Return the place where a unit is strongest, and the text around it."""
    place = int(np.abs(memory_N).argmax())
    stretch = slice(max(0, place - _STRETCH_CHARS), place + 1 + _STRETCH_CHARS)
    before = symbols[max(0, place - _MARKED_CHARS) : place]
    after = symbols[place + 1 : place + 1 + _MARKED_CHARS]
    marked = "{}[{}]{}".format(*map(alphabet.to_text, (before, symbols[place], after)))
    return {"place": place, "stretch": alphabet.to_text(symbols[stretch]), "marked": marked}


def _ranks(values_NU: Floats) -> Floats:
    """Rank each column from 0 on; equal values get the mean of their ranks."""
    ranks_NU = np.empty_like(values_NU)
    for values_N, ranks_N in zip(values_NU.T, ranks_NU.T, strict=True):
        _, inverse, counts = np.unique(values_N, return_inverse=True, return_counts=True)
        ranks_N[:] = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return ranks_NU


def _auc(rank_NU: Floats, is_NK: Floats) -> Floats:
    """Area under the ROC curve by ranks (Mann & Whitney 1947), [U, K]."""
    num_positive = is_NK.sum(0)
    num_negative = len(is_NK) - num_positive
    rank_sum_UK = rank_NU.T @ is_NK
    auc_UK: Floats = (rank_sum_UK - num_positive * (num_positive - 1) / 2) / (
        num_positive * num_negative
    )
    return auc_UK


def _correlation(standard_NU: Floats, values_NK: Floats) -> Floats:
    """Pearson's correlation, [U, K]."""
    standard_NK = (values_NK - values_NK.mean(0)) / values_NK.std(0)
    correlation_UK: Floats = standard_NU.T @ standard_NK / len(standard_NK)
    return correlation_UK
