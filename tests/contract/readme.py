"""The README's first block of C++ is examples/quickstart.cpp, whole, and no placeholder is left in it:
readme.py --include DIR -- COMPILER...
"""
import re

import toolchain
from toolchain import fail

if __name__ == '__main__':
    _, COMPILER = toolchain.arguments(0)
    README = (COMPILER.include / 'README.md').read_text(encoding='utf-8')
    QUICKSTART = (COMPILER.include / 'examples' / 'quickstart.cpp').read_text(encoding='utf-8')
    BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)
    if not BLOCKS or BLOCKS[0] != ('cpp', QUICKSTART):
        fail("the README's first block is not examples/quickstart.cpp")
    LEFT = re.findall(r'@[A-Z]+@', README)
    if LEFT:
        fail('placeholders: ' + ' '.join(LEFT))
