"""Fetching what was paid for and did not arrive, from the history: never asks the gateway for an image."""

from __future__ import annotations

import time

from ..cancel import CancelToken, Clock
from ..errors import InputError
from ..journal import CallRecord
from ..settings.profile import Profile
from .deliver import Delivery
from .engine import Engine
from .models import Order, Outcome

_GONE = "This call was cleared from the history a moment ago."


def can_be_fetched(record: CallRecord) -> bool:
    """Whether the gateway named images of this call that aren't on disk."""
    return record.state in ("sent", "answered") and len(record.urls) > len(record.images)


def download_again(
    engine: Engine, call_id: int, profile: Profile, *, cancel: CancelToken, clock: Clock = time.monotonic
) -> Outcome:
    """Download the missing images of a call, for nothing. `profile`: the one that the call was made with.

    Raises `InputError` when there is nothing to fetch, `HistoryError`, `Cancelled`; a failed download is the
    outcome's error.
    """
    journal = engine.journal
    record = journal.call(call_id)
    if record is None:
        raise InputError(_GONE)
    if not can_be_fetched(record):
        raise InputError("There is nothing to download for this call.", "Run the node again to ask for a new image.")
    details = record.details
    order = Order(profile, details.model, details.prompt, details.aspect_ratio, details.output_format, details.seed, "")
    began = clock()
    with journal.claimed(record.key, details, cancel=cancel, on_wait=lambda _: None, run="") as claim:
        # Whatever else a claim may find, asking anew is not what was wanted: leaving the block lets go of it unsent.
        if claim.what != "answered":
            raise InputError("There is nothing to download for this call any longer.", "Look at the history again.")
        downloader = engine.downloader(engine.connected(profile))
        delivery = Delivery(
            journal, claim.record.id, order, record.key.variation, cancel, lambda _: None, lambda: clock() - began
        )
        return delivery.remaining(claim.record, downloader)
