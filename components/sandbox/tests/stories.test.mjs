// What the stories say is what happens.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { component } from './files.mjs';

const { STORIES, tell } = await import('../../../target/sandbox/stories.js');
const [firstBoot, powerCut, clones] = STORIES;
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
