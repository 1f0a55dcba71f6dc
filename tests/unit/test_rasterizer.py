"""The rasteriser against brute force, supersampling and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from models.face import fragments as fragments_module
from models.face import harmonics, load_face_model
from models.face.alignment import align, place
from models.face.antialias import mix, soft_coverage
from models.face.camera import PORTRAIT_CAMERA, Camera
from models.face.fragments import (
    BACKGROUND_DEPTH,
    INSIDE,
    interpolate,
    rasterize,
    to_pixels,
)
from models.face.mesh_topology import find_topology, vertex_normals
from models.face.parameters import RigParameters
from models.face.rasterizer import OUTPUTS, render
from tests.helpers.synthetic_face import synthetic_face


def triangle_soup(frames: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random triangles of either winding, some partly outside: NDC (N, 3 F, 3) and (F, 3)."""
    random = torch.Generator().manual_seed(2)
    centre = torch.rand(frames, count, 1, 2, generator=random) * 2.4 - 1.2
    corner = centre + torch.randn(frames, count, 3, 2, generator=random) * 0.4
    depth = 100 + 40 * torch.rand(frames, count, 3, 1, generator=random)
    points = torch.cat((corner, depth), dim=3).flatten(1, 2).double()
    return points, torch.arange(3 * count).view(count, 3)


def brute_force(ndc: torch.Tensor, triangles: torch.Tensor, size: int, cull: bool):
    """Nearest triangle (H, W) and its depth for one frame, every pixel against every triangle."""
    centre = (torch.arange(size, dtype=ndc.dtype) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-centre, centre, indexing="ij")
    pixel = torch.stack((x, y), dim=-1)[:, :, None]
    corner = ndc[triangles]
    position = corner[:, :, :2]

    def twice_area(a, b, c):
        first, second = b - a, c - a
        return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]

    whole = twice_area(position[:, 0], position[:, 1], position[:, 2])
    parts = [twice_area(pixel, position[:, (i + 1) % 3], position[:, (i + 2) % 3]) for i in range(3)]
    shares = torch.stack(parts, dim=-1) / whole[:, None]
    depth = 1 / (shares / corner[:, :, 2]).sum(dim=-1)
    hit = (shares >= INSIDE).all(dim=-1) & ((whole > 0) | (not cull))
    depth = torch.where(hit, depth, math.inf)
    nearest = depth.min(dim=-1)
    return torch.where(nearest.values < math.inf, nearest.indices, -1), nearest.values


def lit_parameters(face, count: int = 1) -> RigParameters:
    """Random aligned heads under light from the side, float64 as the face is."""
    random = torch.Generator().manual_seed(4)
    neutral = RigParameters.neutral(face, count)
    direction = torch.nn.functional.normalize(torch.tensor((0.6, 0.4, 1.0)), dim=0)
    tint = torch.tensor((1.1, 1.0, 0.8)).expand(count, 3)
    light = harmonics.light_from_handles(torch.ones(count), tint, direction.expand(count, 3))
    parameters = neutral.replace(
        identity=torch.randn(neutral.identity.shape, generator=random),
        expression=torch.rand(neutral.expression.shape, generator=random),
        reflectance=torch.randn(neutral.reflectance.shape, generator=random),
        light=light,
        rotation=torch.randn(count, 3, generator=random) * 0.2,
    )
    parts = {name: part.to(face.mean) for name, part in parameters.parts().items()}
    return align(face, RigParameters(**parts))


def small_double_face():
    """A made-up face in float64."""
    return in_double(synthetic_face(vertices=800, identity=3, expression=2, reflectance=2))


def in_double(face):
    """The face itself, its figures in float64."""
    for name in ("mean", "identity", "expression", "albedo_mean", "albedo"):
        setattr(face, name, getattr(face, name).double())
    return face


@pytest.mark.parametrize("cull", [True, False])
def test_visibility_equals_brute_force(cull: bool) -> None:
    points, triangles = triangle_soup(frames=3, count=30)
    seen = rasterize(points, triangles, size=24, cull=cull)
    for frame in range(3):
        triangle, depth = brute_force(points[frame], triangles, 24, cull)
        assert torch.equal(seen.triangle[frame], triangle)
        hit = triangle >= 0
        assert torch.allclose(seen.depth[frame][hit], depth[hit], atol=1e-9)
        assert (seen.depth[frame][~hit] == BACKGROUND_DEPTH).all()


