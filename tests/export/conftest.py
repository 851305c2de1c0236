"""Fixtures: models of every cell, and a browser."""

import os
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import with_spec

from charlstm.model.lstm import CharLSTM

CHROMIUM = os.environ.get("CHARLSTM_TEST_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(params=["lstm", "gru", "rnn"])
def model(request, checkpoint):
    """Return a model of each cell with random weights and biases."""
    config = replace(checkpoint.spec.model_config, cell=request.param, num_layers=3)
    model = CharLSTM(config)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return with_spec(checkpoint, model_config=config, weights=weights, training=None)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: name one in CHARLSTM_TEST_CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
