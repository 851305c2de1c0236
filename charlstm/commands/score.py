"""`charlstm score`: what each line costs a model, as lines come."""

import codecs
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeVar

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Device,
    Json,
    Only,
    Threads,
    WhichModel,
    WithCounts,
    advice_for_a_model,
    complete_run,
    expect_texts,
    typed_text,
    with_settings,
)
from charlstm.commands.scored import read_files
from charlstm.config import DEFAULT_STORE, STDIN, CorpusConfig
from charlstm.errors import CharLSTMError, ConfigError, CorpusError
from charlstm.settings import ReadingSettings
from charlstm.system.terminal import escape, is_colorless, say
from charlstm.views.items import (
    CHARACTER_HEADER,
    HEADER,
    as_cells,
    character_row,
    classified_columns,
    classified_header,
    confusion_lines,
    item_columns,
    item_record,
    marked,
    row,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from charlstm.api.model import Model
    from charlstm.evaluation.items import ItemScore, Percentiles, Predict
    from charlstm.evaluation.scores import Prediction
    from charlstm.text.alphabet import Alphabet
    from charlstm.text.split import Split
    from charlstm.text.tables import Row, Table

Per = Literal["line", "document", "char"]

_Item = TypeVar("_Item")

_EXIT_NOTHING: Final = 1
_EXIT_ERROR: Final = 2
_PIECE_BYTES: Final = 1 << 16
# Characters that are scored at once, of lines that are there at once.
_BATCH_CHARS: Final = 1 << 19

EXAMPLES: Final = """\
charlstm score another.txt --above p50           # the odder half of its lines
charlstm score another.txt --run large --run small --header
charlstm score mails.csv --column text --run ham --run spam --expect label
charlstm score --text "To be or not to be"       # its bits"""


@with_settings
def score(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Texts to score; - is stdin.  [default: -]"),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="NAME",
            help="Run to use; several times: which suits a line best.  [default: the newest]",
            autocompletion=complete_run,
        ),
    ] = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    per: Annotated[
        Per, typer.Option("--per", help="What a row is: a line, a document, a character.")
    ] = "line",
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            parser=typed_text,
            metavar="TEXT",
            help="Score this text, and print its bits only.",
        ),
    ] = None,
    above: Annotated[
        str | None,
        typer.Option(
            "--above",
            metavar="LIMIT",
            help="Write items that cost as much: 4.5 bits per character, or p99, a percentile.",
        ),
    ] = None,
    *,
    reading: Annotated[
        ReadingSettings,
        Only(
            {
                "column": "Score a table, CSV, TSV or JSON lines: the text in this column.",
                "format": None,
            }
        ),
    ],
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="COLUMN",
            help="The true model's name is in this column: how often it is the best.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Mark each item's most surprising stretch.")
    ] = False,
    header: Annotated[
        bool, typer.Option("--header", help="Begin with the columns' names.")
    ] = False,
    with_counts: WithCounts = False,
    threads: Threads = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    r"""Score lines as they come: bits, bits per character, percentile, text.

    The percentile is the item's place among validation items of like length. Rows are separated by
    tabs; of a table, these columns are appended to its own. With --above the exit code is 0 if
    something was found, 1 if nothing, 2 after an error.
    In TEXT, \n is a line end, \t a tab, \\ a backslash.
    """
    try:
        limit = None if above is None else _Limit.parse(above)
        names: list[str | None] = [*runs] if runs else [None]
        if checkpoint is not None and runs:
            raise ConfigError("give --run or --checkpoint, not both")
        if text is not None and files:
            raise ConfigError("give FILE or --text, not both")
        if len(names) > 1 and (limit is not None or show or per == "char"):
            raise ConfigError("several models take neither --above nor --show nor --per char")
        others = text is not None or show or header or as_json or per != "line"
        _check_table(reading, expect, is_one=len(names) == 1, others=others)
        which = WhichModel(checkpoint=checkpoint, checkpoints=checkpoints)
        models = [replace(which, run=name).load() for name in names]
        if len({one.name for one in models}) < len(models):
            raise ConfigError("--run: give each run once")
        readers = [_Reader.of(one, with_counts, device, threads) for one in models]
        if text is not None:
            _print_bits(readers, text, as_json=as_json)
            return
        paths = files or [STDIN]
        expect_texts(paths, checkpoints)
        if reading.column is None:
            rows, columns = _text_rows(
                readers, paths, per, limit, with_counts=with_counts, show=show, as_json=as_json
            )
            first = "\t".join(columns) if header and not as_json else None
        else:
            rows, first = _table_rows(
                readers, paths, reading, limit, with_counts=with_counts, expect=expect
            )
        number = _write(rows, first)
        if limit is not None and not number:
            raise typer.Exit(_EXIT_NOTHING)
    except CharLSTMError as error:
        error.exit_code = _EXIT_ERROR
        raise


