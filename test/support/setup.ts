// Loaded before each test file: Nest's decorators write their metadata through this.
import 'reflect-metadata';
