// Node, postgres.
import { isDeepStrictEqual } from 'node:util'
import { LosslessNumber, isSafeNumber, parse, stringify } from 'lossless-json'
import postgres from 'postgres'

// JSON.parse makes every number a float. Those that a float cannot hold are to keep their digits.
const parseNumber = (text) => (isSafeNumber(text) ? Number(text) : new LosslessNumber(text))
const jsonb = { to: 3802, from: [3802], serialize: stringify, parse: (text) => parse(text, null, parseNumber) }

async function upsert(sql, product) {
  const [{ result }] = await sql`SELECT product_upsert(${sql.json(product)}) AS result`
  return result
}

async function upsertIf(sql, product, ifMatch) {
  const [{ result }] = await sql`
    SELECT product_upsert('product', ${sql.json(product)}, ${sql.json(ifMatch)}) AS result`
  return result
}

// -- the conversation --------------------------------------------------------------------------------

let tests = 0

function check(got, expected, name) {
  const ok = isDeepStrictEqual(got, expected)
  console.log(`${ok ? 'ok' : 'not ok'} ${++tests} - ${name}`)
  if (!ok) console.log(`#      got: ${stringify(got)}\n# expected: ${stringify(expected)}`)
}

const skip = (name, reason) => console.log(`ok ${++tests} - ${name} # SKIP ${reason}`)

const product = (serial, fields) => ({ brand: 'Acme', serial, manufacturer: 'Acme Corp', ...fields })

// A pool of one connection.
const connect = (options) => postgres({ max: 1, types: { jsonb }, ...options })

async function value(query) {
  const [[value]] = await query.values()
  return value
}

const sqlstate = (promise) => promise.then(() => null, (error) => error.code)

const [sql, other, holder] = [connect(), connect(), connect()]

let result = await upsert(sql, product('A-1', { stock: 12 }))
check([result.action, result.product.stock], ['created', 12], 'a new key is created')
result = await upsert(sql, product('A-1', { stock: 11 }))
check([result.action, result.previous], ['updated', { stock: 12 }], 'a known key is updated, with the previous value')
result = await upsert(sql, product('A-1', { stock: 11 }))
check(result.action, 'unchanged', 'the same again is unchanged')

const results = await upsert(sql, [product('A-2'), product('A-1', { stock: 10 })])
check(results.map((r) => [r.action, r.product.serial]), [['created', 'A-2'], ['updated', 'A-1']],
  'an array has its results in order')

await upsert(sql, product('A-3', { manufacturer: null }))
result = await upsert(sql, product('A-3', { manufacturer: null }))
check([result.action, result.product.manufacturer], ['unchanged', null], 'null in the key equals null')

result = await upsert(sql, product('Größe 日本 😀'))
check(await value(sql`SELECT count(*)::int FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'`), 1,
  'characters of two to four bytes are stored as sent')
check(result.product.serial, 'Größe 日本 😀', 'characters of two to four bytes come back as sent')

const [price, stock] = [new LosslessNumber('12345678901234567890.0123456789'), 9007199254740993n]
result = await upsert(sql, product('A-4', { price, stock }))
check(await value(sql`SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'`),
  '12345678901234567890.0123456789 9007199254740993', 'large numbers are stored exactly')
check(`${result.product.price} ${result.product.stock}`, `${price} ${stock}`, 'large numbers come back exactly')

check(await sqlstate(upsert(sql, product('A-1', { colour: 'red' }))), '42703', 'an unknown field is 42703')
result = await upsertIf(sql, product('A-1', { stock: 9 }), { stock: 10 })
check(result.action, 'updated', 'if_match that matches is an update')
const refused = await sqlstate(upsertIf(sql, product('A-1', { stock: 8 }), { stock: 10 }))
check([refused, await value(sql`SELECT stock::int FROM product WHERE serial = 'A-1'`)], ['PT412', 9],
  'if_match that does not match is PT412, and writes nothing')

await holder.begin(async (holder) => {
  await upsert(holder, product('A-1'))
  await other`SET lock_timeout = '100ms'`
  check(await sqlstate(upsert(other, product('A-1'))), '55P03', 'a lock not to be had in time is 55P03')
  await other`RESET lock_timeout`
})

// Every statement is prepared, unless the connection is told not to.
let fresh = connect()
for (let stock = 1; stock <= 10; stock++) result = await upsert(fresh, product('A-5', { stock }))
check([result.product.stock, await value(fresh`SELECT prepared()`)], [10, 1], 'a prepared statement, ten times')
await fresh.end()
fresh = connect({ prepare: false })
for (let stock = 11; stock <= 20; stock++) result = await upsert(fresh, product('A-5', { stock }))
check([result.product.stock, await value(fresh`SELECT prepared()`)], [20, 0], 'no prepared statement, ten times')
await fresh.end()

skip('binary parameter', 'postgres sends text')
skip('binary result', 'postgres receives text')

// The third connection holds the key until both wait for it.
const [waited, actions, counts] = [[], [], []]
for (let n = 1; n <= 5; n++) {
  const serial = `R-${n}`
  let racers
  await holder.begin(async (holder) => {
    await holder`SELECT product_upsert_lock('product', ${sql.json(product(serial))})`
    racers = [sql, other].map((racer, stock) => upsert(racer, product(serial, { stock })))
    waited.push(await value(holder`SELECT both_wait()`))
  })
  actions.push((await Promise.all(racers)).map((r) => r.action).sort())
  counts.push(await value(sql`SELECT count(*)::int FROM product WHERE serial = ${serial}`))
}
check(waited, Array(5).fill(true), 'race: both wait for the key')
check(actions, Array(5).fill(['created', 'updated']), 'race: one creates, the other updates')
check(counts, Array(5).fill(1), 'race: each key has one row')

for (const pool of [sql, other, holder]) await pool.end()
console.log(`1..${tests}`)