def _check_table(
    reading: ReadingSettings,
    expect: str | None,
    *,
    is_one: bool,
    others: bool,
) -> None:
    """Refuse options that don't go together.

    Args:
        is_one: whether there is a single model.
        others: whether options are given that a table doesn't take.
    """
    CorpusConfig.of(reading)
    if reading.column is not None and others:
        raise ConfigError(
            "--column writes the table as it is: no --text, --show, --header, --json or --per"
        )
    if expect is not None and (reading.column is None or is_one):
        raise ConfigError("--expect needs --column and several --run")


@dataclass(frozen=True)
class _Limit:
    """What an item must cost at least to be written."""

    value: float
    is_percentile: bool

    @classmethod
    def parse(cls, text: str) -> "_Limit":
        found = re.fullmatch(r"(p?)(\d+(?:\.\d*)?|\.\d+)", text.strip().lower())
        if found is None or (found[1] and float(found[2]) > 100):
            raise ConfigError(f"--above: {text!r} is neither bits, such as 4.5, nor p0 to p100")
        return cls(float(found[2]), bool(found[1]))

    def is_met(self, item: "ItemScore") -> bool:
        value = item.percentile if self.is_percentile else item.bits_per_char
        return value is not None and value >= self.value


class _Reader(NamedTuple):
    """A model, and what predicts every character of a text by it."""

    model: "Model"
    predict: "Callable[[Split], Iterable[Prediction]]"

    @classmethod
    def of(cls, model: "Model", with_counts: bool, device: str, threads: int | None) -> "_Reader":  # noqa: FBT001
        predict = model.predictions(
            with_counts=with_counts, device=device, threads=threads, notify=say
        )
        return cls(model, predict)


def _text_rows(
    readers: "Sequence[_Reader]",
    paths: list[str],
    per: Per,
    limit: _Limit | None,
    *,
    with_counts: bool,
    show: bool,
    as_json: bool,
) -> tuple[Iterator[list[str]], tuple[str, ...]]:
    """The rows of texts, and the names of their columns."""
    if per == "char":
        return _character_rows(readers[0], paths, as_json=as_json), CHARACTER_HEADER
    models = [one.model for one in readers]
    items = _items(paths, per, models[0])
    if len(readers) > 1:
        columns = (*classified_header([one.name for one in models]), "text")
        return _classified_rows(readers, items, as_json=as_json), columns
    percentiles = _percentiles(models[0], limit, with_counts=with_counts)
    found = _scored(readers[0], items, percentiles)
    return _item_rows(found, limit, show=show, as_json=as_json), (*HEADER, "text")


def _percentiles(
    model: "Model", limit: _Limit | None, *, with_counts: bool
) -> "Percentiles | None":
    percentiles = model.percentiles(with_counts=with_counts, notify=say)
    if limit is not None and limit.is_percentile and percentiles is None:
        raise ConfigError("--above: there is no validation text to compare with")
    return percentiles


def _items(paths: "Sequence[str]", per: Per, model: "Model") -> Iterator[list[str]]:
    """The texts of items, as many at once as are there."""
    for path in paths:
        if per == "document":
            yield from _documents(path, model)
        else:
            yield from _lines(_pieces(path, model.checkpoint.spec.corpus))


def _lines(pieces: Iterable[str]) -> Iterator[list[str]]:
    """Lines without their ends; those that are complete as soon as they are."""
    held: list[str] = []
    for piece in pieces:
        first, *others = piece.split("\n")
        held.append(first)
        if others:
            yield ["".join(held), *others[:-1]]
            held = [others[-1]]
    if last := "".join(held):
        yield [last]


