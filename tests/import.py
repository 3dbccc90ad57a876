"""examples/import as its users run it: a program that reads files, calls the sandbox, and may be killed.

Usage: import.py IMPORT_EXECUTABLE SANDBOX_EXECUTABLE [unittest's arguments]
"""
import json
import os
import pathlib
import pty
import random
import re
import resource
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import sandbox

IMPORT = ''
DATA = pathlib.Path(__file__).parent.parent / 'examples' / 'data'
LIMIT_S = 300  # after which a program that hangs fails
KILLS = 20
MIB = 1 << 20


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def command(self, *arguments):
        return [IMPORT, *map(str, arguments)]

    def environment(self, key=sandbox.KEY):
        out = {name: value for name, value in os.environ.items() if name != 'OUTBOUND_KEY'}
        return out if key is None else {**out, 'OUTBOUND_KEY': key}

    def run_import(self, *arguments, code=0, key=sandbox.KEY):
        """What it prints, on stdout and stderr."""
        done = subprocess.run(self.command(*arguments), env=self.environment(key), capture_output=True, timeout=LIMIT_S)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, code, out + err)
        if key is not None and key not in arguments:
            self.assertNotIn(key, out + err)
        return out, err


class DryRun(Case):
    def dry_run(self, what, name, content, *options, code=0, warnings=''):
        out, err = self.run_import(what, self.file(name, content), '--dry-run', *options, code=code, key=None)
        self.assertEqual(err, warnings)
        self.assertEqual(os.listdir(self.folder), [name], 'nothing else is written')
        os.remove(self.folder / name)
        return out

    def test_users_of_csv(self):
        out = self.dry_run('users', 'users.csv', (
            'user_id,first_name,last_name,email,phone_number,apns,timezone,plan,seats,beta,since,extra,secret\r\n'
            'ada@example.com,Ada,Lovelace,ada@example.com,+44 20 7946 0018,token,Europe/London,pro,5,TRUE,'
            '2024-06-03T08:00:00+02:00,"{""a"":[1,null]}",x\r\n'
            '0042,Zoë,,,0049,,,"a, ""b""\r\nc",,0,1717401600,[],x\r\n'),
            '--map', 'seats=attributes.seats:number', '--map', 'beta=attributes.is beta:boolean',
            '--map', 'since=attributes.since:time', '--map', 'extra=attributes.extra:json', '--map', 'secret=-')
        self.assertEqual(out, (
            '/v2/identify {"user_id":"ada@example.com","first_name":"Ada","last_name":"Lovelace",'
            '"email":"ada@example.com","phone_number":"+44 20 7946 0018","apns":["token"],"timezone":"Europe/London",'
            '"attributes":{"plan":"pro","seats":5,"is beta":true,"since":1717394400,"extra":{"a":[1,null]}}}\n'
            '/v2/identify {"user_id":"0042","first_name":"Zoë","phone_number":"0049",'
            '"attributes":{"plan":"a, \\"b\\"\\r\\nc","is beta":false,"since":1717401600,"extra":[]}}\n'
            '2 rows would be sent, 0 refused\n'))

    def test_events_of_csv(self):
        out = self.dry_run('events', 'events.csv', (
            'user;what;when;price\n'
            '7;signup;1717401600;\n'
            '7;purchase;2024-06-03T08:00:00.5Z;19.990\n'
            '8;purchase;2024-06-03 08:00:00+0000;-0\n'),
            '--delimiter', ';', '--map', 'user=user_id:number', '--map', 'what=event', '--map', 'when=timestamp',
            '--map', 'price=properties.price:number', code=1)
        self.assertEqual(out, (
            '/v2/track {"user_id":7,"event":"signup","timestamp":1717401600}\n'
            '/v2/track {"user_id":7,"event":"purchase","timestamp":1717401600,"properties":{"price":19.99}}\n'
            'line 4 is refused: timestamp: neither Unix seconds nor a time as 2024-06-03T08:00:00Z\n'
            '2 rows would be sent, 1 refused\n'))

    def test_ndjson(self):
        out = self.dry_run('users', 'users.jsonl', (
            '{"user_id": 9007199254740991, "first_name": "Max", "gcm": ["a", "b"], "group_id": "g", "previous_id": 7,'
            ' "attributes": {"cents": 18446744073709551615, "nothing": null}, "seats": 1.50, "email": null}\n'
            '\n'
            '{"user_id": "b", "phone_number": 49}\n'), code=1)
        self.assertEqual(out, (
            '/v2/identify {"user_id":9007199254740991,"first_name":"Max","gcm":["a","b"],"group_id":"g","previous_id":7,'
            '"attributes":{"cents":18446744073709551615,"nothing":null,"seats":1.5}}\n'
            'line 3 is refused: phone_number: text is needed, and this is: number\n'
            '1 rows would be sent, 1 refused\n'))

    def test_what_is_not_csv_costs_its_first_line(self):
        out = self.dry_run('users', 'users.csv', (
            b'\xEF\xBB\xBFuser_id,,a\n'
            b'1,no name,"open\n'
            b'2,,x\n'
            b'3,,a"b\n'
            b'4,,"a"b\n'
            b'5,,x,y\n'
            b'\r\n'
            b'\n'
            b'6,,a\rb\n'
            b'7,,"' + b'x' * (2 * MIB) + b'"\n'
            b'8,, blanks \n'
            b'9,,caf\xE9\n'
            b',,x\n'
            b'10,,"a\nb"\n'
            b'11,,"never closed\n'
            b'12,,x'), code=1)
        self.assertEqual(out, (
            'line 2 is refused: a quote stands where none may be (line 4)\n'
            '/v2/identify {"user_id":"2","attributes":{"a":"x"}}\n'
            'line 4 is refused: a quote stands where none may be (line 4)\n'
            'line 5 is refused: a quote stands where none may be (line 5)\n'
            'line 6 is refused: 4 cells where the header has 3\n'
            'line 9 is refused: a carriage return stands in the middle of a line\n'
            'line 10 is refused: longer than 1048576 bytes\n'
            '/v2/identify {"user_id":"8","attributes":{"a":" blanks "}}\n'
            'line 12 is refused: the message has problems and was not sent: /attributes/a is not UTF-8: byte 3 of 4 is '
            '0xE9; outbound::repaired makes a copy that is\n'
            'line 13 is refused: there is no user_id\n'
            '/v2/identify {"user_id":"10","attributes":{"a":"a\\nb"}}\n'
            'line 16 is refused: a quote is not closed before the end of the file\n'
            '/v2/identify {"user_id":"12","attributes":{"a":"x"}}\n'
            '4 rows would be sent, 9 refused\n'))

    def test_a_quote_that_stays_open_does_not_swallow_the_file(self):
        out = self.dry_run('users', 'users.csv', 'user_id,a\n0,"open\n' + ''.join(f'{n},x\n' for n in range(1, 400_000)),
                           code=1)
        lines = out.splitlines()
        self.assertEqual(lines[0], 'line 2 is refused: a quote is not closed within 1048576 bytes')
        self.assertEqual(lines[-1], '399999 rows would be sent, 1 refused')

    def test_what_is_not_a_row_of_ndjson(self):
        out = self.dry_run('events', 'events.ndjson', '\n'.join((
            '{"user_id":1,"event":"e"} x', '[1]', '{"user_id":1,"event":"e","a":1,"a":2}',
            '{"user_id":1,"event":"e","a":12345678901234567890123}', '{"user_id":1,"event":"e","a":1e400}',
            '{"user_id":1,"event":"e","a":' + '[' * 500_000, '{"event":"e"}', '{"user_id":1}',
            '{"user_id":true,"event":"e"}', '{"user_id":1,"event":7}', '{"user_id":1,"event":"e","properties":[]}',
            '{"user_id":1,"event":"e","timestamp":1717401600000}', '{"user_id":1.5,"event":"e"}',
            '{"user_id":"undefined","event":"e"}', '{"user_id":1,"event":"e","properties":{"a":1},"a":2}',
            '{"user_id":1,"event":"e","properties":{"a":1},"properties.a":2}',
            '{"user_id":1,"event":"e","properties":{"a":1},"b":2}')), code=1)
        text = 'line {} is refused: {}\n'
        self.assertEqual(out, ''.join(text.format(i + 1, why) for i, why in enumerate((
            'not JSON: something is wrong at byte 27', 'not a JSON object', "the key 'a' is there twice",
            'the integer 12345678901234567890123 needs more than 64 bits',
            'a number that no double can hold', 'more than 60 levels', 'there is no user_id',
            'there is no event', 'user_id: text is needed, and this is: boolean',
            'event: text is needed, and this is: number',
            'properties: an object is needed, and this is: array',
            'timestamp: beyond the year 2262 (milliseconds?): 1717401600000',
            'user_id: text is needed, and this is: number',
            'the message has problems and was not sent: /user_id is "undefined", which looks like an id that was never '
            'set', "more than one value is for properties.a", "more than one value is for properties.a"))) +
            '/v2/track {"user_id":1,"event":"e","properties":{"a":1,"b":2}}\n1 rows would be sent, 16 refused\n')

    def test_two_values_for_one_field(self):
        out = self.dry_run('users', 'a.ndjson', '{"user_id":1,"email":"a","mail":"b"}\n{"user_id":1,"mail":"b"}\n',
                           '--map', 'mail=email', code=1)
        self.assertEqual(out, 'line 1 is refused: more than one value is for email\n'
                              '/v2/identify {"user_id":1,"email":"b"}\n1 rows would be sent, 1 refused\n')
        out = self.dry_run('users', 'a.csv', 'user_id,attributes,a\n1,"{""a"":1}",2\n1,,2\n1,"{""a"":1}",\n', code=1)
        self.assertEqual(out, 'line 2 is refused: more than one value is for attributes.a\n'
                              '/v2/identify {"user_id":"1","attributes":{"a":"2"}}\n'
                              '/v2/identify {"user_id":"1","attributes":{"a":1}}\n2 rows would be sent, 1 refused\n')

    def test_what_is_not_of_the_type(self):
        cells = ('x', '007', '1,5', '', 'true', '1e400', '12345678901234567890123', '-0.50', 'x' * 10_000)
        out = self.dry_run('users', 'a.csv', 'user_id;n\n' + ''.join(f'1;{cell}\n' for cell in cells),
                           '--delimiter', ';', '--map', 'n=attributes.n:number', code=1)
        self.assertEqual(out, (
            "line 2 is refused: n: not a number, but 'x'\n"
            "line 3 is refused: n: not a number, but '007'\n"
            "line 4 is refused: n: not a number, but '1,5'\n"
            '/v2/identify {"user_id":"1"}\n'
            "line 6 is refused: n: not a number, but 'true'\n"
            'line 7 is refused: n: a number that no double can hold\n'
            'line 8 is refused: n: the integer 12345678901234567890123 needs more than 64 bits\n'
            '/v2/identify {"user_id":"1","attributes":{"n":-0.5}}\n'
            f"line 10 is refused: n: not a number, but '{'x' * 100}...'\n"
            '2 rows would be sent, 7 refused\n'))

    def test_control_characters_do_not_reach_the_terminal(self):
        out = self.dry_run('users', 'a.csv', 'user_id,\x1b[2J,c\n1,\x1b[31mred,\n1,,\x7f\x9b31m\t\n'
                           '1,' + 'ë' * 60 + '\x1b,\n', '--map', '\x1b[2J=attributes.b:boolean', code=1)
        self.assertEqual(out, (
            "line 2 is refused: \\u001b[2J: neither true nor false, but '\\u001b[31mred'\n"
            '/v2/identify {"user_id":"1","attributes":{"c":"\\u007f\\u009b31m\\t"}}\n'
            f"line 4 is refused: \\u001b[2J: neither true nor false, but '{'ë' * 50}...'\n"
            '1 rows would be sent, 2 refused\n'))
        _, err = self.run_import('users', self.file('a.csv', 'id,\x1b[2J,\x1b[2J\n'), '--dry-run', code=2, key=None)
        self.assertEqual(err, f"outbound-import: {self.folder / 'a.csv'}: the column '\\u001b[2J' is there twice\n")

    def test_a_column_that_is_almost_a_field(self):
        says = ("outbound-import: warning: the column '{0}' becomes an attribute; if it is to be {1}, add --map '{0}={1}', "
                "else --map '{0}=attributes.{0}'\n")
        columns = (('Email', 'email'), ('First Name', 'first_name'), ('phone-number', 'phone_number'),
                   ('phone', 'phone_number'), ('timeZone', 'timezone'))
        warnings = ''.join(says.format(*one) for one in columns)
        out = self.dry_run('users', 'a.csv', 'user_id,Email,First Name,phone-number,phone,timeZone,plan,E-Mail\n'
                           '1,a@example.com,,,,,pro,x\n2,b@example.com,,,,,,\n', '--map', 'E-Mail=attributes.E-Mail',
                           warnings=warnings)
        self.assertIn('{"user_id":"1","attributes":{"Email":"a@example.com","plan":"pro","E-Mail":"x"}}', out)
        self.dry_run('users', 'a.ndjson', '{"user_id":1,"plan":"Email"}\n' + '{"user_id":1,"Email":"a"}\n' * 3,
                     warnings=says.format('Email', 'email'))
        self.dry_run('events', 'a.ndjson', '{"user_id":1,"event":"e","Timestamp":1,"email":"is none of an event"}\n',
                     warnings=says.replace('an attribute', 'a property').replace('attributes.', 'properties.')
                     .format('Timestamp', 'timestamp'))

    def test_attributes_of_a_group_cannot_be_sent(self):
        out = self.dry_run('users', 'a.ndjson', '{"user_id":1,"group_id":"g","group_attributes":{"a":1}}\n', warnings=(
            "outbound-import: warning: the column 'group_attributes' becomes an attribute of the user: an import sends none "
            "of groups; add --map 'group_attributes=-' to leave it out\n"))
        self.assertIn('{"user_id":1,"group_id":"g","attributes":{"group_attributes":{"a":1}}}', out)

    def test_a_full_disk(self):
        """Also where the disk is full before the buffer is."""
        for rows in (1, 100_000):
            path = self.file('users.csv', 'user_id\n' + '1\n' * rows)
            with open('/dev/full', 'wb') as full:
                done = subprocess.run(self.command('users', path, '--dry-run'), env=self.environment(None), stdout=full,
                                      stderr=subprocess.PIPE, timeout=LIMIT_S)
            self.assertEqual((done.returncode, done.stderr.decode()),
                             (2, 'outbound-import: cannot write what would be sent: No space left on device\n'))

    def test_warnings_can_be_allowed(self):
        self.assertEqual(self.dry_run('users', 'users.csv', 'user_id\nnull\n', '--allow-warnings'),
                         '/v2/identify {"user_id":"null"}\n1 rows would be sent, 0 refused\n')


