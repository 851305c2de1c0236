"""How well a model predicts a text: sums first, divided once at the end.

Shapes: T window length, B documents scored side by side, N characters, V symbols that can be
predicted.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlstm.evaluation.scores import (
    ContextScore,
    Evaluation,
    Prediction,
    Progress,
    Scores,
    require_finite,
    unseen,
)
from charlstm.model.network import CharLSTM
from charlstm.system.distributed import ALONE, World
from charlstm.text.split import Split
from charlstm.text.vocabulary import UNKNOWN
from charlstm.text.walk import side_by_side

# Documents side by side: at least so many, of short ones more, as many as have these characters.
_BATCH_SIZE: Final = 64
_BATCH_CHARS: Final = 1 << 14
_MAX_WINDOW: Final = 512
_MAX_LOGITS: Final = 1 << 22  # per window: 16 MB in float32
# Of them, what stays in a core's cache while it is walked through again and again.
_CACHED_LOGITS: Final = 1 << 18
_TEMPERATURES: Final = (1.0, 1.04, 1.08, 1.12, 1.16)
_MIN_CALIBRATION_CHARS: Final = 2000
# Length of context, and how many windows of it: as many as make the figure sure to a few hundredths
# of a bit in a few seconds.
_CONTEXTS: Final = ((1, 8192), (10, 4096), (100, 512), (1000, 128))
# What `score_by_context` reads at most.
MAX_CONTEXT_CHARS: Final = sum((length + 1) * number for length, number in _CONTEXTS)


@torch.inference_mode()
def score(model: CharLSTM, split: Split, *, progress: Progress = unseen) -> Scores:
    """Score every character of every document once, in float32, state carried through each.

    Args:
        progress: told how many more characters are scored, again and again.

    Raises:
        CorpusError: when there are no characters.
    """
    scores = Scores.empty(split.num_chars)
    for logits_NV, y_N, place_N in _predictions(model, split):
        put_scores(scores, place_N, model.log_probabilities(logits_NV), y_N)
        progress(len(place_N))
    return scores


@torch.inference_mode()
def predictions(
    model: CharLSTM, split: Split, *, progress: Progress = unseen
) -> Iterator[Prediction]:
    """The distribution of every character, in any order, read as `score` does.

    Raises:
        CheckpointError: when finite weights gave costs that are not finite.
    """
    for logits_NV, _, place_N in _predictions(model, split):
        yield place_N, model.log_probabilities(logits_NV).cpu().numpy()
        progress(len(place_N))


def put_scores(
    scores: Scores, place_N: npt.NDArray[np.int64], log_p_NV: Tensor, y_N: Tensor
) -> None:
    """As `Scores.put`, computed on the model's device.

    Raises:
        CheckpointError: when finite weights gave costs that are not finite.
    """
    log_p_N1 = log_p_NV.gather(-1, y_N[:, None])
    rank_N = (log_p_NV > log_p_N1).sum(-1) + (y_N == UNKNOWN) * log_p_NV.shape[-1]
    nats_N = -log_p_N1[:, 0].cpu().numpy()
    require_finite(nats_N)
    scores.nats_N[place_N] = nats_N
    scores.rank_N[place_N] = rank_N.cpu().numpy()
    scores.confidence_N[place_N] = log_p_NV.amax(-1).exp().cpu().numpy()


@torch.inference_mode()
def fit_temperature(
    model: CharLSTM, split: Split, *, world: World = ALONE
) -> tuple[float, Evaluation]:
    """Find the softmax temperature that suits a text best (Guo et al. 2017).

    A model that has seen its training text several times is overconfident on other text.

    Args:
        world: the processes that score together, each its share of the documents.

    Returns:
        The temperature, and the evaluation with all logits divided by it.
    """
    # On a shorter text even a single number would overfit.
    temperatures = _TEMPERATURES if split.num_chars >= _MIN_CALIBRATION_CHARS else (1.0,)
    nats = [0.0 for _ in temperatures]
    num_correct = 0
    chunk = max(1, _CACHED_LOGITS // model.config.num_outputs)
    for all_logits_NV, all_y_N, _ in _predictions(model, split, world):
        for first in range(0, len(all_y_N), chunk):
            logits_NV, y_N = all_logits_NV[first : first + chunk], all_y_N[first : first + chunk]
            num_correct += int(((logits_NV.argmax(-1) == y_N) & (y_N != UNKNOWN)).sum())
            for number, temperature in enumerate(temperatures):
                log_p_N = model.log_probabilities_of(logits_NV / temperature, y_N)
                nats[number] -= float(log_p_N.cpu().double().sum())
    *nats, all_correct = world.sum([*nats, num_correct])
    temperature, least = min(zip(temperatures, nats, strict=True), key=lambda pair: pair[1])
    return temperature, Evaluation.of(split, nats=least, num_correct=int(all_correct))


def score_by_context(
    model: CharLSTM,
    split: Split,
    *,
    generator: np.random.Generator,
    progress: Progress = unseen,
) -> list[ContextScore]:
    """The cost of a character by how many characters before it the model knows: 1, 10, 100, 1000.

    Windows at random places, each from an empty context; of each its last tenth counts. Lengths
    that no document has are left out.

    Args:
        progress: as of `score`; told of `MAX_CONTEXT_CHARS` at most.
    """
    found = []
    for num_context, num_windows in _CONTEXTS:
        window = num_context + 1
        num_places = np.maximum(split.lengths - num_context, 0)
        if not num_places.any():
            break
        # A place is equally likely whatever document it stands in.
        place_W = generator.integers(0, num_places.sum(), num_windows)
        document_W = np.searchsorted(np.cumsum(num_places), place_W, "right")
        first_W = (
            split.starts[document_W] + place_W - (np.cumsum(num_places) - num_places)[document_W]
        )
        windows = Split(
            ids=split.ids[first_W[:, None] + np.arange(window)].ravel(),
            starts=np.arange(num_windows, dtype=np.int64) * window,
        )
        scores = score(model, windows, progress=progress)
        num_counted = max(1, num_context // 10)
        nats_per_char = float(scores.nats_N.reshape(-1, window)[:, -num_counted:].mean())
        found.append(ContextScore(num_context=num_context, nats_per_char=nats_per_char))
    return found


def _predictions(
    model: CharLSTM, split: Split, world: World = ALONE
) -> Iterator[tuple[Tensor, Tensor, npt.NDArray[np.int64]]]:
    """Logits [N, V], the characters that tracked [N] and their places, over all characters.

    In any order.
    """
    windows = side_by_side(
        split,
        num_documents=_BATCH_SIZE,
        num_chars=_BATCH_CHARS,
        max_steps=_MAX_WINDOW,
        max_chars=_MAX_LOGITS // model.config.num_outputs,
        share=slice(world.rank, None, world.size),
    )
    state = model.zero_state(1)
    for place_TB, is_inside_TB, is_first in windows:
        num_documents = place_TB.shape[1]
        state = model.zero_state(num_documents) if is_first else state.first(num_documents)
        x_TB = split.ids[place_TB - 1].astype(np.int64)
        if is_first:
            x_TB[0] = model.config.boundary
        logits_TBV, state = model(as_tensor(x_TB, model), state)
        place_N = place_TB[is_inside_TB]
        logits_NV = logits_TBV[torch.from_numpy(is_inside_TB).to(model.device)]
        yield logits_NV, as_tensor(split.ids[place_N], model), place_N


def as_tensor(ids: npt.NDArray[np.integer], model: CharLSTM) -> Tensor:
    """Ids as int64 on the model's device."""
    return torch.from_numpy(ids.astype(np.int64)).to(model.device)
