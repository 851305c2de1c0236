r"""charlstm trains an LSTM on any text, lets it predict the next characters and measures it.

How a text becomes a model and a model becomes text:

    files -> corpus -> Split -> batches -> CharLSTM -> loss -> Optimizer
                                   \______ training ______/
                                              | events, weights, state
                                           session -> store -> checkpoint files
                                                                    |
                        views <- commands <- evaluation, sampling <- Predictor

The modules, from the ground up; each imports only from its own floor or below:

    errors, config         what users are told; every setting, frozen and validated
    vocabulary, split      characters <-> ids; an encoded text as documents in a row
    scores                 what each character cost, and what follows from it
    copying                how much of one text stands in another
    events, pacing         what a run reports; how far along its budget it is
    source, documents      bytes of a file or pipe -> decoded pieces of text; documents in it
    folders                the text files that a path stands for
    features               what a reader can see in a text, character by character
    files                  files that the user named as output
    distributed            the processes that train one model together
    interrupts, terminal   signals as a wish to stop; outside text made safe to show
    model, cell            the network in torch; the same step written out in numpy
    checkpoints, store     one file that is enough; the folder of runs, its only writer
    finetuning             a trained model as the beginning of another one
    batches, pieces        windows of the training text; a window cut where documents begin
    optimization           Muon, AdamW, the schedule
    bptt                   one gradient step of truncated backpropagation through time
    evaluation, predictor  nats over a text, in torch; next-character prediction, without torch
    memory                 how much a training takes, and how much there is
    hardware, recipe       what the machine can do; every setting that the user left open
    corpus, training       files -> splits; the Trainer, a generator of events
    cache, diagnosis       encoded corpora, kept beside the runs; what a text is like
    baselines              what simpler predictors make of a text
    dynamic, assessment    nats by a model that learns from the text meanwhile; all of it together
    prediction             the next character, ranked, by length of context
    sampling, inspection   filters and drawing; what happens inside a model
    reach                  how far back a model looks
    comparison, recall     LSTM, GRU and plain RNN side by side; over what distance they remember
    export                 a model as an ONNX graph, or as a folder for the Hugging Face Hub
    webpage, page/         a model as one HTML file that runs it; the page's own html, css, js
    api                    the Python API: load(), Model
    preparation, session   what was asked -> a run that can begin; one sitting of it, saved
    views, commands, cli   rendering; one file a command; the Typer app (__main__: python -m)

Rules that hold everywhere: results are frozen dataclasses with their units in their names; the
library prints nothing; random generators and clocks are passed in; arrays carry their shape as a
suffix (T time, B batch, L layer, H hidden, V vocabulary). The trainer never touches a file, the
store never sees a tensor, and nothing that samples imports torch.

Where to begin reading: `preparation.prepare_new` for how a run comes together,
`training.Trainer.run` for the loop, `cell.lstm_step` for the equations.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charlstm.api import Model, load

__all__ = ["Model", "__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # The command line starts without numpy.
    if name in ("Model", "load"):
        from charlstm import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
