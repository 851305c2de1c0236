"""The text that `charlstm eval` scores, and its overlap with the training text."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from charlstm.commands.options import model_encoding_advice
from charlstm.config import SplitName
from charlstm.errors import CorpusError
from charlstm.system.terminal import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from charlstm.api.model import Model
    from charlstm.text.corpus import Corpus, ReencodedText
    from charlstm.text.encoded_text import EncodedText

# Warn above this fraction; quotations and boilerplate stay below it.
_MIN_WARNED_OVERLAP: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class ScoredText:
    """The text to score.

    Args:
        name: the split's name or the files' names.
        split: the split of the model's own corpus; None for files.
        repeated: documents that also occur in the training text and are scored separately.
        is_known_D: which documents of `text` occur in the training text; None if unavailable.
        train: the training text; None if unavailable, or if it is the text to score.
        has_baselines: whether to score other predictors; not for the training split, which they
            were fitted on.
    """

    name: str
    split: SplitName | None
    text: "EncodedText"
    repeated: "EncodedText | None" = None
    is_known_D: "npt.NDArray[np.bool_] | None" = None
    train: "EncodedText | None" = None
    has_baselines: bool = True

    @property
    def num_chars(self) -> int:
        return self.text.num_chars + (0 if self.repeated is None else self.repeated.num_chars)


def choose(model: "Model", files: list[str], split: SplitName | None) -> ScoredText:
    """Return the text of files, or a split of the model's own corpus.

    Raises:
        CorpusError: if it can't be read or is empty.
    """
    if files:
        chosen, text = None, read_files(files, model).split
        corpus = None
        try:
            corpus = model.corpus()
        except CorpusError as error:
            say(f"no baselines, because the training text is unavailable: {error}")
    else:
        corpus = model.corpus()
        chosen, text = _chosen_split(split, corpus)
    if not text.num_chars:
        raise CorpusError("the text to score is empty")
    name = chosen or ", ".join(files)
    if chosen == "train":
        say("no baselines for the training split, which they were fitted on")
        return ScoredText(name=name, split=chosen, text=text, has_baselines=False)
    if corpus is None:
        return ScoredText(name=name, split=chosen, text=text)
    scored = ScoredText(name=name, split=chosen, text=text, train=corpus.train)
    is_known_D = None
    if _has_many_documents(corpus):
        is_known_D = _known(text, corpus, consequence=" and are scored separately")
    elif files:
        _warn_of_known(model, text, corpus)
    if is_known_D is None or is_known_D.all() or not is_known_D.any():
        return replace(scored, is_known_D=is_known_D)
    return replace(
        scored,
        text=text.documents(~is_known_D),
        repeated=text.documents(is_known_D),
        is_known_D=is_known_D[~is_known_D],
    )


def encode_for_both(
    model: "Model", other: "Model", files: list[str], split: SplitName | None
) -> "tuple[SplitName | None, EncodedText, EncodedText]":
    """Return a split's name (None for files), and one text as encoded by each of two models.

    Documents of a split that also occur in the training text are excluded.

    Raises:
        CorpusError: if the models read texts differently, or have different corpora.
    """
    from charlstm.evaluation.difference import require_same_reading

    names = (model.name, other.name)
    specs = (model.checkpoint.spec, other.checkpoint.spec)
    require_same_reading(*specs, names=names, of_files=bool(files))
    if files:
        read = read_files(files, model)
        symbols = read.original(0, read.split.num_chars)
        other_text = replace(read.split, ids=other.tokenizer.encode(symbols))
        for each, text in ((model, read.split), (other, other_text)):
            _say_known(each, text)
        return None, read.split, other_text
    own, others = (spec.fingerprint for spec in specs)
    if own != others:
        raise CorpusError(
            f"{model.name} and {other.name}: have different texts or splits (fingerprints "
            f"{own[:12]} and {others[:12]}); give a FILE to compare them on"
        )
    corpus = model.corpus()
    name, text = _chosen_split(split, corpus)
    # With a different --min-count its ids differ.
    other_text = getattr(other.corpus(), name)
    if name != "train" and _has_many_documents(corpus):
        is_known_D = _known(text, corpus, consequence=" and are excluded")
        if not is_known_D.all():
            text, other_text = text.documents(~is_known_D), other_text.documents(~is_known_D)
    return name, text, other_text


def read_files(files: list[str], model: "Model", errors: str = "strict") -> "ReencodedText":
    """Read and encode files as the model's corpus was; `errors` is Python's decoding handler."""
    from charlstm.text.corpus import encode_files

    with model_encoding_advice():
        other = encode_files(files, model.checkpoint.spec.corpus, model.tokenizer, errors)
    for notice in other.notices:
        say(notice)
    return other


def _chosen_split(wanted: SplitName | None, corpus: "Corpus") -> "tuple[SplitName, EncodedText]":
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    if not corpus.val.num_chars:
        raise CorpusError(
            "the corpus has neither test nor validation text: give a FILE or --split train"
        )
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val


def _has_many_documents(corpus: "Corpus") -> bool:
    from charlstm.text.assignment import MIN_DOCUMENTS

    return len(corpus.train.starts) >= MIN_DOCUMENTS


def _known(
    text: "EncodedText", corpus: "Corpus", *, whose: str = "the", consequence: str = ""
) -> "npt.NDArray[np.bool_]":
    """Return which documents occur in a training text, and print their number."""
    from charlstm.text.duplicates import DocumentHashes

    is_known_D = DocumentHashes(corpus.train, corpus.tokenizer).have(text)
    if is_known_D.all():
        say(f"all documents are also in {whose} training text")
    elif number := int(is_known_D.sum()):
        say(
            f"{number:,} of {len(is_known_D):,} documents are also in {whose} training text"
            f"{consequence}"
        )
    return is_known_D


def _say_known(model: "Model", text: "EncodedText") -> None:
    """Print how much of a text is in a model's training text."""
    try:
        corpus = model.corpus()
    except CorpusError as error:
        say(f"overlap with {model.name}'s training text is not checked: {error}")
        return
    if corpus.tokenizer.are_lines:
        _known(text, corpus, whose=f"{model.name}'s")
    else:
        _warn_of_known(model, text, corpus)


def _warn_of_known(model: "Model", text: "EncodedText", corpus: "Corpus") -> None:
    """Warn if much of a running text is training text."""
    from charlstm.text.duplicates import copied_fraction

    fraction = copied_fraction(text.ids, corpus.train.ids)
    if fraction > _MIN_WARNED_OVERLAP:
        say(f"warning: about {fraction:.0%} of the text is also in {model.name}'s training text")
