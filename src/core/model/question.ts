import type { ClusterSpec, DnsEntry } from './cluster.js';

/** What is asked of DNS for an entry: names that differ in case or by a final dot are one. */
export function questionOf({ type = 'address', name }: Pick<DnsEntry, 'type' | 'name'>): {
  type: 'address' | 'srv';
  name: string;
} {
  return { type, name: name.toLowerCase().replace(/\.$/, '') };
}

/** Everything a cluster wants to be asked, as {@link questionOf} has it; each once. */
export function questionsOf({ discovery }: ClusterSpec): ReturnType<typeof questionOf>[] {
  const questions = (discovery?.dns ?? []).map(questionOf);
  return [...new Map(questions.map((question) => [questionKey(question), question])).values()];
}

/** One text for equal questions. */
export function questionKey({ type, name }: { readonly type: string; readonly name: string }): string {
  return `${type}:${name}`;
}

export function questionOfKey(key: string): ReturnType<typeof questionOf> {
  const [type, name] = key.split(':', 2) as ['address' | 'srv', string];
  return { type, name };
}
