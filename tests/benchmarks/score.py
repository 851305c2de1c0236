"""Measure how well `score` finds odd lines of a log and recognizes languages.

    python tests/benchmarks/score.py logs [--minutes 1]
    python tests/benchmarks/score.py languages de=TEXT fr=TEXT es=TEXT [--minutes 2]
    python tests/benchmarks/score.py speed RUN [--checkpoints DIR]

`logs` makes two days of a service's log, the second with 1 % of odd lines of six kinds, and prints
the area under the ROC curve. `languages` trains on nine tenths of each text and scores the last
tenth in lines of 40 characters, also with n-grams of the same texts. Instead of a text, a folder
can be named: its gettext catalogs, such as those of a game's stories, are prose in many languages:

    apt-get download wesnoth-1.16-data wesnoth-1.16-httt ...; for d in *.deb; do dpkg -x $d w; done
    for l in de fr es; do mkdir $l; find w -path "*/$l/*.mo" -exec cp {} $l \\;; done
    python tests/benchmarks/score.py languages de=de fr=fr es=es --minutes 2

`speed` scores 50,000 names.
"""

import argparse
import gettext
import random
import re
import tempfile
import time
from pathlib import Path

import numpy as np

import charlstm
from charlstm.api.model import Model
from charlstm.evaluation.items import Percentiles, validation_items
from charlstm.evaluation.scores import CharLosses

_LINE = 40
_MIN_PARAGRAPH_CHARS = 60


def log_lines(number: int, generator: np.random.Generator) -> list[str]:
    """Usual lines of a web service: requests, sessions, a pool, a scheduler."""
    users = ["anna", "berta", "carl", "dora", "emil", "frida"]
    paths = ["/", "/login", "/items", "/items/{}", "/cart", "/search?q={}", "/static/app.js"]
    lines = []
    for second in np.sort(generator.integers(0, 86_400, number)):
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        address = f"10.0.{generator.integers(4)}.{generator.integers(1, 255)}"
        path = generator.choice(paths).format(generator.integers(1, 2000))
        status = generator.choice([200, 200, 200, 200, 304, 404])
        text = generator.choice(
            [
                f"GET {path} {status} {generator.integers(200, 9000)} from {address}",
                f"GET {path} {status} {generator.integers(200, 9000)} from {address}",
                f"POST /login 302 0 from {address}",
                f"session opened for user {generator.choice(users)} by {address}",
                f"session closed for user {generator.choice(users)}",
                f"pool: {generator.integers(1, 17)} of 16 workers busy",
                f"scheduler: job {generator.integers(10)} done in {generator.integers(1, 900)} ms",
            ]
        )
        lines.append(f"{clock} app[{generator.integers(300, 330)}]: {text}")
    return lines


def make_odd(line: str, kind: int, generator: np.random.Generator) -> str:
    """One of six kinds of what shouldn't stand in a log."""
    clock, rest = line.split(" ", 1)
    place = int(generator.integers(10, len(line)))
    return [
        f"{clock} app[311]: session opened for user root by 203.0.113.9",
        f"{clock} kernel: Out of memory: Killed process 2711 (java)",
        f"{clock} app[305]: GET /items/1%20OR%201=1-- 500 0 from 10.0.1.17",
        line[:place] + "\\x90\\x90\\x90" + line[place:],
        line[:place],
        f"{clock} {rest[::-1]}",
    ][kind]


def area_under_roc(values: np.ndarray, is_odd: np.ndarray) -> float:
    """By ranks (Mann & Whitney 1947), ties shared."""
    _, group, number = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(number) - (number - 1) / 2)[group]
    odd, usual = int(is_odd.sum()), int((~is_odd).sum())
    return float((rank[is_odd].sum() - odd * (odd + 1) / 2) / (odd * usual))


