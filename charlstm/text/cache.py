"""Encoded corpora, kept beside the runs: a text is read once, and lasts when its file doesn't.

Two kinds of files in the store's `.cache` folder. `FINGERPRINT-OPTIONS.corpus` holds the three
splits in the safetensors format, to be mapped into memory. `KEY.key` names the corpus that files of
a certain path, size, time and inode gave. Either may be deleted at any time; each is written aside
and renamed, so that a kill or a second process leaves nothing half written.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.config import STDIN, CorpusConfig
from charlstm.errors import CorpusError
from charlstm.text.alphabet import Alphabet
from charlstm.text.corpus import Corpus, corpus_name, load_corpus
from charlstm.text.folders import files_in
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

_FORMAT: Final = 1
_TYPES: Final = {"uint8": "U8", "uint16": "U16", "uint32": "U32", "int64": "I64"}
_LENGTH_BYTES: Final = 8
_MAX_HEADER_BYTES: Final = 1 << 24
_PIECE: Final = 1 << 20
# A larger corpus is trusted, as reading it all would take longer than mapping it saves.
_MAX_CHECKED_BYTES: Final = 1 << 26
# A file that changes again within the clock's resolution would keep its key.
_SETTLED_SECONDS: Final = 0.05
_OLD_SECONDS: Final = 24 * 3600
_NAME_LENGTH: Final = 40
# What reading a file can end in that somebody else wrote.
_UNUSABLE: Final = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    CorpusError,
)
_SPLITS: Final = ("train", "val", "test")

Array = npt.NDArray[Any]


def load_corpus_of_run(
    config: CorpusConfig, fingerprint: str, cache: "CorpusCache | None"
) -> Corpus:
    """The corpus that a run was trained on: as it was kept, or read again.

    Raises:
        CorpusError: when neither is possible, or the text is another one by now.
    """
    if cache is not None and (kept := cache.recall(fingerprint, config)) is not None:
        return kept
    if STDIN in (*config.paths, config.val, config.test):
        raise CorpusError("the run's text came from stdin, and no copy of it was kept; name a file")
    corpus = load_corpus(config)
    corpus.require_fingerprint(fingerprint)
    return corpus


class CorpusCache:
    """The cache of one store.

    Args:
        folder: made when something is first kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, config: CorpusConfig) -> Corpus:
        """Load a corpus, from here if its files didn't change since it was kept.

        Raises:
            CorpusError: as `load_corpus` does.
        """
        key = _key(config)
        if key is not None and (found := self._find(key, config)) is not None:
            return found
        corpus = load_corpus(config)
        self._keep(corpus, config, key)
        return corpus

    def recall(self, fingerprint: str, config: CorpusConfig) -> Corpus | None:
        """The corpus of this fingerprint, wherever its text is now."""
        return self._read(_name(fingerprint, config), config)

    def _find(self, key: str, config: CorpusConfig) -> Corpus | None:
        try:
            known = json.loads(_content(self._folder / f"{key}.key", _MAX_HEADER_BYTES))
            name, notices = known["corpus"], tuple(map(str, known["notices"]))
        except _UNUSABLE:
            return None
        if not isinstance(name, str) or not name.replace("-", "").isalnum():
            return None
        corpus = self._read(name, config)
        return corpus and replace(corpus, notices=notices)

    def _keep(self, corpus: Corpus, config: CorpusConfig, key: str | None) -> None:
        # A full disk or a read-only folder does no harm.
        name = _name(corpus.fingerprint, config)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            if self._read(name, config) is None:
                with self._replaced(f"{name}.corpus") as file:
                    _write(file, corpus)
            # Not if the files changed since the reading began.
            if key is not None and key == _key(config):
                with self._replaced(f"{key}.key") as file:
                    file.write(json.dumps({"corpus": name, "notices": corpus.notices}).encode())

    def _read(self, name: str, config: CorpusConfig) -> Corpus | None:
        try:
            corpus = _mapped(self._folder / f"{name}.corpus", config)
        except _UNUSABLE:
            return None  # damaged or not there: it will be written again
        return corpus if name.startswith(corpus.fingerprint[:_NAME_LENGTH]) else None

    @contextlib.contextmanager
    def _replaced(self, name: str) -> Iterator[IO[bytes]]:
        aside = self._folder / f"{name}.{os.getpid()}.tmp"
        try:
            with aside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self._folder / name)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def _remove_leftovers(self) -> None:
        """What a killed process left long ago; a younger one may still be written."""
        for file in self._folder.glob("*.tmp"):
            if time.time() - file.stat().st_mtime > _OLD_SECONDS:
                file.unlink(missing_ok=True)


