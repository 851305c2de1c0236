"""The folder of runs, for reading (see `writer` for writing). Readers never wait for locks."""

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
from charlstm.system import run_files
from charlstm.system.files import is_leftover

# UTF-8 bytes of a name: file systems allow 255, and a number may be appended.
_MAX_NAME_BYTES: Final = 100
_NUM_LISTED: Final = 10
# Minimum age of an abandoned folder: a starting process locks it shortly after creating it.
_ABANDONED_SECONDS: Final = 10
_OTHER_FILES: Final = (*run_files.DERIVED, run_files.TEXT, run_files.TEXT_IDS)
_Read = TypeVar("_Read")


@dataclass(frozen=True, kw_only=True)
class LoadedCheckpoint:
    """A loaded checkpoint.

    Args:
        warnings: errors of damaged files that were tried first.
        is_of_run: whether it belongs to a run, rather than being a single file.
    """

    checkpoint: Checkpoint
    path: Path
    run: str
    warnings: tuple[str, ...] = ()
    is_of_run: bool = True

    @property
    def notices(self) -> tuple[str, ...]:
        """The warnings, and the file used instead."""
        return (*self.warnings, f"using {self.path} instead") if self.warnings else ()


@dataclass(frozen=True)
class Run:
    """A run: a folder with checkpoints, which may not exist yet.

    Args:
        store_names: returns the names of the store's runs, for messages.
    """

    name: str
    folder: Path
    store_names: Callable[[], Sequence[str]]

    def files(self) -> list[Path]:
        """Return its checkpoints: best, last, then those named by step, newest first."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        checkpoints = sorted(filter(run_files.is_checkpoint, names), key=run_files.order_of)
        return [self.folder / name for name in checkpoints]

    @property
    def has_checkpoint(self) -> bool:
        return bool(self.files())

    @property
    def is_unused(self) -> bool:
        """Whether the folder is missing, empty, or only has files of a start that was killed."""
        try:
            names = set(os.listdir(self.folder))
        except FileNotFoundError:
            return not os.path.lexists(self.folder)
        except OSError:
            return False
        # Without a lock, a text file isn't charlstm's.
        own_files = (
            {run_files.LOCK, run_files.TEXT, run_files.TEXT_IDS}
            if run_files.LOCK in names
            else set()
        )
        return all(name in own_files or is_leftover(name) for name in names)

    @property
    def is_abandoned(self) -> bool:
        """Whether the folder only has old files of a start that was killed.

        A start in progress looks the same, but holds the lock.
        """
        with contextlib.suppress(OSError):
            is_old = time.time() - self.folder.stat().st_mtime > _ABANDONED_SECONDS
            return is_old and (self.folder / run_files.LOCK).exists() and self.is_unused
        return False

    def best(self) -> LoadedCheckpoint:
        """Load the model with the lowest validation loss; if damaged, the next checkpoint.

        Raises:
            CheckpointError: if no checkpoint loads.
        """
        return self._load(self._required())

    def last(self) -> LoadedCheckpoint:
        """Load the last checkpoint for resuming; if damaged, the next older one.

        Raises:
            CheckpointError: if no checkpoint loads.
        """
        return self._load(_resumable(self._required()))

    def furthest(self) -> LoadedCheckpoint:
        """Load the last checkpoint, or the best model if there is no other file.

        Raises:
            CheckpointError: if no checkpoint loads.
        """
        files = self._required()
        return self._load(_resumable(files) or files)

    def header(self, *, resumable: bool = False) -> tuple[Header, tuple[str, ...]]:
        """Return the header of the latest checkpoint, and warnings about damaged files.

        Args:
            resumable: only consider checkpoints that training can resume from.

        Raises:
            CheckpointError: if no checkpoint is readable.
        """
        files = self._required()
        newest_first = _resumable(files)
        if not resumable:
            # The best model may be older than the others.
            newest_first += [file for file in files if file.name == run_files.BEST]
        header, path, warnings = self._first_sound(newest_first, read_header)
        return header, (*warnings, f"using {path} instead") if warnings else ()

    def size(self) -> int:
        """Return the disk usage of its checkpoints, n-grams, percentiles and text, in bytes.

        Raises:
            CheckpointError: if there is no checkpoint.
        """
        sizes = {}
        others = [self.folder / name for name in _OTHER_FILES]
        for file in (*self._required(), *others):
            with contextlib.suppress(OSError):  # missing, or a dangling link
                status = file.stat()
                # Count hard links to the same file once.
                sizes[status.st_dev, status.st_ino] = status.st_size
        return sum(sizes.values())

    @contextlib.contextmanager
    def writer(self) -> Iterator[RunWriter]:
        """Create the folder and hold its lock.

        Raises:
            RunLockedError: if another process trains the run.
            CheckpointError: if the folder can't be written.
        """
        with hold_lock(self.folder):
            writer = RunWriter(self.name, self.folder)
            writer.check_writable()
            yield writer

    def remove(self) -> None:
        """Delete the run's files, and its folder unless it has other files.

        Raises:
            CheckpointError: if another process trains the run, or it can't be deleted.
        """
        with self.writer():
            try:
                shutil.rmtree(self.folder / run_files.TENSORBOARD, ignore_errors=True)
                for name in (*_OTHER_FILES, run_files.EVENTS):
                    (self.folder / name).unlink(missing_ok=True)
                # Checkpoints last, so that a partly deleted run is still listed.
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

    def _load(self, files: Sequence[Path]) -> LoadedCheckpoint:
        checkpoint, path, warnings = self._first_sound(files, read_checkpoint)
        return LoadedCheckpoint(checkpoint=checkpoint, path=path, run=self.name, warnings=warnings)

    def _first_sound(
        self, files: Sequence[Path], read: Callable[[Path], _Read]
    ) -> tuple[_Read, Path, tuple[str, ...]]:
        """Return the content and path of the first readable file, and the errors of others."""
        warnings: list[str] = []
        for file in files:
            try:
                return read(file), file, tuple(warnings)
            except CheckpointError as error:
                warnings.append(str(error))
        reason = warnings[0] if warnings else f"there is only {run_files.BEST}"
        raise CheckpointError(f"no checkpoint of run {self.name} can be used: {reason}")


class CheckpointStore:
    """Runs in a folder, which may not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, name: str) -> Run:
        """Return a run, existing or not, inside the store.

        Raises:
            CheckpointError: if the name is invalid or could lead out of the store.
        """
        if problem := _name_problem(name):
            raise CheckpointError(f"run name {name!r} {problem}")
        folder = self.root / name
        if folder.is_symlink():
            raise CheckpointError(f"{folder}: is a symbolic link; runs are real folders")
        return Run(name, folder, self._names_newest_first)

    def find(self, name: str) -> Run | Path:
        """Find a model by name or path.

        Searched in this order: the package's example, the store's runs, a run's folder or Hub
        folder, a checkpoint file.

        Raises:
            CheckpointError: if nothing is found.
        """
        if name == run_files.EXAMPLE:
            return Path(__file__).parent / run_files.EXAMPLE_FILE
        run = self.run(name) if _name_problem(name) is None else None
        if run is not None and run.has_checkpoint:
            return run
        path = Path(name)
        if os.path.isdir(name):
            other_run = Run(path.resolve().name, path, self._names_newest_first)
            if other_run.has_checkpoint:
                return other_run
            if os.path.lexists(path / run_files.HUB_MODEL):
                return path / run_files.HUB_MODEL
        elif os.path.lexists(name):
            return path
        where = path if run is None else run.folder
        raise _missing(where, path.name, self._names_newest_first())

    def runs(self) -> list[Run]:
        """Return the runs with a checkpoint, sorted by name.

        Raises:
            CheckpointError: if the store can't be read.
        """
        return [run for run in self._folders() if run.has_checkpoint]

    def _folders(self) -> list[Run]:
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"{self.root}: can't be read: {error.strerror}") from error
        runs = []
        for name in names:
            with contextlib.suppress(CheckpointError):
                runs.append(self.run(name))
        return runs

    def remove_abandoned(self) -> None:
        """Delete the folders of killed starts; without a checkpoint, they are not listed."""
        with contextlib.suppress(CheckpointError):
            for run in filter(lambda run: run.is_abandoned, self._folders()):
                with contextlib.suppress(CheckpointError):  # locked or read-only
                    run.remove()

    def folders(self) -> Iterator[Path]:
        """Yield the folders of the runs, lazily."""
        for run in self.runs():
            yield run.folder

    def run_names(self) -> list[str]:
        return [run.name for run in self.runs()]

    def _names_newest_first(self) -> list[str]:
        runs = sorted(self.runs(), key=lambda run: run.folder.stat().st_mtime, reverse=True)
        return [run.name for run in runs]

    def newest(
        self, *, resumable: bool = False, corpus_name: str | None = None
    ) -> tuple[LoadedCheckpoint | None, tuple[str, ...]]:
        """Return the run saved last, by its header's time, and warnings about unreadable runs.

        Args:
            resumable: load the last checkpoint instead of the best model.
            corpus_name: only consider runs of this corpus.
        """
        candidates: list[tuple[float, Run]] = []
        damaged: list[str] = []
        for run in self.runs():
            try:
                header, _ = run.header(resumable=resumable)
            except CheckpointError as error:
                # The run's corpus is unknown, but its default name starts with it.
                if corpus_name is None or run.name.startswith(corpus_name):
                    damaged.append(str(error))
                continue
            if corpus_name in (None, header.spec.corpus_name):
                candidates.append((header.saved_at, run))
        # Load the newest until one is valid. Times in the future, from a wrong clock, come last.
        now = time.time()
        newest_first = sorted(
            candidates, key=lambda pair: (pair[0] <= now, pair[0], pair[1].name), reverse=True
        )
        for _, run in newest_first:
            try:
                loaded = run.last() if resumable else run.best()
            except CheckpointError as error:
                damaged.append(str(error))
                continue
            return loaded, tuple(damaged)
        return None, tuple(damaged)

    def load_model(self, name: str | None = None, *, furthest: bool = False) -> LoadedCheckpoint:
        """Load a model by name or path (see `find`), or the newest run's.

        Args:
            furthest: load a run's last checkpoint instead of its best model.

        Raises:
            CheckpointError: if no checkpoint loads.
        """
        if name is not None:
            found = self.find(name)
            if isinstance(found, Run):
                return found.furthest() if furthest else found.best()
            return LoadedCheckpoint(
                checkpoint=read_checkpoint(found), path=found, run=name, is_of_run=False
            )
        loaded, warnings = self.newest()
        if loaded is None:
            missing = (
                f"{self.root}: no run yet; create one with: charlstm train, "
                f"or try a small one: --run {run_files.EXAMPLE}"
            )
            raise CheckpointError(warnings[0] if warnings else missing)
        return replace(loaded, warnings=(*warnings, *loaded.warnings))

    @contextlib.contextmanager
    def new_run(self, wanted: str) -> Iterator[RunWriter]:
        """Create a new run and hold its lock.

        Args:
            wanted: preferred name, made valid, with -2, -3, ... appended if it is taken.

        Raises:
            CheckpointError: if the folder can't be written.
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
                    continue  # another process was faster
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
        CheckpointError: if the store can't be read.
    """
    records = []
    for run in store.runs():
        try:
            header, notices = run.header()
        except CheckpointError as error:
            warn(str(error))
            continue
        for notice in notices:
            warn(notice)
        records.append(run_record(run.name, header) | {"num_bytes": run.size()})
    return sorted(records, key=lambda record: record["saved_at"])


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
    name = re.sub(r"[^\w.+-]+", "-", wanted).strip("-. ")
    name = name.encode("utf-8")[: _MAX_NAME_BYTES - 8].decode("utf-8", "ignore")
    name = name.rstrip("-. ") or "run"
    if _name_problem(name) is not None:
        name = f"run-{name}"
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def _missing(where: Path, name: str, names: Sequence[str]) -> CheckpointError:
    """Return the error for a missing model, with similar names."""
    all_names = [*names, run_files.EXAMPLE]
    close = difflib.get_close_matches(name.lower(), map(str.lower, all_names), 1)
    hint = "".join(f"did you mean {other}? " for other in all_names if other.lower() in close)
    listed = ", ".join(names[:_NUM_LISTED]) or "none"
    more = f" and {len(names) - _NUM_LISTED} more" if len(names) > _NUM_LISTED else ""
    return CheckpointError(
        f"{where.absolute()}: no checkpoint found; {hint}runs in the store: {listed}{more}"
    )


def _resumable(files: Sequence[Path]) -> list[Path]:
    """Return all checkpoints except the best model."""
    return [file for file in files if file.name != run_files.BEST]


def _name_problem(name: str) -> str | None:
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "contains a character that is not allowed in file names"
    if not 0 < length <= _MAX_NAME_BYTES:
        return f"must have 1 to {_MAX_NAME_BYTES} bytes"
    if not re.fullmatch(r"[\w+-][\w.+ -]*", name) or name.endswith((".", " ")):
        return "may only contain letters, digits, spaces and . + - _, and not start or end with ."
    if name == run_files.EXAMPLE:
        return "is reserved for charlstm's example model"
    stem = name.split(".", 1)[0].upper()
    if stem in {"CON", "PRN", "AUX", "NUL"} or re.fullmatch(r"(COM|LPT)\d", stem):
        return "is reserved on Windows"
    return None
