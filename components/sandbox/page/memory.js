// The three imports in memory, with faults; every call is written down.

import { Seeded } from './seeded.js';

/**
 * @typedef {import('./component.js').Exchange} Exchange
 * @typedef {import('./component.js').NetworkRequest} NetworkRequest
 * @typedef {{ value: Uint8Array, expiresMs: bigint | undefined }} Stored
 */

export class Memory {
  /** @param {bigint} seed */
  constructor(seed) {
    this.random = new Seeded(seed);
    /** @type {Map<string, Stored>} */
    this.records = new Map();
    /** @type {{ exchange: Exchange, request: NetworkRequest }[]} */
    this.submitted = [];
    /** @type {import('./entry.js').Call[]} */
    this.calls = [];
    /** What the source of entropy does. @type {'works' | 'not-ready' | 'stuck'} */
    this.source = 'works';
    /** What the next write meets. @type {'fails' | 'cut-before' | 'cut-after' | null} */
    this.nextWrite = null;
    /** The power went during a write: nothing works after it. */
    this.isCut = false;
    /** Storage failed since this was looked at. */
    this.failed = false;
    /** Milliseconds since 1970, for records that expire; a device's do not. @type {bigint | null} */
    this.now = null;
  }

  /** The calls since this was asked last. */
  take() {
    const { calls } = this;
    this.calls = [];
    return calls;
  }

  /** @returns {import('./component.js').Imports} */
  imports() {
    return {
      sources: () => {
        this.calls.push({ tag: 'sources', got: [SOURCE] });
        return [SOURCE];
      },
      sample: (source, len) => {
        const got = this.sampled(source, len);
        this.calls.push({ tag: 'sample', source, len, got });
        return given(got);
      },
      read: (key) => {
        const got = this.read(key);
        this.calls.push({ tag: 'read', key, got });
        return given(got);
      },
      write: (key, view, expiresMs) => {
        // The bytes are the instance's, and change after this call.
        const value = view.slice();
        const got = this.change(() => this.records.set(key, { value, expiresMs }));
        this.calls.push({ tag: 'write', key, value, expiresMs, got });
        return given(got);
      },
      remove: (key) => {
        const got = this.change(() => this.records.delete(key));
        this.calls.push({ tag: 'remove', key, got });
        return given(got);
      },
      submit: (exchange, request) => {
        this.submitted.push({ exchange, request });
        this.calls.push({ tag: 'submit', exchange, request, got: DONE });
      },
    };
  }

  /**
   * @param {number} source
   * @param {number} len
   * @returns {import('./entry.js').Result<Uint8Array>}
   */
  sampled(source, len) {
    if (source !== SOURCE.id) return { ok: false, error: { tag: 'no-such-source' } };
    if (this.source === 'not-ready') return { ok: false, error: { tag: 'not-ready' } };
    const most = Math.min(len, MAX_SAMPLE);
    return { ok: true, value: this.source === 'stuck' ? new Uint8Array(most).fill(STUCK) : this.random.bytes(most) };
  }

  /**
   * @param {string} key
   * @returns {import('./entry.js').Result<Uint8Array | undefined>}
   */
  read(key) {
    if (this.isCut) return BROKEN;
    const stored = this.records.get(key);
    const isOver = this.now !== null && stored?.expiresMs !== undefined && stored.expiresMs <= this.now;
    return { ok: true, value: isOver ? undefined : stored?.value };
  }

  /**
   * @param {() => void} make
   * @returns {import('./entry.js').Result<undefined>}
   */
  change(make) {
    if (this.isCut) return BROKEN;
    const fault = this.nextWrite;
    this.nextWrite = null;
    if (fault !== 'fails' && fault !== 'cut-before') make();
    if (fault === null) return DONE;
    this.failed = true;
    this.isCut = fault !== 'fails';
    return BROKEN;
  }
}

/**
 * Hands a result to the component: an error is thrown as it is.
 *
 * @template T
 * @param {import('./entry.js').Result<T>} got
 * @returns {T}
 */
function given(got) {
  if (got.ok) return got.value;
  throw got.error;
}

/** @type {import('./component.js').Source} */
const SOURCE = {
  id: 1,
  kind: 'system',
  family: 'system',
  assessment: undefined,
  observedStepNs: 0n,
  label: 'the seed of the sandbox',
};
/** @type {{ ok: true, value: undefined }} */
const DONE = { ok: true, value: undefined };
/** @type {{ ok: false, error: { tag: string, val?: string } }} */
const BROKEN = { ok: false, error: { tag: 'medium', val: 'it does not answer' } };
const MAX_SAMPLE = 4096;
/** The byte that a stuck source gives. */
const STUCK = 0x55;
