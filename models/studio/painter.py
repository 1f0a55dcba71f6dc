"""Paints scenes: the head under its light with shadowed irradiance, skin detail, eyes, strands, a shirt.

One picture is rasterised at twice its size and averaged down, which gives hair its soft matte.
Colours are linear until the very end; the result is premultiplied sRGB with alpha.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from models.colour import linear_to_srgb
from models.face.alignment import place, project_landmarks
from models.face.camera import PORTRAIT_CAMERA, rotation_matrix
from models.face.harmonics import basis, irradiance, luminance, rotate
from models.face.head import FIGURES, chart_from_uv
from models.face.model import FaceModel
from models.face.fragments import interpolate, rasterize
from models.face.edges import vertex_normals
from models.face.reflectance import DARK, LIGHT, MODE_NAMES, regions
from models.studio import hair
from models.studio.scene import Scene

SUPERSAMPLE = 2
TEXTURE = 384  # side of the detail maps over the face's chart
SHADOW_DIRECTIONS = 96
STRAND_SPACING = 0.085  # cm between the points drawn along a strand
CHILDREN = 3  # strands drawn beside each grown one


@dataclass
class Assets:
    """What all pictures share; made once by ``prepare``."""

    face: FaceModel
    transfer: Tensor  # (V, 9) how much of each harmonic of the light reaches a vertex of the mean head
    unshadowed: Tensor  # (V, 9) the same without shadows
    chart: Tensor  # (V, 2) chart position, -9 off the face
    eye_direction: Tensor  # (V, 3) unit offset from its eyeball's centre, 0 elsewhere
    part: Tensor  # (V,) 0 skin, 1 eye, 2 teeth, 3 mouth
    hairy: Tensor  # (V,) degrees above the hairline
    maps: dict[str, Tensor]  # region name -> (T, T) over the chart, row 0 at v = 1
    noise: Tensor  # (4, T, T) pores, mottle, freckles, stubble
    scalp: hair.Roots
    brows: hair.Roots
    beard: hair.Roots


def prepare(face: FaceModel) -> Assets:
    """Everything that does not depend on the scene."""
    with np.load(FIGURES) as archive:
        landmarks = archive["landmark68_chart"].astype(float)
    skin, uv = face.masks["skin"], chart_of_vertices(face)
    part = torch.zeros(len(face.mean))
    for value, name in enumerate(("eyes", "teeth", "mouth"), start=1):
        part[face.masks[name] > 0.5] = value
    transfer, unshadowed = light_transfer(face)
    v, u = np.meshgrid(np.linspace(1, 0, TEXTURE), np.linspace(0, 1, TEXTURE), indexing="ij")
    maps = regions(np.stack((u, v), axis=-1).reshape(-1, 2), landmarks)
    maps["lashes"] = lash_map(u, v)
    return Assets(
        face=face,
        transfer=transfer,
        unshadowed=unshadowed,
        chart=torch.where(skin[:, None] > 0.5, uv, torch.full_like(uv, -9.0)),
        eye_direction=eye_directions(face),
        part=part,
        hairy=torch.from_numpy(hair.scalp_margin(face.mean.numpy(), None).astype(np.float32)),
        maps={name: torch.from_numpy(np.reshape(m, (TEXTURE, TEXTURE)).astype(np.float32)) for name, m in maps.items()},
        noise=skin_noise(),
        scalp=hair.scatter_roots(face, 1500, hair.scalp_margin, seed=1),
        brows=hair.scatter_roots(face, 420, hair.chart_region(landmarks, "brow"), seed=2),
        beard=hair.scatter_roots(face, 1500, hair.chart_region(landmarks, "beard"), seed=3),
    )


def chart_of_vertices(face: FaceModel) -> Tensor:
    """Chart position (V, 2) of each vertex on the face sheet; others keep a position outside it."""
    chart = torch.full((len(face.mean), 2), -9.0)
    positions = torch.from_numpy(chart_from_uv(face.uv.numpy()).astype(np.float32))
    on_face = positions[face.uv_triangles][..., 1].amin(dim=1) > -0.005
    on_face &= positions[face.uv_triangles][..., 0].amax(dim=1) < 1.005
    chart[face.triangles[on_face]] = positions[face.uv_triangles[on_face]]
    return chart


def eye_directions(face: FaceModel) -> Tensor:
    """Unit offsets (V, 3) of the eyeballs' vertices from their centres."""
    directions = torch.zeros_like(face.mean)
    for centre, name in zip(face.eye_centers, ("eye_L", "eye_R"), strict=True):
        inside = face.groups[name] > 0.5
        directions[inside] = normalize(face.mean[inside] - centre, dim=1)
    return directions


