# An overlay port: vcpkg install outbound --overlay-ports=examples/packaging/vcpkg. It takes the header from this very tree.
set(VCPKG_BUILD_TYPE release) # there is nothing to build
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../.." ABSOLUTE)

file(INSTALL "${SOURCE_PATH}/outbound.hpp" DESTINATION "${CURRENT_PACKAGES_DIR}/include")

set(includes "\${CMAKE_CURRENT_LIST_DIR}/../../include")
set(version "${VERSION}")
foreach(file outboundConfig.cmake outboundConfigVersion.cmake)
  configure_file("${SOURCE_PATH}/examples/packaging/cmake/${file}" "${CURRENT_PACKAGES_DIR}/share/${PORT}/${file}" @ONLY)
endforeach()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
