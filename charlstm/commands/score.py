"""`charlstm score`: what each line costs a model, as lines come."""

import codecs
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Device,
    Json,
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
from charlstm.system.terminal import is_colorless, say
from charlstm.views.items import (
    CHARACTER_HEADER,
    HEADER,
    character_row,
    classified_header,
    classified_row,
    item_record,
    item_row,
    marked,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from charlstm.api.model import Model
    from charlstm.evaluation.items import ItemScore, Percentiles
    from charlstm.evaluation.scores import Prediction
    from charlstm.text.split import Split

Per = Literal["line", "document", "char"]

_EXIT_NOTHING: Final = 1
_EXIT_ERROR: Final = 2
_PIECE_BYTES: Final = 1 << 16
# Characters that are scored at once, of lines that are there at once.
_BATCH_CHARS: Final = 1 << 19

EXAMPLES: Final = """\
charlstm score another.txt --above p50           # the odder half of its lines
charlstm score another.txt --run large --run small --header
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
    tabs. With --above the exit code is 0 if something was found, 1 if nothing, 2 after an error.
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
        columns: tuple[str, ...] = HEADER
        if per == "char":
            rows = _character_rows(readers[0], paths, as_json=as_json)
            columns = CHARACTER_HEADER
        elif len(readers) > 1:
            rows = _classified_rows(readers, _items(paths, per, models[0]), as_json=as_json)
            columns = classified_header([one.name for one in models])
        else:
            percentiles = models[0].percentiles(with_counts=with_counts, notify=say)
            if limit is not None and limit.is_percentile and percentiles is None:
                raise ConfigError("--above: there is no validation text to compare with")
            items = _scored(readers[0], _items(paths, per, models[0]), percentiles)
            rows = _item_rows(items, limit, show=show, as_json=as_json)
        number = _write(rows, columns if header and not as_json else None)
        if limit is not None and not number:
            raise typer.Exit(_EXIT_NOTHING)
    except CharLSTMError as error:
        error.exit_code = _EXIT_ERROR
        raise


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


def _items(paths: "Sequence[str]", per: Per, model: "Model") -> Iterator[list[str]]:
    """The texts of items, as many at once as are there."""
    for path in paths:
        if per == "document":
            yield from _documents(path, model)
        elif path == STDIN:
            yield from _lines(_arriving(model.checkpoint.spec.corpus))
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
    stdin: Any = sys.stdin.buffer
    decoder: Any = codecs.getincrementaldecoder(encoding)(errors)
    if not config.keeps_line_ends:
        decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
    while data := stdin.read1(_PIECE_BYTES):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _pieces(path: str, config: CorpusConfig) -> Iterator[str]:
    """A file's text, decompressed and decoded as the model's own was."""
    from charlstm.text.source import FileSource

    source = FileSource(path, config)
    try:
        with advice_for_a_model():
            for piece in source.pieces():
                as_bytes = config.level == "byte"
                yield (
                    piece.encode("latin-1").decode("utf-8", "surrogateescape")
                    if as_bytes
                    else piece
                )
    finally:
        source.close()
    for notice in source.notices:
        say(notice)


def _documents(path: str, model: "Model") -> Iterator[list[str]]:
    """A file's documents, split as the model's own text was."""
    alphabet = model.alphabet
    other = read_files([path], model)
    for start, length in zip(other.split.starts, other.split.lengths, strict=True):
        symbols = alphabet.without_end(other.original(int(start), int(start + length)))
        if alphabet.is_byte:
            symbols = symbols.encode("latin-1").decode("utf-8", "surrogateescape")
        yield [symbols]


def _batches(items: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same items, no more at once than fit into memory."""
    for texts in items:
        first = num_chars = 0
        for place, text in enumerate(texts):
            if num_chars > _BATCH_CHARS:
                yield texts[first:place]
                first, num_chars = place, 0
            num_chars += len(text) + 1
        yield texts[first:]


def _scored(
    reader: _Reader, items: Iterable[list[str]], percentiles: "Percentiles | None"
) -> "Iterator[list[ItemScore]]":
    from charlstm.evaluation.items import score_items

    number = 1
    for texts in _batches(items):
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
            yield [item_row(one, text) for one, text in zip(chosen, texts, strict=True)]


def _classified_rows(
    readers: "Sequence[_Reader]", items: Iterable[list[str]], *, as_json: bool
) -> Iterator[list[str]]:
    """The bits of each model; at the end on stderr how often each was the best."""
    from charlstm.evaluation.items import Classified, classified

    models = {model.name: (model.alphabet, predict) for model, predict in readers}
    best: Counter[str] = Counter()
    is_terminal = sys.stdout.isatty()
    number = 1
    for texts in _batches(items):
        found: list[Classified] = classified(texts, models, first_number=number)
        number += len(texts)
        best.update(one.best for one in found)
        if as_json:
            yield [json.dumps(one._asdict()) for one in found]
        else:
            yield [classified_row(one, shown(one.text, is_terminal)) for one in found]
    for name, count in best.most_common():
        say(f"{name}: {count:,} of {number - 1:,}")


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


def _write(rows: Iterable[list[str]], header: Sequence[str] | None) -> int:
    """Write rows as soon as they are there; returns how many there were."""
    if header is not None:
        print("\t".join(header))
    number = 0
    for some in rows:
        number += len(some)
        sys.stdout.write("".join(f"{one}\n" for one in some))
        sys.stdout.flush()
    return number
