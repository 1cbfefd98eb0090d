import pg from 'pg';
import { cut } from './connections.js';
import { Pulse } from './pulse.js';

/** What another replica, or this one, committed. `connected`: the listener is (again) there, and may have missed some. */
export type Notice =
  | { readonly kind: 'release'; readonly workspace: string; readonly number: number }
  | { readonly kind: 'credentials'; readonly workspace: string; readonly revision: number }
  /** A replica wrote what became of releases at its nodes. */
  | { readonly kind: 'receipts'; readonly replica: string; readonly workspaces: readonly string[] }
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected'; readonly reason: string };

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;
/** How long an attempt to connect may take, in ms. */
const ATTEMPT_MS = 4000;

export interface NotificationsOptions {
  readonly url: string;
  onNotice(notice: Notice): void;
  /** The database says nothing, neither on an open connection nor on a new one: whoever waits for it waits in vain. */
  onSilent(reason: string): void;
}

interface Lost {
  readonly reason: string;
  /** Whether it gave no answer; else it, or somebody on the way, said no. */
  readonly silent: boolean;
  /** Until then those who ask are told the same, by the monotonic clock. */
  readonly until: number;
}

/**
 * A connection of its own that listens for commits and comes back when it is cut. It asks for signs of life, and so is the
 * first to know that the database is frozen or cut off.
 */
export class Notifications {
  private client: pg.Client | undefined;
  private pulse: Pulse | undefined;
  private closed = false;
  private pause = FIRST_PAUSE_MS;
  private timer: NodeJS.Timeout | undefined;
  private attempt: Promise<string | undefined> | undefined;
  private lost: Lost | undefined;

  constructor(private readonly options: NotificationsOptions) {}

  /** Starts listening; returns at once, `connected` tells when. */
  start(): void {
    void this.connect();
  }

  /** Why the database seems to be away, as far as is known now. */
  get fault(): string | undefined {
    return this.lost?.reason ?? this.pulse?.silence();
  }

  /**
   * Why the database cannot be used. Undefined at once unless it was lost. Then it is tried first, once for all who ask
   * meanwhile; a failure is told to all who ask for as long after it as it took.
   */
  async tried(): Promise<string | undefined> {
    if (this.lost === undefined || this.closed) return undefined;
    return performance.now() < this.lost.until ? this.lost.reason : this.connect();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.pulse?.stop();
    clearTimeout(this.timer);
    await this.client?.end().catch(() => {});
  }

  /** Makes a connection, unless that is under way; returns why it cannot be made. */
  private connect(): Promise<string | undefined> {
    clearTimeout(this.timer);
    this.attempt ??= this.open().finally(() => {
      this.attempt = undefined;
    });
    return this.attempt;
  }

  private async open(): Promise<string | undefined> {
    const { url, onNotice, onSilent } = this.options;
    const began = performance.now();
    const client = new pg.Client({ connectionString: url, keepAlive: true, application_name: 'paifang listen' });
    this.client = client;
    let isUp = false;
    const onLost = (reason: string, silent = false) => {
      if (!isUp || this.closed) return;
      isUp = false;
      this.pulse?.stop();
      cut(client, reason);
      this.lost = { reason, silent, until: Number.NEGATIVE_INFINITY };
      onNotice({ kind: 'disconnected', reason });
      this.tryLater(silent ? 0 : this.pause);
    };
    client.on('error', (error) => onLost(error.message));
    client.on('end', () => onLost('the connection ended'));
    client.on('notification', (message) => {
      const notice = read(message.channel, message.payload ?? '');
      if (notice) onNotice(notice);
    });
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      cut(client, `no answer for ${ATTEMPT_MS / 1000} s`);
    }, ATTEMPT_MS);
    limit.unref();
    try {
      await client.connect();
      await client.query('listen paifang_release; listen paifang_credential; listen paifang_receipt');
    } catch (error) {
      const reason =
        error instanceof Error ? error.message || String((error as { code?: string }).code) : String(error);
      const silent = late || (this.lost?.silent ?? false);
      const now = performance.now();
      this.lost = { reason, silent, until: now + Math.max(now - began, FIRST_PAUSE_MS) };
      if (this.closed) return reason;
      cut(client, reason);
      if (silent) onSilent(reason);
      onNotice({ kind: 'disconnected', reason });
      this.tryLater(this.pause);
      return reason;
    } finally {
      clearTimeout(limit);
    }
    isUp = true;
    this.lost = undefined;
    this.pause = FIRST_PAUSE_MS;
    this.pulse = new Pulse(client, (reason) => onLost(reason, true));
    onNotice({ kind: 'connected' });
    return undefined;
  }

  private tryLater(pause: number): void {
    // Half of the pause at random: replicas that lost the same database must not come back in step.
    this.timer = setTimeout(() => void this.connect(), pause * (0.5 + Math.random() / 2));
    this.timer.unref();
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Anyone with access to the database can notify: what is not ours is dropped, the poll finds what counts. */
function read(channel: string, payload: string): Notice | undefined {
  try {
    const { workspace, number, revision, replica, workspaces } = JSON.parse(payload) as Record<string, unknown>;
    if (channel === 'paifang_receipt' && typeof replica === 'string' && Array.isArray(workspaces))
      return { kind: 'receipts', replica, workspaces };
    if (typeof workspace !== 'string') return undefined;
    if (channel === 'paifang_release' && typeof number === 'number') return { kind: 'release', workspace, number };
    if (channel === 'paifang_credential' && typeof revision === 'number')
      return { kind: 'credentials', workspace, revision };
  } catch {
    // Not JSON.
  }
  return undefined;
}
