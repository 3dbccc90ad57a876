"""[F24] Misuse does not compile: must_not_compile.py --include DIR -- COMPILER...

Each case is a misuse and its twin, which is as near to it as can be, and compiles. Where a value of a wrong type is
given, the compiler's message must also hold a sentence of ours.
"""
import pathlib
import re
import shutil
import sys

import toolchain
from toolchain import fail

PRELUDE = r'''
#include "outbound.hpp"
#include <any>
#include <chrono>
#include <complex>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>
using namespace outbound;
using system_time = std::chrono::system_clock;
using steady_time = std::chrono::steady_clock;
#ifdef __SIZEOF_INT128__
__extension__ typedef __int128 wide;
#else
struct wide { wide(int) {} };
#endif
enum color { red };
enum class tier { pro = 2 };
struct plain { int x; };
struct fine { int x; };
inline void to_outbound(object& o, const fine& f) { o.set("x", f.x); }
struct worded { int x; };
inline std::string to_outbound(const worded&) { return "words"; }
struct worded_map : std::map<std::string, int> { using map::map; };
inline std::string to_outbound(const worded_map&) { return "words"; }
struct lettered { int x; };
struct made { bool has_value() const { return true; } std::string operator*() const { return "a"; } };
inline char to_outbound(const lettered&) { return 'c'; }
class hidden { int x = 0; friend int look(const hidden& h); };
inline int look(const hidden& h) { return h.x; }
inline int function() { return 1; }
inline response answer(const request&) { return response{200, {}, {}}; }
inline client make() { return client{"key", no_transport}; }
inline const user ada{"ada"};
'''

# What may stand on the right of a key: (misuse, twin).
VALUES = [(bad, good) for bad, good in re.findall(r'^(.*?)\s*;;;\s*(.*)$', r'''
'c'                                         ;;; "c"
L'c'                                        ;;; "c"
u'c'                                        ;;; from_utf16(u"c")
U'c'                                        ;;; static_cast<std::uint32_t>(U'c')
L"wide"                                     ;;; "narrow"
u"sixteen"                                  ;;; from_utf16(u"sixteen")
U"thirty-two"                               ;;; std::string{"eight"}
std::wstring{}                              ;;; std::string{}
std::u16string{}                            ;;; from_utf16(std::u16string{})
std::u32string_view{}                       ;;; std::string_view{}
static_cast<int*>(nullptr)                  ;;; nullptr
static_cast<const void*>(nullptr)           ;;; nullptr
static_cast<const unsigned char*>(nullptr)  ;;; static_cast<const char*>(nullptr)
static_cast<const plain*>(nullptr)          ;;; fine{1}
&ada                                        ;;; "ada"
&function                                   ;;; function()
function                                    ;;; function()
&plain::x                                   ;;; plain{1}.x
[] { return 1; }                            ;;; [] { return 1; }()
std::function<int()>{}                      ;;; std::optional<int>{}
std::byte{1}                                ;;; std::to_integer<int>(std::byte{1})
1.0L                                        ;;; 1.0
wide{1}                                     ;;; std::int64_t{1}
plain{1}                                    ;;; fine{1}
lettered{1}                                 ;;; worded{1}
hidden{}                                    ;;; look(hidden{})
std::filesystem::path{"a"}                  ;;; std::filesystem::path{"a"}.string()
std::complex<double>{}                      ;;; std::complex<double>{}.real()
std::unique_ptr<int>{}                      ;;; std::optional<int>{}
std::make_shared<int>(1)                    ;;; *std::make_shared<int>(1)
std::any{1}                                 ;;; std::any_cast<int>(std::any{1})
std::variant<int, bool>{1}                  ;;; std::get<int>(std::variant<int, bool>{1})
std::pair<std::string, int>{"a", 1}         ;;; std::vector<std::pair<std::string, int>>{{"a", 1}}
std::tuple<int, int>{1, 2}                  ;;; array::of(1, 2)
std::nullopt                                ;;; std::optional<int>{std::nullopt}
made{}                                      ;;; std::optional<std::string>{"a"}
std::optional<char>{'c'}                    ;;; std::optional<std::string>{"c"}
std::optional<int*>{}                       ;;; std::optional<std::optional<int>>{}
std::vector<char>{'c'}                      ;;; std::vector<unsigned char>{1}
std::vector<wchar_t>{}                      ;;; std::vector<int>{}
std::vector<int*>{}                         ;;; std::vector<std::vector<int>>{}
std::vector<std::byte>{}                    ;;; std::vector<std::uint8_t>{}
std::list<plain>{}                          ;;; std::list<fine>{}
std::vector<std::filesystem::path>{}        ;;; std::vector<std::string>{}
std::map<int, int>{}                        ;;; std::map<std::string, int>{}
std::map<std::string, char>{}               ;;; std::map<std::string, std::string>{}
std::map<std::wstring, int>{}               ;;; std::map<std::string_view, int>{}
std::chrono::seconds{1}                     ;;; std::chrono::seconds{1}.count()
steady_time::now()                          ;;; system_time::now()
std::chrono::time_point<system_time, std::chrono::duration<double>>{}  ;;; system_time::time_point{}
ada                                         ;;; "ada"
ada.track("e")                              ;;; json{std::string{ada.track("e").body()}}
response{}                                  ;;; response{}.status
make()                                      ;;; "make()"
'''.strip(), re.MULTILINE)]

