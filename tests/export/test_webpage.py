"""Tests of the page's contents and its behavior in a real browser."""

import itertools
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HOSTILE, MODEL, TEXT, with_spec, with_vocabulary

from charlstm.analysis.inspection import trace
from charlstm.analysis.unit import unit_steps
from charlstm.export.rounding import rounded
from charlstm.export.webpage import build_page
from charlstm.inference.prediction import ladder, predict_next
from charlstm.inference.predictor import Predictor
from charlstm.model.checkpoints import Checkpoint
from charlstm.model.lstm import CharLSTM
from charlstm.reading.documents import EOS
from charlstm.text.encoded_text import EncodedText
from charlstm.text.vocabulary import Vocabulary

GATES = ("input", "forget", "output", "reset", "update")


def page_of(checkpoint: Checkpoint, path: Path, *, text="the quick", name="tiny") -> Path:
    held_out = EncodedText.of([TEXT[:200]], checkpoint.spec.vocabulary)
    path.write_bytes(build_page(checkpoint, name=name, text=text, held_out=held_out).data)
    return path


@pytest.mark.parametrize(
    ("hidden_size", "num_characters"),
    [
        (256, 65),
        pytest.param(64, 6000, marks=pytest.mark.slow),
        pytest.param(512, 200, marks=pytest.mark.slow),
    ],
)
def test_the_page_is_small(checkpoint, tmp_path, hidden_size, num_characters):
    vocabulary = Vocabulary("".join(map(chr, range(0x4E00, 0x4E00 + num_characters))))
    config = replace(
        MODEL, num_characters=num_characters, hidden_size=hidden_size, embedding_size=64
    )
    weights = {
        name: value.detach().numpy() for name, value in CharLSTM(config).state_dict().items()
    }
    model = with_spec(checkpoint, model_config=config, vocabulary=vocabulary, weights=weights)
    size = page_of(model, tmp_path / "page.html", text="\u4e00").stat().st_size
    assert size <= 1.4 * config.num_parameters + 250_000


def test_page_escapes_texts(checkpoint, tmp_path):
    hostile = with_vocabulary(checkpoint, HOSTILE)
    hostile = with_spec(hostile, corpus_name="</p><script>alert(1)</script>{{weights}}\udcff")
    text = "</script><script>alert(1)</script>{{style}}"
    page = page_of(hostile, tmp_path / "page.html", text=text, name="<b>&").read_text("utf-8")
    assert page.count("<script") == 3
    assert page.count("</script>") == 3
    assert "alert(1)<" not in page
    assert "<b>" not in page
    assert sorted(re.findall(r"\{\{\w+\}\}", page)) == ["{{style}}", "{{weights}}"]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy
    # WebAssembly may be compiled, but strings not evaluated.
    assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "")


