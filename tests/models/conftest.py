"""Models that several tests share and none changes."""

from __future__ import annotations

import pytest
from tiny_models import MODEL_CONFIGS, tiny_model

from hrvlm.models import VisionLanguageModel


@pytest.fixture(scope="session", params=MODEL_CONFIGS)
def any_model(request: pytest.FixtureRequest) -> VisionLanguageModel:
    """One model of each kind."""
    return tiny_model(request.param)


@pytest.fixture(scope="session")
def tiny() -> VisionLanguageModel:
    """A residual network with a text transformer as in the packaged model."""
    return tiny_model()
