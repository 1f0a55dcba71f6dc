"""What the extension leaves behind, how its operators undo and present themselves."""

from __future__ import annotations

import gc
import importlib
import threading
import time

import bpy
import fake_backend
import pytest

MINE = "stylerig"
KINDS = (
    bpy.types.Operator, bpy.types.Panel, bpy.types.Menu, bpy.types.PropertyGroup, bpy.types.RenderEngine, bpy.types.AddonPreferences,
)  # fmt: skip


@pytest.fixture
def rig(backend, empty_scene):
    bpy.ops.stylerig.new_portrait(seed=11, truncation=0.5)
    return bpy.context.view_layer.objects.active


def registered(extension) -> set[str]:
    classes = [cls for kind in KINDS for cls in kind.__subclasses__()]
    return {cls.__name__ for cls in classes if cls.__module__.startswith(extension.__name__) and cls.is_registered}


def handlers(extension) -> list:
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)]
    return [one for found in lists if isinstance(found, list) for one in found if one.__module__.startswith(extension.__name__)]


def properties() -> set[str]:
    """Names that are registered on Blender's own types and are ours."""
    kinds = [getattr(bpy.types, name) for name in dir(bpy.types) if MINE not in name.lower()]
    return {f"{kind.__name__}.{name}" for kind in kinds for name in getattr(kind, "__dict__", ()) if MINE in name}


def drawn_into_menus(extension) -> list:
    draws = getattr(bpy.types.TOPBAR_MT_file_import.draw, "_draw_funcs", [])
    return [draw for draw in draws if draw.__module__.startswith(extension.__name__)]


def engines_panels() -> list:
    return [panel for panel in bpy.types.Panel.__subclasses__() if "STYLERIG" in getattr(panel, "COMPAT_ENGINES", ())]


def timers(part) -> list:
    ours = (part("live.controller").tick, part("ui.portrait").collect, part("ui.installation").watch)
    return [timer for timer in ours if bpy.app.timers.is_registered(timer)]


def test_unregister_leaves_nothing(extension, part, rig):
    """With everything running that can run."""
    bpy.ops.stylerig.live_view()
    bpy.context.window_manager.stylerig_gallery.count = 2
    bpy.ops.stylerig.draw_gallery()
    part("ui.light").ball_icon(rig, bpy.context.evaluated_depsgraph_get())
    assert registered(extension) and handlers(extension) and properties() and drawn_into_menus(extension) and engines_panels()
    assert len(timers(part)) == 2 and part("ui.thumbnails")._PREVIEWS
    extension.unregister()
    try:
        assert not registered(extension) and not handlers(extension) and not properties()
        assert not drawn_into_menus(extension) and not engines_panels() and not timers(part)
        assert not part("ui.thumbnails")._PREVIEWS and not part("ui.portrait").CANDIDATES
        assert not part("client.backend_manager").BACKEND.running and not part("client.backend_manager").ENVIRONMENT.busy
        end = time.monotonic() + 10
        while any(thread.name.startswith("StyleRig") for thread in threading.enumerate()):
            assert time.monotonic() < end, [thread.name for thread in threading.enumerate()]
            time.sleep(0.05)
    finally:
        extension.register()
    assert registered(extension) and len(drawn_into_menus(extension)) == 1


def test_registering_is_quick(extension):
    times = []
    gc.disable()  # as timeit does: a collection of all that Blender and pytest hold is not ours
    try:
        for _ in range(3):
            extension.unregister()
            started = time.thread_time()  # of the processor: other programs may hold it up
            extension.register()
            times.append(time.thread_time() - started)
    finally:
        gc.enable()
    assert min(times) < 0.05  # seconds


def test_every_icon_exists(extension):
    """Names of icons in the source are names that this Blender has."""
    import re
    from pathlib import Path

    known = set(bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items.keys())
    used = set()
    for path in Path(extension.__file__).parent.glob("ui/*.py"):
        used |= set(re.findall(r'icon="([A-Z_0-9]+)"', path.read_text(encoding="utf-8")))
    for _text, icon, _action in importlib.import_module(f"{extension.__name__}.ui.installation").STATES.values():
        used.add(icon)
    used |= set(importlib.import_module(f"{extension.__name__}.ui.status").STATES.values())
    assert len(used) > 15 and used <= known, used - known


@pytest.fixture
def override(part, empty_scene, tmp_path):
    """The rig of another file, linked and overridden, in a saved file."""
    portrait = fake_backend.new_portrait(11, 0.5)
    rig = part("rig.build").build_rig(bpy.context, portrait, fake_backend.mesh_of(portrait))
    scene, collection = bpy.context.scene, bpy.data.collections.new("Character")
    scene.collection.children.link(collection)
    for item in (rig, rig.stylerig.head):
        collection.objects.link(item)
        scene.collection.objects.unlink(item)
    library = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["Character"]
    wanted.collections[0].override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return overridden()


def overridden() -> bpy.types.Object:
    return next(item for item in bpy.data.objects if item.override_library and item.type == "ARMATURE")


def test_an_overridden_rig_keeps_its_light_and_pose(part, override, tmp_path):
    bpy.context.view_layer.objects.active = override
    bpy.ops.stylerig.light_preset(preset="Sunset")
    override.stylerig.light_strength = 2
    override.pose.bones["head"].rotation_euler = (0, 0.3, 0)
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    controls = part("rig.read_rig").read_controls(overridden(), bpy.context.evaluated_depsgraph_get())[1]
    expected = 2 * part("rig.light").preset("Sunset")
    assert abs(controls["light"][3][0] - expected[3, 0]) < 1e-4 and abs(controls["rotation"][0] - 0.3) < 1e-5


def test_an_overridden_rigs_expression_is_kept_too(part, override, tmp_path):
    """Its shape keys are overridden when they are first changed, or by the button."""
    bpy.context.view_layer.objects.active = override
    assert not part("rig.controls").shape_keys_of(override).is_editable and bpy.ops.stylerig.override_expression.poll()
    assert bpy.ops.stylerig.apply_pose(pose="Ah") == {"FINISHED"}
    assert not bpy.ops.stylerig.override_expression.poll()
    keys = part("rig.controls").editable_keys(override)
    for frame, value in ((1, 0.0), (11, 1.0)):
        keys.key_blocks["mouthSmile_L"].value = value
        keys.key_blocks["mouthSmile_L"].keyframe_insert("value", frame=frame)
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.context.scene.frame_set(6)
    expression = part("rig.read_rig").read_controls(overridden(), bpy.context.evaluated_depsgraph_get())[1]["expression"]
    assert abs(expression["jawOpen"] - 0.6) < 1e-5 and abs(expression["mouthSmile_L"] - 0.5) < 1e-5


def test_an_overridden_rig_keeps_its_face(part, override):
    portrait = fake_backend.new_portrait(12, 0.5)
    with pytest.raises(part("errors").UserError, match=r"is linked.*Make it local first"):
        part("rig.build").replace_portrait(bpy.context, override, portrait, fake_backend.mesh_of(portrait))
    assert part("rig.read_rig").portrait_of(override)["seed"] == 11
