"""Reading a training state from a checkpoint, which anybody may have written.

Every part of training has `state_dict` and `load_state_dict`: tensors by dotted names where it
holds tensors, a dictionary of plain numbers otherwise. A missing entry is an error by its name.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from charlstm.errors import CheckpointError

_Value = TypeVar("_Value")


def entry(state: Mapping[str, _Value], name: str) -> _Value:
    """Return an entry of a state.

    Raises:
        CheckpointError: when it is missing.
    """
    if name not in state:
        raise CheckpointError(f"{name} is missing")
    return state[name]


def tensor_entry(
    state: Mapping[str, Tensor],
    name: str,
    shape: Sequence[int],
    *,
    least: float | None = None,
) -> Tensor:
    """Return a float32 tensor of a state.

    Args:
        least: the smallest value that training can give; None for any.

    Raises:
        CheckpointError: when it is missing, has another shape or type, or impossible values.
    """
    value = entry(state, name)
    if value.dtype is not torch.float32 or tuple(value.shape) != tuple(shape):
        raise CheckpointError(
            f"{name} is {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}, "
            f"not float32 {tuple(shape)}"
        )
    if not value.isfinite().all() or (least is not None and bool((value < least).any())):
        raise CheckpointError(f"{name} holds values that no training gives")
    return value


def with_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a part's state under the names that the whole gives it."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def without_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a part's state under its own names."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): value for name, value in state.items() if name.startswith(start)
    }
