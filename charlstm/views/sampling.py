"""Samples on stdout: as they come, one after another, or as JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from charlstm.inference.copying import Copy
from charlstm.inference.sampling import Drawn, Sample
from charlstm.system.terminal import say, text_output
from charlstm.text.alphabet import Alphabet
from charlstm.views.shading import shade


def show_streaming(prime: str, drawn: Iterable[Drawn], alphabet: Alphabet, *, color: bool) -> None:
    """Write a single sample character by character, keeping nothing."""
    with text_output(as_bytes=alphabet.is_byte, styled=color) as write:
        write(prime)
        for chars, log_p in drawn:
            if chars[0] != alphabet.end:
                write(chars[0], style=shade(-log_p[0]) if color else "")
        write("\n")


def show_samples(
    prime: str,
    samples: Sequence[Sample],
    alphabet: Alphabet,
    *,
    color: bool,
    with_headings: bool,
) -> None:
    """Write finished samples one after another.

    Args:
        with_headings: each under its number, where there are several.
    """
    with text_output(as_bytes=alphabet.is_byte, styled=color) as write:
        for number, sample in enumerate(samples, start=1):
            if with_headings and len(samples) > 1:
                write(f"--- {number} of {len(samples)} ---\n")
            write(prime)
            text = alphabet.without_end(sample.text)
            for char, log_p in zip(text, sample.log_probabilities, strict=False):
                write(char, style=shade(-log_p) if color else "")
            write("\n")


def report_copies(samples: Sequence[Sample], copies: Sequence[Copy], alphabet: Alphabet) -> None:
    """Show each sample's longest passage that occurs in the training text."""
    for number, (sample, copy) in enumerate(zip(samples, copies, strict=True), start=1):
        which = f"sample {number}: " if len(samples) > 1 else ""
        say(
            f"{which}longest passage copied from the training text: {copy.length} of "
            f"{len(sample.text)} characters: {alphabet.to_text(_copied(sample, copy))!r}"
        )


def print_json(
    *,
    run: str,
    with_counts: bool,
    seed: int,
    prime: str,
    samples: Sequence[Sample],
    copies: Sequence[Copy] | None,
    alphabet: Alphabet,
) -> None:
    """Print everything about the samples as one JSON object."""
    records: list[dict[str, Any]] = [
        {
            "text": alphabet.to_text(alphabet.without_end(sample.text)),
            "log_probabilities": sample.log_probabilities,
            "bits": sample.bits,
            "is_ended": alphabet.end is not None and sample.text.endswith(alphabet.end),
        }
        for sample in samples
    ]
    for record, sample, copy in zip(records, samples, copies or (), strict=copies is not None):
        text = alphabet.to_text(_copied(sample, copy))
        record["longest_copy"] = {"num_chars": copy.length, "text": text}
    prime = alphabet.to_text(prime)
    record = {
        "run": run,
        "with_counts": with_counts,
        "seed": seed,
        "prime": prime,
        "samples": records,
    }
    print(json.dumps(record, allow_nan=False))


def _copied(sample: Sample, copy: Copy) -> str:
    return sample.text[copy.start :][: copy.length]
