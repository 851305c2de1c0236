"""Notices about an encoded text."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from charlstm.config import IN_MEMORY, CorpusConfig
from charlstm.text.alphabet import Alphabet
from charlstm.text.documents import looks_like_list
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN, Vocabulary

# Look at this much of a text to decide whether it is a list.
_SAMPLE_CHARS: Final = 1 << 20
# Held-out text usually has far less: below 0.01 even in Chinese.
_MANY_UNKNOWN: Final = 0.05


def document_notices(train: Split, alphabet: Alphabet, config: CorpusConfig) -> Iterator[str]:
    """Yield where documents may not be what was meant."""
    num_documents = len(train.starts)
    if config.split_documents is None and config.column is None:
        is_chosen = config.paths == (IN_MEMORY,) and num_documents > 1
        if not is_chosen and looks_like_list(alphabet.decode(train.ids[:_SAMPLE_CHARS])):
            yield "the text looks like a list: --split-documents lines makes each line a document"
        return
    if num_documents == 1 and config.split_documents is not None:
        yield f"--split-documents {config.split_documents}: found nowhere, the text is one document"
    is_blank_D = (train.lengths == 1) & (train.ids[train.starts] == alphabet.end_id)
    blank = "blank lines" if alphabet.are_lines else "empty"
    if num_blank := int(is_blank_D.sum()):
        yield f"{num_blank:,} of {num_documents:,} documents are {blank}, learned like others"


def unknown_notices(split: Split, name: str) -> Iterator[str]:
    """Yield that much of a text is unknown, where it is."""
    share = np.count_nonzero(split.ids == UNKNOWN) / max(1, split.num_chars)
    if share > _MANY_UNKNOWN:
        yield f"{share:.0%} of the {name} are characters that the vocabulary lacks"


def form_notices(everything: Vocabulary, alphabet: Alphabet) -> Iterator[str]:
    """Yield which characters of a text are unknown only in their Unicode normal form."""
    unknown = alphabet.vocabulary.unknown_in(everything.characters)
    if found := alphabet.in_other_form(unknown):
        yield (
            f"unknown only in this Unicode normal form: {alphabet.listed(found)}; "
            "a model trained with --normalize nfc reads all forms alike"
        )
