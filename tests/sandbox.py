"""The sandbox as a client without any library sees it: bytes on a socket. Faults, deduplication, logs, stream
and database.

Usage: sandbox.py SANDBOX_EXECUTABLE [unittest's arguments]
"""
import contextlib
import http.client
import json
import os
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import zlib

KEY = 'sandbox-key'
TRACK = '/v2/track'
IDENTIFY = '/v2/identify'
LIMIT_S = 30  # after which a test that hangs fails
SANDBOX = ''


def event(user, name='e'):
    return json.dumps({'user_id': user, 'event': name}).encode()


def request(path, body, guid=None, key=KEY, more=(), without=()):
    """`more`: lines to add. `without`: the names of those to leave out."""
    head = ['Host: 127.0.0.1', f'X-Outbound-Key: {key}', 'Content-Type: application/json',
            f'Content-Length: {len(body)}']
    if guid is not None:
        head.append(f'X-Outbound-GUID: {guid}')
    head = [line for line in head if line.split(':')[0] not in without]
    return '\r\n'.join([f'POST {path} HTTP/1.1', *head, *more]).encode() + b'\r\n\r\n' + body


class Connection:
    """One connection, kept for as long as the other side does."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), LIMIT_S)
        self.buffer = b''

    def close(self):
        self.socket.close()

    def write(self, data):
        self.socket.sendall(data)

    def read_more(self):
        got = self.socket.recv(65536)
        self.buffer += got
        return got != b''

    def read_to_end(self):
        """All bytes until the other side closes."""
        while self.read_more():
            pass
        out, self.buffer = self.buffer, b''
        return out

    def read_answer(self):
        """One answer: status, headers, body. The rest stays for the next."""
        while b'\r\n\r\n' not in self.buffer:
            if not self.read_more():
                raise EOFError(self.buffer)
        head, self.buffer = self.buffer.split(b'\r\n\r\n', 1)
        first, *lines = head.decode('latin-1').split('\r\n')
        headers = dict(line.split(': ', 1) for line in lines)
        length = int(headers.get('Content-Length', 0))
        while len(self.buffer) < length:
            if not self.read_more():
                raise EOFError(self.buffer)
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(first.split(' ')[1]), headers, body

    def ask(self, path, body, **more):
        self.write(request(path, body, **more))
        return self.read_answer()

    def is_closed(self):
        """Whether the other side closed without a byte. Waits for a byte or the close."""
        return self.read_to_end() == b''


class Sandbox:
    """The executable as a child process."""

    def __init__(self, *options, port=0, folder=None):
        command = [SANDBOX, '--port', str(port), '--key', KEY, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        self.port = int(self.process.stdout.readline().rsplit(':', 1)[1])

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(LIMIT_S)
        self.process.stdout.close()
        return self.process.returncode

    def own(self, method, path, wish=None):
        """Status and text of the answer of one of the sandbox's own endpoints."""
        link = http.client.HTTPConnection('127.0.0.1', self.port, timeout=LIMIT_S)
        with contextlib.closing(link):
            link.request(method, path, None if wish is None else json.dumps(wish))
            answer = link.getresponse()
            return answer.status, answer.read().decode()

    def get(self, path='/sandbox'):
        status, text = self.own('GET', path)
        assert status == 200, text
        return json.loads(text)

    def deliveries(self):
        status, text = self.own('GET', '/sandbox/deliveries')
        assert status == 200, text
        return [json.loads(line) for line in text.splitlines()]

    def faults(self, wish):
        status, text = self.own('POST', '/sandbox/faults', wish)
        assert status == 200, text
        return json.loads(text)


class Case(unittest.TestCase):
    options = ()

    def setUp(self):
        self.box = Sandbox(*self.options)
        self.addCleanup(self.box.end)

    def connect(self):
        link = Connection(self.box.port)
        self.addCleanup(link.close)
        return link

    def outcome(self, path=TRACK, body=None, **more):
        """What one call on a connection of its own gets: a status, or a word for what is none."""
        with contextlib.closing(Connection(self.box.port)) as link:
            link.write(request(path, event('u') if body is None else body, **more))
            while b'\r\n' not in link.buffer:
                if not link.read_more():
                    return 'garbage' if link.buffer else 'dropped'
            if not link.buffer.startswith(b'HTTP/1.1 '):
                return 'garbage'
            try:
                status, _, body = link.read_answer()
            except EOFError:
                return 'truncated'
            if status == 200 and body != b'{}':
                return 'garbage_body'
            return status

    def outcomes(self, count, **more):
        return [self.outcome(**more) for _ in range(count)]

    def events(self):
        return self.box.get()['events']


class Drops(Case):
    def test_drop_before_leaves_the_call_unprocessed(self):
        self.box.faults({'drop_before': 1})
        link = self.connect()
        link.write(request(TRACK, event('u')))
        self.assertTrue(link.is_closed())
        self.assertEqual(self.events(), 0)
        self.assertEqual(self.box.get('/sandbox/requests'), [])
        self.assertEqual(self.outcome(), 200)

    def test_drop_after_has_processed_the_call(self):
        self.box.faults({'drop_after': 1})
        link = self.connect()
        link.write(request(TRACK, event('u')))
        self.assertTrue(link.is_closed())
        self.assertEqual(self.events(), 1)
        self.assertEqual(self.outcome(), 200)
        self.assertEqual(self.events(), 2)

    def test_the_short_form_means_the_nth_call(self):
        self.box.faults({'drop_before': 2, 'drop_after': 4})
        self.assertEqual(self.outcomes(5), [200, 'dropped', 200, 'dropped', 200])
        self.assertEqual(self.events(), 4)

    def test_the_short_form_replaces_itself_and_0_takes_it_away(self):
        self.box.faults({'drop_before': 5})
        self.assertEqual(self.box.faults({'drop_before': 1}), [{'fault': 'drop_before', 'nth': 1, 'calls': 1}])
        self.assertEqual(self.box.faults({'drop_before': 0}), [])
        self.assertEqual(self.outcomes(2), [200, 200])

    def test_where_both_meet_drop_before_wins(self):
        self.box.faults({'fault': 'drop_after'})
        self.box.faults({'fault': 'drop_before'})
        self.assertEqual(self.outcomes(2), ['dropped', 200])
        self.assertEqual(self.events(), 1)

    def test_a_call_that_would_be_refused_is_dropped_too(self):
        self.box.faults({'drop_after': 1})
        self.assertEqual(self.outcome(key='wrong'), 'dropped')
        self.assertEqual([one['status'] for one in self.box.get('/sandbox/rejected')], [401])


