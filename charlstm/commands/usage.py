"""Messages for usage errors: what is wrong, and the option or command that was meant."""

import difflib
import re
from typing import Any, Final

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


def explain(error: Any, context: Any) -> str:
    """Return a clearer message for a usage error of Typer, with a suggestion."""
    message = re.sub(r"\s+", " ", error.format_message())
    if (option := getattr(error, "option_name", None)) and message.startswith("No such option"):
        return f"No such option: {option}{_option_hint(option, context)}"
    if match := re.match(r"No such command '(.*?)'", message):
        return f"{match[0]}{_command_hint(match[1], context)}"
    if "unexpected extra argument" in message:
        words = message.rpartition("(")[2].rstrip(")")
        wanted = "put text of several words in quotes"
        if "--prime" in _options(context):
            wanted = f'give the text as --prime "{words}"'
        return f"{message.rstrip('.')}: {wanted}"
    for pattern, words in _PLAIN:
        message = re.sub(pattern, words, message)
    return message


def _option_hint(option: str, context: Any) -> str:
    own = _options(context)
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


def _options(context: Any) -> list[str]:
    if context is None:
        return []
    names = (name for each in context.command.params for name in each.opts)
    return [name for name in names if name.startswith("-")]


def _arguments(context: Any) -> list[Any]:
    parameters = [] if context is None else context.command.params
    return [each for each in parameters if each.param_type_name == "argument"]
