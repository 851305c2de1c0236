"""The evaluation of a model on a text, with baselines, calibration and breakdowns."""

from dataclasses import dataclass

import numpy as np

from charlstm.evaluation.baselines import Baseline, ngram_baseline, score_baselines
from charlstm.evaluation.dynamic import score_dynamically
from charlstm.evaluation.scores import (
    Calibration,
    CharLosses,
    ContextScore,
    Evaluation,
    KindScore,
    Progress,
    SurprisingCharacter,
    by_kind,
    calibration,
    most_surprising,
    no_progress,
)
from charlstm.evaluation.scoring import predictions, score, score_by_context
from charlstm.evaluation.with_ngrams import ScoresWithNgrams, score_with_ngrams
from charlstm.model.lstm import CharLSTM
from charlstm.ngram.interpolation import InterpolatedNgrams, Part
from charlstm.text.encoded_text import EncodedText
from charlstm.text.tokenizer import CharTokenizer

_TOPS = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class MatchedContextScore:
    """Losses of the characters with a certain matched context length, in nats.

    Args:
        num_known: the matched context length, in tokens.
    """

    num_known: int
    num_chars: int
    lstm_nats: float
    ngram_nats: float
    both_nats: float


@dataclass(frozen=True, kw_only=True)
class NgramReport:
    """The evaluation of the n-gram model, and of its interpolation with the LSTM.

    Args:
        nats: loss of the n-gram model alone.
        both: LSTM + n-gram.
        only: the part used alone because interpolation did not help on validation, or None.
    """

    order: int
    num_ngrams: int
    nats: float
    both: Evaluation
    only: Part | None
    by_matched_context: tuple[MatchedContextScore, ...]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """The evaluation report of a model on a text.

    Args:
        with_repeated: including documents that also occur in the training text; None if there are
            none, or no others.
        upper_bits_per_char: the loss including the cost of naming each unknown character.
        scores: per-character losses.
        dynamic: None unless requested.
        counts: None without an n-gram model.
        top_accuracy: top-k accuracy by k.
        baselines: empty if the training text is not available.
    """

    evaluation: Evaluation
    with_repeated: Evaluation | None
    upper_bits_per_char: float
    scores: CharLosses
    dynamic: Evaluation | None
    counts: NgramReport | None
    baselines: tuple[Baseline, ...]
    top_accuracy: dict[int, float]
    calibration: Calibration
    by_context: tuple[ContextScore, ...]
    by_kind: tuple[KindScore, ...]
    most_surprising: tuple[SurprisingCharacter, ...]


def evaluate_text(
    model: CharLSTM,
    text: EncodedText,
    tokenizer: CharTokenizer,
    *,
    train: EncodedText | None,
    counts: InterpolatedNgrams | None,
    repeated: EncodedText | None,
    with_context: bool,
    with_dynamic: bool,
    progress: Progress = no_progress,
) -> EvaluationReport:
    """Evaluate a model on a text.

    Args:
        train: training text of the baselines; None to skip them.
        counts: n-gram model to evaluate alone and interpolated with the LSTM; None to skip it.
        repeated: documents that also occur in the training text, scored separately.
        with_context: whether to measure the loss by context length.
        progress: as in `score`; with dynamic evaluation the text is read twice.

    Raises:
        CorpusError: when the text is empty.
    """
    if counts is None:
        scores, ngram_report = score(model, text, progress=progress), None
    else:
        all_scores = score_with_ngrams(predictions(model, text, progress=progress), text, counts)
        scores, ngram_report = all_scores.lstm, _ngram_report(all_scores, text, counts)
    baselines: list[Baseline] = []
    if train is not None:
        baselines = score_baselines(tokenizer, train=train, text=text)
        if counts is not None and ngram_report is not None:
            baselines.append(ngram_baseline(counts.ngrams, ngram_report.nats))
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
    named = Evaluation.of_scores(text, scores.with_naming_cost(text, tokenizer))
    return EvaluationReport(
        evaluation=evaluation,
        with_repeated=with_repeated,
        upper_bits_per_char=named.bits_per_char,
        scores=scores,
        dynamic=dynamic,
        counts=ngram_report,
        baselines=tuple(baselines),
        top_accuracy={k: scores.top_accuracy(k) for k in _TOPS},
        calibration=calibration(scores),
        by_context=tuple(by_context),
        by_kind=tuple(by_kind(scores, text, tokenizer)),
        most_surprising=tuple(most_surprising(scores, text, tokenizer)),
    )


def _ngram_report(
    scores: ScoresWithNgrams, text: EncodedText, counts: InterpolatedNgrams
) -> NgramReport:
    num_chars_K = np.bincount(scores.matched_N)
    lstm_K, ngram_K, mixed_K = (
        np.bincount(scores.matched_N, nats_N)
        for nats_N in (scores.lstm.nats_N, scores.ngram_nats_N, scores.interpolated.nats_N)
    )
    return NgramReport(
        order=counts.ngrams.order,
        num_ngrams=counts.ngrams.num_ngrams,
        nats=float(scores.ngram_nats_N.sum()),
        both=Evaluation.of_scores(text, scores.interpolated),
        only=counts.mixture.only,
        by_matched_context=tuple(
            MatchedContextScore(
                num_known=length,
                num_chars=int(num_chars_K[length]),
                lstm_nats=float(lstm_K[length]),
                ngram_nats=float(ngram_K[length]),
                both_nats=float(mixed_K[length]),
            )
            for length in np.flatnonzero(num_chars_K).tolist()
        ),
    )
