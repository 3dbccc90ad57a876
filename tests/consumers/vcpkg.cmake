# What vcpkg does with a port, as far as ours needs it: cmake -DPORT_DIR=DIR -DPACKAGE_DIR=DIR -P vcpkg.cmake
# vcpkg is not to be had on Debian. The variables and functions are those of its documentation.
cmake_minimum_required(VERSION 3.19) # string(JSON)
file(READ "${PORT_DIR}/vcpkg.json" manifest)
string(JSON PORT GET "${manifest}" name)
string(JSON VERSION GET "${manifest}" version)
set(CURRENT_PORT_DIR "${PORT_DIR}")
set(CURRENT_PACKAGES_DIR "${PACKAGE_DIR}")

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 its "" "COMMENT" "FILE_LIST")
  if(NOT its_FILE_LIST OR its_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vcpkg_install_copyright wants FILE_LIST and nothing else")
  endif()
  configure_file("${its_FILE_LIST}" "${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright" COPYONLY)
endfunction()

include("${PORT_DIR}/portfile.cmake")
