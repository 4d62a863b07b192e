// From numbers to places on a chart.

// The ends of an axis; `most` is the least upper end, `room` the share added at both.
export function domain(values, most = null, room = 0) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (most !== null) high = Math.max(high, most);
  if (low === high) {
    const half = Math.abs(low) * 0.05 || 0.5;
    return [low - half, high + half];
  }
  const added = (high - low) * room;
  return [low - added, high + added];
}

export function scale([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

// Round numbers inside the ends, about so many.
export function ticks([low, high], count) {
  const raw = (high - low) / Math.max(count, 1);
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * size).find((each) => each >= raw) ?? 10 * size;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}
