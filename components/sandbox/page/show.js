// What the page shows of a world.

import { hex } from './component.js';
import { el, fold, pairs, table } from './dom.js';
import { outcomeOf } from './entry.js';
import { picture } from './picture.js';
import { callInWords, inputInWords, messagesOf, outcomeInWords, timeInWords } from './words.js';

/**
 * @typedef {import('./world.js').World} World
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./component.js').Instance} Instance
 * @typedef {import('./box.js').Box} Box
 */

/**
 * The boxes, HQ, the CA and the zone.
 *
 * @param {World} world
 * @param {Instance} reader an instance that only describes bytes
 * @param {Set<string>} open which folds are open
 */
export function parties(world, reader, open) {
  const keep = folder(open);
  return [...world.boxes.map((box) => boxPanel(box, reader, keep)), hqPanel(world, reader, keep), peersPanel(world)];
}

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
 * @param {Instance} reader
 * @param {Keep} keep
 */
function boxPanel(box, reader, keep) {
  const { progress } = box;
  const state = box.isOn ? (progress?.state ?? 'Loading') : null;
  const panel = el('section', 'party', el('h2', null, `${box.name} (${box.config.model})`), picture(state, box.name));
  const why = progress?.reason ?? (box.isOn ? 'It could not read or write its storage, and tries again.' : 'The power is off.');
  panel.append(el('p', null, el('span', 'state', state ?? 'off'), ` — ${why}`));
  panel.append(
    pairs([
      ['names', progress?.names.join(' ')],
      ['device', progress?.deviceId],
      ['certificate until', progress?.notAfterMs === undefined ? null : timeInWords(progress.notAfterMs)],
      ['wakes at', box.wakeAt === null ? null : timeInWords(box.wakeAt)],
      ['faults', box.memory.isSeeded ? null : 'no entropy'],
      ['next write', box.memory.nextWrite],
    ]),
  );
  const view = box.instance ? outcomeOf(() => box.instance?.inspect.view() ?? '{}') : null;
  if (view?.ok) panel.append(...ledger(JSON.parse(view.value)));
  panel.append(keep(`${box.name} records`, `Storage: ${box.memory.records.size} records`, () => records(box.memory.records, reader, keep, box.name)));
  if (view?.ok) panel.append(keep(`${box.name} view`, 'inspect.view', () => [el('pre', null, pretty(view.value))]));
  if (box.leaf) panel.append(keep(`${box.name} leaf`, 'Certificate (DER)', () => [el('pre', null, hex(/** @type {Uint8Array} */ (box.leaf)))]));
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
  return [el('h3', null, `Entropy, grade ${view.grade}`), el('p', null, String(entropy.sentence ?? '')), table(['source', 'state', 'bits', 'against'], rows)];
}

/**
 * @param {World} world
 * @param {Instance} reader
 * @param {Keep} keep
 */
function hqPanel(world, reader, keep) {
  const { memory, isDown } = world.hq;
  const panel = el('section', 'party', el('h2', null, 'HQ'), el('p', null, el('span', 'state', isDown ? 'down' : 'up')));
  if (world.summaries.size === 0) panel.append(el('p', 'quiet', 'It knows no device.'));
  for (const { subject, state, name, reason } of world.summaries.values()) {
    panel.append(el('h3', null, subject), pairs([['state', state], ['name', name], ['why', reason]]));
  }
  panel.append(el('p', 'quiet', `${world.outbox.size} operations wait in its outbox.`));
  panel.append(keep('hq records', `Records: ${memory.records.size}`, () => records(memory.records, reader, keep, 'hq')));
  return panel;
}

/** @param {World} world */
function peersPanel(world) {
  const panel = el('section', 'party', el('h2', null, 'CA and zone'));
  const orders = world.ca.orders.map((order, at) => [order.names.join(' '), String(at), order.state]);
  if (orders.length > 0) panel.append(table(['names', 'order', 'state'], orders));
  const addresses = [...world.zone.addresses].map(([name, list]) => `${name} ${list.join(' ')}`);
  panel.append(
    pairs([
      ['issued', String(world.ca.issued.size)],
      ['revoked', String(world.ca.revoked.size)],
      ['labels', [...world.zone.labels].join(' ')],
      ['TXT', [...world.zone.txt].join('; ')],
      ['addresses', addresses.join('; ')],
    ]),
  );
  return panel;
}

/**
 * @param {Map<string, import('./memory.js').Stored>} stored
 * @param {Instance} reader
 * @param {Keep} keep
 * @param {string} party
 */
function records(stored, reader, keep, party) {
  return [...stored.keys()].sort().map((key) =>
    keep(`${party} ${key}`, key, () => {
      const value = stored.get(key)?.value ?? new Uint8Array();
      const described = outcomeOf(() => reader.inspect.describeRecord(key, value));
      return [described.ok ? el('pre', null, pretty(described.value)) : el('p', 'bad', String(described.error.val ?? described.error.tag))];
    }),
  );
}

/**
 * A line of the timeline.
 *
 * @param {Entry} entry
 * @param {Instance} reader
 */
export function timelineItem(entry, reader) {
  const outcome = outcomeInWords(entry);
  const line = el('span', null);
  line.append(`${entry.n} `, el('span', 'who', entry.party), ` ${inputInWords(entry.input)} → `, el('span', entry.outcome.ok ? null : 'bad', outcome));
  const item = el('li', null);
  item.append(
    fold(line, () => [
      el('p', 'quiet', `${timeInWords(entry.time)}, event ${entry.step}`),
      el('ul', null, ...entry.calls.map((call) => el('li', null, callInWords(call)))),
      ...messagesOf(entry).flatMap(({ title, body }) => message(title, body, reader)),
      ...(entry.digest ? [el('p', 'quiet', `state digest ${hex(entry.digest)}`)] : []),
    ]),
  );
  return item;
}

/**
 * @param {string} title
 * @param {Uint8Array} body
 * @param {Instance} reader
 */
function message(title, body, reader) {
  const described = outcomeOf(() => reader.inspect.describeMessage(body));
  const text = described.ok ? el('pre', null, pretty(described.value)) : el('p', 'bad', String(described.error.val ?? described.error.tag));
  return [el('h3', null, title), text];
}

/** @param {string} json */
function pretty(json) {
  return JSON.stringify(JSON.parse(json), null, 2);
}
