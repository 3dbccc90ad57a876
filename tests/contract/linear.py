"""[F31] A long text costs no more instructions a byte than a short one, and many bad keys no more each than few, as callgrind counts them: linear.py --include DIR -- COMPILER...

It may cost less: a C library copies in other ways beyond some size.
"""
import os
import pathlib
import re
import shutil
import sys

import toolchain
from toolchain import HERE, fail, skip

WITHIN = 0.1


def main():
    _, compiler = toolchain.arguments(0)
    if shutil.which('valgrind') is None:
        skip('valgrind is not installed')
    with toolchain.scratch() as folder:
        program, out = pathlib.Path(folder) / 'linear', pathlib.Path(folder) / 'out'
        compiler.must(['-O2', HERE / 'linear.cpp', '-o', program], 'linear.cpp')
        done = toolchain.run(['valgrind', '--quiet', '--tool=callgrind', '--toggle-collect=measured', '--dump-after=measured',
                              '--callgrind-out-file=%s' % out, program],
                             env=dict(os.environ, GLIBC_TUNABLES='glibc.cpu.x86_rep_movsb_threshold=1000000000'))
        if done.returncode != 0:
            if 'not so' in done.stdout:
                fail(done.stdout)
            skip('callgrind does not work here: ' + done.stdout[-300:])
        rows = re.findall(r'^([^\t\n]+)\t(\d+)$', done.stdout, re.MULTILINE)
        counts = [int(re.search(r'^(?:totals|summary): (\d+)', pathlib.Path('%s.%d' % (out, i + 1)).read_text(encoding='utf-8'),
                                re.MULTILINE).group(1)) for i in range(len(rows))]
    if len(rows) < 40 or len(rows) % 4 != 0:
        fail('only %d inputs were measured: this test is broken' % len(rows))
    wrong = []
    for at in range(0, len(rows), 4):
        each = [count / int(size) for (_, size), count in zip(rows[at:at + 4], counts[at:at + 4])]
        line = '%s: %s instructions a byte or key' % (rows[at][0], ', '.join('%.3f' % n for n in each))
        print(line)
        if each[0] < 0.05:
            fail('nothing was counted: this test is broken', line)
        if max(each) > (1 + WITHIN) * each[0]:
            wrong.append('  ' + line)
    if wrong:
        fail('not linear within %d %%, each twice as large as the one before:' % (100 * WITHIN), *wrong)
    return 0


if __name__ == '__main__':
    sys.exit(main())
