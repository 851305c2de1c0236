"""Export to a folder for the Hugging Face Hub."""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from charlstm.export.folder import identity_of, write_folder
from charlstm.model.checkpoints import Checkpoint
from charlstm.system import run_files
from charlstm.system.terminal import escape_line

_MODEL_TYPE: Final = "charlstm"


def export_folder(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    name: str,
    ngram_bits: float | None = None,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write config.json, model.safetensors, vocab.json and a model card.

    `model.safetensors` is a checkpoint, which all commands accept as --checkpoint.

    Args:
        ngram_bits: validation loss of an n-gram model of the training text, in bits per character.
        inputs: the model's sources, which must not be overwritten.

    Raises:
        CharLSTMError: if the folder can't be written, or contains anything but an earlier export of
            the same run.
    """
    spec = checkpoint.spec
    identity = identity_of(checkpoint, name)
    config = {
        "architectures": ["CharLSTM"],
        "model_type": _MODEL_TYPE,
        **identity,
        **asdict(spec.model_config),
        "boundary_token_id": spec.tokenizer.bos_id,
        "unknown_token_id": 0,
        "eos_token_id": spec.tokenizer.eos_id,
        **spec.tokenizer.settings(),
        "library_name": "charlstm",
    }
    codes = spec.vocabulary.codes.tolist()
    vocabulary = {"unknown": 0, "boundary": spec.tokenizer.bos_id, "code_points": codes}
    card = _card(checkpoint, name, ngram_bits).encode("utf-8", "backslashreplace")
    model = without_paths(checkpoint).to_bytes()
    contents = {
        "vocab.json": _json(vocabulary),
        run_files.HUB_MODEL: model,
        "README.md": card,
        "config.json": _json(config),
    }
    write_folder(folder, contents, identity=identity, read=_read_config, inputs=inputs)


def without_paths(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with folders removed from all paths, for publication."""
    spec = checkpoint.spec

    def name_of(path: str | None) -> str | None:
        return path and (Path(path).name or path)

    val, test = name_of(spec.corpus.val), name_of(spec.corpus.test)
    paths = tuple(str(name_of(path)) for path in spec.corpus.paths)
    return replace(
        checkpoint,
        spec=replace(
            spec,
            corpus=replace(spec.corpus, paths=paths, val=val, test=test),
            reading=replace(spec.reading, val=val, test=test),
            init_from=name_of(spec.init_from),
        ),
    )


def _read_config(data: bytes) -> Any:
    """Parse config.json; None if it is not an export of charlstm."""
    config = json.loads(data)
    is_exported = isinstance(config, dict) and config.get("model_type") == _MODEL_TYPE
    return config if is_exported else None


def _card(checkpoint: Checkpoint, name: str, ngram_bits: float | None) -> str:
    """Return the model card in Markdown."""
    spec = checkpoint.spec
    config, train = spec.model_config, spec.train_config
    layers = f"{config.num_layers} layer{'s' if config.num_layers > 1 else ''}"
    bits = checkpoint.val_bits_per_char
    measured = (
        "not measured"
        if bits is None
        else f"{bits:.4f} bits per character on the validation text, which also selected this model"
    )
    if ngram_bits is not None:
        measured += f"; an n-gram model of the same training text reaches {ngram_bits:.4f}"
    return f"""---
library_name: charlstm
pipeline_tag: text-generation
tags: [{config.cell}, character-level]
---

# {_quoted(name)}

A character-level language model: {layers} of {config.hidden_size} units ({config.cell}),
embedding dimension {config.embedding_size}, {config.num_parameters:,} parameters. It predicts the
next character of a text from all characters before it.

- Training text: {spec.num_train_chars:,} characters of {_quoted(spec.corpus_name)}; SHA-256 of the
  text, its splits and their order: `{spec.fingerprint}`.
- Training: {checkpoint.step:,} steps (budget: {spec.budget}) of {train.batch_size} x
  {train.seq_len} characters; Muon and AdamW, learning rate {train.learning_rate:g},
  {checkpoint.dropouts}, {train.decays}, seed {train.seed}.
- Evaluation: {measured}.
- Limitations: a vocabulary of {config.num_characters:,} characters, and no knowledge beyond the
  training text. Generated text is not factual, and may repeat passages of the training text.

Usage, with charlstm installed:

    charlstm sample --checkpoint model.safetensors --prime "..."
"""


def _quoted(text: str) -> str:
    """Escape untrusted text for a line of Markdown."""
    return re.sub(r"([\\`*_\[\]#|~])", r"\\\1", html.escape(escape_line(text)))


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode("ascii")
