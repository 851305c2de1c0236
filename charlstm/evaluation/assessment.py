"""A model's score on a text, with all that helps to judge it."""

from dataclasses import dataclass

import numpy as np

from charlstm.evaluation.baselines import Baseline, score_baselines
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
from charlstm.evaluation.scoring import score, score_by_context
from charlstm.model.network import CharLSTM
from charlstm.text.alphabet import Alphabet
from charlstm.text.split import Split

_TOPS = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class LearnedText:
    """What a model learned from and was chosen by."""

    train: Split
    val: Split


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What `assess` finds.

    Args:
        scores: of each character.
        dynamic: None where it was not asked for.
        top_accuracy: share of characters among the k most likely, by k.
        baselines: none where the training text isn't at hand.
    """

    evaluation: Evaluation
    scores: Scores
    dynamic: Evaluation | None
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
    with_dynamic: bool,
    progress: Progress = unseen,
) -> Assessment:
    """Score a text in every way there is.

    Args:
        learned: what the baselines learn from; None for none.
        progress: as of `score`; with dynamic evaluation the text is read twice.

    Raises:
        CorpusError: when the text is empty.
    """
    scores = score(model, text, progress=progress)
    baselines: list[Baseline] = []
    if learned is not None:
        baselines = score_baselines(alphabet, train=learned.train, val=learned.val, text=text)
    return Assessment(
        evaluation=Evaluation.of_scores(text, scores),
        scores=scores,
        dynamic=(
            Evaluation.of_scores(text, score_dynamically(model, text, progress=progress))
            if with_dynamic
            else None
        ),
        baselines=tuple(baselines),
        top_accuracy={k: scores.top_accuracy(k) for k in _TOPS},
        calibration=calibration(scores),
        by_context=tuple(score_by_context(model, text, generator=np.random.default_rng(0))),
        by_kind=tuple(by_kind(scores, text, alphabet)),
        most_surprising=tuple(most_surprising(scores, text, alphabet)),
    )
