"""A trained model for other programs: an ONNX graph, or a folder as the Hugging Face Hub has them.

Shapes: B streams, L layers, H hidden size, E embedding size, V symbols that can be predicted.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.cell import CellStack, Step
from charlstm.checkpoints import Arrays, Checkpoint
from charlstm.errors import CharLSTMError, ConfigError
from charlstm.files import write_file

if TYPE_CHECKING:
    import onnx

OPSET: Final = 17
TOLERANCE: Final = 1e-4
_FOLDER_FILES: Final = ("config.json", "vocab.json", "model.safetensors", "README.md")
_IR_VERSION: Final = 8  # as old as the opset allows, for old runtimes
_NUM_CHECKED: Final = 1000
# Blocks of PyTorch's gates in the order that ONNX has them: input, output, forget, candidate of an
# LSTM; update, reset, candidate of a GRU.
_GATES: Final = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
_OPERATORS: Final = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def export_onnx(checkpoint: Checkpoint, path: Path) -> float:
    """Write one step as an ONNX graph, and compare it with the model in 1,000 steps.

    Inputs: `symbol` int64 [B], the character's number; `h` and, of an LSTM, `c`, float32 [L, B, H].
    Outputs: `logits` float32 [B, V]; `h_after`, `c_after`. The boundary symbol begins a text, from
    a state of zeros. The characters, in the order of their numbers from 1 on, stand in the
    metadata as `characters`, code points in JSON.

    Returns:
        The greatest difference of a logit or a state after one step.

    Raises:
        ConfigError: when onnx or onnxruntime is missing.
        CharLSTMError: when the file can't be written or the graph computes something else.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ConfigError("export to ONNX needs: pip install 'charlstm[onnx]'") from error
    graph = _graph(checkpoint)
    onnx.checker.check_model(graph, full_check=True)
    data = graph.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    difference = _difference(checkpoint, session)
    if not difference <= TOLERANCE:
        raise CharLSTMError(f"{path}: onnxruntime computes something else, off by {difference:.2g}")
    write_file(path, data)
    return difference


def export_folder(checkpoint: Checkpoint, folder: Path, *, name: str) -> None:
    """Write a folder for the Hugging Face Hub: config.json, model.safetensors, vocabulary, card.

    `model.safetensors` is a checkpoint: every command reads it with --checkpoint.

    Raises:
        CharLSTMError: when the folder can't be written, or holds other files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = {path.name for path in folder.iterdir()} - set(_FOLDER_FILES)
        is_ours = _is_exported(folder)
    except OSError as error:
        raise CharLSTMError(f"{folder}: can't be made: {error.strerror}") from error
    if others or not is_ours:
        raise CharLSTMError(f"{folder}: holds files of something else; name a new folder")
    config = {
        "architectures": ["CharLSTM"],
        "model_type": "charlstm",
        **asdict(checkpoint.model_config),
        "boundary_token_id": checkpoint.vocabulary.boundary,
        "unknown_token_id": 0,
        **_reading(checkpoint),
        "library_name": "charlstm",
    }
    codes = checkpoint.vocabulary.codes.tolist()
    vocabulary = {"unknown": 0, "boundary": checkpoint.vocabulary.boundary, "code_points": codes}
    card = _card(checkpoint, name).encode("utf-8", "backslashreplace")
    contents = (_json(config), _json(vocabulary), checkpoint.to_bytes(), card)
    for file, data in zip(_FOLDER_FILES, contents, strict=True):
        write_file(folder / file, data)


def _is_exported(folder: Path) -> bool:
    """Whether a folder is empty, or one that was written here before."""
    if not any(folder.iterdir()):
        return True
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "charlstm"


def _reading(checkpoint: Checkpoint) -> dict[str, Any]:
    """What another program needs to read texts as the model did."""
    corpus = checkpoint.corpus
    return {
        "level": corpus.level,
        "normalize": corpus.normalize,
        "keep_line_ends": corpus.keep_line_ends,
        "unknown_probability": checkpoint.unknown_probability,
    }


def _graph(checkpoint: Checkpoint) -> "onnx.ModelProto":
    from onnx import TensorProto, helper, numpy_helper

    config, weights = checkpoint.model_config, checkpoint.weights
    is_lstm = config.cell == "lstm"
    state_names = ["h", "c"] if is_lstm else ["h"]
    constants: Arrays = {
        "embedding": weights["embedding.weight"],
        "head_weight": weights["head.weight"],
        "head_bias": weights["head.bias"],
        "first_axis": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["embedding", "symbol"], ["embedded"]),
        helper.make_node("Unsqueeze", ["embedded", "first_axis"], ["z0"]),
    ]
    for name in state_names:
        parts = [f"{name}{number}" for number in range(config.num_layers)]
        nodes.append(helper.make_node("Split", [name], parts, axis=0))
    for number in range(config.num_layers):
        for key, value in _layer(weights, number, config.cell).items():
            constants[f"{key}{number}"] = value
        states = [f"{name}{number}" for name in state_names]
        options: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
        nodes += [
            helper.make_node(
                _OPERATORS[config.cell],
                [f"z{number}", f"W{number}", f"R{number}", f"B{number}", "", *states],
                [f"y{number}", *(f"{state}_after" for state in states)],
                hidden_size=config.hidden_size,
                **options,
            ),
            # Of its one direction: [1, 1, B, H] to [1, B, H].
            helper.make_node("Squeeze", [f"y{number}", "first_axis"], [f"z{number + 1}"]),
        ]
    nodes += [
        helper.make_node("Squeeze", [f"z{config.num_layers}", "first_axis"], ["shown"]),
        helper.make_node("Gemm", ["shown", "head_weight", "head_bias"], ["logits"], transB=1),
    ]
    for name in state_names:
        after = [f"{name}{number}_after" for number in range(config.num_layers)]
        nodes.append(helper.make_node("Concat", after, [f"{name}_after"], axis=0))
    state_shape = [config.num_layers, "batch", config.hidden_size]

    def floats(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "charlstm",
        [
            helper.make_tensor_value_info("symbol", TensorProto.INT64, ["batch"]),
            *(floats(name, state_shape) for name in state_names),
        ],
        [
            floats("logits", ["batch", config.num_outputs]),
            *(floats(f"{name}_after", state_shape) for name in state_names),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="charlstm",
    )
    helper.set_model_props(
        model,
        {
            "characters": json.dumps(checkpoint.vocabulary.codes.tolist()),
            "boundary": str(checkpoint.vocabulary.boundary),
            **{name: str(value) for name, value in _reading(checkpoint).items()},
        },
    )
    return model


def _layer(weights: Arrays, number: int, cell: str) -> Arrays:
    """A layer's weights as ONNX orders them: W [1, 4H, E], R [1, 4H, H], B [1, 8H] of an LSTM."""

    def ordered(name: str) -> npt.NDArray[Any]:
        value = weights[f"layers.{number}.{name}_l0"]
        blocks = np.split(value, len(_GATES[cell]))
        return np.concatenate([blocks[gate] for gate in _GATES[cell]])

    biases = np.concatenate([ordered("bias_ih"), ordered("bias_hh")])
    return {"W": ordered("weight_ih")[None], "R": ordered("weight_hh")[None], "B": biases[None]}


