"""Tables show the figures of --json, to their last digit and in the unit of the header.

The JSON's derived figures are compared with its sums: bits are nats over log 2.
"""

import math
import re
from types import SimpleNamespace

import pytest
from conftest import TEXT
from printed import read, shows

import charlstm
from charlstm.evaluation import difference
from charlstm.evaluation.scores import DocumentScore
from charlstm.events import Evaluated, Finished, Stepped
from charlstm.run.log import RunLog, status
from charlstm.views import evaluation, training

LOG_2 = math.log(2)


@pytest.fixture
def both(run):
    """Return a function (command) -> its tables, and its JSON."""

    def both(*arguments):
        return read(run.works(*arguments)[0]), run.json(*arguments)

    return both


@pytest.fixture
def long_text(here, stored):
    """Return the name of a text with unknown characters, long enough for intervals."""
    (here / "long.txt").write_text(TEXT * 9 + "naïve ☃\n" * 30, encoding="utf-8")
    return "long.txt"


def in_bits(found):
    return found["nats"] / found["num_chars"] / LOG_2


def test_eval_table_matches_json(both, long_text):
    shown, found = both("eval", long_text)
    bits, pairs = in_bits(found), shown.pairs
    assert found["bits_per_char"] == pytest.approx(bits)
    assert shows(pairs["bits per character"], bits)
    assert shows(pairs["bits per byte"], bits * found["num_chars"] / found["num_bytes"])
    assert shows(pairs["nats per character"], bits * LOG_2)
    assert shows(pairs["perplexity"], 2**bits)
    top = found["top_accuracy"]
    assert shows(
        pairs["accuracy"].replace("top 3", "").replace("top 5", ""), *top.values(), unit="%"
    )
    assert shows(pairs["characters scored"], found["num_chars"])
    unknown = pairs["unknown characters"]
    assert shows(unknown, found["num_unknown"], found["upper_bits_per_char"])
    others = {one["name"]: one for one in found["baselines"]}
    others["LSTM"], others["LSTM + n-grams"] = found["network"], found["both"]
    rows = shown.rows("predictor", "bits/char", "bits/byte", "")
    assert {row[0] for row in rows} == set(others)
    for name, per_char, per_byte, _ in rows:
        assert shows(per_char, others[name]["bits_per_char"])
        assert shows(per_byte, others[name]["bits_per_byte"])
        assert others[name]["nats_per_char"] == pytest.approx(others[name]["bits_per_char"] * LOG_2)
    assert [row[0] for row in rows] == sorted(
        others, key=lambda name: others[name]["bits_per_char"]
    )


def test_eval_details_match_json(both, long_text):
    shown, found = both("eval", long_text, "--details")
    kinds = shown.rows("kind of character", "% of text", "% of bits", "bits/char")
    for row, one in zip(kinds, found["by_kind"], strict=True):
        assert row[0] == one["kind"]
        assert shows(row[1], one["num_chars"] / found["num_chars"], unit="%")
        assert shows(row[2], one["nats"] / found["nats"], unit="%")
        assert shows(row[3], in_bits(one))
    bins = shown.rows("confidence", "accuracy", "", "% of text")
    for row, one in zip(bins, found["calibration"]["bins"], strict=True):
        assert shows(row[0], one["confidence"], unit="%")
        assert shows(row[1], one["accuracy"], unit="%")
        assert shows(row[3], one["num_chars"] / found["num_chars"], unit="%")
    contexts = shown.rows("context length", "bits/char", "")
    for row, one in zip(contexts, found["by_context"], strict=True):
        assert shows(row[0], one["num_context"])
        assert shows(row[1], one["nats_per_char"] / LOG_2)
    known = shown.rows("matched context", "% of text", "LSTM", "n-grams", "LSTM + n-grams")
    for row, one in zip(known, found["by_known_context"], strict=True):
        assert shows(row[0], one["num_known"])
        assert shows(row[1], one["num_chars"] / found["num_chars"], unit="%")
        for cell, name in zip(row[2:], ("network", "counts", "both"), strict=True):
            assert shows(cell, one[f"{name}_bits_per_char"])
    surprises = shown.rows("position", "bits", "most surprising characters")
    for row, one in zip(surprises, found["most_surprising"], strict=True):
        assert shows(row[0], one["place"])
        assert shows(row[1], one["bits"])


