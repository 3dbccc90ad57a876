"""The campaigns of the sandbox, as a client without any library sees them: who waits, who reaches the goal, what goes
out and why not, with a clock that stands still unless the test moves it.

Usage: sandbox_campaigns.py SANDBOX_EXECUTABLE [unittest's arguments]
"""
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from random import Random

import sandbox
from sandbox import IDENTIFY, LIMIT_S, TRACK, Listener

WEEKS_2 = 14 * 24 * 60 * 60
STORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'examples', 'data', 'campaigns.json')


def campaign(**changes):
    """The documented one, with other fields; None takes a field out."""
    out = {'id': 'first-picture', 'name': 'First picture', 'trigger': 'signup',
           'conditions': {'city': 'san francisco'}, 'goal': 'upload a picture', 'wait': '2 weeks', 'channel': 'email',
           'subject': 'Hi {{first_name}}', 'template': '<p>{{first_name}}</p>', **changes}
    return {name: value for name, value in out.items() if value is not None}


def simple(**changes):
    """A push or a short message, to whoever signs up."""
    return campaign(conditions=None, subject=None, channel='sms', template='Hi {{first_name}}', **changes)


class Case(sandbox.Case):
    campaigns = (campaign(),)
    more_options = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = os.path.join(self.folder, 'campaigns.json')
        self.db = os.path.join(self.folder, 'sandbox.db')
        self.write(self.campaigns)
        self.options = ('--campaigns', self.file, *self.more_options)
        super().setUp()
        self.begin = self.clock(stopped=True)['now']

    def write(self, campaigns):
        with open(self.file, 'w', encoding='utf-8') as out:
            json.dump(campaigns, out)

    def clock(self, **wish):
        status, text = self.box.own('POST', '/sandbox/clock', wish)
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def forward(self, duration):
        self.clock(forward=duration)

    def post(self, path, **body):
        guid = body.pop('guid', None)
        self.assertEqual(self.outcome(path, json.dumps(body).encode(), guid=guid), 200)

    def identify(self, user, city='san francisco', **fields):
        attributes = {**({} if city is None else {'city': city}), **fields.pop('attributes', {})}
        self.post(IDENTIFY, user_id=user, attributes=attributes, **fields)

    def track(self, user, event, **more):
        self.post(TRACK, user_id=user, event=event, **more)

    def sign_up(self, user, **fields):
        self.identify(user, **fields)
        self.track(user, 'signup')

    def shown(self, campaign_id='first-picture'):
        return next(one for one in self.box.get('/sandbox/campaigns') if one['id'] == campaign_id)

    def rows(self, state, campaign_id='first-picture'):
        return self.shown(campaign_id)[state]

    def who(self, campaign_id='first-picture'):
        """The users, by what became of them."""
        shown = self.shown(campaign_id)
        return {state: [one['user_id'] for one in shown[state]]
                for state in ('waiting', 'reached', 'sent', 'unsent') if shown[state]}

    def problem(self, campaign_id='first-picture'):
        row, = self.rows('unsent', campaign_id)
        self.assertNotIn('text', row)
        return row['problem']