# Whole statements: (misuse, twin).
STATEMENTS = [(bad, good) for bad, good in re.findall(r'^(.*?)\s*;;;\s*(.*)$', r'''
object o{{"k", {}}};                        ;;; object o{{"k", object{}}};
object o; o.set("k", {});                   ;;; object o; o.set("k", array{});
object o; o.set(nullptr, 1);                ;;; object o; o.set("k", nullptr);
object o; o.set(1, 1);                      ;;; object o; o.set("1", 1);
object o; o.set(L"k", 1);                   ;;; object o; o.set("k", 1);
object o; o.set('k', 1);                    ;;; object o; o.set("k", 1);
object o{{"k"}};                            ;;; object o{{"k", 1}};
object o{{1, 2}};                           ;;; object o{{"1", 2}};
bool b = object{};                          ;;; bool b = object{}.text().empty();
std::string s = object{};                   ;;; std::string s{object{}.text()};
object o = json{"{}"};                      ;;; object o{{"k", json{"{}"}}};
array a{1, 2};                              ;;; array a = array::of(1, 2);
array a = {1};                              ;;; array a = array::of(1);
array a; a.add("k", 1);                     ;;; array a; a.add(object{{"k", 1}});
array a = array::of('c');                   ;;; array a = array::of("c");
array a; a.add(std::byte{});                ;;; array a; a.add(0);
json j = "[]";                              ;;; json j{"[]"};
json j{nullptr};                            ;;; json j{"null"};
json j{42};                                 ;;; json j{"42"};
value v{1}; value w = v;                    ;;; value v{1}; const value& w = v;
member m{"k", 1}; member n{m};              ;;; member m{"k", 1}; const member& n{m};
value v = 1; std::vector<value> kept; kept.push_back(v);   ;;; array kept; kept.add(1);
user u = "implicit";                        ;;; user u{"explicit"};
user u = 1;                                 ;;; user u{1};
id i{1}; user u = i;                        ;;; id i{1}; user u{i};
user u{true};                               ;;; user u{1};
user u{'c'};                                ;;; user u{"c"};
user u{1.5};                                ;;; user u{15LL};
user u{1.0F};                               ;;; user u{1ULL};
user u{nullptr};                            ;;; const char* p = nullptr; user u{p};
user u{wide{1}};                            ;;; user u{std::int64_t{1}};
user u{L"wide"};                            ;;; user u{"narrow"};
user u{std::optional<int>{1}};              ;;; user u{std::optional<int>{1}.value()};
user u{tier::pro};                          ;;; user u{static_cast<int>(tier::pro)};
user u;                                     ;;; user u{"u"};
user u{"a", "b"};                           ;;; user u{"a"};
auto m = track("event", "id");              ;;; auto m = user{"id"}.track("event");
auto m = track{"event"};                    ;;; auto m = ada.track("event");
identify m;                                 ;;; identify m = ada.identify();
message m{"/v2/track"};                     ;;; message m = ada.track("e");
auto m = ada.track();                       ;;; auto m = ada.track("e");
auto m = ada.track(42);                     ;;; auto m = ada.track("42");
auto m = ada.track(nullptr);                ;;; auto m = ada.track("e");
auto m = ada.track("e", 1);                 ;;; auto m = ada.track("e").property("k", 1);
auto m = ada.track("e").property("k");      ;;; auto m = ada.track("e").property("k", nullptr);
auto m = ada.track("e").property("k", 'c'); ;;; auto m = ada.track("e").property("k", "c");
auto m = ada.track("e").attribute("k", 1);  ;;; auto m = ada.track("e").property("k", 1);
auto m = ada.track("e").at(1700000000);     ;;; auto m = ada.track("e").at(system_time::now());
auto m = ada.track("e").at(steady_time::now());  ;;; auto m = ada.track("e").at(system_time::now());
auto m = ada.identify("x");                 ;;; auto m = ada.identify();
auto m = ada.identify().property("k", 1);   ;;; auto m = ada.identify().attribute("k", 1);
auto m = ada.identify().first_name(42);     ;;; auto m = ada.identify().first_name("42");
auto m = ada.identify().email(nullptr);     ;;; auto m = ada.identify().email(std::optional<std::string>{});
auto m = ada.identify().email(std::optional<int>{});  ;;; auto m = ada.identify().email(std::optional<const char*>{});
auto m = ada.identify().email(made{});      ;;; auto m = ada.identify().email(std::optional<std::string>{"a"});
auto m = ada.identify().email('c');         ;;; auto m = ada.identify().email("c");
auto m = ada.identify().phone_number(14155550123);  ;;; auto m = ada.identify().phone_number("14155550123");
auto m = ada.identify().apns(42);           ;;; auto m = ada.identify().apns("42");
auto m = ada.identify().apns({1, 2});       ;;; auto m = ada.identify().apns({"1", "2"});
auto m = ada.identify().gcm(std::vector<int>{});  ;;; auto m = ada.identify().gcm(std::vector<std::string>{});
auto m = ada.identify().previous_id("old"); ;;; auto m = ada.identify().previous_id(user{"old"});
auto m = ada.identify().group(42);          ;;; auto m = ada.identify().group("42");
auto& m = ada.identify().email("e").attribute("k", 1);  ;;; auto m = ada.identify().email("e").attribute("k", 1);
auto m = ada.register_token("apns", "t");   ;;; auto m = ada.register_token(platform::apns, "t");
auto m = ada.register_token(platform::apns);  ;;; auto m = ada.register_token(platform::apns, "t");
auto m = ada.disable_tokens();              ;;; auto m = ada.disable_tokens(platform::gcm);
auto m = ada.subscribe('c');                ;;; auto m = ada.subscribe("c");
auto m = ada.subscribe(1.5);                ;;; auto m = ada.subscribe(15);
auto m = ada.subscribe({true});             ;;; auto m = ada.subscribe({1});
batch b; (void)b.add(ada.subscribe());      ;;; batch b; (void)b.add(ada.identify());
batch b; (void)b.add(b);                    ;;; batch b; (void)b.add(ada.track("e"));
batch b; b.add(ada.track("e"));             ;;; batch b; (void)b.add(ada.track("e"));
client c = make(); client d = c;            ;;; client c = make(); client d = std::move(c);
client c{"key"};                            ;;; client c{"key", no_transport};
client c{nullptr, no_transport};            ;;; client c{"key", no_transport};
client c{no_transport, "key"};              ;;; client c{"key", no_transport};
client c = make(); c.send(ada.identify());  ;;; client c = make(); (void)c.send(ada.identify());
client c = make(); (void)c.send("text");    ;;; client c = make(); (void)c.send(ada.track("text"));
client c = make(); (void)c.send(object{});  ;;; client c = make(); (void)c.send(ada.track("e").properties(object{}));
const client c = make(); (void)c.send(ada.identify());  ;;; const client c = make(); (void)c.prepare(ada.identify());
bool b = make().send(ada.identify());       ;;; bool b{make().send(ada.identify())};
response r = make().send(ada.identify());   ;;; response r = *make().send(ada.identify());
request r; interpret(r);                    ;;; response r; (void)interpret(r);
errc e = 3;                                 ;;; errc e = errc::not_sent;
int e = errc::not_sent;                     ;;; std::error_code e = errc::not_sent;
std::string s = from_utf16(U"x");           ;;; std::string s = from_utf16(u"x");
text t{nullptr};                            ;;; text t{""};
transport t = no_transport; transport u = t;  ;;; transport t = no_transport; transport u = std::move(t);
'''.strip(), re.MULTILINE)]

