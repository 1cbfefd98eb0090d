import type { Command } from 'commander';
import { CODES, codeOf, type ResultCode } from '../core/codes/catalogue.js';
import { withOutput } from './admin.js';
import { CliError, EXIT } from './exit.js';
import { facts, table } from './table.js';
import { action, json, line } from './terminal.js';

/** `paifang codes [CODE]`: the result-code catalogue; asks no server. */
export function addCodes(program: Command): void {
  withOutput(program.command('codes'))
    .argument('[code]', 'four digits, or a part of a memo such as "signature"')
    .summary('explain result codes')
    .description('Explains a result code, or lists those whose memo contains a text, or all of them. Needs no server.')
    .addHelpText(
      'after',
      `
Examples:
  paifang codes 2102            what 2102 means and what to do
  paifang codes timeout         every code with "timeout" in its memo
  paifang codes --json          the whole catalogue for a script

Exit status: 0 found, 1 nothing found.`,
    )
    .action(action(codes));
}

async function codes(code: string | undefined, options: { json?: boolean; quiet?: boolean }) {
  const exact = code === undefined ? undefined : codeOf(code);
  if (exact) {
    if (options.json) json(exact);
    else line(explain(exact));
    return EXIT.ok;
  }
  const wanted = code?.toLowerCase() ?? '';
  const found = [...CODES.values()].filter((row) => row.memo.toLowerCase().includes(wanted));
  if (found.length === 0) {
    throw new CliError(EXIT.finding, `no result code is or is called "${code}".`, 'List all with: paifang codes');
  }
  if (options.json) json(found);
  else {
    line(
      table(found, [
        { head: 'CODE', cell: (row) => row.code },
        { head: 'HTTP', cell: (row) => row.httpStatus, right: true },
        { head: 'MEMO', cell: (row) => row.memo },
        { head: 'TIP', cell: (row) => row.tipsEn, flexible: true },
      ]),
    );
  }
  return EXIT.ok;
}

/** A code with all that the catalogue says of it. */
function explain(row: ResultCode): string {
  return facts([
    ['code', row.code],
    ['memo', row.memo],
    ['HTTP status', row.httpStatus],
    ['tip', row.tipsEn],
    ['提示', row.tipsZh],
    ['published tip', row.sourceTipsZh],
    ['why ours', row.why],
  ]);
}
