// Launches and recipients over time: two plots with one cursor, and a table beside them.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import type { Schema } from './api';
import { bucketName, count } from './format';
import { Num, Table } from './ui';

export type Bucket = Schema<'Stats'>['buckets'][number];
export type Period = 'hour' | 'day';

const HEIGHT = 124;
const compact = new Intl.NumberFormat(undefined, { notation: 'compact' });
/** Distances between the lines of the vertical axis: the values are whole numbers. */
const STEPS = Array.from({ length: 15 }, (_, at) => [1, 2, 5].map((step) => step * 10 ** at)).flat();

interface PlotOptions {
  element: HTMLElement;
  buckets: Bucket[];
  measure: 'launches' | 'recipients';
  period: Period;
  onHover: (at: number | undefined) => void;
}

function draw({ element, buckets, measure, period, onHover }: PlotOptions): uPlot {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: colour('--muted'),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  const bars = uPlot.paths.bars?.({ size: [0.72, 28], radius: 0.15, align: 1 });
  const options: uPlot.Options = {
    width: element.clientWidth,
    height: HEIGHT,
    // Half the width of a label.
    padding: [null, 28, null, null],
    legend: { show: false },
    cursor: { sync: { key: 'console' }, drag: { x: false, y: false }, points: { show: false }, y: false },
    scales: {
      x: { time: true, range: (_, min, max) => [min, max + (period === 'hour' ? 3_600 : 86_400)] },
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 84,
        values: (_, ticks) => ticks.map((at) => bucketName(new Date(at * 1000), period)),
      },
      { ...axis, size: 48, space: 28, incrs: STEPS, values: (_, ticks) => ticks.map((tick) => compact.format(tick)) },
    ],
    series: [
      {},
      {
        stroke: colour('--accent'),
        fill: colour('--accent'),
        width: 0,
        points: { show: false },
        ...(bars && { paths: bars }),
      },
    ],
    hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? undefined)] },
  };
  const data: uPlot.AlignedData = [
    buckets.map(({ at }) => Date.parse(at) / 1000),
    buckets.map((bucket) => bucket[measure]),
  ];
  return new uPlot(options, data, element);
}

function Plot({ title, ...options }: Omit<PlotOptions, 'element'> & { title: string }) {
  const ref = useRef<HTMLDivElement>(null);
  const latest = useRef(options.onHover);
  latest.current = options.onHover;
  const { buckets, measure, period } = options;
  useEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    let plot: uPlot | undefined;
    const redraw = () => {
      plot?.destroy();
      plot = draw({ element, buckets, measure, period, onHover: (at) => latest.current(at) });
    };
    redraw();
    const resized = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', redraw);
    return () => {
      resized.disconnect();
      dark.removeEventListener('change', redraw);
      plot?.destroy();
    };
  }, [buckets, measure, period]);
  const total = buckets.reduce((sum, bucket) => sum + bucket[measure], 0);
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      <div
        ref={ref}
        role="img"
        aria-label={`${title}: ${count(total)} in ${buckets.length} ${period}s. The table contains the values.`}
      />
    </figure>
  );
}

/** The plots of a period, and their table. */
export function Chart({ buckets, period }: { buckets: Bucket[]; period: Period }) {
  const [hovered, setHovered] = useState<number>();
  const at = hovered === undefined ? undefined : buckets[hovered];
  const name = (bucket: Bucket) => bucketName(new Date(bucket.at), period);
  const filled = buckets.filter(({ launches }) => launches > 0).reverse();
  if (filled.length === 0) return <p class="hint">There were no launches in this period.</p>;
  return (
    <div class="chart">
      <div>
        <Plot title="Launches" buckets={buckets} measure="launches" period={period} onHover={setHovered} />
        <Plot title="Recipients" buckets={buckets} measure="recipients" period={period} onHover={setHovered} />
        <p class="hint readout" aria-hidden="true">
          {at
            ? `${name(at)}: ${count(at.launches)} launches, ${count(at.recipients)} recipients, ${count(at.unmatched + at.invalid)} items not reached`
            : 'Point at a bar to read its values.'}
        </p>
      </div>
      <div>
        <Table
          caption={`Launches and recipients by ${period}`}
          compact
          rows={filled}
          id={(bucket) => bucket.at}
          columns={[
            {
              head: period === 'hour' ? 'Hour' : 'Day',
              cell: (bucket) => (
                <time dateTime={bucket.at} title={bucket.at}>
                  {name(bucket)}
                </time>
              ),
            },
            { head: 'Launches', numeric: true, cell: (bucket) => <Num value={bucket.launches} /> },
            { head: 'Recipients', numeric: true, cell: (bucket) => <Num value={bucket.recipients} /> },
            {
              head: 'Not reached',
              numeric: true,
              cell: (bucket) => <Num value={bucket.unmatched + bucket.invalid} />,
            },
          ]}
        />
        {filled.length < buckets.length && (
          <p class="hint">{period === 'hour' ? 'Hours' : 'Days'} without launches are left out of the table.</p>
        )}
      </div>
    </div>
  );
}

/** The period of an address. */
export const periodOf = (query: URLSearchParams): Period => (query.get('period') === 'day' ? 'day' : 'hour');

/** The name of a period in a sentence. */
export const periodName = (period: Period) => (period === 'hour' ? 'last 24 hours' : 'last 30 days');
