"""Haircuts: what each is, and how likely whom wears it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A haircut. Lengths in cm; shares 0–1.

    ``stand`` is how far roots rise off the scalp, ``forward`` −1 combed back to 1 combed over the forehead,
    ``parted`` how much hair falls to both sides of a parting and ``part`` where that runs (cm from the middle),
    ``stiff`` how little it hangs, ``layer`` how thick it lies (cm), ``curl`` (radius, length of a turn) cm,
    ``clump`` how much locks gather towards their tips, ``fringe`` the share of front hair cut above the eyes,
    ``cut`` the height (cm in the head's frame) of a blunt lower edge, ``tie`` where long hair is gathered.
    The last four say who wears it: a score to begin with, what is added for −1 (female) to 1 (male), for each
    decade beyond forty, and for hair that grows in coils (−1 … 1).
    """

    front: float
    top: float
    side: float
    back: float
    nape: float
    stand: float = 0.3
    forward: float = 0.2
    parted: float = 0.0
    part: float = 0.0
    stiff: float = 0.5
    layer: float = 0.5
    curl: tuple[float, float] = (0.05, 6.0)
    clump: float = 0.4
    fringe: float = 0.0
    cut: float | None = None
    tie: str | None = None
    score: float = 0.0
    masculine: float = 0.0
    older: float = 0.0
    coily: float = 0.0

    @property
    def long(self) -> bool:
        """Whether hair falls below the ears or would, untied."""
        return self.top > 12


