"""A model's score on a text, with all that helps to judge it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlstm.evaluation.baselines import Baseline, score_adaptive_baselines, score_baselines
from charlstm.evaluation.beside import CountsBeside
from charlstm.evaluation.dynamic import score_dynamically
from charlstm.evaluation.scores import (
    Calibration,
    ContextScore,
    Evaluation,
    KindScore,
    Progress,
    Scores,
    Surprise,
    by_kind,
    calibration,
    most_surprising,
    unseen,
)
from charlstm.evaluation.scoring import score, score_by_context, score_with_counts
from charlstm.model.network import CharLSTM
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

_TOPS = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class LearnedText:
    """What a model learned from and was chosen by.

    Args:
        val: empty where it is itself scored.
    """

    train: Split
    val: Split


@dataclass(frozen=True, kw_only=True)
class KnownScore:
    """Characters before which the counts know so much context, in nats.

    Args:
        num_known: length of the longest context that the training text continues.
    """

    num_known: int
    num_chars: int
    network_nats: float
    counts_nats: float
    both_nats: float


@dataclass(frozen=True, kw_only=True)
class CountsAssessment:
    """What counts make of the text.

    Args:
        order: the longest context that is counted.
        num_ngrams: that were counted.
        nats: by the counts alone.
        both: network and counts mixed.
        is_fitted_by_halves: whether the mixture was fitted on the halves of the scored text, each
            for the other.
    """

    order: int
    num_ngrams: int
    nats: float
    both: Evaluation
    is_fitted_by_halves: bool
    by_known: tuple[KnownScore, ...]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What `assess` finds.

    Args:
        scores: of each character.
        dynamic: None where it was not asked for.
        counts: None where there are none.
        top_accuracy: share of characters among the k most likely, by k.
        baselines: none where the training text isn't at hand.
    """

    evaluation: Evaluation
    scores: Scores
    dynamic: Evaluation | None
    counts: CountsAssessment | None
    baselines: tuple[Baseline, ...]
    top_accuracy: dict[int, float]
    calibration: Calibration
    by_context: tuple[ContextScore, ...]
    by_kind: tuple[KindScore, ...]
    most_surprising: tuple[Surprise, ...]


def assess(
    model: CharLSTM,
    text: Split,
    alphabet: Alphabet,
    *,
    learned: LearnedText | None,
    beside: CountsBeside | None,
    with_dynamic: bool,
    progress: Progress = unseen,
) -> Assessment:
    """Score a text in every way there is.

    Args:
        learned: what the baselines learn from; None for none.
        beside: counts to score beside the network and with it; None for none.
        progress: as of `score`; with dynamic evaluation the text is read twice.

    Raises:
        CorpusError: when the text is empty.
    """
    counts = None
    if beside is None:
        scores = score(model, text, progress=progress)
    else:
        scores, counts = _score_with_counts(model, text, beside, progress)
    return Assessment(
        evaluation=Evaluation.of_scores(text, scores),
        scores=scores,
        dynamic=(
            Evaluation.of_scores(text, score_dynamically(model, text, progress=progress))
            if with_dynamic
            else None
        ),
        counts=counts,
        baselines=tuple(_baselines(alphabet, text, learned, beside, with_dynamic=with_dynamic)),
        top_accuracy={k: scores.top_accuracy(k) for k in _TOPS},
        calibration=calibration(scores),
        by_context=tuple(score_by_context(model, text, generator=np.random.default_rng(0))),
        by_kind=tuple(by_kind(scores, text, alphabet)),
        most_surprising=tuple(most_surprising(scores, text, alphabet)),
    )


def _baselines(
    alphabet: Alphabet,
    text: Split,
    learned: LearnedText | None,
    beside: CountsBeside | None,
    *,
    with_dynamic: bool,
) -> list[Baseline]:
    if learned is None:
        return []
    ngrams = None if beside is None else beside.alone
    splits = {"train": learned.train, "val": learned.val, "text": text}
    found = score_baselines(alphabet, **splits, ngrams=ngrams)
    if with_dynamic and ngrams is not None:
        found += score_adaptive_baselines(alphabet, **splits, ngrams=ngrams)
    return found


def _score_with_counts(
    model: CharLSTM, text: Split, beside: CountsBeside, progress: Progress
) -> tuple[Scores, CountsAssessment]:
    network, (first, *others) = score_with_counts(
        model, text, beside.mixed, beside.mixtures, progress=progress
    )
    both = others[0].joined(first, beside.edge) if others else first
    nats_N, num_known_N = beside.mixed.score(text)
    # Mostly they are the same: few texts need to be pruned.
    alone_N = nats_N if beside.alone is beside.mixed else beside.alone.score(text).nats_N

    def sums(nats_N: npt.NDArray[np.floating]) -> list[float]:
        return list(np.bincount(num_known_N, nats_N))

    by_known = zip(
        np.bincount(num_known_N).tolist(),
        sums(network.nats_N),
        sums(nats_N),
        sums(both.nats_N),
        strict=True,
    )
    return network, CountsAssessment(
        order=beside.alone.order,
        num_ngrams=beside.alone.num_ngrams,
        nats=float(alone_N.sum()),
        both=Evaluation.of_scores(text, both),
        is_fitted_by_halves=bool(others),
        by_known=tuple(
            KnownScore(
                num_known=number,
                num_chars=num_chars,
                network_nats=float(network_nats),
                counts_nats=float(counts_nats),
                both_nats=float(both_nats),
            )
            for number, (num_chars, network_nats, counts_nats, both_nats) in enumerate(by_known)
            if num_chars
        ),
    )
