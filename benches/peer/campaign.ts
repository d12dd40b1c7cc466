// The campaign's object. A launch is a row, and its recipients are one or more other rows.

import { DurableObject } from 'cloudflare:workers';
import type { Recipient } from './lookup.js';

/** Recipients of a row. It is smaller than the platform's limit of 2 MB unless the recipients have large data. */
const RECIPIENTS_A_ROW = 30_000;

export class Campaign extends DurableObject {
  constructor(state: DurableObjectState, env: unknown) {
    super(state, env as never);
    const { sql } = state.storage;
    sql.exec(
      'CREATE TABLE IF NOT EXISTS launches (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, record TEXT NOT NULL)',
    );
    sql.exec(
      'CREATE TABLE IF NOT EXISTS recipients (sequence INTEGER, start INTEGER, list TEXT NOT NULL, ' +
        'PRIMARY KEY (sequence, start)) WITHOUT ROWID',
    );
  }

  launch(id: string, record: string, recipients: Recipient[]): void {
    const { sql } = this.ctx.storage;
    this.ctx.storage.transactionSync(() => {
      const insert = 'INSERT INTO launches (id, record) VALUES (?, ?) RETURNING sequence';
      const { sequence } = sql.exec<{ sequence: number }>(insert, id, record).one();
      for (let start = 0; start < recipients.length; start += RECIPIENTS_A_ROW) {
        const list = JSON.stringify(recipients.slice(start, start + RECIPIENTS_A_ROW));
        sql.exec('INSERT INTO recipients VALUES (?, ?, ?)', sequence, start, list);
      }
    });
  }
}
