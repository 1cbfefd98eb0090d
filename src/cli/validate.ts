import type { Command } from 'commander';
import { hasErrors } from '../core/diagnostic.js';
import { withOutput } from './admin.js';
import { EXIT } from './exit.js';
import { action, json, line, note } from './terminal.js';

/** `paifang validate`: every fault of a definitions file; asks no server. */
export function addValidate(program: Command): void {
  withOutput(program.command('validate'))
    .requiredOption('-f, --filename <file>', 'definitions file, YAML or JSON; - for standard input')
    .summary('list every fault of a definitions file')
    .description(
      'Checks a definitions file as a publish would: its shape, the rules of each object, and those across objects. Lists all faults with their place. Needs no server; what only a workspace knows, `apply --dry-run` asks.',
    )
    .addHelpText(
      'after',
      `
Examples:
  paifang validate -f gateway.yaml
  paifang validate -f gateway.yaml --json | jq '.diagnostics[] | {line, message}'

Exit status: 0 no errors (warnings allowed), 1 errors, 2 the file cannot be read.`,
    )
    .action(action(validate));
}

async function validate(options: { filename: string; json?: boolean; quiet?: boolean }) {
  const { compileFile } = await import('./compilation.js');
  const { countOf, nameOf, printDiagnostics } = await import('./definitions-file.js');
  const { diagnostics } = compileFile(options.filename);
  const failed = hasErrors(diagnostics);
  if (options.json) json({ ok: !failed, diagnostics });
  else {
    printDiagnostics(diagnostics);
    const count = countOf(diagnostics);
    if (failed) note(`${count} in ${nameOf(options.filename)}.`);
    else if (!options.quiet) line(`${nameOf(options.filename)} is valid${count ? ` (${count})` : ''}.`);
  }
  return failed ? EXIT.finding : EXIT.ok;
}
