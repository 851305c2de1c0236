"""`charlstm sample`: generate text."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from charlstm.arguments.options import (
    Json,
    ModelOptions,
    Unknown,
    WithCounts,
    parse_count,
    print_record,
    require_not_both,
    unescape_text,
    with_settings,
)
from charlstm.arguments.texts import apply_unknown_option, given_text, read_text
from charlstm.config import MAX_SAMPLES, SampleConfig, require_pattern
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.settings import require_int
from charlstm.system.terminal import is_colorless, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from charlstm.api.model import Model
    from charlstm.inference.copying import CopiedPassage
    from charlstm.inference.items import ItemFilter
    from charlstm.inference.predictor import Predictor
    from charlstm.inference.sampling import Sample
    from charlstm.text.tokenizer import CharTokenizer

_NUM_ITEMS: Final = 20
_PRIMES_AT_ONCE: Final = 64


EXAMPLES: Final = """\
charlstm sample --prime "qu"
charlstm sample --length 10_000 --temperature 0.7 --seed 1 > story.txt
charlstm sample --prime - < story.txt               # continue a file
charlstm sample --run names --num-samples 50 --new  # new items of a list
charlstm sample --run names --match '[abc].{3,6}' --num-samples 5
charlstm sample --run names --most-likely 5
charlstm sample --run shakespeare --primes first-lines.txt --no-prime"""


@with_settings
def sample(  # noqa: PLR0912, PLR0915 - three ways to write samples
    context: typer.Context,
    which: ModelOptions,
    prime: Annotated[
        str,
        typer.Option(
            "--prime",
            parser=unescape_text,
            metavar="TEXT",
            help="Text to continue; - reads it from stdin.",
        ),
    ] = "",
    primes: Annotated[
        str | None,
        typer.Option(
            "--primes",
            metavar="FILE",
            help="Continue each line of this file to the end of the line; - is stdin.",
        ),
    ] = None,
    no_prime: Annotated[
        bool, typer.Option("--no-prime", help="Print continuations without the prime.")
    ] = False,
    *,
    config: SampleConfig,
    num_samples: Annotated[
        int | None,
        typer.Option(
            "--num-samples",
            parser=parse_count,
            metavar="N",
            help="Number of samples; with --primes, for each.  [default: 20 of a list, else 1]",
        ),
    ] = None,
    new: Annotated[
        bool,
        typer.Option("--new", help="Only items that are not in the model's list."),
    ] = False,
    unique: Annotated[bool, typer.Option("--unique", help="Only distinct items.")] = False,
    match: Annotated[
        str | None,
        typer.Option(
            "--match",
            metavar="REGEX",
            help="Only samples that match in full, including the prime; others are redrawn.",
        ),
    ] = None,
    most_likely: Annotated[
        int | None,
        typer.Option(
            "--most-likely",
            min=1,
            metavar="N",
            help="Print the N most likely items of a list and their probabilities; no sampling.",
        ),
    ] = None,
    unknown: Unknown = "error",
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="The same seed gives the same text.  [default: random]"),
    ] = None,
    color: Annotated[
        bool, typer.Option("--color", help="Shade each character by its surprisal.")
    ] = False,
    with_counts: WithCounts = False,
    check_copying: Annotated[
        bool,
        typer.Option(
            "--check-copying",
            help="Show each sample's longest passage that occurs in the training text.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    r"""Generate text, or, for a model of a list, new items one per line.

    In TEXT and CHARS, \n is a line end, \t a tab, \\ a backslash.
    """
    item_options = {"new": new, "unique": unique, "match": match}
    sampling_options = {
        "num_samples": num_samples,
        "until": config.until,
        "seed": seed,
        "check_copying": check_copying,
    }
    require_not_both(context, {"primes": primes}, {"prime": prime or None} | item_options)
    require_not_both(
        context,
        {"most_likely": most_likely},
        {"primes": primes} | item_options | sampling_options,
    )
    if match is not None:
        require_pattern("--match", match)
    if num_samples is not None:
        require_int("--num-samples", num_samples, 1, MAX_SAMPLES)
    if primes is not None and config.max_lines is None:
        config = replace(config, max_lines=1)

    import numpy as np

    from charlstm.inference.items import PATIENCE, PATIENCE_FOR_MATCHES, draw_items
    from charlstm.inference.sampling import sample_many
    from charlstm.inference.search import likely_items
    from charlstm.views.sampling import (
        report_copies,
        samples_record,
        show_likely,
        show_samples,
        show_streaming,
    )

    model = which.load()
    tokenizer = model.tokenizer
    before = _primes(model, prime, primes, unknown, num_samples or 1)
    predictor = model.predictor_for(with_counts=with_counts, notify=say)
    if most_likely is not None:
        show_likely(likely_items(predictor, before[0], most_likely), as_json=as_json)
        return
    shown = [""] * len(before) if no_prime else before
    common = before[0] if primes is None else None
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
        say(f"seed {seed}")
    generator = np.random.default_rng(seed)
    color = color and not is_colorless()
    is_list = tokenizer.documents_are_lines and tokenizer.eos is not None
    wanted = num_samples or (_NUM_ITEMS if is_list else 1)
    if primes is None and wanted == 1 and not (new or unique or match or check_copying or as_json):
        drawn = sample_many(predictor, before[0], config, num_samples=1, generator=generator)
        texts = [show_streaming(shown[0], drawn, tokenizer, color=color)]
        problem = None
    else:
        if primes is None:
            item_filters = _item_filters(model, new=new, unique=unique, match=match)
            items = draw_items(
                predictor,
                before[0],
                config,
                num_items=wanted,
                generator=generator,
                item_filters=item_filters,
                patience=PATIENCE if match is None else PATIENCE_FOR_MATCHES,
            )
            samples, problem = list(items.samples), items.problem
            if item_filters:
                say(f"kept {items.num_accepted:,} of {items.num_drawn:,} samples")
            shown, before = shown * len(samples), before * len(samples)
        else:
            samples, problem = _continue_each(predictor, before, config, generator), None
        copies = _copies(model, samples) if check_copying else None
        if as_json:
            record = samples_record(
                run=model.name,
                with_counts=with_counts,
                seed=seed,
                prime=common,
                primes=before,
                samples=samples,
                copies=copies,
                tokenizer=tokenizer,
            )
            print_record(record)
        else:
            with_headings = primes is None and not is_list
            show_samples(shown, samples, tokenizer, color=color, with_headings=with_headings)
            report_copies(samples, copies, tokenizer)
        texts = [sample.text for sample in samples]
    _say_cut(texts, config, tokenizer)
    if problem is not None:
        raise CharLSTMError(problem)


def _say_cut(texts: list[str], config: SampleConfig, tokenizer: "CharTokenizer") -> None:
    """Print how many samples were cut at the maximum length."""
    from charlstm.inference.sampling import max_chars, num_cut

    if number := num_cut(texts, config, tokenizer):
        limit = f"{max_chars(config, tokenizer):,} characters; --length N allows more"
        say(f"{number:,} of {len(texts):,} samples cut at {limit}")


def _primes(model: "Model", prime: str, file: str | None, unknown: str, num_each: int) -> list[str]:
    """Return one prime, or each line of a file `num_each` times, in normalized characters."""
    if file is None:
        return [given_text(model, prime, unknown)]
    lines = read_text(file, model).split("\n")
    symbols = [apply_unknown_option(model, line.removesuffix("\r"), unknown) for line in lines]
    return [text for text in symbols for _ in range(num_each)]


def _continue_each(
    predictor: "Predictor",
    primes: list[str],
    config: SampleConfig,
    generator: "np.random.Generator",
) -> "list[Sample]":
    """Draw one continuation for each prime."""
    from charlstm.inference.sampling import collect, sample_many

    samples = []
    for first in range(0, len(primes), _PRIMES_AT_ONCE):
        batch = primes[first : first + _PRIMES_AT_ONCE]
        drawn = sample_many(predictor, batch, config, num_samples=len(batch), generator=generator)
        samples += collect(drawn, len(batch))
    return samples


def _copies(model: "Model", samples: "list[Sample]") -> "list[CopiedPassage]":
    """Find the longest passage of each sample that occurs in the training text."""
    from charlstm.inference.copying import longest_copy

    training = model.corpus().train.ids
    return [
        # encode's dtype may be wider than that of the training ids.
        longest_copy(model.tokenizer.encode(sample.text).astype(training.dtype), training)
        for sample in samples
    ]


def _item_filters(
    model: "Model", *, new: bool, unique: bool, match: str | None
) -> "list[ItemFilter]":
    """Return the filters for --match, --unique and --new.

    Raises:
        ConfigError: if --new or --unique is given and the model has no EOS.
    """
    from charlstm.inference import items
    from charlstm.text.duplicates import DocumentHashes

    if (new or unique) and model.tokenizer.eos is None:
        option = "--new" if new else "--unique"
        raise ConfigError(
            f"{option}: {model.name} was trained on running text, which has no items; "
            "train with --split-documents lines"
        )
    # Cheapest first.
    filters = [] if match is None else [items.matching(match, model.tokenizer)]
    if unique:
        filters.append(items.unique())
    if new:
        tokenizer, corpus = model.tokenizer, model.corpus()
        splits = (corpus.train, corpus.val, corpus.test)
        known_documents = [DocumentHashes(split, tokenizer) for split in splits]

        def are_new(texts: list[str]) -> "Iterable[bool]":
            items = tokenizer.encode_documents(texts)
            return [
                not any(flags)
                for flags in zip(*(known.have(items) for known in known_documents), strict=True)
            ]

        filters.append(are_new)
    return filters
