"""The folder of runs, to be read; `writer` writes it. Readers never wait."""

import contextlib
import difflib
import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from charlstm.errors import CheckpointError, RunLockedError
from charlstm.model.checkpoints import Checkpoint, Header, read_checkpoint, read_header
from charlstm.run.writer import RunWriter, hold_lock
from charlstm.system import layout
from charlstm.system.files import is_leftover

# Bytes of a name in UTF-8: file systems allow 255, and a number may be added.
_MAX_NAME_BYTES: Final = 100
_NUM_LISTED: Final = 10
# A folder is not taken for abandoned between its creation and the locking of its lock.
_ABANDONED_SECONDS: Final = 10
_OTHER_FILES: Final = (*layout.DERIVED, layout.TEXT, layout.TEXT_IDS)
_Read = TypeVar("_Read")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A checkpoint, its file, and warnings of damaged files that were tried before it.

    Args:
        is_of_run: whether a run was named, not a file by itself.
    """

    checkpoint: Checkpoint
    path: Path
    run: str
    warnings: tuple[str, ...] = ()
    is_of_run: bool = True

    @property
    def notices(self) -> tuple[str, ...]:
        """The warnings, and what was taken instead."""
        return (*self.warnings, f"using {self.path} instead") if self.warnings else ()


@dataclass(frozen=True)
class Run:
    """One run: a folder with checkpoints, which need not be there yet.

    Args:
        store_names: names the runs of the store, for messages.
    """

    name: str
    folder: Path
    store_names: Callable[[], Sequence[str]]

    def files(self) -> list[Path]:
        """Its checkpoints: best, last, then the kept ones, the newest first."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        found = sorted(filter(layout.is_checkpoint, names), key=layout.order_of)
        return [self.folder / name for name in found]

    @property
    def has_checkpoint(self) -> bool:
        return bool(self.files())

    @property
    def is_unused(self) -> bool:
        """Whether there is nothing, or only what a start leaves that was killed at once."""
        try:
            names = set(os.listdir(self.folder))
        except FileNotFoundError:
            return not os.path.lexists(self.folder)
        except OSError:
            return False
        # A text without a lock is somebody else's.
        own = {layout.LOCK, layout.TEXT, layout.TEXT_IDS} if layout.LOCK in names else set()
        return all(name in own or is_leftover(name) for name in names)

    @property
    def is_abandoned(self) -> bool:
        """Whether there is only what a start left that was killed, not just now.

        A start that is at work looks the same, but holds the lock.
        """
        with contextlib.suppress(OSError):
            is_old = time.time() - self.folder.stat().st_mtime > _ABANDONED_SECONDS
            return is_old and (self.folder / layout.LOCK).exists() and self.is_unused
        return False

    def best(self) -> Loaded:
        """Load the model with the best validation, or the next newer one if it is damaged.

        Raises:
            CheckpointError: when there is none that loads.
        """
        return self._load(self._required())

    def last(self) -> Loaded:
        """Load the last checkpoint, to resume training, or the next older sound one.

        Raises:
            CheckpointError: when there is none that loads.
        """
        return self._load(_resumable(self._required()))

    def furthest(self) -> Loaded:
        """Load the latest state of the run: its last checkpoint, or else its best model.

        Raises:
            CheckpointError: when there is none that loads.
        """
        files = self._required()
        return self._load(_resumable(files) or files)

    def header(self, *, resumable: bool = False) -> tuple[Header, tuple[str, ...]]:
        """Return what the run's latest checkpoint says of itself, and warnings of damaged files.

        Args:
            resumable: only of a checkpoint that training can resume from, not of a model alone.

        Raises:
            CheckpointError: if no checkpoint is readable.
        """
        files = self._required()
        newest_first = _resumable(files)
        if not resumable:
            # The best model may be older than the rest.
            newest_first += [file for file in files if file.name == layout.BEST]
        header, path, warnings = self._first_sound(newest_first, read_header)
        return header, (*warnings, f"using {path} instead") if warnings else ()

    def size(self) -> int:
        """Return the bytes of its checkpoints, counts and text on the disk.

        Raises:
            CheckpointError: when there are none.
        """
        sizes = {}
        others = [self.folder / name for name in _OTHER_FILES]
        for file in (*self._required(), *others):
            with contextlib.suppress(OSError):  # not there, or a link that points nowhere
                status = file.stat()
                # Kept ones may be the latest one under another name.
                sizes[status.st_dev, status.st_ino] = status.st_size
        return sum(sizes.values())

    @contextlib.contextmanager
    def writer(self) -> Iterator[RunWriter]:
        """Make the folder and hold its lock.

        Raises:
            RunLockedError: when another process trains the run.
            CheckpointError: when nothing can be written.
        """
        with hold_lock(self.folder):
            writer = RunWriter(self.name, self.folder)
            writer.prove()
            yield writer

    def remove(self) -> None:
        """Delete what charlstm wrote of it; a folder with other files in it stays.

        Raises:
            CheckpointError: when another process trains the run, or it can't be deleted.
        """
        with self.writer():
            try:
                shutil.rmtree(self.folder / layout.TENSORBOARD, ignore_errors=True)
                for name in (*_OTHER_FILES, layout.EVENTS):
                    (self.folder / name).unlink(missing_ok=True)
                # Last, so that what is left of a deletion that is killed is still listed.
                for file in self.files():
                    file.unlink()
            except OSError as error:
                raise CheckpointError(
                    f"{self.folder}: can't be deleted: {error.strerror}"
                ) from error

    def _required(self) -> list[Path]:
        files = self.files()
        if not files:
            raise _missing(self.folder, self.name, self.store_names())
        return files

    def _load(self, files: Sequence[Path]) -> Loaded:
        checkpoint, path, warnings = self._first_sound(files, read_checkpoint)
        return Loaded(checkpoint=checkpoint, path=path, run=self.name, warnings=warnings)

    def _first_sound(
        self, files: Sequence[Path], read: Callable[[Path], _Read]
    ) -> tuple[_Read, Path, tuple[str, ...]]:
        """Return the first file that can be read: its content, its path, and earlier errors."""
        warnings: list[str] = []
        for file in files:
            try:
                return read(file), file, tuple(warnings)
            except CheckpointError as error:
                warnings.append(str(error))
        reason = warnings[0] if warnings else f"only {layout.BEST} is there"
        raise CheckpointError(f"no checkpoint of run {self.name} can be used: {reason}")


