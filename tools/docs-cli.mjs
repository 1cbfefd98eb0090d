import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
/** Verbs that run a process; they are defined in main.ts, so their help is asked for as a person would. */
const PROCESSES = ['up', 'controller', 'edge', 'migrate', 'token', 'node-token'];

/** docs/reference/cli.md: the help of every verb, as it is printed on 80 columns. */
export async function cliPage(load) {
  const { addClientCommands } = await load('cli/commands.js');
  const { EXIT } = await load('cli/exit.js');
  const program = new Command('paifang').configureHelp({ helpWidth: 80 });
  addClientCommands(program);
  const verbs = program.commands.flatMap((verb) => [verb, ...verb.commands]);
  const sections = [
    ...PROCESSES.map((verb) => section(`paifang ${verb}`, help([verb]))),
    ...verbs.map((verb) => section(nameOf(verb), captured(verb))),
  ];
  return `# Command line

\`\`\`text
${help([]).trimEnd()}
\`\`\`

## Exit status

Scripts may depend on these. \`diff\` alone keeps those of diff(1): 0 same, 1 different, 2 trouble.

| Status | Name | Meaning |
| --- | --- | --- |
| ${EXIT.ok} | ok | done, and nothing to complain about |
| ${EXIT.finding} | finding | it worked and found something: errors in definitions, a difference, unreadable lines |
| ${EXIT.usage} | usage | the command line or an input file cannot be used |
| ${EXIT.refused} | refused | the controller answered with a refusal; every fault is listed |
| ${EXIT.unreachable} | unreachable | nothing answered |
| ${EXIT.internal} | internal | a fault of the program or of the controller |

With \`--json\` results are JSON on standard output and errors JSON on standard error: \`{"error": {exit, message, hint, faults}}\`.

${sections.join('\n')}`;
}

function section(title, text) {
  return `## ${title}

\`\`\`text
${text.trimEnd()}
\`\`\`
`;
}

function help(args) {
  const { stdout, status, stderr } = spawnSync(process.execPath, [main, ...args, '--help'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`paifang ${args.join(' ')} --help ended with ${status}: ${stderr}`);
  return stdout;
}

function captured(command) {
  let text = '';
  const write = (part) => {
    text += part;
  };
  command.configureOutput({ writeOut: write, getOutHelpWidth: () => 80, getOutHasColors: () => false }).outputHelp();
  return text;
}

function nameOf(command) {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
}
