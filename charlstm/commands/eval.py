"""`charlstm eval`: a model's score on a text, or the difference between two models."""

import contextlib
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from charlstm.arguments.options import (
    Device,
    Json,
    ModelOptions,
    Threads,
    complete_run,
    one_of,
    plot_option,
    print_record,
    require_not_both,
    with_settings,
)
from charlstm.arguments.texts import ScoredText, encode_for_both, require_texts, scored_text
from charlstm.config import SplitName
from charlstm.errors import CorpusError
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charlstm.api.model import Model
    from charlstm.evaluation.difference import WorseThanValidation
    from charlstm.evaluation.scores import CharLosses, DocumentScore
    from charlstm.ngram.interpolation import InterpolatedNgrams
    from charlstm.text.tokenizer import CharTokenizer

_NUM_EXTREMES: Final = 5


EXAMPLES: Final = """\
charlstm eval                              # the newest run's test text
charlstm eval another.txt --json
charlstm eval --details --dynamic
charlstm eval --run large --against small  # two models on the same text"""


@with_settings
def evaluate(
    context: typer.Context,
    which: ModelOptions,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Texts to score, including the final newline; - is stdin.  [default: a split]",
        ),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option("--split", help="Which split of the run's corpus.  [default: test]"),
    ] = None,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also use dynamic evaluation: train on the text while scoring it. Slow.",
        ),
    ] = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Also show context length, kinds of characters, calibration, extremes.",
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Compare with this run on the same text, instead of a full report.",
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
    plot: Annotated[Path | None, plot_option("the effect of context, and calibration")] = None,
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Score the test split of a run's corpus, or any other text."""
    files, split = one_of(context, files=files, split=split)
    rival = {"against": against, "against_checkpoint": against_checkpoint}
    one_of(context, **rival)
    require_not_both(context, rival, {"dynamic": dynamic, "details": details, "plot": plot})
    require_texts(files or (), which.checkpoints)
    model = which.load()
    if against is not None or against_checkpoint is not None:
        other = replace(which, run=against, checkpoint=against_checkpoint).load()
        _compare(model, other, files or [], split, threads=threads, device=device, as_json=as_json)
        return
    from charlstm.views.plots import open_plot, plot_report

    with open_plot(plot, chain(model.sources(), files or [])) as draw:
        scored = scored_text(model, files or [], split)

        import_torch()
        from charlstm.evaluation.report import evaluate_text
        from charlstm.evaluation.scoring import predictions
        from charlstm.system.progress import character_bar
        from charlstm.training.hardware import resolve_device, set_threads
        from charlstm.views.evaluation import as_record, show_documents, show_report

        set_threads(threads)
        network = model.network(resolve_device(device))
        counts: InterpolatedNgrams | None = None
        # `scored_text` has already said why the training text is unavailable.
        with contextlib.suppress(CorpusError):
            if scored.with_ngrams:
                counts = model.counts(say, predict=partial(predictions, network))
        with character_bar(scored.num_chars * (1 + dynamic), "scored") as progress:
            report = evaluate_text(
                network,
                scored.text,
                model.tokenizer,
                train=scored.train,
                counts=counts,
                repeated=scored.repeated,
                with_context=details or as_json or plot is not None,
                with_dynamic=dynamic,
                progress=progress,
            )
        title = f"{model.name}: {scored.name}"
        draw(lambda: plot_report(report, title=title))
    if as_json:
        record = as_record(report, run=model.name, split=scored.split, files=files or [])
        print_record(record)
        return
    show_report(
        report,
        title=title,
        cell=model.checkpoint.spec.model_config.cell,
        with_details=details,
        is_chosen_on=scored.split == "val",
        worse=_worse_than_validation(model, scored, report.scores),
    )
    if details and len(scored.text.starts) > 1:
        show_documents(*_extremes(report.scores, scored, model.tokenizer))


def _worse_than_validation(
    model: "Model", scored: ScoredText, scores: "CharLosses"
) -> "WorseThanValidation | None":
    """Return how much worse the test split is than validation; None if that is unremarkable."""
    from charlstm.evaluation.difference import worse_than_validation

    bits = model.checkpoint.best_val_bits_per_char
    if bits is None or scored.split != "test" or scored.repeated is not None:
        return None
    return worse_than_validation(scores, scored.text, bits)


def _extremes(
    scores: "CharLosses", scored: ScoredText, tokenizer: "CharTokenizer"
) -> "tuple[Iterator[DocumentScore], Iterator[DocumentScore]]":
    """Return the most and the least surprising documents, each most extreme first."""
    from charlstm.evaluation.scores import document_scores

    order = scores.document_nats(scored.text).argsort(kind="stable")
    number = min(_NUM_EXTREMES, len(order) // 2)
    scores_of = partial(
        document_scores, scores, scored.text, tokenizer, is_repeated_D=scored.is_repeated_D
    )
    return scores_of(order[::-1][:number]), scores_of(order[:number])


def _compare(
    model: "Model",
    other: "Model",
    files: list[str],
    split: SplitName | None,
    *,
    threads: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Score the same text with two models and show the difference."""
    name, text, other_text = encode_for_both(model, other, files, split)

    import_torch()
    from charlstm.evaluation.difference import compare
    from charlstm.evaluation.scoring import score
    from charlstm.system.progress import character_bar
    from charlstm.training.hardware import resolve_device, set_threads
    from charlstm.views.comparison import difference_record, show_difference

    set_threads(threads)
    torch_device = resolve_device(device)
    with character_bar(2 * text.num_chars, "scored") as progress:
        scores = score(model.network(torch_device), text, progress=progress)
        other_scores = score(other.network(torch_device), other_text, progress=progress)
    difference = compare(scores, other_scores, text, other_text, model.tokenizer, other.tokenizer)
    if as_json:
        record = {"run": model.name, "against": other.name, "split": name, "files": files}
        print_record(record | difference_record(difference))
    else:
        show_difference(difference, model.name, other.name, title=name or ", ".join(files))
