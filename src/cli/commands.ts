import type { Command } from 'commander';
import { sortOptions } from './admin.js';
import { addApply } from './apply.js';
import { addBootstrap } from './bootstrap.js';
import { addCodes } from './codes.js';
import { addCompile } from './compile.js';
import { addCredentials } from './credentials.js';
import { addCurl } from './curl.js';
import { addDiff } from './diff.js';
import { addDrill } from './drill.js';
import { addDump } from './dump.js';
import { EXIT } from './exit.js';
import { addGet } from './get.js';
import { addLogs } from './logs.js';
import { addParseLog } from './parse-log.js';
import { addPublish } from './publish.js';
import { addReleases } from './releases.js';
import { addSign } from './sign.js';
import { addStatus } from './status.js';
import { addValidate } from './validate.js';
import { addVersion } from './version.js';
import { addWait } from './wait.js';
import { addWorkspaces } from './workspaces.js';

/** Adds the client verbs to `program`, in the order in which help shows them. */
export function addClientCommands(program: Command): void {
  // A reader that stops early, such as `head`, is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
  // A command line that cannot be used ends with the status of scripts, not commander's 1.
  const exit = (error: { exitCode: number }): never => process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage);
  for (const command of [program, ...program.commands]) command.exitOverride(exit);

  for (const add of [addValidate, addCompile, addDiff, addApply, addDump, addGet, addPublish, addReleases, addWait])
    add(program);
  for (const add of [addWorkspaces, addCredentials, addLogs, addParseLog, addCodes, addSign, addCurl]) add(program);
  for (const add of [addStatus, addDrill, addBootstrap, addVersion]) add(program);
  sortOptions(program);
  program.addHelpText(
    'after',
    `
Exit status of the client verbs: 0 done, 1 found something (errors in a file, a difference), 2 wrong usage, 3 refused by the
controller, 4 nothing answers, 5 internal error. Each verb has --json for scripts and examples in its --help.`,
  );
}