class Story(Case):
    """With the file that the documentation shows."""

    def setUp(self):
        super().setUp()
        self.box.end()
        self.options = ('--campaigns', STORY)
        self.box = sandbox.Sandbox(*self.options)
        self.addCleanup(self.box.end)
        self.begin = self.clock(stopped=True)['now']

    def test_who_signs_up_in_san_francisco_and_uploads_no_picture_is_sent_a_message_two_weeks_later(self):
        self.sign_up('ada', first_name='Ada', email='ada@example.com')
        self.sign_up('grace', first_name='Grace', email='grace@example.com')
        self.sign_up('zoe', city='zürich', first_name='Zoë', email='zoe@example.com')
        self.assertEqual(self.rows('waiting'), [
            {'run': 1, 'campaign': 'first-picture', 'user_id': 'ada', 'state': 'waiting', 'since': self.begin,
             'until': self.begin + WEEKS_2},
            {'run': 2, 'campaign': 'first-picture', 'user_id': 'grace', 'state': 'waiting', 'since': self.begin,
             'until': self.begin + WEEKS_2}])
        self.forward('1 week')
        self.track('grace', 'upload a picture')
        self.forward('1 week')
        self.assertEqual(self.who(), {'reached': ['grace'], 'sent': ['ada']})
        row, = self.rows('sent')
        self.assertEqual(row, {
            'run': 1, 'campaign': 'first-picture', 'user_id': 'ada', 'state': 'sent', 'since': self.begin,
            'until': self.begin + WEEKS_2, 'at': self.begin + WEEKS_2, 'channel': 'email', 'to': ['ada@example.com'],
            'reason': 'city is "san francisco"; did "signup" and not "upload a picture" within 2 weeks',
            'subject': 'Ada, show us San Francisco', 'missing': [],
            'text': '<p>Hi Ada,</p>\n<p>two weeks with us, and no picture yet: '
                    'yours is missing on the map of San Francisco.</p>'})
        reached, = self.rows('reached')
        self.assertEqual(reached, {
            'run': 2, 'campaign': 'first-picture', 'user_id': 'grace', 'state': 'reached', 'since': self.begin,
            'until': self.begin + WEEKS_2, 'at': self.begin + WEEKS_2 // 2})
        self.assertEqual(self.box.get()['campaigns'],
                         {'first-picture': {'waiting': 0, 'reached': 1, 'sent': 1, 'unsent': 0}})

    def test_the_documentation_shows_this_file(self):
        with open(os.path.join(os.path.dirname(STORY), '..', 'sandbox', 'README.md'), encoding='utf-8') as guide, \
                open(STORY, encoding='utf-8') as story:
            self.assertIn(textwrap.indent(story.read(), '    '), guide.read())

    def test_the_stream_tells_it(self):
        listener = Listener(self.box.port)
        self.addCleanup(listener.close)
        got = listener.read_until('totals')
        self.assertEqual([name for name, _, _ in got], ['reset', 'campaign', 'clock', 'totals'])
        definition = self.shown()
        for state in ('waiting', 'reached', 'sent', 'unsent'):
            definition.pop(state)
        self.assertEqual(got[1][2], definition)
        self.sign_up('ada', email='ada@example.com')
        got = listener.read_until('totals')
        self.assertEqual([name for name, _, _ in got], ['user', 'event', 'run', 'totals'])
        self.assertEqual([got[2][2]], self.rows('waiting'))
        self.forward('3 weeks')
        got = listener.read_until('totals')
        self.assertEqual([name for name, _, _ in got], ['clock', 'run', 'totals'])
        self.assertEqual([got[1][2]], self.rows('sent'))
        self.assertEqual(got[2][2], self.box.get())
        self.box.own('DELETE', '/sandbox')
        got = listener.read_until('totals')
        self.assertEqual([(name, data.get('id')) for name, _, data in got],
                         [('reset', None), ('campaign', 'first-picture'), ('totals', None)])


class Deadline(Case):
    def test_a_second_before_it_the_goal_counts(self):
        self.sign_up('u', email='e')
        self.forward(f'{WEEKS_2 - 1} seconds')
        self.assertEqual(self.who(), {'waiting': ['u']})
        self.track('u', 'upload a picture')
        self.assertEqual(self.who(), {'reached': ['u']})
        self.forward('1 second')
        self.assertEqual(self.who(), {'reached': ['u']})

    def test_in_its_second_the_message_goes_out_and_the_goal_comes_too_late(self):
        self.sign_up('u', email='e')
        self.forward(f'{WEEKS_2 - 1} seconds')
        self.forward('1 second')
        self.track('u', 'upload a picture')
        self.assertEqual(self.who(), {'sent': ['u']})
        self.assertEqual(self.rows('sent')[0]['at'], self.begin + WEEKS_2)

    def test_the_deadline_comes_before_the_call_that_finds_it_past(self):
        """Nobody has looked since: the call itself must let the time pass first."""
        self.write([campaign(wait='1 second')])
        self.box.end()
        self.box = sandbox.Sandbox(*self.options)
        self.addCleanup(self.box.end)
        link = self.connect()
        for name, fields in (('identify', {'email': 'e', 'first_name': 'before',
                                           'attributes': {'city': 'san francisco'}}), ('track', {'event': 'signup'})):
            self.assertEqual(link.ask('/v2/' + name, json.dumps({'user_id': 'u', **fields}).encode())[0], 200)
        time.sleep(1.1)
        for name, fields in (('identify', {'first_name': 'after'}), ('track', {'event': 'upload a picture'})):
            self.assertEqual(link.ask('/v2/' + name, json.dumps({'user_id': 'u', **fields}).encode())[0], 200)
        self.assertEqual(self.who(), {'sent': ['u']})
        self.assertEqual(self.rows('sent')[0]['subject'], 'Hi before')

    def test_a_jump_far_beyond_it_makes_the_message_at_the_deadline(self):
        self.sign_up('u', email='e')
        self.forward('520 weeks')
        row, = self.rows('sent')
        self.assertEqual((row['at'], row['until']), (self.begin + WEEKS_2, self.begin + WEEKS_2))

    def test_what_is_due_goes_out_in_the_order_of_the_deadlines(self):
        for user in ('first', 'second', 'third'):
            self.sign_up(user, email='e')
            self.forward('1 hour')
        self.forward('3 weeks')
        self.assertEqual(self.who(), {'sent': ['first', 'second', 'third']})

    def test_it_passes_by_itself(self):
        self.write([campaign(wait='1 second')])
        self.box.end()
        self.box = sandbox.Sandbox(*self.options)
        self.addCleanup(self.box.end)
        listener = Listener(self.box.port)
        self.addCleanup(listener.close)
        listener.read_until('totals')
        self.sign_up('u', email='e')
        states = []
        while 'sent' not in states:
            states += [data['state'] for name, _, data in listener.read_until('totals') if name == 'run']
        self.assertEqual(states, ['waiting', 'sent'])


class Edges(Case):
    campaigns = (campaign(), simple(id='all', wait='1 day'))

    def test_a_goal_before_the_trigger_does_not_count(self):
        self.identify('u', email='e')
        self.track('u', 'upload a picture')
        self.track('u', 'signup')
        self.assertEqual(self.who(), {'waiting': ['u']})
        self.forward('2 weeks')
        self.assertEqual(self.who(), {'sent': ['u']})

    def test_a_trigger_while_waiting_changes_nothing(self):
        self.sign_up('u', email='e')
        self.forward('1 week')
        self.track('u', 'signup')
        self.assertEqual([one['until'] for one in self.rows('waiting')], [self.begin + WEEKS_2])
        self.forward('1 week')
        self.assertEqual(self.who(), {'sent': ['u']})
        self.forward('3 weeks')
        self.assertEqual(self.who(), {'sent': ['u']}, 'once')

    def test_a_trigger_after_the_outcome_begins_anew(self):
        self.sign_up('u', email='e')
        self.track('u', 'upload a picture')
        self.track('u', 'signup')
        self.assertEqual(self.who(), {'reached': ['u'], 'waiting': ['u']})
        self.forward('2 weeks')
        self.track('u', 'signup')
        self.assertEqual(self.who(), {'reached': ['u'], 'sent': ['u'], 'waiting': ['u']})

    def test_a_call_that_is_sent_again_has_happened_once(self):
        self.identify('u', email='e')
        self.track('u', 'signup', guid='one')
        self.track('u', 'upload a picture', guid='two')
        self.track('u', 'signup', guid='one')
        self.assertEqual(self.who(), {'reached': ['u']})
        self.track('u', 'signup', guid='three')
        self.track('u', 'upload a picture', guid='two')
        self.assertEqual(self.who(), {'reached': ['u'], 'waiting': ['u']})

    def test_the_conditions_count_at_the_trigger_and_the_text_is_of_the_deadline(self):
        self.sign_up('moved away', first_name='Old', email='old@example.com')
        self.sign_up('moved in', city='london', email='e')
        self.forward('1 week')
        self.identify('moved away', city='london', first_name='New', email='new@example.com')
        self.identify('moved in', city='san francisco')
        self.forward('1 week')
        self.assertEqual(self.who(), {'sent': ['moved away']})
        row, = self.rows('sent')
        self.assertEqual((row['subject'], row['to']), ('Hi New', ['new@example.com']))

    def test_what_changes_after_the_deadline_changes_nothing(self):
        self.sign_up('u', first_name='Old', email='old@example.com')
        self.forward('2 weeks')
        self.identify('u', first_name='New', email='new@example.com')
        row, = self.rows('sent')
        self.assertEqual((row['subject'], row['to']), ('Hi Old', ['old@example.com']))

    def test_conditions_are_compared_as_json(self):
        self.sign_up('upper', city='San Francisco')
        self.sign_up('none', city=None)
        self.post(IDENTIFY, user_id='list', attributes={'city': ['san francisco']})
        self.track('list', 'signup')
        self.assertEqual(self.who(), {})
        self.assertEqual(self.who('all'), {'waiting': ['upper', 'none', 'list']})

    def test_all_conditions_have_to_hold(self):
        self.write([simple(id='n') | {'conditions': {'n': 5, 'list': ['a', {'b': None}], 'on': True, 'none': None}}])
        self.box.end()
        self.box = sandbox.Sandbox(*self.options)
        self.addCleanup(self.box.end)
        good = {'n': 5.0, 'list': ['a', {'b': None}], 'on': True, 'none': None}
        self.sign_up('good', attributes=good)
        for wrong in ({'n': 6}, {'n': '5'}, {'list': ['a']}, {'on': 1}, {'on': 'true'}, {'none': ''}, {'none': False}):
            self.sign_up(json.dumps(wrong), attributes={**good, **wrong})
        for name in good:
            self.sign_up('without ' + name, attributes={key: value for key, value in good.items() if key != name})
        self.assertEqual(self.who('n'), {'waiting': ['good']})

    def test_users_and_campaigns_do_not_disturb_each_other(self):
        self.sign_up('u', email='e', phone_number='1')
        self.sign_up('v', email='e', phone_number='2')
        self.forward('1 day')
        self.track('v', 'upload a picture')
        self.assertEqual(self.who('all'), {'sent': ['u', 'v']})
        self.assertEqual(self.who(), {'reached': ['v'], 'waiting': ['u']})

    def test_a_batch_happens_in_its_order(self):
        self.identify('u', email='e')
        body = [{'user_id': 'u', 'event': name} for name in ('upload a picture', 'signup', 'other')]
        self.assertEqual(self.outcome('/v2/track/batch', json.dumps(body).encode()), 200)
        self.assertEqual(self.who(), {'waiting': ['u']})

    def test_what_was_refused_has_not_happened(self):
        self.identify('u', email='e')
        self.assertEqual(self.outcome(body=b'{"user_id":"u","event":"signup","more":1}'), 400)
        self.box.faults({'status': 503})
        self.assertEqual(self.outcome(body=b'{"user_id":"u","event":"signup"}'), 503)
        self.assertEqual(self.who(), {})

    def test_the_time_that_a_track_gives_is_not_looked_at(self):
        self.identify('u', email='e')
        self.track('u', 'signup', timestamp=1)
        self.assertEqual([one['since'] for one in self.rows('waiting')], [self.begin])

    def test_ids_are_known_by_their_text(self):
        self.sign_up(42, email='e')
        self.track('42', 'upload a picture')
        self.assertEqual(self.who(), {'reached': [42]})

    def test_a_user_who_was_never_identified(self):
        self.track('nobody', 'signup')
        self.forward('1 day')
        self.assertEqual(self.who('all'), {'unsent': ['nobody']})
        self.assertEqual(self.problem('all'), 'cannot be sent: no phone number')

    def test_a_reset_forgets_all_but_the_campaigns(self):
        self.sign_up('u', email='e')
        self.forward('1 week')
        self.box.own('DELETE', '/sandbox')
        clock = self.box.get('/sandbox/clock')
        self.assertEqual((clock['ahead'], clock['stopped']), (0, False))
        self.forward('3 weeks')
        self.assertEqual(self.who(), {})
        self.assertEqual(self.box.get()['campaigns']['first-picture'],
                         {'waiting': 0, 'reached': 0, 'sent': 0, 'unsent': 0})


class Together(Case):
    campaigns = (simple(id='all', wait='1 minute'),)

    def test_nobody_is_lost_while_the_clock_moves(self):
        """Calls on many connections, and the clock of a minute moved between them: each user ends once."""
        links = [self.connect() for _ in range(16)]
        for turn in range(30):
            for number, link in enumerate(links):
                user = f'{number}-{turn}'
                link.write(sandbox.request(IDENTIFY, json.dumps({'user_id': user, 'phone_number': '1'}).encode()) +
                           sandbox.request(TRACK, sandbox.event(user, 'signup')) +
                           (sandbox.request(TRACK, sandbox.event(user, 'upload a picture')) if number % 2 else b''))
            self.forward('1 minute')
            for number, link in enumerate(links):
                for _ in range(2 + number % 2):
                    self.assertEqual(link.read_answer()[0], 200)
        self.forward('1 minute')
        who = self.who('all')
        self.assertEqual(sorted(who['sent'] + who.get('reached', [])),
                         sorted(f'{number}-{turn}' for number in range(16) for turn in range(30)))
        self.assertNotIn('waiting', who)
        self.assertNotIn('unsent', who)
        evens = {f'{number}-{turn}' for number in range(0, 16, 2) for turn in range(30)}
        self.assertLessEqual(evens, set(who['sent']))


class Merged(Case):
    campaigns = (campaign(), simple(id='all'))

    def test_who_waits_goes_on_under_the_new_id(self):
        self.sign_up('cookie', email='old@example.com')
        self.forward('1 week')
        self.post(IDENTIFY, user_id=7, previous_id='cookie', email='new@example.com', first_name='Ada')
        self.assertEqual([(one['run'], one['user_id'], one['until']) for one in self.rows('waiting')],
                         [(1, 7, self.begin + WEEKS_2)])
        self.forward('1 week')
        row, = self.rows('sent')
        self.assertEqual((row['user_id'], row['to'], row['subject']), (7, ['new@example.com'], 'Hi Ada'))

    def test_the_goal_counts_under_the_new_id_and_no_more_under_the_old(self):
        self.sign_up('cookie')
        self.post(IDENTIFY, user_id='ada', previous_id='cookie')
        self.track('cookie', 'upload a picture')
        self.assertEqual(self.who(), {'waiting': ['ada']})
        self.track('ada', 'upload a picture')
        self.assertEqual(self.who(), {'reached': ['ada']})

    def test_of_two_waits_the_first_goes_on(self):
        for first, second in (('a', 'b'), ('d', 'c')):  # the one who is joined has come first, or has come second
            self.box.own('DELETE', '/sandbox')
            self.begin = self.clock(stopped=True)['now']
            self.sign_up(first, email='e')
            self.forward('1 day')
            self.sign_up(second, email='e')
            old, new = sorted((first, second))
            self.post(IDENTIFY, user_id=new, previous_id=old)
            self.assertEqual([(one['user_id'], one['until']) for one in self.rows('waiting')],
                             [(new, self.begin + WEEKS_2)])
            self.assertRegex(self.problem(), '^cannot be sent: run [0-9]+ of the same user waits already$')
            self.forward('3 weeks')
            self.assertEqual(self.who(), {'sent': [new], 'unsent': [second]})

    def test_one_who_was_never_identified(self):
        self.track('cookie', 'signup')
        self.post(IDENTIFY, user_id='ada', previous_id='cookie', phone_number='1')
        self.assertEqual(self.who('all'), {'waiting': ['ada']})
        self.forward('2 weeks')
        self.assertEqual(self.who('all'), {'sent': ['ada']})

    def test_with_himself(self):
        self.sign_up('u')
        self.post(IDENTIFY, user_id='u', previous_id='u')
        self.assertEqual([(one['run'], one['user_id']) for one in self.rows('waiting')], [(1, 'u')])


class Unsubscribed(Case):
    campaigns = (campaign(), simple(id=7))

    def setUp(self):
        super().setUp()
        self.sign_up('u', email='e', phone_number='1')

    def test_from_all(self):
        self.post('/v2/unsubscribe/all', user_id='u')
        self.forward('2 weeks')
        self.assertEqual(self.problem(), 'cannot be sent: unsubscribed from all campaigns')
        self.assertEqual(self.problem(7), 'cannot be sent: unsubscribed from all campaigns')

    def test_from_one(self):
        self.post('/v2/unsubscribe/campaigns', user_id='u', campaign_ids=['7', 'another'])
        self.forward('2 weeks')
        self.assertEqual(self.who(), {'sent': ['u']})
        self.assertEqual(self.problem(7), 'cannot be sent: unsubscribed from this campaign')

    def test_from_all_but_one(self):
        self.post('/v2/unsubscribe/all', user_id='u')
        self.post('/v2/subscribe/campaigns', user_id='u', campaign_ids=[7])
        self.forward('2 weeks')
        self.assertEqual(self.who(), {'unsent': ['u']})
        self.assertEqual(self.who(7), {'sent': ['u']})

    def test_it_is_the_deadline_that_counts(self):
        self.post('/v2/unsubscribe/all', user_id='u')
        self.forward('1 week')
        self.post('/v2/subscribe/all', user_id='u')
        self.forward('1 week')
        self.assertEqual((self.who(), self.who(7)), ({'sent': ['u']}, {'sent': ['u']}))

    def test_who_is_unsubscribed_can_reach_the_goal(self):
        self.post('/v2/unsubscribe/all', user_id='u')
        self.track('u', 'upload a picture')
        self.assertEqual(self.who(), {'reached': ['u']})


class Channels(Case):
    campaigns = (campaign(id='email', conditions=None), simple(id='sms'),
                 simple(id='phone') | {'channel': 'phone'}, simple(id='push') | {'channel': 'push'})

    def test_each_goes_to_its_own_address(self):
        self.identify('u', email='ada@example.com', phone_number='+1 415 555 0100', apns=['a'], gcm=['g'])
        self.post('/v2/fcm/register', user_id='u', token='f')
        self.track('u', 'signup')
        self.forward('2 weeks')
        to = {name: self.rows('sent', name)[0] for name in ('email', 'sms', 'phone', 'push')}
        self.assertEqual({name: (row['channel'], row['to']) for name, row in to.items()},
                         {'email': ('email', ['ada@example.com']), 'sms': ('sms', ['+1 415 555 0100']),
                          'phone': ('phone', ['+1 415 555 0100']), 'push': ('push', ['a', 'g', 'f'])})
        self.assertEqual([name for name, row in to.items() if 'subject' in row], ['email'])

    def test_without_an_address_it_says_which_is_wanting(self):
        self.identify('u', email='', apns=['gone'])
        self.post('/v2/apns/disable', user_id='u', token='gone')
        self.track('u', 'signup')
        self.forward('2 weeks')
        self.assertEqual({name: self.problem(name) for name in ('email', 'sms', 'phone', 'push')},
                         {'email': 'cannot be sent: no email', 'sms': 'cannot be sent: no phone number',
                          'phone': 'cannot be sent: no phone number', 'push': 'cannot be sent: no device token'})
        row, = self.rows('unsent', 'email')
        self.assertEqual((row['channel'], row['reason']),
                         ('email', 'did "signup" and not "upload a picture" within 2 weeks'))


class Templates(Case):
    TEXT = '{{first_name}}|{{ last_name }}|{{attributes.x}}|{{user_id}}|}}{ {'
    campaigns = (campaign(id='email', conditions=None, subject='{{attributes.x}}', template=TEXT),
                 simple() | {'id': 'sms', 'template': TEXT})

    def texts(self, value, **fields):
        self.post(IDENTIFY, user_id='u&', email='e', phone_number='1', attributes={'x': value}, **fields)
        self.track('u&', 'signup')
        self.forward('2 weeks')
        email, sms = (self.rows('sent', name)[-1] for name in ('email', 'sms'))
        return email['subject'], email['text'], sms['text']

    def test_html_is_escaped_where_the_text_is_html(self):
        bad = '<a href="x" title=\'y\'>&amp;'
        self.assertEqual(self.texts(bad, first_name='<b>', last_name='O\'Brien'),
                         (bad, '&lt;b&gt;|O&#39;Brien|&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;|u&amp;|}}{ {',
                          f"<b>|O'Brien|{bad}|u&|}}}}{{ {{"))

    def test_what_is_inserted_is_not_a_template(self):
        self.assertEqual(self.texts('{{email}}', first_name='{{', last_name='}}')[2], '{{|}}|{{email}}|u&|}}{ {')

    def test_a_subject_stays_one_line(self):
        subject, _, text = self.texts('a\r\nBcc: b\0\x7f')
        self.assertEqual(subject, 'a  Bcc: b  ')
        self.assertIn('a\r\nBcc: b\0\x7f', text)

    def test_values_that_are_no_text_are_json(self):
        for value, text in ((12, '12'), (1.5, '1.5'), (True, 'true'), ([1, 'a'], '[1,"a"]'), ({'k': 1}, '{"k":1}'),
                            ('é€🙂', 'é€🙂')):
            self.assertEqual(self.texts(value)[2], f'||{text}|u&|}}}}{{ {{')

    def test_what_is_missing_leaves_a_gap_and_is_told(self):
        self.texts(None, first_name='')
        email, sms = (self.rows('sent', name)[-1] for name in ('email', 'sms'))
        self.assertEqual((email['text'], email['missing']),
                         ('|||u&amp;|}}{ {', ['attributes.x', 'first_name', 'last_name']))
        self.assertEqual(sms['missing'], ['first_name', 'last_name', 'attributes.x'])


class Clock(Case):
    def test_it_moves_stands_and_runs(self):
        self.assertEqual(self.clock(stopped=True)['now'], self.begin)
        self.assertEqual(self.clock(forward='1 minute')['now'], self.begin + 60)
        got = self.clock(stopped=False, forward='1 hour')
        self.assertFalse(got['stopped'])
        self.assertGreaterEqual(got['now'], self.begin + 3660)
        while self.box.get('/sandbox/clock')['now'] == got['now']:
            pass
        self.assertTrue(self.clock(stopped=True, forward='1 day')['stopped'])

    def test_it_stamps_what_comes(self):
        self.forward('1 week')
        self.track('u', 'one')
        self.outcome(body=b'{}')
        self.box.faults({'status': 503})
        self.outcome()
        for log in ('events', 'requests', 'rejected', 'faulted'):
            row, = self.box.get('/sandbox/' + log)
            self.assertEqual(row['received'], self.begin + WEEKS_2 // 2, log)

    def test_units(self):
        for duration, seconds in (('1 second', 1), ('90 seconds', 90), ('1 minute', 60), ('2 minutes', 120),
                                  ('3 hours', 10800), ('1 day', 86400), ('2 weeks', WEEKS_2), ('1 weeks', WEEKS_2 // 2),
                                  ('520 weeks', 520 * WEEKS_2 // 2)):
            before = self.box.get('/sandbox/clock')['now']
            self.assertEqual(self.clock(forward=duration)['now'] - before, seconds, duration)

    def test_wishes_that_make_no_sense_are_refused_and_move_nothing(self):
        for wish, code in ((1, 2), ({}, 3), ({'forward': 14}, 4), ({'forward': '2 fortnights'}, 4),
                           ({'forward': '0 days'}, 4), ({'forward': '-1 days'}, 4), ({'forward': '1.5 days'}, 4),
                           ({'forward': '2weeks'}, 4), ({'forward': '2  weeks'}, 4), ({'forward': '2 weeks '}, 4),
                           ({'forward': ' 2 weeks'}, 4), ({'forward': '+2 weeks'}, 4), ({'forward': '2'}, 4),
                           ({'forward': '2 '}, 4), ({'forward': '2 s'}, 4), ({'forward': '521 weeks'}, 4),
                           ({'forward': '1 week', 'stopped': 1}, 4), ({'forward': '2 Weeks'}, 4), ({'back': '1 day'}, 5),
                           ({'forward': '99999999999999999999 days'}, 4)):
            status, text = self.box.own('POST', '/sandbox/clock', wish)
            self.assertEqual((status, json.loads(text)['error']['Code']), (400, code), (wish, text))
        self.assertEqual(self.box.get('/sandbox/clock')['now'], self.begin)

    def test_it_goes_a_hundred_years_ahead_at_most(self):
        for _ in range(9):
            self.forward('520 weeks')
        status, text = [self.box.own('POST', '/sandbox/clock', {'forward': '520 weeks'}) for _ in range(2)][1]
        self.assertEqual((status, json.loads(text)['error']['Message']),
                         (400, 'the clock goes 5200 weeks ahead at most'))

    def test_other_methods_are_told_which_there_are(self):
        for path, methods in (('/sandbox/clock', 'GET, POST'), ('/sandbox/campaigns', 'GET')):
            status, text = self.box.own('DELETE', path)
            self.assertEqual((status, json.loads(text)['error']['Message']), (405, f'{path} takes {methods}, not DELETE'))


class Kept(Case):
    @property
    def more_options(self):
        return ('--db', self.db)

    def restart(self, *, kill=False):
        if kill:
            self.box.process.kill()
        self.box.end()
        self.box = sandbox.Sandbox(*self.options)
        self.addCleanup(self.box.end)


class Restart(Kept):
    def test_who_waits_goes_on_waiting(self):
        self.sign_up('late', email='late@example.com', first_name='Late')
        self.sign_up('quick')
        self.forward('1 week')
        self.sign_up('last')
        for kill in (False, True):
            before = self.box.get('/sandbox/campaigns'), self.box.get(), self.box.get('/sandbox/clock')['now']
            self.restart(kill=kill)
            self.assertEqual((self.box.get('/sandbox/campaigns'), self.box.get(),
                              self.box.get('/sandbox/clock')['now']), before)
        self.track('quick', 'upload a picture')
        self.forward('1 week')
        self.assertEqual(self.who(), {'waiting': ['last'], 'reached': ['quick'], 'sent': ['late']})
        before = self.box.get('/sandbox/campaigns'), self.box.get()
        self.restart(kill=True)
        self.assertEqual((self.box.get('/sandbox/campaigns'), self.box.get()), before)

    def test_no_number_comes_twice(self):
        for number, user in enumerate('abc', 1):
            self.sign_up(user)
            self.assertEqual([one['run'] for one in self.rows('waiting')], [number])
            self.track(user, 'upload a picture')
            self.restart()

    def test_what_became_due_meanwhile_goes_out_at_the_start(self):
        self.write([campaign(wait='1 second')])
        self.clock(stopped=False)
        self.restart()
        self.sign_up('u', email='e', first_name='Ada')
        self.box.end()
        time.sleep(1.1)
        self.restart()
        row, = self.rows('sent')
        self.assertEqual((row['subject'], row['at']), ('Hi Ada', row['since'] + 1))

    def test_one_who_was_merged_waits_under_the_new_id(self):
        self.sign_up('old')
        self.post(IDENTIFY, user_id='new', previous_id='old')
        self.restart()
        self.assertEqual(self.who(), {'waiting': ['new']})

    def test_a_clock_that_runs_goes_on_ahead(self):
        self.clock(stopped=False, forward='2 weeks')
        ahead = self.box.get('/sandbox/clock')['ahead']
        self.restart()
        got = self.box.get('/sandbox/clock')
        self.assertEqual((got['ahead'], got['stopped']), (ahead, False))

    def test_another_wait_is_for_who_comes_and_another_text_for_all(self):
        self.sign_up('old', email='e')
        self.write([campaign(wait='1 day', subject='changed')])
        self.restart()
        self.sign_up('new', email='e')
        self.forward('1 day')
        self.assertEqual(self.who(), {'waiting': ['old'], 'sent': ['new']})
        self.forward('13 days')
        self.assertEqual([one['subject'] for one in self.rows('sent')], ['changed', 'changed'])

    def test_who_waits_in_a_campaign_that_is_gone_waits_until_it_is_back(self):
        self.sign_up('u', email='e')
        self.write([simple(id='other')])
        self.restart()
        self.forward('3 weeks')
        self.assertEqual(self.who('other'), {})
        self.write([campaign()])
        self.restart()
        self.assertEqual(self.who(), {'sent': ['u']})

    def test_a_reset_is_for_ever(self):
        self.sign_up('u', email='e')
        self.box.own('DELETE', '/sandbox')
        self.restart()
        self.assertEqual(self.who(), {})
        clock = self.box.get('/sandbox/clock')
        self.assertEqual((clock['ahead'], clock['stopped']), (0, False))

    def test_a_file_whose_waits_make_no_sense_is_refused(self):
        self.sign_up('u')
        self.box.end()
        for wrong in ('{', '{}', '[]', '{"campaign":"first-picture","user_id":"u","since":"x","until":1}'):
            with contextlib.closing(sqlite3.connect(self.db)) as db:
                db.execute('UPDATE waits SET shown = ?', (wrong,))
                db.commit()
            done = subprocess.run([sandbox.SANDBOX, *self.options], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=LIMIT_S, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ''), wrong)
            self.assertIn(f'{self.db} is damaged: ', done.stderr)


class Model:
    """The same, written from the documentation: without an index, a queue or a clock of its own."""

    def __init__(self, campaigns):
        self.campaigns = campaigns
        self.now = 0
        self.users = {}
        self.runs = []  # [campaign id, user, since, until, state, at, what was rendered or is wanting]

    def known(self, user):
        return self.users.setdefault(user, {'all': True, 'marks': {}, 'attributes': {}})

    def identify(self, user, fields, attributes, previous=None):
        who = self.known(user)
        if previous is not None and previous != user:
            old = self.users.pop(previous, None)
            if old is not None:
                for key, value in old.items():
                    if key not in ('all', 'marks', 'attributes'):
                        who.setdefault(key, value)
                who['attributes'] = {**old['attributes'], **who['attributes']}
                who['marks'] = {**old['marks'], **who['marks']}
                if who['all'] is True and not who.get('said'):
                    who['all'] = old['all']
            self.join(previous, user)
        who.update(fields)
        who['attributes'].update(attributes)

    def join(self, previous, user):
        for one in self.campaigns:
            both = [run for run in self.runs if run[0] == one['id'] and run[4] == 'waiting' and
                    run[1] in (previous, user)]
            both.sort(key=lambda run: run[2])
            if len(both) == 2 and both[0][2] == both[1][2] and both[0][1] == user and both[1][1] == previous:
                both.reverse()  # of the same second: they are equal, but for the number
            for run in both:
                run[1] = user
            if len(both) == 2:
                both[1][4:] = ['unsent', self.now, 'waits already']

    def subscribe(self, user, campaign_id, on):
        who = self.known(user)
        if campaign_id is None:
            who.update(all=on, marks={}, said=True)
        else:
            who['marks'][campaign_id] = on

    def track(self, user, name):
        for one in self.campaigns:
            waiting = [run for run in self.runs if run[0] == one['id'] and run[1] == user and run[4] == 'waiting']
            if waiting and one['goal'] == name:
                waiting[0][4:] = ['reached', self.now, None]
            attributes = self.users.get(user, {}).get('attributes', {})
            suits = all(name in attributes and attributes[name] == value
                        for name, value in one.get('conditions', {}).items())
            if not waiting and one['trigger'] == name and suits:
                self.runs.append([one['id'], user, self.now, self.now + one['seconds'], 'waiting', None, None])

    def forward(self, seconds):
        self.now += seconds
        for run in self.runs:
            if run[4] == 'waiting' and run[3] <= self.now:
                run[4:] = self.outcome(run)

    def outcome(self, run):
        who = self.users.get(run[1], {'all': True, 'marks': {}, 'attributes': {}})
        one = next(one for one in self.campaigns if one['id'] == run[0])
        if not who['marks'].get(run[0], who['all']):
            return ['unsent', run[3], 'unsubscribed']
        if not who.get(one['address']):
            return ['unsent', run[3], 'no ']
        return ['sent', run[3], f"{who.get('first_name', '')}/{who['attributes'].get('city', '')}"]


class AtRandom(Kept):
    """Beside the model, step by step, restarts included. The seed of a failure is in its message."""

    MODELLED = (
        {'id': 'a', 'trigger': 'one', 'goal': 'two', 'seconds': 5, 'channel': 'sms', 'address': 'phone_number',
         'conditions': {'city': 'sf'}},
        {'id': 'b', 'trigger': 'two', 'goal': 'three', 'seconds': 3, 'channel': 'email', 'address': 'email'},
        {'id': 'c', 'trigger': 'one', 'goal': 'three', 'seconds': 8, 'channel': 'phone', 'address': 'phone_number'},
    )
    campaigns = tuple({'id': one['id'], 'name': one['id'], 'trigger': one['trigger'], 'goal': one['goal'],
                       'wait': f"{one['seconds']} seconds", 'channel': one['channel'],
                       'template': '{{first_name}}/{{attributes.city}}', 'conditions': one.get('conditions', {}),
                       **({'subject': 's'} if one['channel'] == 'email' else {})} for one in MODELLED)

    def step(self, model, random):
        user = random.choice('uvw')
        kind = random.choices(('track', 'identify', 'join', 'subscribe', 'forward', 'restart'),
                              (40, 20, 4, 8, 25, 1))[0]
        if kind == 'track':
            name = random.choice(('one', 'two', 'three', 'four'))
            self.track(user, name)
            model.track(user, name)
        elif kind in ('identify', 'join'):
            fields = {name: random.choice(('x', 'y', '')) for name in ('first_name', 'email', 'phone_number')
                      if random.random() < 0.4}
            attributes = {'city': random.choice(('sf', 'la'))} if random.random() < 0.6 else {}
            previous = {'previous_id': random.choice('uvw')} if kind == 'join' else {}
            self.post(IDENTIFY, user_id=user, attributes=attributes, **fields, **previous)
            model.identify(user, fields, attributes, previous.get('previous_id'))
        elif kind == 'subscribe':
            on, campaign_id = random.random() < 0.5, random.choice((None, 'a', 'b'))
            verb = 'subscribe' if on else 'unsubscribe'
            if campaign_id is None:
                self.post(f'/v2/{verb}/all', user_id=user)
            else:
                self.post(f'/v2/{verb}/campaigns', user_id=user, campaign_ids=[campaign_id])
            model.subscribe(user, campaign_id, on)
        elif kind == 'forward':
            seconds = random.choice((1, 1, 2, 3, 9))
            self.forward(f'{seconds} seconds')
            model.forward(seconds)
        else:
            self.restart(kill=random.random() < 0.5)

    def found(self):
        out = []
        for one in self.box.get('/sandbox/campaigns'):
            for state in ('waiting', 'reached', 'sent', 'unsent'):
                for run in one[state]:
                    self.assertEqual((run['state'], run['campaign']), (state, one['id']))
                    says = run.get('text', run.get('problem'))
                    for word in ('unsubscribed', 'no ', 'waits already'):
                        if says is not None and 'problem' in run and word in says:
                            says = word
                    out.append([one['id'], run['user_id'], run['since'] - self.begin, run['until'] - self.begin, state,
                                run['at'] - self.begin if 'at' in run else None, says])
        return out

    def test_every_step_is_as_the_model_says(self):
        seen = set()
        for seed in range(12):
            self.box.own('DELETE', '/sandbox')
            self.begin = self.clock(stopped=True)['now']
            model, random = Model(self.MODELLED), Random(seed)
            for number in range(150):
                self.step(model, random)
                self.assertEqual(sorted(self.found(), key=str), sorted(model.runs, key=str), (seed, number))
            counts = self.box.get()['campaigns']
            for one in self.MODELLED:
                for state, count in counts[one['id']].items():
                    self.assertEqual(count, sum(run[0] == one['id'] and run[4] == state for run in model.runs))
            seen |= {(run[4], run[6] if run[4] == 'unsent' else None) for run in model.runs}
        self.assertEqual(seen, {('waiting', None), ('reached', None), ('sent', None), ('unsent', 'unsubscribed'),
                                ('unsent', 'no '), ('unsent', 'waits already')}, 'it was all there')


class Loading(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = os.path.join(folder.name, 'campaigns.json')
        self.db = os.path.join(folder.name, 'sandbox.db')

    def refused(self, text, code=1):
        with open(self.file, 'wb') as out:
            out.write(text if isinstance(text, bytes) else json.dumps(text).encode())
        done = subprocess.run([sandbox.SANDBOX, '--db', self.db, '--campaigns', self.file], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual((done.returncode, done.stdout), (code, ''))
        self.assertFalse(os.path.exists(self.db), 'it stops before it begins')
        begin = f'outbound-sandbox: {self.file}: '
        self.assertTrue(done.stderr.startswith(begin), done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        return done.stderr[len(begin):-1]

    def test_the_message_names_the_campaign_and_the_field(self):
        wait = ', not a number and a unit, as "2 weeks": seconds, minutes, hours, days or weeks, 520 weeks at most'
        known = 'there are user_id, first_name, last_name, email, phone_number, timezone, group_id, and attributes.NAME'
        for changes, says in (
                ({'wait': '2 fortnights'}, f'field "wait" is "2 fortnights"{wait}'),
                ({'wait': '0 days'}, f'field "wait" is "0 days"{wait}'),
                ({'wait': '521 weeks'}, f'field "wait" is "521 weeks"{wait}'),
                ({'wait': 14}, f'field "wait" must be {wait[6:]} (found: number)'),
                ({'wait': None}, 'field "wait" is missing'),
                ({'trigger': None}, 'field "trigger" is missing'),
                ({'trigger': ''}, 'field "trigger" must be a non-empty string (found: string)'),
                ({'goal': None}, 'field "goal" is missing'),
                ({'goal': 'signup'}, 'fields "goal" and "trigger" are the same event'),
                ({'channel': None, 'subject': None}, 'field "channel" is missing'),
                ({'channel': 'fax', 'subject': None},
                 'field "channel" is "fax", not "email", "sms", "phone" or "push"'),
                ({'subject': None}, 'field "subject" is missing'),
                ({'subject': 'a\nb'}, 'field "subject" must be a non-empty string of one line (found: string)'),
                ({'channel': 'sms'}, 'there is no field "subject"'),
                ({'template': None}, 'field "template" is missing'),
                ({'conditions': ['city']},
                 'field "conditions" must be an object of attributes and what they have to be (found: array)'),
                ({'id': 1.5},
                 'field "id" must be a non-empty string or an integer within +-(2^53 - 1) (found: number)'),
                ({'colour': 'red'}, 'there is no field "colour"'),
                ({'template': 'Hi {{frist_name}}'},
                 f'field "template": there is no placeholder "frist_name"; {known}'),
                ({'template': 'Hi {{}}'}, f'field "template": there is no placeholder ""; {known}'),
                ({'template': 'Hi {{attributes.}}'},
                 f'field "template": there is no placeholder "attributes."; {known}'),
                ({'template': 'Hi {{first_name} and on'},
                 'field "template": the placeholder that begins with "{{first_name} and on" has no end'),
                ({'subject': '{{FIRST_NAME}}'}, f'field "subject": there is no placeholder "FIRST_NAME"; {known}')):
            with self.subTest(changes=changes):
                self.assertEqual(self.refused([campaign(id='other', name='Other'), campaign(**changes)]),
                                 f'campaign "First picture": {says}')

    def test_without_a_name_it_is_counted(self):
        self.assertEqual(self.refused([campaign(), campaign(name=None)]), 'campaign 2: field "name" is missing')
        self.assertEqual(self.refused([campaign(), 1]), 'campaign 2: it must be an object, not of type number')

    def test_an_id_is_had_by_one_only(self):
        self.assertEqual(self.refused([campaign(id=7), campaign(id='7', name='Other')]),
                         'campaign "Other": field "id": another campaign has "7"')
        self.assertEqual(self.refused([campaign(id=None), campaign(id=None)]),
                         'campaign "First picture": field "id": another campaign has "First picture"')

    def test_what_is_no_file_of_campaigns(self):
        self.assertEqual(self.refused({'campaigns': []}), 'the campaigns must be an array, not of type object')
        self.assertEqual(self.refused(b'[{"name": '), 'not JSON: it ends too early, behind byte 10')
        self.assertEqual(self.refused(b''), 'not JSON: it is empty')
        self.assertIn('key "name" appears twice', self.refused(b'[{"name": "a", "name": "b"}]'))
        self.assertEqual(self.refused(b'[{"name": "\xff"}]'), 'not UTF-8: byte 12')

    def test_a_file_that_cannot_be_read(self):
        for name in (self.file, os.path.dirname(self.file)):
            done = subprocess.run([sandbox.SANDBOX, '--campaigns', name], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=LIMIT_S, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (1, '', f'outbound-sandbox: {name} cannot be read\n'))

    def test_an_option_without_a_file(self):
        for options in (('--campaigns',), ('--campaigns', '')):
            done = subprocess.run([sandbox.SANDBOX, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=LIMIT_S, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ''))
            self.assertIn('--campaigns', done.stderr)

    def test_no_campaign_is_fine(self):
        with open(self.file, 'w', encoding='utf-8') as out:
            out.write('[]')
        for options in ((), ('--campaigns', self.file)):
            box = sandbox.Sandbox(*options)
            self.addCleanup(box.end)
            self.assertEqual(box.get('/sandbox/campaigns'), [])
            self.assertEqual(box.get()['campaigns'], {})


if __name__ == '__main__':
    sandbox.SANDBOX = os.path.abspath(sys.argv.pop(1))
    unittest.main()
