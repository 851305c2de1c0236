"""Test that a unit's steps add up to the activations that torch computes."""

import math

import numpy as np
import pytest
import torch
from conftest import with_vocabulary

from charlstm.analysis.unit import unit_steps
from charlstm.errors import ConfigError
from charlstm.text.encoded_text import EncodedText

TEXT = "the quick fox"


def model_of(checkpoint, cell):
    return with_vocabulary(checkpoint, TEXT, cell=cell, hidden_size=7)


def states_by_torch(checkpoint, text):
    """Compute hidden states [layers][N, H] and, for an LSTM, cell states with torch modules."""
    config = checkpoint.spec.model_config
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[config.cell]
    weights = {name: torch.tensor(value) for name, value in checkpoint.weights.items()}
    bos_id = checkpoint.spec.vocabulary.bos_id
    ids = [bos_id, *checkpoint.spec.vocabulary.encode(text)]
    z = weights["embedding.weight"][torch.tensor(ids)]
    hidden, cells = [], []
    for layer in range(config.num_layers):
        module = kind(z.shape[1], config.hidden_size)
        for name, parameter in module.named_parameters():
            parameter.data = weights[f"layers.{layer}.{name}"]
        state, hs, cs = None, [], []
        for row in z:
            _, state = module(row[None], state)
            hs.append((state[0] if config.cell == "lstm" else state)[0])
            cs.append(state[1][0] if config.cell == "lstm" else None)
        z = torch.stack(hs)
        hidden.append(z.detach().numpy())
        cells.append(torch.stack(cs).detach().numpy() if config.cell == "lstm" else None)
    return hidden, cells


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layer", [0, 1])
def test_unit_steps_match_torch_states(checkpoint, cell, layer):
    model = model_of(checkpoint, cell)
    hidden, cells = states_by_torch(model, TEXT)
    split = EncodedText.of([TEXT], model.spec.vocabulary)
    for unit in range(7):
        steps = unit_steps(model, split, layer=layer, unit=unit)
        assert [step.char for step in steps] == list(TEXT)
        for position, step in enumerate(steps):
            # Row 0 is BOS.
            assert step.hidden_before == pytest.approx(hidden[layer][position, unit], abs=1e-5)
            assert step.hidden == pytest.approx(hidden[layer][position + 1, unit], abs=1e-5)
            for gate in step.gates:
                total = gate.input + gate.hidden + gate.bias
                assert gate.pre_activation == pytest.approx(total)
                is_gate = gate.name not in ("candidate", "hidden")
                squashed = 1 / (1 + math.exp(-total)) if is_gate else math.tanh(total)
                assert gate.value == pytest.approx(squashed, abs=1e-5)
            value = {gate.name: gate.value for gate in step.gates}
            if cell == "lstm":
                assert step.cell_before == pytest.approx(cells[layer][position, unit], abs=1e-5)
                assert step.cell == pytest.approx(
                    value["forget"] * step.cell_before + value["input"] * value["candidate"],
                    abs=1e-5,
                )
                assert step.hidden == pytest.approx(
                    value["output"] * math.tanh(step.cell), abs=1e-5
                )
            elif cell == "gru":
                assert step.cell is None
                assert step.hidden == pytest.approx(
                    value["update"] * step.hidden_before
                    + (1 - value["update"]) * value["candidate"],
                    abs=1e-5,
                )


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_largest_contributions_match_brute_force(checkpoint, cell):
    model = model_of(checkpoint, cell)
    hidden, _ = states_by_torch(model, TEXT)
    split = EncodedText.of([TEXT], model.spec.vocabulary)
    unit, position = 4, 6
    rows = {"lstm": {"input": 0, "forget": 1, "candidate": 2, "output": 3}}.get(
        cell, {"reset": 0, "update": 1, "candidate": 2} if cell == "gru" else {"hidden": 0}
    )
    step = unit_steps(model, split, layer=1, unit=unit)[position]
    for gate in step.gates:
        factor = 1.0
        if cell == "gru" and gate.name == "candidate":
            factor = next(g.value for g in step.gates if g.name == "reset")
        row = rows[gate.name] * 7 + unit
        parts = {
            ("hidden", number): factor * model.weights["layers.1.weight_hh_l0"][row, number] * h
            for number, h in enumerate(hidden[1][position])
        } | {
            ("below", number): model.weights["layers.1.weight_ih_l0"][row, number] * h
            for number, h in enumerate(hidden[0][position + 1])
        }
        best = sorted(parts, key=lambda key: -abs(parts[key]))[:3]
        assert [(c.source, c.unit) for c in gate.largest] == best
        np.testing.assert_allclose(
            [c.value for c in gate.largest], [parts[key] for key in best], atol=1e-5
        )


def test_first_layer_lists_hidden_units_only_and_empty_text_is_rejected(checkpoint):
    model = model_of(checkpoint, "lstm")
    step = unit_steps(model, EncodedText.of(["the"], model.spec.vocabulary), layer=0, unit=0)[-1]
    assert {c.source for gate in step.gates for c in gate.largest} == {"hidden"}
    with pytest.raises(ConfigError, match="text is empty"):
        unit_steps(model, EncodedText.of([], model.spec.vocabulary), layer=0, unit=0)
