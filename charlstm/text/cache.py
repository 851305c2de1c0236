"""Encoded corpora, kept beside the runs: a text is read once, and lasts when its file doesn't.

Two kinds of files in the store's `.cache` folder. `FINGERPRINT-OPTIONS.corpus` holds the three
splits, to be mapped into memory. `KEY.key` names the corpus that files of a certain path, size,
time and inode gave. Either may be deleted at any time; each is written aside and renamed, so that a
kill or a second process leaves nothing half written. They are no more readable than the text.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from charlstm.config import CorpusConfig
from charlstm.errors import ContainerError, CorpusError
from charlstm.system.container import Container, open_container, write_container
from charlstm.system.files import remove_leftovers, replace_file
from charlstm.text.alphabet import Alphabet
from charlstm.text.corpus import Corpus, corpus_name, load_corpus
from charlstm.text.filelist import FileList, is_fleeting
from charlstm.text.split import Split
from charlstm.text.vocabulary import Vocabulary

_FORMAT: Final = 2
_MAX_KEY_BYTES: Final = 1 << 24
# A file that changes again within the clock's resolution would keep its key. Some file systems
# count whole seconds, or two of them.
_SETTLED_SECONDS: Final = 0.05
_COARSE_SETTLED_SECONDS: Final = 2.1
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
    MemoryError,
    ContainerError,
    CorpusError,
)
_SPLITS: Final = ("train", "val", "test")


def load_corpus_of_run(
    config: CorpusConfig, fingerprint: str, cache: "CorpusCache | None"
) -> Corpus:
    """The corpus that a run was trained on: as it was kept, or read again.

    Raises:
        CorpusError: when neither is possible, or the text is another one by now.
    """
    if cache is not None and (kept := cache.recall(fingerprint, config)) is not None:
        return kept
    if any(map(is_fleeting, (*config.paths, config.val, config.test))):
        raise CorpusError(
            "the run's text came from a program, stdin or a pipe, and no copy of it was kept; "
            "name a file"
        )
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

    def load(self, config: CorpusConfig, *, texts: Sequence[str] = ()) -> Corpus:
        """Load a corpus, from here if its files didn't change since it was kept.

        Args:
            texts: as of `load_corpus`.

        Raises:
            CorpusError: as `load_corpus` does.
        """
        files = FileList.of(config)
        key = None if texts else _key(config, files)
        if (found := self._unchanged(config, files, key)) is not None:
            return found
        corpus = load_corpus(config, files, texts=texts)
        self._keep(corpus, config, files, key)
        return corpus

    def unchanged(self, config: CorpusConfig) -> Corpus | None:
        """A corpus whose files didn't change since it was kept; None where they must be read.

        Raises:
            CorpusError: when there are no such files.
        """
        files = FileList.of(config)
        return self._unchanged(config, files, _key(config, files))

    def recall(self, fingerprint: str, config: CorpusConfig) -> Corpus | None:
        """The corpus of this fingerprint, wherever its text is now."""
        return self._read(_name(fingerprint, config), config)

    def remove_all_but(self, fingerprints: Iterable[str]) -> int:
        """Delete the texts that no run of these fingerprints needs; returns the bytes freed."""
        needed = tuple(fingerprint[:_NAME_LENGTH] for fingerprint in fingerprints)
        freed = 0
        with contextlib.suppress(OSError):
            remove_leftovers(self._folder, older_than_seconds=_OLD_SECONDS)
            for file in self._folder.glob("*.corpus"):
                if not file.name.startswith(needed or "\0"):
                    freed += file.lstat().st_size
                    file.unlink()
            for file in self._folder.glob("*.key"):
                name = self._known(file.stem)[0]
                if name is None or not (self._folder / f"{name}.corpus").exists():
                    file.unlink()
        return freed

    def _unchanged(self, config: CorpusConfig, files: FileList, key: str | None) -> Corpus | None:
        found = None if key is None else self._find(key, config)
        return found and replace(found, mode=files.mode())

    def _known(self, key: str) -> tuple[str | None, tuple[str, ...]]:
        """The name of a corpus that a key stands for, and the notices of its files."""
        try:
            known = json.loads(_content(self._folder / f"{key}.key"))
            name, notices = known["corpus"], tuple(map(str, known["notices"]))
        except _UNUSABLE:
            return None, ()
        if not isinstance(name, str) or not name.replace("-", "").isalnum():
            return None, ()
        return name, notices

    def _find(self, key: str, config: CorpusConfig) -> Corpus | None:
        name, notices = self._known(key)
        corpus = None if name is None else self._read(name, config)
        return corpus and replace(corpus, notices=notices)

    def _keep(self, corpus: Corpus, config: CorpusConfig, files: FileList, key: str | None) -> None:
        # A full disk or a read-only folder does no harm.
        name = _name(corpus.fingerprint, config)
        with contextlib.suppress(OSError, ContainerError):
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._folder, older_than_seconds=_OLD_SECONDS)
            path = self._folder / f"{name}.corpus"
            if self._read(name, config) is None:
                with replace_file(path, mode=corpus.mode) as file:
                    write_container(file, *_parts(corpus))
            else:
                # The text may have become private since.
                path.chmod(path.stat().st_mode & corpus.mode)
            # Not if the files changed since the reading began.
            if key is not None and key == _key(config, files):
                known = json.dumps({"corpus": name, "notices": corpus.notices})
                with replace_file(self._folder / f"{key}.key", mode=corpus.mode) as file:
                    file.write(known.encode())

    def _read(self, name: str, config: CorpusConfig) -> Corpus | None:
        try:
            with open_container(self._folder / f"{name}.corpus") as container:
                container.check_digest()
                corpus = _corpus(container, config)
        except _UNUSABLE:
            return None  # damaged or not there: it will be written again
        return corpus if name.startswith(corpus.fingerprint[:_NAME_LENGTH]) else None


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError
    with path.open("rb") as file:
        return file.read(_MAX_KEY_BYTES)


def _name(fingerprint: str, config: CorpusConfig) -> str:
    # The fingerprint is the text's; these change what becomes of it.
    options = json.dumps([_FORMAT, config.min_count, config.level])
    return f"{fingerprint[:_NAME_LENGTH]}-{hashlib.sha256(options.encode()).hexdigest()[:8]}"


def _key(config: CorpusConfig, files: FileList) -> str | None:
    """What the files look like from outside; None for pipes and for what changes right now."""
    states = files.states()
    if not states or not all(map(_is_settled, states)):
        return None
    key = json.dumps([_FORMAT, asdict(config), states], sort_keys=True)
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _is_settled(state: list[Any]) -> bool:
    modified_ns: int = state[2]
    is_coarse = modified_ns % 1_000_000_000 == 0
    wait = _COARSE_SETTLED_SECONDS if is_coarse else _SETTLED_SECONDS
    return time.time() - modified_ns / 1e9 > wait


def _parts(corpus: Corpus) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and header of a kept corpus."""
    splits: dict[str, Split] = {name: getattr(corpus, name) for name in _SPLITS}
    arrays = {"codes": corpus.vocabulary.codes.astype("<u4")}
    for name, split in splits.items():
        arrays |= {f"{name}.starts": split.starts, f"{name}.ids": split.ids}
    header = {
        "format": _FORMAT,
        "fingerprint": corpus.fingerprint,
        "num_bytes": {name: split.num_bytes for name, split in splits.items()},
    }
    return arrays, header


