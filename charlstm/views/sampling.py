"""Views of samples and predictions, and of the effect of context: streams, tables, JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from charlstm.evaluation.scores import ContextScore
from charlstm.inference.copying import CopiedPassage
from charlstm.inference.prediction import Candidate, ContextPrediction, NextCharacters
from charlstm.inference.sampling import DrawnCharacters, Sample
from charlstm.inference.search import Continuation
from charlstm.system.terminal import TextWriter, escape, is_escaped, say, text_output
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.visible import named, visible
from charlstm.views.tables import bar, bits_bar, print_rows, shade

_DEFAULT_TOP: Final = 10
_DEFAULT_TOP_IN_LADDER: Final = 5
_MAX_SHOWN_PREFIX: Final = 40


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


def as_record(prediction: NextCharacters, *, top: int | None) -> dict[str, Any]:
    return {
        "prefix": prediction.prefix,
        "entropy_bits": prediction.entropy_bits,
        "next": [candidate._asdict() for candidate in prediction.next[:top]],
    }


def ladder_record(context: ContextPrediction, *, top: int | None) -> dict[str, Any]:
    record = as_record(context.prediction, top=top)
    del record["prefix"]
    return {
        "num_context": context.num_context,
        "context": context.context,
        **record,
    }


def show_prediction(prediction: NextCharacters, *, top: int | None) -> None:
    """Print the most likely characters with bars."""
    shown = prediction.next[: top or _DEFAULT_TOP]
    print_rows(
        (f"after {_ending(prediction.prefix)}", f"entropy {prediction.entropy_bits:.2f} bits", ""),
        [(named(char), f"{probability:7.2%}", bar(probability)) for char, probability in shown],
        left=(2,),
    )


def show_ladder(contexts: Sequence[ContextPrediction], *, top: int | None) -> None:
    """Print a line per context length."""
    print_rows(
        ("context", "characters", "entropy", "most likely next"),
        [
            (
                _ending(context.context),
                f"{context.num_context}",
                f"{context.prediction.entropy_bits:.2f} bits",
                "  ".join(
                    map(
                        with_percentage,
                        context.prediction.next[: top or _DEFAULT_TOP_IN_LADDER],
                    )
                ),
            )
            for context in contexts
        ],
        left=(3,),
    )


def show_likely(continuations: Sequence[Continuation], *, as_json: bool) -> None:
    """Print the probability and text of each continuation, tab-separated or as JSON lines."""
    for continuation in continuations:
        if as_json:
            print(json.dumps(continuation._asdict()))
        else:
            print(f"{continuation.probability:.4%}\t{escape(continuation.text)}")


def show_context(contexts: Iterable[ContextScore]) -> None:
    """Print bits per character by context length."""
    print_rows(
        ("context length", "bits/char", ""),
        [
            (f"{each.num_context:,}", f"{each.bits_per_char:.3f}", bits_bar(each.bits_per_char))
            for each in contexts
        ],
        left=(2,),
    )


def with_percentage(candidate: Candidate) -> str:
    """Format a candidate in a few columns: `e 12%`."""
    return f"{named(candidate.char)} {candidate.probability:.0%}"


def _ending(text: str) -> str:
    shown = visible(text[-_MAX_SHOWN_PREFIX:])
    return ("\u2026" if len(text) > _MAX_SHOWN_PREFIX else "") + shown or "(no context)"
