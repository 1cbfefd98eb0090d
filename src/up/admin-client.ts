/** The few calls of the admin API that `paifang up` makes, as any client would. */
export class AdminClient {
  constructor(
    private readonly base: string,
    private readonly token: string,
  ) {}

  /** Resolves when the controller takes the token: one just made is known to it a moment later. @throws after 20 s. */
  async accepted(): Promise<void> {
    for (const deadline = performance.now() + 20_000; ; ) {
      const { status } = await this.send('GET', '/api/v1/workspaces?limit=1');
      if (status !== 401) return;
      if (performance.now() > deadline)
        throw new Error('the controller does not accept the admin token in admin.token');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  get(path: string): Promise<unknown> {
    return this.call('GET', path);
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.call('POST', path, body);
  }

  /** What is at `path`, or undefined when nothing is. */
  async find(path: string): Promise<unknown> {
    const response = await this.send('GET', path);
    if (response.status === 404) return undefined;
    return this.read('GET', path, response);
  }

  private async call(method: string, path: string, body?: unknown): Promise<unknown> {
    return this.read(method, path, await this.send(method, path, body));
  }

  private send(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    return fetch(`${this.base}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: Error) => {
      // What fetch says is always the same; its cause says what happened.
      const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException;
      throw new Error(`${method} ${path} was not answered by the controller: ${message || code}`, { cause: error });
    });
  }

  private async read(method: string, path: string, response: Response): Promise<unknown> {
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} was answered with ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}
