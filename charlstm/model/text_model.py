"""A trained model as a torch module with its tokenizer, for further work in PyTorch.

Shapes: T sequence length, B batch size, V output ids.
"""

import torch
from torch import Tensor, nn

from charlstm.model.checkpoints import Checkpoint
from charlstm.model.lstm import CharLSTM, State


class TextModel(nn.Module):
    """Module from ids to logits; `encode` and `decode` convert between text and ids.

    Attributes:
        network: embedding, `torch.nn.LSTM` layers and head; it can be trained further.
        bos_id: the BOS id, which starts a document.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.tokenizer = checkpoint.spec.tokenizer
        self.bos_id = self.tokenizer.bos_id
        self.network = CharLSTM(
            checkpoint.spec.model_config, unknown_probability=self.tokenizer.unknown_probability
        )
        self.network.load_arrays(checkpoint.weights)

    def forward(self, ids_TB: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Compute the logits of the next character at each position.

        Args:
            ids_TB: int64 [T, B].
            state: as returned by the previous call; None for a zero state.

        Returns:
            Logits [T, B, V] and the final state.
        """
        if state is None:
            state = self.network.zero_state(ids_TB.shape[1])
        logits_TBV: Tensor
        logits_TBV, state = self.network(ids_TB, state)
        return logits_TBV, state

    def encode(self, text: str) -> Tensor:
        """Return BOS and the ids of a text, int64 [1 + characters]; unknown characters become 0."""
        ids_T = self.tokenizer.encode(self.tokenizer.to_chars(text)).astype("int64")
        return torch.cat([torch.tensor([self.bos_id]), torch.from_numpy(ids_T)])

    def decode(self, ids_T: Tensor) -> str:
        """Return the text of ids [T]; unknown becomes U+FFFD, BOS is dropped."""
        return self.tokenizer.text_of(ids_T.cpu().numpy())
