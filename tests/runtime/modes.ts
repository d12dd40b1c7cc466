// Cases of the eleven matching modes (docs/reference/fields.md).

import { ID, phone } from './profiles.js';

/** An item and its outcome: the ID of a profile, or a reason. */
type Case = [item: object | string | number | null, outcome: string];

/** A mode, its `field_name`, and items in the order of one request. */
export const MODES: [matching: string, fieldName: string | undefined, items: Case[]][] = [
  [
    'email',
    undefined,
    [
      [{ email: ' EXAMPLE1@Example.com\t' }, ID.one],
      [{ email: 'sub3@example.com' }, ID.three],
      [{ email: 'both@example.com' }, ID.four],
      [{ email: 'shared@example.com' }, 'ambiguous'],
      [{ email: 'twice@example.com' }, 'duplicate'],
      [{ email: 'news@example.com' }, 'ambiguous'],
      [{ email: 'nobody@example.com' }, 'not_found'],
      [{}, 'missing_field'],
      [{ phone: phone(2) }, 'missing_field'],
      [{ email: null }, 'missing_field'],
      [{ email: 5 }, 'wrong_type'],
      [{ email: ['example1@example.com'] }, 'wrong_type'],
      [{ email: '' }, 'malformed'],
      [{ email: ' \n' }, 'malformed'],
      [{ email: `${'x'.repeat(1013)}@example.com` }, 'too_long'],
      [{ email: `${'x'.repeat(1012)}@example.com` }, 'not_found'],
      ['example1@example.com', 'malformed'],
      [null, 'malformed'],
      [7, 'malformed'],
      [[], 'malformed'],
    ],
  ],
  [
    'email_profile',
    undefined,
    [
      [{ email: 'example1@example.com' }, ID.one],
      [{ email: 'sub3@example.com' }, 'not_found'],
      [{ email: 'both@example.com' }, ID.four],
      [{ email: 'shared@example.com' }, 'ambiguous'],
    ],
  ],
  [
    'email_sub',
    undefined,
    [
      [{ email: 'example1@example.com' }, 'not_found'],
      [{ email: 'Sub3@example.com' }, ID.three],
      [{ email: 'both@example.com' }, ID.five],
      [{ email: 'shared@example.com' }, ID.eight],
      [{ email: 'news@example.com' }, 'ambiguous'],
    ],
  ],
  [
    'phone',
    undefined,
    [
      [{ phone: '79000000001' }, ID.one],
      [{ phone: '+7 (0) 900 000 00 02' }, ID.two],
      [{ phone: '7(900)000.00.03' }, ID.three],
      [{ phone: '7(900)000-00.03' }, 'malformed'],
      [{ phone: phone(4) }, ID.four],
      [{ phone: phone(9) }, 'ambiguous'],
      [{ phone: phone(7) }, 'not_found'],
      [{ phone: 79000000001 }, 'wrong_type'],
      [{ phone: '+-' }, 'malformed'],
      [{ email: 'example1@example.com' }, 'missing_field'],
    ],
  ],
  [
    'phone_sub',
    undefined,
    [
      [{ phone: phone(1) }, 'not_found'],
      [{ phone: phone(3) }, ID.three],
      [{ phone: phone(4) }, ID.five],
    ],
  ],
  [
    'profile_id',
    undefined,
    [
      [{ profile_id: ID.one.toUpperCase() }, ID.one],
      [{ profile_id: ID.three }, ID.three],
      [{ profile_id: 'ffffffffffffffffffffffff' }, 'not_found'],
      [{ profile_id: ID.one.slice(1) }, 'malformed'],
      [{ profile_id: `${ID.one}0` }, 'malformed'],
      [{ profile_id: `${ID.one.slice(1)}g` }, 'malformed'],
      [{ profile_id: 6606 }, 'wrong_type'],
    ],
  ],
  [
    'push_sub',
    undefined,
    [
      [{ provider: 'android-firebase', subscription_id: 'tok:3' }, ID.three],
      [{ provider: 'android-firebase', subscription_id: 'tok' }, 'not_found'],
      [{ provider: 'ios-firebase', subscription_id: 'tok:3' }, 'not_found'],
      [{ provider: 'android-firebase:tok', subscription_id: '3' }, 'not_found'],
      [{ provider: 'android-firebase' }, 'missing_field'],
      [{ subscription_id: 'tok:3' }, 'missing_field'],
      [{ provider: 1, subscription_id: 'tok:3' }, 'wrong_type'],
    ],
  ],
  [
    'custom',
    'Custom_ID',
    [
      [{ field_value: '003' }, ID.one],
      [{ field_value: 'AA' }, 'duplicate'],
      [{ field_value: '002' }, ID.two],
      [{ field_value: '3' }, 'not_found'],
      [{ field_value: 3 }, 'not_found'],
      [{ field_value: 'aa' }, 'not_found'],
      [{ field_value: ' 003' }, 'not_found'],
      [{ field_value: true }, 'wrong_type'],
      [{ field_value: '' }, 'malformed'],
      [{ value: '003' }, 'missing_field'],
    ],
  ],
  [
    'custom',
    'Größe',
    [
      [{ field_value: 'XL ' }, ID.eight],
      [{ field_value: 'XL' }, 'not_found'],
    ],
  ],
  ['custom', 'no such field', [[{ field_value: '003' }, 'not_found']]],
  [
    'custom_sub',
    'telegram',
    [
      [{ field_value: 333 }, ID.three],
      [{ field_value: '333' }, 'duplicate'],
      [{ field_value: -333 }, 'not_found'],
    ],
  ],
  [
    'email_phone',
    undefined,
    [
      [{ email: 'example1@example.com', phone: phone(2) }, ID.one],
      [{ email: 'nobody@example.com', phone: phone(2) }, ID.two],
      [{ email: 'both@example.com' }, ID.four],
      [{ phone: phone(8) }, ID.eight],
      // An ambiguous address ends the search. After an unknown, invalid or missing address, the phone number is searched.
      [{ email: 'shared@example.com', phone: phone(2) }, 'ambiguous'],
      [{ email: 'sub3@example.com', phone: phone(3) }, 'not_found'],
      [{ email: 5, phone: phone(8) }, 'duplicate'],
      [{ email: '', phone: phone(8) }, 'duplicate'],
      [{ email: 'nobody@example.com', phone: phone(9) }, 'ambiguous'],
      [{ email: 'nobody@example.com', phone: 9 }, 'not_found'],
      [{ email: 5 }, 'wrong_type'],
      [{}, 'missing_field'],
    ],
  ],
  [
    'email_phone_sub',
    undefined,
    [
      [{ email: 'sub3@example.com', phone: phone(4) }, ID.three],
      [{ email: 'example1@example.com', phone: phone(4) }, ID.five],
      [{ email: 'news@example.com', phone: phone(3) }, 'ambiguous'],
      [{ email: 'shared@example.com' }, ID.eight],
    ],
  ],
];