@pytest.fixture
def open_page(browser, tmp_path):
    """Return a function (checkpoint, browser options) -> opened page; page errors fail the test."""
    troubles = []
    contexts = []

    def opened(checkpoint, *, text="the quick", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        path = page_of(checkpoint, tmp_path / "page.html", text=text)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        page.on("request", lambda one: one.url == path.as_uri() or troubles.append(one.url))
        page.goto(path.as_uri())
        page.wait_for_selector("#next-list button[data-number]")
        wait_for(page, "charlstm.isRead()")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not troubles


def names(page):
    return page.locator("#next-list .symbol").all_text_contents()


def wait_for(page, condition):
    """Wait without evaluating a string in the page, which its policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"still not so: {condition}")


def assert_predictions(page, checkpoint, *prefixes):
    """Compare what the page predicts after prefixes with Python, for the rounded weights."""
    found = page.evaluate(
        """async (prefixes) => {
          const field = document.getElementById("text");
          const found = [];
          for (const prefix of prefixes) {
            field.value = prefix;
            field.dispatchEvent(new Event("input"));
            while (!charlstm.next()) await new Promise(requestAnimationFrame);
            found.push(charlstm.next());
          }
          return found;
        }""",
        prefixes,
    )
    predictor = Predictor(rounded(checkpoint))
    tokenizer = predictor.tokenizer
    # A line end typed into the field is the text's own.
    line_end = "\r\n" if "\r" in tokenizer.vocabulary.characters else "\n"
    for prefix, log_p in zip(prefixes, found, strict=True):
        symbols = tokenizer.to_chars(prefix.replace("\n", line_end))
        expected = predictor.read_all(symbols, predictor.start()).log_p[0]
        np.testing.assert_allclose(log_p, expected, atol=1e-4)


def text_of(page, selector):
    return page.locator(selector).text_content()


def settle(page, condition="true"):
    """Wait until the page has read and drawn everything."""
    wait_for(page, f"charlstm.isRead() && ({condition})")


def wait_for_text(page, selector, pattern):
    """Wait until the text of an element matches a regular expression somewhere."""
    for _ in range(200):
        if re.search(pattern, text_of(page, selector)):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{selector} still says {text_of(page, selector)!r}, not {pattern!r}")


def focused(page):
    """Return the id of the element with the focus."""
    return page.evaluate("document.activeElement.id")


def move_caret(page, number):
    """Focus the text and put the caret after some characters."""
    page.locator("#text").focus()
    page.keyboard.press("Control+Home")
    for _ in range(number):
        page.keyboard.press("ArrowRight")


def colors_of(look):
    return {"forced_colors": "active"} if look == "forced" else {"color_scheme": look}


def follow(page, layer, unit):
    """Select a unit; layers count from 1."""
    page.locator("#layer").select_option(label=str(layer))
    page.locator("#unit").fill(str(unit))
    page.locator("#unit").press("Enter")


def write_sample(page):
    """Let the page write from the caret until it is done, and return all that it shows."""
    page.locator("#start").click()
    wait_for_text(page, "#sample-status", "^500 ")
    return text_of(page, "#written")


@pytest.fixture(scope="module")
def learned(make_trainer, checkpoint):
    """Return a model that has memorized the tiny text."""
    trainer = make_trainer(steps=300)
    for _ in trainer.run():
        pass
    return replace(checkpoint, weights=trainer.weights())


@pytest.mark.slow
def test_page_predicts_u_after_q(open_page, learned):
    page = open_page(learned, text="")
    page.locator("#text").press_sequentially("q")
    wait_for(page, "document.querySelector('#next-list .symbol').textContent === 'u'")
    page.locator("#next-list button").first.click()
    assert page.locator("#text").input_value() == "qu"


@pytest.mark.parametrize(
    ("cell", "documents"), [("lstm", None), ("gru", None), ("rnn", None), ("lstm", "lines")]
)
@pytest.mark.slow
def test_page_predictions_match_python(open_page, checkpoint, cell, documents):
    model = with_vocabulary(checkpoint, TEXT, cell=cell, split_documents=documents)
    page = open_page(model)
    generator = np.random.default_rng(0)
    prefixes = [
        "".join(generator.choice([*model.spec.vocabulary.characters, "\u2603"], length))
        for length in generator.integers(0, 40, 200)
    ]
    if documents is not None:
        assert any("\n" in prefix for prefix in prefixes)
    assert_predictions(page, model, *prefixes)
    num_maps = page.locator("#layers canvas[data-name]").count()
    assert num_maps == {"lstm": 12, "gru": 8, "rnn": 2}[cell]


@pytest.mark.slow
def test_predictions_match_without_webassembly(browser, checkpoint, tmp_path):
    model = with_vocabulary(checkpoint, TEXT)
    page = served(
        browser,
        page_of(model, tmp_path / "page.html"),
        policy="script-src 'unsafe-inline'",
    )
    wait_for(page, "globalThis.charlstm?.isRead()")
    compiled = "WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))"
    assert page.evaluate(f"{compiled}.then(() => 'compiled', () => 'refused')") == "refused"
    assert_predictions(page, model, "the lazy")
    page.close()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.slow
def test_cell_arithmetic_adds_up(open_page, checkpoint, cell):
    model = with_vocabulary(checkpoint, TEXT, cell=cell)
    text = "the quick"
    page = open_page(model, text=text)
    split = EncodedText.of([text], model.spec.vocabulary)
    for layer, unit, place in ((2, 3, 9), (1, 5, 9), (1, 5, 2), (2, 0, 1)):
        follow(page, layer, unit)
        move_caret(page, 0)
        for _ in range(place):
            page.locator("#forward").click()
        at = f"ayer {layer}, unit {unit}, character {place}: "
        wait_for_text(page, "#cell-words", at)
        step = unit_steps(rounded(model), split, layer=layer - 1, unit=unit)[place - 1]
        # The numbers match Python ...
        found = page.evaluate("charlstm.step()")
        for drawn, gate in zip(found["gates"], step.gates, strict=True):
            assert drawn["name"] == gate.name
            for key, value in (
                ("input", gate.input),
                ("hidden", gate.hidden),
                ("bias", gate.bias),
                ("preActivation", gate.pre_activation),
                ("value", gate.value),
            ):
                assert drawn[key] == pytest.approx(value, abs=1e-4)
        # ... and the displayed sums add up.
        rows = page.locator("#sums tbody tr")
        for row, gate in zip(rows.all(), step.gates, strict=True):
            name, *cells = row.locator("th, td").all_text_contents()
            assert name.split()[0] == gate.name
            below, hidden, bias, total, value = (number(one) for one in cells)
            assert below + hidden + bias == pytest.approx(total, abs=0.02)
            squashed = 1 / (1 + math.exp(-total)) if gate.name in GATES else math.tanh(total)
            assert squashed == pytest.approx(value, abs=0.02)
        # A gate's bar fills its box from the left, another value's from the middle.
        bars = page.evaluate(
            """() => [...document.querySelectorAll("#drawing rect.open")].map((bar) => {
              const box = bar.previousElementSibling;
              const [left, width] = ["x", "width"].map((name) => Number(bar.getAttribute(name)));
              const share = (x) => (x - box.getAttribute("x")) / box.getAttribute("width");
              return [share(left), share(left + width)];
            })"""
        )
        expected = [
            (0, gate.value) if gate.name in GATES else sorted((0.5, (1 + gate.value) / 2))
            for gate in step.gates
        ]
        np.testing.assert_allclose(sorted(bars), sorted(map(list, expected)), atol=0.01)
        for equation in page.locator("#equations p").all_text_contents():
            _, *_, computed, result = equation.split(" = ")
            for shown, meant in (("tanh", "math.tanh"), ("\u00d7", "*"), ("\u2212", "-")):
                computed = computed.replace(shown, meant)
            assert eval(computed, {"math": math}) == pytest.approx(number(result), abs=0.004)


def number(text):
    return float(text.replace("\u2212", "-"))


@pytest.mark.slow
def test_page_ladder_matches_python(open_page, learned):
    page = open_page(learned, text="the quick brown fox")
    settle(page, "document.querySelectorAll('#contexts tr').length === 7")
    rows = page.locator("#contexts tr")
    for number, rung in enumerate(ladder(Predictor(rounded(learned)), "the quick brown fox")):
        cells = rows.nth(number).locator("th, td").all_text_contents()
        assert int(cells[0]) == rung.num_context
        best = rung.prediction.next[0]
        char = {" ": "\u2423", "\n": "\u23ce"}.get(best.char, best.char)
        assert cells[3].startswith(f"{char}\u00a0")
        assert float(cells[2].split()[0]) == pytest.approx(rung.prediction.entropy_bits, abs=0.006)
    # The curve's points are at the same entropies, between 0 and the largest.
    bits = [float(row.locator("td").nth(1).text_content().split()[0]) for row in rows.all()]
    heights = page.locator("#curve circle").evaluate_all(
        "all => all.map(one => one.cy.baseVal.value)"
    )
    np.testing.assert_allclose(heights, [150 - 138 * one / max(bits) for one in bits], atol=1)
    # Within the text, the last column is the probability of the character that follows.
    move_caret(page, 5)
    wait_for_text(page, "#contexts-next", "^\u201cu\u201d$")
    settle(page, "document.querySelectorAll('#contexts tr').length === 5")
    for number, rung in enumerate(ladder(Predictor(rounded(learned)), "the q")):
        cells = rows.nth(number).locator("th, td").all_text_contents()
        (shown,) = (one.probability for one in rung.prediction.next if one.char == "u")
        assert float(cells[4].split()[0]) == pytest.approx(100 * shown, rel=0.01, abs=0.5)


@pytest.mark.slow
def test_edit_updates_later_predictions(open_page, learned):
    page = open_page(learned, text="the quick brown fox jumps over")
    settle(page)
    assert page.locator("#strip [data-change]").count() == 0
    page.evaluate(
        """() => {
          const text = document.getElementById("text");
          text.setRangeText("x", 5, 6, "end");
          text.dispatchEvent(new Event("input"));
        }"""
    )
    settle(page, "document.querySelector('#strip [data-change]')")
    changed = page.locator("#strip span").evaluate_all("all => all.map(one => one.dataset.change)")
    assert not any(changed[:6])
    assert changed[6] == "more"
    assert "The last edit changed" in text_of(page, "#strip-words")
    predictor = Predictor(rounded(learned))
    text = "the qxick brown fox jumps over"
    for place in (0, 5, 6, 20):
        found = {one.char: one.probability for one in predict_next(predictor, text[:place]).next}
        page.locator("#strip span").nth(place).hover(force=True)
        title = page.locator("#text").get_attribute("title")
        assert float(title.split()[0]) == pytest.approx(-math.log2(found[text[place]]), abs=0.006)


@pytest.mark.slow
def test_page_is_keyboard_accessible(open_page, learned):
    page = open_page(learned, text="the quick")
    page.locator("#maps summary").click()
    reached = []
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"text", "SUMMARY", "BUTTON", "layer", "unit", "all-units"} <= set(reached)
    assert {"temperature", "seed", "start", "written"} <= set(reached)
    move_caret(page, 1)
    wait_for(page, "document.querySelector('#strip .chosen')?.textContent === 't'")
    page.locator("#next-list button").first.focus()
    best = names(page)[0]
    page.keyboard.press("Enter")
    wait_for(page, "document.getElementById('text').value.length === 10")
    assert page.locator("#text").input_value()[1] == {"\u2423": " "}.get(best, best)
    # The focus stays, so that the button can be pressed again.
    assert page.evaluate("document.activeElement.closest('#next-list') !== null")
    page.locator("#unit").fill("3")
    page.locator("#unit").press("Enter")
    wait_for_text(page, "#cell-words", " unit 3, ")


@pytest.mark.slow
def test_graphics_have_labels(open_page, learned):
    page = open_page(learned)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll(
            "input, select, textarea, button, canvas, [role=img]")]
          .filter((one) => !(one.labels?.length || one.getAttribute("aria-label") ||
            one.getAttribute("aria-labelledby") || one.getAttribute("aria-hidden") ||
            one.textContent.trim()))
          .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    wait_for_text(page, "#next-words", "^After")
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.slow
def test_writing_with_a_seed_is_reproducible(open_page, learned):
    page = open_page(learned, text="the ")

    def write(temperature, seed):
        page.locator("#temperature").fill(str(temperature))
        page.locator("#seed").fill(str(seed))
        written = write_sample(page)
        assert text_of(page, "#written .hint") == "the "
        return written.removeprefix("the ")

    assert write(1, 5) == write(1, 5)
    assert write(1, 5) != write(1, 6)
    expected = greedy(learned, "the ", 30)
    assert write(0, 1).startswith(expected)
    page.locator("#keep").click()
    assert page.locator("#text").input_value().startswith("the " + expected)
    assert focused(page) == "text"


@pytest.mark.slow
def test_screen_reader_status_and_seed_are_shown(open_page, learned):
    page = open_page(learned, text="the quick")
    settle(page)
    names = page.locator("#next-list button").evaluate_all(
        "all => all.map(one => [...one.children].map(part => part.textContent))"
    )
    assert names
    for symbol, spoken, *_ in names:
        assert spoken == {"\u2423": "space", "\u23ce": "line end"}.get(symbol, symbol)
    assert any(symbol == "\u2423" for symbol, *_ in names)
    # Screen readers announce words.
    page.locator("#text").fill("the")
    wait_for_text(page, "#live", "^After \u201cthe\u201d: space\u00a0")
    for wrong, right in (("-5", "0"), ("2.6", "3"), ("9999999999", "4294967295"), ("", "0")):
        page.locator("#seed").fill(wrong)
        page.locator("#temperature").focus()
        assert page.locator("#seed").input_value() == right


@pytest.mark.slow
def test_temperature_changes_predictions(open_page, learned):
    page = open_page(learned, text="the ")
    log_p_V = Predictor(rounded(learned)).read_all("the ", Predictor(rounded(learned)).start())
    log_p = log_p_V.log_p[0].astype(np.float64)
    log_p[0] = -np.inf  # unknown is never drawn
    page.locator("#temperature").fill("2")
    wait_for_text(page, "#temperature-words", "^2.00$")
    settle(page)
    p = np.exp(log_p / 2) / np.exp(log_p / 2).sum()
    shown = page.locator("#next-list .share").first.text_content()
    assert float(shown.split()[0]) == pytest.approx(100 * p.max(), abs=0.5)
    entropy = -(p[1:] * np.log2(p[1:])).sum()
    assert f"entropy {entropy:.2f} bits" in text_of(page, "#next-words")
    # The bar is the tempered probability, the mark the model's own.
    bar, mark = page.evaluate(
        """() => {
          const [bar, mark] = document.querySelector("#next-list .track").children;
          return [parseFloat(bar.style.width), parseFloat(mark.style.left)];
        }"""
    )
    assert bar / mark == pytest.approx(p.max() / np.exp(log_p.max()), rel=0.01)
    page.locator("#temperature").fill("0")
    wait_for_text(page, "#next-words", "entropy 0.00")
    visible = page.locator("#next-list button:visible").count()
    assert visible == 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 700, 1200])
def test_field_is_aligned_with_its_shading(open_page, checkpoint, width):
    """Field and shading must wrap lines identically."""
    model = with_vocabulary(checkpoint, TEXT + "\t\u0301\u4e2d")
    text = "the quick brown fox\tjumps " * 6 + "x\u0301\u4e2d\u4e2d\n\n" + "q" * 90 + "\n"
    page = open_page(model, text=text, viewport={"width": width, "height": 700})
    heights = page.evaluate(
        """() => {
          const field = document.getElementById("text");
          const { offsetHeight } = document.getElementById("strip");
          return [field.scrollHeight, field.offsetHeight, offsetHeight];
        }"""
    )
    assert len(set(heights)) == 1
    assert text_of(page, "#strip") == text
    # A click on the last character, above the empty line, puts the caret next to it.
    page.locator("#legend").scroll_into_view_if_needed()
    place = page.locator("#strip span").nth(len(text) - 2).bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2 + 3, place["y"] + place["height"] / 2)
    caret = page.evaluate("document.getElementById('text').selectionStart")
    assert caret in (len(text) - 2, len(text) - 1)


@pytest.mark.slow
def test_phone_layout_clips_nothing(open_page, learned):
    page = open_page(
        learned, text="the quick brown fox " * 5, viewport={"width": 390, "height": 844}
    )
    settle(page, "document.querySelectorAll('#contexts tr').length === 9")
    move_caret(page, 70)
    settle(page, "document.querySelectorAll('#contexts tr').length === 9")
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")]
          .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)"""
    )
    assert cut == []
    outside = page.evaluate(
        """() => [...document.querySelectorAll("#drawing g")].flatMap((group) => {
          const box = group.querySelector("rect").getBoundingClientRect();
          return [...group.querySelectorAll("text")].filter((one) => {
            const { left, right } = one.getBoundingClientRect();
            return left < box.left || right > box.right;
          }).map((one) => one.textContent);
        })"""
    )
    assert outside == []
    page.locator("#tour-start").click()
    for _ in range(4):
        page.locator("#tour-next").click()
    wait_for_text(page, "#tour-words", "^5")
    page.wait_for_timeout(1500)
    # The rows that the last step describes are above its box.
    state, tour = (page.locator(one).first.bounding_box() for one in ("[data-name=cell]", "#tour"))
    assert state["y"] >= 0
    assert state["y"] + state["height"] <= tour["y"]


