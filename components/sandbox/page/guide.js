// The guided stories.

import { byId } from './dom.js';
import { fill } from './logs.js';
import { STORIES, tell } from './stories.js';

/** @param {import('./app.js').App} app */
export function guide(app) {
  const story = byId('story', HTMLSelectElement);
  story.append(...STORIES.map(({ title }, at) => new Option(title, String(at))));
  /** Which chapter of the chosen story is told; -1: none. */
  let chapter = -1;

  /** @param {number} to */
  function go(to) {
    const chosen = STORIES[Number(story.value)];
    const next = chosen?.chapters[to];
    if (!chosen || !next) return;
    const session = tell(app.component, chosen, to);
    app.show(session);
    chapter = to;
    fill(session.options);
    byId('chapter', HTMLElement).textContent = `${to + 1} of ${chosen.chapters.length}. ${next.text}`;
  }

  app.onClick('next-chapter', () => go(chapter + 1));
  app.onClick('earlier-chapter', () => go(chapter - 1));
  story.addEventListener('change', () => {
    chapter = -1;
    app.act(() => go(0));
  });
  app.leaving.push(() => {
    chapter = -1;
    byId('chapter', HTMLElement).textContent = '';
  });
  app.parts.push(() => {
    const last = (STORIES[Number(story.value)]?.chapters.length ?? 0) - 1;
    byId('earlier-chapter', HTMLButtonElement).ariaDisabled = String(chapter <= 0);
    byId('next-chapter', HTMLButtonElement).ariaDisabled = String(chapter >= last);
    byId('next-chapter', HTMLButtonElement).textContent = chapter < 0 ? 'Begin' : 'Next chapter';
  });
}
