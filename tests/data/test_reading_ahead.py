"""Pictures that other processes read ahead: the same items, whatever is asked for, and errors where they belong."""

from __future__ import annotations

import os

import pytest
import torch
from torch.utils.data import Dataset

from hrvlm.data.reading_ahead import ReadAhead


class UnrepeatableError(Exception):
    """Made of more than its message, so that no other process can be sent it."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Numbers(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == 3:
            raise ValueError("expected a picture 3, got none")
        if index == 4:
            raise UnrepeatableError("no", "picture")
        return torch.full((2,), float(index)), os.getpid()


@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_those_of_the_data_in_any_order(workers):
    ahead = ReadAhead(Numbers(), [5, 1, 2, 8, 9], workers)
    assert len(ahead) == 10
    for index in (5, 2, 1, 9, 8, 9, 0):  # 1 and 8 were passed over, 0 was never announced
        image, _ = ahead[index]
        assert torch.equal(image, torch.full((2,), float(index)))
    assert ahead[5][1] == os.getpid()


def test_announced_items_come_from_other_processes():
    ahead = ReadAhead(Numbers(), [0, 1, 2], 2)
    found = {ahead[index][1] for index in (0, 1, 2)}
    assert os.getpid() not in found
    assert len(found) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_come_where_the_item_is_asked_for_and_nowhere_else(workers):
    ahead = ReadAhead(Numbers(), [2, 3, 4, 5], workers)
    assert ahead[2][0][0] == 2.0
    with pytest.raises(ValueError, match=r"^expected a picture 3, got none$"):
        ahead[3]
    with pytest.raises(RuntimeError if workers else UnrepeatableError, match=r"no picture$"):
        ahead[4]
    assert ahead[5][0][0] == 5.0
    passed_over = ReadAhead(Numbers(), [2, 3, 4, 5], workers)
    assert passed_over[5][0][0] == 5.0


def test_reading_draws_no_random_numbers_of_the_caller():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    ReadAhead(Numbers(), [1, 2], 1)[1]
    assert torch.equal(torch.rand(1), expected)


def test_fewer_than_no_processes_are_refused():
    with pytest.raises(ValueError, match="expected num_workers >= 0, got -1"):
        ReadAhead(Numbers(), [0], -1)
