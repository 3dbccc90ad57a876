"""What a source file pays for a library: compile_cost.py [--runs N] [--boost-root DIR] [COMPILER...]

For a file that includes the library and builds one `track` payload: CPU seconds of the compiler (user + system, the
least of N runs, -O2), lines after the preprocessor (-E -P), and bytes of .text in the object file. The ratios are to
nlohmann's file, compiled in turns with all others by the same compiler.
"""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# The values come from elsewhere, so that nothing is computed while compiling.
DATA = '''
#include <string>
#include <string_view>
#include <vector>
struct item { std::string sku; int qty; };
struct purchase { long long timestamp; std::string resolution; double price; std::vector<item> items; std::string note; };
void use(std::string_view body);
'''

OUTBOUND = '''
#include "outbound.hpp"
''' + DATA + '''
OUTBOUND_FIELDS(item, sku, qty)
void build(long long id, const std::string& event, const purchase& p) {
  const auto m = outbound::user{id}.track(event).properties({{"timestamp", p.timestamp}, {"resolution", p.resolution},
                                                             {"price", p.price}, {"items", p.items}, {"note", p.note}});
  if (m.valid()) use(m.body());
}
'''

RAPIDJSON = '''
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
''' + DATA + '''
void build(long long id, const std::string& event, const purchase& p) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> w{buffer};
  const auto text = [&w](const std::string& s) { w.String(s.data(), static_cast<rapidjson::SizeType>(s.size())); };
  w.StartObject();
  w.Key("user_id"); w.Int64(id);
  w.Key("event"); text(event);
  w.Key("properties");
  w.StartObject();
  w.Key("timestamp"); w.Int64(p.timestamp);
  w.Key("resolution"); text(p.resolution);
  w.Key("price"); w.Double(p.price);
  w.Key("items");
  w.StartArray();
  for (const item& i : p.items) {
    w.StartObject();
    w.Key("sku"); text(i.sku);
    w.Key("qty"); w.Int(i.qty);
    w.EndObject();
  }
  w.EndArray();
  w.Key("note"); text(p.note);
  w.EndObject();
  w.EndObject();
  use({buffer.GetString(), buffer.GetSize()});
}
'''

TREE = '''
void build(long long id, const std::string& event, const purchase& p) {
  %(array)s items;
  for (const item& i : p.items) items.push_back({{"sku", i.sku}, {"qty", i.qty}});
  const %(object)s body{{"user_id", id}, {"event", event},
                        {"properties", {{"timestamp", p.timestamp}, {"resolution", p.resolution}, {"price", p.price},
                                        {"items", std::move(items)}, {"note", p.note}}}};
  use(%(dump)s);
}
'''

NLOHMANN = '#include <nlohmann/json.hpp>\n' + DATA + TREE % {
    'array': 'nlohmann::json', 'object': 'nlohmann::json', 'dump': 'body.dump()'}
BOOST_JSON = '#include <boost/json.hpp>\n' + DATA + TREE % {
    'array': 'boost::json::array', 'object': 'boost::json::object', 'dump': 'boost::json::serialize(body)'}
IMPLEMENTATION = '#define OUTBOUND_IMPLEMENTATION\n#include "outbound.hpp"\n'
NOTHING = DATA + 'void build(const std::string& event) { use(event); }\n'

BASE = 'nlohmann'
FILES = [  # name, source, flags
    ('<string>, <string_view>, <vector> alone', NOTHING, []),
    ('outbound, OUTBOUND_SEPARATE and _NO_THREADS', OUTBOUND, ['-DOUTBOUND_SEPARATE', '-DOUTBOUND_NO_THREADS']),
    ('outbound, OUTBOUND_SEPARATE', OUTBOUND, ['-DOUTBOUND_SEPARATE']),
    ('outbound, its implementation, once', IMPLEMENTATION, ['-DOUTBOUND_SEPARATE']),
    ('outbound, OUTBOUND_NO_THREADS', OUTBOUND, ['-DOUTBOUND_NO_THREADS']),
    ('outbound', OUTBOUND, []),
    ('outbound, included only', '#include "outbound.hpp"\n', []),
    ('RapidJSON Writer', RAPIDJSON, []),
    ('Boost.JSON', BOOST_JSON, []),
    (BASE, NLOHMANN, []),
]


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def text_size(path):
    """Of all sections with code, among them those of inline functions."""
    lines = subprocess.run(['size', '-A', path], check=True, capture_output=True, text=True).stdout.splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith('.text'))


def measure(compiler, folder, runs, boost):
    flags = [compiler, '-std=c++17', '-O2', '-I' + ROOT] + boost
    rows = []
    for i, (name, source, more) in enumerate(FILES):
        path = os.path.join(folder, '%d.cpp' % i)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(source)
        lines = subprocess.run(flags + more + ['-E', '-P', path], capture_output=True, check=False)
        if lines.returncode != 0:
            print('SKIPPED: %s with %s: it is not here' % (name, compiler))
            continue
        rows.append([name, flags + more + ['-c', path, '-o', path + '.o'], path + '.o', len(lines.stdout.splitlines()), []])
    for _ in range(runs):
        for row in rows:
            row[4].append(cpu_seconds(row[1]))
    base = min(next(row[4] for row in rows if row[0] == BASE))
    print('\n| %s -O2 | CPU s | of nlohmann | lines | .text |\n|---|--:|--:|--:|--:|' % compiler)
    for name, _, path, lines, seconds in rows:
        print('| %s | %.2f | %.2f | %s | %s |' % (name, min(seconds), min(seconds) / base, format(lines, ','),
                                                 format(text_size(path), ',')))
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--boost-root', help='a folder with Boost.JSON in usr/include, if it is not installed')
    parser.add_argument('compilers', nargs='*', default=['g++', 'clang++'])
    given = parser.parse_args()
    boost = ['-isystem', os.path.join(given.boost_root, 'usr/include')] if given.boost_root else []
    for compiler in given.compilers:
        if shutil.which(compiler) is None:
            print('SKIPPED: %s is not here' % compiler)
            continue
        with tempfile.TemporaryDirectory() as folder:
            measure(compiler, folder, given.runs, boost)


if __name__ == '__main__':
    main()
