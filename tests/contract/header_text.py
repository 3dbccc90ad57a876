"""The promises that outbound.hpp makes as a text: header_text.py CHECK --include DIR -- COMPILER...

CHECK is the name of one of the functions at the end of this file.
"""
import collections
import re
import sys

import toolchain
from toolchain import fail

INCLUDES = ['chrono', 'cstddef', 'cstdint', 'cstring', 'exception', 'initializer_list', 'string', 'string_view',
            'system_error', 'type_traits', 'utility', 'vector']
THREAD_INCLUDES = ['condition_variable', 'mutex', 'thread']  # with the outbox, unless OUTBOUND_NO_THREADS
BANNED = ['algorithm', 'any', 'charconv', 'cmath', 'cstdio', 'cstdlib', 'filesystem', 'fstream', 'functional', 'future',
          'iomanip', 'iostream', 'istream', 'limits', 'list', 'locale', 'map', 'memory', 'optional', 'ostream', 'random',
          'ranges', 'regex', 'set', 'sstream', 'stdexcept', 'tuple', 'unordered_map', 'unordered_set', 'variant']
PUBLIC_MACROS = ['OUTBOUND_FIELDS', 'OUTBOUND_HPP', 'OUTBOUND_VERSION_MAJOR', 'OUTBOUND_VERSION_MINOR',
                 'OUTBOUND_VERSION_PATCH', 'OUTBOUND_VERSION_STRING']
BORDER = 'The reference ends here; the implementation begins.'
LONGEST_FUNCTION = 45  # "at most some 40 lines"

TOKEN = re.compile(r'''
    //[^\n]* | /\*.*?\*/                       # comments
  | R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"         # raw strings
  | "(?:\\.|[^"\\\n])*"                        # strings
  | (?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])*'       # characters, but not digit separators
''', re.VERBOSE | re.DOTALL)


def blanked(text, keep_strings=False):
    """The text with comments (and strings) blanked out; every other character stays at its offset."""
    def blank(match):
        s = match.group()
        if keep_strings and s[0] != '/':
            return s
        inner = re.sub(r'[^\n]', ' ', s)
        return inner if s[0] == '/' else s[0] + inner[1:-1] + s[-1]
    return TOKEN.sub(blank, text)


class Header:
    def __init__(self, path):
        self.raw = path.read_bytes()
        self.text = self.raw.decode('utf-8')
        self.lines = self.text.split('\n')
        self.code = blanked(self.text)
        self.code_lines = self.code.split('\n')
        self.border = next((i for i, line in enumerate(self.lines) if BORDER in line), None)
        if self.border is None:
            fail('outbound.hpp has no border line: ' + BORDER)

    def has_outbox(self):
        return re.search(r'\bclass outbox\b[^;{]*\{', self.code) is not None


def complain(what, found):
    """Fails, naming the places: (line number, text)."""
    if found:
        fail(what + ':', *('  outbound.hpp:%d: %s' % (n, text.strip()) for n, text in found))


def where(header, pattern, text=None):
    text = header.code if text is None else text
    return [(text.count('\n', 0, m.start()) + 1, m.group()) for m in re.finditer(pattern, text, re.MULTILINE)]


def contents(header, _):
    """CONTENTS lists the tags in the order in which they follow, before and after the border."""
    guard = header.text.index('#ifndef OUTBOUND_HPP')
    listed = re.findall(r'>>(\w+)', header.text[header.text.index('CONTENTS\n'):guard])
    if len(listed) < 5:
        fail('CONTENTS lists only %s' % listed)
    tags = [(i, m.group(1), bool(m.group(2))) for i, line in enumerate(header.lines)
            for m in [re.match(r'// >>(\w+)(: implementation)?', line)] if m]
    declared = [t for i, t, implemented in tags if i < header.border and not implemented]
    plain = [t for i, t, implemented in tags if not implemented]
    if plain != listed or plain != declared + ['templates', 'end']:
        fail('CONTENTS and the tags differ:', '  CONTENTS: %s' % listed, '  tags:     %s' % plain)
    behind = [t for i, t, implemented in tags if i > header.border and implemented]
    if behind != [t for t in declared if t in behind] or len(behind) < 5:
        fail('behind the border the order is another: %s' % behind)
    missing = [t for t in declared[declared.index('forward') + 1:] if t not in behind]
    if missing:
        fail('declared, but without an implementation behind the border: %s' % missing)
    if tags[-1][1] != 'end' or any(i < header.border and implemented for i, _, implemented in tags):
        fail('>>end is not last, or an implementation stands before the border')


