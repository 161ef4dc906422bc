// What the page shows of a world.

import { hex } from './component.js';
import { DAY } from './config.js';
import { byId, el, fold, pairs, table } from './dom.js';
import { outcomeOf } from './entry.js';
import { picture } from './picture.js';
import { Recording } from './recording.js';
import { check } from './signatures.js';
import { callInWords, inputInWords, messagesOf, outcomeInWords, timeInWords } from './words.js';

/**
 * @typedef {import('./app.js').App} App
 * @typedef {import('./world.js').World | import('./recorded-scene.js').RecordedScene} Scene
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./component.js').Instance} Instance
 * @typedef {Scene['boxes'][number]} Box
 */

/** The boxes, HQ, the CA, the zone, and the timeline. @param {App} app */
export function show(app) {
  const timeline = byId('timeline', HTMLOListElement);
  /** Which folds are open. @type {Set<string>} */
  const open = new Set();
  /** Entries that the timeline shows, up to this one, and of which run. */
  let shown = 0;
  let ofRun = -1;

  app.parts.push(() => {
    const { scene } = app;
    const reader = isRedacted(app) ? null : app.reader;
    const keep = folder(open);
    const boxes = scene.boxes.map((box) => boxPanel(box, reader, keep));
    // The log of a real device knows of nobody else.
    const others = isRedacted(app) ? [] : [hqPanel(scene, reader, keep), ...otherPanel(scene), peersPanel(scene)];
    const panels = [...boxes, ...others];
    const place = byId('parties', HTMLElement);
    const focused = document.activeElement?.closest('#parties details');
    const key = focused instanceof HTMLElement ? focused.dataset.key : undefined;
    place.replaceChildren(...panels);
    // What is drawn anew takes no focus away.
    if (key !== undefined) place.querySelector(`details[data-key="${CSS.escape(key)}"]`)?.querySelector('summary')?.focus({ preventScroll: true });

    const { entries } = scene;
    if (entries.length < shown || ofRun !== app.runs) {
      timeline.replaceChildren();
      shown = 0;
      ofRun = app.runs;
    }
    shown = Math.max(shown, entries.length - MAX_SHOWN);
    for (const entry of entries.slice(shown)) timeline.prepend(timelineItem(entry, app));
    shown = entries.length;
    while (timeline.childElementCount > MAX_SHOWN) timeline.lastElementChild?.remove();
    const earlier = byId('earlier', HTMLElement);
    earlier.hidden = entries.length <= MAX_SHOWN;
    earlier.textContent = `The newest ${MAX_SHOWN} of ${entries.length}.`;
  });
}

/** The page shows a log of which only the lengths of bytes are left. @param {App} app */
const isRedacted = (app) => app.run instanceof Recording && !app.run.log.isWhole;

/** @typedef {(key: string, summary: string, make: () => (string | Element)[]) => Element} Keep */

/**
 * Folds that stay as they are when the page is drawn again.
 *
 * @param {Set<string>} open
 * @returns {Keep}
 */
function folder(open) {
  return (key, summary, make) => {
    const details = fold(summary, make, open.has(key));
    details.dataset.key = key;
    details.addEventListener('toggle', () => (details.open ? open.add(key) : open.delete(key)));
    return details;
  };
}

/**
 * @param {Box} box
 * @param {Instance | null} reader none: the records are redacted
 * @param {Keep} keep
 */
function boxPanel(box, reader, keep) {
  const { progress } = box;
  const state = box.isOn ? (progress?.state ?? 'Loading') : null;
  const title = el('h2', null, box.name, ' ', el('span', 'quiet', box.config.model), ' ', el('span', 'state', state ?? 'off'));
  const panel = el('section', `party ${colour(box.name)}`, title, picture(state, box.name, box.states));
  panel.append(el('p', null, progress?.reason ?? (box.isOn ? 'It could not read or write its storage, and tries again.' : 'The power is off.')));
  panel.append(
    pairs([
      ['names', progress?.names.join(' ')],
      ['device', progress?.deviceId],
      ['certificate until', progress?.notAfterMs === undefined ? null : timeInWords(progress.notAfterMs)],
      ['wakes at', box.wakeAt === null ? null : timeInWords(box.wakeAt)],
      ['its entropy', box.memory.source === 'works' ? null : box.memory.source === 'stuck' ? 'is stuck' : 'has nothing to give'],
      ['its clock', box.clockIsOff === 0 ? null : `is ${Math.abs(box.clockIsOff) / DAY} days ${box.clockIsOff < 0 ? 'behind' : 'ahead'}`],
      ['next write', box.memory.nextWrite === null ? null : NEXT_WRITE[box.memory.nextWrite]],
    ]),
  );
  const { instance, leaf } = box;
  const view = instance ? outcomeOf(() => instance.inspect.view()) : null;
  if (view?.ok) panel.append(...ledger(JSON.parse(view.value)));
  panel.append(keep(`${box.name} records`, `Storage: ${box.memory.records.size} records`, () => records(box.memory.records, reader, keep, box.name)));
  if (view?.ok) panel.append(keep(`${box.name} view`, 'inspect.view', () => [el('pre', null, pretty(view.value))]));
  if (leaf) panel.append(keep(`${box.name} leaf`, 'Certificate (DER)', () => [el('pre', null, hex(leaf))]));
  return panel;
}

/**
 * What the keys are made of.
 *
 * @param {any} view
 */
function ledger(view) {
  const { entropy } = view;
  if (!entropy) return [];
  const rows = (entropy.sources ?? []).map((/** @type {any} */ source) => [
    [source.kind, source.label].filter(Boolean).join(': '),
    String(source.state ?? ''),
    source.bits === undefined ? '' : String(source.bits),
    String(source.against ?? ''),
  ]);
  return [el('h3', null, `Entropy, grade ${view.grade}`), el('p', null, String(entropy.sentence ?? '')), table(['source', 'state', 'bits', 'against'], rows), el('p', 'quiet small', AGAINST)];
}

