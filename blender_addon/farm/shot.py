"""What of a scene goes to a farm. Main thread; raises UserError where a farm could not draw it."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..client.backend_manager import launch_settings
from ..client.process import LaunchSettings
from ..errors import Text, UserError
from ..render import farm_script, output_files, rig_file
from ..render.farm_check import check_scene
from ..rig.read_rig import rigs_in
from ..settings import setting
from .flamenco import FlamencoJob, Manager
from .ray import RayJob


def check_saved(scene: bpy.types.Scene) -> None:
    """The farm reads the file, and no other than that of this scene as it is now."""
    if not is_saved():
        raise UserError("not_saved", "A farm renders the file as it was saved, and it is not.", "Save it first.")
    check_scene(scene)
    if scene.render.is_movie_format:
        raise UserError(
            "film_format",
            "Machines of a farm cannot write one film together.",
            "Choose a file format of single pictures; films come after.",
        )


def is_saved() -> bool:
    """Whether the file on disk is what is open. Without a window Blender 4.5 calls every file changed."""
    return bool(bpy.data.filepath) and (bpy.app.background or not bpy.data.is_dirty)


def frames_text(scene: bpy.types.Scene) -> str:
    """The scene's frames as farms write them: "1-48", or "1,3,5"."""
    if scene.frame_step == 1:
        return f"{scene.frame_start}-{scene.frame_end}"
    return ",".join(map(str, range(scene.frame_start, scene.frame_end + 1, scene.frame_step)))


def output_folder(scene: bpy.types.Scene) -> Path:
    return output_files.pictures(scene, scene.frame_start)[0].parent


class FlamencoOrder:
    """The saved scene for Flamenco, rendered by the workers' Blenders: its own frames, view layers, files."""

    def __init__(self, context: bpy.types.Context):
        scene = context.scene
        check_saved(scene)
        if farm_script.NAME not in bpy.data.texts:
            raise UserError(
                "no_script",
                "The file lacks the text {name}, by which a farm sees whether its machines can draw portraits.",
                "Use Set Up Sequence Output, and save the file.",
                name=farm_script.NAME,
            )
        self.manager = Manager(setting("flamenco_manager"))
        check_online(self.manager.url)
        self.name = f"{Path(bpy.data.filepath).stem} {scene.name}"
        self.settings = {
            "renderer": "Blender", "blendfile": bpy.data.filepath, "scene": scene.name, "own_output": True,
            "frames": frames_text(scene), "chunk_size": scene.stylerig.farm_chunk, "render_output": str(output_folder(scene)),
            "format": "png" if scene.render.image_settings.file_format == "PNG" else "exr",
            "fps": scene.render.fps / scene.render.fps_base,
        }  # fmt: skip

    def submit(self) -> FlamencoJob:
        return self.manager.submit(self.name, self.settings)


class RayOrder:
    """The scene's one portrait as a rig file for Ray, drawn without Blender."""

    def __init__(self, context: bpy.types.Context):
        scene = context.scene
        check_saved(scene)
        self.launch: LaunchSettings = launch_settings()
        self.content = rig_file.rig_file(context, only_portrait(scene))
        self.name, self.folder = Path(bpy.data.filepath).stem, output_folder(scene)
        whole = scene.render.image_settings.file_format.startswith("OPEN_EXR")
        self.options = ["--format", "exr" if whole else "png", "--ray", setting("ray_address").strip() or "local"]
        if setting("ray_workers"):
            self.options += ["--workers", str(setting("ray_workers"))]

    def submit(self) -> RayJob:
        path = self.folder / f"{self.name}.json"
        rig_file.save(path, self.content)
        return RayJob(self.launch, self.name, path, self.folder, self.options)


def only_portrait(scene: bpy.types.Scene) -> bpy.types.Object:
    """The one rig of a scene that a rig file can hold. Raises UserError for more, and for what else only Blender draws."""
    hint = Text("Choose Flamenco, whose machines have Blender.")
    rigs = [rig for rig in rigs_in(scene) if not rig.hide_render]
    if len(rigs) != 1:
        raise UserError("not_one_portrait", "Ray draws scenes of one portrait; here are {count}.", hint, count=len(rigs))
    if scene.render.use_multiview:
        raise UserError("stereo", "Ray draws no stereoscopy.", hint)
    if scene.render.use_motion_blur:
        raise UserError("motion_blur", "Ray draws no motion blur.", hint)
    return rigs[0]


def check_online(url: str) -> None:
    """Raise UserError where the preferences forbid the network, and ``url`` is not on this computer."""
    here = url.split("//")[-1].partition("/")[0].rpartition(":")[0] in ("localhost", "127.0.0.1", "[::1]")
    if not here and not bpy.app.online_access:
        raise UserError("offline", "Blender's preferences forbid the network.", "Turn on Allow Online Access in Preferences › System.")


ORDERS: dict[str, type[FlamencoOrder] | type[RayOrder]] = {"FLAMENCO": FlamencoOrder, "RAY": RayOrder}
