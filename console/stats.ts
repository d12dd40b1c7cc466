// The totals of a campaign over time.

import { call } from './api';
import type { Bucket, Period } from './chart';
import { zone } from './format';
import type { Session } from './session';

/** The request for the default period: the last 24 hours, or the last 30 days in the reader's time zone. */
export const statsCall = (id: number, period: Period) =>
  call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/stats', {
    path: { trigger_id: id },
    query: { bucket: period, offset: zone() },
  });

export const readStats = async (session: Session, id: number, period: Period, signal: AbortSignal): Promise<Bucket[]> =>
  (await session.send(statsCall(id, period), signal)).data.buckets;
