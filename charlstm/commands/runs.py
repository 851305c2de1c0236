"""`charlstm runs`: what is in the store."""

import json
from typing import Any

import typer

from charlstm.commands.options import Checkpoints, Json
from charlstm.config import DEFAULT_STORE
from charlstm.errors import CheckpointError
from charlstm.terminal import say

app = typer.Typer(invoke_without_command=True)


@app.callback()
def runs(
    context: typer.Context,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """List the runs in the store, the newest last.

    charlstm runs

    charlstm runs --json
    """
    if context.invoked_subcommand is not None:
        return

    from charlstm.store import CheckpointStore
    from charlstm.views.runs import show_runs

    store = CheckpointStore(checkpoints)
    records: list[dict[str, Any]] = []
    for name in store.run_names():
        try:
            loaded = store.load(name, which="last")
        except CheckpointError as error:
            say(f"warning: {error}")
            continue
        for warning in loaded.warnings:
            say(f"warning: {warning}")
        checkpoint = loaded.checkpoint
        records.append(
            {
                "name": name,
                "corpus": checkpoint.corpus_name,
                "cell": checkpoint.model_config.cell,
                "num_parameters": checkpoint.model_config.num_parameters,
                "step": checkpoint.step,
                "best_val_bits_per_char": checkpoint.best_val_bits_per_char,
                "saved_at": checkpoint.saved_at,
            }
        )
    records.sort(key=lambda record: record["saved_at"])
    if as_json:
        print(json.dumps(records))
    elif records:
        show_runs(records)
    else:
        say(f"{checkpoints}: no run yet; make one with: charlstm train")
