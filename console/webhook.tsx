// The webhook of a campaign: its state, its attempts, and its actions.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { call, Failure, type Schema } from './api';
import { count, plural } from './format';
import { useLoad } from './load';
import { wholeNumber } from './router';
import { type Session, useSession } from './session';
import {
  Action,
  announce,
  Copy,
  Curl,
  Empty,
  Facts,
  FailureNotice,
  Field,
  Num,
  Pill,
  Section,
  Show,
  Table,
  Text,
  Time,
  Updates,
  useAction,
} from './ui';

type Webhook = Schema<'Webhook'>;
type Attempt = Schema<'WebhookAttempts'>['attempts'][number];

const EVERY = 5_000;

const pathOf = (id: number) => ({ path: { trigger_id: id } });

export const webhookCall = (id: number) => call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook', pathOf(id));
const attemptsCall = (id: number) =>
  call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook/attempts', { ...pathOf(id), query: { limit: 100 } });

/** The time for which a campaign without a webhook is not asked for it again, in milliseconds. */
const ABSENT = 60_000;

/** Reads the webhook of a campaign; `null` if the campaign had none in the last minute. */
export async function readWebhook(session: Session, id: number, signal: AbortSignal): Promise<Webhook | null> {
  const absent = session.withoutWebhook.get(id);
  return absent !== undefined && Date.now() < absent + ABSENT ? null : readWebhookNow(session, id, signal);
}

async function readWebhookNow(session: Session, id: number, signal: AbortSignal): Promise<Webhook | null> {
  try {
    const { data } = await session.send(webhookCall(id), signal);
    session.withoutWebhook.delete(id);
    return data;
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 404) throw error;
    session.withoutWebhook.set(id, Date.now());
    return null;
  }
}

/** The state of a webhook in one word; `undefined` while it is not known. */
export function StatusPill({ webhook }: { webhook: Webhook | null | undefined }) {
  if (webhook === undefined) return <span class="zero">–</span>;
  if (webhook === null) return <Pill tone="neutral">None</Pill>;
  switch (webhook.state.status) {
    case 'idle':
      return <Pill tone="good">Up to date</Pill>;
    case 'delivering':
      return <Pill tone="active">Delivering</Pill>;
    case 'retrying':
      return <Pill tone="warning">Retrying</Pill>;
    case 'paused':
      return <Pill tone="warning">Paused</Pill>;
    case 'stopped':
      return <Pill tone="bad">Stopped</Pill>;
  }
}

/** Whether a launch has arrived at the receiver. */
export function ArrivalPill({ webhook, sequence }: { webhook: Webhook; sequence: number }) {
  const { delivered_through, status } = webhook.state;
  if (delivered_through !== null && sequence <= delivered_through) return <Pill tone="good">Delivered</Pill>;
  if (status === 'idle') return <span class="zero">Older than the webhook</span>;
  if (status === 'delivering') return <Pill tone="active">In delivery</Pill>;
  return <Pill tone={status === 'stopped' ? 'bad' : 'warning'}>Waiting</Pill>;
}