@pytest.mark.slow
def test_each_line_of_a_list_is_a_document(open_page, checkpoint):
    page = open_page(
        with_vocabulary(checkpoint, TEXT, split_documents="lines"), text="the fox\nqui"
    )
    assert text_of(page, "#next-words").startswith("After \u201cqui\u201d")
    assert page.locator("#documents").is_visible()
    write_sample(page)
    assert text_of(page, "#written .hint") == "qui"
    page.locator("#text").fill("the\n")
    wait_for_text(page, "#cell-words", "before the next document")
    after_end = page.evaluate("charlstm.step()")
    page.locator("#text").fill("")
    wait_for_text(page, "#cell-words", "before the text")
    assert page.evaluate("charlstm.step()") == after_end


@pytest.mark.slow
def test_crlf_prediction_can_be_clicked(open_page, checkpoint):
    """In a byte model with CR LF, either prediction inserts the complete line end."""
    model = with_vocabulary(checkpoint, "\r\n", level="byte")
    page = open_page(model, text="\r\n")
    for place in (0, 1):
        page.locator("#next-list button:enabled").nth(place).click()
    assert page.locator("#text").input_value() == "\n\n\n"
    assert text_of(page, "#notice") == ""
    wait_for(page, "charlstm.isRead()")


@pytest.mark.slow
def test_typing_overrides_mouse_position(open_page, learned):
    page = open_page(learned, text="the quick")
    settle(page)
    page.locator("#strip span").nth(2).hover(force=True)
    wait_for(
        page, "document.querySelectorAll('#contexts tr').length === 4"
    )  # 0, 1, 2, 3 characters
    assert text_of(page, "#strip .chosen") == "e"
    page.locator("#text").press_sequentially("x")
    wait_for(page, "document.querySelector('#strip .chosen').textContent === 'x'")


