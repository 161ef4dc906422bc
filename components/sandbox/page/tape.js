// A party of a log, played again: its instance is given what the log says that it was given.

import { outcomeOf } from './entry.js';
import { asked as askedForm, outcome as outcomeForm } from './log.js';
import { json } from './serde.js';

/**
 * @typedef {import('./component.js').Instance} Instance
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./entry.js').Call} Call
 */

/** Serves calls from a record, and notes the first that is another than the one recorded. */
class Tape {
  constructor() {
    /** @type {Call[]} */
    this.calls = [];
    this.at = 0;
    /** @type {string | null} */
    this.difference = null;
  }

  /** Serves these from here on. @param {Call[]} calls */
  wind(calls) {
    this.calls = calls;
    this.at = 0;
    this.difference = null;
  }

  /** How the calls that were made differ from those recorded, if they do. */
  differs() {
    const left = this.calls[this.at];
    return this.difference ?? (left ? `it did not ask for ${left.tag}, as the log says` : null);
  }

  /** @returns {import('./component.js').Imports} */
  imports() {
    return {
      sources: () => {
        const call = this.next({ tag: 'sources', got: [] });
        return call?.tag === 'sources' ? call.got : [];
      },
      sample: (source, len) => given(this.next({ tag: 'sample', source, len, got: NOTHING })),
      read: (key) => given(this.next({ tag: 'read', key, got: NOTHING })),
      // The bytes are the instance's, and change after this call.
      write: (key, view, expiresMs) => given(this.next({ tag: 'write', key, value: view.slice(), expiresMs, got: NOTHING })),
      remove: (key) => given(this.next({ tag: 'remove', key, got: NOTHING })),
      submit: (exchange, request) => given(this.next({ tag: 'submit', exchange, request, got: NOTHING })),
    };
  }

  /**
   * The recorded call, if it is that one.
   *
   * @param {Call} asked
   */
  next(asked) {
    if (this.difference !== null) return null;
    const recorded = this.calls[this.at];
    if (recorded && json(askedForm(asked)) === json(askedForm(recorded))) {
      this.at += 1;
      return recorded;
    }
    this.difference = `it asked for ${asked.tag}; the log has ${recorded ? `another ${recorded.tag}` : 'nothing more'}`;
    return null;
  }
}

export class Player {
  /**
   * @param {import('./component.js').Component} component
   * @param {import('./entry.js').PartyConfig} party
   */
  constructor(component, party) {
    this.component = component;
    this.party = party;
    this.tape = new Tape();
    /** @type {Instance | null} */
    this.instance = null;
  }

  /**
   * Hands it an entry's input, and compares: how what came differs from the log, or null.
   *
   * @param {Entry} entry
   */
  take(entry) {
    this.tape.wind(entry.calls);
    let outcome;
    try {
      outcome = outcomeOf(() => this.call(entry));
    } catch (error) {
      return this.tape.difference ?? `it stopped: ${error instanceof Error ? error.message : error}`;
    }
    const differs = this.tape.differs();
    if (differs !== null) return differs;
    const isStart = entry.input === 'start';
    if (json(outcomeForm(entry.role, isStart, outcome)) !== json(outcomeForm(entry.role, isStart, entry.outcome))) {
      return 'it answered something else than the log says';
    }
    const digest = outcomeOf(() => this.instance?.inspect.stateDigest());
    const got = digest.ok && digest.value ? digest.value : null;
    return json(got) === json(entry.digest) ? null : 'its state has another digest';
  }

  /** @param {Entry} entry */
  call({ input, now }) {
    if (input === 'start') {
      const instance = this.component.instance(this.tape.imports());
      this.instance = instance;
      if (this.party.role === 'hq') return instance.registrar.open(this.party.config);
      return instance.provisioner.start(this.party.config);
    }
    if (!this.instance) throw new Error('it was not started');
    if (this.party.role === 'hq') return this.instance.registrar.advance(now, /** @type {import('./entry.js').HqInput} */ (input));
    return this.instance.provisioner.advance(now, /** @type {import('./entry.js').DeviceInput} */ (input));
  }
}

/**
 * Hands a recorded result to the component: an error is thrown as it is.
 *
 * @param {Call | null} call
 * @returns {any}
 */
function given(call) {
  if (call === null || call.tag === 'sources') throw OFF;
  if (call.got.ok) return call.got.value;
  throw call.got.error;
}

/** @type {{ ok: true, value: any }} */
const NOTHING = { ok: true, value: undefined };
const OFF = { tag: 'other', val: 'the log has another call here' };
