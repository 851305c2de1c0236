import csv
import io
import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import TEXT, posix

import charlstm
from charlstm.system import run_files

# Texts and their labels.
ROWS = [["anna\nanna", "names"], ["1234", "names"], ['43,"21', "digits"], ["clara", "?"]]


def rows_of(out):
    return [line.split("\t") for line in out.splitlines()]


def csv_of(out):
    return list(csv.reader(io.StringIO(out)))


def test_score_prints_bits_and_percentile_per_line(run, known_names, here):
    (here / "odd.txt").write_bytes(b"anna\r\nadda\n\nclara\nbdc")
    header, *rows = rows_of(run.works("score", "odd.txt", "--run", "names", "--header")[0])
    assert header == ["bits", "bits_per_char", "percentile", "text"]
    assert [row[3] for row in rows] == ["anna", "adda", "", "clara", "bdc"]
    bits = [float(row[0]) for row in rows]
    assert min(bits[1], bits[4]) > max(bits[0], bits[3])
    for row, length in zip(rows, (5, 5, 1, 6, 4), strict=True):  # including EOS
        assert float(row[1]) == pytest.approx(float(row[0]) / length, abs=1e-3)
        assert 0 <= float(row[2]) <= 100
    assert run.json("eval", "odd.txt", "--run", "names")["num_chars"] > 0
    records = run.json_lines("score", "odd.txt", "--run", "names")
    assert [one["number"] for one in records] == [1, 2, 3, 4, 5]
    assert [one["bits"] for one in records] == pytest.approx(bits, abs=1e-3)
    model = charlstm.load("names")
    lines = ["anna\n", "adda", "", "clara", "bdc"]
    assert [one.bits for one in model.score_lines(lines)] == pytest.approx(bits, abs=1e-3)


def test_above_filters_lines_and_sets_exit_code(run, known_names, here):
    (here / "odd.txt").write_text("anna\nxqq\n")
    (row,) = rows_of(run.works("score", "odd.txt", "--run", "names", "--above", "p99")[0])
    assert row[3] == "xqq"
    limit = float(row[1])
    assert run("score", "odd.txt", "--run", "names", "--above", limit - 0.01)[0] == 0
    assert run("score", "odd.txt", "--run", "names", "--above", limit + 1)[:2] == (1, "")
    for wrong in (["--above", "p101"], ["--above", "much"], ["absent.txt"], ["--run", "absent"]):
        assert run("score", "odd.txt", "--run", "names", *wrong)[0] == 2


@pytest.mark.parametrize(("colors", "start", "end"), [("", "\x1b[1;31m", "\x1b[0m"), ("1", "", "")])
def test_show_highlights_the_most_surprising_passage(
    run, known_names, here, monkeypatch, colors, start, end
):
    (here / "odd.txt").write_text("annaqq\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", colors)
    (item,) = charlstm.load("names").score_lines(["annaqq"])
    first, after = item.surprising_passage()
    assert 0 < after - first < 6
    expected = f"{item.text[:first]}{start}{item.text[first:after]}{end}{item.text[after:]}"
    out = run.works("score", "odd.txt", "--run", "names", "--show")[0]
    assert rows_of(out)[0][3] == expected


def test_score_text_prints_bits_only(run, stored):
    out = run.stdout("score", "--text", "the quick")
    assert float(out) == pytest.approx(charlstm.load().score("the quick").nats / 0.693147, rel=1e-3)
    assert run.json("score", "--text", "the quick") == {
        "bits": {"tiny": pytest.approx(float(out), abs=1e-3)}
    }
    assert run("score", "a.txt", "--text", "the")[0] == 2


