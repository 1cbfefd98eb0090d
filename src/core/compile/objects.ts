import type { Answer, Question } from '../ir/answer.js';
import type { Credential } from '../ir/app.js';
import type { EndpointIr } from '../ir/cluster.js';
import type { SpecOf } from '../model/definitions.js';
import type { Kind } from '../model/kind.js';
import { questionKey, questionsOf } from '../model/question.js';
import { type Journal, Relation } from './journal.js';

/** An object in force. */
export type StoredObject<K extends Kind = Kind> = {
  [P in K]: {
    readonly kind: P;
    readonly name: string;
    readonly id: string;
    readonly spec: SpecOf[P];
    /** Release in which this version became valid. */
    readonly release: number;
  };
}[K];

/** Who has credentials. */
export type Owner = { readonly kind: 'app' | 'cluster'; readonly name: string };

/** What a change touches, before and after. */
export interface Touched {
  readonly kind: Kind;
  readonly name: string;
  readonly before?: StoredObject;
  /** Absent: removed. */
  readonly after?: StoredObject;
}

/**
 * The objects of a workspace that are in force, and who names whom. References may lead nowhere: a relation is there as
 * soon as one side names the other. Every change is journalled.
 */
export class Objects {
  readonly #byKind: { readonly [K in Kind]: Map<string, StoredObject<K>> } = {
    fleet: new Map(),
    cluster: new Map(),
    group: new Map(),
    api: new Map(),
    app: new Map(),
  };
  readonly #credentials = new Map<string, readonly Credential[]>();
  readonly #registered = new Map<string, readonly EndpointIr[]>();
  /** By {@link questionKey}. */
  readonly #answers = new Map<string, Answer>();
  /** Clusters that want a question to be asked, by {@link questionKey}. */
  readonly clustersOfQuestion = new Relation();
  readonly apisOfGroup = new Relation();
  readonly apisOfCluster = new Relation();
  readonly groupsOfHost = new Relation();
  /** Groups that name the fleet; a group that names none is served by all. */
  readonly groupsNamingFleet = new Relation();
  readonly appsGrantedApi = new Relation();
  readonly appsGrantedGroup = new Relation();
  readonly appsOfAccessKey = new Relation();
  readonly #ids = new Relation();

  find<K extends Kind>(kind: K, name: string): StoredObject<K> | undefined {
    return this.#byKind[kind].get(name) as StoredObject<K> | undefined;
  }

  all<K extends Kind>(kind: K): IterableIterator<StoredObject<K>> {
    return this.#byKind[kind].values() as IterableIterator<StoredObject<K>>;
  }

  credentials({ kind, name }: Owner): readonly Credential[] {
    return this.#credentials.get(`${kind}\n${name}`) ?? [];
  }

  /** Endpoints registered for the cluster, whether or not it is in force; the same list until they change. */
  registered(cluster: string): readonly EndpointIr[] {
    return this.#registered.get(cluster) ?? NONE;
  }

  /** What DNS answered to what the cluster wants to be asked; what was never answered is left out. */
  answers({ spec }: StoredObject<'cluster'>): readonly Answer[] {
    return questionsOf(spec).flatMap((question) => this.#answers.get(questionKey(question)) ?? []);
  }

  /** The newest answer to a question, whether or not anyone wants it asked. */
  answer(question: Question): Answer | undefined {
    return this.#answers.get(questionKey(question));
  }

  /** Names of the objects of `kind` that have this id; more than one is a fault. */
  withId(kind: Kind, id: string): ReadonlySet<string> {
    return this.#ids.of(`${kind}\n${id}`);
  }

  /** Puts `upserts` in force and takes `removals` out; what is in both stays in force. */
  change(
    journal: Journal,
    upserts: readonly StoredObject[],
    removals: readonly { readonly kind: Kind; readonly name: string }[],
  ): Touched[] {
    const touched = new Map<string, Touched>();
    for (const { kind, name } of removals) {
      const before = this.find(kind, name);
      if (before) touched.set(`${kind}\n${name}`, { kind, name, before });
    }
    for (const after of upserts) {
      const { kind, name } = after;
      const before = this.find(kind, name);
      touched.set(`${kind}\n${name}`, { kind, name, after, ...(before && { before }) });
    }
    const list = [...touched.values()];
    for (const { before } of list) if (before) this.#unlink(journal, before);
    for (const { after } of list) if (after) this.#link(journal, after);
    for (const { kind, name, after } of list) {
      if (!after && (kind === 'app' || kind === 'cluster')) this.setCredentials(journal, { kind, name }, []);
    }
    return list;
  }

  setCredentials(journal: Journal, owner: Owner, credentials: readonly Credential[]): void {
    const key = `${owner.kind}\n${owner.name}`;
    if (owner.kind === 'app') {
      for (const { accessKey } of this.credentials(owner)) this.appsOfAccessKey.remove(journal, accessKey, owner.name);
      for (const { accessKey } of credentials) this.appsOfAccessKey.add(journal, accessKey, owner.name);
    }
    if (credentials.length > 0) journal.set(this.#credentials, key, credentials);
    else journal.delete(this.#credentials, key);
  }

  setRegistered(journal: Journal, cluster: string, endpoints: readonly EndpointIr[]): void {
    if (endpoints.length > 0) journal.set(this.#registered, cluster, endpoints);
    else journal.delete(this.#registered, cluster);
  }

  /** @param answer without addresses: it is forgotten. */
  setAnswer(journal: Journal, answer: Answer): void {
    if (answer.addresses.length > 0) journal.set(this.#answers, questionKey(answer), answer);
    else journal.delete(this.#answers, questionKey(answer));
  }

  #link(journal: Journal, object: StoredObject): void {
    journal.set(this.#byKind[object.kind] as Map<string, StoredObject>, object.name, object);
    for (const [relation, left] of this.#relations(object)) relation.add(journal, left, object.name);
  }

  #unlink(journal: Journal, object: StoredObject): void {
    for (const [relation, left] of this.#relations(object)) relation.remove(journal, left, object.name);
    journal.delete(this.#byKind[object.kind] as Map<string, StoredObject>, object.name);
  }

  #relations(object: StoredObject): [Relation, string][] {
    const own: [Relation, string][] = [[this.#ids, `${object.kind}\n${object.id}`]];
    switch (object.kind) {
      case 'fleet':
        return own;
      case 'cluster':
        return [
          ...own,
          ...questionsOf(object.spec).map((q): [Relation, string] => [this.clustersOfQuestion, questionKey(q)]),
        ];
      case 'group':
        return [
          ...own,
          ...object.spec.hosts.map((host): [Relation, string] => [this.groupsOfHost, host]),
          ...(object.spec.fleets ?? []).map((fleet): [Relation, string] => [this.groupsNamingFleet, fleet]),
        ];
      case 'api':
        return [
          ...own,
          [this.apisOfGroup, object.spec.group],
          ...clustersOf(object).map((cluster): [Relation, string] => [this.apisOfCluster, cluster]),
        ];
      case 'app':
        return [
          ...own,
          ...(object.spec.grants?.apis ?? []).map((api): [Relation, string] => [this.appsGrantedApi, api]),
          ...(object.spec.grants?.groups ?? []).map((group): [Relation, string] => [this.appsGrantedGroup, group]),
        ];
    }
  }
}

const NONE: readonly EndpointIr[] = Object.freeze([]);

/** Names of the clusters an API sends requests to, each once. */
export function clustersOf({ spec: { upstream } }: StoredObject<'api'>): string[] {
  if (upstream.kind === 'mock') return [];
  return upstream.kind === 'cluster'
    ? [upstream.cluster]
    : [...new Set(upstream.clusters.map(({ cluster }) => cluster))];
}

/** Whether `group` is served by the fleet of that name. */
export function serves(fleet: string, group: StoredObject<'group'>): boolean {
  return group.spec.fleets === undefined || group.spec.fleets.includes(fleet);
}
