// A launch: who it reached, who it did not reach and why, what it contained, and whether it arrived.

import { useState } from 'preact/hooks';
import { call, type Schema } from './api';
import { count, plural, size } from './format';
import { useLoad } from './load';
import { type Route, urlOf, wholeNumber } from './router';
import { useSession } from './session';
import {
  Choice,
  Copy,
  Curl,
  Empty,
  Facts,
  FailureNotice,
  Figures,
  LongText,
  Num,
  Page,
  Pager,
  Pill,
  saveFile,
  Section,
  Show,
  Table,
  Text,
  Time,
  useAction,
  useParts,
} from './ui';
import { reasonText, type Reason } from './reasons';
import { ArrivalPill, readWebhook } from './webhook';

type Launch = Schema<'Launch'>;

const SIZES = [100, 1_000, 10_000];
/** Reports of more items are read only on request. */
const REPORT_LIMIT = 100_000;
/** Complete downloads can take as long as the connection needs. */
const DOWNLOAD = 3_600_000;

interface LaunchProps {
  campaign: number;
  id: string;
  route: Route;
}

export function LaunchView({ campaign, id, route }: LaunchProps) {
  const session = useSession();
  const path = { trigger_id: campaign, launch_id: id };
  const request = call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}', { path });
  const loaded = useLoad(request.target, async (signal) => (await session.send(request, signal)).data);
  const launch = loaded.data;
  return (
    <Page
      title={launch ? `Launch ${launch.sequence}` : 'Launch'}
      heading={
        launch ? (
          <>
            Launch {count(launch.sequence)}{' '}
            <small>
              <Time at={launch.accepted_at} />
            </small>
          </>
        ) : (
          'Launch'
        )
      }
      crumbs={[
        { label: 'Campaigns', url: urlOf(['campaigns']) },
        { label: `Campaign ${campaign}`, url: urlOf(['campaigns', campaign]) },
      ]}
    >
      <Show loaded={loaded} failed="The launch could not be read" lines={8}>
        {(data) => (
          <>
            <Figures
              figures={[
                { label: 'Recipients', value: <Num value={data.recipients} /> },
                { label: 'Unmatched', value: <Num value={data.unmatched} />, note: 'no profile, or several' },
                { label: 'Invalid', value: <Num value={data.invalid} />, note: 'not usable as a key' },
                { label: 'Duplicates', value: <Num value={data.duplicates} />, note: 'profile already in the launch' },
                ...(session.can('admin') ? [{ label: 'Delivery', value: <Arrival launch={data} /> }] : []),
              ]}
            />
            <Section title="Details">
              <Facts
                facts={[
                  [
                    'Launch ID',
                    <>
                      <code>{data.launch_id}</code> <Copy text={data.launch_id} what="the launch ID" />
                    </>,
                  ],
                  ['Accepted', <Time at={data.accepted_at} />],
                  [
                    'Request ID',
                    <code>
                      <Text value={data.request_id} limit={256} />
                    </code>,
                  ],
                  ['Token', <Text value={data.token_name} />],
                  ['Matching', <code>{data.matching}</code>],
                  ['Triggers', data.skip_triggers ? 'skipped by the sender' : 'not skipped'],
                ]}
              />
              <Curl call={request} label="This launch as a curl command" />
            </Section>
            <Reasons launch={data} />
            <Recipients launch={data} route={route} />
            {data.content && <Content title="Content" value={data.content} />}
            {data.custom_data && <Content title="Custom data" value={data.custom_data} />}
            {data.attachments.length > 0 && <Attachments launch={data} />}
            <Absent launch={data} />
          </>
        )}
      </Show>
    </Page>
  );
}

/** Whether the launch has arrived at the campaign's webhook. */
function Arrival({ launch: { trigger_id, sequence } }: { launch: Launch }) {
  const session = useSession();
  const loaded = useLoad(`arrival ${trigger_id}`, (signal) => readWebhook(session, trigger_id, signal), 5_000);
  if (loaded.data === undefined) return <span class="zero">{loaded.failure ? 'Unknown' : '–'}</span>;
  if (loaded.data === null) {
    return (
      <span class="row">
        <Pill tone="neutral">No webhook</Pill> <span class="hint">Nothing is sent: senders read the log.</span>
      </span>
    );
  }
  return (
    <a class="bare" href={urlOf(['campaigns', trigger_id, 'webhook'])}>
      <ArrivalPill webhook={loaded.data} sequence={sequence} />
    </a>
  );
}

const pathOf = ({ trigger_id, launch_id }: Launch) => ({ path: { trigger_id, launch_id } });

/** A position of an item in a list of all that are not recipients. */
interface Missed {
  index: number;
  reason: Reason;
}

