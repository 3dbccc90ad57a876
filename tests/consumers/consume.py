"""Builds a project that uses outbound.hpp as its users do, and runs it: consume.py WAY --source DIR --build DIR -- COMPILER...

WAY is one of the functions at the end of this file. --build is our own build, whose install is used.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def skip(why):
    print('SKIPPED: ' + why)
    sys.exit(77)


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            skip('%s is not installed' % tool)


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit('%s\nfailed (%d):\n%s' % (' '.join(map(str, command)), done.returncode, done.stdout))
    return done.stdout


class Place:
    """A folder to work in, with the header installed in `prefix` when that is asked for."""

    def __init__(self, options, folder):
        self.source = options.source.resolve()
        self.build = options.build.resolve()
        self.compiler = options.compiler
        self.folder = pathlib.Path(folder)
        self.environment = dict(os.environ, CXX=' '.join(options.compiler))

    def install(self):
        root = self.folder / 'root'
        run('meson', 'install', '-C', self.build, '--no-rebuild', '--quiet', env=dict(os.environ, DESTDIR=str(root)))
        built = json.loads(run('meson', 'introspect', '--buildoptions', self.build))
        prefix = next(o['value'] for o in built if o['name'] == 'prefix')
        return root, root / prefix.lstrip('/')

    def cmake(self, project, *arguments):
        need('cmake', 'ninja')
        run('cmake', '-G', 'Ninja', '-S', HERE / project, '-B', self.folder / 'build', *arguments, env=self.environment)
        run('cmake', '--build', self.folder / 'build')
        run(self.folder / 'build' / 'app')


def cmake(place):
    """find_package in an installed tree, with a version check."""
    _, prefix = place.install()
    place.cmake('cmake', '-DCMAKE_PREFIX_PATH=%s' % prefix)


def fetchcontent(place):
    """FetchContent, with the sources of this tree in the place of a download."""
    place.cmake('fetchcontent', '-DOUTBOUND_SOURCES=%s' % place.source)


def pkg_config(place):
    """pkg-config in an installed tree."""
    need('pkg-config')
    root, prefix = place.install()
    environment = dict(place.environment, PKG_CONFIG_SYSROOT_DIR=str(root),
                       PKG_CONFIG_PATH=str(prefix / 'share' / 'pkgconfig'))
    flags = run('pkg-config', '--cflags', '--libs', 'outbound >= 1.0', env=environment).split()
    run(*place.compiler, '-std=c++17', HERE / 'app.cpp', '-o', place.folder / 'app', *flags)
    run(place.folder / 'app')


def meson_subproject(place):
    """A subproject: its own tests and examples, and what they need, stay away."""
    project = place.folder / 'project'
    shutil.copytree(HERE / 'meson_subproject', project)
    shutil.copy(HERE / 'app.cpp', project)
    (project / 'subprojects').mkdir()
    for name in ('outbound.hpp', 'meson.build', 'meson_options.txt', 'tests', 'examples'):
        (project / 'subprojects' / 'outbound').mkdir(exist_ok=True)
        (project / 'subprojects' / 'outbound' / name).symlink_to(place.source / name)
    run('meson', 'setup', place.folder / 'build', project, env=place.environment)
    targets = [t['name'] for t in json.loads(run('meson', 'introspect', '--targets', place.folder / 'build'))]
    if targets != ['app']:
        sys.exit('a subproject brings targets of its own: %s' % targets)
    run('meson', 'test', '-C', place.folder / 'build')


def wrap(place):
    """The wrap file: what it provides is what meson.build overrides."""
    text = (place.source / 'examples' / 'packaging' / 'outbound.wrap').read_text()
    if 'dependency_names = outbound' not in text or "override_dependency('outbound'" not in (place.source / 'meson.build').read_text():
        sys.exit('outbound.wrap and meson.build name different dependencies')


def copied(place):
    """A header copied into a tree, and one compiler call."""
    shutil.copy(place.source / 'outbound.hpp', place.folder)
    run(*place.compiler, '-std=c++17', '-I', place.folder, HERE / 'app.cpp', '-pthread', '-o', place.folder / 'app')
    run(place.folder / 'app')


def module(place):
    """import outbound; with clang 19, the first of Debian's that can."""
    need('clang++-19')
    flags = ['clang++-19', '-std=c++20', '-pthread', '-I', place.source]
    pcm = place.folder / 'outbound.pcm'
    run(*flags, '--precompile', place.source / 'examples' / 'modules' / 'outbound.cppm', '-o', pcm)
    run(*flags, '-fmodule-file=outbound=%s' % pcm, HERE / 'module' / 'app.cpp', pcm, '-o', place.folder / 'app')
    run(place.folder / 'app')


def conan(place):
    """The recipe: conan where it is, else that it is Python and names the files that exist."""
    recipe = place.source / 'examples' / 'packaging' / 'conan' / 'conanfile.py'
    compile(recipe.read_text(), str(recipe), 'exec')
    if shutil.which('conan'):
        run('conan', 'create', recipe.parent, env=dict(os.environ, CONAN_HOME=str(place.folder / 'conan')))
    else:
        skip('conan is not installed; the recipe compiles as Python, and that is all that was tried')


def vcpkg(place):
    """The port: its manifest has the header's version; vcpkg itself cannot be had here."""
    port = place.source / 'examples' / 'packaging' / 'vcpkg'
    version = json.loads((port / 'vcpkg.json').read_text())['version']
    if '#define OUTBOUND_VERSION_STRING "%s"' % version not in (place.source / 'outbound.hpp').read_text():
        sys.exit('vcpkg.json and outbound.hpp disagree about the version')


WAYS = {f.__name__: f for f in (cmake, fetchcontent, pkg_config, meson_subproject, wrap, copied, module, conan, vcpkg)}
if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('way', choices=WAYS)
    parser.add_argument('--source', type=pathlib.Path, required=True)
    parser.add_argument('--build', type=pathlib.Path, required=True)
    parser.add_argument('compiler', nargs='+')
    OPTIONS = parser.parse_args()
    with tempfile.TemporaryDirectory() as FOLDER:
        WAYS[OPTIONS.way](Place(OPTIONS, FOLDER))