def _arriving(config: CorpusConfig) -> Iterator[str]:
    """What comes from stdin, as it comes; what can't be decoded as U+FFFD."""
    if sys.stdin is None:
        raise CorpusError("stdin is closed")
    as_bytes = config.level == "byte"
    encoding, errors = ("utf-8", "surrogateescape") if as_bytes else (config.encoding, "replace")
    if not as_bytes and codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"  # a byte order mark is no part of the text
    stdin: Any = sys.stdin.buffer
    decoder: Any = codecs.getincrementaldecoder(encoding)(errors)
    if not config.keeps_line_ends:
        decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
    while data := stdin.read1(_PIECE_BYTES):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _pieces(path: str, config: CorpusConfig) -> Iterator[str]:
    """A file's text, decompressed and decoded as the model's own was, or what comes from stdin."""
    from charlstm.text.source import FileSource

    if path == STDIN:
        yield from _arriving(config)
        return
    source = FileSource(path, config)
    try:
        with advice_for_a_model():
            for piece in source.pieces():
                yield _as_typed(piece) if config.level == "byte" else piece
    finally:
        source.close()
    for notice in source.notices:
        say(notice)


def _as_typed(symbols: str) -> str:
    """The text whose bytes these symbols are, as a command line would give it."""
    return symbols.encode("latin-1").decode("utf-8", "surrogateescape")


def _documents(path: str, model: "Model") -> Iterator[list[str]]:
    """A file's documents, split as the model's own text was."""
    alphabet = model.alphabet
    other = read_files([path], model)
    for start, length in zip(other.split.starts, other.split.lengths, strict=True):
        symbols = alphabet.without_end(other.original(int(start), int(start + length)))
        yield [_as_typed(symbols) if alphabet.is_byte else symbols]


def _batches(
    items: Iterable[list[_Item]], length: "Callable[[_Item], int]"
) -> Iterator[list[_Item]]:
    """The same items, no more at once than fit into memory."""
    for found in items:
        first = num_chars = 0
        for place, one in enumerate(found):
            if num_chars > _BATCH_CHARS:
                yield found[first:place]
                first, num_chars = place, 0
            num_chars += length(one) + 1
        yield found[first:]


def _scored(
    reader: _Reader, items: Iterable[list[str]], percentiles: "Percentiles | None"
) -> "Iterator[list[ItemScore]]":
    from charlstm.evaluation.items import score_items

    number = 1
    for texts in _batches(items, len):
        yield score_items(
            texts, reader.model.alphabet, reader.predict, percentiles, first_number=number
        )
        number += len(texts)


def _item_rows(
    found: "Iterable[list[ItemScore]]", limit: _Limit | None, *, show: bool, as_json: bool
) -> Iterator[list[str]]:
    is_terminal = sys.stdout.isatty()
    is_marked = show and is_terminal and not is_colorless()
    for items in found:
        chosen = [one for one in items if limit is None or limit.is_met(one)]
        if as_json:
            yield [json.dumps(item_record(one)) for one in chosen]
        else:
            texts = [marked(one) if is_marked else shown(one.text, is_terminal) for one in chosen]
            yield [row(item_columns(one), text) for one, text in zip(chosen, texts, strict=True)]


def _classified_rows(
    readers: "Sequence[_Reader]", items: Iterable[list[str]], *, as_json: bool
) -> Iterator[list[str]]:
    """The bits of each model; at the end on stderr how often each was the best."""
    from charlstm.evaluation.items import Classified, classified

    models = _by_name(readers)
    best: Counter[str] = Counter()
    is_terminal = sys.stdout.isatty()
    number = 1
    for texts in _batches(items, len):
        found: list[Classified] = classified(texts, models, first_number=number)
        number += len(texts)
        best.update(one.best for one in found)
        if as_json:
            yield [json.dumps(one._asdict()) for one in found]
        else:
            yield [row(classified_columns(one), shown(one.text, is_terminal)) for one in found]
    _say_best(best)


