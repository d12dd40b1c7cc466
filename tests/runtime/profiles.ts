// The profiles of the suites: a few with names, one for each kind of key, and many with numbers.

/** Profile IDs. */
export const ID = {
  /** Has `example1@example.com`, and `Custom_ID` 003 and AA, as in the specification. */
  one: '6606e08f10bcdd88297057a7',
  /** Has `example2@example.com`, and `Custom_ID` 002 and YY. */
  two: '66101437dc4594c2934da6da',
  /** Has subscriptions only. */
  three: '000000000000000000000003',
  /** Its address `both@…` and its number `phone(4)` are also subscriptions of `five`. */
  four: '000000000000000000000004',
  five: '000000000000000000000005',
  /** Has the same address and number as `seven`. The address is also a subscription of `eight`. */
  six: '000000000000000000000006',
  seven: '000000000000000000000007',
  eight: '00000000000000000000000e',
} as const;

/** The phone number that ends in `n`, as the import file contains it. */
export const phone = (n: number) => `+7900000000${n}`;

/** An integer that a double cannot represent. */
export const BIG = '9007199254740993';

const NAMED: object[] = [
  {
    profile_id: ID.one,
    email: ['example1@example.com', 'Twice@Example.com', 'twice@example.com'],
    phone: '+7 (900) 000.00.01',
    'custom:Custom_ID': ['003', 'AA'],
  },
  {
    profile_id: ID.two,
    email: 'example2@example.com',
    phone: phone(2),
    'custom:Custom_ID': ['002', 'YY'],
    'custom:number': BIG,
  },
  {
    profile_id: ID.three,
    email_sub: 'sub3@example.com',
    phone_sub: phone(3),
    push_sub: 'android-firebase:tok:3',
    'custom_sub:telegram': '333',
  },
  { profile_id: ID.four, email: 'both@example.com', phone: phone(4) },
  { profile_id: ID.five, email_sub: 'both@example.com', phone_sub: phone(4) },
  { profile_id: ID.six, email: 'shared@example.com', phone: phone(9), email_sub: 'news@example.com' },
  { profile_id: ID.seven, email: 'shared@example.com', phone: phone(9), email_sub: 'news@example.com' },
  { profile_id: ID.eight, email_sub: 'shared@example.com', phone: phone(8), 'custom:Größe': 'XL ' },
];

/** The number of numbered profiles in each import. */
export const NUMBERED = 3000;
/** The address of a numbered profile. */
export const address = (n: number) => `user${n}@bulk.example`;
/** The ID of a numbered profile. An address belongs to different profiles in the two imports. */
export const numbered = (n: number, generation: 'b' | 'c' = 'b') => `${generation}${n.toString(16).padStart(23, '0')}`;

/** The profiles of an import, as NDJSON. */
export function profiles(generation: 'b' | 'c'): string {
  const many = Array.from({ length: NUMBERED }, (_, n) => ({
    profile_id: numbered(n, generation),
    email: address(n),
  }));
  return [...NAMED, ...many].map((profile) => `${JSON.stringify(profile)}\n`).join('');
}
