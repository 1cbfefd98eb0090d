import { type Controller, type ControllerOptions, startController } from '../../src/controller/controller.js';
import type { Log } from '../../src/logger.js';
import { onCleanup } from './cleanup.js';
import { tmpDir } from './tmp.js';

/** A log that keeps its lines, as JSON, for tests that look for what must not be there. */
export function keptLog(): Log & { lines: string[] } {
  const lines: string[] = [];
  const write = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    lines.push(`${level} ${message} ${fields ? JSON.stringify(fields) : ''}`);
  };
  return {
    lines,
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    setLevel: () => {},
    level: () => 'debug',
  };
}

export const ADMIN_TOKEN = 'pf_an-admin-token-for-tests';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly etag: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely by tests
  readonly body: any;
  readonly text: string;
}

export interface AdminClient extends Controller {
  readonly log: Log & { lines: string[] };
  /** Sends JSON (merge patch for PATCH) with the admin token; `headers` are added, '' takes one away. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
}

/** A controller on free ports, stopped when the test (or file) ends. */
export async function testController(
  databaseUrl: string,
  options: Partial<ControllerOptions> = {},
): Promise<AdminClient> {
  const log = keptLog();
  const controller = await startController({
    dataDir: options.dataDir ?? tmpDir(),
    databaseUrl,
    masterKey: '11'.repeat(32),
    nodeToken: 'node-token-for-tests',
    adminToken: ADMIN_TOKEN,
    admin: { host: '127.0.0.1', port: 0 },
    ads: { host: '127.0.0.1', port: 0 },
    log,
    ...options,
  });
  onCleanup(() => controller.close());
  return {
    ...controller,
    log,
    async call(method, path, body, headers = {}) {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const all: Record<string, string> = { authorization: `Bearer ${ADMIN_TOKEN}`, ...headers };
      if (body !== undefined) all['content-type'] ??= type;
      for (const [name, value] of Object.entries(all)) if (value === '') delete all[name];
      const raw = typeof body === 'string' || body instanceof Uint8Array;
      const payload = body === undefined ? undefined : raw ? (body as string) : JSON.stringify(body);
      const response = await fetch(controller.adminUrl + path, {
        method,
        headers: all,
        ...(payload === undefined ? {} : { body: payload }),
      });
      const text = await response.text();
      const json = /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : undefined;
      return {
        status: response.status,
        headers: response.headers,
        etag: response.headers.get('etag') ?? '',
        body: json,
        text,
      };
    },
  };
}

/** Definitions of a small gateway: one of each kind. */
export const SHOP = {
  fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 8088 }] }],
  clusters: [{ name: 'orders', endpoints: [{ host: '127.0.0.1', port: 9000 }] }],
  groups: [{ name: 'shop', hosts: ['shop.example.com'] }],
  apis: [
    {
      name: 'list-orders',
      group: 'shop',
      match: { path: '/orders' },
      upstream: { kind: 'cluster', cluster: 'orders' },
    },
  ],
  apps: [{ name: 'mobile', grants: { apis: ['list-orders'] } }],
};
