import winston from 'winston';

export interface LogSettings {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly format: 'text' | 'json';
}

/** Structured messages of one process. Fields never hold secrets: the type that carries them prints as `[redacted]`. */
export interface Log {
  error(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  debug(message: string, fields?: Record<string, unknown>): void;
  setLevel(level: LogSettings['level']): void;
  level(): string;
}

/** A logger that writes to stderr, one line a message. `name` is the process or room. */
export function createLogger(settings: LogSettings, name: string): Log {
  const line = winston.format.printf(({ timestamp, level, message, name: from, ...fields }) => {
    const rest = Object.keys(fields).length > 0 ? ` ${JSON.stringify(fields)}` : '';
    return `${String(timestamp)} ${level.toUpperCase().padEnd(5)} ${String(from)}: ${String(message)}${rest}`;
  });
  const logger = winston.createLogger({
    level: settings.level,
    defaultMeta: { name },
    format: winston.format.combine(
      winston.format.timestamp(),
      winston.format.errors({ stack: true }),
      settings.format === 'json' ? winston.format.json() : line,
    ),
    transports: [new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] })],
  });
  const write = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    logger.log(level, message, fields ?? {});
  };
  return {
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    setLevel: (level) => {
      logger.level = level;
    },
    level: () => logger.level,
  };
}