function Reasons({ launch }: { launch: Launch }) {
  const missed = launch.unmatched + launch.invalid + launch.duplicates;
  const [wanted, setWanted] = useState(missed <= REPORT_LIMIT);
  const request = call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/report', pathOf(launch));
  return (
    <Section title="Items that did not become recipients">
      {missed === 0 ? (
        <p>Every item became a recipient.</p>
      ) : wanted ? (
        <Report launch={launch} />
      ) : (
        <p>
          The report has {plural(missed, 'item')}.{' '}
          <button type="button" class="button" onClick={() => setWanted(true)}>
            Read the report
          </button>
        </p>
      )}
      <Curl call={request} />
    </Section>
  );
}

function Report({ launch }: { launch: Launch }) {
  const session = useSession();
  const request = call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/report', pathOf(launch));
  request.patience = DOWNLOAD;
  const loaded = useLoad(request.target, async (signal) => (await session.send(request, signal)).data);
  return (
    <Show loaded={loaded} failed="The report could not be read">
      {({ unmatched, invalid, duplicates }) => {
        const missed: Missed[] = [
          ...unmatched,
          ...invalid,
          ...duplicates.map((index) => ({ index, reason: 'duplicate' as const })),
        ];
        return <MissedItems items={missed} />;
      }}
    </Show>
  );
}

function MissedItems({ items }: { items: Missed[] }) {
  const [only, setOnly] = useState<Reason>();
  const byReason = new Map<Reason, number>();
  for (const { reason } of items) byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  const selected = items.filter(({ reason }) => !only || reason === only).sort((one, other) => one.index - other.index);
  const { part, buttons, reset } = useParts(selected, 'items');
  return (
    <>
      <Table
        caption="Reasons"
        rows={[...byReason]}
        id={([reason]) => reason}
        columns={[
          { head: 'Reason', cell: ([reason]) => <code>{reason}</code> },
          { head: 'Meaning', card: 'wide', cell: ([reason]) => reasonText(reason) },
          { head: 'Items', numeric: true, cell: ([, items]) => <Num value={items} /> },
        ]}
      />
      <details class="more">
        <summary>Which items</summary>
        <ReasonFilter
          only={only}
          reasons={[...byReason.keys()]}
          onChange={(reason) => {
            setOnly(reason);
            reset();
          }}
        />
        <Table
          caption="Items that are not recipients"
          compact
          rows={part}
          id={({ index }) => index}
          columns={[
            { head: 'Item', cell: ({ index }) => <code>data[{index}]</code> },
            { head: 'Reason', cell: ({ reason }) => <code>{reason}</code> },
          ]}
        />
        {buttons}
      </details>
    </>
  );
}

function ReasonFilter({
  only,
  reasons,
  onChange,
}: {
  only: Reason | undefined;
  reasons: Reason[];
  onChange: (only?: Reason) => void;
}) {
  return (
    <p class="row">
      <label for="reason">Reason</label>
      <select
        id="reason"
        value={only ?? ''}
        onChange={(event) => onChange((event.currentTarget.value as Reason) || undefined)}
      >
        <option value="">all</option>
        {reasons.map((reason) => (
          <option key={reason}>{reason}</option>
        ))}
      </select>
    </p>
  );
}

