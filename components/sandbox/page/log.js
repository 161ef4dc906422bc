// The event log, as `tests/replay/src/log/` reads it: a text of JSON lines, chained by hashes.
//
// `log-read.js` reads what this writes, and what the simulator writes.

import { hex } from './component.js';
import { json, serde } from './serde.js';

/**
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./entry.js').PartyConfig} PartyConfig
 */

/**
 * The log of a run.
 *
 * @param {string} madeBy what made it, for people
 * @param {{ name: string, config: PartyConfig }[]} parties
 * @param {Entry[]} entries
 */
export async function write(madeBy, parties, entries) {
  const lines = [
    {
      otscert_log: VERSION,
      secrets: true,
      made_by: madeBy,
      parties: parties.map(({ name, config }) => ({ name, config: partyConfig(config) })),
    },
    ...entries.map(entry),
    { entries: entries.length, failed: null },
  ];
  let hash = new Uint8Array(32);
  let text = '';
  for (const line of lines) {
    const body = json(line).slice(0, -1);
    hash = await chained(hash, body);
    text += `${body}${BEFORE_HASH}${hex(hash)}"}\n`;
  }
  return { text, hash: hex(hash) };
}

/**
 * The hash of a line: over the hash of the line before, and the line up to its own hash.
 *
 * @param {Uint8Array} before
 * @param {string} body
 */
export async function chained(before, body) {
  const bytes = new TextEncoder().encode(body);
  const both = new Uint8Array(before.length + bytes.length);
  both.set(before);
  both.set(bytes, before.length);
  return new Uint8Array(await crypto.subtle.digest('SHA-256', both));
}

/** @param {PartyConfig} config */
function partyConfig(config) {
  if (config.role === 'hq') return { hq: serde('registrar.config', config.config) };
  return { device: serde('provisioner.config', config.config) };
}

/** @param {Entry} entry */
function entry(entry) {
  const { role } = entry;
  const face = role === 'hq' ? 'registrar' : 'provisioner';
  const isStart = entry.input === 'start';
  return {
    n: entry.n,
    party: entry.party,
    now: serde('types.moment', entry.now),
    input: isStart ? 'start' : { [role]: serde(`${face}.input`, entry.input) },
    calls: entry.calls.map(call),
    outcome: outcome(role, isStart, entry.outcome),
    digest: entry.digest,
  };
}

/**
 * What a party answered.
 *
 * @param {'device' | 'hq'} role
 * @param {boolean} isStart
 * @param {import('./entry.js').Result<any>} got
 */
export function outcome(role, isStart, got) {
  const [good, bad] = role === 'hq' ? ['registrar.decision', 'registrar.error'] : ['provisioner.progress', 'provisioner.error'];
  return { [isStart ? `${role}_started` : role]: result(got, isStart ? null : good, bad) };
}

/** @param {import('./entry.js').Call} call */
function call(call) {
  return { asked: asked(call), got: got(call) };
}

/**
 * What a party asked its host.
 *
 * @param {import('./entry.js').Call} call
 */
export function asked(call) {
  switch (call.tag) {
    case 'sources':
      return 'sources';
    case 'sample':
      return { sample: { source: call.source, len: call.len } };
    case 'read':
      return { read: { key: call.key } };
    case 'write':
      return { write: { key: call.key, value: call.value, expires_ms: call.expiresMs ?? null } };
    case 'remove':
      return { remove: { key: call.key } };
    case 'submit':
      return { submit: { exchange: serde('types.exchange', call.exchange), request: serde('network.request', call.request) } };
  }
}

/** @param {import('./entry.js').Call} call */
function got(call) {
  switch (call.tag) {
    case 'sources':
      return { sources: serde(['list', 'entropy.source'], call.got) };
    case 'sample':
      return { sample: result(call.got, ['list', 'u8'], 'entropy.error') };
    case 'read':
      return { read: result(call.got, ['option', ['list', 'u8']], 'storage.error') };
    case 'write':
    case 'remove':
      return { stored: result(call.got, null, 'storage.error') };
    case 'submit':
      return { submitted: result(call.got, null, 'network.error') };
  }
}

/**
 * @param {import('./entry.js').Result<unknown>} result
 * @param {any} good
 * @param {string} bad
 */
function result(result, good, bad) {
  if (result.ok) return { Ok: good === null ? null : serde(good, result.value) };
  return { Err: serde(bad, result.error) };
}

/** Version of the format. */
export const VERSION = 1;
/** Between a line and its hash. */
export const BEFORE_HASH = ',"hash":"';
