// SPDX-License-Identifier: GPL-3.0-or-later
// Flamenco job type: hands of a clip or a numbered sequence. Each task reconstructs a part of the frames; the last one
// joins the parts and cleans the motion. See docs/farm.md.

const JOB_TYPE = {
    label: "Im2Hands Reconstruction",
    settings: [
        { key: "source", type: "string", subtype: "file_path", required: true,
          description: "Clip, folder or pattern of numbered pictures, on the shared storage" },
        { key: "take", type: "string", subtype: "dir_path", required: true,
          description: "Folder of the take to make, on the shared storage" },
        { key: "frames", type: "string", required: true,
          description: "Frames of the source, for example 1-240. The first frame of a clip is 1" },
        { key: "chunk_size", type: "int32", default: 60,
          description: "Frames in each task. Hands are followed inside a task only, so longer parts are steadier" },
        { key: "options", type: "string", default: "",
          description: "More options of im2hands reconstruct, for example --hands both --fov 60 --device cuda" },
        { key: "clean", type: "bool", default: true,
          description: "Make rigged hands with clean motion of the joined take" },
        { key: "executable", type: "string", default: "im2hands",
          description: "The backend's program on the workers; a variable such as {im2hands} is possible" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const options = words(settings.options);
    const parts = [];
    const join = author.Task("join", "misc");
    for (const chunk of frameChunker(settings.frames, settings.chunk_size)) {
        const part = settings.take + ".parts/" + chunk;
        const task = author.Task("hands-" + chunk, "misc");
        const command = ["reconstruct", settings.source, "--output", part, "--frames", chunk, "--no-clean"];
        task.addCommand(run(settings, command.concat(options)));
        job.addTask(task);
        join.addDependency(task);
        parts.push(part);
    }
    join.addCommand(run(settings, ["join"].concat(parts, ["--output", settings.take])));
    if (settings.clean) {
        join.addCommand(run(settings, ["clean", settings.take]));
    }
    job.addTask(join);
}

function run(settings, args) {
    return author.Command("exec", { exe: settings.executable, args: args });
}

// Splits a command line at blanks; what stands in double quotes stays together.
function words(text) {
    const found = (text || "").match(/"[^"]*"|[^\s"]+/g) || [];
    return found.map(function (word) { return word.replace(/^"(.*)"$/, "$1"); });
}
