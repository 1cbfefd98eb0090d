import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  Parser,
  type YAMLMap,
} from 'yaml';
import { type Diagnostic, diagnostic, pointerSegment } from '../diagnostic.js';
import { MAX_DEPTH, placeOf, type Read } from './text.js';

/** Values that aliases may add to a document; beyond it the document is taken for an attack ("billion laughs"). */
const MOST_ALIASED = 1_000_000;
/** Syntax faults after which reading ends: what follows a fault is mostly its consequence. */
const MOST_FAULTS = 20;

/**
 * Reads YAML 1.2 (core schema) into plain JSON data. Decided here: one document; aliases yes, within limits; merge keys
 * (`<<`, YAML 1.1), tags beyond the core schema, and duplicate keys no. Never throws.
 */
export function readYaml(text: string): Read {
  let doc: Document.Parsed | undefined;
  try {
    doc = compose(text);
  } catch (error) {
    // The composer is recursive; it catches its own overflow in most places, but not in all.
    if (!(error instanceof RangeError)) throw error;
    return { diagnostics: [tooDeep('')] };
  }
  if (!doc) return { value: null, diagnostics: [] };
  const faults = [...doc.errors, ...doc.warnings].slice(0, MOST_FAULTS).map(({ code, message, pos }) => {
    if (code === 'RESOURCE_EXHAUSTION') return tooDeep('');
    return diagnostic('syntax', '', `${placeOf(text, pos[0])}: ${message.split('\n')[0]}`, 'Correct the YAML there.');
  });
  if (doc.directives.yaml.explicit && doc.directives.yaml.version !== '1.2') {
    faults.push(
      diagnostic(
        'syntax',
        '',
        'The document says it is YAML 1.1.',
        'Remove the %YAML line; YAML 1.2 is read, where yes and no are text.',
      ),
    );
  }
  if (faults.length > 0) return { diagnostics: faults };
  const reader = new NodeReader(text);
  const value = reader.value(doc.contents, 0);
  return { value, diagnostics: reader.diagnostics };
}

function tooDeep(path: string): Diagnostic {
  return diagnostic(
    'limit',
    path,
    `The document is nested deeper than ${MAX_DEPTH} levels.`,
    'Definitions are at most 8 levels deep; check indentation and brackets.',
  );
}

function compose(text: string): Document.Parsed | undefined {
  const composer = new Composer({ uniqueKeys: false, strict: true, prettyErrors: false, version: '1.2' });
  let first: Document.Parsed | undefined;
  for (const doc of composer.compose(boundedTokens(text), true, text.length) as Iterable<Document.Parsed>) {
    if (first) {
      doc.errors.push(...first.errors);
      doc.errors.push(
        ...([
          { code: 'MULTIPLE_DOCS', message: 'A second document begins here', pos: doc.range },
        ] as unknown as typeof doc.errors),
      );
      return doc;
    }
    first = doc;
  }
  return first;
}

/** Tokens of `text` until there were {@link MOST_FAULTS} faults, so that junk costs no memory in proportion to its size. */
function* boundedTokens(text: string): Generator<CST.Token> {
  let faults = 0;
  for (const token of new Parser().parse(text)) {
    yield token;
    if (token.type === 'error' && ++faults >= MOST_FAULTS) return;
  }
}

/** Findings told of the content; further ones are left out. */
const MOST_TOLD = 100;

/** Tags of the core schema (YAML 1.2 §10.3), which all stand for JSON data. */
const CORE_TAG = /^tag:yaml\.org,2002:(?:map|seq|str|int|float|bool|null)$/;

/** A node's value, with what an alias to it costs. */
interface Anchored {
  readonly value: unknown;
  readonly size: number;
  readonly depth: number;
}