def test_eval_against_table_matches_json(both, run, here, long_text, corpus_file):
    run.train(corpus_file, "--steps", 3, "--min-count", 60, "--run", "few")
    shown, found = both("eval", long_text, "--run", "tiny", "--against", "few")
    one, other = (found[name] / found["num_chars"] / LOG_2 for name in ("nats", "other_nats"))
    pairs = shown.pairs
    assert shows(pairs["bits per character"], one, other)
    assert shows(
        pairs["difference"].replace("95 %", ""),
        one - other,
        found["low_bits_per_char"],
        found["high_bits_per_char"],
    )
    assert shows(pairs["characters scored"], found["num_chars"])
    assert shows(pairs["unknown characters"], found["num_unknown"], found["other_num_unknown"])
    assert found["num_unknown"] != found["other_num_unknown"]
    assert shows(pairs["compared by"], found["num_blocks"], found["block_length"])
    header = ("% of text", "bits/char", "against", "contribution")
    rows = shown.rows("kind of character", *header)
    for row, part in zip(rows, found["by_kind"], strict=True):
        assert row[0] == part["kind"]
        assert shows(row[1], part["num_chars"] / found["num_chars"], unit="%")
        assert shows(row[2], in_bits(part))
        assert shows(row[3], part["other_nats"] / part["num_chars"] / LOG_2)
        assert shows(row[4], (part["nats"] - part["other_nats"]) / found["num_chars"] / LOG_2)


def test_eval_notes_show_the_differences(run, long_text, stored, monkeypatch):
    monkeypatch.setattr(evaluation, "noise_bits", lambda _number: -9.0)
    worse = difference.WorseThanValidation(2.75, 2.5, 2.625, 2.875)
    monkeypatch.setattr(difference, "worse_than_validation", lambda *_: worse)
    note = " ".join(run.works("eval")[0].split())
    assert "0.250 bits per character higher than the validation loss (2.500)" in note
    assert "95 % interval for such parts: 2.62 to 2.88" in note
    found = run.json("eval")
    gain = found["bits_per_char"] - found["counts"]["bits_per_char"]
    assert f"better than the LSTM, by {gain:.3f} bits" in note


def test_documents_table_shows_bits_and_whether_known(capsys):
    documents = [
        DocumentScore(number=1234, num_chars=4, nats=12.0, is_known=known, text="abc")
        for known in (True, False, None)
    ]
    evaluation.show_documents(documents[:2], documents[2:])
    printed = read(capsys.readouterr().out)
    rows = [row for _, rows in printed.tables for row in rows]
    for row, known in zip(rows, ("yes", "no", "-"), strict=True):
        assert shows(row[0], 1234)
        assert shows(row[1], 12 / LOG_2)
        assert shows(row[2], 3 / LOG_2)
        assert row[3:] == [known, "abc"]


def test_predict_table_matches_json(both, stored):
    shown, found = both("predict", "the q")
    ((header, rows),) = shown.tables
    assert header[0] == "after the␣q"
    assert shows(header[1], found["entropy_bits"], unit="bits")
    for (char, share, _), one in zip(rows, found["next"], strict=False):
        assert char == {" ": "␣", "\n": "⏎"}.get(one["char"], one["char"]) or one["char"] is None
        assert shows(share, one["probability"], unit="%")
    p = [one["probability"] for one in found["next"]]
    assert found["entropy_bits"] == pytest.approx(-sum(one * math.log2(one) for one in p))


@pytest.mark.parametrize(("top", "options"), [(5, ()), (2, ("--top", 2))])
def test_ladder_table_matches_json(both, stored, top, options):
    shown, found = both("predict", "quick", "--ladder", *options)
    ((header, rows),) = shown.tables
    assert header[:4] == ["context", "characters", "entropy", "most likely next"]
    for row, rung in zip(rows, found["ladder"], strict=True):
        assert row[0] == (rung["context"] or "(no context)")
        assert shows(row[1], rung["num_context"])
        assert shows(row[2], rung["entropy_bits"], unit="bits")
        shares = " ".join(row[3:])
        assert shows(shares, *(one["probability"] for one in rung["next"][:top]), unit="%")


