"""What a cancel and a drop reach: what costs nothing yet, what costs money already, and what begins too late."""

from __future__ import annotations

import threading

import pytest
from pack.nanobanana.cancel import Cancelled, CancelToken


def test_a_drop_cancels_what_costs_nothing_and_leaves_what_does() -> None:
    unsent, sent = CancelToken(), CancelToken()
    sent.commit()
    unsent.drop()
    sent.drop()
    assert (unsent.cancelled, sent.cancelled) == (True, False)
    with pytest.raises(Cancelled):
        unsent.commit()
    # What was begun has cost nothing, and would be begun anew: not any more.
    sent.revert()
    assert sent.cancelled
    with pytest.raises(Cancelled):
        sent.commit()


@pytest.mark.parametrize("late", [False, True])
def test_a_parents_drop_reaches_its_children_whenever_they_were_made(late: bool) -> None:
    parent = CancelToken()
    parent.commit()
    early = [] if late else [CancelToken(parent), CancelToken(parent)]
    for child in early[:1]:
        child.commit()
    parent.drop()
    children = early or [CancelToken(parent)]
    assert [child.cancelled for child in children] == ([True] if late else [False, True])
    assert not parent.cancelled
    parent.cancel()
    assert all(child.cancelled for child in children)


def test_no_child_slips_through_while_the_drop_goes_on() -> None:
    for _ in range(200):
        parent, children = CancelToken(), []
        parent.commit()
        made = threading.Thread(target=lambda p=parent, c=children: c.extend(CancelToken(p) for _ in range(20)))
        made.start()
        parent.drop()
        made.join()
        assert all(child.cancelled for child in children)


def test_whoever_waits_for_a_drop_is_told_once_also_after_it() -> None:
    token, told = CancelToken(), []
    token.commit()
    token.on_drop(lambda: told.append("before"))
    token.drop()
    token.drop()
    token.on_drop(lambda: told.append("after"))
    assert told == ["before", "after"]
