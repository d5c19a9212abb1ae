"""Memory that comes back: never while anybody can see it, and never more than is allowed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pack.nanobanana.imaging.parallel import LEAST_KEPT, Memory, PixelBudget

SHAPE = (600, 600, 3)
BYTES = 600 * 600 * 3 * 4


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_a_buffer_comes_back_when_nobody_holds_it() -> None:
    memory = Memory()
    first = memory.empty(SHAPE, np.float32)
    assert (first.shape, first.dtype, first.flags.writeable) == (SHAPE, np.dtype(np.float32), True)
    assert type(first) is np.ndarray
    place = address(first)
    del first
    assert memory.kept == BYTES
    again = memory.empty(SHAPE, np.float32)
    assert address(again) == place
    assert memory.kept == 0


@pytest.mark.parametrize("hold", ["view", "reshaped", "tensor", "tensor of a view", "memoryview"])
def test_a_buffer_that_anything_looks_at_is_not_given_away(hold: str) -> None:
    memory = Memory()
    first = memory.empty(SHAPE, np.float32)
    first[:] = 0.5
    ways: dict[str, Callable[[Any], Any]] = {
        "view": lambda array: array[10:, ::2],
        "reshaped": lambda array: array.reshape(-1)[5:].view(np.uint32),
        "tensor": torch.from_numpy,
        "tensor of a view": lambda array: torch.from_numpy(array[1:]).unsqueeze(0)[:, :10],
        "memoryview": memoryview,
    }
    held = ways[hold](first)
    del first
    gc.collect()
    assert memory.kept == 0
    other = memory.empty(SHAPE, np.float32)
    other[:] = 0.25
    seen = np.asarray(held)
    assert (seen.view(np.float32) == 0.5).all()
    del held, seen
    gc.collect()
    assert memory.kept == BYTES


def test_little_arrays_are_left_to_the_allocator_and_old_buffers_are_let_go() -> None:
    memory = Memory(most=2 * BYTES)
    del (small := [memory.empty((LEAST_KEPT - 1,), np.uint8)])[0]
    assert small == []
    assert memory.kept == 0
    held = [memory.empty(SHAPE, np.float32) for _ in range(4)]
    held.clear()
    assert memory.kept == 2 * BYTES
    large = memory.empty((3 * BYTES,), np.uint8)
    del large
    assert memory.kept == 0


@pytest.mark.slow
def test_many_threads_never_share_a_buffer() -> None:
    memory = Memory()
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(40):
            array = memory.empty((LEAST_KEPT + number % 2,), np.uint8)
            array[:] = (number * 40 + turn) % 251
            if turn % 5 == 0:
                gc.collect()
            if not (array == (number * 40 + turn) % 251).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # Each thread may miss another's buffer at the same moment, and never keeps more than one of each size.
    assert memory.kept <= 12 * (LEAST_KEPT + 1)


def test_a_budget_lets_one_in_whatever_its_size_and_takes_back_what_ends() -> None:
    budget, memory = PixelBudget(100), Memory()
    assert budget.admits(1_000)
    assert not budget.admits(1)
    held = memory.empty(SHAPE, np.float32)
    budget.release_with(held, 1_000)
    view = torch.from_numpy(held[1:])
    del held
    assert not budget.admits(1)
    del view
    assert budget.admits(60)
    assert budget.admits(40)
    assert not budget.admits(1)