class CannotBegin(Case):
    def test_each_says_why(self):
        good = 'user_id,a\n1,x\n'
        for name, content, options, why in (
                ('a.txt', good, [], '--format: csv or ndjson? The file\'s name does not say'),
                ('a.csv', '', [], 'is empty: its first row has to name the columns'),
                ('a.csv', 'user_id,a,a\n', [], "the column 'a' is there twice"),
                ('a.csv', 'user_id,"a\n', [], 'the first row cannot be read: a quote is not closed before the end'),
                ('a.csv', 'id,a\n', [], 'no column is the user_id: say which by --map COLUMN=user_id'),
                ('a.csv', good, ['--map', 'b=email'], "there is no column 'b'"),
                ('a.csv', good, ['--map', 'a=mail'], "'mail', to which the column 'a' is mapped, is no field of a user"),
                ('a.csv', good, ['--map', 'a=user_id'], "the columns 'user_id' and 'a' both go to user_id"),
                ('a.csv', good, ['--map', 'a'], "--map takes COLUMN=FIELD, not 'a'"),
                ('a.csv', good, ['--delimiter', 'ab'], '--delimiter: takes one character'),
                ('a.csv', good.encode('utf-16'), [], 'is UTF-16: save it as UTF-8'),
                ('a.csv', good, ['--mapping', 'nowhere.json'], 'cannot read nowhere.json')):
            with self.subTest(why=why):
                out, err = self.run_import('users', self.file(name, content), '--dry-run', *options, code=2, key=None)
                self.assertEqual(out, '')
                self.assertIn(why, err)

    def test_without_a_key(self):
        _, err = self.run_import('users', self.file('a.csv', 'user_id\n1\n'), code=2, key=None)
        self.assertIn('set OUTBOUND_KEY to the private API key', err)
        self.assertEqual(os.listdir(self.folder), ['a.csv'])

    def test_the_guide_names_every_option(self):
        guide = (DATA.parent / 'import' / 'README.md').read_text(encoding='utf-8')
        out, _ = self.run_import('--help', key=None)
        options = set(re.findall(r'--[a-z][a-z-]+', out)) - {'--help', '--version'}
        self.assertGreater(len(options), 10)
        self.assertEqual([one for one in sorted(options) if f'| `{one}' not in guide], [])

    def test_the_key_is_never_shown(self):
        out, _ = self.run_import('--help', key='KEY-0815')
        self.assertIn('OUTBOUND_KEY', out)
        path = self.file('a.csv', 'user_id\n1\n')
        for arguments in (['--kee', 'KEY-0815'], ['KEY-0815']):
            _, err = self.run_import('users', path, *arguments, code=2, key=None)
            self.assertNotIn('KEY-0815', err)

    def test_the_mapping_file(self):
        mapping = self.file('m.json', '{"id": "user_id:number", "a": "attributes.b"}')
        out, _ = self.run_import('users', self.file('a.csv', 'id,a\n1,x\n'), '--dry-run', '--mapping', mapping, key=None)
        self.assertEqual(out, '/v2/identify {"user_id":1,"attributes":{"b":"x"}}\n1 rows would be sent, 0 refused\n')


