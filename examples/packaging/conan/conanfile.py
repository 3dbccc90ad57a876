"""conan create examples/packaging/conan: a package of the header and nothing else (Conan 2, and 1 from 1.54 on)."""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")


class Outbound(ConanFile):
    name = "outbound"
    description = "Client for the Outbound API: one header, C++17, no dependency"
    license = "MIT"
    package_type = "header-library"
    settings = "os", "compiler", "build_type", "arch"
    no_copy_source = True

    def set_version(self):
        header = load(self, os.path.join(ROOT, "outbound.hpp"))
        self.version = re.search(r'OUTBOUND_VERSION_STRING "([^"]+)"', header).group(1)

    def export_sources(self):
        for name in ("outbound.hpp", "LICENSE"):
            copy(self, name, ROOT, self.export_sources_folder)

    def validate(self):
        if self.settings.get_safe("compiler.cppstd"):
            check_min_cppstd(self, 17)

    def package(self):
        copy(self, "outbound.hpp", self.source_folder, os.path.join(self.package_folder, "include"))
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "outbound")
        self.cpp_info.set_property("cmake_target_name", "outbound::outbound")
        if self.settings.get_safe("os") in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]

    def package_id(self):
        self.info.clear()
