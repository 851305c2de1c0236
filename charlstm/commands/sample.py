"""`charlstm sample`: continue a text."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from charlstm.commands.options import (
    Json,
    WhichModel,
    WithCounts,
    read_text,
    whole_number,
    with_settings,
)
from charlstm.config import STDIN, SampleConfig
from charlstm.errors import CharLSTMError, ConfigError, CorpusError
from charlstm.settings import require_int
from charlstm.system.terminal import is_colorless, say

if TYPE_CHECKING:
    from charlstm.api.model import Model
    from charlstm.inference.items import ItemFilter

_NUM_ITEMS: Final = 20
_MAX_SAMPLES: Final = 10_000_000


EXAMPLES: Final = """\
charlstm sample --prime "qu"
charlstm sample --length 10_000 --temperature 0.7 --seed 1 > story.txt
charlstm sample --prime - < story.txt               # continue a file
charlstm sample --run names --num-samples 50 --new  # of a list: new items"""


@with_settings
def sample(
    which: WhichModel,
    prime: Annotated[
        str,
        typer.Option("--prime", metavar="TEXT", help="Text to continue; - reads it from stdin."),
    ] = "",
    length: Annotated[
        int,
        typer.Option(
            "--length", parser=whole_number, metavar="N", help="Characters to write at most."
        ),
    ] = 500,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="TEXT", help="Stop after this text; \\n is a line end, \\t a tab."
        ),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option(
            "--num-samples",
            parser=whole_number,
            metavar="N",
            help="Number of samples.  [default: 20 items of a list, else 1]",
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Only items that are not in the training text.")
    ] = False,
    unique: Annotated[bool, typer.Option("--unique", help="No item twice.")] = False,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            help="Below 1 sharpens the distribution, above 1 flattens it; 0 is greedy.",
        ),
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Draw from the K most likely characters.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p",
            help="Draw from the most likely characters that sum to probability P, 0 to 1.",
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            "--min-p",
            help="Draw from characters at least P times as probable as the most likely, 0 to 1.",
        ),
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"],
        typer.Option("--unknown", help="What to do with prime characters outside the vocabulary."),
    ] = "error",
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="The same seed gives the same text.  [default: random]"),
    ] = None,
    color: Annotated[
        bool, typer.Option("--color", help="Shade each character by its surprise.")
    ] = False,
    with_counts: WithCounts = False,
    check_copying: Annotated[
        bool,
        typer.Option(
            "--check-copying",
            help="Show the longest passage of each sample that occurs in the training text.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Continue a text, character by character; of a list, write more items, one a line."""
    if num_samples is not None:
        require_int("--num-samples", num_samples, 1, _MAX_SAMPLES)
    config = SampleConfig(
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        until=until and until.replace("\\n", "\n").replace("\\t", "\t"),
    )

    import numpy as np

    from charlstm.inference.copying import longest_copy
    from charlstm.inference.items import draw_items
    from charlstm.inference.sampling import sample_many
    from charlstm.views.sampling import print_json, report_copies, show_samples, show_streaming

    model = which.load()
    alphabet = model.alphabet
    text = _prime_text(model, prime, skips_unknown=unknown == "skip")
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
        say(f"seed {seed}")
    generator = np.random.default_rng(seed)
    predictor = model.with_counts(say) if with_counts else model.predictor
    color = color and not is_colorless()
    is_list = alphabet.are_lines and alphabet.end is not None
    if num_samples is None:
        num_samples = _NUM_ITEMS if is_list else 1
    if num_samples == 1 and not (new or unique or check_copying or as_json):
        drawn = sample_many(predictor, text, config, num_samples=1, generator=generator)
        show_streaming(text, drawn, alphabet, color=color)
        return
    items = draw_items(
        predictor,
        text,
        config,
        num_items=num_samples,
        generator=generator,
        filters=_filters(model, new=new, unique=unique),
    )
    samples = items.samples
    if new or unique:
        say(f"{items.num_drawn:,} drawn for {len(samples):,}")
    copies = None
    if check_copying:
        training = model.corpus().train.ids
        copies = [
            # The ids of all splits together may be of a larger type than those of training's.
            longest_copy(alphabet.encode(one.text).astype(training.dtype), training)
            for one in samples
        ]
    if as_json:
        print_json(
            run=model.name,
            with_counts=with_counts,
            seed=seed,
            prime=text,
            samples=samples,
            copies=copies,
            alphabet=alphabet,
        )
    else:
        show_samples(text, samples, alphabet, color=color, with_headings=not is_list)
        if copies is not None:
            report_copies(samples, copies, alphabet)
    if items.problem is not None:
        raise CharLSTMError(items.problem)


def _filters(model: "Model", *, new: bool, unique: bool) -> "list[ItemFilter]":
    """Which items are wanted.

    Raises:
        ConfigError: where the model knows no items.
    """
    from charlstm.inference import items
    from charlstm.text.duplicates import KnownDocuments

    if (new or unique) and model.alphabet.end is None:
        option = "--new" if new else "--unique"
        raise ConfigError(
            f"{option}: {model.name} learned from running text, which has no items; "
            "train with --split-documents lines"
        )
    filters = [items.unique()] if unique else []
    if new:
        alphabet = model.alphabet
        known = KnownDocuments(model.corpus().train, alphabet)
        filters.append(lambda texts: ~known.have(alphabet.split(texts)))
    return filters


def _prime_text(model: "Model", prime: str, *, skips_unknown: bool) -> str:
    """The symbols of the prime, wherever it comes from.

    Raises:
        CorpusError: when it has characters outside the vocabulary, and they aren't skipped.
    """
    alphabet = model.alphabet
    if prime == STDIN:
        text = read_text(STDIN, model.checkpoint.spec.corpus)
    else:
        text = alphabet.to_symbols(prime, say)
    if skips_unknown:
        return alphabet.without_unknown(text)
    try:
        alphabet.require_known(text)
    except CorpusError as error:
        raise CorpusError(f"{error}; --unknown skip leaves them out") from error
    return text