def test_score_with_two_runs_classifies_lines(run, known_names, here):
    (here / "digits.txt").write_text("1234\n4321\n1432\n2143\n" * 60)
    run.train("digits.txt", "--split-documents", "lines", "--steps", 60)
    (here / "both.txt").write_text("anna\n1234\n")
    both = ["both.txt", "--run", "names", "--run", "digits"]
    out, err = run.works("score", *both, "--header")
    header, *rows = rows_of(out)
    assert header == ["bits_names", "bits_digits", "best", "posterior", "text"]
    assert [row[2] for row in rows] == ["names", "digits"]
    assert all(0.5 < float(row[3]) <= 1 for row in rows)
    assert "names: 1 of 2" in err
    models = [charlstm.load("names"), charlstm.load("digits")]
    found = list(charlstm.classify(["anna", "1234\n"], models))
    assert [one.best for one in found] == ["names", "digits"]
    assert found[0].bits["digits"] == pytest.approx(float(rows[0][1]), abs=1e-3)
    assert [one["best"] for one in run.json_lines("score", *both)] == ["names", "digits"]
    assert run("score", "both.txt", "--run", "names", "--run", "names")[0] == 2
    assert run("score", *both, "--above", 3)[0] == 2


@pytest.fixture
def kinds(run, here):
    """Train a run of names and one of numbers from tables, and write t.csv with some of both."""
    for kind, words in (("names", "anna berta clara dora"), ("digits", "1234 4321 1432 2143")):
        rows = "".join(f'"{word}\n{word}",{kind}\n' for word in words.split() * 30)
        (here / f"{kind}.csv").write_text(f"text,kind\n{rows}")
        run.train(f"{kind}.csv", "--column", "text", "--steps", 40)
    with open(here / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([["text", "kind"], *ROWS])
    return ["--run", "names", "--run", "digits"]


def test_score_appends_columns_to_a_table(run, kinds, here):
    records = "".join(json.dumps({"kind": kind, "text": text}) + "\n" for text, kind in ROWS)
    (here / "t.jsonl").write_text(records)
    options = ["--column", "text", "--run", "names"]
    header, *rows = csv_of(run.works("score", "t.csv", *options)[0])
    assert header == ["text", "kind", "bits", "bits_per_char", "percentile"]
    assert [row[:2] for row in rows] == ROWS
    model = charlstm.load("names")
    bits = [one.bits for one in model.score_lines([text for text, _ in ROWS])]
    assert [float(row[2]) for row in rows] == pytest.approx(bits, abs=1e-3)
    found = [json.loads(one) for one in run("score", "t.jsonl", *options)[1].splitlines()]
    assert [list(one)[:3] for one in found] == [["kind", "text", "bits"]] * 4
    assert [one["bits"] for one in found] == pytest.approx(bits)
    limit = sorted(float(row[3]) for row in rows)[-2] - 1e-3
    assert len(csv_of(run.works("score", "t.csv", *options, "--above", limit)[0])) == 3
    assert run("score", "t.csv", *options, "--above", 99)[0] == 1


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("1\n", [], "row 2 (line 2): is not a JSON object"),
        ('{"text": "b", "bits": 1}\n', [], "row 2: already has a column 'bits'"),
        ('{"text": "b"}\n', ["--run", "tiny-2", "--expect", "kind"], "row 2: has no column 'kind'"),
    ],
)
def test_rows_before_an_invalid_one_are_written(run, stored, here, rows, options, message):
    shutil.copytree("checkpoints/tiny", "checkpoints/tiny-2")
    (here / "t.jsonl").write_text('{"text": "a", "kind": "tiny"}\n' + rows)
    code, out, err = run("score", "t.jsonl", "--column", "text", "--run", "tiny", *options)
    assert code == 2
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["a"]
    assert err.splitlines()[-1].startswith(f"charlstm: t.jsonl: {message}")


@pytest.mark.parametrize("names", [("bytes", "tiny"), ("tiny", "bytes")])
def test_undecodable_bytes_score_the_same_in_any_model_order(run, stored, trained, names):
    trained("bytes", "--level", "byte", "--steps", 2)
    run.pipe_in(b"the \xff\n")
    (found,) = run.json_lines("score", *(f"--run={name}" for name in names))
    model = charlstm.load("bytes")
    (expected,) = model.score_lines([b"the \xff".decode("utf-8", "surrogateescape")])
    named = expected.bits + model.tokenizer.unknown_nats / np.log(2)
    assert found["bits"]["bytes"] == pytest.approx(named, rel=1e-5)


