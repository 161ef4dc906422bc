// Reads an event log, of the sandbox, of the simulator or of a real device, by the rules of `host-common/log`. It is a stranger's text.

import { hex } from './component.js';
import { BEFORE_HASH, VERSION, chained } from './log.js';
import { REDACTED, only, parsed, unserde } from './serde.js';

/**
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./entry.js').Call} Call
 * @typedef {import('./entry.js').PartyConfig} PartyConfig
 * @typedef {{ madeBy: string, isWhole: boolean, parties: { name: string, config: PartyConfig }[], entries: Entry[],
 *   isCut: boolean, failed: string | null, hash: string }} Log
 *   `isWhole`: it holds the secrets without which it does not replay; otherwise it is a real device's, which may have
 *   lost power before the last line (`isCut`); `failed`: what was wrong after the last entry
 */

/**
 * Reads a log. What is none, was edited or cut off is refused with the line.
 *
 * @param {string} text
 * @returns {Promise<Log>}
 */
export async function read(text) {
  const lines = text.split('\n');
  if (lines[lines.length - 1] === '') lines.pop();
  const [first] = lines;
  if (first === undefined) throw new Error('line 1: the log ends here without the line that says so: it was cut off');
  version(first);
  /** @type {Uint8Array<ArrayBuffer>} */
  let hash = new Uint8Array(32);
  /** @type {Log | null} */
  let log = null;
  let isOver = false;
  const isTorn = !text.endsWith('\n');
  for (const [at, line] of lines.entries()) {
    const number = at + 1;
    if (isOver) throw new Error(`line ${number}: there are lines after the last`);
    if (isTorn && log !== null && !log.isWhole && number === lines.length) break;
    const cut = line.lastIndexOf(BEFORE_HASH);
    if (cut < 0) throw new Error(`line ${number}: it has no hash`);
    const body = line.slice(0, cut);
    hash = await chained(hash, body);
    if (line.slice(cut + BEFORE_HASH.length) !== `${hex(hash)}"}`) {
      throw new Error(`line ${number}: its hash is not the one of its bytes: the log was edited`);
    }
    try {
      const raw = parsed(`${body}}`);
      const value = revealed(raw, (log === null ? raw.secrets : log.isWhole) !== false, { left: MOST_REDACTED });
      if (log === null) {
        log = header(value);
      } else if (body.startsWith(END)) {
        log.failed = end(value, log);
        isOver = true;
      } else {
        log.entries.push(entry(value, log));
      }
    } catch (error) {
      throw new Error(`line ${number}: it does not read: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
  if (log === null || (log.isWhole && !isOver)) throw new Error(`line ${lines.length}: the log ends here without the line that says so: it was cut off`);
  log.hash = hex(hash);
  log.isCut = !isOver;
  return log;
}

/**
 * A value in which zeros stand for bytes that a redacted log has only the number of. In a whole log there are none.
 *
 * @param {any} value of JSON
 * @param {boolean} isWhole
 * @param {{ left: number }} room how many bytes may still stand for such
 * @returns {any}
 */
function revealed(value, isWhole, room) {
  if (typeof value === 'string' && value.startsWith(REDACTED)) {
    const digits = value.slice(REDACTED.length);
    if (isWhole || !/^\d{1,9}$/.test(digits) || Number(digits) > room.left) throw new Error(`${REDACTED} stands where it cannot`);
    room.left -= Number(digits);
    return Array(Number(digits)).fill(0);
  }
  if (Array.isArray(value)) return value.map((item) => revealed(item, isWhole, room));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revealed(item, isWhole, room)]));
}

/** Before all else: another version may hash in another way. @param {string} line */
function version(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new Error('line 1: this is no event log: it is no JSON', { cause: error });
  }
  const got = value?.otscert_log;
  if (!Number.isInteger(got)) throw new Error('line 1: this is no event log: it does not begin with its version');
  if (got !== VERSION) throw new Error(`line 1: this log is of version ${got}; this page reads version ${VERSION}`);
}

/**
 * @param {any} value
 * @returns {Log}
 */
function header(value) {
  const { made_by: madeBy, secrets, parties } = value;
  if (typeof madeBy !== 'string' || typeof secrets !== 'boolean' || !Array.isArray(parties)) throw new Error('it is no header');
  const names = new Set();
  const read = parties.map(({ name, config }) => {
    if (typeof name !== 'string' || names.has(name)) throw new Error('a party has no name, or another has it too');
    names.add(name);
    const [role, given] = only(config);
    /** @type {PartyConfig} */
    const known = role === 'hq' ? { role, config: unserde('registrar.config', given) } : { role: 'device', config: unserde('provisioner.config', given) };
    if (known.role !== role) throw new Error('a party has no role');
    return { name, config: known };
  });
  return { madeBy, isWhole: secrets, parties: read, entries: [], isCut: false, failed: null, hash: '' };
}

/**
 * @param {any} value
 * @param {Log} log
 */
function end(value, log) {
  if (value.entries !== log.entries.length) throw new Error(`it counts ${value.entries} entries`);
  const failed = value.failed ?? null;
  if (failed !== null && typeof failed !== 'string') throw new Error('what failed is no text');
  return failed;
}

/**
 * @param {any} value
 * @param {Log} log
 * @returns {Entry}
 */
function entry(value, log) {
  const n = log.entries.length + 1;
  if (value.n !== n) throw new Error(`it is entry ${value.n}, not ${n}`);
  const found = log.parties.find(({ name }) => name === value.party);
  if (!found) throw new Error('its party is none');
  const { role } = found.config;
  const [face, good] = role === 'hq' ? ['registrar', 'registrar.decision'] : ['provisioner', 'provisioner.progress'];
  const isStart = value.input === 'start';
  const now = unserde('types.moment', value.now);
  const [kind, came] = only(value.outcome);
  if (kind !== (isStart ? `${role}_started` : role)) throw new Error('its outcome is of another kind than its input');
  if (!Array.isArray(value.calls)) throw new Error('its calls are no list');
  return {
    n,
    step: n,
    party: found.name,
    role,
    now,
    time: now.trust === 'unset' ? null : Number(now.wallMs),
    input: isStart ? 'start' : input(value.input, role, `${face}.input`),
    calls: value.calls.map(call),
    outcome: result(came, isStart ? null : good, `${face}.error`),
    digest: unserde(['option', ['list', 'u8']], value.digest) ?? null,
  };
}

/**
 * @param {any} value
 * @param {'device' | 'hq'} role
 * @param {string} type
 */
function input(value, role, type) {
  const [whose, given] = only(value);
  if (whose !== role) throw new Error('its party is of another role');
  return unserde(type, given);
}

/**
 * @param {any} value
 * @returns {Call}
 */
function call(value) {
  const { asked, got } = value;
  const [tag, given] = asked === 'sources' ? ['sources', null] : only(asked);
  const [kind, came] = only(got);
  const fits = (/** @type {string} */ expected) => {
    if (kind !== expected) throw new Error('an answer is of another kind than its question');
    return came;
  };
  switch (tag) {
    case 'sources':
      return { tag, got: unserde(['list', 'entropy.source'], fits('sources')) };
    case 'sample': {
      const [source, len] = [unserde('u32', given.source), unserde('u32', given.len)];
      return { tag, source, len, got: result(fits('sample'), ['list', 'u8'], 'entropy.error') };
    }
    case 'read':
      return { tag, key: unserde('string', given.key), got: result(fits('read'), ['option', ['list', 'u8']], 'storage.error') };
    case 'write': {
      const [key, value] = [unserde('string', given.key), unserde(['list', 'u8'], given.value)];
      return { tag, key, value, expiresMs: unserde(['option', 'u64'], given.expires_ms), got: result(fits('stored'), null, 'storage.error') };
    }
    case 'remove':
      return { tag, key: unserde('string', given.key), got: result(fits('stored'), null, 'storage.error') };
    case 'submit': {
      const [exchange, request] = [unserde('types.exchange', given.exchange), unserde('network.request', given.request)];
      return { tag, exchange, request, got: result(fits('submitted'), null, 'network.error') };
    }
    default:
      throw new Error('it asks for something that there is not');
  }
}

/**
 * @param {any} value
 * @param {any} good type of what comes if it went well; null: nothing
 * @param {string} bad type of the error
 * @returns {import('./entry.js').Result<any>}
 */
function result(value, good, bad) {
  const [kind, given] = only(value);
  if (kind === 'Ok') return { ok: true, value: good === null ? undefined : unserde(good, given) };
  if (kind === 'Err') return { ok: false, error: unserde(bad, given) };
  throw new Error('a result is neither');
}

/** Bytes that a line of a redacted log may stand for. */
const MOST_REDACTED = 4 << 20;
/** How the last line begins: names are sorted, and no entry has that member first. */
const END = '{"entries":';
