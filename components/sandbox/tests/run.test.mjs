// Runs of the sandbox, without a page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Session, allServe, component, isServing } from './files.mjs';

const session = (seed = 1, boxes = 2) => new Session(component, { seed, boxes, setup: 'open' });

test('two boxes come to serve', () => {
  const run = session();
  assert.ok(run.until(allServe));
  const [first, second] = run.world.boxes;
  assert.deepEqual(first.states, ['AwaitingContact', 'Enrolling', 'AwaitingCertificate', 'Serving']);
  assert.match(first.progress.names[0], /^\*\..*\.dev\.test$/);
  assert.match(second.progress.names[0], /^[a-z]+-[a-z]+.*\.dev\.test$/);
  assert.equal(first.progress.grade, 'A');
  assert.equal(run.world.ca.issued.size, 2);
});

test('the same seed gives the same log, another seed another', async () => {
  const logs = [];
  for (const seed of [7, 7, 8]) {
    const run = session(seed);
    run.until(allServe);
    logs.push(await run.log());
  }
  assert.equal(logs[0].text, logs[1].text);
  assert.notEqual(logs[0].hash, logs[2].hash);
});

test('back and forth ends where it began, orders included', async () => {
  const run = session(3, 1);
  run.seek(4);
  run.order({ tag: 'lose' });
  run.seek(8);
  run.order({ tag: 'power-cut', at: 0 });
  run.seek(60);
  const before = await run.log();
  run.back();
  assert.equal(run.step, 59);
  run.seek(2);
  assert.equal(run.step, 2);
  run.seek(60);
  const after = await run.log();
  assert.equal(after.text, before.text);
});

test('an order forgets what was ordered for later', () => {
  const run = session(3, 1);
  run.seek(8);
  run.order({ tag: 'power-cut', at: 0 });
  run.seek(3);
  run.order({ tag: 'lose' });
  assert.deepEqual(run.orders, [{ step: 3, order: { tag: 'lose' } }]);
});

test('a box without entropy waits, and makes no key', () => {
  const run = session(1, 1);
  run.order({ tag: 'no-entropy', at: 0 });
  assert.ok(run.until((world) => world.boxes[0].progress?.state === 'AwaitingEntropy'));
  assert.ok(!run.until(isEnrolling, 200));
  run.order({ tag: 'entropy', at: 0 });
  assert.ok(run.until(allServe));
});

test('HQ that is down is asked again until it is up', () => {
  const run = session(1, 1);
  run.order({ tag: 'hq-down' });
  assert.ok(!run.until(allServe, 100));
  assert.equal(run.world.boxes[0].progress.state, 'AwaitingContact');
  run.order({ tag: 'hq-up' });
  assert.ok(run.until(allServe));
});

test('a lost message and a repeated one do no harm', () => {
  for (const tag of ['lose', 'repeat']) {
    for (let step = 1; step < 20; step++) {
      const run = session(1, 1);
      run.seek(step);
      run.order({ tag });
      assert.ok(run.until(allServe), `${tag} after step ${step}`);
      assert.equal(run.world.ca.issued.size, 1);
    }
  }
});

test('a power cut at any step, and a failure of any write, do no harm', () => {
  for (const tag of ['power-cut', 'fail-write', 'cut-before-write', 'cut-after-write']) {
    for (let step = 1; step < 60; step += 4) {
      const run = session(2, 1);
      run.seek(step);
      run.order({ tag, at: 0 });
      run.until((world) => world.step > step + 12);
      assert.ok(run.until(allServe), `${tag} after step ${step}`);
    }
  }
});

test('a box renews in the window that the CA suggests', () => {
  const run = session(1, 1);
  assert.ok(run.until(allServe));
  const [box] = run.world.boxes;
  const { leaf } = box;
  assert.ok(run.until(() => box.states.slice(-2).join() === 'Renewing,Serving'));
  assert.notDeepEqual(box.leaf, leaf);
  assert.equal(run.world.ca.issued.size, 2);
});

test('one of two clones is challenged, and HQ says so', () => {
  const run = session(1, 1);
  assert.ok(run.until(allServe));
  run.order({ tag: 'clone', at: 0 });
  const challenged = (world) => [...world.summaries.values()].some(({ state }) => state === 'Challenged');
  assert.ok(run.until(challenged, 2000));
});

test('a box that the operator retires serves what it has, and gets nothing new', () => {
  const run = session(1, 1);
  assert.ok(run.until(allServe));
  const { leaf } = run.world.box(0);
  run.order({ tag: 'retire', at: 0 });
  assert.ok(run.until((world) => world.ca.revoked.size === 1, 2000));
  assert.ok(run.until((world) => /was retired/.test(world.box(0).progress.reason), 2000));
  const end = run.world.now + 60 * 86_400_000;
  assert.ok(run.until((world) => world.now > end, 20_000));
  assert.deepEqual(run.world.box(0).leaf, leaf);
  assert.equal(run.world.ca.issued.size, 1);
});

const isEnrolling = (world) => world.boxes[0].progress?.state === 'Enrolling';
