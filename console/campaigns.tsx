// The campaigns: their state, their totals, and the launches of all of them over time.

import { useState } from 'preact/hooks';
import { call, Failure, type Schema } from './api';
import { Chart, type Bucket, type Period, periodName, periodOf } from './chart';
import { count, plural } from './format';
import { mapLimited, useLoad } from './load';
import { type Route, urlOf, wholeNumber } from './router';
import { type Session, useSession } from './session';
import { ActivePill, Choice, Curl, Empty, Figures, Num, Page, Pager, Section, Show, Skeleton, Table, Text } from './ui';
import { readStats } from './stats';
import { readWebhook, StatusPill } from './webhook';

type Listed = Schema<'Campaigns'>['campaigns'][number];
type Webhook = Schema<'Webhook'>;

/** What the list does not contain. */
interface Details {
  campaign?: Schema<'Campaign'>;
  buckets?: Bucket[];
  webhook?: Webhook | null;
  failure?: Failure;
}

const PAGE = 25;
const AT_ONCE = 6;
const EVERY = 15_000;

async function readDetails(session: Session, { id }: Listed, period: Period, signal: AbortSignal): Promise<Details> {
  try {
    const path = { trigger_id: id };
    const [campaign, buckets, webhook] = await Promise.all([
      session.send(call('get', '/api/v1.1/campaigns/triggers/{trigger_id}', { path }), signal).then(({ data }) => data),
      session.can('read') ? readStats(session, id, period, signal) : undefined,
      readWebhook(session, id, signal),
    ]);
    return { campaign, webhook, ...(buckets && { buckets }) };
  } catch (error) {
    // One campaign that cannot be read does not hide the others.
    if (error instanceof Failure && error.status !== 401) return { failure: error };
    throw error;
  }
}

/** Adds the totals of all campaigns. The buckets of a period begin at the same times, except at the turn of an hour or a day. */
function sumOf(lists: Bucket[][]): Bucket[] {
  const sums = new Map<string, Bucket>();
  for (const bucket of lists.flat()) {
    const sum = sums.get(bucket.at) ?? { at: bucket.at, launches: 0, recipients: 0, unmatched: 0, invalid: 0 };
    sum.launches += bucket.launches;
    sum.recipients += bucket.recipients;
    sum.unmatched += bucket.unmatched;
    sum.invalid += bucket.invalid;
    sums.set(bucket.at, sum);
  }
  return [...sums.values()].sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
}

const total = (buckets: Bucket[] | undefined, of: (bucket: Bucket) => number) =>
  buckets?.reduce((sum, bucket) => sum + of(bucket), 0);

export function CampaignsView({ route }: { route: Route }) {
  const session = useSession();
  return (
    <Page title="Campaigns" tools={<OpenCampaign />}>
      {session.can('admin') ? (
        <CampaignList route={route} />
      ) : (
        <Empty title="This token cannot list campaigns.">
          <p>
            The list needs the scope <code>admin</code>. If you know the ID of a campaign, open it above
            {session.can('read') ? ' to see its launches.' : ', or sign in with another token.'}
          </p>
        </Empty>
      )}
    </Page>
  );
}

/** Opens a campaign by its ID. */
function OpenCampaign() {
  const [id, setId] = useState('');
  const open = (event: Event) => {
    event.preventDefault();
    if (wholeNumber(id)) location.hash = urlOf(['campaigns', id]);
  };
  return (
    <form class="row open" onSubmit={open}>
      <label class="hidden" for="open-campaign">
        Campaign ID
      </label>
      <input
        id="open-campaign"
        inputMode="numeric"
        pattern="[0-9]{1,16}"
        placeholder="Campaign ID"
        required
        value={id}
        onInput={(event) => setId(event.currentTarget.value.trim())}
      />
      <button type="submit" class="button">
        Open
      </button>
    </form>
  );
}

function CampaignList({ route }: { route: Route }) {
  const session = useSession();
  const period = periodOf(route.query);
  const after = wholeNumber(route.query.get('after'));
  const request = call('get', '/api/v1.1/campaigns/triggers', {
    query: { limit: PAGE, ...(after !== undefined && { after }) },
  });
  const list = useLoad(request.target, async (signal) => (await session.send(request, signal)).data, EVERY);
  const link = (query: Record<string, string | number | undefined>) =>
    urlOf(['campaigns'], { period: period === 'day' ? 'day' : undefined, after, ...query });
  return (
    <Show loaded={list} failed="The campaigns could not be read" lines={8}>
      {({ campaigns, next }) =>
        campaigns.length === 0 ? (
          <Empty title={after === undefined ? 'There are no campaigns.' : 'There are no more campaigns.'}>
            {after === undefined ? (
              <>
                <p>Define the first one with a request. A campaign uses the profiles of one database.</p>
                <Curl
                  open
                  call={call('put', '/api/v1.1/campaigns/triggers/{trigger_id}', {
                    path: { trigger_id: 1 },
                    body: { name: 'Welcome', database: session.described.databases[0] ?? 1, active: true },
                  })}
                />
              </>
            ) : (
              <a href={link({ after: undefined })}>First page</a>
            )}
          </Empty>
        ) : (
          <>
            <Choice
              label="Period"
              links={(['hour', 'day'] as const).map((value) => ({
                label: value === 'hour' ? '24 hours' : '30 days',
                url: link({ period: value === 'day' ? 'day' : undefined }),
                current: value === period,
              }))}
            />
            <Overview campaigns={campaigns} period={period} whole={after === undefined && next === null} />
            <Pager
              first={after === undefined ? undefined : link({ after: undefined })}
              next={next === null ? undefined : link({ after: next })}
              nextLabel="More campaigns"
            />
            <Curl call={request} />
          </>
        )
      }
    </Show>
  );
}