def _content(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise FileNotFoundError
    with path.open("rb") as file:
        return file.read(most)


def _name(fingerprint: str, config: CorpusConfig) -> str:
    # The fingerprint is the text's; these change what becomes of it.
    options = json.dumps([_FORMAT, config.min_count, config.level])
    return f"{fingerprint[:_NAME_LENGTH]}-{hashlib.sha256(options.encode()).hexdigest()[:8]}"


def _key(config: CorpusConfig) -> str | None:
    """What the files look like from outside; None for pipes and for what changes right now."""
    settings = asdict(config)
    if not config.paths:
        return None
    states: list[list[Any] | None] = []
    try:
        for path in [*config.paths, config.val, config.test]:
            if path is None:
                states.append(None)
                continue
            for file in files_in(path, config.include)[0]:
                state = os.stat(file)
                is_settled = time.time() - state.st_mtime > _SETTLED_SECONDS
                if file == STDIN or not os.path.isfile(file) or not is_settled:
                    return None
                # The inode's own time tells what an edit with its old time put back was.
                times = [state.st_mtime_ns, state.st_ctime_ns]
                states.append([file, state.st_size, *times, state.st_ino])
    except (OSError, ValueError, CorpusError):
        return None
    key = json.dumps([_FORMAT, settings, states], sort_keys=True)
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _write(file: IO[bytes], corpus: Corpus) -> None:
    splits = {name: getattr(corpus, name) for name in _SPLITS}
    # int64 before smaller ones: so each stays aligned.
    arrays: dict[str, Array] = {f"{name}.starts": split.starts for name, split in splits.items()}
    arrays["codes"] = corpus.vocabulary.codes.astype("<u4")
    arrays |= {f"{name}.ids": split.ids for name, split in splits.items()}
    about = {
        "format": _FORMAT,
        "fingerprint": corpus.fingerprint,
        "num_bytes": {name: split.num_bytes for name, split in splits.items()},
    }
    entries: dict[str, Any] = {}
    offset = 0
    for name, array in arrays.items():
        entries[name] = {
            "dtype": _TYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    described = json.dumps(about)
    metadata = {"charlstm": described, "digest": _digest(described, entries, arrays)}
    text = json.dumps({"__metadata__": metadata, **entries}).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
    for array in arrays.values():
        for piece in _pieces(array):
            file.write(piece)


def _mapped(path: Path, config: CorpusConfig) -> Corpus:
    if not path.is_file():  # a pipe would wait for ever
        raise FileNotFoundError
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError("the header is too long")
        entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__")
        about = json.loads(metadata["charlstm"])
        first = _LENGTH_BYTES + length
        size = os.fstat(file.fileno()).st_size
        end = max(entry["data_offsets"][1] for entry in entries.values())
        if about["format"] != _FORMAT or size != first + end:
            raise ValueError("not what was written")
        types = {short: name for name, short in _TYPES.items()}
        arrays: dict[str, Array] = {}
        for name, entry in entries.items():
            dtype, shape = types[entry["dtype"]], tuple(entry["shape"])
            if 0 in shape:
                arrays[name] = np.zeros(shape, dtype)
            else:
                # Copied when written to, which nobody does.
                begin = first + entry["data_offsets"][0]
                arrays[name] = np.memmap(file, dtype, "c", begin, shape)
    if size <= _MAX_CHECKED_BYTES:
        digest = _digest(metadata["charlstm"], entries, arrays)
        if digest != metadata["digest"]:
            raise ValueError("damaged")
    splits = {
        name: Split(
            ids=arrays[f"{name}.ids"],
            starts=np.asarray(arrays[f"{name}.starts"]),
            num_bytes=about["num_bytes"][name],
        )
        for name in _SPLITS
    }
    return Corpus(
        name=corpus_name(config),
        alphabet=Alphabet.of(
            config,
            Vocabulary.of_codes(arrays["codes"]),
            num_train_chars=splits["train"].num_chars,
        ),
        fingerprint=about["fingerprint"],
        notices=(),
        **splits,
    )


def _digest(described: str, entries: dict[str, Any], arrays: dict[str, Array]) -> str:
    digest = hashlib.sha256(json.dumps([described, entries], sort_keys=True).encode())
    for array in arrays.values():
        for piece in _pieces(array):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(array: Array) -> Iterator[bytes]:
    for first in range(0, len(array), _PIECE):
        yield array[first : first + _PIECE].tobytes()