# The same with a sentence of ours: what is called with the wrong kind of thing.
EXPLAINED = [(bad, good) for bad, good in re.findall(r'^(.*?)\s*;;;\s*(.*)$', r'''
client c{"k", [](int) { return 3; }};                             ;;; client c{"k", [](const request&) { return response{}; }};
client c{"k", [](const request&) { return 200; }};                ;;; client c{"k", [](const request&) { return response{200, {}, {}}; }};
client c{"k", [](const request&) {}};                             ;;; client c{"k", [](const request&) { return error{}; }};
client c{"k", [](request&) { return response{}; }};               ;;; client c{"k", [](request) { return response{}; }};
client c{"k", 42};                                                ;;; client c{"k", answer};
auto m = ada.identify().attributes(42);                           ;;; auto m = ada.identify().attributes({{"k", 42}});
auto m = ada.identify().attributes("text");                       ;;; auto m = ada.identify().attributes(json{"{}"});
auto m = ada.identify().attributes(array::of(1));                 ;;; auto m = ada.identify().attributes(object{{"k", 1}});
auto m = ada.identify().attributes(std::vector<int>{1});          ;;; auto m = ada.identify().attributes(std::map<std::string, int>{});
auto m = ada.identify().attributes(plain{1});                     ;;; auto m = ada.identify().attributes(fine{1});
auto m = ada.track("e").properties(worded{1});                    ;;; auto m = ada.track("e").properties(fine{1});
auto m = ada.track("e").properties(worded_map{});                 ;;; auto m = ada.track("e").property("k", worded_map{});
auto m = ada.track("e").properties(nullptr);                      ;;; auto m = ada.track("e").properties(object{});
auto m = ada.identify().group("g", 42);                           ;;; auto m = ada.identify().group("g", {{"k", 42}});
'''.strip(), re.MULTILINE)]

