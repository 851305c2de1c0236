"""`charlstm predict`: the next character."""

from typing import Annotated, Final

import typer

from charlstm.arguments.options import (
    Json,
    ModelOptions,
    Unknown,
    WithCounts,
    print_record,
    require_not_both,
    unescape_text,
    with_settings,
)
from charlstm.arguments.texts import given_text
from charlstm.config import STDIN
from charlstm.system.terminal import say

EXAMPLES: Final = """\
charlstm predict qu
charlstm predict "the quick brown fo" --ladder
charlstm predict "the qu" --with-counts --top 3
charlstm predict "the qu" --words 5"""


@with_settings
def predict(
    context: typer.Context,
    which: ModelOptions,
    prefix: Annotated[
        str,
        typer.Argument(
            parser=unescape_text,
            metavar="PREFIX",
            help="Text before the character to predict; - is stdin, without the final newline.",
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
            "--ladder", help="Compare predictions from the last 0, 1, 2, 4, 8 ... characters."
        ),
    ] = False,
    words: Annotated[
        int | None,
        typer.Option(
            "--words", min=1, metavar="N", help="Show the N most likely completions of the word."
        ),
    ] = None,
    unknown: Unknown = "error",
    with_counts: WithCounts = False,
    as_json: Json = False,
) -> None:
    r"""Show the probability distribution of the next character.

    In PREFIX, \n is a line end, \t a tab, \\ a backslash.
    """
    from charlstm.inference.prediction import ladder, predict_next
    from charlstm.inference.search import likely_words
    from charlstm.views.sampling import (
        as_record,
        ladder_record,
        show_ladder,
        show_likely,
        show_prediction,
    )

    require_not_both(context, {"words": words}, {"top": top, "with_ladder": with_ladder})
    model = which.load()
    predictor = model.predictor_for(with_counts=with_counts, notify=say)
    text = given_text(model, prefix, unknown)
    if words is not None:
        show_likely(likely_words(predictor, text, words), as_json=as_json)
        return
    prediction = predict_next(predictor, text)
    contexts = ladder(predictor, text) if with_ladder else None
    if as_json:
        # JSON holds all characters unless --top is given.
        record = as_record(prediction, top=top) | {"with_counts": with_counts}
        if contexts is not None:
            record["ladder"] = [ladder_record(each, top=top) for each in contexts]
        print_record(record)
    elif contexts is not None:
        show_ladder(contexts, top=top)
    else:
        show_prediction(prediction, top=top)
