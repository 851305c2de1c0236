"""Tests of behavior common to all commands, mostly in this process."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from conftest import SMALL, TEXT, posix

import charlstm
from charlstm.arguments import help as help_texts
from charlstm.arguments.options import complete_run, parse_count, parse_minutes
from charlstm.cli import app
from charlstm.errors import ConfigError
from charlstm.run.store import CheckpointStore
from charlstm.system import interrupts


def test_train_sample_and_eval_work_together(run, corpus_file):
    out, err = run.train(corpus_file, "--steps", 30)
    assert "run tiny: trained" in out
    assert "charlstm sample --run tiny" in out
    assert "30 steps" in err  # the budget is said at the start
    assert err.count("  val ") >= 4

    out, err = run.works("sample", "--prime", "qu", "--length", 40, "--seed", 1)
    assert err == ""
    assert out.startswith("qu")
    assert len(out) == 2 + 40 + 1

    result = run.json("eval")
    assert (result["run"], result["split"]) == ("tiny", "test")
    assert result["num_chars"] == 116  # 5 % of the text, rounded up
    assert result["bits_per_char"] == pytest.approx(result["nats_per_char"] / np.log(2))

    (listed,) = run.json("runs")
    assert listed["name"] == listed["corpus"] == "tiny"
    assert listed["cell"] == "lstm"
    assert listed["step"] == 30
    assert re.search(r"tiny\s+1 x 8 lstm\s+30 steps", run("runs")[1])


def test_plots_are_written(run, stored, here, monkeypatch):
    assert "eval.svg: written" in run.works("eval", "--plot", "eval.svg")[1]
    run.works("runs", "show", "tiny", "--plot", "run.png")
    assert b"<svg" in (here / "eval.svg").read_bytes()
    assert (here / "run.png").read_bytes().startswith(b"\x89PNG")
    for arguments in (["eval"], ["runs", "show", "tiny"]):
        assert ".svg" in run.fails(2, *arguments, "--plot", "picture.txt")
        assert "absent/a.svg" in run.fails(1, *arguments, "--plot", "absent/a.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    err = run.fails(2, "eval", "--plot", "eval.svg")
    assert "pip install 'charlstm[plot]'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "arguments", "out"),
    [
        ("CHARLSTM_PREDICT_JSON", "1", ["predict", "qu"], '{"prefix": "qu"'),
        ("CHARLSTM_PREDICT_LADDER", "1", ["predict", "qu"], "context"),
        ("CHARLSTM_EVAL_SPLIT", "val", ["eval", "tiny.txt"], "tiny.txt"),
        ("CHARLSTM_RUNS_JSON", "1", ["runs"], "[{"),
        ("CHARLSTM_RUNS_SHOW_JSON", "1", ["runs", "show", "tiny"], '{"name"'),
        ("CHARLSTM_SAMPLE_CHECKPOINTS", "absent", ["eval"], "tiny"),
    ],
)
def test_environment_variables_match_options(
    run, stored, monkeypatch, variable, value, arguments, out
):
    monkeypatch.setenv(variable, value)
    result = run(*arguments)
    assert result[0] == 0
    assert out in result[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, "trian"),
        (["train", "--steps", "0"], 2, "--steps"),
        (["train", "--steps", "1", "--minutes", "1"], 2, "give --minutes or --steps, not both"),
        (["train", "--minutes", "nan"], 2, "--minutes"),
        (["train", "--val", "v", "--val-fraction", "0.1"], 2, "--val or --val-fraction"),
        (["train", "--test", "v", "--test-fraction", "0.1"], 2, "--test or --test-fraction"),
        (["train", "--val-fraction", "0.6", "--test-fraction", "0.6"], 2, "nothing to train on"),
        (["train", "--encoding", "klingon"], 2, "klingon"),
        (["train", "--hidden-size", "-1"], 2, "--hidden-size"),
        (["train", "--dropout", "1"], 2, "--dropout"),
        (["runs", "--checkpoints", ""], 2, "is empty; name a folder"),
        (["train", "--cell", "transformer"], 2, "'--cell': 'transformer' is not one of"),
        (["train", "--precision", "float16", "--device", "cpu"], 2, "float32"),
        (["train", "missing.txt"], 1, "missing.txt"),
        (["train", "."], 1, "folder"),
        (["train", ""], 1, "the name of a text is empty"),
        (["train", "--resume", "--from", "a"], 2, "give --resume or --from, not both"),
        (["train", "--run", "../outside", "--steps", "1"], 1, "outside"),
        (["sample"], 1, "charlstm train"),
        (["sample", "--run", "absent"], 1, "absent"),
        (["sample", "--checkpoint", "absent"], 1, "absent"),
        (["sample", "--run", "a", "--checkpoint", "b"], 2, "not both"),
        (["sample", "--temperature", "nan"], 2, "--temperature"),
        (["sample", "--temperature", "inf"], 2, "--temperature"),
        (["train", "-", "-"], 2, "only once"),
        (["train", "x", "--debug"], 2, "--debug"),
        (["sample", "--top-p", "2"], 2, "--top-p"),
        (["sample", "--min-p", "0"], 2, "--min-p"),
        (["sample", "--until", ""], 2, "--until"),
        (["sample", "--num-samples", "0"], 2, "num-samples"),
        (["predict", "qu"], 1, "charlstm train"),
        (["predict", "qu", "--top", "0"], 2, "top"),
        (["predict", "qu", "--compare", "x"], 2, "--compare"),
        (["sample", "--prime-file", "x"], 2, "--prime-file"),
        (["compare", "x", "--learning-rate", "2"], 2, "--learning-rate"),
        (["eval"], 1, "charlstm train"),
        (["corpus", "check", "\ud800"], 1, r"\ud800: can't be read"),
        (["sample", "--run", "\ud800"], 1, r"\ud800: no checkpoint found"),
        (["eval", "x", "--split", "val"], 2, "not both"),
        (["eval", "--split", "dev"], 2, "dev"),
        (["eval", "--threads", "100000"], 1, "charlstm train"),
        (["sample", "--num-samples", "99999999999"], 2, "num-samples"),
        (["sample", "--lr", "3"], 2, "No such option: --lr ("),
        (["train", "--lr", "3"], 2, "--lr: use --learning-rate"),
        (["sample", "--temprature", "3"], 2, "did you mean --temperature?"),
        (["predict", "-5"], 2, "put text that starts with - after --: charlstm predict -- -5"),
        (["runs", "shw"], 2, "did you mean show?"),
        (["sample", "--length", "3", "--length", "4"], 2, "--length is given twice"),
        (["sample", "--new", "--new"], 2, "--new is given twice"),
        (["runs", "--json", "--json"], 2, "--json is given twice"),
        (["train", "--early-stop", "--no-early-stop"], 2, "--early-stop is given twice"),
        (["sample", "--seed", "-3"], 2, "'--seed': must be at least 0 ("),
        (["compare", "--seeds", "101"], 2, "'--seeds': must be at most 100 ("),
        (["sample", "--temperature", "-1"], 2, "--temperature must be a number of at least 0, not"),
        (["train", "--minutes", "0"], 2, "--minutes must be a number greater than 0, not"),
        (["train", "--epochs", "-1"], 2, "--epochs must be a number greater than 0, not"),
        (["train", "--device", "gpu"], 2, "'cuda'"),
        (["eval", "--device", "gpu"], 2, "'cuda'"),
        (["sample", "qu"], 2, 'give the text as --prime "qu"'),
        (["predict", "the", "quick"], 2, "in quotes"),
        (["train", "--minutes", "1d"], 2, "'--minutes': must be in minutes, such as 10, or have"),
        (["train", "--minutes", "m"], 2, "'--minutes': must be in minutes"),
        (["train", "--minutes", ""], 2, "'--minutes': must be in minutes"),
        (["train", "--minutes", "1\n2"], 2, "'--minutes': must be in minutes"),
        (
            ["sample", "--length", "1.5e0"],
            2,
            "'--length': must be a whole number, such as 500, 10_",
        ),
        (["sample", "--length", "nan"], 2, "'--length': must be a whole number"),
        (["sample", "--length", "1e999"], 2, "'--length': must be a whole number"),
        (["sample", "--top-k", "x"], 2, "'--top-k': must be a whole number ("),
        (["sample", "--temperature", "x"], 2, "'--temperature': must be a number ("),
        (["export", "x"], 2, "Choose from: onnx, hf, js"),
        (["train", "x", "--split-documents", "line"], 2, "neither lines nor blank-lines"),
    ],
)
def test_invalid_input_gives_one_line_and_exit_code(run, arguments, code, message):
    # Nothing on stdout, so that --json is never half an answer.
    result = run(*arguments)
    assert result[:2] == (code, "")
    assert message in result[2]
    assert result[2].startswith("charlstm: ")
    assert result[2].count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--run", "tiny", "--steps", "1"], "--resume"),
        (["train", "--resume", "--hidden-size", "9"], "--hidden-size 9 (the run has 8)"),
        (["train", "--resume", "--min-count", "3"], "--min-count 3 (the run has 1)"),
        (["train", "--resume", "--val-fraction", "0.3"], "--val-fraction 0.3 (the run has 0.05)"),
        (["train", "--resume", "--val", "tiny.txt"], "--val"),
        (["train", "--resume", "--level", "byte"], "--level byte (the run has char)"),
        (["train", "--resume", "--threads", "0"], "--threads"),
        (["train", "--resume", "--cell", "gru", "--seed", "7"], "gru (the run has lstm), --seed 7"),
        (["sample", "--prime", "☃"], "U+2603"),
        (["predict", "☃"], "U+2603"),
        (["inspect", "☃"], "U+2603"),
        (["inspect", ""], "the text is empty"),
        (["inspect", "the", "--gates", "--layer", "9"], "--layer 9: this model has 1 to 2"),
        (["inspect", "the", "--gates", "--unit", "8"], "--unit 8: this model has 0 to 7"),
        (["inspect", "the", "--units"], "too few"),
        (["inspect", "the", "--file", "x"], "not both"),
        (["eval", "empty.txt"], "no text"),
        (["eval", "missing.txt"], "missing.txt"),
        (["sample", "--run", "Tinyy"], "did you mean tiny? "),
    ],
)  # fmt: skip
def test_invalid_input_for_a_run_gives_one_line(run, stored, here, arguments, message):
    (here / "empty.txt").write_text("")
    err = run.rejects(*arguments)
    assert message in err
    assert err.count("\n") == 1


def test_damaged_checkpoint_is_skipped_with_a_warning(run, stored, here):
    path = here / "checkpoints/tiny/best.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    out, err = run.works("sample", "--length", 5, "--seed", 1)
    assert len(out) == 6
    assert "best.safetensors" in err
    assert "using" in err
    run.fails(1, "sample", "--checkpoint", path)


@pytest.mark.parametrize(
    ("typed", "minutes"),
    [("10", 10), ("1_0", 10), ("1.5h", 90), ("90s", 1.5), (" 2 M ", 2), ("1e2s", 100 / 60), (3, 3)],
)
def test_durations_are_parsed(typed, minutes):
    assert parse_minutes(typed) == pytest.approx(minutes)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("500", 500),
        ("10_000", 10_000),
        ("1e3", 1000),
        ("2.5E1", 25),
        (" 7 ", 7),
        ("-3", -3),
        (4, 4),
    ],
)
def test_counts_are_parsed(typed, number):
    assert parse_count(typed) == number


def test_environment_values_are_parsed_like_options(run, stored, monkeypatch, here):
    arguments = ["sample", "--seed", 1, "--num-samples", "1e0", "--length"]
    assert run(*arguments, "1e1") == run(*arguments, 10)
    monkeypatch.setenv("CHARLSTM_SAMPLE_LENGTH", "2e1")
    monkeypatch.setenv("CHARLSTM_SAMPLE_SEED", "1")
    assert run.works("sample") == run.works("sample", "--seed", 1, "--length", 20)
    monkeypatch.setenv("CHARLSTM_TRAIN_MINUTES", "0.6s")
    _, err = run.train("tiny.txt", "--run", "short")
    assert "budget   0.01 minutes" in err
    assert "budget   20 steps" in run.train("tiny.txt", "--steps", "2e1")[1]


def test_store_is_read_from_the_environment(run, stored, monkeypatch, tmp_path):
    monkeypatch.setenv("CHARLSTM_CHECKPOINTS", str(tmp_path / "elsewhere"))
    assert run("sample")[0] == 1


def test_charlstm_without_arguments_lists_commands(run):
    out, _ = run.works()
    assert all(command in out for command in ("train", "sample", "eval", "runs"))


def test_version_is_printed(run):
    from charlstm import __version__

    assert run("--version")[:2] == (0, f"charlstm {__version__}\n")


def test_help_does_not_import_torch_or_numpy():
    program = "import sys, charlstm.cli; assert not {'torch', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_sample_and_runs_do_not_import_torch(stored):
    program = ["import sys", "from charlstm.cli import main"]
    for arguments in (
        ["sample", "--length", "3", "--seed", "1"],
        ["runs"],
        ["runs", "show", "tiny"],
        ["predict", "the", "--ladder"],
        ["inspect", "the", "--gates"],
        ["inspect", "--units", "--file", "tiny.txt"],
    ):
        program.append(f"assert main({arguments}) == 0")
        program.append(f"assert 'torch' not in sys.modules, {arguments}")
    subprocess.run([sys.executable, "-c", "\n".join(program)], check=True)


def test_a_closed_pipe_ends_quietly(stored, here):
    for arguments in ("sample --length 100000 --seed 1", "--help", "runs"):
        child = subprocess.Popen(
            [sys.executable, "-m", "charlstm", *arguments.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=here,
        )
        if "sample" in arguments:
            assert len(child.stdout.read(10)) == 10
        child.stdout.close()
        assert child.stderr.read() == b""
        child.stderr.close()
        assert child.wait() == 0


@posix
@pytest.mark.slow
def test_a_table_into_a_closed_pipe_ends_quietly(stored, here):
    (here / "list.txt").write_text("the quick\n" * 20_000)
    program = f"{sys.executable} -m charlstm score list.txt --run tiny --threads 1"
    for output in ("", "--per char"):
        command = f"{{ {program} {output}; echo $? > code; }} | head -n 1"
        done = subprocess.run(command, shell=True, capture_output=True, cwd=here, check=True)
        assert done.stdout.count(b"\n") == 1
        assert b"roken" not in done.stderr
        assert (here / "code").read_text() == "0\n"


@posix
def test_a_full_disk_for_stdout_is_an_error(stored, here):
    command = f"{sys.executable} -m charlstm sample --length 10 --seed 1 > /dev/full"
    result = subprocess.run(command, shell=True, capture_output=True, check=False, cwd=here)
    assert result.returncode == 1
    assert result.stderr.count(b"\n") == 1


def test_flag_overrides_environment_variable(run, stored, monkeypatch, here):
    monkeypatch.setenv("CHARLSTM_SAMPLE_LENGTH", "7")
    assert len(run.works("sample", "--length", 3, "--seed", 1)[0]) == 4
    monkeypatch.setenv("CHARLSTM_TRAIN_MINUTES", "10")
    _, err = run.train("tiny.txt", "--steps", 2)
    assert "budget   2 steps" in err
    monkeypatch.setenv("CHARLSTM_SAMPLE_RUN", "absent")
    path = here / "checkpoints/tiny/best.safetensors"
    run.works("sample", "--checkpoint", path, "--length", 1, "--seed", 1)
    monkeypatch.setenv("CHARLSTM_TRAIN_STEPS", "3")
    assert run("train", "tiny.txt")[0] == 2
    monkeypatch.setenv("CHARLSTM_TRAIN_VAL", "absent.txt")
    _, err = run.train("tiny.txt", "--steps", 2, "--val-fraction", 0.5)
    assert "val 1,155" in err


def test_damaged_newest_run_is_an_error(run, stored, here):
    with CheckpointStore(here / "checkpoints").run("newer").writer() as writer:
        path = writer.save_last(replace(stored, saved_at=9e9))
    path.write_bytes(path.read_bytes()[:-1])
    _, err = run.works("sample", "--length", 1, "--seed", 1)
    assert "newer" in err
    assert "tiny" in err
    assert "--run" in run.fails(1, "train", "--resume", "--steps", 9)
    assert "newer" in run("runs")[2]


def test_completion_lists_run_names(stored, here):
    context = SimpleNamespace(params={})
    assert complete_run(context, "t") == ["tiny"]
    assert complete_run(context, "x") == []
    assert complete_run(SimpleNamespace(params={"checkpoints": "nowhere"}), "") == []


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("charlstm sample --run ", "tiny"),
        ("charlstm eval --against t", "tiny"),
        ("charlstm train --from ", "tiny"),
        ("charlstm train --resume --run ", "tiny"),
        ("charlstm train text.txt --run ", ""),
        ("charlstm runs show ", "tiny"),
    ],
)
def test_shell_completion_completes_run_names(run, stored, capsys, monkeypatch, typed, names):
    monkeypatch.setenv("_CHARLSTM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    with pytest.raises(SystemExit):
        run()
    assert capsys.readouterr().out.strip() == names


def test_help_groups_options_under_headings(run):
    out = run("train", "--help")[1]
    headings = ["Arguments:", "Options:", "Reading the text:", "Model and training", "Machine:"]
    places = [out.index(heading) for heading in headings]
    assert places == sorted(places)
    assert out.index("--minutes") < places[2] < out.index("--encoding")
    for command in ("train", "sample", "predict", "inspect", "compare", "eval", "export"):
        page = run(command, "--help")[1]
        assert page.index("Options:") < page.index(f"\nExamples:\n  charlstm {command}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["help"], ["--help"]),
        (["help", "train"], ["train", "--help"]),
        (["version"], ["--version"]),
        (["runs", "list", "--json"], ["runs", "--json"]),
        (["corpus"], ["corpus", "--help"]),
    ],
)
def test_command_line_variants_work(run, stored, typed, meant):
    assert run(*typed) == run(*meant)
    run.works(*typed)


def test_piped_tables_have_no_trailing_blanks(run, stored, here):
    (here / "tiny.txt").write_text(TEXT)
    for command in (["runs"], ["eval"], ["predict", "q"], ["corpus", "check", "tiny.txt"]):
        out = run(*command)[1]
        assert out.strip()
        assert not any(line.endswith(" ") for line in out.split("\n")), command


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "--length", 3, "--seed", 1, "--run"],
        ["predict", "qu", "--checkpoint"],
        ["export", "--format", "hf", "-o", "out"],
        ["export", "--format", "hf", "-o", "out", "--run"],
        ["runs", "show"],
        ["runs", "show", "tiny"],
        ["runs", "show", "--json"],
        ["eval", "--against"],
        ["train", "tiny.txt", "--steps", 2, *SMALL[4:], "--run", "new", "--from"],
    ],
)
@pytest.mark.parametrize("model", ["checkpoints/tiny", "checkpoints/tiny/last.safetensors", "hub"])
def test_model_can_be_a_run_folder_or_file(run, stored, command, model):
    if model == "hub":
        run.works("export", "tiny", "--format", "hf", "-o", "hub")
    run.works(*command, model)


@pytest.mark.parametrize("table", [help_texts.OPTIONS, help_texts.COMMANDS])
def test_synonyms_map_to_existing_names(run, table):
    commands = typer.main.get_command(app).commands
    known = {name for one in commands.values() for param in one.params for name in param.opts}
    for word, meant in table.items():
        if table is help_texts.COMMANDS:
            assert meant.split()[0] in commands
            assert f"use charlstm {meant}" in run(word)[2] or word in commands
        else:
            assert set(meant) <= known, word
            for name, command in commands.items():
                own = [one for param in command.params for one in param.opts]
                expected = [one for one in meant if one in own]
                if expected and word not in own:
                    assert f"{word}: use {expected[0]} " in run(name, word, "x")[2]


@pytest.mark.parametrize("command", ["train", "eval", "compare", "corpus check", "train --val"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny.txd", "did you mean tiny.txt?"),
        ("https://example.org/a.txt", "curl -s https://example.org/a.txt |"),
        ("tiny", "tiny"),
    ],
)
def test_missing_text_is_rejected_before_torch_is_loaded(
    run, stored, monkeypatch, command, name, message
):
    monkeypatch.setattr(interrupts, "defer_signals", None)  # what loads torch needs it
    err = run.rejects(*command.split(), name)
    assert message in err
    if name == "tiny" and command in ("train", "eval"):
        assert "is a run, not a file; use --run tiny" in err


def test_values_are_checked_before_torch_is_loaded(run, stored, monkeypatch):
    monkeypatch.setattr(interrupts, "defer_signals", None)
    for command in ("train", "compare"):
        for wrong in (["--encoding", "klingon"], ["--device", "abacus"], ["--val-fraction", 2]):
            assert run(command, "tiny.txt", *wrong)[0] == 2


def test_missing_torch_names_what_to_install(run, stored, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for command in (["train", "tiny.txt"], ["eval"], ["compare", "tiny.txt"]):
        assert "needs PyTorch: pip install torch" in run.fails(2, *command)


@pytest.mark.parametrize(
    "call",
    [
        lambda: charlstm.train("tiny.txt", steps=1),
        lambda: ThreadPoolExecutor().submit(charlstm.train, "tiny.txt", steps=1).result(),
        lambda: charlstm.load("tiny").to_torch(),
        lambda: charlstm.load("tiny").network(),
    ],
    ids=["train", "train_in_a_thread", "to_torch", "network"],
)
def test_python_api_without_torch_names_what_to_install(stored, monkeypatch, call):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="needs PyTorch: pip install torch"):
        call()


def test_help_shows_readable_types_and_bounds(run):
    commands = ["train", "sample", "inspect", "eval", "compare", "runs show", "corpus check"]
    out = "".join(run(*command.split(), "--help")[1] for command in commands)
    for word in ("<str>", "<int", "<float>", "list[", "RUN...}", "x>=", "<=x"):
        assert word not in out
