// Builds the static files of the sandbox: the page, the component file, and what jco and the contract make of them.
//
//   node components/sandbox/build.mjs     (from the root of the repository; OTSCERT_JCO names the folder of jco)

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { contract } from './wit.mjs';

const jco = process.env.OTSCERT_JCO;
if (!jco) {
  console.error('OTSCERT_JCO names no folder: ./x sandbox installs jco and sets it');
  process.exit(1);
}
const component = 'target/component/otscert.wasm';
const out = 'target/sandbox';
const made = 'target/sandbox-jco';
const page = 'components/sandbox/page';
const diagram = 'guest/machine/tests/device/snapshots/device__table__device_diagram.snap';

for (const folder of [out, made]) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}
execFileSync(
  join(jco, 'node_modules/.bin/jco'),
  ['transpile', component, '--out-dir', made, '--name', 'otscert', '--instantiation', 'sync', '--no-nodejs-compat', '--quiet'],
  { stdio: 'inherit' },
);
cpSync(page, out, { recursive: true });
cpSync(component, join(out, 'otscert.wasm'));
mkdirSync(join(out, 'jco'));
for (const name of ['otscert.js', 'otscert.d.ts', 'interfaces']) cpSync(join(made, name), join(out, 'jco', name), { recursive: true });

const wit = readdirSync('wit').filter((name) => name.endsWith('.wit')).sort();
const types = contract(wit.map((name) => readFileSync(join('wit', name), 'utf8')));
const json = JSON.stringify(types, null, 1);
writeFileSync(join(out, 'contract.js'), `// Made of wit/.\n/** @type {Record<string, any>} */\nexport const TYPES = ${json};\n`);

const arrows = [...readFileSync(diagram, 'utf8').matchAll(/^ +(\w+) --> (\w+) : (.*)$/gm)].map(([, from, to, why]) => [from, to, why]);
writeFileSync(
  join(out, 'diagram.js'),
  `// Made of the machine's own diagram, a snapshot of its tests.\n/** @type {[string, string, string][]} */\nexport const ARROWS = ${JSON.stringify(arrows, null, 1)};\n`,
);
console.log(`${out}: ${readdirSync(out).sort().join(' ')}`);
