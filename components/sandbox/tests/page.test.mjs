// What can be said of the page without a browser.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Session, component } from './files.mjs';

const { undrawn } = await import('../../../target/sandbox/picture.js');
const words = await import('../../../target/sandbox/words.js');
const folder = 'components/sandbox/page';

test('every state of the machine is drawn', () => {
  assert.deepEqual(undrawn(), []);
});

test('no text can become markup: nothing in the page parses HTML', () => {
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.js'))) {
    const text = readFileSync(`${folder}/${name}`, 'utf8');
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|eval\(|new Function/, name);
  }
});

test('the page comes from one place', () => {
  const html = readFileSync(`${folder}/index.html`, 'utf8');
  assert.match(html, /default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'/);
  assert.doesNotMatch(html, /https?:|\bon[a-z]+=|<style|style=/);
});

test('every entry of a run has words, and every message of it is described', () => {
  const run = new Session(component, { seed: 1, boxes: 2 });
  run.seek(150);
  run.order({ tag: 'renew', at: 0 });
  run.order({ tag: 'retire', at: 1 });
  run.seek(200);
  const reader = run.world.boxes[0].instance;
  let messages = 0;
  for (const entry of run.world.entries) {
    const all = [words.inputInWords(entry.input), words.outcomeInWords(entry), ...entry.calls.map(words.callInWords)];
    for (const text of all) assert.doesNotMatch(text, /undefined|\[object/);
    for (const { body } of words.messagesOf(entry)) {
      assert.match(JSON.parse(reader.inspect.describeMessage(body)).typ, /^otscert-/);
      messages += 1;
    }
  }
  assert.ok(messages > 20);
});
