"""The folder of runs: the only code that touches its files.

    STORE/RUN/best.safetensors           weights with the best validation
    STORE/RUN/last.safetensors           weights and all that `--resume` needs
    STORE/RUN/step-00001234.safetensors  a few earlier `last`s, in case the newest is damaged
    STORE/RUN/events.jsonl               what happened, one JSON object a line
    STORE/RUN/lock                       held by the one process that trains the run

A file appears whole or not at all: it is written under a temporary name, forced to the disk and
then renamed. Readers never wait.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeVar

from charlstm.errors import CheckpointError
from charlstm.model.checkpoints import Checkpoint, Stamp, read_checkpoint, read_stamp
from charlstm.system.files import RUN_LOCK

NUM_KEPT: Final = 3

_SUFFIX: Final = ".safetensors"
_STEP_FILE: Final = re.compile(r"step-(\d{8,})\.safetensors")
_TEMPORARY: Final = ".tmp-"
_MAX_NAME_LENGTH: Final = 100
TENSORBOARD_FOLDER: Final = "tensorboard"
# Windows refuses to replace a file while somebody reads it.
_REPLACE_TRIES: Final = 50
_REPLACE_PAUSE_SECONDS: Final = 0.1

# `best` to use the model, `last` to resume training it.
Which = Literal["best", "last"]
_Read = TypeVar("_Read")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A checkpoint, its file, and warnings of damaged files that were tried before it."""

    checkpoint: Checkpoint
    path: Path
    run: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """The warnings, and what was taken instead."""
        return (*self.warnings, f"using {self.path} instead") if self.warnings else ()


@dataclass(frozen=True, kw_only=True)
class Latest:
    """The newest run, None where there is none, and the runs that couldn't be read."""

    loaded: Loaded | None
    warnings: tuple[str, ...]

    @property
    def name(self) -> str | None:
        return None if self.loaded is None else self.loaded.run