def test_visibility_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    points, triangles = triangle_soup(frames=2, count=40)
    whole = rasterize(points, triangles, size=32)
    monkeypatch.setattr(fragments_module, "CANDIDATES", 500)
    assert torch.equal(rasterize(points, triangles, size=32).triangle, whole.triangle)


def test_barycentrics_are_perspective_correct() -> None:
    """Interpolated world points project to the very pixels that see them."""
    points, triangles = triangle_soup(frames=2, count=30)
    seen = rasterize(points, triangles, size=40)
    world = interpolate(seen, PORTRAIT_CAMERA.unproject(points))
    back = PORTRAIT_CAMERA.project(world.flatten(1, 2)).view(2, 40, 40, 3)
    centre = (torch.arange(40, dtype=torch.float64) + 0.5) / 20 - 1
    covered = seen.triangle >= 0
    assert torch.allclose(back[..., 0][covered], centre.expand(2, 40, 40)[covered], atol=1e-9)
    rows = -centre[:, None].expand(2, 40, 40)
    assert torch.allclose(back[..., 1][covered], rows[covered], atol=1e-9)
    assert torch.allclose(back[..., 2][covered], seen.depth[covered], atol=1e-9)
    total = seen.barycentrics.sum(dim=-1)
    assert torch.allclose(total, covered.double(), atol=1e-9)


def test_a_closed_surface_has_no_gaps() -> None:
    """A jittered grid in float32 that fills the frame covers every pixel, at any size."""
    random = torch.Generator().manual_seed(7)
    side = torch.linspace(-1.3, 1.3, 41)
    y, x = torch.meshgrid(side, side, indexing="ij")
    points = torch.stack((x, y, torch.full_like(x, 120.0)), dim=-1)
    points[..., :2] += (torch.rand(41, 41, 2, generator=random) - 0.5) * 0.03
    corner = torch.arange(40 * 41).view(40, 41)[:, :40].reshape(-1)
    first = torch.stack((corner, corner + 1, corner + 41), dim=1)
    second = torch.stack((corner + 1, corner + 42, corner + 41), dim=1)
    for size in (37, 128, 500):
        seen = rasterize(points.view(1, -1, 3), torch.cat((first, second)), size)
        assert (seen.triangle >= 0).all()


def test_nothing_in_view() -> None:
    face = synthetic_face()
    parameters = RigParameters.neutral(face, 2)
    away = parameters.replace(translation=torch.tensor(((500.0, 0.0, 0.0), (0.0, 0.0, 200.0))))
    pictures = render(face, away, 16, outputs=tuple(OUTPUTS))
    assert (pictures["depth"] == BACKGROUND_DEPTH).all()
    assert (pictures["occlusion"] == 1).all()  # nothing covers what is beyond the mesh
    for name in set(OUTPUTS) - {"depth", "occlusion"}:
        assert (pictures[name] == 0).all()


def test_edges_of_a_closed_mesh_have_two_sides() -> None:
    face = synthetic_face()
    mesh = find_topology(face.triangles)
    vertices, triangles = face.mean.shape[0], face.triangles.shape[0]
    assert mesh.edges.shape[1] == vertices + triangles - 2
    assert (mesh.sides < triangles).all()
    for side in range(2):
        corners = face.triangles[mesh.sides[side]]
        shared = (corners[:, :, None] == mesh.edges.T[:, None, :]).any(dim=1)
        assert shared.all()
    open_mesh = find_topology(face.triangles[1:])
    assert (open_mesh.sides == triangles - 1).sum() == 3


def test_vertex_normals_of_an_ellipsoid() -> None:
    face = synthetic_face(4000)
    radii = face.mean.abs().amax(dim=0)
    expected = torch.nn.functional.normalize(face.mean / radii.square(), dim=1)
    normals = vertex_normals(face.mean[None], face.triangles)[0]
    cosine = (normals * expected).sum(dim=1)
    assert cosine.min() > math.cos(math.radians(1.5))


