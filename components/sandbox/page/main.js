// The page: fetches the component, and sets its parts up.

import { App, problem } from './app.js';
import { bar } from './bar.js';
import { Component } from './component.js';
import { byId } from './dom.js';
import { faults } from './faults.js';
import { guide } from './guide.js';
import { follow, logs } from './logs.js';
import { Session } from './session.js';
import { show } from './show.js';

main().catch(problem);

async function main() {
  const fetched = await fetch('otscert.wasm').catch(() => null);
  if (!fetched?.ok) throw new Error('otscert.wasm is not served beside this page');
  const component = await Component.compile(new Uint8Array(await fetched.arrayBuffer()));
  byId('digest', HTMLElement).textContent = component.digest;
  byId('sandbox', HTMLElement).hidden = false;
  const app = new App(component, new Session(component, { seed: 1, boxes: 1, setup: 'open' }));
  for (const part of [bar, guide, logs, faults, show]) part(app);
  follow(app);
}