export function WebhookPanel({ id }: { id: number }) {
  const session = useSession();
  const [live, setLive] = useState(true);
  const [secret, setSecret] = useState<string>();
  const [editing, setEditing] = useState(false);
  const loaded = useLoad(
    `webhook ${id}`,
    async (signal) => {
      const webhook = await readWebhookNow(session, id, signal);
      const attempts = webhook ? (await session.send(attemptsCall(id), signal)).data.attempts : [];
      return { webhook, attempts };
    },
    live ? EVERY : undefined,
  );
  const saved = (webhook: Webhook) => {
    setSecret(webhook.secret);
    setEditing(false);
    loaded.reload();
  };
  return (
    <>
      {secret && <Secret secret={secret} onClose={() => setSecret(undefined)} />}
      <Show loaded={loaded} failed="The webhook could not be read">
        {({ webhook, attempts }) =>
          webhook === null ? (
            <Section title="Webhook">
              <Empty title="This campaign has no webhook.">
                <p>
                  With a webhook, every launch is sent to your receiver at once. Delivery begins with the next launch.
                </p>
              </Empty>
              <Definition id={id} onSaved={saved} />
            </Section>
          ) : (
            <>
              <Section title="Webhook" tools={<Updates loaded={loaded} live={live} onChange={setLive} />}>
                <State webhook={webhook} />
                <div class="row actions">
                  <Actions id={id} webhook={webhook} saved={saved}>
                    <button type="button" class="button" aria-expanded={editing} onClick={() => setEditing(!editing)}>
                      Edit
                    </button>
                  </Actions>
                </div>
                {editing && <Definition id={id} webhook={webhook} onSaved={saved} />}
                <Curl call={webhookCall(id)} />
              </Section>
              <Section title="Attempts, newest first">
                <Attempts attempts={attempts} />
                <Curl call={attemptsCall(id)} />
              </Section>
            </>
          )
        }
      </Show>
    </>
  );
}

/** The secret, which cannot be read again. */
function Secret({ secret, onClose }: { secret: string; onClose: () => void }) {
  return (
    <div class="notice active" role="alert">
      <h2>The secret of the webhook</h2>
      <p>The receiver verifies signatures with it. It is shown only now: copy it before you leave this page.</p>
      <p>
        <code class="secret">{secret}</code>
      </p>
      <p class="row">
        <Copy text={secret} what="the secret" />
        <button type="button" class="button" onClick={onClose}>
          I have stored it
        </button>
      </p>
    </div>
  );
}

const EXPLAINED: Record<Webhook['state']['status'], string> = {
  idle: 'Every launch since the webhook was created has arrived.',
  delivering: 'Launches are being sent now.',
  retrying: 'The receiver failed. The same page is sent again later; nothing is skipped.',
  paused: 'Nothing is sent. Launches are delivered after you continue the delivery.',
  stopped: 'The receiver failed too often, or answered 410. Correct it, then resume.',
};

function State({ webhook }: { webhook: Webhook }) {
  const { url, headers, recipients, ordering, state } = webhook;
  const outcome =
    state.last_status !== null ? (
      `status ${state.last_status}`
    ) : state.last_error ? (
      <Text value={state.last_error} />
    ) : (
      'none yet'
    );
  return (
    <>
      <p class="row">
        <StatusPill webhook={webhook} /> {EXPLAINED[state.status]}
      </p>
      <Facts
        facts={[
          ['Receiver', <Text value={url} />],
          [
            'Delivered through',
            state.delivered_through === null ? 'nothing yet' : `launch ${count(state.delivered_through)}`,
          ],
          ['Last attempt', outcome],
          ...(state.failing_since
            ? ([['Failing since', <Time at={state.failing_since} />]] as [string, ComponentChildren][])
            : []),
          ...(state.next_attempt_at
            ? ([['Next attempt', <Time at={state.next_attempt_at} />]] as [string, ComponentChildren][])
            : []),
          ...(state.expired
            ? ([['Expired', `${plural(state.expired, 'launch', 'launches')} removed before delivery`]] as [
                string,
                string,
              ][])
            : []),
          [
            'Order',
            ordering === 'strict' ? 'strict: one launch after the other' : 'relaxed: up to four launches at once',
          ],
          ['Recipients', recipients === 'inline' ? 'in the messages' : 'not in the messages'],
          [
            'Headers',
            headers.length ? (
              <>
                {headers.map((name, at) => (
                  <>
                    {at > 0 && ', '}
                    <Text value={name} limit={60} />
                  </>
                ))}
              </>
            ) : (
              'none'
            ),
          ],
        ]}
      />
    </>
  );
}

interface ActionsProps {
  id: number;
  webhook: Webhook;
  saved: (webhook: Webhook) => void;
  /** Further buttons. */
  children: ComponentChildren;
}

