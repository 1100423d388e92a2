// What the programs for Node share: a line of doc/orms.md as a test, in the Test Anything Protocol.
import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'

const uniqueIndex = 'CREATE UNIQUE INDEX product_key ON product (brand, serial, manufacturer) NULLS NOT DISTINCT'

export const keyOf = (serial) => ({ brand: 'Acme', serial, manufacturer: 'Acme Corp' })
export const keyColumns = Object.keys(keyOf(''))

const holder = new pg.Client()
await holder.connect()
let tests = 0
let serials = 0
const nextSerial = () => `A-${++serials}`

export function check(got, expected, name) {
  const ok = isDeepStrictEqual(got, expected)
  console.log(`${ok ? 'ok' : 'not ok'} ${++tests} - ${name}`)
  if (!ok) console.log(`#      got: ${JSON.stringify(got)}\n# expected: ${JSON.stringify(expected)}`)
}

export async function done() {
  await holder.end()
  console.log(`1..${tests}`)
}

async function value(query, values) {
  const { rows } = await holder.query({ text: query, values, rowMode: 'array' })
  return rows[0][0]
}

const insert = (serial) => holder.query('INSERT INTO product (brand, serial, manufacturer) VALUES ($1, $2, $3)',
  Object.values(keyOf(serial)))

const rows = (serial) => value('SELECT count(*)::int FROM product WHERE serial = $1', [serial])

// Calls it; returns "ok", or the SQLSTATE of the driver's error that the ORM's has within it.
async function outcome(call, serial, stock) {
  try {
    await call(keyOf(serial), stock)
    return 'ok'
  } catch (error) {
    for (const e of [error, error.original, error.driverError, error.cause]) if (e?.code) return e.code
    throw error
  }
}

// Two connections meet: both have looked and found nothing when one of them may write.
async function race(call, serial) {
  await holder.query('BEGIN')
  await insert(serial)
  const racers = [1, 2].map((stock) => outcome(call, serial, stock))
  const waited = await value('SELECT both_wait()')
  await holder.query('ROLLBACK')
  return [waited, (await Promise.all(racers)).sort()]
}

export async function worksUnchanged(name, call) {
  const serial = nextSerial()
  check([...await race(call, serial), await rows(serial)], [true, ['ok', 'ok'], 1], `${name}: works unchanged`)
}

export async function needsRetry(name, call) {
  const serial = nextSerial()
  check([...await race(call, serial), await outcome(call, serial, 3), await rows(serial)],
    [true, ['23505', 'ok'], 'ok', 1], `${name}: needs a retry on 23505`)
}

export async function needsUniqueIndex(name, error, call) {
  const [there, fresh] = [nextSerial(), nextSerial()]
  await insert(there)
  const without = await outcome(call, there, 1)
  await holder.query(uniqueIndex)
  check([without, await outcome(call, there, 1), ...await race(call, fresh), await rows(fresh)],
    [error, 'ok', true, ['ok', 'ok'], 1], `${name}: needs a unique index`)
  await holder.query('DROP INDEX product_key')
}

export const checkCall = (result) => check([result.action, result.product.stock], ['created', 12],
  '`product_upsert`: in one line')
