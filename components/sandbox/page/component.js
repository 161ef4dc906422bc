// The shipped component file, and instances of it.
//
// jco writes the glue between JavaScript and the component's core modules. The core modules themselves are taken out of the
// component file, so that what runs is what the digest is of.

import { instantiate } from './jco/otscert.js';

/**
 * @typedef {import('./jco/otscert.js').Root} Instance
 * @typedef {import('./jco/interfaces/otscert-provision-entropy.js').Source} Source
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Exchange} Exchange
 * @typedef {import('./jco/interfaces/otscert-provision-network.js').Request} NetworkRequest
 */

/**
 * What an instance stands on. Its functions throw the contract's errors as plain `{ tag, val }`.
 *
 * @typedef {object} Imports
 * @property {() => Source[]} sources
 * @property {(source: number, len: number) => Uint8Array} sample
 * @property {(key: string) => Uint8Array | undefined} read
 * @property {(key: string, value: Uint8Array, expiresMs: bigint | undefined) => void} write
 * @property {(key: string) => void} remove
 * @property {(exchange: Exchange, request: NetworkRequest) => void} submit
 */

/** A component file, compiled. */
export class Component {
  /**
   * @param {WebAssembly.Module[]} modules
   * @param {string} digest
   */
  constructor(modules, digest) {
    this.modules = modules;
    /** SHA-256 of the file, in hexadecimal. */
    this.digest = digest;
  }

  /**
   * Compiles a component file.
   *
   * @param {Uint8Array<ArrayBuffer>} file
   */
  static async compile(file) {
    const digest = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', file)));
    const modules = await Promise.all(coreModules(file).map((module) => WebAssembly.compile(module)));
    return new Component(modules, digest);
  }

  /**
   * A new instance, with nothing of any other.
   *
   * @param {Imports} imports
   * @returns {Instance}
   */
  instance(imports) {
    const { sources, sample, read, write, remove, submit } = imports;
    /** jco's code asks for these names without the version, its types with it. @type {any} */
    const given = {
      'otscert:provision/entropy': { sources, sample },
      'otscert:provision/storage': { read, write, remove },
      'otscert:provision/network': { submit },
      'otscert:provision/types': {},
    };
    return instantiate((path) => this.module(path), given);
  }

  /** @param {string} path as jco names them: `otscert.core.wasm`, `otscert.core2.wasm`, … */
  module(path) {
    const module = this.modules[indexOf(path)];
    if (!module) throw new Error(`the component file has no core module for ${path}`);
    return module;
  }
}

/**
 * Which core module of the component file jco means.
 *
 * @param {string} path
 */
export function indexOf(path) {
  const number = /\.core(\d*)\.wasm$/.exec(path);
  if (!number) throw new Error(`${path} is no name of a core module`);
  return number[1] === '' ? 0 : Number(number[1]) - 1;
}

/**
 * The core modules inside a component file, in their order: the contents of its sections of id 1
 * (https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md).
 *
 * @param {Uint8Array<ArrayBuffer>} file
 */
export function coreModules(file) {
  const begin = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
  if (begin.some((byte, at) => file[at] !== byte)) throw new Error('this is no component file');
  const modules = [];
  let at = begin.length;
  while (at < file.length) {
    const id = file[at];
    const [length, start] = unsigned(file, at + 1);
    const end = start + length;
    if (end > file.length) throw new Error('the component file ends within a section');
    if (id === CORE_MODULE) modules.push(file.slice(start, end));
    at = end;
  }
  return modules;
}

/**
 * A number in LEB128, and where it ends.
 *
 * @param {Uint8Array} file
 * @param {number} from
 * @returns {[number, number]}
 */
function unsigned(file, from) {
  let value = 0;
  for (let at = 0; at < MAX_LEB128; at++) {
    const byte = file[from + at];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return [value, from + at + 1];
  }
  throw new Error('a length in the component file does not read');
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {string} text hexadecimal */
export function unhex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
}

const CORE_MODULE = 1;
/** Bytes of an unsigned number of 32 bits. */
const MAX_LEB128 = 5;
