"""The shape of a model, as JSON stores it."""

import math
from dataclasses import dataclass

from charlstm.config import MAX_CHARACTERS
from charlstm.model.cell import CELLS, CellSpec, layer_weight
from charlstm.settings import Cell, TrainSettings, check_resolved, require_int


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model's weights depend on.

    `num_characters` is the vocabulary without its two reserved ids. The unknown id can be read and
    predicted, the boundary (BOS) only read: it starts a document and never follows anything.
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
        """The cell's table entry."""
        return CELLS[self.cell]

    @property
    def num_inputs(self) -> int:
        """Ids that can be read: unknown, the characters, boundary."""
        return self.num_characters + 2

    @property
    def num_outputs(self) -> int:
        """Ids that can be predicted: unknown and the characters."""
        return self.num_characters + 1

    @property
    def boundary(self) -> int:
        """The id that starts a document, the last one that can be read."""
        return self.num_inputs - 1

    @property
    def head_size(self) -> int:
        """What the head reads: the hidden states of all layers."""
        return self.num_layers * self.hidden_size

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by its name; nothing is allocated."""
        num_rows = len(self.spec.blocks) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (self.num_inputs, self.embedding_size),
            "head.weight": (self.num_outputs, self.head_size),
            "head.bias": (self.num_outputs,),
        }
        for layer in range(self.num_layers):
            num_read = self.hidden_size if layer else self.embedding_size
            shapes |= {
                layer_weight(layer, "weight_ih"): (num_rows, num_read),
                layer_weight(layer, "weight_hh"): (num_rows, self.hidden_size),
                layer_weight(layer, "bias_ih"): (num_rows,),
                layer_weight(layer, "bias_hh"): (num_rows,),
            }
        return shapes

    @property
    def num_parameters(self) -> int:
        """The number of weights."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    @property
    def num_stack_parameters(self) -> int:
        """The weights of the recurrent layers, without embedding and head."""
        outer = (self.num_inputs * self.embedding_size) + self.num_outputs * (self.head_size + 1)
        return self.num_parameters - outer

    def __str__(self) -> str:
        return f"{self.num_layers} x {self.hidden_size} {self.cell}"
