// Why an item is not a recipient, and what to do about it.

import type { Schema } from './api';

type Report = Schema<'Report'>;
export type Reason = Report['unmatched'][number]['reason'] | Report['invalid'][number]['reason'] | 'duplicate';

const TEXTS: Record<Reason, string> = {
  not_found: 'No profile has this key. Check the spelling, the matching mode and the last import of the database.',
  ambiguous:
    'Two or more profiles have this key, so none is chosen. Remove it from all but one, or match by profile_id.',
  missing_field: 'The item has no value for the key field of the matching mode.',
  wrong_type: 'The key is neither a text nor a number, or custom_data is not an object.',
  too_long: 'The key is longer than the limit.',
  malformed: 'The key is not a valid address, number or profile ID.',
  duplicate: 'An earlier item has the same profile. Each profile gets the launch once.',
};

export const reasonText = (reason: Reason) => TEXTS[reason];
