// Reads the contract's types out of `wit/`, so that no type is written down here a second time.

/**
 * @typedef {{ kind: 'record', fields: [string, any][] } | { kind: 'variant', cases: [string, any][] }
 *   | { kind: 'enum', cases: string[] }} Definition
 */

/**
 * The types of every interface, by `interface.type`.
 *
 * @param {string[]} texts the WIT files
 * @returns {Record<string, Definition>}
 */
export function contract(texts) {
  /** @type {Record<string, Definition>} */
  const all = {};
  for (const text of texts) {
    const words = tokens(text);
    let at = 0;
    const next = () => words[at++];
    const skipTo = (/** @type {string} */ mark) => {
      while (words[at] !== mark) at++;
      at++;
    };
    while (at < words.length) {
      if (next() !== 'interface') continue;
      const name = next();
      /** Where a name of this interface is defined. @type {Map<string, string>} */
      const scope = new Map();
      skipTo('{');
      /** @type {[string, any][]} */
      const found = [];
      for (let word = next(); word !== '}'; word = next()) {
        if (word === 'use') {
          const from = next();
          skipTo('{');
          for (let used = next(); used !== '}'; used = next()) if (used !== ',') scope.set(used, `${from}.${used}`);
          skipTo(';');
        } else if (word === 'record' || word === 'variant' || word === 'enum') {
          const type = next();
          scope.set(type, `${name}.${type}`);
          skipTo('{');
          found.push([`${name}.${type}`, members(word, next)]);
        } else {
          skipTo(';');
        }
      }
      for (const [full, definition] of found) all[full] = resolved(definition, scope);
    }
  }
  return all;
}

/** @param {string} text */
function tokens(text) {
  const plain = text.replace(/\/\/.*$/gm, '').replace(/@since\([^)]*\)/g, '');
  return plain.match(/%?[a-z][a-z0-9-]*|[{}()<>,:;=]|->|[^\s]/g) ?? [];
}

/**
 * @param {string} kind
 * @param {() => string} next
 */
function members(kind, next) {
  /** @type {any[]} */
  const out = [];
  for (let word = next(); word !== '}'; word = next()) {
    if (word === ',') continue;
    const name = word.replace('%', '');
    if (kind === 'enum') {
      out.push(name);
      continue;
    }
    const mark = next();
    if (kind === 'record') {
      out.push([name, type(next, next())]);
    } else if (mark === '(') {
      out.push([name, type(next, next())]);
      next();
    } else {
      out.push([name, null]);
      if (mark === '}') break;
    }
  }
  if (kind === 'record') return { kind, fields: out };
  return { kind, cases: out };
}

/**
 * @param {() => string} next
 * @param {string} word
 * @returns {any}
 */
function type(next, word) {
  if (word !== 'list' && word !== 'option' && word !== 'tuple') return word;
  const parts = [];
  next();
  for (let mark = next(); mark !== '>'; mark = next()) if (mark !== ',') parts.push(type(next, mark));
  return [word, ...parts];
}

/**
 * @param {any} definition
 * @param {Map<string, string>} scope
 */
function resolved(definition, scope) {
  const full = (/** @type {any} */ type) => {
    if (type === null) return null;
    if (Array.isArray(type)) return [type[0], ...type.slice(1).map(full)];
    return scope.get(type) ?? type;
  };
  const pair = (/** @type {[string, any]} */ [name, type]) => [name, full(type)];
  if (definition.kind === 'record') return { kind: 'record', fields: definition.fields.map(pair) };
  if (definition.kind === 'variant') return { kind: 'variant', cases: definition.cases.map(pair) };
  return definition;
}
