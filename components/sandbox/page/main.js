// The page: buttons, and when to draw.

import { Component } from './component.js';
import { byId } from './dom.js';
import { Memory } from './memory.js';
import { Session } from './session.js';
import { parties, timelineItem } from './show.js';

main().catch(problem);

async function main() {
  const fetched = await fetch('otscert.wasm').catch(() => null);
  if (!fetched?.ok) throw new Error('otscert.wasm is not served beside this page');
  begin(await Component.compile(new Uint8Array(await fetched.arrayBuffer())));
}

/** @param {Component} component */
function begin(component) {
  byId('digest', HTMLElement).textContent = component.digest;
  byId('sandbox', HTMLElement).hidden = false;
  const reader = component.instance(new Memory(0n).imports());
  /** @type {Set<string>} */
  const open = new Set();
  const timeline = byId('timeline', HTMLOListElement);
  const seek = byId('seek', HTMLInputElement);
  const which = byId('which', HTMLSelectElement);
  const run = byId('run', HTMLButtonElement);
  const told = byId('told', HTMLElement);
  let session = start();
  /** The furthest event that was reached. */
  let furthest = 0;
  /** Entries that the timeline shows, up to this one. */
  let shown = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;

  function start() {
    const seed = Number(byId('seed', HTMLInputElement).value);
    return new Session(component, { seed, boxes: Number(byId('boxes', HTMLSelectElement).value) });
  }

  function draw() {
    const { world } = session;
    furthest = Math.max(furthest, session.step);
    seek.max = String(furthest);
    seek.value = String(session.step);
    byId('where', HTMLOutputElement).value = `${session.step} of ${furthest}, ${new Date(world.now).toISOString().replace('T', ' ').slice(0, 19)}`;
    byId('back', HTMLButtonElement).disabled = session.step === 0;
    byId('hq-down', HTMLButtonElement).ariaPressed = String(world.hq.isDown);
    if (which.options.length !== world.boxes.length) {
      const chosen = which.value;
      which.replaceChildren(...world.boxes.map((box, at) => new Option(box.name, String(at))));
      if (Number(chosen) < world.boxes.length && chosen !== '') which.value = chosen;
    }
    byId('no-entropy', HTMLButtonElement).ariaPressed = String(!chosen().memory.isSeeded);
    byId('parties', HTMLElement).replaceChildren(...parties(world, reader, open));
    const { entries } = world;
    if (entries.length < shown) {
      timeline.replaceChildren();
      shown = 0;
    }
    shown = Math.max(shown, entries.length - MAX_SHOWN);
    for (const entry of entries.slice(shown)) timeline.prepend(timelineItem(entry, reader));
    shown = entries.length;
    while (timeline.childElementCount > MAX_SHOWN) timeline.lastElementChild?.remove();
    const earlier = byId('earlier', HTMLElement);
    earlier.hidden = entries.length <= MAX_SHOWN;
    earlier.textContent = `The newest ${MAX_SHOWN} of ${entries.length}; a saved log has all.`;
  }

  function chosen() {
    return session.world.box(Number(which.value || '0'));
  }

  function stop() {
    clearInterval(timer);
    timer = undefined;
    run.ariaPressed = 'false';
    run.textContent = 'Run';
  }

  /**
   * Does something, and draws; what goes wrong is said on the page.
   *
   * @param {() => void} work
   */
  function act(work) {
    try {
      problem(null);
      work();
      draw();
    } catch (error) {
      stop();
      problem(error);
    }
  }

  /** @param {import('./world.js').Order} order */
  function tell(order) {
    act(() => {
      session.order(order);
      furthest = session.step;
      told.textContent = `At event ${session.step}: ${order.tag}${'at' in order ? `, ${session.world.box(order.at).name}` : ''}.`;
    });
  }

  /** @param {string} id @param {() => void} work */
  function onClick(id, work) {
    byId(id, HTMLButtonElement).addEventListener('click', work);
  }

  byId('setup', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    stop();
    act(() => {
      session = start();
      furthest = 0;
      shown = Infinity;
      told.textContent = '';
    });
  });
  onClick('back', () => (stop(), act(() => session.back())));
  onClick('step', () => (stop(), act(() => session.forward())));
  onClick('change', () => {
    stop();
    act(() => {
      const states = () => session.world.boxes.map((box) => (box.isOn ? box.progress?.state : 'off')).join(' ');
      const before = states();
      if (!session.until(() => states() !== before, MAX_QUIET)) told.textContent = `No box changed its state within ${MAX_QUIET} events.`;
    });
  });
  onClick('run', () => {
    if (timer !== undefined) {
      stop();
      return;
    }
    run.ariaPressed = 'true';
    run.textContent = 'Pause';
    timer = setInterval(() => act(() => session.forward()), PACE);
  });
  seek.addEventListener('change', () => (stop(), act(() => session.seek(Number(seek.value)))));
  onClick('hq-down', () => tell({ tag: session.world.hq.isDown ? 'hq-up' : 'hq-down' }));
  onClick('no-entropy', () => tell({ tag: chosen().memory.isSeeded ? 'no-entropy' : 'entropy', at: Number(which.value) }));
  which.addEventListener('change', draw);
  for (const button of document.querySelectorAll('[data-order]')) {
    if (!(button instanceof HTMLElement)) continue;
    const tag = /** @type {any} */ (button.dataset.order);
    const isOfBox = tag !== 'lose' && tag !== 'repeat';
    button.addEventListener('click', () => tell(isOfBox ? { tag, at: Number(which.value) } : { tag }));
  }
  onClick('save', () => {
    stop();
    session.log().then(({ text, hash }) => {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([text], { type: 'application/jsonl' }));
      link.download = `sandbox-${hash.slice(0, 12)}.jsonl`;
      link.click();
      URL.revokeObjectURL(link.href);
      told.textContent = `Saved; its hash is ${hash}.`;
    }, problem);
  });
  act(() => {});
  const wanted = Number(new URLSearchParams(location.hash.slice(1)).get('event') ?? '0');
  if (wanted > 0 && wanted <= MAX_LINKED) act(() => session.seek(wanted));
}

/** @param {unknown} error */
function problem(error) {
  const place = byId('problem', HTMLElement);
  place.hidden = error === null;
  place.textContent = error instanceof Error ? error.message : String(error ?? '');
}

/** Lines of the timeline on the page at once. */
const MAX_SHOWN = 300;
/** How far to look for another state. */
const MAX_QUIET = 2000;
/** How far a link leads. */
const MAX_LINKED = 100_000;
/** Milliseconds between two events while it runs. */
const PACE = 60;
