"""A run's copy of its encoded text, which makes it independent of the original files.

`text.npy` holds the ids of training, validation and test text, concatenated, for memory-mapping;
`text.safetensors` holds everything else. Runs of the same text share `text.npy` by a hard link.
The files' permissions don't exceed those of the original text.
"""

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final, get_args

import numpy as np

from charlstm.config import ReadingConfig, SplitName
from charlstm.errors import CorpusError, TensorFileError
from charlstm.reading.filelist import is_read_once
from charlstm.system import run_files
from charlstm.system.files import replace_file
from charlstm.system.tensor_file import Array, open_regular, open_tensor_file, to_bytes
from charlstm.text.corpus import Corpus, corpus_name, load_corpus
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.vocabulary import Vocabulary

# Exceptions that an invalid or foreign file can cause.
_UNUSABLE: Final = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    TensorFileError,
    CorpusError,
)


def load_corpus_of_run(
    config: ReadingConfig, fingerprint: str, vocabulary: Vocabulary, folder: Path | None
) -> Corpus:
    """Return a run's corpus from its copy, or else from the original files.

    Args:
        folder: the run's folder.

    Raises:
        CorpusError: if there is no copy and the files are missing or have changed.
    """
    copy = None if folder is None else read_corpus(folder, config, fingerprint, vocabulary)
    if copy is not None:
        return copy
    if any(map(is_read_once, (*config.paths, config.val, config.test))):
        raise CorpusError(
            "the run's text came from Python, stdin or a pipe, and the run has no copy of it; "
            "name a file"
        )
    corpus = load_corpus(config, extra_characters=vocabulary.characters)
    corpus.require_fingerprint(fingerprint)
    return corpus


def write_corpus(
    folder: Path,
    corpus: Corpus,
    config: ReadingConfig,
    *,
    mode: int,
    others: Iterable[Path] = (),
) -> None:
    """Write a corpus to a run's folder, unless it is there already.

    Args:
        mode: permissions of new files, before the umask.
        others: folders of runs that may have the same text; its file is linked instead of written.

    Raises:
        OSError: if it can't be written.
        TensorFileError: if its header would be too long.
    """
    ids_path, path = folder / run_files.TEXT_IDS, folder / run_files.TEXT
    if read_corpus(folder, config, corpus.fingerprint, corpus.vocabulary) is None:
        ids_path.unlink(missing_ok=True)
        if not any(_link_ids(other, ids_path, config, corpus) for other in others):
            with replace_file(ids_path, mode=mode) as file:
                num_chars = sum(split.num_chars for split in corpus.splits.values())
                file.write(_array_header(corpus.train.ids.dtype, num_chars))
                for split in corpus.splits.values():
                    file.write(split.ids.data)
        with replace_file(path, mode=mode) as file:
            file.write(_metadata(corpus, config))
    for file_path in (ids_path, path):
        # The text's permissions may have been reduced since.
        file_path.chmod(file_path.stat().st_mode & mode)


def read_corpus(
    folder: Path, config: ReadingConfig, fingerprint: str, vocabulary: Vocabulary
) -> Corpus | None:
    """Return the corpus in a run's folder; None if it is missing, damaged or a different one."""
    try:
        with open_tensor_file(folder / run_files.TEXT) as tensor_file:
            header = tensor_file.header
            if (header["fingerprint"], header["level"]) != (fingerprint, config.level):
                return None
            arrays = tensor_file.read()
        if not np.array_equal(arrays["codes"], vocabulary.codes):
            return None
        with os.fdopen(open_regular(folder / run_files.TEXT_IDS), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o666
            return _corpus(file, arrays, header, config, vocabulary, mode=mode)
    except _UNUSABLE:
        return None


def _link_ids(other: Path, ids_path: Path, config: ReadingConfig, corpus: Corpus) -> bool:
    """Link another run's ids if they are the same; return whether that succeeded."""
    if read_corpus(other, config, corpus.fingerprint, corpus.vocabulary) is None:
        return False
    try:
        os.link(other / run_files.TEXT_IDS, ids_path)
    except OSError:
        return False
    return True


def _metadata(corpus: Corpus, config: ReadingConfig) -> bytes:
    digest = hashlib.sha256()
    arrays: dict[str, Array] = {"codes": corpus.vocabulary.codes.astype(np.uint32)}
    for name, split in corpus.splits.items():
        assert split.bytes_D is not None
        digest.update(split.ids.data)
        arrays |= {f"{name}.starts": split.starts, f"{name}.bytes": split.bytes_D}
    return to_bytes(
        arrays,
        {
            "fingerprint": corpus.fingerprint,
            "level": config.level,
            "num_chars": [split.num_chars for split in corpus.splits.values()],
            "ids": digest.hexdigest(),
            "dtype": corpus.train.ids.dtype.str,
        },
    )


def _array_header(dtype: np.dtype[Any], num_chars: int) -> bytes:
    """Return the header of a .npy file with a one-dimensional array."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (num_chars,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def _corpus(
    file: BinaryIO,
    arrays: dict[str, Any],
    header: dict[str, Any],
    config: ReadingConfig,
    vocabulary: Vocabulary,
    *,
    mode: int,
) -> Corpus:
    """Build a corpus from a run's files after checking them; the ids stay memory-mapped.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: if the files are invalid.
    """
    sizes = header["num_chars"]
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError("invalid split sizes")
    # The vocabulary alone may allow a smaller dtype than the text was encoded with.
    dtype = np.dtype(header["dtype"])
    begin = _array_header(dtype, sum(sizes))
    if dtype.kind != "u" or file.read(len(begin)) != begin:
        raise ValueError("unexpected array header")
    ids = np.memmap(file, dtype, "c", len(begin), (sum(sizes),))
    if hashlib.sha256(ids.data).hexdigest() != header["ids"]:
        raise ValueError("the ids don't match their digest")
    splits = {}
    first = 0
    for name, size in zip(get_args(SplitName), sizes, strict=True):
        starts, bytes_D = arrays[f"{name}.starts"], arrays[f"{name}.bytes"]
        if bytes_D.dtype != np.int64 or bytes_D.shape != starts.shape or np.any(bytes_D < 0):
            raise ValueError("invalid document sizes")
        if starts.dtype != np.int64 or starts.ndim != 1 or np.any(np.diff(starts) <= 0):
            raise ValueError("invalid document starts")
        if size and (starts[:1].tolist() != [0] or starts[-1] >= size):
            raise ValueError("invalid document starts")
        part = ids[first : first + size]
        if size and int(part.max()) > len(vocabulary):
            raise ValueError("ids outside the vocabulary")
        splits[name] = EncodedText(ids=part, starts=starts, bytes_D=bytes_D)
        first += size
    return Corpus(
        name=corpus_name(config),
        tokenizer=CharTokenizer(
            config=config, vocabulary=vocabulary, num_train_chars=splits["train"].num_chars
        ),
        fingerprint=header["fingerprint"],
        notices=(),
        mode=mode,
        files=(),
        **splits,
    )
