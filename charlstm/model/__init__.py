"""The LSTM: in torch for training, in numpy for use, and the file that holds it.

    network      embedding -> nn.LSTM layers -> head; `CharLSTM`
    cell         the table of cells, and one step of each in numpy; start here: `lstm_step`
    config       the shape of a model
    checkpoints  one safetensors file: weights, vocabulary, settings, history
    module       a trained model as a torch module with `encode` and `decode`
    finetuning   weights carried over to another vocabulary

Input: ids and a state, or a file. Output: logits and the next state, or a `Checkpoint`. Only
`network` and `module` need torch. Nothing here knows the text, only its vocabulary.
"""