def test_coverage_of_a_half_plane_is_its_area() -> None:
    """A straight slanted edge: each row's coverage is the area left of the edge."""
    size = 16
    top, bottom = 0.15, -0.4
    points = torch.tensor(((-3.0, 3.0, 100.0), (-3.0, -3.0, 100.0), (0.0, 3.0, 100.0), (0.0, -3.0, 100.0)))
    middle, slope = (top + bottom) / 2, (top - bottom) / 2
    points[2, 0], points[3, 0] = middle + 3 * slope, middle - 3 * slope
    triangles = torch.tensor(((0, 1, 2), (2, 1, 3)))
    seen = rasterize(points[None], triangles, size)
    pixel_space = to_pixels(points[None], size)
    mask = soft_coverage(pixel_space, find_topology(triangles), seen).mask[0]
    height = -((torch.arange(size) + 0.5) / size * 2 - 1)
    edge = (middle + slope * height + 1) / 2 * size
    assert torch.allclose(mask.sum(dim=1), edge, atol=2e-3)


def test_an_edge_before_another_surface_mixes_by_area() -> None:
    """A slanted edge of a white wall before a black one: each row's white is the area it covers."""
    size, slope = 16, 0.3
    middle = torch.tensor(-0.1, dtype=torch.float64, requires_grad=True)
    near, far = middle.new_full((1,), 100.0), middle.new_full((1,), 110.0)
    corner = lambda x, y, depth: torch.cat((x.reshape(1), middle.new_full((1,), y), depth))
    left, right = middle.new_tensor(-3.0), middle.new_tensor(3.0)
    white_wall = (left, -3, near), (middle - 3 * slope, -3, near), (middle + 3 * slope, 3, near), (left, 3, near)
    black_wall = (left, -3, far), (right, -3, far), (right, 3, far), (left, 3, far)
    points = torch.stack([corner(*place) for place in (*white_wall, *black_wall)])
    triangles = torch.tensor(((0, 1, 2), (0, 2, 3), (4, 5, 6), (4, 6, 7)))
    seen = rasterize(points[None], triangles, size)
    coverage = soft_coverage(to_pixels(points[None], size), find_topology(triangles), seen)
    white = torch.tensor((1.0, 1, 1, 1, 0, 0, 0, 0), dtype=torch.float64).view(1, 8, 1)
    drawn = seen.scatter(mix(seen.gather(white), coverage, seen))[0, :, :, 0]
    height = 1 - 2 * (torch.arange(size, dtype=torch.float64) + 0.5) / size
    edge = (middle.detach() + slope * height + 1) / 2 * size
    assert (coverage.mask == 1).all()
    assert torch.allclose(drawn.sum(dim=1), edge, atol=5e-3)
    (gradient,) = torch.autograd.grad(drawn.sum(), middle)
    assert gradient.item() == pytest.approx(size * size / 2, rel=0.02)


def test_coverage_equals_supersampling() -> None:
    face = synthetic_face(2000)
    parameters = lit_parameters(face, 4)
    size, factor = 48, 8
    mask = render(face, parameters, size, outputs=("mask",))["mask"][..., 0]
    ndc = PORTRAIT_CAMERA.project(place(face.vertices(parameters.identity, parameters.expression), parameters))
    fine = (rasterize(ndc, face.triangles, size * factor).triangle >= 0).float()
    expected = torch.nn.functional.avg_pool2d(fine[:, None], factor)[:, 0]
    border = (expected > 0) & (expected < 1)
    error = (mask - expected).abs()
    # The outline leaves the frame through the bottom row, and nothing is known of what is below.
    assert error[:, :-1].max() < 0.15
    assert error[border].mean() < 0.03
    assert mask.sum() == pytest.approx(expected.sum().item(), rel=1e-3)


