"""Builds a project that uses outbound.hpp as its users do, and runs it: consume.py WAY --source DIR --build DIR -- COMPILER...

WAY is one of the functions at the end of this file. --build is our own build, whose install is used.
"""
import argparse
import json
import os
import pathlib
import re
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
        self.header = (self.source / 'outbound.hpp').read_text(encoding='utf-8')
        self.version = re.search(r'#define OUTBOUND_VERSION_STRING "(.+)"', self.header).group(1)

    def install(self):
        root = self.folder / 'root'
        run('meson', 'install', '-C', self.build, '--no-rebuild', '--quiet', env=dict(os.environ, DESTDIR=str(root)))
        built = json.loads(run('meson', 'introspect', '--buildoptions', self.build))
        prefix = next(o['value'] for o in built if o['name'] == 'prefix')
        return root, root / prefix.lstrip('/')

    def compile_and_run(self, *flags):
        run(*self.compiler, '-std=c++17', HERE / 'app.cpp', '-o', self.folder / 'app', *flags)
        run(self.folder / 'app')

    def meson(self, project):
        """Builds and tests it; what comes as a subproject is to bring no target of its own, and to need no CMake."""
        run('meson', 'setup', self.folder / 'build', project, env=dict(self.environment, CMAKE='no-cmake-here'))
        targets = [t['name'] for t in json.loads(run('meson', 'introspect', '--targets', self.folder / 'build'))]
        if targets != ['app']:
            sys.exit('a subproject brings targets of its own: %s' % targets)
        run('meson', 'test', '-C', self.folder / 'build')

    def files_of(self, folder):
        return sorted(str(f.relative_to(folder)) for f in folder.rglob('*') if not f.is_dir())

    def cmake(self, project, *arguments):
        need('cmake', 'ninja')
        run('cmake', '-G', 'Ninja', '-S', HERE / project, '-B', self.folder / 'build', *arguments, env=self.environment)
        run('cmake', '--build', self.folder / 'build')
        run(self.folder / 'build' / 'app')


def cmake(place):
    """find_package in an installed tree, with a version check."""
    _, prefix = place.install()
    place.cmake('cmake', '-DCMAKE_PREFIX_PATH=%s' % prefix)


def folders(place):
    """find_package where header and CMake files are in unusual folders: deeper ones, and absolute ones, which no DESTDIR moves."""
    for name, datadir, includedir in (('deep', 'lib/some/share', 'include/some'), ('absolute', 'share', str(place.folder / 'headers'))):
        build, prefix = place.folder / ('build-' + name), place.folder / name
        run('meson', 'setup', build, place.source, '-Dtests=disabled', '-Dexamples=disabled', '-Dprefix=%s' % prefix,
            '-Ddatadir=%s' % datadir, '-Dincludedir=%s' % includedir, env=dict(place.environment, CMAKE='no-cmake-here'))
        run('meson', 'install', '-C', build, '--quiet')
        shutil.rmtree(place.folder / 'build', ignore_errors=True)
        place.cmake('cmake', '-Doutbound_DIR=%s' % (prefix / datadir / 'cmake' / 'outbound'))


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
    place.compile_and_run(*flags)


def meson_subproject(place):
    """A subproject: its own tests and examples, and what they need, stay away."""
    project = place.folder / 'project'
    shutil.copytree(HERE / 'meson_subproject', project)
    shutil.copy(HERE / 'app.cpp', project)
    (project / 'subprojects').mkdir()
    for name in ('outbound.hpp', 'meson.build', 'meson_options.txt', 'tests', 'examples'):
        (project / 'subprojects' / 'outbound').mkdir(exist_ok=True)
        (project / 'subprojects' / 'outbound' / name).symlink_to(place.source / name)
    place.meson(project)


def wrap(place):
    """The wrap file, as it stands but for the URL: that of a repository made of these sources for the occasion."""
    need('git')
    origin = place.folder / 'origin'
    shutil.copytree(place.source, origin, ignore=lambda folder, names: [
        n for n in names if pathlib.Path(folder) == place.source and (n == '.git' or n.startswith('build'))])
    git = ['git', '-C', origin, '-c', 'user.name=test', '-c', 'user.email=test@example.com']
    alone = dict(place.environment, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM='1')
    for command in (['init', '--quiet'], ['add', '--all'], ['commit', '--quiet', '-m', place.version], ['tag', 'v' + place.version]):
        run(*git, *command, env=alone)
    project = place.folder / 'project'
    shutil.copytree(HERE / 'meson_subproject', project)
    shutil.copy(HERE / 'app.cpp', project)
    (project / 'subprojects').mkdir()
    text, urls = re.subn(r'(?m)^url = .*$', 'url = ' + origin.as_uri(),
                         (place.source / 'examples' / 'packaging' / 'outbound.wrap').read_text())
    if urls != 1:
        sys.exit('outbound.wrap names %d places to take the sources from' % urls)
    (project / 'subprojects' / 'outbound.wrap').write_text(text)
    place.environment = alone
    place.meson(project)


def copied(place):
    """A header copied into a tree, and one compiler call."""
    shutil.copy(place.source / 'outbound.hpp', place.folder)
    place.compile_and_run('-I', place.folder, '-pthread')


def module(place):
    """import outbound; with clang 19, the first of Debian's that can."""
    need('clang++-19')
    flags = ['clang++-19', '-std=c++20', '-pthread', '-I', place.source]
    pcm = place.folder / 'outbound.pcm'
    run(*flags, '--precompile', place.source / 'examples' / 'modules' / 'outbound.cppm', '-o', pcm)
    run(*flags, '-fmodule-file=outbound=%s' % pcm, HERE / 'module' / 'app.cpp', pcm, '-o', place.folder / 'app')
    run(place.folder / 'app')


