"""Random operations on a few runs, several processes at once, some killed, stopped or out of room.

    python tests/soak.py FOLDER MINUTES SEED

There are two stores: one in the folder, one on a disk of a megabyte that is filled up now and then;
if that can't be mounted, on the same disk as the first. Both are checked after every operation: see
`Soak._look_through` and `Soak._judge`. Prints counts as one JSON object, and failed checks on
stderr; exits with 1 if there are any.

Most processes are forked from this one, which has imported torch and run nothing, as in
kill_loop.py; some are started anew.
"""

import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch._dynamo  # noqa: F401 - here, so that no child has to: optimizers want it

import charlstm.api.loading
import charlstm.evaluation.dynamic
import charlstm.evaluation.report
import charlstm.export.hub
import charlstm.run.session
import charlstm.views.evaluation
import charlstm.views.training  # noqa: F401
from charlstm.cli import main
from charlstm.errors import CheckpointError, RunLockedError
from charlstm.model.checkpoints import read_checkpoint
from charlstm.run.store import CheckpointStore
from charlstm.system import run_files
from charlstm.system.files import is_leftover

NUM_AT_ONCE = 5
NAMES = ("ant", "bee", "cat")
PIPED = ("pipe-0", "pipe-1")  # their text can only be read once
SETTINGS = ["--hidden-size", "8", "--num-layers", "1", "--batch-size", "4", "--seq-len", "16"]
SETTINGS += ["--precision", "float32", "--threads", "1"]
DISK_BYTES, DISK_FILES = 1 << 20, 80
MAX_RUNS = 6  # of a store; if there are more, some are deleted
HANGS_SECONDS = 180.0
# Weights of the kinds of operations; most of them write.
KINDS = {
    "train": 5,
    "resume": 9,
    "rm": 2,
    "sample": 2,
    "predict": 1,
    "eval": 3,
    "score": 3,
    "runs": 1,
    "show": 1,
    "export": 3,
}
WRITERS = ("train", "resume")
SENT = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -9}

# Expected messages of an operation that fails: always, ...
USUAL = (
    r"another process (is training this run|was about to train)|run \S+ exists: add --resume|"
    r"is an export of another run"
)
# ... when the run was deleted or damaged while it ran, ...
DISTURBED = (
    r"no checkpoint found|no such run|no run yet|can be used|folder no longer exists|No such file|"
    r"the run has no copy of it"
)
# ... and on a full disk.
NO_ROOM = r"No space left|File too large|the run has no copy of it"


@dataclass(kw_only=True)
class Operation:
    """A running command, and what happens to it.

    Args:
        run: name of the run that it uses; None for the whole store.
        known_step: the run's step when the command started, None without a checkpoint.
        is_disturbed: the run was deleted or damaged meanwhile.
        blows: signals to send, with the time of each.
        limit: largest size of a file, in bytes.
        is_marked: it is killed as soon as one of its files is half written.
        trained_by: for a deletion, the operations that train the run at its start.
    """

    number: int
    kind: str
    store: Path
    run: str | None
    arguments: list[str]
    stdin: str = os.devnull
    budget: int = 0
    is_anew: bool = False
    is_marked: bool = False
    trained_by: list["Operation"] = field(default_factory=list)
    output: str | None = None
    limit: int | None = None
    blows: list[tuple[float, int]] = field(default_factory=list)
    child: int = 0
    started_at: float = 0.0
    known_step: int | None = None
    is_disturbed: bool = False
    is_stopped: bool = False
    sent: set[int] = field(default_factory=set)
    out: str = ""
    err: str = ""

    @property
    def is_about_all(self) -> bool:
        return self.run is None

    def concerns(self, store, run):
        return self.store == store and (self.is_about_all or self.run == run)


