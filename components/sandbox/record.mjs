// Records runs of the sandbox as event logs, for `otscert-replay --check`.
//
//   node components/sandbox/record.mjs FOLDER

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { Component } = await import('../../target/sandbox/component.js');
const { ORDERS } = await import('../../target/sandbox/orders.js');
const { Seeded } = await import('../../target/sandbox/seeded.js');
const { Session } = await import('../../target/sandbox/session.js');

const folder = process.argv[2];
if (!folder) throw new Error('name the folder for the logs');
mkdirSync(folder, { recursive: true });
const component = await Component.compile(new Uint8Array(readFileSync('target/sandbox/otscert.wasm')));
const allServe = (world) => world.boxes.every((box) => box.progress?.state === 'Serving');

/** Runs in which anything is ordered at any time. */
const CHAOTIC = 5;
/** What happens in each run: boxes at its start, and orders, each with the step before which it is given. */
const runs = {
  'first-boot': { boxes: 2, orders: [] },
  'power-cut': { boxes: 1, orders: [[9, { tag: 'cut-after-write', at: 0 }], [30, { tag: 'power-cut', at: 0 }]] },
  'no-entropy': { boxes: 1, orders: [[0, { tag: 'no-entropy', at: 0 }], [20, { tag: 'entropy', at: 0 }]] },
  network: { boxes: 1, orders: [[2, { tag: 'lose' }], [6, { tag: 'repeat' }], [20, { tag: 'hq-down' }], [40, { tag: 'hq-up' }]] },
  storage: { boxes: 1, orders: [[4, { tag: 'fail-write', at: 0 }], [12, { tag: 'cut-before-write', at: 0 }]] },
  clones: { boxes: 1, orders: [[80, { tag: 'clone', at: 0 }]] },
  clocks: { boxes: 2, orders: [[3, { tag: 'clock-behind', at: 0 }], [5, { tag: 'clock-ahead', at: 1 }], [70, { tag: 'clock-right', at: 1 }], [150, { tag: 'clock-jump', at: 0 }]] },
  stuck: { boxes: 1, orders: [[0, { tag: 'stuck', at: 0 }], [20, { tag: 'entropy', at: 0 }], [20, { tag: 'power-cut', at: 0 }]] },
  overtaken: { boxes: 1, orders: [[2, { tag: 'reorder' }], [30, { tag: 'reorder' }]] },
  companion: { boxes: 1, orders: [[0, { tag: 'no-entropy', at: 0 }], [10, { tag: 'companion', at: 0 }]] },
  'claim-code': { boxes: 2, setup: 'claim-code', orders: [[10, { tag: 'claim-code', at: 0 }], [12, { tag: 'claim-code', at: 1 }]] },
  'second-operator': { boxes: 2, setup: 'second-operator', orders: [] },
  retire: { boxes: 1, orders: [[80, { tag: 'retire', at: 0 }]] },
};
for (const [name, { boxes, setup = 'open', orders }] of Object.entries(runs)) {
  const session = new Session(component, { seed: 1, boxes, setup });
  for (const [step, order] of orders) {
    session.seek(step);
    session.order(order);
  }
  session.until(allServe, 1000);
  session.seek(session.step + 60);
  await keep(name, session);
}
for (let seed = 1; seed <= CHAOTIC; seed++) {
  const random = new Seeded(BigInt(seed));
  const session = new Session(component, { seed, boxes: 2, setup: 'open' });
  for (let event = 0; event < 400; event++) {
    if (random.below(8) === 0) {
      const { tag, isOfBox } = ORDERS[random.below(ORDERS.length)];
      session.order(isOfBox ? { tag, at: random.below(session.world.boxes.length) } : { tag });
    }
    session.forward();
  }
  await keep(`chaos-${seed}`, session);
}

async function keep(name, session) {
  const { text, hash } = await session.log();
  writeFileSync(join(folder, `${name}.jsonl`), text);
  const states = session.world.boxes.map((box) => `${box.name} ${box.progress?.state ?? 'off'}`);
  console.log(`${name}: ${session.world.entries.length} entries, ${states.join(', ')}, hash ${hash}`);
}
