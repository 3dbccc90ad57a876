"""outbound.hpp as Doxygen is to see it, line by line: doxygen_filter.py FILE

Only what the header offers: the manual as the main page, and the public names. A `///` comment speaks for all
declarations that follow it without a blank line or another comment between: these become a group.
"""
import re
import sys

END = '}  // namespace outbound'


def without_strings(line):
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', line.split('//')[0])


def manual(lines):
    """The comment that the file begins with, as the main page."""
    end = next(i for i, line in enumerate(lines) if not line.startswith('//'))
    text = [line[2:].removeprefix(' ') for line in lines[:end]]
    return ['/** @file */ /** @mainpage ' + text[0], '@verbatim ' + text[1], *text[2:-1], text[-1] + ' @endverbatim */'], end


# What is not offered: from a line that begins so, to one that the other pattern is found in.
HIDDEN = (
    (r'// >>config -', r'^// >>forward'),          # macros that are gone at the end of the header
    (r'#define OUTBOUND_(HPP$|\w*_\()', r'[^\\]$'),  # what OUTBOUND_FIELDS is made of
    (r'namespace detail {', r'^}  // namespace detail'),
    (r'(inline namespace v|}  // namespace v)\d', r''),
)


def hide_details(lines):
    """Blank lines for what is not offered, and for what only the header's own classes can reach."""
    out, end = [], None
    for line in lines:
        end = end or next((last for first, last in HIDDEN if re.match(first, line)), None)
        out.append(line.replace('protected:', 'private:') if end is None else '')
        if end is not None and re.search(end, line):
            end = None
    return out


def hide_obvious(lines):
    """Nothing for what the compiler writes, or refuses; and a spelling that Doxygen reads."""
    return ['/**/' if re.search(r'= (default|delete);$', line) else re.sub(r'(\(\*\w+\)\(\))\{\};', r'\1;', line)
            for line in lines]


def chunk_end(lines, begin):
    """Behind the declarations of one comment, which is above `begin`, and how many they are."""
    depth, count, i = 0, 0, begin
    while i < len(lines):
        stripped = lines[i].strip()
        if stripped.startswith('#'):
            count += stripped.startswith('#define')
            while lines[i].endswith('\\'):
                i += 1
            i += 1
            continue
        code = without_strings(lines[i])
        if depth == 0 and (not stripped or stripped.startswith('//') or re.match(r'(public|private):$', stripped)):
            break
        if depth == 0 and re.match(r'(template <.*> )?(namespace|class|struct|enum|union)\b[^;]*$', stripped):
            return i, 0
        change = code.count('{') + code.count('(') - code.count('}') - code.count(')')
        if depth + change < 0:
            break
        depth += change
        if depth == 0 and re.search(r'[;}]\s*$', code):
            count += 1
        i += 1
    return i, count


def group(lines):
    """Marks what one comment speaks for."""
    opened, closed = set(), set()
    for i, line in enumerate(lines):
        if not line.strip().startswith('///') or (i > 0 and lines[i - 1].strip().startswith('///')):
            continue
        begin = i
        while lines[begin].strip().startswith('///'):
            begin += 1
        end, count = chunk_end(lines, begin)
        if count > 1:
            opened.add(i)
            closed.add(end)
    return [('/**@}*/' if i in closed else '') + ('/**@{*/' if i in opened else '') + line
            for i, line in enumerate(lines)]


def escape(line):
    """No HTML in comments: `<` begins a tag nowhere."""
    if '///' not in line:
        return line
    code, comment = line.split('///', 1)
    parts = re.split(r'(`[^`]*`)', comment)
    return code + '///' + ''.join(p if p.startswith('`') else re.sub(r'<(?=\w)', r'\\<', p) for p in parts)


def filtered(text):
    lines = text.splitlines()
    lines = lines[:lines.index(END) + 1]
    page, end = manual(lines)
    return '\n'.join(page + group([escape(line) for line in hide_obvious(hide_details(lines[end:]))])) + '\n'


if __name__ == '__main__':
    with open(sys.argv[1], encoding='utf-8') as file:
        sys.stdout.write(filtered(file.read()))
