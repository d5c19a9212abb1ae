from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pack.nanobanana.calls.fingerprint import fingerprint

BASE = {
    "model": "NanoBananaPro-1K",
    "dialect": "documented",
    "aspect_ratio": "1:1",
    "output_format": "png",
    "prompt": "a cute cat",
    "image_digests": ("aa", "bb"),
    "mask_digest": None,
    "seed": 1,
    "base_url": "https://gateway.example",
}
CHANGES = [
    {"model": "NanoBanana2-1K"},
    {"dialect": "extra_body"},
    {"aspect_ratio": "16:9"},
    {"output_format": "webp"},
    {"prompt": "a cute cat "},
    {"prompt": "a cute cat\0"},
    {"prompt": 'a cute cat","'},
    {"image_digests": ()},
    {"image_digests": ("bb", "aa")},
    {"image_digests": ("aabb",)},
    {"image_digests": ("aa", "bb", "cc")},
    {"mask_digest": ""},
    {"mask_digest": "bb"},
    {"image_digests": ("aa",), "mask_digest": "bb"},
    {"seed": 2**64 - 1},
    {"base_url": "https://gateway.example:8443"},
    {"prompt": "\ud800"},
    {"prompt": "\ud801"},
    {"prompt": "\\ud800"},
    {"prompt": "?"},
]


def test_it_is_64_hexadecimal_digits_and_stays_the_same_over_versions():
    # A change of this value makes every image that was paid for be paid for again: raise the version knowingly.
    assert fingerprint(**BASE) == "872b11b8fbd260b159a603383d9383dc148efb083485a25904b71cfe4a7b2dd6"


def test_lists_and_tuples_of_digests_are_the_same():
    assert fingerprint(**{**BASE, "image_digests": ["aa", "bb"]}) == fingerprint(**BASE)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_shapes_the_image_changes_it(change):
    assert fingerprint(**{**BASE, **change}) != fingerprint(**BASE)


def test_no_two_changes_meet():
    values = [fingerprint(**{**BASE, **change}) for change in CHANGES]
    assert all(one != other for one, other in combinations(values, 2))


REQUESTS = st.fixed_dictionaries(
    {
        "model": st.text(max_size=3),
        "dialect": st.text(max_size=3),
        "aspect_ratio": st.text(max_size=3),
        "output_format": st.text(max_size=3),
        "prompt": st.text(alphabet=st.characters(), max_size=6),
        "image_digests": st.lists(st.text(alphabet='ab",[]', max_size=3), max_size=3).map(tuple),
        "mask_digest": st.none() | st.text(alphabet="ab", max_size=2),
        "seed": st.integers(0, 2**64 - 1),
        "base_url": st.text(max_size=3),
    }
)


@given(REQUESTS, REQUESTS)
def test_it_is_equal_exactly_when_the_requests_are(one, other):
    assert (fingerprint(**one) == fingerprint(**other)) == (one == other)
