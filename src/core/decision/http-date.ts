const MONTHS: Readonly<Record<string, number>> = {
  Jan: 0,
  Feb: 1,
  Mar: 2,
  Apr: 3,
  May: 4,
  Jun: 5,
  Jul: 6,
  Aug: 7,
  Sep: 8,
  Oct: 9,
  Nov: 10,
  Dec: 11,
};
const IMF_FIXDATE = /^[A-Z][a-z]{2}, (\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/;

/**
 * Unix milliseconds of an HTTP date (RFC 9110 §5.6.7: IMF-fixdate and the asctime form; the form with two-digit years is not
 * read, since its century is a guess). The name of the weekday is not compared with the date, because clients in use get it
 * wrong. Undefined for anything else, also for days that do not exist.
 */
export function parseHttpDate(text: string): number | undefined {
  const imf = IMF_FIXDATE.exec(text);
  if (imf) return utc(imf[3], imf[2], imf[1], imf[4], imf[5], imf[6]);
  const asctime = ASCTIME.exec(text);
  return asctime ? utc(asctime[6], asctime[1], asctime[2], asctime[3], asctime[4], asctime[5]) : undefined;
}

type Text = string | undefined;

function utc(year: Text, monthName: Text, day: Text, hour: Text, minute: Text, second: Text): number | undefined {
  const month = MONTHS[monthName ?? ''];
  if (month === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const midnight = Date.UTC(Number(year), month, Number(day));
  if (new Date(midnight).getUTCMonth() !== month) return undefined;
  return midnight + ((Number(hour) * 60 + Number(minute)) * 60 + Number(second)) * 1000;
}

/** `nowMs` (Unix milliseconds) as IMF-fixdate, e.g. `Tue, 06 Oct 2026 03:04:05 GMT`. */
export function formatHttpDate(nowMs: number): string {
  return new Date(nowMs).toUTCString();
}
