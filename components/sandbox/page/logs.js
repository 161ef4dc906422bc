// Saving and opening event logs, and the link to a moment.

import { problem } from './app.js';
import { SETUPS } from './config.js';
import { byId, pairs } from './dom.js';
import { read } from './log-read.js';
import { link, unlink } from './orders.js';
import { Recording, replay } from './recording.js';
import { Session } from './session.js';

/** @typedef {import('./app.js').App} App */

/** @param {App} app */
export function logs(app) {
  const file = byId('open', HTMLInputElement);

  app.onClick('save', () => {
    const { run } = app;
    if (run instanceof Session) save(app, run).catch(problem);
  });
  app.onClick('link', () => {
    if (!(app.run instanceof Session)) return;
    history.replaceState(null, '', `#${link(app.run.moment)}`);
    app.say('The address of this page leads to this moment.');
  });
  app.onClick('close', () => app.show(fresh(app)));
  byId('setup', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    app.act(() => app.show(fresh(app)));
  });
  file.addEventListener('change', () => {
    const [chosen] = file.files ?? [];
    if (chosen) open(app, chosen);
    // So that the same file can be chosen again.
    file.value = '';
  });
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    const [dropped] = event.dataTransfer?.files ?? [];
    if (dropped) open(app, dropped);
  });
  addEventListener('hashchange', () => follow(app));

  app.parts.push(() => {
    const { run } = app;
    const isLog = run instanceof Recording;
    byId('log', HTMLElement).hidden = !isLog;
    byId('link', HTMLButtonElement).hidden = isLog;
    byId('save', HTMLButtonElement).hidden = isLog;
    const broken = byId('broken', HTMLElement);
    const text = isLog && run.broken !== null ? `Here an invariant broke. ${run.broken}` : '';
    broken.hidden = text === '';
    if (broken.textContent !== text) broken.textContent = text;
  });
}

/** Goes to the moment that the address names. @param {App} app */
export function follow(app) {
  app.act(() => {
    const moment = unlink(location.hash.slice(1));
    if (moment) fill(moment);
    app.show(moment ? Session.at(app.component, moment) : fresh(app));
  });
}

/** A run from its beginning, as the form has it. @param {App} app */
function fresh({ component }) {
  const [seed, boxes] = [byId('seed', HTMLInputElement), byId('boxes', HTMLSelectElement)];
  const setup = SETUPS[byId('world', HTMLSelectElement).selectedIndex] ?? 'open';
  return new Session(component, { seed: Number(seed.value), boxes: Number(boxes.value), setup });
}

/** Puts what a run was begun with into the form. @param {import('./orders.js').Options} options */
export function fill({ seed, boxes, setup }) {
  byId('seed', HTMLInputElement).value = String(seed);
  byId('boxes', HTMLSelectElement).value = String(boxes);
  byId('world', HTMLSelectElement).selectedIndex = SETUPS.indexOf(setup);
}

/**
 * @param {App} app
 * @param {Session} run
 */
async function save(app, run) {
  const { text, hash } = await run.log();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/jsonl' }));
  link.download = `sandbox-${hash.slice(0, 12)}.jsonl`;
  link.click();
  URL.revokeObjectURL(link.href);
  app.say(`Saved; its hash is ${hash}.`);
}

/**
 * Opens a log: one of this sandbox goes on, any other is stepped through.
 *
 * @param {App} app
 * @param {File} file
 */
async function open(app, file) {
  app.stop();
  problem(null);
  try {
    if (file.size > MAX_FILE) throw new Error(`it is larger than ${MAX_FILE >> 20} MB; step through it with ./x replay`);
    app.say(`Reading ${file.name} …`);
    const log = await read(await file.text());
    const session = await Session.of(app.component, log);
    if (session) {
      app.act(() => app.show(session));
      fill(session.options);
      app.say(`${file.name} is a run of this sandbox: it goes on from where it was saved.`);
      return;
    }
    const difference = log.isWhole
      ? await replay(app.component, log, async (share) => {
          app.say(`Replaying ${file.name}: ${Math.floor(share * 100)} %`);
          await new Promise((resolve) => setTimeout(resolve));
        })
      : null;
    const recording = new Recording(app.component, log, difference);
    recording.seek(log.failed === null ? 0 : recording.length);
    app.act(() => app.show(recording));
    about(recording, file.name);
  } catch (error) {
    app.say('');
    problem(new Error(`${file.name} was not opened. ${error instanceof Error ? error.message : error}`));
  }
}

/**
 * @param {Recording} recording
 * @param {string} name
 */
function about({ log, difference }, name) {
  const verdict = byId('log-verdict', HTMLElement);
  verdict.className = !log.isWhole ? 'quiet' : difference === null ? 'good' : 'bad';
  verdict.textContent = !log.isWhole
    ? 'This log was redacted: it serves for reading, and cannot be replayed.'
    : difference === null
      ? 'Replayed in this page on the component: every call, every answer and every digest came out as the log says.'
      : `It does not replay. Line ${difference.line}: ${difference.party} did something else than the log says: ${difference.what}. What is shown from there on is what the log says, not what the machine did.`;
  byId('log-about', HTMLElement).replaceChildren(
    ...pairs([
      ['file', name],
      ['made by', log.madeBy],
      ['entries', String(log.entries.length)],
      ['hash', log.hash],
      ['at its end', log.isCut ? 'its last line is missing: the device was still writing it, or lost power' : log.failed === null ? 'nothing was wrong' : log.failed],
    ]).childNodes,
  );
}

/** Bytes of a log that the page opens. */
const MAX_FILE = 64 << 20;
