"""examples/relay with real NATS servers: relays are killed, a server of a cluster dies, the API misbehaves.

Usage: relay.py RELAY_EXECUTABLE PUBLISH_EXECUTABLE PUBLISHER_TEST_EXECUTABLE SANDBOX_EXECUTABLE [unittest's arguments]
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

import sandbox

RELAY = PUBLISH = PUBLISHER_TEST = ''
NATS = shutil.which('nats-server') or shutil.which('nats-server', path='/usr/sbin:/usr/local/sbin')
LIMIT_S = 60  # after which what hangs fails
SEED = int(os.environ.get('OUTBOUND_RELAY_SEED', random.randrange(1 << 30)))
FAST = {'--take-over': '1', '--first-delay': '0.02', '--max-delay': '0.2', '--timeout': '5'}
MANY_FAULTS = {'drop_before': 0.03, 'drop_after': 0.03, 'delay': 0.02, '429': 0.02, '500': 0.02, '503': 0.03, '401': 0.01,
               '404': 0.01, 'garbage': 0.02, 'truncated': 0.02, 'garbage_body': 0.02}


def free_ports(count):
    listeners = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in listeners]
    for one in listeners:
        one.close()
    return ports


class Server:
    """A nats-server with JetStream, alone or one of a cluster. It keeps its folder and its port when it is killed."""

    def __init__(self, folder, port, name='n1', cluster_port=None, routes=(), config=''):
        self.port = port
        self.log = folder / f'{name}.log'
        self.command = [NATS, '-js', '-a', '127.0.0.1', '-p', str(port), '-n', name, '-sd', str(folder / name)]
        if cluster_port is not None:
            self.command += ['-cluster_name', 'C', '-cluster', f'nats://127.0.0.1:{cluster_port}',
                             '-routes', ','.join(f'nats://127.0.0.1:{one}' for one in routes)]
        if config:
            (folder / f'{name}.conf').write_text(config)
            self.command += ['-c', str(folder / f'{name}.conf')]
        self.start()

    def start(self):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError('nats-server does not start: ' + self.log.read_text(errors='replace'))
                time.sleep(0.02)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class LossyLine:
    """Between a relay and its server. Frames for which `swallows` is true do not arrive; it is asked for each."""

    def __init__(self, port, swallows):
        self.server, self.swallows = port, swallows
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(('127.0.0.1', self.server))
            for here, there in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(here, there), daemon=True).start()

    def pump(self, here, there):
        """Frames are lines, and those of messages have a payload as long as their last word says."""
        reader = here.makefile('rb')
        try:
            for line in reader:
                words = line.split()
                if words and words[0].upper() in (b'PUB', b'HPUB', b'MSG', b'HMSG'):
                    line += reader.read(int(words[-1]) + 2)
                if not self.swallows(line):
                    there.sendall(line)
        except OSError:
            pass
        for one in (here, there):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


class Relay:
    """An outbound-relay that delivers."""

    def __init__(self, folder, urls, box, *options, key=sandbox.KEY):
        given = {**FAST, **dict(zip(options[::2], options[1::2]))}
        self.log = open(tempfile.mkstemp(dir=folder, suffix='.relay.log')[1], 'w+b')
        environment = {**os.environ, 'OUTBOUND_KEY': key, 'OUTBOUND_NATS': urls, 'no_proxy': '*'}
        self.process = subprocess.Popen([RELAY, '--url', f'http://127.0.0.1:{box.port}', *sum(given.items(), ())],
                                        env=environment, stdout=self.log, stderr=self.log)

    def send(self, what):
        self.process.send_signal(what)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors='replace')

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        """Its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


def events(users, each, first=0):
    """One line an event; those of a user count from `first`, and users take turns."""
    for n in range(first, first + each):
        for user in range(users):
            yield json.dumps({'user': f'user {user}', 'event': 'step', 'properties': {'n': n}})


