"""Sizes and boxes: padding to a ratio, scaling to fit, the part of an answer that belongs to the original. Pure."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Padding:
    """Pixels added at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a `width` x `height` image with this padding around it."""
        return width + self.left + self.right, height + self.top + self.bottom


def pad_to_ratio(width: int, height: int, ratio: float) -> Padding:
    """The least padding, even on both sides, that gives `width` x `height` pixels the `ratio` (width / height).

    The padded ratio is the nearest that whole pixels allow.
    """
    if width / height < ratio:
        extra = max(0, round(height * ratio) - width)
        return Padding(left=extra // 2, right=extra - extra // 2)
    extra = max(0, round(width / ratio) - height)
    return Padding(top=extra // 2, bottom=extra - extra // 2)


def original_box(width: int, height: int, padding: Padding, answer_width: int, answer_height: int) -> Box:
    """Where a `width` x `height` original lies in an answer to its padded image: (left, top, right, bottom).

    In pixels of the answer, fractions included. An answer of another ratio than the padded image's is taken as
    stretched to its own size: what lies at a third of the one lies at a third of the other.
    """
    padded_width, padded_height = padding.padded(width, height)
    across, down = answer_width / padded_width, answer_height / padded_height
    return (
        padding.left * across,
        padding.top * down,
        answer_width - padding.right * across,
        answer_height - padding.bottom * down,
    )


def scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    """(width, height) times `factor`, rounded, at least one pixel each."""
    return max(1, round(width * factor)), max(1, round(height * factor))
