"""Tests of the JavaScript module: predictions in Node, and replacement of exports."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import HOSTILE, TEXT, with_spec, with_vocabulary

from charlstm.cli import main
from charlstm.errors import CharLSTMError
from charlstm.evaluation.scores import Evaluation
from charlstm.export.javascript import export_module
from charlstm.export.rounding import rounded
from charlstm.inference.prediction import ranked
from charlstm.inference.predictor import Predictor

NODE = shutil.which("node")
END = "\ufdd0"
BYTES = "".join(map(chr, range(256)))


@pytest.fixture
def in_node(tmp_path):
    """Return a function (checkpoint, expression of `model`) -> value in Node."""
    if NODE is None:
        pytest.skip("there is no node")

    def evaluated(checkpoint, expression):
        path = tmp_path / "model.mjs"
        export_module(checkpoint, path, name="tiny")
        code = f"import {{ load }} from {json.dumps(path.as_uri())}; const model = load();"
        code += f"console.log(JSON.stringify({expression}))"
        command = [NODE, "--input-type=module", "--eval", code]
        result = subprocess.run(command, capture_output=True, check=True, timeout=60)
        return json.loads(result.stdout)

    return evaluated


@pytest.mark.parametrize(
    ("cell", "characters", "reading"),
    [
        ("lstm", TEXT, {}),
        ("gru", TEXT, {}),
        ("rnn", TEXT, {}),
        ("lstm", TEXT, {"split_documents": "lines"}),
        ("lstm", TEXT + END, {"split_documents": "blank-lines"}),
        ("lstm", BYTES, {"level": "byte"}),
        ("lstm", TEXT + "\r", {"keep_line_ends": True}),
        ("lstm", TEXT + "\u00e9", {"normalize": "nfc"}),
        ("lstm", HOSTILE, {}),
    ],
)
def test_module_predictions_and_scores_match_python(in_node, checkpoint, cell, characters, reading):
    model = with_vocabulary(checkpoint, characters, cell=cell, **reading)
    tokenizer, predictor = model.spec.tokenizer, Predictor(rounded(model))
    texts = ["", "the quick\r\nbrown\nfox", f"e\u0301\u00e9\u2603{END}\U0001f600", HOSTILE[:-6]]
    found = in_node(model, f"{json.dumps(texts)}.map((one) => [model.next(one), model.bits(one)])")
    for text, (following, bits) in zip(texts, found, strict=True):
        symbols = tokenizer.to_chars(text)
        log_p_V = predictor.read_all(symbols, predictor.start()).log_p[0]
        expected = {one.char: one.probability for one in ranked(tokenizer, log_p_V, prefix="").next}
        assert [p for _, p in following] == sorted((p for _, p in following), reverse=True)
        assert dict(following) == pytest.approx(expected, abs=1e-5)
        if text:
            split = tokenizer.encode_documents(tokenizer.documents(symbols))
            scored = Evaluation.of_scores(split, predictor.score(split))
            assert bits == pytest.approx(scored.bits_per_char * scored.num_chars, rel=1e-4)


def test_module_sampling_respects_options(in_node, checkpoint):
    running, best, same, other, given = in_node(
        with_vocabulary(checkpoint, TEXT),
        """[
          model.sample("the", { length: 40, temperature: 0 }),
          model.sample("the", { length: 40, topK: 1 }),
          ...[1, 1].map((seed) => model.sample("the", { length: 40, seed })),
          model.sample("the", { length: 40, topK: 3, random: () => 0 }),
        ]""",
    )
    assert running == best == given
    assert same == other != best
    assert len(same) == 40


@pytest.mark.parametrize("options", ["{ temperature: -1 }", "{ temperature: NaN }", "{ topK: 0 }"])
def test_module_rejects_invalid_options(in_node, checkpoint, options):
    attempt = f"try {{ model.sample('t', {options}) }} catch (error) {{ return error.name }}"
    assert in_node(checkpoint, f"(() => {{ {attempt} }})()") == "RangeError"


@pytest.mark.parametrize(
    ("characters", "reading"),
    [(TEXT, {"split_documents": "lines"}), (TEXT + END, {"split_documents": "blank-lines"})],
)
def test_module_sample_stops_at_eos(in_node, checkpoint, characters, reading):
    model = with_vocabulary(checkpoint, characters, **reading)
    texts = in_node(model, "[...Array(20).keys()].map((seed) => model.sample('t', { seed }))")
    assert all(model.spec.tokenizer.eos not in text for text in texts)
    assert len(set(map(len, texts))) > 3


@pytest.mark.slow
def test_example_page_runs_the_module(browser, checkpoint, tmp_path):
    model = with_vocabulary(checkpoint, TEXT)
    export_module(model, tmp_path / "js", name="tiny")
    page = browser.new_page()
    requested = []

    def serve(route):
        name = route.request.url.removeprefix("http://page.test/")
        requested.append(name)
        route.fulfill(path=tmp_path / "js" / name)

    page.route("http://page.test/**", serve)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto("http://page.test/index.html")
    page.locator("#prime").press_sequentially("the quick")
    predictor = Predictor(rounded(model))
    log_p_V = predictor.read_all("the quick", predictor.start()).log_p[0]
    best = ranked(model.spec.tokenizer, log_p_V, prefix="").next[0]
    shown = page.locator("#next").text_content()
    assert shown.startswith(f"{json.dumps(best.char)} {best.probability:.1%}")
    page.locator("#write").click()
    written = page.locator("#written").text_content()
    assert written.startswith("the quick")
    assert len(written) == 309
    assert requested == ["index.html", "model.js"]
    page.close()


def test_export_js_command_writes_file_or_folder(stored, here, capsys):
    for output in ("tiny.js", "folder"):
        assert main(["export", "tiny", "--format", "js", "-o", output]) == 0
        said = capsys.readouterr().err
        assert re.search(r"8 bits: [+-]0\.\d{4} bits per character \(\d+ characters", said)
    names = sorted(path.name for path in (here / "folder").iterdir())
    assert names == ["index.html", "model.d.ts", "model.js"]
    module = (here / "tiny.js").read_bytes()
    assert (here / "folder" / "model.js").read_bytes() == module
    assert main(["export", "--checkpoint", "checkpoints/tiny/best.safetensors", "--format", "js",
                 "-o", "checkpoints/tiny"]) == 1  # fmt: skip
    assert "is not an export of charlstm" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["out.js", "out"])
def test_only_an_export_of_the_same_run_is_replaced(checkpoint, tmp_path, output):
    path = tmp_path / output
    module = path if path.suffix else path / "model.js"
    export_module(checkpoint, path, name="one\nrun")
    export_module(checkpoint, path, name="one\nrun")
    before = module.read_bytes()
    for name, other in (("two", checkpoint), ("one\nrun", with_spec(checkpoint, fingerprint="0"))):
        with pytest.raises(CharLSTMError, match="export of another run"):
            export_module(other, path, name=name)
    with pytest.raises(CharLSTMError, match="read by the same command"):
        export_module(checkpoint, path, name="one\nrun", inputs=[module])
    assert module.read_bytes() == before
    module.write_text("// charlstm export [", encoding="utf-8")
    with pytest.raises(CharLSTMError, match="not an export of charlstm"):
        export_module(checkpoint, path, name="one\nrun")
