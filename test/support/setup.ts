// Loaded before each test file. Nest's decorators write their metadata through reflect-metadata.
import 'reflect-metadata';
import { afterAll, afterEach, beforeEach } from 'vitest';
import { closeScope, openScope } from './cleanup.js';

beforeEach(openScope);
afterEach(closeScope);
afterAll(closeScope);
