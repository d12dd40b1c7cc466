// Asks for a token.

import { useState } from 'preact/hooks';
import { call, type Schema } from './api';
import { describeToken } from './session';
import { Curl, FailureNotice, Field, Page, useAction } from './ui';

interface SignInProps {
  /** Why the last session ended. */
  reason: string | undefined;
  onSignIn: (token: string, described: Schema<'Token'>) => void;
}

export function SignIn({ reason, onSignIn }: SignInProps) {
  const [token, setToken] = useState('');
  const { busy, failure, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    const trimmed = token.trim();
    void run(async () => onSignIn(trimmed, await describeToken(trimmed)));
  };
  return (
    <div class="sign-in">
      <Page title="Sign in">
        {reason && (
          <p class="notice warning" role="alert">
            {reason}
          </p>
        )}
        <form class="panel form" onSubmit={submit}>
          <Field
            label="API token"
            hint="The token stays in this tab, and is deleted when you close it. What you can see and do depends on its scopes."
          >
            {(ids) => (
              <input
                {...ids}
                type="password"
                required
                autocomplete="off"
                spellcheck={false}
                value={token}
                onInput={(event) => setToken(event.currentTarget.value)}
              />
            )}
          </Field>
          {failure &&
            (failure.status === 401 ? (
              <p class="notice bad" role="alert">
                <strong>The token is not valid.</strong> Check that it is complete, and that it was not revoked. A new
                token can take a minute to work everywhere.
              </p>
            ) : (
              <FailureNotice failure={failure} what="Signing in failed" />
            ))}
          <button type="submit" class="button primary" disabled={busy}>
            {busy ? 'Signing in …' : 'Sign in'}
          </button>
        </form>
        <Curl call={call('get', '/api/v1.1/token')} label="Checking a token, as a curl command" />
        <p class="hint">
          An operator creates tokens with <code>npm run admin -- token create</code>. After <code>npm run dev</code>{' '}
          with the demo data, the token is the one of the README.
        </p>
      </Page>
    </div>
  );
}
