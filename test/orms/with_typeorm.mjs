// TypeORM.
import 'reflect-metadata'
import { DataSource, EntitySchema } from 'typeorm'
import { checkCall, done, keyColumns, keyOf, needsRetry, needsUniqueIndex } from './lines.mjs'

const Product = new EntitySchema({
  name: 'product',
  columns: {
    id: { type: 'bigint', primary: true, generated: true },
    brand: { type: 'text' },
    serial: { type: 'text' },
    manufacturer: { type: 'text' },
    stock: { type: 'integer' },
  },
  // Without this, upsert refuses at once. It is what the program says; whether the table has it is another matter.
  uniques: [{ columns: keyColumns }],
})

const { PGDATABASE, PGHOST, PGUSER } = process.env
const dataSource = new DataSource({
  type: 'postgres', host: PGHOST, database: PGDATABASE, username: PGUSER, entities: [Product],
})
await dataSource.initialize()
const products = dataSource.getRepository(Product)

await needsRetry('`findOneBy`, then `save`', async (key, stock) =>
  products.save({ ...await products.findOneBy(key), ...key, stock }))
await needsUniqueIndex('`upsert`', '42P10', (key, stock) => products.upsert({ ...key, stock }, keyColumns))
await needsUniqueIndex('`insert().orIgnore()`', '23505', (key, stock) =>
  products.createQueryBuilder().insert().values({ ...key, stock }).orIgnore().execute())

const product = { ...keyOf('B-1'), stock: 12 }
const [{ result }] = await dataSource.query('SELECT product_upsert($1) AS result', [JSON.stringify(product)])
checkCall(result)
await dataSource.destroy()
await done()
