import type { Command } from 'commander';
import { withOutput } from './admin.js';
import { usage } from './exit.js';
import { prepare, type RequestOptions, withRequest } from './signed-request.js';
import { action, json, line, note, visible } from './terminal.js';

/** `paifang sign`: the headers of a signed request; asks no server. */
export function addSign(program: Command): void {
  withOutput(withRequest(program.command('sign')))
    .argument('<method>', 'GET, POST, …')
    .argument('<url>', 'as it will be called')
    .option('--explain', 'also show the text that was signed')
    .summary('print the headers that sign a request')
    .description(
      'Signs a request as an App does (SOFA dialect: HTTP signatures with hmac-sha256) and prints the headers to add. Sends nothing.',
    )
    .addHelpText(
      'after',
      `
Examples:
  export PAIFANG_AK=my-key PAIFANG_SK=my-secret
  paifang sign GET http://gateway/orders/42
  paifang sign POST http://gateway/orders -d '{"item":7}' --explain
  paifang sign GET http://gateway/orders/42 -H 'host: orders.example.com' --cover '(request-target) host date'

A signature is over the method and the target exactly as sent, so encode the URL before signing it. With \`date\` covered it
is good for the time window of the API (15 minutes unless set).`,
    )
    .action(action(sign));
}

async function sign(method: string, url: string, options: RequestOptions & { explain?: boolean }): Promise<void> {
  if (options.ak === undefined) throw usage('there is no access key.', 'Give it with --ak or PAIFANG_AK.');
  const { signature, target } = await prepare(method.toUpperCase(), url, options);
  if (signature === undefined) throw new Error('a request with an access key was not signed');
  if (options.json) {
    json({
      method: method.toUpperCase(),
      target,
      headers: Object.fromEntries(signature.headers),
      ...(options.explain && { stringToSign: signature.stringToSign }),
    });
    return;
  }
  for (const [name, value] of signature.headers) line(`${name}: ${value}`);
  if (!options.explain) return;
  note('\nSigned text:');
  for (const row of signature.stringToSign.split('\n')) note(`  ${visible(row)}`);
}
