"""Length-bucketed batches for lists: names, words, short poems, log lines.

A batch holds complete documents of similar length, so a layer is a single call of nn.LSTM with
little padding. Names took half the time of packed windows (`batches`).

Shapes: T longest document, B documents in a batch, D all documents.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from charlstm.config import TrainConfig
from charlstm.system.distributed import World
from charlstm.text.encoded_text import EncodedText
from charlstm.training.batches import Batch, BPTTBatches

# Longer documents are read by truncated BPTT.
_MAX_LENGTH: Final = 256
# Documents sorted by length together: enough for similar lengths, few enough for random batches.
_POOL_SIZE: Final = 4096
# With a smaller fraction of the text in short documents, all of it is read by truncated BPTT.
_MIN_SHORT_FRACTION: Final = 0.05

Integers = npt.NDArray[np.int64]


def batches_of(split: EncodedText, config: TrainConfig, *, bos_id: int, world: World) -> "Batches":
    """Return truncated-BPTT batches, length-bucketed batches for a list, or a mix of both."""
    is_short_D = split.lengths <= min(_MAX_LENGTH, config.chars_per_step)
    short_fraction = split.lengths[is_short_D].sum() / split.num_chars

    def stream(part: EncodedText) -> BPTTBatches:
        return BPTTBatches(
            part,
            bos_id=bos_id,
            batch_size=config.batch_size,
            seq_len=config.seq_len,
            reset_probability=config.reset_probability,
            shard=world.shard(config.batch_size),
        )

    if len(split.starts) == 1 or short_fraction < _MIN_SHORT_FRACTION:
        return stream(split)
    documents = BucketedBatches(
        split,
        np.flatnonzero(is_short_D),
        bos_id=bos_id,
        chars_per_step=config.chars_per_step,
        seed=config.seed,
        rank=world.rank,
        num_processes=world.size,
    )
    if is_short_D.all():
        return documents
    return MixedBatches(
        documents, stream(split.documents(~is_short_D)), short_fraction=float(short_fraction)
    )


class BucketedBatches:
    """Length-bucketed batches of complete documents, in random order, once per epoch.

    The order depends only on the seed and the epoch, so a resumed run continues it exactly.

    Args:
        documents: indices of the documents, each at most `chars_per_step` long.
        chars_per_step: average number of characters in a batch.
        rank, num_processes: select this process's documents of each batch.
    """

    def __init__(
        self,
        split: EncodedText,
        documents: Integers,
        *,
        bos_id: int,
        chars_per_step: int,
        seed: int,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        self._ids = split.ids
        self._start_D, self._length_D = split.starts[documents], split.lengths[documents]
        self._bos_id = bos_id
        self._chars_per_step = chars_per_step
        self._num_batches = -(-int(self._length_D.sum()) // chars_per_step)
        self._seed = seed
        self._rank, self._num_processes = rank, num_processes
        self.cursor = 0
        self._epoch = -1
        self._order, self._edges = np.zeros(0, np.int64), np.zeros(1, np.int64)

    def next(self, generator: torch.Generator) -> Batch:
        """Return the next batch."""
        epoch, number = divmod(self.cursor, self._num_batches)
        if epoch != self._epoch:
            self._order, self._edges = self._shuffled(epoch)
            self._epoch = epoch
        self.cursor += 1
        documents = self._order[self._edges[number] : self._edges[number + 1]]
        own = documents[self._rank :: self._num_processes]
        num_own_chars = self._length_D[own].sum()
        weight = float(num_own_chars * self._num_processes / self._length_D[documents].sum())
        # A process without documents reads the first one with weight 0.
        return self._batch(own if len(own) else documents[:1], weight)

    def _batch(self, documents: Integers, weight: float) -> Batch:
        start_B, length_B = self._start_D[documents], self._length_D[documents]
        offset_T1 = np.arange(int(length_B.max()))[:, None]
        index_TB = np.minimum(start_B + offset_T1, len(self._ids) - 1)
        x_TB = np.where(offset_T1 == 0, self._bos_id, self._ids[index_TB - 1])
        return Batch(
            x_TB=torch.from_numpy(x_TB.astype(np.int64)),
            y_TB=torch.from_numpy(self._ids[index_TB].astype(np.int64)),
            begins_TB=torch.from_numpy(np.broadcast_to(offset_T1 == 0, x_TB.shape).copy()),
            mask_TB=torch.from_numpy(offset_T1 < length_B),
            weight=weight,
        )

    def _shuffled(self, epoch: int) -> tuple[Integers, Integers]:
        """Return an epoch's documents in batch order, and the edges between batches."""
        generator = np.random.default_rng([self._seed, epoch])
        order = generator.permutation(len(self._start_D))
        pool = np.arange(len(order)) // _POOL_SIZE
        # Alternately ascending and descending: batches across two pools also have similar lengths.
        order = order[np.lexsort((self._length_D[order] * (1 - 2 * (pool % 2)), pool))]
        batch = (np.cumsum(self._length_D[order]) - 1) // self._chars_per_step
        # Shuffle the batches: otherwise lengths would rise and fall over each pool.
        by_batch = np.argsort(generator.permutation(self._num_batches)[batch], kind="stable")
        changes = np.flatnonzero(np.diff(batch[by_batch])) + 1
        edges = np.concatenate([[0], changes, [len(order)]])
        assert len(edges) == self._num_batches + 1
        return order[by_batch], edges


class MixedBatches:
    """Batches of short and long documents, interleaved in proportion to their characters.

    Args:
        short_fraction: fraction of the characters in short documents.
    """

    def __init__(self, short: BucketedBatches, long: BPTTBatches, *, short_fraction: float) -> None:
        self._short, self._long = short, long
        self._long_fraction = 1.0 - short_fraction
        self.cursor = 0

    def next(self, generator: torch.Generator) -> Batch:
        """Return the next batch."""
        num_long = int(self.cursor * self._long_fraction)
        is_long = int((self.cursor + 1) * self._long_fraction) > num_long
        chosen: BPTTBatches | BucketedBatches = self._long if is_long else self._short
        chosen.cursor = num_long if is_long else self.cursor - num_long
        self.cursor += 1
        return chosen.next(generator)


# Each has `next` and a `cursor`, the number of batches read, which is its entire state.
Batches = BPTTBatches | BucketedBatches | MixedBatches
