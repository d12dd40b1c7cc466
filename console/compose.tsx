// Composes a launch: first a dry run, whose report says what becomes of each key, then the launch.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { type Call, call, newRequestId, type Reply, type Schema } from './api';
import { count, plural } from './format';
import { useLoad } from './load';
import { type Reason, reasonText } from './reasons';
import { type Route, urlOf, wholeNumber } from './router';
import { useSession } from './session';
import {
  Action,
  Curl,
  FailureNotice,
  Field,
  Figures,
  IdField,
  Num,
  Page,
  Pill,
  Section,
  Skeleton,
  Table,
  Text,
  useAction,
  useParts,
} from './ui';

type Item = Schema<'Item'>;
type Launched = Schema<'Launched'>;

interface Mode {
  name: NonNullable<Schema<'StartBatch'>['matching']>;
  /** The fields of an item. */
  keys: (keyof Item)[];
  label: string;
  example: string;
  named?: string;
}

const MODES: Mode[] = [
  { name: 'email', keys: ['email'], label: 'E-mail: profiles, then subscriptions', example: 'jo@example.com' },
  { name: 'email_profile', keys: ['email'], label: 'E-mail: profiles only', example: 'jo@example.com' },
  { name: 'email_sub', keys: ['email'], label: 'E-mail: subscriptions only', example: 'jo@example.com' },
  { name: 'phone', keys: ['phone'], label: 'Phone: profiles, then subscriptions', example: '+44 20 7946 0000' },
  { name: 'phone_sub', keys: ['phone'], label: 'Phone: subscriptions only', example: '+44 20 7946 0000' },
  {
    name: 'email_phone',
    keys: ['email', 'phone'],
    label: 'E-mail, then phone: profiles',
    example: 'jo@example.com, +44 20 7946 0000',
  },
  {
    name: 'email_phone_sub',
    keys: ['email', 'phone'],
    label: 'E-mail, then phone: subscriptions',
    example: 'jo@example.com, +44 20 7946 0000',
  },
  { name: 'profile_id', keys: ['profile_id'], label: 'Profile ID', example: '6606e08f10bcdd88297057a7' },
  {
    name: 'push_sub',
    keys: ['provider', 'subscription_id'],
    label: 'Push subscription',
    example: 'android-firebase, SUBSCRIPTION',
  },
  {
    name: 'custom',
    keys: ['field_value'],
    label: 'Custom field of profiles',
    example: '003',
    named: 'Name of the field',
  },
  {
    name: 'custom_sub',
    keys: ['field_value'],
    label: 'Subscriptions of a custom channel',
    example: '333',
    named: 'Name of the channel',
  },
];

/** Converts a line to an item. Two keys are separated by a tab, a semicolon or a comma. */
export function itemOf(line: string, keys: (keyof Item)[]): Item {
  const [first, second] = keys;
  if (!first) return {};
  if (!second) return { [first]: line.trim() };
  const at = line.search(/[\t;,]/);
  const [one, other] = at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
  return { ...(one.trim() && { [first]: one.trim() }), ...(other.trim() && { [second]: other.trim() }) };
}

/** Returns why a text is not a JSON object, or undefined. */
function faultOf(text: string): string | undefined {
  if (!text.trim()) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return undefined;
    return 'This is not a JSON object. Begin it with { and end it with }.';
  } catch (error) {
    return `This is not JSON: ${(error as Error).message.slice(0, 120)}`;
  }
}

interface Outcome {
  line: string;
  reason?: Reason;
  profile?: string;
}

/** What became of each line of a launch. Recipients are in the order of the items that are in no list. */
function outcomesOf(lines: string[], { result, report }: Launched): Outcome[] {
  const reasons = new Map<number, Reason>();
  for (const { index, reason } of [...(report?.unmatched ?? []), ...(report?.invalid ?? [])])
    reasons.set(index, reason);
  for (const index of report?.duplicates ?? []) reasons.set(index, 'duplicate');
  let next = 0;
  return lines.map((line, at) => {
    const reason = reasons.get(at);
    if (reason) return { line, reason };
    const profile = result[next]?.profile_id;
    next += 1;
    return { line, ...(profile !== undefined && { profile }) };
  });
}

