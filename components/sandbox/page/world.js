// Boxes, HQ, the CA, the zone and the network between them, in virtual time.
//
// Every party is an instance of the same component. Everything random comes from one seed, so that the same seed and the
// same orders give the same run.

import { Agenda } from './agenda.js';
import { Box } from './box.js';
import { unhex } from './component.js';
import { DAY, LABELS, START, deviceConfig, hqConfig, otherConfig } from './config.js';
import { MAX_WAIT, hasCome, watch } from './effects.js';
import { outcomeOf } from './entry.js';
import { Hq } from './hq.js';
import { Memory } from './memory.js';
import { obey, takes } from './orders.js';
import { Ca, Zone } from './peers.js';
import { Seeded } from './seeded.js';

/**
 * @typedef {import('./component.js').Exchange} Exchange
 * @typedef {import('./component.js').NetworkRequest} NetworkRequest
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./entry.js').PartyConfig} PartyConfig
 * @typedef {import('./orders.js').Order} Order
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Moment} Moment
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Answer} Answer
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').HqRequest} HqRequest
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Input} DeviceInput
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Progress} Progress
 * @typedef {{ at: number, boot: number, exchange: Exchange, message: HqRequest, isForOther: boolean }} Sent
 *   `isForOther`: for the second operator, who is asked for a seed
 */

export class World {
  /**
   * @param {import('./component.js').Component} component
   * @param {import('./orders.js').Options} options
   */
  constructor(component, options) {
    this.component = component;
    this.options = options;
    this.now = START;
    this.step = 0;
    this.random = new Seeded(BigInt(options.seed));
    this.agenda = new Agenda();
    this.ca = new Ca(LIFE);
    this.zone = new Zone();
    /** @type {Entry[]} */
    this.entries = [];
    this.hq = new Hq(this, 'hq', hqConfig(options.setup));
    /** The second operator's HQ, where boards have one. */
    this.other = options.setup === 'second-operator' ? new Hq(this, 'other-hq', otherConfig()) : null;
    /** @type {Box[]} */
    this.boxes = [];
    this.loses = false;
    this.repeats = false;
    /** The next message waits for one that overtakes it. */
    this.holds = false;
    /** The message that waits. @type {Sent | null} */
    this.late = null;
    /** How many messages were overtaken. */
    this.overtaken = 0;
    /** What was ordered last, and whether what should come of it has come. @type {import('./effects.js').Watch | null} */
    this.watch = null;
    this.hq.start();
    this.other?.start();
    if (options.setup === 'claim-code') {
      const codes = LABELS.map(({ digest }) => unhex(digest));
      this.hq.ask({ tag: 'command', val: { subject: 'own', order: { tag: 'import-claims', val: { codes, model: undefined } } } });
    }
    for (let number = 0; number < options.boxes; number++) this.addBox();
  }

  /** Everybody who took part. */
  parties() {
    /** @type {{ name: string, config: PartyConfig }[]} */
    const parties = [];
    for (const hq of [this.hq, this.other]) if (hq) parties.push({ name: hq.name, config: { role: 'hq', config: hq.config } });
    for (const { name, config } of this.boxes) parties.push({ name, config: { role: 'device', config } });
    return parties;
  }

  /** Lets the next event happen. False: there is none. */
  advance() {
    const next = this.agenda.next();
    if (!next) return false;
    this.step += 1;
    this.now = Math.max(this.now, next.time);
    this.handle(next.event);
    const { watch } = this;
    if (watch && watch.seenAt === null && this.step - watch.step <= MAX_WAIT && hasCome(this, watch)) watch.seenAt = this.step;
    return true;
  }

  /** One that would do nothing does nothing. @param {Order} order */
  obey(order) {
    if (!takes(this, order)) return;
    this.watch = watch(this, order);
    obey(this, order);
  }

  /** What HQ says of each device. */
  get summaries() {
    return this.hq.summaries;
  }

  /** @param {Box} [original] of which it is a copy: the same image and flash on another board */
  addBox(original) {
    const number = this.boxes.length;
    const memory = new Memory(this.random.next());
    const own = deviceConfig(number, this.options.setup);
    if (this.options.setup === 'second-operator') memory.source = 'not-ready';
    const config = original ? { ...original.config, personal: own.personal } : own;
    if (original) memory.records = new Map(original.memory.records);
    this.boxes.push(new Box(`box-${number + 1}`, config, memory, `192.168.1.${2 + number}`));
    this.agenda.at(this.now + this.random.below(1000), { tag: 'power-on', at: number });
  }

