"""What the guides say is there: guides.py CHECK --include DIR -- COMPILER..."""
import re
import sys

import toolchain
from toolchain import fail


def coming_from(root):
    """The code in the last column of its tables stands in coming_from.cpp, which checks what it leads to."""
    readme = (root / 'README.md').read_text(encoding='utf-8')
    program = (toolchain.HERE / 'coming_from.cpp').read_text(encoding='utf-8')
    section = re.search(r'^## Coming from another client\n(.*?)^## ', readme, re.MULTILINE | re.DOTALL).group(1)
    cells = [line.rstrip(' |').rsplit('|', 1)[-1] for line in section.splitlines() if line.startswith(('|', '- '))]
    codes = [code for cell in cells for code in re.findall(r'`([^`]*)`', cell) if re.search(r'[({]', code)]
    if len(codes) < 20:
        fail('only %d calls were seen: this test is broken' % len(codes))
    missing = [code for code in codes if code not in program]
    if missing:
        fail('not in coming_from.cpp:', *missing)


def tour(root):
    """examples/README.md links to every example, and to nothing that is not there."""
    examples = root / 'examples'
    links = set(re.findall(r'\]\(([^)#]+)[^)]*\)', (examples / 'README.md').read_text(encoding='utf-8')))
    gone = [link for link in links if '://' not in link and not (examples / link).exists()]
    if gone:
        fail('links to what is not there: ' + ' '.join(sorted(gone)))
    ways = {(examples / re.sub(r'/README\.md$', '', link)).resolve() for link in links if '://' not in link}
    files = [path for path in examples.rglob('*') if path.is_file() and path.name not in ('README.md', 'meson.build')]
    unseen = [path for path in files if not ways.intersection([path, *path.parents])]
    if unseen:
        fail('not in the tour: ' + ' '.join(sorted(str(path.relative_to(examples)) for path in unseen)))


CHECKS = {check.__name__: check for check in (coming_from, tour)}
if __name__ == '__main__':
    OWN, COMPILER = toolchain.arguments(1)
    if OWN[0] not in CHECKS:
        sys.exit('no such check; there are: ' + ' '.join(CHECKS))
    CHECKS[OWN[0]](COMPILER.include)