def module_names(place):
    """outbound.cppm exports each public name of the header, and nothing else."""
    public = place.header[place.header.index('namespace outbound {'):place.header.index('}  // namespace outbound')]
    public = re.sub(r'(?ms)^namespace (detail|ranges) \{$.*?^\}  // namespace \1$', '', public)
    declaration = re.compile(r'(?:enum class|class|struct) (\w+)|using (\w+) ='  # types, and what starts at the margin
                             r'|(?!template|using|static_assert|enum|return|namespace|inline namespace)\w.*?\b(\w+)(?:[({;]| =)')
    found = [declaration.match(line) for line in public.splitlines() if 'operator' not in line]
    names = {name for m in found if m for name in m.groups() if name}
    text = (place.source / 'examples' / 'modules' / 'outbound.cppm').read_text()
    exported = set(re.findall(r'(?m)^using outbound::(\w+);$', text))
    if not {'outbox', 'interpret', 'no_transport', 'callback'} <= names or names != exported:
        sys.exit('not exported: %s; exported, but not public: %s' % (sorted(names - exported), sorted(exported - names)))


def conan(place):
    """The recipe: with Conan where it is, else with a stand-in that shows what it packages."""
    recipe = place.source / 'examples' / 'packaging' / 'conan' / 'conanfile.py'
    if shutil.which('conan'):
        home = dict(place.environment, CONAN_HOME=str(place.folder / 'conan'))
        run('conan', 'profile', 'detect', env=home)
        run('conan', 'create', recipe.parent, env=home)
    package = place.folder / 'package'
    said = run(sys.executable, HERE / 'conan_recipe.py', recipe, package).split()
    if said != ['outbound', place.version, 'pthread']:
        sys.exit('the recipe packages %s' % said)
    if place.files_of(package) != ['include/outbound.hpp', 'licenses/LICENSE']:
        sys.exit('the recipe packages %s' % place.files_of(package))
    place.compile_and_run('-I', package / 'include', *('-l' + library for library in said[2:]))


def vcpkg(place):
    """The port, where its own comment says that vcpkg finds it, with a stand-in for vcpkg; then find_package."""
    port = place.source / 'examples' / 'packaging' / 'vcpkg'
    overlay = place.source / re.search(r'--overlay-ports=([\w/]*\w)', (port / 'portfile.cmake').read_text()).group(1)
    # vcpkg takes a folder with a manifest for a port, any other for one of ports, each in a folder of its name.
    found = overlay if (overlay / 'vcpkg.json').is_file() else overlay / 'outbound'
    if found != port:
        sys.exit('vcpkg would look for the port in %s, and it is in %s' % (found, port))
    manifest = json.loads((port / 'vcpkg.json').read_text())
    if (manifest['name'], manifest['version']) != ('outbound', place.version):
        sys.exit('vcpkg.json is of %s %s' % (manifest['name'], manifest['version']))
    need('cmake')
    package = place.folder / 'package'
    run('cmake', '-DPORT_DIR=%s' % port, '-DPACKAGE_DIR=%s' % package, '-P', HERE / 'vcpkg.cmake')
    share = 'share/outbound/'
    files = ['include/outbound.hpp', share + 'copyright', share + 'outboundConfig.cmake', share + 'outboundConfigVersion.cmake']
    if place.files_of(package) != files:
        sys.exit('the port installs %s' % place.files_of(package))
    place.cmake('cmake', '-DCMAKE_PREFIX_PATH=%s' % package)


def httplib(place):
    """transports/httplib.hpp compiles with the flags that its head names, and says what is missing without them."""
    need('pkg-config')
    if subprocess.run(['pkg-config', '--exists', 'cpp-httplib', 'openssl'], check=False).returncode != 0:
        skip('cpp-httplib and OpenSSL are not installed')
    transport = place.source / 'examples' / 'transports' / 'httplib.hpp'
    flags = re.findall(r'(?<=\s)-[DLlp][\w-]*\w', transport.read_text().split('#ifndef', 1)[0])
    if '-lcpp-httplib' not in run('pkg-config', '--libs', 'cpp-httplib').split():  # it is a header, not a library
        flags.remove('-lcpp-httplib')
    app = place.folder / 'app.cpp'
    app.write_text('#include "%s"\nint main() { return transports::httplib_transport{}(outbound::request{}) ? 1 : 0; }\n' % transport)
    command = [*place.compiler, '-std=c++17', '-I', place.source, app, '-o', place.folder / 'app']
    run(*command, *flags)
    run(place.folder / 'app')
    without = subprocess.run([*command, '-fsyntax-only'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if without.returncode == 0 or '-DCPPHTTPLIB_OPENSSL_SUPPORT' not in without.stdout:
        sys.exit('without a flag the compiler says:\n' + without.stdout)


WAYS = {f.__name__: f for f in (cmake, folders, fetchcontent, pkg_config, meson_subproject, wrap, copied, module, module_names, conan,
                                vcpkg, httplib)}
if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('way', choices=WAYS)
    parser.add_argument('--source', type=pathlib.Path, required=True)
    parser.add_argument('--build', type=pathlib.Path, required=True)
    parser.add_argument('compiler', nargs='+')
    OPTIONS = parser.parse_args()
    with tempfile.TemporaryDirectory() as FOLDER:
        WAYS[OPTIONS.way](Place(OPTIONS, FOLDER))
