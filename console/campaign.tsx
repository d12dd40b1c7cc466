// A campaign: its state, its launches over time, and its launches, newest first.

import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { call, type Schema } from './api';
import { Chart, periodName, periodOf } from './chart';
import { count } from './format';
import { useLoad } from './load';
import { type Route, urlOf, wholeNumber } from './router';
import { useSession } from './session';
import { readStats, statsCall } from './stats';
import {
  Action,
  ActivePill,
  Choice,
  Curl,
  Empty,
  Figures,
  Num,
  Page,
  Pager,
  Section,
  Show,
  Table,
  Text,
  Time,
  Updates,
} from './ui';
import { ArrivalPill, readWebhook, StatusPill, WebhookPanel } from './webhook';

const PAGE = 50;
const EVERY = 5_000;

export const campaignCall = (id: number) =>
  call('get', '/api/v1.1/campaigns/triggers/{trigger_id}', { path: { trigger_id: id } });

interface CampaignProps {
  id: number;
  route: Route;
  tab: 'launches' | 'webhook';
}

export function CampaignView({ id, route, tab }: CampaignProps) {
  const session = useSession();
  const isAdmin = session.can('admin');
  const loaded = useLoad(
    `campaign ${id}`,
    async (signal) => {
      if (!isAdmin) return {};
      const [{ data }, webhook] = await Promise.all([
        session.send(campaignCall(id), signal),
        readWebhook(session, id, signal),
      ]);
      return { campaign: data, webhook };
    },
    EVERY,
  );
  const campaign = loaded.data?.campaign;
  return (
    <Page
      title={campaign?.name ?? `Campaign ${id}`}
      heading={
        campaign ? (
          <>
            <Text value={campaign.name} />{' '}
            <small>
              ID {id} · <a href={urlOf(['profiles', campaign.database])}>database {campaign.database}</a>
            </small>
          </>
        ) : (
          `Campaign ${id}`
        )
      }
      crumbs={[{ label: 'Campaigns', url: urlOf(['campaigns']) }]}
      tools={
        <>
          {session.can('launch') && (isAdmin ? campaign?.active : true) && (
            <a class="button primary" href={urlOf(['compose', id])}>
              Compose a launch
            </a>
          )}
          {campaign && <PauseAction campaign={campaign} onDone={loaded.reload} />}
        </>
      }
    >
      <Show loaded={loaded} failed={`Campaign ${id} could not be read`}>
        {() => (
          <>
            {campaign && (
              <Figures
                figures={[
                  { label: 'State', value: <ActivePill active={campaign.active} /> },
                  { label: 'Webhook', value: <StatusPill webhook={loaded.data?.webhook} /> },
                  { label: 'All launches', value: count(campaign.launches) },
                  { label: 'All recipients', value: count(campaign.recipients) },
                ]}
              />
            )}
            {isAdmin && (
              <Choice
                label="Parts of the campaign"
                links={[
                  { label: 'Launches', url: urlOf(['campaigns', id]), current: tab === 'launches' },
                  { label: 'Webhook', url: urlOf(['campaigns', id, 'webhook']), current: tab === 'webhook' },
                ]}
              />
            )}
            {tab === 'webhook' && isAdmin ? (
              <WebhookPanel id={id} />
            ) : session.can('read') ? (
              <Launches id={id} route={route} active={campaign?.active} webhook={loaded.data?.webhook} />
            ) : (
              <Empty title="This token cannot read launches.">
                <p>
                  Sign in with a token that has the scope <code>read</code>.
                </p>
              </Empty>
            )}
            {campaign && <Curl call={campaignCall(id)} label="This campaign as a curl command" />}
          </>
        )}
      </Show>
    </Page>
  );
}

function PauseAction({ campaign, onDone }: { campaign: Schema<'Campaign'>; onDone: () => void }) {
  const { active, id, name } = campaign;
  const change = call('put', '/api/v1.1/campaigns/triggers/{trigger_id}', {
    path: { trigger_id: id },
    body: { active: !active },
  });
  return (
    <Action
      label={active ? 'Pause' : 'Resume'}
      heading={active ? 'Pause this campaign?' : 'Resume this campaign?'}
      call={change}
      message={active ? 'The campaign is paused' : 'The campaign is active'}
      onDone={onDone}
      tone={active ? 'danger' : 'primary'}
    >
      <p>
        <strong>
          <Text value={name} />
        </strong>{' '}
        (ID {id})
      </p>
      <p>
        {active
          ? 'Launches get status 409 until you resume it. Launches that were accepted are still delivered.'
          : 'Launches are accepted again at once.'}
      </p>
    </Action>
  );
}

interface LaunchesProps {
  id: number;
  route: Route;
  active: boolean | undefined;
  webhook: Schema<'Webhook'> | null | undefined;
}

