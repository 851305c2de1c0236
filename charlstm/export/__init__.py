"""A trained model for other programs.

    onnx        one step as an ONNX graph
    hub         a folder for the Hugging Face Hub
    folder      what an export may replace
    rounding    weights as 8-bit integers
    javascript  an ES module that runs the model
    webpage     one HTML file that runs the model; its parts and the module's lie in page/

In: a `Checkpoint`. Out: files. None of them needs torch.
"""
