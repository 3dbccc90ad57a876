// outbound.hpp - a client for the Outbound API: one header, C++17, no dependency. MIT licence (text at the end).
//
//     outbound::client client{"your-private-key", transport};      // transport: your HTTP stack, as one callback
//     outbound::user ada{"ada@example.com"};
//     auto sent = client.send(ada.identify().first_name("Ada").attribute("plan", "pro"));
//     if (!sent) log(sent.error().message);
//     sent = client.send(ada.track("signup").properties({{"resolution", "1024x768"}, {"trial", true}}));
//
// MANUAL
//
// 1. QUICKSTART
//
//   Copy this file into your tree, include it, and compile as C++17 or later. There is nothing to build and to link.
//   An app tells Outbound who its users are (identify) and what they do (track). Both start from a `user`; each
//   setter writes JSON straight into the message, so nothing that you pass in has to outlive the call:
//
//     auto m = outbound::user{42}.track("purchase").property("price", 19.99).property("items", {"sku-1", "sku-2"});
//     m.body()      // {"user_id":42,"event":"purchase","properties":{"price":19.99,"items":["sku-1","sku-2"]}}
//     m.problems()  // empty: this message may be sent
//
//   On the right of a key may stand: nullptr, bool, integers, float, double, strings, enums, optionals, system_clock
//   time points, ranges, maps, nested braces, `object`, `array`, `json` (text that you already have), and your own
//   types:
//
//     struct address { std::string city; int zip; };
//     OUTBOUND_FIELDS(address, city, zip)                      // beside the type, in its namespace
//     m.property("home", address{"Paris", 75001});             // "home":{"city":"Paris","zip":75001}
//
//   Braces whose elements are all {text, value} are an object, other braces an array; arrays in arrays are written
//   array::of(array::of(1, 2), array::of(3)), since to C++ {1} is 1. Setting a key again replaces it.
//
// 2. TRANSPORT
//
//   The library opens no socket. You give it a callable `result<response>(const request&)` which makes one HTTP request
//   and returns what came back, or an error: `errc::not_sent` if surely nothing left this machine (no route, no
//   connection, no TLS handshake), `errc::no_response` if the request may have been processed. Ready ones to copy are
//   in examples/transports. It must verify TLS, must not follow redirects, send again by itself or leave by longjmp;
//   `request.timeout` says how long it may take. If you own an event loop, use `prepare` and `interpret` and do the I/O
//   in between:
//
//     auto request = client.prepare(message);            // result<request>: method, url, headers, body
//     auto outcome = outbound::interpret(response);      // result<response>: what the status means
//
// 3. ERRORS
//
//   Nothing throws, nothing prints. What can fail returns a `result<T>`: true and a T, or false and an `error` whose
//   `code` compares with `std::error_code`, and whose `message` can be logged as it is: it never holds the key. A
//   message with a problem (ill-formed UTF-8, NaN, a missing id, ...) is never sent: the error lists every problem with
//   its place as a JSON Pointer. One exception: std::bad_alloc leaves builders as it leaves std::string; `send` turns
//   it into out_of_memory. A transport that throws is an error like any other.
//
// 4. DELIVERY
//
//   One `send` is one request; a client never retries. Every call but track is idempotent, so that sending it again is
//   harmless; a track that ended in `no_response` may have been counted already. To post and forget, give the client to
//   an outbox, which delivers in the background:
//
//     outbound::outbox outbox{std::move(client)};
//     auto posted = outbox.post(ada.track("signup"));      // copies and returns
//     if (!posted) log(posted.error().message);            // only if it cannot be accepted
//     auto left = outbox.flush(std::chrono::seconds{5});   // before the program ends: waits, and says what is left
//
//   A user's messages are answered in the order in which they were posted; users do not wait for each other. What fails
//   for now is tried again with backoff (full jitter) until it is a day old; what the API refuses is not. A wrong key
//   or URL holds the queue and loses nothing. The guarantee is "at least once": a message arrives twice only if an
//   answer was lost, and both times with the same X-Outbound-GUID. With a `store` the promise outlives the process.
//   Every loss has a reason, is counted, and goes to `on_event` with the message. `delivery_queue` is the same without
//   threads and clocks, for those who own an event loop.
//
// 5. THREADS
//
//   A client sends from one thread at a time; `prepare` and `interpret` may be called from any number of threads.
//   Messages, objects and arrays are values: distinct ones are independent, one may be read by many threads at once.
//   Every function of an outbox may be called from any thread, also from within its callbacks. A delivery_queue is used
//   by one thread at a time. Clients and outboxes with different keys and transports live side by side.
//
// 6. WHAT IT DOES NOT DO
//
//   It reads no environment and no file, and never alters your text: `repaired` and `from_utf16` are there for you to
//   call. Only the outbox reads clocks and starts threads. It does not parse JSON into values. It writes no ISO 8601
//   dates: a time point becomes integer Unix seconds; format it yourself if your campaigns want text. A `const char*`
//   ends at its first NUL; use std::string_view for text with NUL inside. `<` and U+2028 stay as they are, so do not
//   paste a body into HTML.
//
// 7. CONFIGURATION
//
//   OUTBOUND_NO_THREADS   leaves out the outbox, and with it <thread>, <mutex> and <condition_variable>
//   OUTBOUND_SEPARATE     compiles what is no template once, not in every file that includes this one: in the file of
//                         yours that defines OUTBOUND_IMPLEMENTATION before anything includes it. To be set for all
//                         files of a program, or for none; the others then compile in a third of the time
//   No macro changes a layout, and no macro is needed.
//
// 8. CONTENTS
//
//   Jump by tag. Declarations and documentation come first. Behind the border line are the bodies of the templates, and
//   then the same tags once more, where the implementation is.
//
//     >>version  >>config  >>includes  >>forward  >>text  >>json  >>messages  >>http  >>client  >>delivery  >>outbox
//     >>templates  >>end

#ifndef OUTBOUND_HPP
#define OUTBOUND_HPP

// >>version -----------------------------------------------------------------------------------------------------------

/// The one version number, by Semantic Versioning.
#define OUTBOUND_VERSION_MAJOR 1
#define OUTBOUND_VERSION_MINOR 0
#define OUTBOUND_VERSION_PATCH 0
#define OUTBOUND_VERSION_STRING "1.0.0"

// >>config ------------------------------------------------------------------------------------------------------------

// A setter returns the builder it was called on: clang can warn when that outlives a temporary.
#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::lifetimebound)
#define OUTBOUND_LIFETIMEBOUND_ [[clang::lifetimebound]]
#endif
#if __has_cpp_attribute(gnu::noinline)
#define OUTBOUND_COLD_ [[gnu::noinline, gnu::cold]]
#define OUTBOUND_NOINLINE_ [[gnu::noinline]]
#endif
#endif
#ifndef OUTBOUND_LIFETIMEBOUND_
#define OUTBOUND_LIFETIMEBOUND_
#endif
#ifndef OUTBOUND_COLD_
#define OUTBOUND_COLD_      // rare work, kept out of the callers' way
#define OUTBOUND_NOINLINE_  // shared work, worth one call
#endif

// Before each function that has been declared ahead of its implementation.
#ifdef OUTBOUND_SEPARATE
#define OUTBOUND_INLINE_
#elif defined(OUTBOUND_IMPLEMENTATION)
#error "OUTBOUND_IMPLEMENTATION is for programs that define OUTBOUND_SEPARATE in all of their files"
#else
#define OUTBOUND_INLINE_ inline
#endif

// >>includes ----------------------------------------------------------------------------------------------------------

#include <chrono>            // timeouts; time points as values
#include <cstddef>           // size_t, nullptr_t, byte
#include <cstdint>           // integers of known width
#include <cstring>           // memcpy, memmove, memcmp, strlen
#include <exception>         // what a transport may throw
#include <initializer_list>  // {{"key", value}, ...}
#include <string>            // owned text
#include <string_view>       // text
#include <system_error>      // errc as std::error_code
#include <type_traits>       // which values are accepted
#include <utility>           // move, forward, declval
#include <vector>            // headers, problems, queues

#ifndef OUTBOUND_NO_THREADS
#include <condition_variable>  // waiting for work, and for its end
#include <mutex>               // what the threads of an outbox share
#include <thread>              // delivery in the background
#endif

// >>forward: the API at a glance --------------------------------------------------------------------------------------

/// All that this header has, but its macros.
namespace outbound {
inline namespace v1_0_0 {  // the whole version: two versions in one process share no symbol

enum class defect : unsigned char;
enum class errc;
struct problem;
struct error;
template <class T>
class result;

class text;           // a string-like argument
class optional_text;  // the same, or an empty optional
class id;             // text or an integer
class value;          // what may stand on the right of a key
class element;        // the same, without array braces
class member;         // {key, value}
class object;         // owned JSON
class array;
class json;  // JSON text that exists already

class user;     // the subject of every call
class message;  // one call of the API as finished bytes
class identify;
class track;
class batch;

struct header;
struct request;
struct response;
class transport;

struct options;
class client;

struct instant;        // what the clocks say
struct retry_policy;   // how long a message is tried
struct record;         // a message as a store keeps it
class store;           // durability: append, remove, load
struct event;          // what became of a message
struct queue_options;  // bounds, hooks
class delivery;        // what to send now
class delivery_queue;  // order, retries and bounds, without threads
struct outbox_options;
class outbox;  // the same in the background

namespace detail {
struct writer;
struct erased;
struct field;
class fields;
class fields_of_object;
template <class T>
struct exactly;
template <class T>
void write_made_object(writer& w, const erased& e);
template <class T>
void write_spliced(writer& w, const erased& e);
template <class T>
erased erase_spliced(const T& v) noexcept;
error invalid_message(std::vector<problem> problems);
template <class T>
class list;
template <class Signature, bool copied>
class function;
struct queued;
struct core;
}  // namespace detail

// >>text --------------------------------------------------------------------------------------------------------------

/// A string-like argument: `const char*`, `std::string`, `std::string_view`, what converts to a string_view, and
/// `char8_t` text in C++20. It does not own; it is made by conversion for the length of one call. A `const char*` ends
/// at its first NUL, and may be null at run time: that is a problem of the message, not a crash. A literal `nullptr`
/// does not compile.
class text {
 public:
  /// By conversion.
  text(std::nullptr_t) = delete;
  text(const char* s) noexcept : data_{s}, size_{s != nullptr ? std::strlen(s) : 0} {}
  template <class T,
            std::enable_if_t<std::is_convertible_v<const T&, std::string_view> && !std::is_pointer_v<std::decay_t<T>>,
                             int> = 0>
  text(const T& s) : text{static_cast<std::string_view>(s), made{}} {}
#ifdef __cpp_char8_t
  text(const char8_t* s) noexcept : text{reinterpret_cast<const char*>(s)} {}
  template <class T,
            std::enable_if_t<std::is_convertible_v<const T&, std::u8string_view> && !std::is_pointer_v<std::decay_t<T>>,
                             int> = 0>
  text(const T& s) : text{as_char(static_cast<std::u8string_view>(s)), made{}} {}
#endif

  /// True for a `const char*` that was null.
  bool null() const noexcept { return data_ == nullptr; }
  /// Empty for a null pointer.
  std::string_view view() const noexcept { return {null() ? "" : data_, size_}; }
  /// Null for a null pointer.
  const char* data() const noexcept { return data_; }

 private:
  struct made {
    explicit made() = default;
  };
  text(std::string_view s, made) noexcept : data_{s.data() != nullptr ? s.data() : ""}, size_{s.size()} {}
#ifdef __cpp_char8_t
  static std::string_view as_char(std::u8string_view s) noexcept {
    return {reinterpret_cast<const char*>(s.data()), s.size()};
  }
#endif
  const char* data_;
  std::size_t size_;
};

/// A copy of `s` in which each maximal ill-formed subpart is one U+FFFD (Unicode 15, section 3.9, table 3-7; the same
/// as the WHATWG decoder). Well-formed text comes back unchanged, a null pointer as "".
std::string repaired(text s);

/// UTF-16 as UTF-8. Each lone surrogate becomes U+FFFD.
std::string from_utf16(std::u16string_view s);

/// The same for `wchar_t` where that is UTF-16 (Windows); elsewhere it does not compile.
template <class Wide, std::enable_if_t<std::is_convertible_v<const Wide&, std::wstring_view>, int> = 0>
std::string from_utf16(const Wide& s);

// >>json --------------------------------------------------------------------------------------------------------------

/// What is wrong with a part of a message.
enum class defect : unsigned char {
  missing = 1,   ///< a required text or list is empty
  null_pointer,  ///< a `const char*` was null
  invalid_utf8,  ///< RFC 3629: the sentence names the byte; see `repaired`
  invalid_json,  ///< a `json` text is not one value as in RFC 8259
  not_finite,    ///< NaN or an infinity: JSON has none (RFC 8259, section 6)
  out_of_range,  ///< a numeric user id that a double cannot hold
  too_deep,      ///< more than 64 levels, or a `json` text of more than 512
  too_large,     ///< a body over 1 MiB, a batch over 4 MiB or over 100 messages
  too_long,      ///< warning: an event name of more than 200 code points
  placeholder,   ///< warning: a user id such as "undefined" or "null"
};

/// One problem of a message.
struct problem {
  defect what{};        ///< the kind
  std::string where{};  ///< JSON Pointer into the body (RFC 6901); "" is the body
  std::string why{};    ///< a sentence with limit and actual value
};

namespace detail {

// A cast would be a warning where size_t has 64 bits, no cast where it has 32.
constexpr std::size_t as_size(std::uint64_t n) noexcept { return n & static_cast<std::size_t>(-1); }

// A value without its type: how to write it, and where it is.
struct erased {
  void (*write)(writer&, const erased&){};
  const void* data{};    // a text, a range, an object; none: a number
  std::uint64_t bits{};  // of a number, or the size of what is there
  unsigned levels{};     // of an object or an array that is spliced, without those of a json in it
  bool leaf{};           // a number or a text: nothing of the user's is called to write it
  bool as_text{};        // a json: with blanks perhaps, and refused as a whole

  std::size_t size() const noexcept { return as_size(bits); }
};

template <class T>
using bare = std::remove_cv_t<std::remove_reference_t<T>>;

#ifdef __cpp_char8_t
template <class T>
inline constexpr bool is_char8 = std::is_same_v<T, char8_t>;
#else
template <class T>
inline constexpr bool is_char8 = false;
#endif
template <class T>
inline constexpr bool is_character = std::is_same_v<T, char> || std::is_same_v<T, wchar_t> ||
                                     std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t> || is_char8<T>;
template <class T>
inline constexpr bool is_integer =
    std::is_integral_v<T> && !std::is_same_v<T, bool> && !is_character<T> && sizeof(T) <= 8;
template <class T>
inline constexpr bool is_text = std::is_convertible_v<const T&, text>;

// Anything with `begin` and `end`: members, free functions found by look-up, arrays.
namespace ranges {
using std::begin;
using std::end;
template <class R>
auto first(R& r) -> decltype(begin(r)) {
  return begin(r);
}
template <class R>
auto last(R& r) -> decltype(end(r)) {
  return end(r);
}
}  // namespace ranges
template <class R>
using item_of = decltype(*ranges::first(std::declval<R&>()));
template <class R, class = void>
inline constexpr bool is_range = false;
template <class R>
inline constexpr bool is_range<R, std::void_t<item_of<R>, decltype(ranges::last(std::declval<R&>()))>> = true;
template <class T, class = void>
inline constexpr bool has_text_key = false;
template <class T>
inline constexpr bool has_text_key<T, std::void_t<decltype(std::declval<T&>().second)>> =
    is_text<bare<decltype(std::declval<T&>().first)>>;
// std::map and its like: text as keys, which `at` finds one value for.
template <class R, class = void>
inline constexpr bool has_unique_keys = false;
template <class R>
inline constexpr bool
    has_unique_keys<R, std::void_t<decltype(std::declval<R&>().at(std::declval<typename bare<R>::key_type&>()))>> =
        std::is_same_v<typename bare<R>::key_type, std::string> ||
        std::is_same_v<typename bare<R>::key_type, std::string_view>;
// vector<bool> hands out proxies, which differ between standard libraries, and in some by the allocator.
template <class T>
inline constexpr bool is_bool = std::is_same_v<T, bool> || std::is_same_v<T, std::vector<bool>::reference> ||
                                std::is_same_v<T, std::vector<bool>::const_reference>;
template <class R, class = void>
inline constexpr bool is_bool_range = false;
template <class R>
inline constexpr bool is_bool_range<R, std::enable_if_t<std::is_same_v<typename bare<R>::value_type, bool>>> = true;

// std::optional and what looks like it: boost::optional, std::expected. Not what makes its value anew when it is asked.
template <class T, class = void>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<
    T, std::void_t<decltype(static_cast<bool>(std::declval<T&>().has_value())), decltype(*std::declval<T&>())>> =
    std::is_lvalue_reference_v<decltype(*std::declval<T&>())>;
template <class T, class Item, class = void>
inline constexpr bool is_optional_of = false;
template <class T, class Item>
inline constexpr bool is_optional_of<T, Item, std::enable_if_t<is_optional<T>>> =
    std::is_convertible_v<decltype(*std::declval<T&>()), Item>;

void write_id(writer& w, const erased& e);
void write_user_id(writer& w, const erased& e);
template <class T>
std::uint64_t bits_of(T n) noexcept;
template <class T>
erased erase(T& v);
template <class T, class U>
erased erase_list(const U& items);
erased erase_members(std::initializer_list<member> members) noexcept;
erased erase_elements(std::initializer_list<element> elements) noexcept;
template <class T>
inline constexpr bool is_part = std::is_same_v<bare<T>, element> || std::is_same_v<bare<T>, member>;

}  // namespace detail

/// What may stand between the braces of an array: every value but array braces. Braces around one value are that value.
class element {
 public:
  /// By conversion; braces of members are an object.
  template <class T, std::enable_if_t<!detail::is_part<T>, int> = 0>
  element(T&& v) : erased_{detail::erase(v)} {}
  element(std::initializer_list<member> members) noexcept : erased_{detail::erase_members(members)} {}
  element(const element&) = delete;
  element& operator=(const element&) = delete;

  /// For the library itself.
  const detail::erased& erased() const noexcept { return erased_; }

 protected:
  explicit element(detail::erased e) noexcept : erased_{e} {}

 private:
  detail::erased erased_;
};

/// What may stand on the right of a key: a view, made by implicit conversion for the length of one call. The manual (1)
/// lists what converts; what does not, such as `char`, `wchar_t` and pointers, does not compile. A user's own type
/// converts through `void to_outbound(outbound::object&, const T&)`, which makes an object, or `to_outbound(const T&)`,
/// which returns the value to write; both are found by argument-dependent look-up. What no reference binds to, a
/// bit-field or a static member that is only declared, is given as a copy: `+flags.bits`. Integers are written in full;
/// receivers that read numbers as doubles lose digits beyond 2^53 (RFC 8259, section 6): send those as text.
class value : public element {
 public:
  /// As an element, and from array braces: {"a", 1}.
  using element::element;
  value(std::initializer_list<element> elements) noexcept : element{detail::erase_elements(elements)} {}
};

/// A key with its value: `{"city", "Paris"}`.
class member {
 public:
  /// A key, and a value or the braces of one.
  template <class T>
  member(text key, T&& v) : key_{key}, value_{detail::erase(v)} {}
  member(text key, std::initializer_list<member> v) noexcept : key_{key}, value_{detail::erase_members(v)} {}
  member(text key, std::initializer_list<element> v) noexcept : key_{key}, value_{detail::erase_elements(v)} {}
  member(const member&) = delete;
  member& operator=(const member&) = delete;

  /// As it was given.
  text key() const noexcept { return key_; }
  /// For the library itself.
  const detail::erased& erased() const noexcept { return value_; }

 private:
  text key_;
  detail::erased value_;
};

namespace detail {

// A problem, and whether it is the key's that stands at the end of its pointer: that one stays when a value is
// replaced.
struct finding {
  problem what;
  bool of_key;
  finding* next;
};

// How much of a builder is complete while something is added to it: so much of its text, so many of its problems, and
// how deep that is.
struct complete_part {
  std::size_t size{static_cast<std::size_t>(-1)};
  std::size_t findings{static_cast<std::size_t>(-1)};
  unsigned deepest{};  // 0: nothing is being added

  unsigned deepest_of(unsigned all) const noexcept { return deepest != 0 ? deepest : all; }
};

// A list, since it is a third of the code that a vector of them is, and nearly always empty.
class finding_list {
 public:
  finding_list() noexcept = default;
  finding_list(const finding_list& other, const complete_part& part = {});
  finding_list& operator=(finding_list other) noexcept {
    swap(other);
    return *this;
  }
  ~finding_list() {
    if (first_ != nullptr) truncate(0);
  }
  void swap(finding_list& other) noexcept;

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return size_; }
  const finding* first() const noexcept { return first_; }
  std::vector<problem> problems(const complete_part& part = {}) const;
  void add(defect what, std::string where, std::string why, bool of_key);
  void truncate(std::size_t size) noexcept;
  void forget(std::size_t from, std::size_t to, std::string_view place) noexcept;

 private:
  finding* first_{};
  finding* last_{};
  std::size_t size_{};
};

// The bytes of JSON text that is being written, and the problems met on the way. Growing keeps the old block until
// `release`, so that what is written may be a view of what was written before.
struct writer {
  // Where writing stands, as a chain of places on the stack; read when there is a problem to report.
  struct place {
    const place* parent;
    std::string_view key;
    std::size_t index;  // of an array element, where key.data() is null
  };

  char* begin{};
  char* cursor{};
  char* limit{};
  const place* here{};
  unsigned depth{1};    // of the container that is being written; the outermost is 1
  unsigned deepest{1};  // of what is there, or more: what was replaced may have been deeper
  finding_list findings{};

  writer() noexcept = default;
  writer(const writer& other, const complete_part& part = {});
  writer(writer&& other) noexcept { swap(other); }
  writer& operator=(writer other) noexcept;
  ~writer();
  void swap(writer& other) noexcept;

  std::size_t size() const noexcept { return static_cast<std::size_t>(cursor - begin); }
  std::string_view view(std::size_t from = 0) const noexcept { return {begin + from, size() - from}; }

  static constexpr std::size_t slack = 16;  // bytes that stay free behind what `reserve` made room for: punctuation

  void reserve(std::size_t n);
  void put(char c);
  void append(std::string_view s);
  bool quote(std::string_view s);
  bool write_key(text key);
  void report(defect what, std::initializer_list<std::string_view> why, bool of_key = false);
  static std::string where(const place* at);
  std::string where() const { return where(here); }
  bool owns(const void* p) const noexcept;  // is it in the text that is being written?

  void release() noexcept;
  void grow(std::size_t n);
  bool grow_and_quote(std::string_view s);
  bool quote_special(std::string_view s);
  static char* put_escape(char* out, unsigned c) noexcept;
};

// Which keys an object has, as hashes: the first `most_few` in a row, more in a table of free cells (0) and taken ones.
// What was written without being noted here (`complete` is false) is read back from the text when it matters.
struct key_set {
  static constexpr std::size_t most_few = 16;
  std::uint32_t few[most_few];  // as many as `count` says; to clear them all costs more than to build a small message
  std::vector<std::uint32_t> many{};
  std::size_t count{};
  std::uint64_t seed{reinterpret_cast<std::uintptr_t>(this)};  // of the hashes: another one in each process
  bool complete{true};

  key_set() noexcept {}
  key_set(const key_set&) noexcept : complete{false} {}  // most copies are never added to
  key_set(key_set&& other) noexcept { swap(other); }
  key_set& operator=(key_set other) noexcept;
  ~key_set() = default;
  void swap(key_set& other) noexcept;

  bool insert(std::string_view key);
  bool insert_into_table(std::uint32_t hash);
  void clear() noexcept;
};

}  // namespace detail

/// An owned JSON object, for loops and for keeping. Setting a key again looks through all members, replaces the value
/// and moves it to the end. Thread-safety: as a std::string. May be given its own text: `o.set("again", o)`.
class object {
 public:
  object() noexcept = default;
  /// With these members.
  object(std::initializer_list<member> members);

  /// Adds a member, or replaces it.
  object& set(outbound::text key, const value& v) & OUTBOUND_LIFETIMEBOUND_;
  object&& set(outbound::text key, const value& v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(set(key, v)); }

  /// Complete JSON at any moment; valid until the object changes.
  std::string_view text() const noexcept OUTBOUND_LIFETIMEBOUND_;
  /// What was wrong with the values; `where` is relative to this object.
  std::vector<problem> problems() const { return own_findings().problems(); }

  /// While to_outbound writes it straight into what surrounds it, an object shares that text: copies are made of its
  /// own part, also where it is moved from, and if memory runs out for that, the program ends.
  object(const object& other);
  object(object&& other) noexcept;
  object& operator=(const object& other);
  object& operator=(object&& other) noexcept;
  ~object() = default;

 private:
  template <class T>
  friend void detail::write_made_object(detail::writer& w, const detail::erased& e);
  template <class T>
  friend void detail::write_spliced(detail::writer& w, const detail::erased& e);
  template <class T>
  friend detail::erased detail::erase_spliced(const T& v) noexcept;

  explicit object(detail::writer& surrounding);
  detail::writer& out() noexcept { return surrounding_ != nullptr ? *surrounding_ : own_; }
  const detail::writer& out() const noexcept { return surrounding_ != nullptr ? *surrounding_ : own_; }
  unsigned levels() const noexcept { return complete_.deepest_of(out().deepest) - level_ + 1; }
  detail::finding_list own_findings() const;
  detail::writer extract() const;
  void assign(const object& other);
  void insert(outbound::text key, const detail::erased& v);

  detail::writer own_{};
  detail::writer* surrounding_{};
  const detail::writer::place* place_{};  // in what surrounds it, as are
  std::size_t open_{};                    // where the object begins, and
  unsigned level_{1};                     // how deep it is
  std::size_t first_finding_{};           // of its own problems
  detail::complete_part complete_{};
  detail::key_set keys_{};
};

/// An owned JSON array. It has no initializer-list constructor: `array{a}` would mean different things to different
/// compilers.
class array {
 public:
  array() noexcept = default;
  /// A copy that is taken while a value is added has what was complete before.
  array(const array& other);
  array(array&& other) noexcept : out_{std::move(other.out_)}, count_{std::exchange(other.count_, 0)} {}
  /// If memory runs out, it stays as it is.
  array& operator=(const array& other) { return *this = array{other}; }
  array& operator=(array&& other) noexcept {
    out_ = std::move(other.out_);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }
  ~array() = default;
  /// array::of(1, "two", array::of(3)): the arguments as the elements.
  template <class... Ts>
  static array of(Ts&&... elements);

  /// Appends an element.
  array& add(const value& v) & OUTBOUND_LIFETIMEBOUND_;
  array&& add(const value& v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(add(v)); }

  /// As those of an object.
  std::string_view text() const noexcept OUTBOUND_LIFETIMEBOUND_;
  std::vector<problem> problems() const { return out_.findings.problems(complete_); }

 private:
  template <class T>
  friend void detail::write_spliced(detail::writer& w, const detail::erased& e);
  template <class T>
  friend detail::erased detail::erase_spliced(const T& v) noexcept;
  const detail::writer& out() const noexcept { return out_; }
  unsigned levels() const noexcept { return complete_.deepest_of(out_.deepest); }
  detail::finding_list own_findings() const { return {out_.findings, complete_}; }
  void insert(const detail::erased& v);

  detail::writer out_{};
  std::size_t count_{};
  detail::complete_part complete_{};
};

/// JSON text that you already have: another library's dump, a column of a database. It owns the text, and is checked
/// when it is written: one value (RFC 8259), UTF-8, no lone surrogates, at most 512 levels. Blanks inside it are kept,
/// and equal keys are yours.
class json {
 public:
  /// Keeps the text.
  explicit json(std::string s) noexcept : text_{std::move(s)} {}
  explicit json(const char* s) : text_{s != nullptr ? s : ""}, null_{s == nullptr} {}
  json(std::nullptr_t) = delete;

  /// Made of a null pointer: a problem when it is written.
  bool null() const noexcept { return null_; }
  /// As it was given.
  std::string_view text() const noexcept OUTBOUND_LIFETIMEBOUND_ { return text_; }

 private:
  std::string text_;
  bool null_{false};
};

/// OUTBOUND_FIELDS(address, city, zip): writes `to_outbound(outbound::object&, const address&)`, an object with the
/// named public members (1 to 64) as its keys. Stands beside the type, in the type's namespace.
#define OUTBOUND_FIELDS(T, ...)                                                                                   \
  template <class Fields>                                                                                         \
  void outbound_each_field_(Fields& outbound_fields_, const T& outbound_value_, ::outbound::detail::exactly<T>) { \
    enum { OUTBOUND_FIELDS_EACH_(OUTBOUND_FIELDS_ONCE_, __VA_ARGS__) }; /* a name twice is an error */            \
    OUTBOUND_FIELDS_EACH_(OUTBOUND_FIELDS_ADD_, __VA_ARGS__)                                                      \
  }                                                                                                               \
  [[maybe_unused]] inline void to_outbound(::outbound::object& outbound_object_, const T& outbound_value_) {      \
    ::outbound::detail::fields_of_object outbound_fields_{outbound_object_};                                      \
    outbound_each_field_(outbound_fields_, outbound_value_, ::outbound::detail::exactly<T>{});                    \
  }
#define OUTBOUND_FIELDS_ONCE_(name) outbound_field_##name,
// The blanks are for copies of sixteen bytes.
#define OUTBOUND_FIELDS_ADD_(name) outbound_fields_.add(",\"" #name "\":                ", outbound_value_.name);
// M(a) M(b) ...: a step handles one name and leaves the next step to the next of 64 scans. The list ends with `()`, the
// only item that makes OUTBOUND_FIELDS_LAST_ a call.
#define OUTBOUND_FIELDS_EACH_(M, ...) OUTBOUND_FIELDS_SCAN_64_(OUTBOUND_FIELDS_STEP_(M, __VA_ARGS__, (), ()))
#define OUTBOUND_FIELDS_STEP_(M, name, next, ...) \
  M(name) OUTBOUND_FIELDS_CHOOSE_(OUTBOUND_FIELDS_LAST_ next, OUTBOUND_FIELDS_AGAIN_, 0)(M, next, __VA_ARGS__)
#define OUTBOUND_FIELDS_AGAIN_(M, name, next, ...) \
  M(name) OUTBOUND_FIELDS_CHOOSE_(OUTBOUND_FIELDS_LAST_ next, OUTBOUND_FIELDS_STEP_, 0)(M, next, __VA_ARGS__)
#define OUTBOUND_FIELDS_LAST_() 0, OUTBOUND_FIELDS_STOP_
#define OUTBOUND_FIELDS_STOP_(...)
#define OUTBOUND_FIELDS_CHOOSE_(...) OUTBOUND_FIELDS_SECOND_(__VA_ARGS__)
#define OUTBOUND_FIELDS_SECOND_(a, b, ...) b OUTBOUND_FIELDS_LATER_
#define OUTBOUND_FIELDS_LATER_
#define OUTBOUND_FIELDS_SCAN_64_(...) \
  OUTBOUND_FIELDS_SCAN_16_(OUTBOUND_FIELDS_SCAN_16_(OUTBOUND_FIELDS_SCAN_16_(OUTBOUND_FIELDS_SCAN_16_(__VA_ARGS__))))
#define OUTBOUND_FIELDS_SCAN_16_(...) \
  OUTBOUND_FIELDS_SCAN_4_(OUTBOUND_FIELDS_SCAN_4_(OUTBOUND_FIELDS_SCAN_4_(OUTBOUND_FIELDS_SCAN_4_(__VA_ARGS__))))
#define OUTBOUND_FIELDS_SCAN_4_(...) \
  OUTBOUND_FIELDS_SCAN_(OUTBOUND_FIELDS_SCAN_(OUTBOUND_FIELDS_SCAN_(OUTBOUND_FIELDS_SCAN_(__VA_ARGS__))))
#define OUTBOUND_FIELDS_SCAN_(...) __VA_ARGS__

// >>messages ----------------------------------------------------------------------------------------------------------

/// A text or an integer (up to 64 bits, no bool, no character): what identifies a user or a campaign. A view, like
/// `text`.
class id {
 public:
  /// By conversion.
  template <class T, std::enable_if_t<std::is_convertible_v<const T&, text>, int> = 0>
  id(const T& s) : text_{s} {}
  template <class T, std::enable_if_t<detail::is_integer<T>, int> = 0>
  id(T n) noexcept : text_{""}, number_{detail::bits_of(n)}, kind_{n < T{} ? kind::negative : kind::natural} {}

