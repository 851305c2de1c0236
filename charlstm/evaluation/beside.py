"""Counts that a network is scored beside, and together with."""

from dataclasses import dataclass

from charlstm.ngram.interpolation import Mixture
from charlstm.ngram.kneser_ney import NgramModel


@dataclass(frozen=True, kw_only=True)
class CountsBeside:
    """Counts of the training text, to be scored alone and mixed with the network.

    Args:
        alone: the n-grams, whole.
        mixed: as far as they are kept, to be mixed with the network.
        mixtures: how; where there are two, the text that is scored is what they were fitted on,
            and each scores the half that the other one comes from.
        edge: where the second half begins.
    """

    alone: NgramModel
    mixed: NgramModel
    mixtures: tuple[Mixture, ...]
    edge: int = 0
