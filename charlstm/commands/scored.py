"""Which text `charlstm eval` scores, and what is said about it beforehand."""

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from charlstm.commands.options import advice_for_a_model
from charlstm.config import SplitName
from charlstm.errors import CorpusError
from charlstm.system.terminal import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from charlstm.api.model import Model
    from charlstm.evaluation.assessment import LearnedText
    from charlstm.evaluation.scores import Original
    from charlstm.text.corpus import Corpus, OtherText
    from charlstm.text.duplicates import KnownDocuments
    from charlstm.text.split import Split


class Chosen(NamedTuple):
    """The text to score.

    Args:
        split: its name, where it is a part of the model's own text.
        original: gives its symbols.
        corpus: that the model learned from; None where it isn't at hand.
        learned: what the baselines learn from; None for none.
        known: the documents of the training text; None where it isn't at hand or is scored itself.
    """

    split: SplitName | None
    text: "Split"
    original: "Original"
    corpus: "Corpus | None"
    learned: "LearnedText | None"
    known: "KnownDocuments | None"


def choose(
    model: "Model", files: list[str] | None, split: SplitName | None, *, with_duplicates: bool
) -> Chosen:
    from charlstm.evaluation.assessment import LearnedText
    from charlstm.text.duplicates import KnownDocuments

    corpus = _own_corpus(model, is_needed=not files)
    learned = known = None
    if corpus is not None:
        learned = LearnedText(train=corpus.train, val=corpus.val)
        known = KnownDocuments(corpus.train, corpus.alphabet)
    if files:
        other = read_files(files, model)
        warn_of_own(files, [model])
        if known is not None and model.alphabet.are_lines:
            say_known(other.split, known)
        chosen = Chosen(None, other.split, other.original, corpus, learned, known)
    else:
        assert corpus is not None
        assert known is not None
        name, text = chosen_split(split, corpus)
        if name == "train":
            say("no baselines for the training split, which they learned from")
            learned = known = None
        elif name == "val":
            # Nothing may be chosen on what is scored.
            learned = LearnedText(train=corpus.train, val=corpus.val.part(0, 0))
        if name != "train" and not with_duplicates:
            assert known is not None
            text = chosen_documents(text, new_documents(text, corpus, known))

        def original(first: int, after: int) -> str:
            return model.alphabet.decode(text.ids[first:after])

        chosen = Chosen(name, text, original, corpus, learned, known)
    if not chosen.text.num_chars:
        raise CorpusError("there is no text to score")
    return chosen


def read_files(files: list[str], model: "Model") -> "OtherText":
    from charlstm.text.corpus import encode_files

    with advice_for_a_model():
        other = encode_files(files, model.checkpoint.spec.corpus, model.alphabet.vocabulary)
    for notice in other.notices:
        say(notice)
    return other


def _own_corpus(model: "Model", *, is_needed: bool) -> "Corpus | None":
    """The corpus that the run was trained on; None where it can be done without."""
    try:
        return model.corpus()
    except CorpusError as error:
        if is_needed:
            raise
        say(f"no baselines without the training text: {error}")
        return None


def say_known(text: "Split", known: "KnownDocuments", *, of: str | None = None) -> None:
    """Say how many documents of a list the training text has, too.

    Args:
        of: a model's name, where there is more than one.
    """
    is_known_D = known.have(text)
    if num_known := int(is_known_D.sum()):
        whose = "the" if of is None else f"{of}'s"
        say(f"{num_known:,} of {len(is_known_D):,} documents are also in {whose} training text")


def new_documents(
    text: "Split", corpus: "Corpus", known: "KnownDocuments"
) -> "npt.NDArray[np.bool_] | None":
    """Of a list, what doesn't stand in the training text, too; None for all."""
    from charlstm.text.assignment import MIN_DOCUMENTS

    if len(corpus.train.starts) < MIN_DOCUMENTS:
        return None
    is_known_D = known.have(text)
    num_known, num_all = int(is_known_D.sum()), len(is_known_D)
    if num_known == num_all:
        say("all of its documents are also in the training text")
    if not num_known or num_known == num_all:
        return None
    say(
        f"{num_known:,} of {num_all:,} documents are also in the training text and are left out; "
        "--with-duplicates scores them"
    )
    return ~is_known_D


def chosen_documents(text: "Split", chosen_D: "npt.NDArray[np.bool_] | None") -> "Split":
    return text if chosen_D is None else text.documents(chosen_D)


def chosen_split(wanted: SplitName | None, corpus: "Corpus") -> tuple[SplitName, "Split"]:
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val


def warn_of_own(files: list[str], models: "Sequence[Model]") -> None:
    """Say which models learned from one of these files, by its name."""
    from charlstm.text.filelist import FileList

    for model in models:
        learned: set[str] = set()
        with contextlib.suppress(CorpusError):
            learned.update(map(os.path.realpath, FileList.of(model.checkpoint.spec.corpus).main))
        for path in files:
            if os.path.realpath(path) in learned:
                say(f"warning: {path} is of the text that {model.name} learned from")