interface OverviewProps {
  campaigns: Listed[];
  period: Period;
  /** Whether these are all campaigns. */
  whole: boolean;
}

function Overview({ campaigns, period, whole }: OverviewProps) {
  const session = useSession();
  const key = `${period} ${campaigns.map(({ id }) => id).join()}`;
  const read = async (signal: AbortSignal) => {
    const details = await mapLimited(campaigns, AT_ONCE, (campaign) => readDetails(session, campaign, period, signal));
    return new Map(campaigns.map(({ id }, at) => [id, details[at]]));
  };
  const details = useLoad(key, read, EVERY);
  const of = ({ id }: Listed): Details => details.data?.get(id) ?? {};
  const isActive = (listed: Listed) => of(listed).campaign?.active ?? listed.active;

  const buckets = sumOf(campaigns.map((each) => of(each).buckets ?? []));
  const failed = campaigns.filter((each) => of(each).failure);
  const paused = campaigns.filter((each) => isActive(each) === false);
  const blocked = campaigns.filter((each) => ['retrying', 'stopped'].includes(of(each).webhook?.state.status ?? ''));
  const scope = whole ? '' : 'of the campaigns on this page';
  const sum = (measure: (bucket: Bucket) => number) => <Num value={total(buckets, measure)} />;

  return (
    <>
      {details.data === undefined && !details.failure ? (
        <Skeleton lines={4} />
      ) : (
        <>
          <Figures
            figures={[
              ...(session.can('read')
                ? [
                    { label: 'Launches', value: sum(({ launches }) => launches), note: periodName(period) },
                    { label: 'Recipients', value: sum(({ recipients }) => recipients), note: periodName(period) },
                    {
                      label: 'Not reached',
                      value: sum(({ unmatched, invalid }) => unmatched + invalid),
                      note: 'unmatched or invalid items',
                    },
                  ]
                : []),
              { label: 'Paused', value: count(paused.length), note: `of ${plural(campaigns.length, 'campaign')}` },
              { label: 'Delivery blocked', value: count(blocked.length), note: 'retrying or stopped' },
            ]}
          />
          {failed.length > 0 && (
            <p class="notice warning" role="status">
              <strong>{plural(failed.length, 'campaign')} could not be read.</strong>{' '}
              {of(failed[0] as Listed).failure?.text}. The totals are incomplete; the console tries again by itself.
            </p>
          )}
          {paused.length + blocked.length > 0 && (
            <Section title="Needs attention">
              <ul class="plain">
                {blocked.map((each) => (
                  <li key={`d${each.id}`}>
                    <StatusPill webhook={of(each).webhook} />{' '}
                    <a href={urlOf(['campaigns', each.id, 'webhook'])}>
                      Delivery of <Text value={of(each).campaign?.name ?? each.name} limit={60} />
                    </a>
                  </li>
                ))}
                {paused.map((each) => (
                  <li key={`p${each.id}`}>
                    <ActivePill active={false} />{' '}
                    <a href={urlOf(['campaigns', each.id])}>
                      <Text value={of(each).campaign?.name ?? each.name} limit={60} />
                    </a>{' '}
                    <span class="hint">launches get status 409</span>
                  </li>
                ))}
              </ul>
            </Section>
          )}
          {session.can('read') && buckets.length > 0 && (
            <Section title={`Launches ${scope} in the ${periodName(period)}`}>
              <Chart buckets={buckets} period={period} />
            </Section>
          )}
        </>
      )}
      <Section title="All campaigns">
        <Table
          caption="Campaigns"
          rows={campaigns}
          id={({ id }) => id}
          columns={[
            {
              head: 'Campaign',
              card: 'lead',
              cell: (each) => (
                <a class="name" href={urlOf(['campaigns', each.id])}>
                  <Text value={of(each).campaign?.name ?? each.name} limit={80} />
                </a>
              ),
            },
            { head: 'ID', numeric: true, cell: ({ id }) => id },
            { head: 'State', cell: (each) => <ActivePill active={isActive(each)} /> },
            { head: 'Webhook', cell: (each) => <StatusPill webhook={of(each).webhook} /> },
            ...(session.can('read')
              ? [
                  {
                    head: period === 'hour' ? 'Launches, 24 h' : 'Launches, 30 d',
                    numeric: true,
                    cell: (each: Listed) => <Num value={total(of(each).buckets, ({ launches }) => launches)} />,
                  },
                  {
                    head: period === 'hour' ? 'Recipients, 24 h' : 'Recipients, 30 d',
                    numeric: true,
                    cell: (each: Listed) => <Num value={total(of(each).buckets, ({ recipients }) => recipients)} />,
                  },
                  {
                    head: 'Not reached',
                    numeric: true,
                    cell: (each: Listed) => (
                      <Num value={total(of(each).buckets, ({ unmatched, invalid }) => unmatched + invalid)} />
                    ),
                  },
                ]
              : []),
            { head: 'All launches', numeric: true, cell: (each) => <Num value={of(each).campaign?.launches} /> },
            { head: 'All recipients', numeric: true, cell: (each) => <Num value={of(each).campaign?.recipients} /> },
          ]}
        />
      </Section>
    </>
  );
}
