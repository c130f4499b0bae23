// Runs a Python script in the CPython that the npm package `pyodide` brings, with folders of this machine in their places.
//   node pyodide.mjs PYODIDE_FOLDER FOLDER,... SCRIPT [ARGUMENT...]
import { pathToFileURL } from "node:url";

const [pyodide, folders, script, ...given] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${pyodide}/pyodide.mjs`));
const python = await loadPyodide({ indexURL: pyodide });
for (const folder of folders.split(",")) python.mountNodeFS(folder, folder);
python.globals.set("given", python.toPy([script, ...given]));
python.runPython("import runpy, sys; sys.argv = list(given); runpy.run_path(sys.argv[0], run_name='__main__')");
