// The page of the sandbox. All that it shows came from anyone, so it reaches the document as text nodes only; the
// Content-Security-Policy that the page is served with (trusted types) lets nothing else pass.

const MAX_ROWS = 10_000; // of each topic; what is older is at /sandbox/...
const MAX_CHARACTERS = 64 * 1024 * 1024; // of each topic
const SHOWN_AT_ONCE = 200; // rows in the document
const LONGEST_TEXT = 100_000; // characters in one element
const RENDER_EVERY_MS = 150;
const RETRY_MS = 3000;

// --- values ----------------------------------------------------------------------------------------------------------

/** A number as it was written: those beyond 2^53 would come out as others. */
class Exact {
  constructor(source) { this.source = source; }
}

function parsed(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === 'number' && context?.source !== undefined ? new Exact(context.source) : value);
}

/** JSON again, in one line or indented. */
function written(value, indent = '') {
  if (value instanceof Exact) return value.source;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const inner = indent && indent + '  ';
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const parts = Array.isArray(value)
    ? value.map((one) => written(one, inner))
    : Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}:${inner && ' '}${written(one, inner)}`);
  if (parts.length === 0) return open + close;
  return inner ? `${open}${inner}${parts.join(',' + inner)}${indent}${close}` : open + parts.join(', ') + close;
}

const indented = (value) => written(value, '\n');
const plain = (value) => (typeof value === 'string' ? value : written(value));
const number = (value) => Number(value instanceof Exact ? value.source : value);
const grouped = (count) => count.toLocaleString('en');
const plural = (count, one, many = `${one}s`) => `${grouped(count)} ${count === 1 ? one : many}`;

/** Characters that show nothing, or that turn the order of others, are named. */
function visible(text) {
  const cut = text.length > LONGEST_TEXT
    ? `${text.slice(0, LONGEST_TEXT)}\n… ${grouped(text.length - LONGEST_TEXT)} more characters` : text;
  return cut.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (one) =>
    String.fromCharCode(one === '\u007f' ? 0x2421 : 0x2400 + one.charCodeAt(0)))
    .replace(/[\u0080-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (one) =>
      `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

// --- elements --------------------------------------------------------------------------------------------------------

/** `name.class.class`, and what is in it: elements, or anything else as text. */
function element(kind, ...children) {
  const [name, ...classes] = kind.split('.');
  const out = document.createElement(name);
  if (classes.length) out.className = classes.join(' ');
  for (const child of children) {
    if (child === null || child === undefined) continue;
    out.append(child instanceof Node ? child : visible(String(child)));
  }
  return out;
}

