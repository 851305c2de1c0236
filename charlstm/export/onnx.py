"""Export to an ONNX graph of one step, with the state as input and output.

Shapes: B batch, L layers, H hidden size, E embedding dimension, V output ids.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from charlstm.errors import CharLSTMError, ConfigError
from charlstm.model.cell import CellSpec, CellStack, LayerState, layer_weights
from charlstm.model.checkpoints import Arrays, Checkpoint
from charlstm.system.files import open_output

if TYPE_CHECKING:
    import onnx

OPSET: Final = 17
TOLERANCE: Final = 1e-4
_IR_VERSION: Final = 8  # the oldest for this opset, for old runtimes
_NUM_CHECKED: Final = 1000


def export_onnx(checkpoint: Checkpoint, path: Path, *, inputs: Iterable[str] = ()) -> float:
    """Write one step as an ONNX graph, after comparing it with the model in 1,000 steps.

    Inputs: `symbol` int64 [B], character ids; `h` and, for an LSTM, `c`, float32 [L, B, H].
    Outputs: `logits` float32 [B, V]; `h_after`, `c_after`. A text starts with the id `boundary`
    (BOS) in the metadata and a state of zeros. Id 0 is `unknown`; character i in the metadata's
    `characters`, a JSON list of code points, has the id i + 1.

    Args:
        inputs: files that must not be overwritten.

    Returns:
        The largest difference of a logit or state after one step.

    Raises:
        ConfigError: if onnx or onnxruntime is missing.
        CharLSTMError: if the file can't be written, or the graph's results differ too much.
    """
    cell = checkpoint.spec.model_config.spec
    if cell.onnx_operator is None:
        raise ConfigError(
            f"{checkpoint.spec.model_config.cell}: has no ONNX operator; use --format js"
        )
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
        raise CharLSTMError(f"{path}: onnxruntime differs from the model by {difference:.2g}")
    with open_output(path, inputs=inputs) as file:
        file.write(data)
    return difference


def _graph(checkpoint: Checkpoint) -> "onnx.ModelProto":
    from onnx import TensorProto, helper, numpy_helper

    spec, weights = checkpoint.spec, checkpoint.weights
    config = spec.model_config
    cell = config.spec
    assert cell.onnx_operator is not None
    options: dict[str, Any] = dict(cell.onnx_options)
    state_names = ["h", "c"] if cell.has_cell_state else ["h"]
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
        for key, value in _layer(weights, number, cell).items():
            constants[f"{key}{number}"] = value
        states = [f"{name}{number}" for name in state_names]
        nodes += [
            helper.make_node(
                cell.onnx_operator,
                [f"z{number}", f"W{number}", f"R{number}", f"B{number}", "", *states],
                [f"y{number}", *(f"{state}_after" for state in states)],
                hidden_size=config.hidden_size,
                **options,
            ),
            # Drop the axis of directions: [1, 1, B, H] to [1, B, H].
            helper.make_node("Squeeze", [f"y{number}", "first_axis"], [f"z{number + 1}"]),
        ]
    nodes += [
        helper.make_node(
            "Concat", [f"z{number + 1}" for number in range(config.num_layers)], ["all"], axis=2
        ),
        helper.make_node("Squeeze", ["all", "first_axis"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "head_weight", "head_bias"], ["logits"], transB=1),
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
            "characters": json.dumps(spec.vocabulary.codes.tolist()),
            "unknown": "0",
            "boundary": str(spec.tokenizer.bos_id),
            **({} if spec.tokenizer.eos_id is None else {"end": str(spec.tokenizer.eos_id)}),
            **{name: str(value) for name, value in spec.tokenizer.settings().items()},
        },
    )
    return model


def _layer(weights: Arrays, layer: int, cell: CellSpec) -> Arrays:
    """Return a layer's weights in ONNX's gate order: W [1, 4H, E], R [1, 4H, H], B [1, 8H]."""

    def ordered(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        blocks = dict(zip(cell.blocks, np.split(value, len(cell.blocks)), strict=True))
        return np.concatenate([blocks[name] for name in cell.onnx_order])

    weight_ih, weight_hh, bias_ih, bias_hh = map(ordered, layer_weights(weights, layer))
    biases = np.concatenate([bias_ih, bias_hh])
    return {"W": weight_ih[None], "R": weight_hh[None], "B": biases[None]}


def _difference(checkpoint: Checkpoint, session: Any) -> float:
    """Return the largest difference of logits and states on random ids, relative if above 1.

    Both sides start each step from the same state, because rounding errors may grow without bound
    in a plain RNN.
    """
    config = checkpoint.spec.model_config
    stack = CellStack(config, checkpoint.weights)
    layers = stack.zero_state(2)
    generator = np.random.default_rng(0)
    largest = 0.0
    for _ in range(_NUM_CHECKED):
        symbol_B = generator.integers(0, config.num_inputs, 2)
        found = session.run(None, {"symbol": symbol_B, **_states(layers, config.spec)})
        logits, layers = stack.step(symbol_B, layers)
        expected = [logits, *_states(layers, config.spec).values()]
        for actual, reference in zip(found, expected, strict=True):
            # Relative to large values, as float32 has seven digits.
            scale = max(1.0, float(np.abs(reference).max()))
            largest = max(largest, float(np.abs(actual - reference).max()) / scale)
    return largest


def _states(layers: list[LayerState], cell: CellSpec) -> Arrays:
    """Return the state arrays [L, B, H] by their names in the graph."""
    states = {"h": np.stack([layer["hidden"] for layer in layers])}
    if cell.has_cell_state:
        states["c"] = np.stack([layer["cell"] for layer in layers])
    return states