def test_undecodable_bytes_in_a_document_are_replaced(run, stored, here):
    (here / "a.txt").write_bytes(b"the \xff")
    code, out, err = run("score", "a.txt", "--per", "document")
    assert (code, out.splitlines()[0].split("\t")[3]) == (0, "the \ufffd")
    assert "a.txt: byte 4 (0xFF) is not valid utf-8; such bytes are read as U+FFFD" in err


@pytest.mark.parametrize("content", [b"the \xff\nquick\n", b"the \xff\r\nquick"])
def test_undecodable_bytes_in_a_file_are_replaced_as_on_stdin(run, stored, here, content):
    (here / "a.txt").write_bytes(content)
    code, out, err = run("score", "a.txt")
    assert [line.split("\t")[3] for line in out.splitlines()] == ["the \ufffd", "quick"]
    assert "a.txt: byte 4 (0xFF) is not valid utf-8; such bytes are read as U+FFFD" in err
    run.pipe_in(content)
    assert run("score")[:2] == (code, out)


def test_endless_line_is_rejected(run, stored, here, monkeypatch):
    monkeypatch.setattr("charlstm.reading.lines.MAX_LINE_CHARS", 10)
    (here / "a.txt").write_text("the quick\n" + "the quick brown")
    code, out, err = run("score", "a.txt")
    assert (code, len(out.splitlines())) == (2, 1)
    assert err.splitlines()[-1] == "charlstm: a.txt: a line has more than 10 characters"


def test_expect_prints_a_confusion_matrix(run, kinds):
    out, err = run.works("score", "t.csv", "--column", "text", *kinds, "--expect", "kind")
    header, *rows = csv_of(out)
    assert header[2:] == ["bits_names", "bits_digits", "best", "posterior"]
    assert [row[4] for row in rows] == ["names", "digits", "digits", "names"]
    assert [line.split() for line in err.splitlines()[-6:]] == [
        ["accuracy", "0.6667:", "2", "of", "3"],
        ["1", "more", "have", "a", "label", "that", "is", "not", "a", "model's", "name"],
        ["label", "names", "digits"],
        ["names", "1", "1"],
        ["digits", "0", "1"],
        ["(other)", "1", "0"],
    ]
    assert "digits: 2 of 4" in run("score", "t.csv", "--column", "text", *kinds)[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "texts"], "t.csv: the header: has no column 'texts'; it has text, kind"),
        (["--column", "text", "--expect", "kind"], "--expect needs --column and several --run"),
        (["--expect", "kind"], "--expect needs --column"),
        (["--format", "csv"], "--format needs --column: it applies to tables only"),
        (["--column", "text", "--per", "document"], "--column takes one file"),
        (["--column", "text", "--json"], "--column takes one file"),
        (["--column", "text", "t.csv"], "--column takes one file"),
        (["--column", "text", "--format", "jsonl"], "t.csv: row 1 (line 1): is not JSON"),
    ],
)
def test_table_rejects_options_for_text(run, stored, here, options, message):
    (here / "t.csv").write_text("text,kind\nthe quick,names\n")
    err = run.fails(2, "score", "t.csv", *options)
    assert err.splitlines()[-1].startswith(f"charlstm: {message}")


def test_score_per_char_and_per_document(run, stored, here):
    (here / "a.txt").write_text('the "\u2603"\nfox', encoding="utf-8")
    header, *rows = rows_of(run("score", "a.txt", "--per", "char", "--header")[1])
    assert header == ["place", "char", "bits", "rank", "expected"]
    assert [row[1] for row in rows] == [*'the "\u2603"', "\\x0a", *"fox"]
    total = run.json("eval", "a.txt")
    assert sum(float(row[2]) for row in rows) == pytest.approx(total["nats"] / 0.693147, rel=1e-3)
    (row,) = csv.reader(
        io.StringIO(run("score", "a.txt", "--per", "document")[1]), delimiter="\t", quotechar=None,
        quoting=csv.QUOTE_NONE,
    )  # fmt: skip
    assert float(row[0]) == pytest.approx(total["nats"] / 0.693147, rel=1e-3)
    assert row[3] == 'the "\u2603"\\x0afox'


