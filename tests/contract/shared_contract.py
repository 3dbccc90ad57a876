"""The programs of ../shared/contract, unchanged, compile without a warning and run:
shared_contract.py PROGRAM --include DIR -- COMPILER...

The folder is OUTBOUND_SHARED/contract, or shared/contract beside the repository.
"""
import os
import pathlib
import sys

import toolchain
from toolchain import fail, skip

FLAGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']


def folder(include):
    named = os.environ.get('OUTBOUND_SHARED')
    for place in [pathlib.Path(named)] if named else [include.resolve().parent / 'shared']:
        if (place / 'contract').is_dir():
            return place / 'contract'
    return skip('there is no shared/contract: set OUTBOUND_SHARED' if not named else named + '/contract is not there')


def main():
    (name,), compiler = toolchain.arguments(1)
    programs = folder(compiler.include)
    if name == 'must_not_compile':
        done = toolchain.run(['bash', programs / 'must_not_compile.sh', compiler.command[-1], compiler.include])
        if done.returncode != 0:
            fail(done.stdout)
        print(done.stdout.strip())
        return
    if not (programs / (name + '.cpp')).is_file():
        fail('%s has no %s.cpp' % (programs, name))
    with toolchain.scratch() as build:
        program = pathlib.Path(build) / name
        compiler.must(FLAGS + ['-pthread', programs / (name + '.cpp'), '-o', program], name + '.cpp')
        done = toolchain.run([program], timeout=120)
        if done.returncode != 0:
            fail('%s ended with %d:' % (name, done.returncode), done.stdout)


if __name__ == '__main__':
    sys.exit(main())