@pytest.mark.slow
def test_writing_can_be_stopped(open_page, checkpoint):
    # Large enough that reading and writing take longer than the click on "stop".
    page = open_page(with_vocabulary(checkpoint, TEXT, hidden_size=500))
    page.locator("#start").click()
    wait_for_text(page, "#sample-status", r"^[1-9]")
    page.locator("#stop").click()
    assert page.locator("#stop").is_disabled()
    num_written = len(text_of(page, "#written"))
    assert 0 < num_written < 500
    page.wait_for_timeout(100)
    assert len(text_of(page, "#written")) == num_written
    # Stopped before the text is read, nothing is written.
    page.evaluate(
        """() => {
          const field = document.getElementById("text");
          field.value = "the quick ".repeat(200);
          field.dispatchEvent(new Event("input"));
          document.getElementById("start").click();
          document.getElementById("stop").click();
        }"""
    )
    page.wait_for_timeout(300)
    assert text_of(page, "#sample-status").startswith("0 ")


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("look", ["light", "dark", "forced"])
@pytest.mark.slow
def test_page_fits_every_screen(open_page, learned, width, look):
    page = open_page(
        learned,
        text="the quick brown fox " * 8,
        viewport={"width": width, "height": 700},
        **colors_of(look),
    )
    settle(page)
    # The field doesn't cover the shading beneath it.
    style = page.locator("#text").evaluate(
        "field => [getComputedStyle(field).color, getComputedStyle(field).backgroundColor]"
    )
    assert style == ["rgba(0, 0, 0, 0)"] * 2
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.locator("#maps summary").click()
    wait_for(page, "document.querySelector('#layers canvas').width !== 300")
    page.wait_for_timeout(200)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    # No heat map is blank.
    assert page.evaluate(
        """() => [...document.querySelectorAll("canvas")].every((canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size > 5;
        })"""
    )


