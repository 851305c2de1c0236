r"""charlstm trains an LSTM on any text, lets it predict the next characters and measures it.

How a text becomes a model, and a model becomes text:

    files -> Corpus -> Split -> batches -> CharLSTM -> loss -> Optimizer
                                   \______ Trainer ______/
                                              | events, weights, state
                                           Session -> run/ -> checkpoint files
                                                                     |
                             views <- commands <- evaluation <- Predictor -> samples

The folders, from the top down; imports point down only (tests/test_architecture.py):

    cli, commands/    the command line; one file a command
    views/            results as tables, pictures, JSON
    api/              the Python API: train(), load(), Model
    run/              a training run: asked for, trained, saved; the folder of runs
    export/           ONNX, Hugging Face Hub, a page that runs the model
    analysis/         inside a model: gates, units, reach; comparisons of cells; what a text is like
    training/         the loop: batches, gradient steps, optimizer, schedule, plan
    evaluation/       what each character costs, beside other predictors
    inference/        next-character distributions and samples, without torch
    model/            the network in torch and in numpy; the checkpoint file
    ngram/            n-gram models of the text, alone and interpolated with the LSTM
    text/             files -> encoded documents; vocabulary, splits, copies
    system/, events   processes, terminals, files, signals; what a training run reports
    config, settings  every setting, declared once; resolved configurations; errors

Each folder's docstring names its modules, what goes in and out, and where to begin reading.

Rules that hold everywhere: results are frozen dataclasses with their units in their names; the
library prints nothing; random generators and clocks are passed in; arrays carry their shape as a
suffix (T time, B batch, L layer, H hidden, V vocabulary).

Begin with `run.session` for how a run comes together, `training.trainer.Trainer.run` for the
loop, `model.cell.lstm_step` for the equations.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charlstm.api.classification import classify
    from charlstm.api.loading import load, runs
    from charlstm.api.model import Model
    from charlstm.api.training import train

__all__ = ["Model", "__version__", "classify", "load", "runs", "train"]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    # The command line starts without numpy.
    if name in ("Model", "classify", "load", "runs", "train"):
        from charlstm import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
