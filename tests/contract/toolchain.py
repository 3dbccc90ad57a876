"""What the scripts of this folder share: the compiler under test, and how a test ends.

Every script is called as:  SCRIPT [ITS ARGUMENTS] --include DIR -- COMPILER...
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77  # meson's exit code for "skipped"


def skip(why):
    print('SKIPPED: ' + why)
    sys.exit(SKIPPED)


def fail(*lines):
    print('FAILED: ' + '\n'.join(lines))
    sys.exit(1)


def run(command, **more):
    """Runs a command without a shell; stdout and stderr together, as text."""
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding='utf-8', errors='replace', check=False, **more)


def find_first(*names):
    return next((n for n in names if shutil.which(n)), None)


class Compiler:
    def __init__(self, command, include, std='-std=c++17'):
        self.command = list(command)
        self.include = pathlib.Path(include).resolve()
        self.std = std
        macros = self.output(['-dM', '-E'], '#include <cstddef>\n').stdout
        self.is_clang = '#define __clang__' in macros
        self.is_gcc = '#define __GNUC__' in macros and not self.is_clang
        self.macros = dict((line.split(None, 2) + [''])[1:3] for line in macros.splitlines())

    @property
    def header(self):
        return self.include / 'outbound.hpp'

    def __str__(self):
        return ' '.join(self.command)

    def call(self, arguments, std=None, **more):
        return run(self.command + [std or self.std, '-I', self.include, '-I', HERE] + list(arguments), **more)

    def output(self, arguments, source, std=None):
        """Compiles a text; the compiler's output goes to stdout."""
        # In HERE, where there is no outbound.hpp: a text's "..." are looked up in the current folder first.
        return self.call(list(arguments) + ['-x', 'c++', '-'], std=std, input=source, cwd=HERE)

    def must(self, arguments, what, **more):
        done = self.call(arguments, **more)
        if done.returncode != 0:
            fail(what + ' does not build:', ' '.join(str(a) for a in self.command + list(arguments)), done.stdout)
        return done

    def accepts(self, flags):
        return self.output(list(flags) + ['-Werror', '-fsyntax-only'], 'int main() {}\n').returncode == 0


def arguments(count):
    """The script's own arguments, at least `count`, and the compiler."""
    own = sys.argv[1:]
    if '--' not in own or '--include' not in own:
        sys.exit(__doc__)
    split = own.index('--')
    command = own[split + 1:]
    own = own[:split]
    at = own.index('--include')
    include = own[at + 1]
    del own[at:at + 2]
    if len(own) < count or not command:
        sys.exit(__doc__)
    return own, Compiler(command, include)


def scratch():
    return tempfile.TemporaryDirectory(prefix='outbound-contract-')
