"""The sandbox's faults, deduplication and logs, as a client without any library sees them: bytes on a socket.

Usage: sandbox.py SANDBOX_EXECUTABLE [unittest's arguments]
"""
import contextlib
import http.client
import json
import select
import socket
import subprocess
import sys
import unittest
import zlib

KEY = 'sandbox-key'
TRACK = '/v2/track'
IDENTIFY = '/v2/identify'
LIMIT_S = 30  # after which a test that hangs fails
SANDBOX = ''


def event(user, name='e'):
    return json.dumps({'user_id': user, 'event': name}).encode()


def request(path, body, guid=None, key=KEY):
    head = [f'POST {path} HTTP/1.1', 'Host: 127.0.0.1', f'X-Outbound-Key: {key}', 'Content-Type: application/json',
            f'Content-Length: {len(body)}']
    if guid is not None:
        head.append(f'X-Outbound-GUID: {guid}')
    return '\r\n'.join(head).encode() + b'\r\n\r\n' + body


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

    def __init__(self, *options):
        command = [SANDBOX, '--port', '0', '--key', KEY, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': False})
        changed = self.box.own('POST', '/sandbox/settings', {'deduplicate': True})
        self.assertEqual(changed, (200, '{"deduplicate":true}'))
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

    def test_bad_settings_are_refused(self):
        for wish in (1, {}, {'deduplicate': 1}, {'deduplicate': True, 'more': 1}):
            self.assertEqual(self.box.own('POST', '/sandbox/settings', wish)[0], 400)
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': False})

    def test_a_reset_forgets_the_guids_and_the_setting(self):
        self.box.own('POST', '/sandbox/settings', {'deduplicate': True})
        self.send_all()
        self.box.own('DELETE', '/sandbox')
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': False})
        self.call('a', event('u', 'other'))
        self.assertEqual(self.counts(), (1, 1, 0, 0))


class DuplicatesByOption(Case):
    options = ('--deduplicate',)

    def test_are_not_applied_and_a_reset_keeps_it_so(self):
        for _ in range(2):
            self.assertEqual(self.outcomes(3, guid='a'), [200, 200, 200])
            self.assertEqual((self.events(), self.box.get()['duplicates']), (1, 2))
            self.box.own('DELETE', '/sandbox')
        self.assertEqual(self.box.get('/sandbox/settings'), {'deduplicate': True})


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
        self.assertEqual(self.box.get('/sandbox/faulted'), [{**row, 'fault': 'drop_before', 'processed': False},
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


if __name__ == '__main__':
    SANDBOX = sys.argv.pop(1)
    unittest.main()
