import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import evaluate, network_of

import charlstm
from charlstm.errors import CharLSTMError, CheckpointError, ConfigError, CorpusError
from charlstm.evaluation.items import Percentiles, validation_items
from charlstm.text.encoded_text import EncodedText

TEXT = "the quick brown fox\u2603 quips.\n"


def test_load_by_name_newest_or_file(stored, here):
    named = charlstm.load("tiny")
    assert charlstm.load().predict("qu") == named.predict("qu")
    assert charlstm.load(checkpoints=here / "checkpoints").score("q") == named.score("q")
    path = here / "checkpoints/tiny/best.safetensors"
    assert charlstm.load(checkpoint=str(path)).predict("qu") == named.predict("qu")
    with pytest.raises(CheckpointError, match="absent"):
        charlstm.load("absent")
    with pytest.raises(CheckpointError, match="charlstm train"):
        charlstm.load(checkpoints=here / "nowhere")


def test_score_matches_the_evaluation(checkpoint, stored):
    found = charlstm.load().score(TEXT)
    model = network_of(checkpoint)
    split = EncodedText.of([TEXT], checkpoint.spec.vocabulary)
    expected = evaluate(model, split)
    assert found.nats == pytest.approx(expected.nats, rel=1e-5)
    assert (found.num_chars, found.num_unknown) == (expected.num_chars, expected.num_unknown)
    assert (found.num_bytes, found.num_correct) == (expected.num_bytes, expected.num_correct)
    with pytest.raises(CorpusError, match="no characters"):
        charlstm.load().score("")


def test_score_is_the_sum_of_predictions(stored):
    model = charlstm.load()
    nats = 0.0
    text = "the quick"
    for place, char in enumerate(text):
        (probability,) = (p for c, p in model.predict(text[:place]).next if c == char)
        nats -= math.log(probability)
    assert model.score(text).nats == pytest.approx(nats, rel=1e-5)


def test_score_of_a_file_matches_the_command(stored, here, run):
    (here / "a.txt").write_bytes("the quick\r\nbrown fox jumps over \u2603".encode())
    record = run.json("eval", "a.txt")
    with pytest.warns(UserWarning, match=r"a\.txt: CR and CRLF line ends became LF"):
        found = charlstm.load().score(here / "a.txt")
    assert found.nats == pytest.approx(record["nats"], rel=1e-5)
    assert (found.num_chars, found.num_unknown) == (record["num_chars"], 1)
    with pytest.raises(CorpusError):
        charlstm.load().score(here / "absent.txt")


def test_score_counts_normalized_characters(stored):
    found = charlstm.load().score("the\r\nfox")
    assert (found.num_chars, found.num_bytes) == (7, 7)


def test_samples_follow_their_seed_and_options(stored):
    model = charlstm.load()
    text = model.sample("qu", length=30, seed=1)
    assert len(text) == 30
    assert text == model.sample("qu", length=30, seed=1)
    assert text != model.sample("qu", length=30, seed=2)
    assert model.sample("qu", length=30, seed=1, until=text[4:6]).endswith(text[4:6])
    with pytest.raises(CorpusError):
        model.sample("\u2603")