def style(header, _):
    """Plain lines, no clutter, nothing that reaches into the user's code."""
    if b'\t' in header.raw or b'\r' in header.raw or b'\xef\xbb\xbf' in header.raw:
        fail('outbound.hpp has a tab, a carriage return or a byte order mark')
    if not header.raw.endswith(b'\n') or header.raw.endswith(b'\n\n'):
        fail('outbound.hpp does not end with exactly one line break')
    number_of = enumerate(header.lines, 1)
    complain('longer than 120 columns', [(n, line) for n, line in number_of if len(line) > 120])
    complain('blanks at the end', [(n, line) for n, line in enumerate(header.lines, 1) if line != line.rstrip()])
    complain('not ASCII', [(n, line) for n, line in enumerate(header.lines, 1) if not line.isascii()])
    complain('left to do', where(header, r'.*\b(TODO|FIXME|XXX|HACK)\b.*', header.text))
    complain('suppresses a warning', where(header, r'.*(#\s*pragma|\b_Pragma|__pragma|NOLINT|clang-format off).*', header.text))
    complain('a using directive', where(header, r'^.*\busing\s+namespace\b.*$'))
    complain('a mutable global', where(header, r'^(inline|static|thread_local)\s+(?!const|constexpr|namespace)[\w:<>]+\s+\w+\s*(\{[^()]*\}|=[^()]*)?;'))
    complain('not (std::min)(...)', where(header, r'(?<!\()\bstd::(min|max)\s*\(|::(min|max)\s*\('))


def includes(header, _):
    """[F68] Exactly the expected headers, each with its reason, none that is dear."""
    found = [(n, *m.groups()) for n, line in enumerate(header.lines, 1)
             for m in [re.match(r'#\s*include\s*[<"]([^>"]+)[>"]\s*(//\s*\S.*)?$', line)] if m]
    complain('no reason given', [(n, header.lines[n - 1]) for n, _, reason in found if not reason])
    names = [name for _, name, _ in found]
    expected = INCLUDES + (THREAD_INCLUDES if header.has_outbox() else [])
    if sorted(names) != sorted(expected):
        fail('the includes are others than expected:', '  too many: %s' % sorted(set(names) - set(expected)),
             '  missing:  %s' % sorted(set(expected) - set(names)), '  twice:    %s'
             % [n for n, count in collections.Counter(names).items() if count > 1])
    if names != sorted(n for n in names if n not in THREAD_INCLUDES) + [n for n in names if n in THREAD_INCLUDES] and \
            names != sorted(names):
        fail('the includes are not sorted: %s' % names)
    complain('a header that costs every user', [(n, name) for n, name, _ in found if name in BANNED])
    if len(re.findall(r'#\s*include', header.code)) != len(found):
        fail('an include that this test cannot read')
    signs = {'chrono': r'chrono::', 'cstddef': r'(size_t|nullptr_t|byte)\b', 'cstdint': r'u?int\d+_t\b',
             'cstring': r'(mem|str)\w+\(', 'exception': r'exception\b', 'initializer_list': r'initializer_list<',
             'new': r'(bad_alloc|nothrow|launder)\b', 'string': r'string\b', 'string_view': r'string_view\b',
             'system_error': r'error_(code|category)\b', 'type_traits': r'enable_if_t<', 'utility': r'(move|forward)\b',
             'vector': r'vector<', 'condition_variable': r'condition_variable\b', 'mutex': r'mutex\b', 'thread': r'thread\b'}
    unused = [name for name in names if not re.search(r'\bstd::' + signs[name], header.code)]
    if unused:
        fail('included, and not used: %s' % unused)


def no_random_source(header, _):
    """[F76] The header asks nobody for randomness."""
    complain('a source of randomness', where(
        header, r'\b(random_device|mt19937\w*|default_random_engine|minstd_rand0?|\w*_distribution|s?rand|[dlm]rand48|'
        r'random|arc4random\w*|getrandom|getentropy|rdrand|RtlGenRandom|BCryptGenRandom)\b'))


