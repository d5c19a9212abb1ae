"""Last, for each frontend: what the page's console has said during all of the tests before."""

from __future__ import annotations

import re
from typing import Any

from page_of_comfyui import Comfy


def test_no_error_and_no_warning_of_ours_was_said(comfy: Comfy, site: Any) -> None:
    assert site.said == []


def test_the_hosts_log_holds_no_error_of_ours(comfy: Comfy, site: Any) -> None:
    text = site.log()
    assert not re.search(r"IMPORT FAILED.*nanobanana", text, re.IGNORECASE)
    assert "A NanoBanana route failed" not in text
    assert "could not be loaded" not in text