def test_runs_table_matches_json(both, two_runs):
    shown, found = both("runs")
    rows = shown.rows("run", "model", "budget", "bits/char", "size", "saved")
    for row, one in zip(rows, found, strict=True):
        assert row[:3] == [one["name"], one["model"], one["budget"]]
        assert shows(row[3], one["best_val_bits_per_char"])
        assert shows(row[4], one["num_bytes"] / 1e6, unit="MB")


def test_runs_show_table_matches_json(both, two_runs):
    shown, found = both("runs", "show", "one")
    assert shows(shown.pairs["steps"], found["step"])
    assert str(found["num_train_chars"]) in shown.pairs["corpus"].replace(",", "")
    rows = shown.rows("epoch", "train", "val", "sample (same seed each time)")
    for row, entry in zip(rows, found["history"], strict=True):
        for cell, name in zip(
            row, ("epoch", "train_bits_per_char", "val_bits_per_char"), strict=False
        ):
            assert cell == "-" if entry[name] is None else shows(cell, entry[name])
    best = min(entry["val_bits_per_char"] for entry in found["history"][1:])
    assert found["best_val_bits_per_char"] == best


def test_runs_show_selects_evaluations_from_first_to_last(both, two_runs, monkeypatch):
    monkeypatch.setattr("charlstm.views.runs._NUM_SHOWN", 3)
    shown, found = both("runs", "show", "one")
    epochs = [entry["epoch"] for entry in found["history"]]
    assert len(epochs) > 3
    rows = shown.rows("epoch", "train", "val", "sample (same seed each time)")
    first, middle, last = (row[0] for row in rows)
    assert first == ("-" if epochs[0] is None else f"{epochs[0]:.2f}")
    assert middle == f"{epochs[len(epochs) // 2]:.2f}"
    assert last == f"{epochs[-1]:.2f}"


def test_differences_of_runs_match_json(both, two_runs):
    shown, found = both("runs", "show", "one", "two")
    ((_, rows),) = shown.tables
    rows = {name: cells for name, *cells in rows}
    last = [one["history"][-1] for one in found]
    for name, values in (
        ("best val bits/char", [one["best_val_bits_per_char"] for one in found]),
        ("last train bits/char", [one["train_bits_per_char"] for one in last]),
        ("epochs", [one["epoch"] for one in last]),
        ("steps", [one["step"] for one in found]),
    ):
        assert all(shows(cell, value) for cell, value in zip(rows[name], values, strict=True))


def test_corpus_check_table_matches_json(both, long_text):
    shown, found = both("corpus", "check", long_text)
    (row,) = shown.rows("file", "encoding", "characters", "line ends")
    assert shows(row[2], found["files"][0]["num_chars"])
    for name, field in (
        ("characters", "num_chars"),
        ("documents", "num_documents"),
        ("unknown characters", "num_unknown"),
    ):
        splits = found["splits"]
        assert shows(shown.pairs[name], *(one[field] for one in splits))
        assert [word for word in shown.pairs[name].split() if word.isalpha()] == [
            one["name"] for one in splits
        ]
    assert shows(shown.pairs["distinct characters"], found["num_characters"], found["num_rare"])
    repeated = shown.pairs[f"repeated {found['repeated_unit']}"].removesuffix(" of the text")
    counted, _, share = repeated.rpartition(", ")
    assert shows(counted, found["num_repeated"], found["num_units"])
    assert shows(share, found["repeated_share"], unit="%")
    cells = dict(re.findall(r"(\S.*?) (\d+\.\d+)(?:, |$)", shown.pairs["bits per character"]))
    assert cells.keys() == found["baseline_bits_per_char"].keys()
    assert all(shows(cells[name], bits) for name, bits in found["baseline_bits_per_char"].items())