class CheckpointStore:
    """Runs in a folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def cache_folder(self) -> Path:
        """Where encoded corpora are kept; no run can have this name."""
        return self.root / ".cache"

    def run_names(self) -> list[str]:
        """Names of the folders that hold a checkpoint, sorted."""
        try:
            folders = list(self.root.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"{self.root}: can't be read: {error.strerror}") from error
        return sorted(
            folder.name
            for folder in folders
            if _name_problem(folder.name) is None
            and not folder.is_symlink()
            and _checkpoint_files(folder)
        )

    def find_latest(self, *, which: Which, corpus_name: str | None = None) -> Latest:
        """The run that was saved last, by its own account.

        Args:
            which: what will be loaded of it.
            corpus_name: only runs of that corpus count.
        """
        found: list[tuple[float, str]] = []
        damaged: list[str] = []
        for name in self.run_names():
            try:
                stamp = self._stamp(name, which)
            except CheckpointError as error:
                # What it was trained on can't be read any more, but its name tells.
                if corpus_name is None or name.startswith(corpus_name):
                    damaged.append(str(error))
                continue
            if corpus_name in (None, stamp.corpus_name):
                found.append((stamp.saved_at, name))
        # Only the newest are read whole, until one proves sound.
        for _, name in sorted(found, reverse=True):
            try:
                loaded = self.load(name, which=which)
            except CheckpointError as error:
                damaged.append(str(error))
                continue
            return Latest(loaded=loaded, warnings=tuple(damaged))
        return Latest(loaded=None, warnings=tuple(damaged))

    def load_model(self, run: str | None = None) -> Loaded:
        """Load a run's model; the newest run's, where none is named.

        Raises:
            CheckpointError: when there is none that loads.
        """
        if run is not None:
            return self.load(run, which="best")
        latest = self.find_latest(which="best")
        loaded = latest.loaded
        if loaded is None:
            missing = f"{self.root}: no run yet; make one with: charlstm train"
            raise CheckpointError(latest.warnings[0] if latest.warnings else missing)
        return replace(loaded, warnings=(*latest.warnings, *loaded.warnings))

    def load_furthest(self, name: str) -> Loaded:
        """Load what tells how far a run came: its last checkpoint, or the model that is all of it.

        Raises:
            CheckpointError: when there is none that loads.
        """
        return self.load(name, which="last" if self.can_resume(name) else "best")

    def unused_name(self, wanted: str) -> str:
        """`wanted`, made fit for a folder's name, or with -2, -3, ... when it is taken."""
        plain = re.sub(r"[^\w.+-]+", "-", wanted).strip("-. ")[: _MAX_NAME_LENGTH - 8] or "run"
        if _name_problem(plain) is not None:
            plain = f"run-{plain}"
        name, number = plain, 1
        while (self.root / name).exists() or (self.root / name).is_symlink():
            number += 1
            name = f"{plain}-{number}"
        return name

    def folder(self, name: str) -> Path:
        """The folder of a run, existing or not, certainly inside the store.

        Raises:
            CheckpointError: when the name could lead elsewhere.
        """
        if problem := _name_problem(name):
            raise CheckpointError(f"run name {name!r} {problem}")
        folder = self.root / name
        if folder.is_symlink():
            raise CheckpointError(f"{folder}: is a symbolic link; runs are real folders")
        return folder

    def load(self, name: str, *, which: Which) -> Loaded:
        """Load a run's checkpoint, or the next in line when it is damaged.

        Raises:
            CheckpointError: when there is none that loads.
        """
        files = self._files(name)
        in_line = [file for file in files if file.stem != "best"]
        if which == "best":
            in_line = [file for file in files if file.stem == "best"] + in_line
        checkpoint, path, warnings = _first_sound(name, in_line, read_checkpoint)
        return Loaded(checkpoint=checkpoint, path=path, run=name, warnings=warnings)

    def _stamp(self, name: str, which: Which) -> Stamp:
        """When a run was saved last: `best` may be older than the rest."""
        in_line = [file for file in self._files(name) if file.stem != "best" or which == "best"]
        newest_first = sorted(in_line, key=lambda file: file.stem == "best")
        return _first_sound(name, newest_first, read_stamp)[0]

    def _files(self, name: str) -> list[Path]:
        folder = self.folder(name)
        files = _checkpoint_files(folder)
        if not files:
            others = ", ".join(self.run_names()[:10]) or "none"
            raise CheckpointError(f"{folder}: no checkpoint there; runs in the store: {others}")
        return files

    def size_of(self, name: str) -> int:
        """Bytes of a run's checkpoints.

        Raises:
            CheckpointError: when there are none.
        """
        files = self._files(name)
        # Kept ones may be the latest one under another name.
        sizes = {(status.st_dev, status.st_ino): status.st_size for status in map(os.stat, files)}
        return sum(sizes.values())

    def remove(self, name: str) -> None:
        """Delete what charlstm wrote of a run; a folder with other files in it stays.

        Raises:
            CheckpointError: when another process trains the run, or it can't be deleted.
        """
        with self.writer(name) as writer:
            try:
                for file in _checkpoint_files(writer.folder):
                    file.unlink()
                (writer.folder / "events.jsonl").unlink(missing_ok=True)
                shutil.rmtree(writer.folder / TENSORBOARD_FOLDER, ignore_errors=True)
            except OSError as error:
                raise CheckpointError(
                    f"{writer.folder}: can't be deleted: {error.strerror}"
                ) from error

    def has_checkpoint(self, name: str) -> bool:
        return bool(_checkpoint_files(self.folder(name)))

    def can_resume(self, name: str) -> bool:
        """Whether there is more of a run than its best model."""
        return any(file.stem != "best" for file in _checkpoint_files(self.folder(name)))

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator["RunWriter"]:
        """Make the run's folder and hold its lock.

        Raises:
            CheckpointError: when another process trains the run, or nothing can be written.
        """
        folder = self.folder(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = open(folder / RUN_LOCK, "a+b", opener=_open_no_link)  # noqa: SIM115 - held
        except OSError as error:
            raise CheckpointError(f"{folder}: can't be written: {error.strerror}") from error
        with lock:
            _lock(lock, folder)
            try:
                writer = RunWriter(folder)
                writer.remove_leftovers()
                yield writer
            finally:
                _remove_if_unused(folder)


class RunWriter:
    """Writes one run's files; made by `CheckpointStore.writer`, which holds the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remove_leftovers(self) -> None:
        """Remove what a killed writer left half-written, and prove that writing works."""
        try:
            for file in self.folder.iterdir():
                if _TEMPORARY in file.name:
                    file.unlink()
            self._replace(self.folder / f"probe{_TEMPORARY}", b"", keep=False)
        except OSError as error:
            raise CheckpointError(f"{self.folder}: can't be written: {error.strerror}") from error

    def save(self, checkpoint: Checkpoint, name: Which) -> Path:
        """Write a checkpoint instead of the one before it.

        Raises:
            CheckpointError: when that fails; the one before is still there.
        """
        path = self.folder / f"{name}{_SUFFIX}"
        try:
            self._replace(path, checkpoint.to_bytes())
        except OSError as error:
            if not self.folder.is_dir():
                raise CheckpointError(f"{self.folder}: the run's folder is gone") from error
            intact = "; the checkpoint before it is intact" if path.exists() else ""
            raise CheckpointError(f"{path}: saving failed: {error.strerror}{intact}") from error
        return path

    def keep(self, step: int) -> None:
        """Keep `last`, as it is now, under its step; the oldest such file goes.

        A hard link: the file is never written again, only replaced.
        """
        with contextlib.suppress(OSError):
            kept = self.folder / f"step-{step:08d}{_SUFFIX}"
            kept.unlink(missing_ok=True)
            os.link(self.folder / f"last{_SUFFIX}", kept)
            steps = [file for file in _checkpoint_files(self.folder) if file.stem[:4] == "step"]
            for file in steps[NUM_KEPT:]:
                file.unlink()

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the event log; a full disk doesn't stop training."""
        line = json.dumps(record, allow_nan=False) + "\n"
        with (
            contextlib.suppress(OSError),
            open(self.folder / "events.jsonl", "a", encoding="utf-8", opener=_open_no_link) as file,
        ):
            file.write(line)

    def _replace(self, path: Path, data: bytes, *, keep: bool = True) -> None:
        temporary = path.with_name(f"{path.name}{_TEMPORARY}{os.getpid()}")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if keep:
                _rename(temporary, path)
                _sync_folder(self.folder)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _first_sound(
    name: str, in_line: Sequence[Path], read: Callable[[Path], _Read]
) -> tuple[_Read, Path, tuple[str, ...]]:
    """What is read of the first file that can be read, which one, and why not those before."""
    warnings: list[str] = []
    for file in in_line:
        try:
            return read(file), file, tuple(warnings)
        except CheckpointError as error:
            warnings.append(str(error))
    reason = warnings[0] if warnings else f"only best{_SUFFIX} is there"
    raise CheckpointError(f"no checkpoint of run {name} can be used: {reason}")


def _checkpoint_files(folder: Path) -> list[Path]:
    """Checkpoints in a run's folder: best, last, then the kept ones, newest first."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        return []
    steps = [(int(match[1]), name) for name in names if (match := _STEP_FILE.fullmatch(name))]
    fixed = [f"{stem}{_SUFFIX}" for stem in ("best", "last")]
    return [
        folder / name
        for name in [*fixed, *(name for _, name in sorted(steps, reverse=True))]
        if name in names
    ]


def _open_no_link(path: str, flags: int) -> int:
    """Open a file of a run, but none that a link in its place points to."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _remove_if_unused(folder: Path) -> None:
    """Leave nothing of a run that ended before its first save."""
    with contextlib.suppress(OSError):
        if {file.name for file in folder.iterdir()} <= {RUN_LOCK, "events.jsonl"}:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def _name_problem(name: str) -> str | None:
    if not name or len(name) > _MAX_NAME_LENGTH:
        return f"must have 1 to {_MAX_NAME_LENGTH} characters"
    if not re.fullmatch(r"[\w+-][\w.+ -]*", name) or name.endswith((".", " ")):
        return "may hold letters, digits, spaces and . + - _ only, and not begin or end with ."
    stem = name.split(".", 1)[0].upper()
    if stem in {"CON", "PRN", "AUX", "NUL"} or re.fullmatch(r"(COM|LPT)\d", stem):
        return "is reserved on Windows"
    return None


def _lock(file: IO[bytes], folder: Path) -> None:
    """Take the lock, which the system drops when its process ends, however that ends."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise CheckpointError(f"{folder}: another process is training this run") from error
        raise CheckpointError(f"{folder}: can't be locked: {error.strerror}") from error
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / RUN_LOCK)):
            return
    # Its owner ended before its first save, and took the lock's file away.
    raise CheckpointError(f"{folder}: another process was about to train this run; try again")


def _rename(source: Path, target: Path) -> None:
    for _ in range(_REPLACE_TRIES if os.name == "nt" else 0):
        with contextlib.suppress(PermissionError):
            os.replace(source, target)
            return
        time.sleep(_REPLACE_PAUSE_SECONDS)
    os.replace(source, target)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
