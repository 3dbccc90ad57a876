"""A test that cannot run here, and says why: skip.py REASON..."""
import sys

import toolchain

toolchain.skip(' '.join(sys.argv[1:]))