def _by_name(readers: "Sequence[_Reader]") -> "dict[str, tuple[Alphabet, Predict]]":
    return {model.name: (model.alphabet, predict) for model, predict in readers}


def _say_best(best: "Counter[str]") -> None:
    for name, count in best.most_common():
        say(f"{name}: {count:,} of {best.total():,}")


def _table_rows(
    readers: "Sequence[_Reader]",
    paths: list[str],
    reading: ReadingSettings,
    limit: _Limit | None,
    *,
    with_counts: bool,
    expect: str | None,
) -> tuple[Iterator[list[str]], str | None]:
    """The rows of a table with columns appended, and its header."""
    from charlstm.text.tables import Table

    if len(paths) > 1:
        raise ConfigError("--column takes one table")
    model = readers[0].model
    # Its cells come as they are: a model brings texts into its own form.
    config = CorpusConfig(encoding=model.checkpoint.spec.corpus.encoding, keep_line_ends=True)
    table = Table(paths[0], _pieces(paths[0], config), reading.column or "", reading.format)
    if len(readers) > 1:
        header = table.header(classified_header([one.model.name for one in readers]))
        rows = _classified_table(readers, table, expect)
    else:
        header = table.header(HEADER)
        percentiles = _percentiles(model, limit, with_counts=with_counts)
        rows = _scored_table(readers[0], table, percentiles, limit)
    return rows, header and _safe(header)


def _scored_table(
    reader: _Reader, table: "Table", percentiles: "Percentiles | None", limit: _Limit | None
) -> Iterator[list[str]]:
    from charlstm.evaluation.items import score_items

    for rows in _batches(table.rows(), lambda one: len(one.text)):
        texts = [one.text for one in rows]
        found = score_items(texts, reader.model.alphabet, reader.predict, percentiles)
        yield [
            _table_line(table, one, item_columns(item))
            for one, item in zip(rows, found, strict=True)
            if limit is None or limit.is_met(item)
        ]


def _classified_table(
    readers: "Sequence[_Reader]", table: "Table", expect: str | None
) -> Iterator[list[str]]:
    """At the end on stderr how often each model was the best, or the right one."""
    from charlstm.evaluation.items import classified

    models = _by_name(readers)
    counts: Counter[tuple[str, str]] = Counter()
    for rows in _batches(table.rows(), lambda one: len(one.text)):
        found = classified([one.text for one in rows], models)
        labels = [table.cell(one, expect) if expect is not None else "" for one in rows]
        counts.update(zip(labels, (one.best for one in found), strict=True))
        yield [
            _table_line(table, one, classified_columns(item))
            for one, item in zip(rows, found, strict=True)
        ]
    if expect is None:
        _say_best(Counter(best for _, best in counts.elements()))
    else:
        for line in confusion_lines(counts, list(models)):
            say(line)


def _table_line(table: "Table", one: "Row", columns: dict[str, Any]) -> str:
    return _safe(table.line(one, as_cells(columns) if table.has_header else columns))


def _safe(line: str) -> str:
    """A line of a table, which is escaped on a terminal only."""
    return escape(line, keep="\t\n") if sys.stdout.isatty() else line


def _character_rows(reader: _Reader, paths: list[str], *, as_json: bool) -> Iterator[list[str]]:
    from charlstm.evaluation.items import character_scores

    text = read_files(paths, reader.model)
    for one in character_scores(text.split, text.original, reader.model.alphabet, reader.predict):
        yield [json.dumps(one._asdict()) if as_json else character_row(one)]


def _print_bits(readers: "Sequence[_Reader]", text: str, *, as_json: bool) -> None:
    """What one text costs each model."""
    from charlstm.evaluation.items import score_items

    bits = {
        model.name: score_items([text], model.alphabet, predict, None)[0].bits
        for model, predict in readers
    }
    print(
        json.dumps({"bits": bits}) if as_json else "\t".join(f"{one:.3f}" for one in bits.values())
    )


def _write(rows: Iterable[list[str]], header: str | None) -> int:
    """Write rows as soon as they are there; returns how many there were."""
    if header is not None:
        print(header)
    number = 0
    for some in rows:
        number += len(some)
        sys.stdout.write("".join(f"{one}\n" for one in some))
        sys.stdout.flush()
    return number