def global_state(header, _):
    """[F71, F77] No function that reads or changes what a process shares: locale, environment, C time, errno, files."""
    complain('process-wide state', where(
        header, r'\b(setlocale|localeconv|getenv|setenv|strtod|strtof|atof|[sf]?n?printf|gmtime\w*|localtime\w*|mktime|'
        r'timegm|strftime|put_time|get_time|signal|sigaction|raise|feset\w+|umask|fopen|isdigit|isspace|isalpha|tolower|'
        r'toupper|stod|stof)\s*\(|\b(errno|std::locale|std::c(in|out|err|log))\b'))


def version(header, _):
    """One version: the macros agree with each other and with the inline namespace."""
    number = [re.search(r'#define OUTBOUND_VERSION_%s (\d+)\n' % part, header.text).group(1)
              for part in ('MAJOR', 'MINOR', 'PATCH')]
    string = re.search(r'#define OUTBOUND_VERSION_STRING "([^"]*)"', header.text).group(1)
    if string != '.'.join(number):
        fail('OUTBOUND_VERSION_STRING is "%s", the numbers say %s' % (string, '.'.join(number)))
    spaces = re.findall(r'inline namespace (\w+)', header.code)
    if set(spaces) != {'v' + '_'.join(number)}:
        fail('the version is %s, the inline namespaces are %s' % (string, sorted(set(spaces))))
    outer = len(re.findall(r'^namespace outbound \{', header.code, re.MULTILINE))
    if outer != len(spaces):
        fail('namespace outbound is opened %d times, the versioned one %d times' % (outer, len(spaces)))


def macros(header, compiler):
    """[F68] Every macro it leaves behind is OUTBOUND_something; those for its own use are gone, but for FIELDS'."""
    def defined(source):
        done = compiler.output(['-dM', '-E'], source)
        if done.returncode != 0:
            fail('does not preprocess:', done.stdout)
        return dict((re.match(r'#define (\w+(?:\([^)]*\))?) ?(.*)', line).groups() for line in done.stdout.splitlines()))
    std = ''.join('#include <%s>\n' % name for name in re.findall(r'#\s*include\s*<([^>]+)>', header.text))
    for before in ('', '#define OUTBOUND_NO_THREADS\n'):
        without = defined(before + std)
        after = defined(before + std + '#include "outbound.hpp"\n')
        lost = sorted(set(without) - set(after)) + sorted(m for m in without if m in after and after[m] != without[m])
        if lost:
            fail('macros of others that it takes away or changes: %s' % lost)
        new = sorted({re.match(r'\w+', m).group() for m in set(after) - set(without)})
        helpers = [m for m in new if re.fullmatch(r'OUTBOUND_FIELDS_[A-Z0-9_]*_', m)]
        others = [m for m in new if m not in helpers]
        if others != PUBLIC_MACROS:
            fail('macros left behind: %s' % sorted(set(others) - set(PUBLIC_MACROS)),
                 'macros that are missing: %s' % sorted(set(PUBLIC_MACROS) - set(others)))
    stray = [m for m in re.findall(r'#\s*define\s+(\w+)', header.code) if not m.startswith('OUTBOUND_')]
    if stray:
        fail('macros without the prefix: %s' % stray)
    asked = set(re.findall(r'\bOUTBOUND_[A-Z_]+[A-Z]\b', '\n'.join(
        line for line in header.code.split('\n') if re.match(r'\s*#\s*(if|ifdef|ifndef|elif)\b', line))))
    manual = header.text[header.text.index('CONFIGURATION\n'):header.text.index('CONTENTS\n')]
    unknown = sorted(m for m in asked - {'OUTBOUND_HPP'} if m not in manual)
    if unknown:
        fail('settings that the manual does not name: %s' % unknown)


def own_lines(compiler, header, flags, std='-std=c++17', source='#include "outbound.hpp"\n'):
    """The preprocessed text that comes out of outbound.hpp itself: (line number, text)."""
    done = compiler.output(['-E'] + flags, source, std=std)
    if done.returncode != 0:
        fail('does not preprocess with %s:' % flags, done.stdout)
    lines, inside, number = [], False, 0
    for line in done.stdout.split('\n'):
        marker = re.match(r'# (\d+) "([^"]*)"', line)
        if marker:
            inside, number = marker.group(2).endswith('outbound.hpp'), int(marker.group(1))
            continue
        if inside and line.strip():
            lines.append((number, line.strip()))
        number += 1
    if len(lines) < 1000:
        fail('only %d lines of outbound.hpp were seen with %s: this test is broken' % (len(lines), flags))
    return lines


