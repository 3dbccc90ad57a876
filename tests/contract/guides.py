"""What the guides say is there: guides.py CHECK [BUILD] --include DIR -- COMPILER..."""
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys

import toolchain
from toolchain import fail


def coming_from(compiler):
    """The code in the last column of its tables stands in coming_from.cpp, which checks what it leads to."""
    readme = (compiler.include / 'README.md').read_text(encoding='utf-8')
    program = (toolchain.HERE / 'coming_from.cpp').read_text(encoding='utf-8')
    section = re.search(r'^## Coming from another client\n(.*?)^## ', readme, re.MULTILINE | re.DOTALL).group(1)
    cells = [line.rstrip(' |').rsplit('|', 1)[-1] for line in section.splitlines() if line.startswith(('|', '- '))]
    codes = [code for cell in cells for code in re.findall(r'`([^`]*)`', cell) if re.search(r'[({]', code)]
    if len(codes) < 20:
        fail('only %d calls were seen: this test is broken' % len(codes))
    missing = [code for code in codes if code not in program]
    if missing:
        fail('not in coming_from.cpp:', *missing)


def tour(compiler):
    """examples/README.md links to every example, and to nothing that is not there."""
    examples = compiler.include / 'examples'
    links = set(re.findall(r'\]\(([^)#]+)[^)]*\)', (examples / 'README.md').read_text(encoding='utf-8')))
    gone = [link for link in links if '://' not in link and not (examples / link).exists()]
    if gone:
        fail('links to what is not there: ' + ' '.join(sorted(gone)))
    ways = {(examples / re.sub(r'/README\.md$', '', link)).resolve() for link in links if '://' not in link}
    files = [path for path in examples.rglob('*') if path.is_file() and path.name not in ('README.md', 'meson.build')]
    unseen = [path for path in files if not ways.intersection([path, *path.parents])]
    if unseen:
        fail('not in the tour: ' + ' '.join(sorted(str(path.relative_to(examples)) for path in unseen)))


def failures(compiler):
    """tests/FAILURES.md has a line for F1 to F78 in their order, and each of them has a test."""
    tests = compiler.include / 'tests'
    lines = re.findall(r'^\| F(\d+) \| .+ \|$', (tests / 'FAILURES.md').read_text(encoding='utf-8'), re.MULTILINE)
    if lines != [str(n) for n in range(1, 79)]:
        fail('FAILURES.md has the lines ' + ' '.join(lines))
    sources = [path for pattern in ('*.cpp', 'meson.build') for path in tests.rglob(pattern)]
    tagged = {n for path in sources for n in re.findall(r'\[F(\d+)\]', path.read_text(encoding='utf-8'))}
    if tagged != set(lines):
        fail('without a test or without a line: F' + ' F'.join(sorted(tagged ^ set(lines))))


# What each block of the tour prints, among other things, behind the first, which builds.
TOUR_SAYS = (
    '/v2/track\n{"user_id":"ada@example.com","event":"purchase","properties":{"price":19.99,"items":["sku-1","sku-2"]}}\n',
    'OK: the sandbox holds what the files say, and wrote to the right one\n',
    'listening on http://127.0.0.1:8080\n',
    '"event":"arrived"',
    'outbound: the server asks for fewer requests\n',
    '2 accepted, 2 delivered, 0 failed; 0 stay in build/tour-outbound.db\n',
    'outbound_client_retries_total{error_type="unavailable"} 1\n',
    '12 rows would be sent, 0 refused\n',
    '12 rows: 12 delivered, 0 refused, 0 waiting\n',
    '{"user_id":"ada","attributes":{"plan":{"name":"pro","seats":5}}}\n',
    '100 of 100 delivered in 100 requests\n',
    'Built target app\n',
)
PORT = '8080'
LIMIT_S = 300  # after which a command that hangs fails
PROGRAM = re.compile(r'build/(examples/[\w/-]+)')


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return str(one.getsockname()[1])


