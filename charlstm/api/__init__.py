"""Use charlstm from Python: train, load, predict, sample, score, look inside.

    loading         a run or a file -> `Model`; the list of runs
    model           everything that a trained model can do, without torch; start here: `Model`
    classification  which of several models predicts a text best
    training        the command `charlstm train` as a function
    results         surprisal, gates and states of a text

Input: names, paths, texts. Output: a `Model` and plain results.
"""

from typing import Any

__all__ = ["Model", "classify", "load", "open_model", "runs", "train"]

_HOMES = {
    "Model": "model",
    "classify": "classification",
    "load": "loading",
    "open_model": "loading",
    "runs": "loading",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    # What isn't asked for isn't loaded.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"charlstm.api.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
