// Knex.
import Knex from 'knex'
import { checkCall, done, keyColumns, keyOf, needsRetry, needsUniqueIndex } from './lines.mjs'

const { PGDATABASE, PGHOST, PGUSER } = process.env
const knex = Knex({ client: 'pg', connection: { host: PGHOST, database: PGDATABASE, user: PGUSER } })

await needsRetry('`first`, then `insert` or `update`', async (key, stock) => {
  const known = await knex('product').where(key).first()
  await (known ? knex('product').where(key).update({ stock }) : knex('product').insert({ ...key, stock }))
})
await needsUniqueIndex('`insert().onConflict(key).merge()`', '42P10', (key, stock) =>
  knex('product').insert({ ...key, stock }).onConflict(keyColumns).merge())
await needsUniqueIndex('`insert().onConflict(key).ignore()`', '42P10', (key, stock) =>
  knex('product').insert({ ...key, stock }).onConflict(keyColumns).ignore())
await needsUniqueIndex('`insert().onConflict().ignore()`', '23505', (key, stock) =>
  knex('product').insert({ ...key, stock }).onConflict().ignore())

const product = { ...keyOf('B-1'), stock: 12 }
const { rows: [{ result }] } = await knex.raw('SELECT product_upsert(?) AS result', [JSON.stringify(product)])
checkCall(result)
await knex.destroy()
await done()
