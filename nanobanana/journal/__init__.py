"""What was asked, paid for and received: a database of calls, and the images' original bytes."""

from __future__ import annotations

from .archive import DEFAULT_CAP
from .journal import Journal
from .records import (
    CallDetails,
    CallKey,
    CallRecord,
    Claim,
    Cleared,
    DayTotal,
    HistoryPage,
    ImageRecord,
    JournalStats,
)

__all__ = [
    "DEFAULT_CAP",
    "CallDetails",
    "CallKey",
    "CallRecord",
    "Claim",
    "Cleared",
    "DayTotal",
    "HistoryPage",
    "ImageRecord",
    "Journal",
    "JournalStats",
]
