"""The list of runs as a table, and one run in full."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from charlstm.analysis.advice import advise
from charlstm.config import DEFAULT_STORE
from charlstm.model.checkpoints import Checkpoint, LogEntry
from charlstm.run.store import run_record
from charlstm.settings import ReadingSettings, TrainSettings, given, options_of
from charlstm.system.terminal import escape_line, shell_word
from charlstm.text.visible import visible
from charlstm.views.tables import figure, print_note, print_pairs, print_rows

# What fits a terminal of 80 x 24.
_NUM_SHOWN: Final = 9
_SHOWN_SAMPLE_CHARS: Final = 52
# Settings that no option sets.
_TITLES: Final = {
    "num_characters": "distinct characters",
    "num_evaluations": "evaluations",
    "paths": "files",
    "adapts_threads": "tunes threads",
    "vocabulary_decay": "decay of embedding and head",
}


def with_history(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """A run's record with its settings and its evaluations."""
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
    """Runs side by side: the settings in which they differ, and what came of them."""
    settings = {name: _settings(checkpoint) for name, checkpoint in checkpoints.items()}
    names = dict.fromkeys(name for one in settings.values() for name in one)
    options = options_of(TrainSettings) | options_of(ReadingSettings)
    titles = _TITLES | {name: option.title for name, option in options.items()}
    rows = [
        (
            titles.get(name, name.replace("_", " ")),
            *(_setting_text(one[name]) for one in settings.values()),
        )
        for name in names
    ]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    best = [figure(one.best_val_bits_per_char) for one in checkpoints.values()]
    last = [one.history[-1] if one.history else {} for one in checkpoints.values()]
    rows += [
        ("best val bits/char", *best),
        ("last train bits/char", *(figure(entry.get("train_bits_per_char")) for entry in last)),
        ("epochs", *(figure(entry.get("epoch"), digits=2) for entry in last)),
        ("steps", *(f"{one.step:,}" for one in checkpoints.values())),
    ]
    print_rows(("", *checkpoints), rows)


def _setting_text(value: Any) -> str:
    """Return a setting as it is typed, or in words; a dash for none."""
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
    # The rates at the latest evaluation, not their schedule.
    own["dropout"], own["recurrent_dropout"] = (f"{one:.2g}" for one in checkpoint.dropouts)
    for name in ("dropout_epochs", "recurrent_dropout_epochs"):
        del own[name]
    return {"corpus": spec.corpus_name, "budget": str(spec.budget), **own}


def show_run(
    name: str, checkpoint: Checkpoint, *, with_details: bool, counts_bits: float | None
) -> None:
    """Settings, then what was learned, evaluation by evaluation; without details ten of them.

    Args:
        counts_bits: as of `advise`.
    """
    spec = checkpoint.spec
    model, train = spec.model_config, spec.train_config
    print_pairs(
        Text(escape_line(f"run {name}")),
        [
            ("corpus", f"{spec.corpus_name}, {spec.num_train_chars:,} characters"),
            ("fingerprint", spec.fingerprint[:12]),
            (
                "model",
                f"{model}, {model.num_parameters:,} parameters",
            ),
            (
                "regularization",
                f"{checkpoint.dropouts}, {train.decays}",
            ),
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
        ("epoch", "train", "val", "sample, always from the same seed"),
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
            ("epoch", "mean openness of the gates, layer by layer"),
            [(figure(entry.get("epoch"), digits=2), _openness(entry)) for entry in history],
            left=(1,),
        )


def show_command(arguments: Sequence[str], store: Path) -> None:
    """A command of charlstm as it is typed, a line that is never folded."""
    where = () if store == DEFAULT_STORE else ("--checkpoints", str(store))
    print(*map(shell_word, ["charlstm", *arguments, *where]), flush=True)


def _openness(entry: LogEntry) -> str:
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
    with contextlib.suppress(ValueError, OverflowError):  # a time zone that can't be
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M")
