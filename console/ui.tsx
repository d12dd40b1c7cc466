// Components that the views share.

import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { BODY_FILE, type Call, curlOf, Failure, needsFile, type Reply } from './api';
import { clock, count, pieces, shortened, size, time } from './format';
import type { Loaded } from './load';
import { useSession } from './session';

/** A text from a caller. It is never markup, keeps its direction to itself, and shows its invisible characters. */
export function Text({ value, limit = 200 }: { value: string; limit?: number }) {
  const part = shortened(value, limit);
  return (
    <bdi class="text">
      {pieces(part).map((piece) =>
        'code' in piece ? (
          <span class="code-point" title="An invisible character">
            {piece.code}
          </span>
        ) : (
          piece.text
        ),
      )}
      {part.length < value.length && '…'}
    </bdi>
  );
}

const PREVIEW = 4_000;

/** A long text from a caller. Only its beginning is shown at first. */
export function LongText({ value, label }: { value: string; label: string }) {
  const [whole, setWhole] = useState(false);
  const part = whole ? value : shortened(value, PREVIEW);
  const visible = pieces(part, true)
    .map((piece) => ('code' in piece ? `⟨${piece.code}⟩` : piece.text))
    .join('');
  return (
    <div class="long-text">
      <pre tabIndex={0} role="group" aria-label={label} dir="auto">
        {visible}
        {part.length < value.length && '…'}
      </pre>
      <p class="row">
        <Copy text={value} what={label} />
        {value.length > PREVIEW && (
          <button type="button" class="button" onClick={() => setWhole(!whole)}>
            {whole ? 'Show the beginning only' : `Show all (${size(new Blob([value]).size)})`}
          </button>
        )}
      </p>
    </div>
  );
}

/** A time in the reader's zone. The exact time is its title. */
export function Time({ at }: { at: string }) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <Text value={at} />;
  return (
    <time dateTime={at} title={at}>
      {time(date)}
    </time>
  );
}

type Tone = 'good' | 'warning' | 'bad' | 'neutral' | 'active';

/** A state in one word. */
export const Pill = ({ tone, children }: { tone: Tone; children: ComponentChildren }) => (
  <span class={`pill ${tone}`}>{children}</span>
);

export const ActivePill = ({ active }: { active: boolean | undefined }) =>
  active === undefined ? (
    <Pill tone="neutral">Unknown</Pill>
  ) : active ? (
    <Pill tone="good">Active</Pill>
  ) : (
    <Pill tone="warning">Paused</Pill>
  );

