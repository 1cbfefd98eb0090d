import pg from 'pg';

/** What another replica, or this one, committed. `connected`: the listener is (again) there, and may have missed some. */
export type Notice =
  | { readonly kind: 'release'; readonly workspace: string; readonly number: number }
  | { readonly kind: 'credentials'; readonly workspace: string; readonly revision: number }
  /** A replica wrote what became of releases at its nodes. */
  | { readonly kind: 'receipts'; readonly replica: string; readonly workspaces: readonly string[] }
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected'; readonly reason: string };

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** A connection of its own that listens for commits and comes back when it is cut. */
export class Notifications {
  private client: pg.Client | undefined;
  private closed = false;
  private pause = FIRST_PAUSE_MS;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly url: string,
    private readonly onNotice: (notice: Notice) => void,
  ) {}

  /** Starts listening; returns at once, `connected` tells when. */
  start(): void {
    void this.connect();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.client?.end().catch(() => {});
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.url,
      connectionTimeoutMillis: 5000,
      keepAlive: true,
      application_name: 'paifang listen',
    });
    this.client = client;
    let lost = false;
    const onLost = (reason: string) => {
      if (lost || this.closed) return;
      lost = true;
      this.onNotice({ kind: 'disconnected', reason });
      client.end().catch(() => {});
      // Half of the pause at random: replicas that lost the same database must not come back in step.
      this.timer = setTimeout(() => void this.connect(), this.pause * (0.5 + Math.random() / 2));
      this.timer.unref();
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
    };
    client.on('error', (error) => onLost(error.message));
    client.on('end', () => onLost('the connection ended'));
    client.on('notification', (message) => {
      const notice = read(message.channel, message.payload ?? '');
      if (notice) this.onNotice(notice);
    });
    try {
      await client.connect();
      await client.query('listen paifang_release');
      await client.query('listen paifang_credential');
      await client.query('listen paifang_receipt');
      this.pause = FIRST_PAUSE_MS;
      this.onNotice({ kind: 'connected' });
    } catch (error) {
      onLost(error instanceof Error ? error.message || String((error as { code?: string }).code) : String(error));
    }
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
