"""What skin mirrors of a spherical-harmonic light: GGX facets with Schlick's Fresnel, in two factors ("split sum").

    specular = sum_i g_i c_i Y_i(r) * (F0 * A(n·v) + B(n·v))

``r`` is the view mirrored at the normal. ``g`` dims each order of the light as the lobe of a surface seen from the front does,
of any other view as well. A and B are the share that GGX with Smith's shadowing sends back of a light from all around, after
the fit by Karis ("Physically Based Shading on Mobile", 2014). The light has no more than order 2, so highlights are broad.
"""

from __future__ import annotations

import math

from torch import Tensor

SKIN_ROUGHNESS = 0.4  # the square root of GGX's alpha
SKIN_F0 = 0.028  # share of the light that skin mirrors from the front


def lobe(roughness: float = SKIN_ROUGHNESS) -> tuple[float, ...]:
    """What GGX facets leave of a light's nine coefficients: Legendre's P_l of the mirrored angle's cosine, on average.

    With t the facets' slope squared, a = roughness⁴ and the density a / (a + t)², the means of cos² and cos⁴ of a
    facet's angle, 1 / (1 + t) and its square, have the closed forms below.
    """
    a = roughness**4
    square = 1 / (1 - a) + a * math.log(a) / (1 - a) ** 2
    fourth = (1 + a) / (1 - a) ** 2 + 2 * a * math.log(a) / (1 - a) ** 3
    mirrored = 4 * fourth - 4 * square + 1  # cos² of twice the angle
    return (1.0,) + (2 * square - 1,) * 3 + ((3 * mirrored - 1) / 2,) * 5


def mirror(normals: Tensor, view: Tensor) -> Tensor:
    """Unit vectors (P, 3) to what a surface of unit ``normals`` mirrors to unit vectors ``view``."""
    return 2 * (normals * view).sum(dim=-1, keepdim=True) * normals - view


def mirrored_share(facing: Tensor, roughness: float = SKIN_ROUGHNESS, f0: float = SKIN_F0) -> Tensor:
    """F0 A + B for cosines between normal and view, of any shape."""
    smooth = 1 - roughness
    grazing = (-9.28 * facing.clamp(0, 1)).exp2().clamp(max=smooth**2) * smooth + 0.0425 - 0.0275 * roughness
    scale = 1.04 - 0.572 * roughness - 1.04 * grazing
    return f0 * scale + 1.04 * grazing + 0.022 * roughness - 0.04
