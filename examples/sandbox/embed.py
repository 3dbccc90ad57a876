"""Writes the files of the page as a C++ source, so that the sandbox is one executable.

Usage: embed.py OUTPUT FILE...
"""
import pathlib
import sys


def literal(line):
    plain = ''.join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f'\\{byte:03o}' for byte in line)
    return f'"{plain}"'


def main(output, files):
    out = ['#include "page_files.hpp"', '', 'namespace sandbox {', '',
           f'const std::array<page_file, {len(files)}> page_files = {{{{']
    for file in map(pathlib.Path, files):
        out.append(f'    {{"{file.name}",')
        out += [f'     {literal(line)}' for line in file.read_bytes().splitlines(keepends=True)]
        out.append('    },')
    out += ['}};', '', '}  // namespace sandbox', '']
    pathlib.Path(output).write_text('\n'.join(out), encoding='ascii')


main(sys.argv[1], sys.argv[2:])
