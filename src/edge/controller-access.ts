import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { looksBound } from '../core/ads/bound-token.js';
import type { Log } from '../logger.js';
import { CertificateError, CertificateFiles, type CertificatePaths } from '../wire/certificate-files.js';
import { ChannelSecurity } from '../wire/channel-security.js';

/** How the edge speaks to a controller, as the settings of the same names say; PEM files are given by their paths. */
export interface ControllerAccessSettings {
  readonly controllerCa?: string | undefined;
  readonly controllerName?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** Where a token may be. */
export interface TokenSettings {
  readonly nodeToken?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly dataDir: string;
  readonly certificate?: string | undefined;
}

interface SettingFault {
  readonly setting: string;
  readonly message: string;
}

const SETTING_OF = { certificate: 'certificate', key: 'key', ca: 'controllerCa' } as const satisfies Record<
  keyof CertificatePaths,
  keyof ControllerAccessSettings
>;

/** Opens the certificates that the settings name; undefined: plain text. Returns every fault at once instead. */
export async function openControllerAccess(
  settings: ControllerAccessSettings,
  log: Log,
): Promise<{ readonly security?: ChannelSecurity } | { readonly faults: SettingFault[] }> {
  const { controllerCa: ca, controllerName, certificate, key } = settings;
  const faults: SettingFault[] = [];
  const needs = (setting: string, other: string) => faults.push({ setting, message: `is set, but ${other} is not` });
  if (certificate !== undefined && key === undefined) needs('certificate', 'PAIFANG_NODE_KEY');
  if (key !== undefined && certificate === undefined) needs('key', 'PAIFANG_NODE_CERTIFICATE');
  if (certificate !== undefined && ca === undefined) needs('certificate', 'PAIFANG_CONTROLLER_CA');
  if (controllerName !== undefined && ca === undefined) needs('controllerName', 'PAIFANG_CONTROLLER_CA');
  const paths = { ...(certificate && { certificate }), ...(key && { key }), ...(ca && { ca }) };
  const files = await CertificateFiles.open(paths, {
    onRenewed: ({ serial }) => log.info('new certificates are in use from the next connection on', { serial }),
    onTrouble: (error) =>
      log.error('the new certificates cannot be used; those before them stay in use', {
        faults: error.faults.map(({ file, message }) => `${SETTING_OF[file]} ${message}`),
      }),
  }).catch((error: unknown) => {
    if (!(error instanceof CertificateError)) throw error;
    faults.push(...error.faults.map(({ file, message }) => ({ setting: SETTING_OF[file], message })));
    return undefined;
  });
  if (faults.length === 0 && files && ca !== undefined) return { security: new ChannelSecurity(files, controllerName) };
  files?.close();
  return faults.length > 0 ? { faults } : {};
}

/**
 * The token of this node as it is now: given, or in a file that is read at each call, so that it can be renewed.
 * @throws Error that names the ways to give one, when there is none and no certificate to do without.
 */
export function tokenSource({ nodeToken, tokenFile, dataDir, certificate }: TokenSettings): () => string | undefined {
  if (nodeToken !== undefined) return () => nodeToken;
  const file = tokenFile ?? join(dataDir, 'node.token');
  let last: string | undefined;
  const read = () => {
    try {
      // The form of an HTTP header is understood too.
      last =
        readFileSync(file, 'utf8')
          .trim()
          .replace(/^Bearer /, '') || last;
    } catch {
      // While a file is being replaced it may be missing for a moment.
    }
    return last;
  };
  if (read() !== undefined || (certificate !== undefined && tokenFile === undefined)) return read;
  throw new Error(
    `No node token: set PAIFANG_NODE_TOKEN to that of the controller, or put one into ${file}, or give the node a certificate (PAIFANG_NODE_CERTIFICATE).`,
  );
}

/** Whether a token is that of all edges, which does not end. */
export const isShared = (token: string | undefined): token is string => token !== undefined && !looksBound(token);
