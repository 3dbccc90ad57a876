# find_package(outbound 1.0) makes the target outbound::outbound, which is this prefix's include folder and C++17.
if(NOT TARGET outbound::outbound)
  get_filename_component(outbound_includes "@includes@" ABSOLUTE)
  add_library(outbound::outbound INTERFACE IMPORTED)
  set_target_properties(outbound::outbound PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${outbound_includes}")
  target_compile_features(outbound::outbound INTERFACE cxx_std_17)
  find_package(Threads QUIET)  # the outbox starts threads; with OUTBOUND_NO_THREADS there is none
  if(Threads_FOUND)
    target_link_libraries(outbound::outbound INTERFACE Threads::Threads)
  endif()
  unset(outbound_includes)
endif()