function Launches({ id, route, active, webhook }: LaunchesProps) {
  const session = useSession();
  const [live, setLive] = useState(true);
  const period = periodOf(route.query);
  const before = wholeNumber(route.query.get('before'));
  const listOf = (limit: number) =>
    call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches', {
      path: { trigger_id: id },
      query: { order: 'desc', limit, ...(before !== undefined && { before }) },
    });
  const list = listOf(PAGE);
  const last = useRef<{ target: string; page: Schema<'Launches'> } | undefined>(undefined);
  const every = live && before === undefined ? EVERY : undefined;
  const read = async (signal: AbortSignal) => {
    // A page can have several MiB of content, so an update reads one launch, and the page only if the launch is new.
    const known = last.current?.target === list.target ? last.current.page : undefined;
    if (known) {
      const [newest] = (await session.send(listOf(1), signal)).data.launches;
      if (newest?.launch_id === known.launches[0]?.launch_id) return known;
    }
    const { data } = await session.send(list, signal);
    last.current = { target: list.target, page: data };
    return data;
  };
  const loaded = useLoad(list.target, read, every);
  const stats = useLoad(
    `stats ${id} ${period}`,
    (signal) => readStats(session, id, period, signal),
    live ? EVERY * 3 : undefined,
  );
  const link = (query: Record<string, string | number | undefined>) =>
    urlOf(['campaigns', id], { period: period === 'day' ? 'day' : undefined, before, ...query });
  const first = link({ before: undefined });
  return (
    <>
      <Section
        title={`Launches in the ${periodName(period)}`}
        tools={
          <Choice
            label="Period"
            links={(['hour', 'day'] as const).map((value) => ({
              label: value === 'hour' ? '24 hours' : '30 days',
              url: link({ period: value === 'day' ? 'day' : undefined }),
              current: value === period,
            }))}
          />
        }
      >
        <Show loaded={stats} failed="The totals could not be read">
          {(buckets) => <Chart buckets={buckets} period={period} />}
        </Show>
        <Curl call={statsCall(id, period)} />
      </Section>
      <Section
        title={before === undefined ? 'Launches, newest first' : `Launches before number ${before}`}
        tools={before === undefined && <Updates loaded={loaded} live={live} onChange={setLive} />}
      >
        <Show loaded={loaded} failed="The launches could not be read" lines={8}>
          {({ launches, next }) => (
            <>
              {launches.length === 0 ? (
                <Empty title={before === undefined ? 'There are no launches yet.' : 'There are no older launches.'}>
                  <p>
                    {active === false
                      ? 'The campaign is paused: resume it to accept launches.'
                      : 'A launch appears here as soon as it is accepted.'}
                  </p>
                  {session.can('launch') && active !== false && (
                    <a class="button" href={urlOf(['compose', id])}>
                      Compose the first launch
                    </a>
                  )}
                </Empty>
              ) : (
                <LaunchTable launches={launches} webhook={webhook} />
              )}
              <Pager
                first={before === undefined ? undefined : first}
                next={next === null ? undefined : link({ before: next })}
                nextLabel="Older launches"
              />
            </>
          )}
        </Show>
        <Curl call={list} />
      </Section>
    </>
  );
}

function LaunchTable({
  launches,
  webhook,
}: {
  launches: Schema<'Launch'>[];
  webhook: Schema<'Webhook'> | null | undefined;
}) {
  type Row = Schema<'Launch'>;
  const arrival: { head: string; cell: (row: Row) => ComponentChildren }[] = webhook
    ? [{ head: 'Delivery', cell: ({ sequence }) => <ArrivalPill webhook={webhook} sequence={sequence} /> }]
    : [];
  return (
    <Table
      caption="Launches, newest first"
      rows={launches}
      id={({ launch_id }) => launch_id}
      columns={[
        { head: 'No.', numeric: true, cell: ({ sequence }) => count(sequence) },
        {
          head: 'Time',
          card: 'lead',
          cell: ({ accepted_at, launch_id, trigger_id }) => (
            <a class="name" href={urlOf(['campaigns', trigger_id, 'launches', launch_id])}>
              <Time at={accepted_at} />
            </a>
          ),
        },
        { head: 'Recipients', numeric: true, cell: ({ recipients }) => <Num value={recipients} /> },
        { head: 'Unmatched', numeric: true, cell: ({ unmatched }) => <Num value={unmatched} /> },
        { head: 'Invalid', numeric: true, cell: ({ invalid }) => <Num value={invalid} /> },
        { head: 'Duplicates', numeric: true, cell: ({ duplicates }) => <Num value={duplicates} /> },
        ...arrival,
        {
          head: 'Request ID',
          cell: ({ request_id }) => (
            <code>
              <Text value={request_id} limit={24} />
            </code>
          ),
        },
        { head: 'Matching', cell: ({ matching }) => <code>{matching}</code> },
        { head: 'Token', cell: ({ token_name }) => <Text value={token_name} limit={40} /> },
      ]}
    />
  );
}