ALL_BYTES = "".join(map(chr, range(256)))


@pytest.mark.parametrize(
    ("characters", "reading", "text", "prefixes"),
    [
        (TEXT + "\r", {"keep_line_ends": True}, "the\r\nfox", ["a\nb"]),
        (TEXT + "\r", {"level": "byte"}, "the\r\nfox", ["a\nb"]),
        (ALL_BYTES, {"level": "byte"}, "na\u00efve", ["\u00fc\U0001f600"]),
        (
            HOSTILE,
            {},
            "</script><img src=x onerror=alert(1)>\U0001f600{{script}}",
            ["\u202e\x1b[31m", "\U0001f600\U0001f600", "\ufeffe\u0301\x00"],
        ),
    ],
    ids=["line ends", "bytes with line ends", "bytes", "hostile"],
)
@pytest.mark.slow
def test_page_shows_and_reads_any_text(open_page, checkpoint, characters, reading, text, prefixes):
    model = with_vocabulary(checkpoint, characters, **reading)
    page = open_page(model, text=model.spec.tokenizer.to_chars(text))
    settle(page)
    shown = text.replace("\r\n", "\n")
    assert page.locator("#text").input_value() == shown
    assert page.locator("#strip span").all_text_contents() == [*shown]
    assert page.locator("img").count() == 0
    assert_predictions(page, model, *prefixes)