class Statuses(Case):
    def test_every_error_comes_whole_and_unprocessed_on_a_connection_that_stays(self):
        link = self.connect()
        for status in (300, 307, 400, 401, 403, 404, 405, 408, 410, 413, 422, 425, 429, 500, 501, 502, 503, 504, 599,
                       999):
            with self.subTest(status=status):
                self.box.faults({'status': status})
                got, headers, body = link.ask(TRACK, event('u'))
                self.assertEqual(got, status)
                self.assertEqual(headers, {'Content-Type': 'application/json', 'Content-Length': str(len(body))})
                self.assertEqual(json.loads(body)['error']['Code'], 15)
                self.assertEqual(link.ask(TRACK, event('u'))[0], 200)
        self.assertEqual(self.events(), 20)
        self.assertEqual(self.box.get()['rejected'], 0)

    def test_a_success_has_processed_the_call(self):
        link = self.connect()
        for status in (201, 202):
            self.box.faults({'status': status})
            got, _, body = link.ask(TRACK, event('u'))
            self.assertEqual((got, body), (status, b'{}'))
        self.assertEqual(self.events(), 2)

    def test_statuses_without_a_body_have_none(self):
        link = self.connect()
        for status, length in ((204, None), (304, '0')):
            self.box.faults({'status': status})
            got, headers, body = link.ask(TRACK, event('u'))
            self.assertEqual((got, headers.get('Content-Length'), body), (status, length, b''))
            self.assertEqual(link.ask(TRACK, event('u'))[0], 200)

    def test_an_error_after_processing(self):
        self.box.faults({'status': 502, 'processed': True})
        self.assertEqual(self.outcome(), 502)
        self.assertEqual(self.events(), 1)

    def test_retry_after_goes_out_as_it_was_given(self):
        link = self.connect()
        for status in (429, 503):
            for given, sent in ((0, '0'), (7, '7'), (-1, '-1'), ('99999999999999999999', '99999999999999999999'),
                                ('Sun, 06 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 08:49:37 GMT'),
                                ('Sunday, 06-Nov-94 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT'),
                                ('Sun Nov  6 08:49:37 1994', 'Sun Nov  6 08:49:37 1994'), ('soon', 'soon')):
                with self.subTest(status=status, given=given):
                    self.box.faults({'status': status, 'retry_after': given})
                    got, headers, _ = link.ask(TRACK, event('u'))
                    self.assertEqual((got, headers['Retry-After']), (status, sent))

    def test_a_redirect_says_where(self):
        self.box.faults({'status': 308, 'location': 'http://127.0.0.1:1/elsewhere'})
        got, headers, _ = self.connect().ask(TRACK, event('u'))
        self.assertEqual((got, headers['Location']), (308, 'http://127.0.0.1:1/elsewhere'))

    def test_the_fault_stands_even_for_a_call_that_would_be_refused(self):
        self.box.faults({'status': 503})
        self.assertEqual(self.outcome(key='wrong'), 503)
        self.assertEqual(self.outcome(key='wrong'), 401)


class Which(Case):
    def test_from_the_nth_call_on_so_many(self):
        shown = self.box.faults({'status': 503, 'nth': 3, 'calls': 2})
        self.assertEqual(shown, [{'status': 503, 'nth': 3, 'calls': 2}])
        self.assertEqual(self.outcomes(3), [200, 200, 503])
        self.assertEqual(self.box.get('/sandbox/faults'), [{'status': 503, 'nth': 1, 'calls': 1}])
        self.assertEqual(self.outcomes(2), [503, 200])
        self.assertEqual(self.box.get('/sandbox/faults'), [])

    def test_all_calls_until_the_faults_are_forgotten(self):
        self.box.faults({'status': 401, 'calls': 'all'})
        self.assertEqual(self.outcomes(50), [401] * 50)
        self.assertEqual(self.box.own('DELETE', '/sandbox/faults'), (200, '{}'))
        self.assertEqual(self.outcome(), 200)
        self.assertEqual(self.box.get()['faults'], {'401': 50}, 'what was counted stays')

    def test_one_path_only_and_other_paths_do_not_count(self):
        self.box.faults({'status': 410, 'path': TRACK, 'nth': 2, 'calls': 2})
        user = b'{"user_id":"u"}'
        got = [self.outcome(path, event('u') if path == TRACK else user)
               for path in (IDENTIFY, TRACK, IDENTIFY, TRACK, IDENTIFY, TRACK, TRACK)]
        self.assertEqual(got, [200, 200, 200, 410, 200, 410, 200])

    def test_for_a_time(self):
        self.box.faults({'status': 401, 'for_ms': 24 * 60 * 60 * 1000})
        self.assertEqual(self.outcomes(20), [401] * 20)
        self.box.own('DELETE', '/sandbox/faults')
        self.box.faults({'status': 401, 'for_ms': 20})
        link = self.connect()
        while link.ask(TRACK, event('u'))[0] == 401:
            pass
        self.assertEqual(self.box.get('/sandbox/faults'), [])

    def test_several_at_once_the_older_first(self):
        self.box.faults([{'status': 500, 'calls': 2}, {'status': 429, 'calls': 3, 'retry_after': 1}])
        self.assertEqual(self.outcomes(4), [500, 500, 429, 200])

    def test_what_is_no_call_is_not_counted(self):
        self.box.faults({'drop_before': 1})
        self.assertEqual(self.box.own('GET', '/v2/track')[0], 405)
        self.assertEqual(self.box.own('POST', '/v2/nowhere', {})[0], 404)
        self.assertEqual(self.outcome(), 'dropped')

    def test_what_is_shown_can_be_asked_for_again(self):
        shown = self.box.faults([{'seed': 7, 'chance': {'500': 0.25, 'delay': 0.5}, 'delay_ms': 1, 'calls': 9},
                                 {'fault': 'drop_after', 'nth': 2, 'path': TRACK},
                                 {'status': 429, 'retry_after': 'soon', 'calls': 'all'}])
        self.box.own('DELETE', '/sandbox/faults')
        self.assertEqual(self.box.faults(shown), shown)

    def test_a_reset_forgets_the_faults(self):
        self.box.faults({'status': 500, 'calls': 'all'})
        self.box.own('DELETE', '/sandbox')
        self.assertEqual(self.outcome(), 200)

    def test_what_is_no_wish_is_refused_and_adds_nothing(self):
        good = {'status': 500}
        for wish, code in (
                (1, 2), ([1], 2), ({}, 3), ({'fault': 'nonsense'}, 4), ({'fault': '99'}, 4), ({'fault': '1000'}, 4),
                ({'fault': 503}, 4), ({'status': '503'}, 4), ({'status': 100}, 4),
                ({'status': 503, 'fault': 'delay'}, 4),
                ({'status': 503, 'sometimes': 1}, 5), ({'status': 503, 'nth': 0}, 4), ({'status': 503, 'calls': 0}, 4),
                ({'status': 503, 'calls': 'some'}, 4), ({'status': 503, 'for_ms': 0}, 4),
                ({'status': 503, 'for_ms': 1e3}, 4),
                ({'status': 503, 'path': '/v2/nowhere'}, 4), ({'status': 503, 'seed': 1}, 4),
                ({'status': 503, 'retry_after': '1\r\nX: y'}, 4), ({'status': 503, 'retry_after': 1.5}, 4),
                ({'status': 302, 'location': 'a\nb'}, 4), ({'fault': 'delay'}, 3),
                ({'fault': 'delay', 'delay_ms': 60001}, 4),
                ({'fault': 'drop_before', 'processed': True}, 4), ({'fault': 'garbage', 'retry_after': 1}, 4),
                ({'chance': {}}, 4), ({'chance': {'500': 0.6, '503': 0.6}}, 4), ({'chance': {'500': -0.1}}, 4),
                ({'chance': {'nonsense': 0.1}}, 4), ({'chance': {'delay': 0.1}}, 3),
                ({'chance': {'500': 1}, 'delay_ms': 5}, 4),
                ({'drop_before': -1}, 4), ({'drop_before': 1, 'status': 500}, 5), ([good, {'fault': 'nonsense'}], 4)):
            with self.subTest(wish=wish):
                status, text = self.box.own('POST', '/sandbox/faults', wish)
                self.assertEqual((status, json.loads(text)['error']['Code']), (400, code), text)
                self.assertEqual(self.box.get('/sandbox/faults'), [])