def test_score_with_counts_changes_bits(run, stored, here):
    alone = float(run("score", "--text", "the quick brown")[1])
    both = float(run("score", "--text", "the quick brown", "--with-counts")[1])
    model = charlstm.load()
    assert both < alone
    assert both == pytest.approx(
        model.score("the quick brown", with_counts=True).nats / 0.693147, rel=1e-3
    )


def test_with_counts_applies_to_lines_characters_and_percentiles(run, known_names, here):
    lines = ["anna", "adda", "xqq"]
    (here / "odd.txt").write_text("".join(f"{line}\n" for line in lines))
    options = ["odd.txt", "--run", "names", "--with-counts"]
    found = [(float(row[0]), float(row[2])) for row in rows_of(run("score", *options)[1])]
    model = charlstm.load("names")
    expected = [*model.score_lines(lines, with_counts=True)]
    assert [bits for bits, _ in found] == pytest.approx([item.bits for item in expected], abs=1e-3)
    alone = [item.bits for item in model.score_lines(lines)]
    assert [item.bits for item in expected] != pytest.approx(alone, abs=1e-3)
    # Places among the validation items, which are scored with n-grams too.
    assert [place for _, place in found] == pytest.approx([i.percentile for i in expected], abs=0.1)
    characters = rows_of(run("score", *options, "--per", "char")[1])
    assert sum(float(row[2]) for row in characters) == pytest.approx(sum(b for b, _ in found), 1e-3)


def test_numpy_and_torch_scores_agree(run, stored, here, monkeypatch):
    (here / "a.txt").write_text(TEXT)
    for options in ([], ["--with-counts"]):
        few = run("score", "a.txt", *options)[1]
        with monkeypatch.context() as patch:
            patch.setattr("charlstm.api.model._FEW_CHARS", 0)
            many = run("score", "a.txt", *options)[1]
        assert len(rows_of(few)) == len(rows_of(many)) == TEXT.count("\n")
        for one, other in zip(rows_of(few), rows_of(many), strict=True):
            assert float(one[0]) == pytest.approx(float(other[0]), abs=2e-3)


def test_percentiles_are_cached_in_the_run(run, stored, here):
    (here / "a.txt").write_text("the quick\n")
    path = here / "checkpoints" / "tiny" / run_files.PERCENTILES
    _, out, err = run("score", "a.txt")
    assert "validation items" in err
    assert path.is_file()
    _, again, err = run("score", "a.txt")
    assert (again, err) == (out, "")
    path.write_bytes(b"damaged")
    assert run("score", "a.txt")[1] == out


@pytest.mark.parametrize("batch_chars", [1, 10, 1 << 20])
def test_unusual_input_is_scored(run, stored, here, monkeypatch, batch_chars):
    monkeypatch.setattr("charlstm.commands.rows._BATCH_CHARS", batch_chars)
    content = b"\xff\xfe\n\x00\nx\ty\r\n\n\xe2\x98\x83\n" + b"the " * 300 + b"\nlast"
    run.pipe_in(content)
    out, _ = run.works("score")
    texts = [line.split("\t", 3)[3] for line in out.splitlines()]
    assert texts == ["\ufffd\ufffd", "\0", "x\ty", "", "\u2603", "the " * 300, "last"]


@posix
@pytest.mark.parametrize("is_table", [False, True])
def test_lines_are_scored_as_they_arrive(stored, here, is_table):
    options = ["--column", "text", "--format", "tsv", "--above", "0"] if is_table else []
    process = subprocess.Popen(
        [sys.executable, "-m", "charlstm", "score", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=here,
    )  # fmt: skip
    # Without an answer, reading would wait for ever.
    patience = threading.Timer(60, process.kill)
    patience.start()
    with process:
        if is_table:
            process.stdin.write(b"\xef\xbb\xbftext\n")
        for line in (b"the quick\n", b"brown fox\n"):
            process.stdin.write(line)
            process.stdin.flush()
            if is_table and line.startswith(b"the"):
                assert process.stdout.readline().startswith(b"text\tbits\t")
            row = process.stdout.readline().rstrip(b"\n").split(b"\t")
            assert row[0 if is_table else -1] == line.strip()
        process.stdin.close()
        assert process.wait(60) == 0
    patience.cancel()
