"""What Conan does with a recipe, as far as ours needs it: conan_recipe.py RECIPE FOLDER packages into FOLDER.

Conan is not to be had on Debian. The methods and their order are those of its documentation.
"""
import fnmatch
import pathlib
import runpy
import shutil
import sys
import types


class Settings(dict):
    """settings.get_safe('compiler.cppstd')"""
    get_safe = dict.get


class Clearable:
    cleared = False

    def clear(self):
        self.cleared = True


class Information:
    """cpp_info"""

    def __init__(self):
        self.properties = {}

    def set_property(self, name, value):
        self.properties[name] = value


class ConanFile:
    pass


def load(_, path):
    return pathlib.Path(path).read_text()


def copy(_, pattern, src, dst):
    """As Conan's, but that a pattern which finds nothing is an error."""
    found = [f for f in pathlib.Path(src).iterdir() if fnmatch.fnmatch(f.name, pattern)]
    if not found:
        sys.exit('the recipe copies %s, which %s does not have' % (pattern, src))
    pathlib.Path(dst).mkdir(parents=True, exist_ok=True)
    for file in found:
        shutil.copy(file, dst)


def check_min_cppstd(recipe, least):
    if int(recipe.settings['compiler.cppstd']) < least:
        raise RuntimeError('C++%s is too old' % recipe.settings['compiler.cppstd'])


def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


if __name__ == '__main__':
    module('conan', ConanFile=ConanFile)
    module('conan.tools')
    module('conan.tools.build', check_min_cppstd=check_min_cppstd)
    module('conan.tools.files', copy=copy, load=load)
    FOLDER = pathlib.Path(sys.argv[2])
    RECIPE = next(v for v in runpy.run_path(sys.argv[1]).values()
                  if isinstance(v, type) and issubclass(v, ConanFile) and v is not ConanFile)()
    RECIPE.set_version()
    RECIPE.export_sources_folder = RECIPE.source_folder = str(FOLDER / 'sources')
    RECIPE.export_sources()
    RECIPE.settings = Settings({'os': 'Linux', 'compiler.cppstd': '14'})
    try:
        RECIPE.validate()
        sys.exit('the recipe is content with C++14')
    except RuntimeError:
        RECIPE.settings['compiler.cppstd'] = '17'
        RECIPE.validate()
    RECIPE.package_folder = str(FOLDER)
    RECIPE.package()
    shutil.rmtree(FOLDER / 'sources')
    RECIPE.info = Clearable()
    RECIPE.package_id()
    RECIPE.cpp_info = Information()
    RECIPE.package_info()
    if not RECIPE.info.cleared or RECIPE.cpp_info.properties['cmake_target_name'] != 'outbound::outbound':
        sys.exit('one package for all compilers, with the target outbound::outbound, is what it should be')
    print(RECIPE.name, RECIPE.version, *RECIPE.cpp_info.system_libs)