def test_model_works_without_torch(stored):
    program = (
        "import sys, charlstm\n"
        "assert 'numpy' not in sys.modules\n"
        "model = charlstm.load()\n"
        "model.predict('qu'), model.sample('qu', length=3), model.score('qu')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_module_lists_its_attributes():
    assert {"load", "Model"} <= set(dir(charlstm))
    with pytest.raises(AttributeError, match="lood"):
        charlstm.lood  # noqa: B018


def test_warnings_are_escaped(stored, here):
    (here / "checkpoints").rename(here / "a\x1b[2J")
    path = here / "a\x1b[2J/tiny/best.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"\\x1b\[2J"):
        charlstm.load("tiny", checkpoints=here / "a\x1b[2J")


def test_stream_equals_sample(stored):
    model = charlstm.load()
    assert "".join(model.stream("qu", length=40, seed=1)) == model.sample("qu", length=40, seed=1)
    many = model.sample("qu", length=9, seed=1, num_samples=3)
    assert [len(one) for one in many] == [9, 9, 9]
    with pytest.raises(ConfigError, match="num_samples"):
        model.sample(num_samples=0)


def test_surprise_returns_bits_per_character(stored):
    model = charlstm.load()
    found = model.surprise(TEXT)
    assert "".join(one.char for one in found[:9]) == "the quick"
    assert sum(one.bits for one in found) * math.log(2) == pytest.approx(model.score(TEXT).nats)
    assert found.bits_per_char == pytest.approx(model.score(TEXT).bits_per_char)
    candidates = dict(found[1].candidates)
    assert candidates == dict(model.predict("t").next[:5])
    with pytest.raises(ConfigError):
        model.surprise("")


def test_unit_steps_match_the_trace(stored):
    model = charlstm.load()
    forget, cell = model.trace("quick")["forget"], model.trace("quick")["cell"]
    last = forget.shape[0] - 1
    steps = model.unit_steps("quick", layer=last, unit=3)
    assert [step.gate("forget").value for step in steps] == pytest.approx(
        forget[last, :, 3].tolist()
    )
    assert [step.cell for step in steps] == pytest.approx(cell[last, :, 3].tolist())
    for wrong in ({"layer": 9, "unit": 0}, {"layer": 0, "unit": 9999}, {"layer": -1, "unit": 0}):
        with pytest.raises(ConfigError, match="must be a whole number"):
            model.unit_steps("quick", **wrong)


def test_difference_matches_the_command(run, stored, trained, here):
    trained("one", "--steps", 30)
    trained("bytes", "--level", "byte", "--steps", 2)
    other = here / "other.txt"
    other.write_text((here / "tiny.txt").read_text("utf-8")[:900], encoding="utf-8")
    told = run.json("eval", other, "--run", "one", "--against", "tiny")
    model, rival = charlstm.load("one"), charlstm.load("tiny")
    for text in (other, other.read_text("utf-8")):
        found = model.difference(rival, text)
        assert found.difference_bits_per_char == pytest.approx(
            told["difference_bits_per_char"], abs=1e-5
        )
        assert found.low_bits_per_char == pytest.approx(told["low_bits_per_char"], abs=1e-4)
    back = rival.difference(model, other)
    assert back.difference_bits_per_char == pytest.approx(-found.difference_bits_per_char)
    with pytest.raises(CorpusError, match="read texts in different ways"):
        model.difference(charlstm.load("bytes"), other)


def test_trace_matches_the_cells(stored, checkpoint):
    model = charlstm.load()
    found = model.trace("quick")
    config = checkpoint.spec.model_config
    for name in ("input", "forget", "output", "candidate", "cell", "hidden"):
        assert found[name].shape == (config.num_layers, 5, config.hidden_size)
    state = found["forget"][:, 1:] * found["cell"][:, :-1]
    state += found["input"][:, 1:] * found["candidate"][:, 1:]
    np.testing.assert_allclose(found["cell"][:, 1:], state, atol=1e-6)
    np.testing.assert_allclose(found["hidden"], found["output"] * np.tanh(found["cell"]), atol=1e-6)
    assert "5" in repr(found)


@pytest.mark.parametrize("part", ["test", "val"])
def test_evaluate_matches_the_command(stored, run, part):
    record = run.json("eval", "--split", part)
    found, both = (charlstm.load().evaluate(part, with_counts=yes) for yes in (False, True))
    assert found.nats_per_char == pytest.approx(record["nats_per_char"], rel=1e-5)
    assert both.nats_per_char == pytest.approx(record["both"]["nats_per_char"], rel=1e-4)


@pytest.mark.parametrize("wrong", [3, None, b"qu", ["qu"]])
def test_invalid_text_is_rejected(stored, wrong):
    model = charlstm.load()
    for ask in (model.predict, model.sample, model.surprise, model.trace, model.score):
        with pytest.raises(ConfigError, match="must be a string"):
            ask(wrong)


def test_invalid_arguments_are_named(stored, here):
    model = charlstm.load()
    for wrong in ("foo", "mode", "vocabulary"):
        with pytest.raises(ConfigError, match="train, val or test"):
            model.evaluate(wrong)
    with pytest.raises(ConfigError, match="seed"):
        model.sample(seed=-1)
    with pytest.raises(ConfigError, match="not both"):
        charlstm.load("tiny", checkpoint=model.path)
    before = model.path.read_bytes()
    for path in (model.path, here / "tiny.txt", here / "absent" / "page.html"):
        with pytest.raises(CharLSTMError):
            model.page(path)
    assert model.path.read_bytes() == before


def test_to_torch_gives_the_same_predictions(stored):
    import torch

    model = charlstm.load()
    module = model.to_torch()
    ids_T = module.encode("quick")
    assert module.decode(ids_T) == "quick"
    logits_TBV, state = module(ids_T[:, None])
    found = logits_TBV[-1, 0].log_softmax(-1)[1:].exp()
    expected = [p for c, p in sorted(model.predict("quick").next, key=lambda one: one[0] or "")][1:]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-3)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    logits_TBV.sum().backward()
    optimizer.step()
    again, _ = module(ids_T[:1, None], state)
    assert again.shape == (1, 1, logits_TBV.shape[-1])


def test_history_and_page(stored, here, run):
    model = charlstm.load()
    shown = run.json("runs", "show", "tiny")
    assert model.history == shown["history"]
    page = model.page(here / "page.html", text="the fox").read_text()
    assert page.lower().startswith("<!doctype html>")
    with pytest.raises(CorpusError):
        model.page(here / "page.html", text="\u2603")


def test_export_js_writes_what_the_command_writes(stored, here, run):
    path = charlstm.load().export_js(here / "api.js")
    run.works("export", "tiny", "--format", "js", "-o", "command.js")
    assert path.read_bytes() == (here / "command.js").read_bytes()
    with pytest.raises(CharLSTMError):
        charlstm.load().export_js(here / "tiny.txt")


@pytest.mark.parametrize("text", ["<script>alert(1)</script> & \x1b[31m", "two\nlines\ttab"])
def test_notebook_output_is_escaped(stored, text):
    model = charlstm.load()
    shown = [
        model.surprise(text)._repr_html_(),
        model.trace(text)._repr_html_(),
        model._repr_html_(),
        model.predict("the")._repr_html_(),
    ]
    for one in shown:
        assert "<script" not in one
        assert "\x1b" not in one
        assert one.count("<div") == one.count("</div>")
        assert one.count("<td") == one.count("</td>")
        assert one.count("<span") == one.count("</span>")
    hostile = charlstm.load()
    hostile.name = "<img src=x onerror=alert(1)>"
    assert "<img" not in hostile._repr_html_()
    assert "parameters" in repr(model)
    assert len(repr(model.predict("the"))) < 200


def test_notebook_output_has_curve_bars_shades_and_heat_maps(stored):
    example = charlstm.load("example")
    points = re.search(r"points='([^']+)'", example._repr_html_())[1].split()
    heights = [float(point.partition(",")[2]) for point in points]
    bits = [one["val_bits_per_char"] for one in example.history]
    bits = [value for value in bits if value is not None]
    assert len(points) == len(bits) > 2
    assert np.argmax(heights) == np.argmin(bits)  # SVG's y axis points down
    model = charlstm.load()
    found = model.predict("the q")
    widths = re.findall(r"width:([\d.]+)%", found._repr_html_())
    assert [float(width) for width in widths] == pytest.approx(
        [100 * probability for _, probability in found.next[: len(widths)]], abs=0.06
    )
    surprise = model.surprise("the quick")
    titles = re.findall(r"title='([\d.]+) bits'", surprise._repr_html_())
    assert [float(title) for title in titles] == pytest.approx(
        [one.bits for one in surprise], abs=0.006
    )
    trace = model.trace("the quick")
    assert "hidden, last layer" in trace._repr_html_()
    rows = re.findall(r"<tr[^>]*><td>unit \d+</td>(.*?)</tr>", trace._repr_html_())
    assert rows
    assert {row.count("<td") for row in rows} == {len("the quick")}


def test_model_without_store_still_predicts(stored, here):
    model = charlstm.load()
    shutil.rmtree(here / "checkpoints")
    (here / "tiny.txt").unlink(missing_ok=True)
    assert model.predict("qu").next
    for ask in (model.evaluate, model.corpus, lambda: model.predict("q", with_counts=True)):
        with pytest.raises(CorpusError):
            ask()


@pytest.mark.parametrize("name", ["loading", "model", "training"])
def test_examples_in_docstrings_run(stored, here, name):
    import doctest
    from importlib import import_module

    (here / "names.txt").write_text("anna\notto\nhannah\n" * 300)
    known = {"charlstm": charlstm, "model": charlstm.load()}
    found = doctest.testmod(import_module(f"charlstm.api.{name}"), extraglobs=known)
    assert found.attempted > 0
    assert not found.failed


def test_store_is_from_environment_or_argument(stored, here, monkeypatch):
    folder = here / "checkpoints" / "tiny"
    assert charlstm.load(folder).checkpoint.step == charlstm.load("tiny").checkpoint.step
    assert charlstm.load(folder / "best.safetensors").title == "best"
    monkeypatch.setenv("CHARLSTM_CHECKPOINTS", str(here / "checkpoints"))
    monkeypatch.chdir("/")
    assert charlstm.load("tiny").name == "tiny"
    assert [run["name"] for run in charlstm.runs()] == ["tiny"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model: charlstm.load(5), "run must be a name or a path, not 5"),
        (lambda model: charlstm.load(checkpoints=5), "checkpoints must be"),
        (lambda model: charlstm.runs(checkpoints=b"x"), "checkpoints must be"),
        (lambda model: charlstm.train(["a.txt"]), "a file of the corpus must be a name or a path"),
        (lambda model: model.difference("name", "text"), "other: must be a charlstm.Model"),
        (lambda model: model.page(None), "path must be"),
        (lambda model: model.export_js(5), "path must be"),
        (lambda model: model.sample(num_samples=1 << 40), "num_samples must be"),
        (lambda model: model.sample(until=3), "--until must be"),
    ],
)
def test_argument_types_are_checked(stored, ask, message):
    with pytest.raises(ConfigError, match=message):
        ask(charlstm.load())


