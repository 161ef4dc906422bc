// What the stories say is what happens.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { component } from './files.mjs';

const { STORIES, tell } = await import('../../../target/sandbox/stories.js');
const [firstBoot, powerCut, clones, starved, label, secondOperator] = STORIES;
const end = (story) => tell(component, story, story.chapters.length - 1).world;
const enrolments = (world) =>
  world.entries.flatMap(({ calls }) => calls.filter(({ tag, request }) => tag === 'submit' && request.val.endpoint === 'enrol').map(({ request }) => Buffer.from(request.val.body).toString()));

test('every chapter of every story is reached, later than the one before', () => {
  for (const story of STORIES) {
    let before = -1;
    for (let chapter = 0; chapter < story.chapters.length; chapter++) {
      const { step } = tell(component, story, chapter);
      assert.ok(step >= before, `${story.title}, chapter ${chapter + 1}`);
      before = step;
    }
  }
});

test('first boot: storage is empty, then the box serves what the CA issued', () => {
  assert.equal(tell(component, firstBoot, 0).world.box(0).memory.records.size, 0);
  const world = end(firstBoot);
  assert.equal(world.ca.issued.size, 1);
  assert.ok(world.box(0).leaf);
});

test('power cut: HQ enrols while the box is off, and the same bytes are sent again for the same name', () => {
  const heard = tell(component, powerCut, 2).world;
  assert.equal(heard.box(0).isOn, false);
  assert.equal(heard.summaries.size, 1);
  const world = end(powerCut);
  const sent = enrolments(world);
  assert.equal(sent.length, 2);
  assert.equal(sent[0], sent[1]);
  assert.deepEqual([...world.summaries.keys()], [...heard.summaries.keys()]);
});

test('clones: one device is challenged, nothing more is issued, and its certificate is revoked', () => {
  const world = end(clones);
  assert.equal(world.boxes.length, 2);
  assert.equal(world.summaries.size, 1);
  assert.equal(world.ca.issued.size, 1);
  assert.equal(world.zone.labels.size, 0);
});

test('a board without randomness: it makes no key before the browser has helped, and is not helped by HQ', () => {
  const waits = tell(component, starved, 0);
  assert.ok(!waits.until((world) => world.box(0).states.includes('Enrolling'), 500));
  const world = end(starved);
  assert.equal(world.box(0).memory.source, 'not-ready');
  const { entropy } = JSON.parse(world.box(0).instance.inspect.view());
  assert.equal(entropy.sources.find(({ kind }) => kind === 'companion').against, 'SNAHL');
});

test('the code on the label: nobody without it has a name, and it lets one box in', () => {
  const refused = tell(component, label, 0).world;
  assert.match(refused.box(0).progress.reason, /admitted by claim-code/);
  assert.equal(refused.summaries.size, 0);
  const run = tell(component, label, 2);
  assert.equal(run.world.summaries.size, 1);
  assert.equal(run.world.box(0).progress.state, 'Serving');
});

test('a second operator: it is asked once, for a seed, and keeps nothing', () => {
  const world = end(secondOperator);
  const asked = world.entries.filter(({ party, input }) => party === 'other-hq' && input !== 'start');
  assert.deepEqual(asked.map(({ input }) => input.val.endpoint), ['contact']);
  assert.equal(world.other.memory.records.size, 0);
  const before = tell(component, secondOperator, 0).world;
  assert.equal(before.box(0).progress.grade, 'B');
  assert.equal(world.box(0).progress.grade, 'A');
});
