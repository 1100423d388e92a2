// Drizzle.
import { and, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { bigint, integer, pgTable, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { checkCall, done, keyColumns, keyOf, needsRetry, needsUniqueIndex } from './lines.mjs'

const products = pgTable('product', {
  id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  brand: text(),
  serial: text(),
  manufacturer: text(),
  stock: integer(),
})
const target = keyColumns.map((column) => products[column])

const pool = new pg.Pool()
const db = drizzle(pool)

await needsRetry('`select`, then `insert` or `update`', async (key, stock) => {
  const where = and(...keyColumns.map((column) => eq(products[column], key[column])))
  const [known] = await db.select().from(products).where(where)
  await (known ? db.update(products).set({ stock }).where(where) : db.insert(products).values({ ...key, stock }))
})
await needsUniqueIndex('`insert().onConflictDoUpdate`', '42P10', (key, stock) =>
  db.insert(products).values({ ...key, stock }).onConflictDoUpdate({ target, set: { stock } }))
await needsUniqueIndex('`insert().onConflictDoNothing()`', '23505', (key, stock) =>
  db.insert(products).values({ ...key, stock }).onConflictDoNothing())

const product = { ...keyOf('B-1'), stock: 12 }
const { rows: [{ result }] } = await db.execute(sql`SELECT product_upsert(${JSON.stringify(product)}) AS result`)
checkCall(result)
await pool.end()
await done()