@pytest.mark.slow
def test_page_cannot_send_data(browser, learned, tmp_path):
    page = browser.new_page()
    page.goto(page_of(learned, tmp_path / "page.html").as_uri())
    reasons = page.evaluate(
        """async () => {
          const reasons = [];
          document.addEventListener(
            "securitypolicyviolation", (one) => reasons.push(one.violatedDirective));
          try { await fetch("https://example.org/"); } catch { reasons.push("fetch"); }
          new Image().src = "https://example.org/x.png";
          await new Promise((resolve) => setTimeout(resolve, 200));
          return reasons;
        }"""
    )
    assert "fetch" in reasons
    assert any("connect" in reason for reason in reasons)
    assert any("img" in reason for reason in reasons)
    page.close()


AXE = os.environ.get("CHARLSTM_TEST_AXE")


@pytest.mark.skipif(AXE is None, reason="CHARLSTM_TEST_AXE names no axe.min.js of npm's axe-core")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("look", ["light", "dark", "forced"])
@pytest.mark.slow
def test_page_is_accessible(open_page, learned, width, look):
    page = open_page(
        learned,
        text="the quick brown fox " * 8 + "\u2603",
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
        **colors_of(look),
    )
    for part in page.locator("summary").all():
        part.click()
    page.locator("#start").click()
    page.locator("#change").click()
    page.locator("#tour-start").click()
    settle(page, "document.querySelector('#tour-words').textContent.length > 20")
    assert AXE is not None
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    for shading in ("surprisal", "unit"):
        page.locator(f"#shade-{shading}").check()
        page.wait_for_timeout(100)
        found = page.evaluate(
            """async () => {
              const rules = { "label-content-name-mismatch": { enabled: true },
                "target-size": { enabled: true } };
              const { violations } = await axe.run(document, { rules });
              return violations.map(({ id, nodes }) =>
                [id, nodes.slice(0, 3).map((one) => `${one.html} ${one.failureSummary}`)]);
            }"""
        )
        assert found == []


@pytest.mark.slow
def test_a_change_is_labeled_and_can_be_undone(open_page, learned):
    page = open_page(learned, text="the quick brown fox")
    text = "jumps over the lazy fox"
    page.locator("#text").fill(text)
    settle(page)
    assert "edit" not in text_of(page, "#strip-words")  # it is another text
    page.locator("#change").click()
    settle(page, "document.querySelector('#strip [data-change]')")
    changed = page.locator("#text").input_value()
    assert sum(one != two for one, two in zip(text, changed, strict=True)) == 1
    assert "The last edit changed" in text_of(page, "#strip-words")
    assert focused(page) == "change"
    # After two changes, undo restores the first text.
    page.locator("#change").click()
    page.locator("#undo").click()
    assert page.locator("#text").input_value() == text
    assert focused(page) == "change"
    assert page.locator("#undo").is_disabled()
    page.locator("#text").fill("")
    page.locator("#change").click()
    assert "nothing here to change" in text_of(page, "#notice")


@pytest.mark.slow
def test_sample_is_inserted_at_its_position(open_page, learned):
    page = open_page(learned, text="the quick")
    move_caret(page, 4)
    written = write_sample(page).removeprefix("the ")
    # A sample can't be inserted while the text before it differs.
    page.locator("#text").fill("a dog")
    wait_for(page, "document.getElementById('keep').disabled")
    page.locator("#text").fill("the quick")
    wait_for(page, "!document.getElementById('keep').disabled")
    page.locator("#keep").click()
    assert page.locator("#text").input_value() == "the " + written + "quick"
    # The browser can undo the insertion, and that of a prediction.
    page.keyboard.press("Control+z")
    assert page.locator("#text").input_value() == "the quick"
    page.locator("#next-list button").first.click()
    assert len(page.locator("#text").input_value()) == 10
    page.locator("#text").focus()
    page.keyboard.press("Control+z")
    assert page.locator("#text").input_value() == "the quick"