def light_transfer(face: FaceModel) -> tuple[Tensor, Tensor]:
    """Shadowed and plain irradiance per harmonic (V, 9) on the mean head, head frame (precomputed radiance transfer).

    Sloan, Kautz and Snyder 2002, by one depth map for each of many directions.
    """
    index = torch.arange(SHADOW_DIRECTIONS) + 0.5
    y = 1 - 2 * index / SHADOW_DIRECTIONS
    angle = index * math.pi * (3 - math.sqrt(5))
    directions = torch.stack((angle.cos() * (1 - y * y).sqrt(), y, angle.sin() * (1 - y * y).sqrt()), dim=1)
    normals = vertex_normals(face.mean[None], face.triangles)[0]
    shadowed = torch.zeros(len(face.mean), 9)
    plain = torch.zeros(len(face.mean), 9)
    for direction in directions:
        side = normalize(torch.linalg.cross(direction, torch.tensor([0.31, 0.2, 0.93])), dim=0)
        frame = torch.stack((side, torch.linalg.cross(direction, side), direction))
        local = (face.mean + normals * 0.12) @ frame.T
        ndc = torch.stack((local[:, 0] / 20, local[:, 1] / 20, 100 - local[:, 2]), dim=1)
        surface = face.mean @ frame.T
        caster = torch.stack((surface[:, 0] / 20, surface[:, 1] / 20, 100 - surface[:, 2]), dim=1)
        depth = rasterize(caster[None], face.triangles, 256).depth
        depth = depth.clamp(max=1e4)
        grid = torch.stack((ndc[:, 0], -ndc[:, 1]), dim=1)[None, None]
        nearest = grid_sample(depth[:, None], grid, mode="bilinear", align_corners=False)[0, 0, 0]
        lit = ((nearest - ndc[:, 2] + 0.35) / 0.35).clamp(0, 1)
        weight = (normals @ direction).clamp(min=0)[:, None] * basis(direction[None]) * (4 * math.pi / SHADOW_DIRECTIONS)
        plain += weight
        shadowed += weight * lit[:, None]
    return shadowed, plain