# Declarations.
TOP_LEVEL = [(bad, good) for bad, good in re.findall(r'^(.*?)\s*;;;\s*(.*)$', r'''
struct pair { int a, b; }; OUTBOUND_FIELDS(pair, a, a)    ;;; struct pair { int a, b; }; OUTBOUND_FIELDS(pair, a, b)
struct one { int a; }; OUTBOUND_FIELDS(one, b)            ;;; struct one { int a; }; OUTBOUND_FIELDS(one, a)
class own { int a; }; OUTBOUND_FIELDS(own, a)             ;;; class own { public: int a; }; OUTBOUND_FIELDS(own, a)
struct sub : track {};  sub s{"e"};                       ;;; struct sub : track {};
struct letter { char a; }; OUTBOUND_FIELDS(letter, a)     ;;; struct letter { int a; }; OUTBOUND_FIELDS(letter, a)
'''.strip(), re.MULTILINE)]
MANY = ['f%d' % i for i in range(100)]
TOP_LEVEL.append(tuple('struct many { int %s; }; OUTBOUND_FIELDS(many, %s)' % (', '.join(MANY), ', '.join(MANY[:n]))
                       for n in (100, 64)))  # 64 are promised; a few more happen to fit

NAMES = ('o', 'b', 's', 'a', 'j', 'v', 'w', 'm', 'n', 'u', 'c', 'd', 'r', 'e', 't', 'kept')