class Delays(Case):
    def test_the_answer_comes_whole(self):
        self.box.faults({'fault': 'delay', 'delay_ms': 20})
        link = self.connect()
        self.assertEqual(link.ask(TRACK, event('u'))[::2], (200, b'{}'))
        self.assertEqual(link.ask(TRACK, event('u'))[::2], (200, b'{}'))
        self.assertEqual(self.box.get()['faults'], {'delay': 1})

    def test_other_connections_are_not_held_up_and_the_end_cuts_it_short(self):
        self.box.faults([{'fault': 'delay', 'delay_ms': 60000, 'calls': 16},
                         {'fault': 'delay', 'delay_ms': 1, 'calls': 16}])  # they add up
        slow = [self.connect() for _ in range(16)]  # more than the server has threads
        for link in slow:
            link.write(request(TRACK, event('slow')))
        link = self.connect()
        while self.box.get()['requests'] < 16:  # processed when it comes; the answer waits
            pass
        for _ in range(100):
            self.assertEqual(link.ask(TRACK, event('quick'))[0], 200)
        self.assertEqual(select.select([one.socket for one in slow], [], [], 0)[0], [])
        self.box.process.terminate()
        for one in slow:
            self.assertEqual(one.read_answer()[::2], (200, b'{}'))
            one.close()
        self.assertEqual(self.box.process.wait(LIMIT_S), 0)

    def test_with_another_fault(self):
        self.box.faults([{'fault': 'delay', 'delay_ms': 5, 'calls': 2}, {'status': 503, 'delay_ms': 5, 'calls': 1},
                         {'fault': 'drop_before', 'delay_ms': 5, 'nth': 2}])
        self.assertEqual(self.outcomes(3), [503, 'dropped', 200])

    def test_a_client_that_does_not_wait_does_no_harm(self):
        self.box.faults({'fault': 'delay', 'delay_ms': 20})
        with contextlib.closing(Connection(self.box.port)) as link:
            link.write(request(TRACK, event('u')))
            while self.events() == 0:
                pass
        self.assertEqual(self.outcome(), 200)


class Garbage(Case):
    def test_what_is_no_http(self):
        self.box.faults({'fault': 'garbage', 'calls': 2})
        link = self.connect()
        link.write(request(TRACK, event('u')))
        got = link.read_to_end()
        self.assertEqual(got, b'\xff\xfe this is no HTTP \x01\x02\x03\r\n\r\n')
        self.assertEqual(self.events(), 1)
        library = http.client.HTTPConnection('127.0.0.1', self.box.port, timeout=LIMIT_S)
        with contextlib.closing(library):
            library.request('POST', TRACK, event('u'), {'X-Outbound-Key': KEY, 'Content-Type': 'application/json'})
            self.assertRaises(http.client.BadStatusLine, library.getresponse)

    def test_what_ends_too_early(self):
        self.box.faults({'fault': 'truncated'})
        link = self.connect()
        link.write(request(TRACK, event('u')))
        head, body = link.read_to_end().split(b'\r\n\r\n')
        self.assertTrue(head.startswith(b'HTTP/1.1 200 OK\r\n'))
        self.assertIn(b'Content-Length: 102\r\n', head + b'\r\n')
        self.assertEqual(body, b'{}')
        self.assertEqual(self.events(), 1)

    def test_a_200_with_a_body_that_makes_no_sense(self):
        self.box.faults({'fault': 'garbage_body'})
        link = self.connect()
        got, headers, body = link.ask(TRACK, event('u'))
        self.assertEqual((got, headers['Content-Type']), (200, 'application/json'))
        self.assertRaises(ValueError, json.loads, body)
        self.assertEqual(self.events(), 1)
        self.assertEqual(link.ask(TRACK, event('u'))[0], 200)

    def test_unprocessed_if_so_asked(self):
        for fault in ('garbage', 'truncated', 'garbage_body'):
            self.box.faults({'fault': fault, 'processed': False})
            self.assertEqual(self.outcome(), fault)
        self.assertEqual(self.events(), 0)


