"""The sandbox's page, as people use it: a headless Chromium that chromedriver steers.

Usage: sandbox_page.py SANDBOX_EXECUTABLE [unittest's arguments]
With OUTBOUND_SCREENSHOTS=DIR, pictures of it are left there to be looked at. Exit code 77: there is no Chromium.
"""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import sandbox
from sandbox import IDENTIFY, LIMIT_S, TRACK, event, request

SKIPPED = 77
CHROMIUM = shutil.which('chromium')
DRIVER = shutil.which('chromedriver')
SCREENSHOTS = os.environ.get('OUTBOUND_SCREENSHOTS')
KEYS = {'Escape': '\ue00c', 'Enter': '\ue007', 'Left': '\ue012', 'Up': '\ue013', 'Right': '\ue014', 'Down': '\ue015',
        'End': '\ue010', 'Home': '\ue011', 'Tab': '\ue004'}


class Browser:
    """One Chromium with a profile of its own, spoken to in WebDriver's JSON over HTTP."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix='outbound-chromium-')
        self.start_driver()
        arguments = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
                     '--disable-background-networking', '--disable-component-update', '--disable-sync',
                     '--disable-dev-shm-usage', '--window-size=1200,850', f'--user-data-dir={self.profile}']
        options = {'binary': CHROMIUM, 'args': arguments}
        wish = {'browserName': 'chrome', 'goog:chromeOptions': options, 'unhandledPromptBehavior': 'ignore',
                'goog:loggingPrefs': {'browser': 'ALL'}}
        self.session = ''
        self.session = '/session/' + self.ask('POST', '/session', {'capabilities': {'alwaysMatch': wish}})['sessionId']

    def start_driver(self):
        """It ends at once if the port that it has picked is taken in the other of IPv4 and IPv6: then again."""
        for _ in range(5):
            self.driver = subprocess.Popen([DRIVER, '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            said = ''
            for line in self.driver.stdout:
                said += line
                if 'successfully on port' in line:
                    self.port = int(line.split('port ')[1].rstrip('.\n'))
                    return
            self.driver.stdout.close()
            self.driver.wait(LIMIT_S)
        raise AssertionError('chromedriver does not start: ' + said)

    def end(self):
        if self.session:
            self.ask('DELETE', '')
        self.driver.terminate()
        self.driver.wait(LIMIT_S)
        self.driver.stdout.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method, path, body=None):
        link = http.client.HTTPConnection('127.0.0.1', self.port, timeout=2 * LIMIT_S)
        with contextlib.closing(link):
            link.request(method, self.session + path, None if method != 'POST' else json.dumps(body or {}))
            value = json.loads(link.getresponse().read())['value']
        if isinstance(value, dict) and 'error' in value:
            raise AssertionError(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    def open(self, url):
        self.ask('POST', '/url', {'url': url})

    def run(self, script, *arguments):
        return self.ask('POST', '/execute/sync', {'script': script, 'args': list(arguments)})

    def until(self, script, *arguments):
        """What the script returns once that is true in the sense of JavaScript."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if got := self.run(f'return (() => {{ {script} }})() || null', *arguments):
                return got
        raise AssertionError(f'never came true: {script} {arguments}; the page says: {self.text()}')

    def text(self):
        return self.run('return document.body.innerText')

    def until_text(self, *parts):
        arguments = ', '.join(json.dumps(part) for part in parts)
        self.until(f'return [{arguments}].every((part) => document.body.innerText.includes(part))')

    def press(self, *keys):
        """Keys by name, or text to type."""
        strokes = [stroke for key in keys for stroke in (KEYS[key] if key in KEYS else key)]
        actions = [{'type': kind, 'value': stroke} for stroke in strokes for kind in ('keyDown', 'keyUp')]
        self.ask('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

    def click(self, selector):
        found = self.ask('POST', '/element', {'using': 'css selector', 'value': selector})
        self.ask('POST', f'/element/{next(iter(found.values()))}/click')

    def devtools(self, command, **parameters):
        return self.ask('POST', '/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def resize(self, width, height, phone=False):
        self.devtools('Emulation.setDeviceMetricsOverride', width=width, height=height,
                      deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.devtools('Emulation.setTouchEmulationEnabled', enabled=phone)

    def darken(self, dark):
        scheme = [{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}]
        self.devtools('Emulation.setEmulatedMedia', features=scheme)

    def complaints(self):
        return self.ask('POST', '/se/log', {'type': 'browser'})

    def pick(self, selector, text):
        """Types into a field in place of what it has."""
        found = self.ask('POST', '/element', {'using': 'css selector', 'value': selector})
        path = f'/element/{next(iter(found.values()))}'
        self.ask('POST', path + '/clear')
        self.ask('POST', path + '/value', {'text': text})

    def picture(self, name):
        if SCREENSHOTS:
            data = base64.b64decode(self.ask('GET', '/screenshot'))
            pathlib.Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            pathlib.Path(SCREENSHOTS, f'{name}.png').write_bytes(data)


class Case(sandbox.Case):
    """The browser is shared, the sandbox is not."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.end)

    def setUp(self):
        super().setUp()
        self.browser.resize(1200, 850)
        self.browser.darken(False)
        self.open()

    def open(self, anchor=''):
        self.browser.open('about:blank')  # else only the anchor would change
        self.browser.open(f'http://127.0.0.1:{self.box.port}/{anchor}')
        self.browser.until_text('Live')
        # Until its numbers are there: they move the tabs, and a click would go where one was.
        self.browser.until(r'return /Campaigns \d/.test(document.body.innerText)')

    def post(self, path, body, **more):
        return self.outcome(path, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)

    def focused(self):
        return self.browser.run('''const at = document.activeElement;
            return at.id || at.closest("li")?.querySelector(".name, .reason")?.textContent || at.tagName''')

    def names(self):
        return self.browser.run('''return [...document.querySelectorAll(
            "[role=tabpanel]:not([hidden]) :is(.name, .reason)")].map((one) => one.textContent)''')

    def until_names(self, *names):
        wanted = json.dumps(names, separators=(',', ':'), ensure_ascii=False)
        self.browser.until('''const all = [...document.querySelectorAll(
            "[role=tabpanel]:not([hidden]) :is(.name, .reason)")].map((one) => one.textContent);
            return JSON.stringify(all) === ''' + json.dumps(wanted))

    def fill(self):
        """Something of each kind."""
        users = (
            ('ada', {'first_name': 'Ada', 'last_name': 'Lovelace', 'email': 'ada@example.com', 'phone_number': '+4420',
                     'timezone': 'Europe/London', 'attributes': {'plan': 'pro', 'seats': 12, 'beta': True,
                                                                'home': {'city': 'London', 'zip': 'W1'}}}),
            ('grace', {'first_name': 'Grace', 'last_name': 'Hopper', 'email': 'grace@example.com',
                       'attributes': {'plan': 'free', 'rank': 'rear admiral'}}),
            (42, {'email': 'alan@example.com', 'attributes': {}}),
        )
        for user_id, fields in users:
            self.assertEqual(self.post(IDENTIFY, {'user_id': user_id, **fields}), 200)
        self.post('/v2/apns/register', {'user_id': 'ada', 'token': 'f3a9' * 16})
        self.post('/v2/fcm/register', {'user_id': 'ada', 'token': 'cGFzc2l2ZSBhZ2dyZXNzaXZl:APA91b'})
        self.post('/v2/subscribe/campaigns', {'user_id': 'ada', 'campaign_ids': ['weekly', 7]})
        self.post('/v2/unsubscribe/all', {'user_id': 'grace'})
        for number, (user, name, properties) in enumerate((
                ('ada', 'signed up', {'plan': 'pro', 'source': 'newsletter'}),
                ('ada', 'invited a colleague', {'email': 'charles@example.com', 'role': 'admin'}),
                ('grace', 'signed up', {'plan': 'free'}),
                (42, 'opened the door', {}),
                ('grace', 'paid', {'amount': 49.9, 'currency': 'EUR', 'lines': [{'sku': 'A-1', 'count': 2}]}),
                ('ada', 'exported a report', {'rows': 9007199254740993, 'format': 'csv'}))):
            self.post(TRACK, {'user_id': user, 'event': name, 'properties': properties},
                      guid=f'7d9f0c3{number}-54e1-4c5b-9a50-2d1b8f1e6a0{number}')
        self.post(TRACK, {'user_id': 'grace', 'event': 'signed up', 'properties': {'plan': 'free'}},
                  guid='7d9f0c32-54e1-4c5b-9a50-2d1b8f1e6a02')
        self.post(TRACK, b'{"user_id": "ada", "event": 7, "properties": {"plan": "pro"}}', guid='3f1')
        self.post(IDENTIFY, b'{"user_id": "ada", "frist_name": "Ada", "attributes": {"plan": "pro"}}')
        self.post(IDENTIFY, b'{"user_id": "ada", "attributes": {"plan": ')
        self.post(TRACK, event('ada'), key='an-old-key')
        self.box.faults({'status': 503})
        self.post(TRACK, event('ada'))
        self.browser.until_text('Faults 1')


class Live(Case):
    def test_what_comes_in_shows_without_a_reload(self):
        self.browser.run('window.isTheSamePage = true')
        self.browser.until_text('No events yet')
        self.browser.picture('empty')
        self.post(TRACK, {'user_id': 42, 'event': 'signed up', 'properties': {'plan': 'pro'}}, guid='guid-1')
        self.until_names('signed up')
        self.browser.until_text('Events 1', 'plan: pro', 'guid-1', '1 call accepted')
        self.post(TRACK, event(42, 'paid'), guid='guid-1')
        self.until_names('paid', 'signed up')
        self.browser.until_text('conflict', 'Repeated 1')
        self.browser.click('#tab-user')
        self.browser.until_text('No users yet')
        self.post(IDENTIFY, {'user_id': 42, 'first_name': 'Ada'})
        self.until_names('Ada')
        self.post(IDENTIFY, {'user_id': 42, 'last_name': 'Lovelace', 'attributes': {'n': 9007199254740993}})
        self.until_names('Ada Lovelace')
        self.post(IDENTIFY, {'user_id': 'ada', 'previous_id': 42})
        self.browser.until_text('Users 1')
        self.browser.until('return [...document.querySelectorAll("#panel-user .who")].map((one) => one.textContent)'
                           '.join() === "ada"')
        self.browser.click('#panel-user summary')
        self.browser.until_text('9007199254740993', 'previous id')
        self.assertTrue(self.browser.run('return window.isTheSamePage'))
        self.assertEqual(self.browser.complaints(), [])

    def test_a_refused_request_shows_its_reason_and_its_body(self):
        self.fill()
        self.browser.click('#tab-rejected')
        self.until_names('X-Outbound-Key is wrong', *(one['reason'] for one in
                                                      reversed(self.box.get('/sandbox/rejected')[:3])))
        self.browser.click('#panel-rejected li:nth-child(3) summary')
        body = '{"user_id": "ada", "frist_name": "Ada", "attributes": {"plan": "pro"}}'
        self.browser.until('return document.querySelector("#panel-rejected pre")?.textContent === ' + json.dumps(body))
        self.assertEqual(self.browser.run('return document.querySelector("mark").textContent'), '"frist_name"')
        self.browser.picture('refused')

    def test_search_filters(self):
        self.fill()
        self.browser.press('/', 'GRACE sign')
        self.until_names('signed up', 'signed up')
        self.browser.until_text('2 of the 7 events match')
        self.browser.press('Escape')
        self.browser.until_text('7 events')
        self.assertEqual(len(self.names()), 7)
        self.browser.press('/', 'nowhere to be found')
        self.browser.until_text('Nothing matches')

    def test_events_of_one_user_are_his_alone(self):
        for user, name in ((1, 'of 1'), (21, 'of 21'), ('1', 'of text 1'), ('1 ', 'of 1 and a blank'), (2, 'by 1')):
            self.post(TRACK, {'user_id': user, 'event': name, 'properties': {'amount': 1}})
        self.post(IDENTIFY, {'user_id': 1, 'first_name': 'Ada'})
        self.browser.until_text('Events 5', 'Users 1')
        self.browser.click('#tab-user')
        self.browser.click('#panel-user summary')
        self.browser.until('return document.querySelector("#panel-user .body button")')
        self.browser.click('#panel-user .body button')
        self.until_names('of text 1', 'of 1')  # the sandbox knows users by the text of their ids
        self.browser.until_text('2 of the 5 events match', 'Only user 1')
        self.assertEqual(self.browser.run('return document.querySelector("#search").value'), '')
        self.assertEqual(self.focused(), 'only')
        self.browser.picture('only')
        self.post(TRACK, event(1, 'later'))
        self.post(TRACK, event(11, 'of another'))
        self.until_names('later', 'of text 1', 'of 1')
        self.browser.press('/', 'text')
        self.until_names('of text 1')
        self.browser.press('Escape')
        self.until_names('later', 'of text 1', 'of 1')
        self.browser.click('#tab-user')
        self.browser.until('return document.querySelector("#only").hidden')  # it is about events
        self.until_names('Ada')
        self.browser.click('#tab-event')
        self.until_names('later', 'of text 1', 'of 1')
        self.browser.click('#only')
        self.browser.until_text('7 events')
        self.assertEqual(len(self.names()), 7)
        self.assertEqual(self.focused(), 'search')
        self.browser.click('#panel-event summary')
        self.browser.until('return document.querySelector("#panel-event .body button")')
        self.browser.click('#panel-event .body button')
        self.until_names('of another')
        self.assertEqual(self.browser.complaints(), [])

    def test_a_user_without_events(self):
        self.post(IDENTIFY, {'user_id': 'u' * 300})
        self.post(TRACK, event('ada'))
        self.browser.click('#tab-user')
        self.browser.until('return document.querySelector("#panel-user summary")')
        self.browser.click('#panel-user summary')
        self.browser.until('return document.querySelector("#panel-user .body button")')
        self.browser.click('#panel-user .body button')
        self.browser.until_text('Nothing matches', 'No event of this user is here.')
        for name, width, dark, phone in Looks.VIEWS:
            self.browser.resize(width, 780, phone)
            self.browser.darken(dark)
            self.assertEqual(self.browser.run(Looks.OVERFLOW), 0, name)
            self.browser.picture(f'{name}-only-long')

    def test_keys(self):
        self.fill()
        self.browser.press('2')
        self.until_names('Grace Hopper', 'Ada Lovelace', 'alan@example.com')  # the newest change first
        self.browser.run('document.querySelector("#tab-user").focus()')
        self.browser.press('Right')
        self.assertEqual(self.focused(), 'tab-rejected')
        self.browser.press('End')
        self.assertEqual(self.focused(), 'tab-run')
        self.browser.press('Home')
        self.assertEqual(self.focused(), 'tab-event')
        selected = 'return [...document.querySelectorAll("[role=tab][aria-selected=true]")].map((one) => one.id).join()'
        self.assertEqual(self.browser.run(selected), 'tab-event')
        self.browser.press('Down', 'Down')
        self.assertEqual(self.focused(), 'exported a report')
        outline = 'return getComputedStyle(document.activeElement).outlineStyle'
        self.assertEqual(self.browser.run(outline), 'solid')
        self.browser.press('Enter')
        self.browser.until_text('9007199254740993')
        self.post(TRACK, event('ada', 'newest'))
        self.browser.until_text('newest')
        self.assertEqual(self.focused(), 'exported a report', 'what comes in leaves the focus where it is')
        self.assertEqual(self.browser.run('return document.querySelectorAll("details[open]").length'), 1)
        self.browser.press('Up', 'Up', '/')
        self.assertEqual(self.focused(), 'search')

    def test_a_pause_holds_the_list_and_counts_what_comes(self):
        self.post(TRACK, event('u', 'one'))
        self.until_names('one')
        self.browser.press('p')
        self.post(TRACK, event('u', 'two'))
        self.browser.until_text('paused, 1 new', 'Events 2')
        self.assertEqual(self.names(), ['one'])
        self.browser.press('p')
        self.until_names('two', 'one')

    def test_forget_all(self):
        self.post(TRACK, event('u', 'one'))
        self.until_names('one')
        self.browser.click('#forget')
        self.browser.ask('POST', '/alert/accept')
        self.browser.until_text('No events yet')
        self.assertEqual(self.events(), 0)

    def test_ten_thousand_events_keep_the_document_small(self):
        count = 10_500
        link = self.connect()
        for first in range(0, count, 500):
            link.write(b''.join(request(TRACK, event(f'u{i % 7}', f'event {i}'), guid=f'g{i}')
                                for i in range(first, first + 500)))
            for _ in range(500):
                self.assertEqual(link.read_answer()[0], 200)
        self.browser.until_text('10,500 events', 'event 10499', 'the newest 200 shown')
        self.assertEqual(self.browser.run('return document.querySelectorAll("li").length'), 200)
        self.assertLess(self.browser.run('return document.querySelectorAll("*").length'), 3000)
        self.browser.press('/', 'event 1234')
        self.until_names('event 1234')
        self.browser.until_text('1 of the newest 10,000 events match')
        self.browser.press('Escape')
        self.browser.until_text('the newest 200 shown')
        self.browser.click('#more')
        self.browser.until_text('the newest 400 shown')
        self.open()
        self.browser.until_text('10,500 events', 'event 10499')
        self.browser.press('/', 'event 499')
        told = sum('499' in str(i) for i in range(count - 10_000, count))  # 499 itself is not
        self.browser.until_text(f'{told} of the newest 10,000 events match')


def campaign(**changes):
    return {'id': 'first-picture', 'name': 'First picture', 'trigger': 'signup',
            'conditions': {'city': 'san francisco'}, 'goal': 'upload a picture', 'wait': '2 weeks',
            'channel': 'email', 'subject': '{{first_name}}, show us San Francisco',
            'template': '<p>Hi {{first_name}},</p>\n<p>no picture of you yet, {{attributes.nick}}.</p>', **changes}


class CampaignCase(Case):
    campaigns = (campaign(), {'name': 'Cart', 'trigger': 'fill the cart', 'goal': 'pay', 'wait': '1 day',
                              'channel': 'push', 'template': 'Your cart is still full'})

    def setUp(self):
        with tempfile.NamedTemporaryFile('w', suffix='.json', delete=False) as file:
            json.dump(self.campaigns, file)
        self.addCleanup(os.remove, file.name)
        self.options = ('--campaigns', file.name)
        super().setUp()
        self.browser.click('#tab-run')

    def sign_up(self, user, **fields):
        self.assertEqual(self.post(IDENTIFY, {'user_id': user, 'attributes': {'city': 'san francisco'}, **fields}), 200)
        self.assertEqual(self.post(TRACK, event(user, 'signup')), 200)

    def play(self):
        """Something of each kind."""
        for user, fields in (('ada', {'first_name': 'Ada', 'email': 'ada@example.com'}), ('grace', {}), ('alan', {})):
            self.sign_up(user, **fields)
        self.post(TRACK, event('alan', 'upload a picture'))
        self.box.own('POST', '/sandbox/clock', {'forward': '2 weeks'})
        self.sign_up('zoe')
        self.browser.until_text('1 waiting', '1 goal reached', '1 sent', '1 cannot be sent')

    def rows(self):
        return self.browser.run('''return [...document.querySelectorAll("#panel-run li")].map((one) =>
            [".badge", ".who"].map((part) => one.querySelector(part).textContent).join(" "))''')


class Campaigns(CampaignCase):
    def test_what_happens_shows_without_a_reload(self):
        self.browser.until_text('Nobody is in a campaign', 'First picture', 'city is "san francisco"', '2 weeks',
                                '0 waiting', 'as on this machine')
        self.browser.run('window.isTheSamePage = true')
        self.sign_up('ada', first_name='Ada', email='ada@example.com')
        self.sign_up('grace')
        self.browser.until_text('Campaigns 2', '2 waiting', '2 runs', 'until 20')
        self.assertEqual(self.rows(), ['waiting grace', 'waiting ada'])
        self.post(TRACK, event('grace', 'upload a picture'))
        self.browser.until_text('1 goal reached')
        self.browser.click('#clock button')
        self.browser.until_text('2 weeks ahead', '1 sent', 'Ada, show us San Francisco')
        self.assertEqual(self.rows(), ['sent ada', 'goal reached grace'])
        self.browser.click('#panel-run summary')
        self.browser.until_text('WHAT WOULD GO OUT BY EMAIL', 'ada@example.com',
                                'city is "san francisco"; did "signup" and not "upload a picture" within 2 weeks',
                                'attributes.nick')
        self.assertEqual(self.browser.run('return document.querySelector("#panel-run pre").textContent'),
                         '<p>Hi Ada,</p>\n<p>no picture of you yet, .</p>')
        self.assertTrue(self.browser.run('return window.isTheSamePage'))
        self.assertEqual(self.browser.complaints(), [])

    def test_what_cannot_be_sent_says_why(self):
        self.sign_up('u')
        self.browser.click('#clock button')
        self.browser.until_text('1 cannot be sent', 'no email')
        self.browser.click('#panel-run summary')
        self.browser.until_text('cannot be sent: no email')

    def test_the_clock_moves_by_keys_alone(self):
        self.browser.press('1', '6')
        self.assertEqual(self.browser.run('return document.querySelector("[aria-selected=true]").id'), 'tab-run')
        self.browser.run('document.querySelector("#amount").focus()')
        self.browser.press('Up', '6')  # what is typed into a field is no key of the page
        self.assertEqual(self.browser.run('return document.querySelector("#amount").value'), '36')
        self.browser.press('Tab')
        self.assertEqual(self.focused(), 'unit')
        self.browser.press('d')
        self.assertEqual(self.browser.run('return document.querySelector("#unit").value'), 'days')
        self.browser.press('Tab', 'Enter')
        self.browser.until_text('5 weeks 1 day ahead')
        self.assertGreaterEqual(self.box.get('/sandbox/clock')['ahead'], 36 * 86400)
        self.browser.press('Tab', 'Enter')
        self.browser.until_text('The clock stands still', 'Let it run')
        self.assertTrue(self.box.get('/sandbox/clock')['stopped'])
        self.browser.press('Enter')
        self.browser.until_text('5 weeks ', ' ahead', 'Stop it')  # less than 36 days: it stood for a moment

    def test_a_wish_that_is_refused_says_so(self):
        self.browser.pick('#amount', '521')
        self.browser.click('#clock button')
        self.browser.until_text('520 weeks at most')
        self.assertEqual([one['source'] for one in self.browser.complaints()], ['network'])  # and nothing else
        self.browser.pick('#amount', '1')
        self.browser.click('#clock button')
        self.browser.until_text('1 week ahead')
        self.assertNotIn('at most', self.browser.text())

    def test_search_and_keys_work_on_the_runs(self):
        self.play()
        self.browser.press('Down')
        self.browser.press('Enter')
        self.browser.until('return document.querySelector("#panel-run details[open]")')
        self.browser.press('/', 'cannot be sent')
        self.browser.until_text('1 of the 4 runs match')
        self.assertEqual(self.rows(), ['cannot be sent grace'])

    def test_a_reset_keeps_the_campaigns_and_forgets_the_rest(self):
        self.play()
        self.browser.until_text('2 weeks ahead')
        self.box.own('DELETE', '/sandbox')
        self.browser.until_text('Nobody is in a campaign', 'First picture', 'as on this machine', '0 sent')

    def test_it_looks_right_everywhere(self):
        self.play()
        for name, width, dark, phone in Looks.VIEWS:
            self.browser.resize(width, 780, phone)
            self.browser.darken(dark)
            self.open('#run')
            self.browser.until('return document.querySelector("#panel-run summary")')
            self.assertEqual(self.browser.run(Looks.OVERFLOW), 0, name)
            self.browser.until('const tab = document.querySelector("#tab-run").getBoundingClientRect();'
                               'return tab.left >= 0 && tab.right <= innerWidth')
            self.browser.picture(f'{name}-run')
            self.browser.resize(width, 2200, phone)
            self.browser.run('for (const one of document.querySelectorAll("details")) one.open = true')
            self.browser.until('return document.querySelectorAll(".body").length === 4')
            self.assertEqual(self.browser.run(Looks.OVERFLOW), 0, name)
            self.browser.picture(f'{name}-run-open')


class LongCampaigns(CampaignCase):
    LONG = 'x' * 300
    campaigns = (campaign(id=LONG, name=LONG, goal=LONG, template=LONG * 10, conditions={}, subject=LONG),
                 campaign(id=LONG + 'y', name=LONG, goal=LONG, template=LONG, conditions={'city': 'san francisco',
                                                                                          LONG: LONG}, subject=LONG),
                 campaign(id='z', name='z', conditions={}, wait='520 weeks'))

    def test_no_view_overflows(self):
        self.sign_up(self.LONG, email=self.LONG)
        self.sign_up('u')
        self.box.own('POST', '/sandbox/clock', {'forward': '2 weeks'})
        self.sign_up(self.LONG + 'y')
        for name, width, dark, phone in Looks.VIEWS:
            self.browser.resize(width, 780, phone)
            self.browser.darken(dark)
            self.open('#run')
            self.browser.until('return document.querySelectorAll("#panel-run summary").length === 6')
            self.browser.run('for (const one of document.querySelectorAll("details")) one.open = true')
            self.browser.until('return document.querySelectorAll(".body").length === 6')
            self.assertEqual(self.browser.run(Looks.OVERFLOW), 0, name)
            self.browser.picture(f'{name}-run-long')


class NoCampaigns(Case):
    def test_says_how_to_have_some(self):
        self.browser.click('#tab-run')
        self.browser.until_text('No campaigns', '--campaigns', 'as on this machine')
        self.browser.picture('no-campaigns')


class OtherKey(Case):
    options = ('--key', 'other-key')

    def test_what_is_to_be_pasted_has_no_wrong_key(self):
        for tab in ('event', 'user'):
            self.browser.click(f'#tab-{tab}')
            self.browser.until_text("X-Outbound-Key: YOUR-KEY'")
            self.assertNotIn('sandbox-key', self.browser.text())
        self.assertNotIn('other-key', self.browser.run('return fetch("/sandbox/settings").then((one) => one.text())'))

    def test_with_the_usual_key_it_can_be_pasted_as_it_is(self):
        self.box.end()
        self.box = sandbox.Sandbox(port=self.box.port)
        self.addCleanup(self.box.end)
        self.browser.until_text("X-Outbound-Key: sandbox-key'")
        self.browser.click('#tab-user')
        self.browser.until_text("X-Outbound-Key: sandbox-key'")


class Escaping(Case):
    BAD = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><a href="javascript:hacked=1">'

    def check(self, topic, *parts):
        self.open(f'#{topic}')
        self.browser.until('return document.querySelector("summary")')
        self.browser.run('for (const one of document.querySelectorAll("details")) one.open = true')
        for part in parts:
            self.browser.until('return document.querySelector("main").textContent.includes(' + json.dumps(part) + ')')
        foreign = 'return document.querySelectorAll("main :is(img, script, a, svg, iframe, style, link)").length'
        self.assertEqual(self.browser.run(foreign), 0)
        self.assertIsNone(self.browser.run('return window.hacked ?? null'))
        self.assertEqual([one for one in self.browser.complaints() if 'favicon' not in one['message']], [])

    def test_a_user(self):
        bad = self.BAD
        fields = {name: bad + name for name in ('first_name', 'last_name', 'email', 'phone_number', 'timezone')}
        self.assertEqual(self.post(IDENTIFY, {
            'user_id': bad + 'id', **fields, 'attributes': {bad + 'key': bad + 'value', '__proto__': [bad + 'deep']},
            'apns': [bad + 'apns'], 'gcm': [bad + 'gcm'], 'group_id': bad + 'group', 'previous_id': bad + 'previous',
            'group_attributes': {bad + 'group key': {bad + 'inner': bad + 'group value'}}}), 200)
        self.post('/v2/subscribe/campaigns', {'user_id': bad + 'id', 'campaign_ids': [bad + 'campaign']})
        quoted = json.dumps(bad)[1:-1]  # as JSON, where it is a value
        self.check('user', *(bad + name for name in ('id', *fields, 'key', 'apns', 'gcm', 'group', 'group key',
                                                     'campaign')),
                   *(quoted + name for name in ('value', 'deep', 'inner', 'group value', 'previous')), '__proto__')

    def test_an_event(self):
        bad = self.BAD
        self.assertEqual(self.post(TRACK, {'user_id': bad + 'id', 'event': bad + 'name', 'properties': {
            bad + 'key': bad + 'value', 'list': [{bad + 'inner': bad + 'deep'}]}}, guid=bad + 'guid'), 200)
        quoted = json.dumps(bad)[1:-1]
        self.check('event', *(bad + name for name in ('id', 'name', 'key', 'guid')),
                   *(quoted + name for name in ('value', 'inner', 'deep')))

    def test_requests(self):
        bad = self.BAD
        path = '/v2/<script>window.hacked=1</script><img/src=x/onerror=hacked=1>'
        with contextlib.closing(self.connect()) as link:
            for to in (path, TRACK, IDENTIFY):
                whole = request(to, (bad + 'body').encode(), guid=bad + 'guid')
                link.write(whole.replace(b'\r\n\r\n', b'\r\nX-Outbound-Client: ' + bad.encode() + b'client\r\n\r\n'))
                self.assertIn(link.read_answer()[0], (404, 500))
            key = json.dumps(bad + 'field').encode()
            link.write(request(IDENTIFY, b'{"user_id": 1, ' + key + b': 1}'))
            self.assertEqual(link.read_answer()[0], 400)
        self.check('rejected', path, bad + 'body', bad + 'guid', bad + 'client', json.dumps(bad + 'field'))
        self.box.faults({'status': 500})
        for _ in range(2):
            self.post(TRACK, {'user_id': 'u', 'event': bad}, guid=bad + 'guid')
            self.post(TRACK, {'user_id': 'u', 'event': bad + 'other'}, guid=bad + 'guid')
        self.check('faulted', json.dumps(bad), bad + 'guid')
        self.check('repeated', json.dumps(bad + 'other'), bad + 'guid')

    def test_what_cannot_be_seen_is_named(self):
        self.post(TRACK, {'user_id': 'u', 'event': 'a\u202eb\u0000c\u200bd'})
        self.until_names('a⟨U+202E⟩b␀c⟨U+200B⟩d')

    def test_the_policy_stops_what_text_alone_would_not(self):
        """The second lock: were a row made by innerHTML, nothing would come of it."""
        self.assertIn('TrustedHTML', self.browser.run('''
            try { document.body.innerHTML = "<b>x</b>"; return "it passed"; } catch (e) { return e.message; }'''))


class EscapingOfCampaigns(CampaignCase):
    BAD = Escaping.BAD
    check = Escaping.check
    campaigns = (campaign(name=BAD + 'name', id=BAD + 'id', trigger=BAD + 'trigger', goal=BAD + 'goal',
                          conditions={BAD + 'key': BAD + 'wanted'}, subject=BAD + 'subject {{attributes.x}}',
                          template=BAD + 'template {{attributes.x}}'),
                 {'name': 'plain', 'trigger': BAD + 'trigger', 'goal': BAD + 'goal', 'wait': '1 day',
                  'channel': 'sms', 'template': BAD + 'template {{attributes.x}}'})

    def test_a_campaign_a_run_and_a_message(self):
        bad = self.BAD
        self.assertEqual(self.post(IDENTIFY, {'user_id': bad + 'user', 'email': bad + 'email', 'phone_number': '1',
                                              'attributes': {bad + 'key': bad + 'wanted', 'x': bad + 'value'}}), 200)
        self.assertEqual(self.post(TRACK, {'user_id': bad + 'user', 'event': bad + 'trigger'}), 200)
        self.check('run', *(bad + name for name in ('name', 'trigger', 'goal', 'key', 'subject', 'template', 'user')))
        self.box.own('POST', '/sandbox/clock', {'forward': '2 weeks'})
        inserted = bad.replace('<', '&lt;').replace('>', '&gt;').replace('"', '&quot;')
        self.check('run', bad + 'email', bad + 'subject ' + bad + 'value', bad + 'template ' + inserted + 'value',
                   bad + 'template ' + bad + 'value', json.dumps(bad)[1:-1] + 'wanted')


class Looks(Case):
    OVERFLOW = 'return document.documentElement.scrollWidth - document.documentElement.clientWidth'

    VIEWS = (('desktop', 1200, False, False), ('dark', 1200, True, False), ('phone', 360, False, True),
             ('phone-dark', 360, True, True))

    def each_view(self):
        for name, width, dark, phone in self.VIEWS:
            self.browser.resize(width, 780, phone)
            self.browser.darken(dark)
            for topic in ('event', 'user', 'rejected', 'repeated', 'faulted'):
                self.open(f'#{topic}')
                self.browser.until(f'return document.querySelector("#panel-{topic} summary")')
                yield f'{name}-{topic}'

    def test_no_view_overflows(self):
        self.fill()
        for view in self.each_view():
            self.assertEqual(self.browser.run(self.OVERFLOW), 0, view)
            self.browser.picture(view)
            self.browser.click('[role=tabpanel]:not([hidden]) summary')
            self.browser.until('return document.querySelector(".body")')
            self.assertEqual(self.browser.run(self.OVERFLOW), 0, view)
            self.browser.picture(f'{view}-open')

    def test_no_view_overflows_by_what_is_long(self):
        self.fill()
        self.post(TRACK, {'user_id': 'u' * 300, 'event': 'e' * 300, 'properties': {'k' * 300: 'v' * 3000}},
                  guid='g' * 90)
        self.post('/v2/' + 'p' * 300, b'x' * 3000)
        self.browser.until_text('Events 8', 'Refused 5')
        for view in self.each_view():
            self.browser.run('for (const one of document.querySelectorAll("details")) one.open = true')
            self.browser.until('return document.querySelectorAll(".body").length === '
                               'document.querySelectorAll("details").length')
            self.assertEqual(self.browser.run(self.OVERFLOW), 0, view)
            self.browser.picture(f'{view}-long')

    def test_the_dark_is_dark(self):
        ground = 'return getComputedStyle(document.body).backgroundColor'
        self.assertEqual(self.browser.run(ground), 'rgb(250, 248, 243)')
        self.browser.darken(True)
        self.assertEqual(self.browser.run(ground), 'rgb(21, 25, 26)')

    def test_what_assistive_technology_is_told(self):
        self.fill()
        told = self.browser.run('''return [...document.querySelectorAll("[role=tab]")].map((tab) => [
            tab.tabIndex, tab.getAttribute("aria-selected"),
            document.getElementById(tab.getAttribute("aria-controls")).getAttribute("aria-labelledby") === tab.id])''')
        self.assertEqual(told, [[0, 'true', True]] + [[-1, 'false', True]] * 5)
        self.assertEqual(self.browser.run('return document.querySelectorAll("[role=status]").length'), 2)
        self.assertEqual(self.browser.run('return document.querySelector("html").lang'), 'en')


class Restart(Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.options = ('--db', os.path.join(folder.name, 'sandbox.db'))
        super().setUp()

    def test_the_page_finds_the_old_rows_again(self):
        self.fill()
        self.browser.run('window.isTheSamePage = true')
        before = self.names()
        self.box.end()
        self.browser.until_text('Reconnecting')
        self.box = sandbox.Sandbox(*self.options, port=self.box.port)
        self.addCleanup(self.box.end)
        self.browser.until_text('Live', '7 events')
        self.until_names(*before)
        self.post(TRACK, event('ada', 'after the restart'))
        self.until_names('after the restart', *before)
        self.assertTrue(self.browser.run('return window.isTheSamePage'))


class RestartOfCampaigns(CampaignCase):
    def test_the_page_finds_campaigns_runs_and_the_clock_again(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.box.end()
        self.options = (*self.options, '--db', os.path.join(folder.name, 'sandbox.db'))

        def start():
            self.box = sandbox.Sandbox(*self.options, port=self.box.port)
            self.addCleanup(self.box.end)
        start()
        self.browser.until_text('Nobody is in a campaign')
        self.play()
        before = self.rows()
        self.box.end()
        self.browser.until_text('Reconnecting')
        start()
        self.browser.until_text('Live', 'First picture', '2 weeks ahead', '1 waiting', '1 goal reached', '1 sent')
        self.browser.until('return document.querySelectorAll("#panel-run li").length === 4')
        self.assertEqual(self.rows(), before)
        self.browser.click('#clock button')
        self.browser.until_text('4 weeks ahead', '2 cannot be sent')


if __name__ == '__main__':
    sandbox.SANDBOX = sys.argv.pop(1)
    if CHROMIUM is None or DRIVER is None:
        print("SKIPPED: the sandbox's page: it needs the Debian packages chromium and chromium-driver")
        sys.exit(SKIPPED)
    unittest.main()
