// What one translation unit sees of the header: addresses and layouts. Two units must see the same.
#ifndef OUTBOUND_TESTS_ODR_HPP
#define OUTBOUND_TESTS_ODR_HPP

#include "everything.hpp"

struct view_of_header {
  const void* category;
  const void* no_transport;
  const void* interpret;
  const void* curl_command;
  std::vector<std::size_t> layout;
  std::string output;
};

// Static, as look() is: the linker would keep one of two, and both units would be told the same.
template <class... Ts>
static std::vector<std::size_t> sizes_of() {
  return {sizeof(Ts)..., alignof(Ts)...};
}

static view_of_header look() {
  outbound::result<outbound::response> (*const interpret)(outbound::response) = &outbound::interpret;
  std::string (*const curl_command)(const outbound::request&) = &outbound::curl_command;
  return {&outbound::error_category(),
          &outbound::no_transport,
          reinterpret_cast<const void*>(interpret),
          reinterpret_cast<const void*>(curl_command),
          sizes_of<outbound::text, outbound::optional_text, outbound::id, outbound::value, outbound::element,
                   outbound::member, outbound::object, outbound::array, outbound::json, outbound::user,
                   outbound::message, outbound::identify, outbound::track, outbound::batch, outbound::header,
                   outbound::request, outbound::response, outbound::error, outbound::problem, outbound::result<void>,
                   outbound::result<outbound::response>, outbound::transport, outbound::options, outbound::client,
                   outbound::retry_policy, outbound::guid_seed, outbound::instant, outbound::record, outbound::store,
                   outbound::event, outbound::queue_options, outbound::delivery, outbound::delivery_stats,
                   outbound::delivery_queue, outbound::detail::writer, outbound::detail::key_set,
                   outbound::detail::erased>(),
          everything::run()};
}

view_of_header look_from_b();

#endif
