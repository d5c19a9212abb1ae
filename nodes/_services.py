"""What the nodes of this process share: the profiles, the history, the running calls.

Made, and imported, when first used: the host waits for imports when it starts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..nanobanana.settings.store import ProfileStore, data_folder
from ._host import data_folder as host_data_folder

if TYPE_CHECKING:
    from ..nanobanana.calls.engine import Engine
    from ..nanobanana.calls.thumbnails import ThumbnailCache
    from ..nanobanana.journal import Journal
    from ._runs import Runs


@functools.cache
def profiles() -> ProfileStore:
    return ProfileStore(data_folder(host_data_folder()))


@functools.cache
def journal() -> Journal:
    from ..nanobanana.journal import Journal

    return Journal(data_folder(host_data_folder()))


@functools.cache
def engine() -> Engine:
    from ..nanobanana.calls.engine import Engine

    return Engine(journal())


@functools.cache
def thumbnails() -> ThumbnailCache:
    from ..nanobanana.calls.thumbnails import ThumbnailCache

    return ThumbnailCache(journal())


@functools.cache
def runs() -> Runs:
    from ._runs import Runs

    return Runs(engine)