@pytest.mark.slow
def test_sample_is_inserted_up_to_the_end_of_its_document(open_page, checkpoint):
    characters = TEXT.replace("\n", "") + EOS
    page = open_page(with_vocabulary(checkpoint, characters, split_documents="blank-lines"))
    written = write_sample(page).removeprefix("the quick")
    assert "\n" in written
    page.locator("#keep").click()
    assert page.locator("#text").input_value() == "the quick" + written.partition("\n")[0]


@pytest.mark.slow
def test_full_field_shows_a_notice_and_keeps_the_sample(open_page, learned):
    page = open_page(learned, text="the quick")
    # A pasted line end counts as one character, as in the field.
    page.evaluate(
        """() => {
          const field = document.getElementById("text");
          field.select();
          const clipboardData = new DataTransfer();
          clipboardData.setData("text", "the quick\\r\\n".repeat(195));
          field.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
          document.execCommand("insertText", false, "the quick\\n".repeat(195));
        }"""
    )
    assert len(page.locator("#text").input_value()) == 1950
    assert text_of(page, "#notice") == ""
    page.locator("#text").fill("the quick " * 200)
    settle(page)
    assert page.locator("#strip span").count() == 2000
    assert "full" in text_of(page, "#notice")
    page.locator("#next-list button").first.click()
    assert len(page.locator("#text").input_value()) == 2000
    assert "1 left out" in text_of(page, "#notice")
    write_sample(page)
    page.locator("#keep").click()
    assert "left out" in text_of(page, "#notice")
    assert len(text_of(page, "#written")) > 500


@pytest.mark.slow
def test_unknown_characters_are_named_and_marks_visible(open_page, learned):
    page = open_page(learned, text="the")
    page.locator("#text").fill("the " + "".join(map(chr, range(0x2600, 0x260B))))
    settle(page)
    notice = text_of(page, "#notice")
    assert "\u201c\u2600\u201d" in notice
    assert "and 3 more" in notice
    page.locator("#text").fill("x\u0301")
    settle(page)
    assert page.locator("#strip span").all_text_contents() == ["x", "\u0301"]
    assert "\u25cc\u0301" in text_of(page, "#notice")


@pytest.mark.slow
def test_page_loads_without_layout_shift(browser, learned, tmp_path):
    page = browser.new_page()
    page.goto(page_of(learned, tmp_path / "page.html", text="the quick brown").as_uri())
    wait_for(page, "globalThis.charlstm?.isRead()")
    page.wait_for_timeout(500)
    shift = page.evaluate(
        """() => new Promise((resolve) => {
          new PerformanceObserver((list) => resolve(
            list.getEntries().reduce((sum, one) => sum + one.value, 0)))
            .observe({ type: "layout-shift", buffered: true });
          setTimeout(() => resolve(0), 500);
        })"""
    )
    assert shift < 0.1
    assert page.locator("#dead").is_hidden()
    page.close()


def served(browser, path, *, policy):
    """Open the page from a server that adds its own policy."""
    page = browser.new_page()
    page.route(
        "http://page.test/",
        lambda route: route.fulfill(
            body=path.read_bytes(),
            headers={"content-type": "text/html", "content-security-policy": policy},
        ),
    )
    page.goto("http://page.test/")
    return page


@pytest.mark.parametrize("is_forbidden", [False, True])
@pytest.mark.slow
def test_page_without_scripts_shows_a_notice(browser, learned, tmp_path, is_forbidden):
    path = page_of(learned, tmp_path / "page.html")
    if is_forbidden:
        page = served(browser, path, policy="default-src 'self'")
    else:
        page = browser.new_page(java_script_enabled=False)
        page.goto(path.as_uri())
    page.wait_for_timeout(3300)
    assert "forbids it" in text_of(page, "#dead")
    assert page.locator("#dead").is_visible()
    page.close()


@pytest.mark.slow
def test_tour_leads_from_a_letter_to_the_gates(open_page, learned):
    page = open_page(learned, text="the quick brown fox jumps over the lazy dog")
    page.locator("#tour-start").click()
    said = []
    for step in range(5):
        wait_for_text(page, "#tour-words", f"^{step + 1} of 5. ")
        page.wait_for_timeout(150)
        said.append(text_of(page, "#tour-words"))
        if step < 4:
            page.locator("#tour-next").click()
    assert all(len(words) > 60 for words in said)
    assert page.locator("#tour-next").is_disabled()
    assert page.locator("#maps").get_attribute("open") is not None
    page.locator("#tour-end").click()
    assert page.locator("#tour").is_hidden()
    assert focused(page) == "tour-start"