def test_unknown_sample_option_lists_valid_ones(stored):
    model = charlstm.load()
    for ask in (model.sample, lambda *a, **k: next(model.stream(*a, **k))):
        with pytest.raises(TypeError, match=r"'n'; it takes num_samples, .*temperature"):
            ask("qu", n=3)


def test_scoring_a_file_name_as_text_warns(stored):
    with pytest.warns(UserWarning, match="tiny.txt: this text is scored, not the file"):
        assert charlstm.load().score("tiny.txt").num_chars == 8


def test_stream_ends_like_a_sample_within_a_character_of_several_bytes(here):
    model = charlstm.train(
        text="\u2603\u00e9" * 400, level="byte", steps=2, hidden_size=8, batch_size=4, seq_len=16,
        progress=False,
    )  # fmt: skip
    texts = [model.sample(length=3, seed=seed) for seed in range(8)]
    assert ["".join(model.stream(length=3, seed=seed)) for seed in range(8)] == texts
    assert any(text.endswith(("\\xe2", "\\xc3")) for text in texts)


@pytest.mark.parametrize("command", ["eval", "score"])
def test_threads_option_reaches_torch(run, stored, here, monkeypatch, command):
    numbers = []
    monkeypatch.setattr("charlstm.training.hardware.set_threads", numbers.append)
    monkeypatch.setattr("charlstm.api.model._FEW_CHARS", 0)
    (here / "a.txt").write_text("the quick\n")
    run.works(command, "a.txt", "--threads", 3)
    assert set(numbers) == {3}


def test_percentiles_with_ngrams_are_those_of_both(stored):
    model = charlstm.load()
    alone, both = (model.percentiles(with_counts=which) for which in (False, True))
    corpus = model.corpus()
    items = validation_items(corpus.val, model.tokenizer)
    scores = model.predictor_for(with_counts=True).score(items)
    np.testing.assert_allclose(
        both.bits_per_char_I, Percentiles.of(scores, items).bits_per_char_I, rtol=1e-4
    )
    assert both.bits_per_char_I.mean() < alone.bits_per_char_I.mean()