class AtRandom(Case):
    CHANCES = {'drop_before': 0.1, 'drop_after': 0.1, 'delay': 0.1, '429': 0.1, '500': 0.1, '503': 0.1, '401': 0.1,
               'garbage': 0.1, 'truncated': 0.05, 'garbage_body': 0.05}

    # Worked out with another implementation of the generator: 64-bit Mersenne Twister, top 53 bits, names sorted.
    SERIES_OF_7 = ['garbage', 200, 429, 'truncated', 429, 401, 'garbage_body', 200, 500, 'garbage', 'garbage',
                   'dropped', 503, 503, 'garbage_body', 503, 200, 200, 'truncated', 500]

    def series(self, count, **wish):
        self.box.own('DELETE', '/sandbox')
        self.box.faults({'chance': self.CHANCES, 'delay_ms': 1, **wish})
        return self.outcomes(count)

    def test_a_seed_and_a_series_of_calls_give_the_same_faults(self):
        first = self.series(200, seed=7)
        self.assertEqual(self.series(200, seed=7), first)
        self.assertNotEqual(self.series(200, seed=8), first)

    def test_the_series_is_the_same_on_every_machine(self):
        self.assertEqual(self.series(20, seed=7), self.SERIES_OF_7)

    def test_what_was_met_is_counted_and_seen(self):
        got = self.series(300, seed=1)
        counts = self.box.get()['faults']
        self.assertEqual(set(counts), set(self.CHANCES))
        for name in ('garbage', 'truncated', 'garbage_body'):
            self.assertEqual(got.count(name), counts[name])
        for status in (429, 500, 503, 401):
            self.assertEqual(got.count(status), counts[str(status)])
        self.assertEqual(got.count('dropped'), counts['drop_before'] + counts['drop_after'])
        self.assertEqual(got.count(200), 300 - sum(counts.values()) + counts['delay'])
        unprocessed = sum(counts[name] for name in ('drop_before', '429', '500', '503', '401'))
        self.assertEqual(self.events(), 300 - unprocessed)

    def test_for_so_many_calls(self):
        self.box.faults({'chance': {'503': 1}, 'calls': 3, 'retry_after': 2})
        self.assertEqual(self.outcomes(5), [503, 503, 503, 200, 200])

    def test_no_chance_at_all(self):
        self.box.faults({'chance': {'503': 0, '500': 0.0}})
        self.assertEqual(self.outcomes(50), [200] * 50)

    def test_retry_after_goes_with_what_asks_to_wait(self):
        self.box.faults({'seed': 3, 'chance': {'429': 0.3, '503': 0.3, '500': 0.3}, 'retry_after': 5})
        link = self.connect()
        seen = {}
        for _ in range(60):
            status, headers, _ = link.ask(TRACK, event('u'))
            seen.setdefault(status, set()).add(headers.get('Retry-After'))
        self.assertEqual(seen, {200: {None}, 429: {'5'}, 503: {'5'}, 500: {None}})


class Strict(Case):
    """What many a server would let pass."""

    def refused(self, status, code, why, path=TRACK, **more):
        """By a connection that stays or closes: which, is returned."""
        link = self.connect()
        link.write(request(path, event('u'), **more))
        got, headers, body = link.read_answer()
        error = json.loads(body)['error']
        self.assertEqual((got, error['Code'], error['Message']), (status, code, why))
        self.assertEqual(self.events(), 0)
        last = self.box.get('/sandbox/rejected')[-1]
        self.assertEqual((last['status'], last['reason']), (status, why))
        return headers.get('Connection')

    def test_a_request_without_a_host_or_with_two(self):
        for more in ({'without': ['Host']}, {'more': ['Host: 127.0.0.1']}):
            self.assertEqual(self.refused(400, 14, 'cannot be read as HTTP: Host has to be there once', **more), 'close')
        for bad in ('a b', 'http://127.0.0.1', 'a,b/', '127.0.0.1:x', 'user@127.0.0.1'):
            why = 'cannot be read as HTTP: Host is no host and port'
            self.assertEqual(self.refused(400, 14, why, without=['Host'], more=[f'Host: {bad}']), 'close')
        for good in ('', 'localhost', 'localhost:', '[::1]:8080', 'a-b.example:80'):
            self.assertEqual(self.outcome(without=['Host'], more=[f'Host: {good}']), 200, good)

    def test_an_old_client_needs_no_host(self):
        link = self.connect()
        link.write(request(TRACK, event('u'), without=['Host']).replace(b'HTTP/1.1', b'HTTP/1.0', 1))
        self.assertEqual(link.read_answer()[0], 200)

    def test_a_field_that_is_there_twice(self):
        for name, first, other in (('X-Outbound-Key', KEY, 'wrong'), ('Content-Type', 'application/json', 'text/plain'),
                                   ('X-Outbound-GUID', 'a', 'b'), ('X-Outbound-Client', 'a/1', 'b/1')):
            for values in ((first, first), (first, other), (other, first)):
                stays = self.refused(400, 17, f'{name} is there twice', without=[name],
                                     more=[f'{name}: {values[0]}', f'{name.lower()}: {values[1]}'])
                self.assertIsNone(stays)

    def test_a_guid_that_is_empty_is_none(self):
        self.box.own('POST', '/sandbox/settings', {'deduplicate': True})
        for guid in ('', ' ', '\t'):
            self.refused(400, 17, 'X-Outbound-GUID is empty', guid=guid)
        self.assertEqual(self.outcome(), 200)

    def test_a_body_that_is_said_to_be_encoded(self):
        for coding in ('gzip', 'identity', ''):
            self.refused(400, 17, 'Content-Encoding is there, and a body is sent as it is',
                         more=[f'Content-Encoding: {coding}'])

    def test_another_charset_than_utf_8(self):
        def typed(content_type):
            return {'without': ['Content-Type'], 'more': [f'Content-Type: {content_type}']}
        for good in ('application/json; charset=utf-8', 'Application/JSON;CHARSET="UTF-8"', 'application/json ; v=1',
                     'application/json; a="x;charset=latin1"; charset=utf-8', 'application/json; a="\\";"; b=c',
                     'application/json;'):
            self.assertEqual(self.outcome(**typed(good)), 200, good)
        self.box.own('DELETE', '/sandbox')
        for bad in ('application/json; charset=latin1', 'application/json;charset="utf-16"',
                    'application/json; a=b;Charset=utf8', 'application/json; charset=utf-8; charset=latin1',
                    'application/json; charset=""', 'application/json; charset', 'application/json; charset = utf-8',
                    'application/json; a="x', 'application/json; a="x"y', 'application/json; =x',
                    'application/json, text/plain', 'application/jsonx', 'application', ''):
            self.refused(400, 9, 'Content-Type must be application/json, in UTF-8', **typed(bad))

    def test_a_target_in_absolute_form(self):
        for target in (f'http://127.0.0.1:{self.box.port}{TRACK}', f'HTTP://elsewhere.example{TRACK}?a=/b'):
            self.assertEqual(self.outcome(target), 200, target)
        self.assertEqual([one['path'] for one in self.box.get('/sandbox/requests')], [TRACK] * 2)
        self.box.own('DELETE', '/sandbox')
        for target, path in (('http://127.0.0.1/v2/nowhere', '/v2/nowhere'), ('http://127.0.0.1?a/v2/track', '/'),
                             ('http:///v2/track', 'http:///v2/track'), ('ftp://127.0.0.1/v2/track',) * 2):
            link = self.connect()
            link.write(request(target, event('u')))
            self.assertIn(link.read_answer()[0], (404, 405))
            self.assertEqual(self.box.get('/sandbox/rejected')[-1]['path'], path)

    def test_more_than_8_KiB_of_head(self):
        closes = self.refused(431, 18, 'request line and header have more than 8192 bytes', more=['X: ' + 'x' * 8192])
        self.assertEqual(closes, 'close')