def logs(folder: Path, minutes: float) -> None:
    generator = np.random.default_rng(0)
    (folder / "yesterday.txt").write_text("\n".join(log_lines(100_000, generator)) + "\n")
    today = log_lines(10_000, generator)
    is_odd = np.zeros(10_000, bool)
    is_odd[generator.choice(10_000, 100, replace=False)] = True
    for number, place in enumerate(np.flatnonzero(is_odd)):
        today[place] = make_odd(today[place], number % 6, generator)
    model = charlstm.train(
        folder / "yesterday.txt", split_documents="lines", minutes=minutes, seed=0,
        checkpoints=folder / "checkpoints",
    )  # fmt: skip
    found = list(model.score_lines(today))
    bits = np.array([one.bits for one in found])
    per_char = np.array([one.bits_per_char for one in found])
    print(f"validation {model.checkpoint.best_val_bits_per_char:.3f} bits per character")
    print(f"area under ROC by bits                {area_under_roc(bits, is_odd):.4f}")
    print(f"area under ROC by bits per character  {area_under_roc(per_char, is_odd):.4f}")
    corpus = model.corpus()
    items = validation_items(corpus.val, model.tokenizer)
    scores = CharLosses.of(model.predictions()(items), items)
    import charlstm.evaluation.items as module

    for share in (1.0, 0.3, 0.1, 0.03):
        module._LIKE_SHARE = share
        percentiles = Percentiles.of(scores, items)
        values = np.array(
            [percentiles.percentile(one.num_chars, one.bits_per_char) for one in found]
        )
        above = values >= 99
        area = area_under_roc(values, is_odd)
        print(f"area under ROC by percentile, like {share:4.0%}  {area:.4f}; ", end="")
        print(f"p99: {above[is_odd].mean():.0%} of odd, {above[~is_odd].mean():.2%} of usual lines")


def prose(path: Path) -> str:
    """A text, or the longer translations of a folder's gettext catalogues, shuffled."""
    if path.is_file():
        return path.read_text("utf-8")
    paragraphs: dict[str, None] = {}
    for catalogue in sorted(path.rglob("*.mo")):
        with open(catalogue, "rb") as file:
            pairs = gettext.GNUTranslations(file)._catalog.items()
        for original, translated in pairs:
            paragraph = " ".join(re.sub(r"<[^>]*>", "", translated).split())
            if (
                len(paragraph) >= _MIN_PARAGRAPH_CHARS
                and original not in ("", translated)
                and not re.search(r"[$={}|\\]|https?:", paragraph)
            ):
                paragraphs[paragraph] = None
    shuffled = list(paragraphs)
    random.Random(0).shuffle(shuffled)
    return "\n".join(shuffled) + "\n"


def languages(folder: Path, texts: list[str], minutes: float) -> None:
    models: list[Model] = []
    tests: dict[str, list[str]] = {}
    for named in texts:
        name, _, path = named.partition("=")
        text = prose(Path(path))
        edge = len(text) * 9 // 10
        words = " ".join(text[edge:].split())
        tests[name] = [words[i : i + _LINE] for i in range(0, len(words) - _LINE, _LINE)][:2000]
        models.append(
            charlstm.train(
                text=text[:edge],
                minutes=minutes,
                seed=0,
                run=name,
                checkpoints=folder / "checkpoints",
            )
        )
    by_ngrams = [model.counts().ngrams for model in models]
    right = ngrams_right = total = 0
    for name, lines in tests.items():
        best = [one.best for one in charlstm.classify(lines, models)]
        right += best.count(name)
        total += len(lines)
        costs = []
        for model, ngrams in zip(models, by_ngrams, strict=True):
            split = model.tokenizer.encode_documents(lines)
            costs.append(np.add.reduceat(ngrams.score(split), split.starts))
        own = [model.name for model in models].index(name)
        ngrams_right += int((np.argmin(costs, 0) == own).sum())
    print(f"{total:,} lines: LSTM {right / total:.2%}, n-grams {ngrams_right / total:.2%}")


def speed(run: str, checkpoints: Path) -> None:
    model = charlstm.load(run, checkpoints=checkpoints)
    names = [model.sample(length=8, seed=seed, num_samples=1)[0] for seed in range(50)]
    lines = [names[i % 50] + str(i % 10) for i in range(50_000)]
    from charlstm.evaluation.items import score_items

    predict = model.predictions()
    score_items(lines[:5000], model.tokenizer, predict, None)
    began = time.perf_counter()
    score_items(lines, model.tokenizer, predict, None)
    seconds = time.perf_counter() - began
    num_chars = sum(map(len, lines))
    print(f"{len(lines) / seconds:,.0f} lines/s, {num_chars / seconds:,.0f} characters/s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("logs", "languages", "speed"))
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "logs":
            logs(Path(folder), options.minutes)
        elif options.what == "languages":
            languages(Path(folder), options.texts, options.minutes)
        else:
            speed(options.texts[0], options.checkpoints)


if __name__ == "__main__":
    main()
