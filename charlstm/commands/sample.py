"""`charlstm sample`: continue a text."""

from typing import Annotated, Literal

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Run,
    load_model,
)
from charlstm.config import DEFAULT_STORE, SampleConfig
from charlstm.terminal import say, text_output


def sample(
    context: typer.Context,
    prime: Annotated[str, typer.Option("--prime", help="Text to continue.")] = "",
    length: Annotated[int, typer.Option("--length", help="Characters to write.")] = 500,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Below 1 bolder on the likely, 0 always it.")
    ] = 1.0,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Draw from the K likeliest only.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the likeliest that sum to P.")
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"],
        typer.Option("--unknown", help="What to do with a prime's characters never seen."),
    ] = "error",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Same seed, same text.")] = None,
    run: Run = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
) -> None:
    """Continue a text, streaming.

    charlstm sample --prime "qu"

    charlstm sample --prime "Once" --length 2000 --temperature 0.7 --seed 1 > story.txt
    """
    config = SampleConfig(length=length, temperature=temperature, top_k=top_k, top_p=top_p)

    import numpy as np

    from charlstm.predictor import Predictor
    from charlstm.sampling import sample as continue_text
    from charlstm.store import CheckpointStore

    loaded = load_model(context, CheckpointStore(checkpoints))
    predictor = Predictor(loaded.checkpoint)
    corpus = loaded.checkpoint.corpus
    prime = corpus.to_symbols(prime)
    if unknown == "skip":
        prime = predictor.without_unknown(prime)
    is_seed_given = seed is not None
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    generator = np.random.default_rng(seed)

    continuation = continue_text(predictor, prime, config, generator=generator)
    first = next(continuation, "")  # a prime that is refused ends it here, with nothing written
    if not is_seed_given:
        say(f"seed {seed}")
    with text_output(as_bytes=corpus.level == "byte") as write:
        write(prime + first)
        for char in continuation:
            write(char)
        write("\n")
