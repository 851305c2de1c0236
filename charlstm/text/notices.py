"""Notices to the user about an encoded text."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from charlstm.config import IN_MEMORY, ReadingConfig
from charlstm.reading.documents import looks_like_list
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import UNKNOWN, Vocabulary

# Sample size for deciding whether a text is a list.
_SAMPLE_CHARS: Final = 1 << 20
# Held-out text usually has far fewer: below 0.01 even in Chinese.
_MANY_UNKNOWN: Final = 0.05


def document_notices(
    train: EncodedText, tokenizer: CharTokenizer, config: ReadingConfig
) -> Iterator[str]:
    """Yield notices if the text may not be split into documents as intended."""
    num_documents = len(train.starts)
    if config.split_documents is None and config.column is None:
        # Documents passed from Python are separate already.
        are_given = config.paths == (IN_MEMORY,) and num_documents > 1
        if not are_given and looks_like_list(tokenizer.decode(train.ids[:_SAMPLE_CHARS])):
            yield "the text looks like a list: --split-documents lines makes each line a document"
        return
    if num_documents == 1 and config.split_documents is not None:
        yield f"--split-documents {config.split_documents}: no match, the text is one document"
    is_blank_D = (train.lengths == 1) & (train.ids[train.starts] == tokenizer.eos_id)
    blank = "blank lines" if tokenizer.documents_are_lines else "empty"
    if num_blank := int(is_blank_D.sum()):
        yield f"{num_blank:,} of {num_documents:,} documents are {blank} and trained on like others"


def unknown_notices(text: EncodedText, name: str) -> Iterator[str]:
    """Yield a notice if many characters of a text are unknown."""
    fraction = np.count_nonzero(text.ids == UNKNOWN) / max(1, text.num_chars)
    if fraction > _MANY_UNKNOWN:
        yield f"{fraction:.0%} of the {name} consists of characters outside the vocabulary"


def form_notices(all_characters: Vocabulary, tokenizer: CharTokenizer) -> Iterator[str]:
    """Yield a notice if characters are unknown only because of their Unicode normal form."""
    unknown = tokenizer.vocabulary.unknown_in(all_characters.characters)
    if found := tokenizer.in_other_form(unknown):
        yield (
            f"unknown only in this Unicode normal form: {tokenizer.listed(found)}; "
            "a model trained with --normalize nfc reads all forms alike"
        )
