"""Views of `charlstm corpus check`: tables and JSON."""

from dataclasses import asdict
from typing import Any, Final

from charlstm.analysis.diagnosis import Diagnosis
from charlstm.reading.filelist import NUM_NAMED
from charlstm.views.tables import print_note, print_pairs, print_rows

_MAX_FILES: Final = 8
_LINE_ENDS: Final = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}


def diagnosis_record(diagnosis: Diagnosis) -> dict[str, Any]:
    bits = diagnosis.baseline_bits_per_char
    return asdict(diagnosis) | {
        "num_chars": diagnosis.num_chars,
        **{f"num_{split.name}_chars": split.num_chars for split in diagnosis.splits},
        "ngram_bits_per_char": next((bits[name] for name in bits if "n-gram" in name), None),
        "xz_bits_per_char": bits.get("xz"),
    }


def show_diagnosis(diagnosis: Diagnosis) -> None:
    more = len(diagnosis.files) - _MAX_FILES
    print_rows(
        ("file", "encoding", "characters", "line ends"),
        [
            (
                file.path,
                file.encoding.replace("-sig", " with mark"),
                f"{file.num_chars:,}",
                ", ".join(_LINE_ENDS[end] for end in file.line_ends) or "none",
            )
            for file in diagnosis.files[:_MAX_FILES]
        ],
        left=(1, 3),
        caption=f"and {more:,} more files" if more > 0 else None,
    )
    bits = diagnosis.baseline_bits_per_char.items()
    print_pairs(
        "",
        [
            ("characters", _by_split(diagnosis, "num_chars")),
            ("documents", _by_split(diagnosis, "num_documents")),
            ("unknown characters", _by_split(diagnosis, "num_unknown")),
            (
                "distinct characters",
                f"{diagnosis.num_characters:,}, {diagnosis.num_rare:,} of them rare",
            ),
            (
                f"repeated {diagnosis.repeated_unit}",
                (
                    f"{diagnosis.num_repeated:,} of {diagnosis.num_units:,}, "
                    f"{diagnosis.repeated_share:.1%} of the text"
                ),
            ),
            ("bits per character", ", ".join(f"{name} {cost:.3f}" for name, cost in bits) or "-"),
            ("default model (5 minutes, 2 cores)", diagnosis.model or "- (the text is too short)"),
        ],
    )
    print()
    for notice in diagnosis.notices:
        print_note(notice)
    if len(diagnosis.skipped) > NUM_NAMED:  # a notice lists up to NUM_NAMED
        print_rows(
            ("skipped", "reason"),
            [(file.path, file.reason) for file in diagnosis.skipped],
            left=(1,),
        )
    if diagnosis.problems:
        print_rows(
            ("problem", "what to do"),
            [(problem.what, problem.cure) for problem in diagnosis.problems],
            left=(1,),
        )
    elif not diagnosis.notices:
        print_note("no problems found")


def _by_split(diagnosis: Diagnosis, name: str) -> str:
    return ", ".join(f"{split.name} {getattr(split, name):,}" for split in diagnosis.splits)
