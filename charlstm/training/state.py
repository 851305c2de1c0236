"""Validated access to the entries of a state_dict, which may come from an untrusted checkpoint.

Every part of training has `state_dict` and `load_state_dict`. A state_dict maps dotted names to
tensors, or is a dictionary of plain numbers.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from charlstm.errors import CheckpointError

_Value = TypeVar("_Value")


def entry(state: Mapping[str, _Value], name: str) -> _Value:
    """Return an entry of a state_dict.

    Raises:
        CheckpointError: if it is missing.
    """
    if name not in state:
        raise CheckpointError(f"{name} is missing")
    return state[name]


def tensor_entry(
    state: Mapping[str, Tensor],
    name: str,
    shape: Sequence[int],
    *,
    minimum: float | None = None,
) -> Tensor:
    """Return a float32 tensor of a state_dict.

    Args:
        minimum: smallest valid value; None for no minimum.

    Raises:
        CheckpointError: if it is missing, has another shape or dtype, or contains invalid values.
    """
    value = entry(state, name)
    if value.dtype is not torch.float32 or tuple(value.shape) != tuple(shape):
        raise CheckpointError(
            f"{name} is {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}, "
            f"not float32 {tuple(shape)}"
        )
    if not value.isfinite().all() or (minimum is not None and bool((value < minimum).any())):
        raise CheckpointError(f"{name} contains invalid values")
    return value


def with_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state_dict with `prefix` and a dot added to all names."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def without_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of a state_dict with this prefix, without it."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): value for name, value in state.items() if name.startswith(start)
    }