def lash_map(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Dark along the lid edges: strong above the eye, weak below (chart positions → 0–1)."""
    mirrored = np.where(u > 0.5, 1 - u, u)
    along = np.clip((mirrored - 0.312) / 0.012, 0, 1) * np.clip((0.388 - mirrored) / 0.012, 0, 1)
    upper = np.exp(-0.5 * ((v - 0.7205) / 0.0035) ** 2)
    lower = 0.45 * np.exp(-0.5 * ((v - 0.7135) / 0.0022) ** 2)
    return along * np.maximum(upper, lower)


def skin_noise() -> Tensor:
    """(4, T, T): pores, mottle, freckles, stubble; zero mean except freckles and stubble (0–1)."""
    generator = torch.Generator().manual_seed(11)
    white = torch.randn(4, TEXTURE, TEXTURE, generator=generator)
    smooth = lambda x, k: avg_pool2d(x[None, None], k, 1, k // 2)[0, 0][:TEXTURE, :TEXTURE] * k
    pores = smooth(white[0], 3) * 0.6
    mottle = smooth(smooth(white[1], 21), 21)
    mottle = mottle / mottle.std()
    freckles = ((smooth(white[2], 5) - 2.0) * 1.5).clamp(0, 1)
    stubble = (smooth(white[3], 3) * 0.5 + 0.5).clamp(0, 1)
    return torch.stack((pores, mottle, freckles, stubble))


@torch.no_grad()
def paint(scene: Scene, assets: Assets, size: int = 128) -> Tensor:
    """Pictures (N, size, size, 4) uint8: premultiplied sRGB foreground and alpha."""
    face, parameters = assets.face, scene.parameters
    vertices = face.vertices(parameters.identity, parameters.expression)
    world = place(vertices, parameters)
    ndc = PORTRAIT_CAMERA.project(world)
    model_normals = vertex_normals(vertices, face.triangles)
    turn = rotation_matrix(parameters.rotation)
    normals = model_normals @ turn.mT
    light = vertex_light(scene, assets, normals, turn)
    albedo = vertex_albedo(parameters.reflectance, assets)
    fine = size * SUPERSAMPLE
    pictures = []
    for i in range(len(parameters)):
        look = {name: float(values[i]) for name, values in scene.looks.items()}
        buffers = shade_head(i, scene, assets, look, ndc, world, normals, light, albedo, fine)
        add_shirt(buffers, scene, i, look, fine)
        add_strands(buffers, scene, i, assets, look, vertices[i], model_normals[i], turn[i], fine)
        pictures.append(finish(buffers, size))
    return torch.stack(pictures)


def vertex_light(scene: Scene, assets: Assets, normals: Tensor, turn: Tensor) -> Tensor:
    """Irradiance / pi (N, V, 3) at the vertices, with the mean head's own shadows."""
    light = scene.parameters.light
    plain = irradiance(light, normals).clamp(min=0)
    in_head = rotate(light, turn.mT)
    shadowed = luminance(assets.transfer @ in_head).clamp(min=0)
    open_sky = luminance(assets.unshadowed @ in_head).clamp(min=0.05)
    floor = torch.tensor([0.04, 0.45, 0.5, 0.1])[assets.part.long()]  # the mouth's inside was dark when shadows were made
    ratio = torch.maximum((shadowed / open_sky).clamp(max=1.1), floor)
    return plain * ratio.unsqueeze(-1) / math.pi


def vertex_albedo(reflectance: Tensor, assets: Assets) -> Tensor:
    """Linear albedo (N, V, 3): the model's modes, but multiplicative on skin, so that dark skin stays natural."""
    face = assets.face
    tone = torch.sigmoid(0.55 + 1.15 * reflectance[:, :1])
    light, dark = torch.tensor(LIGHT).log().float(), torch.tensor(DARK).log().float()
    base = (tone * light + (1 - tone) * dark).exp().unsqueeze(1)
    middle = torch.exp(0.62 * light + 0.38 * dark)
    others = reflectance.clone()
    others[:, MODE_NAMES.index("tone")] = 0
    change = (others @ (face.albedo / middle).flatten(1)).unflatten(1, (-1, 3))
    skin = base * (face.albedo_mean / middle) * change.clamp(-1.2, 0.6).exp()
    return torch.where((assets.part == 0)[None, :, None], skin, face.albedo_for(reflectance))


def shade_head(i, scene, assets, look, ndc, world, normals, light, albedo, size) -> dict[str, Tensor]:
    """Rasterise and shade one head: colour (S, S, 3) linear, depth (S, S), alpha (S, S)."""
    face = assets.face
    fragments = rasterize(ndc[i : i + 1], face.triangles, size)
    attributes = torch.cat(
        (albedo[i], light[i], normals[i], assets.chart, assets.eye_direction, assets.part[:, None], world[i], assets.hairy[:, None]), dim=1
    )
    values = interpolate(fragments, attributes[None])[0]
    alb, lit, normal, chart, eye, part, position, hairy = values.split((3, 3, 3, 2, 3, 1, 3, 1), dim=-1)
    covered = fragments.triangle[0] >= 0
    normal = normalize(normal, dim=-1)
    detail, gloss = skin_detail(chart, assets, look, scene.parameters.reflectance[i])
    on_skin = part < 0.5
    colour = torch.where(on_skin, alb * detail, alb)
    is_eye = (part > 0.5) & (part < 1.5)
    colour = tint_scalp(colour, hairy, look)
    iris = face_iris(assets, albedo[i])
    colour = torch.where(is_eye, eye_colour(eye, iris) * 0.85, colour) * lit
    shine = highlights(scene, i, normal, position, lit, torch.where(is_eye, 3.0, gloss), is_eye)
    colour = colour + shine * (part < 2.5)
    depth = torch.where(covered, fragments.depth[0], torch.tensor(1e4))
    alpha = covered.float()
    return {"colour": colour * alpha[..., None], "depth": depth, "alpha": alpha}


def skin_detail(chart: Tensor, assets: Assets, look: dict, reflectance: Tensor) -> tuple[Tensor, Tensor]:
    """A factor on albedo (S, S, 3) and a gloss (S, S, 1) from the maps over the chart."""
    grid = torch.stack((chart[..., 0] * 2 - 1, 1 - chart[..., 1] * 2), dim=-1)[None]
    names = ("lashes", "beard", "lips", "nose", "forehead", "cheeks")
    stack = torch.cat((assets.noise, torch.stack([assets.maps[name] for name in names])))
    sampled = grid_sample(stack[None], grid, align_corners=True)[0]
    pores, mottle, freckles, stubble, lashes, beard, lips, nose, forehead, cheeks = sampled
    dark = torch.ones_like(pores) + 0.035 * (1 + 0.5 * math.tanh(look["pores"])) * pores + 0.025 * mottle
    dark = dark - 0.5 * max(0.0, look["freckles"] - 0.3) * freckles * (nose + cheeks).clamp(0, 1)
    shade = 0.35 * min(1.0, max(0.0, look["stubble"] * 0.6 + max(0.0, look["beard"]) * 0.5))
    dark = dark * (1 - shade * beard * (0.5 + 0.5 * stubble))
    dark = dark * (1 - (0.72 + 0.12 * math.tanh(look["lashes"])) * lashes)
    gloss = 0.55 + 0.25 * math.tanh(look["gloss"]) + 0.5 * nose + 0.35 * forehead + 0.9 * lips
    return dark.clamp(0.05, 1.5).unsqueeze(-1).expand(*dark.shape, 3), gloss.unsqueeze(-1)


def tint_scalp(colour: Tensor, hairy: Tensor, look: dict) -> Tensor:
    """Skin under hair takes the hair's colour: (S, S, 3) albedo, (S, S, 1) degrees above the hairline."""
    recede = max(0.0, 1.5 + 3.0 * look["hairline"])
    density = min(1.0, max(0.0, 1.6 + 0.9 * look["hair_density"]))
    cover = ((hairy - recede) / 4).clamp(0, 1) * 0.9 * density
    return colour * (1 - cover) + 0.8 * hair_colour(look) * cover


def face_iris(assets: Assets, albedo: Tensor) -> Tensor:
    """The iris colour (3,) of one person, from the vertices of the iris ring."""
    angle = torch.rad2deg(torch.arccos(assets.eye_direction[:, 2].clamp(-1, 1)))
    ring = (assets.part == 1) & (angle > 12) & (angle < 21)
    return albedo[ring].mean(dim=0).clamp(0.01, 0.4)


def eye_colour(direction: Tensor, iris: Tensor) -> Tensor:
    """Sclera, limbus, iris with radial fibres, pupil, by the angle from the eye's axis; (S, S, 3)."""
    direction = normalize(direction, dim=-1)
    angle = torch.rad2deg(torch.arccos(direction[..., 2:3].clamp(-1, 1)))
    around = torch.atan2(direction[..., 1:2], direction[..., 0:1])
    fibres = 1 + 0.25 * torch.sin(around * 23) * torch.sin(around * 7 + 1)
    ring = (iris * 1.25 * fibres) * (1.25 - 0.35 * ((angle - 9) / 13).clamp(0, 1))
    limbus = ((angle - 19.5) / 3).clamp(0, 1)
    ring = ring * (1 - 0.75 * limbus)
    sclera = torch.tensor([0.60, 0.54, 0.51]) * (1 - 0.25 * ((angle - 30) / 35).clamp(0, 1))
    colour = torch.where(angle < 9.5, torch.tensor(0.006), ring)
    blend = ((angle - 22) / 1.5).clamp(0, 1)
    return colour * (1 - blend) + sclera * blend


def highlights(scene, i, normal, position, lit, gloss, is_eye) -> Tensor:
    """Specular (S, S, 3): a broad and a tight Blinn lobe of the key, and a Fresnel sheen of the surroundings."""
    view = normalize(torch.tensor([0.0, 0.0, PORTRAIT_CAMERA.distance]) - position, dim=-1)
    half = normalize(view + scene.key_direction[i], dim=-1)
    cosine = (normal * half).sum(-1, keepdim=True).clamp(0, 1)
    facing = (normal * scene.key_direction[i]).sum(-1, keepdim=True).clamp(0, 1)
    lobe = 0.045 * cosine**14 + 0.05 * cosine**50
    lobe = torch.where(is_eye, 0.9 * cosine**400, lobe)
    fresnel = (1 - (normal * view).sum(-1, keepdim=True).clamp(0, 1)) ** 4
    shade = (luminance(lit).unsqueeze(-1)).clamp(0, 1.2)
    return gloss * lobe * facing.sqrt() * scene.key_colour[i] + 0.07 * fresnel * lit * torch.where(is_eye, 0.2, 1.0) * shade


def add_shirt(buffers: dict, scene: Scene, i: int, look: dict, size: int) -> None:
    """Neck opening and shoulders as a surface of revolution under the head; in place."""
    colour = torch.sigmoid(torch.tensor([look["shirt_r"], look["shirt_g"], look["shirt_b"]]) * 0.9 - 1.0)
    opening = 6.6 + 0.5 * math.tanh(look["collar"])
    rings = ((-9.6 - 1.2 * math.tanh(look["collar"]), opening, 6.3), (-10.4, opening + 0.9, 6.9), (-11.5, 9.0, 7.4),
             (-12.8, 13.0, 8.2), (-15.0, 17.5, 9.5), (-19.0, 20.0, 10.5), (-30.0, 21.0, 11.0))  # fmt: skip
    angle = torch.linspace(0, 2 * math.pi, 33)[:-1]
    points = torch.stack([torch.stack((w * angle.sin(), torch.full_like(angle, y), d * angle.cos()), 1) for y, w, d in rings])
    parameters = scene.parameters
    turn = rotation_matrix(parameters.rotation[i : i + 1])[0]
    neck = turn @ torch.tensor([0.0, -11.0, -1.2]) - torch.tensor([0.0, -11.0, 0.0])
    follow = torch.linspace(1, 0.3, len(rings))[:, None, None]
    points = points + neck * follow + parameters.translation[i]
    flat = points.reshape(-1, 3)
    index = torch.arange(len(rings) * 32).reshape(len(rings), 32)
    right = torch.roll(index, -1, dims=1)
    quads = torch.stack((index[:-1], index[1:], right[1:], right[:-1]), -1).reshape(-1, 4)
    triangles = torch.cat((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]])).contiguous()
    normals = vertex_normals(flat[None], triangles)
    lit = irradiance(parameters.light[i : i + 1], normals).clamp(min=0)[0] / math.pi
    fragments = rasterize(PORTRAIT_CAMERA.project(flat[None]), triangles, size)
    shaded = interpolate(fragments, (lit * 0.8)[None])[0] * colour
    nearer = (fragments.triangle[0] >= 0) & (fragments.depth[0] < buffers["depth"])
    buffers["colour"] = torch.where(nearer[..., None], shaded, buffers["colour"])
    buffers["depth"] = torch.where(nearer, fragments.depth[0], buffers["depth"])
    buffers["alpha"] = torch.where(nearer, torch.tensor(1.0), buffers["alpha"])


