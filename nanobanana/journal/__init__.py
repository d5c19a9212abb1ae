"""What was asked, paid for and received: a database of calls, and the images' original bytes."""

from __future__ import annotations

from .journal import DEFAULT_CAP, Journal
from .records import (
    ANSWER_POSITION,
    TASK,
    CallDetails,
    CallKey,
    CallRecord,
    Claim,
    Cleared,
    DayTotal,
    HistoryPage,
    ImageRecord,
    JournalStats,
    composite_of,
)

__all__ = [
    "ANSWER_POSITION",
    "DEFAULT_CAP",
    "TASK",
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
    "composite_of",
]
