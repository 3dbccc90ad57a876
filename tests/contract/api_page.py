"""The page of the API has every public name, documented: api_page.py OUTPUT_DIR --include DIR -- COMPILER...

Doxygen ends without a warning, what it found is what the header declares, and a name without a comment is noticed.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

import doxygen_filter
import toolchain
from toolchain import fail, run, skip


def doxygen(root, out, source):
    """What Doxygen says of `source`, which is to be nothing."""
    out.mkdir(parents=True, exist_ok=True)
    (out / 'outbound.hpp').write_text(source, encoding='utf-8')
    settings = (root / 'tests' / 'contract' / 'Doxyfile').read_text(encoding='utf-8') + (
        f'\nINPUT = "{out}/outbound.hpp"\nOUTPUT_DIRECTORY = "{out}"\nGENERATE_XML = YES\n'
        f'INPUT_FILTER = "{sys.executable} {toolchain.HERE}/doxygen_filter.py"\n')
    done = run(['doxygen', '-'], input=settings, cwd=root)
    return done.stdout.strip() or ('' if done.returncode == 0 else 'exit code %d' % done.returncode)


def at_a_glance(header):
    """The public names of >>forward, and some of what is no type."""
    glance = header[header.index('// >>forward'):header.index('namespace detail {')]
    return set(re.findall(r'^(?:enum class|struct|class) (\w+)', glance, re.MULTILINE)) | {
        'OUTBOUND_FIELDS', 'OUTBOUND_VERSION_STRING', 'interpret', 'curl_command', 'repaired', 'from_utf16'}


if __name__ == '__main__':
    OWN, COMPILER = toolchain.arguments(1)
    if not toolchain.find_first('doxygen'):
        skip('the page of the API: it needs doxygen')
    OUT = pathlib.Path(OWN[0]).resolve()
    HEADER = COMPILER.header.read_text(encoding='utf-8')
    WARNINGS = doxygen(COMPILER.include, OUT, HEADER)
    if WARNINGS:
        fail('doxygen is not content:', WARNINGS)

    INDEX = xml.parse(OUT / 'xml' / 'index.xml')
    FOUND = {name.text.rsplit('::', 1)[-1].split('<')[0] for name in INDEX.iterfind('.//name')}
    MISSING = at_a_glance(HEADER) - FOUND
    if len(at_a_glance(HEADER)) < 30 or MISSING:
        fail('not on the page: %s' % sorted(MISSING))
    HIDDEN = [name.text for name in INDEX.iterfind('.//compound/name') if 'detail' in name.text]
    if HIDDEN:
        fail('on the page, but a detail: %s' % HIDDEN)

    for place, name in ((doxygen_filter.END, 'int nobody_documents();'), ('class outbox {\n public:', ' int nobody();')):
        broken = HEADER.replace(place, (name + '\n' + place) if place == doxygen_filter.END else place + '\n' + name, 1)
        if 'nobody' not in doxygen(COMPILER.include, OUT / 'broken', broken):
            fail('a name without a comment is not noticed: this test is broken')
    print('%d names; the page is %s' % (len(FOUND), OUT / 'html' / 'index.html'))