def _corpus(container: Container, config: CorpusConfig) -> Corpus:
    """Check what a kept corpus holds; its ids stay in the file.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: when it isn't what was written.
    """
    header = container.header
    fingerprint = header["fingerprint"]
    if header["format"] != _FORMAT or not isinstance(fingerprint, str):
        raise ValueError("not what was written")
    vocabulary = Vocabulary.of_codes(np.array(container.mapped("codes")))
    splits = {}
    for name in _SPLITS:
        ids, starts = container.mapped(f"{name}.ids"), np.array(container.mapped(f"{name}.starts"))
        num_bytes = header["num_bytes"][name]
        if ids.dtype.kind != "u" or starts.dtype != np.int64 or ids.ndim != 1 or starts.ndim != 1:
            raise ValueError("not the types that were written")
        # The end of a document is no byte.
        if type(num_bytes) is not int or num_bytes < len(ids) - len(starts):
            raise ValueError("not the length that was written")
        if len(ids) and (int(ids.max()) > len(vocabulary) or starts[:1].tolist() != [0]):
            raise ValueError("not the characters that were written")
        if np.any(np.diff(starts) <= 0) or np.any(starts >= max(1, len(ids))):
            raise ValueError("not the documents that were written")
        splits[name] = Split(ids=ids, starts=starts, num_bytes=num_bytes)
    return Corpus(
        name=corpus_name(config),
        alphabet=Alphabet.of(config, vocabulary, num_train_chars=splits["train"].num_chars),
        fingerprint=fingerprint,
        notices=(),
        mode=os.fstat(container.file.fileno()).st_mode & 0o666,
        **splits,
    )
