// The profiles of the databases: the import in use, and the changes since.

import { useState } from 'preact/hooks';
import { call, type Schema } from './api';
import { count } from './format';
import { useLoad } from './load';
import { type Route, urlOf, wholeNumber } from './router';
import { useSession } from './session';
import { Curl, Empty, Facts, Figures, IdField, Page, Pill, Section, Show, Time } from './ui';

const EVERY = 15_000;

const databaseCall = (database: number) => call('get', '/api/v1.1/profiles/{database}', { path: { database } });

export function ProfilesView({ route }: { route: Route }) {
  const database = wholeNumber(route.parts[1]);
  return database ? <DatabaseView database={database} /> : <DatabasesView />;
}

/** The databases that the token names, or those of the campaigns. */
function DatabasesView() {
  const session = useSession();
  const { databases } = session.described;
  const request = call('get', '/api/v1.1/campaigns/triggers', { query: { limit: 1_000 } });
  const loaded = useLoad('databases', async (signal) => {
    if (databases.length || !session.can('admin')) return databases;
    const { campaigns } = (await session.send(request, signal)).data;
    return [...new Set(campaigns.map(({ database }) => database))].sort((one, other) => one - other);
  });
  const [id, setId] = useState('');
  const open = (event: Event) => {
    event.preventDefault();
    if (wholeNumber(id)) location.hash = urlOf(['profiles', id]);
  };
  return (
    <Page title="Profiles">
      <p class="lead">A campaign searches the profiles of one database. Choose the database.</p>
      <Show loaded={loaded} failed="The databases could not be read" lines={3}>
        {(known) =>
          known.length ? (
            <ul class="cards">
              {known.map((database) => (
                <li key={database}>
                  <a href={urlOf(['profiles', database])}>Database {database}</a>
                </li>
              ))}
            </ul>
          ) : (
            <Empty title="No database is known yet.">
              <p>The console lists the databases of the token and of the campaigns. Enter an ID to open another one.</p>
            </Empty>
          )
        }
      </Show>
      <form class="panel form narrow" onSubmit={open}>
        <IdField label="Database ID" value={id} onInput={setId} />
        <p>
          <button type="submit" class="button">
            Open
          </button>
        </p>
      </form>
    </Page>
  );
}

function DatabaseView({ database }: { database: number }) {
  const session = useSession();
  const request = databaseCall(database);
  const loaded = useLoad(request.target, async (signal) => (await session.send(request, signal)).data, EVERY);
  const missing = loaded.failure?.status === 404;
  return (
    <Page title={`Database ${database}`} crumbs={[{ label: 'Profiles', url: urlOf(['profiles']) }]}>
      {missing ? (
        <Empty title="This database has no profiles, or the token may not use it.">
          <p>Import a file with the command line, then open this page again:</p>
          <pre tabIndex={0} role="group" aria-label="import command">
            npm run admin -- profiles import FILE --database {database}
          </pre>
        </Empty>
      ) : (
        <Show loaded={loaded} failed="The profiles could not be read">
          {(state) => <DatabaseState state={state} />}
        </Show>
      )}
      <Curl call={request} label="This database as a curl command" />
    </Page>
  );
}

function DatabaseState({ state }: { state: Schema<'Database'> }) {
  const { created_at, database, generation, limit, live, live_since, pending, version } = state;
  const waiting = live && live_since !== null && Date.parse(live_since) > Date.now();
  return (
    <>
      <Figures
        figures={[
          {
            label: 'Live changes',
            value: waiting ? (
              <Pill tone="warning">Soon</Pill>
            ) : live ? (
              <Pill tone="good">On</Pill>
            ) : (
              <Pill tone="neutral">Off</Pill>
            ),
          },
          ...(live
            ? [
                { label: 'Pending', value: count(pending), note: `of at most ${count(limit)}` },
                { label: 'Version', value: count(version), note: 'that of the last change' },
              ]
            : []),
          { label: 'Import in use since', value: <Time at={created_at} /> },
        ]}
      />
      <Section title="Import in use">
        <Facts
          facts={[
            ['Generation', <code>{generation}</code>],
            ['Database', String(database)],
          ]}
        />
      </Section>
      <Section title="Changes between imports">
        {live ? (
          <>
            <Facts
              facts={[
                [waiting ? 'Accepted from' : 'Accepted since', live_since ? <Time at={live_since} /> : 'unknown'],
                ['Pending', `${count(pending)} changed profiles and keys that the generation does not contain`],
              ]}
            />
            <meter min={0} max={limit} high={limit * 0.8} value={pending} aria-label="Pending changes">
              {pending}
            </meter>
            <p class="hint">
              At {count(limit)} pending changes, further ones are refused. Compacting folds them into a new generation:
            </p>
            <pre tabIndex={0} role="group" aria-label="compact command">
              npm run admin -- profiles compact --database {database} --url {location.origin}
            </pre>
          </>
        ) : (
          <>
            <p>Profiles change with imports only. To accept changes between imports:</p>
            <pre tabIndex={0} role="group" aria-label="command for live changes">
              npm run admin -- profiles live on --database {database} --url {location.origin}
            </pre>
          </>
        )}
      </Section>
    </>
  );
}