/** Copies a text to the clipboard. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [state, setState] = useState<'ready' | 'copied' | 'failed'>('ready');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState('copied');
      announce(`${what}: copied`);
    } catch {
      setState('failed');
      announce('The browser does not allow copying: select the text instead');
    }
    setTimeout(() => setState('ready'), 2_000);
  };
  return (
    <button type="button" class="button" onClick={copy} aria-label={`Copy ${what}`}>
      {state === 'copied' ? 'Copied' : state === 'failed' ? 'Not allowed' : 'Copy'}
    </button>
  );
}

/** Offers bytes as a file. */
export function saveFile(content: Blob, name: string) {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** The curl command of a request. */
export function Curl({ call, open = false, label = 'As a curl command' }: CurlProps) {
  const text = curlOf(call);
  return (
    <details class="curl" open={open}>
      <summary>{label}</summary>
      <pre tabIndex={0} role="group" aria-label="curl command">
        {text}
      </pre>
      <p class="row">
        <Copy text={text} what="the curl command" />
        {needsFile(call) && (
          <button
            type="button"
            class="button"
            onClick={() => saveFile(new Blob([call.body ?? ''], { type: 'application/json' }), BODY_FILE)}
          >
            Download {BODY_FILE}
          </button>
        )}
        <span class="hint">Set TOKEN to your token first.</span>
      </p>
    </details>
  );
}

interface CurlProps {
  call: Call<unknown>;
  open?: boolean;
  label?: string;
}

/** What a reader can do about a failed request. */
export function adviceFor({ status, debug, retryAfter, requestId }: Failure): string {
  const wait = retryAfter === undefined ? 'in a moment' : `in ${retryAfter} seconds`;
  switch (status) {
    case 'network':
      return `The browser could not reach the server. Check the connection, then try again. ${debug}`;
    case 'timeout':
      return 'The server did not answer in time. Try again; if this happens often, inform the operator.';
    case 403:
      return 'Sign in with a token that has this scope.';
    case 404:
      return 'Check the ID in the address, and whether the token may use the database.';
    case 410:
      return 'The launch log keeps launches for a limited time. This one was removed.';
    case 413:
      return 'Send less at once: split the keys into several launches.';
    case 422:
      return 'Change something in the form, or start again: a request ID belongs to one content.';
    case 429:
      return `Try again ${wait}.`;
    case 503:
      return `The service is temporarily unavailable. Try again ${wait}.`;
    case 507:
      return 'Inform the operator: the storage has reached its limit.';
  }
  if (status >= 500) return `Try again. If it fails again, give the request ID ${requestId ?? ''} to the operator.`;
  return '';
}

/** An error, with what to do about it. */
export function FailureNotice({ failure, retry, what }: { failure: Failure; retry?: () => void; what: string }) {
  const { status, text, debug, requestId } = failure;
  return (
    <div class="notice bad" role="alert">
      <h2>{what}</h2>
      <p>
        <strong>
          <Text value={text} />
        </strong>
        {typeof status === 'number' && <span class="hint"> · status {status}</span>}
      </p>
      {debug && typeof status === 'number' && (
        <p>
          <Text value={debug} limit={1_000} />
        </p>
      )}
      <p>{adviceFor(failure)}</p>
      {requestId && (
        <p class="hint">
          Request ID <code>{requestId}</code>
        </p>
      )}
      {retry && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Lines that stand for data that is loading. */
export function Skeleton({ lines = 5 }: { lines?: number }) {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 5_000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="skeleton" role="status">
      <span class="hidden">Loading</span>
      {Array.from({ length: lines }, (_, at) => (
        <span class="bone" key={at} />
      ))}
      {slow && <p class="hint">This takes longer than usual. The console keeps waiting.</p>}
    </div>
  );
}

interface LoadedProps<T> {
  loaded: Loaded<T>;
  /** The failure in one clause. */
  failed: string;
  lines?: number;
  children: (data: T) => ComponentChildren;
}

/** Data, or why it is missing. Data that could not be updated stays visible. */
export function Show<T>({ loaded: { data, failure, reload }, failed, lines, children }: LoadedProps<T>) {
  if (data === undefined) {
    return failure ? <FailureNotice failure={failure} retry={reload} what={failed} /> : <Skeleton lines={lines ?? 5} />;
  }
  return (
    <>
      {failure && (
        <p class="notice warning" role="status">
          <strong>Not up to date.</strong> {failure.text}. {adviceFor(failure)}{' '}
          <button type="button" class="button" onClick={reload}>
            Update now
          </button>
        </p>
      )}
      {children(data)}
    </>
  );
}

/** Why a list has no rows, and what to do next. */
export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <p>
      <strong>{title}</strong>
    </p>
    {children}
  </div>
);

export interface Column<T> {
  head: string;
  cell: (row: T, at: number) => ComponentChildren;
  numeric?: boolean;
  /** On a card, the cell is the heading (`lead`), or has a line of its own (`wide`). */
  card?: 'lead' | 'wide';
}

interface TableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T, at: number) => string | number;
  /** Rows do not become cards on narrow screens. */
  compact?: boolean;
}

