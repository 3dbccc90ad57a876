"""Writes the header as another version of itself: next_version.py HEADER COPY"""
import pathlib
import re
import sys

HEADER, COPY = map(pathlib.Path, sys.argv[1:])
TEXT = HEADER.read_text(encoding='utf-8')
NUMBERS = re.search(r'#define OUTBOUND_VERSION_STRING "(\d+)\.(\d+)\.(\d+)"', TEXT).groups()
OTHER = (str(int(NUMBERS[0]) + 1), '7', '9')
CHANGED = TEXT.replace('v' + '_'.join(NUMBERS), 'v' + '_'.join(OTHER)).replace('.'.join(NUMBERS), '.'.join(OTHER))
for part, old, new in zip(('MAJOR', 'MINOR', 'PATCH'), NUMBERS, OTHER):
    CHANGED = CHANGED.replace('VERSION_%s %s\n' % (part, old), 'VERSION_%s %s\n' % (part, new))
if 'v' + '_'.join(NUMBERS) in CHANGED or CHANGED.count('v' + '_'.join(OTHER)) < 2:
    sys.exit('the copy is not another version')
COPY.write_text(CHANGED, encoding='utf-8')
