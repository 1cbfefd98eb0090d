import { readdirSync, readFileSync } from 'node:fs';

/** CPU a process has used so far, all its threads, in milliseconds (Linux: /proc/PID/task/*\/schedstat). */
export function cpuMs(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      total += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    } catch {
      // The thread ended between the listing and the reading.
    }
  }
  return total;
}

/** Resident memory of a process in MiB. */
export function rssMiB(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** The `p`-quantile (0–1) of `values` by nearest rank. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;
}

/** One line about the machine: figures mean little without it. */
export function machine(): string {
  const cpus = readFileSync('/proc/cpuinfo', 'utf8').match(/^processor/gm)?.length ?? 0;
  const load = readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3).join(' ');
  return `${cpus} CPUs, load average ${load}, Node ${process.versions.node}`;
}

/** CPU one thread has used so far, in milliseconds. The thread of a process's own id is its main one. */
export function threadCpuMs(pid: number, thread: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

/** CPU time of the machine so far, and what of it a host took for other guests; in ticks. */
export function steal(): { readonly stolen: number; readonly all: number } {
  const ticks = (/^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '').split(' ').map(Number);
  return { stolen: ticks[7] ?? 0, all: ticks.slice(0, 8).reduce((sum, n) => sum + n, 0) };
}

/** p50, p99 and max of `values`, in milliseconds. */
export function figures(values: readonly number[]): string {
  const at = (p: number) => quantile(values, p).toFixed(1);
  return `p50 ${at(0.5)}  p99 ${at(0.99)}  max ${at(1)}`;
}
