import { table } from './docs-table.mjs';

const INTRO = {
  fleet: 'Envoys that serve the same things: where they listen, what holds for all their requests.',
  cluster: 'A system cluster: the hosts of a backend and how to talk to them.',
  group:
    'An API group: the hosts that select it. It is the unit of compilation, so an edit costs what its group costs.',
  api: 'An API: what it matches, who may call it, where it goes.',
  app: 'A caller: what it may call. Its keys are kept apart and are part of no file.',
};

/** docs/reference/definitions.md from the schemas of the model. */
export async function definitionsPage(load) {
  const { SPEC } = await load('core/model/definitions.js');
  const { Name } = await load('core/model/name.js');
  const { KINDS, PLURAL } = await load('core/model/kind.js');
  const sections = KINDS.map(
    (kind) => `## ${PLURAL[kind]}

${INTRO[kind]}

${table(['Field', 'Type', 'Meaning'], fields(SPEC[kind], '', Name))}
`,
  );
  return `# Definitions

What people store. The same objects stand in a definitions file (below), in the admin API (one by one, under
\`/api/v1/workspaces/{workspace}/${KINDS.map((kind) => PLURAL[kind]).join('|')}\`) and in a release. Objects name one another by
name. A field that is not listed here is a fault, so that a typing error is never silently ignored.

\`\`\`yaml
workspace: default # optional
${KINDS.map((kind) => `${PLURAL[kind]}: [] # objects of kind ${kind}`).join('\n')}
\`\`\`

A field with **bold** name is needed. \`[]\` stands for each element of a list, \`{}\` for each entry of a mapping.

${sections.join('\n')}`;
}

/** Rows for the fields below `schema`, depth first. Alternatives are told apart by the value of their constant field. */
function fields(schema, prefix, Name) {
  if (schema.anyOf) return schema.anyOf.flatMap((option) => fields(option, prefix, Name).map(tag(label(option))));
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    const shown = (schema.required ?? []).includes(name) ? `**\`${path}\`**` : `\`${path}\``;
    if (child.const !== undefined) return [];
    return [[shown, typeOf(child), meaning(child, name, Name)], ...below(child, path, Name)];
  });
}

function below(schema, path, Name) {
  if (schema.anyOf || schema.properties) return fields(schema, path, Name);
  if (schema.items && (schema.items.properties || schema.items.anyOf)) return fields(schema.items, `${path}[]`, Name);
  return [];
}

function label(option) {
  const constant = Object.entries(option.properties ?? {}).find(([, child]) => child.const !== undefined);
  return constant ? `${constant[0]}: ${constant[1].const}` : '';
}

function tag(text) {
  return ([name, type, description]) => [name, type, text === '' ? description : `(${text}) ${description}`];
}

function typeOf(schema) {
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.anyOf) {
    const labels = schema.anyOf.map(label).filter((text) => text !== '');
    return labels.length > 0 ? `one of: ${labels.join('; ')}` : 'one of several';
  }
  if (schema.patternProperties || schema.additionalProperties?.type) return 'mapping of strings';
  if (schema.type === 'array') {
    const inner = schema.items?.properties || schema.items?.anyOf ? 'mappings' : `${typeOf(schema.items ?? {})}s`;
    return `list of ${schema.items?.enum ? typeOf(schema.items) : inner}${range(schema.minItems, schema.maxItems)}`;
  }
  if (schema.type === 'object') return 'mapping';
  if (schema.type === 'integer') return `integer${range(schema.minimum, schema.maximum)}`;
  return schema.type ?? '';
}

function range(least, most) {
  if (least === undefined && most === undefined) return '';
  if (most === undefined) return `, at least ${least}`;
  return least === undefined ? `, at most ${most}` : `, ${least}–${most}`;
}

function meaning(schema, field, Name) {
  if (schema.pattern === Name.pattern && field !== 'name') return `Name of a ${field}.`;
  const example = schema.examples?.[0];
  const shown =
    example === undefined ? '' : ` Example: \`${typeof example === 'string' ? example : JSON.stringify(example)}\`.`;
  const inner = schema.description ?? '';
  return `${inner}${shown}`.trim();
}