  /** @param {number} at */
  box(at) {
    const unit = this.boxes[at];
    if (!unit) throw new Error(`there is no box ${at + 1}`);
    return unit;
  }

  /** @param {import('./agenda.js').Event} event */
  handle(event) {
    switch (event.tag) {
      case 'power-on':
        this.powerOn(event.at);
        return;
      case 'wake': {
        const box = this.box(event.at);
        if (!box.isOn || box.boot !== event.boot || box.wakeAt !== this.now) return;
        box.wakeAt = null;
        const input = box.again ?? { tag: 'woke' };
        box.again = null;
        this.tell(event.at, input);
        return;
      }
      case 'to-hq':
        this.toHq(event);
        return;
      case 'to-box': {
        const box = this.box(event.at);
        const known = box.boot === event.boot && box.outstanding.delete(event.exchange.number);
        if (!box.isOn || !known) return;
        this.tell(event.at, { tag: 'answered', val: { exchange: event.exchange, answer: event.answer } });
        return;
      }
      case 'perform':
      case 'due':
        this.hq.handle(event);
        return;
    }
  }

  /** @param {number} at */
  powerOn(at) {
    const box = this.box(at);
    if (box.isOn) return;
    box.isOn = true;
    box.isResumed = false;
    box.boot += 1;
    box.bootedAt = this.now;
    box.outstanding.clear();
    box.again = null;
    box.wakeAt = null;
    box.progress = null;
    box.memory.isCut = false;
    const instance = this.component.instance(box.memory.imports());
    box.instance = instance;
    const started = this.take(at, 'start', () => instance.provisioner.start(box.config));
    if (!started.ok) throw new Error(`${box.name} does not start: ${started.error.tag} ${started.error.val ?? ''}`);
    this.tell(at, { tag: 'resumed', val: BigInt(box.boot) });
  }

  /** @param {number} at */
  powerCut(at) {
    const box = this.box(at);
    if (!box.isOn) return;
    box.isOn = false;
    box.instance = null;
    box.progress = null;
    this.agenda.at(this.now + DARK, { tag: 'power-on', at });
  }

  /**
   * Hands an input to a box, and does what a host does with what comes of it.
   *
   * @param {number} at
   * @param {DeviceInput} input
   */
  tell(at, input) {
    const box = this.box(at);
    const { instance } = box;
    if (!instance) return;
    const outcome = this.take(at, input, () => instance.provisioner.advance(this.moment(box.bootedAt, box.clockIsOff), input));
    const submitted = box.memory.submitted.splice(0);
    if (box.memory.isCut) {
      this.powerCut(at);
      return;
    }
    if (!outcome.ok) {
      if (outcome.error.tag !== 'storage') throw new Error(`${box.name} answered ${outcome.error.tag}: ${outcome.error.val ?? ''}`);
      // The machine has not moved: the same again, a little later.
      box.again = input;
      this.wakeAt(at, this.now + RETRY);
      return;
    }
    for (const { exchange, request } of submitted) this.send(at, exchange, request);
    this.stands(at, outcome.value);
    if (input.tag === 'resumed') {
      box.isResumed = true;
      this.tell(at, { tag: 'addresses', val: box.addresses });
    }
  }

  /**
   * @param {number} at
   * @param {Exchange} exchange
   * @param {NetworkRequest} request
   */
  send(at, exchange, request) {
    const box = this.box(at);
    if (request.tag !== 'hq' && request.tag !== 'seeder') throw new Error(`${box.name} asks somebody whom it does not know`);
    if (box.outstanding.has(exchange.number)) return;
    box.outstanding.add(exchange.number);
    const { boot } = box;
    /** @type {Sent} */
    const sent = { at, boot, exchange, message: request.val, isForOther: request.tag === 'seeder' };
    if (this.loses) {
      this.loses = false;
      this.agenda.at(this.now + TIMEOUT, { tag: 'to-box', at, boot, exchange, answer: failed('timed-out', 'the network lost it') });
      return;
    }
    if (this.holds) {
      this.holds = false;
      this.late = sent;
      this.agenda.at(this.now + TIMEOUT, { tag: 'to-box', at, boot, exchange, answer: failed('timed-out', 'no answer yet') });
      return;
    }
    const times = this.repeats ? 2 : 1;
    this.repeats = false;
    for (let time = 0; time < times; time++) {
      this.agenda.at(this.now + 5 + this.random.below(300), { tag: 'to-hq', ...sent });
    }
  }