@pytest.mark.slow
def test_shading_follows_the_selected_unit(open_page, learned):
    text = "the quick brown fox jumps over"
    page = open_page(learned, text=text)
    # The page opens on a unit that tracks a feature.
    selected = text_of(page, "#tracked option:checked")
    assert re.fullmatch(r"position in the .+ \(layer \d, unit \d\)", selected)
    page.locator("#shade-unit").check()
    wait_for_text(page, "#strip-words", re.search("layer.*unit [0-9]", selected)[0])
    follow(page, 1, 5)
    wait_for_text(page, "#strip-words", "layer 1, unit 5")
    settle(page)
    shades = page.locator("#strip span").evaluate_all("all => all.map(one => one.dataset.shade)")
    steps = unit_steps(
        rounded(learned), EncodedText.of([text], learned.spec.vocabulary), layer=0, unit=5
    )
    for shade, step in zip(shades, steps, strict=True):
        value = math.tanh(step.cell)
        limits = [0.1, 0.3, 0.5, 0.75]
        if min(abs(abs(value) - limit) for limit in limits) > 1e-3:
            size = sum(abs(value) >= limit for limit in limits)
            assert shade == f"{'n' if value < 0 else 'p'}{size}"


@pytest.mark.slow
def test_maps_name_the_values_under_the_mouse(open_page, learned):
    text = "quick br"
    page = open_page(learned, text=text)
    page.locator("#maps summary").click()
    for layer, name in ((0, "forget"), (1, "cell")):
        canvas = page.locator(f"canvas[data-name={name}][data-layer='{layer}']")
        settle(page, "document.querySelector('canvas[data-name=cell]').clientHeight > 20")
        page.wait_for_timeout(100)
        box = canvas.bounding_box()
        words = set()
        for x, y in itertools.product(range(36, 136, 9), range(3, round(box["height"]), 11)):
            canvas.hover(position={"x": x, "y": y}, force=True)
            words.add(text_of(page, "#hover-words"))
        pattern = rf"Layer {layer + 1}, unit (\d+), after \u201c(.)\u201d: {name} ([\u2212\d.]+)"
        found = [match.groups() for word in words if (match := re.fullmatch(pattern, word))]
        values = trace(Predictor(rounded(learned)), EncodedText.of([text], learned.spec.vocabulary))
        assert len(found) > 20
        for unit, char, value in found:
            expected = values[name][layer, text.index({"\u2423": " "}.get(char, char)), int(unit)]
            assert float(value.replace("\u2212", "-")) == pytest.approx(expected, abs=0.006)


def greedy(checkpoint, text, length):
    predictor = Predictor(rounded(checkpoint))
    written = ""
    for _ in range(length):
        written += next(
            one.char for one in predict_next(predictor, text + written).next if one.char
        )
    return written


@pytest.mark.slow
def test_sample_continues_the_text_at_the_click(open_page, learned):
    page = open_page(learned, text="the")
    text = (TEXT * 3)[:2000]
    page.locator("#temperature").fill("0")
    # All in one task, so that the text isn't read when the next one arrives.
    page.evaluate(
        """(text) => {
          const field = document.getElementById("text");
          const put = (value) => {
            field.value = value;
            field.setSelectionRange(value.length, value.length);
            field.dispatchEvent(new Event("input"));
          };
          put(text);
          document.getElementById("start").click();
          put("");
          put(text.slice(0, -1) + "x");
        }""",
        text,
    )
    wait_for_text(page, "#sample-status", "^500 ")
    settle(page)
    assert page.locator("#keep").is_disabled()
    written = text_of(page, "#written")
    assert written.removeprefix(text[-40:]).startswith(greedy(learned, text, 20))


@pytest.mark.slow
def test_all_bytes_of_a_character_are_selectable(open_page, checkpoint):
    model = with_vocabulary(checkpoint, ALL_BYTES, level="byte")
    page = open_page(model, text=model.spec.tokenizer.to_chars("a\u00e9b"))
    for place in (3, 2, 1, 0, 0):
        page.locator("#back").click()
        wait_for_text(page, "#cell-words", f"byte {place}: " if place else "before the text")
        assert focused(page) == "back"
    for place in (1, 2, 3, 4, 4):
        page.locator("#forward").click()
        wait_for_text(page, "#cell-words", f"byte {place}: ")
    assert page.title() == "tiny: a byte model"


@pytest.mark.slow
def test_text_scrolls_to_the_caret(open_page, learned):
    page = open_page(learned, text="the quick brown fox\n" * 90)
    page.locator("#text").focus()
    for place in (0, 1_700, 900):
        page.evaluate(
            f"document.getElementById('text').setSelectionRange({place + 1}, {place + 1})"
        )
        wait_for(page, f"document.querySelectorAll('#strip span')[{place}].matches('.chosen')")
        is_shown = page.evaluate(
            """() => {
                const [editor, chosen] = ["#editor", "#strip .chosen"].map(
                    (name) => document.querySelector(name).getBoundingClientRect());
                return editor.top <= chosen.top && chosen.bottom <= editor.bottom;
            }"""
        )
        assert is_shown
