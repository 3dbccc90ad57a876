#!/usr/bin/env python3
"""Messages a second through examples/relay on loopback, beside bare publishing and bare libcurl loops, in one run;
memory; and how long it takes until another relay has what a killed one had.

relay.py RELAY RELAY_RATE SANDBOX [MESSAGES]: the programs of a build; nats-server has to be there.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

NATS = shutil.which('nats-server') or '/usr/sbin/nats-server'
TAKE_OVERS = 5


def memory_mib(pid):
    """The most that it had."""
    return int(re.search(r'VmHWM:\s*(\d+)', pathlib.Path(f'/proc/{pid}/status').read_text()).group(1)) / 1024


class Bench:
    def __init__(self, relay, rate, sandbox, messages):
        self.relay, self.rate, self.messages = relay, rate, messages
        self.folder = tempfile.mkdtemp()
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        self.nats_url = f'nats://127.0.0.1:{port}'
        self.nats = subprocess.Popen([NATS, '-js', '-a', '127.0.0.1', '-p', str(port), '-sd', self.folder], stderr=subprocess.DEVNULL)
        self.sandbox = subprocess.Popen([sandbox, '--port', '0'], stdout=subprocess.PIPE, text=True)
        self.url = re.search(r'http://\S+', self.sandbox.stdout.readline()).group()
        self.port = int(self.url.rsplit(':', 1)[1])
        self.nats_port = port
        self.run([relay, '--create'])
        self.run([relay, '--create', '--stream', 'BARE'])

    def end(self):
        for one in (self.nats, self.sandbox):
            one.terminate()
            one.wait()
        shutil.rmtree(self.folder, True)

    def environment(self):
        return {**os.environ, 'OUTBOUND_NATS': self.nats_url, 'OUTBOUND_KEY': 'sandbox-key', 'no_proxy': '*'}

    def run(self, command):
        return subprocess.run(command, env=self.environment(), check=True, capture_output=True, text=True).stdout

    def arrived(self):
        link = http.client.HTTPConnection('127.0.0.1', self.port)
        link.request('GET', '/sandbox')
        return json.loads(link.getresponse().read())['requests']

    def publish(self, at_a_time, stream='OUTBOUND', messages=None):
        return float(self.run([self.rate, 'publish', self.nats_url, stream, str(messages or self.messages), str(at_a_time)]))

    def start_relays(self, count, *options):
        return [subprocess.Popen([self.relay, '--url', self.url, *options], env=self.environment(), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL) for _ in range(count)]

    def stop(self, relays):
        for one in relays:
            one.terminate()
        for one in relays:
            one.wait()

    def owners(self):
        """The process of the relay that has each partition."""
        with socket.create_connection(('127.0.0.1', self.nats_port)) as link:
            link.sendall(b'CONNECT {"verbose":false}\r\nSUB a 1\r\nPUB $JS.API.CONSUMER.NAMES.OUTBOUND a 0\r\n\r\n')
            got = b''
            while not (found := re.search(rb'MSG a 1 (\d+)\r\n', got)) or len(got) < found.end() + int(found.group(1)):
                got += link.recv(65536)
            names = json.loads(got[found.end():found.end() + int(found.group(1))])['consumers'] or []
        return {one.split('-')[0]: int(one.split('-')[-2]) for one in names}

    def drain(self, relays, messages, delay_ms=0):
        """So many messages wait; the relays have shared them out; the API lets them begin. From then to the end."""
        self.post('/sandbox/faults', {'status': 503, 'calls': 'all'})
        running = self.start_relays(relays, '--first-delay', '0.2', '--max-delay', '0.2')
        while True:
            owners = list(self.owners().values())
            if len(owners) == 16 and {owners.count(one.pid) for one in running} == {16 // relays}:
                break
            time.sleep(0.1)
        time.sleep(1)
        self.publish(16, messages=messages)
        before = self.arrived()
        self.post('/sandbox/faults', None)
        if delay_ms:
            self.post('/sandbox/faults', {'fault': 'delay', 'delay_ms': delay_ms, 'calls': 'all'})
        while self.arrived() == before:
            time.sleep(0.001)
        begin, first = time.monotonic(), self.arrived()
        while (now := self.arrived()) < before + messages:
            time.sleep(0.005)
        rate = (now - first) / (time.monotonic() - begin)
        memory = [memory_mib(one.pid) for one in running]
        self.post('/sandbox/faults', None)
        self.stop(running)
        return rate, max(memory)

    def post(self, path, body):
        link = http.client.HTTPConnection('127.0.0.1', self.port)
        link.request('DELETE' if body is None else 'POST', path, json.dumps(body))
        answer = link.getresponse()
        assert answer.status == 200, answer.read()

    def take_over(self, seconds):
        """From the kill of one of two relays until the other one has all."""
        running = self.start_relays(2, '--take-over', str(seconds))
        while sorted(list(self.owners().values()).count(one.pid) for one in running) != [8, 8]:
            time.sleep(0.05)
        running[0].kill()
        begin = time.monotonic()
        while list(self.owners().values()).count(running[1].pid) != 16:
            time.sleep(0.02)
        took = time.monotonic() - begin
        self.stop(running)
        return took


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    messages = int(sys.argv[4]) if len(sys.argv) == 5 else 20000
    bench = Bench(*sys.argv[1:4], messages)
    try:
        print('| | messages a second |\n|---|--:|')
        loops = {}
        for connections in (1, 8, 16):
            loops[connections] = float(bench.run([bench.rate, 'post', bench.url, str(messages), str(connections)]))
            print('| bare libcurl to the API, %d at a time | %d |' % (connections, loops[connections]))
        print('| bare publishing, asynchronously | %d |' % bench.publish(0, 'BARE'))
        for count in (1, 4, 16):
            print('| publisher, %d at a time | %d |' % (count, bench.publish(count)))
        sys.stdout.flush()
        # what was published so far is delivered first, and not counted
        early = bench.start_relays(1)
        while bench.arrived() < 3 * messages + 3 * messages:
            time.sleep(0.1)
        bench.stop(early)
        memory = 0
        for count in (1, 2, 4):
            rate, most = bench.drain(count, messages)
            memory = max(memory, most)
            print('| %d relay%s, 8 at a time each | %d |' % (count, 's' if count > 1 else '', rate), flush=True)
        for count in (1, 2, 4):  # as a real one does; the more relays wait for it, the better
            rate, _ = bench.drain(count, messages // 10, delay_ms=20)
            print('| %d relay%s, to an API that takes 20 ms | %d |' % (count, 's' if count > 1 else '', rate), flush=True)
        print('\nmemory: a relay %d MiB at most, nats-server %d MiB' % (memory, memory_mib(bench.nats.pid)))
        for seconds in (1, 5):
            times = sorted(bench.take_over(seconds) for _ in range(TAKE_OVERS))
            print('--take-over %d: another relay has the partitions of a killed one after %.1f s (median of %d; at most %.1f s)' %
                  (seconds, times[len(times) // 2], len(times), times[-1]), flush=True)
    finally:
        bench.end()


if __name__ == '__main__':
    main()