# gcc finds these ambiguous, clang takes the braces for an empty array.
NOT_REFUSED_BY_CLANG = ('o.set("k", {})',)


def function_around(statements):
    used = [n for n in NAMES if re.search(r'\b%s\b(?=\s*[={;])|\b%s\b\{' % (n, n), statements)]
    return '{ %s %s }' % (statements, ''.join('(void)%s; ' % n for n in used))


def cases():
    """(misuse, twin, must be explained), each as top-level declarations with @ for a number of their own."""
    for bad, good in VALUES:
        yield tuple('void case_@() { const object o{{"k", %s}}; (void)o; }' % v for v in (bad, good)) + (True,)
    for explained, group in ((False, STATEMENTS), (True, EXPLAINED)):
        for bad, good in group:
            yield tuple('void case_@() %s' % function_around(s) for s in (bad, good)) + (explained,)
    for bad, good in TOP_LEVEL:
        yield 'namespace case_@ { %s }' % bad, 'namespace case_@ { %s }' % good, False


def main():
    _, compiler = toolchain.arguments(0)
    flags = ['-fsyntax-only', '-Werror=unused-result']
    all_cases = [(bad.replace('@', str(i)), good.replace('@', str(i)), explained)
                 for i, (bad, good, explained) in enumerate(cases())]
    wrong = []
    with toolchain.scratch() as folder:
        shutil.copy(compiler.header, folder)  # somebody may be editing it
        compiler.include = pathlib.Path(folder).resolve()
        prelude = pathlib.Path(folder) / 'prelude.hpp'
        prelude.write_text(PRELUDE, encoding='utf-8')
        compiler.must(['-x', 'c++-header', prelude, '-o', str(prelude) + ('.pch' if compiler.is_clang else '.gch')],
                      'what all cases include')
        flags += ['-include', prelude]
        together = compiler.output(flags, '\n'.join(good for _, good, _ in all_cases) + '\n')
        if together.returncode != 0:
            for _, good, _ in all_cases:
                alone = compiler.output(flags, good + '\n')
                if alone.returncode != 0:
                    wrong += ['must compile, and does not: ' + good, first_error(alone.stdout)]
            wrong = wrong or ['the twins compile one by one, but not together:', together.stdout]
        for bad, _, explained in all_cases:
            done = compiler.output(flags, bad + '\n')
            if 'fatal error' in done.stdout:
                fail('this test is broken:', done.stdout)
            if done.returncode == 0 and compiler.is_clang and any(part in bad for part in NOT_REFUSED_BY_CLANG):
                print('NOT REFUSED by clang: ' + bad)
            elif done.returncode == 0:
                wrong.append('compiles, and must not: ' + bad)
            elif explained and not re.search(r'error: .*outbound: ', done.stdout):
                wrong += ['is refused without a sentence of ours: ' + bad, first_error(done.stdout)]
    if wrong:
        fail(*wrong)
    print('%d misuses refused, %d of them explained; their twins compile' % (len(all_cases), sum(c[2] for c in all_cases)))


def first_error(output):
    return '    ' + next((line for line in output.splitlines() if 'error' in line), output[:200])


if __name__ == '__main__':
    sys.exit(main())
