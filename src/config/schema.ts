import { type Static, type TSchema, Type } from 'typebox';

/**
 * Settings of all processes. One schema gives the type, the check, the environment variables and docs/reference/config.md.
 * Order: default < file (PAIFANG_CONFIG or --config) < environment. `env` at a field is the name of its variable.
 */
const setting = <T extends TSchema>(schema: T, env: string): T => Object.assign(schema, { env });
const port = (value: number, env: string, description: string) =>
  setting(
    Type.Integer({ minimum: 0, maximum: 65_535, default: value, description: `${description} 0 takes any free port.` }),
    env,
  );
const text = (value: string, env: string, description: string) =>
  setting(Type.String({ default: value, description }), env);
const optionalText = (env: string, description: string) =>
  Type.Optional(setting(Type.String({ minLength: 1, description }), env));
const optionalSecret = (env: string, description: string) =>
  Type.Optional(setting(Type.String({ minLength: 1, description, writeOnly: true }), env));
const section = <P extends Record<string, TSchema>>(properties: P, description: string) =>
  Type.Object(properties, { additionalProperties: false, description });

export const ConfigSchema = section(
  {
    dataDir: text(
      '.paifang',
      'PAIFANG_DATA_DIR',
      'Directory of everything that is kept: database, keys, logs, sockets.',
    ),
    log: section(
      {
        level: setting(
          Type.Enum(['error', 'warn', 'info', 'debug'], {
            default: 'info',
            description: 'Least severe messages that are written.',
          }),
          'PAIFANG_LOG_LEVEL',
        ),
        format: setting(
          Type.Enum(['text', 'json'], { default: 'text', description: 'text for people, json for collectors.' }),
          'PAIFANG_LOG_FORMAT',
        ),
      },
      'Messages of the processes themselves (requests have the access log).',
    ),
    admin: section(
      {
        host: text(
          '127.0.0.1',
          'PAIFANG_ADMIN_HOST',
          'Address of the admin API. Anything but loopback should sit behind TLS.',
        ),
        port: port(8080, 'PAIFANG_ADMIN_PORT', 'Port of the admin API.'),
      },
      'Admin REST API of the controller.',
    ),
    ads: section(
      {
        host: text(
          '127.0.0.1',
          'PAIFANG_ADS_HOST',
          'Address on which Envoys and edges subscribe (xDS, log collection).',
        ),
        port: port(9876, 'PAIFANG_ADS_PORT', 'Port of the same.'),
        nodeToken: optionalSecret(
          'PAIFANG_NODE_TOKEN',
          'Token edges present to be given App keys. Default: a file in dataDir, made at first start. An edge may be given a token of its own instead (`paifang node-token`).',
        ),
        certificate: optionalText(
          'PAIFANG_ADS_CERTIFICATE',
          'PEM file with the certificate of this port and those between it and its CA: the port then speaks TLS 1.2 or newer only. Read again when it changes, as are key and CA.',
        ),
        key: optionalText('PAIFANG_ADS_KEY', 'PEM file with the private key of that certificate.'),
        clientCa: optionalText(
          'PAIFANG_ADS_CLIENT_CA',
          'PEM file with the CAs of client certificates. Left out: clients are not asked for any.',
        ),
        clientCertificate: setting(
          Type.Enum(['required', 'optional'], {
            default: 'required',
            description: 'With clientCa: whether clients without a certificate are refused in the handshake.',
          }),
          'PAIFANG_ADS_CLIENT_CERTIFICATE',
        ),
        trustDomain: optionalText(
          'PAIFANG_ADS_TRUST_DOMAIN',
          'Trust domain that URIs in client certificates must have to count. Left out: any that clientCa vouches for.',
        ),
        plainPort: Type.Optional(
          setting(
            Type.Integer({
              minimum: 0,
              maximum: 65_535,
              description:
                'Port beside a TLS port that speaks plain text, while nodes are moved. 0 takes any free port.',
            }),
            'PAIFANG_ADS_PLAIN_PORT',
          ),
        ),
        identity: setting(
          Type.Enum(['optional', 'required', 'bound'], {
            default: 'optional',
            description:
              'Which nodes are heard. optional: all, but only those that prove who they are get keys. required: those with a certificate that names their fleet, a token of their own or the shared token. bound: the shared token alone is not enough.',
          }),
          'PAIFANG_ADS_IDENTITY',
        ),
      },
      'Where the controller serves xDS and collects logs.',
    ),
    controller: section(
      {
        canary: setting(
          Type.String({
            minLength: 1,
            default: 'on',
            description:
              'Envoy that judges what is published before it is. on: PAIFANG_ENVOY or the one set-up found, if there is one; off; or a path.',
          }),
          'PAIFANG_CANARY',
        ),
      },
      'The controller itself.',
    ),
    database: section(
      {
        url: optionalText(
          'PAIFANG_DATABASE_URL',
          'postgres://user:password@host:port/name. `paifang up` starts an embedded PostgreSQL when it is not set.',
        ),
        poll: setting(
          Type.Integer({
            minimum: 100,
            maximum: 600_000,
            default: 5000,
            description: 'Milliseconds between looks for releases that no notification told of.',
          }),
          'PAIFANG_DATABASE_POLL',
        ),
      },
      'PostgreSQL, the truth about definitions.',
    ),
    dns: section(
      {
        servers: setting(
          Type.String({
            pattern: '^(?:|[0-9A-Fa-f.:\\[\\]]+(?:,[0-9A-Fa-f.:\\[\\]]+)*)$',
            default: '',
            description:
              'IP addresses of DNS servers, with or without port, separated by commas. Empty: those of the system.',
          }),
          'PAIFANG_DNS_SERVERS',
        ),
        timeout: setting(
          Type.Integer({
            minimum: 50,
            maximum: 30_000,
            default: 2000,
            description: 'Milliseconds a server may take for an answer; each is asked twice.',
          }),
          'PAIFANG_DNS_TIMEOUT',
        ),
        leastRefresh: setting(
          Type.Integer({
            minimum: 50,
            maximum: 3_600_000,
            default: 1000,
            description: 'Least milliseconds between two questions for one name, whatever its time to live.',
          }),
          'PAIFANG_DNS_LEAST_REFRESH',
        ),
        mostRefresh: setting(
          Type.Integer({
            minimum: 50,
            maximum: 3_600_000,
            default: 60_000,
            description: 'Most milliseconds between them.',
          }),
          'PAIFANG_DNS_MOST_REFRESH',
        ),
        srvRefresh: setting(
          Type.Integer({
            minimum: 50,
            maximum: 3_600_000,
            default: 5000,
            description: 'Milliseconds between two questions for SRV records, whose time to live is not known.',
          }),
          'PAIFANG_DNS_SRV_REFRESH',
        ),
      },
      'How the controller asks DNS for names in discovery.dns of clusters. One controller asks for all.',
    ),
    keys: section(
      {
        master: optionalSecret(
          'PAIFANG_MASTER_KEY',
          '32 bytes, base64 or hex, that encrypt secrets at rest. Default: a file in dataDir, made at first start; back it up.',
        ),
      },
      'Encryption of secrets.',
    ),
    logStore: section(
      {
        url: optionalText(
          'PAIFANG_LOG_STORE_URL',
          'http(s) URL of a ClickHouse. Default: an embedded column store in a process of its own.',
        ),
        user: text('default', 'PAIFANG_LOG_STORE_USER', 'User at that ClickHouse.'),
        password: optionalSecret('PAIFANG_LOG_STORE_PASSWORD', 'Password of that user.'),
        database: text('default', 'PAIFANG_LOG_STORE_DATABASE', 'Database at that ClickHouse.'),
        retentionDays: setting(
          Type.Integer({ minimum: 1, maximum: 3650, default: 14, description: 'Days requests are kept.' }),
          'PAIFANG_LOG_RETENTION_DAYS',
        ),
      },
      'Where requests are stored and asked for.',
    ),
    edge: section(
      {
        node: optionalText('PAIFANG_NODE', 'node.id of the Envoy this edge serves. Default: host name.'),
        cluster: text('default/default', 'PAIFANG_NODE_CLUSTER', '`<workspace>/<fleet>` of that Envoy.'),
        region: optionalText(
          'PAIFANG_NODE_REGION',
          'Where that Envoy stands, as its bootstrap says it: what the edge keeps for it then prefers the same endpoints.',
        ),
        zone: optionalText('PAIFANG_NODE_ZONE', 'Zone within the region.'),
        room: optionalText('PAIFANG_NODE_ROOM', 'Room within the region.'),
        controller: text('127.0.0.1:9876', 'PAIFANG_CONTROLLER', "host:port of a controller's xDS."),
        controllerCa: optionalText(
          'PAIFANG_CONTROLLER_CA',
          'PEM file with the CA of the certificates of controllers: the edge then speaks TLS to them. Read again when it changes, as are certificate and key.',
        ),
        controllerName: optionalText(
          'PAIFANG_CONTROLLER_NAME',
          'Name the certificate of a controller must bear. Default: the host of PAIFANG_CONTROLLER.',
        ),
        certificate: optionalText(
          'PAIFANG_NODE_CERTIFICATE',
          'PEM file with the certificate by which this node proves who it is.',
        ),
        key: optionalText('PAIFANG_NODE_KEY', 'PEM file with the private key of that certificate.'),
        tokenFile: optionalText(
          'PAIFANG_NODE_TOKEN_FILE',
          'File with the token of this node, read at each connection. Default: node.token in dataDir, if there is one.',
        ),
        directory: optionalText(
          'PAIFANG_EDGE_DIR',
          "Envoy's working directory: access.log is read here, sockets and digest log are made here. Default: dataDir/node.",
        ),
        envoyAdmin: text(
          'http://127.0.0.1:9901',
          'PAIFANG_ENVOY_ADMIN',
          "Envoy's admin, asked to reopen its log after rotation.",
        ),
        configPort: port(23456, 'PAIFANG_EDGE_CONFIG_PORT', 'Loopback port of /mosng/config.'),
        toolPort: port(23460, 'PAIFANG_EDGE_TOOL_PORT', 'Loopback port of /mosng/config/query and /tool/setLogLevel.'),
        policyWait: setting(
          Type.Integer({
            minimum: 0,
            maximum: 2500, // Envoy itself waits three seconds
            default: 1000,
            description: 'Milliseconds a request waits for a policy the edge does not have yet; then 5001.',
          }),
          'PAIFANG_EDGE_POLICY_WAIT',
        ),
        lastGood: setting(
          Type.Boolean({
            default: true,
            description:
              'Keep what the controller has in force in directory/last-good, and serve it when edge or Envoy start without a controller.',
          }),
          'PAIFANG_EDGE_LAST_GOOD',
        ),
        rotateBytes: setting(
          Type.Integer({
            minimum: 1_048_576,
            default: 67_108_864,
            description: 'Size at which access.log and the digest log are rotated.',
          }),
          'PAIFANG_LOG_ROTATE_BYTES',
        ),
        keepFiles: setting(
          Type.Integer({ minimum: 1, maximum: 1000, default: 5, description: 'Rotated files that are kept.' }),
          'PAIFANG_LOG_KEEP_FILES',
        ),
      },
      'The process beside each Envoy.',
    ),
    up: section(
      {
        gatewayPort: port(8088, 'PAIFANG_GATEWAY_PORT', 'Port of the gateway that `paifang up` runs.'),
        gatewayHost: text('127.0.0.1', 'PAIFANG_GATEWAY_HOST', 'Address of the same.'),
        envoy: optionalText('PAIFANG_ENVOY', 'Envoy to run. Default: the one set-up found.'),
        envoyAdminPort: port(9901, 'PAIFANG_ENVOY_ADMIN_PORT', "Loopback port of Envoy's admin."),
        databasePort: port(0, 'PAIFANG_EMBEDDED_DATABASE_PORT', 'Loopback port of the embedded PostgreSQL.'),
        concurrency: setting(
          Type.Integer({
            minimum: 0,
            maximum: 256,
            default: 0,
            description: 'Worker threads of Envoy. 0: one per CPU.',
          }),
          'PAIFANG_ENVOY_CONCURRENCY',
        ),
        demoPort: port(8090, 'PAIFANG_DEMO_PORT', 'Loopback port of the demo backend.'),
        demo: setting(
          Type.Boolean({ default: true, description: 'Make a demo group, APIs and App when the workspace is empty.' }),
          'PAIFANG_DEMO',
        ),
      },
      '`paifang up`: everything on one machine.',
    ),
  },
  'Settings of Paifang.',
);

export type Config = DeepReadonly<Static<typeof ConfigSchema>>;
type DeepReadonly<T> = { readonly [K in keyof T]: T[K] extends object ? DeepReadonly<T[K]> : T[K] };
