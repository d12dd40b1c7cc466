// Two plots as SVG: text, the same for the same results, and readable on light and dark pages.

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .page { fill: #ffffff } .title { font-weight: 600; font-size: 15px } .small { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 } .axis { stroke: #57606a; stroke-width: 1 }
  .ours { fill: #0969da; stroke: #0969da } .peer { fill: #bc4c00; stroke: #bc4c00 } .floor { fill: #57606a; stroke: #57606a }
  .line { fill: none; stroke-width: 2.5 } .dashed { stroke-dasharray: 6 4 } .bar { stroke: none } .light { opacity: 0.55 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .page { fill: #0d1117 } .small { fill: #9198a1 }
    .grid { stroke: #30363d } .axis { stroke: #9198a1 }
    .ours { fill: #58a6ff; stroke: #58a6ff } .peer { fill: #f0883e; stroke: #f0883e } .floor { fill: #9198a1; stroke: #9198a1 }
  }
  text.ours, text.peer, text.floor { stroke: none }`;

/** @typedef {{ format: string, kind: string, items: number, median: { floor: number, peer: number, ours: number } }} Case */

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 });
const time = (/** @type {number} */ ms) => (ms >= 1000 ? `${short.format(ms / 1000)} s` : `${short.format(ms)} ms`);
const fixed = (/** @type {number} */ value) => value.toFixed(1);

/** @param {number} width @param {number} height @param {string} title @param {string[]} parts */
function picture(width, height, title, parts) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${width}" height="${height}" rx="6"/>`,
    `<text class="title" x="24" y="30">${title}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

/** A logarithmic axis. @param {number} from @param {number} to @param {number} start @param {number} end in the picture */
function logarithmic(from, to, start, end) {
  const at = (/** @type {number} */ value) =>
    start + ((Math.log(value) - Math.log(from)) / (Math.log(to) - Math.log(from))) * (end - start);
  const decades = [];
  for (let power = Math.ceil(Math.log10(from) - 1e-9); power <= Math.log10(to) + 1e-9; power++)
    decades.push(10 ** power);
  return { at, decades };
}

/** The ratios of times, as bars. @param {Case[]} cases */
export function ratios(cases) {
  const [left, right, top, row] = [220, 700, 74, 19];
  const shown = cases.map((one) => ({ ...one, ratio: one.median.peer / one.median.ours }));
  const axis = logarithmic(
    Math.min(0.1, ...shown.map((one) => one.ratio)),
    Math.max(100, ...shown.map((one) => one.ratio)),
    left,
    right,
  );
  const parts = [
    `<text class="small" x="24" y="50">Median wall time, peer / ours; to the right of 1 ours is faster. Pale: no item matches.</text>`,
  ];
  let y = top;
  /** @type {string[]} */
  const bars = [];
  for (const items of new Set(shown.map((one) => one.items))) {
    bars.push(`<text x="24" y="${y + 14}">${whole.format(items)} ${items === 1 ? 'item' : 'items'}</text>`);
    for (const one of shown.filter((one) => one.items === items)) {
      const [from, to] = [axis.at(1), axis.at(one.ratio)].sort((a, b) => a - b);
      const side = one.ratio >= 1 ? 'ours' : 'peer';
      const pale = one.kind === 'matched' ? '' : ' light';
      bars.push(`<text class="small" x="${left - 86}" y="${y + 13}">${one.format.toUpperCase()}</text>`);
      bars.push(
        `<rect class="bar ${side}${pale}" x="${fixed(from ?? 0)}" y="${y + 3}" width="${fixed((to ?? 0) - (from ?? 0))}" height="13"/>`,
      );
      const label = `${short.format(one.ratio)}×: ${time(one.median.peer)} / ${time(one.median.ours)}`;
      bars.push(`<text class="small" x="${fixed(Math.max(to ?? 0, axis.at(1)) + 6)}" y="${y + 13}">${label}</text>`);
      y += row;
    }
    y += 10;
  }
  for (const decade of axis.decades) {
    const x = fixed(axis.at(decade));
    parts.push(`<line class="${decade === 1 ? 'axis' : 'grid'}" x1="${x}" x2="${x}" y1="${top - 6}" y2="${y}"/>`);
    parts.push(`<text class="small" x="${x}" y="${y + 16}" text-anchor="middle">${decade}×</text>`);
  }
  return picture(860, y + 34, 'Time of the peer divided by time of ours', [...parts, ...bars]);
}

/** Time against the number of items. @param {Case[]} cases */
export function scaling(cases) {
  const [left, right, top, bottom] = [70, 640, 74, 460];
  const json = cases.filter((one) => one.format === 'json');
  const times = json.flatMap((one) => [one.median.floor, one.median.peer, one.median.ours]);
  const across = logarithmic(1, 300_000, left, right);
  const up = logarithmic(Math.min(1, ...times), Math.max(100_000, ...times), bottom, top);
  const parts = [
    `<text class="small" x="24" y="50">Median wall time of a launch in JSON, seen by the caller. Dashed: no item matches.</text>`,
  ];
  for (const decade of up.decades) {
    const y = fixed(up.at(decade));
    parts.push(`<line class="grid" x1="${left}" x2="${right}" y1="${y}" y2="${y}"/>`);
    parts.push(`<text class="small" x="${left - 8}" y="${y}" dy="4" text-anchor="end">${time(decade)}</text>`);
  }
  for (const items of new Set(json.map((one) => one.items))) {
    const x = fixed(across.at(items));
    parts.push(`<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/>`);
    parts.push(`<text class="small" x="${x}" y="${bottom + 18}" text-anchor="middle">${whole.format(items)}</text>`);
  }
  parts.push(
    `<text class="small" x="${(left + right) / 2}" y="${bottom + 38}" text-anchor="middle">items of the launch</text>`,
  );
  const lines = /** @type {const} */ ([
    ['peer', 'matched', 'peer'],
    ['peer', 'unmatched', 'peer, none matches'],
    ['ours', 'matched', 'ours'],
    ['ours', 'unmatched', 'ours, none matches'],
    ['floor', 'matched', 'floor'],
  ]);
  const ends = lines.map(([who, kind, label]) => {
    const points = json.filter((one) => one.kind === kind).map((one) => [across.at(one.items), up.at(one.median[who])]);
    const path = points.map(([x, y], at) => `${at ? 'L' : 'M'}${fixed(x ?? 0)} ${fixed(y ?? 0)}`).join(' ');
    parts.push(`<path class="line ${who}${kind === 'matched' ? '' : ' dashed'}" style="fill:none" d="${path}"/>`);
    if (kind === 'matched')
      parts.push(
        ...points.map(([x, y]) => `<circle class="${who}" cx="${fixed(x ?? 0)}" cy="${fixed(y ?? 0)}" r="3"/>`),
      );
    return { who, label, y: points.at(-1)?.[1] ?? 0 };
  });
  // Labels stand where their lines end, and one below the other where these end close together.
  let free = 0;
  for (const { who, label, y } of ends.sort((a, b) => a.y - b.y)) {
    free = Math.max(free, y);
    parts.push(`<text class="${who}" x="${right + 12}" y="${fixed(free)}" dy="4">${label}</text>`);
    free += 17;
  }
  return picture(800, bottom + 56, 'Time of a launch by its number of items', parts);
}
