// [F74] All of it on a thread with a stack of 64 KiB, which has an unreadable page below it: deep values of one's own
// types, deep JSON, everything else, and what a worker does: takes, sends, is answered, tells. Says how much of the
// stack was used.
#include <pthread.h>
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <stdexcept>

#include "../support/engine.hpp"
#include "everything.hpp"
#include "expect.hpp"

namespace {

constexpr std::size_t page = 65536;  // at least that of any machine
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr std::size_t stack_size = 262144;  // red zones and unoptimised frames are no promise of ours
#else
constexpr std::size_t stack_size = 65536;
#endif
constexpr unsigned char paint = 0xA5;

struct chain {
  const chain* next{};
};
void to_outbound(outbound::object& o, const chain& c) {
  o.set("n", 1);
  if (c.next != nullptr) o.set("next", *c.next);
}

struct tree {
  std::string name{};
  std::vector<tree> children{};
};
OUTBOUND_FIELDS(tree, name, children)

std::size_t count(std::string_view text, char c) {
  std::size_t n = 0;
  for (const char each : text) n += each == c ? 1 : 0;
  return n;
}

void own_types() {
  std::vector<chain> links(100000);
  for (std::size_t i = 0; i + 1 < links.size(); ++i) links[i].next = &links[i + 1];
  const outbound::user u{1};
  const outbound::track whole = u.track("e").property("chain", links[0]);
  EXPECT(whole.problems().size() == 1 && whole.problems()[0].what == outbound::defect::too_deep);
  const outbound::track fits = u.track("e").property("chain", links[links.size() - 62]);  // and two levels around it
  EXPECT(fits.valid() && count(fits.body(), '{') == 64);
  const outbound::track over = u.track("e").property("chain", links[links.size() - 63]);
  EXPECT(!over.valid());

  tree root{"leaf", {}};
  for (int i = 0; i < 30; ++i) root = tree{"branch", {std::move(root)}};  // two levels each
  const outbound::track grown = u.track("e").property("tree", root);
  EXPECT(grown.valid() && count(grown.body(), '{') == 33);
}

void json_text() {
  const outbound::user u{1};
  const std::string deep = std::string(512, '[') + std::string(512, ']');
  EXPECT(u.track("e").property("j", outbound::json{deep}).valid());
  EXPECT(!u.track("e").property("j", outbound::json{std::string(100000, '[')}).valid());
  std::string objects;
  for (int i = 0; i < 1000000; ++i) objects += "{\"a\":";
  const outbound::track m = u.track("e").property("j", outbound::json{std::move(objects)});
  EXPECT(!m.valid() && m.problems()[0].what == outbound::defect::too_deep);
}

// With its caller for a worker, so that it is on this stack: batches, each kind of answer, exceptions, events, a store.
void delivery() {
  test::memory_store store;
  std::size_t calls = 0, told = 0;
  outbound::outbox_options options;
  options.workers = 0;
  options.batch_size = 10;
  options.store = &store;
  options.retry.first_delay = options.retry.max_delay = std::chrono::milliseconds{0};
  options.on_event = [&told](const outbound::event& e) { told += e.message.body.size(); };
  outbound::outbox o{outbound::client{"private-key",
                                      [&calls](const outbound::request&) -> outbound::result<outbound::response> {
                                        switch (++calls) {
                                          case 1: return outbound::error{outbound::errc::not_sent, 0, "no route", {}};
#ifdef __cpp_exceptions
                                          case 2: throw std::runtime_error{std::string(5000, 'x')};
#endif
                                          case 3: return outbound::response{503, "", {{"Retry-After", "0"}}};
                                          case 4: return outbound::response{422, std::string(100000, '{'), {}};
                                          default: return outbound::response{200};
                                        }
                                      }},
                     std::move(options)};
  for (int i = 0; i < 50; ++i)
    EXPECT(o.post(outbound::user{i % 20}.track("e").property("text", std::string(3000, 'x'))));
  EXPECT(o.flush(std::chrono::hours{1}));
  EXPECT(o.close(std::chrono::hours{1}));
  EXPECT(o.stats().delivered == 50 && calls > 5 && told > 50 * 3000);
}

void* work(void*) {
  own_types();
  json_text();
  EXPECT(everything::run().size() > 5000);
  delivery();
  return nullptr;
}

}  // namespace

int main() {
  void* const block = mmap(nullptr, page + stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(block != MAP_FAILED);
  EXPECT(mprotect(block, page, PROT_NONE) == 0);
  unsigned char* const stack = static_cast<unsigned char*>(block) + page;
  std::memset(stack, paint, stack_size);
  pthread_attr_t attributes;
  pthread_t thread;
  EXPECT(pthread_attr_init(&attributes) == 0);
  EXPECT(pthread_attr_setstack(&attributes, stack, stack_size) == 0);
  EXPECT(pthread_create(&thread, &attributes, &work, nullptr) == 0);
  EXPECT(pthread_join(thread, nullptr) == 0);
  std::size_t untouched = 0;
  while (untouched < stack_size && stack[untouched] == paint) ++untouched;
  std::printf("stack: %zu of %zu bytes were used\n", stack_size - untouched, stack_size);
}