 private:
  friend class user;
  friend void detail::write_id(detail::writer& w, const detail::erased& e);
  friend void detail::write_user_id(detail::writer& w, const detail::erased& e);
  enum class kind : unsigned char { text, natural, negative };
  outbound::text text_;
  std::uint64_t number_{};  // two's complement where negative
  kind kind_{kind::text};
};

namespace detail {

// Some T (text or id): one, braces, a range, or an optional of these.
template <class T, class R, class = void>
inline constexpr bool is_range_of = false;
template <class T, class R>
inline constexpr bool is_range_of<T, R, std::enable_if_t<is_range<R>>> = std::is_convertible_v<item_of<R>, T>;
template <class T, class U, class = void>
inline constexpr bool is_list_of = std::is_convertible_v<U&, T> || is_range_of<T, U>;
template <class T, class U>
inline constexpr bool is_list_of<T, U, std::enable_if_t<is_optional<U>>> =
    is_list_of<T, std::remove_reference_t<decltype(*std::declval<U&>())>>;

template <class T>
class list {
 public:
  list(std::initializer_list<T> items) noexcept;
  template <class U, std::enable_if_t<is_list_of<T, const U>, int> = 0>
  list(const U& items) : items_{erase_list<T>(items)} {}

  bool present() const noexcept { return items_.write != nullptr; }  // not an empty optional
  const erased& items() const noexcept { return items_; }

 private:
  erased items_;
};

}  // namespace detail

/// One call of the API as finished bytes. A value: it can be kept, copied and sent again; moved-from, it can only be
/// assigned or destroyed. Thread-safety: as a std::string.
class message {
 public:
  /// "/v2/track": the path behind the base URL.
  std::string_view path() const noexcept { return path_; }
  /// The JSON to send; complete at any moment, valid until the message changes.
  std::string_view body() const noexcept OUTBOUND_LIFETIMEBOUND_ { return out_.view().substr(0, complete_.size); }
  /// What orders this message: the text of the user's id, so that 42 and "42" share a key. A message about several
  /// users (an alias, a batch) has all their keys, with the byte FF between them, which no id can contain.
  std::string user_key() const;
  /// Everything that keeps this message from being sent.
  std::vector<problem> problems() const;
  /// What is most likely a mistake, but is sent unless `options.strict` is set.
  std::vector<problem> warnings() const;
  /// Whether there is no problem.
  bool valid() const noexcept;

  /// A copy that is taken while a value is added has what was complete before.
  message(const message& other);
  message(message&&) noexcept = default;
  /// If memory runs out, it stays as it is.
  message& operator=(const message& other) { return *this = message{other}; }
  message& operator=(message&&) noexcept = default;
  ~message() = default;

 protected:
  explicit message(std::string_view path) noexcept : path_{path} {}
  message(std::string_view path, const user& subject);
  void set(const detail::field& f, const detail::erased& v);
  void set(const detail::field& f, const optional_text& v);
  void set(const detail::field& f, const detail::list<text>& v);
  void merge(const detail::field& f, text key, const detail::erased& v);
  void merge(const detail::field& f, const detail::erased& all);
  std::size_t limit() const noexcept;

  std::string_view path_;
  detail::writer out_{};

 private:
  friend class user;
  void set_made(const detail::field& f, const detail::erased& v, bool repeated);
  void merge_made(const detail::field& f, text key, const detail::erased& v);
  void open_members(const detail::field& f, const detail::erased& all);
  void merge_members(const detail::field& f, const detail::erased& all);
  void add_members(const detail::field& f, const detail::writer& part, bool all_new);
  void locate() noexcept;

  detail::key_set keys_{};  // of attributes or properties,
  std::size_t open_{};      // whose braces stand here; 0: there are none yet
  std::size_t close_{};
  unsigned fields_{};  // that are set, a bit each
  detail::complete_part complete_{};
};

/// A field of text that an empty optional leaves as it is.
class optional_text {
 public:
  /// By conversion.
  template <class T, std::enable_if_t<std::is_convertible_v<const T&, text>, int> = 0>
  optional_text(const T& s) : text_{s} {}
  template <class T, std::enable_if_t<detail::is_optional_of<const T, text>, int> = 0>
  optional_text(const T& s) : text_{s.has_value() ? text{*s} : text{""}}, present_{s.has_value()} {}

  /// False for an empty optional.
  bool present() const noexcept { return present_; }
  /// Empty where there is none.
  text get() const noexcept { return text_; }

 private:
  text text_;
  bool present_{true};
};

/// POST /v2/identify: who a user is. Setting a field or an attribute again replaces it; attributes merge key by key.
class identify : public message {
 public:
  /// Text; an empty optional changes nothing.
  identify& first_name(optional_text v) & OUTBOUND_LIFETIMEBOUND_;
  identify& last_name(optional_text v) & OUTBOUND_LIFETIMEBOUND_;
  identify& email(optional_text v) & OUTBOUND_LIFETIMEBOUND_;
  identify& phone_number(optional_text v) & OUTBOUND_LIFETIMEBOUND_;
  /// Device tokens of Apple's and Google's push services: one, `{"a", "b"}`, or a range.
  identify& apns(detail::list<text> tokens) & OUTBOUND_LIFETIMEBOUND_;
  identify& gcm(detail::list<text> tokens) & OUTBOUND_LIFETIMEBOUND_;
  /// Anything else that is known of the user.
  identify& attribute(text key, const value& v) & OUTBOUND_LIFETIMEBOUND_;
  /// Braces of members, an `object`, a map, a `json` object, or a type of yours that makes an object.
  identify& attributes(std::initializer_list<member> members) & OUTBOUND_LIFETIMEBOUND_;
  template <class T>
  identify& attributes(const T& all) & OUTBOUND_LIFETIMEBOUND_;

  /// Extension: a name of the tz database, "America/Los_Angeles".
  identify& timezone(optional_text v) & OUTBOUND_LIFETIMEBOUND_;
  /// Extension: the group that the user belongs to, and its attributes (replaced whole; without them, they stay).
  identify& group(text group_id) & OUTBOUND_LIFETIMEBOUND_;
  identify& group(text group_id, std::initializer_list<member> attributes) & OUTBOUND_LIFETIMEBOUND_;
  template <class T>
  identify& group(text group_id, const T& attributes) & OUTBOUND_LIFETIMEBOUND_;
  /// Extension: an alias; what is known of `previous` now belongs to this user.
  identify& previous_id(const user& previous) & OUTBOUND_LIFETIMEBOUND_;

  /// The same for a temporary: user.identify().first_name("Ada").email("ada@example.com")
  identify&& first_name(optional_text v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(first_name(v)); }
  identify&& last_name(optional_text v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(last_name(v)); }
  identify&& email(optional_text v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(email(v)); }
  identify&& phone_number(optional_text v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(phone_number(v)); }
  identify&& apns(detail::list<text> tokens) && OUTBOUND_LIFETIMEBOUND_ { return std::move(apns(tokens)); }
  identify&& gcm(detail::list<text> tokens) && OUTBOUND_LIFETIMEBOUND_ { return std::move(gcm(tokens)); }
  identify&& attribute(text key, const value& v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(attribute(key, v)); }
  identify&& attributes(std::initializer_list<member> members) && OUTBOUND_LIFETIMEBOUND_ {
    return std::move(attributes(members));
  }
  template <class T>
  identify&& attributes(const T& all) && OUTBOUND_LIFETIMEBOUND_ {
    return std::move(attributes(all));
  }
  identify&& timezone(optional_text v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(timezone(v)); }
  identify&& group(text group_id) && OUTBOUND_LIFETIMEBOUND_ { return std::move(group(group_id)); }
  identify&& group(text group_id, std::initializer_list<member> attributes) && OUTBOUND_LIFETIMEBOUND_ {
    return std::move(group(group_id, attributes));
  }
  template <class T>
  identify&& group(text group_id, const T& attributes) && OUTBOUND_LIFETIMEBOUND_ {
    return std::move(group(group_id, attributes));
  }
  identify&& previous_id(const user& previous) && OUTBOUND_LIFETIMEBOUND_ { return std::move(previous_id(previous)); }

 private:
  friend class user;
  void set_group(text group_id, const detail::erased& attributes);
  using message::message;
};

/// POST /v2/track: what a user did.
class track : public message {
 public:
  /// Anything that is known of the event.
  track& property(text key, const value& v) & OUTBOUND_LIFETIMEBOUND_;
  /// As `identify::attributes`.
  track& properties(std::initializer_list<member> members) & OUTBOUND_LIFETIMEBOUND_;
  template <class T>
  track& properties(const T& all) & OUTBOUND_LIFETIMEBOUND_;
  /// Extension: when it happened, sent as integer Unix seconds. 1970-01-01 is a time, not "now".
  track& at(std::chrono::system_clock::time_point when) & OUTBOUND_LIFETIMEBOUND_;

  /// The same for a temporary.
  track&& property(text key, const value& v) && OUTBOUND_LIFETIMEBOUND_ { return std::move(property(key, v)); }
  track&& properties(std::initializer_list<member> members) && OUTBOUND_LIFETIMEBOUND_ {
    return std::move(properties(members));
  }
  template <class T>
  track&& properties(const T& all) && OUTBOUND_LIFETIMEBOUND_ {
    return std::move(properties(all));
  }
  track&& at(std::chrono::system_clock::time_point when) && OUTBOUND_LIFETIMEBOUND_ { return std::move(at(when)); }

 private:
  friend class user;
  using message::message;
};

/// A push service, for the extension calls below.
enum class platform : unsigned char { apns, gcm, fcm };

/// The subject of every call; its members start messages. It owns its id: a text, or an integer within +-(2^53 - 1),
/// because receivers that read numbers as doubles would merge users beyond that (send such an id as text).
class user {
 public:
  /// Copies the id.
  explicit user(id v);

  /// Each starts a message.
  outbound::identify identify() const;
  outbound::track track(text event) const;

  /// Extensions: /v2/{apns,gcm,fcm}/register and /disable.
  message register_token(platform service, text token) const;
  message disable_token(platform service, text token) const;
  message disable_tokens(platform service) const;
  /// Extensions: /v2/subscribe/{all,campaigns} and /v2/unsubscribe/{all,campaigns}. A campaign id is text or an
  /// integer.
  message subscribe() const;
  message subscribe(detail::list<id> campaigns) const;
  message unsubscribe() const;
  message unsubscribe(detail::list<id> campaigns) const;

 private:
  friend class outbound::identify;
  friend class message;
  message subscription(std::string_view path, const detail::list<id>& campaigns) const;
  static constexpr std::size_t short_size = 40;  // a UUID fits, and most addresses
  outbound::id view() const noexcept;

  std::uint64_t number_{};
  std::string long_text_{};
  char short_text_[short_size]{};
  unsigned char size_{};  // of short_text_
  enum class kind : unsigned char { null, short_text, long_text, natural, negative } kind_{};
};

/// Extension: up to 100 identify or track messages (not both) in one request: /v2/identify/batch, /v2/track/batch.
class batch : public message {
 public:
  static constexpr std::size_t capacity = 100;  ///< messages, at most

  batch();
  /// Refuses (`invalid_message`), and stays as it is: a message with problems, one of the other kind, one too many, and
  /// what would make the body larger than 4 MiB.
  result<void> add(const outbound::identify& m);
  result<void> add(const outbound::track& m);
  /// How many messages it has.
  std::size_t size() const noexcept { return count_; }

 private:
  result<void> add(const message& m, std::string_view batch_path);
  std::size_t count_{};
};

// >>http --------------------------------------------------------------------------------------------------------------

/// A header of a request or a response.
struct header {
  /// As they stand in HTTP.
  std::string name{};
  std::string value{};
};

/// One HTTP request, complete: what a transport needs to know. Owns its bytes.
struct request {
  std::string method{};                 ///< "POST"
  std::string url{};                    ///< complete
  std::vector<header> headers{};        ///< those of the API; the key is among them
  std::string body{};                   ///< JSON
  std::chrono::milliseconds timeout{};  ///< for the whole exchange
  std::string user_key{};               ///< `message::user_key`
  std::string guid{};                   ///< the X-Outbound-GUID of the logical call; empty: none
};

/// What came back. A status of 0 means that nothing did.
struct response {
  int status{};                   ///< of HTTP
  std::string body{};             ///< as it came
  std::vector<header> headers{};  ///< a queue heeds Retry-After
};

/// The value of the first header of that name (ASCII case-insensitive, RFC 9110 5.1), or null.
const std::string* find_header(const std::vector<header>& headers, text name) noexcept;

/// How a call fails. Also a std::error_code, of category "outbound".
enum class errc {
  invalid_message = 1,  ///< it has problems; nothing was sent
  invalid_options,      ///< the key, the base URL or another option cannot be used; nothing was sent
  not_sent,             ///< the transport says that nothing left this machine
  no_response,          ///< it may have been processed
  malformed_json,       ///< 500: documented as malformed JSON; nothing was processed
  invalid_field,        ///< 400, 413, 422: this message is refused
  unauthorized,         ///< 401, 403: the key
  misdirected,          ///< 3xx, 404, 405, 410: the base URL
  throttled,            ///< 429
  unavailable,          ///< 408, 425, and 5xx but 500
  unexpected_status,    ///< anything else
  queue_full,           ///< refused when posted
  closed,               ///< the same: the outbox is
  store_failed,         ///< the same: what it says stands in the message
  out_of_memory,        ///< refused when posted, or not sent
};

/// The category of every `errc`; what makes `std::error_code{errc::throttled}` and comparisons with one work.
const std::error_category& error_category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// Why something failed.
struct error {
  errc code{};                      ///< the kind
  int status{};                     ///< of the response, if there was one
  std::string message{};            ///< for a log, as it is; never holds a client's key (but see `interpret`)
  std::vector<problem> problems{};  ///< of the message that was refused
};

/// A T, or why there is none. Reading the side that is not there gives an empty T or error, never undefined behaviour.
template <class T>
class [[nodiscard]] result {
 public:
  /// The one or the other.
  result(T v) : value_(std::move(v)), ok_{true} {}
  result(outbound::error e) : error_(std::move(e)) {}

  /// Whether there is a T.
  explicit operator bool() const noexcept { return ok_; }
  bool has_value() const noexcept { return ok_; }
  /// The T.
  T& operator*() & noexcept OUTBOUND_LIFETIMEBOUND_ { return value_; }
  const T& operator*() const& noexcept OUTBOUND_LIFETIMEBOUND_ { return value_; }
  T&& operator*() && noexcept OUTBOUND_LIFETIMEBOUND_ { return std::move(value_); }
  T* operator->() noexcept OUTBOUND_LIFETIMEBOUND_ { return &value_; }
  const T* operator->() const noexcept OUTBOUND_LIFETIMEBOUND_ { return &value_; }
  /// Why there is none.
  outbound::error& error() & noexcept OUTBOUND_LIFETIMEBOUND_ { return error_; }
  const outbound::error& error() const& noexcept OUTBOUND_LIFETIMEBOUND_ { return error_; }
  outbound::error&& error() && noexcept OUTBOUND_LIFETIMEBOUND_ { return std::move(error_); }

 private:
  T value_{};
  outbound::error error_{};
  bool ok_{false};
};

/// Success, or why not.
template <>
class [[nodiscard]] result<void> {
 public:
  result() noexcept = default;
  /// Failure.
  result(outbound::error e) : error_(std::move(e)), ok_{false} {}

  /// Whether it went well.
  explicit operator bool() const noexcept { return ok_; }
  bool has_value() const noexcept { return ok_; }
  /// Why not.
  outbound::error& error() & noexcept OUTBOUND_LIFETIMEBOUND_ { return error_; }
  const outbound::error& error() const& noexcept OUTBOUND_LIFETIMEBOUND_ { return error_; }
  outbound::error&& error() && noexcept OUTBOUND_LIFETIMEBOUND_ { return std::move(error_); }

 private:
  outbound::error error_{};
  bool ok_{true};
};

namespace detail {

// A callable without its type, and its owner; `copied` where it must be possible to copy it.
template <class R, class... Args, bool copied>
class function<R(Args...), copied> {
 public:
  function() noexcept = default;
  template <class F, std::enable_if_t<!std::is_same_v<std::decay_t<F>, function>, int> = 0>
  function(F&& f);
  function(const function& other) : function{other.table_ != nullptr ? other.table_->copy(other) : function{}} {}
  function(function&& other) noexcept { swap(other); }
  function& operator=(function other) noexcept {
    swap(other);
    return *this;
  }
  ~function() {
    if (table_ != nullptr) table_->destroy(target_);
  }
  void swap(function& other) noexcept {
    std::swap(target_, other.target_);
    std::swap(table_, other.table_);
  }

  explicit operator bool() const noexcept { return table_ != nullptr; }
  R operator()(Args... args) const { return table_->call(target_, std::forward<Args>(args)...); }

 private:
  struct table {
    R (*call)(void*, Args...);
    function (*copy)(const function&);
    void (*destroy)(void*) noexcept;
  };
  template <class F>
  static const table* table_of() noexcept;

  void* target_{};
  const table* table_{};
};

}  // namespace detail

/// A callable of yours, kept: whatever can be called so and copied, a lambda say. False while it is empty, and not to
/// be called then. What it returns is dropped where nothing is wanted.
template <class Signature>
class callback;
/// The one that there is: of a function's signature.
template <class R, class... Args>
class callback<R(Args...)> {
 public:
  callback() noexcept = default;
  /// Empty.
  callback(std::nullptr_t) noexcept {}
  /// Keeps a callable; an empty std::function or a null pointer makes it empty.
  template <class F, std::enable_if_t<!std::is_same_v<std::decay_t<F>, callback>, int> = 0>
  callback(F&& f) : target_{std::forward<F>(f)} {
    static_assert(std::is_copy_constructible_v<std::decay_t<F>>,
                  "outbound: options are copied, and so is what they hold; capture a reference or a shared_ptr");
  }

  /// Whether there is one.
  explicit operator bool() const noexcept { return static_cast<bool>(target_); }
  friend bool operator==(const callback& f, std::nullptr_t) noexcept { return !f; }
  /// Calls it.
  R operator()(Args... args) const { return target_(std::forward<Args>(args)...); }

 private:
  detail::function<R(Args...), true> target_{};
};

/// How requests reach the network: any callable `result<response>(const request&)`, move-only ones included; one that
/// returns a `response` or an `error` will do. The manual (2) says what it must keep to.
class transport {
 public:
  /// Keeps a callable. An empty std::function and a null pointer are no transport.
  template <class F, std::enable_if_t<!std::is_same_v<std::decay_t<F>, transport>, int> = 0>
  transport(F&& f);
  transport(transport&&) noexcept = default;
  transport& operator=(transport&&) noexcept = default;
  ~transport() = default;

  /// Calls it. What it throws is an error like any other (`no_response`).
  result<response> operator()(const request& r) noexcept;

 private:
  detail::function<result<response>(const request&), false> target_{};
};

/// A transport for those who do the I/O themselves: every `send` is `not_sent`.
struct no_transport_t {
  /// Fails.
  result<response> operator()(const request& r) const;
};
/// To be given to a client: `client{key, no_transport}`.
inline constexpr no_transport_t no_transport{};

/// What a response means: itself if the status is 2xx, else an error whose message shows what the server said. It knows
/// no key: one that the server repeats is in that message, while `client::send` and an outbox remove it.
result<response> interpret(response r);

/// The request as a line for a shell, with the key redacted.
std::string curl_command(const request& r);

// >>client ------------------------------------------------------------------------------------------------------------

/// What a client does otherwise than by default.
struct options {
  /// http or https, a host, perhaps a port and a path; no user, query or fragment.
  std::string base_url{"https://api.outbound.io"};
  std::chrono::milliseconds timeout{30'000};  ///< for one request; handed to the transport, must be positive
  bool strict{false};                         ///< warnings stop a message too
};

/// The API key, a transport and options. Move-only. `send` from one thread at a time, `prepare` from any.
class client {
 public:
  /// The key is used as it is: bytes 0x21 to 0x7E, never trimmed. A key or options that cannot be used make every call
  /// fail with `invalid_options`, as do those of a client that was moved from. Of four characters or more, the key is
  /// taken out of what servers and transports say.
  client(text key, transport how, options o = {});
  client(client&&) noexcept = default;
  client& operator=(client&&) noexcept = default;
  ~client() = default;

  /// One request, one answer. Never retries, never throws.
  result<response> send(const message& m) noexcept;
  /// The request that `send` would make.
  result<request> prepare(const message& m) const noexcept;
  /// The same for what a `delivery_queue` says is due; with its X-Outbound-GUID.
  result<request> prepare(const delivery& d) const noexcept;
  /// Whether `send` would try to send it; if not, why.
  result<void> validate(const message& m) const noexcept;

 private:
  friend struct detail::core;
  result<void> usable() const;
  result<void> checked(const message& m) const;
  request make_request(std::string_view path, std::string_view body, std::string user_key) const;
  result<response> exchange(transport& how, const request& r) const noexcept;

  outbound::error setup_{};  // code 0: none
  std::string key_{};
  std::string url_{};  // without a slash at the end
  transport transport_;
  options options_{};
};

// >>delivery ----------------------------------------------------------------------------------------------------------

/// When it is, as the caller's clocks say.
struct instant {
  std::chrono::steady_clock::time_point steady{};  ///< measures all waiting
  std::chrono::system_clock::time_point system{};  ///< is compared with an HTTP date in Retry-After, nothing else
};

/// How long and how often a message is tried. Durations are clamped to 0 .. 365 days.
struct retry_policy {
  std::chrono::milliseconds first_delay{500};     ///< backoff: 0 .. min(max_delay, first_delay * 2^n), at random
  std::chrono::milliseconds max_delay{60'000};    ///< ("full jitter": AWS Architecture Blog, 2015)
  std::chrono::milliseconds max_age{86'400'000};  ///< as `event::age` says
  unsigned max_attempts{10};   ///< that end in `malformed_json`; of a batch, and then of each member alone
  bool retry_ambiguous{true};  ///< track, too, is sent again after a lost answer, 502 and 504; after a restart, always
  unsigned budget{100};  ///< retries at once, of all messages; 10 a second come back, and one for each good answer
};

/// What a full queue does.
enum class overflow : unsigned char { reject_new, drop_oldest };

/// Why a message was lost. The first five count as failed, the last two as dropped.
enum class loss : unsigned char {
  none,
  refused,     ///< `invalid_field`: the API refuses this message
  unexpected,  ///< `unexpected_status`
  ambiguous,   ///< it may have been processed, and `retry_ambiguous` is off
  exhausted,   ///< `max_attempts`
  expired,     ///< `max_age`
  overflow,    ///< the oldest of a full queue
  closed,      ///< still queued when the outbox was destroyed, without a store
};

/// An accepted message, as a store keeps it. A body of numbers only, `[12,14]`, is no message: it says which records
/// were on their way as one batch.
struct record {
  std::uint64_t id{};      ///< unique in a store; rises in the order of acceptance
  std::string path{};      ///< `message::path`
  std::string body{};      ///< `message::body`
  std::string guid{};      ///< the X-Outbound-GUID
  std::string user_key{};  ///< `message::user_key`
};

/// Durability: where a queue keeps what it accepted until it is answered. Derive from it; examples/stores has one on
/// SQLite. Its functions are called one at a time, must not call the queue or outbox that calls them, and may throw;
/// their errors get the code `store_failed`, but for out_of_memory, and what they say is cut at 400 bytes.
class store {
 public:
  virtual ~store() = default;
  /// The record is durable when this returns; with an error, nothing of it is kept.
  virtual result<void> append(const record& r) = 0;
  /// All of them, or none and an error. An id that is not there is no error. What is not removed before the process
  /// ends is sent again by the next one: with its GUID, unless it was in a batch that was refused.
  virtual result<void> remove(const std::vector<std::uint64_t>& ids) = 0;
  /// What was appended and not removed, by rising id.
  virtual result<std::vector<record>> load() = 0;
};

/// What became of a message, or of the queue.
struct event {
  /// What there is to tell.
  enum class kind : unsigned char {
    delivered,
    retrying,       ///< will be sent again, unless it expires before; of a batch, its first message is told
    failed,         ///< lost: `why`, `cause`
    dropped,        ///< lost: `why`
    held,           ///< the queue or a path waits, probing: the set-up is wrong (`cause`), or the API is not available
    resumed,        ///< that ended, by a good answer, or for another reason to wait; one for each `held`
    store_failed,   ///< it keeps what was answered, which may be sent once more after a restart (`cause`)
    worker_failed,  ///< a thread could not be made: `flush` and `close` deliver; or a transport: there is one less
  };
  kind what{};                      ///< what it is about
  loss why{};                       ///< if it is lost
  record message{};                 ///< what it is about, where it is about one
  outbound::error cause{};          ///< the last answer, or what went wrong; code 0: nothing bad
  unsigned attempts{};              ///< requests made for it
  std::chrono::milliseconds age{};  ///< since this process accepted it, without any hold for the set-up's sake
  std::uint64_t number{};           ///< rises in the order of what happened, which threads may tell in another order
};

/// Counts since the start. At every moment accepted = delivered + failed + dropped + queued + in_flight.
struct delivery_stats {
  std::uint64_t accepted{};                                            ///< what a store gave back included
  std::uint64_t delivered{};                                           ///< answered well
  std::uint64_t failed{};                                              ///< lost, as are
  std::uint64_t dropped{};                                             ///< these: see `loss`
  std::uint64_t queued{};                                              ///< waiting
  std::uint64_t in_flight{};                                           ///< in a request
  std::uint64_t attempts{};                                            ///< requests made
  std::uint64_t bytes{};                                               ///< of the bodies that are queued or in flight
  std::uint64_t losses[static_cast<std::size_t>(loss::closed) + 1]{};  ///< by reason

  /// How many for that reason.
  std::uint64_t lost(loss why) const noexcept { return losses[static_cast<std::size_t>(why)]; }
};

/// What `flush` and `close` leave. True if nothing is left.
struct remaining {
  std::uint64_t queued{};     ///< waiting
  std::uint64_t in_flight{};  ///< in a request
  /// Whether nothing is left.
  explicit operator bool() const noexcept { return queued == 0 && in_flight == 0; }
};

/// What makes the X-Outbound-GUIDs of one process differ from those of others, and its jitter: two random numbers.
struct guid_seed {
  std::uint64_t high{};  ///< any number
  std::uint64_t low{};   ///< another one; both 0: an outbox takes what the clocks say
};

/// Bounds, durability and hooks of a delivery_queue.
struct queue_options {
  retry_policy retry{};                          ///< how long a message is tried
  std::size_t max_messages{100'000};             ///< queued and in flight
  std::size_t max_bytes{std::size_t{64} << 20};  ///< of bodies
  overflow when_full{overflow::reject_new};      ///< by either bound
  std::size_t batch_size{1};  ///< up to 100 identify or track messages leave as one request; extension, off at 1. After
                              ///< a 404, 405 or 410 to a batch they leave one by one for an hour
  guid_seed seed{};           ///< another one in each process: equal seeds give equal GUIDs to equal messages
  outbound::store* store{};   ///< must outlive the queue; null: memory only
  callback<void(const event&)> on_event{};  ///< called when the queue is consistent again; may call it: it is not
                                            ///< called again within itself, but for an outbox's destructor
};

/// A request to make, and the ticket to report its answer with. Move-only.
class delivery {
 public:
  std::string path{};      ///< behind the base URL
  std::string body{};      ///< JSON
  std::string guid{};      ///< the same on every attempt
  std::string user_key{};  ///< `message::user_key`; that of the first message of a batch
  unsigned attempt{};      ///< 1 is the first

  delivery() noexcept = default;
  /// The other one is empty then.
  delivery(delivery&& other) noexcept { *this = std::move(other); }
  delivery& operator=(delivery&& other) noexcept;
  ~delivery() = default;
  /// False: nothing is due.
  explicit operator bool() const noexcept { return attempt != 0; }

 private:
  friend class delivery_queue;
  detail::queued* ticket_{};
};

namespace detail {

// Lets nothing through but, from time to time, one request that finds out whether things have changed.
struct gate {
  bool held{};
  unsigned failures{};
  std::int64_t probe_at{};
};

// A binary heap of the messages that may leave, the one that is due first on top; each knows its place in it.
class ready_heap {
 public:
  bool empty() const noexcept { return items_.empty(); }
  queued* top() const noexcept { return items_.front(); }
  void make_room(std::size_t n);  // so that `push` needs no memory
  void push(queued* q) noexcept;
  void erase(queued* q) noexcept;

 private:
  void put(std::size_t i, queued* q) noexcept;
  void rise(std::size_t i, queued* q) noexcept;
  void sink(std::size_t i, queued* q) noexcept;
  std::vector<queued*> items_{};
};

// All messages of one path.
struct lane {
  std::string path{};
  std::int64_t batches_from{};  // no_time: there is no path for batches of these
  ready_heap ready{};
  queued* oldest{};
  queued* newest{};
  std::size_t count{};
  std::size_t calls{};  // in flight
  gate hold{};
};

// The clock by which messages age. It stands still while any of them is held for the set-up's sake, since others of its
// user wait behind it.
struct age_clock {
  std::int64_t aged{};
  std::int64_t since{};
  bool running{true};

  std::int64_t at(std::int64_t now) const noexcept { return aged + (running ? now - since : 0); }
};

// The lines of users who have messages, found by their keys: a hash table.
struct user_line;
class line_table {
 public:
  line_table() noexcept = default;
  line_table(const line_table&) = delete;
  line_table& operator=(const line_table&) = delete;
  ~line_table();
  user_line* get(std::string_view key, std::uint64_t seed);
  void erase(user_line* line) noexcept;

