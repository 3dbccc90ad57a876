"""Prints the instructions per body, as callgrind counts them: instructions.py PROGRAM [PART OF A NAME]

The counts repeat to the instruction on one machine, so that they show what a change is worth where times are noise.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

BODIES = 100


def main():
    program, part = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ''
    if shutil.which('valgrind') is None:
        print('SKIPPED: instructions per body: valgrind is not here')
        sys.exit(77)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'out')
        subprocess.run(['valgrind', '--quiet', '--tool=callgrind', '--instr-atstart=no', '--callgrind-out-file=' + out,
                        program, str(BODIES)], check=True, stdout=subprocess.DEVNULL)
        for path in glob.glob(out + '.*'):
            with open(path, encoding='utf-8') as f:
                text = f.read()
            name = re.search(r'^desc: Trigger: Client Request: (.*)$', text, re.MULTILINE)
            if name:
                rows.append((int(path.rsplit('.', 1)[1]), name.group(1),
                             int(re.search(r'^(?:totals|summary): (\d+)', text, re.MULTILINE).group(1)) // BODIES))
    if not rows:
        sys.exit('callgrind counted nothing')
    base = {name.split('/')[0]: count for _, name, count in rows if name.endswith('/RapidJSON/Writer')}
    print('| payload | library | style | instructions | of RapidJSON\'s |\n|---|---|---|--:|--:|')
    order = list(base)
    for _, name, count in sorted(rows, key=lambda row: (order.index(row[1].split('/')[0]), row[0])):
        payload, library, style = name.split('/', 2)
        if part in name:
            print('| %s | %s | %s | %d | %.2f |' % (payload, library, style, count, count / base[payload]))


if __name__ == '__main__':
    main()
