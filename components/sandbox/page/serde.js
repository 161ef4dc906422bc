// Values of the contract: as jco has them, and as serde writes them into a log.
//
// Which text is an enum's and which is a text, and which record is a variant's, the contract says (`contract.js`).

import { TYPES } from './contract.js';

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
 * The other way: a value that serde has written, as jco has it. What is no such value is refused.
 *
 * @param {any} type
 * @param {any} value of JSON
 * @returns {any}
 */
export function unserde(type, value) {
  if (Array.isArray(type)) {
    const [kind, ...parts] = type;
    if (kind === 'option') return value === null || value === undefined ? undefined : unserde(parts[0], value);
    const items = typeof value === 'string' ? [...bytesOf(value)] : value;
    if (!Array.isArray(items)) throw new Error('a list is something else');
    if (kind === 'tuple') return parts.map((part, at) => unserde(part, items[at]));
    const list = items.map((item) => unserde(parts[0], item));
    return parts[0] === 'u8' ? Uint8Array.from(list) : list;
  }
  const definition = TYPES[type];
  if (!definition) return plain(type, value);
  switch (definition.kind) {
    case 'enum': {
      const found = definition.cases.find((/** @type {string} */ name) => pascal(name) === value);
      if (found === undefined) throw new Error(`${type} is something else`);
      return found;
    }
    case 'record': {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${type} is something else`);
      /** @type {Record<string, unknown>} */
      const out = {};
      for (const [name, field] of definition.fields) {
        const member = name.replaceAll('-', '_');
        out[camel(name)] = unserde(field, Object.hasOwn(value, member) ? value[member] : undefined);
      }
      return out;
    }
    default: {
      const [member, payload] = typeof value === 'string' ? [value, null] : only(value);
      const found = definition.cases.find((/** @type {[string, any]} */ [name]) => pascal(name) === member);
      if (!found || (found[1] === null) !== (payload === null && typeof value === 'string')) throw new Error(`${type} is something else`);
      const [name, inner] = found;
      return inner === null ? { tag: name } : { tag: name, val: unserde(inner, payload) };
    }
  }
}

/**
 * @param {string} type
 * @param {unknown} value
 */
function plain(type, value) {
  if (type === 'bool') {
    if (typeof value === 'boolean') return value;
  } else if (type === 'string') {
    if (typeof value === 'string' && !value.startsWith(PREFIX)) return value;
  } else if (type === 'u64') {
    // A number that JavaScript's would not hold is a text of its digits (`parsed`).
    if (typeof value === 'string' && /^\d{16,20}$/.test(value) && BigInt(value) < 2n ** 64n) return BigInt(value);
    if (Number.isSafeInteger(value) && Number(value) >= 0) return BigInt(Number(value));
  } else {
    const bits = Number(type.slice(1));
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** bits) return value;
  }
  throw new Error(`a value of ${type} is something else`);
}

/**
 * The only member of an object, and its value.
 *
 * @param {unknown} value
 * @returns {[string, any]}
 */
export function only(value) {
  const members = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const [first] = members;
  if (!first || members.length > 1) throw new Error('a variant is something else');
  return first;
}

/**
 * JSON, with whole numbers that JavaScript's would not hold as texts of their digits.
 *
 * @param {string} text
 */
export function parsed(text) {
  return JSON.parse(text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|\d{16,}/g, (part) => (part.startsWith('"') ? part : `"${part}"`)));
}

/** @param {string} text */
function bytesOf(text) {
  if (!text.startsWith(PREFIX) || !/^[A-Za-z0-9_-]*$/.test(text.slice(PREFIX.length))) throw new Error('a list is something else');
  return unbase64url(text.slice(PREFIX.length));
}

/** @param {string} text */
export function unbase64url(text) {
  const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
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
  if (typeof value === 'string') return JSON.stringify(value.startsWith(PREFIX) || value.startsWith(REDACTED) ? ` ${value}` : value);
  if (value instanceof Uint8Array) {
    return value.length < SHORTEST ? `[${Array.from(value).join(',')}]` : `"${PREFIX}${base64url(value)}"`;
  }
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${json(value[name])}`).join(',')}}`;
}

/** @param {Uint8Array} bytes */
export function base64url(bytes) {
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

const PREFIX = 'base64url:';
/** Before the number of bytes that a redacted log has in their place. */
export const REDACTED = 'redacted:';
/** Shorter lists of bytes stay lists. */
const SHORTEST = 16;
const CHUNK = 4096;