def hair_colour(look: dict) -> Tensor:
    """Linear albedo (3,) of hair from melanin, red pigment and grey."""
    melanin = 2.2 + 1.5 * math.tanh(look["hair_dark"] * 0.8 + 0.35)
    red = max(0.0, math.tanh(look["hair_red"] - 0.6))
    colour = 0.5 * torch.exp(-melanin * torch.tensor([0.72 - 0.2 * red, 0.95, 1.28 + 0.25 * red]))
    grey = min(1.0, max(0.0, look["hair_grey"] - 0.9))
    return colour * (1 - grey) + grey * torch.tensor([0.42, 0.41, 0.40])


def add_strands(buffers, scene, i, assets, look, vertices, normals, turn, size) -> None:
    """Draw head hair, brows and beard over the head; in place."""
    colour = hair_colour(look)
    brow_colour = colour * math.exp(-0.35 - 0.3 * look["brow_dark"])
    kinds = (
        (assets.scalp, hair.scalp_strands, colour, CHILDREN, 0.30),
        (assets.beard, hair.beard_strands, colour * 0.8, 2, 0.12),
        (assets.brows, hair.brow_strands, brow_colour, 1, 0.0),
    )
    drawn = []
    for roots, make, shade, children, spread in kinds:
        points, root_normals = hair.place_roots(roots, assets.face, vertices, normals)
        strands, kept = make(roots, points, root_normals, look)
        if len(kept):
            drawn.append(strand_points(strands, roots.chance[kept], shade, scene, i, turn, children, spread))
    if not drawn:
        return
    ndc, colours = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    hair.splat(ndc, colours, buffers["depth"], buffers["colour"], buffers["alpha"])