def test_outputs_belong_together() -> None:
    face = synthetic_face(1000)
    parameters = lit_parameters(face, 2)
    pictures = render(face, parameters, 32, outputs=tuple(OUTPUTS))
    solid = pictures["mask"][..., 0] == 1
    product = pictures["albedo"] * pictures["shading"]
    alike = torch.isclose(pictures["colour"], product, atol=1e-6).all(dim=-1)
    assert alike.float().mean() > 0.99  # the others are mixed at an edge before another surface
    assert torch.allclose(pictures["normals"][solid].norm(dim=-1), torch.ones(solid.sum()))
    distance = PORTRAIT_CAMERA.distance - pictures["position"][..., 2:]
    assert torch.allclose(pictures["depth"][solid], distance[solid], atol=1e-3)
    light = parameters.light
    expected = harmonics.irradiance(light, pictures["normals"]) / math.pi
    assert torch.allclose(pictures["shading"][solid], expected.clamp(min=0)[solid], atol=1e-5)
    assert (pictures["face_mask"] <= pictures["mask"] + 1e-6).all()
    # What the outline reaches carries values, so that colour times mask is premultiplied colour.
    reached = pictures["mask"][..., 0] > 0
    assert (pictures["albedo"][reached] > 0.1).all()


def test_passes_recombine_without_a_hard_edge() -> None:
    """Albedo times light plus specular is at the outline what many samples a pixel see."""
    face, size, finer = synthetic_face(2000), 48, 8
    parameters = lit_parameters(face, 4)
    passes = render(face, parameters, size, outputs=("covered_albedo", "light", "covered_specular", "mask", "colour", "specular"))
    samples = render(face, parameters, size * finer, outputs=("albedo", "shading", "specular", "depth"))
    seen = (samples["albedo"] * samples["shading"] + samples["specular"]) * (samples["depth"] < BACKGROUND_DEPTH)
    wanted = torch.nn.functional.avg_pool2d(seen.permute(0, 3, 1, 2), finer).permute(0, 2, 3, 1)
    recombined = passes["covered_albedo"] * passes["light"] + passes["covered_specular"]
    edge = ((passes["mask"] > 0.02) & (passes["mask"] < 0.98))[:, :-1, :, 0]  # nothing is known of what is below
    soft, hard = (float((one - wanted)[:, :-1][edge].abs().mean()) for one in (recombined, passes["colour"] + passes["specular"]))
    assert edge.sum() > 200 and soft < 0.15 * hard
    assert torch.allclose(passes["covered_albedo"] * passes["light"], passes["colour"] * passes["mask"], atol=1e-5)
    assert not recombined[passes["mask"][..., 0] == 0].any()


def test_frames_of_a_batch_do_not_touch() -> None:
    face = synthetic_face()
    parameters = lit_parameters(face, 3)
    together = render(face, parameters, 32)
    for frame in range(3):
        alone = render(face, parameters[frame : frame + 1], 32)
        for name, picture in alone.items():
            assert torch.allclose(picture[0], together[name][frame], atol=1e-5)


def test_a_picture_without_gradients_spoils_none_after_it() -> None:
    """What is kept about a face's edges may have been found in inference mode."""
    face = synthetic_face()
    parameters = lit_parameters(face)
    with torch.inference_mode():
        first = render(face, parameters, 24)["mask"].clone()
    translation = parameters.translation.clone().requires_grad_()
    second = render(face, parameters.replace(translation=translation), 24)["mask"]
    second.sum().backward()
    assert torch.equal(first, second) and translation.grad.abs().max() > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    face = synthetic_face(2000)
    parameters = lit_parameters(face, 2)
    there = render(face.to("cuda"), parameters.to("cuda"), 64, outputs=tuple(OUTPUTS))
    for name, picture in render(face, parameters, 64, outputs=tuple(OUTPUTS)).items():
        close = torch.isclose(picture, there[name].cpu(), rtol=1e-3, atol=1e-3)
        assert close.float().mean() > 0.999, name  # rounding may give a pixel to the neighbour


def test_unknown_output_is_named() -> None:
    face = synthetic_face()
    with pytest.raises(ValueError, match="no such output: color"):
        render(face, RigParameters.neutral(face), 16, outputs=("color",))


