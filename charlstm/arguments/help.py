"""Typer commands with a readable --help, and clear messages for usage errors."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

_GUIDE: Final = Path(__file__).parents[1] / "README.md"
# Types and bounds: patterns in Typer's output, and their replacements.
_READABLE: Final = (
    (r"<(list\[)?int( range)?\]?>", "N"),
    (r"<float( range)?>", "X"),
    (r"<str>", "NAME"),
    (r" *\[x>=\d+\]|; x>=\d+", ""),
    (r"(\d+)<=x<=(\d+)", r"\1 to \2"),
)
# Names in other programs; the first replacement that the command has is suggested.
OPTIONS: Final = {
    "--lr": ("--learning-rate",),
    "--hidden": ("--hidden-size",),
    "--layers": ("--num-layers",),
    "--batch": ("--batch-size",),
    "--time": ("--minutes",),
    "--iterations": ("--steps",),
    "-n": ("--num-samples", "--steps", "--top"),
    "--count": ("--num-samples", "--top"),
    "--samples": ("--num-samples",),
    "--num-chars": ("--length",),
    "--max-length": ("--length",),
    "--max-tokens": ("--length",),
    "--tokens": ("--length",),
    "--start": ("--prime",),
    "--text": ("--prime",),
    "--prompt": ("--prime",),
    "--prefix": ("--prime",),
    "--stop": ("--until",),
    "-t": ("--temperature",),
    "-o": ("--output", "--html", "--plot"),
    "--output": ("--html", "--plot", "--run"),
    "--out": ("--output", "--html", "--plot"),
    "--name": ("--run",),
    "--model": ("--run",),
    "--continue": ("--resume",),
    "--gpu": ("--device",),
    "--cuda": ("--device",),
}
COMMANDS: Final = {
    "generate": "sample",
    "write": "sample",
    "complete": "sample",
    "next": "predict",
    "test": "eval",
    "evaluate": "eval",
    "list": "runs",
    "ls": "runs",
    "show": "runs show",
    "rm": "runs rm",
    "delete": "runs rm",
    "check": "corpus check",
    "web": "inspect --html",
    "page": "inspect --html",
    "resume": "train --resume",
    "finetune": "train --from",
}
# Patterns in messages of Typer from 0.20 on and before, and their replacements.
_PLAIN: Final = (
    (r"Value error, ", ""),
    (r"Input should be a valid integer, .*|'[^']*' is not a valid integer\b.*",
     "must be a whole number"),
    (r"Input should be a valid number, .*|'[^']*' is not a valid float\b.*", "must be a number"),
    (r"Input should be greater than or equal to (\S+)", r"must be at least \1"),
    (r"\S+ is not in the range x>=(\d+)\.?", r"must be at least \1"),
    (r"Input should be less than or equal to (\S+)", r"must be at most \1"),
)  # fmt: skip


class _WithExamples:
    """Mixin: rejects options given twice; the epilog holds examples, one per line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_repeated(self, ctx, args)
        parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        return parsed

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples without folding them, and the guide's path."""
        if examples := getattr(self, "epilog", None):
            with formatter.section("Examples"):
                for line in examples.splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        with formatter.section("Guide"):
            formatter.write(f"{'':{formatter.current_indent}}{_GUIDE}\n")


class Command(_WithExamples, TyperCommand):
    """A command whose --help groups options under headings; those without one come first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or default
                name = parameter.metavar if default == "Arguments" else None
                groups.setdefault(heading, []).append(
                    (name or _replace(_READABLE, record[0]), _replace(_READABLE, record[1]))
                )
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(_WithExamples, TyperGroup):
    """A command with subcommands."""


def _refuse_repeated(command: Any, ctx: Any, args: list[str]) -> None:
    """Reject an option given twice, as only one value would take effect."""
    if ctx.resilient_parsing:
        return
    _, _, given = command.make_parser(ctx).parse_args(args=[*args])
    for number, parameter in enumerate(given):
        is_single = parameter.param_type_name == "option" and not parameter.multiple
        if is_single and parameter in given[:number]:
            ctx.fail(f"{max(parameter.opts, key=len)} is given twice: give it once")


def _replace(patterns: Iterable[tuple[str, str]], text: str) -> str:
    """Replace each pattern by its words."""
    for pattern, words in patterns:
        text = re.sub(pattern, words, text)
    return text


def explain(error: Any, context: Any) -> str:
    """Return a clearer message for a usage error of Typer, with a suggestion."""
    message = re.sub(r"\s+", " ", error.format_message())
    if (option := getattr(error, "option_name", None)) and message.startswith("No such option"):
        return f"No such option: {option}{_option_hint(option, context)}"
    if match := re.match(r"No such command '(.*?)'", message):
        return f"{match[0]}{_command_hint(match[1], context)}"
    if "unexpected extra argument" in message:
        words = message.rpartition("(")[2].rstrip(")")
        advice = "put text of several words in quotes"
        if "--prime" in _option_names(context):
            advice = f'give the text as --prime "{words}"'
        return f"{message.rstrip('.')}: {advice}"
    return _replace(_PLAIN, message)


def _option_hint(option: str, context: Any) -> str:
    own = _option_names(context)
    for meant in OPTIONS.get(option, ()):
        if meant in own:
            return f": use {meant}"
    names = [name.lstrip("-") for name in own]
    if close := difflib.get_close_matches(option.lstrip("-"), names, 1):
        return f": did you mean {own[names.index(close[0])]}?"
    if not option.startswith("--") and any(each.nargs == 1 for each in _arguments(context)):
        return f": put text that starts with - after --: {context.command_path} -- {option}"
    return ""


def _command_hint(name: str, context: Any) -> str:
    commands = getattr(context.command, "commands", {})
    meant = COMMANDS.get(name)
    if meant is not None and context.parent is None:
        return f": use {context.command_path} {meant}"
    close = difflib.get_close_matches(name, commands, 1)
    return f": did you mean {close[0]}?" if close else ""


def _option_names(context: Any) -> list[str]:
    if context is None:
        return []
    names = (name for each in context.command.params for name in each.opts)
    return [name for name in names if name.startswith("-")]


def _arguments(context: Any) -> list[Any]:
    parameters = [] if context is None else context.command.params
    return [each for each in parameters if each.param_type_name == "argument"]