def test_gates_table_matches_json(both, stored):
    shown, found = both("inspect", "--gates")
    gates = ("closed (< 0.1)", "before training", "open (> 0.9)", "before training")
    for row, one in zip(shown.rows("gate", *gates), found["gate_shares"], strict=True):
        assert row[0] == f"layer {one['layer']}, {one['gate']}"
        for cell, name in zip(
            row[1:], ("closed", "closed_before", "open", "open_before"), strict=True
        ):
            assert cell == "-" if name not in one else shows(cell, one[name], unit="%")


def test_reach_table_matches_json(both, stored):
    shown, found = both("inspect", "--reach")
    gradient = found["reach"]["gradient"]
    rows = shown.rows("distance back", "gradient", "")
    assert len(rows) > 3
    for distance, cell, _ in rows:
        assert shows(cell, gradient[int(distance) - 1] / max(gradient))


def test_reach_caption_shows_half_distance(run, stored):
    out, _ = run.works("inspect", "--reach")
    half = run.json("inspect", "--reach")["reach"]["half_distance"]
    assert f"half of the gradient comes from the last {half} characters" in " ".join(out.split())


def test_gate_maps_show_minimum_and_maximum(run, stored):
    command = ("inspect", "the quick brown", "--gates", "--layer", 2, "--unit", 3)
    out, found = run.works(*command)[0], run.json(*command)
    values = found["gates"]["values"]
    for name in ("input", "forget", "output", "candidate", "cell", "hidden"):
        (extent,) = re.findall(rf"^{name} +(\S+ to \S+) ", out, re.MULTILINE)
        assert shows(extent.replace(" to ", " "), min(values[name]["3"]), max(values[name]["3"]))


def test_unit_tables_match_json(run, stored):
    command = ("inspect", "the quick", "--cell", "2:3")
    out, found = run.works(*command)[0], run.json(*command)
    shown = read(out)
    *_, last = steps = found["cell"]["steps"]
    (_, of_steps), (header, of_gates) = shown.tables
    for row, step in zip(of_steps, steps, strict=True):
        values = [gate["value"] for gate in step["gates"]]
        values += [step["cell_before"], step["cell"], step["hidden"]]
        assert all(map(shows, row[1:], values))
    assert header[1:] == ["layer 1", "h before", "bias", "sum", "value"]
    for row, gate in zip(of_gates, last["gates"], strict=True):
        assert row[0] == gate["name"]
        names = ("input", "hidden", "bias", "pre_activation", "value")
        assert all(map(shows, row[1:], [gate[name] for name in names]))
        (terms,) = re.findall(rf"^{gate['name']}: (.* from .*)$", out, re.MULTILINE)
        for term, (source, number, value) in zip(terms.split(", "), gate["largest"], strict=True):
            figure, _, unit = term.partition(" from ")
            assert shows(figure, value)
            assert unit == f"{ {'below': 1, 'hidden': 2}[source] }:{number}"


def test_units_table_matches_json(both, stored, corpus_file):
    shown, found = both("inspect", "--units", "--file", corpus_file)
    header = ("feature", "measure", "chance", "score", "layer", "unit", "strongest at [ ]")
    rows = iter(shown.rows(*header))
    for one in found["units"]:
        for place, (unit, row) in enumerate(zip(one["units"], rows, strict=False)):
            if not place:
                assert row[:2] == [one["feature"], one["measure"]]
                assert shows(row[2], one["chance"])
            assert shows(row[3], unit["score"])
            assert row[4:6] == [str(unit["layer"]), str(unit["unit"])]
    assert not list(rows)


def test_score_rows_match_json(run, stored, here):
    (here / "lines.txt").write_text("the quick\nlazy dog.\nzzz\n", encoding="utf-8")
    header, *rows = run.works("score", "lines.txt", "--header")[0].splitlines()
    found = run.json_lines("score", "lines.txt")
    names = header.split("\t")
    for row, one in zip(rows, found, strict=True):
        for name, cell in zip(names, row.split("\t"), strict=True):
            assert cell == one[name] if name == "text" else shows(cell, one[name])
        ends = round(one["bits"] / one["bits_per_char"]) - one["num_chars"]
        assert ends in (0, 1)


