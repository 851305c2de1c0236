"""What a store looks like on the disk: the names of its files and folders.

STORE/RUN/best.safetensors           weights with the best validation
STORE/RUN/last.safetensors           weights and all that `--resume` needs
STORE/RUN/step-00001234.safetensors  a few earlier `last`s, in case the newest is damaged
STORE/RUN/counts.safetensors         n-grams of the training text, once they were asked for
STORE/RUN/percentiles.safetensors    costs of validation items, once `score` asked for them
STORE/RUN/events.jsonl               what happened, one JSON object a line
STORE/RUN/tensorboard/               curves, where they are asked for
STORE/RUN/text.npy                   ids of the encoded text; text.safetensors: all else of it
STORE/RUN/lock                       held by the one process that trains the run

A run's folder is all of the run.
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
# Made from the best model and the text, and made again where they are missing.
DERIVED: Final = (COUNTS, PERCENTILES, PERCENTILES_WITH_COUNTS)
# A model that comes with the package, by its name alone.
EXAMPLE: Final = "example"
EXAMPLE_FILE: Final = f"example{SUFFIX}"
# In a folder for the Hugging Face Hub.
HUB_MODEL: Final = f"model{SUFFIX}"

_STEP: Final = re.compile(rf"step-(\d{{8,}}){re.escape(SUFFIX)}")


def step_file(step: int) -> str:
    """The name under which the last checkpoint of a step is kept."""
    return f"step-{step:08d}{SUFFIX}"


def step_of(name: str) -> int | None:
    """The step of a kept checkpoint's name; None for another name."""
    match = _STEP.fullmatch(name)
    return None if match is None else int(match[1])


def is_checkpoint(name: str) -> bool:
    return name in (BEST, LAST) or step_of(name) is not None


def order_of(name: str) -> tuple[int, int]:
    """Sorts checkpoints: best, last, then the kept ones, the newest first."""
    step = step_of(name)
    return (2, -step) if step is not None else (int(name != BEST), 0)


def is_run_file(name: str) -> bool:
    """Return whether a file of this name in a run's folder is charlstm's own."""
    return is_checkpoint(name) or name in (*DERIVED, EVENTS, LOCK, TEXT, TEXT_IDS)
