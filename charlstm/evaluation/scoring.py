"""Score a text with a model in torch.

Shapes: T window length, B documents in a batch, N characters, V tokens that can be predicted.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlstm.evaluation.scores import (
    CharLosses,
    ContextScore,
    Evaluation,
    Prediction,
    Progress,
    no_progress,
)
from charlstm.model.lstm import CharLSTM
from charlstm.system.distributed import SINGLE_PROCESS, World
from charlstm.text.encoded_text import EncodedText, parallel_windows
from charlstm.text.vocabulary import UNKNOWN

# Minimum number of documents in a batch; short documents are batched up to _BATCH_CHARS.
_BATCH_SIZE: Final = 64
_BATCH_CHARS: Final = 1 << 14
_MAX_WINDOW: Final = 512
_MAX_LOGITS: Final = 1 << 22  # per window, 16 MB in float32
# Logits processed at a time for all temperatures, so that they stay in a core's cache.
_CACHED_LOGITS: Final = 1 << 18
_TEMPERATURES: Final = (1.0, 1.04, 1.08, 1.12, 1.16)
_MIN_CALIBRATION_CHARS: Final = 2000
# (context length, number of windows): precise to a few hundredths of a bit, in a few seconds.
_CONTEXTS: Final = ((1, 8192), (10, 4096), (100, 512), (1000, 128))
# Characters that `score_by_context` reads, at most.
MAX_CONTEXT_CHARS: Final = sum((length + 1) * number for length, number in _CONTEXTS)


def score(model: CharLSTM, text: EncodedText, *, progress: Progress = no_progress) -> CharLosses:
    """Score every character once, in float32; the state is carried within documents.

    Args:
        progress: called with the number of characters scored since the last call.

    Raises:
        CorpusError: when there are no characters.
    """
    return CharLosses.of(predictions(model, text, progress=progress), text)


@torch.inference_mode()
def predictions(
    model: CharLSTM, text: EncodedText, *, progress: Progress = no_progress
) -> Iterator[Prediction]:
    """Yield the predictions of every character, in no particular order.

    Args:
        progress: as in `score`.
    """
    for logits_NV, _, position_N in _predictions(model, text):
        yield position_N, model.log_probabilities(logits_NV).cpu().numpy()
        progress(len(position_N))


@torch.inference_mode()
def fit_temperature(
    model: CharLSTM, text: EncodedText, *, world: World = SINGLE_PROCESS
) -> tuple[float, Evaluation]:
    """Find the softmax temperature with the lowest loss on a text (Guo et al. 2017).

    A model that has seen its training text several times is overconfident on other text.

    Args:
        world: the processes that score together, each a part of the documents.

    Returns:
        The temperature, and the evaluation with all logits divided by it.
    """
    # On a shorter text even this one parameter would overfit.
    temperatures = _TEMPERATURES if text.num_chars >= _MIN_CALIBRATION_CHARS else (1.0,)
    nats = [0.0 for _ in temperatures]
    num_correct = 0
    chunk = max(1, _CACHED_LOGITS // model.config.num_outputs)
    for all_logits_NV, all_y_N, _ in _predictions(model, text, world):
        for first in range(0, len(all_y_N), chunk):
            logits_NV, y_N = all_logits_NV[first : first + chunk], all_y_N[first : first + chunk]
            num_correct += int(((logits_NV.argmax(-1) == y_N) & (y_N != UNKNOWN)).sum())
            for number, temperature in enumerate(temperatures):
                log_p_N = model.target_log_probabilities(logits_NV / temperature, y_N)
                nats[number] -= float(log_p_N.cpu().double().sum())
    *nats, all_correct = world.all_reduce([*nats, num_correct])
    temperature, min_nats = min(zip(temperatures, nats, strict=True), key=lambda pair: pair[1])
    return temperature, Evaluation.of(text, nats=min_nats, num_correct=int(all_correct))


def score_by_context(
    model: CharLSTM,
    text: EncodedText,
    *,
    generator: np.random.Generator,
    progress: Progress = no_progress,
) -> list[ContextScore]:
    """Return the loss per character with 1, 10, 100 and 1000 characters of context.

    Windows start at random positions, from a zero state. The loss is averaged over the last tenth
    of each, so "100" covers 90 to 100 characters of context. Context lengths longer than every
    document are omitted.

    Args:
        progress: as in `score`; receives up to `MAX_CONTEXT_CHARS` characters in total.
    """
    context_scores = []
    for num_context, num_windows in _CONTEXTS:
        window = num_context + 1
        num_positions = np.maximum(text.lengths - num_context, 0)
        if not num_positions.any():
            break
        # Uniform over all positions, whatever their document.
        position_W = generator.integers(0, num_positions.sum(), num_windows)
        document_W = np.searchsorted(np.cumsum(num_positions), position_W, "right")
        first_W = (
            text.starts[document_W]
            + position_W
            - (np.cumsum(num_positions) - num_positions)[document_W]
        )
        windows = EncodedText(
            ids=text.ids[first_W[:, None] + np.arange(window)].ravel(),
            starts=np.arange(num_windows, dtype=np.int64) * window,
        )
        scores = score(model, windows, progress=progress)
        num_scored = max(1, num_context // 10)
        nats_per_char = float(scores.nats_N.reshape(-1, window)[:, -num_scored:].mean())
        context_scores.append(ContextScore(num_context=num_context, nats_per_char=nats_per_char))
    return context_scores


def _predictions(
    model: CharLSTM, text: EncodedText, world: World = SINGLE_PROCESS
) -> Iterator[tuple[Tensor, Tensor, npt.NDArray[np.int64]]]:
    """Yield (logits [N, V], targets [N], positions [N]) batch by batch, in no particular order."""
    windows = parallel_windows(
        text,
        num_documents=_BATCH_SIZE,
        num_chars=_BATCH_CHARS,
        max_steps=_MAX_WINDOW,
        max_chars=_MAX_LOGITS // model.config.num_outputs,
        shard=slice(world.rank, None, world.size),
    )
    state = model.zero_state(1)
    for position_TB, is_inside_TB, is_first in windows:
        num_documents = position_TB.shape[1]
        state = model.zero_state(num_documents) if is_first else state.first(num_documents)
        x_TB = text.ids[position_TB - 1].astype(np.int64)
        if is_first:
            x_TB[0] = model.config.bos_id
        logits_TBV, state = model(as_tensor(x_TB, model), state)
        position_N = position_TB[is_inside_TB]
        logits_NV = logits_TBV[torch.from_numpy(is_inside_TB).to(model.device)]
        yield logits_NV, as_tensor(text.ids[position_N], model), position_N


def as_tensor(ids: npt.NDArray[np.integer], model: CharLSTM) -> Tensor:
    """Return ids as an int64 tensor on the model's device."""
    return torch.from_numpy(ids.astype(np.int64)).to(model.device)
