"""Export a trained model to other programs.

    onnx        one step as an ONNX graph
    hub         a folder for the Hugging Face Hub
    folder      which files an export may replace
    rounding    weights as 8-bit integers
    javascript  an ES module that runs the model
    webpage     one HTML file that runs the model; its sources are in page/

Input: a `Checkpoint`. Output: files. Nothing here needs torch.
"""
