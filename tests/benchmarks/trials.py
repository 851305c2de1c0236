"""Train a text with the settings of auto-configuration, then with some of them changed.

    python tests/benchmarks/trials.py TEXT --characters 4.8e6 --hidden-size 224 weight_decay=0.3

All variants read the same number of characters, so other work on the machine only costs time. Every
argument after the text is a variant: settings of `ModelConfig` and `TrainConfig`, joined by commas.
Dropouts that are named here are constant. It uses one CPU thread: several of these can run at the
same time.
"""

import argparse
import math
import time
from dataclasses import replace
from typing import Any, Final

from charlstm.config import Budget, ReadingConfig, TrainConfig
from charlstm.events import Evaluated, Finished
from charlstm.model.config import ModelConfig
from charlstm.settings import TrainSettings
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.training.auto_config import AutoConfig, Machine, auto_configure
from charlstm.training.hardware import resolve_precision, set_threads
from charlstm.training.trainer import Trainer

_DROPOUTS: Final = ("dropout", "recurrent_dropout")


def changed(plan: AutoConfig, variant: str) -> tuple[ModelConfig, TrainConfig]:
    """The plan's settings with those of a variant, scored once, at the end."""
    model, train = plan.model, replace(plan.train, num_evaluations=1)
    for setting in filter(None, variant.split(",")):
        name, _, text = setting.partition("=")
        if hasattr(model, name):
            model = replace(model, **{name: type(getattr(model, name))(text)})
        else:
            train = replace(train, **{name: type(getattr(train, name))(text)})
        if name in _DROPOUTS:
            always: dict[str, Any] = {f"{name}_epochs": (0.0, 0.0)}
            train = replace(train, **always)
    return model, train


def trial(corpus: Corpus, model: ModelConfig, train: TrainConfig, num_chars: float) -> str:
    """A run of `num_chars`: cells of the table."""
    budget = Budget(steps=round(num_chars / train.chars_per_step))
    trainer = Trainer(model, train, budget, train=corpus.train, val=corpus.val)
    began = time.perf_counter()
    for event in trainer.run():
        match event:
            case Evaluated():
                last = event
            case Finished():
                epochs = event.epoch
    speed = num_chars / (time.perf_counter() - began)
    assert last.val_bits_per_char is not None
    cells = (
        f"{last.dropout:.2f}, {last.recurrent_dropout:.2f}",
        f"{train.weight_decay:.2f}, {train.vocabulary_decay:.2f}",
        f"{epochs:.1f}",
        f"{speed:,.0f}",
        f"{last.train_bits_per_char * math.log(2):.4f}",
        f"{last.val_bits_per_char * math.log(2):.4f}",
    )
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--characters", type=float, required=True)
    parser.add_argument("--hidden-size", type=int, required=True)
    parser.add_argument("--seeds", default="0,1", help="joined by commas")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--val", help="another file for validation instead of the last tenth")
    parser.add_argument("--split-documents")
    options = parser.parse_intermixed_args()

    set_threads(1)
    corpus = load_corpus(
        ReadingConfig(
            paths=(options.text,),
            val=options.val,
            val_fraction=0.1,
            test_fraction=0.0,
            split_documents=options.split_documents,
        )
    )
    print("| variant | seed | dropouts | decays | epochs | characters/s | train | validation |")
    print("|---|---|---|---|---|---|---|---|")
    plan = auto_configure(
        TrainSettings(hidden_size=options.hidden_size),
        num_train_chars=corpus.train.num_chars,
        num_characters=len(corpus.vocabulary),
        budget=Budget(steps=1),  # settings don't depend on their number
        machine=Machine(
            device=options.device, precision=resolve_precision("auto", options.device), threads=1
        ),
    )
    for variant in ("", *options.variants):
        model, train = changed(plan, variant)
        for seed in map(int, options.seeds.split(",")):
            found = trial(corpus, model, replace(train, seed=seed), options.characters)
            print(f"| {variant or 'the plan'} | {seed} | {found} |", flush=True)


if __name__ == "__main__":
    main()
