"""Settings that do not say where pictures lie are answered with a sentence, not with the name of a key."""

from __future__ import annotations

import pytest

from hrvlm.evaluation.noted import noted_data
from hrvlm.reports.folder_page import look_around


def test_what_settings_lack_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected given_data, given_trees, given_num_levels in settings\.json"):
        noted_data({"split": None})


def test_a_page_says_why_it_has_no_pictures() -> None:
    _, lacking = look_around({"split": None})
    assert lacking.startswith("the data set is not at hand (expected given_data, ")
