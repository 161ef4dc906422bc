// What a run is made of: entries, each with the calls of its party and what came of them.

/**
 * @template T
 * @typedef {{ ok: true, value: T } | { ok: false, error: { tag: string, val?: any } }} Result
 */

/**
 * @typedef {import('./component.js').Exchange} Exchange
 * @typedef {import('./component.js').NetworkRequest} NetworkRequest
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Moment} Moment
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Input} DeviceInput
 * @typedef {import('./jco/interfaces/otscert-provision-registrar.js').Input} HqInput
 * @typedef {{ role: 'device', config: import('./config.js').DeviceConfig } | { role: 'hq', config: import('./config.js').HqConfig }} PartyConfig
 * @typedef {{ tag: 'sources', got: import('./component.js').Source[] }
 *   | { tag: 'sample', source: number, len: number, got: Result<Uint8Array> }
 *   | { tag: 'read', key: string, got: Result<Uint8Array | undefined> }
 *   | { tag: 'write', key: string, value: Uint8Array, expiresMs: bigint | undefined, got: Result<undefined> }
 *   | { tag: 'remove', key: string, got: Result<undefined> }
 *   | { tag: 'submit', exchange: Exchange, request: NetworkRequest, got: Result<undefined> }} Call
 */

/**
 * One input of one party, and all that came of it.
 *
 * @typedef {object} Entry
 * @property {number} n from 1
 * @property {number} step of the run to which it belongs
 * @property {string} party
 * @property {'device' | 'hq'} role
 * @property {Moment} now
 * @property {number | null} time by the world's clock, milliseconds since 1970; null: the log does not say
 * @property {'start' | DeviceInput | HqInput} input
 * @property {Call[]} calls
 * @property {Result<any>} outcome
 * @property {Uint8Array | null} digest
 */

/**
 * What a call of the component brought: jco throws the contract's errors. A trap is none of them, and goes on.
 *
 * @template T
 * @param {() => T} call
 * @returns {Result<T>}
 */
export function outcomeOf(call) {
  try {
    return { ok: true, value: call() };
  } catch (error) {
    if (error instanceof Error && 'payload' in error) return { ok: false, error: /** @type {any} */ (error.payload) };
    throw error;
  }
}
