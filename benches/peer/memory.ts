// Records of KV that the remembering peer keeps, for as long as our Worker keeps them by default.

const SECONDS = 30;
/** The number of records that are kept. When there are more, all are forgotten. */
const RECORDS = 5_000;

const records = new Map<string, { value: unknown; expires: number }>();

/** Returns the records under these keys. Reads those that are not kept. Records that do not exist are not kept. */
export async function remembered<T>(keys: readonly string[], kv: KVNamespace): Promise<Map<string, T | null>> {
  const now = Date.now();
  const found = new Map<string, T | null>();
  for (const key of keys) {
    const record = records.get(key);
    if (record && record.expires > now) found.set(key, record.value as T);
  }
  const missing = keys.filter((key) => !found.has(key));
  if (missing.length === 0) return found;
  for (const [key, value] of await kv.get<T>(missing, 'json')) {
    found.set(key, value);
    if (value === null) continue;
    if (records.size >= RECORDS) records.clear();
    records.set(key, { value, expires: now + SECONDS * 1000 });
  }
  return found;
}
