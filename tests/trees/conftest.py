"""WordNet for the tests that build trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader

from hrvlm.trees import TreeError
from hrvlm.trees.wordnet_data import ENVIRONMENT_VARIABLE, open_wordnet, prepare_wordnet

DEBIAN = Path("/usr/share/wordnet")


@pytest.fixture(scope="session")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNetCorpusReader:
    """WordNet 3.0 from the environment variable, from nltk's data path, or from Debian's packages, opened once."""
    if ENVIRONMENT_VARIABLE not in os.environ and (DEBIAN / "data.noun").is_file():
        return open_wordnet(prepare_wordnet(DEBIAN, tmp_path_factory.mktemp("nltk_data")))
    try:
        return open_wordnet()
    except TreeError as error:
        if ENVIRONMENT_VARIABLE in os.environ or "CI" in os.environ:
            raise
        pytest.skip(str(error))