def _difference(checkpoint: Checkpoint, session: Any) -> float:
    """Over random symbols in two streams, the greatest of logits and states.

    Both sides begin each step from the same state: in a plain recurrent network the last bit of a
    state may grow to anything.
    """
    config = checkpoint.model_config
    stack = CellStack(config, checkpoint.weights)
    layers = stack.zero_state(2)
    generator = np.random.default_rng(0)
    greatest = 0.0
    for _ in range(_NUM_CHECKED):
        symbol_B = generator.integers(0, config.num_inputs, 2)
        found = session.run(None, {"symbol": symbol_B, **_states(layers, config.cell)})
        logits, layers = stack.step(symbol_B, layers)
        expected = [logits, *_states(layers, config.cell).values()]
        for one, other in zip(found, expected, strict=True):
            greatest = max(greatest, float(np.abs(one - other).max()))
    return greatest


def _states(layers: list[Step], cell: str) -> Arrays:
    """The state [L, B, H] by its names in the graph."""
    states = {"h": np.stack([layer.h for layer in layers])}
    if cell == "lstm":
        states["c"] = np.stack([layer.c for layer in layers])
    return states


def _card(checkpoint: Checkpoint, name: str) -> str:
    """A model card: what the model is, from what, how good, and what it can't do."""
    config, train = checkpoint.model_config, checkpoint.train_config
    layers = f"{config.num_layers} layer{'s' if config.num_layers > 1 else ''}"
    bits = checkpoint.val_bits_per_char
    measured = (
        "not measured"
        if bits is None
        else f"{bits:.4f} bits per character on the validation text, which also chose this model"
    )
    return f"""---
library_name: charlstm
pipeline_tag: text-generation
tags: [{config.cell}, character-level]
---

# {name}

A character model: {layers} of {config.hidden_size} units ({config.cell}), an
embedding of {config.embedding_size}, {config.num_parameters:,} parameters. It predicts the next
character of a text from all characters before it.

- Trained on {checkpoint.num_train_chars:,} characters of {checkpoint.corpus_name}; SHA-256 of the
  text, its splits and their order: `{checkpoint.fingerprint}`.
- Recipe: {checkpoint.step:,} steps (budget: {checkpoint.budget}) of {train.batch_size} x
  {train.seq_len} characters; Muon and AdamW, learning rate {train.learning_rate:g}, weight decay
  {train.weight_decay:g}, dropout {config.dropout:g}, recurrent dropout
  {config.recurrent_dropout:g}, seed {train.seed}.
- Measured: {measured}.
- Limits: it knows {config.num_characters:,} characters and nothing but its text; it has no notion
  of truth, and may repeat passages of the text word for word.

Use, with charlstm installed:

    charlstm sample --checkpoint model.safetensors --prime "..."
"""


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode("ascii")