def hunks(a, b):
    """How many places differ, and which lines of the header they are."""
    import difflib
    matcher = difflib.SequenceMatcher(None, [t for _, t in a], [t for _, t in b], autojunk=False)
    return [(a[i1:i2], b[j1:j2]) for op, i1, i2, j1, j2 in matcher.get_opcodes() if op != 'equal']


def same_text(header, compiler):
    """No macro and no flag changes the code, but for the language level, and for exceptions: those in one place."""
    plain = own_lines(compiler, header, [])
    for flags in (['-O0'], ['-O2'], ['-O3', '-march=native'], ['-Os'], ['-DNDEBUG'], ['-fno-rtti'], ['-ffast-math'], ['-g'],
                  ['-DDEBUG', '-D_DEBUG'], ['-funsigned-char'], ['-fPIC'], ['-D_GLIBCXX_DEBUG'], ['-D_GNU_SOURCE'],
                  ['-fvisibility=hidden'], ['-fsanitize=address'], ['-DUNICODE', '-D_WIN32_WINNT=0x0601'],
                  ['-Dmin(a,b)=a', '-Dmax(a,b)=b']):
        if not compiler.accepts([f for f in flags if not f.startswith('-D')]):
            print('not known to this compiler: %s' % flags)
            continue
        different = hunks(plain, own_lines(compiler, header, flags))
        if different:
            fail('%s changes the text of the header:' % ' '.join(flags), *('  ' + str(d) for d in different[:3]))
    different = hunks(plain, own_lines(compiler, header, ['-fno-exceptions']))
    lines = [n for a, b in different for n, _ in a + b]
    places = re.findall(r'^#if [^\n]*__cpp_exceptions', header.code, re.MULTILINE)
    first = header.code.count('\n', 0, header.code.index('__cpp_exceptions')) + 1
    last = next(n for n, line in enumerate(header.code_lines, 1) if n > first and line.startswith('#endif'))
    if len(places) != 1 or not lines or min(lines) < first or max(lines) > last:
        fail('-fno-exceptions must change what one #if says (line %d to %d), not the lines %s:' % (first, last, lines))
    print('-fno-exceptions changes the lines %d to %d, nothing else does' % (min(lines), max(lines)))
    if not header.has_outbox() and hunks(plain, own_lines(compiler, header, ['-DOUTBOUND_NO_THREADS'])):
        fail('OUTBOUND_NO_THREADS changes a header without an outbox')
    keywords = [t for _, t in plain if re.search(r'\b(throw|try|catch)\b', re.sub(r'"[^"]*"', '', t))]
    bare = [t for _, t in own_lines(compiler, header, ['-fno-exceptions'])
            if re.search(r'\b(throw|try|catch|typeid|dynamic_cast)\b', re.sub(r'"[^"]*"', '', t))]
    if bare or not keywords:
        fail('without exceptions there is still: %s; with them: %s' % (bare, keywords))


def no_threads(header, compiler):
    """[F57] OUTBOUND_NO_THREADS: not one of the thread headers is read, and there is no outbox."""
    if 'OUTBOUND_NO_THREADS' not in header.text:
        fail('the manual does not name OUTBOUND_NO_THREADS')
    baseline = read_headers(compiler, ''.join('#include <%s>\n' % name for name in INCLUDES))
    for std in ('-std=c++17', '-std=c++20'):
        done = compiler.output(['-fsyntax-only', '-DOUTBOUND_NO_THREADS'],
                               '#include "outbound.hpp"\nint main() { return outbound::object{}.text().empty(); }\n', std=std)
        if done.returncode != 0:
            fail('does not compile with OUTBOUND_NO_THREADS, %s:' % std, done.stdout)
    read = read_headers(compiler, '#define OUTBOUND_NO_THREADS\n#include "outbound.hpp"\n')
    bad = sorted(h for h in read if h.rsplit('/', 1)[-1] in THREAD_INCLUDES and h not in baseline)
    if bad:
        fail('read in spite of OUTBOUND_NO_THREADS: %s' % bad)
    text = '\n'.join(t for _, t in own_lines(compiler, header, ['-DOUTBOUND_NO_THREADS']))
    used = re.findall(r'\bstd::(?:thread|mutex|condition_variable|lock_guard|unique_lock|this_thread)\b', text)
    if used or re.search(r'\bclass outbox\b[^;{]*\{', text):
        fail('there in spite of OUTBOUND_NO_THREADS: %s' % (used or 'class outbox'))
    if header.has_outbox():
        read = {h.rsplit('/', 1)[-1] for h in read_headers(compiler, '#include "outbound.hpp"\n')}
        if not read.issuperset(THREAD_INCLUDES):
            fail('an outbox without its headers: %s' % sorted(set(THREAD_INCLUDES) - read))


