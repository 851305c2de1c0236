"""Command line: registers the commands, and reports errors as one line and an exit code."""

import contextlib
import os
import sys
from typing import Annotated, Any, Final, TextIO

import typer

from charlstm import __version__
from charlstm.arguments.help import Command, Group, explain
from charlstm.commands import (
    compare,
    corpus,
    export,
    inspect,
    play,
    predict,
    runs,
    sample,
    score,
    train,
)
from charlstm.commands import eval as eval_command
from charlstm.errors import CharLSTMError
from charlstm.system.spinning import limit_spinning
from charlstm.system.terminal import prepare_streams, say

_EXIT_ERROR: Final = 1
_EXIT_INTERRUPTED: Final = 130
_TRUE: Final = ("1", "true", "t", "yes", "y", "on")


_EXAMPLES: Final = """\
charlstm train my-text.txt
charlstm sample --prime "qu"
charlstm eval"""

app = typer.Typer(
    name="charlstm",
    help="Train an LSTM on any text, predict and generate characters, and evaluate the model.",
    epilog=_EXAMPLES,
    cls=Group,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", cls=Command, epilog=train.EXAMPLES)(train.train)
app.command(
    "sample",
    cls=Command,
    short_help="Generate text, or new items of a list.",
    epilog=sample.EXAMPLES,
)(sample.sample)
app.command("predict", cls=Command, epilog=predict.EXAMPLES)(predict.predict)
app.command("play", cls=Command, epilog=play.EXAMPLES)(play.play)
app.command("inspect", cls=Command, epilog=inspect.EXAMPLES)(inspect.inspect)
app.command("compare", cls=Command, epilog=compare.EXAMPLES)(compare.compare)
app.command("eval", cls=Command, epilog=eval_command.EXAMPLES)(eval_command.evaluate)
app.command(
    "score",
    cls=Command,
    short_help="Score lines as they arrive, to find unusual ones or the best model.",
    epilog=score.EXAMPLES,
)(score.score)
app.command("export", cls=Command, epilog=export.EXAMPLES)(export.export)
app.add_typer(runs.app, name="runs")
app.add_typer(corpus.app, name="corpus")


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback signature
    if wanted:
        print(f"charlstm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    # `main` reads --debug from its arguments, because errors can occur before this runs.
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 1 for an error; 2 for incorrect usage; 130, 143 or 129 after SIGINT,
        SIGTERM or SIGHUP.
    """
    arguments = _expand_aliases((sys.argv[1:] if arguments is None else arguments) or ["--help"])
    prepare_streams()
    limit_spinning()
    code = 0
    try:
        command = typer.main.get_command(app)
        _name_environment(command, app.info.name or "")
        result = command.main(arguments, prog_name="charlstm", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # What a failed write left in the buffer; the command may have ended with its own code.
        _abandon(sys.stdout)
        return code
    except SystemExit as exit_:
        # Typer exits with 1 if stdout is closed.
        if isinstance(exit_.__context__, OSError):
            _abandon(sys.stdout)
            return 0
        raise
    except Exception as error:
        debug = os.environ.get("CHARLSTM_DEBUG", "").lower()
        if arguments[0] == "--debug" or debug in _TRUE:
            raise
        return _explain(error)
    finally:
        try:
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):  # its terminal is closed
            _abandon(sys.stderr)
    return code


def _expand_aliases(arguments: list[str]) -> list[str]:
    """Expand `help`, `version`, `runs list` and a bare `corpus`."""
    match arguments:
        case ["help", *command]:
            return [*command, "--help"]
        case ["version"]:
            return ["--version"]
        case ["runs", "list", *options]:
            return ["runs", *options]
        case ["corpus"]:
            return ["corpus", "--help"]
    return arguments


def _name_environment(command: Any, prefix: str) -> None:
    """Let each option be set by an environment variable, CHARLSTM_COMMAND_OPTION."""
    for parameter in command.params:
        names = [name for name in parameter.opts if name.startswith("--")]
        if names:
            variable = f"{prefix}_{names[0].lstrip('-')}".upper().replace("-", "_")
            others = parameter.envvar or []
            parameter.show_envvar = False  # the README explains the names
            parameter.envvar = [variable, *([others] if isinstance(others, str) else others)]
    for name, inner in getattr(command, "commands", {}).items():
        _name_environment(inner, f"{prefix}_{name}")


def _explain(error: Exception) -> int:
    """Print an error in one line; return the exit code."""
    if isinstance(error, CharLSTMError):
        say(f"charlstm: {error}")
        return error.exit_code
    # Typer's error classes are private.
    exit_code = getattr(error, "exit_code", None)
    if exit_code is not None and hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "charlstm"
        say(f"charlstm: {explain(error, context)} (see {command} --help)")
        return int(exit_code)
    if isinstance(error, OSError) and error.filename is None:
        _abandon(sys.stdout)
        say(f"charlstm: writing failed: {error.strerror}")
        return _EXIT_ERROR
    say(f"charlstm: {type(error).__name__}: {error} (--debug shows where)")
    return _EXIT_ERROR


def _abandon(stream: TextIO) -> None:
    """Redirect stdout or stderr to the null device, so that Python's exit can flush it."""
    # It may be None or have no file descriptor.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