interface Tried {
  /** The body without `dry_run`. The dry run is out of date when the form has another one. */
  body: string;
  outcomes: Outcome[];
  matched: number;
}

const LAUNCH_PATIENCE = 120_000;

export function ComposeView({ route }: { route: Route }) {
  const session = useSession();
  const [campaign, setCampaign] = useState(route.parts[1] ?? '');
  const [matching, setMatching] = useState<Mode['name']>('email');
  const [fieldName, setFieldName] = useState('');
  const [keys, setKeys] = useState('');
  const [content, setContent] = useState('');
  const [customData, setCustomData] = useState('');
  const [skipTriggers, setSkipTriggers] = useState(false);
  const [strict, setStrict] = useState(false);
  const [tried, setTried] = useState<Tried>();
  const [launched, setLaunched] = useState<Reply<Launched>>();
  const { busy, failure, run, clear } = useAction();

  const mode = MODES.find(({ name }) => name === matching) as Mode;
  const lines = useMemo(() => keys.split(/\r?\n/).filter((line) => line.trim()), [keys]);
  // Millions of characters are not converted again when another field changes.
  const items = useMemo(() => JSON.stringify(lines.map((line) => itemOf(line, mode.keys))), [lines, mode]);
  const faults = { content: faultOf(content), customData: faultOf(customData) };
  const id = wholeNumber(campaign);
  const missing =
    id === undefined || id === 0
      ? 'Choose a campaign.'
      : lines.length === 0
        ? 'Enter at least one key.'
        : mode.named && !fieldName
          ? `Enter the ${mode.named.toLowerCase()}.`
          : faults.content || faults.customData
            ? 'Correct the JSON.'
            : undefined;

  // The JSON of content and custom data is sent as it was entered: the spelling of numbers does not change.
  const bodyOf = (dryRun: boolean) => {
    const fields = [
      `"trigger_id":${id ?? 0}`,
      `"matching":${JSON.stringify(matching)}`,
      ...(mode.named ? [`"field_name":${JSON.stringify(fieldName)}`] : []),
      ...(content.trim() && !faults.content ? [`"content":${content.trim()}`] : []),
      ...(customData.trim() && !faults.customData ? [`"custom_data":${customData.trim()}`] : []),
      ...(skipTriggers ? ['"skip_triggers":true'] : []),
      ...(strict ? ['"strict":true'] : []),
      ...(dryRun ? ['"dry_run":true'] : []),
      '"report":true',
      `"data":${items}`,
    ];
    return `{${fields.join(',')}}`;
  };
  const callOf = (dryRun: boolean): Call<Launched> => ({
    ...call('post', '/api/v1.1/campaigns/triggers/start_batch'),
    headers: { 'Content-Type': 'application/json' },
    body: bodyOf(dryRun),
    patience: LAUNCH_PATIENCE,
  });
  const body = bodyOf(false);
  const current = tried?.body === body ? tried : undefined;

  // One content has one request ID: sending the launch again cannot launch it twice.
  const [request, setRequest] = useState({ body: '', id: '' });
  useEffect(() => {
    if (tried && tried.body !== request.body) setRequest({ body: tried.body, id: newRequestId() });
  }, [tried]);
  const launchCall = { ...callOf(false), headers: { 'Content-Type': 'application/json', 'Request-ID': request.id } };

  const submit = (event: Event) => {
    event.preventDefault();
    if (missing) return;
    void run(async () => {
      const { data } = await session.send(callOf(true));
      setLaunched(undefined);
      setTried({ body, outcomes: outcomesOf(lines, data), matched: data.report?.matched ?? data.result.length });
    });
  };
  const again = () => {
    setKeys('');
    setTried(undefined);
    setLaunched(undefined);
    setRequest({ body: '', id: '' });
    clear();
  };
  const choose = (value: string) => {
    setCampaign(value);
    if (wholeNumber(value)) history.replaceState(null, '', urlOf(['compose', value]));
  };

  return (
    <Page title="Compose a launch">
      <p class="lead">
        A dry run searches all keys and launches nothing. Its report says who would be reached, and why others would
        not. Use it also to find out why an address is not reached.
      </p>
      <form class="panel form" onSubmit={submit}>
        <div class="columns">
          <CampaignField value={campaign} onChange={choose} />
          <Field label="Matching mode">
            {(ids) => (
              <select
                {...ids}
                value={matching}
                onChange={(event) => setMatching(event.currentTarget.value as Mode['name'])}
              >
                {MODES.map(({ name, label }) => (
                  <option key={name} value={name}>
                    {label}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {mode.named && (
            <Field label={mode.named}>
              {(ids) => (
                <input
                  {...ids}
                  required
                  autocomplete="off"
                  value={fieldName}
                  onInput={(event) => setFieldName(event.currentTarget.value)}
                />
              )}
            </Field>
          )}
        </div>
        <Field
          label="Keys, one a line"
          hint={
            <>
              {mode.keys.length > 1 ? `Each line: ${mode.keys.join(', ')}. ` : ''}
              {plural(lines.length, 'key')}
            </>
          }
        >
          {(ids) => (
            <textarea
              {...ids}
              class="keys"
              rows={6}
              spellcheck={false}
              placeholder={mode.example}
              value={keys}
              onInput={(event) => setKeys(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="columns">
          <JsonField
            label="Content, a JSON object"
            hint="Optional: values for the templates of the message."
            value={content}
            fault={faults.content}
            onChange={setContent}
          />
          <JsonField
            label="Custom data, a JSON object"
            hint="Optional: values for Action hooks."
            value={customData}
            fault={faults.customData}
            onChange={setCustomData}
          />
        </div>
        <div class="row">
          <label class="check">
            <input type="checkbox" checked={strict} onChange={() => setStrict(!strict)} /> Strict: refuse the launch if
            a key is not reached
          </label>
          <label class="check">
            <input type="checkbox" checked={skipTriggers} onChange={() => setSkipTriggers(!skipTriggers)} /> Skip
            triggers
          </label>
        </div>
        {failure && <FailureNotice failure={failure} what="The dry run was refused" />}
        <div class="row">
          <button type="submit" class={`button ${current ? '' : 'primary'}`} disabled={busy || missing !== undefined}>
            {busy ? 'Searching …' : 'Dry run'}
          </button>
          {missing && <span class="hint">{missing}</span>}
          {tried && !current && !launched && <span class="hint">The form has changed: run it dry again.</span>}
        </div>
        {!missing && <Curl call={callOf(true)} label="This dry run as a curl command" />}
      </form>
      {busy && !current && (
        <Section title="Report">
          <Skeleton lines={4} />
        </Section>
      )}
      {launched ? (
        <Result reply={launched} campaign={id ?? 0} again={again} />
      ) : (
        current && (
          <Section title="Report of the dry run">
            <Outcomes outcomes={current.outcomes} />
            {current.matched === 0 && <p>None of the keys is that of a profile.</p>}
            <div class="row">
              <Action
                label={`Launch to ${plural(current.matched, 'recipient')}`}
                heading="Launch the campaign?"
                tone="primary"
                call={launchCall}
                message="The campaign is launched"
                onDone={setLaunched}
              >
                <p>
                  Campaign {id}: {plural(current.matched, 'recipient')} of {plural(current.outcomes.length, 'key')}. A
                  launch cannot be taken back.
                </p>
                <p class="hint">
                  If the answer is lost, confirm again: the request ID makes sure that it is launched once.
                </p>
              </Action>
              {current.matched === 0 && <span class="hint">A launch without recipients is recorded, too.</span>}
            </div>
          </Section>
        )
      )}
    </Page>
  );
}

function CampaignField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const session = useSession();
  const isAdmin = session.can('admin');
  const request = call('get', '/api/v1.1/campaigns/triggers', { query: { limit: 1_000 } });
  const loaded = useLoad('campaigns to compose', async (signal) =>
    isAdmin ? (await session.send(request, signal)).data : { campaigns: [], next: null },
  );
  const campaigns = loaded.data?.campaigns ?? [];
  const known = campaigns.some(({ id }) => String(id) === value);
  // A list that is incomplete, or not allowed, does not prevent a launch: the ID can be entered.
  if (!isAdmin || loaded.failure || (loaded.data && campaigns.length === 0) || loaded.data?.next) {
    return <IdField label="Campaign ID" value={value} onInput={onChange} />;
  }
  return (
    <Field label="Campaign">
      {(ids) => (
        <select {...ids} required value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="">{loaded.data ? 'Choose a campaign' : 'Loading …'}</option>
          {value && !known && <option value={value}>Campaign {value}</option>}
          {campaigns.map(({ id, name, active }) => (
            <option key={id} value={id}>
              {`${id} · ${name.length > 60 ? `${name.slice(0, 60)}…` : name}${active === false ? ' (paused)' : ''}`}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface JsonFieldProps {
  label: string;
  hint: string;
  value: string;
  fault: string | undefined;
  onChange: (value: string) => void;
}

function JsonField({ label, hint, value, fault, onChange }: JsonFieldProps) {
  return (
    <Field label={label} hint={fault ? <span class="error">{fault}</span> : hint}>
      {(ids) => (
        <textarea
          {...ids}
          rows={4}
          spellcheck={false}
          aria-invalid={fault !== undefined}
          placeholder='{"name": "Jo"}'
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

function Outcomes({ outcomes }: { outcomes: Outcome[] }) {
  const [missed, setMissed] = useState(false);
  const counted = (wanted: (reason: Reason | undefined) => boolean) =>
    outcomes.filter(({ reason }) => wanted(reason)).length;
  const numbered = outcomes.map((outcome, at) => ({ ...outcome, at }));
  const selected = missed ? numbered.filter(({ reason }) => reason) : numbered;
  const { part, buttons, reset } = useParts(selected, 'keys');
  const unmatched = (reason: Reason | undefined) => reason === 'not_found' || reason === 'ambiguous';
  return (
    <>
      <Figures
        figures={[
          { label: 'Recipients', value: <Num value={counted((reason) => !reason)} /> },
          { label: 'Unmatched', value: <Num value={counted(unmatched)} />, note: 'no profile, or several' },
          {
            label: 'Invalid',
            value: (
              <Num value={counted((reason) => reason !== undefined && !unmatched(reason) && reason !== 'duplicate')} />
            ),
            note: 'not usable as a key',
          },
          {
            label: 'Duplicates',
            value: <Num value={counted((reason) => reason === 'duplicate')} />,
            note: 'profile already in the launch',
          },
        ]}
      />
      <p>
        <label class="check">
          <input
            type="checkbox"
            checked={missed}
            onChange={() => {
              setMissed(!missed);
              reset();
            }}
          />{' '}
          Only keys that are not reached
        </label>
      </p>
      {part.length === 0 ? (
        <p>Every key reaches a profile.</p>
      ) : (
        <Table
          caption="Outcome of each key"
          rows={part}
          id={({ at }) => at}
          columns={[
            { head: 'Line', numeric: true, cell: ({ at }) => count(at + 1) },
            { head: 'Key', card: 'lead', cell: ({ line }) => <Text value={line} limit={120} /> },
            {
              head: 'Outcome',
              cell: ({ reason }) =>
                reason ? (
                  <Pill tone={reason === 'duplicate' ? 'neutral' : 'warning'}>{reason}</Pill>
                ) : (
                  <Pill tone="good">reached</Pill>
                ),
            },
            {
              head: 'Profile, or what to do',
              card: 'wide',
              cell: ({ reason, profile }) => (reason ? reasonText(reason) : <code>{profile}</code>),
            },
          ]}
        />
      )}
      {buttons}
    </>
  );
}

function Result({ reply, campaign, again }: { reply: Reply<Launched>; campaign: number; again: () => void }) {
  const id = reply.headers.get('Launch-ID');
  const matched = Number(reply.headers.get('Launch-Matched') ?? reply.data.result.length);
  return (
    <div class="notice good" role="status">
      <h2>Launched to {plural(matched, 'recipient')}</h2>
      {reply.headers.get('Duplicate-Request') && (
        <p>The launch had been accepted before; this answer repeats the first one.</p>
      )}
      <p class="row">
        {id && (
          <a class="button primary" href={urlOf(['campaigns', campaign, 'launches', id])}>
            Open the launch
          </a>
        )}
        <button type="button" class="button" onClick={again}>
          Compose another one
        </button>
      </p>
    </div>
  );
}
