"""A model as one HTML file that runs it: weights, cells and views, without server or network.

The page's parts are in `page/`; this module puts them together. Texts and names get into the page
as JSON or escaped, never as markup, and its policy allows only its own style and script.
"""

import base64
import hashlib
import html
import re
from typing import Any, Final

from charlstm.analysis.inspection import (
    TrackedFeature,
    most_variable_units,
    trace,
    track_features,
)
from charlstm.errors import ConfigError
from charlstm.export.javascript import as_data, joined, model_data, part
from charlstm.export.rounding import RoundingCost
from charlstm.inference.predictor import Predictor
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

# The worker's scripts, and the page's own.
_WORKER: Final = (
    "products.js",
    "steps.js",
    "model.js",
    "unit.js",
    "distribution.js",
    "reading.js",
    "worker.js",
)
_SCRIPTS: Final = (
    "alphabet.js",
    "text.js",
    "distribution.js",
    "cells.js",
    "cell.js",
    "views.js",
    "maps.js",
    "trial.js",
    "writing.js",
    "tour.js",
    "main.js",
)
_NUM_UNITS: Final = 12
_WATCHED_CHARS: Final = 500
_TRACKED_CHARS: Final = 8000
_OPENING_CHARS: Final = 180
_OPENING_LINES: Final = 7
_TRACKED_FROM: Final = 0.4


def build_page(
    checkpoint: Checkpoint, *, name: str, text: str, held_out: Split, cost: RoundingCost
) -> str:
    """Return a model's page as HTML.

    Args:
        name: of the run.
        text: the text that the page opens with, in symbols.
        held_out: the text to choose the shown units by.
        cost: shown on the page.
    """
    config, weights = model_data(checkpoint)
    views = _views(checkpoint, text, held_out)
    style = part("page.css")
    script = joined(_SCRIPTS)
    symbol = "byte" if checkpoint.spec.alphabet.is_byte else "character"
    values = {
        "title": html.escape(f"{name}: a {symbol} model"),
        "facts": html.escape(_facts(checkpoint, symbol)),
        "rounding": html.escape(_rounding_words(cost)),
        "policy": _policy(style=style, script=script),
        "style": style,
        "script": script,
        "worker": joined(_WORKER),
        "symbol": symbol,
        "model": as_data(config | views),
        "weights": weights,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], part("page.html"))


def opening(alphabet: Alphabet, held_out: Split) -> str:
    """Return some lines for the page to open with, in symbols.

    They begin with the first line of prose and end mostly in the middle of a word, where something
    can be predicted.
    """
    text = alphabet.text_of(held_out.ids[:_TRACKED_CHARS])
    if not alphabet.are_lines and alphabet.end is not None:
        # EOS can't be typed: take the first document that is not empty.
        text = next(filter(None, text.split(alphabet.end)), "")
    lines = text.strip("\n").split("\n")
    is_prose = [sum(map(str.isalpha, line)) >= max(10, 0.7 * len(line)) for line in lines]
    first = is_prose.index(True) if any(is_prose) else 0
    shown = lines[first : first + _OPENING_LINES]
    return alphabet.to_symbols(("\n".join(shown) or text)[:_OPENING_CHARS])


def _views(checkpoint: Checkpoint, text: str, held_out: Split) -> dict[str, Any]:
    """Return what the page opens with; the names are JavaScript's."""
    layers = trace(Predictor(checkpoint), held_out.part(0, _WATCHED_CHARS)).layers
    return {
        "units": [most_variable_units(layer, _NUM_UNITS) for layer in layers],
        "tracked": _tracked(checkpoint, held_out),
        "text": checkpoint.spec.alphabet.to_text(text),
        "lineEnd": _line_end(text, checkpoint.spec.alphabet.decode(held_out.ids)),
    }


def _line_end(*texts: str) -> list[int]:
    """Return the codes of a line end in the first text with one; the page's field only has LF."""
    text = next((text for text in texts if "\n" in text), "")
    return [13, 10] if 2 * text.count("\r\n") > text.count("\n") else [10]


def _tracked(checkpoint: Checkpoint, held_out: Split) -> list[dict[str, Any]]:
    """Return the best unit of each readable feature, if it tracks one well."""
    text = held_out.part(0, _TRACKED_CHARS)
    try:
        features = track_features(Predictor(checkpoint), text)
    except ConfigError:
        return []  # the text is too short
    return [
        {
            "feature": one.feature,
            "layer": one.units[0].layer,
            "unit": one.units[0].unit,
            "words": _tracked_words(one),
        }
        for one in features
        if one.strength >= _TRACKED_FROM
    ]


def _tracked_words(feature: TrackedFeature) -> str:
    score = feature.units[0].score
    is_auc = feature.measure == "auc"
    measure = "area under the ROC curve" if is_auc else "correlation"
    falls = ", it falls where that rises" if score < (0.5 if is_auc else 0.0) else ""
    return f"It tracks \u201c{feature.feature}\u201d ({measure} {_signed(score, 2)}{falls})."


def _facts(checkpoint: Checkpoint, symbol: str) -> str:
    spec = checkpoint.spec
    config = spec.model_config
    layers = f"{config.num_layers} layer{'s' if config.num_layers > 1 else ''}"
    facts = [
        f"{config.cell.upper()}, {layers} of {config.hidden_size} units",
        f"{config.num_parameters:,} parameters",
        f"trained on {spec.num_train_chars:,} {symbol}s of {spec.corpus_name}",
    ]
    if (bits := checkpoint.best_val_bits_per_char) is not None:
        facts.append(f"{bits:.3f} bits per {symbol} on its validation text")
    return "; ".join(facts) + "."


def _rounding_words(cost: RoundingCost) -> str:
    return (
        "Weights are rounded to 8 bits, with a scale for each row. Measured on "
        f"{cost.num_chars:,} characters, read in pieces: {cost.exact_bits_per_char:.4f} bits per "
        f"character before, {cost.rounded_bits_per_char:.4f} after "
        f"(a difference of {_signed(cost.bits_per_char, 4)})."
    )


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


def _policy(*, style: str, script: str) -> str:
    """Return the content security policy: nothing is loaded or sent, no other script runs."""

    def digest(part: str) -> str:
        return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode("ascii")

    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; "
        # WebAssembly may be compiled, text may not; the worker is a part of the page.
        f"script-src 'sha256-{digest(script)}' 'wasm-unsafe-eval'; worker-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
