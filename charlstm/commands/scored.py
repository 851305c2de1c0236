"""Which text `charlstm eval` scores, and what is said about it beforehand."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from charlstm.commands.options import advice_for_a_model
from charlstm.config import SplitName
from charlstm.errors import CorpusError
from charlstm.system.terminal import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from charlstm.api.model import Model
    from charlstm.text.alphabet import Alphabet
    from charlstm.text.corpus import Corpus, OtherText
    from charlstm.text.split import Split

# Quotations and what programs write again and again make less of a text.
_MUCH_KNOWN: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class ScoredText:
    """The text to score.

    Args:
        name: for people.
        split: where it is a part of the model's own text.
        repeated: documents that the training text has, too, which are scored apart; None for none.
        is_known_D: which documents of `text` the training text has; None where it isn't at hand.
        train: the training text; None where it isn't at hand, or is what is scored.
        has_rivals: whether n-grams of the training text are asked, too.
    """

    name: str
    split: SplitName | None
    text: "Split"
    repeated: "Split | None" = None
    is_known_D: "npt.NDArray[np.bool_] | None" = None
    train: "Split | None" = None
    has_rivals: bool = True

    @property
    def num_chars(self) -> int:
        return self.text.num_chars + (0 if self.repeated is None else self.repeated.num_chars)


def choose(model: "Model", files: list[str], split: SplitName | None) -> ScoredText:
    """A text of files, or a split of the model's own corpus.

    Raises:
        CorpusError: when it can't be read, or is empty.
    """
    if files:
        chosen, text = None, read_files(files, model).split
        corpus = None
        try:
            corpus = model.corpus()
        except CorpusError as error:
            say(f"no baselines without the training text: {error}")
    else:
        corpus = model.corpus()
        chosen, text = _chosen_split(split, corpus)
    if not text.num_chars:
        raise CorpusError("there is no text to score")
    name = chosen or ", ".join(files)
    if chosen == "train":
        say("no baselines for the training split, which they learned from")
        return ScoredText(name=name, split=chosen, text=text, has_rivals=False)
    if corpus is None:
        return ScoredText(name=name, split=chosen, text=text)
    scored = ScoredText(name=name, split=chosen, text=text, train=corpus.train)
    is_known_D = _known(text, corpus, model.alphabet)
    if files and is_known_D is None:
        _warn_of_known(model, text, corpus)
    if is_known_D is None or is_known_D.all() or not is_known_D.any():
        return replace(scored, is_known_D=is_known_D)
    return replace(
        scored,
        text=text.documents(~is_known_D),
        repeated=text.documents(is_known_D),
        is_known_D=is_known_D[~is_known_D],
    )


def same_text(
    model: "Model", other: "Model", files: list[str], split: SplitName | None
) -> "tuple[SplitName | None, Split, Split]":
    """The name of a split, and one text as each of two models encodes it.

    Of a split documents that the training text has, too, are left out.

    Raises:
        CorpusError: when they read texts in different ways, or share none.
    """
    from charlstm.evaluation.difference import require_same_reading

    names = (model.name, other.name)
    specs = (model.checkpoint.spec, other.checkpoint.spec)
    require_same_reading(*specs, names=names, of_files=bool(files))
    if files:
        read = read_files(files, model)
        symbols = read.original(0, read.split.num_chars)
        other_text = replace(read.split, ids=other.alphabet.encode(symbols))
        for one, text in ((model, read.split), (other, other_text)):
            _say_known(one, text)
        return None, read.split, other_text
    own, others = (spec.fingerprint for spec in specs)
    if own != others:
        raise CorpusError(
            f"{model.name} and {other.name} have different texts or splits (fingerprints "
            f"{own[:12]} and {others[:12]}); name a FILE to compare them on"
        )
    corpus = model.corpus()
    name, text = _chosen_split(split, corpus)
    # With another --min-count it is encoded in another way.
    other_text = getattr(other.corpus(), name)
    is_known_D = None if name == "train" else _known(text, corpus, model.alphabet)
    if is_known_D is not None and is_known_D.any() and not is_known_D.all():
        text, other_text = text.documents(~is_known_D), other_text.documents(~is_known_D)
    return name, text, other_text


def read_files(files: list[str], model: "Model") -> "OtherText":
    from charlstm.text.corpus import encode_files

    with advice_for_a_model():
        other = encode_files(files, model.checkpoint.spec.corpus, model.alphabet)
    for notice in other.notices:
        say(notice)
    return other


def _chosen_split(wanted: SplitName | None, corpus: "Corpus") -> "tuple[SplitName, Split]":
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    if not corpus.val.num_chars:
        raise CorpusError(
            "the corpus has neither test nor validation text: name a file, or give --split train"
        )
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val


def _known(text: "Split", corpus: "Corpus", alphabet: "Alphabet") -> "npt.NDArray[np.bool_] | None":
    """Which documents the training text has, too; None where it has too few to say so."""
    from charlstm.text.assignment import MIN_DOCUMENTS
    from charlstm.text.duplicates import KnownDocuments

    if len(corpus.train.starts) < MIN_DOCUMENTS:
        return None
    is_known_D = KnownDocuments(corpus.train, alphabet).have(text)
    if is_known_D.all():
        say("all of its documents are also in the training text")
    elif is_known_D.any():
        say(
            f"{int(is_known_D.sum()):,} of {len(is_known_D):,} documents are also in the training "
            "text and are scored apart"
        )
    return is_known_D


def _say_known(model: "Model", text: "Split") -> None:
    """Say how much of a text a model has learned from."""
    from charlstm.text.duplicates import KnownDocuments

    try:
        corpus = model.corpus()
    except CorpusError as error:
        say(f"{model.name}: whether it learned from this text is not checked: {error}")
        return
    if not corpus.alphabet.are_lines:
        _warn_of_known(model, text, corpus)
        return
    is_known_D = KnownDocuments(corpus.train, corpus.alphabet).have(text)
    if num_known := int(is_known_D.sum()):
        say(
            f"{num_known:,} of {len(is_known_D):,} documents are also in {model.name}'s training "
            "text"
        )


def _warn_of_known(model: "Model", text: "Split", corpus: "Corpus") -> None:
    """Warn that much of a running text is training text."""
    from charlstm.text.duplicates import share_in

    share = share_in(text.ids, corpus.train.ids)
    if share > _MUCH_KNOWN:
        say(f"warning: about {share:.0%} of it is also in {model.name}'s training text")
