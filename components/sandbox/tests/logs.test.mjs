// Logs that are read back: by this page, from this page or anybody.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Session, allServe, component, log } from './files.mjs';

const { read } = await import('../../../target/sandbox/log-read.js');
const { Recording, replay } = await import('../../../target/sandbox/recording.js');

/** A run with faults and a clone, and its log. */
async function saved() {
  const run = new Session(component, { seed: 5, boxes: 2, setup: 'open' });
  run.seek(6);
  run.order({ tag: 'cut-after-write', at: 0 });
  run.seek(9);
  run.order({ tag: 'lose' });
  run.until(allServe);
  run.order({ tag: 'clone', at: 1 });
  run.seek(run.step + 40);
  return { run, ...(await run.log()) };
}

test('a saved log reads, replays, and goes on where it was saved', async () => {
  const { run, text, hash } = await saved();
  const got = await read(text);
  assert.equal(got.hash, hash);
  assert.equal(got.failed, null);
  assert.deepEqual((await log.write(got.madeBy, got.parties, got.entries)).text, text, 'it is written as it was read');
  assert.equal(await replay(component, got), null);
  const again = await Session.of(component, got);
  assert.equal(again.step, run.step);
  for (const one of [run, again]) one.seek(one.step + 30);
  assert.equal((await again.log()).hash, (await run.log()).hash);
});

test('what a log shows at a moment is what the run was', async () => {
  const { run, text } = await saved();
  const recording = new Recording(component, await read(text), null);
  const live = new Session(component, run.options);
  for (const order of run.orders) live.orders.push(order);
  live.obeyed();
  let compared = 0;
  while (live.step < run.step) {
    live.forward();
    recording.seek(live.world.entries.length);
    for (const [at, box] of live.world.boxes.entries()) {
      if (!box.isOn || !box.isResumed) continue;
      const shown = recording.scene.boxes[at];
      assert.deepEqual(shown.progress, box.progress);
      assert.deepEqual([...shown.memory.records].sort(), [...box.memory.records].sort());
      assert.equal(shown.instance.inspect.view(), box.instance.inspect.view());
      assert.deepEqual(shown.leaf, box.leaf);
      compared += 1;
    }
    const { hq, ca, zone, summaries } = recording.scene;
    assert.deepEqual([...hq.memory.records.keys()].sort(), [...live.world.hq.memory.records.keys()].sort());
    assert.deepEqual([...summaries], [...live.world.summaries]);
    assert.equal(hq.outbox.size, live.world.hq.outbox.size);
    assert.deepEqual(zone.txt, live.world.zone.txt);
    assert.equal(ca.revoked.size, live.world.ca.revoked.size);
  }
  assert.ok(compared > 100, `${compared}`);
  const there = recording.scene.boxes[0].instance.inspect.view();
  recording.seek(3);
  recording.seek(recording.length);
  assert.equal(recording.scene.boxes[0].instance.inspect.view(), there, 'back and forth');
});

test('a log that was edited, cut off or is of another version is refused with the line', async () => {
  const { text } = await saved();
  const lines = text.trimEnd().split('\n');
  const refused = async (changed) => (await read(changed).then(() => null, (error) => error))?.message;
  const edited = (line, from, to) => {
    const all = [...lines];
    assert.ok(all[line - 1].includes(from), `line ${line} has no ${from}`);
    all[line - 1] = all[line - 1].replace(from, to);
    return refused(all.join('\n'));
  };
  assert.equal(await edited(30, '"n":29', '"n":28'), 'line 30: its hash is not the one of its bytes: the log was edited');
  assert.equal(await edited(1, 'seed=5', 'seed=6'), 'line 1: its hash is not the one of its bytes: the log was edited');
  assert.equal(await edited(1, '"otscert_log":1', '"otscert_log":2'), 'line 1: this log is of version 2; this page reads version 1');
  const without = (line) => refused(lines.filter((_, at) => at !== line - 1).join('\n'));
  assert.match(await without(40), /^line 40: its hash/);
  assert.equal(await without(lines.length), `line ${lines.length - 1}: the log ends here without the line that says so: it was cut off`);
  const half = text.slice(0, text.length / 2);
  assert.match(await refused(half), new RegExp(`^line ${half.split('\n').length}: `));
  assert.match(await refused(`${text}{}\n`), /there are lines after the last/);
  for (const none of ['', '{"a":1}', '<!doctype html>', 'null']) assert.match(await refused(none), /^line 1: /);
});

