import math
import subprocess
import sys

import pytest
from conftest import evaluate, network_of

import charlstm
from charlstm.errors import CheckpointError, CorpusError
from charlstm.text.split import Split

TEXT = "the quick brown fox\u2603 quips.\n"


def test_a_model_is_loaded_by_name_as_the_newest_or_from_a_file(stored, here):
    named = charlstm.load("tiny")
    assert charlstm.load().predict("qu") == named.predict("qu")
    assert charlstm.load(checkpoints=here / "checkpoints").score("q") == named.score("q")
    path = here / "checkpoints/tiny/best.safetensors"
    assert charlstm.load(checkpoint=str(path)).predict("qu") == named.predict("qu")
    with pytest.raises(CheckpointError, match="absent"):
        charlstm.load("absent")
    with pytest.raises(CheckpointError, match="charlstm train"):
        charlstm.load(checkpoints=here / "nowhere")


def test_score_is_the_evaluation_s_sum(checkpoint, stored):
    found = charlstm.load().score(TEXT)
    model = network_of(checkpoint)
    split = Split.of([TEXT], checkpoint.spec.vocabulary)
    expected = evaluate(model, split)
    assert found.nats == pytest.approx(expected.nats, rel=1e-5)
    assert (found.num_chars, found.num_unknown) == (expected.num_chars, expected.num_unknown)
    assert (found.num_bytes, found.num_correct) == (expected.num_bytes, expected.num_correct)
    with pytest.raises(CorpusError, match="no characters"):
        charlstm.load().score("")


def test_score_is_the_sum_of_what_was_predicted(stored):
    model = charlstm.load()
    nats = 0.0
    text = "the quick"
    for place, char in enumerate(text):
        (probability,) = (p for c, p in model.predict(text[:place]).next if c == char)
        nats -= math.log(probability)
    assert model.score(text).nats == pytest.approx(nats, rel=1e-5)


def test_lengths_are_those_of_the_text_as_it_was_read(stored):
    found = charlstm.load().score("the\r\nfox")
    assert (found.num_chars, found.num_bytes) == (7, 7)


def test_damage_is_named(stored, here):
    for file in (here / "checkpoints/tiny").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged"):
        charlstm.load()


def test_samples_follow_their_seed_and_options(stored):
    model = charlstm.load()
    text = model.sample("qu", length=30, seed=1)
    assert len(text) == 30
    assert text == model.sample("qu", length=30, seed=1)
    assert text != model.sample("qu", length=30, seed=2)
    assert model.sample("qu", length=30, seed=1, until=text[4:6]).endswith(text[4:6])
    with pytest.raises(CorpusError):
        model.sample("\u2603")


def test_it_needs_no_torch(stored):
    program = (
        "import sys, charlstm\n"
        "assert 'numpy' not in sys.modules\n"
        "model = charlstm.load()\n"
        "model.predict('qu'), model.sample('qu', length=3), model.score('qu')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_isn_t_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="lood"):
        charlstm.lood  # noqa: B018


def test_warnings_are_safe_to_show(stored, here):
    (here / "checkpoints").rename(here / "a\x1b[2J")
    path = here / "a\x1b[2J/tiny/best.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"\\x1b\[2J"):
        charlstm.load("tiny", checkpoints=here / "a\x1b[2J")


def test_a_file_is_a_model_too_and_the_module_says_what_it_has(stored):
    by_path = charlstm.load("checkpoints/tiny/best.safetensors")
    assert by_path.predict("q") == charlstm.load("tiny").predict("q")
    assert {"load", "Model"} <= set(dir(charlstm))
