"""Counts and mixture in a file beside the run's checkpoints, so that a text is counted once.

A container as checkpoints are (`system.container`). It belongs to one text and one model: for
others it is refused, and the text is counted again.

Per n-gram it holds the last symbol and its share; per context the number of
continuations. What follows from these isn't stored.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import ContainerError
from charlstm.ngram.interpolation import Counts, Mixture
from charlstm.ngram.kneser_ney import MAX_ORDER, Level, NgramModel
from charlstm.system.container import Container, open_container, to_bytes
from charlstm.system.files import replace_file
from charlstm.text.alphabet import Alphabet

_FORMAT: Final = 2
_ARRAYS: Final = ("symbols", "shares", "continuations")
_MAX_WEIGHT: Final = 100.0
_MAX_NATS: Final = 1000.0


def owner_of(weights: Mapping[str, npt.NDArray[Any]], fingerprint: str) -> str:
    """What a file of counts belongs to: a model, and the text that it was trained on."""
    digest = hashlib.sha256(fingerprint.encode())
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()


def write_counts(path: Path, counts: Counts, *, owner: str, mode: int) -> None:
    """Write a file whole or not at all.

    Args:
        mode: of the new file, less the umask.

    Raises:
        OSError: when it can't be written.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"mixture": counts.mixture.weights_K2}
    for number, level in enumerate(counts.ngrams.levels):
        continuations_C = np.diff(level.first_C)
        values: tuple[npt.NDArray[Any], ...] = (
            level.symbol_G,
            level.share_G,
            continuations_C.astype(np.min_scalar_type(int(continuations_C.max(initial=0)))),
        )
        arrays |= {f"{number}.{name}": value for name, value in zip(_ARRAYS, values, strict=True)}
    header = {
        "format": _FORMAT,
        "owner": owner,
        "order": counts.ngrams.order,
        "val_nats_per_char": counts.val_nats_per_char,
    }
    with replace_file(path, mode=mode) as file:
        file.write(to_bytes(arrays, header))


def read_counts(path: Path, alphabet: Alphabet, *, owner: str) -> Counts:
    """Read a file.

    Raises:
        ContainerError: when it is damaged, or belongs to another model or text.
        OSError: when it can't be read.
    """
    with _open_own(path, owner) as container, _senseless_explained():
        return _counts(container.header, container.read(), alphabet)


def read_val_nats(path: Path, *, owner: str) -> float | None:
    """What the validation text costs the counts in a file, nats per character.

    None where the file doesn't tell; it is younger than the format.

    Raises:
        ContainerError, OSError: as `read_counts` does.
    """
    with _open_own(path, owner) as container, _senseless_explained():
        return _val_nats(container.header)


@contextlib.contextmanager
def _open_own(path: Path, owner: str) -> Iterator[Container]:
    with open_container(path) as container:
        if container.header.get("format") != _FORMAT or container.header.get("owner") != owner:
            raise ContainerError("is of other weights, another text or version")
        yield container


def _val_nats(header: Mapping[str, Any]) -> float | None:
    nats = header.get("val_nats_per_char")
    if nats is None:
        return None
    if type(nats) is not float or not 0 <= nats <= _MAX_NATS:
        raise ValueError("its score is impossible")
    return nats


def _counts(
    header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], alphabet: Alphabet
) -> Counts:
    """Check what the file holds; it may come from anybody."""
    order = header["order"]
    if type(order) is not int or not 0 <= order <= MAX_ORDER:
        raise ValueError("its order is impossible")
    levels: list[Level] = []
    num_contexts = 1
    for number in range(order + 1):
        levels.append(_level(arrays, number, num_contexts, alphabet.boundary + 1))
        num_contexts = len(levels[-1].key_G)
    if len(levels[0].key_G) != alphabet.boundary + 1:
        raise ValueError("it is of another alphabet")
    weights_K2 = arrays["mixture"]
    if weights_K2.dtype != np.float64 or weights_K2.shape != (order + 1, 2):
        raise ValueError("its mixture has another shape")
    if not (np.abs(weights_K2) <= _MAX_WEIGHT).all():
        raise ValueError("its mixture is impossible")
    return Counts(
        ngrams=NgramModel(
            levels,
            num_symbols=len(alphabet),
            unknown_probability=alphabet.unknown_probability,
        ),
        mixture=Mixture(weights_K2),
        val_nats_per_char=_val_nats(header),
    )


def _level(
    arrays: Mapping[str, npt.NDArray[Any]], number: int, num_contexts: int, num_ids: int
) -> Level:
    symbol_G, share_G, continuations_C = (arrays[f"{number}.{name}"] for name in _ARRAYS)
    if any(array.ndim != 1 for array in (symbol_G, share_G, continuations_C)):
        raise ValueError("its arrays have another shape")
    kinds = symbol_G.dtype.kind + continuations_C.dtype.kind
    if kinds != "uu" or share_G.dtype != np.float32:
        raise ValueError("its arrays have another type")
    num_ngrams = len(symbol_G)
    if len(share_G) != num_ngrams or len(continuations_C) != num_contexts:
        raise ValueError("its arrays have other lengths")
    if int(continuations_C.sum(dtype=np.uint64)) != num_ngrams or (symbol_G >= num_ids).any():
        raise ValueError("its n-grams make no sense")
    key_G = np.repeat(np.arange(num_contexts, dtype=np.uint64), continuations_C)
    key_G = key_G * np.uint64(num_ids) + symbol_G.astype(np.uint64)
    level = Level(
        key_G=key_G,
        share_G=share_G,
        num_contexts=num_contexts,
        num_ids=num_ids,
    )
    # The boundary, the last id, is never predicted; among single symbols it has its place.
    is_boundary_G = symbol_G == num_ids - 1
    if share_G[is_boundary_G].any() or (number and is_boundary_G.any()):
        raise ValueError("its n-grams make no sense")
    if (key_G[1:] <= key_G[:-1]).any() or not ((share_G >= 0) & (share_G <= 1)).all():
        raise ValueError("its n-grams make no sense")
    given_C = np.bincount(level.context_G, share_G, num_contexts)
    if not (given_C <= 1 + math.sqrt(np.finfo(np.float32).eps)).all():
        raise ValueError("its probabilities are larger than one")
    return level


@contextlib.contextmanager
def _senseless_explained() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ContainerError(f"is damaged: {str(error)[:200]}") from error
