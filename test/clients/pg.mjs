// Node, pg.
import { isDeepStrictEqual } from 'node:util'
import { LosslessNumber, isSafeNumber, parse, stringify } from 'lossless-json'
import pg from 'pg'

// JSON.parse makes every number a float. Those that a float cannot hold are to keep their digits.
const parseNumber = (text) => (isSafeNumber(text) ? Number(text) : new LosslessNumber(text))
pg.types.setTypeParser(pg.types.builtins.JSONB, (text) => parse(text, null, parseNumber))

// As text: the driver would make a PostgreSQL array of an array.
async function upsert(client, product) {
  const { rows } = await client.query('SELECT product_upsert($1) AS result', [stringify(product)])
  return rows[0].result
}

async function upsertIf(client, product, ifMatch) {
  const { rows } = await client.query("SELECT product_upsert('product', $1, $2) AS result",
    [stringify(product), stringify(ifMatch)])
  return rows[0].result
}

// -- the conversation --------------------------------------------------------------------------------

let tests = 0

function check(got, expected, name) {
  const ok = isDeepStrictEqual(got, expected)
  console.log(`${ok ? 'ok' : 'not ok'} ${++tests} - ${name}`)
  if (!ok) console.log(`#      got: ${stringify(got)}\n# expected: ${stringify(expected)}`)
}

const product = (serial, fields) => ({ brand: 'Acme', serial, manufacturer: 'Acme Corp', ...fields })

async function connect() {
  const client = new pg.Client()
  await client.connect()
  return client
}

async function value(client, query) {
  const { rows } = await client.query({ text: query, rowMode: 'array' })
  return rows[0][0]
}

const sqlstate = (promise) => promise.then(() => null, (error) => error.code)

const [client, other, holder] = [await connect(), await connect(), await connect()]

let result = await upsert(client, product('A-1', { stock: 12 }))
check([result.action, result.product.stock], ['created', 12], 'a new key is created')
result = await upsert(client, product('A-1', { stock: 11 }))
check([result.action, result.previous], ['updated', { stock: 12 }], 'a known key is updated, with the previous value')
result = await upsert(client, product('A-1', { stock: 11 }))
check(result.action, 'unchanged', 'the same again is unchanged')

const results = await upsert(client, [product('A-2'), product('A-1', { stock: 10 })])
check(results.map((r) => [r.action, r.product.serial]), [['created', 'A-2'], ['updated', 'A-1']],
  'an array has its results in order')

await upsert(client, product('A-3', { manufacturer: null }))
result = await upsert(client, product('A-3', { manufacturer: null }))
check([result.action, result.product.manufacturer], ['unchanged', null], 'null in the key equals null')

result = await upsert(client, product('Größe 日本 😀'))
check(await value(client, "SELECT count(*)::int FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"), 1,
  'characters of two to four bytes are stored as sent')
check(result.product.serial, 'Größe 日本 😀', 'characters of two to four bytes come back as sent')

const [price, stock] = [new LosslessNumber('12345678901234567890.0123456789'), 9007199254740993n]
result = await upsert(client, product('A-4', { price, stock }))
check(await value(client, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"),
  '12345678901234567890.0123456789 9007199254740993', 'large numbers are stored exactly')
check(`${result.product.price} ${result.product.stock}`, `${price} ${stock}`, 'large numbers come back exactly')

check(await sqlstate(upsert(client, product('A-1', { colour: 'red' }))), '42703', 'an unknown field is 42703')
result = await upsertIf(client, product('A-1', { stock: 9 }), { stock: 10 })
check(result.action, 'updated', 'if_match that matches is an update')
const refused = await sqlstate(upsertIf(client, product('A-1', { stock: 8 }), { stock: 10 }))
check([refused, await value(client, "SELECT stock::int FROM product WHERE serial = 'A-1'")], ['PT412', 9],
  'if_match that does not match is PT412, and writes nothing')

await holder.query('BEGIN')
await upsert(holder, product('A-1'))
await other.query("SET lock_timeout = '100ms'")
check(await sqlstate(upsert(other, product('A-1'))), '55P03', 'a lock not to be had in time is 55P03')
await other.query('RESET lock_timeout')
await holder.query('COMMIT')

// A statement that has a name is prepared.
let fresh = await connect()
const text = 'SELECT product_upsert($1) AS result'
for (let stock = 1; stock <= 10; stock++) {
  const { rows } = await fresh.query({ name: 'upsert', text, values: [stringify(product('A-5', { stock }))] })
  result = rows[0].result
}
check([result.product.stock, await value(fresh, 'SELECT prepared()')], [10, 1], 'a prepared statement, ten times')
await fresh.end()
fresh = await connect()
for (let stock = 11; stock <= 20; stock++) result = await upsert(fresh, product('A-5', { stock }))
check([result.product.stock, await value(fresh, 'SELECT prepared()')], [20, 0], 'no prepared statement, ten times')
await fresh.end()

// A Buffer is sent as it is. Binary jsonb is its version, 1, and the text.
pg.types.setTypeParser(pg.types.builtins.JSONB, 'binary', (buffer) => parse(buffer.toString('utf8', 1)))
const values = [Buffer.from('\x01' + stringify(product('A-6', { price })))]
const { rows, fields } = await client.query({ text, values, binary: true })
check(await value(client, "SELECT price::text FROM product WHERE serial = 'A-6'"), `${price}`, 'binary parameter')
check([fields[0].format, `${rows[0].result.product.price}`], ['binary', `${price}`], 'binary result')

// The third connection holds the key until both wait for it.
const [waited, actions, counts] = [[], [], []]
for (let n = 1; n <= 5; n++) {
  const serial = `R-${n}`
  await holder.query('BEGIN')
  await holder.query("SELECT product_upsert_lock('product', $1)", [stringify(product(serial))])
  const racers = [client, other].map((racer, stock) => upsert(racer, product(serial, { stock })))
  waited.push(await value(holder, 'SELECT both_wait()'))
  await holder.query('COMMIT')
  actions.push((await Promise.all(racers)).map((r) => r.action).sort())
  counts.push(await value(client, `SELECT count(*)::int FROM product WHERE serial = '${serial}'`))
}
check(waited, Array(5).fill(true), 'race: both wait for the key')
check(actions, Array(5).fill(['created', 'updated']), 'race: one creates, the other updates')
check(counts, Array(5).fill(1), 'race: each key has one row')

for (const c of [client, other, holder]) await c.end()
console.log(`1..${tests}`)
