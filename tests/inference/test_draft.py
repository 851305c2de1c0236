"""Test that after any keys, a draft shows the same as a new one with the same text."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import TEXT, with_spec

from charlstm.config import ReadingConfig, SampleConfig
from charlstm.inference.draft import Draft
from charlstm.inference.prediction import ladder, predict_next
from charlstm.inference.predictor import Predictor
from charlstm.inference.sampling import sample
from charlstm.text.vocabulary import Vocabulary


def draft_of(predictor, text="", **config):
    draft = Draft(predictor, SampleConfig(**config), generator=np.random.default_rng(0))
    draft.insert(text)
    return draft


def finish(draft):
    """Do all pending work; return the number of steps."""
    num_steps = 0
    while draft.work():
        num_steps += 1
    return num_steps


def close(prediction, expected):
    """Return whether two predictions are equal up to rounding."""
    assert prediction.entropy_bits == pytest.approx(expected.entropy_bits, abs=1e-4)
    found = [candidate.probability for candidate in prediction.next]
    wanted = [candidate.probability for candidate in expected.next[: len(found)]]
    assert found == pytest.approx(wanted, abs=1e-5)


def matches_new_draft(draft, predictor):
    known = draft.text[draft.document_start : draft.cursor]
    close(draft.prediction(), predict_next(predictor, known))
    expected = [rung for rung in ladder(predictor, known) if rung.num_context <= 16]
    if len(known) > 16:
        expected.append(ladder(predictor, known)[-1])
    rungs = draft.ladder()
    assert [num_context for num_context, _ in rungs] == [rung.num_context for rung in expected]
    for (_, prediction), wanted in zip(rungs, expected, strict=True):
        close(prediction, wanted.prediction)
    if draft.text:
        tokenizer = predictor.tokenizer
        scores = predictor.score(tokenizer.encode_documents(tokenizer.documents(draft.text)))
        assert draft.nats(0, len(draft.text)) == pytest.approx(scores.nats_N.tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", ["predictor", "lines_predictor"])
def test_any_keys_give_the_state_of_a_new_draft(kind, request):
    predictor = request.getfixturevalue(kind)
    draft = draft_of(predictor, length=40)
    random = np.random.default_rng(0)
    for number in range(120):
        match random.integers(6):
            case 0:
                draft.insert(TEXT[random.integers(70) :][: random.integers(20)])
            case 1:
                draft.insert("\n")
            case 2:
                for _ in range(random.integers(30)):
                    draft.delete()
            case 3:
                draft.move(random.integers(-9, 10))
            case 4:
                draft.pick(random.integers(9))
            case 5:
                draft.write_line()
        for _ in range(random.integers(30)):
            draft.work()
        if number % 10 == 0:
            draft.move(0)  # stop writing
            finish(draft)
            matches_new_draft(draft, predictor)


def test_replacing_a_character_updates_the_prediction(predictor):
    draft = draft_of(predictor, "the quick brown fo")
    finish(draft)
    draft.insert("x")
    finish(draft)
    draft.delete()
    draft.insert("g")
    finish(draft)
    matches_new_draft(draft, predictor)


def test_moving_back_updates_context_predictions(predictor):
    draft = draft_of(predictor, "quick")
    finish(draft)
    draft.move(-2)
    assert finish(draft) == 2  # the contexts of one and two characters
    matches_new_draft(draft, predictor)


def test_cached_states_are_not_read_again(predictor):
    draft = draft_of(predictor, "the quick brown fox")
    finish(draft)
    draft.insert("e")
    assert finish(draft) == 6  # the character, and five context lengths
    draft.delete()
    assert finish(draft) == 0
    draft.move(-5)
    finish(draft)
    draft.move(5)
    assert finish(draft) == 0


def test_pending_predictions_are_none(predictor):
    draft = draft_of(predictor, "the quick")
    draft.work()
    assert (draft.num_read, draft.prediction()) == (1, None)
    assert [prediction is None for _, prediction in draft.ladder()] == [False] + 5 * [True]
    assert [nats is None for nats in draft.nats(0, 3)] == [False, False, True]
    assert draft.gates()[0].keys() == {"input", "forget", "output"}


def test_work_reads_up_to_the_cursor_first(predictor):
    draft = draft_of(predictor, TEXT[:500])
    draft.move(-500)
    finish(draft)
    draft.insert("x")
    draft.work()
    assert draft.num_read == 1
    assert all(prediction is not None for _, prediction in draft.ladder())


def test_write_line_matches_sample(predictor):
    draft = draft_of(predictor, "qu", temperature=0.5)
    draft.write_line()
    assert draft.is_writing
    finish(draft)
    config = SampleConfig(temperature=0.5, until=("\n",))
    assert draft.text == "qu" + "".join(
        sample(predictor, "qu", config, generator=np.random.default_rng(0))
    )
    assert not draft.is_writing


def test_keys_stop_writing(predictor):
    draft = draft_of(predictor, "qu")
    draft.write_line()
    draft.work()
    draft.move(0)
    finish(draft)
    assert len(draft.text) <= 3


def test_pick_inserts_by_rank_but_never_unknown(predictor):
    draft = draft_of(predictor, "qu")
    draft.pick(1)  # not read yet
    assert draft.text == "qu" + predict_next(predictor, "qu").next[1].char
    draft.delete()
    unknown = next(
        n for n, one in enumerate(predict_next(predictor, "qu").next) if one.char is None
    )
    draft.pick(unknown)
    draft.pick(1000)
    assert draft.text == "qu"


def test_insert_is_limited_to_max_chars(predictor):
    draft = draft_of(predictor, "the quick " * 1500)
    assert len(draft.text) == draft.max_chars == 10_000
    assert "5,000 of 15,000 omitted" in draft.notice
    draft.move(0)
    assert draft.notice == ""
    finish(draft)
    for action in (lambda: draft.insert("x"), lambda: draft.pick(0), draft.write_line):
        action()
        finish(draft)
        assert "full" in draft.notice
    assert len(draft.text) == 10_000
    draft.delete()
    draft.insert("x")
    assert (draft.text[-1], draft.notice) == ("x", "")


def test_unknown_characters_are_kept_with_the_loss_of_unknown(predictor):
    draft = draft_of(predictor, "quÆ\x1b\ud800")
    finish(draft)
    assert draft.text == "quÆ\x1b\ud800"
    log_p = predictor.read_all("qu", predictor.start()).log_p[0]
    assert draft.nats(2, 3) == [pytest.approx(-log_p[0])]
    assert draft.prediction() is not None


def test_insert_converts_carriage_returns(predictor):
    assert draft_of(predictor, "a\rb\r\nc").text == "a\nb\nc"


def test_insert_composes_accents_for_nfc_models(checkpoint):
    spec = with_spec(checkpoint, corpus=replace(checkpoint.spec.corpus, normalize="nfc"))
    draft = draft_of(Predictor(spec), "e")
    draft.insert("\u0301")
    assert draft.text == "\xe9"
    draft.insert("x")
    assert (draft.text, draft.cursor) == ("\xe9x", 2)


def test_insert_encodes_characters_as_bytes(checkpoint):
    vocabulary = Vocabulary("".join(map(chr, [*range(97, 123), 0xA9, 0xC3])))
    config = ReadingConfig(paths=("x",), level="byte")
    draft = draft_of(Predictor(with_spec(checkpoint, corpus=config, vocabulary=vocabulary)), "\xe9")
    assert draft.text == "\xc3\xa9"
    draft.delete()
    assert draft.text == "\xc3"


def test_temperature_is_at_least_zero(predictor):
    draft = draft_of(predictor, temperature=0.1)
    for temperature in (0.0, 0.0):
        draft.change_temperature(-0.1)
        assert draft.config.temperature == temperature
    draft.change_temperature(0.1)
    assert draft.config.temperature == 0.1
