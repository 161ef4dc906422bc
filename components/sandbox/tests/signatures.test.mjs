// Who signed what, as the page says it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Session, component } from './files.mjs';

const { Keys, check } = await import('../../../target/sandbox/signatures.js');
const { messagesOf } = await import('../../../target/sandbox/words.js');

async function told() {
  const run = new Session(component, { seed: 1, boxes: 2, setup: 'open' });
  run.seek(150);
  const keys = new Keys(run.world.box(0).config.roots);
  const bodies = run.world.entries.flatMap((entry) => messagesOf(entry).map(({ body }) => body));
  for (const body of bodies) await keys.learn(body);
  return { keys, bodies };
}

test('every signature of a run holds, and is of who it should be', async () => {
  const { keys, bodies } = await told();
  const texts = new Set();
  for (const body of bodies) {
    for (const { verdict, text } of await check(body, keys)) {
      assert.notEqual(verdict, 'bad', text);
      const isOpen = /^Not signed|^The certificates in it/.test(text);
      assert.equal(verdict === 'good', !isOpen, text);
      texts.add(text.replace(/[\w-]{20,}/g, '…'));
    }
  }
  for (const kind of [/by HQ's key/, /by the identity key that it brings/, /by the identity key of/, /by the root/, /^The grant/, /^The certificate request/, /^Not signed/, /^The certificates in it/]) {
    assert.ok([...texts].some((text) => kind.test(text)), `${kind} among ${[...texts].join('\n')}`);
  }
});

test('a message that was changed has no signature that holds', async () => {
  const { keys, bodies } = await told();
  let changed = 0;
  for (const body of bodies) {
    const message = JSON.parse(Buffer.from(body).toString());
    if (!message.signature) continue;
    const payload = JSON.parse(Buffer.from(message.payload, 'base64url').toString());
    payload.more = true;
    message.payload = Buffer.from(JSON.stringify(payload)).toString('base64url');
    const [first] = await check(Buffer.from(JSON.stringify(message)), keys);
    assert.equal(first.verdict, 'bad', first.text);
    changed += 1;
  }
  assert.ok(changed > 30);
});

test('a root that no image pins, and a box that nobody has enrolled, are told', async () => {
  const { bodies } = await told();
  const stranger = new Keys([new Uint8Array(32).fill(9)]);
  const verdicts = new Set();
  for (const body of bodies) for (const { verdict, text } of await check(body, stranger)) verdicts.add(`${verdict} ${text.replace(/[\w-]{20,}/g, '…')}`);
  assert.ok([...verdicts].some((text) => /^bad .*which no image pins/.test(text)), [...verdicts].join('\n'));
  assert.ok([...verdicts].some((text) => /^unchecked .*whose key no entry before has shown/.test(text)));
});

test('what is no message is told apart from one', async () => {
  const keys = new Keys([]);
  for (const text of ['', '{', 'null', '[]', '{"payload":1}', '{"protected":"!","payload":"!","signature":"!"}', '{"protected":"bnVsbA","payload":"bnVsbA","signature":""}']) {
    const findings = await check(Buffer.from(text), keys);
    assert.deepEqual(findings.map(({ verdict }) => verdict), ['bad'], text);
  }
});

test('a browser without Ed25519 is told that nothing was checked, not that it holds', async (t) => {
  const { keys, bodies } = await told();
  t.mock.method(crypto.subtle, 'importKey', async () => {
    throw new DOMException('there is none', 'NotSupportedError');
  });
  let unchecked = 0;
  for (const body of bodies) {
    for (const { verdict, text } of await check(body, keys)) {
      assert.notEqual(verdict, 'good', text);
      if (/not checked, this browser has no (Ed25519|ECDSA)/.test(text)) unchecked += 1;
    }
  }
  assert.ok(unchecked > 50, `${unchecked}`);
});
