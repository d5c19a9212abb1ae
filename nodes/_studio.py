"""What the nodes of this process share: the profiles, the journal, the running calls. Made when first used."""

from __future__ import annotations

import functools

from ..nanobanana.client import Studio
from ..nanobanana.config import ProfileStore, data_folder
from ..nanobanana.gallery import Gallery
from ..nanobanana.journal import Journal
from ._host import data_folder as host_data_folder
from ._runs import Runs
from ._viewers import Viewers


@functools.cache
def profiles() -> ProfileStore:
    return ProfileStore(data_folder(host_data_folder()))


@functools.cache
def journal() -> Journal:
    return Journal(data_folder(host_data_folder()))


@functools.cache
def studio() -> Studio:
    return Studio(journal())


@functools.cache
def gallery() -> Gallery:
    return Gallery(journal())


@functools.cache
def viewers() -> Viewers:
    return Viewers()


@functools.cache
def runs() -> Runs:
    return Runs(studio, viewers())
