"""`charlstm eval`: how well a model predicts a text."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Json,
    Run,
    advice_for_a_model,
    load_model,
    prefer_flags,
    require_writable,
    training_corpus,
)
from charlstm.config import DEFAULT_STORE, SplitName
from charlstm.errors import ConfigError, CorpusError
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.model.checkpoints import Checkpoint
    from charlstm.store.runs import CheckpointStore, Loaded
    from charlstm.text.corpus import Corpus
    from charlstm.text.split import Split


def evaluate(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Texts to score, - for stdin.  [default: a split]"),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option("--split", help="Which split of the run's corpus.  [default: test]"),
    ] = None,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also score with dynamic evaluation: the model learns from what it scored. Slow.",
        ),
    ] = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Also show context length, kinds of characters, calibration, worst surprises.",
        ),
    ] = False,
    per_char: Annotated[
        Path | None,
        typer.Option("--per-char", metavar="FILE", help="Write each character's surprise, as TSV."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw effect of context and calibration: .svg, .png, .pdf.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: one per core]")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto (CUDA if present), cpu, cuda or mps.")
    ] = "auto",
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
    files, split = prefer_flags(context, "files", "split").values()
    if files and split:
        raise ConfigError("give files or --split, not both")
    if plot is not None:
        from charlstm.views.plots import require_plots

        require_plots(plot)
    for path in (per_char, plot):
        if path is not None:
            require_writable(path)

    from charlstm.store.runs import CheckpointStore

    store = CheckpointStore(checkpoints)
    loaded = load_model(context, store)
    trained = loaded.checkpoint
    corpus = _own_corpus(loaded, store, is_needed=not files)
    name, text = None, None
    if files:
        text = _read_files(files, trained)
    else:
        assert corpus is not None
        name, text = _chosen_split(split, corpus)
        if name == "train":
            say("no baselines for the training split, which they learned from")
            corpus = None
    if not text.num_chars:
        raise CorpusError("there is no text to score")

    import torch

    from charlstm.evaluation.assessment import LearnedText, assess
    from charlstm.model.network import CharLSTM
    from charlstm.training.hardware import resolve_device, resolve_threads
    from charlstm.views.evaluation import as_record, show_assessment, write_per_char

    torch.set_num_threads(resolve_threads(threads))
    model = CharLSTM(trained.model_config)
    model.load_arrays(trained.weights)
    model.to(resolve_device(device))
    assessment = assess(
        model,
        text,
        trained.vocabulary,
        learned=None if corpus is None else LearnedText(train=corpus.train, val=corpus.val),
        corpus=trained.corpus,
        unknown_probability=trained.unknown_probability,
        with_dynamic=dynamic,
    )
    if per_char is not None:
        write_per_char(per_char, assessment.scores, text, trained.vocabulary)
    run_name = loaded.run or str(loaded.path)
    title = f"{run_name}: {name or ', '.join(files or [])}"
    if plot is not None:
        from charlstm.views.plots import plot_assessment

        plot_assessment(assessment, plot, title=title)
    if as_json:
        print(json.dumps(as_record(assessment, run=run_name, split=name, files=files or [])))
    else:
        show_assessment(assessment, title=title, with_details=details)


def _read_files(files: list[str], checkpoint: "Checkpoint") -> "Split":
    from charlstm.text.corpus import encode_files

    with advice_for_a_model():
        split, notices = encode_files(files, checkpoint.corpus, checkpoint.vocabulary)
    for notice in notices:
        say(notice)
    return split


def _own_corpus(loaded: "Loaded", store: "CheckpointStore", *, is_needed: bool) -> "Corpus | None":
    """The corpus that the run was trained on; None where it can be done without."""
    try:
        return training_corpus(loaded, store)
    except CorpusError as error:
        if is_needed:
            raise
        say(f"no baselines without the training text: {error}")
        return None


def _chosen_split(wanted: SplitName | None, corpus: "Corpus") -> tuple[SplitName, "Split"]:
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val
