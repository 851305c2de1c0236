"""A trained model for other programs.

    onnx     one step as an ONNX graph
    hub      a folder for the Hugging Face Hub
    rounding weights as 8-bit integers
    webpage  one HTML file that runs the model; its own html, css and js lie in page/

In: a `Checkpoint`. Out: files. None of them needs torch.
"""