class Soak:
    def __init__(self, folder, minutes, seed):
        self.folder = folder
        self.randomness = random.Random(seed)
        self.minutes, self.seed = minutes, seed
        self.disk = folder / "disk"
        self.stores = [Path("checkpoints"), Path("disk/checkpoints")]
        self.running = []
        self.known = {}  # (store, run) -> smallest step that its checkpoint may have
        self.damaged = set()  # identities of files that were damaged on purpose
        self.counts = Counter()
        self.exits = Counter()
        self.failures = []
        self.duration = {}  # typical seconds by kind
        self.ended = []  # the latest operations, with the time of each

    # Operations

    def run(self):
        os.chdir(self.folder)
        for number in range(3):
            words = self.randomness.choices(["quick", "quiet", "lazy", "fox", "dog"], k=900)
            Path(f"text-{number}.txt").write_text(" ".join(words) + "\n")
        with self._small_disk() as is_small:
            began = time.monotonic()
            while self.running or time.monotonic() < began + 60 * self.minutes:
                if time.monotonic() < began + 60 * self.minutes and not self._is_bad:
                    self._do_more()
                elif not self.running:
                    break
                self._strike()
                self._reap()
                time.sleep(0.003)
            self._free()
            self._end()
        return {
            "minutes": round((time.monotonic() - began) / 60, 1),
            "seed": self.seed,
            "operations": sum(self.exits.values()),
            "small_disk": is_small,
            **dict(sorted(self.counts.items())),
            "exit_codes": {str(code): number for code, number in sorted(self.exits.items())},
            "losses": sum(failure.startswith("LOSS") for failure in self.failures),
            "failures": len(self.failures),
        }

    @property
    def _is_bad(self):
        return len(self.failures) >= 20

    @contextlib.contextmanager
    def _small_disk(self):
        self.disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},nr_inodes={DISK_FILES}"]
        is_mounted = False
        with contextlib.suppress(OSError):
            done = subprocess.run([*mount, "tmpfs", self.disk], check=False, capture_output=True)
            is_mounted = not done.returncode
        try:
            yield is_mounted
        finally:
            # After an error, nobody would continue a stopped process.
            for operation in self.running:
                os.kill(operation.child, signal.SIGKILL)
            if is_mounted:
                subprocess.run(["umount", "--lazy", self.disk], check=True)

    def _do_more(self):
        if len(self.running) < NUM_AT_ONCE:
            self._start(self._chosen())
            if self.randomness.random() < 0.1:
                self._free()
                if self.randomness.random() < 0.6:
                    self._fill()
            if self.randomness.random() < 0.05:
                self._damage()

    def _chosen(self):
        store = self.randomness.choice(self.stores)
        there = [run for known_in, run in self.known if known_in == store]
        kind = self.randomness.choices(list(KINDS), list(KINDS.values()))[0]
        if len(there) > MAX_RUNS:
            kind = "rm"
        run = self.randomness.choice(there) if there else None
        if run is None:
            kind = "train"
        budget, stdin = self.randomness.randint(1, 60), os.devnull
        as_json = self.randomness.choice([[], ["--json"]])
        new, text = [], self.randomness.choice(["text-0.txt", "text-1.txt"])
        if kind == "train":
            run = self.randomness.choice([*NAMES, *PIPED, None])
            new = ["--run", run] if run else []
            if run in PIPED:
                text, stdin = "-", "text-2.txt"
        elif kind == "resume":
            budget += self.known[store, run]
        elif kind == "runs":
            run = None
        # A folder with the export of another run is refused, so each run has one of its own.
        form = self.randomness.choice(["hf", "js", "onnx"])
        output = f"{form}-{store.name}-{run}"
        if output in [one.output for one in self.running]:
            output += f"-{sum(self.exits.values()) + len(self.running)}"
        train = ["train", "--json", "--steps", str(budget)]
        arguments = {
            "train": [*train, text, *SETTINGS, *new],
            "resume": [*train, "--resume", "--run", run],
            "rm": ["runs", "rm", run, "--yes"],
            "runs": ["runs", *as_json],
            "show": ["runs", "show", run, *as_json],
            "sample": ["sample", "--run", run, "--length", "40", "--prime", "qui", *as_json],
            "predict": ["predict", "qui", "--run", run, "--with-counts"],
            "eval": ["eval", "--run", run, *as_json],
            "score": ["score", text, "--run", run, "--with-counts", "--above", "p0", *as_json],
            "export": ["export", run, "--format", form, "--output", output],
        }[kind]
        return Operation(
            number=sum(self.exits.values()) + len(self.running),
            kind=kind,
            store=store,
            run=run,
            arguments=[*arguments, "--checkpoints", str(store)],
            stdin=stdin,
            budget=budget,
            output=output if kind == "export" else None,
        )

    def _start(self, operation):
        """Start an operation, and choose the signals and limits that it gets."""
        now = time.monotonic()
        fate = self.randomness.random()
        moment = now + self.randomness.uniform(0, 1.2 * self.duration.get(operation.kind, 1.0))
        later = moment + self.randomness.choice([0.05, 0.3, 1.5, 5.0])
        if fate < 0.22:
            operation.blows = [(moment, signal.SIGKILL)]
        elif fate < 0.36:
            operation.blows = [(moment, signal.SIGSTOP), (later, signal.SIGCONT)]
        elif fate < 0.41:
            operation.blows = [(moment, signal.SIGSTOP), (later, signal.SIGKILL)]
        elif fate < 0.50:
            number = self.randomness.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
            operation.blows = [(moment, number)]
        elif fate < 0.56 and operation.run not in PIPED:
            operation.limit = self.randomness.randrange(10_000, 70_000)
        elif fate < 0.58:
            operation.is_anew = True
        elif fate < 0.70 and operation.kind in WRITERS:
            operation.is_marked = True
        if operation.kind == "rm":
            self._disturb(operation.store, operation.run)
            operation.trained_by = [
                one
                for one in self.running
                if one.store == operation.store
                and one.run == operation.run
                and self._is_training(one)
            ]
        operation.is_disturbed = operation.is_disturbed or any(
            (other.kind == "rm" and other.concerns(operation.store, operation.run))
            or (operation.is_about_all and other.kind == "rm" and other.store == operation.store)
            for other in self.running
        )
        operation.known_step = self.known.get((operation.store, operation.run))
        self._fork(operation)
        self.running.append(operation)
        self.counts[operation.kind] += 1
        self.counts["started_anew"] += operation.is_anew

    def _is_training(self, operation):
        """Return whether a training reports its start but no end, so it holds the run's lock."""
        out, err = (text_of(Path(f"{operation.number}.{name}")) for name in ("out", "err"))
        has_ended = '"event": "finished"' in out or "charlstm: " in err
        return self._began_in(out) >= 0 and not has_ended and operation in self.running

    def _fork(self, operation):
        operation.started_at = time.time()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        operation.child = os.fork()
        if not operation.child:
            self._become(operation)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])

    def _become(self, operation):
        """Run the command in this process, and exit as Python would."""
        code = 70
        try:
            for path, flags, number in (
                (operation.stdin, os.O_RDONLY, 0),
                (f"{operation.number}.out", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 1),
                (f"{operation.number}.err", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 2),
            ):
                os.dup2(os.open(path, flags), number)
            if operation.limit is not None:
                limits = operation.limit, operation.limit
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            if operation.is_anew:
                command = [sys.executable, "-m", "charlstm", *operation.arguments]
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
                os.execv(sys.executable, command)
            try:
                # Not earlier: signals during Python's own start are not tested.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
                code = main(operation.arguments)
            except KeyboardInterrupt:
                code = 130
            except SystemExit as exit_:
                code = exit_.code
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001 - tracebacks are looked for in the output
            traceback.print_exc()
        finally:
            os._exit(code)

    def _strike(self):
        now = time.monotonic()
        for operation in self.running:
            while operation.blows and operation.blows[0][0] <= now:
                _, number = operation.blows.pop(0)
                os.kill(operation.child, number)  # not waited for yet, so it is ours
                operation.sent.add(number)
                operation.is_stopped = number == signal.SIGSTOP
            if operation.is_marked and any(self._half_written(operation)):
                os.kill(operation.child, signal.SIGKILL)
                operation.sent.add(signal.SIGKILL)
                operation.is_marked = False
            if time.time() - operation.started_at > HANGS_SECONDS and not operation.is_stopped:
                self._fail(operation, "hangs")
                os.kill(operation.child, signal.SIGKILL)
                operation.sent.add(signal.SIGKILL)
                operation.started_at = time.time()

    def _half_written(self, operation):
        """Yield the modification times of half-written files in the operation's run."""
        if operation.run is not None:
            with contextlib.suppress(OSError):
                for path in (operation.store / operation.run).iterdir():
                    if is_leftover(path.name):
                        yield path.stat().st_mtime

    def _reap(self):
        for operation in list(self.running):
            found, status = os.waitpid(operation.child, os.WNOHANG)
            if not found:
                continue
            self.running.remove(operation)
            code = os.waitstatus_to_exitcode(status)
            self._count(operation, code)
            self._judge(operation, code)
            self.ended = [*self.ended[-50:], (time.time(), operation)]
            for store in self.stores:
                self._look_through(store)
            if not self._is_bad:
                for name in ("out", "err"):
                    Path(f"{operation.number}.{name}").unlink(missing_ok=True)

    def _count(self, operation, code):
        took = time.time() - operation.started_at
        if code == 0 and not operation.sent:
            usual = self.duration.get(operation.kind, took)
            self.duration[operation.kind] = 0.9 * usual + 0.1 * took
        self.exits[code] += 1
        for name in ("out", "err"):
            path = Path(f"{operation.number}.{name}")
            setattr(operation, name, text_of(path))
        self.counts["kills"] += code == -signal.SIGKILL
        self.counts["left_half_written"] += code == -signal.SIGKILL and any(
            self._half_written(operation)
        )
        self.counts["stops"] += signal.SIGSTOP in operation.sent
        self.counts["signals"] += code in (130, 143, 129, -signal.SIGTERM, -signal.SIGHUP)
        self.counts["full_disks"] += bool(re.search("No space left|too large", operation.err))
        self.counts["steps_resumed_from"] += (
            operation.kind == "resume" and self._began(operation) > 0
        )

    def _fill(self):
        """Leave little or no space on the small disk, or no room for another file."""
        if not self.disk.is_mount():
            return
        with contextlib.suppress(OSError):
            if self.randomness.random() < 0.3:
                for number in range(DISK_FILES):
                    (self.disk / f"fill-{number}").touch()
            with open(self.disk / "fill", "ab") as file:
                status = os.statvfs(self.disk)
                spare = self.randomness.choice([0, 0, 20_000, 60_000])
                file.write(bytes(max(0, status.f_bavail * status.f_frsize - spare)))
        self.counts["fills"] += 1

    def _free(self):
        for path in self.disk.glob("fill*"):
            path.unlink()

    def _damage(self):
        """Damage the newest checkpoint of a run that has an older one and is not being written."""
        for store, name in self.randomness.sample([*self.known], len(self.known)):
            sound = [
                path
                for path in CheckpointStore(store).run(name).files()
                if path.name != run_files.BEST and identity(path) not in self.damaged
            ]
            is_written = any(
                one.store == store and one.kind in (*WRITERS, "rm") and one.run in (name, None)
                for one in self.running
            )
            if not is_written and len({path.stat().st_ino for path in sound}) > 1:
                self._damage_file(store, name, sound[0])
                return

    def _damage_file(self, store, name, path):
        data = bytearray(path.read_bytes())
        if self.randomness.random() < 0.5:
            data[self.randomness.randrange(len(data))] ^= 1 << self.randomness.randrange(8)
        else:
            del data[self.randomness.randrange(len(data)) :]
        with contextlib.suppress(OSError):  # on a full disk it is cut short
            path.write_bytes(data)
        self.damaged.add(identity(path))
        self._disturb(store, name)
        loaded = CheckpointStore(store).run(name).last()
        if not any(str(path) in warning for warning in loaded.warnings):
            self.failures.append(f"{path} was damaged, and there is no warning")
        self.known[store, name] = loaded.checkpoint.step
        self.counts["damaged"] += 1

    def _disturb(self, store, run):
        for other in self.running:
            if other.store == store and (other.is_about_all or other.run == run):
                other.is_disturbed = True

    # Checks

    def _fail(self, operation, what):
        self.failures.append(
            f"{what}\n  {' '.join(operation.arguments)} (sent {sorted(operation.sent)}, limit "
            f"{operation.limit}, known step {operation.known_step}, "
            f"disturbed: {operation.is_disturbed}, number {operation.number})\n"
            f"  {operation.err[-1500:]}"
        )

    def _began(self, operation):
        """Return the step at which a training reports to start, or -1."""
        return self._began_in(operation.out)

    def _began_in(self, out):
        match = re.search(r'"event": "started", "step": (\d+)', out)
        return int(match[1]) if match else -1

    def _judge(self, operation, code):
        """Check an operation's exit code and messages, and that a training lost no steps."""
        key = operation.store, operation.run
        if operation.kind == "rm" and code != 1:
            self.known.pop(key, None)  # deleted, at least in part; what is left is found again
        if (
            operation.kind == "rm"
            and code == 0
            and any(map(self._is_training, operation.trained_by))
        ):
            self._fail(operation, "LOSS: deleted while it was trained")
        if "Traceback" in operation.out + operation.err:
            self._fail(operation, "a traceback")
        by_signals = {SENT[number] for number in operation.sent if number in SENT}
        # Commands that need not clean up leave SIGTERM and SIGHUP to the system.
        code = {-signal.SIGTERM: 143, -signal.SIGHUP: 129}.get(code, code)
        if code not in {0, 1, 2} | by_signals:
            self._fail(operation, f"exit code {code}")
        if code in (1, 2):
            self._judge_refusal(operation, code)
        is_known = operation.known_step is not None and not operation.is_disturbed
        if "damaged" in operation.err and not operation.is_disturbed and not self.damaged:
            self._fail(operation, "damaged, but not on purpose")
        began = self._began(operation)
        if operation.kind == "resume" and is_known and 0 <= began < operation.known_step:
            self._fail(operation, f"LOSS: resumed from step {began}")
        if (
            operation.output
            and code == 0
            and any(is_leftover(path.name) for path in Path(operation.output).rglob("*"))
        ):
            self._fail(operation, "a half-written file is published")
        if operation.kind in WRITERS and self._began(operation) >= 0:
            self._judge_training(operation, code)

    def _judge_refusal(self, operation, code):
        has_no_room = operation.limit is not None or operation.store == self.stores[1]
        allowed = USUAL
        if operation.is_disturbed:
            allowed += "|" + DISTURBED
        if has_no_room:
            allowed += "|" + NO_ROOM
        lines = operation.err.splitlines() or [""]
        if not lines[-1].startswith("charlstm: ") or not re.search(allowed, lines[-1]):
            self._fail(operation, f"exit code {code} for no known reason")
        if "another process" in lines[-1] and not operation.is_disturbed:
            since = [one for ended_at, one in self.ended if ended_at >= operation.started_at]
            if not any(
                # A deletion takes the lock to see whether a run is about to start.
                one.store == operation.store
                and (one.kind == "rm" or one.run in (operation.run, None))
                for one in (*self.running, *since)
            ):
                self._fail(operation, "a stuck lock")

    def _judge_training(self, operation, code):
        if operation.run is None or operation.is_disturbed:
            return
        if any(moment < operation.started_at - 0.1 for moment in self._half_written(operation)):
            self._fail(operation, "a half-written file from before is left")
        steps = [int(step) for step in re.findall(r'"stepped", "step": (\d+)', operation.out)]
        saved = operation.budget if code == 0 else max(steps, default=0)
        if code == 0 or "interrupted and saved" in operation.err:
            with contextlib.suppress(CheckpointError):  # reported by `_look_through`
                step = CheckpointStore(operation.store).run(operation.run).last().checkpoint.step
                if step < saved:
                    self._fail(operation, f"LOSS: step {step} was saved of {saved}")

    def _look_through(self, store):
        """Check that no run is lost or went back, and that only deliberate damage is found."""
        being_deleted = {one.run for one in self.running if one.kind == "rm" and one.store == store}
        there = CheckpointStore(store)
        names = {*there.run_names(), *(run for known_in, run in self.known if known_in == store)}
        for name in names - being_deleted:
            run = there.run(name)
            steps = [self._step_of(path) for path in run.files()]
            furthest = max((step for step in steps if step is not None), default=0)
            try:
                step = run.last().checkpoint.step
            except CheckpointError as error:
                # A killed deletion may leave only the best model.
                if (store, name) in self.known:
                    self.failures.append(f"LOSS: {store}/{name}: {error}")
                    del self.known[store, name]
                continue
            if step < max(furthest, self.known.get((store, name), 0)):
                self.failures.append(f"LOSS: {store}/{name} fell back to step {step}")
            self.known[store, name] = step

    def _step_of(self, path):
        """Return the step of a checkpoint that training can resume from, None for other files."""
        before = identity(path)
        try:
            checkpoint = read_checkpoint(path)
        except CheckpointError as error:
            if before is None or identity(path) != before or before in self.damaged:
                return None  # replaced or deleted meanwhile, or damaged on purpose
            self.failures.append(f"LOSS: {error}")
            if str(path) not in str(error):
                self.failures.append(f"doesn't name {path}: {error}")
            return None
        return checkpoint.step if path.name != run_files.BEST else None

    def _end(self):
        """Check that every run can be resumed and deleted, and that nothing is left then."""
        for store in self.stores:
            there = CheckpointStore(store)
            for run in there.runs():
                known = self.known.get((store, run.name))
                if known is None:
                    continue
                try:
                    with run.writer():
                        pass
                except RunLockedError as error:
                    self.failures.append(f"a stuck lock: {error}")
                step = str(known + 5)
                arguments = ["train", "--resume", "--run", run.name, "--steps", step]
                self._finally(store, arguments, r"the run has no copy of it")
                if any(is_leftover(path.name) for path in run.folder.iterdir()):
                    self.failures.append(f"leftovers in {run.folder}")
            for run in there.runs():
                self._finally(store, ["runs", "rm", run.name, "--yes"])
            # The next training removes folders of killed starts, unless they are recent.
            for folder in store.iterdir():
                os.utime(folder, (0, 0))
            self._finally(store, ["train", "text-0.txt", "--steps", "1", *SETTINGS, "--run", "end"])
            self._finally(store, ["runs", "rm", "end", "--yes"])
            if left := [str(path) for path in store.rglob("*")]:
                self.failures.append(f"left in an empty store: {left}")

    def _finally(self, store, arguments, allowed=None):
        arguments = [*arguments, "--checkpoints", str(store)]
        operation = Operation(number=0, kind="end", store=store, run=None, arguments=arguments)
        self._fork(operation)
        code = os.waitstatus_to_exitcode(os.waitpid(operation.child, 0)[1])
        operation.err = Path("0.err").read_text()
        if code and not (allowed and re.search(allowed, operation.err)):
            self._fail(operation, f"in the end: exit code {code}")


def text_of(path):
    """Return what a process has written to a file so far."""
    return path.read_text(errors="replace") if path.exists() else ""


def identity(path):
    """Return what identifies a file under any name; None if it is gone."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns
    return None


if __name__ == "__main__":
    # nohup and `&` in a shell make a process ignore these signals, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    soak = Soak(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(soak.run()))
    for failure in soak.failures:
        print(failure, file=sys.stderr)
    sys.exit(bool(soak.failures))
