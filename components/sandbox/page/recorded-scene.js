// What a log says of its parties at a moment: the entries up to there, one after the other.

import { Zone } from './peers.js';

/**
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./component.js').NetworkRequest} NetworkRequest
 * @typedef {import('./memory.js').Memory} Memory
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Answer} Answer
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').OrderState} OrderState
 */

/** A box of the log, at the moment that is shown. */
class RecordedBox {
  /**
   * @param {import('./recording.js').Recording} recording
   * @param {string} name
   * @param {import('./config.js').DeviceConfig} config
   */
  constructor(recording, name, config) {
    this.recording = recording;
    this.name = name;
    this.config = config;
    this.isOn = false;
    /** @type {import('./box.js').Progress | null} */
    this.progress = null;
    /** @type {string[]} */
    this.states = [];
    /** @type {number | null} */
    this.wakeAt = null;
    this.clockIsOff = 0;
    this.memory = records();
  }

  /** The box's instance as it was, or none. */
  get instance() {
    return this.recording.instanceOf(this.name);
  }

  get leaf() {
    return this.instance?.provisioner.credential()?.chain[0] ?? null;
  }
}

export class RecordedScene {
  /** @param {import('./recording.js').Recording} recording */
  constructor(recording) {
    this.log = recording.log;
    /** How many entries have happened. */
    this.step = 0;
    /** The latest time that a party knew, milliseconds since 1970. @type {number | null} */
    this.now = null;
    this.hqName = this.log.parties.find(({ config }) => config.role === 'hq')?.name;
    this.boxes = this.log.parties.flatMap(({ name, config }) => (config.role === 'device' ? [new RecordedBox(recording, name, config.config)] : []));
    /** The first HQ of the log; a second is asked for seeds and keeps nothing. */
    this.hq = { isDown: false, memory: records(), outbox: /** @type {Map<string, NetworkRequest>} */ (new Map()) };
    /** @type {Map<string, import('./hq.js').Summary>} */
    this.summaries = new Map();
    this.ca = {
      orders: /** @type {{ names: string[], order: string, state: OrderState }[]} */ ([]),
      issued: /** @type {Set<string>} */ (new Set()),
      revoked: /** @type {Set<string>} */ (new Set()),
    };
    this.zone = new Zone();
  }

  /** The entries that have happened. */
  get entries() {
    return this.log.entries.slice(0, this.step);
  }

  /** The next entry happens. @param {Entry} entry */
  happen(entry) {
    this.step += 1;
    if (entry.time !== null) this.now = Math.max(this.now ?? 0, entry.time);
    if (entry.role === 'device') this.happenAtBox(entry);
    else if (entry.party === this.hqName) this.happenAtHq(entry);
  }

  /** @param {Entry} entry */
  happenAtBox(entry) {
    const box = this.boxes.find(({ name }) => name === entry.party);
    if (!box) return;
    keep(box.memory.records, entry);
    if (entry.input === 'start') {
      box.isOn = true;
      box.progress = null;
      box.wakeAt = null;
    } else if (entry.outcome.ok) {
      const progress = entry.outcome.value;
      box.progress = progress;
      if (box.states[box.states.length - 1] !== progress.state) box.states.push(progress.state);
      const { wakeAtMs } = progress;
      box.wakeAt = wakeAtMs === undefined || entry.time === null ? null : entry.time + Number(wakeAtMs - entry.now.monotonicMs);
    }
  }

  /** @param {Entry} entry */
  happenAtHq(entry) {
    // What failed at HQ is undone as a whole.
    if (!entry.outcome.ok) return;
    const { input } = entry;
    keep(this.hq.memory.records, entry);
    if (input === 'start') return;
    if (input.tag === 'answered') {
      const { exchange, answer } = input.val;
      const request = this.hq.outbox.get(key(exchange));
      if (request) this.heard(request, answer);
      this.hq.outbox.delete(key(exchange));
    }
    for (const call of entry.calls) if (call.tag === 'submit' && call.got.ok) this.hq.outbox.set(key(call.exchange), call.request);
    for (const summary of entry.outcome.value.summaries) this.summaries.set(summary.subject, summary);
  }

  /**
   * What the CA and the zone have, as HQ was told.
   *
   * @param {NetworkRequest} request
   * @param {Answer} answer
   */
  heard(request, answer) {
    if (request.tag === 'dns' && answer.tag === 'dns' && answer.val.tag === 'done') this.zone.perform(request.val);
    if (request.tag !== 'ca' || answer.tag !== 'ca') return;
    const { val: operation } = request;
    const { val: told } = answer;
    if (told.tag === 'order') {
      const { order } = told.val.order;
      const known = this.ca.orders.find((one) => one.order === order);
      if (known) known.state = told.val.state;
      else this.ca.orders.push({ names: operation.tag === 'new-order' ? operation.val.names : [], order, state: told.val.state });
    } else if (told.tag === 'chain' && operation.tag === 'fetch-chain') {
      this.ca.issued.add(operation.val.order);
    } else if (told.tag === 'revoked' && operation.tag === 'revoke') {
      this.ca.revoked.add(operation.val.certificate.join());
    }
  }
}

/**
 * What the storage of a party holds, as far as its calls say.
 *
 * @param {Map<string, import('./memory.js').Stored>} records
 * @param {Entry} entry
 */
function keep(records, { calls }) {
  for (const call of calls) {
    if (call.tag === 'write' && call.got.ok) records.set(call.key, { value: call.value, expiresMs: call.expiresMs });
    if (call.tag === 'remove' && call.got.ok) records.delete(call.key);
    if (call.tag !== 'read' || !call.got.ok) continue;
    // A write that failed may have been made.
    if (call.got.value === undefined) records.delete(call.key);
    else records.set(call.key, { value: call.got.value, expiresMs: records.get(call.key)?.expiresMs });
  }
}

function records() {
  return {
    records: /** @type {Map<string, import('./memory.js').Stored>} */ (new Map()),
    source: /** @type {Memory['source']} */ ('works'),
    nextWrite: /** @type {Memory['nextWrite']} */ (null),
  };
}

/** @param {import('./component.js').Exchange} exchange */
function key(exchange) {
  return `${exchange.subject} ${exchange.number}`;
}