class Sent(Case):
    def setUp(self):
        super().setUp()
        self.box = sandbox.Sandbox()
        self.addCleanup(self.box.end)
        self.url = ['--url', f'http://127.0.0.1:{self.box.port}']

    def events(self):
        """As first received, without what the sandbox adds."""
        return [{name: value for name, value in one.items() if name not in ('received', 'guid')}
                for one in self.box.get('/sandbox/events') if 'seen' not in one]

    def test_users(self):
        path = self.file('users.ndjson', (DATA / 'users.ndjson').read_bytes())
        out, err = self.run_import('users', path, '--map', 'id=user_id', *self.url)
        self.assertEqual((out, err), ('12 rows: 12 delivered, 0 refused, 0 waiting\n', ''))
        expected = [{'attributes': {}, 'apns': [], 'gcm': [], 'fcm': [], 'previous_ids': [],
                     'subscriptions': {'campaigns': {}}, **row, 'user_id': row['id']} for row in rows_of(path)]
        for one in expected:
            del one['id']
        self.assertEqual(self.box.get('/sandbox/users'), sorted(expected, key=lambda one: str(one['user_id']).encode()))

    def test_events(self):
        path = self.file('events.ndjson', (DATA / 'events.ndjson').read_bytes())
        out, _ = self.run_import('events', path, '--map', 'user=user_id', '--map', 'at=timestamp', *self.url)
        self.assertEqual(out, '30 rows: 30 delivered, 0 refused, 0 waiting\n')
        expected = [{'user_id': row['user'], 'event': row['event'], 'timestamp': row['at'],
                     'properties': row.get('properties', {})} for row in rows_of(path)]
        by_user = lambda one: str(one['user_id'])  # users do not wait for each other; each has his own order
        self.assertEqual(sorted(self.events(), key=by_user), sorted(expected, key=by_user))

    def test_refused_rows(self):
        self.box.faults([{'status': 400, 'nth': 2}, {'status': 418, 'nth': 3}])
        path = self.file('users.csv', b'user_id,a\n1,x\n2,x\n3\n4,x\n5,caf\xE9\n6,x\n')
        out, _ = self.run_import('users', path, '--workers', 1, *self.url, code=1)
        self.assertEqual(out, f'6 rows: 2 delivered, 4 refused, 0 waiting\n'
                              f'refused rows, with line and reason: {path}.refused.ndjson\n')
        refused = rows_of(self.folder / 'users.csv.refused.ndjson')
        self.assertEqual([(one['line'], one['row']) for one in refused],
                         [(3, '2,x'), (4, '3'), (5, '4,x'), (6, '5,caf\N{REPLACEMENT CHARACTER}')])
        self.assertIn('HTTP 400', refused[0]['reason'])
        self.assertEqual(refused[1]['reason'], '1 cells where the header has 2')
        self.assertIn('418', refused[2]['reason'])
        self.assertIn('is not UTF-8: byte 3 of 4 is 0xE9', refused[3]['reason'])
        self.assertEqual([one['user_id'] for one in self.box.get('/sandbox/users')], ['1', '6'])

        out, _ = self.run_import('users', path, *self.url, code=1)
        self.assertIn('nothing was left to do', out)
        self.assertEqual(rows_of(self.folder / 'users.csv.refused.ndjson'), refused)
        self.assertEqual(self.box.get()['requests'], 2)

    def test_what_is_added_to_the_file_later(self):
        path = self.file('users.csv', 'user_id\n1\n')
        self.run_import('users', path, *self.url)
        with path.open('a') as file:
            file.write('2\n')
        out, _ = self.run_import('users', path, *self.url)
        self.assertEqual(out, '2 rows: 2 delivered, 0 refused, 0 waiting\n')
        self.assertEqual(self.box.get()['requests'], 2)

    def test_a_line_that_goes_on_after_it_was_read_stops_it(self):
        """The rest is no row, and what was sent of the first part may be half a value."""
        for what, name, begin, rest in (
                ('users', 'users.csv', 'user_id,email\n1,a@b\n2,fo', 'o@x\n3,c@d\n'),
                ('users', 'cr.csv', 'user_id,email\n1,a@b\n2,fo', '\ro@x\n3,c@d\n'),
                ('events', 'events.ndjson', '{"user_id":1,"event":"a"}\n\n{"user_id":2,"event":"b"}', ' x\n')):
            with self.subTest(name=name):
                path = self.file(name, begin)
                self.run_import(what, path, *self.url)
                sent = self.box.get()['requests']
                with path.open('a', newline='') as file:
                    file.write(rest)
                for _ in range(2):
                    out, err = self.run_import(what, path, *self.url, code=2)
                    self.assertEqual(out, '2 rows: 2 delivered, 0 refused, 0 waiting\n')
                    self.assertEqual(err, (
                        f'outbound-import: {path}: line 3 had no end yet when it was read, and has gone on since; import '
                        'it whole, with what comes after it, from a file of its own\n'))
                self.assertEqual(self.box.get()['requests'], sent)

    def test_what_waits_is_sent_also_where_reading_cannot_go_on(self):
        path = self.file('users.csv', 'user_id\n1\n2')
        self.run_import('users', path, *self.url, code=2, key='wrong-key')
        with path.open('a') as file:
            file.write('3\n')
        out, _ = self.run_import('users', path, *self.url, code=2)
        self.assertEqual(out, '2 rows: 2 delivered, 0 refused, 0 waiting\n')
        self.assertEqual(self.box.get()['requests'], 2)

    def test_a_line_whose_end_comes_later(self):
        for name, rows, bad in (('users.csv', ['user_id,email', '1,a@b', '2,c@d', '3,e@f'], '4'),
                                ('users.ndjson', ['', '{"user_id":1}', '{"user_id":2}', '{"user_id":3}'], '[4]')):
            for end in ('\n', '\r\n'):
                with self.subTest(name=name, end=end):
                    self.box.own('DELETE', '/sandbox')
                    path = self.file(f'{len(end)}-{name}', end.join(rows[:3]))
                    self.run_import('users', path, *self.url)
                    for piece in end:  # a CR may be all that is there yet
                        with path.open('a', newline='') as file:
                            file.write(piece)
                        out, _ = self.run_import('users', path, *self.url)
                        self.assertIn('2 rows: 2 delivered, 0 refused, 0 waiting\nnothing was left to do', out)
                    with path.open('a', newline='') as file:
                        file.write(rows[3] + end + bad + end)
                    out, _ = self.run_import('users', path, *self.url, code=1)
                    self.assertIn('4 rows: 3 delivered, 1 refused, 0 waiting\n', out)
                    refused = rows_of(path.with_name(path.name + '.refused.ndjson'))
                    self.assertEqual([(one['line'], one['row']) for one in refused], [(5, bad)])
                    self.assertEqual(self.box.get()['requests'], 3)

    def test_a_lost_answer_and_trouble_for_a_time(self):
        self.box.faults([{'fault': 'drop_after', 'nth': 2}, {'status': 503, 'nth': 3, 'retry_after': 0},
                         {'status': 500, 'nth': 4}])
        path = self.file('users.csv', 'user_id\n1\n2\n3\n4\n')
        self.run_import('users', path, '--workers', 1, *self.url)
        seen = [(one['users'], one['seen']) for one in self.box.deliveries()]
        self.assertEqual(sorted(seen), [(['1'], 'first'), (['2'], 'duplicate'), (['2'], 'first'), (['3'], 'first'),
                                        (['4'], 'first')])

    def test_a_wrong_key_stops_it_and_loses_nothing(self):
        path = self.file('users.csv', 'user_id\n1\n2\n')
        _, err = self.run_import('users', path, *self.url, code=2, key='wrong-key')
        self.assertIn('HTTP 401', err)
        self.assertIn('run it again to go on', err)
        out, _ = self.run_import('users', path, *self.url)
        self.assertEqual(out, '2 rows: 2 delivered, 0 refused, 0 waiting\n')
        self.assertEqual([one['seen'] for one in self.box.deliveries()], ['first', 'first'])

    def test_a_key_of_another_account(self):
        path = self.file('users.csv', 'user_id\n1\n2\n')
        journal = self.folder / 'users.csv.import.db'
        self.run_import('users', path, *self.url)
        with path.open('a') as file:
            file.write('3\n')
        _, err = self.run_import('users', path, *self.url, code=2, key='other-key')
        self.assertEqual(err, f'outbound-import: {journal}: the rows so far were delivered under another key; if this one '
                              'is of the same account, add --same-account; else delete this file to begin anew\n')
        self.assertEqual(self.box.get()['requests'], 2)
        self.assertNotIn(sandbox.KEY.encode(), journal.read_bytes())

        self.box.end()
        self.box = sandbox.Sandbox('--key', 'other-key', port=self.box.port)
        self.addCleanup(self.box.end)
        out, _ = self.run_import('users', path, '--same-account', *self.url, key='other-key')
        self.assertEqual(out, '3 rows: 3 delivered, 0 refused, 0 waiting\n')
        self.assertEqual(self.box.get()['requests'], 1)
        out, _ = self.run_import('users', path, *self.url, key='other-key')
        self.assertIn('nothing was left to do', out)
        self.run_import('users', path, *self.url, code=2)

    def test_the_journal_of_another_import(self):
        path = self.file('users.csv', 'user_id,a\n1,x\n')
        self.run_import('users', path, *self.url)
        other = self.file('other.csv', 'user_id,b\n1,x\n')
        journal = self.folder / 'users.csv.import.db'
        for arguments, why in ((['users', other], 'the import that it knows is of another file'),
                               (['users', path, '--map', 'a=email'], 'the import began as: users csv , {} to http')):
            _, err = self.run_import(*arguments, '--journal', journal, *self.url, code=2)
            self.assertIn(why, err)
        _, err = self.run_import('users', path, '--url', 'http://127.0.0.1:1', code=2)
        self.assertIn('the import began as: users csv , {} to http', err, 'what the sandbox has, another has not')
        foreign = self.folder / 'foreign.db'
        link = sqlite3.connect(foreign)
        link.execute('CREATE TABLE t (a)')
        link.commit()
        link.close()
        before = foreign.read_bytes()
        _, err = self.run_import('users', path, '--journal', foreign, *self.url, code=2)
        self.assertIn('this is the file of another program', err)
        self.assertEqual(foreign.read_bytes(), before)
        self.assertEqual(self.box.get()['requests'], 1)

    def test_a_file_that_became_shorter(self):
        path = self.file('users.csv', 'user_id\n1\n2\n')
        self.run_import('users', path, *self.url)
        self.file('users.csv', 'user_id\n1\n')
        _, err = self.run_import('users', path, *self.url, code=2)
        self.assertIn('the import that it knows is of another file', err)
        path = self.file('long.csv', 'user_id\n' + '1\n' * 3_000)
        self.run_import('users', path, *self.url)
        self.file('long.csv', 'user_id\n' + '1\n' * 2_500)
        _, err = self.run_import('users', path, *self.url, code=2)
        self.assertIn('long.csv is shorter than what was read of it before', err)

    def test_a_full_disk_stops_it_and_loses_nothing(self):
        path = self.file('users.csv', 'user_id\n' + ''.join(f'{n}\n' for n in range(1, 3_001)))
        def little_disk():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        done = subprocess.run(self.command('users', path, *self.url), env=self.environment(), capture_output=True,
                              timeout=LIMIT_S, preexec_fn=little_disk)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn('users.csv.import.db: ', done.stderr.decode())
        out, _ = self.run_import('users', path, *self.url)
        self.assertEqual(out, '3000 rows: 3000 delivered, 0 refused, 0 waiting\n')
        self.assertEqual(len(self.box.get('/sandbox/users')), 3_000)
        self.assertEqual([one['seen'] for one in self.box.deliveries() if one['seen'] == 'conflict'], [])
        self.assertEqual(len({one['guid'] for one in self.box.deliveries()}), 3_000, 'each under one GUID')

    def test_where_no_server_is(self):
        path = self.file('users.csv', 'user_id\n1\n')
        with socket.socket() as nobody:
            nobody.bind(('127.0.0.1', 0))  # and does not listen
            process = self.start('users', path, '--url', f'http://127.0.0.1:{nobody.getsockname()[1]}')
            said = process.stderr.readline().decode()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_S)
        self.assertTrue(said.startswith('outbound-import: waiting: '), said)
        self.assertEqual(process.returncode, 3)

    def test_a_url_or_a_key_that_cannot_be_used(self):
        path = self.file('users.csv', 'user_id\n1\n')
        _, err = self.run_import('users', path, '--url', 'ftp://127.0.0.1', code=2)
        self.assertEqual(err, 'outbound-import: the base URL does not begin with http:// or https://\n')
        _, err = self.run_import('users', path, *self.url, code=2, key='a key')
        self.assertIn('key', err)
        self.assertEqual(os.listdir(self.folder), ['users.csv'], 'no journal holds to what cannot be used')
        self.run_import('users', path, *self.url)

    def test_a_signal_stops_it_between_rows(self):
        self.box.faults({'fault': 'delay', 'delay_ms': 1, 'calls': 'all'})
        path = self.file('users.csv', 'user_id\n' + ''.join(f'{n}\n' for n in range(1, 5_001)))
        process = self.start('users', path, *self.url)
        while self.box.get()['requests'] == 0:
            pass
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 3)
        self.assertIn('stopped: run it again to go on', out.decode())
        self.box.own('DELETE', '/sandbox/faults')
        self.run_import('users', path, *self.url)
        self.assertEqual(len(self.box.get('/sandbox/users')), 5_000)
        self.assertEqual({one['seen'] for one in self.box.deliveries()}, {'first'})

    def start(self, *arguments):
        process = subprocess.Popen(self.command(*arguments), env=self.environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def test_killed_at_random_moments(self):
        """Every good row arrives once, by GUID and by content, in the order of its user; every bad one is refused once."""
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        print(f'seed {seed}', file=sys.stderr)
        rows, users = 6_000, 40
        bad = set(chance.sample(range(rows), 100))
        cell = lambda n: f'"two\nlines {n}"' if n % 7 == 0 else f'{n}'
        path = self.file('events.csv', 'user_id,event,row,cell\n' + ''.join(
            f'u{n % users},e,{n}\n' if n in bad else f'u{n % users},e,{n},{cell(n)}\n' for n in range(rows)))
        self.box.faults({'seed': seed, 'delay_ms': 3,  # and slower, so that it does not end before it is killed
                         'chance': {'drop_after': 0.005, 'drop_before': 0.005, '503': 0.005, 'delay': 0.5}})
        for _ in range(KILLS):
            wanted = self.box.get()['requests'] + chance.randrange((rows - len(bad)) // (2 * KILLS))
            process = self.start('events', path, *self.url)
            while self.box.get()['requests'] < wanted:
                self.assertIsNone(process.poll(), process.communicate() if process.poll() is not None else '')
            process.kill()
            self.assertEqual(process.wait(LIMIT_S), -signal.SIGKILL, 'it had not ended by itself')
        self.box.own('DELETE', '/sandbox/faults')
        out, _ = self.run_import('events', path, *self.url, code=1)
        self.assertIn(f'{rows} rows: {rows - len(bad)} delivered, {len(bad)} refused, 0 waiting\n', out)

        got = self.events()
        good = [n for n in range(rows) if n not in bad]
        self.assertEqual(sorted(int(one['properties']['row']) for one in got), good, 'each once')
        self.assertEqual(self.box.get()['conflicts'], 0)
        for user in range(users):
            self.assertEqual([int(one['properties']['row']) for one in got if one['user_id'] == f'u{user}'],
                             [n for n in good if n % users == user], f'the order of u{user}')
        self.assertEqual([one['row'] for one in rows_of(self.folder / 'events.csv.refused.ndjson')],
                         [f'u{n % users},e,{n}' for n in sorted(bad)])
        print(f'{self.box.get()["duplicates"]} calls came twice', file=sys.stderr)


class Progress(Sent):
    def test_on_a_terminal_only(self):
        path = self.file('users.csv', 'user_id\n' + ''.join(f'{n}\n' for n in range(1, 501)))
        self.box.faults({'fault': 'delay', 'delay_ms': 2, 'calls': 'all'})
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.command('users', path, *self.url), stdout=subprocess.PIPE, stderr=theirs,
                                   env={**self.environment(), 'TERM': 'xterm'})
        os.close(theirs)
        shown = b''
        while select.select([ours], [], [], LIMIT_S)[0]:
            try:
                more = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not more:
                break
            shown += more
        os.close(ours)
        out, _ = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, out.decode()), (0, '500 rows: 500 delivered, 0 refused, 0 waiting\n'))
        text = shown.decode()
        self.assertRegex(text, r'\r\[[#.]{20}\]  *\d+%  [\d,]+ rows')
        self.assertRegex(text, r'  [\d,]+/s  \d\d:\d\d left\x1b\[K')
        self.assertTrue(text.endswith('\r\x1b[K'), 'nothing stays behind')
        self.assertNotIn(sandbox.KEY, text)


for name in [name for name in dir(Sent) if name.startswith('test_')]:
    setattr(Progress, name, None)  # inherited for its set-up only


if __name__ == '__main__':
    IMPORT, sandbox.SANDBOX = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
