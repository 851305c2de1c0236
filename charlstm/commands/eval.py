"""`charlstm eval`: how well a model predicts a text, by itself or against another model."""

from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from charlstm.commands.against import Rival, compare
from charlstm.commands.options import (
    Device,
    Json,
    Threads,
    WhichModel,
    complete_run,
    invite_typing,
    one_of,
    open_outputs,
    print_record,
    say_written,
    with_settings,
)
from charlstm.commands.scored import Chosen, choose
from charlstm.config import STDIN, SplitName
from charlstm.errors import ConfigError
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charlstm.api.model import Model
    from charlstm.evaluation.difference import WorseThanValidation
    from charlstm.evaluation.scores import DocumentScore, Progress, Scores
    from charlstm.model.network import CharLSTM
    from charlstm.text.alphabet import Alphabet

_NUM_EXTREMES: Final = 5


EXAMPLES: Final = """\
charlstm eval                              # the newest run's test text
charlstm eval another.txt --json
charlstm eval --details --dynamic
charlstm eval --run large --against small  # two models on the same text"""


@with_settings
def evaluate(
    context: typer.Context,
    which: WhichModel,
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
    per_document: Annotated[
        Path | None,
        typer.Option(
            "--per-document",
            metavar="FILE",
            help="Write each document's surprise, as TSV; - for stdout.",
        ),
    ] = None,
    with_duplicates: Annotated[
        bool,
        typer.Option(
            "--with-duplicates",
            help="Score documents of a list that are also in its training text.",
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Compare with this run instead, on the same text.",
            autocompletion=complete_run,
        ),
    ] = None,
    against_checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--against-checkpoint",
            metavar="FILE",
            help="Compare with this checkpoint file instead.",
        ),
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
    as_json: Json = False,
) -> None:
    """Score the test text of a run's corpus, or any other text."""
    files, split = one_of(context, files=files, split=split)
    rival = Rival(run=against, checkpoint=against_checkpoint)
    if rival.is_named(
        context, dynamic=dynamic, details=details, per_char=per_char, per_document=per_document,
        plot=plot,
    ):  # fmt: skip
        compare(
            which,
            rival,
            files or [],
            split,
            with_duplicates=with_duplicates,
            threads=threads,
            device=device,
            as_json=as_json,
        )
        return
    _check_outputs(per_char, per_document, plot, as_json=as_json)
    invite_typing(files or ())
    model = which.load()
    inputs = chain(model.sources(), files or [])
    outputs = open_outputs(per_char, per_document, plot, inputs=inputs)
    with outputs as (table, document_table, picture):
        chosen = choose(model, files, split, with_duplicates=with_duplicates)
        name, text, learned = chosen.split, chosen.text, chosen.learned

        import_torch()
        from charlstm.evaluation.assessment import assess
        from charlstm.evaluation.baselines import has_ppmd
        from charlstm.training.hardware import resolve_device, set_threads
        from charlstm.views.bars import counting_bar
        from charlstm.views.evaluation import (
            as_record,
            show_assessment,
            show_documents,
            write_per_char,
            write_per_document,
        )

        set_threads(threads)
        network = model.network(resolve_device(device))
        if document_table is not None and str(per_document) == STDIN and table is picture is None:
            # Into a pipe there is no end to wait for.
            with counting_bar(text.num_chars, "scored") as progress:
                found = _documents_in_parts(network, chosen, model.alphabet, progress)
                write_per_document(document_table, found)
            return
        beside = None
        if name != "train":
            val = text if name == "val" else None
            beside = model.counts_beside(chosen.corpus, val=val, notify=say)
        if dynamic and not has_ppmd():
            say("without PPMd in comparison; to add it: pip install 'charlstm[ppmd]'")
        with counting_bar(text.num_chars * (1 + dynamic), "scored") as progress:
            assessment = assess(
                network,
                text,
                model.alphabet,
                learned=learned,
                beside=beside,
                with_dynamic=dynamic,
                progress=progress,
            )
        title = f"{model.name}: {name or ', '.join(files or [])}"
        if table is not None:
            write_per_char(table, assessment.scores, text, chosen.original)
        documents = _Documents(assessment.scores, chosen, model.alphabet)
        if document_table is not None:
            write_per_document(document_table, documents.all())
        if plot is not None and picture is not None:
            from charlstm.views.plots import plot_assessment, write_figure

            write_figure(plot_assessment(assessment, title=title), picture, plot)
    say_written(per_char, per_document, plot)
    if as_json:
        print_record(as_record(assessment, run=model.name, split=name, files=files or []))
    else:
        show_assessment(
            assessment,
            title=title,
            with_details=details,
            worse=_worse_than_validation(model, chosen, assessment.scores),
        )
        if per_document is not None or (details and len(text.starts) > 1):
            show_documents(*documents.extremes())