class Duplicates(Case):
    def counts(self):
        totals = self.box.get()
        return totals['requests'], totals['events'], totals['duplicates'], totals['conflicts']

    def call(self, guid, body):
        self.assertEqual(self.outcome(guid=guid, body=body), 200)

    def send_all(self):
        self.call('a', event('u', 'one'))
        self.call('b', event('u', 'two'))
        self.call('a', event('u', 'one'))
        self.call('a', event('u', 'three'))
        self.call(None, event('u', 'four'))
        self.call(None, event('u', 'four'))

    def test_are_applied_and_counted(self):
        self.send_all()
        self.assertEqual(self.counts(), (6, 6, 1, 1))
        self.assertEqual([(one['seen'], one['applied']) for one in self.box.deliveries()],
                         [('first', True), ('first', True), ('duplicate', True), ('conflict', True), ('first', True),
                          ('first', True)])

    def test_are_not_applied_if_so_asked(self):
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': False, 'usual_key': True})
        changed = self.box.own('POST', '/sandbox/settings', {'deduplicate': True})
        self.assertEqual(changed, (200, '{"deduplicate":true,"usual_key":true}'))
        self.send_all()
        self.assertEqual(self.counts(), (6, 4, 1, 1))
        self.assertEqual([one['event'] for one in self.box.get('/sandbox/events')], ['one', 'two', 'four', 'four'])
        self.assertEqual([(one['seen'], one['applied']) for one in self.box.deliveries()],
                         [('first', True), ('first', True), ('duplicate', False), ('conflict', False), ('first', True),
                          ('first', True)])

    def test_the_same_bytes_to_another_path_are_a_conflict(self):
        body = b'{"user_id":"u"}'
        self.assertEqual(self.outcome('/v2/subscribe/all', body, guid='a'), 200)
        self.assertEqual(self.outcome('/v2/unsubscribe/all', body, guid='a'), 200)
        self.assertEqual(self.counts()[2:], (0, 1))

    def test_what_was_refused_or_not_processed_was_not_seen(self):
        self.assertEqual(self.outcome(guid='a', body=b'{}'), 400)
        self.box.faults({'drop_before': 1})
        self.assertEqual(self.outcome(guid='a', body=event('other')), 'dropped')
        self.call('a', event('u'))
        self.assertEqual(self.counts()[2:], (0, 0))

    def test_an_answer_that_was_lost(self):
        self.box.own('POST', '/sandbox/settings', {'deduplicate': True})
        self.box.faults({'drop_after': 1})
        self.assertEqual(self.outcome(guid='a'), 'dropped')
        self.call('a', event('u'))
        self.assertEqual(self.counts(), (2, 1, 1, 0))

    def test_what_is_no_json_is_refused_in_own_words(self):
        for body, status, why in (
                (b'', 500, 'not JSON: it is empty'),
                (b' \n', 500, 'not JSON: it ends too early, behind byte 2'),
                (b'{"user_id": ', 500, 'not JSON: it ends too early, behind byte 12'),
                (b'{"user_id": "u', 500, 'not JSON: it ends too early, behind byte 14'),
                (b'{"user_id": u}', 500, 'not JSON: something is wrong at byte 13'),
                (b'{"user_id": 1}}', 500, 'not JSON: something is wrong at byte 15'),
                (b'{"a": "\xff"}', 500, 'not UTF-8: byte 8'),
                (b'{"a": "; last read: ill-formed UTF-8\n"}', 500, 'not JSON: something is wrong at byte 37'),
                ('{"a": ë}'.encode(), 500, 'not JSON: something is wrong at byte 7'),
                (b'{"a": "\\x"}', 500, 'not JSON: something is wrong at byte 9'),
                (b'{"a": "' + b'x' * 5_000 + b'\n"}', 500, 'not JSON: something is wrong at byte 5008'),
                (b'{"a": 1e400}', 400, 'a number is beyond what a double can hold: 1e400'),
                (b'[{"user_id": 1}, {"a": -1' + b'0' * 1_000 + b'.5}]', 400,
                 'member 1: a number is beyond what a double can hold: -1' + '0' * 98 + '...')):
            with self.subTest(body=body[:40]):
                answer = self.connect().ask('/v2/track', body)
                self.assertEqual((answer[0], json.loads(answer[2])['error']['Message']), (status, why))

    def test_bad_settings_are_refused(self):
        for wish in (1, {}, {'deduplicate': 1}, {'deduplicate': True, 'more': 1}):
            self.assertEqual(self.box.own('POST', '/sandbox/settings', wish)[0], 400)
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': False, 'usual_key': True})

    def test_a_reset_forgets_the_guids_and_the_setting(self):
        self.box.own('POST', '/sandbox/settings', {'deduplicate': True})
        self.send_all()
        self.box.own('DELETE', '/sandbox')
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': False, 'usual_key': True})
        self.call('a', event('u', 'other'))
        self.assertEqual(self.counts(), (1, 1, 0, 0))


class DuplicatesByOption(Case):
    options = ('--deduplicate',)

    def test_are_not_applied_and_a_reset_keeps_it_so(self):
        for _ in range(2):
            self.assertEqual(self.outcomes(3, guid='a'), [200, 200, 200])
            self.assertEqual((self.events(), self.box.get()['duplicates']), (1, 2))
            self.box.own('DELETE', '/sandbox')
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': True, 'usual_key': True})


