"""Tampered checkpoints with a valid digest."""

import json
from typing import Any

import safetensors.numpy

from charlstm.model.checkpoints import Checkpoint
from charlstm.system.tensor_file import Array, to_bytes


def parts_of(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the tensors of a checkpoint file, and its header without the digest."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["charlstm"])
    del header["digest"]
    return safetensors.numpy.load(content), header


def edited(checkpoint: Checkpoint, edit) -> bytes:
    """Return a file with a changed header and a matching digest."""
    arrays, header = parts_of(checkpoint.to_bytes())
    edit(header)
    try:
        return to_bytes(arrays, header)
    except ValueError:  # infinity and NaN have no digest and must be rejected anyway
        return safetensors.numpy.save(arrays, {"charlstm": json.dumps(header)})
