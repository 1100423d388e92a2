// Real requests to the two servers of example/http, each in front of the database that PGHOST and PGDATABASE name.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'

const example = new URL('../../example/http/', import.meta.url)
const pg = createRequire(example)('pg')
const admin = new pg.Client()
const servers = []

// Starts one of the servers on a free port, and returns where it listens.
async function start(script, env = {}) {
    const server = spawn(process.execPath, [new URL(script, example).pathname], {
        env: { ...process.env, PGUSER: 'web', PORT: '0', NODE_ENV: 'production', ...env },
        stdio: ['ignore', 'pipe', 'inherit'],
    })
    servers.push(server)
    for await (const line of createInterface(server.stdout)) return line
    throw new Error(`${script} did not start`)
}

async function post(url, body) {
    const response = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    const text = await response.text()
    return { status: response.status, text, json: JSON.parse(text) }
}

const count = async (serial) =>
    Number((await admin.query('SELECT count(*) FROM product WHERE serial = $1', [serial])).rows[0].count)

// Makes ten equal requests, and holds the table until all of them wait for it: then they go on at once.
async function atOnce(request) {
    const waiting = `SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = 'product'::regclass`

    await admin.query('BEGIN; LOCK TABLE product IN SHARE MODE')
    const requests = Array.from({ length: 10 }, request)
    while ((await admin.query(waiting)).rows[0].n < 10);
    await admin.query('COMMIT')
    return Promise.all(requests)
}

const key = (serial) => ({ brand: 'b', serial, manufacturer: null })

let rest, graphql

before(async () => {
    await admin.connect()
    await admin.query(await readFile(new URL('schema.sql', example), 'utf8'))
    rest = `${await start('rest.js')}/rpc/product_upsert`
    graphql = `${await start('graphql.js')}/graphql`
})

after(async () => {
    for (const server of servers) server.kill()
    await admin.end()
})

// -- as PostgREST does it ---------------------------------------------------------------------------

test('201 for a product that was created, else 200', async () => {
    const product = { ...key('1'), stock: 1 }

    assert.equal((await post(rest, product)).status, 201)
    const updated = await post(rest, { ...product, stock: 2 })
    assert.equal(updated.status, 200)
    assert.deepEqual(updated.json.previous, { stock: 1 })
    const unchanged = await post(rest, { ...product, stock: 2 })
    assert.equal(unchanged.status, 200)
    assert.equal(unchanged.json.action, 'unchanged')
})

test('201 for an array if any product was created', async () => {
    const { status, json } = await post(rest, [key('1'), key('2')])

    assert.equal(status, 201)
    assert.deepEqual(json.map(({ action }) => action), ['unchanged', 'created'])
    assert.equal((await post(rest, [key('1'), key('2')])).status, 200)
    assert.equal((await post(rest, [])).status, 200)
})

test('numbers and characters arrive as they were sent', async () => {
    const price = '12345678901234567890.1234567890'
    const { status, text } = await post(rest, `{"brand": "ü𝄞", "serial": "3", "manufacturer": null, "price": ${price}}`)

    assert.equal(status, 201)
    assert.ok(text.includes(`"price": ${price}`), text)
    assert.ok(text.includes('"brand": "ü𝄞"'), text)
})

test('412 if the stored row does not match', async () => {
    const request = { target: 'product', payload: { ...key('1'), stock: 3 }, if_match: { stock: 1 } }
    const refused = await post(rest, request)

    assert.equal(refused.status, 412)
    assert.equal(refused.json.code, 'PT412')
    assert.equal((await post(rest, { ...request, if_match: { stock: 2 } })).status, 200)
    assert.equal((await post(rest, { target: 'product', payload: key('4') })).status, 201)
})