class Logs(Case):
    def test_a_delivery_says_who_what_and_when(self):
        body = event(42)
        batch = b'[' + event('a') + b',' + event('b') + b',' + event('a') + b']'
        self.assertEqual(self.outcome(body=body, guid='g-1'), 200)
        self.assertEqual(self.outcome('/v2/track/batch', batch), 200)
        self.assertEqual(self.box.deliveries(), [
            {'seq': 1, 'path': TRACK, 'guid': 'g-1', 'users': ['42'], 'bytes': len(body), 'crc32': zlib.crc32(body),
             'seen': 'first', 'applied': True},
            {'seq': 2, 'path': '/v2/track/batch', 'users': ['a', 'b', 'a'], 'bytes': len(batch),
             'crc32': zlib.crc32(batch), 'seen': 'first', 'applied': True}])

    def test_deliveries_keep_the_order_and_more_than_the_requests(self):
        count = 12_000
        link = self.connect()
        for first in range(0, count, 1000):
            link.write(b''.join(request(TRACK, event(f'u{i % 7}'), guid=f'g{i}') for i in range(first, first + 1000)))
            for _ in range(1000):
                self.assertEqual(link.read_answer()[0], 200)
        got = self.box.deliveries()
        self.assertEqual([(one['seq'], one['guid'], one['users']) for one in got],
                         [(i + 1, f'g{i}', [f'u{i % 7}']) for i in range(count)])
        self.assertEqual(len(self.box.get('/sandbox/requests')), 10_000)

    def test_deliveries_are_bounded_in_bytes(self):
        link = self.connect()
        count = 150
        for i in range(count):
            self.assertEqual(link.ask(TRACK, event(str(i) + 'x' * (1024 * 1024 - 100)))[0], 200)
        got = [one['seq'] for one in self.box.deliveries()]
        self.assertEqual(got, list(range(got[0], count + 1)))
        self.assertTrue(120 <= len(got) <= 128, len(got))

    def test_calls_that_met_a_fault_are_kept_with_their_bytes(self):
        self.box.faults([{'fault': 'drop_before'}, {'status': 503, 'nth': 2}, {'fault': 'drop_after', 'nth': 3}])
        body = event('u')
        self.assertEqual(self.outcomes(4, body=body, guid='g'), ['dropped', 503, 'dropped', 200])
        row = {'path': TRACK, 'body': body.decode(), 'guid': 'g'}
        met = self.box.get('/sandbox/faulted')
        for one in met:
            self.assertGreater(one.pop('received'), 1_700_000_000)
        self.assertEqual(met, [{**row, 'fault': 'drop_before', 'processed': False},
                               {**row, 'fault': '503', 'processed': False},
                               {**row, 'fault': 'drop_after', 'processed': True}])
        self.assertEqual([one['seen'] for one in self.box.deliveries()], ['first', 'duplicate'])

    def test_a_call_in_pieces_and_two_in_one(self):
        link = self.connect()
        whole = request(TRACK, event('u'))
        head = whole.index(b'\r\n\r\n') + 4
        link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (whole[:1], whole[1:20], whole[20:head - 1], whole[head - 1:head + 3], whole[head + 3:]):
            link.write(piece)
        self.assertEqual(link.read_answer()[0], 200)
        link.write(whole + whole[:30])
        self.assertEqual(link.read_answer()[0], 200)
        link.write(whole[30:])
        self.assertEqual(link.read_answer()[0], 200)
        self.assertEqual(self.events(), 3)

    def test_the_end_closes_idle_connections(self):
        links = [self.connect() for _ in range(10)]
        for link in links[1:]:
            self.assertEqual(link.ask(TRACK, event('u'))[0], 200)
        self.box.process.terminate()
        for link in links:
            self.assertTrue(link.is_closed())
        self.assertEqual(self.box.process.wait(LIMIT_S), 0)

    def test_many_connections_at_once(self):
        links = [self.connect() for _ in range(128)]
        for turn in range(5):
            for number, link in enumerate(links):
                link.write(request(TRACK, event(number), guid=f'{number}-{turn}'))
            for link in links:
                self.assertEqual(link.read_answer()[0], 200)
        mine = {}
        for one in self.box.deliveries():
            mine.setdefault(one['users'][0], []).append(one['guid'])
        self.assertEqual(mine, {str(number): [f'{number}-{turn}' for turn in range(5)] for number in range(128)})


class Listener:
    """One reader of /sandbox/stream."""

    def __init__(self, port, last_event_id=None):
        self.link = Connection(port)
        resume = '' if last_event_id is None else f'Last-Event-ID: {last_event_id}\r\n'
        self.link.write(f'GET /sandbox/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n{resume}\r\n'.encode())
        head = self.read_block('\r\n\r\n').split('\r\n')
        self.status = int(head[0].split(' ')[1])
        self.headers = dict(line.split(': ', 1) for line in head[1:])

    def close(self):
        self.link.close()

    def read_block(self, end='\n\n'):
        while end.encode() not in self.link.buffer:
            if not self.link.read_more():
                raise EOFError(self.link.buffer)
        block, self.link.buffer = self.link.buffer.split(end.encode(), 1)
        return block.decode()

    def read(self):
        """The next message: what it is called, its id, its data."""
        lines = self.read_block().split('\n')
        if lines[0].startswith('retry: '):
            lines = self.read_block().split('\n')
        names, values = zip(*(line.split(': ', 1) for line in lines))
        assert names == ('event', 'id', 'data'), lines
        return values[0], values[1], json.loads(values[2])

    def read_until(self, name):
        """All messages up to the first of that name."""
        out = [self.read()]
        while out[-1][0] != name:
            out.append(self.read())
        return out


