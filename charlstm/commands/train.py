"""`charlstm train`: a text in, a model out, and everything kept on the way."""

import contextlib
import os
import select
import stat
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charlstm.commands.options import (
    TEXT_PANEL,
    Checkpoints,
    Json,
    complete_run,
    complete_run_to_resume,
    invite_typing,
    is_given,
    minutes_of,
    one_of,
    print_record,
    whole_number,
    with_reading_options,
)
from charlstm.config import DEFAULT_STORE, Cell
from charlstm.errors import ConfigError
from charlstm.system.interrupts import StopSignals, import_torch, stop_signals
from charlstm.system.terminal import say
from charlstm.training.recipe import DEFAULT_MINUTES

if TYPE_CHECKING:
    from charlstm.sessions.journal import Report
    from charlstm.sessions.session import Follower, Session


_RECIPE: Final = "Model and training (chosen by text and budget unless given)"
_MACHINE: Final = "Machine"


EXAMPLES: Final = """\
charlstm train my-text.txt                        # 5 minutes
charlstm train my-text.txt --minutes 1h --run long
charlstm train names.txt --split-documents lines  # a list, one item a line
charlstm train --resume                           # the newest run, to its end"""


@with_reading_options()
def train(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS",
            help="Text files or folders, - for stdin.  [default: Python's own documentation]",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            parser=minutes_of,
            metavar="TIME",
            help="Budget: wall-clock minutes, or with a unit, as in 90s and 2h.  "
            f"[default: {DEFAULT_MINUTES:g}]",
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Budget: passes over the training text.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", parser=whole_number, metavar="N", help="Budget: gradient steps."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="NAME",
            help="Name of the run.  [default: the corpus's]",
            autocompletion=complete_run_to_resume,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume --run, or the newest run.")
    ] = False,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from this run's weights: fine-tuning.",
            autocompletion=complete_run,
        ),
    ] = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            "--val-fraction",
            rich_help_panel=TEXT_PANEL,
            help="Share of the text for validation, 0 to 1.  [default: 0.05]",
        ),
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            "--test-fraction",
            rich_help_panel=TEXT_PANEL,
            help="Share of the text for eval, at its end.  [default: 0.05]",
        ),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            "--val",
            metavar="FILE",
            rich_help_panel=TEXT_PANEL,
            help="Validate on this file instead of a share of the text.",
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            metavar="FILE",
            rich_help_panel=TEXT_PANEL,
            help="Keep this file for eval instead of a share of the text.",
        ),
    ] = None,
    reading: Any = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache",
            rich_help_panel=TEXT_PANEL,
            help="Keep the encoded text in the store, for later runs.",
        ),
    ] = True,
    hidden_size: Annotated[
        int | None,
        typer.Option(
            "--hidden-size",
            rich_help_panel=_RECIPE,
            help="Units per layer.  [default: by the budget]",
        ),
    ] = None,
    num_layers: Annotated[
        int | None,
        typer.Option("--num-layers", rich_help_panel=_RECIPE, help="Layers.  [default: 2]"),
    ] = None,
    embedding_size: Annotated[
        int | None,
        typer.Option(
            "--embedding-size",
            rich_help_panel=_RECIPE,
            help="Numbers that stand for a character.  [default: 64; on CUDA 128]",
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            "--dropout", rich_help_panel=_RECIPE, help="On the last layer's output, 0 to 0.95."
        ),
    ] = None,
    recurrent_dropout: Annotated[
        float | None,
        typer.Option(
            "--recurrent-dropout",
            rich_help_panel=_RECIPE,
            help="On the recurrent weights (DropConnect), 0 to 0.95.",
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            "--weight-decay",
            rich_help_panel=_RECIPE,
            help="Of the layers' matrices, decoupled; 0 to 10. With 0, nothing decays.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            rich_help_panel=_RECIPE,
            help="Sequences per gradient step.  [default: 32 or more]",
        ),
    ] = None,
    seq_len: Annotated[
        int | None,
        typer.Option(
            "--seq-len",
            rich_help_panel=_RECIPE,
            help="Length of truncated BPTT, in characters.  [default: 64 or more]",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            rich_help_panel=_RECIPE,
            help="Muon's at its peak, after warm-up; AdamW's is 3 times that.  [default: 0.012]",
        ),
    ] = None,
    cell: Annotated[
        Cell | None,
        typer.Option(
            "--cell", rich_help_panel=_RECIPE, help="lstm, gru, or a plain rnn.  [default: lstm]"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            rich_help_panel=_RECIPE,
            help="With --steps or --epochs the same seed gives the same model; runs show --command "
            "prints the whole line.  [default: 0]",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", rich_help_panel=_MACHINE, help="CPU threads.  [default: one per core]"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            rich_help_panel=_MACHINE,
            help="auto (CUDA if present), cpu, cuda or mps.  [default: auto]",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            rich_help_panel=_MACHINE,
            help="Of gradient steps: auto, float32, bfloat16 or float16.  [default: auto]",
        ),
    ] = None,
    early_stop: Annotated[
        bool | None,
        typer.Option(
            "--early-stop/--no-early-stop",
            rich_help_panel=_RECIPE,
            help="End when the model only overfits.  [default: with --minutes]",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard (an extra).")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Show warnings and errors alone; not of --json."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a text and keep its checkpoints."""
    started_at = time.monotonic()
    if tensorboard:
        from charlstm.views.tensorboard import require_tensorboard

        require_tensorboard()
    resume, parent = one_of(context, "resume", "parent").values()
    budgets = one_of(context, "minutes", "epochs", "steps")
    splits = one_of(context, "val", "val_fraction") | one_of(context, "test", "test_fraction")
    reading |= {name: value for name, value in splits.items() if is_given(value)}
    invite_typing(corpus or ())
    if not corpus and not resume:
        _refuse_unread_stdin()
    if corpus:
        reading["paths"] = tuple(corpus)

    import_torch()
    from charlstm.sessions.preparation import Request
    from charlstm.sessions.session import open_follower, open_session
    from charlstm.store.runs import CheckpointStore
    from charlstm.system.distributed import join_world

    request = Request.of(
        context.params | budgets | {"resume": resume, "parent": parent, "stops_early": early_stop},
        reading=reading,
    )
    store = CheckpointStore(checkpoints)
    with stop_signals() as signals, join_world() as world:
        if world.leads:
            with open_session(
                store, request, started_at=started_at, world=world, before_training=signals.hold
            ) as session:
                signals.forward(session.stop)
                exit_code = _show(
                    session,
                    signals,
                    with_tensorboard=tensorboard,
                    quiet=quiet,
                    as_json=as_json,
                )
        else:
            follower = open_follower(
                store, request, started_at=started_at, world=world, before_training=signals.hold
            )
            if follower is None:
                world.wait_for_leader()
            exit_code = 1 if follower is None else _follow(follower, signals)
        world.leave(exit_code)
    raise typer.Exit(exit_code)


def _follow(follower: "Follower", signals: StopSignals) -> int:
    """Train along to the end; returns the exit code."""
    if follower.is_finished:
        return 0
    signals.forward(follower.stop)
    follower.run()
    return 0 if signals.received is None else 128 + signals.received


def _show(
    session: "Session",
    signals: StopSignals,
    *,
    with_tensorboard: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run the session to its end; returns the exit code."""
    from charlstm.events import Finished
    from charlstm.views.tensorboard import open_board
    from charlstm.views.training import (
        shell_command,
        show_finished,
        show_finished_before,
        show_plan,
        training_view,
    )

    for notice in (*session.notices, *(() if quiet else session.news)):
        say(notice)
    if session.is_finished:
        if not quiet:
            show_finished_before(session)
        if as_json:
            print_record(session.finished_record())
        return 0
    if not quiet:
        show_plan(session)
    broken: OSError | None = None
    finished: Report | None = None
    with (
        training_view(quiet=quiet) as view,
        open_board(session.folder, wanted=with_tensorboard, mode=session.corpus.mode) as board,
    ):
        for report in session.run():
            board.show(report)
            if as_json and report.is_logged and broken is None:
                try:
                    print_record(report.record)
                except OSError as error:
                    # Nobody listens any more: save and end.
                    broken = error
                    session.stop()
            # A terminal that is gone stops nothing.
            with contextlib.suppress(OSError, ValueError):
                view.show(report)
            finished = report
    assert finished is not None
    assert isinstance(finished.event, Finished)
    if finished.event.was_interrupted:
        command = shell_command("train --resume", session.folder)
        say(f"interrupted and saved; continue with: {command}")
        if signals.received is not None:
            return 128 + signals.received
    if broken is not None:
        # As quiet as a closed pipe has to be, but the run did not end well.
        raise typer.Exit(1) if isinstance(broken, BrokenPipeError) else broken
    if not as_json and not quiet:
        show_finished(session, finished.event)
    return 0


def _refuse_unread_stdin() -> None:
    """Refuse to train on Python's documentation where a text is piped in and nobody says so."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no stdin, or none to wait for
        if sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.0)[0]:
            return
        stdin: Any = sys.stdin.buffer
        if stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode) or not stdin.peek(1):
            return
        raise ConfigError("stdin holds a text: say - to train on it, as in: charlstm train -")