function Recipients({ launch, route }: { launch: Launch; route: Route }) {
  const session = useSession();
  const { busy, failure, run } = useAction();
  const after = wholeNumber(route.query.get('after'));
  const asked = wholeNumber(route.query.get('limit'));
  const limit = asked !== undefined && SIZES.includes(asked) ? asked : (SIZES[0] as number);
  const request = call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/recipients', {
    ...pathOf(launch),
    query: { limit, ...(after !== undefined && { after }) },
  });
  const loaded = useLoad(request.target, async (signal) => (await session.send(request, signal)).data);
  const place = ['campaigns', launch.trigger_id, 'launches', launch.launch_id];
  const link = (next: number | undefined, rows = limit) =>
    urlOf(place, { after: next, limit: rows === SIZES[0] ? undefined : rows });

  const all = call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/recipients', pathOf(launch));
  all.headers['Accept'] = 'application/x-ndjson';
  all.patience = DOWNLOAD;
  const download = () =>
    run(async () => {
      const response = await session.fetch(all);
      saveFile(await response.blob(), `recipients-${launch.launch_id}.ndjson`);
    });
  return (
    <Section
      title="Recipients"
      tools={
        launch.recipients > (SIZES[0] as number) && (
          <Choice
            label="Recipients a page"
            links={SIZES.map((rows) => ({ label: count(rows), url: link(undefined, rows), current: rows === limit }))}
          />
        )
      }
    >
      {launch.recipients === 0 ? (
        <Empty title="The launch has no recipients.">
          <p>It is recorded in the log all the same. The reasons are above.</p>
        </Empty>
      ) : (
        <Show loaded={loaded} failed="The recipients could not be read" lines={6}>
          {({ recipients, next }) => (
            <>
              <Table
                caption="Recipients"
                compact
                rows={recipients}
                id={({ index }) => index}
                columns={[
                  { head: 'Recipient', numeric: true, cell: ({ index }) => count(index) },
                  { head: 'Profile', cell: ({ profile_id }) => <code>{profile_id}</code> },
                  ...(recipients.some(({ custom_data }) => custom_data)
                    ? [
                        {
                          head: 'Own custom data',
                          cell: ({ custom_data }: Schema<'Recipient'>) =>
                            custom_data ? (
                              <code class="inline-json">
                                <Text value={JSON.stringify(custom_data)} />
                              </code>
                            ) : (
                              <span class="zero">that of the launch</span>
                            ),
                        },
                      ]
                    : []),
                ]}
              />
              <p class="hint">
                {recipients.length > 0 &&
                  `${count((recipients[0]?.index ?? 0) + 1)}–${count((recipients.at(-1)?.index ?? 0) + 1)} of ${count(launch.recipients)}`}
              </p>
              <Pager
                first={after === undefined ? undefined : link(undefined)}
                next={next === null ? undefined : link(next)}
                nextLabel="Next recipients"
              />
            </>
          )}
        </Show>
      )}
      {failure && <FailureNotice failure={failure} what="The recipients could not be downloaded" />}
      {launch.recipients > 0 && (
        <p class="row">
          <button type="button" class="button" disabled={busy} onClick={download}>
            {busy ? 'Downloading …' : 'Download all as NDJSON'}
          </button>
        </p>
      )}
      <Curl call={request} />
      {launch.recipients > 0 && <Curl call={all} label="All recipients as a curl command" />}
    </Section>
  );
}

const Content = ({ title, value }: { title: string; value: object }) => (
  <Section title={title}>
    <LongText label={title} value={JSON.stringify(value, null, 2)} />
  </Section>
);

/** The optional parts that the launch does not have. */
function Absent({ launch: { attachments, content, custom_data } }: { launch: Launch }) {
  const parts = [!content && 'content', !custom_data && 'custom data', !attachments.length && 'attachments'];
  const absent = parts.filter((part) => part !== false);
  return absent.length ? <p class="hint">This launch has no {absent.join(', no ')}.</p> : null;
}

function Attachments({ launch }: { launch: Launch }) {
  const session = useSession();
  const { busy, failure, run } = useAction();
  const callOf = (n: number) => {
    const { path } = pathOf(launch);
    const request = call('get', '/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/attachments/{n}', {
      path: { ...path, n },
    });
    return { ...request, patience: DOWNLOAD, headers: { Accept: '*/*' } };
  };
  const download = (n: number, name: string) =>
    run(async () => {
      const response = await session.fetch(callOf(n));
      // The type is neutral, so that no browser opens the file as a page of the console.
      const content = new Blob([await response.arrayBuffer()], { type: 'application/octet-stream' });
      saveFile(content, safeFileName(name));
    });
  return (
    <Section title="Attachments">
      <Table
        caption="Attachments"
        rows={launch.attachments.map((attachment, n) => ({ ...attachment, n }))}
        id={({ n }) => n}
        columns={[
          { head: 'Name', card: 'lead', cell: ({ name }) => <Text value={name} limit={100} /> },
          { head: 'Type', cell: ({ content_type }) => <Text value={content_type} limit={60} /> },
          {
            head: 'Size',
            numeric: true,
            cell: ({ size: bytes }) => <span title={`${count(bytes)} bytes`}>{size(bytes)}</span>,
          },
          { head: 'SHA-256', cell: ({ sha256 }) => <code title={sha256}>{sha256.slice(0, 12)}…</code> },
          {
            head: 'File',
            cell: ({ n, name }) => (
              <button
                type="button"
                class="button"
                disabled={busy}
                aria-label={`Download attachment ${n + 1}`}
                onClick={() => download(n, name)}
              >
                Download
              </button>
            ),
          },
        ]}
      />
      {failure && <FailureNotice failure={failure} what="The attachment could not be downloaded" />}
      {launch.attachments.map(({ sha256 }, n) => (
        <Curl key={`${n} ${sha256}`} call={callOf(n)} label={`Attachment ${n + 1} as a curl command`} />
      ))}
    </Section>
  );
}

/** A file name without characters that hide its ending. */
const safeFileName = (name: string) => name.replace(/[\p{Cc}\p{Cf}/\\]/gu, '_').slice(-150) || 'attachment';
