// The page runs the shipped file and nothing else.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { component, coreModules, coreModulesOfJco, indexOf, served, shipped } from './files.mjs';

test('the file that is served is the file that is shipped', () => {
  assert.deepEqual(served, shipped);
  assert.equal(component.digest, createHash('sha256').update(shipped).digest('hex'));
});

test('the core modules that jco made its code for are those inside the component file', () => {
  const inside = coreModules(shipped);
  const ofJco = coreModulesOfJco();
  assert.equal(ofJco.length, inside.length);
  const seen = new Set();
  for (const { name, bytes } of ofJco) {
    seen.add(indexOf(name));
    assert.ok(Buffer.from(bytes).equals(inside[indexOf(name)]), `${name} differs from the module in the component file`);
  }
  assert.equal(seen.size, inside.length);
});

test('a file that is no component, or ends early, is refused', () => {
  assert.throws(() => coreModules(coreModules(shipped)[0]), /no component file/);
  assert.throws(() => coreModules(shipped.slice(0, shipped.length - 1)), /ends within a section/);
  assert.throws(() => coreModules(new Uint8Array([...shipped.slice(0, 9), 0xff, 0xff, 0xff, 0xff, 0xff])), /does not read/);
});
