"""`charlstm sample`: continue a text."""

from dataclasses import replace
from itertools import chain, islice
from typing import Annotated, Literal

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Json,
    Run,
    load_model,
    prefer_flags,
    read_text,
    training_corpus,
)
from charlstm.config import DEFAULT_STORE, MAX_SIZE, STDIN, SampleConfig
from charlstm.errors import ConfigError, CorpusError
from charlstm.system.terminal import say


def sample(
    context: typer.Context,
    prime: Annotated[
        str | None,
        typer.Option("--prime", metavar="TEXT", help="Text to continue; - reads it from stdin."),
    ] = None,
    prime_file: Annotated[
        str | None,
        typer.Option("--prime-file", metavar="FILE", help="Continue this file's text."),
    ] = None,
    length: Annotated[int, typer.Option("--length", help="Characters to write at most.")] = 500,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TEXT", help="Stop after this text.")
    ] = None,
    num_samples: Annotated[
        int,
        typer.Option("--num-samples", min=1, max=MAX_SIZE, help="Number of samples."),
    ] = 1,
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
    check_copying: Annotated[
        bool,
        typer.Option(
            "--check-copying",
            help="Show the longest passage of each sample that occurs in the training text.",
        ),
    ] = False,
    run: Run = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Continue a text, character by character.

    charlstm sample --prime "qu"

    charlstm sample --prime "Once" --length 2000 --temperature 0.7 --seed 1 > story.txt
    """
    config = SampleConfig(
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        until=until,
    )
    prime, prime_file = prefer_flags(context, "prime", "prime_file").values()
    if prime is not None and prime_file is not None:
        raise ConfigError("give --prime or --prime-file, not both")

    import numpy as np

    from charlstm.inference.copying import longest_copy
    from charlstm.inference.predictor import Predictor
    from charlstm.inference.sampling import collect, sample_many
    from charlstm.store.runs import CheckpointStore
    from charlstm.views.sampling import (
        Style,
        print_json,
        report_copies,
        show_samples,
        show_streaming,
    )

    store = CheckpointStore(checkpoints)
    loaded = load_model(context, store)
    predictor = Predictor(loaded.checkpoint)
    corpus = loaded.checkpoint.corpus
    if until is not None:
        config = replace(config, until=corpus.to_symbols(until))
    path = STDIN if prime == STDIN else prime_file
    text = corpus.to_symbols(prime or "") if path is None else read_text(path, corpus)
    if unknown == "skip":
        text = predictor.without_unknown(text)
    is_seed_given = seed is not None
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])

    drawn = sample_many(
        predictor, text, config, num_samples=num_samples, generator=np.random.default_rng(seed)
    )
    try:
        first = list(islice(drawn, 1))  # a prime that is refused ends it here, with nothing written
    except CorpusError as error:
        raise CorpusError(f"{error}; --unknown skip leaves them out") from error
    if not is_seed_given:
        say(f"seed {seed}")
    begun = chain(first, drawn)
    style = Style(as_bytes=corpus.level == "byte", color=color)
    if num_samples == 1 and not check_copying and not as_json:
        show_streaming(text, begun, style)
        return
    samples = collect(begun, num_samples)
    copies = None
    if check_copying:
        learned = training_corpus(loaded, store)
        training = learned.train.ids
        copies = [
            # The ids of all splits together may be of a larger type than those of training's.
            longest_copy(learned.vocabulary.encode(one.text).astype(training.dtype), training)
            for one in samples
        ]
    if as_json:
        print_json(
            run=loaded.run or str(loaded.path),
            seed=seed,
            prime=text,
            samples=samples,
            copies=copies,
            to_text=corpus.to_text,
        )
        return
    show_samples(text, samples, style)
    if copies is not None:
        report_copies(samples, copies, corpus.to_text)
