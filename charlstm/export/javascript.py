"""Export to a JavaScript module that runs the model in a browser or Node, with 8-bit weights.

The web page and the module use the same scripts in `page/`.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from charlstm.export.folder import identity_of, require_same_run, write_folder
from charlstm.export.rounding import RoundedMatrix
from charlstm.model.checkpoints import Checkpoint
from charlstm.system.files import open_output

# A model and its vocabulary, without DOM, in the page and the module.
MODEL_SCRIPTS: Final = (
    "products.js",
    "steps.js",
    "model.js",
    "distribution.js",
    "reading.js",
    "alphabet.js",
)
_SUFFIXES: Final = (".js", ".mjs")
_HEAD: Final = "// charlstm export "


def export_module(
    checkpoint: Checkpoint, path: Path, *, name: str, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a model as an ES module: one file, or a folder with types and an example page.

    Args:
        path: a .js or .mjs file; other names are folders.
        name: the run's name.
        inputs: the model's sources, which must not be overwritten.

    Raises:
        CharLSTMError: if it can't be written, or would replace anything but an earlier export of
            the same run.
    """
    identity = identity_of(checkpoint, name)
    config, weights = model_data(checkpoint)
    data = f"const CONFIG = {as_data(config)};\nconst WEIGHTS = {json.dumps(weights)};\n"
    scripts = join_scripts([*MODEL_SCRIPTS, "module.js"])
    module = f"{_HEAD}{json.dumps(identity)}\n{data}{scripts}".encode()
    if path.suffix not in _SUFFIXES:
        contents = {
            "model.d.ts": read_script("module.d.ts").encode(),
            "index.html": read_script("module.html").encode(),
            "model.js": module,
        }
        write_folder(path, contents, identity=identity, read=_read_head, inputs=inputs)
        return
    is_new = not path.exists()
    with open_output(path, inputs=inputs) as file:
        if not is_new:
            require_same_run(path, path, identity, _read_head)
        file.write(module)


def model_data(checkpoint: Checkpoint) -> tuple[dict[str, Any], str]:
    """Return a model's configuration, with JavaScript names, and its weights in base64."""
    shapes: dict[str, tuple[int, int]] = {}
    packed = []
    # Sorted, so that exports are reproducible.
    for key, value in sorted(checkpoint.weights.items()):
        if value.ndim == 2:
            matrix = RoundedMatrix.of(value)
            packed += [matrix.scales.astype("<f4").tobytes(), matrix.values.tobytes()]
            shapes[key] = (value.shape[0], value.shape[1])
        else:
            packed.append(value.astype("<f4").tobytes())
            shapes[key] = (len(value), 0)
    config, tokenizer = checkpoint.spec.model_config, checkpoint.spec.tokenizer
    cell = config.spec
    settings = tokenizer.settings()
    values = {
        "cell": config.cell,
        "spec": {
            "blocks": cell.blocks,
            "drawn": cell.drawn,
            "gates": cell.gates,
            "names": cell.values,
            "hasCellState": cell.has_cell_state,
            "recurrentGates": cell.recurrent_gates,
            "meanings": cell.meanings,
        },
        "numLayers": config.num_layers,
        "hiddenSize": config.hidden_size,
        "boundary": tokenizer.bos_id,
        "end": tokenizer.eos_id,
        "unknownProbability": settings["unknown_probability"],
        "level": settings["level"],
        "normalize": settings["normalize"],
        "keepLineEnds": settings["keep_line_ends"],
        "codes": tokenizer.vocabulary.codes.tolist(),
        "shapes": shapes,
    }
    return values, base64.b64encode(b"".join(packed)).decode("ascii")


def join_scripts(names: Iterable[str]) -> str:
    """Concatenate several scripts of `page/`."""
    return "".join(["'use strict';\n", *map(read_script, names)])


def read_script(name: str) -> str:
    """Return a file of `page/`."""
    return (resources.files("charlstm.export") / "page" / name).read_text(encoding="utf-8")


def as_data(values: Mapping[str, Any]) -> str:
    """Return JSON that is safe inside a script element, without `<`."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def _read_head(data: bytes) -> Any:
    """Return the identity in a module's first line, or None if it is not an export."""
    line = data.partition(b"\n")[0].decode()
    return json.loads(line.removeprefix(_HEAD)) if line.startswith(_HEAD) else None
