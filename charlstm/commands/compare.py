"""`charlstm compare`: LSTM, GRU and plain RNN side by side."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from charlstm.arguments.options import (
    Checkpoints,
    Json,
    SettingsSubset,
    one_of,
    plot_option,
    print_record,
    with_settings,
)
from charlstm.arguments.texts import require_texts
from charlstm.config import DEFAULT_STORE, Budget, ReadingConfig
from charlstm.errors import ConfigError
from charlstm.settings import ReadingSettings, TrainSettings, chosen
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.analysis.comparison import CellResult, Keep
    from charlstm.run.saving import ModelSaver
    from charlstm.text.corpus import Corpus
    from charlstm.training.auto_config import AutoConfig
    from charlstm.views.plots import Draw

_Result = TypeVar("_Result")

_STEPS: Final = 600
_HIDDEN_SIZE: Final = 128
_RECALL_STEPS: Final = 1500
_RECALL_HIDDEN_SIZE: Final = 64
# Approximate size of the generated text; only the regularization depends on it.
_RECALL_CHARS: Final = 1_000_000


EXAMPLES: Final = """\
charlstm compare my-text.txt
charlstm compare my-text.txt --minutes 5 --seeds 1 --plot cells.svg
charlstm compare my-text.txt --keep    # the models become runs
charlstm compare --recall              # memory only, on generated text"""


@with_settings
def compare(
    context: typer.Context,
    settings: Annotated[
        TrainSettings,
        SettingsSubset(
            {
                "steps": "Gradient steps for each model.  "
                f"[default: {_STEPS}; with --recall {_RECALL_STEPS}]",
                "minutes": "Training time for each model, in minutes or with a unit (90s, 2h).",
                "hidden_size": "Units of the LSTM; the others get the same number of parameters.  "
                f"[default: {_HIDDEN_SIZE}; with --recall {_RECALL_HIDDEN_SIZE}]",
                "threads": None,
                "device": None,
            }
        ),
    ],
    reading: ReadingSettings,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(metavar="CORPUS", help="Text files.  [default: Python's documentation]"),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=100, help="Number of seeds for each cell.")
    ] = 2,
    recall: Annotated[
        bool,
        typer.Option(
            "--recall", help="Only test memory: recall a symbol after 5 to 200 characters."
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the models as runs named TEXT-lstm and so on."),
    ] = False,
    checkpoints: Checkpoints = DEFAULT_STORE,
    plot: Annotated[Path | None, plot_option("the results")] = None,
    as_json: Json = False,
) -> None:
    """Train an LSTM, a GRU and a plain RNN with the same budget and compare them."""
    one_of(context, corpus=corpus, recall=recall)
    one_of(context, keep=keep, recall=recall)
    _refuse_runs(corpus or [], checkpoints)
    config = ReadingConfig.of(reading, corpus or ())
    require_texts([*config.paths, *filter(None, (reading.val, reading.test))])
    budget = Budget.of(settings) or Budget(steps=_RECALL_STEPS if recall else _STEPS)
    hidden_size = _RECALL_HIDDEN_SIZE if recall else _HIDDEN_SIZE

    from charlstm.reading.filelist import FileList
    from charlstm.views.plots import open_plot

    files = FileList.of(config)
    with open_plot(plot, files.all) as draw:
        import_torch()
        from charlstm.text.corpus import load_corpus
        from charlstm.training.auto_config import auto_configure
        from charlstm.training.hardware import require_memory, resolve_machine

        machine = resolve_machine(settings)

        def planned(num_train_chars: int, num_characters: int) -> "AutoConfig":
            plan = auto_configure(
                replace(
                    settings,
                    hidden_size=chosen(settings.hidden_size, hidden_size),
                    recurrent_dropout=0.0,
                ),
                num_train_chars=num_train_chars,
                num_characters=num_characters,
                budget=budget,
                machine=machine,
            )
            require_memory(plan.model, plan.train)
            return plan

        if recall:
            plan = planned(_RECALL_CHARS, 1)
            was_interrupted = _compare_recall(plan, budget, range(seeds), draw, as_json=as_json)
        else:
            text = load_corpus(config, files)
            saver = _open_saver(checkpoints, text, config, budget) if keep else None
            for notice in text.notices:
                say(notice)
            was_interrupted = _compare(
                text,
                planned(text.train.num_chars, len(text.vocabulary)),
                budget,
                range(seeds),
                draw,
                keep=None if saver is None else saver.save,
                as_json=as_json,
            )
    if was_interrupted:
        raise KeyboardInterrupt


