"""What `corpus check` found."""

from typing import Final

from rich.text import Text

from charlstm.analysis.diagnosis import Diagnosis, FileReport
from charlstm.text.filelist import NUM_NAMED
from charlstm.views.tables import print_pairs, print_rows

_MAX_FILES: Final = 8


def show_diagnosis(found: Diagnosis) -> None:
    print_rows(
        ("file", "encoding", "characters", "lines", "line ends", "longest line"),
        [
            (
                file.path,
                file.encoding.replace("-sig", " with mark"),
                f"{file.num_chars:,}",
                f"{file.num_lf + file.num_crlf + file.num_cr:,}",
                _line_ends(file),
                f"{file.longest_line:,}",
            )
            for file in found.files[:_MAX_FILES]
        ],
        left=(1, 4),
        caption=(
            f"and {len(found.files) - _MAX_FILES:,} more files"
            if len(found.files) > _MAX_FILES
            else None
        ),
    )
    xz, ngrams = found.xz_bits_per_char, found.ngram_bits_per_char
    print_pairs(
        Text("total"),
        [
            ("characters", f"{found.num_chars:,}"),
            ("distinct characters", f"{found.num_characters:,}, {found.num_rare:,} of them rare"),
            (
                "documents",
                f"{found.num_documents:,}"
                + (
                    f", {found.num_repeated_documents:,} of them repeated"
                    if found.num_repeated_documents
                    else ""
                ),
            ),
            ("in repeated lines", f"{found.repeated_share:.1%}"),
            ("bits per character by xz", "-" if xz is None else f"{xz:.3f}"),
            ("bits per character by n-grams", "-" if ngrams is None else f"{ngrams:.3f}"),
            (
                "train, val, test",
                f"{found.num_train_chars:,}, {found.num_val_chars:,}, {found.num_test_chars:,}",
            ),
            ("five minutes, two usual cores", found.model or "too short to train on"),
        ],
    )
    notices = [notice for file in found.files for notice in file.notices]
    for notice in notices:
        print_pairs(Text(""), [("note", notice)])
    if len(found.skipped) > NUM_NAMED:  # the note names fewer
        print_rows(
            ("skipped", "reason"), [(one.path, one.reason) for one in found.skipped], left=(1,)
        )
    if not found.problems:
        print_pairs(Text("\nno problems found"), [])
        return
    print_rows(
        ("problem", "what to do"),
        [(problem.what, problem.cure) for problem in found.problems],
        left=(1,),
    )


def _line_ends(file: FileReport) -> str:
    counts = {"LF": file.num_lf, "CRLF": file.num_crlf, "CR": file.num_cr}
    return ", ".join(name for name, count in counts.items() if count) or "none"
