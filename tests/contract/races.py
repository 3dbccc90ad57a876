"""[F52] Built with clang's ThreadSanitizer and run: races.py PROGRAM [ARGUMENTS OF THE PROGRAM] --include DIR -- COMPILER...

PROGRAM is `outbox` (tests/outbox.cpp, the Catch2 facet) or `stress` (tests/outbox_stress.cpp), or `helgrind`, which
runs the stress program under valgrind instead.
"""
import os
import pathlib
import shutil
import sys

import toolchain
from toolchain import HERE, fail, find_first, run, skip

TESTS = HERE.parent
SOURCES = {
    'outbox': ['main.cpp', 'outbox.cpp'],
    'stress': ['outbox_stress.cpp'],
    'helgrind': ['outbox_stress.cpp'],
}


def clang(compiler):
    """The compiler in use if it is clang, else one that is installed: gcc 11's ThreadSanitizer sees what is not there."""
    if compiler.is_clang:
        return compiler
    name = find_first('clang++', 'clang++-19', 'clang++-14')
    if name is None:
        skip('no clang++ is installed')
    return toolchain.Compiler([name], compiler.include)


def build(compiler, program, flags, folder):
    out = pathlib.Path(folder) / program
    sources = [TESTS / s for s in SOURCES[program]]
    compiler.must(flags + ['-O1', '-g', '-I', TESTS] + sources + ['-o', out, '-pthread'], program)
    return out


def main():
    own, compiler = toolchain.arguments(1)
    program, arguments = own[0], own[1:]
    compiler = clang(compiler)
    under, flags = [], ['-fsanitize=thread']
    if program == 'helgrind':
        if shutil.which('valgrind') is None:
            skip('valgrind is not installed')
        under, flags = ['valgrind', '--tool=helgrind', '--quiet', '--error-exitcode=9'], []
    with toolchain.scratch() as folder:
        probe = pathlib.Path(folder) / 'probe'
        if compiler.output(flags + ['-o', probe], 'int main() {}\n').returncode != 0 or run([probe]).returncode != 0:
            skip('%s has no ThreadSanitizer that works here' % compiler)
        done = run(under + [build(compiler, program, flags, folder)] + arguments,
                   env=dict(os.environ, TSAN_OPTIONS='halt_on_error=1 second_deadlock_stack=1'))
    print(done.stdout[-20000:])
    if done.returncode != 0:
        fail('%s ended with %d' % (program, done.returncode))
    return 0


if __name__ == '__main__':
    sys.exit(main())
