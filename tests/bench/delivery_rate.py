#!/usr/bin/env python3
"""Messages a second to the sandbox on loopback: an outbox beside a bare libcurl loop and wrk, in one run.

delivery_rate.py SANDBOX DELIVERY_RATE [MESSAGES]: the two programs of a build; wrk is used if it is there.
"""
import pathlib
import re
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    messages = sys.argv[3] if len(sys.argv) == 4 else '20000'
    server = subprocess.Popen([sys.argv[1], '--port', '0'], stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r'http://\S+', server.stdout.readline()).group()
        rows = []
        for connections in ('1', '4', '16'):
            if not shutil.which('wrk'):
                print('SKIPPED: wrk: it is not installed')
                break
            done = subprocess.run(['wrk', '-t1', '-c' + connections, '-d5s', '-s', SOURCE / 'examples/sandbox/load.lua', url,
                                   '--', connections], capture_output=True, text=True, check=True)
            rate = float(re.search(r'Requests/sec:\s*([\d.]+)', done.stdout).group(1))
            rows.append(('wrk, %s connection%s' % (connections, '' if connections == '1' else 's'), rate))
        done = subprocess.run([sys.argv[2], url, messages], capture_output=True, text=True, check=True)
        rows += [(name, float(rate)) for name, rate in (line.split('\t') for line in done.stdout.splitlines())]
        bare = max(rate for name, rate in rows if name.startswith('a bare loop'))
        print('| | messages a second | beside the bare loop |\n|---|--:|--:|')
        for name, rate in rows:
            print('| %s | %d | %.2f |' % (name, rate, rate / bare))
    finally:
        server.terminate()
        server.wait()


if __name__ == '__main__':
    main()