def strand_points(strands, chance, shade, scene, i, turn, children, spread) -> tuple[Tensor, Tensor]:
    """Shaded points of strands (R, S + 1, 3): NDC and depth (P, 3), linear colour (P, 3).

    Shading is done at the strands' nodes and interpolated along them.
    """
    generator = torch.Generator().manual_seed(5)
    offsets = torch.randn(children, len(strands), 1, 3, generator=generator) * spread
    offsets[0] = 0
    taper = torch.linspace(0.25, 1, strands.shape[1])[:, None]
    strands = (strands[None] + offsets * taper).flatten(0, 1)
    world = strands @ turn.T + scene.parameters.translation[i]
    ndc = PORTRAIT_CAMERA.project(world)
    colour = strand_colour(strands, chance.repeat(children), shade, scene, i, turn)
    nodes = torch.cat((ndc, colour), dim=-1)
    longest = float((strands[:, 1:] - strands[:, :-1]).norm(dim=-1).amax())
    samples = min(12, max(2, math.ceil(longest / STRAND_SPACING)))
    t = torch.linspace(0, 1, samples + 1)[:-1, None]
    points = torch.lerp(nodes[:, :-1, None], nodes[:, 1:, None], t).reshape(-1, 6)
    return points[:, :3], points[:, 3:]


