"""Typer commands whose --help has headings, examples and the guide's path."""

import re
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
                    (name or _readable(record[0]), _readable(record[1]))
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


def _readable(text: str) -> str:
    for pattern, words in _READABLE:
        text = re.sub(pattern, words, text)
    return text
