"""`charlstm play`: a live view of the next character."""

import importlib
import os
import sys
from typing import Annotated, Final

import typer

from charlstm.commands.options import (
    WhichModel,
    WithCounts,
    typed_text,
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
    which: WhichModel,
    prime: Annotated[
        str,
        typer.Option("--prime", parser=typed_text, metavar="TEXT", help="Text to begin with."),
    ] = "",
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature", help="What the model writes with; the arrows up and down change it."
        ),
    ] = 1.0,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="The same seed and keys give the same text.  [default: random]"
        ),
    ] = None,
    with_counts: WithCounts = False,
) -> None:
    r"""Type, and watch what the model expects next.

    Tab takes the most likely character; F1 to F9, Alt-1 to Alt-9, or Ctrl-P and then 1 to 9 take
    one of those shown. Ctrl-W lets the model write to the end of the line. The arrows up and down
    change the temperature; left, right, Home and End move through the text. Ctrl-D or Escape q
    ends, and leaves the text; so does Ctrl-C, with exit code 130.

    In TEXT, \n is a line end, \t a tab, \\ a backslash.
    """
    _require_terminal()
    config = SampleConfig(temperature=temperature)

    import numpy as np

    from charlstm.inference.draft import Draft
    from charlstm.views.play import play as play_in_terminal

    model = which.load()
    predictor = model.with_counts(say) if with_counts else model.predictor
    draft = Draft(predictor, config, generator=np.random.default_rng(seed))
    draft.insert(prime)
    play_in_terminal(draft, name=model.name)


def _require_terminal() -> None:
    """Refuse, before anything is loaded, where nothing can be drawn.

    Raises:
        ConfigError: naming what is missing.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("play needs a terminal; in pipes use charlstm predict or sample")
    if os.environ.get("TERM") == "dumb":
        raise ConfigError("play needs a terminal that can move its cursor, and TERM is dumb")
    try:
        importlib.import_module("prompt_toolkit")
    except ImportError as error:
        raise ConfigError("play needs prompt_toolkit: pip install 'charlstm[play]'") from error
