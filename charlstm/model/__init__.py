"""The LSTM: in torch to be trained, in numpy to be used, and the file that holds it.

    network      embedding -> nn.LSTM layers -> head; `CharLSTM`
    cell         what each cell is, and one step of it in numpy; begin here: `lstm_step`
    config       the shape of a model
    checkpoints  one safetensors file: weights, vocabulary, settings, history
    module       a trained model as a torch module with its alphabet
    finetuning   weights carried over to another vocabulary

In: ids and a state, or a file. Out: logits and the next state, or a `Checkpoint`. Of the text it
knows the vocabulary alone; only `network` and `module` need torch.
"""