class Stream(Case):
    def listen(self, *more):
        one = Listener(self.box.port, *more)
        self.addCleanup(one.close)
        return one

    def test_tells_what_there_is_and_then_what_comes(self):
        self.assertEqual(self.outcome(IDENTIFY, b'{"user_id":1}'), 200)
        self.assertEqual(self.outcome(body=event('u', 'one'), guid='g'), 200)
        self.assertEqual(self.outcome(body=b'{}'), 400)
        listener = self.listen()
        got = listener.read_until('totals')
        self.assertEqual([name for name, _, _ in got], ['reset', 'user', 'event', 'rejected', 'totals'])
        data = {name: data for name, _, data in got}
        self.assertEqual(data['user'], self.box.get('/sandbox/users')[0])
        self.assertEqual(data['event'], self.box.get('/sandbox/events')[0])
        self.assertEqual(data['rejected'], self.box.get('/sandbox/rejected')[0])
        self.assertEqual(data['totals'], self.box.get())
        self.assertEqual(self.outcome(body=event('u', 'one'), guid='g'), 200)
        got = listener.read_until('totals')
        self.assertEqual([name for name, _, _ in got], ['repeated', 'event', 'totals'])
        self.assertEqual((got[0][2]['seen'], got[0][2]['applied'], got[1][2]['seen']), ('duplicate', True, 'duplicate'))
        self.assertEqual(self.box.get('/sandbox/repeated'), [got[0][2]])

    def test_headers(self):
        headers = self.listen().headers
        self.assertEqual(headers, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store',
                                   'X-Content-Type-Options': 'nosniff', 'Connection': 'close'})

    def test_an_alias_says_who_is_gone(self):
        self.outcome(IDENTIFY, b'{"user_id":"a"}')
        listener = self.listen()
        listener.read_until('totals')
        self.outcome(IDENTIFY, b'{"user_id":"b","previous_id":"a"}')
        got = [(name, data['user_id']) for name, _, data in listener.read_until('totals')[:-1]]
        self.assertEqual(got, [('gone', 'a'), ('user', 'b')])

    def test_goes_on_where_a_listener_left(self):
        self.outcome(body=event('u', 'one'))
        with contextlib.closing(self.listen()) as first:
            read = first.read_until('totals')[-1][1]
        self.outcome(body=event('u', 'two'))
        got = self.listen(read).read_until('totals')
        self.assertEqual([(name, data.get('event')) for name, _, data in got], [('event', 'two'), ('totals', None)])
        got = self.listen(got[-1][1]).read()
        self.assertEqual(got[0], 'totals', 'at once, also when there is no news')

    def test_starts_over_for_whoever_read_something_else(self):
        self.outcome()
        read = self.listen().read_until('totals')[-1][1]
        for other in ('', 'nonsense', '1-', '-1', f'{read}x', '1-1', '99999999999999999999-1', '\u00e9'):
            self.assertEqual([name for name, _, _ in self.listen(other).read_until('totals')],
                             ['reset', 'event', 'totals'], other)
        listener = self.listen(read)
        listener.read_until('totals')
        self.box.own('DELETE', '/sandbox')
        self.assertEqual([name for name, _, _ in listener.read_until('totals')], ['reset', 'totals'])

    def test_tells_each_row_once_and_in_order(self):
        link, listener = self.connect(), self.listen()
        listener.read_until('totals')
        count = 5000
        for first in range(0, count, 500):
            link.write(b''.join(request(TRACK, event('u', str(i))) for i in range(first, first + 500)))
            for _ in range(500):
                self.assertEqual(link.read_answer()[0], 200)
        got = []
        while len(got) < count:
            name, _, data = listener.read()
            if name == 'event':
                got.append(int(data['event']))
        self.assertEqual(got, list(range(count)))
        name, _, data = listener.read_until('totals')[-1]
        self.assertEqual(data['events'], count)

    def test_what_comes_in_several_pieces_ends_with_the_totals_too(self):
        """Once, they were missing when the last piece was just full."""
        link = self.connect()
        for size in (300_000, 300_000, 10, 300_000):
            self.assertEqual(link.ask(TRACK, event('u', 'x' * size))[0], 200)
        got = [(name, len(data.get('event', ''))) for name, _, data in self.listen().read_until('totals')[1:]]
        self.assertEqual(got, [('event', 300_000), ('event', 300_000), ('event', 10), ('event', 300_000),
                               ('totals', 0)])

    def test_listeners_are_bounded_and_make_room_when_they_leave(self):
        all_of_them = [self.listen() for _ in range(16)]
        for one in all_of_them:
            one.read_until('totals')
        status, text = self.box.own('GET', '/sandbox/stream')
        self.assertEqual((status, json.loads(text)['error']['Code']), (503, 16))
        self.assertEqual(self.box.get()['rejected'], 0)
        all_of_them[3].close()
        while (again := self.listen()).status == 503:
            again.close()
        self.assertEqual(again.read_until('totals')[0][0], 'reset')

    def test_a_slow_listener_is_dropped_and_holds_up_nobody(self):
        slow = [self.listen() for _ in range(16)]
        link = self.connect()
        for number in range(24):  # far more than the buffers of a socket take
            self.assertEqual(link.ask(TRACK, event('u', str(number) + 'x' * 1_000_000))[0], 200)
        while (quick := self.listen()).status == 503:
            quick.close()
        events = [data['event'] for name, _, data in quick.read_until('totals') if name == 'event']
        self.assertEqual([one.rstrip('x') for one in events], [str(number) for number in range(24)])
        self.assertTrue(slow)

    def test_silence_is_broken_by_heartbeats(self):
        listener = self.listen()
        listener.read_until('totals')
        self.assertEqual(listener.read_block(), ':')

    def test_the_end_closes_streams(self):
        listeners = [self.listen() for _ in range(3)]
        self.box.process.terminate()
        for one in listeners:
            one.link.read_to_end()
        self.assertEqual(self.box.process.wait(LIMIT_S), 0)


class Page(Case):
    def fetch(self, path, method='GET'):
        link = http.client.HTTPConnection('127.0.0.1', self.box.port, timeout=LIMIT_S)
        with contextlib.closing(link):
            link.request(method, path)
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()

    def test_its_files_have_their_types_and_a_strict_policy(self):
        for path, kind, begin in (('/', 'text/html; charset=utf-8', '<!doctype html>'),
                                  ('/sandbox/page.css', 'text/css; charset=utf-8', '/*'),
                                  ('/sandbox/page.js', 'text/javascript; charset=utf-8', '//'),
                                  ('/sandbox/icon.svg', 'image/svg+xml', '<svg '),
                                  ('/favicon.ico', 'image/svg+xml', '<svg ')):
            status, headers, text = self.fetch(path)
            self.assertEqual((status, headers['Content-Type'], text[:len(begin)]), (200, kind, begin))
            policy = headers['Content-Security-Policy'].split('; ')
            self.assertIn("default-src 'none'", policy)
            self.assertIn("script-src 'self'", policy)
            self.assertIn("require-trusted-types-for 'script'", policy)
            self.assertNotIn('unsafe', headers['Content-Security-Policy'])
            self.assertEqual((headers['X-Content-Type-Options'], headers['Referrer-Policy'], headers['Cache-Control']),
                             ('nosniff', 'no-referrer', 'no-store'))
        self.assertEqual(self.box.get()['rejected'], 0)

    def test_it_is_embedded_byte_for_byte(self):
        folder = os.path.join(os.path.dirname(__file__), '..', 'examples', 'sandbox', 'page')
        for path, name in (('/', 'index.html'), ('/sandbox/page.css', 'page.css'), ('/sandbox/page.js', 'page.js'),
                           ('/sandbox/icon.svg', 'icon.svg')):
            with open(os.path.join(folder, name), encoding='utf-8', newline='') as source:
                self.assertEqual(self.fetch(path)[2], source.read())

    def test_it_is_only_to_be_read(self):
        status, headers, _ = self.fetch('/', 'POST')
        self.assertEqual((status, headers['Allow']), (405, 'GET'))
        self.assertEqual([one['path'] for one in self.box.get('/sandbox/rejected')], ['/'], 'a client that went astray')

    def test_all_that_is_shown_says_its_type_firmly(self):
        for path in ('', '/users', '/events', '/requests', '/rejected', '/repeated', '/faulted', '/deliveries'):
            self.assertEqual(self.fetch('/sandbox' + path)[1]['X-Content-Type-Options'], 'nosniff')


