from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.calls.models import fingerprint
from pack.nanobanana.image_request import ImageRequest
from pack.nanobanana.settings.profile import Profile

REQUEST = ImageRequest("NanoBananaPro-1K", "a cute cat", "1:1", "png", seed=1)
PROFILE = Profile(base_url="https://gateway.example", dialect="documented")
BASE: dict[str, Any] = {
    "request": REQUEST,
    "profile": PROFILE,
    "image_digests": ("aa", "bb"),
}
CHANGES: list[dict[str, Any]] = [
    {"request": replace(REQUEST, model="NanoBanana2-1K")},
    {"profile": replace(PROFILE, dialect="extra_body")},
    {"profile": replace(PROFILE, system_message="Draw.")},
    {"profile": replace(PROFILE, prompt_prefix="Draw.")},
    {"profile": replace(PROFILE, body_fields='{"temperature": 1}')},
    {"request": replace(REQUEST, aspect_ratio="16:9")},
    {"request": replace(REQUEST, output_format="webp")},
    {"request": replace(REQUEST, prompt="a cute cat ")},
    {"request": replace(REQUEST, prompt="a cute cat\0")},
    {"request": replace(REQUEST, prompt='a cute cat","')},
    {"image_digests": ()},
    {"image_digests": ("bb", "aa")},
    {"image_digests": ("aabb",)},
    {"image_digests": ("aa", "bb", "cc")},
    {"request": replace(REQUEST, seed=2**64 - 1)},
    {"profile": replace(PROFILE, base_url="https://gateway.example:8443")},
    {"request": replace(REQUEST, prompt="\ud800")},
    {"request": replace(REQUEST, prompt="\ud801")},
    {"request": replace(REQUEST, prompt="\\ud800")},
    {"request": replace(REQUEST, prompt="?")},
]


def test_it_is_64_hexadecimal_digits_and_stays_the_same_over_versions() -> None:
    # A change of this value makes every image that was paid for be paid for again: raise the version knowingly.
    assert fingerprint(**BASE) == "872b11b8fbd260b159a603383d9383dc148efb083485a25904b71cfe4a7b2dd6"


def test_lists_and_tuples_of_digests_are_the_same() -> None:
    assert fingerprint(**{**BASE, "image_digests": ["aa", "bb"]}) == fingerprint(**BASE)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_shapes_the_image_changes_it(change: dict[str, Any]) -> None:
    assert fingerprint(**{**BASE, **change}) != fingerprint(**BASE)


@pytest.mark.parametrize("change", [{"api_key": "k"}, {"name": "other"}, {"stream": False}, {"concurrency": 1}])
def test_what_does_not_shape_the_image_does_not(change: dict[str, Any]) -> None:
    assert fingerprint(**{**BASE, "profile": replace(PROFILE, **change)}) == fingerprint(**BASE)


def test_no_two_changes_meet() -> None:
    made = [fingerprint(**{**BASE, **change}) for change in CHANGES]
    assert all(one != other for one, other in combinations(made, 2))


@dataclass(frozen=True)
class LaterRequest(ImageRequest):
    """What a version with a further field would have."""

    thinking: str = ""


def test_a_further_field_counts_only_where_it_is_used() -> None:
    later = LaterRequest(REQUEST.model, REQUEST.prompt, REQUEST.aspect_ratio, REQUEST.output_format, REQUEST.seed)
    assert fingerprint(**{**BASE, "request": later}) == fingerprint(**BASE)
    used = [fingerprint(**{**BASE, "request": replace(later, thinking=level)}) for level in ("", "low", "high")]
    assert len(set(used)) == 3


REQUESTS = st.fixed_dictionaries(
    {
        "request": st.builds(
            ImageRequest,
            model=st.text(max_size=3),
            prompt=st.text(alphabet=st.characters(), max_size=6),
            aspect_ratio=st.text(max_size=3),
            output_format=st.text(max_size=3),
            seed=st.integers(0, 2**64 - 1),
        ),
        "profile": st.builds(
            Profile,
            base_url=st.text(max_size=3),
            dialect=st.text(max_size=3),
            system_message=st.text(max_size=2),
            prompt_prefix=st.text(max_size=2),
        ),
        "image_digests": st.lists(st.text(alphabet='ab",[]', max_size=3), max_size=3).map(tuple),
    }
)


@given(REQUESTS, REQUESTS)
def test_it_is_equal_exactly_when_the_requests_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (fingerprint(**one) == fingerprint(**other)) == (one == other)
