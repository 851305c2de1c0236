"""The list of runs as a table, and one run in full."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from charlstm.model.checkpoints import Checkpoint
from charlstm.system.terminal import escape_line
from charlstm.views.tables import print_pairs, print_rows


def as_record(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "name": name,
        "corpus": checkpoint.corpus_name,
        "cell": checkpoint.model_config.cell,
        "num_parameters": checkpoint.model_config.num_parameters,
        "step": checkpoint.step,
        "best_val_bits_per_char": checkpoint.best_val_bits_per_char,
        "saved_at": checkpoint.saved_at,
    }


def with_history(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """A run's record with its settings and its evaluations."""
    return {
        **as_record(name, checkpoint),
        "is_finished": checkpoint.is_finished,
        "fingerprint": checkpoint.fingerprint,
        "num_train_chars": checkpoint.num_train_chars,
        "settings": {
            "model": asdict(checkpoint.model_config),
            "train": asdict(checkpoint.train_config),
            "budget": asdict(checkpoint.budget),
            "corpus": asdict(checkpoint.corpus),
        },
        "history": list(checkpoint.history),
    }


def show_runs(records: Iterable[Mapping[str, Any]]) -> None:
    header = ("run", "corpus", "cell", "weights", "step", "bits/char", "saved")
    print_rows(
        header,
        [
            (
                record["name"],
                record["corpus"],
                record["cell"],
                f"{record['num_parameters'] / 1e6:.2f}M",
                f"{record['step']:,}",
                bits_text(record["best_val_bits_per_char"]),
                _date(record["saved_at"]),
            )
            for record in records
        ],
    )


def show_run(name: str, checkpoint: Checkpoint) -> None:
    """Settings, then evaluation by evaluation what was learned."""
    model, train = checkpoint.model_config, checkpoint.train_config
    print_pairs(
        Text(escape_line(f"run {name}")),
        [
            ("corpus", f"{checkpoint.corpus_name}, {checkpoint.num_train_chars:,} characters"),
            ("its fingerprint", checkpoint.fingerprint[:12]),
            (
                "model",
                (
                    f"{model.num_layers} x {model.hidden_size} {model.cell}, "
                    f"{model.num_parameters:,} parameters"
                ),
            ),
            (
                "regularisation",
                (
                    f"dropout {model.dropout:g}, recurrent dropout {model.recurrent_dropout:g}, "
                    f"weight decay {train.weight_decay:g}"
                ),
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
                f"{checkpoint.budget}, {'used' if checkpoint.is_finished else 'not used up'}",
            ),
            ("steps", f"{checkpoint.step:,}"),
            ("saved", _date(checkpoint.saved_at)),
        ],
    )
    history = checkpoint.history
    print_rows(
        ("epoch", "train", "validation", "openness of the gates, layer by layer"),
        [
            (
                _figure(record, "epoch", 2),
                _figure(record, "train_bits_per_char", 3),
                _figure(record, "val_bits_per_char", 3),
                _openness(record.get("gates")),
            )
            for record in history
        ],
        left=(3,),
    )
    print_rows(
        ("epoch", "a sample of the same seed"),
        [
            (
                _figure(record, "epoch", 2),
                str(record.get("sample", "")).replace("\n", "\u23ce"),
            )
            for record in history
        ],
        left=(1,),
    )


def bits_text(bits: float | None) -> str:
    return "-" if bits is None else f"{bits:.3f}"


def _openness(layers: object) -> str:
    """What stands in a history comes from a file: it may be anything."""
    if not isinstance(layers, list):
        return ""
    return "   ".join(
        " ".join(f"{gate} {value:.2f}" for gate, value in layer.items() if isinstance(value, float))
        for layer in layers
        if isinstance(layer, dict)
    )


def _figure(record: Mapping[str, Any], name: str, digits: int) -> str:
    value = record.get(name)
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "-"


def _date(saved_at: float) -> str:
    return datetime.fromtimestamp(saved_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
