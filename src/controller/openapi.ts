import type { TObject, TSchema } from 'typebox';
import { Definitions, SPEC } from '../core/model/definitions.js';
import { KINDS } from '../core/model/kind.js';
import type { Operation } from './operation.js';
import { Fault, PROBLEMS, ProblemDocument } from './problem.js';

type Json = Record<string, unknown>;

/** Statuses that any operation may answer with. */
const EVERYWHERE = [400, 500] as const;
const NEEDS_TOKEN = 401;
const NEEDS_DATABASE = 503;

/** OpenAPI 3.1 of the operations. Schemas with a title become components; they are the ones that requests are checked by. */
export class OpenApi {
  readonly document: Json;
  private readonly schemas = new Map<string, Json>();

  constructor(operations: readonly Operation[], version: string) {
    const paths: Record<string, Json> = {};
    for (const operation of operations) {
      paths[operation.path] ??= {};
      (paths[operation.path] as Json)[operation.method.toLowerCase()] = this.operation(operation);
    }
    this.reference(Fault);
    this.document = {
      openapi: '3.1.0',
      info: {
        title: 'Paifang admin API',
        version,
        description:
          'Definitions of the gateway, their releases, keys and what became of requests. Every fault is application/problem+json (RFC 9457) with all faults at once.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
      security: [{ adminToken: [] }],
      tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
      paths,
      components: {
        securitySchemes: {
          adminToken: { type: 'http', scheme: 'bearer', description: 'Shown when the controller first started.' },
        },
        schemas: Object.fromEntries([...this.schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
      },
    };
  }

  private operation(operation: Operation): Json {
    const { body } = operation;
    const statuses = new Set<number>([...EVERYWHERE, ...(operation.problems ?? [])]);
    if (!operation.open) statuses.add(NEEDS_TOKEN).add(NEEDS_DATABASE);
    if (operation.ifMatch) statuses.add(412);
    if (operation.ifMatch === 'required') statuses.add(428);
    if (body) statuses.add(413).add(415).add(422);
    return {
      operationId: operation.id,
      tags: [operation.tag],
      summary: operation.summary,
      ...(operation.description ? { description: operation.description } : {}),
      ...(operation.open ? { security: [] } : {}),
      parameters: [
        ...this.parameters(operation.params, 'path'),
        ...this.parameters(operation.query, 'query'),
        ...(operation.ifMatch ? [IF_MATCH(operation.ifMatch === 'required')] : []),
      ],
      ...(body
        ? {
            requestBody: {
              required: !body.optional,
              content: { [body.contentType ?? 'application/json']: { schema: this.reference(body.schema) } },
            },
          }
        : {}),
      responses: {
        ...Object.fromEntries(
          Object.entries(operation.answers).map(([status, answer]) => [status, this.answer(answer)]),
        ),
        ...Object.fromEntries(
          [...statuses]
            .filter((status) => !(status in operation.answers))
            .sort()
            .map((status) => [String(status), this.problem(status)]),
        ),
      },
    };
  }

  private answer({ description, schema, contentType, etag }: Operation['answers'][number]): Json {
    return {
      description,
      ...(etag ? { headers: { etag: { description: 'Revision, for If-Match.', schema: { type: 'string' } } } } : {}),
      ...(schema
        ? { content: { [contentType?.split(';', 1)[0] ?? 'application/json']: { schema: this.reference(schema) } } }
        : {}),
    };
  }

  private problem(status: number): Json {
    const titles = Object.entries(PROBLEMS).filter(([, problem]) => problem.status === status);
    return {
      description: titles.map(([name, { title }]) => `${title} (${name}).`).join(' ') || 'A problem.',
      content: { 'application/problem+json': { schema: this.reference(ProblemDocument) } },
    };
  }

  private parameters(schema: TObject | undefined, where: 'path' | 'query'): Json[] {
    const required = new Set((schema?.required ?? []) as string[]);
    return Object.entries((schema?.properties ?? {}) as Record<string, TSchema>).map(([name, property]) => {
      const { description, ...rest } = this.inline(property) as Json;
      return {
        name,
        in: where,
        required: where === 'path' || required.has(name),
        ...(description ? { description } : {}),
        schema: rest,
      };
    });
  }

  /** `schema`, or a reference to it when it has a title. */
  private reference(schema: TSchema): Json {
    const title = titleOf(schema);
    if (title === undefined) return this.inline(schema);
    if (!this.schemas.has(title)) {
      this.schemas.set(title, {});
      this.schemas.set(title, this.inline(schema));
    }
    return { $ref: `#/components/schemas/${title}` };
  }

  /** A plain copy, titled parts of it by reference. */
  private inline(schema: unknown): Json {
    const copy = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(copy);
      if (typeof value !== 'object' || value === null) return value;
      return titleOf(value) === undefined ? entries(value) : this.reference(value as TSchema);
    };
    const entries = (value: object) =>
      Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]));
    return entries(schema as object);
  }
}

/** Specs bear no title of their own, since core knows nothing of this document. */
const SPEC_TITLES = new Map<object, string>([
  ...KINDS.map((kind): [object, string] => [SPEC[kind], `${kind.charAt(0).toUpperCase()}${kind.slice(1)}Spec`]),
  [Definitions, 'Definitions'],
]);

function titleOf(schema: object): string | undefined {
  const { title } = schema as { title?: unknown };
  return typeof title === 'string' ? title : SPEC_TITLES.get(schema);
}

const IF_MATCH = (required: boolean): Json => ({
  name: 'If-Match',
  in: 'header',
  required,
  description: 'ETag of the revision that was read, or * for whichever there is.',
  schema: { type: 'string' },
});
