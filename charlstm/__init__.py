r"""charlstm trains an LSTM on any text, predicts the next characters with it, and measures it.

    model = charlstm.train("corpus.txt", minutes=5)   # or charlstm.load(), the newest run
    print(model.sample("qu", length=200))

`help(charlstm.Model)` has the rest. How a text becomes a model, and a model becomes text:

    files -> Corpus -> EncodedText -> batches -> CharLSTM -> loss -> Optimizer
                                   \______ Trainer ______/
                                              | events, weights, training state
                                           Session -> run/ -> checkpoint files
                                                                     |
                             views <- commands <- evaluation <- Predictor -> samples

The folders, from the top down; imports point down only (tests/test_architecture.py):

    cli, commands/    the command line; one file per command, their options in arguments/
    views/            results as tables, pictures, JSON
    api/              the Python API: train(), load(), Model
    run/              one training run: requested, trained, saved; the folder of runs
    export/           ONNX, Hugging Face Hub, JavaScript, a web page that runs the model
    analysis/         inside models and texts: gates, units, context length; cells compared
    training/         batches, gradient steps, optimizer, schedule, auto-configuration
    evaluation/       the cost of each character, next to other predictors
    inference/        next-character distributions and samples, without torch
    model/            the LSTM in torch and one step of it in numpy; the checkpoint file
    ngram/            n-gram models, by themselves and interpolated with the LSTM
    text/             documents -> ids: vocabulary, splits, the encoded text
    reading/          files, pipes, folders, tables -> documents of characters
    system/, events   processes, terminals, files, signals; the events of a training run
    settings, config  every setting, declared once; the configurations that they resolve to

Each folder's docstring lists its modules and where to start.

Rules that hold everywhere: results are frozen dataclasses with their units in their names; the
library prints nothing; random generators and clocks are passed in; arrays carry their shape as a
suffix (T time, B batch, L layer, H hidden, V vocabulary).

Start with `run.session` for how a run comes together, `training.trainer.Trainer.run` for the
loop, `model.cell.lstm_step` for the equations. The user guide is README.md in this folder.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charlstm.api.classification import classify
    from charlstm.api.loading import load, runs
    from charlstm.api.model import Model
    from charlstm.api.training import train

__all__ = ["Model", "__version__", "classify", "load", "runs", "train"]
__version__ = "0.1.0"

_MODULES = {
    "Model": "model",
    "classify": "classification",
    "load": "loading",
    "runs": "loading",
    "train": "training",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    # Imported when first used: the command line starts without numpy.
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f"charlstm.api.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
