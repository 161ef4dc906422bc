// The event log, as `tests/replay/src/log/` reads it: a text of JSON lines, chained by hashes.
//
// Values are the contract's types as serde writes them. Which text is an enum's and which is a text, and which record is a
// variant's, the contract says (`contract.js`).

import { TYPES } from './contract.js';
import { hex } from './component.js';

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
    const bytes = new TextEncoder().encode(body);
    const chained = new Uint8Array(hash.length + bytes.length);
    chained.set(hash);
    chained.set(bytes, hash.length);
    hash = new Uint8Array(await crypto.subtle.digest('SHA-256', chained));
    text += `${body},"hash":"${hex(hash)}"}\n`;
  }
  return { text, hash: hex(hash) };
}

/** @param {PartyConfig} config */
function partyConfig(config) {
  if (config.role === 'hq') return { hq: serde('registrar.config', config.config) };
  return { device: serde('provisioner.config', config.config) };
}

/** @param {Entry} entry */
function entry(entry) {
  const isHq = entry.role === 'hq';
  const role = isHq ? 'hq' : 'device';
  const face = isHq ? 'registrar' : 'provisioner';
  const isStart = entry.input === 'start';
  const good = isStart ? null : isHq ? 'registrar.decision' : 'provisioner.progress';
  return {
    n: entry.n,
    party: entry.party,
    now: serde('types.moment', entry.now),
    input: isStart ? 'start' : { [role]: serde(`${face}.input`, entry.input) },
    calls: entry.calls.map(call),
    outcome: { [isStart ? `${role}_started` : role]: result(entry.outcome, good, `${face}.error`) },
    digest: entry.digest,
  };
}

/** @param {import('./entry.js').Call} call */
function call(call) {
  switch (call.tag) {
    case 'sources':
      return { asked: 'sources', got: { sources: serde(['list', 'entropy.source'], call.got) } };
    case 'sample':
      return { asked: { sample: { source: call.source, len: call.len } }, got: { sample: result(call.got, ['list', 'u8'], 'entropy.error') } };
    case 'read':
      return { asked: { read: { key: call.key } }, got: { read: result(call.got, ['option', ['list', 'u8']], 'storage.error') } };
    case 'write':
      return {
        asked: { write: { key: call.key, value: call.value, expires_ms: call.expiresMs ?? null } },
        got: { stored: result(call.got, null, 'storage.error') },
      };
    case 'remove':
      return { asked: { remove: { key: call.key } }, got: { stored: result(call.got, null, 'storage.error') } };
    case 'submit':
      return {
        asked: { submit: { exchange: serde('types.exchange', call.exchange), request: serde('network.request', call.request) } },
        got: { submitted: result(call.got, null, 'network.error') },
      };
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

/**
 * A value of the contract, as jco has it, in the form in which serde writes it.
 *
 * @param {any} type
 * @param {any} value
 * @returns {unknown}
 */
export function serde(type, value) {
  if (Array.isArray(type)) {
    const [kind, ...parts] = type;
    if (kind === 'option') return value === undefined ? null : serde(parts[0], value);
    if (kind === 'tuple') return parts.map((part, at) => serde(part, value[at]));
    if (parts[0] === 'u8') return Uint8Array.from(value);
    return Array.from(value, (item) => serde(parts[0], item));
  }
  const definition = TYPES[type];
  if (!definition) return value;
  switch (definition.kind) {
    case 'enum':
      return pascal(value);
    case 'record': {
      /** @type {Record<string, unknown>} */
      const out = {};
      for (const [name, field] of definition.fields) out[name.replaceAll('-', '_')] = serde(field, value[camel(name)]);
      return out;
    }
    default: {
      const found = definition.cases.find((/** @type {[string, any]} */ [name]) => name === value.tag);
      if (!found) throw new Error(`${type} has no case ${value.tag}`);
      const [name, payload] = found;
      return payload === null ? pascal(name) : { [pascal(name)]: serde(payload, value.val) };
    }
  }
}

/**
 * As serde_json writes it: members by name, bytes as text.
 *
 * @param {any} value
 * @returns {string}
 */
export function json(value) {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  // A text that looks like bytes would be read as such.
  if (typeof value === 'string') return JSON.stringify(value.startsWith(PREFIX) ? ` ${value}` : value);
  if (value instanceof Uint8Array) {
    return value.length < SHORTEST ? `[${Array.from(value).join(',')}]` : `"${PREFIX}${base64url(value)}"`;
  }
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${json(value[name])}`).join(',')}}`;
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** @param {string} name */
function pascal(name) {
  return name.split('-').map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}

/** @param {string} name */
function camel(name) {
  return name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
}

/** Version of the format. */
const VERSION = 1;
const PREFIX = 'base64url:';
/** Shorter lists of bytes stay lists. */
const SHORTEST = 16;
const CHUNK = 4096;