/**
 * @param {Scene} scene
 * @param {Instance | null} reader none: the records are redacted
 * @param {Keep} keep
 */
function hqPanel({ hq, summaries }, reader, keep) {
  const { memory, isDown, outbox } = hq;
  const panel = el('section', 'party of-hq', el('h2', null, 'HQ ', el('span', 'state', isDown ? 'down' : 'up')));
  if (summaries.size === 0) panel.append(el('p', 'quiet', 'It knows no device.'));
  for (const { subject, state, name, reason } of summaries.values()) {
    panel.append(el('h3', null, subject), pairs([['state', state], ['name', name], ['why', reason]]));
  }
  panel.append(el('p', 'quiet', `${outbox.size} operations wait in its outbox.`));
  panel.append(keep('hq records', `Records: ${memory.records.size}`, () => records(memory.records, reader, keep, 'hq')));
  return panel;
}

/** The second operator, where there is one. @param {Scene} scene */
function otherPanel(scene) {
  if (!('other' in scene) || scene.other === null) return [];
  const { summaries, memory } = scene.other;
  const knows = `It gives a seed to whoever asks. It knows ${summaries.size} devices and holds ${memory.records.size} records.`;
  return [el('section', 'party of-hq', el('h2', null, 'Second operator'), el('p', null, knows))];
}

/** @param {Scene} scene */
function peersPanel({ ca, zone }) {
  const panel = el('section', 'party of-ca', el('h2', null, 'CA and zone'));
  const orders = ca.orders.map((order, at) => [order.names.join(' '), String(at), order.state]);
  if (orders.length > 0) panel.append(table(['names', 'order', 'state'], orders));
  const addresses = [...zone.addresses].map(([name, list]) => `${name} ${list.join(' ')}`);
  panel.append(
    pairs([
      ['issued', String(ca.issued.size)],
      ['revoked', String(ca.revoked.size)],
      ['labels', [...zone.labels].join(' ')],
      ['TXT', [...zone.txt].join('; ')],
      ['addresses', addresses.join('; ')],
    ]),
  );
  return panel;
}

/**
 * @param {Map<string, import('./memory.js').Stored>} stored
 * @param {Instance | null} reader none: the records are redacted
 * @param {Keep} keep
 * @param {string} party
 */
function records(stored, reader, keep, party) {
  return [...stored.keys()].sort().map((key) =>
    keep(`${party} ${key}`, key, () => {
      const value = stored.get(key)?.value ?? new Uint8Array();
      if (reader === null) return [redacted(value)];
      const described = outcomeOf(() => reader.inspect.describeRecord(key, value));
      return [described.ok ? el('pre', null, pretty(described.value)) : el('p', 'bad', String(described.error.val ?? described.error.tag))];
    }),
  );
}

/**
 * A line of the timeline.
 *
 * @param {Entry} entry
 * @param {App} app
 */
function timelineItem(entry, app) {
  const outcome = el('span', entry.outcome.ok ? null : 'bad', outcomeInWords(entry));
  const who = el('span', `who ${entry.role === 'hq' ? 'of-hq' : colour(entry.party)}`, entry.party);
  const line = el('span', null, el('span', 'quiet', String(entry.n)), ' ', who, ` ${inputInWords(entry.input)} → `, outcome);
  const item = el('li', null);
  item.append(
    fold(line, () => [
      el('p', 'quiet', `${timeInWords(entry.time)}${app.run instanceof Recording ? '' : `, event ${entry.step}`}`),
      el('ul', null, ...entry.calls.map((call) => el('li', null, callInWords(call)))),
      ...messagesOf(entry).flatMap(({ title, body }) => message(title, body, app)),
      ...(entry.digest ? [el('p', 'quiet', `state digest ${hex(entry.digest)}`)] : []),
    ]),
  );
  return item;
}

/**
 * A message: who signed it, and what it says.
 *
 * @param {string} title
 * @param {Uint8Array} body
 * @param {App} app
 */
function message(title, body, app) {
  if (isRedacted(app)) return [el('h3', null, title), redacted(body)];
  const described = outcomeOf(() => app.reader.inspect.describeMessage(body));
  const text = described.ok ? el('pre', null, pretty(described.value)) : el('p', 'bad', String(described.error.val ?? described.error.tag));
  const signatures = el('ul', 'signatures', el('li', null, 'Checking signatures …'));
  app
    .knownKeys()
    .then((keys) => check(body, keys))
    .then((findings) => signatures.replaceChildren(...findings.map(({ verdict, text }) => el('li', verdict, text))));
  return [el('h3', null, title), signatures, text];
}

/** @param {Uint8Array} bytes */
const redacted = (bytes) => el('p', 'quiet', `${bytes.length} bytes, redacted`);

/** @param {string} json */
function pretty(json) {
  return JSON.stringify(JSON.parse(json), null, 2);
}

/** The colour of a box. @param {string} name */
function colour(name) {
  return `of-box-${(Number(/\d+$/.exec(name)?.[0] ?? 1) + COLOURS - 1) % COLOURS}`;
}

/** Who might compute the keys (docs/THREATS.md). */
const AGAINST =
  "Against: S boxes of the same image, N who records the traffic to HQ, A who changes it too, H HQ itself, L who saw the label, W who records the owner's network.";
const COLOURS = 4;
/** Lines of the timeline on the page at once. */
const MAX_SHOWN = 300;
const NEXT_WRITE = { fails: 'fails', 'cut-before': 'ends with a power cut, before it is made', 'cut-after': 'ends with a power cut, after it was made' };
