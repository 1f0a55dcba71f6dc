// SPDX-License-Identifier: GPL-3.0-or-later
// Job type of Flamenco 3: frames of a rig file without Blender, or of a scene with it, then a film and a contact sheet.
// Installed by: python -m backend job-type flamenco "/path/to/flamenco/scripts"
// The manager needs two variables: {stylerigPython}, the backend's Python, and {stylerig}, the folder that holds backend/.

const JOB_TYPE = {
    label: "StyleRig Render",
    description: "Frames of a StyleRig rig file, or of a scene with the StyleRig engine; then a film and a contact sheet",
    settings: [
        { key: "renderer", type: "string", choices: ["rig file", "Blender"], default: "rig file", visible: "submission",
          description: "'rig file' needs no Blender on the workers" },
        { key: "rig_file", type: "string", subtype: "file_path", required: false, visible: "submission",
          description: "Rig file (shot.json), for the renderer 'rig file'" },
        { key: "blendfile", type: "string", required: false, visible: "web", description: "Scene, for the renderer 'Blender'" },
        { key: "scene", type: "string", required: false, visible: "web",
          description: "Name of the scene in the file; empty is the one it was saved in. For the renderer 'Blender'" },
        { key: "own_output", type: "bool", default: false, visible: "web",
          description: "Files and format are those of the scene's own output settings. For the renderer 'Blender'" },
        { key: "frames", type: "string", required: true,
          eval: "f'{C.scene.frame_start}-{C.scene.frame_end}'",
          evalInfo: { showLinkButton: true, description: "Scene frame range" },
          description: "Frames to render. Examples: '47', '1-30', '3, 5-10, 47-327'. Frames of a rig file count from 1" },
        { key: "chunk_size", type: "int32", default: 10, propargs: {min: 1}, visible: "submission",
          description: "Frames of one task; each task loads the models once" },
        { key: "render_output", type: "string", subtype: "dir_path", required: true, visible: "submission",
          description: "Folder of the frames, on storage that all workers see. Frames that are there and up to date are kept" },
        { key: "size", type: "int32", default: 0, propargs: {min: 0, max: 2048}, visible: "submission",
          description: "Pixels; 0 is the rig file's size. For the renderer 'rig file'" },
        { key: "format", type: "string", choices: ["png", "exr"], default: "png", visible: "submission",
          description: "exr gives no film. For the renderer 'rig file', or with the scene's own output" },
        { key: "fps", type: "float", default: 24.0, eval: "C.scene.render.fps / C.scene.render.fps_base", visible: "submission",
          description: "Frames a second of the film" },
    ]
};

// As in StyleRig Check, a text that the set-up buttons of the extension add to the scene.
const CHECK = "import bpy; exec(bpy.data.texts['StyleRig Check'].as_string())";
// A task that is queued again draws only what is missing.
const GO_ON = "import bpy; render = bpy.context.scene.render; render.use_overwrite = render.use_placeholder = False";

function compileJob(job) {
    const settings = job.settings;
    const ofScene = settings.renderer === "Blender";
    if (ofScene && !settings.blendfile) throw "The renderer 'Blender' needs a scene";
    if (!ofScene && !settings.rig_file) throw "The renderer 'rig file' needs a rig file";

    const frameTasks = [];
    for (const chunk of frameChunker(settings.frames, settings.chunk_size || 10)) {
        const task = ofScene ? sceneTask(settings, chunk) : rigFileTask(settings, chunk);
        frameTasks.push(task);
        job.addTask(task);
    }
    const allPng = ofScene && !settings.own_output;
    if (allPng || settings.format !== "exr") job.addTask(filmTask(settings, frameTasks));
}

// Flamenco reads the lines "Saved: '…'", "Time: …" and "skipping existing frame", which the program prints as Blender does.
function rigFileTask(settings, chunk) {
    const options = ["--frames", chunk, "--output", settings.render_output, "--format", settings.format || "png", "--resume"];
    if (settings.size) options.push("--size", `${settings.size}`);
    const command = author.Command("blender-render", {
        exe: "{stylerigPython}",
        exeArgs: "",
        argsBefore: ["{stylerig}/backend", "render", settings.rig_file],
        blendfile: "",
        args: options,
    }, frameCount(chunk));
    return taskOf(`render-${chunk}`, command);
}

function sceneTask(settings, chunk) {
    const output = ["--render-output", path.join(settings.render_output, "frame_####"), "--render-format", "PNG"];
    const command = author.Command("blender-render", {
        exe: "{blender}",
        exeArgs: "{blenderArgs}",
        argsBefore: [],
        blendfile: settings.blendfile,
        args: [
            ...(settings.scene ? ["--scene", settings.scene] : []),
            "--python-exit-code", "1", "--python-expr", GO_ON, "--python-expr", CHECK,
            ...(settings.own_output ? [] : output),
            "--render-frame", chunk.replaceAll("-", ".."),
            "--python-expr", CHECK,
        ],
    }, frameCount(chunk));
    return taskOf(`render-${chunk}`, command, "blender");
}

function filmTask(settings, after) {
    const film = path.join(settings.render_output, "film");
    const command = author.Command("exec", {
        exe: "{stylerigPython}",
        args: ["{stylerig}/backend", "film", settings.render_output, "--output", film, "--rate", `${settings.fps || 24}`],
    });
    const task = taskOf("film", command);
    after.forEach(other => task.addDependency(other));
    return task;
}

function taskOf(name, command, type = "misc") {
    const task = author.Task(name, type);
    task.addCommand(command);
    return task;
}
