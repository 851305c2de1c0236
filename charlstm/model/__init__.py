"""The LSTM in torch (training) and numpy (inference), and the checkpoint file format.

    lstm         embedding -> nn.LSTM layers -> head; `CharLSTM`
    cell         the recurrent cells and one step of each in numpy; start here: `lstm_step`
    config       model hyperparameters and weight shapes
    checkpoints  one safetensors file: weights, vocabulary, settings, history
    text_model   a trained model as a torch module with its tokenizer
    finetuning   weights resized to another vocabulary

Input: token ids and a state, or a file. Output: logits and the next state, or a `Checkpoint`. Of
the text, only the vocabulary is needed. Only `lstm` and `text_model` import torch.
"""
