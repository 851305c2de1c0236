"""Use charlstm from Python: train, load, predict, sample, score and inspect.

    loading         load a `Model` from a run or file; list runs
    model           `Model`, a trained model; mostly without torch; start here
    classification  find the best of several models for each text
    training        `charlstm train` as a function
    results         surprisals, gates and states of a text

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
    # Import lazily.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"charlstm.api.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
