import type { Canary, Verdict } from '../canary/canary.js';
import type { Resource } from '../core/ads/resource.js';
import type { Change, Compiler, StoredObject, Update } from '../core/compile.js';
import { type Diagnostic, diagnostic } from '../core/diagnostic.js';
import { type Known, refusalDiagnostics } from '../core/explain/refusal.js';
import type { Question } from '../core/ir/answer.js';
import { questionKey, questionOf, questionsOf } from '../core/model/question.js';
import { resourceJson } from '../core/xds/resource-json.js';
import type { Metrics } from './metrics.js';
import type { Judgement } from './outcome.js';

/** How long a verdict is waited for under the lock of the workspace, in ms. Most come within a tenth of it. */
const PATIENCE_MS = 100;
/** How long a verdict is waited for at all: a canary that is away holds nobody up for longer. */
const BOUND_MS = { least: 3_000, perResource: 5, most: 30_000 };
/** Attempts with the lock given back in between; after the last one, what has no verdict is not judged. */
const ATTEMPTS = 3;
/** Refused resources that are told; more would say the same of more objects. */
const TOLD = 100;

/** What a publication waits for is not there yet: the transaction is given up, so that nobody waits for its lock, and done again after `done`. */
export class Adjourned extends Error {
  constructor(readonly done: Promise<void>) {
    super('what this publication waits for is not there yet');
  }
}

/** Who asks DNS for names that were never answered. */
export interface FirstAnswers {
  /** Returns why there is still no answer, by question. `keep` false: nothing is stored. */
  learn(workspace: string, questions: readonly Question[], keep: boolean): Promise<ReadonlyMap<string, string>>;
}

/** What Envoy says of one publication, over all attempts to carry it out. */
export class Hearing {
  readonly #verdicts = new Map<string, Verdict>();
  /** Names that DNS was asked for, and why it has no answer; undefined: it has one. */
  readonly #asked = new Map<string, string | undefined>();
  readonly #began = performance.now();
  #attempts = 0;
  /** What is stored and does not compile here: it is judged together with the publication, which may mend it. */
  owed: Change | undefined;

  constructor(
    private readonly canary: Canary | undefined,
    private readonly metrics: Metrics,
    /** Returns why DNS has no answer, by question; nothing where nobody can be asked. */
    private readonly learn: (questions: readonly Question[]) => Promise<ReadonlyMap<string, string> | undefined>,
  ) {}

  /**
   * What DNS has to say of the names that `change` brings: those never answered are asked for first, so that their addresses are
   * there when the cluster is. A warning for each that has none.
   * @throws Adjourned until they are asked; call again after it.
   */
  unresolved(change: Change, compiler: Compiler): Diagnostic[] {
    const clusters = change.upserts.filter((object): object is StoredObject<'cluster'> => object.kind === 'cluster');
    const unknown = clusters.flatMap(({ spec }) => questionsOf(spec)).filter((question) => !compiler.answer(question));
    const open = unknown.filter((question) => !this.#asked.has(questionKey(question)));
    if (open.length > 0) {
      const asked = async () => {
        const failed = await this.learn(open);
        for (const question of open) this.#asked.set(questionKey(question), failed?.get(questionKey(question)));
      };
      throw new Adjourned(asked());
    }
    return clusters.flatMap(({ name, spec }) =>
      (spec.discovery?.dns ?? []).flatMap((entry, i) => {
        const question = questionOf(entry);
        const reason = compiler.answer(question) ? undefined : this.#asked.get(questionKey(question));
        if (reason === undefined) return [];
        const message = `The name "${entry.name}" leads nowhere yet: ${reason}.`;
        const hint = 'Its addresses join as soon as DNS has them. Until then the cluster has only its other endpoints.';
        const object = { kind: 'cluster' as const, name };
        return [diagnostic('unresolved-name', `/discovery/dns/${i}`, message, hint, object)];
      }),
    );
  }

  /**
   * Lets Envoy judge what `change` would alter at nodes. `diagnostics` has a finding for each object behind a refused
   * resource; `judgement` is left out when there is no canary.
   * @throws Adjourned when that takes too long to be waited for here; call again after it.
   */
  async judge(
    update: Update,
    change: Change,
    compiler: Compiler,
  ): Promise<{ diagnostics: Diagnostic[]; judgement?: Judgement }> {
    if (!this.canary) return { diagnostics: [] };
    const resources = new Map<string, { resource: Resource; fleet: string }>();
    for (const [key, { upserts }] of update.fleets) {
      const fleet = key.slice(key.indexOf('/') + 1);
      for (const resource of upserts) resources.set(keyOf(resource), { resource, fleet });
    }
    const open = [...resources].flatMap(([key, { resource }]) => (this.#verdicts.has(key) ? [] : [resource]));
    if (open.length > 0) await this.#hear(this.canary, open);
    const verdicts = [...resources.keys()].flatMap((key) => this.#verdicts.get(key) ?? []);
    const ms = Math.round((performance.now() - this.#began) * 10) / 10;
    const unjudged = verdicts.filter(({ kind }) => kind === 'not judged');
    const refused = verdicts.filter(({ kind }) => kind === 'refused');
    this.metrics.judged(refused.length > 0 ? 'refused' : unjudged.length > 0 ? 'not judged' : 'accepted', ms / 1000);
    const known = knownOf(change, compiler);
    const diagnostics = refused.slice(0, TOLD).flatMap(({ resource, text }) => {
      const { type, name } = resource;
      const fleet = resources.get(keyOf(resource))?.fleet ?? '';
      const json = resourceJson(resource);
      return refusalDiagnostics({ type: type.slice(type.lastIndexOf('.') + 1), name, text, fleet, json }, known);
    });
    const judgement: Judgement = {
      verdict: unjudged.length > 0 ? 'not judged' : 'accepted',
      resources: verdicts.length,
      ms,
      ...(unjudged[0] && { reason: unjudged[0].text }),
    };
    return { diagnostics: unique(diagnostics), judgement };
  }

  async #hear(canary: Canary, open: readonly Resource[]): Promise<void> {
    const bound = Math.min(BOUND_MS.least + BOUND_MS.perResource * open.length, BOUND_MS.most);
    const last = ++this.#attempts >= ATTEMPTS;
    const heard = canary.judge(open, last ? PATIENCE_MS : bound).then((verdicts) => {
      for (const verdict of verdicts) this.#verdicts.set(keyOf(verdict.resource), verdict);
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), PATIENCE_MS);
    });
    const outcome = await Promise.race([heard, late]);
    clearTimeout(timer);
    if (outcome !== 'late') return;
    if (!last) throw new Adjourned(heard);
    await heard;
  }
}

const keyOf = ({ type, name, version }: Resource): string => `${type}\n${name}\n${version}`;

/** The objects as they would be after `change`. */
export function knownOf(change: Pick<Change, 'upserts'>, compiler: Compiler): Known {
  return {
    withId: (kind, id) =>
      change.upserts.find((object) => object.kind === kind && object.id === id) ?? compiler.withId(kind, id),
    find: (kind, name) =>
      change.upserts.find((object) => object.kind === kind && object.name === name) ?? compiler.find(kind, name),
  };
}

/** Two resources of one object, or of two fleets, may say the same. */
function unique(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  return [...new Map(diagnostics.map((d) => [JSON.stringify(d), d])).values()];
}
