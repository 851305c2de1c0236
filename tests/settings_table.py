"""Print the table of settings in checkpoints/README.md, from their declarations.

python tests/settings_table.py
"""

from charlstm.settings import ReadingSettings, RunSettings, TrainSettings, options_of


def table():
    lines = ["| option | meaning | values | default |", "|---|---|---|---|"]
    for kind in (TrainSettings, RunSettings, ReadingSettings):
        for option in options_of(kind).values():
            values = ", ".join(option.kind) if isinstance(option.kind, tuple) else option.bounds
            flags = ", ".join(f"`{flag}`" for flag in option.flag.split("/"))
            lines.append(f"| {flags} | {option.help} | {values} | {option.default} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
