"""[F7] [F64] [F72] [F73] One program, built in many ways, prints the same: corpus.py VARIANT REFERENCE --include DIR -- COMPILER...

REFERENCE is tests/platforms/corpus.cpp as this build made it. VARIANT is a key of VARIANTS, or `valgrind`.
"""
import pathlib
import shutil
import subprocess
import sys

import toolchain
from toolchain import HERE, fail, skip

CORPUS = HERE.parent / 'platforms' / 'corpus.cpp'
DATA = HERE.parent / 'data'

# name: (compiler or None for the one in use, flags and further files, what runs it)
VARIANTS = {
    'unsigned-char': (None, ['-O2', '-funsigned-char'], []),
    'signed-char': (None, ['-O2', '-fsigned-char'], []),
    'fast-math': (None, ['-O2', '-ffast-math'], []),
    'lto': (None, ['-O3', '-flto'], []),
    'unoptimised': (None, ['-O0'], []),
    'small': (None, ['-Os', '-ffunction-sections', '-fno-exceptions', '-fno-rtti'], []),
    'separate': (None, ['-O2', '-DOUTBOUND_SEPARATE', HERE / 'implementation.cpp'], []),
    'checked-library': (None, ['-O1', '-D_GLIBCXX_DEBUG', '-D_GLIBCXX_DEBUG_PEDANTIC', '-D_GLIBCXX_ASSERTIONS',
                               '-D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_DEBUG'], []),
    'c++20': (None, ['-O2', '-std=c++20'], []),
    'clang-fast-math': ('clang++-19', ['-O2', '-ffast-math'], []),
    '32-bit': (None, ['-O2', '-m32', '-idirafter', '/usr/include/x86_64-linux-gnu'], []),
    '32-bit-x87': (None, ['-O2', '-m32', '-mfpmath=387', '-mno-sse', '-idirafter', '/usr/include/x86_64-linux-gnu'], []),
    's390x': ('s390x-linux-gnu-g++', ['-O2'], ['qemu-s390x', '-L', '/usr/s390x-linux-gnu']),
    'powerpc': ('powerpc-linux-gnu-g++', ['-O2'], ['qemu-ppc', '-L', '/usr/powerpc-linux-gnu']),
    'armhf': ('arm-linux-gnueabihf-g++', ['-O2'], ['qemu-arm', '-L', '/usr/arm-linux-gnueabihf']),
    'aarch64': ('aarch64-linux-gnu-g++', ['-O2'], ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu']),
    'riscv64': ('riscv64-linux-gnu-g++', ['-O2'], ['qemu-riscv64', '-L', '/usr/riscv64-linux-gnu']),
}


def output_of(command, *part):
    done = subprocess.run([str(c) for c in command + [DATA, *part]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        fail('%s ended with %d:' % (command[-1], done.returncode), done.stderr.decode('utf-8', 'replace'))
    return done.stdout


def compare(reference, other, name):
    parts, others = output_of([reference]).splitlines(), output_of(other).splitlines()
    if len(parts) < 5:
        fail('the reference printed only %d lines: this test is broken' % len(parts))
    if parts == others:
        print(*(p.decode() for p in parts), sep='\n')
        return
    part = next(p for i, p in enumerate(parts) if others[i:i + 1] != [p]).split()[0].decode()
    lines, others = output_of([reference], part).split(b'\n'), output_of(other, part).split(b'\n')
    differing = [i for i in range(max(len(lines), len(others))) if lines[i:i + 1] != others[i:i + 1]]
    fail('%d of %d lines of the part %s differ in the build %s; the first:' % (len(differing), len(lines), part, name),
         *('  line %d\n    reference %.300s\n    %-9s %.300s' % (i + 1, lines[i:i + 1], name, others[i:i + 1])
           for i in differing[:5]))


def valgrind(reference, _):
    """[F64] valgrind sees no read of what was never written, no bad access, no leak."""
    if shutil.which('valgrind') is None:
        skip('valgrind is not installed')
    command = ['valgrind', '--quiet', '--error-exitcode=9', '--leak-check=full', '--errors-for-leak-kinds=definite,indirect']
    probe = toolchain.run(command + ['/bin/true'])
    if probe.returncode != 0:
        skip('valgrind does not work here: ' + probe.stdout.strip()[:300])
    compare(reference, command + [reference], 'valgrind')


def main():
    (variant, reference), compiler = toolchain.arguments(2)
    if variant == 'valgrind':
        return valgrind(reference, compiler)
    name, flags, runner = VARIANTS[variant]
    if name is not None:
        for tool in [name] + runner[:1]:
            if shutil.which(tool) is None:
                skip('%s is not installed' % tool)
        compiler = toolchain.Compiler([name], compiler.include)
    elif not links(compiler, [f for f in flags if not str(f).endswith('.cpp')]):
        skip('%s cannot build with %s here' % (compiler, flags))
    with toolchain.scratch() as folder:
        program = pathlib.Path(folder) / 'corpus'
        std = next((f for f in flags if str(f).startswith('-std=')), None)
        compiler.must(flags + [CORPUS, '-o', program], 'the corpus', std=std)
        compare(reference, (runner or runner_here(program)) + [program], variant)
    return 0


def runner_here(program):
    """What runs a program of this machine's family: nothing, or qemu where the kernel takes no 32-bit ones."""
    try:
        subprocess.run([str(program)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return []
    except OSError:
        if shutil.which('qemu-i386') is None:
            skip('the kernel does not run it, and qemu-i386 is not installed')
        return ['qemu-i386']


def links(compiler, flags):
    """Whether there is a library for these flags at all."""
    with toolchain.scratch() as folder:
        source = '#include <string>\nint main(int n, char**) { return std::string(5, \'x\').size() == 5U + n ? 1 : 0; }\n'
        return compiler.output(flags + ['-o', pathlib.Path(folder) / 'probe'], source).returncode == 0


if __name__ == '__main__':
    sys.exit(main())
