"""Checkpoints as somebody makes them who wants harm: changed, with a digest that is right."""

import hashlib
import json
import struct

import safetensors.numpy

from charlstm.model.checkpoints import Checkpoint


def edited(checkpoint: Checkpoint, edit) -> bytes:
    """A file with a changed header and a digest that is right all the same."""
    data = checkpoint.to_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    outer = json.loads(data[8 : 8 + length])
    header = json.loads(outer["__metadata__"]["charlstm"])
    edit(header)
    header["digest"] = "0" * 64
    arrays = safetensors.numpy.load(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    data = safetensors.numpy.save(arrays, {"charlstm": text})
    place = data.index(b'\\"digest\\":\\"') + len(b'\\"digest\\":\\"')
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:place] + digest + data[place + 64 :]
