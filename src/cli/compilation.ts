import { type Compiler, compile } from '../core/compile.js';
import { hasErrors } from '../core/diagnostic.js';
import type { Definitions } from '../core/model/definitions.js';
import { inDocument } from '../core/model/document.js';
import { nameOf, type PlacedDiagnostic, placed, readDefinitionsFile } from './definitions-file.js';

/** A definitions file, compiled. */
export interface Compilation {
  /** All findings, those of reading and those of compiling, with their places. */
  readonly diagnostics: readonly PlacedDiagnostic[];
  /** Absent when the file could not be read into definitions, or when compiling found errors. */
  readonly result?: { readonly compiler: Compiler; readonly definitions: Definitions };
  /** Milliseconds for reading and checking, and for compiling. */
  readonly readMs: number;
  readonly compileMs: number;
}

/** Release number that a compilation without a store stamps into what it makes. */
const RELEASE = 1;

/**
 * Reads and compiles a definitions file as publishing would.
 *
 * @throws CliError (usage) when the file cannot be read.
 */
export function compileFile(file: string, workspace?: string): Compilation {
  const started = performance.now();
  const read = readDefinitionsFile(file);
  const readMs = performance.now() - started;
  if (read.definitions === undefined) return { diagnostics: read.diagnostics, readMs, compileMs: 0 };
  const begun = performance.now();
  const { compiler, diagnostics } = compile(read.definitions, {
    workspace: workspace ?? read.definitions.workspace ?? 'default',
    release: RELEASE,
  });
  const compileMs = performance.now() - begun;
  const inFile = placed(inDocument(diagnostics, read), nameOf(file), read.input);
  const all = [...read.diagnostics, ...inFile];
  if (hasErrors(diagnostics)) return { diagnostics: all, readMs, compileMs };
  return { diagnostics: all, result: { compiler, definitions: read.definitions }, readMs, compileMs };
}