test('a status for each error', async () => {
    const fails = async (body, status, code) => {
        const response = await post(rest, body)
        assert.deepEqual([response.status, response.json.code], [status, code])
        return response.json
    }

    const { message, hint } = await fails({ ...key('1'), stokc: 1 }, 400, '42703')
    assert.match(message, /"stokc"/)
    assert.match(hint, /"stock"/)
    await fails({ brand: 'b' }, 400, '22023')
    await fails({ ...key('1'), stock: 'many' }, 400, '22P02')
    await fails({ ...key('1'), stock: 3000000000 }, 400, '22003')
    await fails('5', 400, '22023')
    await fails('null', 400, '22023')
    await fails('{', 400, undefined)
    await fails({ target: 'no_such_table', payload: key('1') }, 404, '42P01')
    await fails({ target: 'pg_catalog.pg_authid', payload: key('1') }, 401, '42501')

    assert.equal((await post(rest, { ...key('5'), barcode: 'x' })).status, 201)
    await fails({ ...key('6'), barcode: 'x' }, 409, '23505')
    assert.equal(await count('6'), 0)

    await admin.query(`INSERT INTO product (brand, serial) VALUES ('b', 'twice'), ('b', 'twice')`)
    await fails(key('twice'), 500, '21000')

    assert.equal((await fetch(rest)).status, 404)
})

test('405 if the transaction is read-only', async () => {
    const readOnly = await start('rest.js', { PGOPTIONS: '-c default_transaction_read_only=on' })
    const { status, json } = await post(`${readOnly}/rpc/product_upsert`, key('1'))

    assert.deepEqual([status, json.code], [405, '25006'])
})

test('500 after lock_timeout', async () => {
    const impatient = await start('rest.js', { PGOPTIONS: '-c lock_timeout=10ms' })

    await admin.query(`BEGIN; SELECT product_upsert_lock('product', '${JSON.stringify(key('1'))}')`)
    const { status, json } = await post(`${impatient}/rpc/product_upsert`, key('1'))
    await admin.query('COMMIT')
    assert.deepEqual([status, json.code], [500, '55P03'])
    assert.equal((await post(rest, key('1'))).status, 200)
})

test('503 without a database', async () => {
    const lonely = await start('rest.js', { PGHOST: '/nonexistent' })

    assert.equal((await post(`${lonely}/rpc/product_upsert`, key('1'))).status, 503)
})

test('equal requests at once: one 201', { timeout: 60_000 }, async () => {
    for (const serial of ['race 1', 'race 2', 'race 3']) {
        const answers = await atOnce(() => post(rest, key(serial)))

        assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(9).fill(200), 201])
        assert.equal(await count(serial), 1)
    }
})

// -- by PostGraphile --------------------------------------------------------------------------------

const mutate = (payload) =>
    post(graphql, {
        query: 'mutation ($payload: JSON!) { upsertProduct(input: { payload: $payload }) { json } }',
        variables: { payload: JSON.stringify(payload) },
    })

const resultOf = async (payload) => JSON.parse((await mutate(payload)).json.data.upsertProduct.json)

test('a GraphQL mutation', async () => {
    const product = { ...key('g'), stock: 1 }

    assert.equal((await resultOf(product)).action, 'created')
    assert.deepEqual((await resultOf({ ...product, stock: 2 })).previous, { stock: 1 })
    assert.deepEqual((await resultOf([product, key('h')])).map(({ action }) => action), ['updated', 'created'])

    // GraphQL has a status of its own; the SQLSTATE is in the body.
    const { status, json } = await mutate({ ...product, stokc: 1 })
    assert.equal(status, 200)
    assert.deepEqual([json.errors[0].errcode, json.errors[0].hint], ['42703', 'Perhaps you meant "stock".'])
})

test('equal mutations at once: the product is created once', { timeout: 60_000 }, async () => {
    for (const serial of ['race 4', 'race 5', 'race 6']) {
        const results = await atOnce(() => resultOf(key(serial)))

        assert.deepEqual(results.map(({ action }) => action).sort(), ['created', ...Array(9).fill('unchanged')])
        assert.equal(await count(serial), 1)
    }
})
