"""The list of runs as a table."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from charlstm.views.tables import print_rows


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
                datetime.fromtimestamp(record["saved_at"], UTC)
                .astimezone()
                .strftime("%Y-%m-%d %H:%M"),
            )
            for record in records
        ],
    )


def bits_text(bits: float | None) -> str:
    return "-" if bits is None else f"{bits:.3f}"