/** A table. On narrow screens each row is a card; the roles keep it a table for assistive technology. */
export function Table<T>({ caption, columns, rows, id, compact = false }: TableProps<T>) {
  return (
    <div
      class={compact ? 'table compact' : 'table'}
      {...(compact && { tabIndex: 0, role: 'group', 'aria-label': caption })}
    >
      <table role="table">
        <caption class="hidden">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ head, numeric }) => (
              <th key={head} role="columnheader" scope="col" class={numeric ? 'numeric' : ''}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row, at) => (
            <tr key={id(row, at)} role="row">
              {columns.map(({ head, cell, numeric, card }) => (
                <td key={head} role="cell" data-head={head} class={`${numeric ? 'numeric' : ''} ${card ?? ''}`}>
                  {cell(row, at)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A number in a table. A zero is less prominent. */
export const Num = ({ value }: { value: number | undefined }) =>
  value === undefined ? <span class="zero">–</span> : <span class={value ? '' : 'zero'}>{count(value)}</span>;

export interface Figure {
  label: string;
  value: ComponentChildren;
  note?: ComponentChildren;
}

/** The most important figures of a view. */
export const Figures = ({ figures }: { figures: Figure[] }) => (
  <dl class="figures">
    {figures.map(({ label, value, note }) => (
      <div key={label}>
        <dt>{label}</dt>
        <dd>
          {value}
          {note && <span class="note">{note}</span>}
        </dd>
      </div>
    ))}
  </dl>
);

/** Names and values. */
export const Facts = ({ facts }: { facts: [string, ComponentChildren][] }) => (
  <dl class="facts">
    {facts.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
);

interface SectionProps {
  title: string;
  tools?: ComponentChildren;
  children: ComponentChildren;
}

export function Section({ title, tools, children }: SectionProps) {
  const id = useId();
  return (
    <section aria-labelledby={id} class="panel">
      <div class="section-head">
        <h2 id={id}>{title}</h2>
        {tools}
      </div>
      {children}
    </section>
  );
}

interface PageProps {
  /** The title of the document. */
  title: string;
  heading?: ComponentChildren;
  crumbs?: { label: string; url: string }[];
  tools?: ComponentChildren;
  children: ComponentChildren;
}

/** A view with its heading. */
export function Page({ title, heading, crumbs, tools, children }: PageProps) {
  useEffect(() => {
    document.title = `${shortened(title, 100)} · Trigger launch`;
  }, [title]);
  return (
    <>
      {crumbs && (
        <nav aria-label="Breadcrumb" class="crumbs">
          <ol>
            {crumbs.map(({ label, url }) => (
              <li key={url}>
                <a href={url}>
                  <Text value={label} limit={60} />
                </a>
              </li>
            ))}
          </ol>
        </nav>
      )}
      <div class="page-head">
        <h1 tabIndex={-1}>{heading ?? title}</h1>
        {tools && <div class="row">{tools}</div>}
      </div>
      {children}
    </>
  );
}

let listener: (text: string) => void = () => {};

/** Shows the result of an action for some seconds, and reads it to users of assistive technology. */
export const announce = (text: string) => listener(text);

export function Announcements() {
  const [text, setText] = useState('');
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    listener = (next) => {
      clearTimeout(timer);
      setText(next);
      timer = setTimeout(() => setText(''), 6_000);
    };
    return () => clearTimeout(timer);
  }, []);
  return (
    <div role="status" class={text ? 'toast' : 'toast hidden'}>
      {text}
    </div>
  );
}

/** Runs an action, and keeps its failure. */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await work();
    } catch (error) {
      if (error instanceof Failure) setFailure(error);
      else setFailure(new Failure('network', 'The console failed', String(error)));
    } finally {
      setBusy(false);
    }
  };
  return { busy, failure, run, clear: () => setFailure(undefined) };
}

interface ActionProps<T> {
  label: string;
  /** What the action does, for the dialog. */
  heading: string;
  children: ComponentChildren;
  call: Call<T>;
  /** The message after success. */
  message: string | ((reply: Reply<T>) => string);
  onDone: (reply: Reply<T>) => void;
  tone?: 'primary' | 'danger';
  /** Why the action cannot be confirmed yet. */
  invalid?: string | undefined;
}

/** A button whose action is confirmed in a dialog, which also shows the request. */
export function Action<T>(props: ActionProps<T>) {
  const { label, heading, children, call, message, onDone, tone, invalid } = props;
  const session = useSession();
  const { busy, failure, run, clear } = useAction();
  const [open, setOpen] = useState(false);
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    if (open) dialog.current?.showModal();
  }, [open]);

  const close = () => dialog.current?.close();
  const confirm = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      const reply = await session.send(call);
      close();
      announce(typeof message === 'string' ? message : message(reply));
      onDone(reply);
    });
  };
  const onClose = () => {
    setOpen(false);
    clear();
  };
  return (
    <>
      <button type="button" class={`button ${tone ?? ''}`} onClick={() => setOpen(true)}>
        {label}
      </button>
      {open && (
        <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
          <form onSubmit={confirm}>
            <h2 id={id}>{heading}</h2>
            {children}
            {failure && <FailureNotice failure={failure} what="The action failed" />}
            <Curl call={call} />
            {invalid && <p class="hint">{invalid}</p>}
            <div class="row end">
              <button type="button" class="button" onClick={close}>
                Cancel
              </button>
              <button type="submit" class={`button ${tone ?? 'primary'}`} disabled={busy || invalid !== undefined}>
                {busy ? 'Please wait …' : label}
              </button>
            </div>
          </form>
        </dialog>
      )}
    </>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  children: (ids: { id: string; 'aria-describedby'?: string }) => ComponentChildren;
}

