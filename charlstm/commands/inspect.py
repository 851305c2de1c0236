"""`charlstm inspect`: surprisal, gates, units and context length of a model."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, NamedTuple

import typer

from charlstm.arguments.options import (
    Json,
    ModelOptions,
    Unknown,
    one_of,
    print_record,
    unescape_text,
    with_settings,
)
from charlstm.arguments.texts import apply_unknown_option, read_text
from charlstm.config import STDIN
from charlstm.errors import ConfigError, CorpusError
from charlstm.system.files import open_output
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say, waiting

if TYPE_CHECKING:
    from charlstm.analysis.reach import Reach
    from charlstm.api.model import Model
    from charlstm.evaluation.scores import ContextScore
    from charlstm.text.encoded_text import EncodedText

_SHOWN_CHARS: Final = 78  # two or three lines of a terminal
_MAX_SHOWN_CHARS: Final = 2000
_WATCHED_CHARS: Final = 8000
_NUM_UNITS: Final = 4


EXAMPLES: Final = """\
charlstm inspect "the quick brown fox"
charlstm inspect "the quick brown fox" --gates
charlstm inspect "the quick brown fox" --cell 1:3
charlstm inspect --units
charlstm inspect --html page.html"""


@with_settings
def inspect(
    context: typer.Context,
    which: ModelOptions,
    text: Annotated[
        str | None,
        typer.Argument(
            parser=unescape_text,
            metavar="TEXT",
            help="Text to read.  [default: the start of the test text]",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Read this file; - is stdin.")
    ] = None,
    unknown: Unknown = "error",
    gates: Annotated[
        bool,
        typer.Option(
            "--gates", help="Show gates, cell state and hidden state, character by character."
        ),
    ] = False,
    layer: Annotated[
        int | None, typer.Option("--layer", min=1, help="Layer to show.  [default: the last]")
    ] = None,
    unit: Annotated[
        list[int] | None,
        typer.Option(
            "--unit",
            min=0,
            help="Unit to show; may be repeated.  [default: those whose gates vary most]",
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            "--cell",
            metavar="LAYER:UNIT",
            help="Trace one unit step by step: its gates and the sums that they come from.",
        ),
    ] = None,
    units: Annotated[
        bool,
        typer.Option("--units", help="Rank units by how well they track quotes, lines, words ..."),
    ] = False,
    reach: Annotated[
        bool,
        typer.Option("--reach", help="Measure the effective context length of predictions."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a web page that runs the model."),
    ] = None,
    as_json: Json = False,
) -> None:
    r"""Look inside a model: surprisal, gates, units, context length.

    In TEXT, \n is a line end, \t a tab, \\ a backslash.
    """
    from charlstm.analysis.inspection import (
        gate_statistics,
        most_variable_units,
        trace,
        track_features,
    )
    from charlstm.views import inspection as views

    model = which.load()
    predictor = model.predictor
    text, file = one_of(context, text=text, file=file)
    texts = _choose_texts(model, text=text, file=file, unknown=unknown)
    watched = texts.watched
    gates = gates or layer is not None or bool(unit)

    record: dict[str, Any] = {"run": model.name}
    shows: list[Callable[[], None]] = []
    if html is not None:
        inputs = chain(model.sources(), filter(None, [file]))
        target = Path("/dev/stdout") if str(html) == STDIN else html
        with open_output(target, inputs=inputs) as page:
            record["html"] = _write_page(model, html, page, texts)
    if gates or cell or not (units or reach or html):
        limit = _SHOWN_CHARS if texts.given is None else _MAX_SHOWN_CHARS
        traced = trace(predictor, watched.part(0, limit))
        if texts.given is not None and watched.num_chars > limit:
            say(f"showing the first {limit:,} of {watched.num_chars:,} characters")
        record["characters"] = views.character_records(traced)
        if not cell:
            shows.append(lambda: views.show_characters(traced))
    if cell:
        record["cell"], show = _follow(model, cell, watched.part(0, limit))
        shows.append(show)
    if gates:
        last = model.checkpoint.spec.model_config.num_layers
        number = _existing("--layer", layer or last, 1, last)
        chosen = [
            _existing("--unit", wanted, 0, predictor.hidden_size - 1)
            for wanted in unit or most_variable_units(traced, number - 1, _NUM_UNITS)
        ]
        statistics = gate_statistics(predictor, texts.gate_text)
        first = model.checkpoint.history[0] if model.checkpoint.history else {}
        before = first.get("gate_shares", ()) if first.get("event") == "started" else ()
        record["gates"] = views.gate_records(traced, chosen, number)
        record["gate_shares"] = views.gate_rate_records(statistics, before)
        shows.append(lambda: views.show_gates(traced, chosen, number))
        shows.append(lambda: views.show_gate_rates(statistics, before))
    if units:
        tracked = track_features(predictor, watched.part(0, _WATCHED_CHARS))
        record["units"] = views.unit_records(tracked)
        shows.append(lambda: views.show_units(tracked))
    if reach:
        measured, contexts = _measure_reach(model, watched)
        record["reach"] = views.reach_record(measured, contexts)
        shows.append(lambda: views.show_reach(measured, contexts))
    if as_json:
        print_record(record)
        return
    for show in shows:
        show()


class _Texts(NamedTuple):
    """The texts to inspect.

    Args:
        given: the user's text, in normalized characters; None without one.
        watched: the user's text, or the held-out text.
        held_out: the start of the run's test or validation text; the user's text if unavailable.
        gate_text: the text that gates were measured on during training; if unavailable, the start
            of the user's text.
    """

    given: str | None
    watched: "EncodedText"
    held_out: "EncodedText"
    gate_text: "EncodedText"


def _choose_texts(model: "Model", *, text: str | None, file: str | None, unknown: str) -> _Texts:
    """Return the texts to inspect.

    Raises:
        ConfigError: if the given text is empty.
        CorpusError: if characters are outside the vocabulary, or if no text is given and the run's
            own is unavailable.
    """
    from charlstm.analysis.inspection import gate_text
    from charlstm.reading.documents import documents_in

    config, tokenizer = model.checkpoint.spec.corpus, model.tokenizer
    given, documents = None, None
    if file is not None:
        given = read_text(file, model)
    elif text is not None:
        given = tokenizer.to_chars(text, say)
    if given is not None:
        given = apply_unknown_option(model, given, unknown)
        if not given:
            raise ConfigError("the text is empty: give a TEXT or a --file to inspect")
        documents = tokenizer.encode_documents(documents_in(given, config.split_documents))
    try:
        corpus = model.corpus()
    except CorpusError as error:
        if documents is None:
            raise CorpusError(f"{error}; give a TEXT or a --file to inspect") from error
        return _Texts(given, documents, documents, documents.part(0, _WATCHED_CHARS))
    held_out = corpus.held_out()
    return _Texts(given, documents or held_out, held_out, gate_text(corpus.val, corpus.train))


def _write_page(model: "Model", path: Path, file: BinaryIO, texts: _Texts) -> dict[str, Any]:
    """Write the page and return its record, with the rounding cost on held-out text."""
    from charlstm.export.webpage import build_page

    shown = texts.given
    if shown is not None and len(shown) > _MAX_SHOWN_CHARS:
        say(f"the page opens with the first {_MAX_SHOWN_CHARS:,} of {len(shown):,} characters")
        shown = shown[:_MAX_SHOWN_CHARS]
    data, cost = build_page(model.checkpoint, name=model.title, text=shown, held_out=texts.held_out)
    file.write(data)
    say(f"{path}: {len(data) / 1e6:.2f} MB; {cost}")
    return {
        "path": str(path),
        "num_bytes": len(data),
        **asdict(cost),
        "rounding_bits_per_char": cost.bits_per_char,
    }


def _follow(
    model: "Model", cell: str, text: "EncodedText"
) -> tuple[dict[str, Any], Callable[[], None]]:
    """Trace a unit through a text; return the record and a function that prints it."""
    from charlstm.analysis.unit import unit_steps
    from charlstm.views.unit import show_unit, unit_record

    config = model.checkpoint.spec.model_config
    layer, unit = _layer_and_unit(cell, config.num_layers, config.hidden_size)
    steps = unit_steps(model.checkpoint, text, layer=layer - 1, unit=unit)
    return unit_record(steps, layer, unit), lambda: show_unit(
        steps, layer, unit, cell=config.cell, size=config.hidden_size
    )


def _layer_and_unit(text: str, num_layers: int, hidden_size: int) -> tuple[int, int]:
    """Parse `LAYER:UNIT`; layers count from 1 and units from 0."""
    layer, colon, unit = text.partition(":")
    if not (colon and layer.isdecimal() and unit.isdecimal()):
        raise ConfigError(f"--cell {text}: must be a layer and a unit, such as 1:0")
    return (
        _existing("--cell, layer", int(layer), 1, num_layers),
        _existing("--cell, unit", int(unit), 0, hidden_size - 1),
    )


def _existing(option: str, number: int, first: int, last: int) -> int:
    if not first <= number <= last:
        raise ConfigError(f"{option} {number}: this model has {first} to {last}")
    return number


def _measure_reach(model: "Model", text: "EncodedText") -> "tuple[Reach, list[ContextScore]]":
    import numpy as np

    import_torch()
    from charlstm.analysis.reach import reach
    from charlstm.evaluation.scoring import MAX_CONTEXT_CHARS, score_by_context
    from charlstm.system.progress import character_bar

    network = model.network()
    generator = np.random.default_rng(0)
    with character_bar(MAX_CONTEXT_CHARS, "read") as progress:
        contexts = score_by_context(network, text, generator=generator, progress=progress)
    with waiting("measuring how far back predictions reach"):
        return reach(network, text, generator=generator), contexts
