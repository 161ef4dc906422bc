// HQ: one instance, its records, and what it has asked of the CA and the zone.

import { START } from './config.js';
import { outcomeOf } from './entry.js';
import { Memory } from './memory.js';

/**
 * @typedef {import('./world.js').World} World
 * @typedef {import('./component.js').Exchange} Exchange
 * @typedef {import('./component.js').Instance} Instance
 * @typedef {import('./component.js').NetworkRequest} NetworkRequest
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Answer} Answer
 * @typedef {import('./jco/interfaces/otscert-provision-registrar.js').Input} HqInput
 * @typedef {import('./jco/interfaces/otscert-provision-registrar.js').Decision} Decision
 * @typedef {import('./jco/interfaces/otscert-provision-registrar.js').Summary} Summary
 */

export class Hq {
  /**
   * @param {World} world
   * @param {string} name in the log
   * @param {import('./config.js').HqConfig} config
   */
  constructor(world, name, config) {
    this.world = world;
    this.name = name;
    this.config = config;
    this.memory = new Memory(world.random.next());
    /** @type {Instance | null} */
    this.instance = null;
    this.isDown = false;
    /** What it has submitted and not yet heard of. @type {Map<string, NetworkRequest>} */
    this.outbox = new Map();
    /** When its subjects are due. @type {Map<string, number>} */
    this.due = new Map();
    /** Its own events that wait until it is up. @type {import('./agenda.js').Event[]} */
    this.held = [];
    /** What it says of each device. @type {Map<string, Summary>} */
    this.summaries = new Map();
  }

  start() {
    const instance = this.world.component.instance(this.memory.imports());
    this.instance = instance;
    const started = this.take('start', () => instance.registrar.open(this.config));
    if (!started.ok) throw new Error(`${this.name} does not start: ${started.error.tag} ${started.error.val ?? ''}`);
  }

  /** It is started again, and does what has waited. */
  comeBack() {
    const { agenda, now } = this.world;
    this.isDown = false;
    this.start();
    for (const event of this.held.splice(0)) agenda.at(now + RETRY, event);
  }

  /**
   * One call: its writes are kept if it succeeds, else nothing of it is.
   *
   * @param {HqInput} input
   * @returns {Decision | null}
   */
  ask(input) {
    const { instance, memory, world } = this;
    if (!instance) return null;
    const before = new Map(memory.records);
    memory.now = BigInt(world.now);
    const outcome = this.take(input, () => instance.registrar.advance(world.moment(START), input));
    const submitted = memory.submitted.splice(0);
    if (!outcome.ok) {
      memory.records = before;
      return null;
    }
    for (const { exchange, request } of submitted) {
      if (this.outbox.has(key(exchange))) continue;
      this.outbox.set(key(exchange), request);
      world.agenda.at(world.now + 20 + world.random.below(2000), { tag: 'perform', exchange });
    }
    /** @type {Decision} */
    const decision = outcome.value;
    for (const summary of decision.summaries) {
      this.summaries.set(summary.subject, summary);
      if (summary.wakeAtMs === undefined) this.due.delete(summary.subject);
      else this.dueAt(summary.subject, Math.max(Number(summary.wakeAtMs), world.now + 1));
    }
    return decision;
  }

  /**
   * An event of its own.
   *
   * @param {Extract<import('./agenda.js').Event, { tag: 'perform' | 'due' }>} event
   */
  handle(event) {
    if (event.tag === 'due' && this.due.get(event.subject) !== event.time) return;
    if (this.isDown) {
      this.held.push(event);
      return;
    }
    if (event.tag === 'perform') {
      this.perform(event.exchange);
      return;
    }
    this.due.delete(event.subject);
    if (this.ask({ tag: 'due', val: event.subject }) === null) this.dueAt(event.subject, this.world.now + RETRY);
  }

  /** One operation at the CA or in the zone. @param {Exchange} exchange */
  perform(exchange) {
    const { agenda, now } = this.world;
    const request = this.outbox.get(key(exchange));
    if (!request) return;
    const answer = this.atPeer(request);
    if (this.ask({ tag: 'answered', val: { exchange, answer } }) === null) {
      agenda.at(now + RETRY, { tag: 'perform', exchange });
    } else {
      this.outbox.delete(key(exchange));
    }
  }

  /**
   * @param {NetworkRequest} request
   * @returns {Answer}
   */
  atPeer(request) {
    const { ca, now, zone } = this.world;
    if (request.tag === 'ca') return { tag: 'ca', val: ca.perform(now, zone, request.val) };
    if (request.tag === 'dns') return { tag: 'dns', val: zone.perform(request.val) };
    throw new Error('HQ asks HQ');
  }

  /**
   * @param {string} subject
   * @param {number} time
   */
  dueAt(subject, time) {
    this.due.set(subject, time);
    this.world.agenda.at(time, { tag: 'due', subject, time });
  }

  /**
   * @template T
   * @param {'start' | HqInput} input
   * @param {() => T} call
   */
  take(input, call) {
    const now = this.world.moment(START);
    const outcome = outcomeOf(call);
    this.world.note(this.name, 'hq', now, input, this.memory.take(), outcome, null);
    return outcome;
  }
}

/** @param {Exchange} exchange */
function key(exchange) {
  return `${exchange.subject} ${exchange.number}`;
}

/** After something failed at HQ. */
const RETRY = 1000;
