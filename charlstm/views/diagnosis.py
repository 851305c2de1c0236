"""The findings of `corpus check` as tables."""

from dataclasses import asdict
from typing import Any, Final

from rich.text import Text

from charlstm.analysis.diagnosis import Diagnosis
from charlstm.text.filelist import NUM_NAMED
from charlstm.views.tables import print_note, print_pairs, print_rows

_MAX_FILES: Final = 8
_LINE_ENDS: Final = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}


def diagnosis_record(found: Diagnosis) -> dict[str, Any]:
    bits = found.baseline_bits_per_char
    return asdict(found) | {
        "num_chars": found.num_chars,
        **{f"num_{split.name}_chars": split.num_chars for split in found.splits},
        "ngram_bits_per_char": next((bits[name] for name in bits if "n-gram" in name), None),
        "xz_bits_per_char": bits.get("xz"),
    }


def show_diagnosis(found: Diagnosis) -> None:
    more = len(found.files) - _MAX_FILES
    print_rows(
        ("file", "encoding", "characters", "line ends"),
        [
            (
                file.path,
                file.encoding.replace("-sig", " with mark"),
                f"{file.num_chars:,}",
                ", ".join(_LINE_ENDS[end] for end in file.line_ends) or "none",
            )
            for file in found.files[:_MAX_FILES]
        ],
        left=(1, 3),
        caption=f"and {more:,} more files" if more > 0 else None,
    )
    bits = found.baseline_bits_per_char.items()
    print_pairs(
        Text(""),
        [
            ("characters", _by_split(found, "num_chars")),
            ("documents", _by_split(found, "num_documents")),
            ("unknown characters", _by_split(found, "num_unknown")),
            ("distinct characters", f"{found.num_characters:,}, {found.num_rare:,} of them rare"),
            (
                f"repeated {found.repeated_unit}",
                (
                    f"{found.num_repeated:,} of {found.num_units:,}, "
                    f"{found.repeated_share:.1%} of the text"
                ),
            ),
            ("bits per character", ", ".join(f"{name} {cost:.3f}" for name, cost in bits) or "-"),
            ("default model (5 minutes, 2 cores)", found.model or "- (the text is too short)"),
        ],
    )
    print()
    for notice in found.notices:
        print_note(notice)
    if len(found.skipped) > NUM_NAMED:  # the notice names fewer
        print_rows(
            ("skipped", "reason"), [(one.path, one.reason) for one in found.skipped], left=(1,)
        )
    if found.problems:
        print_rows(
            ("problem", "what to do"),
            [(problem.what, problem.cure) for problem in found.problems],
            left=(1,),
        )
    elif not found.notices:
        print_note("no problems found")


def _by_split(found: Diagnosis, name: str) -> str:
    return ", ".join(f"{one.name} {getattr(one, name):,}" for one in found.splits)
