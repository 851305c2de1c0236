"""Batches for truncated backpropagation through time (BPTT).

The training text is read as a ring. Stream b of B starts at b/B of the text and never ends: states
carry over from batch to batch, no character is skipped, and window edges differ between epochs. The
position in the text is a single cursor, the number of batches read.

Windows are split into segments at document starts, because nn.LSTM can't reset its state
mid-sequence. The segments are packed as in a PackedSequence: side by side, longest first, each with
its own initial state, so a list of names costs little more than one long text.

Shapes: T sequence length, B batch size, P segments.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlstm.text.encoded_text import EncodedText

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One window of every stream, or complete documents side by side.

    Args:
        x_TB: input ids, int64 [T, B].
        y_TB: target ids, int64 [T, B].
        begins_TB: where a stream restarts from a zero state, bool [T, B].
        mask_TB: padding mask of complete documents, false for padding, bool [T, B]; None for
            streams, whose state carries over to the next window.
        weight: loss weight of this process, 1 on average over processes.
    """

    x_TB: Tensor
    y_TB: Tensor
    begins_TB: Tensor
    mask_TB: Tensor | None = None
    weight: float = 1.0

    @property
    def is_unsplit(self) -> bool:
        """Whether no stream restarts after the window's first step."""
        return self.mask_TB is None and not self.begins_TB[1:].any()


class BPTTBatches:
    """Truncated-BPTT batches of a training split.

    At each document start, the stream restarts from a zero state with BOS as its first input. The
    same happens with `reset_probability` per window, so that the model learns to start from BOS in
    a running text, as `sample` and `eval` do.

    Args:
        shard: this process's streams; all by default.
    """

    def __init__(
        self,
        split: EncodedText,
        *,
        bos_id: int,
        batch_size: int,
        seq_len: int,
        reset_probability: float,
        shard: slice = slice(None),
    ) -> None:
        self._ids = split.ids
        self._starts = split.starts
        self._bos_id = bos_id
        self._origin_B = np.arange(batch_size, dtype=np.int64) * split.num_chars // batch_size
        self._offset_T = np.arange(seq_len, dtype=np.int64)
        self._reset_probability = reset_probability
        self._shard = shard
        self.cursor = 0

    def next(self, generator: torch.Generator) -> Batch:
        """Return the next window of each stream; `generator` draws the streams to reset."""
        start_B = self._origin_B[self._shard] + self.cursor * len(self._offset_T)
        index_TB = (self._offset_T[:, None] + start_B) % len(self._ids)
        # Drawn for all streams, to keep the generators of all processes in the same state.
        reset_B = torch.rand(len(self._origin_B), generator=generator) < self._reset_probability
        if self.cursor == 0:
            reset_B.fill_(value=True)
        begins_TB = self._is_document_start(index_TB)
        begins_TB[0] |= reset_B.numpy()[self._shard]
        x_TB = np.where(begins_TB, self._bos_id, self._ids[index_TB - 1])
        self.cursor += 1
        return Batch(
            x_TB=torch.from_numpy(x_TB.astype(np.int64)),
            y_TB=torch.from_numpy(self._ids[index_TB].astype(np.int64)),
            begins_TB=torch.from_numpy(begins_TB),
        )

    def _is_document_start(self, index_TB: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        document_TB = np.searchsorted(self._starts, index_TB, side="right") - 1
        is_start: npt.NDArray[np.bool_] = self._starts[document_TB] == index_TB
        return is_start


@dataclass(frozen=True, kw_only=True)
class PackedChunk:
    """Consecutive time steps of a packed window with the same segments.

    Args:
        index_TP: flat indices into the window, t * B + b; arbitrary past the end of a segment.
        ended: indices of the segments that end here because the window ends; their final states
            carry over to the next window.
    """

    index_TP: Integers
    ended: Integers


@dataclass(frozen=True, kw_only=True)
class PackedWindow:
    """Window packed into segments.

    Args:
        stream_P: the stream of each segment.
        begins_P: whether a segment starts from a zero state or from its stream's state.
        chunks: in time order; each continues those segments of the previous one that are longer,
            which come first.
        order_TB: for each position of the window, its index in the concatenated `index_TP`.
        stream_order_B: for each stream, its index in the concatenated `ended`.
    """

    stream_P: Integers
    begins_P: npt.NDArray[np.bool_]
    chunks: tuple[PackedChunk, ...]
    order_TB: Integers
    stream_order_B: Integers

    @property
    def is_unsplit(self) -> bool:
        """Whether no stream was split, so that the packed order is the window's order."""
        return bool(len(self.stream_P) == self.order_TB.shape[1])

    @classmethod
    def of(cls, begins_TB: npt.NDArray[np.bool_]) -> "PackedWindow":
        """Pack a window, split at its document starts, bool [T, B]."""
        seq_len, batch_size = begins_TB.shape
        is_first_TB = begins_TB.copy()
        is_first_TB[0] = True
        stream_P, time_P = np.nonzero(is_first_TB.T)
        is_last_P = np.append(stream_P[1:] != stream_P[:-1], True)
        length_P = np.where(is_last_P, seq_len, np.append(time_P[1:], 0)) - time_P
        longest_first = np.argsort(-length_P, kind="stable")
        stream_P, time_P, length_P, is_last_P = (
            values[longest_first] for values in (stream_P, time_P, length_P, is_last_P)
        )
        chunks = []
        order_TB = np.empty((seq_len, batch_size), np.int64)
        num_packed = 0
        # A chunk ends only where a segment's final state carries over to the next window.
        ends = np.unique(length_P[is_last_P])
        for start, end in pairwise([0, *ends[ends < length_P[0]], length_P[0]]):
            num_segments = int(np.count_nonzero(length_P > start))
            offset_T1 = np.arange(start, end)[:, None]
            time_TP = np.minimum(time_P[:num_segments] + offset_T1, seq_len - 1)
            index_TP = time_TP * batch_size + stream_P[:num_segments]
            is_inside_TP = offset_T1 < length_P[:num_segments]
            inside = np.flatnonzero(is_inside_TP)
            order_TB.ravel()[index_TP.ravel()[inside]] = num_packed + inside
            num_packed += index_TP.size
            ended = np.flatnonzero(is_last_P & (length_P == end))
            chunks.append(PackedChunk(index_TP=index_TP, ended=ended))
        stream_order = np.concatenate([stream_P[chunk.ended] for chunk in chunks])
        return cls(
            stream_P=stream_P,
            begins_P=begins_TB[time_P, stream_P],
            chunks=tuple(chunks),
            order_TB=order_TB,
            stream_order_B=np.argsort(stream_order),
        )
