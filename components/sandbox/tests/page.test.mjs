// What can be said of the page without a browser.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Session, component } from './files.mjs';

const { undrawn } = await import('../../../target/sandbox/picture.js');
const { link, unlink } = await import('../../../target/sandbox/orders.js');
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
  const run = new Session(component, { seed: 1, boxes: 2, setup: 'open' });
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

test('a link leads to its moment', () => {
  const orders = [
    { step: 0, order: { tag: 'no-entropy', at: 1 } },
    { step: 12, order: { tag: 'hq-down' } },
    { step: 12, order: { tag: 'clone', at: 0 } },
  ];
  const moment = { seed: 7, boxes: 2, setup: 'open', event: 70, orders };
  assert.deepEqual(unlink(link(moment)), moment);
  assert.deepEqual(unlink('seed=7&boxes=1&event=0'), { seed: 7, boxes: 1, setup: 'open', event: 0, orders: [] });
  const other = { ...moment, setup: 'second-operator' };
  assert.deepEqual(unlink(link(other)), other);
});

test('a link that is none leads nowhere', () => {
  const wrong = ['', 'event=3', 'seed=1&boxes=3&event=1', 'seed=1&boxes=0&event=1', 'seed=-1&boxes=1&event=1', 'seed=1&boxes=1&event=99999999', 'seed=1&boxes=1&setup=mine&event=1'];
  const orders = ['lose', 'lose@x', 'lose.0@1', 'clone@1', 'clone.9@1', 'lose@9', 'lose@4,lose@3', 'constructor@1', '<b>@1', Array(1001).fill('lose@5').join()];
  for (const text of [...wrong, ...orders.map((told) => `seed=1&boxes=1&event=5&orders=${told}`)]) assert.equal(unlink(text), null, text);
});
