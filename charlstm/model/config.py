"""Model hyperparameters and the weight shapes that follow from them."""

import math
from dataclasses import dataclass

from charlstm.config import MAX_CHARACTERS
from charlstm.model.cell import CELLS, CellSpec, layer_weight
from charlstm.settings import Cell, TrainSettings, check_resolved, require_int


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Hyperparameters that determine a model's weight shapes.

    Args:
        num_characters: vocabulary size without the two reserved ids. The unknown id is both an
            input and an output; BOS starts a document and is only an input.
    """

    num_characters: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    cell: Cell

    def __post_init__(self) -> None:
        require_int("the number of characters", self.num_characters, 1, MAX_CHARACTERS)
        check_resolved(self, TrainSettings)

    @property
    def spec(self) -> CellSpec:
        """The cell's entry in `CELLS`."""
        return CELLS[self.cell]

    @property
    def num_inputs(self) -> int:
        """The number of input ids: unknown, the characters, BOS."""
        return self.num_characters + 2

    @property
    def num_outputs(self) -> int:
        """The number of output ids: unknown and the characters."""
        return self.num_characters + 1

    @property
    def bos_id(self) -> int:
        """The BOS id, which starts a document: the last input id."""
        return self.num_inputs - 1

    @property
    def head_size(self) -> int:
        """Input size of the head, which reads the hidden states of all layers."""
        return self.num_layers * self.hidden_size

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by name, without allocating any."""
        num_rows = len(self.spec.blocks) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (self.num_inputs, self.embedding_size),
            "head.weight": (self.num_outputs, self.head_size),
            "head.bias": (self.num_outputs,),
        }
        for layer in range(self.num_layers):
            input_size = self.hidden_size if layer else self.embedding_size
            shapes |= {
                layer_weight(layer, "weight_ih"): (num_rows, input_size),
                layer_weight(layer, "weight_hh"): (num_rows, self.hidden_size),
                layer_weight(layer, "bias_ih"): (num_rows,),
                layer_weight(layer, "bias_hh"): (num_rows,),
            }
        return shapes

    @property
    def num_parameters(self) -> int:
        """The number of parameters."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    @property
    def num_stack_parameters(self) -> int:
        """The number of parameters in the recurrent layers, without embedding and head."""
        outer = (self.num_inputs * self.embedding_size) + self.num_outputs * (self.head_size + 1)
        return self.num_parameters - outer

    def __str__(self) -> str:
        return f"{self.num_layers} x {self.hidden_size} {self.cell}"