def soft_loss(pictures: dict[str, torch.Tensor], size: int) -> torch.Tensor:
    """A smooth function of colour over black and of coverage."""
    side = torch.linspace(0, 3, size, dtype=torch.float64)
    weight = (1.3 + side.sin())[:, None] * (1.2 + (2 * side).cos())[None, :]
    over_black = (pictures["colour"] * pictures["mask"]).sum(dim=-1)
    return ((over_black + 0.5 * pictures["mask"][..., 0]) * weight).mean()


def slopes(loss, value: torch.Tensor, reach: float) -> tuple[float, float]:
    """Change of ``loss`` over ``reach`` along its gradient: by the gradient, and by a line through 8 values."""
    leaf = value.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    step = reach * gradient / gradient.norm()
    places = torch.linspace(-1, 1, 8).double()
    values = torch.tensor([loss(value + place * step) for place in places]).double()
    numeric = (places * values).sum() / places.square().sum()
    return (gradient * step).sum().item(), numeric.item()


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        ("identity", 0.2),
        ("expression", 0.1),
        ("reflectance", 0.5),
        ("light", 0.1),
        ("rotation", 0.05),
        ("translation", 0.4),
    ],
)
def test_gradients_equal_finite_differences(name: str, reach: float) -> None:
    """Along the gradient, with steps long enough that pixels at the outline change hands.

    Colour there is known to half a pixel, so that the agreement grows with the frame's size.
    """
    face, size = small_double_face(), 128
    parameters = lit_parameters(face)
    value = parameters.parts()[name]

    def loss(part):
        return soft_loss(render(face, parameters.replace(**{name: part}), size), size)

    analytic, numeric = slopes(loss, value, reach)
    assert analytic == pytest.approx(numeric, rel=0.05)


@pytest.fixture(scope="module")
def head_double():
    """The proxy of our head in float64, and a person with an expression, turned aside."""
    face = in_double(replace(load_face_model(None).proxy))
    parameters = lit_parameters(face)
    rotation = torch.tensor([[0.35, 0.1, 0.0]]).double()
    parts = {"identity": 0.5 * parameters.identity, "expression": 0.15 * parameters.expression}
    return face, align(face, parameters.replace(rotation=rotation, **parts))


@pytest.mark.parametrize(("what", "tolerance"), [("mask", 0.1), ("colour", 0.25)])
@pytest.mark.parametrize(
    ("name", "reach"),
    [("identity", 0.3), ("expression", 0.2), ("rotation", 0.05), ("translation", 0.6)],
)
def test_gradients_on_our_head(head_double, what: str, tolerance: float, name: str, reach: float) -> None:
    """Colour less closely than coverage: pixels jump where parts pierce each other."""
    face, parameters = head_double
    value = parameters.parts()[name]

    def loss(part):
        pictures = render(face, parameters.replace(**{name: part}), 128)
        return soft_loss(pictures | ({"colour": 0 * pictures["colour"]} if what == "mask" else {}), 128)

    analytic, numeric = slopes(loss, value, reach)
    assert analytic == pytest.approx(numeric, rel=tolerance)


@pytest.mark.parametrize("name", ["distance", "half_width"])
def test_camera_gradients_equal_finite_differences(name: str) -> None:
    face, size = small_double_face(), 128
    parameters = lit_parameters(face)
    values = {"distance": 120.0, "half_width": 12.5}

    def loss(value):
        return soft_loss(render(face, parameters, size, Camera(**{**values, name: value})), size)

    value = torch.tensor(values[name], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(value), value)
    step = 0.02 * values[name]
    numeric = (loss(value + step) - loss(value - step)).item() / (2 * step)
    assert gradient.item() == pytest.approx(numeric, rel=0.04)


def test_gradients_inside_are_exact() -> None:
    """Away from edges weights and depths are smooth functions of the corners."""
    points = torch.tensor([[[-3.0, -2.5, 110.0], [2.5, -3.0, 120.0], [0.3, 4.0, 131.0]]]).double()
    triangles = torch.tensor(((0, 1, 2),))

    def fragments(ndc):
        seen = rasterize(ndc, triangles, 4)
        return seen.weights, seen.depths

    assert torch.autograd.gradcheck(fragments, points.requires_grad_())