function Actions({ id, webhook, saved, children }: ActionsProps) {
  const { active, state } = webhook;
  const [after, setAfter] = useState('');
  const path = pathOf(id);
  const first = wholeNumber(after);
  return (
    <>
      {state.status === 'stopped' && (
        <Action
          label="Resume"
          heading="Resume the delivery?"
          tone="primary"
          call={call('post', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook/resume', path)}
          message="The delivery continues"
          onDone={({ data }) => saved(data)}
        >
          <p>The page that failed is sent again, and the schedule of retries begins again.</p>
        </Action>
      )}
      <Action
        label="Send a test"
        heading="Send a test message?"
        call={call('post', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook/test', path)}
        message={({ data }) =>
          data.status === null
            ? `The test failed: ${data.error ?? 'no status'}`
            : `The receiver answered ${data.status} after ${count(data.duration_ms)} ms`
        }
        onDone={() => {}}
      >
        <p>
          The receiver gets a message of the type <code>webhook.test</code> at once. It changes nothing in the delivery.
        </p>
      </Action>
      <Action
        label={active ? 'Pause delivery' : 'Continue delivery'}
        heading={active ? 'Pause the delivery?' : 'Continue the delivery?'}
        call={call('put', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook', { ...path, body: { active: !active } })}
        message={active ? 'The delivery is paused' : 'The delivery continues'}
        onDone={({ data }) => saved(data)}
      >
        <p>
          {active
            ? 'Nothing is sent until you continue. Launches are still accepted, and are delivered afterwards.'
            : 'Launches that were accepted meanwhile are delivered now, in order.'}
        </p>
      </Action>
      <Action
        label="Replay"
        heading="Deliver launches again"
        call={call('post', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook/replay', {
          ...path,
          body: { after: first ?? 0 },
        })}
        message="The launches are delivered again"
        onDone={({ data }) => saved(data)}
        invalid={first === undefined ? 'Enter the number of a launch, or 0.' : undefined}
      >
        <p>All launches after this number are sent again. Receivers ignore a webhook-id that they have processed.</p>
        <Field label="After launch number" hint="0 begins with the first launch.">
          {(ids) => (
            <input
              {...ids}
              inputMode="numeric"
              autocomplete="off"
              value={after}
              onInput={(event) => setAfter(event.currentTarget.value.trim())}
            />
          )}
        </Field>
      </Action>
      {(state.status === 'retrying' || state.status === 'stopped') && (
        <Action
          label="Skip a page"
          heading="Skip the page that fails?"
          tone="danger"
          call={call('post', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook/skip', path)}
          message="The page is skipped"
          onDone={({ data }) => saved(data)}
        >
          <p>The first page that has failed counts as delivered. The receiver does not get it, unless you replay it.</p>
        </Action>
      )}
      <Action
        label="Rotate the secret"
        heading="Make a new secret?"
        call={call('post', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook/rotate', path)}
        message="The secret is rotated"
        onDone={({ data }) => saved(data)}
      >
        <p>For 24 hours the old and the new secret both sign. Give the new one to the receiver in that time.</p>
      </Action>
      {children}
      <Action
        label="Remove"
        heading="Remove the webhook?"
        tone="danger"
        call={call('delete', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook', path)}
        message="The webhook is removed"
        onDone={({ data }) => saved(data as Webhook)}
      >
        <p>Launches that have not arrived are not delivered. The secret is deleted.</p>
      </Action>
    </>
  );
}

/** Creates the webhook, or changes it. */
function Definition({ id, webhook, onSaved }: { id: number; webhook?: Webhook; onSaved: (webhook: Webhook) => void }) {
  const session = useSession();
  const { busy, failure, run } = useAction();
  const [url, setUrl] = useState(webhook?.url ?? '');
  const [recipients, setRecipients] = useState(webhook?.recipients ?? 'inline');
  const [ordering, setOrdering] = useState(webhook?.ordering ?? 'strict');
  const [headers, setHeaders] = useState('');
  const lines = headers.split('\n').filter((line) => line.trim());
  const invalid = lines.find((line) => !/^[^:\s]+:/.test(line));
  const named = Object.fromEntries(
    lines.map((line) => {
      const [name = '', ...value] = line.split(':');
      return [name.trim(), value.join(':').trim()];
    }),
  );
  const request = call('put', '/api/v1.1/campaigns/triggers/{trigger_id}/webhook', {
    ...pathOf(id),
    body: { url, recipients, ordering, ...(lines.length && { headers: named }) },
  });
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      const { data } = await session.send(request);
      announce(webhook ? 'The webhook is saved' : 'The webhook is created');
      onSaved(data);
    });
  };
  return (
    <form class="form" onSubmit={submit}>
      <Field label="URL of the receiver" hint="https and a public host name. Redirects are not followed.">
        {(ids) => (
          <input
            {...ids}
            type="url"
            required
            placeholder="https://receiver.example/launches"
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value.trim())}
          />
        )}
      </Field>
      <div class="columns">
        <Field label="Recipients">
          {(ids) => (
            <select
              {...ids}
              value={recipients}
              onChange={(event) => setRecipients(event.currentTarget.value as 'inline')}
            >
              <option value="inline">in the messages</option>
              <option value="none">not in the messages</option>
            </select>
          )}
        </Field>
        <Field label="Order">
          {(ids) => (
            <select {...ids} value={ordering} onChange={(event) => setOrdering(event.currentTarget.value as 'strict')}>
              <option value="strict">strict: one after the other</option>
              <option value="relaxed">relaxed: up to four at once</option>
            </select>
          )}
        </Field>
      </div>
      <Field
        label="Headers"
        hint={
          webhook?.headers.length
            ? 'One a line, “Name: value”. These replace the present ones; leave this empty to keep them.'
            : 'Optional, one a line, “Name: value”, at most 10. Their values cannot be read again.'
        }
      >
        {(ids) => (
          <textarea
            {...ids}
            rows={2}
            spellcheck={false}
            value={headers}
            onInput={(event) => setHeaders(event.currentTarget.value)}
          />
        )}
      </Field>
      {invalid && <p class="error">“{invalid.slice(0, 40)}” is not “Name: value”.</p>}
      {failure && <FailureNotice failure={failure} what="The webhook was not saved" />}
      <p class="row">
        <button type="submit" class="button primary" disabled={busy || invalid !== undefined}>
          {busy ? 'Please wait …' : webhook ? 'Save the webhook' : 'Create the webhook'}
        </button>
      </p>
      <Curl call={request} />
    </form>
  );
}

function Attempts({ attempts }: { attempts: Attempt[] }) {
  if (attempts.length === 0) {
    return (
      <Empty title="Nothing has been sent yet.">
        <p>The first attempt follows the next launch.</p>
      </Empty>
    );
  }
  return (
    <Table
      caption="Attempts, newest first"
      rows={attempts}
      id={({ webhook_id, at }) => `${webhook_id} ${at}`}
      columns={[
        { head: 'Time', card: 'lead', cell: ({ at }) => <Time at={at} /> },
        {
          head: 'Result',
          cell: ({ status, error }) =>
            status !== null && status >= 200 && status < 300 ? (
              <Pill tone="good">{status}</Pill>
            ) : (
              <>
                <Pill tone="bad">{status ?? 'Failed'}</Pill> {error && <Text value={error} limit={120} />}
              </>
            ),
        },
        { head: 'Launch', numeric: true, cell: ({ sequence }) => <Num value={sequence} /> },
        { head: 'Page', numeric: true, cell: ({ page }) => <Num value={page} /> },
        { head: 'Duration, ms', numeric: true, cell: ({ duration_ms }) => <Num value={duration_ms} /> },
      ]}
    />
  );
}