class NodeReader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #text: string;
  readonly #trail: (string | number)[] = [];
  /** By anchor; an alias means the last one before it. Absent while the node itself is being read. */
  readonly #anchors = new Map<string, Anchored>();
  #size = 0;
  #aliased = 0;
  #deepest = 0;
  #stopped = false;

  constructor(text: string) {
    this.#text = text;
  }

  value(node: Node | null | undefined, depth: number): unknown {
    this.#size++;
    this.#deepest = Math.max(this.#deepest, depth);
    if (this.#stopped || !node) return null;
    if (depth > MAX_DEPTH) return this.#stop(tooDeep(this.#pointer()));
    if (isAlias(node)) return this.#alias(node, depth);
    const { anchor } = node;
    if (anchor === undefined) return this.#content(node, depth);
    const [size, deepest] = [this.#size, this.#deepest];
    this.#deepest = depth;
    this.#anchors.delete(anchor);
    const value = this.#content(node, depth);
    this.#anchors.set(anchor, { value, size: this.#size - size + 1, depth: this.#deepest - depth });
    this.#deepest = Math.max(this.#deepest, deepest);
    return value;
  }

  #content(node: Node, depth: number): unknown {
    const { tag } = node;
    if (tag !== undefined && !CORE_TAG.test(tag)) {
      this.#tell(
        'syntax',
        node,
        `the tag ${tag}; only those of the core schema are read.`,
        'Write plain text, numbers, lists and mappings.',
      );
      return null;
    }
    if (isMap(node)) return this.#mapping(node as YAMLMap<Node | null, Node | null>, depth);
    if (isSeq(node)) {
      return node.items.map((item, i) => {
        this.#trail.push(i);
        const value = this.value(item as Node | null, depth + 1);
        this.#trail.pop();
        return value;
      });
    }
    return isScalar(node) ? node.value : null;
  }

  #mapping(node: YAMLMap<Node | null, Node | null>, depth: number): Record<string, unknown> {
    const mapping: Record<string, unknown> = {};
    for (const { key: keyNode, value: valueNode } of node.items) {
      const key = this.#key(keyNode);
      if (key === undefined) continue;
      this.#trail.push(key);
      if (Object.hasOwn(mapping, key)) {
        this.#tell(
          'duplicate-key',
          keyNode,
          `the key ${JSON.stringify(key)} occurs twice in one mapping.`,
          'Remove one of them.',
        );
      }
      const value = this.value(valueNode, depth + 1);
      // Not by assignment, which for "__proto__" would set the prototype.
      Object.defineProperty(mapping, key, { value, writable: true, enumerable: true, configurable: true });
      this.#trail.pop();
    }
    return mapping;
  }

  #key(node: Node | null): string | undefined {
    if (!isScalar(node)) {
      this.#tell('syntax', node, 'a key that is no plain text.', 'Write the key as text before a colon.');
      return undefined;
    }
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, { value: node.value, size: 1, depth: 0 });
    const key = typeof node.value === 'string' ? node.value : (node.source ?? String(node.value));
    if (key !== '<<') return key;
    this.#tell(
      'syntax',
      node,
      'a merge key (<<); YAML 1.2 has none.',
      'Write the fields out; an alias (*name) can stand for a whole value.',
    );
    return undefined;
  }

  #alias(node: Alias, depth: number): unknown {
    const target = this.#anchors.get(node.source);
    if (!target) {
      this.#tell(
        'syntax',
        node,
        `the alias *${node.source} has no anchor before it, or stands inside it.`,
        'Write the value out.',
      );
      return null;
    }
    if (depth + target.depth > MAX_DEPTH) return this.#stop(tooDeep(this.#pointer()));
    this.#size += target.size;
    this.#aliased += target.size;
    this.#deepest = Math.max(this.#deepest, depth + target.depth);
    if (this.#aliased > MOST_ALIASED) {
      const message = `Aliases blow the document up to more than ${MOST_ALIASED} values.`;
      return this.#stop(diagnostic('limit', this.#pointer(), message, 'Write values out instead of nesting aliases.'));
    }
    return target.value;
  }

  #tell(code: 'duplicate-key' | 'syntax', node: Node | null, message: string, hint: string): void {
    const at = node?.range?.[0] ?? 0;
    if (this.diagnostics.length < MOST_TOLD) {
      this.diagnostics.push(diagnostic(code, this.#pointer(), `${placeOf(this.#text, at)}: ${message}`, hint));
    }
  }

  #stop(fault: Diagnostic): null {
    this.diagnostics.push(fault);
    this.#stopped = true;
    return null;
  }

  #pointer(): string {
    return this.#trail.map((segment) => `/${pointerSegment(segment)}`).join('');
  }
}
