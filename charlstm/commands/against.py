"""`charlstm eval --against`: two models on the same text."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from charlstm.commands.options import (
    WhichModel,
    invite_typing,
    one_of,
    print_record,
    say_warnings,
)
from charlstm.commands.scored import (
    chosen_documents,
    chosen_split,
    new_documents,
    read_files,
    say_known,
    warn_of_own,
)
from charlstm.config import SplitName
from charlstm.errors import CorpusError
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from charlstm.api.model import Model
    from charlstm.text.split import Split


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The other model of a comparison: a run, or a checkpoint file."""

    run: str | None
    checkpoint: Path | None

    def is_named(self, context: typer.Context, **of_one_model: object) -> bool:
        """Return whether there is one, which excludes what is shown of a single model.

        Raises:
            ConfigError: when both are given.
        """
        named = {"against": self.run, "against_checkpoint": self.checkpoint}
        one_of(context, **named)
        for name, value in of_one_model.items():
            for rival, chosen in named.items():
                one_of(context, **{rival: chosen, name: value})
        return self.run is not None or self.checkpoint is not None


def compare(
    which: WhichModel,
    rival: Rival,
    files: list[str],
    split: SplitName | None,
    *,
    with_duplicates: bool,
    threads: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Score the same text by two models, and show what lies between them."""
    from charlstm.api import open_model

    invite_typing(files)
    model = which.load()
    other = open_model(rival.run, checkpoints=which.checkpoints, checkpoint=rival.checkpoint)
    say_warnings(other.notices)
    name = None
    if files:
        text, other_text = _same_files(files, model, other)
    else:
        name, text, other_text = _same_split(split, model, other, with_duplicates=with_duplicates)

    import_torch()
    import numpy as np

    from charlstm.evaluation.difference import compare as compare_scores
    from charlstm.evaluation.scoring import score
    from charlstm.training.hardware import resolve_device, set_threads
    from charlstm.views.bars import counting_bar
    from charlstm.views.evaluation import difference_record, show_difference

    set_threads(threads)
    on = resolve_device(device)
    with counting_bar(2 * text.num_chars, "scored") as progress:
        scores = score(model.network(on), text, progress=progress)
        other_scores = score(other.network(on), other_text, progress=progress)
    difference = compare_scores(
        scores, other_scores, text, other_text, model.alphabet, generator=np.random.default_rng(0)
    )
    if as_json:
        record = {"run": model.name, "against": other.name, "split": name, "files": files}
        print_record(record | difference_record(difference))
    else:
        show_difference(difference, model.name, other.name, title=name or ", ".join(files))


def _same_split(
    split: SplitName | None, model: "Model", other: "Model", *, with_duplicates: bool
) -> "tuple[SplitName, Split, Split]":
    """A split of the text that both models learned from, as each of them encodes it."""
    from charlstm.text.duplicates import KnownDocuments

    _require_same(model, other, of_files=False)
    own, others = model.checkpoint.spec.fingerprint, other.checkpoint.spec.fingerprint
    if own != others:
        raise CorpusError(
            f"{model.name} and {other.name} have different texts or splits (fingerprints "
            f"{own[:12]} and {others[:12]}); name a FILE to compare them on"
        )
    corpus = model.corpus()
    name, text = chosen_split(split, corpus)
    # With another --min-count it is encoded in another way.
    other_text: Split = getattr(other.corpus(), name)
    if name != "train" and not with_duplicates:
        is_new_D = new_documents(text, corpus, KnownDocuments(corpus.train, corpus.alphabet))
        text, other_text = chosen_documents(text, is_new_D), chosen_documents(other_text, is_new_D)
    return name, text, other_text


def _same_files(files: list[str], model: "Model", other: "Model") -> "tuple[Split, Split]":
    """Any text, as each of two models encodes it."""
    from dataclasses import replace

    _require_same(model, other, of_files=True)
    read = read_files(files, model)
    symbols = read.original(0, read.split.num_chars)
    other_text = replace(read.split, ids=other.alphabet.encode(symbols))
    if model.alphabet.are_lines:
        for one, text in ((model, read.split), (other, other_text)):
            _say_known(one, text)
    else:
        warn_of_own(files, (model, other))
        say("whether other texts hold parts of this one, and were learned from, is not checked")
    return read.split, other_text


def _require_same(model: "Model", other: "Model", *, of_files: bool) -> None:
    from charlstm.evaluation.difference import require_same_reading

    specs = (model.checkpoint.spec, other.checkpoint.spec)
    require_same_reading(*specs, names=(model.name, other.name), of_files=of_files)


def _say_known(model: "Model", text: "Split") -> None:
    """Say which documents of a list a model has learned from."""
    from charlstm.text.duplicates import KnownDocuments

    try:
        corpus = model.corpus()
    except CorpusError as error:
        say(f"{model.name}: whether it learned from this text is not checked: {error}")
        return
    say_known(text, KnownDocuments(corpus.train, corpus.alphabet), of=model.name)
