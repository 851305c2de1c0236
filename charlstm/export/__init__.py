"""Export of trained models to other programs.

    onnx        one step as an ONNX graph
    hub         a folder for the Hugging Face Hub
    folder      checks that only an earlier export is replaced
    rounding    quantization of weights to 8 bits
    javascript  an ES module that runs the model
    webpage     a single HTML file that runs the model; sources are in page/

Input: a `Checkpoint`. Output: files. Nothing here needs torch.
"""