STYLES = {
    "shaved": Style(0.15, 0.15, 0.15, 0.15, 0.1, stand=0.8, stiff=1.0, layer=0.0, clump=0.0, score=-1.3, masculine=0.9, older=0.1),
    "buzz": Style(0.7, 0.7, 0.45, 0.45, 0.3, stand=0.8, forward=0.3, stiff=1.0, layer=0.05, clump=0.0, score=-0.5, masculine=0.95),
    "crew": Style(2.6, 2.0, 0.8, 0.8, 0.5, stand=0.65, forward=0.1, stiff=0.95, layer=0.1, clump=0.25, score=-0.2, masculine=1.0, older=0.1),
    "crop": Style(3.6, 3.4, 1.4, 1.4, 0.8, stand=0.35, forward=0.8, stiff=0.85, layer=0.2, clump=0.5, fringe=0.35, score=-0.2, masculine=0.95, older=-0.1),
    "side_part": Style(7.5, 6.0, 2.4, 2.2, 1.2, stand=0.3, forward=0.05, parted=1.0, part=2.8, stiff=0.65, layer=0.5, clump=0.45, score=0.0, masculine=0.95, older=0.25),
    "quiff": Style(6.0, 5.0, 1.3, 1.3, 0.8, stand=0.85, forward=-0.6, stiff=0.85, layer=0.8, clump=0.55, score=-0.3, masculine=0.95, older=-0.25),
    "slick_back": Style(10.0, 9.0, 5.0, 4.0, 2.0, stand=0.12, forward=-1.0, stiff=0.55, layer=0.35, clump=0.6, score=-0.7, masculine=0.9),
    "messy": Style(7.0, 7.0, 5.0, 5.0, 3.5, stand=0.5, forward=0.5, stiff=0.6, layer=1.2, curl=(0.35, 5.0), clump=0.65, fringe=0.2, score=-0.2, masculine=0.7, older=-0.2),
    "curtains": Style(12.0, 12.0, 8.5, 7.0, 4.0, stand=0.4, forward=0.1, parted=0.9, part=0.5, stiff=0.4, layer=0.9, curl=(0.25, 7.0), clump=0.55, score=-0.6, masculine=0.4, older=-0.25),
    "curly_short": Style(6.0, 6.0, 3.0, 3.0, 1.5, stand=0.7, forward=0.25, stiff=0.75, layer=0.9, curl=(0.45, 2.2), clump=0.75, score=-0.3, masculine=0.6, coily=0.5),
    "afro_short": Style(1.8, 1.8, 1.2, 1.2, 0.7, stand=1.0, forward=0.0, stiff=1.0, layer=0.0, curl=(0.16, 0.8), clump=0.3, score=-1.0, masculine=0.7, coily=1.2),
    "afro": Style(7.0, 8.0, 7.0, 6.5, 5.0, stand=1.0, forward=0.0, stiff=1.0, layer=0.0, curl=(0.32, 2.2), clump=0.2, score=-1.2, coily=1.4, older=-0.1),
    "pixie": Style(8.0, 5.5, 3.5, 3.0, 1.5, stand=0.4, forward=0.6, parted=0.5, part=2.5, stiff=0.65, layer=0.6, clump=0.5, fringe=0.5, score=-0.5, masculine=-0.8, older=0.35),
    "set_waves": Style(9.0, 8.0, 7.0, 6.0, 4.0, stand=0.55, forward=-0.4, parted=0.4, part=2.0, stiff=0.6, layer=1.8, curl=(0.7, 5.0), clump=0.6, score=-1.5, masculine=-1.0, older=0.7),
    "bob": Style(20.0, 21.0, 20.0, 18.0, 14.0, stand=0.25, forward=-0.1, parted=1.0, part=1.8, stiff=0.25, layer=1.2, clump=0.4, cut=-6.0, score=-0.4, masculine=-1.1, older=0.15),
    "bob_fringe": Style(11.0, 21.0, 20.0, 18.0, 14.0, stand=0.25, forward=0.0, parted=0.8, stiff=0.25, layer=1.2, clump=0.4, fringe=0.95, cut=-5.0, score=-1.0, masculine=-1.1),
    "shoulder_waves": Style(24.0, 25.0, 24.0, 22.0, 18.0, stand=0.35, forward=-0.2, parted=1.0, part=1.5, stiff=0.3, layer=1.6, curl=(0.7, 8.0), clump=0.7, score=-0.4, masculine=-1.1),
    "long_straight": Style(36.0, 38.0, 36.0, 34.0, 30.0, stand=0.2, forward=-0.15, parted=1.0, part=0.3, stiff=0.15, layer=0.9, clump=0.45, cut=-24.0, score=-0.2, masculine=-1.1, older=-0.2),
    "long_side_part": Style(32.0, 34.0, 32.0, 30.0, 26.0, stand=0.35, forward=-0.15, parted=1.0, part=3.0, stiff=0.2, layer=1.4, curl=(0.35, 11.0), clump=0.55, score=-0.3, masculine=-1.2),
    "long_waves": Style(34.0, 36.0, 34.0, 32.0, 28.0, stand=0.35, forward=-0.2, parted=1.0, part=0.8, stiff=0.25, layer=1.6, curl=(0.85, 7.0), clump=0.75, score=-0.2, masculine=-1.0, older=-0.15),
    "long_curls": Style(26.0, 28.0, 27.0, 26.0, 22.0, stand=0.6, forward=-0.1, parted=0.8, part=1.0, stiff=0.35, layer=2.4, curl=(0.8, 3.2), clump=0.8, score=-0.6, masculine=-0.6, coily=0.6),
    "fringe_long": Style(11.0, 34.0, 34.0, 32.0, 28.0, stand=0.25, forward=0.0, parted=0.8, stiff=0.2, layer=1.0, clump=0.45, fringe=0.9, cut=-20.0, score=-0.7, masculine=-1.2, older=-0.2),
    "ponytail": Style(32.0, 32.0, 30.0, 28.0, 26.0, layer=0.25, curl=(0.3, 9.0), clump=0.5, tie="ponytail", score=-0.5, masculine=-0.9, older=-0.1),
    "low_ponytail": Style(34.0, 34.0, 32.0, 30.0, 26.0, layer=0.35, parted=0.6, part=1.0, curl=(0.2, 9.0), clump=0.5, tie="low_ponytail", score=-0.8, masculine=-0.35),
    "bun": Style(30.0, 30.0, 28.0, 26.0, 24.0, layer=0.3, clump=0.5, tie="bun", score=-0.7, masculine=-0.6, older=0.1),
    "two_braids": Style(36.0, 36.0, 34.0, 32.0, 28.0, layer=0.35, parted=1.0, clump=0.5, tie="two_braids", score=-1.1, masculine=-1.0, older=-0.3),
    "box_braids": Style(30.0, 30.0, 28.0, 26.0, 24.0, stand=0.5, layer=1.2, forward=-0.3, parted=0.6, tie="box_braids", score=-0.8, masculine=-0.6, older=-0.3, coily=1.1),
    "cornrows": Style(22.0, 22.0, 20.0, 18.0, 16.0, layer=0.3, tie="cornrows", score=-1.1, masculine=0.2, older=-0.2, coily=1.1),
}  # fmt: skip


def style_scores(look: dict[str, float], age: float, masculine: float, coily: float, balding: float) -> dict[str, float]:
    """How much speaks for each style: a person's own number and what is usual; long hair is rarer where little grows."""
    decades = (age - 40) / 10
    usual = lambda style: style.score + style.masculine * masculine + style.older * decades + style.coily * coily
    rare = lambda style: 1.1 * balding * (style.top > 3) + 1.2 * balding * style.long
    return {name: look[f"style_{name}"] + usual(style) - rare(style) for name, style in STYLES.items()}


def choose_style(look: dict[str, float], age: float, masculine: float, coily: float, balding: float) -> str:
    """The name of the one style that a person wears."""
    scores = style_scores(look, age, masculine, coily, balding)
    return max(scores, key=scores.__getitem__)