 private:
  user_line*& bucket_of(std::uint32_t hash) noexcept { return buckets_[hash >> 1 & (buckets_.size() - 1)]; }
  std::vector<user_line*> buckets_{};  // a power of two
  std::size_t count_{};
};

inline constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

}  // namespace detail

/// The delivery engine: order per user, backoff, holds, bounds, batches, accounting. It has no thread, lock, clock or
/// randomness: pass `now`, take what is due, make the request (`client::prepare`), report what came back. Every
/// operation costs O(log n) of what is queued; `due`, and `post` that drops the oldest, also look at each message that
/// is in a request or in a batch that will be sent again. Used by one thread at a time; nothing throws.
class delivery_queue {
 public:
  /// Takes over what the store has. If that fails, every `post` does, with the store's error.
  explicit delivery_queue(queue_options o = {}) noexcept;
  delivery_queue(const delivery_queue&) = delete;
  delivery_queue& operator=(const delivery_queue&) = delete;
  /// What is queued is gone, unless there is a store.
  ~delivery_queue();

  /// Copies the message, into the store too. Errors: invalid_message, queue_full, closed, store_failed, out_of_memory;
  /// then nothing has changed.
  result<void> post(const message& m, instant now) noexcept;
  /// The next request to make now, if there is one. Each must be reported.
  delivery next(instant now) noexcept;
  /// What a request led to: the response as it came, or the transport's error.
  void report(delivery&& d, const result<response>& answer, instant now) noexcept;
  /// When `next` may have something to do; `time_point::max()`: not before the next post or report.
  std::chrono::steady_clock::time_point due() const noexcept;
  /// From now on `post` refuses. What is queued can still be delivered.
  void close() noexcept { closed_ = true; }
  /// Drops all that is not in flight (`loss::closed`), unless a store keeps it.
  void abandon() noexcept;
  /// Counts since the start.
  delivery_stats stats() const noexcept { return stats_; }

 private:
  void observe(instant now) noexcept;
  result<void> accept(const message& m);
  bool is_full(std::size_t body) const noexcept;
  bool can_make_room(std::size_t body) const noexcept;
  outbound::error full(std::size_t body) const;
  void fill(detail::queued& q, std::string_view path, std::string_view body, std::string_view user_key);
  void enqueue(detail::queued* q) noexcept;
  void make_ready(detail::queued* q, std::int64_t due) noexcept;
  void unlink(detail::queued* q) noexcept;
  record record_of(const detail::queued& q) const;
  void discard_all() noexcept;
  result<void> restore();
  void restore_batch(const record& r, const std::vector<detail::queued*>& by_id);

  delivery take();
  detail::lane* choose() noexcept;
  void gather(detail::lane& from, detail::queued* first) noexcept;
  static bool may_join(const detail::queued& first, const detail::queued& last, const detail::queued& q) noexcept;
  void join_batch(detail::queued& last, detail::queued& q) noexcept;
  delivery describe(const detail::lane& from, const detail::queued& first) const;
  bool fix_batch(const delivery& d, detail::queued* first);
  void dissolve(detail::queued* first) noexcept;

  void obey_retry_after(const response& r) noexcept;
  void judge(detail::queued* first, const outbound::error& cause) noexcept;
  void judge_transient(detail::queued* first, const outbound::error& cause) noexcept;
  void judge_setup(detail::queued* first, const outbound::error& cause) noexcept;
  void hold(detail::gate& g, detail::queued* first, const outbound::error& cause) noexcept;
  void welcome() noexcept;
  void reopen(detail::gate& g) noexcept;
  void run_clock() noexcept;
  std::int64_t jitter(unsigned failures) noexcept;
  void retry(detail::queued* first, const outbound::error& cause) noexcept;

  std::int64_t age(const detail::queued& q) const noexcept;
  void expire() noexcept;
  bool drop_oldest(loss why) noexcept;
  void settle(detail::queued* q, event::kind what, loss why, const outbound::error& cause) noexcept;
  void settle_all(detail::queued* first, event::kind what, loss why, const outbound::error& cause) noexcept;
  void forget() noexcept;
  void note(event::kind what, loss why, const detail::queued* q, const outbound::error& cause) noexcept;
  void tell() noexcept;

  friend struct detail::core;
  std::int64_t next_call() const noexcept;

  queue_options options_;
  outbound::error setup_{};  // of the store; code 0: none
  detail::line_table lines_{};
  std::vector<detail::lane> lanes_{};
  std::vector<std::uint64_t> answered_{};  // that the store still has
  std::vector<event> events_{};
  std::uint64_t event_number_{};
  delivery_stats stats_{};
  std::uint64_t next_id_{1};
  std::uint64_t random_{};
  std::int64_t origin_{};  // of the milliseconds below, on the steady clock
  std::int64_t now_{};
  std::int64_t unix_now_{};                // in seconds
  std::int64_t not_before_{};              // as Retry-After said
  std::int64_t forget_at_{};               // when the store is asked again to remove
  std::int64_t budget_at_{INT64_MIN / 2};  // up to which the budget of retries is spent; at first, not at all
  detail::gate hold_{};                    // of the whole queue
  unsigned failures_in_a_row_{};
  std::size_t calls_{};                    // in flight
  std::size_t window_{detail::unlimited};  // of calls in flight; after a hold it grows with each good answer
  bool setup_is_wrong_{false};
  detail::age_clock clock_{};
  bool started_{false};
  bool closed_{false};
  bool telling_{false};
};

#ifndef OUTBOUND_NO_THREADS
// >>outbox ------------------------------------------------------------------------------------------------------------

/// Those of an outbox.
struct outbox_options : queue_options {
  std::size_t workers{1};  ///< threads, each with one request at a time; 0: `flush` and `close` deliver themselves
  callback<transport()> make_transport{};          ///< one for each worker; empty: the client's, for one worker
  std::chrono::milliseconds close_timeout{5'000};  ///< of the destructor
  int (*process_id)(){};  ///< getpid, say: where it has changed (fork), everything returns at once; null: no fork
  /// For tests: what the clocks say, and how to wait until `changed` is notified, or for so long. Called with the lock
  /// held. Empty: the clocks of <chrono>, and `changed.wait_for`.
  callback<instant()> now{};
  callback<void(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                std::chrono::milliseconds longest)>
      wait{};
};

namespace detail {

// As milliseconds, from 0 to a year.
template <class Rep, class Period>
std::chrono::milliseconds saturated(std::chrono::duration<Rep, Period> d) noexcept {
  const double most = 365.0 * 86400 * 1000;
  const double n = std::chrono::duration<double, std::milli>{d}.count();
  return std::chrono::milliseconds{n > 0 ? static_cast<std::int64_t>(n < most ? n : most) : 0};
}

}  // namespace detail

/// Delivers in the background: a delivery_queue, a client, and threads. Thread-safe; every function may also be called
/// from a transport and from `on_event`, which run on the workers' threads, never under a lock, perhaps several at
/// once. `on_event` also runs on threads that construct an outbox, post, flush, close or destroy, for what is to be
/// told then. What they throw is caught. Nothing throws.
class outbox {
 public:
  /// Takes over what the store has, and starts. A thread that cannot be started is an `event::kind::worker_failed`;
  /// without exceptions the standard library ends the program.
  explicit outbox(client c, outbox_options o = {}) noexcept;
  outbox(const outbox&) = delete;
  outbox& operator=(const outbox&) = delete;
  /// Closes with `close_timeout`; what is left then is dropped (`loss::closed`), unless there is a store. On a worker's
  /// thread it does not wait for that worker, and what its call leads to is told to nobody; nor, from `on_event`, are
  /// the events that happened together with that one.
  ~outbox();

  /// Copies the message and returns; waits for no network, only for the store. Errors: those of `client::validate` and
  /// of `delivery_queue::post`.
  result<void> post(const message& m) noexcept;

  /// Waits until all is answered, or so long; says what is left. Does not shorten a backoff. From a callback it does
  /// not wait for the call that it is called from.
  template <class Rep, class Period>
  remaining flush(std::chrono::duration<Rep, Period> timeout) noexcept {
    return flush_for(detail::saturated(timeout));
  }
  /// The same, and the end: `post` refuses from now on. The calls that are in a transport when the time is over are
  /// waited for (`request.timeout` bounds them), but the one it is called from; afterwards no callback runs,
  /// but for those by which the destructor hands back what is left, or says that the store failed.
  template <class Rep, class Period>
  remaining close(std::chrono::duration<Rep, Period> timeout) noexcept {
    return close_for(detail::saturated(timeout));
  }

  /// Counts since the start.
  delivery_stats stats() const noexcept;
  /// The threads that deliver.
  std::size_t workers() const noexcept;

 private:
  remaining flush_for(std::chrono::milliseconds timeout) noexcept;
  remaining close_for(std::chrono::milliseconds timeout) noexcept;
  detail::core* core_{};
};
#endif  // OUTBOUND_NO_THREADS

}  // namespace v1_0_0
}  // namespace outbound

template <>
struct std::is_error_code_enum<outbound::errc> : std::true_type {};

// =====================================================================================================================
//                                   The reference ends here; the implementation begins.
// =====================================================================================================================

namespace outbound {
inline namespace v1_0_0 {

// >>templates ---------------------------------------------------------------------------------------------------------

// What every file needs that uses the API: the bodies of templates, and what they are made of.

template <class Wide, std::enable_if_t<std::is_convertible_v<const Wide&, std::wstring_view>, int>>
std::string from_utf16(const Wide& s) {
  static_assert(sizeof(wchar_t) == 2 && sizeof(Wide) != 0,
                "outbound: wchar_t is not UTF-16 here: convert to std::u16string first");
  const std::wstring_view wide = s;
  return from_utf16(std::u16string{wide.begin(), wide.end()});
}

namespace detail {

inline constexpr unsigned max_depth = 64;

// Puts a place on the chain for as long as it lives.
class at_place {
 public:
  at_place(writer& w, std::string_view key, std::size_t index = 0) noexcept : w_{w}, place_{w.here, key, index} {
    w.here = &place_;
  }
  at_place(const at_place&) = delete;
  at_place& operator=(const at_place&) = delete;
  ~at_place() { w_.here = place_.parent; }
  void move_to(std::string_view key) noexcept { place_.key = key; }
  void move_to(std::size_t index) noexcept { place_.index = index; }

 private:
  writer& w_;
  writer::place place_;
};

// --- how each kind of value is written

inline erased with_bits(void (*write)(writer&, const erased&), std::uint64_t bits) noexcept {
  erased e;
  e.write = write;
  e.bits = bits;
  e.leaf = true;
  return e;
}

inline erased with_range(void (*write)(writer&, const erased&), const void* data, std::size_t size) noexcept {
  erased e;
  e.write = write;
  e.data = data;
  e.bits = size;
  return e;
}

void write_null(writer& w, const erased&);
void write_bool(writer& w, const erased& e);
void write_unsigned(writer& w, const erased& e);
void write_signed(writer& w, const erased& e);
void write_double(writer& w, const erased& e);
void write_float(writer& w, const erased& e);
void write_text(writer& w, const erased& e);
void write_json(writer& w, const erased& e);
void write_json_object(writer& w, const erased& e);
void refuse_depth(writer& w, unsigned depth);
unsigned nesting(std::string_view s, unsigned known) noexcept;
void adopt_findings(writer& w, const finding_list& part);

inline erased erase_text(text s) noexcept {
  erased e = with_range(&write_text, s.data(), s.view().size());
  e.leaf = true;
  return e;
}

// One container more around what is written while it lives. False: there are too many, and null has been written.
class deeper {
 public:
  explicit deeper(writer& w);
  deeper(const deeper&) = delete;
  deeper& operator=(const deeper&) = delete;
  ~deeper() { --w_.depth; }
  explicit operator bool() const noexcept { return w_.depth <= max_depth; }

 private:
  writer& w_;
};

// An object that is written at the end, member by member. Without `keys`, those of the members are known to differ.
class open_object {
 public:
  open_object(writer& w, key_set* keys);
  void add(text key, const erased& v);
  void close();

 private:
  writer& w_;
  key_set* keys_;
  std::size_t open_;
  std::size_t first_finding_;
  at_place here_;
  bool repeated_{};
};

// The same for an array.
class open_array {
 public:
  explicit open_array(writer& w) : w_{w}, here_{w, {}} { w.put('['); }
  void add(const erased& v) {
    if (count_ != 0) *w_.cursor++ = ',';  // into the slack
    here_.move_to(count_++);
    v.write(w_, v);
  }
  void close() { w_.put(']'); }

 private:
  writer& w_;
  at_place here_;
  std::size_t count_{};
};

template <class R>
void write_range(writer& w, const erased& e) {
  R& range = *static_cast<R*>(const_cast<void*>(e.data));
  const deeper level{w};
  if (!level) return;
  if constexpr (has_text_key<item_of<R>>) {
    key_set keys;
    open_object out{w, has_unique_keys<R> ? nullptr : &keys};
    for (auto&& item : range) out.add(item.first, erase(item.second));
    out.close();
  } else {
    open_array out{w};
    for (auto&& item : range) {
      if constexpr (is_bool_range<R>) out.add(with_bits(&write_bool, static_cast<bool>(item)));
      else out.add(erase(item));
    }
    out.close();
  }
}

// --- OUTBOUND_FIELDS

template <class T>
struct exactly {};  // T, and nothing that is derived from it

inline constexpr std::size_t fragment_blanks = 16;  // behind `,"name":`

// Writes an object whose keys are finished text and known to differ.
class fields {
 public:
  explicit fields(writer& w) : w_{w}, here_{w, ""} { w.put('{'); }
  template <std::size_t size, class T>
  void add(const char (&fragment)[size], const T& v) {
    add(fragment, size - 1 - fragment_blanks, erase(v));
  }
  void close() { w_.put('}'); }

 private:
  void add(const char* fragment, std::size_t size, const erased& v);

  writer& w_;
  at_place here_;
};

// The same for an object that exists.
class fields_of_object {
 public:
  explicit fields_of_object(object& o) noexcept : object_{o} {}
  template <std::size_t size, class T>
  void add(const char (&fragment)[size], const T& v) {
    object_.set(std::string_view{fragment + 2, size - 5 - fragment_blanks}, v);
  }

 private:
  object& object_;
};

template <class T, class = void>
inline constexpr bool has_fields = false;
template <class T>
inline constexpr bool has_fields<
    T, std::void_t<decltype(outbound_each_field_(std::declval<fields&>(), std::declval<const T&>(), exactly<T>{}))>> =
    true;

template <class T>
void write_fields(writer& w, const erased& e) {
  const deeper level{w};
  if (!level) return;
  fields out{w};
  outbound_each_field_(out, *static_cast<const T*>(e.data), exactly<T>{});
  out.close();
}

// --- the user's own types

template <class T, class = void>
inline constexpr bool makes_object = false;
template <class T>
inline constexpr bool
    makes_object<T, std::void_t<decltype(to_outbound(std::declval<object&>(), std::declval<const T&>()))>> = true;
template <class T, class = void>
inline constexpr bool makes_value = false;
template <class T>
inline constexpr bool makes_value<T, std::void_t<decltype(to_outbound(std::declval<const T&>()))>> = true;
template <class T>
inline constexpr bool is_own_type = std::is_class_v<T> || std::is_union_v<T> || std::is_enum_v<T>;

// While a part is written, `deepest` is about that part.
class deepest_of_part {
 public:
  explicit deepest_of_part(writer& w) noexcept : w_{w}, before_{std::exchange(w.deepest, w.depth)} {}
  deepest_of_part(const deepest_of_part&) = delete;
  deepest_of_part& operator=(const deepest_of_part&) = delete;
  ~deepest_of_part() {
    if (w_.deepest < before_) w_.deepest = before_;
  }

 private:
  writer& w_;
  unsigned before_;
};

template <class T>
void write_made_object(writer& w, const erased& e) {
  const deeper level{w};
  if (!level) return;
  const deepest_of_part part{w};
  object made{w};
  to_outbound(made, *static_cast<const T*>(e.data));
}

template <class T>
void write_made_value(writer& w, const erased& e) {
  const auto& made = to_outbound(*static_cast<const T*>(e.data));
  const erased v = erase(made);
  v.write(w, v);
}

// An object or an array that exists, with its problems. While it is added to itself, that is what was complete before.
template <class T>
void write_spliced(writer& w, const erased& e) {
  const T& from = *static_cast<const T*>(e.data);
  const std::string_view text = from.text();
  unsigned depth = w.depth + from.levels();
  if (depth > max_depth) depth = w.depth + nesting(text, from.levels());  // its deepest value may have been replaced
  if (depth > max_depth) return refuse_depth(w, depth);
  if (depth > w.deepest) w.deepest = depth;
  w.append(text);
  if (!from.out().findings.empty()) adopt_findings(w, from.own_findings());
}

template <class T>
erased erase_spliced(const T& v) noexcept {
  erased e = with_range(&write_spliced<T>, &v, 1);
  e.levels = v.levels();
  return e;
}

// --- from a type to its writer

template <class T>
std::uint64_t bits_of(T n) noexcept {
  if constexpr (std::is_signed_v<T>) return static_cast<std::uint64_t>(std::int64_t{n});
  else return std::uint64_t{n};
}

// The bits of a floating-point number. By reference: under -ffast-math clang takes an argument by value to be finite.
template <class Bits, class T>
std::uint64_t float_bits(const T& x) noexcept {
  Bits bits = 0;
  static_assert(sizeof bits == sizeof x, "outbound: float and double must be IEEE 754 binary32 and binary64");
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// Whole seconds, rounded down. What cannot be computed in 64 bits saturates.
template <class Rep, class Period>
std::int64_t unix_seconds(std::chrono::duration<Rep, Period> since_epoch) noexcept {
  const Rep n = since_epoch.count();
  if (n > 0 && static_cast<std::uint64_t>(n) > static_cast<std::uint64_t>(INT64_MAX / Period::num)) return INT64_MAX;
  if constexpr (std::is_signed_v<Rep>) {
    if (n < INT64_MIN / Period::num) return INT64_MIN;
  }
  using signed_count = std::chrono::duration<std::int64_t, Period>;
  return std::chrono::floor<std::chrono::seconds>(signed_count{static_cast<std::int64_t>(n)}).count();
}
template <class T>
inline constexpr bool is_time_point = false;
template <class Rep, class Period>
inline constexpr bool
    is_time_point<std::chrono::time_point<std::chrono::system_clock, std::chrono::duration<Rep, Period>>> =
        is_integer<Rep>;

template <class E>
erased erase_enum(E v) noexcept {
  using N = std::underlying_type_t<E>;
  return with_bits(std::is_signed_v<N> ? &write_signed : &write_unsigned, bits_of(static_cast<N>(v)));
}

template <class R>
constexpr bool is_range_of_itself() {
  if constexpr (is_range<R>) return std::is_same_v<bare<item_of<R>>, bare<R>>;
  else return false;
}

template <class T>
inline constexpr bool never = false;

template <class T>
erased erase(T& v) {
  using U = std::remove_cv_t<T>;
  if constexpr (has_fields<U>) return with_range(&write_fields<U>, &v, 1);
  else if constexpr (is_own_type<U> && makes_object<U>) return with_range(&write_made_object<U>, &v, 1);
  else if constexpr (is_own_type<U> && makes_value<U>) return with_range(&write_made_value<U>, &v, 1);
  else if constexpr (std::is_base_of_v<element, U>) return v.erased();  // a value that is passed on
  else if constexpr (std::is_null_pointer_v<U>) return with_bits(&write_null, 0);
  else if constexpr (is_text<U>) return erase_text(v);
  else if constexpr (is_bool<U>) return with_bits(&write_bool, static_cast<bool>(v));
  else if constexpr (is_integer<U>)
    return with_bits(std::is_signed_v<U> ? &write_signed : &write_unsigned, bits_of<U>(v));
  else if constexpr (std::is_same_v<U, double>) return with_bits(&write_double, float_bits<std::uint64_t>(v));
  else if constexpr (std::is_same_v<U, float>) return with_bits(&write_float, float_bits<std::uint32_t>(v));
  else if constexpr (std::is_enum_v<U> && !std::is_same_v<U, std::byte>) return erase_enum(v);
  else if constexpr (std::is_same_v<U, object> || std::is_same_v<U, array>) return erase_spliced(v);
  else if constexpr (std::is_same_v<U, id>) return with_range(&write_id, &v, 1);
  else if constexpr (std::is_same_v<U, json>) return with_range(&write_json, &v, 1);
  else if constexpr (is_time_point<U>) return with_bits(&write_signed, bits_of(unix_seconds(v.time_since_epoch())));
  else if constexpr (is_optional<T>) return v.has_value() ? erase(*v) : with_bits(&write_null, 0);
  else if constexpr (is_range<T> && !is_range_of_itself<T>()) return with_range(&write_range<T>, &v, 1);
  else {
    static_assert(never<T>,
                  "outbound: this type is no JSON value: pass text, a number, bool, nullptr, an optional, a range, "
                  "object, array or json, or write void to_outbound(outbound::object&, const T&) for it (characters, "
                  "bytes and pointers: say which text or number you mean)");
    return {};
  }
}

// What makes an object: for attributes and properties as a whole.
template <class T>
erased erase_object(const T& v) {
  constexpr bool is_map = [] {
    if constexpr (is_range<const T>)
      return has_text_key<item_of<const T>> && !makes_value<T> && !is_text<T> && !is_optional<T>;
    else return false;
  }();
  static_assert((is_own_type<T> && makes_object<T>) || std::is_same_v<T, object> || is_map,
                "outbound: braces of {key, value}, an object, a json, a map with text as its keys, or a type with "
                "to_outbound(outbound::object&, const T&)");
  return erase(v);
}
inline erased erase_object(const json& v) noexcept {
  erased e = with_range(&write_json_object, &v, 1);
  e.as_text = true;
  return e;
}

template <class T>
void write_list(writer& w, const erased& e) {
  const deeper level{w};
  open_array out{w};
  const T* const first = static_cast<const T*>(e.data);
  for (const T* item = first; item != first + e.size(); ++item) out.add(erase(*item));
  out.close();
}

// The same for one T, or a range of what converts to it.
template <class T, class U>
void write_list_of(writer& w, const erased& e) {
  const U& items = *static_cast<const U*>(e.data);
  const deeper level{w};
  open_array out{w};
  const auto add = [&out](const T& item) { out.add(erase(item)); };
  if constexpr (std::is_convertible_v<const U&, T>) {
    add(items);
  } else {
    for (auto&& item : items) add(item);
  }
  out.close();
}

template <class T>
list<T>::list(std::initializer_list<T> items) noexcept
    : items_{with_range(&write_list<T>, items.begin(), items.size())} {}

template <class T, class U>
erased erase_list(const U& items) {
  if constexpr (is_optional<const U> && !std::is_convertible_v<const U&, T>)
    return items.has_value() ? erase_list<T>(*items) : erased{};
  else return with_range(&write_list_of<T, U>, &items, 1);
}

// --- what the API calls things

// A key that the API defines, with its quotes and its colon, and a bit of its own among the fields of one message.
struct field {
  static constexpr std::size_t room = 24;  // copied as a whole
  char bytes[room]{};
  std::size_t size{};
  unsigned bit;

  template <std::size_t n>
  constexpr field(const char (&quoted)[n], unsigned index) noexcept : size{n - 1}, bit{1U << index} {
    static_assert(n <= room, "a field's name is longer than `room`");
    for (std::size_t i = 0; i + 1 < n; ++i) bytes[i] = quoted[i];
  }
  constexpr std::string_view name() const noexcept { return {bytes + 1, size - 3}; }
  constexpr std::string_view quoted_name() const noexcept { return {bytes, size - 1}; }
};

namespace api {
inline constexpr field user_id{"\"user_id\":", 0};
inline constexpr field first_name{"\"first_name\":", 1};
inline constexpr field last_name{"\"last_name\":", 2};
inline constexpr field email{"\"email\":", 3};
inline constexpr field phone_number{"\"phone_number\":", 4};
inline constexpr field apns{"\"apns\":", 5};
inline constexpr field gcm{"\"gcm\":", 6};
inline constexpr field attributes{"\"attributes\":", 7};
inline constexpr field timezone{"\"timezone\":", 8};
inline constexpr field group_id{"\"group_id\":", 9};
inline constexpr field group_attributes{"\"group_attributes\":", 10};
inline constexpr field previous_id{"\"previous_id\":", 11};
inline constexpr field event{"\"event\":", 12};
inline constexpr field properties{"\"properties\":", 13};
inline constexpr field timestamp{"\"timestamp\":", 14};
inline constexpr field token{"\"token\":", 15};
inline constexpr field all{"\"all\":", 16};
inline constexpr field campaign_ids{"\"campaign_ids\":", 17};
}  // namespace api

// --- callables

// Pointers, std::function and callbacks may be null.
template <class F, class = void>
inline constexpr bool is_nullable = false;
template <class F>
inline constexpr bool is_nullable<F, std::void_t<decltype(std::declval<F&>() == nullptr)>> =
    std::is_assignable_v<F&, std::nullptr_t>;

template <class R, class... Args, bool copied>
template <class F, std::enable_if_t<!std::is_same_v<std::decay_t<F>, function<R(Args...), copied>>, int>>
function<R(Args...), copied>::function(F&& f) {
  if constexpr (is_nullable<bare<F>>) {
    if (f == nullptr) return;
  }
  target_ = new std::decay_t<F>(std::forward<F>(f));
  table_ = table_of<std::decay_t<F>>();
}

template <class R, class... Args, bool copied>
template <class F>
auto function<R(Args...), copied>::table_of() noexcept -> const table* {
  static constexpr table made{
      [](void* f, Args... args) -> R { return static_cast<R>((*static_cast<F*>(f))(std::forward<Args>(args)...)); },
      [](const function& f) -> function {
        if constexpr (copied) return static_cast<const F&>(*static_cast<F*>(f.target_));
        else return {};
      },
      [](void* f) noexcept { delete static_cast<F*>(f); }};
  return &made;
}

}  // namespace detail

template <class... Ts>
array array::of(Ts&&... elements) {
  array out;
  (out.insert(detail::erase(elements)), ...);
  return out;
}

template <class T>
identify& identify::attributes(const T& all) & {
  merge(detail::api::attributes, detail::erase_object(all));
  return *this;
}

template <class T>
identify& identify::group(text group_id, const T& attributes) & {
  set_group(group_id, detail::erase_object(attributes));
  return *this;
}

template <class T>
track& track::properties(const T& all) & {
  merge(detail::api::properties, detail::erase_object(all));
  return *this;
}

template <class F, std::enable_if_t<!std::is_same_v<std::decay_t<F>, transport>, int>>
transport::transport(F&& f) : target_{std::forward<F>(f)} {
  static_assert(std::is_invocable_r_v<result<response>, std::decay_t<F>&, const request&>,
                "outbound: a transport is called with a const outbound::request& and returns a result<response>, a "
                "response or an error");
}

// What follows, every file compiles for itself; with OUTBOUND_SEPARATE, one compiles it for all.
#if !defined(OUTBOUND_SEPARATE) || defined(OUTBOUND_IMPLEMENTATION)

// >>text: implementation ----------------------------------------------------------------------------------------------

namespace detail {

inline unsigned byte_at(const char* p) noexcept { return static_cast<unsigned char>(*p); }

struct utf8_step {
  std::size_t size;
  bool well_formed;
};

// The code point at p, or else the maximal subpart of an ill-formed one (Unicode 15, table 3-7). p < end.
inline utf8_step utf8_next(const char* p, const char* end) noexcept {
  const unsigned lead = byte_at(p);
  if (lead < 0x80) return {1, true};
  const std::size_t size = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;   // no overlong form
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;  // no surrogate, nothing beyond U+10FFFF
  std::size_t n = 1;
  for (; n < size && n < static_cast<std::size_t>(end - p); ++n) {
    if (byte_at(p + n) < low || byte_at(p + n) > high) break;
    low = 0x80;
    high = 0xBF;
  }
  return {n, size > 1 && n == size};
}

inline std::uint64_t load8(const void* p) noexcept {
  std::uint64_t x = 0;
  std::memcpy(&x, p, sizeof x);
  return x;
}

inline std::uint32_t load4(const char* p) noexcept {
  std::uint32_t x = 0;
  std::memcpy(&x, p, sizeof x);
  return x;
}

inline constexpr std::uint64_t every_byte = 0x0101010101010101;
inline constexpr std::uint64_t high_bits = 0x80 * every_byte;

constexpr std::size_t npos = std::string_view::npos;

inline bool is_continuation(const char* p) noexcept { return (byte_at(p) & 0xC0) == 0x80; }

// Well-formed UTF-8 as an automaton: each byte has a word with the next state for every state, six bits each, so that a
// step is one shift. It has no branches, and takes half their time where the text is not ASCII.
struct utf8_automaton {
  using state = std::uint64_t;  // a shift
  static constexpr state bad = 0, good = 6, one_more = 12, two_more = 18, three_more = 24;
  static constexpr state after_e0 = 30, after_ed = 36, after_f0 = 42, after_f4 = 48;

  std::uint64_t next[256]{};

  constexpr utf8_automaton() noexcept {
    allow(good, 0x00, 0x7F, good);
    allow(good, 0xC2, 0xDF, one_more);
    allow(good, 0xE0, 0xE0, after_e0);
    allow(good, 0xE1, 0xEC, two_more);
    allow(good, 0xED, 0xED, after_ed);
    allow(good, 0xEE, 0xEF, two_more);
    allow(good, 0xF0, 0xF0, after_f0);
    allow(good, 0xF1, 0xF3, three_more);
    allow(good, 0xF4, 0xF4, after_f4);
    allow(one_more, 0x80, 0xBF, good);
    allow(two_more, 0x80, 0xBF, one_more);
    allow(three_more, 0x80, 0xBF, two_more);
    allow(after_e0, 0xA0, 0xBF, one_more);  // no overlong form
    allow(after_ed, 0x80, 0x9F, one_more);  // no surrogate
    allow(after_f0, 0x90, 0xBF, two_more);
    allow(after_f4, 0x80, 0x8F, two_more);  // nothing beyond U+10FFFF
  }
  constexpr void allow(state from, unsigned first, unsigned last, state to) noexcept {
    for (unsigned byte = first; byte <= last; ++byte) next[byte] |= to << from;
  }
};

inline bool is_utf8(std::string_view s) noexcept {
  static constexpr utf8_automaton automaton;
  const char* const end = s.data() + s.size();
  const char* p = s.data();
  while (end - p >= 8 && (load8(p) & high_bits) == 0) p += 8;
  utf8_automaton::state state = utf8_automaton::good;
  for (; p != end; ++p) state = automaton.next[byte_at(p)] >> (state & 63);
  return (state & 63) == utf8_automaton::good;
}

// Where the first ill-formed byte of s is, or npos.
OUTBOUND_COLD_ inline std::size_t utf8_error(std::string_view s) noexcept {
  for (std::size_t i = 0; i < s.size();) {
    const utf8_step step = utf8_next(s.data() + i, s.data() + s.size());
    if (!step.well_formed) return i;
    i += step.size;
  }
  return npos;
}

OUTBOUND_COLD_ inline void append_utf8(std::string& out, std::uint32_t c) {
  const auto tail = [c](unsigned shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | c >> 6), tail(0)};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  } else {
    out += {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
  }
}

inline constexpr std::uint32_t replacement_character = 0xFFFD;
inline bool is_high_surrogate(std::uint32_t unit) noexcept { return unit >> 10 == 0xD800 >> 10; }
inline bool is_low_surrogate(std::uint32_t unit) noexcept { return unit >> 10 == 0xDC00 >> 10; }
inline std::uint32_t join_surrogates(std::uint32_t high, std::uint32_t low) noexcept {
  return 0x10000 + ((high & 0x3FF) << 10 | (low & 0x3FF));
}

OUTBOUND_COLD_ inline std::string repaired(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  const char* const end = s.data() + s.size();
  for (const char* p = s.data(); p != end;) {
    const utf8_step step = utf8_next(p, end);
    if (step.well_formed) {
      out.append(p, step.size);
    } else {
      append_utf8(out, replacement_character);
    }
    p += step.size;
  }
  return out;
}

}  // namespace detail

OUTBOUND_INLINE_ std::string repaired(text s) { return s.null() ? std::string{} : detail::repaired(s.view()); }

OUTBOUND_INLINE_ std::string from_utf16(std::u16string_view s) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    const std::uint32_t unit = s[i];
    const bool high = detail::is_high_surrogate(unit);
    if (high && i + 1 < s.size() && detail::is_low_surrogate(s[i + 1])) {
      detail::append_utf8(out, detail::join_surrogates(unit, s[++i]));
    } else {
      detail::append_utf8(out, high || detail::is_low_surrogate(unit) ? detail::replacement_character : unit);
    }
  }
  return out;
}

// >>json: implementation ----------------------------------------------------------------------------------------------

namespace detail {

inline constexpr unsigned max_json_depth = 512;
inline constexpr std::size_t max_body = std::size_t{1} << 20;
inline constexpr std::size_t max_batch_body = std::size_t{4} << 20;

// --- numbers as text

inline constexpr char digit_pairs[] =
    "000102030405060708091011121314151617181920212223242526272829303132333435363738394041424344454647484950515253545556"
    "57585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

inline constexpr std::size_t max_integer = 20;  // characters of -9223372036854775808 and 18446744073709551615
inline constexpr std::size_t max_double = 26;   // of -0.0000012345678901234567

inline unsigned count_digits(std::uint64_t n) noexcept {
  unsigned digits = 1;
  for (; n >= 10000; n /= 10000) digits += 4;
  return digits + (n >= 10) + (n >= 100) + (n >= 1000);
}

// Writes n, which has that many digits, at out.
OUTBOUND_NOINLINE_ inline void put_digits(char* out, std::uint64_t n, unsigned digits) noexcept {
  for (; digits >= 2; n /= 100) std::memcpy(out + (digits -= 2), digit_pairs + n % 100 * 2, 2);
  if (digits == 1) *out = static_cast<char>('0' + n);
}

OUTBOUND_NOINLINE_ inline char* put_unsigned(char* out, std::uint64_t n) noexcept {
  const unsigned digits = count_digits(n);
  put_digits(out, n, digits);
  return out + digits;
}

// A number inside a sentence.
class digits_of {
 public:
  explicit digits_of(std::uint64_t n) noexcept : size_{static_cast<std::size_t>(put_unsigned(text_, n) - text_)} {}
  operator std::string_view() const noexcept { return {text_, size_}; }