class CheckpointStore:
    """Runs in a folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, name: str) -> Run:
        """A run, existing or not, certainly inside the store.

        Raises:
            CheckpointError: when the name could lead elsewhere.
        """
        if problem := _name_problem(name):
            raise CheckpointError(f"run name {name!r} {problem}")
        folder = self.root / name
        if folder.is_symlink():
            raise CheckpointError(f"{folder}: is a symbolic link; runs are real folders")
        return Run(name, folder, self._names_newest_first)

    def find(self, name: str) -> Run | Path:
        """Find the model that a name means: a run, its folder, or a file.

        In this order: the example that comes with the package, a run of the store, a run's folder
        or one for the Hub anywhere, a checkpoint file.

        Raises:
            CheckpointError: when there is nothing of that name.
        """
        if name == layout.EXAMPLE:
            return Path(__file__).parent / layout.EXAMPLE_FILE
        run = self.run(name) if _name_problem(name) is None else None
        if run is not None and run.has_checkpoint:
            return run
        path = Path(name)
        if os.path.isdir(name):
            found = Run(path.resolve().name, path, self._names_newest_first)
            if found.has_checkpoint:
                return found
            if os.path.lexists(path / layout.HUB_MODEL):
                return path / layout.HUB_MODEL
        elif os.path.lexists(name):
            return path
        where = path if run is None else run.folder
        raise _missing(where, path.name, self._names_newest_first())

    def runs(self) -> list[Run]:
        """The folders that hold a checkpoint, by name.

        Raises:
            CheckpointError: when the store can't be read.
        """
        return [run for run in self._folders() if run.has_checkpoint]

    def _folders(self) -> list[Run]:
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"{self.root}: can't be read: {error.strerror}") from error
        found = []
        for name in names:
            with contextlib.suppress(CheckpointError):
                found.append(self.run(name))
        return found

    def remove_abandoned(self) -> None:
        """Delete what killed starts left: no checkpoint, so no list of runs shows them."""
        with contextlib.suppress(CheckpointError):
            for run in filter(lambda run: run.is_abandoned, self._folders()):
                with contextlib.suppress(CheckpointError):  # its lock is held, or it is read-only
                    run.remove()

    def folders(self) -> Iterator[Path]:
        """Yield the folders of the runs, found when asked for."""
        for run in self.runs():
            yield run.folder

    def run_names(self) -> list[str]:
        return [run.name for run in self.runs()]

    def _names_newest_first(self) -> list[str]:
        runs = sorted(self.runs(), key=lambda run: run.folder.stat().st_mtime, reverse=True)
        return [run.name for run in runs]

    def newest(
        self, *, resumable: bool = False, corpus_name: str | None = None
    ) -> tuple[Loaded | None, tuple[str, ...]]:
        """The run that was saved last, by its own account, and warnings of unreadable ones.

        Args:
            resumable: load what training resumes from, not the best model.
            corpus_name: only runs of that corpus count.
        """
        found: list[tuple[float, Run]] = []
        damaged: list[str] = []
        for run in self.runs():
            try:
                header, _ = run.header(resumable=resumable)
            except CheckpointError as error:
                # What it was trained on can't be read any more, but its name tells.
                if corpus_name is None or run.name.startswith(corpus_name):
                    damaged.append(str(error))
                continue
            if corpus_name in (None, header.spec.corpus_name):
                found.append((header.saved_at, run))
        # Only the newest are read whole, until one proves sound. What was saved in the future, by a
        # clock that was ahead, says nothing.
        now = time.time()
        newest_first = sorted(
            found, key=lambda pair: (pair[0] <= now, pair[0], pair[1].name), reverse=True
        )
        for _, run in newest_first:
            try:
                loaded = run.last() if resumable else run.best()
            except CheckpointError as error:
                damaged.append(str(error))
                continue
            return loaded, tuple(damaged)
        return None, tuple(damaged)

    def load_model(self, name: str | None = None, *, furthest: bool = False) -> Loaded:
        """Load the model that a name means, see `find`; the newest run's, where none is named.

        Args:
            furthest: load the latest state of a run, not its best model.

        Raises:
            CheckpointError: when there is none that loads.
        """
        if name is not None:
            found = self.find(name)
            if isinstance(found, Run):
                return found.furthest() if furthest else found.best()
            return Loaded(checkpoint=read_checkpoint(found), path=found, run=name, is_of_run=False)
        loaded, warnings = self.newest()
        if loaded is None:
            missing = (
                f"{self.root}: no run yet; make one with: charlstm train, "
                f"or try a small one: --run {layout.EXAMPLE}"
            )
            raise CheckpointError(warnings[0] if warnings else missing)
        return replace(loaded, warnings=(*warnings, *loaded.warnings))

    @contextlib.contextmanager
    def new_run(self, wanted: str) -> Iterator[RunWriter]:
        """A run that wasn't there, under its lock: `wanted`, or with -2, -3, ... when it is taken.

        Args:
            wanted: made fit for a folder's name.

        Raises:
            CheckpointError: when nothing can be written.
        """
        if self.root.exists() and not self.root.is_dir():
            raise CheckpointError(f"{self.root}: is not a folder")
        with contextlib.ExitStack() as stack:
            for name in _names_like(wanted):
                run = self.run(name) if not (self.root / name).is_symlink() else None
                if run is None or not run.is_unused:
                    continue
                try:
                    writer = stack.enter_context(run.writer())
                except RunLockedError:
                    continue  # taken a moment ago
                if run.has_checkpoint:
                    stack.close()
                    continue
                yield writer
                return


def run_records(store: CheckpointStore, warn: Callable[[str], object]) -> list[dict[str, Any]]:
    """Return the records of `runs --json`, the newest run last.

    Args:
        warn: called with each notice about a damaged file.

    Raises:
        CheckpointError: when the store can't be read.
    """
    found = []
    for run in store.runs():
        try:
            header, notices = run.header()
        except CheckpointError as error:
            warn(str(error))
            continue
        for notice in notices:
            warn(notice)
        found.append(run_record(run.name, header) | {"num_bytes": run.size()})
    return sorted(found, key=lambda record: record["saved_at"])


def run_record(name: str, header: Header) -> dict[str, Any]:
    """Return the record of a run for `runs --json`."""
    return {
        "name": name,
        "corpus": header.spec.corpus_name,
        "model": str(header.spec.model_config),
        "cell": header.spec.model_config.cell,
        "num_parameters": header.spec.model_config.num_parameters,
        "step": header.step,
        "best_val_bits_per_char": header.best_val_bits_per_char,
        "saved_at": header.saved_at,
        "num_layers": header.spec.model_config.num_layers,
        "hidden_size": header.spec.model_config.hidden_size,
        "budget": str(header.spec.budget),
        "is_finished": header.is_finished,
    }


def _names_like(wanted: str) -> Iterator[str]:
    plain = re.sub(r"[^\w.+-]+", "-", wanted).strip("-. ")
    plain = plain.encode("utf-8")[: _MAX_NAME_BYTES - 8].decode("utf-8", "ignore")
    plain = plain.rstrip("-. ") or "run"
    if _name_problem(plain) is not None:
        plain = f"run-{plain}"
    yield plain
    for number in itertools.count(2):
        yield f"{plain}-{number}"


def _missing(where: Path, name: str, names: Sequence[str]) -> CheckpointError:
    """Return the error for a model that isn't there, with the names that may be meant."""
    known = [*names, layout.EXAMPLE]
    close = difflib.get_close_matches(name.lower(), map(str.lower, known), 1)
    hint = "".join(f"did you mean {one}? " for one in known if one.lower() in close)
    listed = ", ".join(names[:_NUM_LISTED]) or "none"
    more = f" and {len(names) - _NUM_LISTED} more" if len(names) > _NUM_LISTED else ""
    return CheckpointError(
        f"{where.absolute()}: no checkpoint there; {hint}runs in the store: {listed}{more}"
    )


def _resumable(files: Sequence[Path]) -> list[Path]:
    """Return all checkpoints except the best model."""
    return [file for file in files if file.name != layout.BEST]


def _name_problem(name: str) -> str | None:
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "holds a character that no file name can have"
    if not 0 < length <= _MAX_NAME_BYTES:
        return f"must have 1 to {_MAX_NAME_BYTES} bytes"
    if not re.fullmatch(r"[\w+-][\w.+ -]*", name) or name.endswith((".", " ")):
        return "may hold letters, digits, spaces and . + - _ only, and not begin or end with ."
    if name == layout.EXAMPLE:
        return "is the model that comes with charlstm"
    stem = name.split(".", 1)[0].upper()
    if stem in {"CON", "PRN", "AUX", "NUL"} or re.fullmatch(r"(COM|LPT)\d", stem):
        return "is reserved on Windows"
    return None