class Database(Case):
    LOGS = ('/users', '/events', '/rejected', '/repeated', '/faulted', '')

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = os.path.join(folder.name, 'sandbox.db')
        self.options = ('--db', self.file)
        super().setUp()

    def restart(self, end=None):
        (end or self.box.end)()
        self.box = Sandbox(*self.options)
        self.addCleanup(self.box.end)

    def kill(self):
        self.box.process.kill()
        self.box.end()

    def shown(self):
        return {path: self.box.get('/sandbox' + path) for path in self.LOGS}

    def fill(self):
        self.outcome(IDENTIFY, b'{"user_id":"a\\u0000b","email":"e","attributes":{"n":9007199254740993,"x":[1.5,null]},'
                               b'"apns":["t"],"group_id":7,"timezone":"UTC"}')
        self.outcome(IDENTIFY, b'{"user_id":42,"previous_id":"a\\u0000b","first_name":"\\u00e9"}')
        self.outcome(IDENTIFY, b'{"user_id":"x","attributes":{}}')
        self.outcome('/v2/fcm/register', b'{"user_id":"x","token":"t2"}')
        self.outcome('/v2/subscribe/all', b'{"user_id":"x"}')
        self.outcome('/v2/unsubscribe/campaigns', b'{"user_id":"x","campaign_ids":[1,"two"]}')
        self.outcome(body=event('x', 'one'), guid='g')
        self.outcome(body=event('x', 'one'), guid='g')
        self.outcome(body=event('x', 'two'), guid='g')
        self.outcome('/v2/track/batch', b'[' + event('x') + b',' + event('y') + b']')
        self.outcome(body=b'\xff\x00{', guid='bad')
        self.outcome(key='wrong')
        self.box.faults({'status': 503})
        self.outcome()

    def test_all_that_is_shown_survives_a_restart_and_goes_on(self):
        self.fill()
        before = self.shown()
        self.assertEqual({path: len(rows) for path, rows in before.items() if path},
                         {'/users': 2, '/events': 5, '/rejected': 2, '/repeated': 2, '/faulted': 1})
        for end in (self.box.end, self.kill):
            self.restart(end)
            self.assertEqual(self.shown(), before)
        self.assertEqual(self.outcome(IDENTIFY, b'{"user_id":"x","previous_id":42,"attributes":{"more":1}}'), 200)
        self.assertEqual(self.outcome(body=event('x', 'three')), 200)
        after = self.shown()
        user, = after['/users']
        self.assertEqual((user['email'], user['attributes'], user['apns'], user['fcm'], user['previous_ids']),
                         ('e', {'n': 9007199254740993, 'x': [1.5, None], 'more': 1}, ['t'], ['t2'], ['a\0b', 42]))
        self.assertEqual(user['subscriptions'], {'all': True, 'campaigns': {'1': False, 'two': False}})
        self.assertEqual((after['']['events'], after['']['requests']), (6, 12))
        self.restart()
        self.assertEqual(self.shown(), after)

    def test_a_kill_loses_nothing_that_was_answered(self):
        link = self.connect()
        for i in range(300):
            self.assertEqual(link.ask(TRACK, event('u', str(i)))[0], 200)
        self.restart(self.kill)
        self.assertEqual([one['event'] for one in self.box.get('/sandbox/events')], [str(i) for i in range(300)])

    def test_a_reset_is_for_ever(self):
        self.fill()
        self.box.own('DELETE', '/sandbox')
        empty = self.shown()
        self.restart()
        self.assertEqual(self.shown(), empty)
        self.assertEqual(empty['']['events'], 0)

    def test_the_file_is_bounded_like_the_memory(self):
        link = self.connect()
        for first in range(0, 10_200, 300):
            link.write(request(TRACK, b'{}') * 300)
            for _ in range(300):
                self.assertEqual(link.read_answer()[0], 400)
        self.box.end()
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            self.assertEqual(db.execute('SELECT count(*) FROM log').fetchone(), (10_000,))
        self.restart()
        self.assertEqual(len(self.box.get('/sandbox/rejected')), 10_000)
        self.assertEqual(self.box.get()['rejected'], 10_200)

    def refused_start(self):
        done = subprocess.run([SANDBOX, *self.options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=LIMIT_S, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        return done.stderr

    def test_a_file_in_use_is_refused(self):
        self.assertIn(f'{self.file} is in use by another process', self.refused_start())
        self.assertEqual(self.outcome(), 200)

    def test_a_damaged_file_is_refused(self):
        self.fill()
        self.box.end()
        with open(self.file, 'r+b') as file:
            file.seek(4096)
            file.write(b'\xa5' * (os.path.getsize(self.file) - 4096))
        self.assertIn(f'{self.file} is damaged: ', self.refused_start())

    def test_a_file_with_rows_that_make_no_sense_is_refused(self):
        for wrong in ("UPDATE users SET shown = '{'", "UPDATE users SET shown = '{}'",
                      "UPDATE log SET topic = 'weather'", "UPDATE totals SET shown = '[]'"):
            self.restart()
            self.box.own('DELETE', '/sandbox')
            self.fill()
            self.box.end()
            with contextlib.closing(sqlite3.connect(self.file)) as db:
                db.execute(wrong)
                db.commit()
            self.assertIn(f'{self.file} is damaged: ', self.refused_start(), wrong)
            os.remove(self.file)

    def test_a_foreign_file_is_refused_and_stays_as_it_is(self):
        self.box.end()
        with contextlib.closing(sqlite3.connect(os.path.join(self.folder, 'other.db'))) as db:
            db.execute('CREATE TABLE mine (a)')
            db.commit()
        with open(os.path.join(self.folder, 'text'), 'wb') as file:
            file.write(b'no database at all\n' * 100)
        for name, says in (('other.db', 'is the SQLite file of something else'), ('text', 'is not a SQLite file')):
            self.options = ('--db', os.path.join(self.folder, name))
            with open(self.options[1], 'rb') as file:
                before = file.read()
            self.assertIn(f'{self.options[1]} {says}', self.refused_start())
            with open(self.options[1], 'rb') as file:
                self.assertEqual(file.read(), before)
        self.assertEqual(sorted(os.listdir(self.folder)), ['other.db', 'sandbox.db', 'text'])

    def test_another_version_s_file_is_refused(self):
        self.box.end()
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            db.execute('PRAGMA user_version = 2')
        self.assertIn('was written by another version of the sandbox', self.refused_start())

    def test_a_file_that_cannot_be_made_is_refused(self):
        self.options = ('--db', os.path.join(self.folder, 'nowhere', 'sandbox.db'))
        self.assertIn('cannot be used: unable to open database file', self.refused_start())


class NoDatabase(Case):
    def test_nothing_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            self.box.end()
            self.box = Sandbox(folder=folder)
            self.addCleanup(self.box.end)
            self.assertEqual([self.outcome(), self.outcome(key='wrong')], [200, 401])
            self.box.end()
            self.assertEqual(os.listdir(folder), [])


if __name__ == '__main__':
    SANDBOX = os.path.abspath(sys.argv.pop(1))
    unittest.main()
