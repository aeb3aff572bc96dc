// Writes the outcomes of the tables beside this file anew: node record.mjs MODULE
//
// MODULE hosts the editor's real code (README.md says how) and exports three functions:
//   mergeNotebooks(ours, theirs)       two texts -> the text of the merged notebook; throws where the editor does
//   mergeTrees(base, ours, theirs)     three trees -> the tree at the server after one sync, null where it fails
//   syncBeside(base, typed, pushes)    -> {files, merges}: the server's tree, and how many merges are in its history
// A tree is {path: Buffer}. `pushes` is [[phase, {path: Buffer or null}], ...]; null removes a file.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const real = await import(pathToFileURL(process.argv[2]));
const mapped = (tree, change) =>
    Object.fromEntries(Object.entries(tree).map(([path, content]) => [path, content === null ? null : change(content)]));
const bytes = (content) => (typeof content === "string" ? Buffer.from(content) : Buffer.from(content.hex, "hex"));
const files = (tree) => mapped(tree, bytes);
const texts = (tree) => tree && mapped(tree, (content) => content.toString());

async function notebook({ ours, theirs }) {
    try {
        return JSON.parse(await real.mergeNotebooks(JSON.stringify(ours), JSON.stringify(theirs)));
    } catch {
        return null;
    }
}

const makers = {
    notebooks: notebook,
    trees: async ({ base, ours, theirs }) => texts(await real.mergeTrees(files(base), files(ours), files(theirs))),
    syncs: async ({ base, typed, pushes }) => {
        const found = await real.syncBeside(files(base), files(typed), pushes.map(([phase, tree]) => [phase, files(tree)]));
        return { ...found, files: texts(found.files) };
    },
};

for (const [name, outcome] of Object.entries(makers)) {
    const table = new URL(`${name}.json`, import.meta.url);
    const content = JSON.parse(readFileSync(table));
    for (const entry of content.cases) entry.outcome = await outcome(entry);
    const cases = content.cases.map((entry) => "  " + JSON.stringify(entry)).join(",\n");
    writeFileSync(table, `{"made_with": ${JSON.stringify(content.made_with)}, "cases": [\n${cases}\n]}\n`);
}