function timeElement(received) {
  const date = new Date(number(received) * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  const clock = date.toLocaleTimeString('en-GB');
  const out = element('time', isToday ? clock : `${date.toLocaleDateString('en-CA').slice(5)} ${clock.slice(0, 5)}`);
  out.dateTime = date.toISOString();
  return out;
}

function valueElement(value) {
  const kind = typeof value === 'string' ? 'text' : value instanceof Exact || typeof value === 'number' ? 'number'
    : value === null || typeof value === 'boolean' ? 'word' : 'plain';
  return element(`span.${kind}`, indented(value));
}

/** Names and values; `facts` has those of the sandbox, `entries` those of the caller, which are shown as JSON. */
function facts(rows) {
  const known = rows.filter(([, value]) => value !== undefined);
  const list = known.map(([name, value]) => element('div', element('dt', name), element('dd', value)));
  return element('dl.facts', ...list);
}

function entries(title, object) {
  const all = Object.entries(object ?? {});
  if (all.length === 0) return null;
  const list = all.map(([name, value]) => element('div', element('dt.key', name), element('dd', valueElement(value))));
  return element('div', element('h2', title), element('dl.facts', ...list));
}

function bodyElement(row) {
  const pre = element('pre');
  pre.tabIndex = 0;
  pre.setAttribute('role', 'region');
  pre.setAttribute('aria-label', 'Body of the request');
  const text = visible(row.body);
  const named = /(?:field|key) ("[^"]+")/.exec(row.reason ?? '')?.[1];
  const at = named === undefined ? -1 : text.indexOf(named);
  if (at < 0) {
    pre.append(text || '(empty)');
  } else {
    pre.append(text.slice(0, at), element('mark', named), text.slice(at + named.length));
  }
  return element('div', element('h2', `Body · ${grouped(new TextEncoder().encode(row.body).length)} bytes`), pre);
}

const shortGuid = (guid) => (guid === undefined ? null : element('span.guid', guid.slice(0, 8)));
const seenBadge = (seen) => (seen === undefined ? null : element(seen === 'conflict' ? 'span.badge.bad'
  : 'span.badge.warn', seen));

function moment(seconds) {
  const date = new Date(number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? undefined : `${plain(seconds)}  (${date.toISOString().replace('.000Z', 'Z')})`;
}

// --- campaigns and the clock -----------------------------------------------------------------------------------------

const UNITS = [['week', 604800], ['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
const STATES = {
  waiting: ['span.badge.plain', 'waiting'],
  reached: ['span.badge', 'goal reached'],
  sent: ['span.badge', 'sent'],
  unsent: ['span.badge.warn', 'cannot be sent'],
};

let campaigns; // as they were told, by the text of their ids
let clock; // as it was told

function duration(seconds) {
  const parts = [];
  let left = seconds;
  for (const [unit, size] of UNITS) {
    const amount = Math.floor(left / size);
    if (amount > 0) parts.push(plural(amount, unit));
    left -= amount * size;
  }
  return parts.slice(0, 2).join(' ');
}

const day = (date) => date.toLocaleDateString('en-CA');
const timeOfDay = (date) => date.toLocaleTimeString('en-GB');
const stamp = (seconds) => ((date) => `${day(date)} ${timeOfDay(date)}`)(new Date(number(seconds) * 1000));
const stateBadge = (state) => element(...STATES[state]);
const nameOf = (id) => campaigns.get(plain(id))?.name ?? plain(id);

function campaignElement(one) {
  const counts = totals?.campaigns[plain(one.id)] ?? {};
  const conditions = Object.entries(one.conditions).map(([name, value]) => `${name} is ${written(value)}`);
  const terms = [['Who did', element('b', one.trigger)], ['while', conditions.join(', ') || undefined],
    ['and not', element('b', one.goal)], ['within', one.wait],
    ['gets', element('span', `this ${one.channel}: `, element('span.template', one.subject ?? one.template))]];
  return element('article.campaign', element('h2', one.name), facts(terms),
    element('p.counts', ...Object.entries(STATES).map(([state, [kind, says]]) =>
      element(counts[state] ? kind : 'span.badge.plain', `${grouped(counts[state] ?? 0)} ${says}`))));
}

function messageElement(row) {
  const pre = element('pre', row.text);
  pre.tabIndex = 0;
  pre.setAttribute('role', 'region');
  pre.setAttribute('aria-label', 'Text of the message');
  return element('div', element('h2', `What would go out by ${row.channel}`),
    facts([...row.to.map((to) => ['to', to]), ['subject', row.subject]]), pre);
}

// --- topics: how each is shown ---------------------------------------------------------------------------------------

function line(time, main, side) {
  return element(time === undefined ? 'summary.timeless' : 'summary', time === undefined ? null : timeElement(time),
    element('span.main', ...main), element('span.side', ...side));
}

const count = (amount, one) => (amount === 0 ? null : element('span.badge.plain', plural(amount, one)));

function subscription({all, campaigns}) {
  const named = Object.values(campaigns);
  if (all === undefined && named.length === 0) return null;
  if (named.length === 0) return all ? element('span.badge', 'subscribed') : element('span.badge.warn', 'unsubscribed');
  return element('span.badge', `${named.filter((on) => on).length} of ${named.length} campaigns`);
}

const PLATFORMS = ['apns', 'gcm', 'fcm'];
const tokensOf = (user) => PLATFORMS.flatMap((platform) => user[platform].map((token) => [platform, token]));

function userFacts(user) {
  const apart = new Set(['user_id', 'attributes', 'group_attributes', 'previous_ids', 'subscriptions', ...PLATFORMS]);
  const fields = Object.entries(user).filter(([name]) => !apart.has(name)).map(([name, value]) => [name, plain(value)]);
  const previous = user.previous_ids.map((id) => ['previous id', written(id)]);
  return facts([['user_id', written(user.user_id)], ...fields, ...previous]);
}

/** The button that shows what else there is of a user. */
function eventsOf(id) {
  const button = element('button', 'Events of this user');
  button.type = 'button';
  button.addEventListener('click', () => {
    search.value = '';
    showOnly(plain(id));
    select('event');
    byId('only').focus();
  });
  return element('div', button);
}

const callFacts = (row) => [['path', row.path], ['X-Outbound-GUID', row.guid], ['X-Outbound-Client', row.client],
  ['received', moment(row.received)]];

const TOPICS = {
  event: {
    one: 'event', many: 'events', key: (row, id) => id,
    total: (totals) => totals.events,
    line: (row) => line(row.received, [element('span.name', row.event), element('span.who', plain(row.user_id)),
      element('span.preview', Object.entries(row.properties).map(([key, value]) => `${key}: ${plain(value)}`)
        .join('  ').slice(0, 300))], [seenBadge(row.seen), shortGuid(row.guid)]),
    body: (row) => [entries('Properties', row.properties),
      facts([['user_id', written(row.user_id)], ['event', row.event],
        ['timestamp', row.timestamp && moment(row.timestamp)], ['received', moment(row.received)],
        ['X-Outbound-GUID', row.guid], ['seen', row.seen]]), eventsOf(row.user_id)],
  },
  user: {
    one: 'user', many: 'users', key: (row) => plain(row.user_id),
    total: (totals) => totals.users,
    line: (row) => {
      const name = [row.first_name, row.last_name].filter(Boolean).join(' ');
      return line(undefined, [element('span.name', name || row.email || plain(row.user_id)),
        element('span.who', plain(row.user_id)), element('span.preview', name ? row.email : null)],
      [subscription(row.subscriptions), count(tokensOf(row).length, 'token'),
        count(Object.keys(row.attributes).length, 'attribute')]);
    },
    body: (row) => [userFacts(row), entries('Attributes', row.attributes),
      entries('Group attributes', row.group_attributes),
      tokensOf(row).length ? element('div', element('h2', 'Device tokens'), facts(tokensOf(row))) : null,
      entries('Subscriptions', {...(row.subscriptions.all !== undefined && {'all campaigns': row.subscriptions.all}),
        ...row.subscriptions.campaigns}), eventsOf(row.user_id)],
  },
  rejected: {
    one: 'refused request', many: 'refused requests', key: (row, id) => id,
    total: (totals) => totals.rejected,
    line: (row) => line(row.received, [element('span.badge.bad', plain(row.status)),
      element('span.reason', row.reason)], [element('span.path', row.path)]),
    body: (row) => [bodyElement(row),
      facts([['status', plain(row.status)], ...callFacts(row)])],
  },
  repeated: {
    one: 'repeated call', many: 'repeated calls', key: (row, id) => id,
    total: (totals) => totals.duplicates + totals.conflicts,
    line: (row) => line(row.received, [seenBadge(row.seen), element('span.path', row.path),
      element('span.preview', row.guid)], [element('span.badge.plain', row.applied ? 'applied' : 'not applied')]),
    body: (row) => [bodyElement(row), facts([['seen', row.seen === 'conflict'
      ? 'conflict: the same GUID came before with another path or body' : 'duplicate: the same call came before'],
    ['applied', row.applied ? 'yes' : 'no'], ...callFacts(row)])],
  },
  faulted: {
    one: 'call that met a fault', many: 'calls that met a fault', key: (row, id) => id,
    total: (totals) => Object.values(totals.faults).reduce((sum, one) => sum + one, 0),
    line: (row) => line(row.received, [element('span.badge.warn', row.fault), element('span.path', row.path)],
      [element('span.badge.plain', row.processed ? 'processed' : 'not processed'), shortGuid(row.guid)]),
    body: (row) => [bodyElement(row), facts([['fault', row.fault], ['processed', row.processed ? 'yes' : 'no'],
      ...callFacts(row)])],
  },
  run: {
    one: 'run', many: 'runs', key: (row) => plain(row.run),
    total: (totals) => Object.values(totals.campaigns).flatMap(Object.values).reduce((sum, one) => sum + one, 0),
    line: (row) => line(row.at ?? row.since, [stateBadge(row.state), element('span.who', plain(row.user_id)),
      element('span.preview', row.state === 'waiting' ? `until ${stamp(row.until)}`
        : row.problem?.replace(/^cannot be sent: /, '') ?? row.subject ?? row.text)],
    [element('span.path', nameOf(row.campaign))]),
    body: (row) => [row.state === 'sent' ? messageElement(row) : null,
      facts([['state', STATES[row.state][1]], ['problem', row.problem], ['reason', row.reason],
        ['left empty', row.missing?.length ? row.missing.join(', ') : undefined],
        ['campaign', written(row.campaign)], ['user_id', written(row.user_id)], ['since', moment(row.since)],
        ['deadline', moment(row.until)], ['ended', row.at && moment(row.at)]]), eventsOf(row.user_id)],
  },
};

const NOTHING_YET = {
  event: ['No events yet', 'They appear here as they come in. Send one:',
    (to, key) => `curl ${to}/v2/track \\\n     -H 'X-Outbound-Key: ${key}' -H 'Content-Type: application/json' \\\n`
      + `     -d '{"user_id": 42, "event": "signed up", "properties": {"plan": "pro"}}'`],
  user: ['No users yet', 'Whoever is identified appears here, with attributes, tokens and subscriptions:',
    (to, key) => `curl ${to}/v2/identify \\\n     -H 'X-Outbound-Key: ${key}' -H 'Content-Type: application/json' \\\n`
      + `     -d '{"user_id": 42, "first_name": "Ada", "attributes": {"plan": "pro"}}'`],
  rejected: ['Nothing was refused', 'A request that breaks a rule appears here, with the reason and its body.'],
  repeated: ['No call came twice', 'Calls whose X-Outbound-GUID came before appear here.'],
  faulted: ['No faults so far', 'Calls that went wrong because they were asked to appear here. Ask for one:',
    (to) => `curl ${to}/sandbox/faults -d '{"status": 429, "retry_after": 7}'`],
  get run() {
    return campaigns.size ? ['Nobody is in a campaign', 'Whoever does the trigger of one appears here.']
      : ['No campaigns', 'The sandbox was started without any. Give it a file of them:',
        () => 'outbound-sandbox --campaigns examples/data/campaigns.json'];
  },
};

// --- what is known ---------------------------------------------------------------------------------------------------

/** The newest rows of one topic. */
class Shelf {
  rows = new Map(); // by key, the newest last
  characters = 0;

  put(key, row) {
    this.take(key);
    this.rows.set(key, row);
    this.characters += row.text.length;
    while (this.rows.size > MAX_ROWS || (this.characters > MAX_CHARACTERS && this.rows.size > 1)) {
      this.take(this.rows.keys().next().value);
    }
  }

  take(key) {
    const old = this.rows.get(key);
    if (old === undefined) return;
    this.characters -= old.text.length;
    this.rows.delete(key);
  }
}

class Row {
  constructor(key, order, text, isFresh) {
    Object.assign(this, {key, order, text, isFresh});
  }

  get shown() { return (this.parsed ??= parsed(this.text)); }
  /** What is searched: the text as people read it, without the escapes of JSON. */
  get searched() {
    const {received, since, until, at, ...rest} = this.shown; // seconds, which nobody reads
    return (this.lower ??= Object.values(rest).map(searchable).join('\n').toLowerCase());
  }
}

function searchable(value) {
  if (value === null || typeof value !== 'object' || value instanceof Exact) return plain(value);
  if (Array.isArray(value)) return value.map(searchable).join('\n');
  return Object.entries(value).map(([key, one]) => `${key} ${searchable(one)}`).join('\n');
}

let shelves;
let totals;
let arrived = 0; // orders rows
let isCaughtUp = false; // rows that come from here on are new

function forgetRows() {
  shelves = Object.fromEntries(Object.keys(TOPICS).map((topic) => [topic, new Shelf()]));
  totals = undefined;
  campaigns = new Map();
  clock = {ahead: 0, stopped: false};
  isCaughtUp = false;
}

// --- the view --------------------------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);
const search = byId('search');
const tabs = [...document.querySelectorAll('[role=tab]')];
const panelOf = (topic) => byId(`panel-${topic}`);
const listOf = (topic) => panelOf(topic).querySelector('.list') ?? panelOf(topic);

let selected = 'event';
let limit = SHOWN_AT_ONCE;
let onlyUser; // the text of the id, where only his events are to be seen
let key = 'YOUR-KEY'; // as it stands in what can be pasted
let paused; // what is shown meanwhile: {order, rows by topic}

const showTab = () => tabs.find((tab) => tab.dataset.topic === selected)
  .scrollIntoView({block: 'nearest', inline: 'nearest'});

function select(topic) {
  selected = topic;
  limit = SHOWN_AT_ONCE;
  for (const tab of tabs) {
    const isIt = tab.dataset.topic === topic;
    tab.setAttribute('aria-selected', String(isIt));
    tab.tabIndex = isIt ? 0 : -1;
    panelOf(tab.dataset.topic).hidden = !isIt;
  }
  byId('only').hidden = !isFiltered();
  showTab();
  history.replaceState(null, '', `#${topic}`);
  render();
}

const isFiltered = () => selected === 'event' && onlyUser !== undefined;

function showOnly(user) {
  onlyUser = user;
  limit = SHOWN_AT_ONCE;
  byId('only').replaceChildren(visible(`Only user ${user}`));
  byId('only').hidden = !isFiltered();
}

const newestFirst = (topic) => [...shelves[topic].rows.values()].reverse();

/** What is to be seen of a topic. */
function matches(topic) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const every = paused ? paused.rows[topic] : newestFirst(topic);
  const all = isFiltered() ? every.filter((row) => plain(row.shown.user_id) === onlyUser) : every;
  return words.length === 0 ? all : all.filter((row) => words.every((word) => row.searched.includes(word)));
}

function rowElement(topic, row) {
  const details = element('details', TOPICS[topic].line(row.shown));
  details.addEventListener('toggle', () => {
    if (details.open && details.children.length === 1) {
      details.append(element('div.body', ...TOPICS[topic].body(row.shown)));
    }
  });
  const item = element(row.isFresh ? 'li.fresh' : 'li', details);
  item.row = row;
  return item;
}

function emptyElement(topic) {
  if (search.value.trim() !== '') {
    return element('div.empty', element('h2', 'Nothing matches'), element('p', 'Every word has to be in a row.'));
  }
  if (isFiltered()) {
    return element('div.empty', element('h2', 'Nothing matches'), element('p', 'No event of this user is here.'));
  }
  const [title, says, example] = NOTHING_YET[topic];
  return element('div.empty', element('h2', title), element('p', says),
    example ? element('pre', example(location.origin, key)) : null);
}

/** Makes the list hold these rows. What is there and still right stays as it is, open or focused. */
function fill(list, topic, rows) {
  const old = new Map([...list.children].map((item) => [item.row.key, item]));
  const focused = document.activeElement?.closest?.('li')?.row?.key;
  let place = list.firstElementChild;
  for (const row of rows) {
    let item = old.get(row.key);
    if (item?.row !== row) {
      const wasOpen = item?.querySelector('details').open;
      if (item === place) place = place?.nextElementSibling ?? null;
      item?.remove();
      item = rowElement(topic, row);
      if (wasOpen) item.querySelector('details').open = true;
    }
    if (item === place) {
      place = place.nextElementSibling;
    } else {
      list.insertBefore(item, place);
    }
    if (row.key === focused && !item.contains(document.activeElement)) item.querySelector('summary').focus();
    row.isFresh = false;
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
}

function renderRows() {
  const panel = listOf(selected);
  const found = matches(selected);
  const open = new Set([...panel.querySelectorAll('li')].filter((item) => item.querySelector('details').open)
    .map((item) => item.row.key));
  const rows = found.filter((row, index) => index < limit || open.has(row.key));
  if (rows.length === 0) {
    panel.replaceChildren(isCaughtUp ? emptyElement(selected) : '');
  } else {
    if (panel.firstElementChild?.tagName !== 'OL') panel.replaceChildren(element('ol.rows'));
    fill(panel.firstElementChild, selected, rows);
  }
  byId('more').hidden = found.length <= limit;
  byId('shown').textContent = isCaughtUp ? says(found.length, rows.length) : '';
}

function says(found, shown) {
  const {one, many, total} = TOPICS[selected];
  const all = total(totals);
  const kept = shelves[selected].rows.size;
  const parts = [];
  if (search.value.trim() !== '' || isFiltered()) {
    parts.push(`${grouped(found)} of the ${kept < all ? 'newest ' : ''}${plural(kept, one, many)} match`);
  } else if (all > 0) {
    parts.push(plural(all, one, many));
  }
  if (shown < found) parts.push(`the newest ${grouped(shown)} shown`);
  if (selected === 'event' && totals.duplicates > 0) parts.push(plural(totals.duplicates, 'duplicate'));
  if (paused) {
    const news = newestFirst(selected).filter((row) => row.order > paused.order).length;
    parts.push(`paused, ${grouped(news)} new`);
  }
  return parts.join(' · ');
}

function renderCounts() {
  const wereBare = tabs[0].querySelector('.count').textContent === '';
  for (const tab of tabs) {
    const amount = totals === undefined ? 0 : TOPICS[tab.dataset.topic].total(totals);
    tab.querySelector('.count').textContent = totals === undefined ? '' : grouped(amount);
    tab.dataset.alert = String(tab.dataset.topic === 'rejected' && amount > 0);
  }
  if (wereBare && totals !== undefined) showTab(); // the counts have made the tabs wider
  byId('calls').textContent = totals === undefined ? '' : `${plural(totals.requests, 'call')} accepted`;
}

let drawnCampaigns = '';

function renderCampaigns() {
  const drawn = JSON.stringify([[...campaigns], totals?.campaigns]);
  if (drawn === drawnCampaigns) return;
  drawnCampaigns = drawn;
  byId('campaigns').replaceChildren(...[...campaigns.values()].map(campaignElement));
}

function renderClock() {
  const now = clock.stopped ? clock.now : Date.now() / 1000 + clock.ahead;
  const date = new Date(now * 1000);
  byId('now').textContent = `${day(date)} ${timeOfDay(date)}`;
  byId('now').dateTime = date.toISOString();
  byId('ahead').textContent = clock.stopped ? 'The clock stands still'
    : clock.ahead > 0 ? `${duration(clock.ahead)} ahead` : 'as on this machine';
  byId('stop').setAttribute('aria-pressed', String(clock.stopped));
  byId('stop').textContent = clock.stopped ? 'Let it run' : 'Stop it';
}

let isPlanned = false;

function render() {
  isPlanned = false;
  renderCounts();
  renderCampaigns();
  renderClock();
  renderRows();
}

/** Soon, and once for all that comes until then. */
function planRender() {
  if (isPlanned) return;
  isPlanned = true;
  setTimeout(render, RENDER_EVERY_MS);
}

function pause(on) {
  const rows = () => Object.fromEntries(Object.keys(TOPICS).map((topic) => [topic, newestFirst(topic)]));
  paused = on ? {order: arrived, rows: rows()} : undefined;
  byId('pause').setAttribute('aria-pressed', String(on));
  byId('pause').textContent = on ? 'Resume' : 'Pause';
  render();
}

// --- the stream ------------------------------------------------------------------------------------------------------

function say(state, text) {
  const link = byId('link');
  if (link.textContent === text) return;
  link.dataset.state = state;
  link.textContent = text;
}

/** The usual key is no secret; any other is not told, and whoever started the sandbox knows it. */
async function askForKey() {
  try {
    const settings = await (await fetch('/sandbox/settings')).json();
    key = settings.usual_key ? 'sandbox-key' : 'YOUR-KEY';
    planRender();
  } catch {
    // it has gone again: the stream says so, and asks once it is back
  }
}

const KEYED = new Set(['user', 'run']); // whose newest row takes the place of the one before

function listen() {
  const source = new EventSource('/sandbox/stream');
  const on = (name, act) => source.addEventListener(name, (message) => {
    act(message);
    planRender();
  });
  for (const topic of Object.keys(TOPICS)) {
    on(topic, ({data, lastEventId}) => {
      const row = new Row('', ++arrived, data, isCaughtUp);
      row.key = KEYED.has(topic) ? TOPICS[topic].key(row.shown) : lastEventId;
      shelves[topic].put(row.key, row);
    });
  }
  on('campaign', ({data}) => {
    const one = parsed(data);
    campaigns.set(plain(one.id), one);
  });
  on('clock', ({data}) => { clock = JSON.parse(data); });
  on('gone', ({data}) => shelves.user.take(plain(parsed(data).user_id)));
  on('reset', forgetRows);
  on('totals', ({data}) => {
    totals = JSON.parse(data);
    isCaughtUp = true;
  });
  source.addEventListener('open', () => {
    say('live', 'Live');
    askForKey(); // the next sandbox here may have another
  });
  source.addEventListener('error', () => {
    const isOver = source.readyState === EventSource.CLOSED; // refused, say: the browser does not try again
    say('gone', isOver ? 'No answer; trying again' : 'Reconnecting');
    if (isOver) setTimeout(listen, RETRY_MS);
  });
}

// --- keys and buttons ------------------------------------------------------------------------------------------------

async function changeClock(wish) {
  const says = byId('clock-error');
  try {
    const answer = await fetch('/sandbox/clock', {method: 'POST', body: JSON.stringify(wish)});
    says.textContent = answer.ok ? '' : visible((await answer.json()).error.Message);
  } catch {
    says.textContent = 'No answer';
  }
}

function moveTab(event) {
  const step = {ArrowRight: 1, ArrowLeft: -1, Home: -tabs.length, End: tabs.length}[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const at = tabs.findIndex((tab) => tab.dataset.topic === selected);
  const to = Math.abs(step) === 1 ? (at + step + tabs.length) % tabs.length : step < 0 ? 0 : tabs.length - 1;
  select(tabs[to].dataset.topic);
  tabs[to].focus();
}

function moveRow(step) {
  const all = [...panelOf(selected).querySelectorAll('.rows summary')];
  const at = all.findIndex((one) => one.closest('li').contains(document.activeElement));
  all[Math.min(Math.max(at + step, 0), all.length - 1)]?.focus();
}

const KEYS = {
  '/': () => search.focus(),
  p: () => pause(!paused),
  ArrowDown: () => moveRow(1),
  ArrowUp: () => moveRow(-1),
  j: () => moveRow(1),
  k: () => moveRow(-1),
  ...Object.fromEntries(tabs.map((tab, index) => [String(index + 1), () => select(tab.dataset.topic)])),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === search) {
    if (event.key === 'Escape') {
      search.value = '';
      search.blur();
      render();
    } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
      event.preventDefault();
      moveRow(1);
    }
    return;
  }
  if (['INPUT', 'SELECT'].includes(event.target.tagName)) return;
  const isScrolling = event.target.tagName === 'PRE' && event.key.startsWith('Arrow');
  if (!Object.hasOwn(KEYS, event.key) || isScrolling) return;
  event.preventDefault();
  KEYS[event.key]();
});

for (const tab of tabs) {
  tab.addEventListener('click', () => select(tab.dataset.topic));
  tab.addEventListener('keydown', moveTab);
}
search.addEventListener('input', () => {
  limit = SHOWN_AT_ONCE;
  planRender();
});
byId('only').addEventListener('click', () => {
  showOnly(undefined);
  search.focus();
  render();
});
byId('pause').addEventListener('click', () => pause(!paused));
byId('more').addEventListener('click', () => {
  limit += SHOWN_AT_ONCE;
  render();
});
byId('forget').addEventListener('click', () => {
  if (confirm('Forget all users, events, requests, faults and runs, and put the clock right?')) fetch('/sandbox', {method: 'DELETE'});
});

byId('clock').addEventListener('submit', (event) => {
  event.preventDefault();
  changeClock({forward: `${byId('amount').value} ${byId('unit').value}`});
});
byId('stop').addEventListener('click', () => changeClock({stopped: !clock.stopped}));
setInterval(renderClock, 1000);

forgetRows();
const wanted = location.hash.slice(1);
select(Object.hasOwn(TOPICS, wanted) ? wanted : 'event');
listen();
