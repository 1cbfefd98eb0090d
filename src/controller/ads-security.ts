import { isIP } from 'node:net';
import type { Log } from '../logger.js';
import type { TlsOptions } from '../wire/ads-server.js';
import { CertificateError, CertificateFiles, type CertificatePaths } from '../wire/certificate-files.js';
import type { ProofRules } from '../wire/proof.js';

/** How the xDS port is guarded, as the settings of the same names say; PEM files are given by their paths. */
export interface AdsSecuritySettings {
  readonly host: string;
  readonly port: number;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly clientCa?: string | undefined;
  readonly clientCertificate?: 'required' | 'optional';
  readonly trustDomain?: string | undefined;
  readonly plainPort?: number | undefined;
  readonly identity?: ProofRules['identity'];
}

/** What is wrong with a setting. */
export interface SettingFault {
  readonly setting: string;
  readonly message: string;
}

export interface AdsSecurity extends Pick<ProofRules, 'trustDomain' | 'identity'> {
  readonly tls?: TlsOptions;
}

const SOON_MS = 14 * 86_400_000;
const SETTING_OF = { certificate: 'certificate', key: 'key', ca: 'clientCa' } as const satisfies Record<
  keyof CertificatePaths,
  keyof AdsSecuritySettings
>;

/** Opens the certificates that the settings name, and warns of what is left open. Returns every fault at once instead. */
export async function openAdsSecurity(
  settings: AdsSecuritySettings,
  log: Log,
): Promise<AdsSecurity | { readonly faults: SettingFault[] }> {
  const { host, certificate, key, clientCa: ca, clientCertificate = 'required', plainPort } = settings;
  const { trustDomain, identity } = settings;
  const faults = contradictions(settings);
  const paths = { ...(certificate && { certificate }), ...(key && { key }), ...(ca && { ca }) };
  const files = await CertificateFiles.open(paths, {
    onRenewed: ({ serial, expiresAtMs }) => {
      log.info('xDS: new certificates are in use; connections that are open live on', { serial, ...ends(expiresAtMs) });
    },
    onTrouble: (error) =>
      log.error('xDS: the new certificates cannot be used; those before them stay in use', {
        faults: error.faults.map(({ file, message }) => `${SETTING_OF[file]} ${message}`),
      }),
  }).catch((error: unknown) => {
    if (!(error instanceof CertificateError)) throw error;
    faults.push(...error.faults.map(({ file, message }) => ({ setting: SETTING_OF[file], message })));
    return undefined;
  });
  if (faults.length > 0 || files === undefined) {
    files?.close();
    return { faults };
  }
  const rules = { trustDomain, identity };
  const open = !isLoopback(host);
  if (certificate === undefined) {
    files.close();
    if (open)
      log.warn(
        'xDS listens beyond loopback in plain text: App keys and node tokens can be read on the way, and anybody who reaches the port can say that it is a node. Set PAIFANG_ADS_CERTIFICATE, PAIFANG_ADS_KEY and PAIFANG_ADS_CLIENT_CA (docs/guides/security.md)',
        { host },
      );
    return rules;
  }
  const { expiresAtMs = Number.POSITIVE_INFINITY } = files.current;
  if (expiresAtMs < Date.now() + SOON_MS)
    log.warn(
      'xDS: the certificate has expired or soon will; renew the file, a restart is not needed',
      ends(expiresAtMs),
    );
  const demand = ca !== undefined && clientCertificate === 'required';
  if (open && !demand && (identity ?? 'optional') === 'optional')
    log.warn(
      'xDS hears everybody who reaches it: TLS alone keeps nobody from reading the configuration and saying that it is a node. Set PAIFANG_ADS_IDENTITY=bound, or demand client certificates (docs/guides/security.md)',
      { host },
    );
  if (open && plainPort !== undefined)
    log.warn('xDS: a plain text port is open too; leave PAIFANG_ADS_PLAIN_PORT out when all nodes are moved', { host });
  return { ...rules, tls: { certificates: files, demand, plainPort } };
}

/** Settings that mean nothing without others. */
function contradictions({
  certificate,
  key,
  clientCa,
  plainPort,
  port,
  trustDomain,
}: AdsSecuritySettings): SettingFault[] {
  const faults: SettingFault[] = [];
  const needs = (setting: string, other: string) => {
    faults.push({ setting, message: `is set, but ${other} is not: set both or none` });
  };
  if (certificate !== undefined && key === undefined) needs('certificate', 'PAIFANG_ADS_KEY');
  if (key !== undefined && certificate === undefined) needs('key', 'PAIFANG_ADS_CERTIFICATE');
  if (clientCa !== undefined && certificate === undefined) needs('clientCa', 'PAIFANG_ADS_CERTIFICATE');
  if (trustDomain !== undefined && clientCa === undefined) needs('trustDomain', 'PAIFANG_ADS_CLIENT_CA');
  if (plainPort !== undefined && certificate === undefined)
    faults.push({
      setting: 'plainPort',
      message: 'is only for beside a TLS port: without PAIFANG_ADS_CERTIFICATE PAIFANG_ADS_PORT speaks plain text',
    });
  if (plainPort !== undefined && plainPort === port && port !== 0)
    faults.push({ setting: 'plainPort', message: 'is the port of TLS too: give it another one' });
  return faults;
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

function ends(expiresAtMs: number | undefined): { expiresAt?: string } {
  return expiresAtMs === undefined || !Number.isFinite(expiresAtMs)
    ? {}
    : { expiresAt: new Date(expiresAtMs).toISOString() };
}
