"""`charlstm inspect`: what happens inside a model."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Json,
    Run,
    load_model,
    prefer_flags,
    read_text,
    require_writable,
    training_corpus,
)
from charlstm.config import DEFAULT_STORE, CorpusConfig
from charlstm.errors import CharLSTMError, ConfigError, CorpusError
from charlstm.terminal import say

if TYPE_CHECKING:
    from charlstm.checkpoints import Checkpoint
    from charlstm.corpus import Corpus
    from charlstm.reach import Reach
    from charlstm.scores import ContextScore
    from charlstm.store import CheckpointStore, Loaded

_SHOWN_CHARS: Final = 160
_WATCHED_CHARS: Final = 8000
_HELD_OUT_CHARS: Final = 50_000
_NUM_UNITS: Final = 4
_PAGE_CHARS: Final = 40


def inspect(
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What to read; default: some of the test text."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Read this file; - is stdin.")
    ] = None,
    gates: Annotated[
        bool, typer.Option("--gates", help="Show gates, memory and output, character by character.")
    ] = False,
    layer: Annotated[
        int | None, typer.Option("--layer", min=1, help="Of this layer.  [default: the last]")
    ] = None,
    unit: Annotated[
        list[int] | None,
        typer.Option("--unit", min=0, help="Of these units.  [default: the liveliest]"),
    ] = None,
    units: Annotated[
        bool, typer.Option("--units", help="Rank cells by what they follow: quotes, lines, words.")
    ] = False,
    reach: Annotated[
        bool, typer.Option("--reach", help="Show how far back predictions look.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page that runs the model, to play."),
    ] = None,
    run: Run = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Look inside a model: surprise, gates, memory, reach.

    charlstm inspect "the quick brown fox"

    charlstm inspect --units

    charlstm inspect --html page.html
    """
    text, file = prefer_flags(context, "text", "file").values()

    from charlstm.inspection import follow, gate_shares, telling_units, trace
    from charlstm.predictor import Predictor
    from charlstm.store import CheckpointStore
    from charlstm.views import inspection as views

    store = CheckpointStore(checkpoints)
    loaded = load_model(context, store)
    predictor = Predictor(loaded.checkpoint)
    given = _given_text(text, file, loaded.checkpoint.corpus)
    if html is not None:
        require_writable(html)
    watched = given or _held_out(training_corpus(loaded, store))

    record: dict[str, Any] = {"run": loaded.run or str(loaded.path)}
    shows: list[Callable[[], None]] = []
    if html is not None:
        name = loaded.run or loaded.path.stem
        record["html"] = _write_page(loaded, store, html, given, watched, name)
    if gates or not (units or reach or html):
        shown = given or predictor.without_unknown(watched)[:_SHOWN_CHARS]
        traced = trace(predictor, shown)
        record["characters"] = views.character_records(traced)
        shows.append(lambda: views.show_characters(traced))
    if gates:
        number = _existing("--layer", layer or len(traced.layers), 1, len(traced.layers))
        one = traced.layers[number - 1]
        chosen = [
            _existing("--unit", wanted, 0, predictor.hidden_size - 1)
            for wanted in unit or telling_units(one, _NUM_UNITS)
        ]
        shares = gate_shares(predictor, watched[:_WATCHED_CHARS])
        before = _shares_before_training(loaded.checkpoint)
        record["gates"] = views.gate_records(one, chosen, number)
        record["gate_shares"] = views.share_records(shares, before)
        shows.append(lambda: views.show_gates(traced, one, chosen, number))
        shows.append(lambda: views.show_shares(shares, before))
    if units:
        followed = follow(predictor, watched[:_WATCHED_CHARS])
        record["units"] = views.unit_records(followed)
        shows.append(lambda: views.show_units(followed))
    if reach:
        looked, contexts = _look_back(loaded.checkpoint, watched)
        record["reach"] = views.reach_record(looked, contexts)
        shows.append(lambda: views.show_reach(looked, contexts))
    if as_json:
        print(json.dumps(record))
        return
    for show in shows:
        show()


def _given_text(text: str | None, file: str | None, corpus: CorpusConfig) -> str | None:
    """The text to look into, in symbols; None where none was named."""
    if text is not None and file is not None:
        raise ConfigError("give a text or --file, not both")
    given = None
    if file is not None:
        given = read_text(file, corpus)
    elif text is not None:
        given = corpus.to_symbols(text)
    if given == "":
        raise ConfigError("there is no text to look into")
    return given


def _held_out(corpus: "Corpus") -> str:
    """The beginning of the text that the run never saw, or of what it saw least."""
    split = next(one for one in (corpus.test, corpus.val, corpus.train) if one.num_chars)
    return corpus.vocabulary.decode(split.ids[:_HELD_OUT_CHARS])


def _write_page(
    loaded: "Loaded",
    store: "CheckpointStore",
    path: Path,
    given: str | None,
    watched: str,
    name: str,
) -> dict[str, Any]:
    """Write the page; what it cost to round the weights is measured on held-out text."""
    from charlstm.webpage import build_page, measure_rounding

    checkpoint = loaded.checkpoint
    held_out = watched
    if given:
        # Without the run's own text, the given one has to do.
        with contextlib.suppress(CorpusError):
            held_out = _held_out(training_corpus(loaded, store))
    shown = given or (watched.partition("\n")[2].strip() or watched)[:_PAGE_CHARS]
    cost = measure_rounding(checkpoint, held_out)
    page = build_page(checkpoint, name=name, text=shown, held_out=held_out, cost=cost)
    data = page.encode("utf-8", "backslashreplace")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CharLSTMError(f"{path}: can't be written: {error.strerror}") from error
    say(
        f"{path}: {len(data) / 1e6:.2f} MB; rounded to 8 bits, the model takes "
        f"{cost.bits_per_char:+.4f} bits per character ({cost.num_chars:,} characters)"
    )
    return {
        "path": str(path),
        "num_bytes": len(data),
        **asdict(cost),
        "rounding_bits_per_char": cost.bits_per_char,
    }


def _existing(option: str, number: int, first: int, last: int) -> int:
    if not first <= number <= last:
        raise ConfigError(f"{option} {number}: this model has {first} to {last}")
    return number


def _shares_before_training(checkpoint: "Checkpoint") -> object:
    """As they were recorded when the run began; older runs did not."""
    first = checkpoint.history[0] if checkpoint.history else {}
    return first.get("gate_shares") if first.get("event") == "started" else None


def _look_back(checkpoint: "Checkpoint", text: str) -> "tuple[Reach, list[ContextScore]]":
    import numpy as np

    from charlstm.evaluation import score_by_context
    from charlstm.model import CharLSTM
    from charlstm.reach import reach
    from charlstm.split import Split

    model = CharLSTM(checkpoint.model_config)
    model.load_arrays(checkpoint.weights)
    split = Split.of([text], checkpoint.vocabulary)
    generator = np.random.default_rng(0)
    contexts = score_by_context(
        model,
        split,
        unknown_probability=checkpoint.unknown_probability,
        generator=generator,
    )
    return reach(model, split, generator=generator), contexts
