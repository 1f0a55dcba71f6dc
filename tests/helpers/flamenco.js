// Compiles a job as Flamenco's manager does: what a script finds there, in node. Prints the tasks as JSON.
// node flamenco.js SCRIPT '{"frames": "1-4", …}'
const fs = require("fs"), vm = require("vm"), nodePath = require("path").posix;

function explode(range) {
    const frames = new Set();
    for (const part of range.replaceAll("..", "-").split(",")) {
        const [first, last = first] = part.split("-").map(Number);
        for (let frame = first; frame <= last; frame++) frames.add(frame);
    }
    return [...frames].sort((a, b) => a - b);
}

function merge(frames) {
    const runs = [];
    for (const frame of frames) {
        const run = runs.at(-1);
        if (run && run.at(-1) === frame - 1) run.push(frame);
        else runs.push([frame]);
    }
    return runs.map(run => run.length < 3 ? run.join(",") : `${run[0]}-${run.at(-1)}`).join(",");
}

const author = {
    Task: (name, type) => ({
        name, type, commands: [], dependencies: [],
        addCommand(command) { this.commands.push(command); },
        addDependency(task) { this.dependencies.push(task.name); },
    }),
    Command: (name, parameters, totalStepCount = 0) => ({ name, parameters, totalStepCount }),
};
const globals = {
    author,
    print: () => {},
    frameChunker: (range, size) => {
        const frames = explode(range), chunks = [];
        for (let start = 0; start < frames.length; start += size) chunks.push(merge(frames.slice(start, start + size)));
        return chunks;
    },
    frameCount: range => explode(range).length,
    path: { join: nodePath.join, basename: nodePath.basename, dirname: nodePath.dirname, stem: name => nodePath.parse(name).name },
};

const [script, given] = process.argv.slice(2);
const context = vm.createContext(globals);
vm.runInContext(`"use strict";${fs.readFileSync(script, "utf-8")}\nthis.type = JOB_TYPE; this.compile = compileJob;`, context);
const settings = Object.fromEntries(context.type.settings.filter(one => "default" in one).map(one => [one.key, one.default]));
const job = { name: "shot", settings: { ...settings, ...JSON.parse(given) }, tasks: [], addTask(task) { this.tasks.push(task); } };
context.compile(job);
console.log(JSON.stringify({ type: context.type, tasks: job.tasks }));
