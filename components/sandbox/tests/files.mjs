// The built files of the sandbox, as tests need them. `just sandbox` builds them.

import { readFileSync, readdirSync } from 'node:fs';

export const { Component, coreModules, indexOf } = await import('../../../target/sandbox/component.js');
export const { Session } = await import('../../../target/sandbox/session.js');
export const log = await import('../../../target/sandbox/log.js');

export const shipped = new Uint8Array(readFileSync('target/component/otscert.wasm'));
export const served = new Uint8Array(readFileSync('target/sandbox/otscert.wasm'));
export const component = await Component.compile(served);

/** The core modules that jco wrote, by name. */
export function coreModulesOfJco() {
  const names = readdirSync('target/sandbox-jco').filter((name) => name.endsWith('.wasm'));
  return names.map((name) => ({ name, bytes: new Uint8Array(readFileSync(`target/sandbox-jco/${name}`)) }));
}

export const isServing = (box) => box.progress?.state === 'Serving';
export const allServe = (world) => world.boxes.every(isServing);
