"""Views of runs: the list, one run in full, and differences."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from charlstm.analysis.advice import advise
from charlstm.model.checkpoints import Checkpoint, LogEntry
from charlstm.run.store import run_record
from charlstm.settings import ReadingSettings, TrainSettings, given, options_of
from charlstm.text.visible import visible
from charlstm.views.tables import figure, print_note, print_pairs, print_rows

# Fits a terminal of 80 x 24.
_NUM_SHOWN: Final = 9
_SHOWN_SAMPLE_CHARS: Final = 52
# Titles of settings without an option.
_TITLES: Final = {
    "num_characters": "distinct characters",
    "num_evaluations": "evaluations",
    "paths": "files",
    "adapts_threads": "tunes threads",
    "vocabulary_decay": "embedding and head decay",
}


def with_history(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a run's record with settings and history."""
    spec = checkpoint.spec
    return {
        **run_record(name, checkpoint),
        "fingerprint": spec.fingerprint,
        "num_train_chars": spec.num_train_chars,
        "settings": {
            "model": asdict(spec.model_config),
            "train": asdict(spec.train_config),
            "budget": asdict(spec.budget),
            "corpus": asdict(spec.corpus),
            "given": given(spec.settings) | given(spec.reading),
        },
        "history": list(checkpoint.history),
    }


def show_runs(records: Iterable[Mapping[str, Any]]) -> None:
    print_rows(
        ("run", "model", "budget", "bits/char", "size", "saved"),
        [
            (
                record["name"],
                record["model"],
                record["budget"] + ("" if record["is_finished"] else " *"),
                figure(record["best_val_bits_per_char"]),
                f"{record['num_bytes'] / 1e6:.1f} MB",
                _date(record["saved_at"]),
            )
            for record in records
        ],
        left=(1, 2),
        caption=None if all(r["is_finished"] for r in records) else "* not finished",
    )


def show_differences(checkpoints: Mapping[str, Checkpoint]) -> None:
    """Print the settings that differ between runs, and their results."""
    settings = {name: _settings(checkpoint) for name, checkpoint in checkpoints.items()}
    names = dict.fromkeys(name for values in settings.values() for name in values)
    options = options_of(TrainSettings) | options_of(ReadingSettings)
    titles = _TITLES | {name: option.title for name, option in options.items()}
    rows = [
        (
            titles.get(name, name.replace("_", " ")),
            *(_setting_text(values[name]) for values in settings.values()),
        )
        for name in names
    ]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    best = [figure(each.best_val_bits_per_char) for each in checkpoints.values()]
    last = [each.history[-1] if each.history else {} for each in checkpoints.values()]
    rows += [
        ("best val bits/char", *best),
        ("last train bits/char", *(figure(entry.get("train_bits_per_char")) for entry in last)),
        ("epochs", *(figure(entry.get("epoch"), digits=2) for entry in last)),
        ("steps", *(f"{each.step:,}" for each in checkpoints.values())),
    ]
    print_rows(("", *checkpoints), rows)


def _setting_text(value: Any) -> str:
    """Format a setting's value; a dash for none."""
    match value:
        case None | ():
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(map(str, value))
    return str(value)


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    spec = checkpoint.spec
    own = asdict(spec.model_config) | asdict(spec.train_config) | asdict(spec.corpus)
    # Show the rates at the last evaluation instead of their schedule.
    own["dropout"], own["recurrent_dropout"] = (f"{rate:.2g}" for rate in checkpoint.dropouts)
    for name in ("dropout_epochs", "recurrent_dropout_epochs"):
        del own[name]
    return {"corpus": spec.corpus_name, "budget": str(spec.budget), **own}


def show_run(
    name: str, checkpoint: Checkpoint, *, with_details: bool, counts_bits: float | None
) -> None:
    """Print a run's settings, its evaluations (a selection without details) and advice.

    Args:
        counts_bits: see `advise`.
    """
    spec = checkpoint.spec
    model, train = spec.model_config, spec.train_config
    print_pairs(
        f"run {name}",
        [
            ("corpus", f"{spec.corpus_name}, {spec.num_train_chars:,} characters"),
            ("fingerprint", spec.fingerprint[:12]),
            ("model", f"{model}, {model.num_parameters:,} parameters"),
            ("regularization", f"{checkpoint.dropouts}, {train.decays}"),
            (
                "training",
                (
                    f"batches of {train.batch_size} x {train.seq_len}, learning rate "
                    f"{train.learning_rate:g}, {train.precision} on {train.device}, "
                    f"seed {train.seed}"
                ),
            ),
            (
                "budget",
                f"{spec.budget}, {'finished' if checkpoint.is_finished else 'not finished'}",
            ),
            ("steps", f"{checkpoint.step:,}"),
            ("saved", _date(checkpoint.saved_at)),
        ],
    )
    history = checkpoint.history
    shown = history if with_details else _spread(history, _NUM_SHOWN)
    print_rows(
        ("epoch", "train", "val", "sample (same seed each time)"),
        [
            (
                figure(entry.get("epoch"), digits=2),
                figure(entry.get("train_bits_per_char")),
                figure(entry.get("val_bits_per_char")),
                visible(entry.get("sample", ""), keep=" ")[
                    : None if with_details else _SHOWN_SAMPLE_CHARS
                ],
            )
            for entry in shown
        ],
        left=(3,),
    )
    advice = advise(
        history,
        is_finished=checkpoint.is_finished,
        unit=spec.budget.unit,
        counts_bits=counts_bits,
    )
    if advice is not None:
        print_note(advice)
    if with_details:
        print_rows(
            ("epoch", "mean gate values, by layer"),
            [(figure(entry.get("epoch"), digits=2), _gate_means(entry)) for entry in history],
            left=(1,),
        )


def _gate_means(entry: LogEntry) -> str:
    return "   ".join(
        " ".join(f"{gate} {mean:.2f}" for gate, mean in layer.items())
        for layer in entry.get("gates", ())
    )


def _spread(history: Sequence[LogEntry], number: int) -> list[LogEntry]:
    """Return at most `number` entries, evenly spaced, including the first and the last."""
    if len(history) <= number:
        return list(history)
    last = len(history) - 1
    return [history[round(place * last / (number - 1))] for place in range(number)]


def _date(saved_at: float) -> str:
    moment = datetime.fromtimestamp(saved_at, UTC)
    with contextlib.suppress(ValueError, OverflowError):  # invalid time zone
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M")
