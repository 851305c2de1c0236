"""`charlstm eval`: how well a model predicts a text."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Json,
    Run,
    load_model,
)
from charlstm.config import DEFAULT_STORE, SplitName
from charlstm.errors import ConfigError, CorpusError
from charlstm.terminal import say

if TYPE_CHECKING:
    from charlstm.checkpoints import Checkpoint
    from charlstm.split import Split


def evaluate(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Texts to score, - for stdin; default: a split."),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option("--split", help="Part of the run's own corpus.  [default: test]"),
    ] = None,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic", help="Score it a second time, learning from what was scored. Slow."
        ),
    ] = False,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    run: Run = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Score the test text of a run's corpus, or any other text.

    charlstm eval

    charlstm eval another.txt --json

    charlstm eval --dynamic
    """
    if files and split:
        raise ConfigError("give files or --split, not both")

    from charlstm.store import CheckpointStore

    loaded = load_model(context, CheckpointStore(checkpoints))
    checkpointed = loaded.checkpoint
    if files:
        name, text = None, _read_files(files, checkpointed)
    else:
        name, text = _own_split(split, checkpointed)
    if not text.num_chars:
        raise CorpusError("there is no text to score")

    import torch

    from charlstm.dynamic import evaluate_dynamically
    from charlstm.evaluation import evaluate as score
    from charlstm.hardware import resolve_device, resolve_threads
    from charlstm.model import CharLSTM
    from charlstm.views.evaluation import as_record, show_evaluation

    torch.set_num_threads(resolve_threads(threads))
    model = CharLSTM(checkpointed.model_config)
    model.load_arrays(checkpointed.weights)
    model.to(resolve_device(device))
    floor = checkpointed.unknown_probability
    static = score(model, text, unknown_probability=floor)
    adapted = evaluate_dynamically(model, text, unknown_probability=floor) if dynamic else None
    run_name = loaded.run or str(loaded.path)
    if as_json:
        record = as_record(static, dynamic=adapted, run=run_name, split=name, files=files or [])
        print(json.dumps(record))
    else:
        title = f"{run_name}: {name or ', '.join(files or [])}"
        show_evaluation(static, dynamic=adapted, title=title)


def _read_files(files: list[str], checkpoint: "Checkpoint") -> "Split":
    from charlstm.corpus import encode_files

    split, notices = encode_files(files, checkpoint.corpus, checkpoint.vocabulary)
    for notice in notices:
        say(notice)
    return split


def _own_split(wanted: SplitName | None, checkpoint: "Checkpoint") -> tuple[SplitName, "Split"]:
    """The split of the corpus that the run was trained on, read again."""
    from charlstm.corpus import load_corpus_again

    corpus = load_corpus_again(checkpoint.corpus)
    corpus.require_fingerprint(checkpoint.fingerprint)
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val
