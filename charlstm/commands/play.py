"""`charlstm play`: interactive next-character prediction."""

import importlib
import os
import sys
from typing import Annotated, Final

import typer

from charlstm.arguments.options import (
    ModelOptions,
    SettingsSubset,
    WithCounts,
    unescape_text,
    with_settings,
)
from charlstm.config import SampleConfig
from charlstm.errors import ConfigError
from charlstm.system.terminal import say

EXAMPLES: Final = """\
charlstm play
charlstm play --prime "To be, or not to be" --temperature 0.7"""


@with_settings
def play(
    which: ModelOptions,
    prime: Annotated[
        str,
        typer.Option("--prime", parser=unescape_text, metavar="TEXT", help="Text to start with."),
    ] = "",
    *,
    config: Annotated[
        SampleConfig,
        SettingsSubset(
            {
                "temperature": "Sampling temperature; the up and down arrows change it.  "
                "[default: 1.0]"
            }
        ),
    ],
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="The same seed and keys give the same text.  [default: random]"
        ),
    ] = None,
    with_counts: WithCounts = False,
) -> None:
    r"""Type a text and see what the model predicts next.

    Tab inserts the most likely character; F1 to F9, Alt-1 to Alt-9, or Ctrl-P and then 1 to 9
    insert one of those shown. Ctrl-W lets the model write to the end of the line. The up and down
    arrows change the temperature; left, right, Home and End move the cursor. Ctrl-D or Escape q
    quits and prints the text; Ctrl-C does the same with exit code 130.

    In TEXT, \n is a line end, \t a tab, \\ a backslash.
    """
    _require_terminal()

    import numpy as np

    from charlstm.inference.draft import Draft
    from charlstm.views.play import play as play_in_terminal

    model = which.load()
    predictor = model.predictor_for(with_counts=with_counts, notify=say)
    draft = Draft(predictor, config, generator=np.random.default_rng(seed))
    draft.insert(prime)
    play_in_terminal(draft, name=model.name)


def _require_terminal() -> None:
    """Raise ConfigError if there is no suitable terminal or prompt_toolkit is missing."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("play needs a terminal; in a pipe use charlstm predict or sample")
    if os.environ.get("TERM") == "dumb":
        raise ConfigError("TERM=dumb: play needs a terminal that can move its cursor")
    try:
        importlib.import_module("prompt_toolkit")
    except ImportError as error:
        raise ConfigError("play needs prompt_toolkit: pip install 'charlstm[play]'") from error