def test_score_per_char_rows_match_json(run, stored, here):
    (here / "a.txt").write_text("the quick brown", encoding="utf-8")
    command = ("score", "a.txt", "--per", "char")
    header, *rows = run.works(*command, "--header")[0].splitlines()
    found = run.json_lines(*command)
    for row, one in zip(rows, found, strict=True):
        for name, cell in zip(header.split("\t"), row.split("\t"), strict=True):
            is_text = name in ("char", "expected")
            assert (cell == one[name].replace("\n", "\\x0a")) if is_text else shows(cell, one[name])


@pytest.mark.parametrize("stopped_early", [False, True])
def test_finished_training_shows_its_result(capsys, tmp_path, stopped_early):
    event = Finished(
        step=9, epoch=4.5, best_epoch=3.25, best_val_bits_per_char=2.3456, elapsed_seconds=83.4,
        chars_per_second=12_345.6, was_interrupted=False, stopped_early=stopped_early,
    )  # fmt: skip
    session = SimpleNamespace(name="one", folder=tmp_path, history=())
    training.show_finished(session, event)
    pairs = read(capsys.readouterr().out).pairs
    assert shows(pairs["best validation bits per character"], 2.3456)
    assert shows(pairs["best validation perplexity"], 2**2.3456)
    assert shows(pairs["best at"], 3.25, 4.5)
    assert ("stopped early because of overfitting" in pairs["best at"]) == stopped_early
    assert pairs["time"] == "1:23"
    assert shows(pairs["characters per second"], 12_345.6)


COMMON = {
    "step": 7, "epoch": 1.5, "elapsed_seconds": 83.4, "chars_per_second": 12_345.6,
    "train_bits_per_char": 2.125, "learning_rate": 0.01, "dropout": 0.1, "recurrent_dropout": 0.2,
    "threads": 2,
}  # fmt: skip


def test_status_of_a_step_shows_its_figures():
    log = RunLog([])
    evaluated = Evaluated(
        **COMMON, val_bits_per_char=2.345, num_val_chars=1, num_val_streams=1, temperature=1.0,
        is_best=True,
    )  # fmt: skip
    report = log.entry_for("evaluated", evaluated, sample="abc")
    (line,) = training._lines(report, 100, quiet=False)
    assert line == "epoch   1.50  val 2.345 best  abc"
    stepped = Stepped(
        **COMMON, progress=0.25, seconds_left=125.0, chose_threads=False, was_skipped=False,
        was_slowed=False,
    )  # fmt: skip
    found = status(log.entry_for("stepped", stepped))
    assert found == "12.3k chars/s, 2:05 left, train 2.125, val 2.345"


@pytest.mark.parametrize(
    ("event", "changes", "expected"),
    [
        (Evaluated, {"val_bits_per_char": None}, "epoch   1.50  no val text  abc"),
        (Stepped, {"threads": 1}, "continuing with 1 thread, now faster"),
        (Stepped, {"threads": 2}, "continuing with 2 threads, now faster"),
    ],
)
def test_lines_of_events_name_their_figures(event, changes, expected):
    fields = {
        Evaluated: {"num_val_chars": 0, "num_val_streams": 1, "temperature": 1.0, "is_best": True},
        Stepped: {
            "progress": 0.25, "seconds_left": 125.0, "chose_threads": True, "was_skipped": False,
            "was_slowed": False,
        },
    }[event]  # fmt: skip
    record = RunLog([]).entry_for("event", event(**COMMON | fields | changes), sample="abc")
    assert list(training._lines(record, 100, quiet=False)) == [expected]


def test_plan_shows_the_splits_in_order(run, corpus_file):
    splits = ("--val-fraction", 0.1, "--test-fraction", 0.2)
    _, err = run.train(corpus_file, "--steps", 2, "--run", "one", *splits)
    (line,) = (line for line in err.splitlines() if line.startswith("corpus"))
    corpus = charlstm.load("one").corpus()
    sizes = (one.num_chars for one in (corpus.train, corpus.val, corpus.test))
    train, val, test = (f"{number:,}" for number in sizes)
    num_distinct = charlstm.load("one").checkpoint.spec.model_config.num_characters
    assert line == (f"corpus   {train} characters, {num_distinct} distinct; val {val}, test {test}")
    assert "budget   2 steps" in err
    shown = run.works("runs", "show", "one")[0]
    assert "batches of 4 x 16" in shown