def strand_colour(strands, chance, shade, scene, i, turn) -> Tensor:
    """Linear colour (R, S + 1, 3) at the nodes: light on the hair's outside, darker inside, Kajiya-Kay sheen (1989)."""
    outward = normalize(strands - hair.SKULL_CENTRE, dim=-1) @ turn.T
    tangent = strands[:, 1:] - strands[:, :-1]
    tangent = normalize(torch.cat((tangent, tangent[:, -1:]), dim=1), dim=-1) @ turn.T
    lit = irradiance(scene.parameters.light[i : i + 1], outward[None]).clamp(min=0)[0] / math.pi
    along = torch.linspace(0, 1, strands.shape[1])[None, :, None]
    inner = 0.45 + 0.55 * along.clamp(0, 0.5) * 2
    variety = (0.72 + 0.5 * (chance * 31 % 1))[:, None, None]
    key = scene.key_direction[i]
    half = normalize(key + torch.tensor([0.0, 0.0, 1.0]), dim=0)
    sine = (1 - (tangent @ half).square()).clamp(0, 1).unsqueeze(-1)
    facing = (outward @ key).clamp(0, 1).unsqueeze(-1)
    sheen = 0.07 * sine**40 * facing * scene.key_colour[i] * (0.3 + shade / shade.max())
    return shade * lit * inner * variety + sheen * inner


def finish(buffers: dict[str, Tensor], size: int) -> Tensor:
    """Average down, sRGB, premultiplied, (size, size, 4) uint8."""
    stack = torch.cat((buffers["colour"].clamp(0, 4), buffers["alpha"][..., None]), dim=-1)
    stack = torch.cat((linear_to_srgb(stack[..., :3]) * stack[..., 3:], stack[..., 3:]), dim=-1)
    small = avg_pool2d(stack.permute(2, 0, 1)[None], SUPERSAMPLE)[0].permute(1, 2, 0)
    return (small * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def landmarks_of(scene: Scene, face: FaceModel) -> Tensor:
    """The 68 landmarks in the picture, (N, 68, 2) NDC with y up."""
    return project_landmarks(face, scene.parameters)[..., :2]
