"""What happens inside a model."""

import numpy as np

from charlstm.predictor import Predictor


def mean_openness(predictor: Predictor, text: str) -> list[dict[str, float]]:
    """How far each gate stands open on a text, from 0 to 1, mean over units and characters.

    Returns:
        For each layer the means by the gates' names.
    """
    means: list[dict[str, list[float]]] = []
    for prediction in predictor.trace(text, predictor.start()):
        means = means or [{gate: [] for gate in layer.gates} for layer in prediction.layers]
        for layer, sums in zip(prediction.layers, means, strict=True):
            for gate, values in layer.gates.items():
                sums[gate].append(float(values.mean()))
    return [{gate: float(np.mean(values)) for gate, values in layer.items()} for layer in means]
