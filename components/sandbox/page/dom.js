// Elements of the page. Text is only ever set as text: nothing that comes from a message or a log becomes markup.

/**
 * An element with that text or those children.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string | null} className
 * @param {...(string | Element)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/**
 * Something of an SVG.
 *
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(string | Element)} children
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * What is opened to be seen; it is made then.
 *
 * @param {string | Element} summary
 * @param {() => (string | Element)[]} make
 * @param {boolean} [open]
 */
export function fold(summary, make, open = false) {
  const details = el('details', null, el('summary', null, summary));
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(...make());
  };
  details.addEventListener('toggle', fill);
  details.open = open;
  fill();
  return details;
}

/**
 * A table.
 *
 * @param {string[]} head
 * @param {string[][]} rows
 */
export function table(head, rows) {
  const cells = (/** @type {'th' | 'td'} */ tag, /** @type {string[]} */ texts) => el('tr', null, ...texts.map((text) => el(tag, null, text)));
  return el('table', null, el('thead', null, cells('th', head)), el('tbody', null, ...rows.map((row) => cells('td', row))));
}

/**
 * Names and values.
 *
 * @param {[string, string | undefined | null][]} pairs those without a value are left out
 */
export function pairs(pairs) {
  const list = el('dl', null);
  for (const [name, value] of pairs) if (value !== undefined && value !== null && value !== '') list.append(el('dt', null, name), el('dd', null, value));
  return list;
}

/**
 * The element of that id.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${id}`);
  return element;
}
