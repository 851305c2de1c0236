"""`charlstm predict`: the next character."""

import json
from typing import Annotated

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Json,
    Run,
    load_model,
    prefer_flags,
    read_text,
)
from charlstm.config import DEFAULT_STORE, STDIN
from charlstm.errors import ConfigError


def predict(
    context: typer.Context,
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="PREFIX",
            help="Text before the character to predict; - is stdin.",
        ),
    ] = STDIN,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=1,
            metavar="K",
            help="Characters to show.  [default: 10; with --ladder 5]",
        ),
    ] = None,
    with_ladder: Annotated[
        bool,
        typer.Option(
            "--ladder", help="Predict from the last 0, 1, 2, 4, 8 ... characters: context's effect."
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="PREFIX", help="Also predict after this prefix."),
    ] = None,
    run: Run = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Show which characters may come next, and how likely each is.

    charlstm predict qu

    charlstm predict "the quick brown fo" --ladder
    """
    with_ladder, compare = prefer_flags(context, "with_ladder", "compare").values()
    if with_ladder and compare is not None:
        raise ConfigError("give --ladder or --compare, not both")

    from charlstm.inference.prediction import ladder, predict_next, readable, readable_context
    from charlstm.inference.predictor import Predictor
    from charlstm.store.runs import CheckpointStore
    from charlstm.views.prediction import (
        as_record,
        ladder_record,
        show_ladder,
        show_predictions,
    )

    loaded = load_model(context, CheckpointStore(checkpoints))
    predictor = Predictor(loaded.checkpoint)
    corpus = loaded.checkpoint.corpus
    text = read_text(STDIN, corpus) if prefix == STDIN else corpus.to_symbols(prefix)
    predictions = [predict_next(predictor, text)]
    if compare is not None:
        predictions.append(predict_next(predictor, corpus.to_symbols(compare)))
    rungs = ladder(predictor, text) if with_ladder else None
    predictions = [readable(one, corpus.to_text) for one in predictions]
    rungs = rungs and [readable_context(rung, corpus.to_text) for rung in rungs]
    if as_json:
        # All of them, unless fewer were asked for.
        record = as_record(predictions[0], top=top)
        if compare is not None:
            record["compare"] = as_record(predictions[1], top=top)
        if rungs is not None:
            record["ladder"] = [ladder_record(rung, top=top) for rung in rungs]
        print(json.dumps(record))
    elif rungs is not None:
        show_ladder(rungs, top=top)
    else:
        show_predictions(predictions, top=top)
