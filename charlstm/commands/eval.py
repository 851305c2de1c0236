"""`charlstm eval`: how well a model predicts a text."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Device,
    Json,
    Run,
    Threads,
    advice_for_a_model,
    invite_typing,
    load_model,
    one_of,
    open_outputs,
    print_record,
    say_written,
)
from charlstm.config import DEFAULT_STORE, SplitName
from charlstm.errors import CorpusError
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.evaluation.assessment import LearnedText
    from charlstm.inference.model import Model
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
    threads: Threads = None,
    device: Device = "auto",
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
    files, split = one_of(context, "files", "split").values()
    if plot is not None:
        from charlstm.views.plots import require_plots

        require_plots(plot)

    invite_typing(files or ())
    model = load_model(context)
    inputs = chain(model.sources(), files or [])
    with open_outputs(per_char, plot, inputs=inputs) as (table, picture):
        name, text, learned = _choose(model, files, split)

        import_torch()
        from charlstm.evaluation.assessment import assess
        from charlstm.training.hardware import resolve_device, set_threads
        from charlstm.views.evaluation import as_record, show_assessment, write_per_char

        set_threads(threads)
        assessment = assess(
            model.network(resolve_device(device)),
            text,
            model.alphabet,
            learned=learned,
            with_dynamic=dynamic,
        )
        title = f"{model.name}: {name or ', '.join(files or [])}"
        if table is not None:
            write_per_char(table, assessment.scores, text, model.alphabet)
        if plot is not None and picture is not None:
            from charlstm.views.plots import plot_assessment, write_figure

            write_figure(plot_assessment(assessment, title=title), picture, plot)
    say_written(per_char, plot)
    if as_json:
        print_record(as_record(assessment, run=model.name, split=name, files=files or []))
    else:
        show_assessment(assessment, title=title, with_details=details)


def _choose(
    model: "Model", files: list[str] | None, split: SplitName | None
) -> "tuple[SplitName | None, Split, LearnedText | None]":
    """The text to score, its name where it is a split, and what the baselines learn from."""
    from charlstm.evaluation.assessment import LearnedText

    corpus = _own_corpus(model, is_needed=not files)
    learned = None if corpus is None else LearnedText(train=corpus.train, val=corpus.val)
    name: SplitName | None = None
    if files:
        text = _read_files(files, model)
    else:
        assert corpus is not None
        name, text = _chosen_split(split, corpus)
        if name == "train":
            say("no baselines for the training split, which they learned from")
            learned = None
    if not text.num_chars:
        raise CorpusError("there is no text to score")
    return name, text, learned


def _read_files(files: list[str], model: "Model") -> "Split":
    from charlstm.text.corpus import encode_files

    with advice_for_a_model():
        split, notices = encode_files(
            files, model.checkpoint.spec.corpus, model.alphabet.vocabulary
        )
    for notice in notices:
        say(notice)
    return split


def _own_corpus(model: "Model", *, is_needed: bool) -> "Corpus | None":
    """The corpus that the run was trained on; None where it can be done without."""
    try:
        return model.corpus()
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
