// The bar of time: back, forth, to a moment.

import { byId } from './dom.js';
import { Recording } from './recording.js';
import { timeInWords } from './words.js';

/** @param {import('./app.js').App} app */
export function bar(app) {
  const seek = byId('seek', HTMLInputElement);
  const run = byId('run', HTMLButtonElement);

  app.onClick('back', () => app.run.back());
  app.onClick('step', () => app.run.forward());
  app.onClick('change', () => {
    const states = () => app.scene.boxes.map((box) => (box.isOn ? box.progress?.state : 'off')).join(' ');
    const before = states();
    if (!app.run.until(() => states() !== before, MAX_QUIET)) app.say(`No box changed its state within ${MAX_QUIET} events.`);
  });
  seek.addEventListener('change', () => {
    app.stop();
    app.act(() => app.run.seek(Number(seek.value)));
  });
  run.addEventListener('click', () => {
    if (app.timer === undefined) app.start();
    else app.stop();
    app.draw();
  });

  app.parts.push(() => {
    const shown = app.run;
    const { step, scene } = shown;
    const isLog = shown instanceof Recording;
    const last = isLog ? shown.length : app.furthest;
    byId('unit', HTMLElement).textContent = isLog ? 'Entry' : 'Event';
    seek.max = String(last);
    seek.value = String(step);
    byId('where', HTMLOutputElement).value = `${step} of ${last}${scene.now === null ? '' : `, ${timeInWords(scene.now).slice(0, 19)}`}`;
    byId('back', HTMLButtonElement).ariaDisabled = String(step === 0);
    const isOver = String(isLog && step === last);
    byId('step', HTMLButtonElement).ariaDisabled = isOver;
    byId('change', HTMLButtonElement).ariaDisabled = isOver;
    run.ariaPressed = String(app.timer !== undefined);
    run.textContent = app.timer === undefined ? 'Run' : 'Pause';
  });
}

/** How far to look for another state. */
const MAX_QUIET = 2000;