def _refuse_runs(corpus: list[str], store: Path) -> None:
    """Raise ConfigError if a text's name is a run's and no such file exists."""
    from charlstm.run.store import CheckpointStore

    names = [name for name in corpus if not Path(name).exists()]
    run_names = set(CheckpointStore(store).run_names()) if names else set()
    found = [name for name in names if name in run_names]
    if not found:
        return
    if len(found) == 1:
        raise ConfigError(
            f"{found[0]}: is a run, and compare trains on a text; see charlstm runs show {found[0]}"
        )
    first, second, *_ = found
    raise ConfigError(
        f"{first} and {second}: are runs, and compare trains on a text; to compare runs: charlstm "
        f"eval --run {first} --against {second}, or charlstm runs show {first} {second}"
    )


def _open_saver(
    store: Path, corpus: "Corpus", config: ReadingConfig, budget: Budget
) -> "ModelSaver":
    """Return a saver, which stores the trained models as runs."""
    from charlstm.run.preparation import absolute
    from charlstm.run.saving import ModelSaver
    from charlstm.run.store import CheckpointStore

    own = replace(config, paths=tuple(map(absolute, config.paths)))
    saver = ModelSaver(store=CheckpointStore(store), corpus=corpus, config=own, budget=budget)
    saver.check_writable()
    return saver


def _compare(
    text: "Corpus",
    plan: "AutoConfig",
    budget: Budget,
    seeds: range,
    draw: "Draw",
    *,
    keep: "Keep | None",
    as_json: bool,
) -> bool:
    """Compare the cells on a text; return whether Ctrl-C ended it early."""
    from charlstm.analysis.comparison import MAX_SCORED_CHARS
    from charlstm.analysis.comparison import compare as compare_cells
    from charlstm.evaluation.baselines import all_baselines
    from charlstm.views.comparison import comparison_record, show_comparison
    from charlstm.views.plots import plot_comparison
    from charlstm.views.training import watch_training

    scored = text.test.part(0, MAX_SCORED_CHARS)
    _announce(budget, seeds)
    compared = compare_cells(
        plan.model,
        plan.train,
        budget,
        corpus=text,
        scored_text=scored,
        seeds=seeds,
        watch=watch_training,
        keep=keep,
    )
    results, was_interrupted = _until_interrupted(compared, _described)
    baselines = all_baselines(text.tokenizer, train=text.train, val=text.val, text=scored)
    draw(lambda: plot_comparison(results))
    if as_json:
        print_record(comparison_record(results, baselines, num_chars=scored.num_chars))
    else:
        show_comparison(results, baselines, num_chars=scored.num_chars)
    return was_interrupted


def _described(result: "CellResult") -> str:
    kept = [run.kept_as for run in result.runs if run.kept_as is not None]
    as_runs = f"; kept as {', '.join(kept)}" if kept else ""
    return f"{result.cell}: {result.bits_per_char:.3f} bits per character{as_runs}"


def _compare_recall(
    plan: "AutoConfig", budget: Budget, seeds: range, draw: "Draw", *, as_json: bool
) -> bool:
    """Compare the cells' memory; return whether Ctrl-C ended it early."""
    from charlstm.analysis.recall import compare_recall
    from charlstm.views.comparison import recall_record, show_recall
    from charlstm.views.plots import plot_recall
    from charlstm.views.training import watch_training

    _announce(budget, seeds)
    results, was_interrupted = _until_interrupted(
        compare_recall(plan.model, plan.train, budget, seeds=seeds, watch=watch_training),
        lambda run: f"{run.cell}, seed {run.seed}: recalls up to {run.longest_distance} characters",
    )
    draw(lambda: plot_recall(results))
    if as_json:
        print_record(recall_record(results))
    else:
        show_recall(results)
    return was_interrupted


def _announce(budget: Budget, seeds: range) -> None:
    """Announce the trainings, which take minutes."""
    from charlstm.analysis.comparison import CELLS

    each = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    number = len(CELLS) * len(seeds)
    say(f"training {number} models, {budget} each: {', '.join(CELLS)}, with {each}")


def _until_interrupted(
    results: Iterable[_Result], describe: Callable[[_Result], str]
) -> tuple[list[_Result], bool]:
    """Collect and announce results; return those so far, and whether Ctrl-C cut them short."""
    found: list[_Result] = []
    try:
        for result in results:
            say(describe(result))
            found.append(result)
    except KeyboardInterrupt:
        if not found:
            raise
        return found, True
    return found, False