/** A form field with its label and its hint. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, ...(hint && { 'aria-describedby': `${id}-hint` }) })}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** A field for the ID of a campaign or database. */
export function IdField({ label, value, onInput }: { label: string; value: string; onInput: (value: string) => void }) {
  return (
    <Field label={label}>
      {(ids) => (
        <input
          {...ids}
          required
          inputMode="numeric"
          pattern="[0-9]{1,16}"
          autocomplete="off"
          value={value}
          onInput={(event) => onInput(event.currentTarget.value.trim())}
        />
      )}
    </Field>
  );
}

/** The number of rows of a long table that are shown at once. */
const ROWS_SHOWN = 100;

/** Divides the rows of a long table. Returns the rows to show, buttons for the others, and a function that shows the first ones. */
export function useParts<T>(rows: T[], noun: string) {
  const [at, setAt] = useState(0);
  const start = at * ROWS_SHOWN;
  const part = rows.slice(start, start + ROWS_SHOWN);
  const buttons = rows.length > ROWS_SHOWN && (
    <p class="row">
      <button type="button" class="button" disabled={at === 0} onClick={() => setAt(at - 1)}>
        Earlier {noun}
      </button>
      <button type="button" class="button" disabled={start + ROWS_SHOWN >= rows.length} onClick={() => setAt(at + 1)}>
        Later {noun}
      </button>
      <span class="hint">
        {count(start + 1)}–{count(start + part.length)} of {count(rows.length)}
      </span>
    </p>
  );
  return { part, buttons, reset: () => setAt(0) };
}

/** Links between the pages of a list. */
export function Pager({
  first,
  next,
  nextLabel,
}: {
  first: string | undefined;
  next: string | undefined;
  nextLabel: string;
}) {
  if (!first && !next) return null;
  return (
    <nav class="row pager" aria-label="Pages">
      {first && (
        <a class="button" href={first}>
          First page
        </a>
      )}
      {next && (
        <a class="button" href={next}>
          {nextLabel}
        </a>
      )}
    </nav>
  );
}

/** A choice between links. The current one is marked. */
export function Choice({ label, links }: { label: string; links: { label: string; url: string; current: boolean }[] }) {
  return (
    <nav class="choice" aria-label={label}>
      {links.map((link) => (
        <a key={link.url} href={link.url} aria-current={link.current ? 'true' : undefined}>
          {link.label}
        </a>
      ))}
    </nav>
  );
}

/** Whether the data is current, with a switch that stops the updates. */
export function Updates({
  loaded,
  live,
  onChange,
}: {
  loaded: Loaded<unknown>;
  live: boolean;
  onChange: (live: boolean) => void;
}) {
  return (
    <p class="row updates">
      <label class="check">
        <input type="checkbox" checked={live} onChange={() => onChange(!live)} /> Update automatically
      </label>
      <span class="hint">{loaded.at ? <>as of {clock(loaded.at)}</> : 'loading'}</span>
    </p>
  );
}