class Case(unittest.TestCase):
    servers = 1
    create = ()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        ports = free_ports(2 * self.servers)
        self.nats = []
        for n in range(self.servers):
            cluster = {} if self.servers == 1 else {'cluster_port': ports[-1 - n], 'routes': ports[self.servers:]}
            self.nats.append(Server(self.folder, ports[n], f'n{n}', **cluster))
            self.addCleanup(self.nats[-1].kill)
        self.urls = ','.join(f'nats://127.0.0.1:{one.port}' for one in self.nats)
        self.box = sandbox.Sandbox()
        self.addCleanup(self.box.end)
        self.run_relay('--create', *self.create)

    def relay(self, *options, **more):
        one = Relay(self.folder, self.urls, self.box, *options, **more)
        self.addCleanup(one.kill)
        return one

    def run_relay(self, *options, code=0):
        environment = {**os.environ, 'OUTBOUND_NATS': self.urls}
        done = subprocess.run([RELAY, *options], env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def start_publish(self, lines, workers=8):
        path = self.folder / f'{time.monotonic_ns()}.ndjson'
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        with open(path, 'rb') as source:
            process = subprocess.Popen([PUBLISH, self.urls, 'OUTBOUND', str(workers)], stdin=source,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def finish_publish(self, process):
        out, err = process.communicate(timeout=2 * LIMIT_S)
        self.assertEqual(process.returncode, 0, out + err)

    def publish(self, lines):
        self.finish_publish(self.start_publish(lines))

    def status(self):
        """What --status says, by its first words; relays by name."""
        text = self.run_relay('--status')
        out = dict(re.findall(r'^(\w[\w ]*?)  +(\d+)', text, re.M))
        out['crew'] = {name: int(count) for name, count in re.findall(r'^  (\S+): (\d+) of', text, re.M)}
        out['text'] = text
        return out

    def ask(self, subject):
        """One request to NATS, over a socket: what the server says, without --status, which listens for seconds."""
        for one in self.nats:
            try:
                with socket.create_connection(('127.0.0.1', one.port), 2) as link:
                    link.sendall(b'CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB %s answer 0\r\n\r\n' % subject.encode())
                    got = b''
                    while True:
                        found = re.search(rb'MSG answer 1 (\d+)\r\n', got)
                        if found and len(got) >= found.end() + int(found.group(1)):
                            return json.loads(got[found.end():found.end() + int(found.group(1))])
                        more = link.recv(65536)
                        if not more:
                            break
                        got += more
            except OSError:
                continue
        return {}

    def in_stream(self, stream='OUTBOUND'):
        return self.ask('$JS.API.STREAM.INFO.' + stream).get('state', {}).get('messages')

    def shares(self):
        """How many partitions each relay has, the least first."""
        names = self.ask('$JS.API.CONSUMER.NAMES.OUTBOUND').get('consumers') or []
        return sorted(collections.Counter(one.split('-', 1)[1] for one in names).values())

    def are_equal(self, shares, relays):
        """Whether so many have all of the 16 partitions, and none more than its part."""
        return len(shares) == relays and sum(shares) == 16 and max(shares) <= -(-16 // relays)

    def until(self, holds, what, limit=LIMIT_S):
        end = time.monotonic() + limit
        while not holds():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)

    def arrived(self):
        """The events that the sandbox has understood, without those that came again: (user, n)."""
        seen, out = {}, []
        for one in self.box.get('/sandbox/requests'):
            body = json.loads(one['body'])
            self.assertRegex(one['guid'], r'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
            if one['guid'] in seen:
                self.assertEqual(seen[one['guid']], one['body'], 'what comes again with a GUID is the same')
                continue
            seen[one['guid']] = one['body']
            out.append((body['user_id'], body['properties']['n']))
        return out

    def check_arrived(self, users, each):
        """All of them, once by their GUIDs, each user's in order."""
        self.until(lambda: len({one['guid'] for one in self.box.get('/sandbox/requests')}) >= users * each,
                   'everything arrives')
        by_user = collections.defaultdict(list)
        for user, n in self.arrived():
            by_user[user].append(n)
        self.assertEqual(dict(by_user), {f'user {one}': list(range(each)) for one in range(users)})
        self.assertEqual(self.box.get()['conflicts'], 0)
        self.until(lambda: self.in_stream() == 0, 'all is acknowledged')


class Basics(Case):
    def test_what_is_published_arrives_as_it_is(self):
        self.relay()
        lines = ['{"user": "ada@example.com", "event": "größer", "properties": {"n": 0, "x": [1, {"é": null}]}}',
                 '{"user": 42, "event": "signup", "at": 1717401600, "properties": {"n": 0}}',
                 '{"user": "a b%\\u00ff\\u2028", "event": "e", "properties": {"n": 0}}']
        self.publish(lines)
        self.until(lambda: self.box.get()['requests'] == 3, 'all three arrive')
        bodies = sorted(one['body'] for one in self.box.get('/sandbox/requests'))
        self.assertEqual(bodies, sorted([
            '{"user_id":"ada@example.com","event":"größer","properties":{"n":0,"x":[1,{"é":null}]}}',
            '{"user_id":42,"event":"signup","properties":{"n":0},"timestamp":1717401600}',
            '{"user_id":"a b%ÿ\u2028","event":"e","properties":{"n":0}}']))
        self.assertEqual({one['client'] for one in self.box.get('/sandbox/requests')}, {'Cpp/1.0.0'})

    def test_relays_share_and_status_shows_it(self):
        self.publish(events(10, 5))
        before = self.status()
        self.assertEqual((before['waiting'], before['dead letters'], before['relays']), ('50', '0', '0'))
        waiting = re.findall(r'^  OUTBOUND\.messages\.\d+: (\d+) waiting$', before['text'], re.M)
        self.assertEqual(sum(map(int, waiting)), 50)
        relays = [self.relay('--take-over', '60') for _ in range(3)]
        self.until(lambda: self.are_equal(self.shares(), 3), 'three relays have equal shares')
        self.assertTrue(self.are_equal(list(self.status()['crew'].values()), 3))
        self.check_arrived(10, 5)
        self.assertEqual(relays[0].stop(), 0)
        self.until(lambda: self.are_equal(self.shares(), 2), 'two relays share what is left')
        self.publish(events(10, 5, first=5))
        self.check_arrived(10, 10)
        self.assertEqual(self.box.get()['duplicates'], 0)

    def test_publisher(self):
        """Its own suite, which stops and continues this server."""
        environment = {**os.environ, 'OUTBOUND_NATS': self.urls, 'OUTBOUND_NATS_PID': str(self.nats[0].process.pid),
                       'OUTBOUND_RELAY': RELAY}
        done = subprocess.run([PUBLISHER_TEST], env=environment, capture_output=True, text=True, timeout=2 * LIMIT_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_what_is_no_event_is_said_and_the_others_are_published(self):
        process = self.start_publish(['no JSON', '[1]', '{"event": "of nobody"}', '{"user": "u", "event": 1}',
                                      '{"user": "", "event": "e"}', *events(1, 1)])
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, out), (1, '1 of 1 published\n'), err)
        self.assertEqual([line.split(':')[0] for line in err.splitlines()], ['no event'] * 4 + ['refused'])
        for bad in (['--help'], [self.urls, 'OUTBOUND', 'many'], [self.urls, 'OUTBOUND', '0'], [self.urls, 'OUTBOUND', '-1']):
            done = subprocess.run([PUBLISH, *bad], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn('usage: outbound-publish', done.stderr)

    def test_errors_are_said(self):
        self.assertIn('there is no stream NOWHERE', self.run_relay('--status', '--stream', 'NOWHERE', code=1))
        self.assertIn('with other settings', self.run_relay('--create', '--partitions', '5', code=1))
        self.run_relay('--create')  # as it is: fine
        self.assertIn('OUTBOUND_KEY', self.run_relay(code=2))
        self.assertIn('letters, digits', self.run_relay('--status', '--stream', 'a.b', code=2))
        self.assertIn('one of them at a time', self.run_relay('--status', '--create', code=2))
        for seconds in ('nan', '-1', 'x'):
            self.assertIn('--max-age: takes seconds from 0', self.run_relay('--max-age', seconds, code=2))
        said = self.run_relay('--key', 'secret with a blank', 'superfluous', code=2)
        self.assertNotIn('superfluous', said)
        self.assertNotIn('secret', self.run_relay('--key', 'secret\n', code=1))


class Secured(Case):
    """Users who may do no more than the README says, and TLS."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.box = sandbox.Sandbox()
        self.addCleanup(self.box.end)

    def start(self, config, urls):
        port, = free_ports(1)
        self.nats = [Server(self.folder, port, config=config)]
        self.addCleanup(self.nats[0].kill)
        self.urls = urls % port

    def test_permissions(self):
        config = """authorization { users = [
            {user: admin, password: a},
            {user: app, password: p, permissions: {
              publish: ["OUTBOUND.messages.*", "$JS.API.STREAM.INFO.OUTBOUND"], subscribe: "_INBOX.>"}},
            {user: relay, password: r, permissions: {
              publish: ["$JS.API.>", "$JS.ACK.OUTBOUND.>", "OUTBOUND.>"], subscribe: ["_INBOX.>", "OUTBOUND.relays.*"]}}]}"""
        self.start(config, 'nats://admin:a@127.0.0.1:%d')
        admin = self.urls
        self.run_relay('--create')
        self.urls = admin.replace('admin:a', 'relay:r')
        one = self.relay()
        self.box.faults({'status': 400})
        self.urls = admin.replace('admin:a', 'app:p')
        self.publish(events(10, 2))
        self.urls = admin.replace('admin:a', 'relay:r')
        self.until(lambda: self.box.get()['events'] == 19, 'all but one arrive')
        status = self.status()
        self.assertEqual((status['dead letters'], list(status['crew'].values())), ('1', [16]))
        self.assertEqual(self.run_relay('--replay-dead'), '1 dead letters replayed\n')
        self.until(lambda: self.box.get()['events'] == 20, 'all arrive')
        self.assertEqual(one.stop(), 0)
        self.urls = admin.replace('admin:a', 'relay:wrong')
        said = self.run_relay('--status', code=1)
        self.assertIn('cannot connect to NATS', said)
        self.assertNotIn('wrong', said)

    @unittest.skipUnless(shutil.which('openssl'), 'SKIPPED: TLS: the program openssl is not here')
    def test_tls_with_a_clients_certificate(self):
        def openssl(*arguments):
            subprocess.run(['openssl', *arguments], cwd=self.folder, check=True, capture_output=True)
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem',
                '-days', '2', '-subj', '/CN=test ca')
        (self.folder / 'san').write_text('subjectAltName=IP:127.0.0.1')
        for name in ('server', 'client'):
            openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', name + '.key', '-out', name + '.csr',
                    '-subj', '/CN=' + name)
            openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', name + '.pem',
                    '-days', '2', '-extfile', 'san')
        at = self.folder
        self.start(f'tls {{cert_file: "{at}/server.pem", key_file: "{at}/server.key", ca_file: "{at}/ca.pem", verify: true}}',
                   'tls://127.0.0.1:%d')
        own = ('--nats-cert', str(at / 'client.pem'), '--nats-key', str(at / 'client.key'))
        self.run_relay('--create', '--nats-ca', str(at / 'ca.pem'), *own)
        self.assertIn('waiting       0', self.run_relay('--status', '--nats-ca', str(at / 'ca.pem'), *own))
        self.assertIn('cannot connect to NATS', self.run_relay('--status', '--nats-ca', str(at / 'client.pem'), *own, code=1))
        self.assertIn('cannot connect to NATS', self.run_relay('--status', '--nats-ca', str(at / 'ca.pem'), code=1))


class Trouble(Case):
    def test_the_api_misbehaves(self):
        wishes = [{'fault': 'drop_before', 'calls': 3}, {'fault': 'drop_after', 'calls': 3}, {'status': 500, 'calls': 4},
                  {'status': 503, 'calls': 12}, {'status': 502, 'processed': True, 'calls': 2},
                  {'status': 429, 'retry_after': 1, 'calls': 2}, {'status': 401, 'calls': 8},
                  {'status': 302, 'location': 'http://127.0.0.1:1/', 'calls': 4}, {'status': 404, 'path': '/v2/track', 'calls': 4},
                  {'fault': 'garbage', 'calls': 3}, {'fault': 'truncated', 'calls': 3}, {'fault': 'garbage_body', 'calls': 3}]
        self.relay()
        for n, wish in enumerate(wishes):
            with self.subTest(wish):
                self.box.faults(wish)
                self.publish(events(5, 3, first=3 * n))
                self.check_arrived(5, 3 * (n + 1))
        self.assertEqual(self.in_stream('OUTBOUND_DEAD'), 0)

    def test_one_users_trouble_is_not_anothers(self):
        self.relay('--first-delay', '3600', '--max-delay', '3600')
        self.box.faults({'status': 500})
        self.publish(['{"user": "unlucky", "event": "step", "properties": {"n": 0}}',
                      '{"user": "unlucky", "event": "step", "properties": {"n": 1}}'])
        self.until(lambda: self.box.get()['faults'], 'the first call meets the fault')
        self.publish(events(20, 5))
        self.until(lambda: self.box.get()['events'] >= 100, 'the others arrive')
        self.publish(events(20, 5, first=5))
        self.until(lambda: self.box.get()['events'] >= 200, 'the others arrive')
        by_user = collections.defaultdict(list)
        for user, n in self.arrived():
            by_user[user].append(n)
        for user in range(20):
            self.assertEqual(by_user[f'user {user}'], list(range(10)))

    def test_a_wrong_key_holds_and_says_so(self):
        one = self.relay(key='wrong-key-0123456789')
        self.publish(events(5, 2))
        self.until(lambda: 'waits: ' in one.text(), 'the relay says that it waits')
        self.until(lambda: re.search('waits: .*401', self.status()['text']), 'so does --status')
        status = self.status()
        self.assertNotIn('wrong-key', status['text'] + one.text())
        self.assertEqual(status['waiting'], '10')
        self.assertEqual(one.stop(), 0)
        self.relay()
        self.check_arrived(5, 2)
        self.assertEqual(self.in_stream('OUTBOUND_DEAD'), 0)

    def test_retry_after_holds_back_what_comes_later(self):
        one = self.relay()
        self.box.faults({'status': 429, 'retry_after': 3600})
        self.publish(['{"user": "first", "event": "step", "properties": {"n": 0}}'])
        self.until(lambda: self.box.get()['faults'], 'the first call meets the fault')
        self.publish(events(20, 1))
        self.until(lambda: re.search('holds 21, waits: .*429', self.status()['text']), 'the relay has them, and says that it waits')
        self.assertEqual(self.box.get()['requests'], 0)
        self.assertEqual(one.stop(), 0)
        self.relay()
        self.until(lambda: self.box.get()['events'] == 21, 'all arrive')


class HeldPaths(Case):
    """The API lacks two paths, and gets one of them back."""
    create = ('--partitions', '1')  # so that the relay has things in the order in which they were published

    def publish_raw(self, path, user, **more):
        body = json.dumps({'user_id': user, **more}).encode()
        block = (f'NATS/1.0\r\nOutbound-Path: {path}\r\nOutbound-GUID: {uuid.uuid4()}\r\n'
                 f'Outbound-User-Key: {user}\r\n\r\n').encode()
        self.link.sendall(b'HPUB OUTBOUND.messages.0 %d %d\r\n%s%s\r\n' % (len(block), len(block) + len(body), block, body))

    def test_a_path_that_is_back_does_not_open_another(self):
        self.box.faults([{'status': 404, 'path': '/v2/track', 'calls': 'all'},
                         {'status': 404, 'path': '/v2/identify', 'calls': 3}])
        with socket.create_connection(('127.0.0.1', self.nats[0].port), LIMIT_S) as self.link:
            self.link.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
            self.publish_raw('/v2/track', 'user 0', event='step', properties={'n': 0})
            self.publish_raw('/v2/identify', 'user 1')
            self.until(lambda: self.in_stream() == 2, 'one relay takes both at once')
            one = self.relay('--connections', '1')
            self.until(lambda: self.box.get()['users'] == 1, 'the path of user 1 is back')
            self.publish_raw('/v2/track', 'user 2', event='step', properties={'n': 0})
            self.publish_raw('/v2/identify', 'user 3')
            self.until(lambda: self.box.get()['users'] == 2, 'what is for that path goes on')
            self.assertEqual((one.text().count('waits: '), one.text().count('goes on')), (2, 1), one.text())
            self.box.own('DELETE', '/sandbox/faults')
            self.until(lambda: self.box.get()['events'] == 2, 'all arrive')
            self.until(lambda: self.in_stream() == 0, 'all is acknowledged')


class DeadLetters(Case):
    def letters(self):
        return [json.loads(line) for line in self.run_relay('--list-dead').splitlines()]

    def test_refused_listed_and_replayed(self):
        one = self.relay('--max-attempts', '2')
        self.box.faults({'status': 400})
        self.publish(events(1, 1))
        self.until(lambda: self.in_stream('OUTBOUND_DEAD') == 1, 'it is dead')
        self.box.faults({'status': 500, 'calls': 2})
        self.publish(events(1, 1, first=1))
        self.until(lambda: self.in_stream('OUTBOUND_DEAD') == 2, 'it is dead, too')
        self.publish(events(1, 1, first=2))
        self.until(lambda: self.box.get()['events'] == 1, 'the next one is not kept by them')
        first, second = self.letters()
        self.assertEqual(first['body'], '{"user_id":"user 0","event":"step","properties":{"n":0}}')
        self.assertEqual((first['path'], first['user']), ('/v2/track', 'user 0'))
        self.assertIn('HTTP 400', first['error'])
        self.assertIn('HTTP 500', second['error'])
        status = self.status()
        self.assertEqual((status['waiting'], status['dead letters']), ('0', '2'))

        self.box.faults({'status': 422})  # refused once more: a letter once more, with the new reason
        self.assertEqual(self.run_relay('--replay-dead'), '2 dead letters replayed\n')
        self.until(lambda: self.box.get()['events'] == 2, 'the other one arrives')
        self.until(lambda: self.in_stream('OUTBOUND_DEAD') == 1, 'it is dead again')
        again, = self.letters()
        self.assertEqual((again['guid'], again['body']), (first['guid'], first['body']))
        self.assertIn('HTTP 422', again['error'])
        self.assertEqual(self.run_relay('--replay-dead'), '1 dead letters replayed\n')
        self.until(lambda: self.box.get()['events'] == 3, 'all have arrived')
        self.assertEqual({guid for guid in (one['guid'] for one in self.box.get('/sandbox/requests'))
                          if guid in (first['guid'], second['guid'])}, {first['guid'], second['guid']})
        self.assertEqual(self.run_relay('--replay-dead'), '0 dead letters replayed\n')
        self.assertEqual(self.letters(), [])
        self.assertEqual(one.stop(), 0)

    def test_what_is_no_message_is_dead_at_once(self):
        self.relay()
        with socket.create_connection(('127.0.0.1', self.nats[0].port), LIMIT_S) as link:
            link.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
            link.sendall(b'PUB OUTBOUND.messages.0 5\r\nhello\r\n')
            for headers, body in ((b'Outbound-Path: /v2/../admin\r\n', b'{}'), (b'Outbound-Path: /v2/track\r\n', b'{}'),
                                  (b'Outbound-Path: /v2/track\r\nOutbound-GUID: 00000000-0000-4000-8000-000000000000\r\n', b'[12,14]')):
                block = b'NATS/1.0\r\n' + headers + b'\r\n'
                link.sendall(b'HPUB OUTBOUND.messages.0 %d %d\r\n%s%s\r\n' % (len(block), len(block) + len(body), block, body))
            link.sendall(b'PING\r\n')
            self.until(lambda: self.in_stream('OUTBOUND_DEAD') == 4, 'all four are dead')
        self.assertEqual([one['error'] for one in self.letters()], [
            'no message of the publisher: its Outbound-Path', 'no message of the publisher: its Outbound-Path',
            'no message of the publisher: its Outbound-GUID', 'no message of the publisher: its body is no object'])
        self.publish(events(5, 1))
        self.check_arrived(5, 1)


class Endings(Case):
    def test_sigterm_waits_for_what_is_on_its_way_and_frees_the_rest(self):
        one = self.relay('--take-over', '3000', '--connections', '4')
        self.until(lambda: self.shares() == [16], 'it has all partitions')
        self.box.faults({'fault': 'delay', 'delay_ms': 1500, 'calls': 4})
        self.publish(events(16, 10))
        self.until(lambda: self.box.get()['faults'].get('delay') == 4, 'four are on their way')
        self.assertEqual(one.stop(), 0)
        self.relay('--take-over', '3000')  # gets the partitions now, not in 3000 s
        self.check_arrived(16, 10)
        self.assertEqual(self.box.get()['duplicates'], 0, 'all that had arrived was acknowledged')

    def test_one_that_was_frozen_sends_nothing_out_of_order(self):
        frozen = self.relay('--connections', '2')
        self.until(lambda: self.shares() == [16], 'it has all partitions')
        self.box.faults({'fault': 'delay', 'delay_ms': 30, 'calls': 'all'})
        self.publish(events(10, 30))
        self.until(lambda: self.box.get()['events'] > 20, 'some have arrived')
        frozen.send(signal.SIGSTOP)
        self.relay('--connections', '2')
        before = self.box.get()['events']
        self.until(lambda: self.box.get()['events'] > before + 20, 'the other one takes over')
        frozen.send(signal.SIGCONT)
        self.check_arrived(10, 30)
        self.assertEqual(frozen.stop(), 0)

    def test_killed_at_random(self):
        """Three relays, one of which is killed every now and then, and an API that does all that it can do wrong."""
        chance = random.Random(SEED)
        self.box.faults({'seed': SEED, 'chance': MANY_FAULTS, 'delay_ms': 30, 'retry_after': 0})
        users, each = 40, 75
        relays = [self.relay('--connections', '4') for _ in range(3)]
        publishing = self.start_publish(events(users, each))
        for _ in range(12):
            time.sleep(chance.uniform(0.1, 1.2))
            victim = relays.pop(chance.randrange(len(relays)))
            victim.kill()
            relays.append(self.relay('--connections', '4'))
        self.finish_publish(publishing)
        self.check_arrived(users, each)
        self.assertEqual(self.in_stream('OUTBOUND_DEAD'), 0)


class Losses(Case):
    def through(self, swallows):
        line = LossyLine(self.nats[0].port, swallows)
        self.addCleanup(line.close)
        urls, self.urls = self.urls, f'nats://127.0.0.1:{line.port}'
        one = self.relay('--take-over', '60')
        self.urls = urls
        self.until(lambda: self.shares() == [16], 'it has all partitions')
        return one

    def test_a_delivery_that_is_lost_is_not_overtaken(self):
        lost = []

        def swallows(frame):
            hit = frame.startswith(b'HMSG') and b'"user 0"' in frame and b'{"n":3}' in frame and not lost
            if hit:
                lost.append(frame)
            return hit
        one = self.through(swallows)
        self.publish(events(3, 10))
        self.check_arrived(3, 10)
        self.assertEqual(len(lost), 1)
        self.assertIn('begins anew: a delivery is missing', one.text())

    def test_an_acknowledgement_that_is_lost_sends_nothing_again(self):
        lost = []

        def swallows(frame):
            hit = frame.startswith(b'PUB $JS.ACK.') and len(lost) < 3
            if hit:
                lost.append(frame)
            return hit
        self.through(swallows)
        self.publish(events(3, 10))
        self.check_arrived(3, 10)
        self.assertEqual(len(lost), 3)
        self.assertEqual(self.box.get()['requests'], 30)


class Restart(Case):
    def test_the_only_server_is_killed_and_comes_back(self):
        self.relay()
        publishing = self.start_publish(events(20, 100), workers=4)
        self.until(lambda: self.box.get()['events'] > 100, 'some have arrived')
        self.nats[0].kill()
        time.sleep(1)
        self.nats[0].start()
        self.finish_publish(publishing)
        self.check_arrived(20, 100)


class Cluster(Case):
    servers = 3
    create = ('--replicas', '3', '--partitions', '6')

    def test_a_server_is_killed_and_comes_back(self):
        chance = random.Random(SEED)
        users, each = 30, 100
        for _ in range(2):
            self.relay()
        self.until(lambda: self.shares() == [3, 3], 'they have equal shares')
        self.box.faults({'seed': SEED, 'chance': {'drop_after': 0.01, '503': 0.02, 'delay': 0.05}, 'delay_ms': 10})
        first = self.start_publish(events(users, each // 2), workers=2)
        self.until(lambda: self.box.get()['events'] > 50, 'some have arrived')
        victim = chance.choice(self.nats)
        victim.kill()
        self.finish_publish(first)
        second = self.start_publish(events(users, each // 2, first=each // 2), workers=2)
        time.sleep(1)
        victim.start()
        self.finish_publish(second)
        self.check_arrived(users, each)


if __name__ == '__main__':
    RELAY, PUBLISH, PUBLISHER_TEST, sandbox.SANDBOX = sys.argv[1:5]
    if NATS is None:
        print('SKIPPED: the relay: nats-server is not here (Debian: nats-server)')
        sys.exit(77)
    print(f'seed {SEED}: OUTBOUND_RELAY_SEED={SEED} plays it again')
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]], verbosity=2)
