"""Declared settings on the command line, in the environment and in Python."""

import inspect
import math
import typing
from dataclasses import fields

import pytest
from conftest import SMALL

import charlstm
from charlstm.api.model import SampleOptions
from charlstm.cli import main
from charlstm.config import ReadingConfig, SampleConfig
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.settings import (
    MAX_COUNT,
    ReadingSettings,
    RunSettings,
    TrainOptions,
    TrainSettings,
    arguments_of,
    given,
    options_of,
    settings_from,
)

KINDS = (TrainSettings, RunSettings, ReadingSettings)
OPTIONS = [(kind, option) for kind in KINDS for option in options_of(kind).values()]
NUMBERS = [(kind, option) for kind, option in OPTIONS if option.kind in (int, float)]


def name_of(value):
    return getattr(value, "name", "")


def bad_values(option):
    """Yield values of the right type that are out of bounds."""
    low, high = option.low, option.high
    if option.kind is int:
        return [low - 1, high + 1, 10**400]
    return [low - 1, high * 2, math.nan, math.inf] + [low] * option.above + [high] * option.below


def test_python_s_typed_options_are_the_declared_ones():
    hints = typing.get_type_hints(TrainOptions)
    assert sorted(hints) == sorted(option.name for _, option in OPTIONS)
    for kind, option in OPTIONS:
        own = typing.get_type_hints(kind)[option.name]
        # Paths and lists are taken as well.
        if option.name not in ("val", "test", "include"):
            assert hints[option.name] == own, option.name


def test_python_s_sample_options_are_the_fields_of_its_configuration():
    hints, declared = map(typing.get_type_hints, (SampleOptions, SampleConfig))
    assert hints.keys() == {field.name for field in fields(SampleConfig)}
    for name in hints.keys() - {"until", "filters"}:  # a str is taken as well; another callable
        assert hints[name] == declared[name], name


def test_python_s_signature_and_documentation_have_every_setting():
    signature = inspect.signature(charlstm.train)
    for _, option in OPTIONS:
        assert signature.parameters[option.name].default is None
        assert f"\n    {option.name}: {option.help.split()[0]}" in charlstm.train.__doc__
    with pytest.raises(TypeError, match="unexpected keyword argument 'hiden_size'"):
        charlstm.train(hiden_size=3)


@pytest.mark.parametrize(("command", "kinds"), [("train", KINDS), ("sample", (SampleConfig,))])
def test_help_has_every_setting(capsys, command, kinds):
    assert main([command, "--help"]) == 0
    out = "".join(capsys.readouterr().out.split())  # lines may be wrapped anywhere
    for option in (option for kind in kinds for option in options_of(kind).values()):
        assert option.title + (option.metavar or "") in out
        assert "".join(option.summary.split()) in out


def test_stated_defaults_are_those_of_a_new_run():
    new = ReadingConfig()
    for option in options_of(ReadingSettings).values():
        if option.default:
            assert option.default == str(getattr(new, option.name)), option.name
    assert options_of(SampleConfig)["temperature"].default == str(SampleConfig().temperature)


@pytest.mark.parametrize(("kind", "option"), NUMBERS, ids=name_of)
def test_number_out_of_bounds_is_rejected_everywhere(kind, option, run, corpus_file, monkeypatch):
    for value in bad_values(option):
        with pytest.raises(ConfigError, match=f"^{option.title} must be "):
            kind(**{option.name: value})
        with pytest.raises(ConfigError, match=f"^{option.title} must be "):
            charlstm.train(corpus_file, **{option.name: value})
        err = run.fails(2, "train", corpus_file, f"{option.title}={value}")
        assert option.title in err
        assert len(err.splitlines()) == 1
        name = f"CHARLSTM_TRAIN_{option.title.strip('-').upper().replace('-', '_')}"
        with monkeypatch.context() as patched:
            patched.setenv(name, str(value))
            assert option.title in run.fails(2, "train", corpus_file)


@pytest.mark.parametrize(("kind", "option"), OPTIONS, ids=name_of)
def test_value_of_the_wrong_type_is_rejected_from_python(kind, option, corpus_file):
    wrong = {
        int: ["3", 2.0, True, [1]],
        float: ["0.1", True, [0.1], 1j],
        bool: ["yes", 1, 0.0],
        str: [3, ["a"], b"a"],
        tuple: ["a", 3, [1]],
    }
    values = ["other", 3, True] if isinstance(option.kind, tuple) else wrong[option.kind]
    for value in values:
        with pytest.raises(CharLSTMError, match=rf"{option.title.strip('-').split('-')[0]}"):
            charlstm.train(corpus_file, **{option.name: value})


@pytest.mark.parametrize(("kind", "option"), OPTIONS, ids=name_of)
@pytest.mark.parametrize("value", ["", "x", "0x", "1,5"])
def test_unparsable_value_is_rejected_on_the_command_line(
    kind, option, value, run, corpus_file, monkeypatch
):
    if option.kind is bool or (option.kind in (str, tuple) and value):
        pytest.skip("takes no value, or any")
    if option.name in ("run", "init_from", "include", "device", "precision") and not value:
        pytest.skip("empty means not given")
    err = run.rejects("train", corpus_file, "--steps", 1, *SMALL, f"{option.title}={value}")
    assert err.startswith("charlstm: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TrainSettings, {"minutes": 1, "steps": 3}, "give --minutes or --steps, not both"),
        (TrainSettings, {"minutes": 1, "epochs": 3}, "give --minutes or --epochs, not both"),
        (ReadingSettings, {"val": "x", "val_fraction": 0.1}, "give --val or --val-fraction"),
        (ReadingSettings, {"test": "x", "test_fraction": 0.1}, "give --test or --test-fraction"),
        (RunSettings, {"resume": True, "init_from": "a"}, "give --resume or --from, not both"),
    ],
)
def test_mutually_exclusive_settings_are_rejected(kind, values, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        kind(**values)


def test_arguments_round_trip():
    settings = TrainSettings(
        steps=7, hidden_size=9, dropout=0.25, cell="gru", early_stop=False, threads=2
    )
    reading = ReadingSettings(include=("*.py", "*.txt"), keep_line_ends=True, level="char")
    assert list(arguments_of(settings)) == [
        "--steps", "7", "--hidden-size", "9", "--dropout", "0.25", "--cell", "gru",
        "--threads", "2", "--no-early-stop",
    ]  # fmt: skip
    assert list(arguments_of(reading)) == [
        "--keep-line-ends", "--level", "char", "--include", "*.py", "--include", "*.txt",
    ]  # fmt: skip
    assert settings_from(TrainSettings, given(settings)) == settings


def test_flag_that_is_off_is_not_given():
    assert given(settings_from(ReadingSettings, {"keep_line_ends": None})) == {}
    assert list(arguments_of(ReadingSettings(keep_line_ends=False))) == []
    assert list(arguments_of(TrainSettings(early_stop=True))) == ["--early-stop"]


def test_shown_bounds_are_the_checked_ones():
    options = options_of(TrainSettings) | options_of(ReadingSettings)
    assert options["dropout"].bounds == "0 to 0.95"
    assert options["val_fraction"].bounds == "0 to below 1"
    assert options["steps"].bounds == ""
    assert options["steps"].high == MAX_COUNT
    assert options["cell"].bounds == ""
