"""`charlstm runs`: list, show and delete runs."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from charlstm.arguments.help import Command, Group
from charlstm.arguments.options import (
    Checkpoints,
    Json,
    RunNames,
    plot_option,
    print_record,
    print_warnings,
    source_of,
)
from charlstm.config import DEFAULT_STORE
from charlstm.errors import CheckpointError, ConfigError
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.run.store import CheckpointStore, LoadedCheckpoint

_EXAMPLES: Final = """\
charlstm runs
charlstm runs show shakespeare
charlstm runs rm shakespeare"""
_SHOW_EXAMPLES: Final = """\
charlstm runs show shakespeare
charlstm runs show small large              # their differences
charlstm runs show shakespeare --plot curves.svg
charlstm runs show shakespeare --command    # how to reproduce it"""
_REMOVE_EXAMPLES: Final = """\
charlstm runs rm shakespeare
charlstm runs rm small large --yes"""

app = typer.Typer(cls=Group, invoke_without_command=True, epilog=_EXAMPLES)


@app.callback()
def runs(
    context: typer.Context,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """List runs, newest last."""
    if context.invoked_subcommand is not None:
        # Options before the subcommand are its own.
        context.obj = {"as_json": as_json}
        return

    from charlstm.run.store import CheckpointStore, run_records
    from charlstm.views.runs import show_runs

    records = run_records(CheckpointStore(checkpoints), lambda notice: say(f"warning: {notice}"))
    if as_json:
        print_record(records)
    elif records:
        show_runs(records)
    else:
        say(f"{checkpoints}: has no runs yet; create one with: charlstm train")


@app.command(
    "show",
    cls=Command,
    short_help="Show a run, or the differences between several.",
    epilog=_SHOW_EXAMPLES,
)
def show(
    context: typer.Context,
    names: RunNames,
    plot: Annotated[Path | None, plot_option("the training curves")] = None,
    details: Annotated[
        bool,
        typer.Option("--details", help="Show all evaluations, mean gates and full samples."),
    ] = False,
    command: Annotated[
        bool,
        typer.Option("--command", help="Only print the command that reproduces the run."),
    ] = False,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Show a run's settings and training history, or the differences between several runs."""
    from charlstm.run.store import CheckpointStore
    from charlstm.views.runs import show_differences, show_run, with_history

    store = CheckpointStore(_store_path(context))
    found = {name: store.load_model(name, furthest=True) for name in names}
    for loaded in found.values():
        print_warnings(loaded.notices)
    is_json = as_json or context.obj["as_json"]
    if command:
        if is_json or details or plot is not None:
            raise ConfigError("--command can't be combined with --json, --details or --plot")
        _print_commands(store, found)
        return
    counts_bits = {name: _counts_bits(name, store) for name in found}
    records = [
        with_history(name, loaded.checkpoint)
        | {
            "num_bytes": _num_bytes(store, name),
            "counts_val_bits_per_char": counts_bits[name],
        }
        for name, loaded in found.items()
    ]
    if len(found) > 1:
        if plot is not None:
            raise ConfigError("--plot needs a single run")
        if is_json:
            print_record(records)
        else:
            show_differences({name: loaded.checkpoint for name, loaded in found.items()})
        return
    run, loaded = next(iter(found.items()))
    if plot is not None:
        from charlstm.reading.filelist import sources_of
        from charlstm.views.plots import open_plot, plot_training

        inputs = (str(loaded.path), *sources_of(loaded.checkpoint.spec.corpus))
        with open_plot(plot, inputs) as draw:
            draw(lambda: plot_training(loaded.checkpoint.history, title=run))
    if is_json:
        print_record(records[0])
    else:
        show_run(
            run,
            loaded.checkpoint,
            with_details=details,
            counts_bits=counts_bits[run],
        )


def _num_bytes(store: "CheckpointStore", name: str) -> int:
    found = store.find(name)
    return found.stat().st_size if isinstance(found, Path) else found.size()


def _counts_bits(run: str, store: "CheckpointStore") -> float | None:
    """Return the validation loss of a run's stored n-gram model, in bits per character."""
    from charlstm.api.loading import open_model

    with contextlib.suppress(CheckpointError):
        return open_model(run, checkpoints=store.root).counts_val_bits()
    return None


def _print_commands(store: "CheckpointStore", found: "dict[str, LoadedCheckpoint]") -> None:
    """Print the command that reproduces each run, and notes on its limits."""
    from charlstm.run.repeat_command import repeat_command
    from charlstm.views.tables import command_line

    for name, loaded in found.items():
        arguments, notes = repeat_command(loaded.checkpoint)
        print(command_line(arguments, store.root), flush=True)
        for note in notes:
            say(f"{name}: {note}")


@app.command("rm", cls=Command, epilog=_REMOVE_EXAMPLES)
def remove(
    context: typer.Context,
    names: RunNames,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
    checkpoints: Checkpoints = DEFAULT_STORE,
) -> None:
    """Delete runs: their checkpoints and event logs."""
    from charlstm.run.store import CheckpointStore

    store = CheckpointStore(_store_path(context))
    found = [store.run(name) for name in names]
    num_bytes = sum(run.size() for run in found)
    listed = ", ".join(names)
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise ConfigError(f"runs rm {listed}: stdin is not a terminal; add --yes to delete")
        try:
            question = f"delete run {listed}, {num_bytes / 1e6:.1f} MB?"
            is_confirmed = typer.confirm(question, err=True)
        except typer.Abort as abort:
            # Ctrl-C or Ctrl-D.
            raise KeyboardInterrupt from abort
        if not is_confirmed:
            raise typer.Exit(1)
    for run in found:
        run.remove()
        rest = "; its folder holds other files and was kept" if run.folder.is_dir() else ""
        say(f"run {run.name} deleted{rest}")


def _store_path(context: typer.Context) -> Path:
    """Return a subcommand's store: its own flag, else the group's, else environment or default."""
    parent = context.parent
    source = source_of(context, "checkpoints")
    if parent is not None and source != "COMMANDLINE":
        is_group_flag = source_of(parent, "checkpoints") == "COMMANDLINE"  # type: ignore[arg-type]
        if is_group_flag or source == "DEFAULT":
            return Path(parent.params["checkpoints"])
    return Path(context.params["checkpoints"])
