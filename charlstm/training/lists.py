"""Batches of whole documents, for lists: names, words, short poems, lines of a log.

Documents of like length lie side by side, each read once from its beginning to its end, so that a
layer is one call of nn.LSTM and hardly anything is filling. Names took half the time that they take
as pieces of windows.

Shapes: T longest document, B documents of a batch.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from charlstm.config import TrainConfig
from charlstm.system.distributed import World
from charlstm.text.split import Split
from charlstm.training.batches import Batch, BatchStream

# Longer documents are read as streams, window after window, with their state carried along.
_LONGEST: Final = 256
# Documents that are sorted by length together: enough to find neighbors of like length, few enough
# that a batch is a random choice.
_POOL: Final = 4096
# With less of a text in short documents, streams do for all of it.
_LEAST_SHARE: Final = 0.05

Integers = npt.NDArray[np.int64]


def batches_of(split: Split, config: TrainConfig, *, boundary: int, world: World) -> "Batches":
    """Streams of a running text, whole documents of a list, or both by turns."""
    longest = min(_LONGEST, config.chars_per_step)
    is_short_D = split.lengths <= longest
    share = split.lengths[is_short_D].sum() / split.num_chars

    def stream(part: Split) -> BatchStream:
        return BatchStream(
            part,
            boundary=boundary,
            batch_size=config.batch_size,
            seq_len=config.seq_len,
            reset_probability=config.reset_probability,
            shard=world.share(config.batch_size),
        )

    if len(split.starts) == 1 or share < _LEAST_SHARE:
        return stream(split)
    documents = DocumentBatches(
        split,
        np.flatnonzero(is_short_D),
        boundary=boundary,
        chars_per_step=config.chars_per_step,
        seed=config.seed,
        rank=world.rank,
        num_processes=world.size,
    )
    if is_short_D.all():
        return documents
    return MixedBatches(documents, stream(split.documents(~is_short_D)), share=float(share))


class DocumentBatches:
    """Whole documents in random order, all of them once in each epoch.

    The order of an epoch follows from the seed and its number: so a resumed run goes on where it
    was.

    Args:
        documents: their numbers; none of them longer than a step.
        chars_per_step: of a batch, on average.
        rank, num_processes: each process gets its share of a batch's documents.
    """

    def __init__(
        self,
        split: Split,
        documents: Integers,
        *,
        boundary: int,
        chars_per_step: int,
        seed: int,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        self._ids = split.ids
        self._start_D, self._length_D = split.starts[documents], split.lengths[documents]
        self._boundary = boundary
        self._chars_per_step = chars_per_step
        self._num_batches = -(-int(self._length_D.sum()) // chars_per_step)
        self._seed = seed
        self._rank, self._num_processes = rank, num_processes
        self.cursor = 0
        self._epoch = -1
        self._order, self._edges = np.zeros(0, np.int64), np.zeros(1, np.int64)

    def next(self, generator: torch.Generator) -> Batch:
        """The next batch."""
        epoch, number = divmod(self.cursor, self._num_batches)
        if epoch != self._epoch:
            self._order, self._edges = self._shuffled(epoch)
            self._epoch = epoch
        self.cursor += 1
        documents = self._order[self._edges[number] : self._edges[number + 1]]
        mine = documents[self._rank :: self._num_processes]
        # Where there are fewer than processes, some learn nothing from the first.
        num_mine = self._length_D[mine].sum()
        weight = float(num_mine * self._num_processes / self._length_D[documents].sum())
        return self._batch(mine if len(mine) else documents[:1], weight)

    def _batch(self, documents: Integers, weight: float) -> Batch:
        start_B, length_B = self._start_D[documents], self._length_D[documents]
        offset_T1 = np.arange(int(length_B.max()))[:, None]
        place_TB = np.minimum(start_B + offset_T1, len(self._ids) - 1)
        x_TB = np.where(offset_T1 == 0, self._boundary, self._ids[place_TB - 1])
        return Batch(
            x_TB=torch.from_numpy(x_TB.astype(np.int64)),
            y_TB=torch.from_numpy(self._ids[place_TB].astype(np.int64)),
            begins_TB=torch.from_numpy(np.broadcast_to(offset_T1 == 0, x_TB.shape).copy()),
            counts_TB=torch.from_numpy(offset_T1 < length_B),
            weight=weight,
        )

    def _shuffled(self, epoch: int) -> tuple[Integers, Integers]:
        """The documents of an epoch, batch after batch, and where the batches begin."""
        generator = np.random.default_rng([self._seed, epoch])
        order = generator.permutation(len(self._start_D))
        pool = np.arange(len(order)) // _POOL
        # Up and down by turns, so that a batch across two pools has like lengths, too.
        order = order[np.lexsort((self._length_D[order] * (1 - 2 * (pool % 2)), pool))]
        # A batch ends with the document whose last character fills it.
        batch = (np.cumsum(self._length_D[order]) - 1) // self._chars_per_step
        # In random order, or each pool would begin with its shortest documents.
        place = np.argsort(generator.permutation(self._num_batches)[batch], kind="stable")
        changes = np.flatnonzero(np.diff(batch[place])) + 1
        edges = np.concatenate([[0], changes, [len(order)]])
        assert len(edges) == self._num_batches + 1
        return order[place], edges


class MixedBatches:
    """Short documents and long ones by turns, in proportion to their characters."""

    def __init__(self, short: DocumentBatches, long: BatchStream, *, share: float) -> None:
        self._short, self._long = short, long
        self._long_share = 1.0 - share
        self.cursor = 0

    def next(self, generator: torch.Generator) -> Batch:
        """The next batch of either."""
        num_long = int(self.cursor * self._long_share)
        is_long = int((self.cursor + 1) * self._long_share) > num_long
        chosen: BatchStream | DocumentBatches = self._long if is_long else self._short
        chosen.cursor = num_long if is_long else self.cursor - num_long
        self.cursor += 1
        return chosen.next(generator)


# Each has `next`, and a `cursor`: the number of batches read, which is all of its state.
Batches = BatchStream | DocumentBatches | MixedBatches
