import type { Demo } from './demo.js';

export interface SummaryInput {
  readonly gateway: string;
  readonly adminUrl: string;
  readonly ads: string;
  readonly envoyAdmin: string;
  readonly edge: string;
  readonly dataDir: string;
  readonly newToken: string | undefined;
  readonly tokenFile: string;
  readonly demo: Demo | undefined;
}

/** What a person needs after the start: where everything is, and three requests to paste. Pure. */
export function summary(input: SummaryInput): string {
  const lines = [
    '',
    'Paifang is ready.',
    '',
    `  gateway       ${input.gateway}`,
    `  admin API     ${input.adminUrl}/api/v1   (OpenAPI: ${input.adminUrl}/openapi.json)`,
    `  xDS           ${input.ads}`,
    `  edge          ${input.edge}`,
    `  Envoy admin   ${input.envoyAdmin}`,
    `  data          ${input.dataDir}`,
    `  admin token   ${input.newToken ?? `in ${input.tokenFile}`}`,
  ];
  if (input.newToken)
    lines.push(`                shown this once; also kept in ${input.tokenFile} for the command line`);
  if (input.demo) {
    lines.push(
      '',
      'Try it (in another terminal, in this directory):',
      '',
      '  a signed call that reaches the backend:',
      `    npx paifang curl -i --ak ${input.demo.accessKey} --sk-file ${input.demo.secretFile} ${input.gateway}/orders/42`,
      '  a mock, answered by Envoy alone:',
      `    curl -i ${input.gateway}/weather`,
      '  the same signed API without a signature: result code 2100:',
      `    curl -i ${input.gateway}/orders/42`,
      '',
      '  and what the gateway saw of it:',
      '    npx paifang logs',
    );
  }
  lines.push('', 'Ctrl-C stops everything.', '');
  return lines.join('\n');
}
