"""`charlstm train`: train a model and show progress."""

import contextlib
import os
import select
import stat
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charlstm.arguments.options import Checkpoints, Json, print_record, with_settings
from charlstm.arguments.texts import require_texts
from charlstm.config import DEFAULT_STORE, ReadingConfig
from charlstm.errors import ConfigError
from charlstm.settings import ReadingSettings, RunSettings, TrainSettings
from charlstm.system.interrupts import StopSignals, import_torch, stop_signals
from charlstm.system.terminal import say, waiting

if TYPE_CHECKING:
    from charlstm.run.log import EventRecord
    from charlstm.run.session import Session, Worker


EXAMPLES: Final = """\
charlstm train my-text.txt                        # 5 minutes
charlstm train my-text.txt --minutes 1h --run long
charlstm train names.txt --split-documents lines  # a list, one item per line
charlstm train --resume                           # continue the newest run"""


@with_settings
def train(
    reading: ReadingSettings,
    settings: TrainSettings,
    run: RunSettings,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS",
            help="Text files or folders; - is stdin.  [default: Python's documentation]",
        ),
    ] = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard event files (an extra).")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Only show warnings and errors; --json still prints."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a text and keep its checkpoints."""
    started_at = time.monotonic()
    if tensorboard:
        from charlstm.views.plots import require_tensorboard

        require_tensorboard()
    paths = corpus or []
    ReadingConfig.of(reading, paths)  # rejects invalid settings before torch is loaded
    require_texts([*paths, *filter(None, (reading.val, reading.test))], checkpoints)
    if not corpus and not run.resume:
        _refuse_unread_stdin()

    import_torch(is_shown=not quiet)
    from charlstm.run.preparation import Request
    from charlstm.run.session import open_session, open_worker
    from charlstm.run.store import CheckpointStore
    from charlstm.system.distributed import join_world

    request = Request(paths=tuple(paths), reading=reading, settings=settings, run=run)
    store = CheckpointStore(checkpoints)
    with stop_signals() as signals, join_world() as world:
        if world.is_main_process:
            with contextlib.ExitStack() as stack:
                preparing = stack.enter_context(contextlib.ExitStack())
                what = "reading the text and choosing the model"
                preparing.enter_context(waiting(what, is_shown=not quiet))

                def prepared() -> None:
                    preparing.close()
                    signals.hold()

                session = stack.enter_context(
                    open_session(
                        store,
                        request,
                        started_at=started_at,
                        world=world,
                        before_training=prepared,
                    )
                )
                signals.forward(session.stop)
                exit_code = _train_and_show(
                    session,
                    signals,
                    with_tensorboard=tensorboard,
                    quiet=quiet,
                    as_json=as_json,
                )
        else:
            worker = open_worker(
                store, started_at=started_at, world=world, before_training=signals.hold
            )
            if worker is None:
                world.wait_for_main_process()
            exit_code = 1 if worker is None else _train_worker(worker, signals)
        world.leave(exit_code)
    raise typer.Exit(exit_code)


def _train_worker(worker: "Worker", signals: StopSignals) -> int:
    """Train until the main process finishes; return the exit code."""
    if worker.is_finished:
        return 0
    signals.forward(worker.stop)
    worker.run()
    return 0 if signals.received is None else 128 + signals.received


def _train_and_show(
    session: "Session",
    signals: StopSignals,
    *,
    with_tensorboard: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run the session and show its reports; return the exit code."""
    from charlstm.events import Finished
    from charlstm.views.plots import open_board
    from charlstm.views.training import (
        shell_command,
        show_finished,
        show_finished_before,
        show_plan,
        training_view,
    )

    for notice in (*session.notices, *(() if quiet else session.confirmations)):
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
    finished: EventRecord | None = None
    with (
        training_view(quiet=quiet) as show,
        open_board(session.folder, wanted=with_tensorboard, mode=session.corpus.mode) as draw,
    ):
        for report in session.run():
            draw(report)
            if as_json and report.is_due and broken is None:
                try:
                    print_record(report.record)
                except OSError as error:
                    # The reader of --json is gone: save and stop.
                    broken = error
                    session.stop()
            # Training continues if the terminal closes.
            with contextlib.suppress(OSError, ValueError):
                show(report)
            finished = report
    assert finished is not None
    assert isinstance(finished.event, Finished)
    if finished.event.was_interrupted:
        command = shell_command("train --resume", session.folder)
        say(f"interrupted and saved; continue with: {command}")
        if signals.received is not None:
            return 128 + signals.received
    if broken is not None:
        # No message for a closed pipe, but a failing exit code.
        raise typer.Exit(1) if isinstance(broken, BrokenPipeError) else broken
    if not as_json and not quiet:
        show_finished(session, finished.event)
    return 0


def _refuse_unread_stdin() -> None:
    """Raise ConfigError if text is piped in but - is not given."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # stdin closed or not selectable
        if sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.0)[0]:
            return
        stdin: Any = sys.stdin.buffer
        if stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode) or not stdin.peek(1):
            return
        raise ConfigError("stdin has text: give - to train on it, as in: charlstm train -")
