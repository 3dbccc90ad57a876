// `import outbound;` for compilers with C++20 modules: compile this file once, with outbound.hpp in reach. Macros do not
// pass through a module: for OUTBOUND_FIELDS include the header, or write `to_outbound` by hand.
//
//     clang++-19 -std=c++20 -pthread --precompile -I. examples/modules/outbound.cppm -o outbound.pcm
//     clang++-19 -std=c++20 -pthread -fmodule-file=outbound=outbound.pcm app.cpp outbound.pcm -o app
module;

#include "outbound.hpp"

export module outbound;

export namespace outbound {

// text
using outbound::from_utf16;
using outbound::repaired;
using outbound::text;

// json
using outbound::array;
using outbound::defect;
using outbound::element;
using outbound::json;
using outbound::member;
using outbound::object;
using outbound::problem;
using outbound::value;

// messages
using outbound::batch;
using outbound::id;
using outbound::identify;
using outbound::message;
using outbound::optional_text;
using outbound::platform;
using outbound::track;
using outbound::user;

// http
using outbound::callback;
using outbound::curl_command;
using outbound::errc;
using outbound::error;
using outbound::error_category;
using outbound::find_header;
using outbound::header;
using outbound::interpret;
using outbound::make_error_code;
using outbound::no_transport;
using outbound::no_transport_t;
using outbound::request;
using outbound::response;
using outbound::result;
using outbound::transport;

// client
using outbound::client;
using outbound::options;

// delivery
using outbound::delivery;
using outbound::delivery_queue;
using outbound::delivery_stats;
using outbound::event;
using outbound::guid_seed;
using outbound::instant;
using outbound::loss;
using outbound::overflow;
using outbound::queue_options;
using outbound::record;
using outbound::remaining;
using outbound::retry_policy;
using outbound::store;

// outbox
using outbound::outbox;
using outbound::outbox_options;

}  // namespace outbound
