"""A trained model as a torch module with its alphabet, for those who go on in PyTorch.

Shapes: T characters, B streams, V symbols that can be predicted.
"""

import torch
from torch import Tensor, nn

from charlstm.model.checkpoints import Checkpoint
from charlstm.model.network import CharLSTM, State


class TextModel(nn.Module):
    """Reads ids, gives logits; `encode` and `decode` turn text into ids and back.

    Attributes:
        network: embedding, `torch.nn.LSTM` layers and head; its weights are trained further like
            those of any module.
        boundary: the id that begins a document.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.alphabet = checkpoint.spec.alphabet
        self.boundary = self.alphabet.boundary
        self.network = CharLSTM(
            checkpoint.spec.model_config, unknown_probability=self.alphabet.unknown_probability
        )
        self.network.load_arrays(checkpoint.weights)

    def forward(self, ids_TB: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read characters.

        Args:
            ids_TB: int64 [T, B].
            state: after the characters before; None for a zero state.

        Returns:
            Logits of the character after each, [T, B, V], and the state after the last.
        """
        if state is None:
            state = self.network.zero_state(ids_TB.shape[1])
        logits_TBV: Tensor
        logits_TBV, state = self.network(ids_TB, state)
        return logits_TBV, state

    def encode(self, text: str) -> Tensor:
        """The ids of a text, int64 [T], the boundary first; unknown characters become 0."""
        ids_T = self.alphabet.encode(self.alphabet.to_symbols(text)).astype("int64")
        return torch.cat([torch.tensor([self.boundary]), torch.from_numpy(ids_T)])

    def decode(self, ids_T: Tensor) -> str:
        """The text of ids [T]; unknown becomes U+FFFD, the boundary nothing."""
        return self.alphabet.text_of(ids_T.cpu().numpy())
