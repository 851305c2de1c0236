"""Views of samples: streamed, complete, and JSON."""

from collections.abc import Iterable, Sequence
from typing import Any

from charlstm.inference.copying import CopiedPassage
from charlstm.inference.sampling import DrawnCharacters, Sample
from charlstm.system.terminal import TextWriter, is_escaped, say, text_output
from charlstm.text.tokenizer import CharTokenizer
from charlstm.views.tables import shade


def show_streaming(
    prime: str, drawn: Iterable[DrawnCharacters], tokenizer: CharTokenizer, *, color: bool
) -> str:
    """Print a single sample character by character, and return it.

    Byte models write their exact bytes into a pipe or file.
    """
    written = []
    with text_output(as_bytes=tokenizer.is_byte, styled=color) as write:
        write(prime)
        for chars, log_p in drawn:
            written += chars
            if chars[0] != tokenizer.eos:
                write(chars[0], style=shade(-log_p[0]) if color else "")
        text = "".join(written)
        if not tokenizer.is_byte or is_escaped(styled=color):
            _end_line(write, prime + tokenizer.without_end(text))
    return text


def show_samples(
    primes: Sequence[str],
    samples: Sequence[Sample],
    tokenizer: CharTokenizer,
    *,
    color: bool,
    with_headings: bool,
) -> None:
    """Print complete samples.

    Args:
        primes: text to print before each sample.
        with_headings: whether to print a numbered heading before each of several samples.
    """
    with text_output(as_bytes=tokenizer.is_byte, styled=color) as write:
        for number, (prime, sample) in enumerate(zip(primes, samples, strict=True), start=1):
            if with_headings and len(samples) > 1:
                write(f"--- {number} of {len(samples)} ---\n")
            write(prime)
            text = tokenizer.without_end(sample.text)
            for char, log_p in zip(text, sample.log_probabilities, strict=False):
                write(char, style=shade(-log_p) if color else "")
            if len(samples) > 1 or not tokenizer.is_byte or is_escaped(styled=color):
                _end_line(write, prime + text)


def _end_line(write: TextWriter, text: str) -> None:
    """Write a newline unless the text ends with one."""
    if not text.endswith("\n"):
        write("\n")


def report_copies(
    samples: Sequence[Sample], copies: Sequence[CopiedPassage] | None, tokenizer: CharTokenizer
) -> None:
    """Print each sample's longest passage that occurs in the training text to stderr."""
    if copies is None:
        return
    for number, (sample, copy) in enumerate(zip(samples, copies, strict=True), start=1):
        which = f"sample {number}: " if len(samples) > 1 else ""
        say(
            f"{which}longest passage copied from the training text: {copy.length} of "
            f"{len(sample.text)} characters: {tokenizer.to_text(_copied(sample, copy))!r}"
        )


def samples_record(
    *,
    run: str,
    with_counts: bool,
    seed: int,
    prime: str | None,
    primes: Sequence[str],
    samples: Sequence[Sample],
    copies: Sequence[CopiedPassage] | None,
    tokenizer: CharTokenizer,
) -> dict[str, Any]:
    """Return the JSON record of samples.

    Args:
        prime: the prime of all samples, or None if each has its own in `primes`.
    """
    records = []
    for own_prime, sample in zip(primes, samples, strict=True):
        text = tokenizer.without_end(sample.text)
        record: dict[str, Any] = {
            "text": tokenizer.to_text(text),
            "log_probabilities": sample.log_probabilities,
            "bits": sample.bits,
            "is_ended": tokenizer.eos is not None and sample.text.endswith(tokenizer.eos),
        }
        if prime is None:
            record["prime"] = tokenizer.to_text(own_prime)
        if tokenizer.is_byte:
            # The text doesn't distinguish an invalid byte from its escape sequence.
            record["hex"] = text.encode("latin-1").hex()
        records.append(record)
    for record, sample, copy in zip(records, samples, copies or (), strict=copies is not None):
        text = tokenizer.to_text(_copied(sample, copy))
        record["longest_copy"] = {"num_chars": copy.length, "text": text}
    return {
        "run": run,
        "with_counts": with_counts,
        "seed": seed,
        "prime": None if prime is None else tokenizer.to_text(prime),
        "samples": records,
    }


def _copied(sample: Sample, copy: CopiedPassage) -> str:
    return sample.text[copy.start :][: copy.length]
