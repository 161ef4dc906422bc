// What the page says should come of an order comes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Session, component, isServing } from './files.mjs';

const { ORDERS } = await import('../../../target/sandbox/orders.js');
const { EFFECTS, GROUPS } = await import('../../../target/sandbox/effects.js');
const hasCome = (world) => world.watch?.seenAt !== null;

/** What must be so before an order does anything. */
const before = {
  'hq-up': [{ tag: 'hq-down' }],
  entropy: [{ tag: 'no-entropy', at: 0 }],
  'clock-right': [{ tag: 'clock-ahead', at: 0 }],
  accept: [{ tag: 'clone', at: 0 }],
  companion: [{ tag: 'no-entropy', at: 0 }],
};

test('every order has a button and says what should come of it', () => {
  assert.deepEqual(GROUPS.flatMap(([, tags]) => tags).sort(), ORDERS.map(({ tag }) => tag).sort());
  for (const { tag } of ORDERS) assert.match(EFFECTS[tag].text, /^[A-Z].+\.$/);
});

test('what should come of an order comes, whenever it is given', () => {
  let tried = 0;
  for (const { tag, isOfBox } of ORDERS) {
    let times = 0;
    for (const step of [0, 4, 25, 90]) {
      const run = new Session(component, { seed: 1, boxes: 1, setup: tag === 'claim-code' ? tag : 'open' });
      run.seek(step);
      for (const order of before[tag] ?? []) {
        run.order(order);
        run.until(hasCome, 2000);
      }
      if (!run.order(isOfBox ? { tag, at: 0 } : { tag })) continue;
      assert.equal(run.world.watch.seenAt, null, `${tag} at ${step}: it was there before`);
      assert.ok(run.until(hasCome, 2000), `${tag} at ${step}: nothing of it`);
      times += 1;
    }
    assert.ok(times > 0, `${tag} was never given`);
    tried += times;
  }
  assert.ok(tried > 55, `${tried}`);
});

test('a box whose source is stuck makes no key, and one when it works', () => {
  const run = new Session(component, { seed: 1, boxes: 1, setup: 'open' });
  run.order({ tag: 'stuck', at: 0 });
  assert.ok(!run.until((world) => world.boxes[0].states.includes('Enrolling'), 100));
  const { reason } = run.world.boxes[0].progress;
  assert.match(reason, /the same 32 bytes twice in a row/);
  run.order({ tag: 'entropy', at: 0 });
  run.order({ tag: 'power-cut', at: 0 });
  assert.ok(run.until((world) => world.boxes.every(isServing)));
});

test('a clock that lies behind costs nothing, one that lies ahead costs the next certificate and no more', () => {
  const behind = new Session(component, { seed: 1, boxes: 1, setup: 'open' });
  behind.order({ tag: 'clock-behind', at: 0 });
  assert.ok(behind.until((world) => world.boxes.every(isServing)));
  const ahead = new Session(component, { seed: 1, boxes: 1, setup: 'open' });
  assert.ok(ahead.until((world) => world.boxes.every(isServing)));
  const { leaf } = ahead.world.boxes[0];
  ahead.order({ tag: 'clock-ahead', at: 0 });
  assert.ok(ahead.until(hasCome));
  assert.deepEqual(ahead.world.boxes[0].leaf, leaf, 'it serves what it has');
  ahead.order({ tag: 'clock-right', at: 0 });
  assert.ok(ahead.until((world) => Buffer.compare(world.boxes[0].leaf, leaf) !== 0, 5000), 'it renews when its clock is right');
});

test('a message that was overtaken changes nothing and alarms nobody', () => {
  for (let step = 1; step < 60; step += 3) {
    const run = new Session(component, { seed: 1, boxes: 1, setup: 'open' });
    run.seek(step);
    run.order({ tag: 'reorder' });
    assert.ok(run.until(hasCome), `after step ${step}`);
    run.seek(run.step + 40);
    assert.ok(run.until((world) => world.boxes.every(isServing)), `after step ${step}`);
    assert.equal(run.world.ca.issued.size, 1);
    const notes = run.world.entries.flatMap(({ role, outcome }) => (role === 'hq' && outcome.ok ? (outcome.value?.notes ?? []) : []));
    assert.deepEqual(notes.filter(({ kind }) => kind === 'challenged'), [], `after step ${step}`);
  }
});
