"""The file with an interpolated n-gram model, next to the run's checkpoints.

It has the checkpoints' format (`system.tensor_file`) and belongs to one text and one LSTM; for
others it is rejected, and the n-grams are counted again.

It holds the last token and the discounted probability of each n-gram, and the number of
continuations of each context; the rest is derived.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import TensorFileError
from charlstm.ngram.interpolation import InterpolatedNgrams, LogLinearWeights
from charlstm.ngram.kneser_ney import MAX_ORDER, Level, NgramModel
from charlstm.system.files import replace_file
from charlstm.system.tensor_file import TensorFile, open_tensor_file, to_bytes
from charlstm.text.tokenizer import CharTokenizer

_FORMAT: Final = 2
_ARRAYS: Final = ("symbols", "shares", "continuations")
_MAX_WEIGHT: Final = 100.0
_MAX_NATS: Final = 1000.0


def file_owner(weights: Mapping[str, npt.NDArray[Any]], fingerprint: str) -> str:
    """Return the digest of the model and its training text that an n-gram file belongs to."""
    digest = hashlib.sha256(fingerprint.encode())
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()


def write_ngrams(path: Path, ngrams: InterpolatedNgrams, *, owner: str, mode: int) -> None:
    """Write a file atomically.

    Args:
        mode: permissions of the new file, before the umask.

    Raises:
        OSError: if it can't be written.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"mixture": ngrams.mixture.weights_K2}
    for number, level in enumerate(ngrams.ngrams.levels):
        continuations_C = np.diff(level.first_C)
        values: tuple[npt.NDArray[Any], ...] = (
            level.token_G,
            level.discounted_G,
            continuations_C.astype(np.min_scalar_type(int(continuations_C.max(initial=0)))),
        )
        arrays |= {f"{number}.{name}": value for name, value in zip(_ARRAYS, values, strict=True)}
    header = {
        "format": _FORMAT,
        "owner": owner,
        "order": ngrams.ngrams.order,
        "val_nats_per_char": ngrams.val_nats_per_char,
    }
    with replace_file(path, mode=mode) as file:
        file.write(to_bytes(arrays, header))


def read_ngrams(path: Path, tokenizer: CharTokenizer, *, owner: str) -> InterpolatedNgrams:
    """Read a file.

    Raises:
        TensorFileError: if it is damaged, or belongs to another model or text.
        OSError: if it can't be read.
    """
    with _open_own(path, owner) as file:
        return _interpolated_ngrams(file.header, file.read(), tokenizer)


def read_val_nats(path: Path, *, owner: str) -> float | None:
    """Return the n-gram model's validation loss in nats per character, or None if not in the file.

    Raises:
        TensorFileError, OSError: as `read_ngrams` does.
    """
    with _open_own(path, owner) as file:
        return _val_nats(file.header)


@contextlib.contextmanager
def _open_own(path: Path, owner: str) -> Iterator[TensorFile]:
    with open_tensor_file(path) as file:
        if file.header.get("format") != _FORMAT or file.header.get("owner") != owner:
            raise TensorFileError("belongs to another model, text or version")
        try:
            yield file
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TensorFileError(f"is damaged: {str(error)[:200]}") from error


def _val_nats(header: Mapping[str, Any]) -> float | None:
    nats = header.get("val_nats_per_char")
    if nats is None:
        return None
    if type(nats) is not float or not 0 <= nats <= _MAX_NATS:
        raise ValueError(f"its validation loss is invalid: {nats!r}")
    return nats


def _interpolated_ngrams(
    header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], tokenizer: CharTokenizer
) -> InterpolatedNgrams:
    """Check and convert a file's content, which is untrusted."""
    order = header["order"]
    if type(order) is not int or not 0 <= order <= MAX_ORDER:
        raise ValueError(f"its order is invalid: {order!r}")
    levels: list[Level] = []
    num_contexts = 1
    for number in range(order + 1):
        levels.append(_level(arrays, number, num_contexts, tokenizer.bos_id + 1))
        num_contexts = len(levels[-1].key_G)
    if len(levels[0].key_G) != tokenizer.bos_id + 1:
        raise ValueError("its vocabulary is another one")
    weights_K2 = arrays["mixture"]
    if weights_K2.dtype != np.float64 or weights_K2.shape != (order + 1, 2):
        raise ValueError("its interpolation weights have the wrong type or shape")
    if not (np.abs(weights_K2) <= _MAX_WEIGHT).all():
        raise ValueError("its interpolation weights are invalid")
    return InterpolatedNgrams(
        ngrams=NgramModel(
            levels,
            num_tokens=len(tokenizer),
            unknown_probability=tokenizer.unknown_probability,
        ),
        mixture=LogLinearWeights(weights_K2),
        val_nats_per_char=_val_nats(header),
    )


def _level(
    arrays: Mapping[str, npt.NDArray[Any]], number: int, num_contexts: int, num_ids: int
) -> Level:
    token_G, discounted_G, continuations_C = (arrays[f"{number}.{name}"] for name in _ARRAYS)
    if any(array.ndim != 1 for array in (token_G, discounted_G, continuations_C)):
        raise ValueError("its arrays have the wrong shape")
    kinds = token_G.dtype.kind + continuations_C.dtype.kind
    if kinds != "uu" or discounted_G.dtype != np.float32:
        raise ValueError("its arrays have the wrong type")
    num_ngrams = len(token_G)
    if len(discounted_G) != num_ngrams or len(continuations_C) != num_contexts:
        raise ValueError("its arrays have the wrong lengths")
    if int(continuations_C.sum(dtype=np.uint64)) != num_ngrams or (token_G >= num_ids).any():
        raise ValueError("its n-grams are invalid")
    key_G = np.repeat(np.arange(num_contexts, dtype=np.uint64), continuations_C)
    key_G = key_G * np.uint64(num_ids) + token_G.astype(np.uint64)
    level = Level(
        key_G=key_G,
        discounted_G=discounted_G,
        num_contexts=num_contexts,
        num_ids=num_ids,
    )
    # BOS, the last id, is never predicted; as a unigram it has probability 0.
    is_bos_G = token_G == num_ids - 1
    if discounted_G[is_bos_G].any() or (number and is_bos_G.any()):
        raise ValueError("its n-grams predict BOS")
    if (key_G[1:] <= key_G[:-1]).any() or not ((discounted_G >= 0) & (discounted_G <= 1)).all():
        raise ValueError("its n-grams are not sorted, or their probabilities not in [0, 1]")
    sum_C = np.bincount(level.context_G, discounted_G, num_contexts)
    if not (sum_C <= 1 + math.sqrt(np.finfo(np.float32).eps)).all():
        raise ValueError("its probabilities sum to more than 1")
    return level