test('values that are none are refused with the line, whoever hashed them', async () => {
  const { text } = await saved();
  const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line));
  let refused = 0;
  for (const [line, damage] of [
    [1, (it) => (it.parties[0].name = 7)],
    [1, (it) => (it.parties[1].name = it.parties[0].name)],
    [1, (it) => (it.parties[1].config = { thief: {} })],
    [1, (it) => delete it.parties[1].config.device.model],
    [1, (it) => (it.parties[1].config.device.build_time_ms = -1)],
    [5, (it) => (it.party = 'nobody')],
    [5, (it) => (it.n = 9)],
    [5, (it) => (it.now.trust = 'Blind')],
    [5, (it) => (it.input = { hq: { Due: 'x' }, device: 'Woke' })],
    [5, (it) => (it.outcome = {})],
    [5, (it) => (it.calls = [{ asked: { read: { key: 'a' } }, got: { sources: [] } }])],
    [5, (it) => (it.calls = [{ asked: { steal: {} }, got: { sources: [] } }])],
    [5, (it) => (it.digest = [1, 256])],
    [5, (it) => (it.digest = 'base64url:!')],
    [lines.length, (it) => (it.entries = 3)],
    [lines.length, (it) => (it.failed = ['x'])],
  ]) {
    const all = structuredClone(lines);
    damage(all[line - 1]);
    await assert.rejects(read(await hashed(all)), new RegExp(`^Error: line ${line}: it does not read`), `${damage}`);
    refused += 1;
  }
  assert.equal(refused, 16);
});

test('a log that says what did not happen is shown, and the page says where it does not replay', async () => {
  const { text } = await saved();
  const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line));
  const at = lines.findIndex(({ outcome }) => outcome?.device?.Ok?.state === 'Serving');
  lines[at].outcome.device.Ok.reason = '<img src=x onerror=alert(1)>';
  const got = await read(await hashed(lines));
  const difference = await replay(component, got);
  assert.deepEqual([difference.line, difference.what], [at + 1, 'it answered something else than the log says']);
  assert.equal(await Session.of(component, got), null, 'it does not go on');
  const recording = new Recording(component, got, difference);
  recording.seek(at - 1);
  assert.ok(recording.scene.boxes[0].instance);
  recording.seek(at);
  assert.equal(recording.scene.boxes[0].instance, null, 'what the machine did is not known there');
});

test('a redacted log is read, also without its end, and not replayed', async () => {
  const { text } = await saved();
  const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line));
  const redacted = await hashed(lines.map(withoutBytes).map((line, at) => (at === 0 ? { ...line, secrets: false } : line)));
  const whole = await read(redacted);
  const before = await read(text);
  assert.deepEqual([whole.isWhole, whole.isCut, whole.failed, whole.entries.length], [false, false, null, lines.length - 2]);
  const written = ({ entries }) => entries.flatMap(({ calls }) => calls.filter(({ tag }) => tag === 'write').map(({ value }) => value.length));
  assert.deepEqual(written(whole), written(before), 'the lengths are left');
  const recording = new Recording(component, whole, null);
  recording.seek(recording.length);
  assert.equal(recording.scene.boxes[0].instance, null, 'there is nothing to replay');
  assert.equal(recording.scene.boxes[0].progress.state, 'Serving');

  // A box that lost power leaves no last line, or half of one.
  const cut = redacted.trimEnd().split('\n').slice(0, -1);
  const unended = await read(`${cut.join('\n')}\n`);
  assert.deepEqual([unended.isCut, unended.entries.length], [true, whole.entries.length]);
  assert.equal((await read(cut.join('\n').slice(0, -5))).entries.length, whole.entries.length - 1);
  await assert.rejects(read(redacted.replace('"n":7', '"n":8')), /^Error: line 8: its hash is not the one/);

  // Such bytes are refused where they cannot be.
  const first = lines.findIndex((line) => JSON.stringify(line).includes('base64url:'));
  await assert.rejects(read(await hashed(lines.map((line, at) => (at === first ? withoutBytes(line) : line)))), /redacted: stands where it cannot/);
  const huge = lines.map(withoutBytes).map((line, at) => (at === 0 ? { ...line, secrets: false } : { ...line, digest: 'redacted:999999999' }));
  await assert.rejects(read(await hashed(huge)), /^Error: line 2: .*redacted: stands where it cannot/);
});

/** A value of JSON, of whose bytes only the number is left. */
function withoutBytes(value) {
  if (typeof value === 'string' && value.startsWith('base64url:')) {
    return `redacted:${Buffer.from(value.slice('base64url:'.length), 'base64url').length}`;
  }
  if (Array.isArray(value)) {
    const isBytes = value.length > 0 && value.every((item) => typeof item === 'number');
    return isBytes ? `redacted:${value.length}` : value.map(withoutBytes);
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withoutBytes(item)]));
}

/** Lines with their hashes made anew. */
async function hashed(lines) {
  let hash = new Uint8Array(32);
  let text = '';
  for (const { hash: _, ...line } of lines) {
    const body = JSON.stringify(line).slice(0, -1);
    hash = await log.chained(hash, body);
    text += `${body},"hash":"${Buffer.from(hash).toString('hex')}"}\n`;
  }
  return text;
}
