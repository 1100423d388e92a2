// Answers POST /rpc/product_upsert as PostgREST does, to show all that it takes and to test it:
//
//     psql --file schema.sql && npm install && PGUSER=web node rest.js
//     curl --json '{"brand": "Acme", "serial": "A-17", "manufacturer": null}' http://127.0.0.1:3000/rpc/product_upsert
//
// The database is that of PGHOST and PGDATABASE.
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import pg from 'pg'

const pool = new pg.Pool()
pool.on('error', ({ message }) => console.error(message)) // a connection that ended while nobody used it

// The body is the one unnamed argument, unless it has the names of the other form's arguments. The status is read
// in the statement of the call, as it is gone after it. JSON passes through as text, so that numbers stay exact.
const unnamed = 'SELECT product_upsert($1) AS body'
const named = `SELECT product_upsert(target, payload, if_match) AS body
    FROM jsonb_to_record($1) AS _ (target regclass, payload jsonb, if_match jsonb)`
const withStatus = (call) => `WITH call AS MATERIALIZED (${call})
    SELECT body::text, nullif(current_setting('response.status', true), '') AS status FROM call`

function callFor(body) {
    const { target, payload, if_match, ...rest } = JSON.parse(body) ?? {}
    return target && payload && Object.keys(rest).length === 0 ? named : unnamed
}

// The status for a SQLSTATE or for its class; any other is 400. With authentication 42501 would be 403.
const statuses = {
    '08': 503, 21000: 500, 23503: 409, 23505: 409, 25006: 405, 25: 500, 40: 500, 42501: 401, 42883: 404, '42P01': 404,
    '42P17': 500, 53400: 500, 53: 503, 54: 500, 55: 500, '57P01': 503, 57: 500, 58: 500, P0001: 400, P0: 500, XX: 500,
}

function statusFor({ name, code = '' }) {
    if (name === 'SyntaxError') return 400 // of the body
    if (!/^[0-9A-Z]{5}$/.test(code)) return 503 // no answer from the database
    if (/^PT[1-5]\d\d$/.test(code)) return Number(code.slice(2))
    return statuses[code] ?? statuses[code.slice(0, 2)] ?? 400
}

async function answer(request) {
    if (request.method !== 'POST' || request.url !== '/rpc/product_upsert') return [404, '{}']
    try {
        const body = await text(request)
        const { rows } = await pool.query(withStatus(callFor(body)), [body])
        return [rows[0].status ?? 200, rows[0].body]
    } catch (error) {
        const { code, message, detail, hint } = error
        return [statusFor(error), JSON.stringify({ code, message, details: detail, hint })]
    }
}

const server = createServer(async (request, response) => {
    const [status, body] = await answer(request)
    response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' }).end(body)
})
server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
