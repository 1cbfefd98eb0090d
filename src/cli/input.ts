import { readFileSync } from 'node:fs';
import { type CliError, usage } from './exit.js';

/**
 * Reads an input file, or standard input for `-`.
 *
 * @throws CliError (usage) when it cannot be read.
 */
export function readInput(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): CliError {
  const code = (error as NodeJS.ErrnoException).code;
  const why =
    code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : String(code ?? error);
  return usage(`${file === '-' ? 'standard input' : file} cannot be read: ${why}.`);
}
