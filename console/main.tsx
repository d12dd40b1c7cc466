// The console: one page, whose views are hash URLs.

import { render } from 'preact';
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Failure, type Schema } from './api';
import { CampaignsView } from './campaigns';
import { CampaignView } from './campaign';
import { ComposeView } from './compose';
import { LaunchView } from './launch';
import { ProfilesView } from './profiles';
import { type Route, urlOf, useRoute, wholeNumber } from './router';
import { describeToken, forgetToken, Session, SessionProvider, storedToken, storeToken, useSession } from './session';
import { SignIn } from './sign-in';
import { Announcements, Empty, FailureNotice, Page, Skeleton, Text } from './ui';

interface SignedIn {
  token: string;
  described: Schema<'Token'>;
}

function App() {
  const route = useRoute();
  const [signedIn, setSignedIn] = useState<SignedIn>();
  const [stored, setStored] = useState(storedToken);
  const [reason, setReason] = useState<string>();
  const [failure, setFailure] = useState<Failure>();

  const end = useCallback((why?: string) => {
    forgetToken();
    setStored(undefined);
    setSignedIn(undefined);
    setReason(why);
  }, []);
  const begin = (token: string, described: Schema<'Token'>) => {
    storeToken(token);
    setReason(undefined);
    setSignedIn({ token, described });
  };

  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!stored || signedIn) return undefined;
    const controller = new AbortController();
    setFailure(undefined);
    describeToken(stored, controller.signal)
      .then((described) => setSignedIn({ token: stored, described }))
      .catch((error: unknown) => {
        if (controller.signal.aborted) return;
        if (error instanceof Failure && error.status !== 401) setFailure(error);
        else end('The token is not valid any more. Sign in with another one.');
      });
    return () => controller.abort();
  }, [stored, round]);

  const session = useMemo(() => signedIn && new Session(signedIn.token, signedIn.described, end), [signedIn]);
  useFocus(route, session !== undefined);

  return (
    <>
      <Header session={session} route={route} />
      <main id="content" tabIndex={-1}>
        {session ? (
          <SessionProvider value={session}>
            <View route={route} />
          </SessionProvider>
        ) : !stored ? (
          <SignIn reason={reason} onSignIn={begin} />
        ) : failure ? (
          <Page title="Signing in">
            <FailureNotice failure={failure} what="The token could not be checked" retry={() => setRound(round + 1)} />
          </Page>
        ) : (
          <Page title="Signing in">
            <Skeleton />
          </Page>
        )}
      </main>
      <Announcements />
    </>
  );
}

function skipToContent(event: Event) {
  event.preventDefault();
  document.querySelector('main')?.focus();
}

/** Moves the focus to the heading of a new view, so that the keyboard and screen readers begin there. */
function useFocus(route: Route, signedIn: boolean) {
  const last = useRef<string | undefined>(undefined);
  const place = `${signedIn} ${route.parts.join('/')}`;
  useEffect(() => {
    if (last.current !== undefined && last.current !== place) {
      document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    last.current = place;
  }, [place]);
}

function Header({ session, route }: { session: Session | undefined; route: Route }) {
  const part = route.parts[0] ?? 'campaigns';
  const places = session
    ? [
        { label: 'Campaigns', part: 'campaigns', offered: true },
        { label: 'Compose', part: 'compose', offered: session.can('launch') },
        { label: 'Profiles', part: 'profiles', offered: session.can('profiles', 'admin') },
      ].filter(({ offered }) => offered)
    : [];
  return (
    <header>
      <a class="skip" href={route.hash} onClick={skipToContent}>
        Skip to the content
      </a>
      <div class="bar">
        <a class="brand" href={urlOf(['campaigns'])}>
          <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
            <rect width="32" height="32" rx="8" />
            <path d="M9 8.5 24 16 9 23.5l2.6-7.5z" />
          </svg>
          Trigger launch
        </a>
        {places.length > 0 && (
          <nav aria-label="Main">
            {places.map(({ label, part: target }) => (
              <a key={target} href={urlOf([target])} aria-current={part === target ? 'page' : undefined}>
                {label}
              </a>
            ))}
          </nav>
        )}
        {session && (
          <div class="who">
            <span class="token" title={`Scopes: ${session.described.scopes.join(', ')}`}>
              <Text value={session.described.name} limit={24} />
            </span>
            <button type="button" class="button" onClick={() => session.end()}>
              Sign out
            </button>
          </div>
        )}
      </div>
    </header>
  );
}

function NotAllowed({ title, scope }: { title: string; scope: string }) {
  return (
    <Page title={title}>
      <Empty title="This token is not allowed to do this.">
        <p>
          Sign in with a token that has the scope <code>{scope}</code>.
        </p>
      </Empty>
    </Page>
  );
}

function View({ route }: { route: Route }) {
  const session = useSession();
  const [place, id, part, launch] = route.parts;
  const campaign = wholeNumber(id);
  switch (place) {
    case undefined:
      return <CampaignsView route={route} />;
    case 'campaigns':
      if (id === undefined) return <CampaignsView route={route} />;
      if (!campaign) break;
      if (part === undefined) return <CampaignView key={campaign} id={campaign} route={route} tab="launches" />;
      if (part === 'webhook') return <CampaignView key={campaign} id={campaign} route={route} tab="webhook" />;
      if (part === 'launches' && launch)
        return <LaunchView key={launch} campaign={campaign} id={launch} route={route} />;
      break;
    case 'compose':
      if (!session.can('launch')) return <NotAllowed title="Compose a launch" scope="launch" />;
      return <ComposeView key={id} route={route} />;
    case 'profiles':
      if (!session.can('profiles', 'admin')) return <NotAllowed title="Profiles" scope="profiles or admin" />;
      return <ProfilesView key={id} route={route} />;
  }
  return (
    <Page title="There is no such view">
      <Empty title="The address is not one of the console.">
        <a href={urlOf(['campaigns'])}>Campaigns</a>
      </Empty>
    </Page>
  );
}

const root = document.getElementById('console');
if (root) render(<App />, root);
