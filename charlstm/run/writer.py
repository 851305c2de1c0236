"""Writing one run's files, under a lock that only one process holds."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from charlstm.config import CorpusConfig
from charlstm.errors import CheckpointError, ContainerError, RunLockedError
from charlstm.model.checkpoints import Checkpoint
from charlstm.system import layout
from charlstm.system.files import open_to_append, remove_leftovers, replace_file
from charlstm.text.corpus import Corpus
from charlstm.text.storage import write_text

NUM_KEPT: Final = 3


class RunWriter:
    """Writes one run's files; made by `Run.writer`, which holds the lock.

    Attributes:
        mode: of new files, less the umask: no more readable than the text of the run.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.mode = 0o666

    def prove(self) -> None:
        """Remove what a killed writer left half-written, and prove that writing works.

        Raises:
            CheckpointError: when it doesn't.
        """
        # Named like a half-written file, so that it is removed as one if this process is killed.
        probe = self.folder / f".charlstm-{0:016x}.tmp"
        try:
            remove_leftovers(self.folder)
            with replace_file(probe):
                pass
            probe.unlink()
        except OSError as error:
            raise CheckpointError(f"{self.folder}: can't be written: {error.strerror}") from error

    def save_best(self, checkpoint: Checkpoint) -> Path:
        """Write the model that validates best, replacing the one before it.

        Raises:
            CheckpointError: when that fails; the one before is still there.
        """
        return self._save(checkpoint, layout.BEST)

    def save_last(self, checkpoint: Checkpoint) -> Path:
        """Write what training resumes from, replacing the one before it.

        Raises:
            CheckpointError: when that fails; the one before is still there.
        """
        return self._save(checkpoint, layout.LAST)

    def save_text(self, corpus: Corpus, config: CorpusConfig, others: Iterable[Path] = ()) -> None:
        """Keep the encoded text; without room for it, the run depends on the text's files.

        Args:
            others: folders of other runs, which may have the same text.
        """
        with contextlib.suppress(OSError, ContainerError):
            write_text(self.folder, corpus, config, mode=self.mode, others=others)

    def keep(self, step: int) -> None:
        """Keep `last`, as it is now, under its step; the oldest such file goes.

        A hard link, as the file is never written again, only replaced; or a copy.
        """
        last, kept = self.folder / layout.LAST, self.folder / layout.step_file(step)
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
            try:
                os.link(last, kept)
            except OSError:
                with open(last, "rb") as source, replace_file(kept, mode=self.mode) as copy:
                    shutil.copyfileobj(source, copy)
            steps = [name for name in os.listdir(self.folder) if layout.step_of(name) is not None]
            for name in sorted(steps, key=layout.order_of)[NUM_KEPT:]:
                (self.folder / name).unlink()

    def drop_kept(self) -> None:
        """Delete the earlier checkpoints of a run that is finished."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                if layout.step_of(name) is not None:
                    (self.folder / name).unlink()

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the event log; what can't be written doesn't stop training."""
        line = (json.dumps(record, allow_nan=False) + "\n").encode("ascii")
        path = self.folder / layout.EVENTS
        with contextlib.suppress(OSError), open_to_append(path, mode=self.mode) as file:
            if hasattr(os, "fchmod"):  # the text may have become private since
                os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & self.mode)
            # A full disk may have cut the last line short.
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
                raise CheckpointError(f"{self.folder}: the run's folder is gone") from error
            intact = "; the checkpoint before it is intact" if path.exists() else ""
            raise CheckpointError(f"{path}: saving failed: {error.strerror}{intact}") from error
        return path


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Make a run's folder and hold its lock; a run that was never saved leaves nothing behind.

    Raises:
        RunLockedError: when another process holds it.
        CheckpointError: when the folder or the lock can't be made.
    """
    is_new = not folder.exists()
    before = {name for name in layout.MADE_EARLY if os.path.lexists(folder / name)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_to_append(folder / layout.LOCK)
    except OSError as error:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise CheckpointError(f"{folder}: can't be written: {error.strerror or error}") from error
    with lock:
        try:
            _take(lock, folder)
        except RunLockedError:
            raise
        except CheckpointError:
            _remove_if_unused(folder, is_new=is_new, made=())
            raise
        try:
            yield
        finally:
            made = (name for name in layout.MADE_EARLY if name not in before)
            if os.name == "nt":
                lock.close()  # no open file can be deleted there, nor one that another one locks
            _remove_if_unused(folder, is_new=is_new, made=made)


def _take(file: IO[bytes], folder: Path) -> None:
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
            raise RunLockedError(f"{folder}: another process is training this run") from error
        raise CheckpointError(f"{folder}: can't be locked: {error.strerror}") from error
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / layout.LOCK)):
            return
    # Its owner ended before its first save, and took the lock's file away.
    raise RunLockedError(f"{folder}: another process was about to train this run; try again")


def _remove_if_unused(folder: Path, *, is_new: bool, made: Iterable[str]) -> None:
    """Leave nothing of a run that ended before its first save, and all that isn't its own.

    Args:
        made: names of files that weren't there before.
    """
    with contextlib.suppress(OSError):
        names = set(os.listdir(folder))
        if any(map(layout.is_checkpoint, names)):
            return
        for name in made:
            (folder / name).unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(folder / layout.TENSORBOARD, ignore_errors=True)
        lock = folder / layout.LOCK
        if not lock.stat().st_size:  # ours is empty
            lock.unlink()
        folder.rmdir()