def lacks(block, compiler, build, has_server):
    """What a block needs and this machine has not."""
    out = [tool for tool in ('curl', 'cmake') if re.search(rf'^{tool} ', block, re.MULTILINE) and not shutil.which(tool)]
    out += [program for program in PROGRAM.findall(block) if not (build / program).exists()]
    for file, header in (('transports/libcurl.hpp', 'curl/curl.h'), ('interop/nlohmann.hpp', 'nlohmann/json.hpp')):
        if file in block and compiler.output(['-fsyntax-only'], f'#include <{header}>\n').returncode != 0:
            out.append(header)
    if (PORT in block or '$!' in block) and not has_server:
        out.append('a sandbox')
    return out


def folder_of(place, compiler, build):
    """As the root of the tree, with a build folder of its own in which the programs are found."""
    for name in ('outbound.hpp', 'examples', 'tests'):
        (place / name).symlink_to(compiler.include / name)
    (place / 'build').mkdir()
    (place / 'build' / 'examples').symlink_to(build / 'examples')
    (place / 'bin').mkdir()
    script = '#!/bin/sh\nPATH=%s exec %s "$@"\n'  # not itself: the command may be `ccache c++`
    (place / 'bin' / 'c++').write_text(script % (shlex.quote(os.environ['PATH']), shlex.join(compiler.command)))
    (place / 'bin' / 'c++').chmod(0o755)
    return dict(os.environ, PATH=f'{place / "bin"}:{os.environ["PATH"]}', CXX='c++')


def output_of(script, place, environment):
    """Of one shell and all that it has started; what is left of these ends with it."""
    shell = subprocess.Popen(['sh', '-ec', script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, cwd=place, env=environment, start_new_session=True, text=True)
    try:
        out, _ = shell.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        fail('the commands of the tour did not end:', shell.communicate()[0])
    if shell.returncode != 0:
        fail('the commands of the tour ended with %d:' % shell.returncode, out)
    return out


def commands(compiler, build):
    """The commands of the tour do what it says, in their order, in one shell."""
    text = (compiler.include / 'examples' / 'README.md').read_text(encoding='utf-8')
    building, *blocks = re.findall(r'^```sh\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    programs = {program.rsplit('/', 1)[-1] for block in blocks for program in PROGRAM.findall(block)}
    targets = re.search(r'meson compile -C build (.*)', building).group(1).split()
    if set(targets) != programs:
        fail('built: %s; called: %s' % (sorted(targets), sorted(programs)))
    if len(blocks) != len(TOUR_SAYS):
        fail('%d blocks of commands, not %d' % (len(blocks), len(TOUR_SAYS)))

    build = pathlib.Path(build).resolve()
    missing, chosen, has_server = [], [], False
    for number, block in enumerate(blocks):
        starts_server = block.splitlines()[0].endswith(' &')
        without = lacks(block, compiler, build, has_server or starts_server)
        missing += [f'block {number + 1} of the tour needs {one}' for one in without]
        has_server = has_server or (starts_server and not without)
        if not without:
            chosen.append(number)
    port = free_port()
    script = "trap 'kill $! 2>&- || :' EXIT\n" + ''.join(f"printf '\\n=== {n}\\n'\n{blocks[n]}" for n in chosen)
    with toolchain.scratch() as place:
        place = pathlib.Path(place)
        out = output_of(script.replace(PORT, port), place, folder_of(place, compiler, build)).replace(port, PORT)
    parts = dict(re.findall(r'^=== (\d+)\n(.*?)(?=^=== |\Z)', out, re.MULTILINE | re.DOTALL))
    for number in chosen:
        if TOUR_SAYS[number] not in parts.get(str(number), ''):
            fail(f'block {number + 1} of the tour does not say', TOUR_SAYS[number], 'but', parts.get(str(number), out))
    if missing:
        toolchain.skip('; '.join(missing))


CHECKS = {check.__name__: check for check in (coming_from, tour, failures, commands)}
if __name__ == '__main__':
    OWN, COMPILER = toolchain.arguments(1)
    if OWN[0] not in CHECKS:
        sys.exit('no such check; there are: ' + ' '.join(CHECKS))
    CHECKS[OWN[0]](COMPILER, *OWN[1:])