 private:
  char text_[max_integer];
  std::size_t size_;
};

OUTBOUND_COLD_ inline std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

// A number as an integer of decimal digits times a power of ten.
struct decimal {
  std::uint64_t digits;
  int exponent;
};

// A binary floating-point number: fraction * 2^exponent.
struct binary {
  std::uint64_t fraction;
  int exponent;
  bool lower_is_closer;          // the next smaller one is at half the distance, as at a power of two
  std::uint64_t exact_decimals;  // every decimal below this has a double (a float) of its own
};

struct product {
  std::uint64_t high;
  std::uint64_t low;
};

inline product multiply(std::uint64_t a, std::uint64_t b) noexcept {
#ifdef __SIZEOF_INT128__
  __extension__ using wide = unsigned __int128;  // one instruction; saves a fifth of a double
  const wide n = wide{a} * b;
  return {static_cast<std::uint64_t>(n >> 64), static_cast<std::uint64_t>(n)};
#else
  const std::uint64_t mask = 0xFFFFFFFF;
  const std::uint64_t low = (a & mask) * (b & mask);
  const std::uint64_t cross = (a >> 32) * (b & mask) + (low >> 32);
  const std::uint64_t middle = (a & mask) * (b >> 32) + (cross & mask);
  return {(a >> 32) * (b >> 32) + (cross >> 32) + (middle >> 32), middle << 32 | (low & mask)};
#endif
}

inline constexpr int power_step = 27;
// 10^i, scaled to 64 bits; exact.
inline constexpr std::uint64_t small_powers_of_10[power_step] = {
    0x8000000000000000, 0xA000000000000000, 0xC800000000000000, 0xFA00000000000000, 0x9C40000000000000,
    0xC350000000000000, 0xF424000000000000, 0x9896800000000000, 0xBEBC200000000000, 0xEE6B280000000000,
    0x9502F90000000000, 0xBA43B74000000000, 0xE8D4A51000000000, 0x9184E72A00000000, 0xB5E620F480000000,
    0xE35FA931A0000000, 0x8E1BC9BF04000000, 0xB1A2BC2EC5000000, 0xDE0B6B3A76400000, 0x8AC7230489E80000,
    0xAD78EBC5AC620000, 0xD8D726B7177A8000, 0x878678326EAC9000, 0xA968163F0A57B400, 0xD3C21BCECCEDA100,
    0x84595161401484A0, 0xA56FA5B99019A5C8};
inline constexpr int first_power = -11 * power_step;
// 10^(27 i - 297), scaled to 128 bits and rounded up.
inline constexpr product powers_of_10[] = {
    {0xA76C582338ED2621, 0xAF2AF2B80AF6F24F}, {0x873E4F75E2224E68, 0x5A7744A6E804A292},
    {0xDA7F5BF590966848, 0xAF39A475506A899F}, {0xB080392CC4349DEC, 0xBD8D794D96AACFB4},
    {0x8E938662882AF53E, 0x547EB47B7282EE9D}, {0xE65829B3046B0AFA, 0x0CB4A5A3112A5113},
    {0xBA121A4650E4DDEB, 0x92F34D62616CE414}, {0x964E858C91BA2655, 0x3A6A07F8D510F870},
    {0xF2D56790AB41C2A2, 0xFAE27299423FB9C4}, {0xC428D05AA4751E4C, 0xAA97E14C3C26B887},
    {0x9E74D1B791E07E48, 0x775EA264CF55347E}, {0x8000000000000000, 0x0000000000000000},
    {0xCECB8F27F4200F3A, 0x0000000000000000}, {0xA70C3C40A64E6C51, 0x999090B65F67D924},
    {0x86F0AC99B4E8DAFD, 0x69A028BB3DED71A4}, {0xDA01EE641A708DE9, 0xE80E6F4820CC9496},
    {0xB01AE745B101E9E4, 0x5EC05DCFF72E7F90}, {0x8E41ADE9FBEBC27D, 0x14588F13BE847308},
    {0xE5D3EF282A242E81, 0x8F1668C8A86DA5FB}, {0xB9A74A0637CE2EE1, 0x6D953E2BD7173693},
    {0x95F83D0A1FB69CD9, 0x4ABDAF101564F98F}, {0xF24A01A73CF2DCCF, 0xBC633B39673C8CED},
    {0xC3B8358109E84F07, 0x0A862F80EC4700C9}, {0x9E19DB92B4E31BA9, 0x6C07A2C26A8346D2}};

// 10^k for -292 <= k <= 324, scaled so that bit 127 is set; rounded up twice, so less than 4 units too large and exact
// where it can be.
inline product power_of_10(int k) noexcept {
  const unsigned step = static_cast<unsigned>(k - first_power) / power_step;
  const product base = powers_of_10[step];
  const std::uint64_t factor = small_powers_of_10[static_cast<unsigned>(k - first_power) % power_step];
  const product low = multiply(base.low, factor);
  const product high = multiply(base.high, factor);
  product top{high.high, high.low + low.high};
  top.high += top.low < high.low;
  std::uint64_t rest = low.low;
  if (top.high >> 63 == 0) {
    top = {top.high << 1 | top.low >> 63, top.low << 1 | rest >> 63};
    rest <<= 1;
  }
  if (rest != 0 && ++top.low == 0) ++top.high;
  return top;
}

// The upper 64 bits of power * n / 2^64, the lowest of them set if anything below is.
inline std::uint64_t scale_to_odd(const product& power, std::uint64_t n) noexcept {
  const std::uint64_t carry = multiply(power.low, n).high;
  const product p = multiply(power.high, n);
  const std::uint64_t low = p.low + carry;
  return (p.high + (low < carry)) | (low > 1);
}

// The shortest decimal that reads back as b, the closest to b among these: Raffaello Giulietti, "The Schubfach way to
// render doubles" (2021), in integers only, so that neither -ffast-math nor x87 registers matter.
inline decimal shortest(const binary& b) noexcept {
  const std::uint64_t even = b.fraction % 2 == 0;  // then the ends of the rounding interval belong to it
  const int k =
      (b.exponent * 1262611 - (b.lower_is_closer ? 524031 : 0)) >> 22;  // floor(log10 of the interval's width)
  const int shift = b.exponent + ((-k * 1741647) >> 19) + 1;
  const product power = power_of_10(-k);
  const std::uint64_t middle = scale_to_odd(power, b.fraction * 4 << shift);
  const std::uint64_t lower = scale_to_odd(power, (b.fraction * 4 - (b.lower_is_closer ? 1 : 2)) << shift) + 1 - even;
  const std::uint64_t upper = scale_to_odd(power, (b.fraction * 4 + 2) << shift) - 1 + even;
  const std::uint64_t s = middle / 4;
  if (s >= 10) {  // one digit less?
    const std::uint64_t tens = s / 10 * 40;
    const bool below = lower <= tens;
    if (below != (tens + 40 <= upper)) return {s / 10 + !below, k + 1};
  }
  const bool below = lower <= s * 4;
  if (below != (s * 4 + 4 <= upper)) return {s + !below, k};
  const std::uint64_t half = s * 4 + 2;
  return {s + (middle > half || (middle == half && s % 2 == 1)), k};
}

// Integers and decimals of up to three places, most of what people send, without the algorithm above. A decimal closer
// to b than half the distance to b's neighbours reads back as b, and one of so few digits is the only one that
// does.
inline bool short_decimal(const binary& b, decimal& out) noexcept {
  if (b.exponent > 0 || b.exponent < -62) return false;
  const unsigned places = static_cast<unsigned>(-b.exponent);
  const std::uint64_t whole = b.fraction >> places;
  if (whole << places == b.fraction) {
    out = {whole, 0};
    return true;
  }
  const std::uint64_t thousands = b.fraction * 1000;
  const std::uint64_t nearest = (thousands + (std::uint64_t{1} << places >> 1)) >> places;
  const std::uint64_t back = nearest << places;
  const std::uint64_t off = back > thousands ? back - thousands : thousands - back;
  if (off >= (b.lower_is_closer ? 250 : 500) || nearest >= b.exact_decimals) return false;
  out = {nearest, -3};
  return true;
}

// Lays a decimal out as ECMAScript's Number::toString does (RFC 8785, 3.2.2.3).
inline char* put_decimal(char* out, decimal d) noexcept {
  for (; d.digits % 10 == 0; d.digits /= 10) ++d.exponent;
  const int digits = static_cast<int>(count_digits(d.digits));
  const int point = digits + d.exponent;  // digits before the decimal point
  const auto write_at = [&d, digits](char* p) {
    put_digits(p, d.digits, static_cast<unsigned>(digits));
    return p + digits;
  };
  if (point > 21 || point < -5) {  // 1.234e+30
    char* end = write_at(out + 1);
    out[0] = out[1];
    out[1] = '.';
    if (digits == 1) --end;
    *end++ = 'e';
    *end++ = point > 0 ? '+' : '-';
    return put_unsigned(end, static_cast<std::uint64_t>(point > 0 ? point - 1 : 1 - point));
  }
  if (point <= 0) {  // 0.001234
    std::memcpy(out, "0.00000", 7);
    return write_at(out + 2 - point);
  }
  if (digits > point) {  // 12.34
    char* const end = write_at(out + 1);
    for (int i = 0; i < point; ++i) out[i] = out[i + 1];
    out[point] = '.';
    return end;
  }
  std::memset(out, '0', static_cast<std::size_t>(point));  // 123400
  write_at(out);
  return out + point;
}

inline char* put_binary(char* out, const binary& b) noexcept {
  if (b.fraction == 0) {
    *out = '0';
    return out + 1;
  }
  decimal d{};
  if (!short_decimal(b, d)) d = shortest(b);
  return put_decimal(out, d);
}

// An IEEE 754 number by its bits: false if it is NaN or infinite.
template <int fraction_bits, int exponent_bits, std::uint64_t exact_decimals>
bool decode(std::uint64_t bits, binary& out) noexcept {
  const int largest = (1 << exponent_bits) - 1;
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << fraction_bits) - 1);
  const int exponent = static_cast<int>(bits >> fraction_bits) & largest;
  if (exponent == largest) return false;
  const bool normal = exponent != 0;
  out.fraction = fraction | std::uint64_t{normal} << fraction_bits;
  out.exponent = (normal ? exponent : 1) - largest / 2 - fraction_bits;
  out.lower_is_closer = fraction == 0 && exponent > 1;
  out.exact_decimals = exact_decimals;
  return true;
}

// --- growing text

// A block of text has the address of the block before it in front, until `release`.
inline constexpr std::size_t block_front = sizeof(char*);
inline constexpr std::size_t first_block = 1024 - block_front;

inline char* new_block(std::size_t n, char* before) {
  char* const block = new char[block_front + n];
  std::memcpy(block, &before, block_front);
  return block + block_front;
}

inline char* block_before(const char* block) noexcept {
  char* before = nullptr;
  std::memcpy(&before, block - block_front, block_front);
  return before;
}

inline void delete_blocks(char* block) noexcept {
  while (block != nullptr) {
    char* const before = block_before(block);
    delete[](block - block_front);
    block = before;
  }
}

OUTBOUND_INLINE_ writer::writer(const writer& other, const complete_part& part)
    : deepest{part.deepest_of(other.deepest)}, findings{other.findings, part} {
  const std::string_view text = other.view().substr(0, part.size);
  if (text.empty()) return;
  begin = new_block(text.size(), nullptr);
  std::memcpy(begin, text.data(), text.size());
  cursor = limit = begin + text.size();
}

OUTBOUND_INLINE_ writer::~writer() { delete_blocks(begin); }

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void writer::swap(writer& other) noexcept {
  std::swap(begin, other.begin);
  std::swap(cursor, other.cursor);
  std::swap(limit, other.limit);
  std::swap(here, other.here);
  std::swap(depth, other.depth);
  std::swap(deepest, other.deepest);
  findings.swap(other.findings);
}

OUTBOUND_INLINE_ writer& writer::operator=(writer other) noexcept {
  swap(other);
  return *this;
}

// Makes room for n more bytes and the slack. What is old stays readable: it may be what is being written.
OUTBOUND_COLD_ OUTBOUND_INLINE_ void writer::grow(std::size_t n) {
  constexpr std::size_t most = static_cast<std::size_t>(-1) / 2 + 1 - block_front;  // which operator new refuses
  const std::size_t used = size();
  const std::size_t room = static_cast<std::size_t>(limit - begin);
  const std::size_t needed = n < most - slack - used ? used + n + slack : most;
  std::size_t wanted = room == 0 ? first_block : room < 65536 ? room * 4 : room < most / 2 ? room * 2 : most;
  if (wanted < needed) wanted = needed;
  char* const block = new_block(wanted, begin);
  if (used != 0) std::memcpy(block, begin, used);
  begin = block;
  cursor = block + used;
  limit = block + wanted;
}

// Lets go of the blocks that were outgrown.
OUTBOUND_INLINE_ void writer::release() noexcept {
  char* before = begin != nullptr ? block_before(begin) : nullptr;
  if (before == nullptr) return;
  delete_blocks(before);
  before = nullptr;
  std::memcpy(begin - block_front, &before, block_front);
}

OUTBOUND_INLINE_ bool writer::owns(const void* p) const noexcept {
  const auto address = [](const void* x) { return reinterpret_cast<std::uintptr_t>(x); };
  return address(p) - address(begin) < static_cast<std::size_t>(limit - begin);
}

OUTBOUND_INLINE_ void writer::reserve(std::size_t n) {
  const std::size_t room = static_cast<std::size_t>(limit - cursor);
  if (room < slack || room - slack < n) grow(n);
}

OUTBOUND_INLINE_ void writer::put(char c) {
  reserve(1);
  *cursor++ = c;
}

OUTBOUND_INLINE_ void writer::append(std::string_view s) {
  reserve(s.size());
  if (!s.empty()) std::memcpy(cursor, s.data(), s.size());
  cursor += s.size();
}

// --- text in quotes

// Has a high bit set if any of the eight bytes is a control character, a quote, a backslash or not ASCII.
inline std::uint64_t special(std::uint64_t x) noexcept {
  const std::uint64_t quote = x ^ ('"' * every_byte);
  const std::uint64_t backslash = x ^ ('\\' * every_byte);
  return x | (x - 0x20 * every_byte) | (quote - every_byte) | (backslash - every_byte);
}

// False if any of the eight bytes must be escaped.
inline bool is_plain(std::uint64_t x) noexcept { return (special(x) & ~x & high_bits) == 0; }

// `special` for sixteen bytes, in a loop that compilers turn into vector instructions; all blocks are or-ed.
struct block {
  static constexpr std::size_t size = 16;
  unsigned char bytes[size]{};

  void add_special(const block& x) noexcept {
    for (std::size_t i = 0; i < size; ++i) {
      const unsigned b = x.bytes[i];
      bytes[i] = static_cast<unsigned char>(bytes[i] | b | (b - 0x20) | ((b ^ '"') - 1) | ((b ^ '\\') - 1));
    }
  }
  std::uint64_t any() const noexcept { return load8(bytes) | load8(bytes + size / 2); }
};

// Up to seven bytes as one number; with blanks where there are less than four.
inline std::uint64_t load_few(const char* p, std::size_t n) noexcept {
  if (n >= 4) return load4(p) | std::uint64_t{load4(p + n - 4)} << 32;
  if (n == 0) return 0x20 * every_byte;
  return byte_at(p) | std::uint64_t{byte_at(p + n / 2)} << 8 | std::uint64_t{byte_at(p + n - 1)} << 16 |
         0x2020202020000000;
}

inline void store_few(char* out, const char* p, std::size_t n) noexcept {
  if (n >= 4) {
    const std::uint32_t last = load4(p + n - 4);
    std::memcpy(out, p, 4);
    std::memcpy(out + n - 4, &last, 4);
  } else if (n != 0) {
    out[0] = p[0];
    out[n / 2] = p[n / 2];
    out[n - 1] = p[n - 1];
  }
}

// Writes s in quotes, escaped as RFC 8785 (3.2.2.2) has it. False if s is not UTF-8; then nothing is written. Most text
// needs no more than a copy, and is looked at sixteen bytes at a time while it is copied; whatever is rarer is left by
// a tail call, so that this function needs no stack.
OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ bool writer::quote(std::string_view s) {
  const std::size_t n = s.size();
  const char* p = s.data();
  if (static_cast<std::size_t>(limit - cursor) < n + 2 + slack) return grow_and_quote(s);
  char* out = cursor + 1;
  *cursor = '"';
  std::uint64_t seen = 0;
  if (n < 8) {
    seen = special(load_few(p, n));
    store_few(out, p, n);
  } else {
    block all;
    block b;
    if (n < block::size) {
      std::memcpy(b.bytes, p, 8);
      std::memcpy(b.bytes + 8, p + n - 8, 8);  // some of it again
      std::memcpy(out, b.bytes, 8);
      std::memcpy(out + n - 8, b.bytes + 8, 8);
    } else {
      for (std::size_t i = 0; i < n - block::size; i += block::size) {
        std::memcpy(b.bytes, p + i, block::size);
        std::memcpy(out + i, b.bytes, block::size);
        all.add_special(b);
      }
      std::memcpy(b.bytes, p + n - block::size, block::size);  // some of it again
      std::memcpy(out + n - block::size, b.bytes, block::size);
    }
    all.add_special(b);
    seen = all.any();
  }
  if ((seen & high_bits) != 0) return quote_special(s);
  out[n] = '"';
  cursor = out + n + 1;
  return true;
}

OUTBOUND_COLD_ OUTBOUND_INLINE_ bool writer::grow_and_quote(std::string_view s) {
  reserve(s.size() + 2);
  return quote(s);
}

// The same for any text.
OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ bool writer::quote_special(std::string_view s) {
  if (!is_utf8(s)) return false;
  const char* const end = s.data() + s.size();
  const char* p = s.data();
  for (char* out = cursor + 1;;) {
    for (; end - p >= 8 && is_plain(load8(p)); p += 8, out += 8) std::memcpy(out, p, 8);
    while (p != end && byte_at(p) >= 0x20 && *p != '"' && *p != '\\') *out++ = *p++;
    if (p == end) {
      *out++ = '"';
      cursor = out;
      return true;
    }
    cursor = put_escape(out, byte_at(p));
    reserve(static_cast<std::size_t>(end - ++p));
    out = cursor;
  }
}

OUTBOUND_INLINE_ char* writer::put_escape(char* out, unsigned c) noexcept {
  static constexpr char hex[] = "0123456789abcdef";
  static constexpr char letters[] = "uuuuuuuubtnufruu";  // after the backslash, for U+0000 to U+000F
  const char letter = c < 0x10 ? letters[c] : c < 0x20 ? 'u' : static_cast<char>(c);
  const char escaped[6] = {'\\', letter, '0', '0', hex[c >> 4 & 15], hex[c & 15]};
  std::memcpy(out, escaped, sizeof escaped);
  return out + (letter == 'u' ? sizeof escaped : 2);
}

// --- places and problems

inline bool begins_with(std::string_view s, std::string_view start) noexcept {
  return s.substr(0, start.size()) == start;
}

inline bool is_within(std::string_view where, std::string_view place) noexcept {
  return begins_with(where, place) && (where.size() == place.size() || where[place.size()] == '/');
}

OUTBOUND_INLINE_ finding_list::finding_list(const finding_list& other, const complete_part& part) : finding_list{} {
  for (const finding* f = other.first_; f != nullptr && size_ < part.findings; f = f->next)
    add(f->what.what, f->what.where, f->what.why, f->of_key);
}

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void finding_list::swap(finding_list& other) noexcept {
  std::swap(first_, other.first_);
  std::swap(last_, other.last_);
  std::swap(size_, other.size_);
}

OUTBOUND_INLINE_ std::vector<problem> finding_list::problems(const complete_part& part) const {
  std::vector<problem> all;
  for (const finding* f = first_; f != nullptr && all.size() < part.findings; f = f->next) all.push_back(f->what);
  return all;
}

OUTBOUND_COLD_ OUTBOUND_INLINE_ void finding_list::add(defect what, std::string where, std::string why, bool of_key) {
  finding* const added = new finding{{what, std::move(where), std::move(why)}, of_key, nullptr};
  (first_ == nullptr ? first_ : last_->next) = added;
  last_ = added;
  ++size_;
}

// Forgets all but the first `size`.
OUTBOUND_COLD_ OUTBOUND_INLINE_ void finding_list::truncate(std::size_t size) noexcept { forget(size, size_, ""); }

// Forgets those of [from, to) that are of the value at `place`; "" is any place.
OUTBOUND_COLD_ OUTBOUND_INLINE_ void finding_list::forget(std::size_t from, std::size_t to,
                                                          std::string_view place) noexcept {
  finding** link = &first_;
  finding* before = nullptr;
  for (std::size_t i = 0; i < to; ++i) {
    finding* const f = *link;
    const bool stays = f->of_key && !place.empty() && f->what.where.size() == place.size();
    if (i < from || stays || !is_within(f->what.where, place)) {
      before = f;
      link = &f->next;
      continue;
    }
    *link = f->next;
    if (last_ == f) last_ = before;
    delete f;
    --size_;
  }
}

// Appends one reference token of a JSON Pointer (RFC 6901, section 3).
OUTBOUND_COLD_ inline void append_pointer(std::string& out, std::string_view key) {
  out += '/';
  for (const char c : repaired(key)) {
    if (c == '~') out += "~0";
    else if (c == '/') out += "~1";
    else out += c;
  }
}

OUTBOUND_COLD_ OUTBOUND_INLINE_ std::string writer::where(const place* at) {
  std::string out;
  for (const place* p = at; p != nullptr; p = p->parent) {
    std::string token;
    append_pointer(token, p->key.data() != nullptr ? p->key : std::string_view{digits_of{p->index}});
    out.insert(0, token);
  }
  return out;
}

OUTBOUND_COLD_ OUTBOUND_INLINE_ void writer::report(defect what, std::initializer_list<std::string_view> why,
                                                    bool of_key) {
  findings.add(what, where(), join(why), of_key);
}

// Adds a problem, unless it is there already.
OUTBOUND_COLD_ inline void add_once(finding_list& findings, const problem& found) {
  for (const finding* f = findings.first(); f != nullptr; f = f->next)
    if (f->what.what == found.what && f->what.where == found.where && f->what.why == found.why) return;
  findings.add(found.what, found.where, found.why, false);
}

// Appends the problems of a part, whose pointers begin at w.here.
OUTBOUND_COLD_ OUTBOUND_INLINE_ void adopt_findings(writer& w, const finding_list& part) {
  const std::string where = w.where();
  for (const finding* f = part.first(); f != nullptr; f = f->next)
    w.findings.add(f->what.what, where + f->what.where, f->what.why, f->of_key);
}

OUTBOUND_COLD_ inline void report_text(writer& w, text s, bool of_key) {
  const std::string_view subject = of_key ? "has a key that is " : "is ";
  if (s.null()) return w.report(defect::null_pointer, {subject, "a null pointer; pass text, or nothing"}, of_key);
  constexpr std::string_view hex = "0123456789ABCDEF";
  const std::size_t at = utf8_error(s.view());
  const unsigned c = byte_at(s.view().data() + at);
  w.report(defect::invalid_utf8,
           {subject, "not UTF-8: byte ", digits_of{at}, " of ", digits_of{s.view().size()}, " is 0x",
            hex.substr(c >> 4, 1), hex.substr(c & 15, 1), "; outbound::repaired makes a copy that is"},
           of_key);
}

OUTBOUND_COLD_ inline void refuse_text(writer& w, const char* data, std::size_t size) {
  report_text(w, data != nullptr ? text{std::string_view{data, size}} : text{data}, false);
  w.append("null");
}

// Writes `"key":`, or `"":` and false if the key has a problem.
OUTBOUND_INLINE_ bool writer::write_key(text key) {
  const bool good = !key.null() && quote(key.view());
  if (!good) {
    report_text(*this, key, true);
    append("\"\"");
  }
  *cursor++ = ':';
  return good;
}

// --- reading back what is known to be well-formed

inline const char* skip_space(const char* p, const char* end) noexcept {
  while (p != end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) ++p;
  return p;
}

inline std::string_view skip_blanks(std::string_view s) noexcept {
  const char* const end = s.data() + s.size();
  const char* const p = skip_space(s.data(), end);
  return {p, static_cast<std::size_t>(end - p)};
}

inline const char* skip_string(const char* p, const char* end) noexcept {
  for (const char* const first = p + 1;;) {
    p = static_cast<const char*>(std::memchr(p + 1, '"', static_cast<std::size_t>(end - p - 1)));
    const char* slashes = p;
    while (slashes != first && slashes[-1] == '\\') --slashes;
    if ((p - slashes) % 2 == 0) return p + 1;
  }
}

inline const char* skip_value(const char* p, const char* end) noexcept {
  std::size_t level = 0;
  do {
    if (*p == '"') {
      p = skip_string(p, end);
    } else if (*p == '{' || *p == '[') {
      ++level;
      ++p;
    } else if (*p == '}' || *p == ']') {
      --level;
      ++p;
    } else if (level != 0) {
      ++p;
    } else {
      while (p != end && *p > ' ' && *p != ',' && *p != ']' && *p != '}') ++p;
    }
  } while (level != 0);
  return p;
}

// The members of an object, one after the other; a view of its text.
struct member_reader {
  const char* next;
  const char* end;
  std::string_view key{};  // with its quotes
  std::string_view value{};

  // s begins with '{', after blanks perhaps.
  explicit member_reader(std::string_view s) noexcept
      : next{skip_space(s.data(), s.data() + s.size()) + 1}, end{s.data() + s.size()} {}

