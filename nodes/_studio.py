"""What the nodes of this process share: the profiles, the journal, the running calls.

Made when first used, and imported then: the host waits for imports when it starts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..nanobanana.config import ProfileStore, data_folder
from ._host import data_folder as host_data_folder

if TYPE_CHECKING:
    from ..nanobanana.client import Studio
    from ..nanobanana.gallery import Gallery
    from ..nanobanana.journal import Journal
    from ._runs import Runs
    from ._viewers import Viewers


@functools.cache
def profiles() -> ProfileStore:
    return ProfileStore(data_folder(host_data_folder()))


@functools.cache
def journal() -> Journal:
    from ..nanobanana.journal import Journal

    return Journal(data_folder(host_data_folder()))


@functools.cache
def studio() -> Studio:
    from ..nanobanana.client import Studio

    return Studio(journal())


@functools.cache
def gallery() -> Gallery:
    from ..nanobanana.gallery import Gallery

    return Gallery(journal())


@functools.cache
def viewers() -> Viewers:
    from ._viewers import Viewers

    return Viewers()


@functools.cache
def runs() -> Runs:
    from ._runs import Runs

    return Runs(studio, viewers())
