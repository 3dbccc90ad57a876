// A program of emscripten has an environment of its own: give it the real one.
Module.preRun = () => { Object.assign(ENV, process.env); };
