// Writes docs/reference/*.md from the compiled program: npm run docs. test/docs.test.ts fails when a page is stale.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cliPage } from './docs-cli.mjs';
import { definitionsPage } from './docs-definitions.mjs';
import { table } from './docs-table.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = new URL('../dist/', import.meta.url);
const load = (path) => import(new URL(path, dist).href);
const notice = '<!-- Made by `npm run docs` from the code. Change the code, not this page. -->';

/** Folder of the pages, relative to the root of the sources. */
export const REFERENCE = 'docs/reference';

/** Every reference page: file name and text. Reads the compiled program. */
export async function referencePages() {
  const pages = {
    'cli.md': await cliPage(load),
    'config.md': await configPage(),
    'definitions.md': await definitionsPage(load),
    'diagnostics.md': await diagnosticsPage(),
    'response-flags.md': await flagsPage(),
    'result-codes.md': await codesPage(),
  };
  return new Map(
    Object.entries(pages).map(([name, text]) => {
      const [title, ...rest] = text.trimEnd().split('\n');
      return [name, `${[title, '', notice, ...rest].join('\n')}\n`];
    }),
  );
}

async function configPage() {
  const { describeSettings } = await load('config/describe.js');
  const { CLIENT_VARIABLES } = await load('config/load.js');
  const rows = describeSettings().map((s) => [
    code(s.key),
    code(s.env),
    s.type,
    s.default === undefined ? '' : code(JSON.stringify(s.default)),
    s.secret ? `${s.description} A secret.` : s.description,
  ]);
  return `# Settings

Each process reads its settings once, when it starts: first the defaults, then the YAML file named by \`--config\` or
\`PAIFANG_CONFIG\`, then the environment; what comes later wins. In the file the dotted keys are nested mappings. Every fault
is told at once, and a variable that begins with \`PAIFANG_\` and that nothing reads is a fault.

\`\`\`yaml
admin:
  port: 9090
database:
  url: postgres://paifang:…@db.example.com:5432/paifang
\`\`\`

${table(['Setting', 'Variable', 'Type', 'Default', 'Meaning'], rows)}

## Variables of the command line

The client verbs read none of the above, but these: ${CLIENT_VARIABLES.map(code).join(', ')}. What each is for stands in the
help of the verbs that read it ([cli.md](cli.md)).
`;
}

async function diagnosticsPage() {
  const { DIAGNOSTICS } = await load('core/diagnostic.js');
  const rows = Object.entries(DIAGNOSTICS).map(([name, { severity, summary }]) => [code(name), severity, summary]);
  return `# Diagnostics

What Paifang has to say about definitions. \`paifang validate\`, \`compile\` and \`apply\` print them with file, line and column;
the admin API lists them in \`errors\` of a problem (RFC 9457) with a JSON pointer. The code is stable, so that scripts may
depend on it; the message says what is wrong in the case at hand and the hint what to do. An error forbids publishing, a
warning does not.

${table(['Code', 'Severity', 'Meaning'], rows)}
`;
}

async function flagsPage() {
  const { FLAGS } = await load('core/accesslog/flags.js');
  const rows = FLAGS.map((f) => [code(f.flag), f.name, f.status ?? '', f.meaning]);
  return `# Response flags

Envoy puts short flags on the log line of a request that did not go the usual way; there may be several, with commas between
them, and \`-\` or null means none. They say what happened. They do not give the result code by themselves: one \`UAEX\` stands for
every refusal of the edge, so the code comes from the cause ([result-codes.md](result-codes.md)). \`paifang parse-log\` and
\`paifang logs\` print these meanings beside each request.

The status is the one Envoy answers with by itself, before the gateway maps it to that of the result code.

${table(['Flag', 'Name', 'Status', 'Meaning'], rows)}
`;
}

async function codesPage() {
  const { CODES } = await load('core/codes/catalogue.js');
  const { CAUSES } = await load('core/codes/cause.js');
  const all = [...CODES.values()];
  const contract = all.filter((c) => c.why === undefined);
  const row = (c) => [code(c.code), c.httpStatus, c.memo, c.tipsEn, c.tipsZh];
  const causes = CAUSES.map((c) => [
    c.cause,
    c.flags.map(code).join(' '),
    c.details ? code(c.details.source) : '',
    ...(c.code.http === c.code.sofa && c.code.http === c.code.dubbo
      ? [c.code.http, '', '']
      : [c.code.http, c.code.sofa, c.code.dubbo]),
  ]);
  const repaired = all.filter((c) => c.sourceTipsZh !== undefined);
  return `# Result codes

Every response has one code of four digits that says by cause how the request ended. It is the same in the response header
\`x-gateway-result-code\`, in the JSON body of errors the gateway makes, in the access log, in the digest log, in queries and in
\`paifang codes\`. Codes, statuses and memos are a contract and never change. A memo is not unique, so never use it as a key.

On responses of a backend the header is only there where the API or its fleet asks for it (\`resultCodeHeader\`); the log always
has the code.

## From cause to code

Read from top to bottom, response code details before flags; the first row that fits gives the code. An empty SOFARPC and Dubbo
column means the same code for all protocols. A refusal of the edge carries its code with it, and a response that comes
from the backend gets the code of its status.

${table(['Cause', 'Flags', 'Details', 'HTTP', 'SOFARPC', 'Dubbo'], causes)}

## The contract

${table(['Code', 'HTTP', 'Memo', 'Tip', '提示'], contract.map(row))}

## Our own block

Causes for which the contract has no code.

${table(
  ['Code', 'HTTP', 'Memo', 'Tip', '提示', 'Why it exists'],
  all.filter((c) => c.why !== undefined).map((c) => [...row(c), c.why]),
)}

## Repaired tips

Tips that were published with a mistake. The tables above show the repaired text; this is what was published.

${table(
  ['Code', 'Published', 'Repaired'],
  repaired.map((c) => [code(c.code), c.sourceTipsZh, c.tipsZh]),
)}
`;
}

function code(text) {
  return `\`${text}\``;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const pages = await referencePages();
  const folder = join(root, REFERENCE);
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (!pages.has(name)) rmSync(join(folder, name));
  for (const [name, text] of pages) writeFileSync(join(folder, name), text);
  console.log(`${pages.size} pages written to ${REFERENCE}.`);
}