  bool read() noexcept {
    next = skip_space(next, end);
    if (next != end && *next == ',') next = skip_space(next + 1, end);
    if (next == end || *next != '"') return false;
    const char* const start = next;
    next = skip_string(start, end);
    key = {start, static_cast<std::size_t>(next - start)};
    const char* const first = skip_space(skip_space(next, end) + 1, end);
    next = skip_value(first, end);
    value = {first, static_cast<std::size_t>(next - first)};
    return true;
  }
};

// The value of the first such member of an object, or "".
inline std::string_view find_member(std::string_view object_text, std::string_view quoted_key) noexcept {
  for (member_reader m{object_text}; m.read();)
    if (m.key == quoted_key) return m.value;
  return {};
}

inline bool is_hex(unsigned c) noexcept { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

// Four hex digits, checked before.
inline std::uint32_t read_hex4(const char* p) noexcept {
  std::uint32_t n = 0;
  for (int i = 0; i < 4; ++i) n = n << 4 | ((byte_at(p + i) & 15) + (p[i] > '9' ? 9U : 0U));
  return n;
}

// What a string in quotes stands for.
OUTBOUND_COLD_ inline std::string unquoted(std::string_view s) {
  static constexpr char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
  std::string out;
  s = s.substr(1, s.size() - 2);
  for (std::size_t at = 0; (at = s.find('\\')) != npos;) {
    out.append(s.data(), at);
    const char* const p = s.data() + at + 1;
    std::size_t used = 2;
    if (*p == 'u') {
      std::uint32_t c = read_hex4(p + 1);
      used = 6;
      if (is_high_surrogate(c)) {
        c = join_surrogates(c, read_hex4(p + 7));
        used = 12;
      }
      append_utf8(out, c);
    } else {
      const void* const letter = std::memchr(letters, *p, 5);
      out += letter != nullptr ? bytes[static_cast<const char*>(letter) - letters] : *p;
    }
    s.remove_prefix(at + used);
  }
  out.append(s.data(), s.size());
  return out;
}

// --- the members of an object

inline constexpr std::uint64_t golden = 0x9E3779B97F4A7C15;  // odd, with bits that look random
inline constexpr std::uint64_t silver = 0xD1B54A32D192ED03;

inline std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept {
  const product p = multiply(a, b);
  return p.high ^ p.low;
}

// Whoever does not know the seed cannot choose texts whose hashes agree.
inline std::uint32_t hash(std::string_view s, std::uint64_t seed) noexcept {
  std::uint64_t h = s.size() ^ seed;
  const auto mix = [&h, factor = seed ^ golden](std::uint64_t x) { h = mixed(h ^ x, factor); };
  std::size_t i = 0;
  for (; s.size() - i >= 8; i += 8) mix(load8(s.data() + i));
  if (i != s.size()) mix(s.size() > 8 ? load8(s.data() + s.size() - 8) : load_few(s.data(), s.size()));
  return static_cast<std::uint32_t>(h) | 1;  // 0 is a free slot
}

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void key_set::swap(key_set& other) noexcept {
  const std::size_t most = count > other.count ? count : other.count;
  for (std::size_t i = 0; i < most && i < most_few; ++i) {
    const std::uint32_t mine = i < count ? few[i] : 0;
    few[i] = i < other.count ? other.few[i] : 0;
    other.few[i] = mine;
  }
  many.swap(other.many);
  std::swap(count, other.count);
  std::swap(seed, other.seed);
  std::swap(complete, other.complete);
}

OUTBOUND_INLINE_ key_set& key_set::operator=(key_set other) noexcept {
  swap(other);
  return *this;
}

OUTBOUND_INLINE_ void key_set::clear() noexcept {
  many.clear();
  count = 0;
  complete = false;
}

// True if the key is new. (It may say that a key is there which is not: 31 bits can agree.)
OUTBOUND_INLINE_ bool key_set::insert(std::string_view key) {
  const std::uint32_t h = hash(key, seed);
  if (count >= most_few) return insert_into_table(h);
  for (std::size_t i = 0; i < count; ++i)
    if (few[i] == h) return false;
  few[count++] = h;
  return true;
}

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ bool key_set::insert_into_table(std::uint32_t h) {
  const auto place = [](std::vector<std::uint32_t>& cells, std::uint32_t x) {
    for (std::size_t at = x >> 1;; ++at) {  // the lowest bit is always set
      std::uint32_t& cell = cells[at & (cells.size() - 1)];
      if (cell == x) return false;
      if (cell != 0) continue;
      cell = x;
      return true;
    }
  };
  if (many.size() <= count * 2) {
    std::vector<std::uint32_t> larger(many.empty() ? 512 : many.size() * 4);
    const std::uint32_t* const old = many.empty() ? few : many.data();
    for (std::size_t i = 0; i < (many.empty() ? most_few : many.size()); ++i)
      if (old[i] != 0) place(larger, old[i]);
    many.swap(larger);
  }
  const bool is_new = place(many, h);
  count += is_new;
  return is_new;
}

// Notes the keys of an object's text. True if all of them are new.
inline bool note_keys(key_set& keys, std::string_view object_text) {
  bool are_new = true;
  for (member_reader m{object_text}; m.read();) {
    const bool plain = m.key.find('\\') == npos;
    are_new &= plain ? keys.insert(m.key.substr(1, m.key.size() - 2)) : keys.insert(unquoted(m.key));
  }
  return are_new;
}

// Notes the keys of an object that was written without.
OUTBOUND_COLD_ inline void complete_keys(key_set& keys, std::string_view object_text) {
  keys.clear();
  note_keys(keys, object_text);
  keys.complete = true;
}

// At most how deep the containers of a text go without those of a json in it, which never were deeper than `known`.
OUTBOUND_COLD_ OUTBOUND_INLINE_ unsigned nesting(std::string_view s, unsigned known) noexcept {
  unsigned level = 0;
  unsigned most = 0;
  const char* const end = s.data() + s.size();
  for (const char* p = s.data(); p < end; p = *p == '"' ? skip_string(p, end) : p + 1) {
    if (*p == '{' || *p == '[') most = ++level > most ? level : most;
    if (*p == '}' || *p == ']') --level;
  }
  return most < known ? most : known;
}

// Forgets the problems that the member with this key, in quotes, has among [first, last); not if it was just written
// for one that is not UTF-8, as `""`: many such keys would look at all problems each time.
OUTBOUND_COLD_ inline void forget_member(writer& w, const writer::place* object, std::string_view key,
                                         std::size_t first, std::size_t last) {
  const bool is_bad = w.here != object && key.size() == 2 && !w.here->key.empty();
  if (first == last || is_bad) return;
  std::string where = writer::where(object);
  append_pointer(where, unquoted(key));
  w.findings.forget(first, last, where);
}

// Removes each member of an object whose key comes again behind it. The braces stand at `open` and `close`. Returns how
// many bytes went.
OUTBOUND_COLD_ inline std::size_t keep_last(writer& w, std::size_t open, std::size_t close) {
  std::vector<member_reader> members;  // as they were read; without `next`, it goes
  for (member_reader m{{w.begin + open, close - open}}; m.read();) members.push_back(m);
  std::size_t cells = 16;
  while (cells < members.size() * 2) cells *= 2;
  std::vector<std::size_t> last(cells);  // of each key, by its hash, counted from 1
  const std::uint64_t seed = reinterpret_cast<std::uintptr_t>(last.data());
  for (std::size_t i = members.size(); i > 0; --i) {
    member_reader& m = members[i - 1];
    std::size_t at = hash(m.key, seed) & (cells - 1);
    while (last[at] != 0 && members[last[at] - 1].key != m.key) at = (at + 1) & (cells - 1);
    if (last[at] == 0) last[at] = i;
    else m.next = nullptr;
  }
  char* to = w.begin + open + 1;
  for (const member_reader& m : members) {
    if (m.next == nullptr) continue;
    if (to[-1] != '{') *to++ = ',';
    const std::size_t size = static_cast<std::size_t>(m.next - m.key.data());
    std::memmove(to, m.key.data(), size);
    to += size;
  }
  const char* const from = w.begin + close;
  std::memmove(to, from, static_cast<std::size_t>(w.cursor - from));
  w.cursor -= from - to;
  return static_cast<std::size_t>(from - to);
}

// Undoes what was written since behind everything, unless it was completed: std::bad_alloc may pass through.
class rollback {
 public:
  explicit rollback(writer& w) noexcept
      : w_{w}, size_{w.size()}, findings_{w.findings.size()}, depth_{w.depth}, here_{w.here} {}
  rollback(const rollback&) = delete;
  rollback& operator=(const rollback&) = delete;
  ~rollback() {
    if (!done_) undo();
  }
  void complete() noexcept { done_ = true; }

 private:
  OUTBOUND_COLD_ void undo() noexcept {
    w_.cursor = w_.begin + size_;
    w_.findings.truncate(findings_);
    w_.depth = depth_;
    w_.here = here_;
  }

  writer& w_;
  std::size_t size_;
  std::size_t findings_;
  unsigned depth_;
  bool done_{false};
  const writer::place* here_;
};

// The same where writing begins at `close`, over one or two brackets: those are put back, into the slack.
class closing {
 public:
  static constexpr std::size_t most = 2;  // the braces of attributes and of the body

  closing(writer& w, std::size_t close) noexcept
      : w_{w}, close_{close}, findings_{w.findings.size()}, first_{w.begin[close]}, two_{w.size() - close == most} {
    w.cursor = w.begin + close;
  }
  closing(const closing&) = delete;
  closing& operator=(const closing&) = delete;
  ~closing() {
    if (!done_) undo();
  }
  // Returns where the first is then.
  std::size_t complete() noexcept {
    done_ = true;
    return put();
  }

 private:
  std::size_t put() noexcept {
    const std::size_t at = w_.size();
    *w_.cursor++ = first_;
    if (two_) *w_.cursor++ = '}';
    return at;
  }
  OUTBOUND_COLD_ void undo() noexcept {
    w_.cursor = w_.begin + close_;
    put();
    w_.findings.truncate(findings_);
  }

  writer& w_;
  std::size_t close_;
  std::size_t findings_;
  char first_;
  bool two_;
  bool done_{false};
};

inline void reverse(char* first, char* last) noexcept {
  while (first < last && first < --last) std::swap(*first++, *last);
}

// Exchanges [first, middle) and [middle, last).
inline void rotate(char* first, char* middle, char* last) noexcept {
  reverse(first, middle);
  reverse(middle, last);
  reverse(first, last);
}

// Exchanges [first, comma) and [middle, cursor), without what is between.
OUTBOUND_COLD_ inline void settle_far(writer& w, char* first, char* comma, char* middle) noexcept {
  char aside[512];
  const std::size_t size = static_cast<std::size_t>(w.cursor - middle);
  if (size <= sizeof aside) {
    std::memcpy(aside, middle, size);
    std::memmove(first + size, first, static_cast<std::size_t>(comma - first));
    std::memcpy(first, aside, size);
    w.cursor -= middle - comma;
    return;
  }
  if (middle != comma) {
    std::memmove(comma, middle, static_cast<std::size_t>(w.cursor - middle));
    w.cursor -= middle - comma;
  }
  rotate(first, comma, w.cursor);
}

// What is added to an object or an array: a member with a key of the API's or of the user's, or an element.
struct addition {
  std::string_view place;       // the key; none for an element
  const field* known{};         // the key is this one,
  text key{""};                 // or this one,
  key_set* keys{};              // which is noted here
  std::size_t index{};          // of an element
  bool repeated{};              // is the known field there already?
  std::size_t first_finding{};  // of what it is added to
};

inline void put_field(writer& w, const field& f) {
  w.reserve(field::room);
  std::memcpy(w.cursor, f.bytes, field::room);
  w.cursor += f.size;
}

// True if no member has the key yet.
OUTBOUND_NOINLINE_ inline bool write_new_key(writer& w, text key, key_set& keys) {
  const bool good = w.write_key(key);
  return keys.insert(good ? key.view() : "") && good;
}

// A value of the user's may look at the builder that it is added to, and sees what was complete before.
class while_adding {
 public:
  while_adding(complete_part& complete, const writer& w) noexcept : complete_{complete} {
    complete = {w.size(), w.findings.size(), w.deepest};
  }
  while_adding(const while_adding&) = delete;
  while_adding& operator=(const while_adding&) = delete;
  ~while_adding() { complete_ = {}; }

 private:
  complete_part& complete_;
};

// Moves what was written behind everything, with a comma before it, to where the object ends, at `close`.
inline void settle(writer& w, std::size_t open, std::size_t close, std::size_t tail) {
  char* const first = w.begin + close;
  char* const comma = first + tail;
  char* const middle = comma + (close == open + 1 ? 1 : 0);  // it is the first: no comma
  const std::size_t size = static_cast<std::size_t>(w.cursor - middle);
  if (tail > closing::most) return settle_far(w, first, comma, middle);
  const char brackets[closing::most] = {first[0], first[tail - 1]};
  std::memmove(first, middle, size);
  first[size] = brackets[0];
  first[size + tail - 1] = brackets[1];
  w.cursor = first + size + tail;
}

// Writes the value of a member whose key, which was just written at `piece`, may be there already: the older member of
// the object at `open` goes, with its problems. Returns how many bytes went.
OUTBOUND_COLD_ inline std::size_t write_again(writer& w, std::size_t open, std::size_t piece, std::size_t comma,
                                              const erased& v, std::size_t first_finding) {
  const std::size_t key_size = w.size() - 1 - piece;
  const std::size_t findings = w.findings.size();
  v.write(w, v);
  const std::string_view key{w.begin + piece, key_size};
  for (member_reader m{{w.begin + open, piece - comma - open}}; m.read();) {
    if (m.key != key) continue;
    forget_member(w, w.here->parent, key, first_finding, findings);
    char* from = w.begin + (m.key.data() - w.begin);
    char* to = w.begin + (skip_space(m.next, m.end) - w.begin);
    if (*to == ',') ++to;              // the comma behind it goes too,
    else if (from[-1] == ',') --from;  // or the one before it
    std::memmove(from, to, static_cast<std::size_t>(w.cursor - to));
    w.cursor -= to - from;
    return static_cast<std::size_t>(to - from);
  }
  return 0;
}

// A number, or a text that is not our own, may be written where it belongs at once.
inline bool fits_in_place(const writer& w, std::size_t close, text key, const erased& v) noexcept {
  return v.leaf && w.size() - close <= closing::most && !w.owns(v.data) && !w.owns(key.data());
}

// Adds such a member to the object whose braces stand at `open` and `close`; returns where its closing brace is then.
// If it fails, nothing has changed.
inline std::size_t insert_leaf(writer& w, std::size_t open, std::size_t close, text key, key_set& keys, const erased& v,
                               std::size_t first_finding) {
  closing end{w, close};
  if (close != open + 1) *w.cursor++ = ',';
  const std::size_t piece = w.size();
  const at_place here{w, key.view()};
  if (write_new_key(w, key, keys)) v.write(w, v);
  else write_again(w, open, piece, 0, v, first_finding);
  return end.complete();
}

// Adds anything to an object or an array. It is written behind everything and moved into place when it is complete,
// since it may be made of the bytes that are there.
OUTBOUND_NOINLINE_ inline std::size_t insert(writer& w, std::size_t open, std::size_t close, const addition& a,
                                             const erased& v) {
  if (a.keys != nullptr && !a.keys->complete) complete_keys(*a.keys, {w.begin + open, close + 1 - open});
  const std::size_t tail = w.size() - close;
  rollback undo{w};
  w.put(',');
  const std::size_t piece = w.size();
  const at_place here{w, a.place, a.index};
  bool is_new = !a.repeated;
  if (a.known != nullptr) put_field(w, *a.known);
  else if (a.keys != nullptr) is_new = write_new_key(w, a.key, *a.keys);
  std::size_t gone = 0;
  if (is_new) v.write(w, v);
  else gone = write_again(w, open, piece, 1, v, a.first_finding);
  settle(w, open, close - gone, tail);
  undo.complete();
  return w.size() - tail;
}

// --- how each kind of value is written

OUTBOUND_INLINE_ void write_null(writer& w, const erased&) { w.append("null"); }
OUTBOUND_INLINE_ void write_bool(writer& w, const erased& e) { w.append(e.bits != 0 ? "true" : "false"); }

OUTBOUND_INLINE_ void write_unsigned(writer& w, const erased& e) {
  w.reserve(max_integer);
  w.cursor = put_unsigned(w.cursor, e.bits);
}

OUTBOUND_INLINE_ void write_signed(writer& w, const erased& e) {
  w.reserve(max_integer);
  const bool negative = e.bits >> 63 != 0;
  if (negative) *w.cursor++ = '-';
  w.cursor = put_unsigned(w.cursor, negative ? 0 - e.bits : e.bits);
}

inline void write_binary(writer& w, const binary& b, bool negative) {
  w.reserve(max_double);
  if (negative) *w.cursor++ = '-';
  w.cursor = put_binary(w.cursor, b);
}

OUTBOUND_COLD_ inline void refuse_number(writer& w) {
  w.report(defect::not_finite, {"is NaN or infinite, which JSON cannot say; leave it out or send null"});
  w.append("null");
}

OUTBOUND_INLINE_ void write_double(writer& w, const erased& e) {
  binary b{};
  if (!decode<52, 11, 1'000'000'000'000'000>(e.bits, b)) return refuse_number(w);
  write_binary(w, b, e.bits >> 63 != 0);
}

OUTBOUND_INLINE_ void write_float(writer& w, const erased& e) {
  binary b{};
  if (!decode<23, 8, 1'000'000>(e.bits, b)) return refuse_number(w);
  write_binary(w, b, e.bits >> 31 != 0);
}

OUTBOUND_INLINE_ void write_text(writer& w, const erased& e) {
  const char* const data = static_cast<const char*>(e.data);
  if (data == nullptr || !w.quote({data, e.size()})) refuse_text(w, data, e.size());
}

OUTBOUND_COLD_ inline void report_depth(writer& w, unsigned depth) {
  w.report(defect::too_deep, {"is ", digits_of{depth}, " levels deep; the limit is ", digits_of{max_depth}});
}

OUTBOUND_COLD_ OUTBOUND_INLINE_ void refuse_depth(writer& w, unsigned depth) {
  report_depth(w, depth);
  w.append("null");
}

OUTBOUND_INLINE_ deeper::deeper(writer& w) : w_{w} {
  if (++w.depth > max_depth) refuse_depth(w, w.depth);
  else if (w.depth > w.deepest) w.deepest = w.depth;
}

OUTBOUND_INLINE_ open_object::open_object(writer& w, key_set* keys)
    : w_{w}, keys_{keys}, open_{w.size()}, first_finding_{w.findings.size()}, here_{w, ""} {
  w.put('{');
}

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void open_object::add(text key, const erased& v) {
  if (w_.cursor[-1] != '{') *w_.cursor++ = ',';  // into the slack
  const std::size_t piece = w_.size();
  here_.move_to(key.view());
  const bool is_new = keys_ != nullptr ? write_new_key(w_, key, *keys_) : w_.write_key(key);
  if (!is_new) {
    forget_member(w_, w_.here->parent, {w_.begin + piece, w_.size() - 1 - piece}, first_finding_, w_.findings.size());
    repeated_ = true;
  }
  v.write(w_, v);
}

OUTBOUND_INLINE_ void open_object::close() {
  w_.put('}');
  if (repeated_) keep_last(w_, open_, w_.size() - 1);
}

// Few keys are compared by pairs, and only those that share one of 64 marks made of length, first and last byte.
inline bool all_differ(const member* first, std::size_t n) noexcept {
  constexpr std::size_t few = 32;
  if (n > few) return false;
  std::uint64_t marks = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::string_view key = first[i].key().view();
    const std::size_t mark = key.empty() ? 0 : key.size() + byte_at(key.data()) * 5 + byte_at(&key.back()) * 11;
    const std::uint64_t bit = std::uint64_t{1} << mark % 64;
    for (std::size_t j = 0; (marks & bit) != 0 && j < i; ++j)
      if (first[j].key().view() == key) return false;
    marks |= bit;
  }
  return true;
}

OUTBOUND_INLINE_ erased erase_members(std::initializer_list<member> members) noexcept {
  return with_range(
      [](writer& w, const erased& e) {
        const deeper level{w};
        if (!level) return;
        const member* const first = static_cast<const member*>(e.data);
        key_set keys;
        open_object out{w, all_differ(first, e.size()) ? nullptr : &keys};
        for (const member* m = first; m != first + e.size(); ++m) out.add(m->key(), m->erased());
        out.close();
      },
      members.begin(), members.size());
}

OUTBOUND_INLINE_ erased erase_elements(std::initializer_list<element> elements) noexcept {
  return with_range(
      [](writer& w, const erased& e) {
        const deeper level{w};
        if (!level) return;
        open_array out{w};
        const element* const first = static_cast<const element*>(e.data);
        for (const element* v = first; v != first + e.size(); ++v) out.add(v->erased());
        out.close();
      },
      elements.begin(), elements.size());
}

// The key of a field, as OUTBOUND_FIELDS has it ready, and its value.
OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void fields::add(const char* fragment, std::size_t size, const erased& v) {
  here_.move_to({fragment + 2, size - 4});
  if (w_.cursor[-1] == '{') {  // no comma
    ++fragment;
    --size;
  }
  w_.reserve(size);
  std::memcpy(w_.cursor, fragment, fragment_blanks);
  if (size > fragment_blanks) std::memcpy(w_.cursor, fragment, size);
  w_.cursor += size;
  v.write(w_, v);
}

// --- JSON that exists already

// Checks that a text is one JSON value (RFC 8259), in UTF-8, without lone surrogates (RFC 7493, 2.1), at most 512
// levels deep. The stack it uses is constant: a bit per level says whether that is an object.
class json_checker {
 public:
  explicit json_checker(std::string_view s) noexcept : start_{s.data()}, p_{s.data()}, end_{s.data() + s.size()} {}

  bool run() noexcept {
    for (bool ended = false;;) {
      p_ = skip_space(p_, end_);
      if (!ended) {
        if (!begin_value(ended)) return false;
      } else if (depth_ == 0) {
        return p_ == end_ || fail("there is more after the value");
      } else if (take(',')) {
        ended = false;
        if (in_object() && !key()) return false;
      } else if (take(in_object() ? '}' : ']')) {
        --depth_;
      } else {
        return fail(in_object() ? "a comma or } is expected" : "a comma or ] is expected");
      }
    }
  }
  std::size_t offset() const noexcept { return static_cast<std::size_t>(p_ - start_); }
  const char* why() const noexcept { return why_; }
  bool too_deep() const noexcept { return too_deep_; }

 private:
  bool fail(const char* why) noexcept {
    why_ = p_ == end_ ? "it ends too early" : why;
    return false;
  }
  bool take(char c) noexcept {
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }
  bool in_object() const noexcept { return (objects_[(depth_ - 1) / 64] >> (depth_ - 1) % 64 & 1) != 0; }

  // A scalar, an empty container, or the beginning of one; `ended` tells which.
  bool begin_value(bool& ended) noexcept {
    ended = true;
    if (p_ == end_) return fail("");
    const char c = *p_;
    if (c == '"') return string();
    if (c != '{' && c != '[') return c == '-' || (c >= '0' && c <= '9') ? number() : literal();
    if (depth_ == max_json_depth) {
      too_deep_ = true;
      return fail("it is nested deeper than 512 levels");
    }
    const std::uint64_t bit = std::uint64_t{1} << depth_ % 64;
    std::uint64_t& word = objects_[depth_++ / 64];
    word = c == '{' ? word | bit : word & ~bit;
    p_ = skip_space(p_ + 1, end_);
    if (take(c == '{' ? '}' : ']')) {
      --depth_;
      return true;
    }
    ended = false;
    return c == '[' || key();
  }

  bool key() noexcept {
    p_ = skip_space(p_, end_);
    if (p_ == end_ || *p_ != '"') return fail("a key in quotes is expected");
    if (!string()) return false;
    p_ = skip_space(p_, end_);
    return take(':') || fail("a colon is expected");
  }

  bool string() noexcept {
    for (++p_; p_ != end_;) {
      const unsigned c = byte_at(p_);
      if (c == '"') {
        ++p_;
        return true;
      }
      if (c == '\\') {
        if (!escape()) return false;
      } else if (c < 0x20) {
        return fail("a control character must be escaped");
      } else {
        const utf8_step step = utf8_next(p_, end_);
        if (!step.well_formed) return fail("a string is not UTF-8");
        p_ += step.size;
      }
    }
    return fail("");
  }

  bool escape() noexcept {
    ++p_;
    if (p_ == end_ || std::memchr("\"\\/bfnrtu", *p_, 9) == nullptr) return fail("no such escape");
    if (*p_ != 'u') {
      ++p_;
      return true;
    }
    ++p_;
    if (!hex4(p_)) return fail("four hex digits are expected");
    const std::uint32_t unit = read_hex4(p_);
    if (is_low_surrogate(unit)) return fail("a lone surrogate");
    if (!is_high_surrogate(unit)) {
      p_ += 4;
      return true;
    }
    if (end_ - p_ < 10 || p_[4] != '\\' || p_[5] != 'u' || !hex4(p_ + 6) || !is_low_surrogate(read_hex4(p_ + 6)))
      return fail("a lone surrogate");
    p_ += 10;
    return true;
  }

  bool hex4(const char* p) const noexcept {
    return end_ - p >= 4 && is_hex(byte_at(p)) && is_hex(byte_at(p + 1)) && is_hex(byte_at(p + 2)) &&
           is_hex(byte_at(p + 3));
  }

  bool digits() noexcept {
    const char* const first = p_;
    while (p_ != end_ && *p_ >= '0' && *p_ <= '9') ++p_;
    return p_ != first || fail("a digit is expected");
  }

  bool number() noexcept {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  bool literal() noexcept {
    for (const std::string_view word :
         {std::string_view{"null"}, std::string_view{"true"}, std::string_view{"false"}}) {
      if (!begins_with({p_, static_cast<std::size_t>(end_ - p_)}, word)) continue;
      p_ += word.size();
      return true;
    }
    return fail("a value is expected");
  }

  const char* start_;
  const char* p_;
  const char* end_;
  const char* why_{""};
  std::uint64_t objects_[max_json_depth / 64]{};
  unsigned depth_{};
  bool too_deep_{false};
};

// True if the text may be written; else there is a problem.
OUTBOUND_NOINLINE_ inline bool accept_json(writer& w, const json& v) {
  if (v.null()) {
    report_text(w, static_cast<const char*>(nullptr), false);
    return false;
  }
  json_checker check{v.text()};
  if (check.run()) return true;
  w.report(check.too_deep() ? defect::too_deep : defect::invalid_json,
           {"is not one JSON value: at byte ", digits_of{check.offset()}, " of ", digits_of{v.text().size()}, ", ",
            check.why()});
  return false;
}

OUTBOUND_INLINE_ void write_json(writer& w, const erased& e) {
  const json& v = *static_cast<const json*>(e.data);
  w.append(accept_json(w, v) ? v.text() : "null");
}

OUTBOUND_INLINE_ void write_json_object(writer& w, const erased& e) {
  const json& v = *static_cast<const json*>(e.data);
  if (begins_with(skip_blanks(v.text()), "{")) return write_json(w, e);
  if (accept_json(w, v)) w.report(defect::invalid_json, {"is JSON, but not an object"});
  w.append("null");
}

}  // namespace detail

// --- objects and arrays

OUTBOUND_INLINE_ object::object(std::initializer_list<member> members) {
  for (const member& m : members) insert(m.key(), m.erased());
  own_.release();
}

OUTBOUND_INLINE_ object::object(detail::writer& surrounding)
    : surrounding_{&surrounding},
      place_{surrounding.here},
      open_{surrounding.size()},
      level_{surrounding.depth},
      first_finding_{surrounding.findings.size()} {
  surrounding.append("{}");
}

OUTBOUND_INLINE_ object::object(const object& other) { assign(other); }

OUTBOUND_INLINE_ object::object(object&& other) noexcept { *this = std::move(other); }

OUTBOUND_INLINE_ object& object::operator=(const object& other) {
  if (this != &other) assign(other);
  return *this;
}

OUTBOUND_INLINE_ object& object::operator=(object&& other) noexcept {
  if (surrounding_ != nullptr || other.surrounding_ != nullptr) return *this = other;
  own_.swap(other.own_);
  std::swap(keys_, other.keys_);
  return *this;
}

// Its own problems, also while it is part of another.
OUTBOUND_INLINE_ detail::finding_list object::own_findings() const {
  detail::finding_list own;
  const std::size_t place_size = detail::writer::where(place_).size();
  std::size_t i = 0;
  for (const detail::finding* f = out().findings.first(); f != nullptr; f = f->next)
    if (i++ >= first_finding_ && i <= complete_.findings)
      own.add(f->what.what, f->what.where.substr(place_size), f->what.why, f->of_key);
  return own;
}

OUTBOUND_INLINE_ detail::writer object::extract() const {
  if (surrounding_ == nullptr) return {own_, complete_};
  detail::writer part;
  part.append(text());
  part.deepest = levels();
  part.findings = own_findings();
  return part;
}

// Becomes a copy of `other`; what surrounds this object stays.
OUTBOUND_INLINE_ void object::assign(const object& other) {
  detail::writer copy = other.extract();
  keys_.complete = false;
  if (surrounding_ == nullptr) return own_.swap(copy);
  detail::writer& w = *surrounding_;
  const std::string place = detail::writer::where(place_);
  const detail::writer::place* const here = w.here;
  const std::size_t end = w.size();
  const std::size_t findings = w.findings.size();
  unsigned depth = level_ - 1 + copy.deepest;
  if (depth > detail::max_depth) depth = level_ - 1 + detail::nesting(copy.view(), copy.deepest);
  const bool fits = depth <= detail::max_depth;
  detail::rollback undo{w};
  w.here = place_;
  w.append(fits && copy.size() != 0 ? copy.view() : "{}");
  if (!fits) detail::report_depth(w, depth);
  detail::adopt_findings(w, copy.findings);
  undo.complete();
  w.here = here;
  std::memmove(w.begin + open_, w.begin + end, w.size() - end);
  w.cursor -= end - open_;
  w.findings.forget(first_finding_, findings, place);
  w.deepest = fits ? depth : level_;
}

OUTBOUND_INLINE_ std::string_view object::text() const noexcept {
  return out().size() == 0 ? "{}" : out().view(open_).substr(0, complete_.size - open_);
}

OUTBOUND_INLINE_ void object::insert(outbound::text key, const detail::erased& v) {
  detail::writer& w = out();
  if (w.size() == 0) w.append("{}");
  const std::size_t close = w.size() - 1;
  if (keys_.complete && detail::fits_in_place(w, close, key, v)) {
    detail::insert_leaf(w, open_, close, key, keys_, v, first_finding_);
    return;
  }
  const detail::while_adding adding{complete_, w};
  detail::insert(w, open_, close, {key.view(), nullptr, key, &keys_, 0, false, first_finding_}, v);
}

OUTBOUND_INLINE_ object& object::set(outbound::text key, const value& v) & {
  insert(key, v.erased());
  if (surrounding_ == nullptr) own_.release();
  return *this;
}

OUTBOUND_INLINE_ array::array(const array& other) : out_{other.out_, other.complete_}, count_{other.count_} {}

OUTBOUND_INLINE_ void array::insert(const detail::erased& v) {
  if (out_.size() == 0) out_.append("[]");
  const detail::while_adding adding{complete_, out_};
  detail::insert(out_, 0, out_.size() - 1, {{}, nullptr, "", nullptr, count_}, v);
  ++count_;
  out_.release();
}

OUTBOUND_INLINE_ array& array::add(const value& v) & {
  insert(v.erased());
  return *this;
}

OUTBOUND_INLINE_ std::string_view array::text() const noexcept {
  return out_.size() == 0 ? "[]" : out_.view().substr(0, complete_.size);
}

// >>messages: implementation ------------------------------------------------------------------------------------------

namespace detail {

namespace api {
inline constexpr std::string_view identify_path = "/v2/identify";
inline constexpr std::string_view track_path = "/v2/track";
inline constexpr std::string_view identify_batch_path = "/v2/identify/batch";
inline constexpr std::string_view track_batch_path = "/v2/track/batch";
inline constexpr std::string_view register_paths[] = {"/v2/apns/register", "/v2/gcm/register", "/v2/fcm/register"};
inline constexpr std::string_view disable_paths[] = {"/v2/apns/disable", "/v2/gcm/disable", "/v2/fcm/disable"};
inline constexpr std::string_view subscribe_all_path = "/v2/subscribe/all";
inline constexpr std::string_view subscribe_campaigns_path = "/v2/subscribe/campaigns";
inline constexpr std::string_view unsubscribe_all_path = "/v2/unsubscribe/all";
inline constexpr std::string_view unsubscribe_campaigns_path = "/v2/unsubscribe/campaigns";
}  // namespace api

inline constexpr std::uint64_t max_exact_integer = (std::uint64_t{1} << 53) - 1;  // in a double
inline constexpr std::size_t max_event_name = 200;                                // code points
inline constexpr char user_key_separator = '\xFF';                                // in no UTF-8 text

OUTBOUND_COLD_ inline void refuse_empty(writer& w) {
  w.report(defect::missing, {"is required, and is empty"});
  w.append("null");
}

inline void write_required(writer& w, const erased& e) {
  return e.data == nullptr || e.size() != 0 ? write_text(w, e) : refuse_empty(w);
}

inline erased erase_required(text s) noexcept {
  erased e = erase_text(s);
  e.write = &write_required;
  return e;
}

OUTBOUND_INLINE_ void write_id(writer& w, const erased& e) {
  const id& v = *static_cast<const id*>(e.data);
  const erased held = v.kind_ == id::kind::text
                          ? erase_required(v.text_)
                          : with_bits(v.kind_ == id::kind::natural ? &write_unsigned : &write_signed, v.number_);
  held.write(w, held);
}

OUTBOUND_COLD_ inline void refuse_id(writer& w, std::uint64_t size, bool negative) {
  w.report(defect::out_of_range,
           {"is ", negative ? "-" : "", digits_of{size},
            ", beyond +-(2^53 - 1), where receivers that read numbers as doubles merge users; send it as text"});
  w.append("null");
}

OUTBOUND_INLINE_ void write_user_id(writer& w, const erased& e) {
  const id& v = *static_cast<const id*>(e.data);
  const bool negative = v.kind_ == id::kind::negative;
  const std::uint64_t size = negative ? 0 - v.number_ : v.number_;
  return size <= max_exact_integer ? write_id(w, e) : refuse_id(w, size, negative);
}

// An object of one member.
struct single_member {
  text key;
  const erased& v;
  key_set& keys;
};

inline void write_single_member(writer& w, const erased& e) {
  const single_member& m = *static_cast<const single_member*>(e.data);
  const deeper level{w};
  w.put('{');
  const at_place here{w, m.key.view()};
  write_new_key(w, m.key, m.keys);
  m.v.write(w, m.v);
  w.put('}');
}

// JSON that is known to be well-formed.
inline erased erase_raw(std::string_view json) noexcept {
  return with_range(
      [](writer& w, const erased& e) {
        w.append({static_cast<const char*>(e.data), e.size()});
      },
      json.data(), json.size());
}

// The object of a json as this library writes one: its keys have their usual form, and each is there once.
inline writer rewritten(std::string_view object_text) {
  writer w;
  key_set keys;
  open_object out{w, &keys};
  for (member_reader m{object_text}; m.read();) out.add(unquoted(m.key), erase_raw(m.value));
  out.close();
  return w;
}

// Calls `visit(body, index)` for a message's body, or for each body of a batch.
template <class Visit>
void each_body(std::string_view body, const Visit& visit) {
  if (begins_with(body, "{")) return visit(body, npos);
  const char* const end = body.data() + body.size();
  std::size_t index = 0;
  for (const char* p = body.data() + 1; p < end && *p == '{'; ++index) {
    const char* const next = skip_value(p, end);
    visit({p, static_cast<std::size_t>(next - p)}, index);
    p = next + 1;
  }
}

// The text of an id as it stands in a body; a number's are its digits.
inline std::string id_text(std::string_view v) { return begins_with(v, "\"") ? unquoted(v) : std::string{v}; }

inline bool is_placeholder(std::string_view v) noexcept {
  for (const char* word :
       {"\"null\"", "\"undefined\"", "\"NaN\"", "\"None\"", "\"(null)\"", "\"[object Object]\"", "\"0\""})
    if (v == word) return true;
  return false;
}

inline std::size_t count_code_points(std::string_view s) noexcept {
  std::size_t n = 0;
  for (const char& c : s) n += (byte_at(&c) & 0xC0) != 0x80;
  return n;
}

inline void find_warnings(std::string_view body, std::string_view where, std::vector<problem>& out) {
  for (const field* f : {&api::user_id, &api::previous_id}) {
    const std::string_view v = find_member(body, f->quoted_name());
    if (!is_placeholder(v)) continue;
    out.push_back({defect::placeholder, join({where, "/", f->name()}),
                   join({"is ", v, ", which looks like an id that was never set"})});
  }
  const std::string_view event = find_member(body, api::event.quoted_name());
  const std::size_t length = event.size() > max_event_name ? count_code_points(unquoted(event)) : 0;
  if (length <= max_event_name) return;
  out.push_back({defect::too_long, join({where, "/", api::event.name()}),
                 join({"has ", digits_of{length}, " code points; more than ", digits_of{max_event_name},
                       " are most likely not a name"})});
}

}  // namespace detail

OUTBOUND_INLINE_ std::string message::user_key() const {
  std::string keys;
  const auto add = [&keys](const std::string& key) {
    const std::string mark(1, detail::user_key_separator);
    if (key.empty() || (mark + keys + mark).find(mark + key + mark) != std::string::npos) return;
    if (!keys.empty()) keys += mark;
    keys += key;
  };
  detail::each_body(body(), [&add](std::string_view body, std::size_t) {
    for (const detail::field& f : {detail::api::user_id, detail::api::previous_id})
      add(detail::id_text(detail::find_member(body, f.quoted_name())));
  });
  return keys;
}

OUTBOUND_INLINE_ std::vector<problem> message::warnings() const {
  std::vector<problem> out;
  detail::each_body(body(), [&out](std::string_view body, std::size_t index) {
    detail::find_warnings(body, index == detail::npos ? "" : detail::join({"/", detail::digits_of{index}}), out);
  });
  return out;
}

OUTBOUND_INLINE_ std::size_t message::limit() const noexcept {
  return detail::begins_with(body(), "[") ? detail::max_batch_body : detail::max_body;
}

OUTBOUND_INLINE_ bool message::valid() const noexcept {
  return (out_.findings.empty() || complete_.findings == 0) && body().size() <= limit();
}

OUTBOUND_INLINE_ std::vector<problem> message::problems() const {
  std::vector<problem> all = out_.findings.problems(complete_);
  if (body().size() > limit())
    all.push_back({defect::too_large, "",
                   detail::join({"is ", detail::digits_of{body().size()}, " bytes long; the limit is ",
                                 detail::digits_of{limit()}})});
  return all;
}

OUTBOUND_INLINE_ message::message(std::string_view path, const user& subject)
    : path_{path}, fields_{detail::api::user_id.bit} {
  const id v = subject.view();
  const detail::at_place here{out_, detail::api::user_id.name()};
  out_.put('{');
  detail::put_field(out_, detail::api::user_id);
  detail::write_user_id(out_, detail::with_range(nullptr, &v, 1));
  out_.put('}');
}

OUTBOUND_INLINE_ message::message(const message& other)
    : path_{other.path_},
      out_{other.out_, other.complete_},
      keys_{other.keys_},
      open_{other.open_},
      close_{other.close_},
      fields_{other.fields_} {}

OUTBOUND_INLINE_ void message::set(const detail::field& f, const detail::erased& v) {
  const bool repeated = (fields_ & f.bit) != 0;
  if (!repeated && detail::fits_in_place(out_, out_.size() - 1, "", v)) {
    detail::closing end{out_, out_.size() - 1};
    *out_.cursor++ = ',';
    const detail::at_place here{out_, f.name()};
    detail::put_field(out_, f);
    v.write(out_, v);
    end.complete();
    fields_ |= f.bit;
    return out_.release();
  }
  set_made(f, v, repeated);
}

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void message::set_made(const detail::field& f, const detail::erased& v,
                                                           bool repeated) {
  const detail::while_adding adding{complete_, out_};
  detail::insert(out_, 0, out_.size() - 1, {f.name(), &f, "", nullptr, 0, repeated}, v);
  out_.release();
  if (repeated) locate();
  fields_ |= f.bit;
}

OUTBOUND_INLINE_ void message::set(const detail::field& f, const optional_text& v) {
  if (v.present()) set(f, detail::erase_text(v.get()));
}

OUTBOUND_INLINE_ void message::set(const detail::field& f, const detail::list<text>& v) {
  if (v.present()) set(f, v.items());
}

// Finds attributes or properties again, after a field before them may have gone.
OUTBOUND_COLD_ OUTBOUND_INLINE_ void message::locate() noexcept {
  if (open_ == 0) return;
  std::string_view at = detail::find_member(out_.view(), detail::api::attributes.quoted_name());
  if (at.empty()) at = detail::find_member(out_.view(), detail::api::properties.quoted_name());
  open_ = static_cast<std::size_t>(at.data() - out_.begin);
  close_ = open_ + at.size() - 1;
}

OUTBOUND_INLINE_ void message::merge(const detail::field& f, text key, const detail::erased& v) {
  if (open_ != 0 && keys_.complete && detail::fits_in_place(out_, close_, key, v)) {
    const detail::at_place here{out_, f.name()};
    close_ = detail::insert_leaf(out_, open_, close_, key, keys_, v, 0);
    return out_.release();
  }
  merge_made(f, key, v);
}

OUTBOUND_NOINLINE_ OUTBOUND_INLINE_ void message::merge_made(const detail::field& f, text key,
                                                             const detail::erased& v) {
  if (open_ == 0) {
    const detail::single_member m{key, v, keys_};
    keys_.clear();
    open_members(f, detail::with_range(&detail::write_single_member, &m, 1));
    keys_.complete = true;
    return;
  }
  {
    const detail::while_adding adding{complete_, out_};
    const detail::at_place here{out_, f.name()};
    const detail::deeper level{out_};
    close_ = detail::insert(out_, open_, close_, {key.view(), nullptr, key, &keys_}, v);
  }
  out_.release();
}

// The members of the object that `all` writes become members of the field. What may be refused as a whole, or have
// blanks around it, is always taken apart.
OUTBOUND_INLINE_ void message::merge(const detail::field& f, const detail::erased& all) {
  if (open_ == 0 && !all.as_text && all.levels < detail::max_depth) open_members(f, all);
  else merge_members(f, all);
}

// The first members.
OUTBOUND_INLINE_ void message::open_members(const detail::field& f, const detail::erased& all) {
  const std::size_t before = out_.size();
  set(f, all);
  keys_.complete = false;
  open_ = before + f.size;
  close_ = out_.size() - 2;
}

// By way of a text of its own, which tells whether it is an object, and which keys it has.
OUTBOUND_COLD_ OUTBOUND_INLINE_ void message::merge_members(const detail::field& f, const detail::erased& all) {
  detail::writer part;
  {
    const detail::at_place here{part, f.name()};
    all.write(part, all);
  }
  const bool is_sound = part.findings.empty();
  if (is_sound && all.as_text) part = detail::rewritten(part.view());
  bool all_new = true;
  if (open_ != 0 && detail::begins_with(part.view(), "{")) {
    if (!keys_.complete) detail::complete_keys(keys_, {out_.begin + open_, close_ + 1 - open_});
    all_new = detail::note_keys(keys_, part.view());
  }
  if (is_sound && all_new) return add_members(f, part, all_new);
  message merged = *this;  // all members or none
  merged.keys_.swap(keys_);
  merged.add_members(f, part, all_new);
  *this = std::move(merged);
}

// Adds the members of a finished object with their problems; of one that was refused, the problem.
OUTBOUND_INLINE_ void message::add_members(const detail::field& f, const detail::writer& part, bool all_new) {
  const bool is_object = detail::begins_with(part.view(), "{");
  if (is_object && open_ == 0) {
    open_members(f, detail::erase_raw(part.view()));
  } else if (is_object && part.size() > 2) {
    const detail::at_place here{out_, f.name()};
    if (!all_new && !out_.findings.empty())
      for (detail::member_reader m{part.view()}; m.read();)
        detail::forget_member(out_, out_.here, m.key, 0, out_.findings.size());
    close_ = detail::insert(out_, open_, close_, {}, detail::erase_raw(part.view().substr(1, part.size() - 2)));
    if (!all_new) close_ -= detail::keep_last(out_, open_, close_);
    out_.release();
  }
  for (const detail::finding* found = part.findings.first(); found != nullptr; found = found->next)
    if (!is_object) detail::add_once(out_.findings, found->what);
    else out_.findings.add(found->what.what, found->what.where, found->what.why, found->of_key);
}

// --- identify

OUTBOUND_INLINE_ identify& identify::first_name(optional_text v) & {
  set(detail::api::first_name, v);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::last_name(optional_text v) & {
  set(detail::api::last_name, v);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::email(optional_text v) & {
  set(detail::api::email, v);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::phone_number(optional_text v) & {
  set(detail::api::phone_number, v);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::apns(detail::list<text> tokens) & {
  set(detail::api::apns, tokens);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::gcm(detail::list<text> tokens) & {
  set(detail::api::gcm, tokens);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::attribute(text key, const value& v) & {
  merge(detail::api::attributes, key, v.erased());
  return *this;
}
OUTBOUND_INLINE_ identify& identify::attributes(std::initializer_list<member> members) & {
  merge(detail::api::attributes, detail::erase_members(members));
  return *this;
}
OUTBOUND_INLINE_ identify& identify::timezone(optional_text v) & {
  set(detail::api::timezone, v);
  return *this;
}
OUTBOUND_INLINE_ identify& identify::group(text group_id) & {
  set(detail::api::group_id, detail::erase_required(group_id));
  return *this;
}
OUTBOUND_INLINE_ identify& identify::group(text group_id, std::initializer_list<member> attributes) & {
  set_group(group_id, detail::erase_members(attributes));
  return *this;
}
OUTBOUND_INLINE_ void identify::set_group(text group_id, const detail::erased& attributes) {
  identify both = *this;  // both fields or none
  both.set(detail::api::group_id, detail::erase_required(group_id));
  both.set(detail::api::group_attributes, attributes);
  *this = std::move(both);
}
OUTBOUND_INLINE_ identify& identify::previous_id(const user& previous) & {
  const id v = previous.view();
  set(detail::api::previous_id, detail::with_range(&detail::write_user_id, &v, 1));
  return *this;
}

// --- track

OUTBOUND_INLINE_ track& track::property(text key, const value& v) & {
  merge(detail::api::properties, key, v.erased());
  return *this;
}
OUTBOUND_INLINE_ track& track::properties(std::initializer_list<member> members) & {
  merge(detail::api::properties, detail::erase_members(members));
  return *this;
}
OUTBOUND_INLINE_ track& track::at(std::chrono::system_clock::time_point when) & {
  set(detail::api::timestamp, detail::erase(when));
  return *this;
}

// --- user

OUTBOUND_INLINE_ user::user(id v) : number_{v.number_}, kind_{kind::natural} {
  if (v.kind_ == id::kind::negative) kind_ = kind::negative;
  if (v.kind_ != id::kind::text) return;
  const std::string_view s = v.text_.view();
  kind_ = v.text_.null() ? kind::null : s.size() <= short_size ? kind::short_text : kind::long_text;
  if (kind_ == kind::long_text) {
    long_text_ = s;
  } else if (!s.empty()) {
    std::memcpy(short_text_, s.data(), s.size());
    size_ = static_cast<unsigned char>(s.size());
  }
}

OUTBOUND_INLINE_ id user::view() const noexcept {
  if (kind_ == kind::short_text) return std::string_view{short_text_, size_};
  if (kind_ == kind::long_text) return std::string_view{long_text_};
  if (kind_ == kind::null) return static_cast<const char*>(nullptr);
  id v{number_};
  if (kind_ == kind::negative) v.kind_ = id::kind::negative;
  return v;
}

OUTBOUND_INLINE_ outbound::identify user::identify() const {
  return outbound::identify{detail::api::identify_path, *this};
}

OUTBOUND_INLINE_ outbound::track user::track(text event) const {
  outbound::track m{detail::api::track_path, *this};
  m.set(detail::api::event, detail::erase_required(event));
  return m;
}

OUTBOUND_INLINE_ message user::register_token(platform service, text token) const {
  message m{detail::api::register_paths[static_cast<std::size_t>(service)], *this};
  m.set(detail::api::token, detail::erase_required(token));
  return m;
}

OUTBOUND_INLINE_ message user::disable_token(platform service, text token) const {
  message m{detail::api::disable_paths[static_cast<std::size_t>(service)], *this};
  m.set(detail::api::token, detail::erase_required(token));
  return m;
}

OUTBOUND_INLINE_ message user::disable_tokens(platform service) const {
  message m{detail::api::disable_paths[static_cast<std::size_t>(service)], *this};
  const bool all = true;
  m.set(detail::api::all, detail::erase(all));
  return m;
}

OUTBOUND_INLINE_ message user::subscription(std::string_view path, const detail::list<id>& campaigns) const {
  message m{path, *this};
  m.set(detail::api::campaign_ids, campaigns.present() ? campaigns.items() : detail::list<id>{{}}.items());
  if (detail::find_member(m.body(), detail::api::campaign_ids.quoted_name()).size() > 2) return m;
  const detail::at_place here{m.out_, detail::api::campaign_ids.name()};
  m.out_.report(defect::missing, {"names no campaign; without an argument the call is about all of them"});
  return m;
}

OUTBOUND_INLINE_ message user::subscribe() const { return {detail::api::subscribe_all_path, *this}; }
OUTBOUND_INLINE_ message user::subscribe(detail::list<id> campaigns) const {
  return subscription(detail::api::subscribe_campaigns_path, campaigns);
}
OUTBOUND_INLINE_ message user::unsubscribe() const { return {detail::api::unsubscribe_all_path, *this}; }
OUTBOUND_INLINE_ message user::unsubscribe(detail::list<id> campaigns) const {
  return subscription(detail::api::unsubscribe_campaigns_path, campaigns);
}

// --- batch

OUTBOUND_INLINE_ batch::batch() : message{{}} {
  out_.append("[]");
  out_.report(defect::missing, {"is a batch without a message; it takes 1 to ", detail::digits_of{capacity}});
}

OUTBOUND_INLINE_ result<void> batch::add(const outbound::identify& m) {
  return add(m, detail::api::identify_batch_path);
}
OUTBOUND_INLINE_ result<void> batch::add(const outbound::track& m) { return add(m, detail::api::track_batch_path); }

OUTBOUND_INLINE_ result<void> batch::add(const message& m, std::string_view batch_path) {
  const auto refuse = [](defect what, std::initializer_list<std::string_view> why) {
    return detail::invalid_message({{what, "", detail::join(why)}});
  };
  if (!m.valid()) return detail::invalid_message(m.problems());
  if (count_ == capacity)
    return refuse(defect::too_large,
                  {"is not added: the batch has ", detail::digits_of{capacity}, " messages, which is the limit"});
  if (count_ != 0 && path_ != batch_path)
    return refuse(defect::out_of_range, {"is not added: the batch is for ", path_, ", not ", batch_path});
  const std::size_t size = out_.size() + m.body().size() + (count_ != 0 ? 1 : 0);
  if (size > limit())
    return refuse(defect::too_large, {"is not added: the batch would be ", detail::digits_of{size},
                                      " bytes long; the limit is ", detail::digits_of{limit()}});
  detail::insert(out_, 0, out_.size() - 1, {{}, nullptr, "", nullptr, count_}, detail::erase_raw(m.body()));
  out_.release();
  out_.findings.truncate(0);
  path_ = batch_path;
  ++count_;
  return {};
}

// >>http: implementation ----------------------------------------------------------------------------------------------

namespace detail {

inline constexpr const char* content_type_header = "Content-Type";
inline constexpr const char* key_header = "X-Outbound-Key";
inline constexpr const char* client_header = "X-Outbound-Client";
inline constexpr const char* guid_header = "X-Outbound-GUID";

inline char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

inline bool same_name(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

// Calls `work`; where there are exceptions, what it throws becomes `failed(what)`. All code that may throw is called
// through here.
template <class Work, class Failed>
auto guarded(const Work& work, const Failed& failed) -> decltype(work()) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  try {
    return work();
  } catch (const std::exception& e) {
    return failed(e.what() != nullptr ? e.what() : "");
  } catch (...) {
    return failed("something that is no std::exception");
  }
#else
  static_cast<void>(failed);
  return work();
#endif
}

// The text fits into the string itself: nothing is allocated.
inline outbound::error out_of_memory(const char*) noexcept { return {errc::out_of_memory, 0, "out of memory", {}}; }

inline const char* describe(errc code) noexcept {
  if (code == errc{}) return "no error";
  switch (code) {
    case errc::invalid_message: return "the message has problems and was not sent";
    case errc::invalid_options: return "the client's options cannot be used; nothing was sent";
    case errc::not_sent: return "nothing was sent";
    case errc::no_response: return "there was no response; the request may have been processed";
    case errc::malformed_json: return "the server could not read the JSON";
    case errc::invalid_field: return "the server refused the message";
    case errc::unauthorized: return "the server refused the key";
    case errc::misdirected: return "the base URL redirects, or has no such endpoint";
    case errc::throttled: return "the server asks for fewer requests";
    case errc::unavailable: return "the server is not available";
    case errc::unexpected_status: return "the server answered with an unexpected status";
    case errc::queue_full: return "the queue is full";
    case errc::closed: return "the outbox is closed";
    case errc::store_failed: return "the store failed";
    case errc::out_of_memory: return "out of memory";
  }
  return "unknown error";
}

class category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "outbound"; }
  std::string message(int code) const override { return describe(static_cast<errc>(code)); }
};

// One line, fit for a log whatever it is made of: controls (C0, DEL, C1) and the separators U+2028 and U+2029 become
// blanks.
inline std::string one_line(std::string_view s) {
  const std::string clean = repaired(s);
  const char* const end = clean.data() + clean.size();
  std::string out;
  for (const char* p = clean.data(); p != end;) {
    const std::string_view c{p, utf8_next(p, end).size};
    const bool blank =
        c < " " || c == "\x7F" || (c >= "\xC2\x80" && c <= "\xC2\x9F") || c == "\xE2\x80\xA8" || c == "\xE2\x80\xA9";
    out += blank ? " " : c;
    p += c.size();
  }
  return out;
}

// The same of a text that may be long: its beginning.
inline std::string excerpt(std::string_view s) {
  std::size_t most = 400;
  if (s.size() <= most) return one_line(s);
  while (most > 397 && is_continuation(&s[most])) --most;
  return join({one_line(s.substr(0, most)), "..."});
}

// What a response says of its error: {"error":{"Message":"...","Code":7}} if that is there, else the body as it is.
inline std::string server_text(std::string_view body) {
  json_checker check{body};
  const std::string_view top = skip_blanks(body);
  if (!begins_with(top, "{") || !check.run()) return excerpt(body);
  const std::string_view inner = find_member(top, "\"error\"");
  const std::string_view message = begins_with(inner, "{") ? find_member(inner, "\"Message\"") : std::string_view{};
  if (!begins_with(message, "\"")) return excerpt(body);
  const std::string_view code = find_member(inner, "\"Code\"");
  const std::string shown = excerpt(unquoted(message));
  if (shown.empty()) return excerpt(body);
  return code.empty() || code == "null" ? shown : join({shown, " (code ", excerpt(code), ")"});
}

inline bool is_success(int status) noexcept { return status >= 200 && status < 300; }

inline errc classify(int status) noexcept {
  switch (status) {
    case 0: return errc::no_response;
    case 500: return errc::malformed_json;
    case 400:
    case 413:
    case 422: return errc::invalid_field;
    case 401:
    case 403: return errc::unauthorized;
    case 404:
    case 405:
    case 410: return errc::misdirected;
    case 429: return errc::throttled;
    case 408:
    case 425: return errc::unavailable;
    default: break;
  }
  if (status >= 300 && status < 400) return errc::misdirected;
  return status >= 500 && status < 600 ? errc::unavailable : errc::unexpected_status;
}

OUTBOUND_INLINE_ outbound::error invalid_message(std::vector<problem> problems) {
  constexpr std::size_t shown = 8;
  std::string text = describe(errc::invalid_message);
  for (std::size_t i = 0; i < problems.size() && i < shown; ++i)
    text += join(
        {i == 0 ? ": " : "; ", problems[i].where.empty() ? "it" : excerpt(problems[i].where), " ", problems[i].why});
  if (problems.size() > shown) text += join({"; and ", digits_of{problems.size() - shown}, " more"});
  return {errc::invalid_message, 0, std::move(text), std::move(problems)};
}

// Where the first byte is that is none of 0x21 to 0x7E, or npos.
inline std::size_t find_invisible(std::string_view s) noexcept {
  for (std::size_t i = 0; i < s.size(); ++i)
    if (byte_at(&s[i]) < 0x21 || byte_at(&s[i]) > 0x7E) return i;
  return npos;
}

// Whether it may stand behind a base URL: only that says where the key goes.
inline bool is_path(std::string_view s) noexcept { return begins_with(s, "/") && find_invisible(s) == npos; }

// s as one word of a POSIX shell.
inline std::string shell_word(std::string_view s) {
  std::string out = "'";
  for (const char c : s) {
    if (c == '\'') out += "'\\''";
    else out += c;
  }
  return out + '\'';
}

}  // namespace detail

OUTBOUND_INLINE_ const std::error_category& error_category() noexcept {
  static const detail::category& only = *new detail::category;  // never destroyed: errors may be compared at exit
  return only;
}

OUTBOUND_INLINE_ std::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

OUTBOUND_INLINE_ const std::string* find_header(const std::vector<header>& headers, text name) noexcept {
  for (const header& h : headers)
    if (detail::same_name(h.name, name.view())) return &h.value;
  return nullptr;
}

OUTBOUND_INLINE_ result<response> transport::operator()(const request& r) noexcept {
  const auto call = [this, &r] { return target_ ? target_(r) : no_transport(r); };
  const auto thrown = [](const char* what) -> result<response> {
    return outbound::error{errc::no_response, 0, detail::join({"the transport threw: ", detail::one_line(what)}), {}};
  };
  const auto forgotten = [](const char*) { return outbound::error{errc::no_response, 0, "out of memory", {}}; };
  return detail::guarded([&] { return detail::guarded(call, thrown); }, forgotten);
}

OUTBOUND_INLINE_ result<response> no_transport_t::operator()(const request&) const {
  return outbound::error{errc::not_sent, 0, "this client has no transport: use prepare and interpret", {}};
}

OUTBOUND_INLINE_ result<response> interpret(response r) {
  if (detail::is_success(r.status)) return r;
  const errc code = detail::classify(r.status);
  std::string text = detail::describe(code);
  if (r.status != 0) text += detail::join({" (HTTP ", std::to_string(r.status), ")"});
  if (!r.body.empty()) text += detail::join({": ", detail::server_text(r.body)});
  return outbound::error{code, r.status, std::move(text), {}};
}

OUTBOUND_INLINE_ std::string curl_command(const request& r) {
  std::string out = detail::join({"curl -X ", detail::shell_word(r.method), " ", detail::shell_word(r.url)});
  for (const header& h : r.headers) {
    bool shown = false;
    for (const char* name : {detail::content_type_header, detail::client_header, detail::guid_header})
      shown = shown || detail::same_name(h.name, name);
    out += detail::join({" -H ", detail::shell_word(detail::join({h.name, ": ", shown ? h.value : "<redacted>"}))});
  }
  return detail::join({out, " --data-raw ", detail::shell_word(r.body)});
}

// >>client: implementation --------------------------------------------------------------------------------------------

namespace detail {

// Why a key cannot be used, or "". RFC 9110 (5.5) would let blanks inside pass; a key has none, and nothing is trimmed
// in silence.
inline std::string check_key(text key) {
  if (key.null()) return "the key is a null pointer";
  const std::string_view s = key.view();
  if (s.empty()) return "the key is empty";
  const std::size_t i = find_invisible(s);
  if (i == npos) return {};
  if (s.find_first_not_of("\r\n", i) == npos)
    return "the key ends with a line break (from a file?); cut that off: nothing is trimmed here";
  return join({"byte ", digits_of{i}, " of the key is none of 0x21 to 0x7E"});
}

inline bool is_letter_or_digit(char c) noexcept {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

// RFC 3986, 3.2.2. Of addresses not more than what their characters say.
inline bool is_host(std::string_view host) noexcept {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {  // IPv6
    const std::string_view address = host.substr(1, host.size() - 2);
    for (const char& c : address)
      if (!is_hex(byte_at(&c)) && c != ':' && c != '.') return false;
    return address.find(':') != address.rfind(':');
  }
  bool has_name = false;
  char before = '.';
  for (const char c : host) {
    if (!is_letter_or_digit(c) && c != '-' && c != '_' && (c != '.' || before == '.')) return false;
    has_name = has_name || is_letter_or_digit(c);
    before = c;
  }
  return has_name;
}

inline bool is_port(std::string_view port) noexcept {
  unsigned n = 0;
  for (const char c : port) {
    if (c < '0' || c > '9' || n > 65535) return false;
    n = n * 10 + static_cast<unsigned>(c - '0');
  }
  return n >= 1 && n <= 65535;
}

// Why a base URL (RFC 3986) cannot be used, or "". The URL is not shown: it may hold a secret.
inline std::string check_base_url(std::string_view url) {
  const std::size_t colon = url.find("://");
  if (colon == npos || !(same_name(url.substr(0, colon), "http") || same_name(url.substr(0, colon), "https")))
    return "the base URL does not begin with http:// or https://";
  for (std::size_t i = 0; i < url.size(); ++i) {
    const unsigned c = byte_at(&url[i]);
    const bool broken =
        c == '%' && (url.size() - i < 3 || !is_hex(byte_at(&url[i + 1])) || !is_hex(byte_at(&url[i + 2])));
    if (c <= 0x20 || c >= 0x7F || broken || std::string_view{"\"<>\\^`{|}"}.find(url[i]) != npos)
      return join({"byte ", digits_of{i}, " of the base URL may not stand in a URL; percent-encode it"});
  }
  if (url.find_first_of("?#") != npos) return "the base URL has a query or a fragment; a path is appended to it";
  const std::string_view rest = url.substr(colon + 3);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (authority.find('@') != npos) return "the base URL has a user or a password; only the key identifies you";
  if (rest.find_first_of("[]", authority.size()) != npos)
    return "the path of the base URL has brackets; percent-encode them";
  const std::size_t bracket = authority.rfind(']');
  const std::size_t port = authority.find(':', bracket == npos ? 0 : bracket);
  if (!is_host(authority.substr(0, port))) return "the base URL has no proper host";
  if (port != npos && !is_port(authority.substr(port + 1))) return "the port of the base URL is not one of 1 to 65535";
  return {};
}

// Where the key ends in s if it stands at s[at], as it is or as JSON has it, with escapes; npos if it does not.
inline std::size_t end_of_key(std::string_view s, std::size_t at, std::string_view key) noexcept {
  if (begins_with(s.substr(at), key)) return at + key.size();
  for (const char c : key) {
    if (at >= s.size()) return npos;
    std::size_t size = 1;
    unsigned found = byte_at(&s[at]);
    if (found == '\\' && s.size() - at >= 6 && s[at + 1] == 'u') {
      size = 6;
      found = read_hex4(&s[at + 2]);
    } else if (found == '\\' && s.size() - at >= 2) {
      size = 2;
      found = byte_at(&s[at + 1]);
    }
    if (found != byte_at(&c)) return npos;
    at += size;
  }
  return at;
}

// A copy of what a server or a transport said, without the key: they may repeat it. What stands for it is between
// blanks, which no key has, so that it cannot spell the key anew with what is beside it.
inline std::string redacted(std::string_view s, std::string_view key) {
  constexpr std::size_t shortest_secret = 4;  // a shorter one is in every other word
  if (key.size() < shortest_secret) return std::string{s};
  std::string out;
  for (std::size_t at = 0; at < s.size();) {
    const std::size_t end = end_of_key(s, at, key);
    if (end == npos) {
      out += s[at++];
    } else {
      out += " [key] ";
      at = end;
    }
  }
  return out;
}

}  // namespace detail

OUTBOUND_INLINE_ client::client(text key, transport how, options o)
    : transport_{std::move(how)}, options_{std::move(o)} {
  std::string why = detail::check_key(key);
  if (why.empty()) why = detail::check_base_url(options_.base_url);
  if (why.empty() && options_.timeout <= options_.timeout.zero()) why = "the timeout is not positive";
  if (!why.empty()) {
    setup_ = {errc::invalid_options, 0, std::move(why), {}};
    return;
  }
  key_ = key.view();
  url_ = options_.base_url.substr(0, options_.base_url.find_last_not_of('/') + 1);
}

OUTBOUND_INLINE_ result<request> client::prepare(const message& m) const noexcept {
  const auto work = [&]() -> result<request> {
    result<void> good = checked(m);
    if (!good) return std::move(good).error();
    return make_request(m.path(), m.body(), m.user_key());
  };
  return detail::guarded(work, detail::out_of_memory);
}

OUTBOUND_INLINE_ result<request> client::prepare(const delivery& d) const noexcept {
  const auto work = [&]() -> result<request> {
    result<void> good = usable();
    if (!good) return std::move(good).error();
    if (!detail::is_path(d.path) || detail::find_invisible(d.guid) != detail::npos)
      return outbound::error{errc::invalid_message, 0, "the path or the GUID of the delivery cannot stand in HTTP", {}};
    request r = make_request(d.path, d.body, d.user_key);
    r.guid = d.guid;
    r.headers.push_back({detail::guid_header, d.guid});
    return r;
  };
  return detail::guarded(work, detail::out_of_memory);
}

OUTBOUND_INLINE_ result<void> client::validate(const message& m) const noexcept {
  return detail::guarded([&] { return checked(m); }, detail::out_of_memory);
}

OUTBOUND_INLINE_ result<void> client::usable() const {
  if (setup_.code != errc{}) return setup_;
  if (key_.empty()) return outbound::error{errc::invalid_options, 0, "the client has been moved from", {}};
  return {};
}

OUTBOUND_INLINE_ result<void> client::checked(const message& m) const {
  result<void> good = usable();
  if (!good) return good;
  if (!m.valid()) return detail::invalid_message(m.problems());
  if (!options_.strict) return {};
  std::vector<problem> warnings = m.warnings();
  if (warnings.empty()) return {};
  return detail::invalid_message(std::move(warnings));
}

OUTBOUND_INLINE_ request client::make_request(std::string_view path, std::string_view body,
                                              std::string user_key) const {
  request r;
  r.method = "POST";
  r.url.reserve(url_.size() + path.size());
  r.url.append(url_).append(path);
  r.headers = {{detail::content_type_header, "application/json"},
               {detail::key_header, key_},
               {detail::client_header, "Cpp/" OUTBOUND_VERSION_STRING}};
  r.body = body;
  r.timeout = options_.timeout;
  r.user_key = std::move(user_key);
  return r;
}

// Calls the transport. What it says may be logged: the key is not in it. If there is no memory to see to that, it says
// nothing, but what became of the request is kept.
OUTBOUND_INLINE_ result<response> client::exchange(transport& how, const request& r) const noexcept {
  result<response> answer = how(r);
  const auto redact = [&] {
    if (answer) {
      if (!detail::is_success(answer->status)) answer->body = detail::redacted(answer->body, key_);  // before it is cut
      return;
    }
    outbound::error& e = answer.error();
    if (e.code == errc{}) e.code = errc::no_response;  // a failure without a name may have been processed
    e.message = detail::excerpt(e.message.empty() ? detail::describe(e.code) : detail::redacted(e.message, key_));
    for (problem& p : e.problems) {
      p.where = detail::redacted(p.where, key_);
      p.why = detail::redacted(p.why, key_);
    }
  };
  const auto hide = [&answer](const char*) {
    if (answer) answer->body.clear();
    else answer.error() = {answer.error().code, answer.error().status, {}, {}};
  };
  detail::guarded(redact, hide);
  return answer;
}

OUTBOUND_INLINE_ result<response> client::send(const message& m) noexcept {
  const auto work = [&]() -> result<response> {
    const result<request> r = prepare(m);
    if (!r) return r.error();
    result<response> answer = exchange(transport_, *r);
    if (answer) return interpret(std::move(*answer));
    return answer;
  };
  return detail::guarded(work, detail::out_of_memory);
}

// >>delivery: implementation ------------------------------------------------------------------------------------------

namespace detail {

inline constexpr std::int64_t one_second = 1000;  // times and durations are in milliseconds, unless they say seconds
inline constexpr std::int64_t longest_duration = 365 * 86400 * one_second;
inline constexpr std::int64_t no_time = INT64_MAX;
inline constexpr std::int64_t longest_retry_after = 3600 * one_second;
inline constexpr std::int64_t batch_pause = 3600 * one_second;    // after a server knew no path for batches
inline constexpr std::int64_t budget_interval = one_second / 10;  // after which a spent retry is back
inline constexpr unsigned outage = 5;                             // failures in a row
inline constexpr std::string_view batch_suffix = "/batch";

inline std::int64_t clamped(std::chrono::milliseconds d) noexcept {
  return d.count() < 0 ? 0 : d.count() > longest_duration ? longest_duration : d.count();
}

// --- Retry-After (RFC 9110, 10.2.3)

struct civil_time {
  std::int64_t year{}, month{}, day{}, hour{}, minute{}, second{};
};

inline bool is_leap_year(std::int64_t year) noexcept { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

inline bool is_real(const civil_time& t) noexcept {
  constexpr unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return t.day >= 1 && t.day <= days[t.month - 1] + (t.month == 2 && is_leap_year(t.year)) && t.hour < 24 &&
         t.minute < 60 && t.second <= 60;  // a leap second is grammatical
}

// Of the proleptic Gregorian calendar, for years from 0 on. A year begins in March here: the leap day is its last.
inline std::int64_t unix_seconds(const civil_time& t) noexcept {
  const std::int64_t year = t.year + 399 + (t.month > 2);  // from March of -400 on
  const std::int64_t day_of_year = (153 * ((t.month + 9) % 12) + 2) / 5 + t.day - 1;
  const std::int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 865'565;
  return ((days * 24 + t.hour) * 60 + t.minute) * 60 + t.second;
}

// Takes the parts of a date off the front of a text. After the first that is not as expected, `good` is false.
struct date_reader {
  std::string_view rest;
  bool good{true};

  bool take(std::string_view s) noexcept {
    const bool there = begins_with(rest, s);
    if (there) rest.remove_prefix(s.size());
    return there;
  }
  void skip(std::string_view s) noexcept { good = take(s) && good; }
  std::int64_t number(std::size_t digits) noexcept {
    std::int64_t n = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      good = good && i < rest.size() && rest[i] >= '0' && rest[i] <= '9';
      if (good) n = n * 10 + (rest[i] - '0');
    }
    rest.remove_prefix(good ? digits : 0);
    return n;
  }
  // One of the names, cut to `width`: its index from 1 on.
  std::int64_t name(std::initializer_list<std::string_view> names, std::size_t width) noexcept {
    std::int64_t index = 1;
    for (const std::string_view n : names) {
      if (take(n.substr(0, width))) return index;
      ++index;
    }
    good = false;
    return 1;
  }
  void weekday(std::size_t width) noexcept {
    name({"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}, width);
  }
  std::int64_t month() noexcept {
    return name({"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}, 3);
  }
  void time(civil_time& t) noexcept {
    skip(" ");
    t.hour = number(2);
    skip(":");
    t.minute = number(2);
    skip(":");
    t.second = number(2);
  }
};

// The newest year with these last two digits that is not more than 50 years after now (RFC 9110, 5.6.7).
inline std::int64_t full_year(civil_time t, std::int64_t unix_now) noexcept {
  const std::int64_t digits = t.year;
  for (t.year = digits + 9900 - 50; t.year > 100 && unix_seconds(t) > unix_now;) t.year -= 100;
  return t.year + 50;
}

// An HTTP-date in any of its three forms (RFC 9110, 5.6.7); the day of the week is not compared with the date.
inline bool read_http_date(std::string_view s, std::int64_t unix_now, std::int64_t& out) noexcept {
  date_reader r{s};
  civil_time t;
  const std::size_t comma = s.find(',');
  r.weekday(comma == npos || comma == 3 ? 3 : npos);
  if (comma == npos) {  // Sun Nov  6 08:49:37 1994
    r.skip(" ");
    t.month = r.month();
    r.skip(" ");
    t.day = r.number(r.take(" ") ? 1 : 2);
    r.time(t);
    r.skip(" ");
    t.year = r.number(4);
  } else {  // Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT
    const bool is_short = comma == 3;
    const std::string_view separator = is_short ? " " : "-";
    r.skip(", ");
    t.day = r.number(2);
    r.skip(separator);
    t.month = r.month();
    r.skip(separator);
    t.year = r.number(is_short ? 4 : 2);
    r.time(t);
    r.skip(" GMT");
    if (!is_short) t.year = full_year(t, unix_now);
  }
  out = unix_seconds(t);
  return r.good && r.rest.empty() && is_real(t);
}

// How many seconds a Retry-After asks for: digits, saturating, or a date, which may be over (0); -1 if it is neither.
inline std::int64_t retry_after_seconds(std::string_view s, std::int64_t unix_now) noexcept {
  constexpr std::int64_t most = INT64_MAX;
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  std::int64_t n = 0;
  if (read_http_date(s, unix_now, n)) return n > unix_now ? n - unix_now : 0;
  n = 0;
  for (const char c : s) {
    if (c < '0' || c > '9') return -1;
    n = n < most / 10 ? n * 10 + (c - '0') : most;
  }
  return s.empty() ? -1 : n;
}

// --- what is random

// The longest delay after so many failures.
inline std::int64_t backoff_ceiling(const retry_policy& p, unsigned failures) noexcept {
  const std::int64_t most = clamped(p.max_delay);
  std::int64_t delay = clamped(p.first_delay);
  for (; failures > 0 && delay != 0 && delay < most; --failures) delay *= 2;
  return delay < most ? delay : most;
}

// Bytes as a number, the same on every machine; compilers make one load of the first.
inline std::uint64_t eight_bytes(const char* p) noexcept {
  const auto byte = [p](unsigned i) { return std::uint64_t{byte_at(p + i)} << 8 * i; };
  return byte(0) | byte(1) | byte(2) | byte(3) | byte(4) | byte(5) | byte(6) | byte(7);
}
inline std::uint64_t few_bytes(std::string_view s) noexcept {
  std::uint64_t n = 0;
  for (const char& c : s) n = n << 8 | byte_at(&c);
  return n;
}

// A UUID made of a seed, a number and the bytes of the message: version 8 (RFC 9562, 5.8).
inline guid_seed make_guid(const guid_seed& seed, std::uint64_t number, std::string_view body) noexcept {
  std::uint64_t high = mixed(seed.high ^ golden, number + silver);
  std::uint64_t low = mixed(seed.low ^ silver, number ^ golden) + high;
  const auto add = [&](std::uint64_t x) {
    high = mixed(high ^ x, golden) + low;
    low = mixed(low + x, silver) ^ high;
  };
  for (; body.size() >= 8; body.remove_prefix(8)) add(eight_bytes(body.data()));
  add(few_bytes(body));
  add(number);
  return {(high & ~std::uint64_t{0xF000}) | 0x8000, low >> 2 | std::uint64_t{1} << 63};
}

inline std::string guid_text(const guid_seed& g) {
  static constexpr char hex[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (unsigned i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) out += '-';
    out += hex[(i < 16 ? g.high : g.low) >> (60 - i % 16 * 4) & 15];
  }
  return out;
}

inline bool read_guid(std::string_view s, guid_seed& out) noexcept {
  if (s.size() != 36) return false;
  std::uint64_t halves[2]{};
  unsigned digits = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const unsigned c = byte_at(&s[i]);
    if (dash ? c != '-' : !is_hex(c)) return false;
    if (dash) continue;
    std::uint64_t& half = halves[digits++ / 16];
    half = half << 4 | ((c & 15) + (c > '9' ? 9 : 0));
  }
  out = {halves[0], halves[1]};
  return true;
}

// --- who waits for whom

// A message's place in the line of one of its users.
struct link {
  queued* message{};
  user_line* line{};
  link* before{};
  link* after{};
  link* more{};  // of the same message, in the line of another of its users
};

struct user_line {
  std::string key{};
  std::uint32_t hash{};
  link* first{};
  link* last{};
  user_line* next{};  // in the same bucket
};

struct queued {
  enum class state : unsigned char {
    waiting,  // behind another message of one of its users
    ready,    // in the heap of its lane
    taken,    // in flight, or a member of a batch that another leads
  };
  std::uint64_t id{};
  std::string body{};
  guid_seed guid{};
  link own{};
  queued* before{};  // in its lane, by id
  queued* after{};
  queued* batch{};  // the next member of the batch that it leads or belongs to
  std::uint64_t batch_record{};
  std::int64_t due{};
  std::int64_t accepted{};  // by the clock of its lane
  std::size_t place{};      // in the heap
  std::size_t lane{};
  unsigned attempts{};
  unsigned failures{};       // that backoff counts
  unsigned server_errors{};  // malformed_json
  unsigned waits_for{};      // lines in which it is not the first
  errc code{};               // of the last answer
  int status{};              // of the last answer
  state where{state::waiting};
  bool alone{};  // not in a batch again

  // Its batch is made, and must stay as it is until it is answered.
  bool is_fixed() const noexcept { return where == state::taken || batch != nullptr; }
};

inline bool is_sooner(const queued* a, const queued* b) noexcept {
  return a->due != b->due ? a->due < b->due : a->id < b->id;
}

// Room for n items, growing by doubling.
template <class T>
void make_room_for(std::vector<T>& items, std::size_t n) {
  if (n > items.capacity()) items.reserve(n < 8 ? 16 : n * 2);
}

OUTBOUND_INLINE_ void ready_heap::make_room(std::size_t n) { make_room_for(items_, n); }

OUTBOUND_INLINE_ void ready_heap::put(std::size_t i, queued* q) noexcept {
  items_[i] = q;
  q->place = i;
}

OUTBOUND_INLINE_ void ready_heap::rise(std::size_t i, queued* q) noexcept {
  for (; i > 0 && is_sooner(q, items_[(i - 1) / 2]); i = (i - 1) / 2) put(i, items_[(i - 1) / 2]);
  put(i, q);
}

OUTBOUND_INLINE_ void ready_heap::sink(std::size_t i, queued* q) noexcept {
  for (std::size_t child = 2 * i + 1; child < items_.size(); child = 2 * i + 1) {
    if (child + 1 < items_.size() && is_sooner(items_[child + 1], items_[child])) ++child;
    if (!is_sooner(items_[child], q)) break;
    put(i, items_[child]);
    i = child;
  }
  put(i, q);
}

OUTBOUND_INLINE_ void ready_heap::push(queued* q) noexcept {
  items_.push_back(q);
  rise(items_.size() - 1, q);
}

OUTBOUND_INLINE_ void ready_heap::erase(queued* q) noexcept {
  const std::size_t i = q->place;
  queued* const last = items_.back();
  items_.pop_back();
  if (last == q) return;
  if (i > 0 && is_sooner(last, items_[(i - 1) / 2])) rise(i, last);
  else sink(i, last);
}

OUTBOUND_INLINE_ line_table::~line_table() {
  for (user_line* line : buckets_)
    while (line != nullptr) delete std::exchange(line, line->next);
}

// The line of that user, a new one perhaps. The seed keeps those who choose ids from choosing the bucket as well.
OUTBOUND_INLINE_ user_line* line_table::get(std::string_view key, std::uint64_t seed) {
  const std::uint32_t h = hash(key, seed);
  if (buckets_.empty() || count_ > buckets_.size()) {
    std::vector<user_line*> smaller(buckets_.empty() ? 64 : buckets_.size() * 2);
    smaller.swap(buckets_);
    for (user_line* line : smaller) {
      while (line != nullptr) {
        user_line* const moved = std::exchange(line, line->next);
        moved->next = std::exchange(bucket_of(moved->hash), moved);
      }
    }
  }
  user_line*& bucket = bucket_of(h);
  for (user_line* line = bucket; line != nullptr; line = line->next)
    if (line->hash == h && line->key == key) return line;
  bucket = new user_line{std::string{key}, h, nullptr, nullptr, bucket};
  ++count_;
  return bucket;
}

OUTBOUND_INLINE_ void line_table::erase(user_line* line) noexcept {
  user_line** at = &bucket_of(line->hash);
  while (*at != line) at = &(*at)->next;
  *at = line->next;
  --count_;
  delete line;
}

// Calls `visit(key)` for each of the keys in a `message::user_key`.
template <class Visit>
void each_key(std::string_view keys, const Visit& visit) {
  while (true) {
    const std::size_t end = keys.find(user_key_separator);
    visit(keys.substr(0, end));
    if (end == npos) return;
    keys.remove_prefix(end + 1);
  }
}

// --- what an answer means to a queue

inline errc code_of(const result<response>& answer) noexcept {
  if (answer) return is_success(answer->status) ? errc{} : classify(answer->status);
  return answer.error().code == errc{} ? errc::no_response : answer.error().code;
}

inline int status_of(const result<response>& answer) noexcept {
  return answer ? answer->status : answer.error().status;
}

// Worth another try, later.
inline bool is_transient(errc code) noexcept {
  return code == errc::not_sent || code == errc::no_response || code == errc::throttled || code == errc::unavailable ||
         code == errc::out_of_memory;
}

// What is wrong is the set-up, not the message.
inline bool is_setup(errc code) noexcept {
  return code == errc::unauthorized || code == errc::misdirected || code == errc::invalid_options;
}

inline bool may_be_processed(const outbound::error& e) noexcept {
  return e.code == errc::no_response || e.status == 502 || e.status == 504;
}

// 404, 405, 410 are about a path; a redirection is about the whole base URL.
inline bool is_about_path(const outbound::error& e) noexcept {
  return e.code == errc::misdirected && (e.status < 300 || e.status > 399);
}

// What a store does wrong is told as its own; it may throw, as a transport may.
template <class Work>
result<void> store_call(const Work& work) noexcept {
  const auto thrown = [](const char* what) -> result<void> {
    return outbound::error{errc::store_failed, 0, one_line(what), {}};
  };
  const auto call = [&]() -> result<void> {
    result<void> done = guarded(work, thrown);
    if (done || done.error().code == errc::out_of_memory) return done;
    done.error().code = errc::store_failed;
    done.error().message = join({describe(errc::store_failed), ": ", excerpt(done.error().message)});
    return done;
  };
  return guarded(call, out_of_memory);
}

// A body of numbers only, "[12,14]": the ids of a batch's members.
inline bool is_batch_record(const record& r) noexcept {
  return r.body.size() > 1 && r.body[0] == '[' && r.body[1] >= '0' && r.body[1] <= '9';
}

inline std::string batch_record_body(const queued* first) {
  std::string ids;
  for (const queued* q = first; q != nullptr; q = q->batch) ids += join({ids.empty() ? "[" : ",", digits_of{q->id}});
  return ids + ']';
}

// Among messages by rising id; null: there is none of that id.
inline queued* find_by_id(const std::vector<queued*>& by_id, std::uint64_t id) noexcept {
  std::size_t from = 0;
  for (std::size_t n = by_id.size(); n > 0;) {
    const std::size_t half = n / 2;
    const bool is_behind = by_id[from + half]->id < id;
    if (is_behind) from += half + 1;
    n = is_behind ? n - half - 1 : half;
  }
  return from != by_id.size() && by_id[from]->id == id ? by_id[from] : nullptr;
}

inline std::size_t count_members(const queued* first) noexcept {
  std::size_t n = 0;
  for (; first != nullptr; first = first->batch) ++n;
  return n;
}

// Frees a message that is in no line; also one that was made in part.
inline void discard(queued* q, line_table& lines) noexcept {
  for (link* at = &q->own; at != nullptr;) {
    if (at->line != nullptr && at->line->first == nullptr) lines.erase(at->line);
    link* const next = at->more;
    if (at != &q->own) delete at;
    at = next;
  }
  delete q;
}

// A message that is not in the queue yet.
struct unposted {
  line_table& lines;
  queued* q{new queued};

  explicit unposted(line_table& t) : lines{t} {}
  unposted(const unposted&) = delete;
  unposted& operator=(const unposted&) = delete;
  ~unposted() {
    if (q != nullptr) discard(q, lines);
  }
};

}  // namespace detail

// --- accepting

// What was moved from is no request any more: a ticket is there once.
OUTBOUND_INLINE_ delivery& delivery::operator=(delivery&& other) noexcept {
  path = std::move(other.path);
  body = std::move(other.body);
  guid = std::move(other.guid);
  user_key = std::move(other.user_key);
  attempt = std::exchange(other.attempt, 0);
  ticket_ = std::exchange(other.ticket_, nullptr);
  return *this;
}

OUTBOUND_INLINE_ delivery_queue::delivery_queue(queue_options o) noexcept : options_{std::move(o)} {
  random_ = detail::mixed(options_.seed.high ^ detail::golden, options_.seed.low ^ detail::silver);
  if (options_.store == nullptr) return;
  result<void> restored = detail::store_call([this] { return restore(); });
  if (restored) return;
  discard_all();  // all of them or none
  setup_ = std::move(restored).error();
  note(event::kind::store_failed, loss::none, nullptr, setup_);
}

OUTBOUND_INLINE_ delivery_queue::~delivery_queue() { discard_all(); }

// Without a word to anybody: what a store has, it keeps.
OUTBOUND_INLINE_ void delivery_queue::discard_all() noexcept {
  for (detail::lane& l : lanes_)
    for (detail::queued* q = l.oldest; q != nullptr;) detail::discard(std::exchange(q, q->after), lines_);
  lanes_.clear();
  answered_.clear();
  stats_ = {};
}

// The first `now` is the beginning of time, which never goes back.
OUTBOUND_INLINE_ void delivery_queue::observe(instant now) noexcept {
  const std::int64_t t = std::chrono::floor<std::chrono::milliseconds>(now.steady.time_since_epoch()).count();
  if (!started_) origin_ = t;
  started_ = true;
  if (t - origin_ > now_) now_ = t - origin_;
  unix_now_ = detail::unix_seconds(now.system.time_since_epoch());
}

OUTBOUND_INLINE_ result<void> delivery_queue::post(const message& m, instant now) noexcept {
  observe(now);
  result<void> accepted = detail::guarded([&] { return accept(m); }, detail::out_of_memory);
  forget();
  tell();
  return accepted;
}

OUTBOUND_INLINE_ result<void> delivery_queue::accept(const message& m) {
  if (setup_.code != errc{}) return setup_;
  if (closed_) return outbound::error{errc::closed, 0, detail::describe(errc::closed), {}};
  if (!m.valid()) return detail::invalid_message(m.problems());
  const std::string_view body = m.body();
  if (is_full(body.size()) && !can_make_room(body.size())) return full(body.size());
  detail::unposted made{lines_};
  fill(*made.q, m.path(), body, m.user_key());
  made.q->id = next_id_;
  made.q->guid = detail::make_guid(options_.seed, next_id_, body);
  if (options_.store != nullptr) {
    const record r = record_of(*made.q);
    result<void> kept = detail::store_call([&] { return options_.store->append(r); });
    if (!kept) return kept;
  }
  ++next_id_;
  enqueue(std::exchange(made.q, nullptr));  // first: a line that is left without a message goes
  while ((stats_.queued + stats_.in_flight > options_.max_messages || stats_.bytes > options_.max_bytes) &&
         drop_oldest(loss::overflow)) {
  }
  return {};
}

OUTBOUND_INLINE_ bool delivery_queue::is_full(std::size_t body) const noexcept {
  return stats_.queued + stats_.in_flight >= options_.max_messages || stats_.bytes + body > options_.max_bytes;
}

// Would it fit if what may be dropped were dropped? Looks no further than until it would.
OUTBOUND_INLINE_ bool delivery_queue::can_make_room(std::size_t body) const noexcept {
  if (options_.when_full != overflow::drop_oldest || body > options_.max_bytes) return false;
  std::uint64_t count = stats_.queued + stats_.in_flight;
  std::uint64_t bytes = stats_.bytes;
  const auto fits = [&] { return count < options_.max_messages && bytes + body <= options_.max_bytes; };
  for (const detail::lane& l : lanes_) {
    for (const detail::queued* q = l.oldest; q != nullptr && !fits(); q = q->after) {
      if (q->is_fixed()) continue;
      --count;
      bytes -= q->body.size();
    }
  }
  return fits();
}

OUTBOUND_INLINE_ outbound::error delivery_queue::full(std::size_t body) const {
  const auto text = [](std::uint64_t n) { return std::string{detail::digits_of{n}}; };
  return {errc::queue_full,
          0,
          detail::join({detail::describe(errc::queue_full), ": it holds ", text(stats_.queued + stats_.in_flight),
                        " of ", text(options_.max_messages), " messages, with ", text(stats_.bytes), " of ",
                        text(options_.max_bytes), " bytes; this one has ", text(body)}),
          {}};
}

// All that takes memory is done here.
OUTBOUND_INLINE_ void delivery_queue::fill(detail::queued& q, std::string_view path, std::string_view body,
                                           std::string_view user_key) {
  q.body = body;
  while (q.lane != lanes_.size() && lanes_[q.lane].path != path) ++q.lane;
  if (q.lane == lanes_.size()) {
    detail::lane added;
    added.path = path;
    if (path != detail::api::identify_path && path != detail::api::track_path) added.batches_from = detail::no_time;
    lanes_.push_back(std::move(added));
  }
  detail::link* at = &q.own;
  detail::each_key(user_key, [&](std::string_view key) {
    for (const detail::link* l = &q.own; l != nullptr && l->line != nullptr; l = l->more)
      if (l->line->key == key) return;  // twice, as only a record of somebody else has it
    if (at->line != nullptr) at = at->more = new detail::link{};
    at->message = &q;
    at->line = lines_.get(key, options_.seed.low);
  });
  detail::lane& l = lanes_[q.lane];
  l.ready.make_room(l.count + 1);
  if (options_.store != nullptr)  // for its id, and that of a batch
    detail::make_room_for(answered_, answered_.size() + 2 * detail::as_size(stats_.queued + stats_.in_flight + 1));
}

OUTBOUND_INLINE_ void delivery_queue::enqueue(detail::queued* q) noexcept {
  detail::lane& l = lanes_[q->lane];
  q->accepted = clock_.at(now_);
  q->before = l.newest;
  (l.newest != nullptr ? l.newest->after : l.oldest) = q;
  l.newest = q;
  ++l.count;
  if (l.hold.held) run_clock();
  for (detail::link* at = &q->own; at != nullptr; at = at->more) {
    detail::user_line& line = *at->line;
    at->before = line.last;
    (line.last != nullptr ? line.last->after : line.first) = at;
    line.last = at;
    q->waits_for += at->before != nullptr;
  }
  make_ready(q, now_);
  ++stats_.accepted;
  ++stats_.queued;
  stats_.bytes += q->body.size();
}

OUTBOUND_INLINE_ void delivery_queue::make_ready(detail::queued* q, std::int64_t due) noexcept {
  if (q->waits_for != 0) {
    q->where = detail::queued::state::waiting;
    return;
  }
  q->where = detail::queued::state::ready;
  q->due = due;
  lanes_[q->lane].ready.push(q);
}

// Takes a message out of the queue; those who waited for it only are ready.
OUTBOUND_INLINE_ void delivery_queue::unlink(detail::queued* q) noexcept {
  detail::lane& l = lanes_[q->lane];
  if (q->where == detail::queued::state::ready) l.ready.erase(q);
  (q->before != nullptr ? q->before->after : l.oldest) = q->after;
  (q->after != nullptr ? q->after->before : l.newest) = q->before;
  --l.count;
  if (l.hold.held) run_clock();
  --stats_.queued;
  stats_.bytes -= q->body.size();
  for (detail::link* at = &q->own; at != nullptr; at = at->more) {
    detail::user_line& line = *at->line;
    (at->before != nullptr ? at->before->after : line.first) = at->after;
    (at->after != nullptr ? at->after->before : line.last) = at->before;
    if (at->before != nullptr || at->after == nullptr) continue;
    detail::queued* const next = at->after->message;
    if (--next->waits_for == 0 && next->where == detail::queued::state::waiting) make_ready(next, now_);
  }
}

OUTBOUND_INLINE_ record delivery_queue::record_of(const detail::queued& q) const {
  record r{q.id, lanes_[q.lane].path, q.body, detail::guid_text(q.guid), q.own.line->key};
  for (const detail::link* at = q.own.more; at != nullptr; at = at->more)
    r.user_key.append(1, detail::user_key_separator).append(at->line->key);
  return r;
}

OUTBOUND_INLINE_ result<void> delivery_queue::restore() {
  result<std::vector<record>> all = options_.store->load();
  if (!all) return std::move(all).error();
  std::vector<detail::queued*> by_id;
  for (const record& r : *all) {
    if (r.id < next_id_ || r.id == UINT64_MAX)
      return outbound::error{errc::store_failed, 0, "its records do not come by rising id", {}};
    next_id_ = r.id + 1;
    if (detail::is_batch_record(r)) continue;
    detail::unposted made{lines_};
    const char* missing = nullptr;
    if (!detail::read_guid(r.guid, made.q->guid)) missing = " has no GUID";
    else if (!detail::is_path(r.path)) missing = " has no path of the API";
    if (missing != nullptr)
      return outbound::error{errc::store_failed, 0, detail::join({"record ", detail::digits_of{r.id}, missing}), {}};
    fill(*made.q, r.path, r.body, r.user_key);
    made.q->id = r.id;
    by_id.push_back(made.q);
    enqueue(std::exchange(made.q, nullptr));
  }
  for (const record& r : *all)
    if (detail::is_batch_record(r)) restore_batch(r, by_id);
  for (detail::queued* q : by_id) q->alone = true;  // it may have been sent so: another body needs another GUID
  forget();
  return {};
}

// Puts the members of a batch together again. If one is gone, the batch was answered: the others go by themselves.
OUTBOUND_INLINE_ void delivery_queue::restore_batch(const record& r, const std::vector<detail::queued*>& by_id) {
  detail::queued* first = nullptr;
  detail::queued* last = nullptr;
  bool whole = true;
  for (std::string_view rest = r.body; whole && rest.size() > 1;) {
    rest.remove_prefix(1);  // [ or ,
    std::uint64_t id = 0;
    for (; !rest.empty() && rest[0] >= '0' && rest[0] <= '9'; rest.remove_prefix(1))
      id = id * 10 + static_cast<unsigned>(rest[0] - '0');
    detail::queued* const q = detail::find_by_id(by_id, id);
    whole = q != nullptr && (first == nullptr ? q->where == detail::queued::state::ready : may_join(*first, *last, *q));
    if (!whole) break;
    if (first == nullptr) first = q;
    else join_batch(*last, *q);
    last = q;
  }
  if (whole && last != first) {
    first->batch_record = r.id;
    return;
  }
  if (first != nullptr) dissolve(first);
  answered_.push_back(r.id);
}

// --- taking what is due

OUTBOUND_INLINE_ delivery delivery_queue::next(instant now) noexcept {
  observe(now);
  expire();
  delivery d = detail::guarded([this] { return take(); }, [](const char*) { return delivery{}; });
  forget();
  tell();
  return d;
}

OUTBOUND_INLINE_ delivery delivery_queue::take() {
  detail::lane* const from = choose();
  if (from == nullptr) return {};
  detail::queued* const first = from->ready.top();
  const bool may_batch = options_.batch_size > 1 && now_ >= from->batches_from;
  if (may_batch && answered_.empty() && first->batch == nullptr) gather(*from, first);
  delivery d = describe(*from, *first);
  if (first->batch != nullptr && first->batch_record == 0 && options_.store != nullptr && !fix_batch(d, first)) {
    dissolve(first);
    d = describe(*from, *first);
  }
  from->ready.erase(first);
  first->where = detail::queued::state::taken;
  const std::size_t n = detail::count_members(first);
  stats_.queued -= n;
  stats_.in_flight += n;
  ++stats_.attempts;
  ++calls_;
  ++from->calls;
  for (detail::queued* q = first; q != nullptr; q = q->batch) ++q->attempts;
  d.attempt = first->attempts;
  d.ticket_ = first;
  return d;
}

// The path whose first message is due first, if anything may leave now.
OUTBOUND_INLINE_ detail::lane* delivery_queue::choose() noexcept {
  if (now_ < not_before_ || calls_ >= window_ || (hold_.held && now_ < hold_.probe_at)) return nullptr;
  detail::lane* best = nullptr;
  for (detail::lane& l : lanes_) {
    if (l.ready.empty() || l.ready.top()->due > now_) continue;
    if (l.hold.held && (l.calls != 0 || now_ < l.hold.probe_at)) continue;
    if (best == nullptr || detail::is_sooner(l.ready.top(), best->ready.top())) best = &l;
  }
  return best;
}

// Chains messages to `first` that are due as well: the next ones of the same user, then those of others.
OUTBOUND_INLINE_ void delivery_queue::gather(detail::lane& from, detail::queued* first) noexcept {
  const std::size_t most = options_.batch_size < batch::capacity ? options_.batch_size : batch::capacity;
  std::size_t bytes = first->body.size() + 2;
  from.ready.erase(first);
  detail::queued* last = first;
  for (std::size_t n = 1; n < most; ++n) {
    detail::queued* q = last->own.after != nullptr ? last->own.after->message : nullptr;
    if (q == nullptr || !may_join(*first, *last, *q)) q = from.ready.empty() ? nullptr : from.ready.top();
    if (q == nullptr || !may_join(*first, *last, *q) || q->due > now_) break;
    bytes += q->body.size() + 1;
    if (bytes > detail::max_batch_body) break;
    join_batch(*last, *q);
    last = q;
  }
  make_ready(first, first->due);
}

// May q be the next member, behind `last`? Not what was tried before: its GUID has other bytes.
OUTBOUND_INLINE_ bool delivery_queue::may_join(const detail::queued& first, const detail::queued& last,
                                               const detail::queued& q) noexcept {
  const bool next_of_user = q.own.before != nullptr && q.own.before->message == &last;
  return q.lane == first.lane && !first.alone && !q.alone && first.attempts == 0 && q.attempts == 0 &&
         first.own.more == nullptr && q.own.more == nullptr && !q.is_fixed() &&
         (q.where == detail::queued::state::ready || next_of_user);
}

OUTBOUND_INLINE_ void delivery_queue::join_batch(detail::queued& last, detail::queued& q) noexcept {
  if (q.where == detail::queued::state::ready) lanes_[q.lane].ready.erase(&q);
  q.where = detail::queued::state::taken;
  last.batch = &q;
}

OUTBOUND_INLINE_ delivery delivery_queue::describe(const detail::lane& from, const detail::queued& first) const {
  record r = record_of(first);
  delivery d;
  d.path = std::move(r.path);
  d.body = std::move(r.body);
  d.guid = std::move(r.guid);
  d.user_key = std::move(r.user_key);
  if (first.batch == nullptr) return d;
  d.path = detail::join({from.path, detail::batch_suffix});
  d.body.insert(0, 1, '[');
  for (const detail::queued* q = first.batch; q != nullptr; q = q->batch) d.body.append(1, ',').append(q->body);
  d.body += ']';
  return d;
}

// Makes the batch outlive the process before it is sent the first time.
OUTBOUND_INLINE_ bool delivery_queue::fix_batch(const delivery& d, detail::queued* first) {
  const record r{next_id_, d.path, detail::batch_record_body(first), d.guid, d.user_key};
  const result<void> kept = detail::store_call([&] { return options_.store->append(r); });
  if (kept) first->batch_record = next_id_++;
  else note(event::kind::store_failed, loss::none, nullptr, kept.error());
  return static_cast<bool>(kept);
}

// The members go by themselves from now on.
OUTBOUND_INLINE_ void delivery_queue::dissolve(detail::queued* first) noexcept {
  first->alone = true;
  for (detail::queued* q = std::exchange(first->batch, nullptr); q != nullptr;) {
    detail::queued* const next = std::exchange(q->batch, nullptr);
    q->alone = true;
    make_ready(q, now_);
    q = next;
  }
  if (first->batch_record != 0) answered_.push_back(std::exchange(first->batch_record, 0));
}

// --- judging what came back

OUTBOUND_INLINE_ void delivery_queue::report(delivery&& d, const result<response>& answer, instant now) noexcept {
  detail::queued* const first = std::exchange(d.ticket_, nullptr);
  if (first == nullptr) return;
  observe(now);
  const std::size_t n = detail::count_members(first);
  stats_.in_flight -= n;
  stats_.queued += n;
  --calls_;
  --lanes_[first->lane].calls;
  outbound::error cause{detail::code_of(answer), detail::status_of(answer), {}, {}};
  if (options_.on_event && cause.code != errc{}) {
    const auto text = [&]() -> std::string {
      return answer ? interpret(*answer).error().message : answer.error().message;
    };
    cause.message = detail::guarded(text, [](const char*) { return std::string{}; });
  }
  for (detail::queued* q = first; q != nullptr; q = q->batch) {
    q->code = cause.code;
    q->status = cause.status;
  }
  if (answer && (cause.code == errc::throttled || cause.code == errc::unavailable)) obey_retry_after(*answer);
  judge(first, cause);
  expire();
  forget();
  tell();
}

OUTBOUND_INLINE_ void delivery_queue::obey_retry_after(const response& r) noexcept {
  const std::string* const value = find_header(r.headers, "Retry-After");
  const std::int64_t seconds = value != nullptr ? detail::retry_after_seconds(*value, unix_now_) : 0;
  const std::int64_t most = detail::longest_retry_after;
  const std::int64_t until = now_ + (seconds < most / detail::one_second ? seconds * detail::one_second : most);
  if (until > not_before_) not_before_ = until;
}

OUTBOUND_INLINE_ void delivery_queue::judge(detail::queued* first, const outbound::error& cause) noexcept {
  detail::lane& l = lanes_[first->lane];
  const bool is_batch = first->batch != nullptr;
  if (detail::is_transient(cause.code)) return judge_transient(first, cause);
  if (detail::is_setup(cause.code)) return judge_setup(first, cause);
  welcome();
  reopen(l.hold);
  if (cause.code == errc{}) {
    budget_at_ -= detail::budget_interval;
    return settle_all(first, event::kind::delivered, loss::none, cause);
  }
  if (cause.code == errc::malformed_json) {
    if (++first->server_errors < options_.retry.max_attempts) return retry(first, cause);
    if (!is_batch) return settle(first, event::kind::failed, loss::exhausted, cause);
  }
  if (is_batch && (cause.code == errc::malformed_json || cause.code == errc::invalid_field)) {  // who is it?
    note(event::kind::retrying, loss::none, first, cause);
    dissolve(first);
    first->server_errors = 0;
    return make_ready(first, now_);
  }
  settle_all(first, event::kind::failed, cause.code == errc::invalid_field ? loss::refused : loss::unexpected, cause);
}

// The answers that end only with the message's age. After some in a row the whole queue waits, and one message probes.
OUTBOUND_INLINE_ void delivery_queue::judge_transient(detail::queued* first, const outbound::error& cause) noexcept {
  if (++failures_in_a_row_ >= detail::outage || hold_.held) hold(hold_, first, cause);
  if (lanes_[first->lane].hold.held) hold(lanes_[first->lane].hold, first, cause);
  const bool is_track = detail::begins_with(lanes_[first->lane].path, detail::api::track_path);
  if (is_track && !options_.retry.retry_ambiguous && detail::may_be_processed(cause))
    return settle_all(first, event::kind::failed, loss::ambiguous, cause);
  retry(first, cause);
}

// The set-up is wrong, not the message: it waits, with all others or with those of its path, and does not age.
OUTBOUND_INLINE_ void delivery_queue::judge_setup(detail::queued* first, const outbound::error& cause) noexcept {
  detail::lane& l = lanes_[first->lane];
  if (!detail::is_about_path(cause)) {
    if (!setup_is_wrong_) reopen(hold_);  // another reason is news, after an outage
    setup_is_wrong_ = true;
    hold(hold_, first, cause);
  } else if (first->batch != nullptr) {  // this server takes no batches, or not now
    welcome();
    l.batches_from = now_ + detail::batch_pause;
    note(event::kind::retrying, loss::none, first, cause);
    dissolve(first);
  } else {
    welcome();
    hold(l.hold, first, cause);
  }
  run_clock();
  make_ready(first, now_);
}

OUTBOUND_INLINE_ void delivery_queue::hold(detail::gate& g, detail::queued* first,
                                           const outbound::error& cause) noexcept {
  const bool is_probe = (&g == &hold_ ? calls_ : lanes_[first->lane].calls) == 0;
  if (g.held && !is_probe) return;  // it was on its way already
  g.probe_at = now_ + jitter(g.failures++);
  if (&g == &hold_) window_ = 1;
  if (std::exchange(g.held, true)) return;
  note(event::kind::held, loss::none, first, cause);
}

// The API is there. After a hold the queue opens by one call more for each good answer, so that a backlog does not run
// down who has just got up.
OUTBOUND_INLINE_ void delivery_queue::welcome() noexcept {
  failures_in_a_row_ = 0;
  if (window_ != detail::unlimited) ++window_;
  setup_is_wrong_ = false;
  reopen(hold_);
}

OUTBOUND_INLINE_ void delivery_queue::reopen(detail::gate& g) noexcept {
  if (!g.held) return;
  g = {};
  run_clock();
  note(event::kind::resumed, loss::none, nullptr, {});
}

OUTBOUND_INLINE_ void delivery_queue::run_clock() noexcept {
  bool held = setup_is_wrong_;
  for (const detail::lane& l : lanes_) held = held || (l.hold.held && l.count != 0);
  clock_ = {clock_.at(now_), now_, !held};
}

OUTBOUND_INLINE_ std::int64_t delivery_queue::jitter(unsigned failures) noexcept {
  random_ += detail::golden;  // SplitMix64: Steele, Lea, Flood (2014)
  std::uint64_t x = random_;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  const std::uint64_t ceiling = static_cast<std::uint64_t>(detail::backoff_ceiling(options_.retry, failures));
  return static_cast<std::int64_t>((x ^ x >> 31) % (ceiling + 1));
}

// Tries it again after its backoff, and not before the budget of all retries allows one more.
OUTBOUND_INLINE_ void delivery_queue::retry(detail::queued* first, const outbound::error& cause) noexcept {
  const detail::queued* youngest = first;
  for (const detail::queued* q = first->batch; q != nullptr; q = q->batch)
    if (q->id > youngest->id) youngest = q;
  if (age(*youngest) >= detail::clamped(options_.retry.max_age))
    return settle_all(first, event::kind::failed, loss::expired, cause);
  const std::int64_t full = now_ - options_.retry.budget * detail::budget_interval;
  budget_at_ = (budget_at_ > full ? budget_at_ : full) + detail::budget_interval;
  const std::int64_t due = now_ + jitter(first->failures++);
  make_ready(first, due > budget_at_ ? due : budget_at_);
  note(event::kind::retrying, loss::none, first, cause);
}

// --- what leaves the queue

OUTBOUND_INLINE_ std::int64_t delivery_queue::age(const detail::queued& q) const noexcept {
  return clock_.at(now_) - q.accepted;
}

OUTBOUND_INLINE_ void delivery_queue::expire() noexcept {
  const std::int64_t most = detail::clamped(options_.retry.max_age);
  for (detail::lane& l : lanes_) {
    for (detail::queued* q = l.oldest; q != nullptr && age(*q) >= most;) {
      detail::queued* const next = q->after;
      if (!q->is_fixed()) settle(q, event::kind::failed, loss::expired, {q->code, q->status, {}, {}});
      q = next;
    }
  }
}

OUTBOUND_INLINE_ bool delivery_queue::drop_oldest(loss why) noexcept {
  detail::queued* oldest = nullptr;
  for (const detail::lane& l : lanes_) {
    detail::queued* q = l.oldest;
    while (q != nullptr && q->is_fixed()) q = q->after;
    if (q != nullptr && (oldest == nullptr || q->id < oldest->id)) oldest = q;
  }
  if (oldest != nullptr) settle(oldest, event::kind::dropped, why, {});
  return oldest != nullptr;
}

OUTBOUND_INLINE_ void delivery_queue::abandon() noexcept {
  if (options_.store != nullptr) {
    forget_at_ = 0;  // there is no later
    forget();
    return tell();
  }
  for (detail::lane& l : lanes_)
    for (detail::queued* q = l.oldest; q != nullptr; q = q->after)
      if (q->where == detail::queued::state::ready && q->batch != nullptr) dissolve(q);
  while (drop_oldest(loss::closed)) {
  }
  tell();
}

OUTBOUND_INLINE_ void delivery_queue::settle(detail::queued* q, event::kind what, loss why,
                                             const outbound::error& cause) noexcept {
  unlink(q);
  if (what == event::kind::delivered) ++stats_.delivered;
  else if (what == event::kind::dropped) ++stats_.dropped;
  else ++stats_.failed;
  if (why != loss::none) ++stats_.losses[static_cast<std::size_t>(why)];
  if (options_.store != nullptr) answered_.push_back(q->id);
  note(what, why, q, cause);
  detail::discard(q, lines_);
}

OUTBOUND_INLINE_ void delivery_queue::settle_all(detail::queued* first, event::kind what, loss why,
                                                 const outbound::error& cause) noexcept {
  if (first->batch_record != 0) answered_.push_back(first->batch_record);
  while (first != nullptr) settle(std::exchange(first, first->batch), what, why, cause);
}

// Tells the store what is done with. What it cannot remove now, it is asked to remove a second later.
OUTBOUND_INLINE_ void delivery_queue::forget() noexcept {
  if (answered_.empty() || now_ < forget_at_) return;
  const result<void> removed = detail::store_call([this] { return options_.store->remove(answered_); });
  if (removed) return answered_.clear();
  forget_at_ = now_ + detail::one_second;
  note(event::kind::store_failed, loss::none, nullptr, removed.error());
}

OUTBOUND_INLINE_ void delivery_queue::note(event::kind what, loss why, const detail::queued* q,
                                           const outbound::error& cause) noexcept {
  if (!options_.on_event) return;
  const auto add = [&] {
    event e;
    e.what = what;
    e.why = why;
    e.cause = cause;
    if (cause.code != errc{} && cause.message.empty()) e.cause.message = detail::describe(cause.code);
    e.number = ++event_number_;
    if (q != nullptr) {
      e.message = record_of(*q);
      e.attempts = q->attempts;
      e.age = std::chrono::milliseconds{age(*q)};
    }
    events_.push_back(std::move(e));
  };
  detail::guarded(add, [](const char*) {});
}

// Calls the hook when everything else is done: it may call the queue. What comes of that is told by the same loop.
OUTBOUND_INLINE_ void delivery_queue::tell() noexcept {
  if (std::exchange(telling_, true)) return;
  while (!events_.empty()) {
    std::vector<event> told;
    told.swap(events_);
    for (const event& e : told) detail::guarded([&] { options_.on_event(e); }, [](const char*) {});
  }
  telling_ = false;
}

// When a request may leave; no_time: not before the next post or report.
OUTBOUND_INLINE_ std::int64_t delivery_queue::next_call() const noexcept {
  const auto later = [](std::int64_t a, std::int64_t b) { return a > b ? a : b; };
  const std::int64_t gate = later(not_before_, hold_.held ? hold_.probe_at : 0);
  std::int64_t first = detail::no_time;
  if (calls_ >= window_) return first;
  for (const detail::lane& l : lanes_) {
    if (l.ready.empty() || (l.hold.held && l.calls != 0)) continue;
    const std::int64_t t = later(later(gate, l.hold.held ? l.hold.probe_at : 0), l.ready.top()->due);
    if (t < first) first = t;
  }
  return first;
}

OUTBOUND_INLINE_ std::chrono::steady_clock::time_point delivery_queue::due() const noexcept {
  const std::int64_t most = detail::clamped(options_.retry.max_age);
  std::int64_t first = next_call();
  if (!answered_.empty() && forget_at_ < first) first = forget_at_;
  for (const detail::lane& l : lanes_) {
    const detail::queued* q = l.oldest;
    while (q != nullptr && q->is_fixed()) q = q->after;
    const bool expires = q != nullptr && (clock_.running || age(*q) >= most);
    if (expires && now_ + most - age(*q) < first) first = now_ + most - age(*q);
  }
  constexpr std::chrono::steady_clock::time_point end = (std::chrono::steady_clock::time_point::max)();
  const auto last = std::chrono::duration_cast<std::chrono::milliseconds>(end.time_since_epoch()).count();
  if (first == detail::no_time || origin_ + first > last) return end;
  return std::chrono::steady_clock::time_point{std::chrono::milliseconds{origin_ + first}};
}

#ifndef OUTBOUND_NO_THREADS
// >>outbox: implementation --------------------------------------------------------------------------------------------

namespace detail {

inline constexpr std::chrono::hours longest_wait{24};  // some standard libraries compute with longer ones wrongly

// What an outbox, its threads and the callers of its functions share. The last of them to leave deletes it.
struct core {
  // A thread in code of the user's that was called from here, without the lock.
  class outside {
   public:
    outside(core& c, std::unique_lock<std::mutex>& held, bool delivers, bool tells) noexcept;
    outside(const outside&) = delete;
    outside& operator=(const outside&) = delete;
    ~outside();

    core& owner;
    std::unique_lock<std::mutex>& lock;
    std::thread::id thread{std::this_thread::get_id()};
    bool is_worker;
    bool is_telling;  // in the hook, not in a transport
    bool waits{};     // for messages, in `flush` or `close`
    bool closing{};   // waits for calls to end, in `close`
    outside* next;
  };

  // The time that one of the outbox's functions takes: this lives on until its end, whatever a callback does.
  class visit {
   public:
    explicit visit(core& c) noexcept : owner{c}, lock{c.guard} { ++c.holders; }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() { owner.leave(lock); }

    core& owner;
    std::unique_lock<std::mutex> lock;
  };

  std::mutex guard{};
  std::condition_variable work{};  // there may be something to deliver
  std::condition_variable idle{};  // something has ended
  outbound::client client;
  outbox_options options;
  delivery_queue queue;
  std::vector<event> events{};
  std::vector<transport> transports{};
  std::vector<std::thread> threads{};
  outbound::error setup{};  // code 0: none
  outside* calls{};
  std::size_t holders{1};
  int process{};
  bool pumping{};   // a caller delivers, since there is no worker
  bool stopping{};  // no worker begins anything
  bool orphaned{};  // the outbox is gone

  core(outbound::client&& c, outbox_options&& o);
  queue_options hooked();
  void start() noexcept;
  void leave(std::unique_lock<std::mutex>& lock) noexcept;
  bool forked() const noexcept { return options.process_id != nullptr && options.process_id() != process; }

  instant now() const noexcept;
  void rest(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
            std::chrono::steady_clock::time_point until) noexcept;
  void run(std::size_t i) noexcept;
  bool step(std::unique_lock<std::mutex>& lock, transport& how) noexcept;
  result<response> call(std::unique_lock<std::mutex>& lock, const delivery& d, transport& how) noexcept;
  void tell(std::unique_lock<std::mutex>& lock, bool delivers) noexcept;

  remaining left() const noexcept { return {queue.stats().queued, queue.stats().in_flight}; }
  bool is_here(const outside* o) const noexcept { return o->thread == std::this_thread::get_id(); }
  bool within() const noexcept;
  void mark(bool outside::*what, bool yes) noexcept;
  bool others_work() const noexcept;
  bool others_run(bool inner) const noexcept;
  bool has_free_worker() const noexcept;
  void drain(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout) noexcept;
  remaining finish(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout) noexcept;
};

inline core::outside::outside(core& c, std::unique_lock<std::mutex>& held, bool delivers, bool tells) noexcept
    : owner{c}, lock{held}, is_worker{delivers}, is_telling{tells}, next{c.calls} {
  c.calls = this;
  lock.unlock();
}

inline core::outside::~outside() {
  lock.lock();
  outside** at = &owner.calls;
  while (*at != this) at = &(*at)->next;
  *at = next;
  owner.idle.notify_all();
}

// Differs for each outbox of a process.
inline std::uint64_t next_outbox() noexcept {
  static std::mutex& guard = *new std::mutex;  // never destroyed: an outbox may be made at exit
  static std::uint64_t count = 0;
  const std::lock_guard<std::mutex> lock{guard};
  return ++count;
}

inline core::core(outbound::client&& c, outbox_options&& o)
    : client{std::move(c)}, options{std::move(o)}, queue{hooked()} {
  if (options.process_id != nullptr) process = options.process_id();
  transports.reserve(options.workers + 1);
  threads.reserve(options.workers);
  if (!options.make_transport) transports.push_back(std::move(client.transport_));
  if (!options.make_transport && options.workers > 1)
    setup = {
        errc::invalid_options, 0, "several workers need options.make_transport: each has a transport of its own", {}};
}

// The queue's options: its events come here, and its seed is that of this outbox.
inline queue_options core::hooked() {
  queue_options o = options;
  if (o.on_event) o.on_event = [this](const event& e) { events.push_back(e); };
  const std::uint64_t number = mixed(next_outbox() ^ golden, reinterpret_cast<std::uintptr_t>(this) + silver);
  std::uint64_t clock = 0;
  if (o.seed.high == 0 && o.seed.low == 0) {  // no randomness was given
    const instant t = now();
    clock = mixed(static_cast<std::uint64_t>(t.steady.time_since_epoch().count()) ^ golden,
                  static_cast<std::uint64_t>(t.system.time_since_epoch().count()) ^ silver);
  }
  o.seed.high ^= number ^ hash(client.key_, silver);
  o.seed.low ^= clock ^ mixed(number, silver);
  return o;
}

inline void core::start() noexcept {
  std::unique_lock<std::mutex> lock{guard};
  const std::size_t wanted = setup.code == errc{} ? options.workers : 0;
  const auto failed = [this](const char* what) {
    const auto note = [&] {
      const std::string why = join({"a worker could not be started: ", excerpt(redacted(what, client.key_))});
      queue.note(event::kind::worker_failed, loss::none, nullptr, {errc::out_of_memory, 0, why, {}});
    };
    guarded(note, [](const char*) {});
  };
  const std::size_t made = !options.make_transport ? 0 : wanted == 0 ? 1 : wanted;
  for (std::size_t i = 0; i < made; ++i) guarded([this] { transports.push_back(options.make_transport()); }, failed);
  for (std::size_t i = 0; i < wanted && i < transports.size(); ++i) {
    ++holders;
    guarded([this, i] { threads.emplace_back([this, i] { run(i); }); },
            [&](const char* what) {
              --holders;
              failed(what);
            });
  }
  queue.tell();
  tell(lock, false);
}

// Gives up a hold on this, and the lock.
inline void core::leave(std::unique_lock<std::mutex>& lock) noexcept {
  const bool is_last = --holders == 0;
  lock.unlock();
  if (is_last) delete this;
}

inline instant core::now() const noexcept {
  const auto real = [] { return instant{std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; };
  if (!options.now) return real();
  return guarded([this] { return options.now(); }, [&](const char*) { return real(); });
}

inline void core::rest(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                       std::chrono::steady_clock::time_point until) noexcept {
  using std::chrono::milliseconds;
  const std::chrono::steady_clock::time_point t = now().steady;
  const milliseconds shortest{1};
  milliseconds longest = shortest;
  if (until > t + longest_wait) longest = longest_wait;
  else if (until > t + shortest) longest = std::chrono::ceil<milliseconds>(until - t);
  const auto real = [&] { changed.wait_for(lock, longest); };
  const auto failed = [&](const char*) {
    if (!lock.owns_lock()) lock.lock();
    longest = shortest;  // it may have missed a notification
    real();
  };
  if (!options.wait) return real();
  guarded([&] { options.wait(changed, lock, longest); }, failed);
}

// A worker's life.
inline void core::run(std::size_t i) noexcept {
  std::unique_lock<std::mutex> lock{guard};
  while (!stopping)
    if (!step(lock, transports[i]) && !stopping) rest(lock, work, queue.due());
  leave(lock);
}

// Makes the request that is due, if one is.
inline bool core::step(std::unique_lock<std::mutex>& lock, transport& how) noexcept {
  delivery d = queue.next(now());
  const bool is_due = static_cast<bool>(d);
  if (is_due) {
    if (queue.due() != (std::chrono::steady_clock::time_point::max)()) work.notify_one();  // to take, or to watch time
    const result<response> answer = call(lock, d, how);
    if (orphaned) return false;
    queue.report(std::move(d), answer, now());
    if (!events.empty()) work.notify_one();  // for what is due since: what is told may take long
  }
  idle.notify_all();  // also of what has expired
  tell(lock, true);
  return is_due;
}

inline result<response> core::call(std::unique_lock<std::mutex>& lock, const delivery& d, transport& how) noexcept {
  const outside here{*this, lock, true, false};
  const auto work_outside = [&]() -> result<response> {
    const result<request> r = client.prepare(d);
    if (!r) return r.error();
    return client.exchange(how, *r);
  };
  return guarded(work_outside, out_of_memory);
}

// Calls the hook, without the lock. What comes of a call from the hook is told by the loop that called it, or by that
// of another thread, but for the last words of a destructor, which no loop outlives.
inline void core::tell(std::unique_lock<std::mutex>& lock, bool delivers) noexcept {
  for (const outside* o = calls; o != nullptr && !stopping; o = o->next)
    if (is_here(o) && o->is_telling) return;
  while (!events.empty() && !orphaned) {
    std::vector<event> told;
    told.swap(events);
    const outside here{*this, lock, delivers, true};
    for (std::size_t i = 0; i < told.size() && !orphaned; ++i)
      guarded([&] { options.on_event(told[i]); }, [](const char*) {});
  }
}

inline bool core::within() const noexcept {
  for (const outside* o = calls; o != nullptr; o = o->next)
    if (is_here(o)) return true;
  return false;
}

// Says what the calls of this thread wait for.
inline void core::mark(bool outside::*what, bool yes) noexcept {
  for (outside* o = calls; o != nullptr; o = o->next)
    if (is_here(o)) o->*what = yes;
  idle.notify_all();
}

// May a call of another thread lead to an answer?
inline bool core::others_work() const noexcept {
  for (const outside* o = calls; o != nullptr; o = o->next)
    if (!is_here(o) && !o->waits) return true;
  return false;
}

// Must `close` wait? Callbacks that close at the same time do not wait for each other.
inline bool core::others_run(bool inner) const noexcept {
  for (const outside* o = calls; o != nullptr; o = o->next)
    if (!is_here(o) && !(inner && o->closing)) return true;
  return false;
}

// Is there one who delivers and does not wait itself?
inline bool core::has_free_worker() const noexcept {
  std::size_t waiting = 0;
  for (const outside* o = calls; o != nullptr; o = o->next) waiting += o->is_worker && o->waits;
  return waiting < threads.size() + pumping;
}

// Waits until nothing is left, or as long as that helps. Without workers, the caller does their work.
inline void core::drain(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout) noexcept {
  const std::chrono::steady_clock::time_point deadline = now().steady + timeout;
  const bool inner = within();
  mark(&outside::waits, true);
  while (!stopping && now().steady < deadline) {
    const remaining r = left();
    if (r || (inner && !others_work() && queue.next_call() == no_time)) break;
    if (has_free_worker()) {
      rest(lock, idle, deadline);
    } else if (inner || transports.empty()) {
      break;
    } else {
      pumping = true;
      const bool is_due = step(lock, transports.front());
      const std::chrono::steady_clock::time_point due = queue.due();
      if (!is_due && !stopping) rest(lock, work, due < deadline ? due : deadline);
      pumping = false;
    }
  }
  mark(&outside::waits, false);
}

inline remaining core::finish(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout) noexcept {
  queue.close();
  drain(lock, timeout);
  stopping = true;
  work.notify_all();
  const bool inner = within();
  mark(&outside::closing, true);
  while (others_run(inner)) rest(lock, idle, (std::chrono::steady_clock::time_point::max)());
  mark(&outside::closing, false);
  return left();
}

}  // namespace detail

OUTBOUND_INLINE_ outbox::outbox(client c, outbox_options o) noexcept {
  core_ = detail::guarded([&] { return new detail::core(std::move(c), std::move(o)); },
                          [](const char*) -> detail::core* { return nullptr; });
  if (core_ != nullptr) core_->start();
}

OUTBOUND_INLINE_ outbox::~outbox() {
  if (core_ == nullptr || core_->forked()) return;  // after a fork there is no thread, and perhaps a locked lock
  detail::core& c = *core_;
  std::unique_lock<std::mutex> lock{c.guard};
  c.finish(lock, detail::saturated(c.options.close_timeout));
  c.mark(&detail::core::outside::closing, true);  // for good: a callback that closes does not wait for this one
  c.queue.abandon();
  c.tell(lock, false);
  c.orphaned = true;
  std::vector<std::thread> threads;
  threads.swap(c.threads);
  lock.unlock();
  for (std::thread& t : threads) {
    if (t.get_id() == std::this_thread::get_id()) t.detach();
    else t.join();
  }
  lock.lock();
  c.leave(lock);
}

OUTBOUND_INLINE_ result<void> outbox::post(const message& m) noexcept {
  if (core_ == nullptr) return detail::out_of_memory(nullptr);
  detail::core& c = *core_;
  const auto work = [&]() -> result<void> {
    if (c.forked()) return outbound::error{errc::closed, 0, "the process was forked: this outbox is its parent's", {}};
    if (c.setup.code != errc{}) return c.setup;
    result<void> good = c.client.validate(m);
    if (!good) return good;
    detail::core::visit here{c};
    if (c.stopping) return outbound::error{errc::closed, 0, detail::describe(errc::closed), {}};
    result<void> accepted = c.queue.post(m, c.now());
    c.work.notify_one();
    c.tell(here.lock, false);
    return accepted;
  };
  return detail::guarded(work, detail::out_of_memory);
}

OUTBOUND_INLINE_ remaining outbox::flush_for(std::chrono::milliseconds timeout) noexcept {
  if (core_ == nullptr || core_->forked()) return {};
  detail::core::visit here{*core_};
  here.owner.drain(here.lock, timeout);
  return here.owner.left();
}

OUTBOUND_INLINE_ remaining outbox::close_for(std::chrono::milliseconds timeout) noexcept {
  if (core_ == nullptr || core_->forked()) return {};
  detail::core::visit here{*core_};
  return here.owner.finish(here.lock, timeout);
}

OUTBOUND_INLINE_ delivery_stats outbox::stats() const noexcept {
  if (core_ == nullptr || core_->forked()) return {};
  const std::lock_guard<std::mutex> lock{core_->guard};
  return core_->queue.stats();
}

OUTBOUND_INLINE_ std::size_t outbox::workers() const noexcept {
  if (core_ == nullptr || core_->forked()) return 0;
  const std::lock_guard<std::mutex> lock{core_->guard};
  return core_->threads.size();
}
#endif  // OUTBOUND_NO_THREADS

#endif  // not OUTBOUND_SEPARATE, or OUTBOUND_IMPLEMENTATION

}  // namespace v1_0_0
}  // namespace outbound

// >>end ---------------------------------------------------------------------------------------------------------------

#undef OUTBOUND_LIFETIMEBOUND_
#undef OUTBOUND_COLD_
#undef OUTBOUND_INLINE_
#undef OUTBOUND_NOINLINE_

#endif  // OUTBOUND_HPP

// MIT License
//
// Copyright (c) 2026 The outbound.hpp authors
//
// Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
// documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
// rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
// permit persons to whom the Software is furnished to do so, subject to the following conditions:
//
// The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
// Software.
//
// THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
// WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
// COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
// OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
