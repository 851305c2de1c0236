"""A model's score on a text, with all that helps to judge it."""

from dataclasses import dataclass

import numpy as np

from charlstm.evaluation.baselines import Baseline, ngram_baseline, score_baselines
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
from charlstm.evaluation.scoring import predictions, score, score_by_context
from charlstm.evaluation.with_ngrams import ScoresWithNgrams, score_with_ngrams
from charlstm.model.network import CharLSTM
from charlstm.ngram.interpolation import Counts, Part
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

_TOPS = (1, 3, 5)


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
        only: the part that `both` consists of where mixing did not pay on validation, else None.
    """

    order: int
    num_ngrams: int
    nats: float
    both: Evaluation
    only: Part | None
    by_known: tuple[KnownScore, ...]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What `assess` finds.

    Args:
        with_repeated: documents that the training text has among them; None where there are none,
            or the text has no others.
        upper_bits_per_char: the cost with every unknown character named.
        scores: of each character.
        dynamic: None where it was not asked for.
        counts: None where there are none.
        top_accuracy: share of characters among the k most likely, by k.
        baselines: none where the training text isn't at hand.
    """

    evaluation: Evaluation
    with_repeated: Evaluation | None
    upper_bits_per_char: float
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
    train: Split | None,
    counts: Counts | None,
    repeated: Split | None,
    with_context: bool,
    with_dynamic: bool,
    progress: Progress = unseen,
) -> Assessment:
    """Score a text in every way there is.

    Args:
        train: what the baselines learn from; None for none.
        counts: of the training text, to be scored alone and mixed with the network; None for none.
        repeated: documents of the text that the training text has, too, to be scored apart.
        with_context: whether to find out what context is worth, for which windows are read again.
        progress: as of `score`; with dynamic evaluation the text is read twice.

    Raises:
        CorpusError: when the text is empty.
    """
    if counts is None:
        scores, assessed = score(model, text, progress=progress), None
    else:
        predicted = predictions(model, text, progress=progress)
        found = score_with_ngrams(predicted, text, counts)
        scores, assessed = found.network, _counts_assessment(found, text, counts)
    baselines: list[Baseline] = []
    if train is not None:
        baselines = score_baselines(alphabet, train=train, text=text)
        if counts is not None and assessed is not None:
            baselines.append(ngram_baseline(counts.ngrams, assessed.nats))
    evaluation, with_repeated = Evaluation.of_scores(text, scores), None
    if repeated is not None:
        with_repeated = evaluation.joined(
            Evaluation.of_scores(repeated, score(model, repeated, progress=progress))
        )
    by_context: list[ContextScore] = []
    if with_context:
        by_context = score_by_context(model, text, generator=np.random.default_rng(0))
    dynamic = None
    if with_dynamic:
        dynamic = Evaluation.of_scores(text, score_dynamically(model, text, progress=progress))
    return Assessment(
        evaluation=evaluation,
        with_repeated=with_repeated,
        upper_bits_per_char=evaluation.upper_bits_per_char(alphabet.unknown_nats),
        scores=scores,
        dynamic=dynamic,
        counts=assessed,
        baselines=tuple(baselines),
        top_accuracy={k: scores.top_accuracy(k) for k in _TOPS},
        calibration=calibration(scores),
        by_context=tuple(by_context),
        by_kind=tuple(by_kind(scores, text, alphabet)),
        most_surprising=tuple(most_surprising(scores, text, alphabet)),
    )


def _counts_assessment(found: ScoresWithNgrams, text: Split, counts: Counts) -> CountsAssessment:
    num_chars_K = np.bincount(found.matched_N)
    network_K, ngrams_K, mixed_K = (
        np.bincount(found.matched_N, nats_N)
        for nats_N in (found.network.nats_N, found.ngram_nats_N, found.mixed.nats_N)
    )
    return CountsAssessment(
        order=counts.ngrams.order,
        num_ngrams=counts.ngrams.num_ngrams,
        nats=float(found.ngram_nats_N.sum()),
        both=Evaluation.of_scores(text, found.mixed),
        only=counts.mixture.only,
        by_known=tuple(
            KnownScore(
                num_known=number,
                num_chars=int(num_chars_K[number]),
                network_nats=float(network_K[number]),
                counts_nats=float(ngrams_K[number]),
                both_nats=float(mixed_K[number]),
            )
            for number in np.flatnonzero(num_chars_K).tolist()
        ),
    )