def _worse_than_validation(
    model: "Model", chosen: Chosen, scores: "Scores"
) -> "WorseThanValidation | None":
    """Whether the whole test text of a model's own corpus is notably worse than validation."""
    import numpy as np

    from charlstm.evaluation.difference import worse_than_validation

    bits = model.checkpoint.best_val_bits_per_char
    is_whole = chosen.corpus is not None and chosen.text is chosen.corpus.test
    if bits is None or chosen.split != "test" or not is_whole:
        return None
    return worse_than_validation(scores, chosen.text, bits, generator=np.random.default_rng(0))


def _check_outputs(*paths: Path | None, as_json: bool) -> None:
    """Refuse what can't be written, before anything is read."""
    if [*map(str, paths), STDIN if as_json else ""].count(STDIN) > 1:
        raise ConfigError("stdout takes one of --json and the outputs that are named -")
    plot = paths[-1]
    if plot is not None:
        from charlstm.views.plots import require_plots

        require_plots(plot)


class _Documents:
    """The documents of a scored text."""

    def __init__(self, scores: "Scores", chosen: "Chosen", alphabet: "Alphabet") -> None:
        self._nats_D = scores.nats_of_documents(chosen.text)
        self._scores, self._chosen, self._alphabet = scores, chosen, alphabet

    @cached_property
    def _scores_of(self) -> "Callable[..., Iterator[DocumentScore]]":
        from charlstm.evaluation.scores import document_scores

        chosen = self._chosen
        return partial(
            document_scores,
            self._scores,
            chosen.text,
            self._alphabet,
            original=chosen.original,
            is_known_D=None if chosen.known is None else chosen.known.have(chosen.text),
        )

    def all(self) -> "Iterator[DocumentScore]":
        import numpy as np

        return self._scores_of(numbers=np.arange(len(self._nats_D)))

    def extremes(self) -> "tuple[Iterator[DocumentScore], Iterator[DocumentScore]]":
        """The most and the least surprising."""
        order = self._nats_D.argsort(kind="stable")
        number = min(_NUM_EXTREMES, len(order) // 2)
        return (
            self._scores_of(numbers=order[::-1][:number]),
            self._scores_of(numbers=order[:number]),
        )


def _documents_in_parts(
    network: "CharLSTM", chosen: "Chosen", alphabet: "Alphabet", progress: "Progress"
) -> "Iterator[DocumentScore]":
    """All documents of a text that may be longer than memory."""
    import numpy as np

    from charlstm.evaluation.scores import document_scores
    from charlstm.evaluation.scoring import score_in_parts

    known = chosen.known
    parts = score_in_parts(network, chosen.text, progress=progress)
    for num_documents, num_chars, part, scores in parts:

        def original(first: int, after: int, before: int = num_chars) -> str:
            return chosen.original(before + first, before + after)

        yield from document_scores(
            scores,
            part,
            alphabet,
            original=original,
            is_known_D=None if known is None else known.have(part),
            numbers=np.arange(len(part.starts)),
            num_before=num_documents,
        )