def test_coverage_gradient_moves_the_outline() -> None:
    """Covered area grows with the head's nearness exactly as its finite difference."""
    face, size = small_double_face(), 40
    parameters = lit_parameters(face)
    # All of the outline inside the frame, where area is a smooth function.
    parameters = parameters.replace(translation=torch.tensor(((0.0, 0.0, -60.0),)).double())

    def area(depth):
        moved = parameters.translation + torch.stack((depth * 0, depth * 0, depth)).unsqueeze(0)
        return render(face, parameters.replace(translation=moved), size, outputs=("mask",))["mask"].sum()

    depth = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(area(depth), depth)
    numeric = (area(depth + 1.0) - area(depth - 1.0)).item() / 2
    assert gradient.item() == pytest.approx(numeric, rel=0.02)
    assert gradient > 0


def test_gradient_descent_finds_a_pose() -> None:
    face, size = synthetic_face(800), 32
    goal = lit_parameters(face)
    wanted = render(face, goal, size)
    pose = torch.zeros(1, 6, requires_grad=True)
    optimizer = torch.optim.Adam([pose], lr=0.02)
    losses = []
    for _ in range(60):
        rotation, shift = goal.rotation + 0.12 + pose[:, :3], goal.translation + 4 * pose[:, 3:]
        pictures = render(face, goal.replace(rotation=rotation, translation=shift + 0.4), size)
        loss = sum((pictures[name] - wanted[name]).square().mean() for name in wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("cull", [True, False])
def test_the_compiled_kernel_sees_what_tensors_see(cull: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fragments_module.kernels() is not None
    points, triangles = triangle_soup(frames=3, count=60)
    points = points.float()
    compiled = rasterize(points, triangles, size=96, cull=cull)
    assert torch.equal(fragments_module.seen_triangles(points, triangles, 96), rasterize(points, triangles, 96).triangle)
    monkeypatch.setattr(fragments_module, "kernels", lambda: None)
    plain = rasterize(points, triangles, size=96, cull=cull)
    assert (compiled.triangle != plain.triangle).float().mean() < 1e-4  # a pixel's centre on an edge may round to either side
    for frame in range(3):
        triangle, _ = brute_force(points[frame], triangles, 96, cull)
        assert (compiled.triangle[frame] != triangle).float().mean() < 1e-3


def test_attributes_are_painted_as_they_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    points, triangles = triangle_soup(frames=2, count=30)
    points = points.float()
    attributes = torch.rand(2, points.shape[1], 5, generator=torch.Generator().manual_seed(1))
    expected = torch.full((2, 48, 48, 8), 7.0)
    seen = rasterize(points, triangles, 48)
    gathered = interpolate(seen, attributes)
    expected[..., 2:7] = torch.where((seen.triangle >= 0)[..., None], gathered, expected[..., 2:7])
    for compiled in (True, False):
        maps = torch.full((2, 48, 48, 8), 7.0)
        if not compiled:
            monkeypatch.setattr(fragments_module, "kernels", lambda: None)
        fragments_module.paint(maps, 2, attributes, points, triangles)
        assert torch.allclose(maps, expected, atol=2e-4)


@pytest.mark.parametrize("compiled", [True, False])
def test_painted_pixels_are_the_mean_of_points_in_them(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(fragments_module, "kernels", lambda: None)
    points, triangles = triangle_soup(frames=2, count=10)
    points = points.float()
    attributes = torch.rand(2, points.shape[1], 5, generator=torch.Generator().manual_seed(1))
    fine, coarse = torch.zeros(2, 96, 96, 5), torch.zeros(2, 32, 32, 7)
    fragments_module.paint(fine, 0, attributes, points, triangles)
    coarse[..., :2] = 7.0  # other channels stay
    fragments_module.paint(coarse, 2, attributes, points, triangles, samples=3)
    mean = torch.nn.functional.avg_pool2d(fine.movedim(-1, 1), 3).movedim(1, -1)
    assert torch.allclose(coarse[..., 2:], mean, atol=2e-4) and (coarse[..., :2] == 7).all()
    partly = (mean[..., 0] > 0) & (fine.movedim(-1, 1)[:, 0].unflatten(1, (32, 3)).unflatten(3, (32, 3)).amin(dim=(2, 4)) == 0)
    assert partly.any()
