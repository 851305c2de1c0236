"""Names of the files and folders of a store.

STORE/RUN/best.safetensors           weights with the lowest validation loss
STORE/RUN/last.safetensors           weights and training state, for `--resume`
STORE/RUN/step-00001234.safetensors  earlier `last` checkpoints, in case the newest is damaged
STORE/RUN/counts.safetensors         n-gram model of the training text, created on demand
STORE/RUN/percentiles*.safetensors   losses of validation items, created by `score`
STORE/RUN/events.jsonl               event log, one JSON object per line
STORE/RUN/tensorboard/               TensorBoard logs, on request
STORE/RUN/text.npy                   ids of the encoded text
STORE/RUN/text.safetensors           vocabulary, document starts and sizes of the encoded text
STORE/RUN/lock                       lock of the process that trains the run

A run has no files outside its folder; runs of the same text share `text.npy` by a hard link.
"""

import re
from typing import Final

SUFFIX: Final = ".safetensors"
BEST: Final = f"best{SUFFIX}"
LAST: Final = f"last{SUFFIX}"
COUNTS: Final = f"counts{SUFFIX}"
PERCENTILES: Final = f"percentiles{SUFFIX}"
PERCENTILES_WITH_COUNTS: Final = f"percentiles-with-counts{SUFFIX}"
EVENTS: Final = "events.jsonl"
LOCK: Final = "lock"
TENSORBOARD: Final = "tensorboard"
TEXT: Final = f"text{SUFFIX}"
TEXT_IDS: Final = "text.npy"
# Written before the first checkpoint.
MADE_EARLY: Final = (EVENTS, TEXT, TEXT_IDS)
# Derived from the best model and the text; recreated if missing.
DERIVED: Final = (COUNTS, PERCENTILES, PERCENTILES_WITH_COUNTS)
# The package's example model.
EXAMPLE: Final = "example"
EXAMPLE_FILE: Final = f"example{SUFFIX}"
# Model file in a folder for the Hugging Face Hub.
HUB_MODEL: Final = f"model{SUFFIX}"

_STEP: Final = re.compile(rf"step-(\d{{8,}}){re.escape(SUFFIX)}")


def step_file(step: int) -> str:
    """Return the file name of an earlier checkpoint."""
    return f"step-{step:08d}{SUFFIX}"


def step_of(name: str) -> int | None:
    """Return the step in the file name of an earlier checkpoint; None for other names."""
    match = _STEP.fullmatch(name)
    return None if match is None else int(match[1])


def is_checkpoint(name: str) -> bool:
    return name in (BEST, LAST) or step_of(name) is not None


def order_of(name: str) -> tuple[int, int]:
    """Return a sort key for checkpoints: best, last, then those named by step, newest first."""
    step = step_of(name)
    return (2, -step) if step is not None else (int(name != BEST), 0)


def is_run_file(name: str) -> bool:
    """Return whether charlstm writes a file of this name to a run's folder."""
    return is_checkpoint(name) or name in (*DERIVED, EVENTS, LOCK, TEXT, TEXT_IDS)
