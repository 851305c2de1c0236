"""Writing of a run's files, under an exclusive lock."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from charlstm.config import ReadingConfig
from charlstm.errors import CheckpointError, RunLockedError, TensorFileError
from charlstm.model.checkpoints import Checkpoint
from charlstm.system import run_files
from charlstm.system.files import open_to_append, remove_leftovers, replace_file
from charlstm.text.corpus import Corpus
from charlstm.text.storage import write_corpus

NUM_KEPT: Final = 3


class RunWriter:
    """Writes one run's files; created by `Run.writer`, which holds the lock.

    Attributes:
        mode: permissions of new files, before the umask; limited to those of the run's text.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.mode = 0o666

    def check_writable(self) -> None:
        """Remove temporary files of killed writers, and check that the folder is writable.

        Raises:
            CheckpointError: if it isn't.
        """
        # Named like a temporary file, so that it is removed later if this process is killed.
        test_file = self.folder / f".charlstm-{0:016x}.tmp"
        try:
            remove_leftovers(self.folder)
            with replace_file(test_file):
                pass
            test_file.unlink()
        except OSError as error:
            raise CheckpointError(f"{self.folder}: can't be written: {error.strerror}") from error

    def save_best(self, checkpoint: Checkpoint) -> Path:
        """Write the best model, replacing the previous one.

        Raises:
            CheckpointError: if that fails; the previous one is intact.
        """
        return self._save(checkpoint, run_files.BEST)

    def save_last(self, checkpoint: Checkpoint) -> Path:
        """Write the checkpoint for resuming, replacing the previous one.

        Raises:
            CheckpointError: if that fails; the previous one is intact.
        """
        return self._save(checkpoint, run_files.LAST)

    def save_text(self, corpus: Corpus, config: ReadingConfig, others: Iterable[Path] = ()) -> None:
        """Write a copy of the encoded text; if that fails, the run depends on the text's files.

        Args:
            others: folders of other runs, which may have the same text.
        """
        with contextlib.suppress(OSError, TensorFileError):
            write_corpus(self.folder, corpus, config, mode=self.mode, others=others)

    def keep(self, step: int) -> None:
        """Keep the current `last` checkpoint, named by its step, and delete the oldest such file.

        It is a hard link, as checkpoints are replaced but never modified; otherwise a copy.
        """
        last, kept = self.folder / run_files.LAST, self.folder / run_files.step_file(step)
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
            try:
                os.link(last, kept)
            except OSError:
                with open(last, "rb") as source, replace_file(kept, mode=self.mode) as copy:
                    shutil.copyfileobj(source, copy)
            self._drop_kept_after(NUM_KEPT)

    def drop_kept(self) -> None:
        """Delete the earlier checkpoints of a finished run."""
        with contextlib.suppress(OSError):
            self._drop_kept_after(0)

    def _drop_kept_after(self, number: int) -> None:
        """Delete the checkpoints named by step, except the newest `number`."""
        names = (name for name in os.listdir(self.folder) if run_files.step_of(name) is not None)
        for name in sorted(names, key=run_files.order_of)[number:]:
            (self.folder / name).unlink()

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a line to the event log; errors are ignored, so training continues."""
        line = (json.dumps(record, allow_nan=False) + "\n").encode("ascii")
        path = self.folder / run_files.EVENTS
        with contextlib.suppress(OSError), open_to_append(path, mode=self.mode) as file:
            if hasattr(os, "fchmod"):  # the text's permissions may have been reduced since
                os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & self.mode)
            # The last line may be incomplete after a full disk.
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)

    def _save(self, checkpoint: Checkpoint, name: str) -> Path:
        path = self.folder / name
        try:
            with replace_file(path, mode=self.mode) as file:
                file.write(checkpoint.to_bytes())
        except OSError as error:
            if not self.folder.is_dir():
                raise CheckpointError(
                    f"{self.folder}: the run's folder no longer exists"
                ) from error
            intact = "; the previous checkpoint is intact" if path.exists() else ""
            raise CheckpointError(f"{path}: saving failed: {error.strerror}{intact}") from error
        return path


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Create a run's folder and hold its lock; afterwards, delete the folder if it is unused.

    Raises:
        RunLockedError: if another process holds the lock.
        CheckpointError: if the folder or the lock can't be created.
    """
    is_new = not folder.exists()
    before = {name for name in run_files.MADE_EARLY if os.path.lexists(folder / name)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_to_append(folder / run_files.LOCK)
    except OSError as error:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise CheckpointError(f"{folder}: can't be written: {error.strerror or error}") from error
    with lock:
        try:
            _acquire(lock, folder)
        except RunLockedError:
            raise
        except CheckpointError:
            _remove_if_unused(folder, is_new=is_new, made=())
            raise
        try:
            yield
        finally:
            made = (name for name in run_files.MADE_EARLY if name not in before)
            if os.name == "nt":
                lock.close()  # Windows deletes no open or locked file
            _remove_if_unused(folder, is_new=is_new, made=made)


def _acquire(file: IO[bytes], folder: Path) -> None:
    """Acquire the lock; the operating system releases it when the process ends."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise RunLockedError(f"{folder}: another process is training this run") from error
        raise CheckpointError(f"{folder}: can't be locked: {error.strerror}") from error
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / run_files.LOCK)):
            return
    # Another process held the lock, ended before its first save, and deleted the lock file.
    raise RunLockedError(f"{folder}: another process was about to train this run; try again")


def _remove_if_unused(folder: Path, *, is_new: bool, made: Iterable[str]) -> None:
    """Delete the files of a run that ended before its first save; other files stay.

    Args:
        made: names of files created by this run.
    """
    with contextlib.suppress(OSError):
        names = set(os.listdir(folder))
        if any(map(run_files.is_checkpoint, names)):
            return
        for name in made:
            (folder / name).unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(folder / run_files.TENSORBOARD, ignore_errors=True)
        lock = folder / run_files.LOCK
        if not lock.stat().st_size:  # charlstm's lock is empty
            lock.unlink()
        folder.rmdir()
