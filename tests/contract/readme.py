"""The README's first block of C++ is examples/quickstart.cpp, whole; the others compile as they stand there; and no
placeholder is left in it: readme.py --include DIR -- COMPILER...
"""
import re

import toolchain
from toolchain import fail

BEFORE = '''
#include "outbound.hpp"
#include "stores/sqlite.hpp"
template <class... T> void log(const T&...) {}
void count_a_loss(const outbound::event&);
'''
# What stands around each block, in their order.
FRAMES = [
    ('', '\nvoid use(outbound::track m) {\n', '\n}\n'),  # the types first, then the statement
    ('void use(outbound::client client, const outbound::user& ada) {\n', '', '\n}\n'),
    ('', '', ''),
]


def framed(block, frame):
    before, between, after = frame
    types, _, statements = block.rpartition('\n\n') if between else ('', '', block)
    return BEFORE + before + types + between + statements + after


if __name__ == '__main__':
    _, COMPILER = toolchain.arguments(0)
    README = (COMPILER.include / 'README.md').read_text(encoding='utf-8')
    QUICKSTART = (COMPILER.include / 'examples' / 'quickstart.cpp').read_text(encoding='utf-8')
    BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)
    if not BLOCKS or BLOCKS[0] != ('cpp', QUICKSTART):
        fail("the README's first block is not examples/quickstart.cpp")
    SNIPPETS = [text for language, text in BLOCKS[1:] if language == 'cpp']
    if len(SNIPPETS) != len(FRAMES):
        fail(f'{len(SNIPPETS)} blocks of C++ after the first, not {len(FRAMES)}')
    if COMPILER.output(['-fsyntax-only'], '#include <sqlite3.h>\n').returncode != 0:
        toolchain.skip("the README's blocks: they need libsqlite3-dev")
    for snippet, frame in zip(SNIPPETS, FRAMES):
        done = COMPILER.output(['-fsyntax-only', '-Wall', '-Wextra', '-I', COMPILER.include / 'examples'],
                               framed(snippet, frame))
        if done.returncode != 0:
            fail('a block of the README does not compile:', framed(snippet, frame), done.stdout)
    LEFT = re.findall(r'@[A-Z]+@', README)
    if LEFT:
        fail('placeholders: ' + ' '.join(LEFT))
