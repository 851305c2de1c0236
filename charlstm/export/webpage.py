"""Export to a single HTML file that runs the model, without a server or network access.

This module assembles the files in `page/`. Texts and names are inserted as JSON or escaped, never
as markup, and the content security policy allows only the page's own style and script.
"""

import base64
import hashlib
import html
import re
from typing import Any, Final, NamedTuple

from charlstm.analysis.inspection import (
    TrackedFeature,
    most_variable_units,
    trace,
    track_features,
)
from charlstm.errors import ConfigError
from charlstm.export.javascript import (
    MODEL_SCRIPTS,
    as_data,
    join_scripts,
    model_data,
    read_script,
)
from charlstm.export.rounding import RoundingCost, measure_rounding
from charlstm.inference.predictor import Predictor
from charlstm.model.checkpoints import Checkpoint
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer

_SCRIPTS: Final = (
    *MODEL_SCRIPTS,
    "unit.js",
    "text.js",
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


class Page(NamedTuple):
    """A model's page.

    Args:
        data: the HTML file.
        cost: what rounding the weights costs, as the page says.
    """

    data: bytes
    cost: RoundingCost


def build_page(
    checkpoint: Checkpoint, *, name: str, text: str | None, held_out: EncodedText
) -> Page:
    """Build a model's page.

    Args:
        name: the run's name.
        text: normalized characters that the page opens with; None for some held-out lines.
        held_out: text for measuring the rounding cost and choosing the units to show.

    Raises:
        CorpusError: if the held-out text is empty.
    """
    if text is None:
        text = _opening_text(checkpoint.spec.tokenizer, held_out)
    cost = measure_rounding(checkpoint, held_out)
    config, weights = model_data(checkpoint)
    views = _views(checkpoint, text, held_out)
    style = read_script("page.css")
    script = join_scripts(_SCRIPTS)
    symbol = "byte" if checkpoint.spec.tokenizer.is_byte else "character"
    values = {
        "title": html.escape(f"{name}: a {symbol} model"),
        "facts": html.escape(_facts(checkpoint, symbol)),
        "rounding": html.escape(_rounding_words(cost)),
        "policy": _policy(style=style, script=script),
        "style": style,
        "script": script,
        "symbol": symbol,
        "model": as_data(config | views),
        "weights": weights,
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], read_script("page.html"))
    return Page(page.encode("utf-8", "backslashreplace"), cost)


def _opening_text(tokenizer: CharTokenizer, held_out: EncodedText) -> str:
    """Return some held-out lines for the page to open with, in normalized characters.

    They start with the first line of prose, and usually end in the middle of a word, where a
    prediction is interesting.
    """
    text = tokenizer.text_of(held_out.ids[:_TRACKED_CHARS])
    if not tokenizer.documents_are_lines and tokenizer.eos is not None:
        # EOS can't be typed, so use the first non-empty document.
        text = next(filter(None, text.split(tokenizer.eos)), "")
    lines = text.strip("\n").split("\n")
    is_prose = [sum(map(str.isalpha, line)) >= max(10, 0.7 * len(line)) for line in lines]
    first = is_prose.index(True) if any(is_prose) else 0
    shown = lines[first : first + _OPENING_LINES]
    return tokenizer.to_chars(("\n".join(shown) or text)[:_OPENING_CHARS])


def _views(checkpoint: Checkpoint, text: str, held_out: EncodedText) -> dict[str, Any]:
    """Return the page's initial data, with JavaScript names."""
    traced = trace(Predictor(checkpoint), held_out.part(0, _WATCHED_CHARS))
    layers = range(checkpoint.spec.model_config.num_layers)
    return {
        "units": [most_variable_units(traced, layer, _NUM_UNITS) for layer in layers],
        "tracked": _tracked(checkpoint, held_out),
        "text": checkpoint.spec.tokenizer.to_text(text),
        "lineEnd": _line_end(text, checkpoint.spec.tokenizer.decode(held_out.ids)),
    }


def _line_end(*texts: str) -> list[int]:
    """Return the code points of a line end in the first text that has one."""
    text = next((text for text in texts if "\n" in text), "")
    return [13, 10] if 2 * text.count("\r\n") > text.count("\n") else [10]


def _tracked(checkpoint: Checkpoint, held_out: EncodedText) -> list[dict[str, Any]]:
    """Return the best unit for each feature that some unit tracks well."""
    text = held_out.part(0, _TRACKED_CHARS)
    try:
        features = track_features(Predictor(checkpoint), text)
    except ConfigError:
        return []  # the text is too short
    return [
        {
            "feature": feature.feature,
            "layer": feature.units[0].layer,
            "unit": feature.units[0].unit,
            "words": _tracked_words(feature),
        }
        for feature in features
        if feature.strength >= _TRACKED_FROM
    ]


def _tracked_words(feature: TrackedFeature) -> str:
    score = feature.units[0].score
    is_auc = feature.measure == "auc"
    measure = "area under the ROC curve" if is_auc else "correlation"
    falls = ", negatively" if score < (0.5 if is_auc else 0.0) else ""
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
        "Weights are rounded to 8 bits, with a scale per row. Measured on "
        f"{cost.num_chars:,} characters, read in segments: {cost.exact_bits_per_char:.4f} bits per "
        f"character before, {cost.rounded_bits_per_char:.4f} after "
        f"(a difference of {_signed(cost.bits_per_char, 4)})."
    )


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


def _policy(*, style: str, script: str) -> str:
    """Return the content security policy: no network access and no other scripts."""

    def digest(part: str) -> str:
        return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode("ascii")

    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; "
        # WebAssembly may be compiled, but strings not evaluated.
        f"script-src 'sha256-{digest(script)}' 'wasm-unsafe-eval'; "
        "base-uri 'none'; form-action 'none'"
    )
