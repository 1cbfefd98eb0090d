import { createSecureContext } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js';
import type { CertificateFiles, Certificates } from './certificate-files.js';

/** How a client speaks TLS to a controller. */
export class ChannelSecurity {
  #of: Certificates | undefined;
  #credentials: ChannelCredentials = credentials.createInsecure();

  /**
   * `files`: the CA that controllers are trusted by, and the certificate of this node if it has one.
   * `serverName`: the name a controller's certificate must bear. Default: the host that is called.
   */
  constructor(
    private readonly files: CertificateFiles,
    private readonly serverName?: string | undefined,
  ) {}

  /** Credentials with the newest content of the files; the same object until that changes. */
  get credentials(): ChannelCredentials {
    const { current } = this.files;
    if (this.#of !== current) {
      this.#of = current;
      const { certificate: cert, key, ca } = current;
      this.#credentials = credentials.createFromSecureContext(
        createSecureContext({ ...(cert && { cert }), ...(key && { key }), ...(ca && { ca }), minVersion: 'TLSv1.2' }),
      );
    }
    return this.#credentials;
  }

  get options(): ChannelOptions {
    return this.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': this.serverName };
  }
}

/** A client that is made anew when what it would prove itself with has changed. */
export class RenewedClient<C extends { close(): void }> {
  #client: C | undefined;
  #credentials: ChannelCredentials | undefined;

  constructor(
    private readonly security: ChannelSecurity | undefined,
    private readonly make: (credentials: ChannelCredentials, options: ChannelOptions) => C,
  ) {}

  /** Closes the client there was when the credentials are others. What runs on it ends first. */
  get(): C {
    const wanted = this.security?.credentials ?? this.#credentials ?? credentials.createInsecure();
    if (this.#client && wanted === this.#credentials) return this.#client;
    this.#client?.close();
    this.#credentials = wanted;
    this.#client = this.make(wanted, this.security?.options ?? {});
    return this.#client;
  }

  close(): void {
    this.#client?.close();
  }
}