  /** @param {Sent} sent */
  toHq({ at, boot, exchange, message, isForOther }) {
    const delay = 5 + this.random.below(300);
    const hq = isForOther && this.other ? this.other : this.hq;
    const load = { trusted: false, enrolledFromPrefix: 0, enrolledInAll: 0, enrolledByModel: [], queued: 0 };
    const decision = hq.isDown
      ? null
      : hq.ask({ tag: 'request', val: { endpoint: message.endpoint, sourcePrefix: '192.0.2.0/24', load, body: message.body } });
    /** @type {Answer} */
    const answer = decision?.reply
      ? { tag: 'hq', val: { status: 200, body: decision.reply.body } }
      : failed('unreachable', 'HQ does not answer');
    this.agenda.at(this.now + delay, { tag: 'to-box', at, boot, exchange, answer });
    if (this.late?.at === at && !this.hq.isDown) {
      this.overtaken += 1;
      this.agenda.at(this.now + delay, { tag: 'to-hq', ...this.late });
      this.late = null;
    }
  }

  /**
   * @param {number} at
   * @param {number} time
   */
  wakeAt(at, time) {
    const box = this.box(at);
    box.wakeAt = time;
    this.agenda.at(time, { tag: 'wake', at, boot: box.boot });
  }

  /**
   * Looks at where a box stands.
   *
   * @param {number} at
   * @param {Progress} progress
   */
  stands(at, progress) {
    const box = this.box(at);
    box.progress = progress;
    box.device = progress.deviceId ?? null;
    if (box.states[box.states.length - 1] !== progress.state) box.states.push(progress.state);
    box.wakeAt = null;
    if (progress.wakeAtMs !== undefined) this.wakeAt(at, Math.max(box.bootedAt + Number(progress.wakeAtMs), this.now + 1));
    box.leaf = box.instance?.provisioner.credential()?.chain[0] ?? null;
  }

  /**
   * @param {number} since when the party's monotonic clock stood at zero
   * @param {number} [isOff] how far its wall clock is from the true time, in milliseconds
   * @returns {Moment}
   */
  moment(since, isOff = 0) {
    return { wallMs: BigInt(this.now + isOff), trust: 'trusted', monotonicMs: BigInt(this.now - since) };
  }

  /**
   * @template T
   * @param {number} at
   * @param {'start' | DeviceInput} input
   * @param {() => T} call
   */
  take(at, input, call) {
    const box = this.box(at);
    const now = this.moment(box.bootedAt, box.clockIsOff);
    const outcome = outcomeOf(call);
    const digest = outcomeOf(() => box.instance?.inspect.stateDigest());
    this.note(box.name, 'device', now, input, box.memory.take(), outcome, digest.ok && digest.value ? digest.value : null);
    return outcome;
  }

  /**
   * @param {string} party
   * @param {'device' | 'hq'} role
   * @param {Moment} now
   * @param {Entry['input']} input
   * @param {import('./entry.js').Call[]} calls
   * @param {import('./entry.js').Result<any>} outcome
   * @param {Uint8Array | null} digest
   */
  note(party, role, now, input, calls, outcome, digest) {
    const n = this.entries.length + 1;
    this.entries.push({ n, step: this.step, party, role, now, time: this.now, input, calls, outcome, digest });
  }
}

/**
 * @param {import('./jco/interfaces/otscert-provision-types.js').FailureKind} kind
 * @param {string} detail
 * @returns {Answer}
 */
function failed(kind, detail) {
  return { tag: 'failed', val: { kind, detail, retryAfterMs: undefined } };
}

/** Of a certificate. */
const LIFE = 45 * DAY;
const TIMEOUT = 30_000;
const RETRY = 1000;
/** How long a box is without power. */
const DARK = 60_000;