def read_headers(compiler, source):
    done = compiler.output(['-E'], source)
    if done.returncode != 0:
        fail('does not preprocess:', done.stdout)
    return set(re.findall(r'^# \d+ "([^"<]+)"', done.stdout, re.MULTILINE))


def blocks(code):
    """Every function body: (line of its first token, number of lines, head). Scopes are entered, bodies are not."""
    def match(at):
        depth = 0
        for i in range(at, len(code)):
            depth += (code[i] == '{') - (code[i] == '}')
            if depth == 0:
                return i
        return fail('braces do not match after line %d' % (code.count('\n', 0, at) + 1))

    code = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: re.sub(r'[^\n]', ' ', m.group()), code, flags=re.MULTILINE)
    found, start, i, parens = [], 0, 0, 0
    while i < len(code):
        c = code[i]
        parens += (c == '(') - (c == ')')
        if c in ';}' and parens == 0:
            start = i + 1
        elif c == '{' and parens == 0:
            head = code[start:i]
            flat = re.sub(r'template\s*<[^{]*?>\s*(?=class|struct|inline|\w)', '', ' '.join(head.split()))
            flat = re.sub(r'^((public|private|protected)\s*:\s*)+', '', flat)
            in_initializers = re.search(r'\)\s*(noexcept\s*(\([^)]*\))?)?\s*:\s', flat) and re.search(r'[\w>]$', flat)
            if re.match(r'(inline )?namespace\b|extern\b', flat) or re.search(r'^(class|struct|union)\b', flat):
                start = i + 1
            elif '(' in flat and not in_initializers:
                end = match(i)
                first = start + len(head) - len(head.lstrip())
                line = code.count('\n', 0, first) + 1
                found.append((line, code.count('\n', first, end) + 1, flat))
                i, start = end, end + 1
            else:
                i = match(i)
        i += 1
    return found


def functions(header, _):
    """Each function is at most some 40 lines long."""
    found = sorted(blocks(header.code), key=lambda b: -b[1])
    if len(found) < 100:
        fail('only %d functions were seen: this test is broken' % len(found))
    print('%d functions; the longest have %s lines' % (len(found), [n for _, n, _ in found[:5]]))
    complain('longer than %d lines' % LONGEST_FUNCTION,
             [(line, '%d lines: %s' % (n, head)) for line, n, head in found if n > LONGEST_FUNCTION])


def docs(header, _):
    """Every paragraph of the public reference that declares something says what it is, in a /// comment."""
    first = next(i for i, line in enumerate(header.lines) if line.startswith('// >>text -'))
    paragraphs, depth, in_detail, bad = [], 0, False, []
    current = []
    for number, line in enumerate(header.lines[first:header.border], first + 1):
        code = header.code_lines[number - 1]
        if depth == 0 and code.startswith('namespace detail'):
            in_detail = True
        if depth == 0 and not line.strip():
            paragraphs, current = paragraphs + [current], []
        elif depth == 0 and not in_detail:
            current.append((number, line))
        depth += code.count('{') - code.count('}')
        if in_detail and depth == 0 and code.startswith('}'):
            in_detail = False
        if depth < 0:
            break  # the end of the namespaces
    paragraphs.append(current)
    named = 0
    for paragraph in paragraphs:
        lines = [(n, t) for n, t in paragraph if not t.startswith(('//', '#', '}')) or t.startswith('///')]
        if not lines:
            continue
        named += 1
        if not lines[0][1].startswith('///') and not lines[0][1].startswith('template <> struct'):
            bad.append(lines[0])
    if named < 25:
        fail('only %d declarations were seen: this test is broken' % named)
    complain('public, and without a /// comment', bad)


CHECKS = {f.__name__: f for f in (contents, style, includes, no_random_source, global_state, version, macros, same_text,
                                  no_threads, functions, docs)}
if __name__ == '__main__':
    OWN, COMPILER = toolchain.arguments(1)
    if OWN[0] not in CHECKS:
        sys.exit('no such check; there are: ' + ' '.join(CHECKS))
    CHECKS[OWN[0]](Header(COMPILER.header), COMPILER)
